#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "proxyd/listeners.h"

#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */
#define SOCKET_MODE 0660

static bool
same_address(const struct address *a, const struct address *b)
{
	return a->len == b->len && memcmp(&a->u, &b->u, a->len) == 0;
}

static bool
has_fd(const struct listeners *l, size_t n, int fd)
{
	for (size_t i = 0; l && i < n; i++)
		if (l->items[i].fd == fd)
			return true;
	return false;
}

/* A socket of old that has the address and is not in out yet (port 0 may be configured several times); NULL: none. */
static const struct listener *
find_kept(const struct listeners *old, const struct listeners *out, const struct address *configured)
{
	for (size_t i = 0; old && i < old->n; i++)
		if (same_address(&old->items[i].configured, configured) && !has_fd(out, out->n, old->items[i].fd))
			return &old->items[i];
	return NULL;
}

static enum err
open_one(const struct address *configured, const struct listeners *old, struct listeners *out)
{
	struct listener *l = &out->items[out->n];
	const struct listener *kept = find_kept(old, out, configured);

	if (kept) {
		*l = *kept;
		out->n++;
		return OK;
	}
	*l = (struct listener){ .configured = *configured };
	enum err e = address_listen(configured, SOCKET_MODE, BACKLOG, &l->fd);
	if (e)
		return e;
	l->bound.len = sizeof(l->bound.u);
	if (getsockname(l->fd, &l->bound.u.sa, &l->bound.len) < 0) {
		int code = errno;
		close(l->fd);
		errno = code;
		return E_SYSTEM;
	}
	out->n++;
	return OK;
}

enum err
listeners_open(const struct proxyd_config *c, const struct listeners *old, struct listeners *out, struct config_error *e)
{
	const struct proxyd_listen *listen = c->listen.items;
	struct listeners found = { .n = 0 };
	char text[ADDRESS_TEXT_MAX], key[64] = "admin.address";
	enum err err = OK;

	for (size_t i = 0; i < c->listen.n && !err; i++) {
		err = open_one(&listen[i].address, old, &found);
		if (!err)
			continue;
		snprintf(key, sizeof(key), "listen[%zu].address", i);
		config_error_set(e, c->file, listen[i].line, key, "cannot listen on %s: %s", address_format(&listen[i].address, text),
			err == E_SYSTEM ? strerrordesc_np(errno) : err_name(err));
	}
	if (!err && c->admin.address_text) {
		err = open_one(&c->admin.address, old, &found);
		found.admin = true;
		if (err)
			config_error_set(e, c->file, c->admin.line, key, "cannot listen on %s: %s", address_format(&c->admin.address, text),
				err == E_SYSTEM ? strerrordesc_np(errno) : err_name(err));
	}
	if (err)
		listeners_close(&found, old);
	else
		*out = found;
	return err;
}

void
listeners_close(struct listeners *l, const struct listeners *kept)
{
	for (size_t i = 0; i < l->n; i++)
		if (!has_fd(kept, kept ? kept->n : 0, l->items[i].fd))
			close(l->items[i].fd);
	l->n = 0;
	l->admin = false;
}

int
listeners_admin_fd(const struct listeners *l)
{
	return l->admin ? l->items[l->n - 1].fd : -1;
}

void
listeners_print(const struct listeners *l, struct buf *out)
{
	char text[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < l->n - l->admin; i++)
		buf_printf(out, "%s%s", i ? "," : "", address_format(&l->items[i].bound, text));
}
