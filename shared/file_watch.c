#include "shared/file_watch.h"

#include <stdlib.h>
#include <string.h>
#include "shared/file.h"

struct file_watched {
	char *path;
	struct file_stamp noted, last;
};

/* A file that is not there has a stamp as well: of no file. */
static struct file_stamp
stamp_of(const char *path)
{
	struct file_stamp stamp;
	enum err e = file_stamp(path, &stamp);

	(void)e;
	return stamp;
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
		struct file_stamp now = stamp_of(f->path);
		if (!file_stamp_same(&now, &f->last))
			at_rest = false;
		f->last = now;
		if (!changed && !file_stamp_same(&now, &f->noted))
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
		struct file_stamp now = stamp_of(w->items[i].path);
		if (!file_stamp_same(&now, &w->items[i].noted))
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
