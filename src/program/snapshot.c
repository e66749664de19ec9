/*
 * The form, from one process of a program to another of the same program: for each file a struct
 * entry, its path, its bytes. The entry without a path has the addresses.
 */
#include "program/snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/require.h"
#include "config/config.h"
#include "program/program.h"
#include "system/file.h"
#include "system/listener.h"

enum {
    ADDRESSES = 256,
    SNAPSHOT_BYTES = 192 * 1024 * 1024, /* more than config/ ever reads */
};

struct entry {
    uint64_t path_size, size;
};

struct taking {
    int descriptor;
    int error; /* of the snapshot, not of a file */
};

static void put(struct taking *taking, struct span path, struct span bytes)
{
    struct entry entry = {.path_size = path.size, .size = bytes.size};
    const struct span parts[] = {span_of(&entry, sizeof(entry)), path, bytes};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && taking->error == 0; i++) {
        taking->error = file_write(taking->descriptor, parts[i]);
    }
}

static int read_and_keep(void *context, const char *path, struct buffer *buffer)
{
    size_t before = buffer_size(buffer);
    int error = file_read(path, buffer);

    if (error == 0) {
        struct span bytes = buffer_span(buffer);

        require(before == 0); /* each file has a buffer of its own */
        put(context, span_text(path), bytes);
    }
    return error;
}

static void put_addresses(struct taking *taking)
{
    struct ip addresses[ADDRESSES] = {0}; /* padding too: the bytes go to another process */
    int count = listener_machine_addresses(addresses, ADDRESSES);

    if (count > 0) {
        put(taking, (struct span){0}, span_of(addresses, (size_t)count * sizeof(addresses[0])));
    }
}

struct config *program_snapshot_take(const char *path, int *ret_descriptor)
{
    struct taking taking = {.descriptor = file_memory()};
    struct config *config;

    if (taking.descriptor < 0) {
        (void)fprintf(stderr, "openrelay: %s\n", strerrordesc_np(-taking.descriptor));
        return NULL;
    }
    config = program_load_from(path, (struct config_reader){read_and_keep, &taking});
    if (config) {
        put_addresses(&taking);
        if (taking.error == 0) {
            taking.error = file_seal(taking.descriptor);
        }
    }
    if (config && taking.error == 0) {
        *ret_descriptor = taking.descriptor;
        return config;
    }
    if (config) {
        (void)fprintf(stderr, "openrelay: no snapshot of %s: %s\n", path,
                      strerrordesc_np(-taking.error));
    }
    config_release(config);
    listener_forget(taking.descriptor);
    return NULL;
}

/* ---- The worker's side ---- */

static bool find(struct span rest, struct span path, struct span *ret_bytes)
{
    struct entry entry;

    while (rest.size >= sizeof(entry)) {
        struct span name, bytes;

        memcpy(&entry, rest.data, sizeof(entry));
        rest = span_of(rest.data + sizeof(entry), rest.size - sizeof(entry));
        if (entry.path_size > rest.size || entry.size > rest.size - entry.path_size) {
            return false;
        }
        name = span_of(rest.data, entry.path_size);
        bytes = span_of(rest.data + entry.path_size, entry.size);
        if (span_equal(name, path)) {
            *ret_bytes = bytes;
            return true;
        }
        rest = span_of(bytes.data + bytes.size, rest.size - name.size - bytes.size);
    }
    return false;
}

static int read_kept(void *context, const char *path, struct buffer *buffer)
{
    const struct buffer *snapshot = context;
    struct span bytes;

    if (!find(buffer_span(snapshot), span_text(path), &bytes)) {
        return -ENOENT;
    }
    return buffer_append(buffer, bytes) ? 0 : -EFBIG;
}

static void know_machine(struct config *config, struct span snapshot)
{
    struct ip addresses[ADDRESSES];
    struct span bytes;

    if (find(snapshot, (struct span){0}, &bytes) && bytes.size <= sizeof(addresses)) {
        memcpy(addresses, bytes.data, bytes.size);
        config_know_machine(config, addresses, bytes.size / sizeof(addresses[0]));
    }
}

struct config *program_snapshot_load(const char *path, int descriptor)
{
    struct config *config = NULL;
    struct buffer snapshot;
    int error;

    buffer_init(&snapshot, SNAPSHOT_BYTES);
    error = file_read_descriptor(descriptor, &snapshot);
    if (error == 0) {
        config = program_load_from(path, (struct config_reader){read_kept, &snapshot});
    } else {
        (void)fprintf(stderr, "openrelay: no snapshot of the configuration: %s\n",
                      strerrordesc_np(-error));
    }
    if (config) {
        know_machine(config, buffer_span(&snapshot));
    }
    buffer_done(&snapshot);
    return config;
}
