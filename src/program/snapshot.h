/*
 * A snapshot: every file of a configuration as the master read it, in one descriptor.
 *
 * The worker loads its configuration from there and opens none of the files itself: it may not even
 * be allowed to, and it has the very text that the master has checked, whatever became of the files
 * since. With it come this machine's addresses, which only the master can ask for.
 */
#ifndef PROGRAM_SNAPSHOT_H
#define PROGRAM_SNAPSHOT_H

struct config;

/*
 * Loads the configuration at `path` from the files, says on standard error what there is to say,
 * and takes the snapshot: *ret_descriptor, close-on-exec, the caller's. NULL after an error.
 */
struct config *program_snapshot_take(const char *path, int *ret_descriptor);

/* Loads the same from the snapshot; the descriptor stays the caller's. NULL after saying why. */
struct config *program_snapshot_load(const char *path, int descriptor);

#endif
