/*
 * file: whole small files (configuration, tables). Not for the spool.
 */
#ifndef SYSTEM_FILE_H
#define SYSTEM_FILE_H

#include "base/buffer.h"

/* Reads the whole of a regular file to the end of `buffer` (its limit stands: -EFBIG). 0 or -errno.
 */
int file_read(const char *path, struct buffer *buffer);
/* The same from an open one, from its beginning. */
int file_read_descriptor(int descriptor, struct buffer *buffer);

/*
 * A file in memory, for another process to read: made (descriptor or -errno, close-on-exec), filled
 * from its beginning (0 or -errno), then sealed: nobody can change it any more. 0 or -errno.
 */
int file_memory(void);
int file_write(int descriptor, struct span bytes);
int file_seal(int descriptor);

/*
 * Opens for appending, made with mode 0640; descriptor or -errno. As root, and if another user can
 * write anywhere on the way to it: -ELOOP for a symbolic link on the way or in its place, -EMLINK
 * for a file with a second name, -EINVAL for what is no file.
 */
int file_append_open(const char *path);

/*
 * Makes the folder with mode 0700 if it is missing, and its name safe on disk; as root, gives it to
 * `user` (NULL: keeps it), with the same care for links. What is there already stays as it is. 0 or
 * -errno.
 */
int file_make_folder(const char *path, const char *user);

#endif
