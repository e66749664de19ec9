/*
 * Landlock: of all files the spool's folder, no TCP port to be bound by number, no signal and no
 * abstract socket to anybody outside.
 *
 * Connecting is not walled by port: a reload may name a next hop on a new port, and a wall cannot
 * be opened again. The structures are our own because the kernel's header of Debian 12 ends before
 * them; the kernel takes each as long as its version of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "system/sandbox-internal.h"

struct ruleset {
    uint64_t files;
    uint64_t net;    /* from SANDBOX_ABI_TCP on */
    uint64_t scoped; /* from SANDBOX_ABI_SCOPES on */
};

struct port_rule {
    uint64_t allowed;
    uint64_t port;
};

enum {
    FILE_TRUNCATE = 1U << 14,
    FILE_DEVICE_CALLS = 1U << 15,
    NET_BIND_TCP = 1U << 0,
    RULE_PORT = 2,
    SCOPE_ABSTRACT_SOCKETS = 1U << 0,
    SCOPE_SIGNALS = 1U << 1,
};

static const uint64_t files_first =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
    LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
    LANDLOCK_ACCESS_FS_MAKE_SYM;

/* What the spool does with its files; moving between folders is not in it. */
static const uint64_t files_of_spool =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | FILE_TRUNCATE;

static struct ruleset handled(int abi, size_t *ret_size)
{
    struct ruleset all = {.files = files_first | LANDLOCK_ACCESS_FS_REFER | FILE_TRUNCATE |
                                   FILE_DEVICE_CALLS,
                          .net = NET_BIND_TCP,
                          .scoped = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS};

    *ret_size = abi >= SANDBOX_ABI_SCOPES ? sizeof(all)
                : abi >= SANDBOX_ABI_TCP  ? offsetof(struct ruleset, scoped)
                                          : offsetof(struct ruleset, net);
    if (abi < SANDBOX_ABI_DEVICES) {
        all.files &= ~(uint64_t)FILE_DEVICE_CALLS;
    }
    if (abi < SANDBOX_ABI_TRUNCATE) {
        all.files &= ~(uint64_t)FILE_TRUNCATE;
    }
    if (abi < 2) {
        all.files &= ~(uint64_t)LANDLOCK_ACCESS_FS_REFER;
    }
    return all;
}

static int allow_path(int rules, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access,
                                              .parent_fd = open(path, O_PATH | O_CLOEXEC)};
    int error = 0;

    if (rule.parent_fd < 0) {
        return -errno;
    }
    if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
        error = -errno;
    }
    close(rule.parent_fd);
    return error;
}

/* A next hop may be reached from an address of our choice; the port is then the kernel's choice. */
static int allow_any_port(int rules)
{
    struct port_rule rule = {.allowed = NET_BIND_TCP, .port = 0};

    return syscall(SYS_landlock_add_rule, rules, RULE_PORT, &rule, 0) == 0 ? 0 : -errno;
}

static int add_rules(int rules, const struct ruleset *all, const struct sandbox_settings *settings,
                     int abi)
{
    int error = allow_path(rules, settings->folder, files_of_spool & all->files);

    if (error == 0 && settings->readable) {
        /* If it is not there, its reader will say so in better words. */
        (void)allow_path(rules, settings->readable, LANDLOCK_ACCESS_FS_READ_FILE);
    }
    if (error == 0 && abi >= SANDBOX_ABI_TCP) {
        error = allow_any_port(rules);
    }
    return error;
}

int sandbox_files_version(const struct sandbox_settings *settings)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    if (abi < 0) {
        return -errno;
    }
    return settings->landlock_most > 0 && abi > settings->landlock_most ? settings->landlock_most
                                                                        : (int)abi;
}

int sandbox_files_enter(const struct sandbox_settings *settings, int abi)
{
    size_t size = 0;
    struct ruleset all = handled(abi, &size);
    int rules = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
    int error;

    if (rules < 0) {
        return -errno;
    }
    error = add_rules(rules, &all, settings, abi);
    if (error == 0 && syscall(SYS_landlock_restrict_self, rules, 0) != 0) {
        error = -errno;
    }
    close(rules);
    return error;
}
