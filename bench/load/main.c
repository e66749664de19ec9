/*
 * load: a generator of SMTP traffic (`load send`) and an end for it (`load sink`), so cheap that
 * the relay between them is what is measured. Needs nothing but the C library. Not installed.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "load/commands.h"

static const char HELP[] =
    "load send HOST:PORT   sends messages and says how that went\n"
    "  --messages N        in all; and/or\n"
    "  --seconds S         how long messages are begun\n"
    "  --sessions N        at once (1)\n"
    "  --threads N         the sessions are shared out among them (1)\n"
    "  --reuse N           messages a connection, 0: no limit (1)\n"
    "  --rate R            messages a second, begun on schedule whether the server keeps up or "
    "not;\n"
    "                      latency counts from the scheduled time\n"
    "  --size SIZE         of header and text, 4k, or a mix: 1k:50,10k:40,1m:10 (4k)\n"
    "  --recipients N      a message (1)\n"
    "  --domains N         different recipient domains, d0.DOMAIN, d1.DOMAIN ... (1)\n"
    "  --from ADDRESS      --to LOCAL@DOMAIN\n"
    "  --sources N         source addresses 127.77.x.y, going round\n"
    "  --no-pipelining     one command, one reply, even where PIPELINING is offered\n"
    "  --bdat              BDAT where CHUNKING is offered\n"
    "  --timeout S         how long a server may be silent (60)\n"
    "  --tokens FILE       writes the X-Load-Token of every accepted message, a line each\n"
    "  --idle              only opens the sessions and holds them for --seconds\n"
    "  --json              one line of JSON\n"
    "Exit status: 0 all accepted, 1 not all, 2 wrong use.\n"
    "latency: intended begin (or connect) to the final reply; last reply: end of content to it.\n"
    "\n"
    "load sink HOST:PORT...  takes messages and counts them; HOST:PORT-PORT is a range, port 0 "
    "any\n"
    "  --threads N         each listens everywhere (1)\n"
    "  --messages N        leaves after the reply to the Nth; or --recipients N\n"
    "  --without LIST      extensions not to offer: "
    "PIPELINING,8BITMIME,SMTPUTF8,DSN,SIZE,CHUNKING\n"
    "  --delay MS          before the reply to the content\n"
    "  --tempfail SHARE    0 to 1: answered 451\n"
    "  --permfail SHARE    0 to 1: answered 554\n"
    "  --fail-at STAGE     of the two above: dot or rcpt (dot)\n"
    "  --tokens FILE       writes the X-Load-Token of every message taken\n"
    "Prints `listening HOST:PORT` for each address, and counts as JSON on SIGUSR1 and at the "
    "end.\n";

/* 10000 connections need as many descriptors; what the hard limit refuses shows as errors later. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int count, char **words)
{
    signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    if (count > 1 && strcmp(words[1], "send") == 0) {
        return load_send(count - 1, words + 1);
    }
    if (count > 1 && strcmp(words[1], "sink") == 0) {
        return load_sink(count - 1, words + 1);
    }
    if (count > 1 && strcmp(words[1], "--help") == 0) {
        fputs(HELP, stdout);
        return 0;
    }
    fputs("load: want send or sink; try load --help\n", stderr);
    return 2;
}
