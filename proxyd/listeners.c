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

/* The port of an IP address, in the net's byte order; 0: it has none. */
static in_port_t
port_of(const struct address *a)
{
	return a->u.sa.sa_family == AF_INET ? a->u.in4.sin_port : a->u.sa.sa_family == AF_INET6 ? a->u.in6.sin6_port : 0;
}

/* bound is what a request for the address would have become. */
static bool
fits(const struct address *configured, const struct address *bound)
{
	struct address wanted = *configured;

	if (port_of(configured) == 0 && configured->u.sa.sa_family == bound->u.sa.sa_family) {
		if (bound->u.sa.sa_family == AF_INET)
			wanted.u.in4.sin_port = bound->u.in4.sin_port;
		else if (bound->u.sa.sa_family == AF_INET6)
			wanted.u.in6.sin6_port = bound->u.in6.sin6_port;
	}
	return same_address(&wanted, bound);
}

/* A socket of old that has the address and is not in out yet (port 0 may be configured several times); NULL: none. */
static const struct listener *
find_kept(const struct listeners *old, const struct listeners *out, const struct address *configured)
{
	for (size_t i = 0; old && i < old->n; i++) {
		const struct listener *l = &old->items[i];
		bool same = old->inherited ? fits(configured, &l->bound) : same_address(&l->configured, configured);
		if (same && !has_fd(out, out->n, l->fd))
			return l;
	}
	return NULL;
}

/* Whether sockets of l may share their port with another of ours. Without it two sockets of one port exclude each other when either has all addresses; with it on both, the
 * kernel gives a connection to the one whose address is the more exact. */
static bool
share_port(const struct listeners *l, in_port_t port, int on)
{
	bool any = false;

	for (size_t i = 0; l && i < l->n; i++)
		if (port && port_of(&l->items[i].bound) == port)
			any |= setsockopt(l->items[i].fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0;
	return any;
}

static enum err
bind_one(struct listener *l, const struct listeners *old)
{
	in_port_t port = port_of(&l->configured);
	enum err e = address_bind(&l->configured, SOCKET_MODE, false, &l->fd);

	if (!e || errno != EADDRINUSE || !share_port(old, port, 1))
		return e;
	e = address_bind(&l->configured, SOCKET_MODE, true, &l->fd);
	if (e) {
		int code = errno;
		share_port(old, port, 0);
		errno = code;
	}
	return e;
}

static enum err
open_one(const struct address *configured, const struct listeners *old, struct listeners *out)
{
	struct listener *l = &out->items[out->n];
	const struct listener *kept = find_kept(old, out, configured);

	if (kept) {
		*l = *kept;
		l->configured = *configured;
		out->n++;
		return OK;
	}
	*l = (struct listener){ .configured = *configured };
	enum err e = bind_one(l, old);
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

/* errno is why. */
static enum err
refuse(const struct proxyd_config *c, size_t i, struct config_error *e)
{
	const struct proxyd_listen *listen = c->listen.items;
	bool admin = i >= c->listen.n;
	const struct address *a = admin ? &c->admin.address : &listen[i].address;
	const char *why = strerrordesc_np(errno);
	char text[ADDRESS_TEXT_MAX], key[64] = "admin.address";

	if (!admin)
		snprintf(key, sizeof(key), "listen[%zu].address", i);
	config_error_set(e, c->file, admin ? c->admin.line : listen[i].line, key, "cannot listen on %s: %s", address_format(a, text), why);
	return E_SYSTEM;
}

enum err
listeners_open(const struct proxyd_config *c, const struct listeners *old, struct listeners *out, struct config_error *e)
{
	const struct proxyd_listen *listen = c->listen.items;
	struct listeners found = { .n = 0 };
	enum err err = OK;

	for (size_t i = 0; i < c->listen.n && !err; i++)
		if (open_one(&listen[i].address, old, &found))
			err = refuse(c, i, e);
	if (!err && c->admin.address_text) {
		if (open_one(&c->admin.address, old, &found))
			err = refuse(c, c->listen.n, e);
		found.admin = true;
	}
	if (err)
		listeners_close(&found, old);
	else
		*out = found;
	return err;
}

enum err
listeners_listen(struct listeners *l, const struct proxyd_config *c, struct config_error *e)
{
	for (size_t i = 0; i < l->n; i++) {
		if (!l->items[i].listening && listen(l->items[i].fd, BACKLOG) < 0)
			return refuse(c, i, e);
		l->items[i].listening = true;
	}
	return OK;
}

void
listeners_close(struct listeners *l, const struct listeners *kept)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct listener *one = &l->items[i];
		if (has_fd(kept, kept ? kept->n : 0, one->fd))
			continue;
		close(one->fd);
		/* Whichever of two that overlapped goes: the other has its port for itself again. */
		share_port(kept, port_of(&one->bound), 0);
	}
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
