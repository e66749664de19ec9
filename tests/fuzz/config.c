/*
 * The configuration loader, with a file of any bytes. Octets 0x1f divide the input: the main file,
 * then the files "1", "2" ... that it may include or use as tables. What loads without an error is
 * shown, and what is shown loads again.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/require.h"
#include "config/config.h"

enum { PARTS = 8, SHOWN_BYTES = 64 * 1024 * 1024 };

struct parts {
    struct span all[PARTS];
    size_t count;
};

/* What read_part finds: the loader's reader has no context of its own. */
static struct parts *parts_now(void)
{
    static struct parts parts;
    return &parts;
}

static int read_part(const char *path, struct buffer *buffer)
{
    const struct parts *parts = parts_now();
    size_t index = (size_t)(path[0] - '0');

    if (path[0] < '0' || path[1] != '\0' || index >= parts->count) {
        return -ENOENT;
    }
    return buffer_append(buffer, parts->all[index]) ? 0 : -EFBIG;
}

static void split(struct span input)
{
    struct parts *parts = parts_now();
    size_t at;

    parts->count = 0;
    while (parts->count < PARTS - 1 && span_find(input, 0x1f, &at)) {
        parts->all[parts->count++] = span_first(input, at);
        input = span_from(input, at + 1);
    }
    parts->all[parts->count++] = input;
}

static struct config *load(void)
{
    struct config_diagnostics *diagnostics = config_diagnostics_new();
    struct config *config = config_load("0", read_part, diagnostics);
    struct buffer out;

    require((config == NULL) == (config_diagnostics_errors(diagnostics) > 0));
    buffer_init(&out, SHOWN_BYTES);
    config_diagnostics_write(diagnostics, &out);
    buffer_done(&out);
    config_diagnostics_free(diagnostics);
    return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config;
    struct buffer shown;

    split(span_of(data, size));
    config = load();
    if (config != NULL) {
        buffer_init(&shown, SHOWN_BYTES);
        config_show(config, &shown);
        config_release(config);
        parts_now()->all[0] = buffer_span(&shown);
        config = load();
        require(config != NULL);
        config_release(config);
        buffer_done(&shown);
    }
    return 0;
}
