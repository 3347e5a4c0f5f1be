/* file.h - whole files. */
#ifndef SHARED_FILE_H
#define SHARED_FILE_H

#include <sys/types.h>
#include "shared/arena.h"
#include "shared/buf.h"

/* Append the file's bytes to *out (bounded by bytes_max). E_SYSTEM (errno), E_LIMIT, E_NOMEM. Refuses directories and fifos. */
MUST_CHECK enum err file_read(const char *path, size_t bytes_max, struct buf *out);
/* Write a new file beside path with the mode, fsync it, rename it over path, fsync the folder. E_SYSTEM (errno). */
MUST_CHECK enum err file_write_atomic(const char *path, struct slice bytes, mode_t mode);

#endif
