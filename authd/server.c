#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "authd/server_internal.h"
#include "shared/address.h"
#include "shared/log.h"

#define SERVER_CONNECTION_MEMORY (32u * 1024) /* head of a request and of its answer; a longer head is libmicrohttpd's own 431 */

bool
server_enter(struct server *s)
{
	bool go_on;

	pthread_mutex_lock(&s->lock);
	go_on = !s->stopped;
	s->live += go_on;
	pthread_mutex_unlock(&s->lock);
	return go_on;
}

void
server_leave(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	if (--s->live == 0)
		pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
}

/* ---- connections ---- */

static void
connection_add(struct listener *l, struct MHD_Connection *mhd, void **context)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct connection *c = calloc(1, sizeof *c);

	*context = c;
	if (!c)
		return;
	c->fd = info ? info->connect_fd : -1;
	atomic_store(&c->due_ms, server_now_ms(l->server) + SERVER_HEAD_MS);
	pthread_mutex_lock(&l->lock);
	c->next = l->connections;
	if (c->next)
		c->next->prev = c;
	l->connections = c;
	pthread_mutex_unlock(&l->lock);
	atomic_fetch_add(&l->connection_n, 1);
}

/* libmicrohttpd tells before it closes the descriptor, so that whoever holds the lock sees open ones only. */
static void
connection_remove(struct listener *l, void **context)
{
	struct connection *c = *context;

	if (!c)
		return;
	*context = NULL;
	pthread_mutex_lock(&l->lock);
	if (c->prev)
		c->prev->next = c->next;
	else
		l->connections = c->next;
	if (c->next)
		c->next->prev = c->prev;
	pthread_mutex_unlock(&l->lock);
	free(c);
	atomic_fetch_sub(&l->connection_n, 1);
}

static void
on_connection(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		connection_add(cls, mhd, context);
	else
		connection_remove(cls, context);
}

static void
connections_cut_slow(struct listener *l, uint64_t now_ms)
{
	pthread_mutex_lock(&l->lock);
	for (struct connection *c = l->connections; c; c = c->next) {
		uint64_t due_ms = atomic_load(&c->due_ms);
		if (due_ms && now_ms > due_ms && c->fd >= 0)
			shutdown(c->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&l->lock);
}

/* ---- listeners ---- */

static bool
is_unix(enum server_kind kind)
{
	return kind == SERVER_UNIX || kind == SERVER_CTL;
}

PRINTF_LIKE(2, 0)
static void
on_mhd_message(void *cls, const char *fmt, va_list ap)
{
	struct listener *l = cls;
	char text[sizeof l->error];
	int n = vsnprintf(text, sizeof text, fmt, ap);

	while (n > 0 && (size_t)n < sizeof text && (text[n - 1] == '\n' || text[n - 1] == '.'))
		text[--n] = 0;
	if (l->starting)
		memcpy(l->error, text, sizeof text);
	log_debug("libmicrohttpd", LOG_STR("said", text));
}

static void
listener_free(struct listener *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd);
	if (l->key_pem)
		OPENSSL_cleanse(l->key_pem, strlen(l->key_pem));
	free(l->address);
	free(l->cert_pem);
	free(l->key_pem);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static struct listener *
listener_new(struct server *s, const struct server_listen *want)
{
	struct listener *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	l->server = s;
	l->kind = want->kind;
	l->tls12_off = want->tls12_off;
	l->tls13_off = want->tls13_off;
	l->fd = -1;
	l->address = strdup(want->address);
	l->cert_pem = want->cert_pem ? strdup(want->cert_pem) : NULL;
	l->key_pem = want->key_pem ? strdup(want->key_pem) : NULL;
	if (l->address && (l->kind != SERVER_HTTPS || (l->cert_pem && l->key_pem)))
		return l;
	listener_free(l);
	return NULL;
}

/* "web.http: cannot listen on 127.0.0.1:80: Permission denied". Returns e. */
static enum err
cannot_listen(enum server_kind kind, const char *address, const char *reason, enum err e, char *why, size_t why_n)
{
	static const char *const keys[] = { [SERVER_UNIX] = "web.unix", [SERVER_HTTP] = "web.http", [SERVER_HTTPS] = "web.https", [SERVER_CTL] = "web.ctl",
		[SERVER_TELEMETRY] = "telemetry.http" };

	snprintf(why, why_n, "%s: cannot listen on %s: %s", keys[kind], address, reason);
	return e;
}

static enum err
listener_bind(struct listener *l, char *why, size_t why_n)
{
	struct address a;
	const char *expected = "";
	char text[sizeof a.u.un.sun_path + 8], reason[128];

	snprintf(text, sizeof text, "%s%s", is_unix(l->kind) ? "unix:" : "", l->address);
	if (address_parse_listen(slice_str(text), &a, &expected) != OK) {
		snprintf(reason, sizeof reason, "expected %s", expected);
		return cannot_listen(l->kind, l->address, reason, E_FORMAT, why, why_n);
	}
	if (address_listen(&a, l->kind == SERVER_CTL ? 0600 : 0660, 1024, &l->fd) == OK)
		return OK;
	return cannot_listen(l->kind, l->address, errno == ENOENT ? "its folder is not there" : strerrordesc_np(errno), E_SYSTEM, why, why_n);
}

/* l->fd is listening. libmicrohttpd gets a duplicate: it closes what it was given when it fails. */
static enum err
listener_start(struct listener *l, char *why, size_t why_n)
{
	static const char both[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", only13[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3",
			  only12[] = "NORMAL:-VERS-ALL:+VERS-TLS1.2";
	const char *versions = l->tls12_off ? only13 : l->tls13_off ? only12 : both;
	bool tls = l->kind == SERVER_HTTPS;
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0u);
	struct MHD_OptionItem tls_options[] = { { MHD_OPTION_HTTPS_MEM_CERT, 0, l->cert_pem }, { MHD_OPTION_HTTPS_MEM_KEY, 0, l->key_pem },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)versions }, { MHD_OPTION_END, 0, NULL } };
	int fd = dup(l->fd);

	if (fd < 0)
		return cannot_listen(l->kind, l->address, strerrordesc_np(errno), E_SYSTEM, why, why_n);
	l->starting = true;
	l->daemon = MHD_start_daemon(flags, 0, NULL, NULL, server_on_request, l, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_message, l, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_THREAD_POOL_SIZE, l->server->o.threads, MHD_OPTION_CONNECTION_LIMIT, (unsigned)SERVER_CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SERVER_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)SERVER_CONNECTION_MEMORY,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK, server_on_target, l, MHD_OPTION_NOTIFY_COMPLETED, server_on_completed, l,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, l, MHD_OPTION_ARRAY, tls ? tls_options : &tls_options[3], MHD_OPTION_END);
	l->starting = false;
	if (l->daemon)
		return OK;
	return cannot_listen(l->kind, l->address, l->error[0] ? l->error : "libmicrohttpd does not start", E_SYSTEM, why, why_n);
}

/* Accept no more; what is under way goes on. */
static void
listener_retire(struct listener *l)
{
	MHD_socket fd = l->daemon ? MHD_quiesce_daemon(l->daemon) : MHD_INVALID_SOCKET;

	if (fd != MHD_INVALID_SOCKET)
		close(fd);
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	atomic_store(&l->retired, true);
	l->next = l->server->retired;
	l->server->retired = l;
}

static bool
text_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool
listener_serves(const struct listener *l, enum server_kind kind, const char *address)
{
	return l->kind == kind && strcmp(l->address, address) == 0;
}

static struct listener *
serving_find(struct listener *const *set, size_t n, enum server_kind kind, const char *address)
{
	for (size_t i = 0; i < n; i++)
		if (listener_serves(set[i], kind, address))
			return set[i];
	return NULL;
}

/* *out: the old one when nothing about it changes, else a new one that serves already, beside the old one on the same socket. */
static enum err
listener_open(struct server *s, const struct server_listen *want, struct listener **out, char *why, size_t why_n)
{
	struct listener *old = serving_find(s->serving, s->serving_n, want->kind, want->address);
	struct listener *l;
	enum err e;

	*out = old;
	if (old && text_same(old->cert_pem, want->cert_pem) && text_same(old->key_pem, want->key_pem) && old->tls12_off == want->tls12_off &&
		old->tls13_off == want->tls13_off)
		return OK;
	l = listener_new(s, want);
	if (!l)
		return cannot_listen(want->kind, want->address, "out of memory", E_NOMEM, why, why_n);
	if (old)
		l->fd = dup(old->fd);
	e = l->fd >= 0 ? OK : listener_bind(l, why, why_n);
	if (e == OK)
		e = listener_start(l, why, why_n);
	if (e == OK) {
		*out = l;
		return OK;
	}
	if (l->fd >= 0 && is_unix(l->kind))
		unlink(l->address);
	listener_free(l);
	return e;
}

/* From one set of listeners to another; those of `from` that are not in `to` retire. */
static void
listeners_leave(struct listener *const *from, size_t from_n, struct listener *const *to, size_t to_n)
{
	for (size_t i = 0; i < from_n; i++) {
		struct listener *l = from[i];
		struct listener *heir = serving_find(to, to_n, l->kind, l->address);
		if (heir == l)
			continue;
		if (!heir && is_unix(l->kind))
			unlink(l->address);
		listener_retire(l);
	}
}

enum err
server_listen(struct server *s, const struct server_listen *want, size_t n, char *why, size_t why_n)
{
	struct listener *set[SERVER_LISTENERS_MAX];
	enum err e = n <= SERVER_LISTENERS_MAX ? OK : E_LIMIT;
	size_t i = 0;

	pthread_mutex_lock(&s->listeners_lock);
	while (e == OK && i < n) {
		e = listener_open(s, &want[i], &set[i], why, why_n);
		i += e == OK;
	}
	if (e == OK) {
		listeners_leave(s->serving, s->serving_n, set, n);
		memcpy(s->serving, set, n * sizeof set[0]);
		s->serving_n = n;
	} else {
		listeners_leave(set, i, s->serving, s->serving_n);
	}
	pthread_mutex_unlock(&s->listeners_lock);
	return e;
}

void
server_addresses(struct server *s, bool for_operators, struct buf *out)
{
	size_t before = out->n;

	pthread_mutex_lock(&s->listeners_lock);
	for (size_t i = 0; i < s->serving_n; i++) {
		const struct listener *l = s->serving[i];
		struct address a = { .len = sizeof a.u };
		char text[ADDRESS_TEXT_MAX] = "";
		if (for_operators != (l->kind == SERVER_CTL || l->kind == SERVER_TELEMETRY))
			continue;
		if (getsockname(l->fd, &a.u.sa, &a.len) == 0)
			address_format(&a, text);
		buf_printf(out, "%s%s%s", out->n > before ? " " : "", l->kind == SERVER_HTTPS ? "https://" : is_unix(l->kind) ? "" : "http://", text);
	}
	pthread_mutex_unlock(&s->listeners_lock);
}

static void
listener_stop(struct listener *l)
{
	if (l->daemon)
		MHD_stop_daemon(l->daemon);
	listener_free(l);
}

/* Retired listeners whose last connection is gone (idle ones leave after SERVER_IDLE_S). */
static void
retired_reap(struct server *s)
{
	for (struct listener **at = &s->retired; *at;) {
		struct listener *l = *at;
		if (atomic_load(&l->connection_n)) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		listener_stop(l);
	}
}

void
server_tick(struct server *s)
{
	uint64_t now_ms = server_now_ms(s);

	pthread_mutex_lock(&s->listeners_lock);
	for (size_t i = 0; i < s->serving_n; i++)
		connections_cut_slow(s->serving[i], now_ms);
	for (struct listener *l = s->retired; l; l = l->next)
		connections_cut_slow(l, now_ms);
	retired_reap(s);
	pthread_mutex_unlock(&s->listeners_lock);
}

struct server *
server_new(const struct server_options *o)
{
	struct server *s = calloc(1, sizeof *s);
	pthread_condattr_t monotonic;

	if (!s)
		return NULL;
	s->o = *o;
	if (s->o.threads < 2)
		s->o.threads = 2;
	pthread_mutex_init(&s->listeners_lock, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->idle, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return s;
}

/* Wait until no request is under way, and let none begin from then on: libmicrohttpd must not be stopped with a suspended one. */
static bool
server_drain(struct server *s, unsigned deadline_ms)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += deadline_ms / 1000;
	until.tv_nsec += (long)(deadline_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&s->lock);
	while (s->live && rc == 0)
		rc = pthread_cond_timedwait(&s->idle, &s->lock, &until);
	s->stopped = s->live == 0;
	pthread_mutex_unlock(&s->lock);
	return rc == 0;
}

bool
server_quiesce(struct server *s, unsigned deadline_ms)
{
	pthread_mutex_lock(&s->listeners_lock);
	listeners_leave(s->serving, s->serving_n, NULL, 0);
	s->serving_n = 0;
	pthread_mutex_unlock(&s->listeners_lock);
	return server_drain(s, deadline_ms);
}

void
server_free(struct server *s)
{
	if (!s)
		return;
	while (s->retired) {
		struct listener *l = s->retired;
		s->retired = l->next;
		listener_stop(l);
	}
	pthread_mutex_destroy(&s->listeners_lock);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->idle);
	free(s);
}
