/*
 * The walls one by one.
 */
#ifndef SYSTEM_SANDBOX_INTERNAL_H
#define SYSTEM_SANDBOX_INTERNAL_H

#include "system/sandbox.h"

/* Landlock versions from which on there is... */
enum {
    SANDBOX_ABI_TRUNCATE = 3,
    SANDBOX_ABI_TCP = 4,
    SANDBOX_ABI_DEVICES = 5,
    SANDBOX_ABI_SCOPES = 6,
};

/* 0, or -errno if this kernel has no such filter. */
int sandbox_calls_worker(void);
int sandbox_calls_master(void);

/* The kernel's version of Landlock, or -errno if it has none; then the wall. 0 or -errno. */
int sandbox_files_version(const struct sandbox_settings *settings);
int sandbox_files_enter(const struct sandbox_settings *settings, int abi);

#endif
