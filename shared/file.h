/* file.h - whole files. */
#ifndef SHARED_FILE_H
#define SHARED_FILE_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>
#include "shared/arena.h"
#include "shared/buf.h"

/* Append the file's bytes to *out (bounded by bytes_max). E_SYSTEM (errno), E_LIMIT, E_NOMEM. Refuses directories and fifos. */
MUST_CHECK enum err file_read(const char *path, size_t bytes_max, struct buf *out);
/* Write a new file beside path with the mode, fsync it, rename it over path, fsync the folder. E_SYSTEM (errno). */
MUST_CHECK enum err file_write_atomic(const char *path, struct slice bytes, mode_t mode);

/* What tells one state of a file from another without reading it. ctime: unlike mtime nobody can set it back. Symbolic links are followed. */
struct file_stamp { /* zeroed: no state of any file */
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
};
/* E_SYSTEM (errno): there is no such file, or it cannot be reached; *out is zeroed. */
MUST_CHECK enum err file_stamp(const char *path, struct file_stamp *out);
bool file_stamp_same(const struct file_stamp *a, const struct file_stamp *b);

#endif
