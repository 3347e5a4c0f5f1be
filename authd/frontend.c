#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "authd/frontend.h"
#include "shared/file.h"

struct reading {
	struct arena *arena;
	struct frontend_files *out;
	size_t bytes;
	char *why;
	size_t why_n;
};

static enum err
say(const struct reading *r, enum err e, const char *path, const char *what)
{
	snprintf(r->why, r->why_n, "%s: %s", path, what);
	return e;
}

/* What a browser is told a file is; it does not guess (nosniff). */
static const char *
content_type_of(const char *name)
{
	static const char *const types[][2] = { { ".css", "text/css; charset=utf-8" }, { ".html", "text/html; charset=utf-8" },
		{ ".js", "text/javascript; charset=utf-8" }, { ".svg", "image/svg+xml" }, { ".png", "image/png" }, { ".jpg", "image/jpeg" },
		{ ".jpeg", "image/jpeg" }, { ".gif", "image/gif" }, { ".webp", "image/webp" }, { ".ico", "image/x-icon" }, { ".woff", "font/woff" },
		{ ".woff2", "font/woff2" }, { ".ttf", "font/ttf" }, { ".otf", "font/otf" }, { ".txt", "text/plain; charset=utf-8" },
		{ ".json", "application/json" }, { ".map", "application/json" } };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		size_t n = strlen(types[i][0]), name_n = strlen(name);
		if (name_n > n && slice_eq_nocase(slice_of(name + name_n - n, n), slice_str(types[i][0])))
			return types[i][1];
	}
	return "application/octet-stream";
}

static enum err
take_file(struct reading *r, const char *from, const char *as)
{
	struct frontend_file *f = &r->out->items[r->out->n];
	struct buf bytes;
	enum err e;

	if (r->out->n == FRONTEND_FILES_MAX)
		return say(r, E_LIMIT, from, "there are more files than the 256 that may be there");
	buf_init(&bytes, FRONTEND_FILE_BYTES_MAX);
	e = file_read(from, FRONTEND_FILE_BYTES_MAX, &bytes);
	if (e == E_SYSTEM)
		say(r, e, from, strerrordesc_np(errno));
	else if (e == E_LIMIT)
		say(r, e, from, "it is larger than 2 MiB");
	r->bytes += bytes.n;
	if (e == OK && r->bytes > FRONTEND_BYTES_MAX)
		e = say(r, E_LIMIT, from, "the files are larger than 16 MiB together");
	*f = (struct frontend_file){ arena_strdup(r->arena, as), content_type_of(as), SLICE_NONE };
	if (e == OK && (f->bytes = arena_slice(r->arena, buf_slice(&bytes))).p && f->path)
		r->out->n++;
	else if (e == OK)
		e = E_NOMEM;
	buf_fini(&bytes);
	return e;
}

static enum err take_folder(struct reading *r, const char *from, const char *as, unsigned depth);

static enum err
take_entry(struct reading *r, const char *from, const char *as, unsigned depth)
{
	struct stat st;

	if (stat(from, &st) != 0)
		return say(r, E_SYSTEM, from, strerrordesc_np(errno));
	if (S_ISREG(st.st_mode))
		return take_file(r, from, as);
	if (!S_ISDIR(st.st_mode))
		return say(r, E_FORMAT, from, "it is neither a file nor a folder");
	return depth ? take_folder(r, from, as, depth - 1) : say(r, E_LIMIT, from, "too many folders in one another");
}

static int
visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

/* In the order of their names, so that two starts are alike. */
static enum err
take_folder(struct reading *r, const char *from, const char *as, unsigned depth)
{
	struct dirent **names;
	int n = scandir(from, &names, visible, alphasort);
	enum err e = OK;

	if (n < 0)
		return errno == ENOMEM ? E_NOMEM : say(r, E_SYSTEM, from, strerrordesc_np(errno));
	for (int i = 0; i < n; i++) {
		char *path = NULL, *name = NULL;
		if (e == OK && (asprintf(&path, "%s/%s", from, names[i]->d_name) < 0 || asprintf(&name, "%s/%s", as, names[i]->d_name) < 0))
			e = E_NOMEM;
		if (e == OK)
			e = take_entry(r, path, name, depth);
		free(path);
		free(name);
		free(names[i]);
	}
	free(names);
	return e;
}

static enum err
take_if_there(struct reading *r, const char *dir, const char *folder, const char *as)
{
	char *from;
	struct stat st;
	enum err e = OK;

	if (asprintf(&from, "%s/%s", dir, folder) < 0)
		return E_NOMEM;
	if (stat(from, &st) == 0)
		e = S_ISDIR(st.st_mode) ? take_folder(r, from, as, FRONTEND_DEPTH_MAX) : say(r, E_FORMAT, from, "it is no folder");
	else if (errno != ENOENT)
		e = say(r, E_SYSTEM, from, strerrordesc_np(errno));
	free(from);
	return e;
}

enum err
frontend_read(struct arena *arena, const char *dir, const char *theme, struct frontend_files *out, char *why, size_t why_n)
{
	struct reading r = { .arena = arena, .out = out, .why = why, .why_n = why_n };
	struct stat st;
	enum err e;

	*out = (struct frontend_files){ arena_alloc(arena, FRONTEND_FILES_MAX * sizeof(out->items[0])), 0 };
	if (!out->items)
		return E_NOMEM;
	if (stat(dir, &st) != 0)
		return say(&r, E_SYSTEM, dir, strerrordesc_np(errno));
	e = take_if_there(&r, dir, "static", "static");
	if (e == OK)
		e = take_if_there(&r, dir, "templates", "templates");
	if (e == OK && theme) {
		char *folder;
		if (asprintf(&folder, "themes/%s", theme) < 0)
			return E_NOMEM;
		e = take_if_there(&r, dir, folder, "theme");
		free(folder);
	}
	return e;
}

const struct frontend_file *
frontend_find(const struct frontend_files *f, const char *folder, struct slice name)
{
	size_t n = strlen(folder);

	for (size_t i = 0; i < f->n; i++)
		if (strncmp(f->items[i].path, folder, n) == 0 && slice_eq_str(name, f->items[i].path + n))
			return &f->items[i];
	return NULL;
}
