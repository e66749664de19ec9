#include "program/walls.h"

#include <string.h>

#include "system/sandbox.h"

static bool say(struct log *log, bool is_master, const struct sandbox_walls *walls, int error)
{
    /* An older kernel's smaller walls are no news; none at all are. */
    enum log_level level =
        walls->calls && (walls->landlock_abi > 0 || is_master) ? LOG_INFO : LOG_WARNING;

    LOG_EVENT(log, error != 0 ? LOG_ERROR : level, "sandbox",
              log_string("of", is_master ? "master" : "worker"),
              log_string("walls", walls->standing), log_string("missing", walls->missing),
              log_string("error", error != 0 ? strerrordesc_np(-error) : NULL));
    return error == 0;
}

bool program_walls_master(struct log *log)
{
    struct sandbox_walls walls;
    int error = sandbox_enter_master(&walls);

    return say(log, true, &walls, error);
}

bool program_walls_worker(struct log *log, const struct config *config)
{
    const struct sandbox_settings settings = {.folder = config->spool_path,
                                              .readable = config->dns.trust_anchor};
    struct sandbox_walls walls;
    int error = sandbox_enter(&settings, &walls);

    return say(log, false, &walls, error);
}
