#include "program/log_file.h"

#include <string.h>

#include "program/link.h"
#include "system/file.h"
#include "system/listener.h"

int program_log_file_open(const struct config *config)
{
    return config->log_path ? file_append_open(config->log_path) : LOG_STDERR;
}

void program_log_file_forget(int descriptor)
{
    if (descriptor != LOG_STDERR) {
        listener_forget(descriptor);
    }
}

void program_log_file_rotate(const struct config *config, struct log *log, int socket)
{
    int descriptor = program_log_file_open(config);

    if (descriptor < 0) {
        LOG_EVENT(log, LOG_ERROR, "log not reopened", log_string("file", config->log_path),
                  log_string("error", strerrordesc_np(-descriptor)));
        return;
    }
    (void)program_link_send(socket, PROGRAM_LINK_ROTATE, &descriptor, 1);
    log_reopen(log, descriptor, config->log_format, config->log_level);
}
