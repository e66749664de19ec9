/*
 * replay FOLDER...: gives a fuzz target every file of its corpus, once. Any compiler will do. Fails
 * if a folder holds nothing: a replay of nothing shows nothing.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/require.h"

enum { PATH_BYTES = 4096, FILE_BYTES = 1 << 24, PIECE_BYTES = 65536 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool replay_file(const char *path)
{
    uint8_t piece[PIECE_BYTES];
    struct buffer content;
    size_t got;
    FILE *file = fopen(path, "rb");

    if (file == NULL) {
        perror(path);
        return false;
    }
    buffer_init(&content, FILE_BYTES);
    while ((got = fread(piece, 1, sizeof(piece), file)) > 0) {
        require(buffer_append(&content, span_of(piece, got)));
    }
    (void)fclose(file);
    /* Exactly as large as the input, so that reading behind it is noticed. */
    size_t size = buffer_size(&content);
    uint8_t *exact = malloc(size + (size == 0));
    if (exact == NULL) {
        require_memory_failed();
    }
    if (size > 0) {
        memcpy(exact, buffer_span(&content).data, size);
    }
    buffer_done(&content);
    (void)fprintf(stderr, "%s\n", path); /* the last one printed is the one that failed */
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return true;
}

static unsigned replay_folder(const char *folder)
{
    struct dirent **entries;
    unsigned done = 0;
    int count = scandir(folder, &entries, NULL, alphasort);

    for (int i = 0; i < count; i++) {
        char path[PATH_BYTES];

        (void)snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && replay_file(path)) {
            done++;
        }
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
    return done;
}

int main(int count, char **arguments)
{
    bool is_good = count > 1;

    for (int i = 1; i < count; i++) {
        unsigned done = replay_folder(arguments[i]);

        (void)printf("%s: %u inputs\n", arguments[i], done);
        is_good = is_good && done > 0;
    }
    return is_good ? 0 : 1;
}
