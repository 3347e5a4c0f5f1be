/* file_watch.h - the files that something was read from, and whether they have changed since: by inode, size and time of change, so
 * that a file that is replaced, written to, or reached through another symbolic link (as kubelets swap them) counts.
 *
 * Owns: the paths. One thread. */
#ifndef SHARED_FILE_WATCH_H
#define SHARED_FILE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include "shared/err.h"

struct file_watched;
struct file_watch { /* zeroed: no files */
	struct file_watched *items;
	size_t n, max;
	bool said;
};

/* Call before path is read: what changes while it is read counts as a change. A path that is there already is not noted again. E_NOMEM. */
MUST_CHECK enum err file_watch_note(struct file_watch *w, const char *path);
/* To be called now and then. The path of a file that is not what it was when it was noted, once nothing has changed since the call before (so that files that
 * are replaced one after the other are seen together); the same state is returned once. NULL: nothing new. Lives as long as w. */
const char *file_watch_look(struct file_watch *w);
/* Some file is not what it was when it was noted, at this moment. */
bool file_watch_differs(const struct file_watch *w);
void file_watch_fini(struct file_watch *w);

#endif
