/*
 * The order: privileges first (they need calls that are forbidden afterwards), then files (Landlock
 * needs calls too), system calls last.
 */
#include "system/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "system/sandbox-internal.h"

enum { MASK_OF_WORKER = 077 };

bool sandbox_is_instrumented(void)
{
#ifdef OPENRELAY_INSTRUMENTED
    return true;
#else
    return false;
#endif
}

static void note(char *list, const char *what)
{
    size_t used = strlen(list);

    (void)snprintf(list + used, SANDBOX_TEXT_SIZE - used, "%s%s", used > 0 ? ", " : "", what);
}

static void note_missing(struct sandbox_walls *walls, const char *what, const char *why)
{
    char text[SANDBOX_TEXT_SIZE];

    (void)snprintf(text, sizeof(text), "%s (%s)", what, why);
    note(walls->missing, text);
}

void sandbox_prepare(void)
{
    if (capng_get_caps_process() == 0) {
        capng_clear(CAPNG_SELECT_BOUNDS);
        (void)capng_apply(CAPNG_SELECT_BOUNDS); /* sandbox_enter looks what became of it */
    }
}

/* No capability in any set; what the kernel says, not what was asked of it. */
static int drop_capabilities(struct sandbox_walls *walls)
{
    const capng_select_t sets = CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT;

    if (capng_get_caps_process() != 0) {
        return -EPERM;
    }
    if (capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE) {
        capng_clear(sets);
        (void)capng_apply(sets);
        if (capng_get_caps_process() != 0 ||
            capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE) {
            return -EPERM;
        }
    }
    walls->bounding = capng_have_capabilities(CAPNG_SELECT_BOUNDS) == CAPNG_NONE;
    return 0;
}

static int drop_privileges(struct sandbox_walls *walls)
{
    const struct rlimit none = {0, 0};
    int error;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        note(walls->missing, "no new privileges");
        return -errno;
    }
    error = drop_capabilities(walls);
    if (error != 0) {
        note(walls->missing, "capabilities");
        return error;
    }
    note(walls->standing, "no privileges");
    if (!walls->bounding) {
        note_missing(walls, "bounding set", "only root can empty it");
    }
    (void)umask(MASK_OF_WORKER);
    if (setrlimit(RLIMIT_CORE, &none) != 0 ||
        (!sandbox_is_instrumented() && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)) {
        note(walls->missing, "no core dumps");
        return -errno;
    }
    return 0;
}

static void note_files(struct sandbox_walls *walls)
{
    static const struct {
        const char *name;
        int abi;
    } parts[] = {
        {"files", 1},
        {"truncation", SANDBOX_ABI_TRUNCATE},
        {"TCP ports", SANDBOX_ABI_TCP},
        {"signals", SANDBOX_ABI_SCOPES},
        {"abstract sockets", SANDBOX_ABI_SCOPES},
    };
    char why[64];

    (void)snprintf(why, sizeof(why), "Landlock version %d", walls->landlock_abi);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (walls->landlock_abi >= parts[i].abi) {
            note(walls->standing, parts[i].name);
        } else {
            note_missing(walls, parts[i].name, why);
        }
    }
}

/* A kernel without Landlock is no error; one that has it and will not take our rules is. */
static int enter_files(const struct sandbox_settings *settings, struct sandbox_walls *walls)
{
    int version = sandbox_files_version(settings);
    int error = version > 0 ? sandbox_files_enter(settings, version) : 0;
    char why[64];

    if (error != 0) {
        note(walls->missing, "files");
    } else if (version > 0) {
        walls->landlock_abi = version;
        note_files(walls);
    } else {
        (void)snprintf(why, sizeof(why), "Landlock: %s", strerrordesc_np(-version));
        note_missing(walls, "files, TCP ports, signals, abstract sockets", why);
    }
    return error;
}

static void note_calls(struct sandbox_walls *walls, int error)
{
    char why[64];

    walls->calls = error == 0;
    if (error == 0) {
        note(walls->standing, "system calls");
    } else {
        (void)snprintf(why, sizeof(why), "seccomp: %s", strerrordesc_np(-error));
        note_missing(walls, "system calls", why);
    }
}

int sandbox_enter(const struct sandbox_settings *settings, struct sandbox_walls *ret_walls)
{
    int error;

    memset(ret_walls, 0, sizeof(*ret_walls));
    error = drop_privileges(ret_walls);
    if (error == 0 && sandbox_is_instrumented()) {
        note_missing(ret_walls, "files, system calls", "an instrumented build");
    } else if (error == 0) {
        error = enter_files(settings, ret_walls);
        if (error == 0) {
            note_calls(ret_walls, sandbox_calls_worker());
        }
    }
    return error;
}

/* ---- The master ---- */

static int keep_capabilities(void)
{
    static const unsigned kept[] = {
        CAP_NET_BIND_SERVICE, /* listeners, on a reload too */
        CAP_SETUID,
        CAP_SETGID,
        CAP_SETPCAP, /* for the worker, to give up root and all this */
        CAP_CHOWN,
        CAP_FOWNER,       /* the spool's folder, unix listeners */
        CAP_DAC_OVERRIDE, /* configuration and log of whomever */
        CAP_KILL,         /* a worker that does not stop */
        CAP_SYS_RESOURCE, /* the fence around a worker's memory */
    };
    capng_select_t sets = CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT;
    bool had[sizeof(kept) / sizeof(kept[0])];

    if (capng_get_caps_process() != 0) {
        return -EPERM;
    }
    if (capng_have_capabilities(CAPNG_SELECT_CAPS) == CAPNG_NONE) {
        return 0;
    }
    if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP)) {
        sets |= CAPNG_SELECT_BOUNDS;
    }
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        had[i] = capng_have_capability(CAPNG_PERMITTED, kept[i]) != 0;
    }
    capng_clear(CAPNG_SELECT_ALL);
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (had[i]) {
            (void)capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
                               kept[i]);
        }
    }
    return capng_apply(sets) == 0 ? 0 : -EPERM;
}

int sandbox_enter_master(struct sandbox_walls *ret_walls)
{
    memset(ret_walls, 0, sizeof(*ret_walls));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return -errno;
    }
    if (keep_capabilities() != 0) {
        note_missing(ret_walls, "capabilities", "they could not be reduced");
    } else {
        note(ret_walls->standing, "few privileges");
    }
    if (sandbox_is_instrumented()) {
        note_missing(ret_walls, "system calls", "an instrumented build");
    } else {
        note_calls(ret_walls, sandbox_calls_master());
    }
    return 0;
}
