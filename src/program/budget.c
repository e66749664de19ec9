#include "program/budget.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/budget.h"
#include "system/machine.h"

enum { MIB = 1024 * 1024, TEXT_BYTES = 1024, FENCE_BYTES = 256 * MIB };

static void say(const struct config *config, struct log *log)
{
    struct config_memory memory = config_memory_ceiling(config);
    uint64_t machine_bytes = machine_memory_bytes();
    bool is_high = machine_bytes > 0 && memory.total_bytes > machine_bytes;
    struct buffer text;

    buffer_init(&text, TEXT_BYTES);
    config_memory_write(&memory, &text);
    LOG_EVENT(log, is_high ? LOG_WARNING : LOG_INFO, "memory ceiling",
              log_text("is", buffer_span(&text)),
              log_number("machine_mib", (int64_t)(machine_bytes / MIB)),
              log_string("remedy", is_high ? "the machine has less: lower the limits that the "
                                             "largest parts come from"
                                           : NULL));
    buffer_done(&text);
}

void program_budget_print(const struct config *config)
{
    struct config_memory memory = config_memory_ceiling(config);
    uint64_t machine_bytes = machine_memory_bytes();
    struct buffer text;

    buffer_init(&text, TEXT_BYTES);
    config_memory_write(&memory, &text);
    printf("memory ceiling %.*s\n", (int)buffer_size(&text), (const char *)buffer_span(&text).data);
    if (machine_bytes > 0 && memory.total_bytes > machine_bytes) {
        printf("warning: this machine has %llu MiB\n", (unsigned long long)(machine_bytes / MIB));
    }
    buffer_done(&text);
}

void program_budget_enforce(const struct config *config, struct log *log, int pid)
{
    uint64_t ceiling = config_memory_ceiling(config).total_bytes;
    uint64_t most = ceiling < UINT64_MAX / 2 ? ceiling + ceiling / 4 + FENCE_BYTES : UINT64_MAX;
    int error = machine_limit_memory(pid, most);

    say(config, log);
    if (error != 0) {
        LOG_EVENT(log, LOG_WARNING, "memory is not limited",
                  log_string("error", strerrordesc_np(-error)));
    }
}

bool program_budget_fit(struct config *config, struct log *log, size_t descriptors)
{
    struct config_descriptors found;

    if (!config_fit_descriptors(config, descriptors, &found)) {
        LOG_EVENT(log, LOG_ERROR, "too few descriptors",
                  log_number("available", (int64_t)descriptors),
                  log_string("remedy", "raise LimitNOFILE, ulimit -n"));
        return false;
    }
    LOG_EVENT(
        log, found.is_lowered ? LOG_WARNING : LOG_INFO, "descriptors",
        log_number("available", found.available), log_number("clients", found.clients),
        log_number("deliveries", found.deliveries), log_number("segments", found.segments),
        log_number("queries", found.queries), log_number("own", found.fixed),
        log_string("remedy", found.is_lowered
                                 ? "limits were lowered to these: raise LimitNOFILE, ulimit -n"
                                 : NULL));
    return true;
}
