/*
 * letters FOLDER: what the spool in FOLDER holds after a crash, for the experiment that replays
 * block writes. Opens the spool as the relay does at its start, writes to its standard output
 *
 *   recovered TORN_BYTES DAMAGED_RECORDS DAMAGED_MESSAGES TOOK_MS
 *   letter OPEN_RECIPIENTS IS_DAMAGED SIZE, and behind it SIZE octets of content, for each message
 *   end
 *
 * and closes the spool in good order.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "spool/spool.h"
#include "system/disk.h"
#include "system/loop.h"

struct letters {
    struct loop *loop;
    struct disk *disk;
    struct spool *spool;
    struct spool_reader *reader;
    struct spool_message *message; /* being read */
    size_t cursor;
    uint64_t written; /* of its content */
};

static void read_on(void *context);

static void spool_closed(void *context)
{
    struct letters *letters = context;

    loop_stop(letters->loop);
}

static void open_next(struct letters *letters)
{
    letters->message = spool_next(letters->spool, &letters->cursor);
    if (letters->message == NULL) {
        (void)printf("end\n");
        spool_close(letters->spool, spool_closed, letters);
        return;
    }
    (void)printf("letter %" PRIu32 " %d %" PRIu64 "\n", spool_message_open(letters->message),
                 spool_message_is_damaged(letters->message), spool_message_size(letters->message));
    letters->written = 0;
    letters->reader = spool_reader_open(letters->spool, letters->message, read_on, letters);
}

/* The size was promised: what cannot be read is zeros, which no letter has. */
static void end_letter(struct letters *letters)
{
    for (; letters->written < spool_message_size(letters->message); letters->written++) {
        (void)putchar('\0');
    }
    spool_reader_close(letters->reader);
    letters->reader = NULL;
}

static void read_on(void *context)
{
    struct letters *letters = context;

    if (letters->message == NULL) {
        open_next(letters);
    }
    while (letters->message != NULL) {
        struct span chunk;
        enum spool_read read = spool_reader_next(letters->reader, &chunk);

        if (read == SPOOL_READ_WAIT) {
            return;
        }
        if (read == SPOOL_READ_CHUNK) {
            (void)fwrite(chunk.data, 1, chunk.size, stdout);
            letters->written += chunk.size;
            continue;
        }
        end_letter(letters);
        open_next(letters);
    }
}

static int run(struct letters *letters, const char *folder)
{
    const struct spool_settings settings = {.segment_bytes = 1 << 20,
                                            .memory_bytes = 1 << 20,
                                            .unwritten_bytes = 1 << 20,
                                            .mark_delay_ms = 100};
    struct spool_recovery found = {0};
    struct loop_task start;
    int error = disk_open(letters->loop, folder, &letters->disk);

    if (error == 0) {
        error = spool_open(letters->loop, letters->disk, &settings, &letters->spool, &found);
    }
    if (error != 0) {
        (void)fprintf(stderr, "letters: %s: %s\n", folder, strerrordesc_np(-error));
        return 1;
    }
    (void)printf("recovered %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 "\n", found.torn_bytes,
                 found.damaged_records, found.damaged_messages, found.took_ms);
    loop_task_init(&start, read_on, letters);
    loop_soon(letters->loop, &start);
    loop_run(letters->loop);
    disk_close(letters->disk);
    return fflush(stdout) == 0 ? 0 : 1;
}

int main(int count, char **arguments)
{
    struct letters letters = {0};
    int code;

    if (count != 2) {
        (void)fprintf(stderr, "usage: letters FOLDER\n");
        return 2;
    }
    letters.loop = loop_new();
    code = run(&letters, arguments[1]);
    loop_free(letters.loop);
    return code;
}
