/*
 * fault: each call of the disk and of the network fails in its turn (see fault.h).
 *
 *   fault [-w] [-s STRIDE] [-S SCRIPT] [-n NUMBER] [-k KIND] [-e ENDING] [-v]
 *
 * Alone: every STRIDE-th call of each script, kinds and endings in turn. -w: all calls, all kinds,
 * and for the disk all endings. A line that failed says with which options it comes again.
 *
 * Tried with planted bugs, and found: a group called durable although its write or sync failed
 * (lost); a failed segment that does not get its .bad name (ghosts); a short read of a header taken
 * for a blank file (lost); a segment that cannot be made and nobody is told (silent); a compaction
 * that reads on for ever in a file that was cut (hang).
 */
#include <stdio.h>

#include "sim/fault_run.h"

enum { DISK_STRIDE = 2, NETWORK_STRIDE = 9 };

int main(int count, char **arguments)
{
    struct fault_options options;
    struct fault_figures disk = {0}, network = {0};
    bool good;

    if (!fault_read_options(count, arguments, &options)) {
        (void)fprintf(stderr, "usage: fault [-w] [-v] [-s STRIDE] [-S SCRIPT] [-n NUMBER] "
                              "[-k KIND] [-e ENDING]\n");
        return 2;
    }
    options.stride = options.stride == 0 ? DISK_STRIDE : options.stride;
    good = fault_run_all(&options, FAULT_DISK, &disk);
    fault_say("disk", &disk);
    for (int call = 0; call < SIM_CALLS; call++) {
        (void)printf("%s%s %llu%s", call == 0 ? "of them: " : "",
                     fault_call_name((enum sim_disk_call)call),
                     (unsigned long long)disk.by_call[call], call + 1 < SIM_CALLS ? ", " : "\n");
    }
    if (options.number == 0) {
        options.stride = options.stride == DISK_STRIDE ? NETWORK_STRIDE : options.stride;
        good = fault_run_all(&options, FAULT_NETWORK, &network) && good;
        fault_say("network", &network);
    }
    return good ? 0 : 1;
}
