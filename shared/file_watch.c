#include "shared/file_watch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct stamp {
	dev_t device;
	ino_t inode; /* 0: there is no such file, or it cannot be reached */
	off_t size;
	struct timespec changed; /* ctime: unlike mtime nobody can set it back */
};

struct file_watched {
	char *path;
	struct stamp noted, last;
};

static struct stamp
stamp_of(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return (struct stamp){ .inode = 0 };
	return (struct stamp){ st.st_dev, st.st_ino, st.st_size, st.st_ctim };
}

static bool
is_same(const struct stamp *a, const struct stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
		a->changed.tv_nsec == b->changed.tv_nsec;
}

enum err
file_watch_note(struct file_watch *w, const char *path)
{
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(w->items[i].path, path) == 0)
			return OK;
	if (w->n == w->max) {
		size_t max = w->max ? w->max * 2 : 8;
		struct file_watched *items = realloc(w->items, max * sizeof(*items));
		if (!items)
			return E_NOMEM;
		w->items = items;
		w->max = max;
	}
	struct file_watched *f = &w->items[w->n];
	f->path = strdup(path);
	if (!f->path)
		return E_NOMEM;
	f->noted = f->last = stamp_of(path);
	w->n++;
	return OK;
}

const char *
file_watch_look(struct file_watch *w)
{
	const char *changed = NULL;
	bool at_rest = true;

	for (size_t i = 0; i < w->n; i++) {
		struct file_watched *f = &w->items[i];
		struct stamp now = stamp_of(f->path);
		if (!is_same(&now, &f->last))
			at_rest = false;
		f->last = now;
		if (!changed && !is_same(&now, &f->noted))
			changed = f->path;
	}
	if (!at_rest)
		w->said = false;
	if (!at_rest || !changed || w->said)
		return NULL;
	w->said = true;
	return changed;
}

bool
file_watch_differs(const struct file_watch *w)
{
	for (size_t i = 0; i < w->n; i++) {
		struct stamp now = stamp_of(w->items[i].path);
		if (!is_same(&now, &w->items[i].noted))
			return true;
	}
	return false;
}

void
file_watch_fini(struct file_watch *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->items[i].path);
	free(w->items);
	*w = (struct file_watch){ .n = 0 };
}
