/*
 * file: whole small files (configuration, tables). Not for the spool.
 */
#ifndef SYSTEM_FILE_H
#define SYSTEM_FILE_H

#include "base/buffer.h"

/* Reads the whole of a regular file to the end of `buffer` (its limit stands: -EFBIG). 0 or -errno.
 */
int file_read(const char *path, struct buffer *buffer);
/* Opens for appending, made with mode 0640; descriptor or -errno. */
int file_append_open(const char *path);

/*
 * Makes the folder with mode 0700 if it is missing; as root, gives it to `user` (NULL: keeps it). 0
 * or -errno.
 */
int file_make_folder(const char *path, const char *user);

#endif
