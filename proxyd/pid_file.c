#include <stdio.h>
#include <unistd.h>
#include "proxyd/pid_file.h"
#include "shared/file.h"

#define PID_TEXT_BYTES 16
#define PID_FILE_MODE 0644

static struct slice
text_of(pid_t pid, char out[PID_TEXT_BYTES])
{
	return slice_of(out, (size_t)snprintf(out, PID_TEXT_BYTES, "%d\n", (int)pid));
}

enum err
pid_file_write(const char *path, pid_t pid)
{
	char text[PID_TEXT_BYTES];

	return file_write_atomic(path, text_of(pid, text), PID_FILE_MODE);
}

void
pid_file_remove(const char *path, pid_t pid)
{
	char text[PID_TEXT_BYTES];
	struct buf found;

	buf_init(&found, 0);
	if (file_read(path, PID_TEXT_BYTES, &found) == OK && slice_eq(buf_slice(&found), text_of(pid, text)))
		unlink(path);
	buf_fini(&found);
}
