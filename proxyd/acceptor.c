#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include "proxyd/acceptor.h"
#include "proxyd/client.h"
#include "shared/log.h"
#include "shared/process.h"

#define OWNER(type, member, p) ((type *)((char *)(p) - offsetof(type, member)))
/* All workers wait on the same sockets: one of them is woken. */
#define LISTENER_EVENTS (EPOLLIN | EPOLLEXCLUSIVE)
/* What a draining worker takes along: 64 ms of handshakes at most. */
#define ACCEPT_REST_MAX 256
/* No descriptors or memory for one more: look again then. */
#define ACCEPT_PAUSE_MS 100
/* Descriptors that are no client's and no upstream's: standard ones, loop, control, key cache, listeners. */
#define DESCRIPTORS_KEPT (64 + PROXYD_LISTENERS_MAX)
#define FULL_SAY_EVERY_MS 10000

struct listener {
	struct loop_watch watch;
	struct acceptor *acceptor;
	struct turn turn; /* somebody waits to be accepted */
	SSL_CTX *tls;
	bool proxied;
};

struct acceptor {
	struct gateway *gateway;
	struct listener *listeners;
	size_t n;
	bool closed;
	struct loop_timer pause;
	size_t connections_max;
	uint64_t full_silent_until_ms; /* before that nothing is said of it */
	bool accepting;
	bool paused; /* others accept */
};

static void on_listener(struct loop_watch *watch, uint32_t events);
static void on_turn(struct turn *t);
static void on_pause_over(struct loop_timer *t);

/* ---- life ---- */

static enum err
listener_init(struct acceptor *a, struct listener *l, const struct proxyd_listen *from, const unsigned char *ticket_secret, struct tls_error *why)
{
	const struct gateway *g = a->gateway;
	char context[ADDRESS_TEXT_MAX + 16];
	int one = 1;
	/* Tickets are good at the same address with the same rules, in every worker and generation. */
	int n = snprintf(context, sizeof(context), "%.*s %d", ADDRESS_TEXT_MAX, from->address_text, from->tls.min_version);
	const struct tls_server_options o = { .cert_pem = from->tls.cert_pem, .key_pem = from->tls.key_pem,
		.tls13_only = from->tls.min_version == 1,
		.client_ca_pem = g->config->authentication.client_certificate.ca_pem, .context = slice_of(context, (size_t)n), .ticket_secret = ticket_secret,
		.clock = g->clock };

	l->acceptor = a;
	l->proxied = from->proxy_protocol;
	l->watch.on_event = on_listener;
	l->turn.run = on_turn;
	/* Inherited by what is accepted: one system call less for each connection. */
	if (from->address.u.sa.sa_family != AF_UNIX)
		setsockopt(l->watch.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return tls_server_new(&o, &l->tls, why);
}

static size_t
most_connections(const struct gateway *g)
{
	size_t descriptors = process_raise_nofile();
	int64_t wanted = g->config->limits.connections;
	/* Each client may have an upstream connection. */
	size_t most = descriptors > DESCRIPTORS_KEPT + 2 ? (descriptors - DESCRIPTORS_KEPT) / 2 : 1;

	if (wanted > 0 && (size_t)wanted > most)
		log_warn("the limit of open files allows fewer connections than limits.connections", LOG_UINT("connections", most));
	return wanted > 0 && (size_t)wanted < most ? (size_t)wanted : most;
}

enum err
acceptor_new(struct gateway *g, const int *fds, const unsigned char *ticket_secret, struct acceptor **out, struct tls_error *why)
{
	const struct proxyd_listen *listen = g->config->listen.items;
	struct acceptor *a = calloc(1, sizeof(*a));
	enum err err = OK;

	if (!a || !(a->listeners = calloc(g->config->listen.n + 1, sizeof(*a->listeners)))) {
		free(a);
		return E_NOMEM;
	}
	a->gateway = g;
	a->pause.on_due = on_pause_over;
	for (; a->n < g->config->listen.n && !err; a->n++) {
		a->listeners[a->n].watch.fd = fds[a->n];
		err = listener_init(a, &a->listeners[a->n], &listen[a->n], ticket_secret, why);
	}
	if (err) {
		acceptor_free(a);
		return err;
	}
	a->connections_max = most_connections(g);
	*out = a;
	return OK;
}

static void
stop(struct acceptor *a)
{
	a->accepting = false;
	for (size_t i = 0; i < a->n; i++) {
		loop_remove(a->gateway->loop, &a->listeners[i].watch);
		turns_leave(&a->listeners[i].turn);
	}
}

void
acceptor_free(struct acceptor *a)
{
	if (!a)
		return;
	stop(a);
	loop_timer_clear(a->gateway->loop, &a->pause);
	for (size_t i = 0; i < a->n; i++)
		SSL_CTX_free(a->listeners[i].tls);
	free(a->listeners);
	free(a);
}

/* ---- when ---- */

enum err
acceptor_start(struct acceptor *a)
{
	enum err err = OK;

	if (a->accepting)
		return OK;
	a->accepting = true;
	for (size_t i = 0; i < a->n && !err; i++)
		err = loop_add(a->gateway->loop, &a->listeners[i].watch, LISTENER_EVENTS);
	if (err)
		stop(a);
	return err;
}

static void
stop_for_a_while(struct acceptor *a)
{
	stop(a);
	if (loop_timer_set(a->gateway->loop, &a->pause, ACCEPT_PAUSE_MS))
		log_error("no memory for a timer: not accepting until a connection ends");
}

static void
try_to_start(struct acceptor *a)
{
	if (!a->closed && !a->paused && acceptor_start(a))
		stop_for_a_while(a);
}

static void
on_pause_over(struct loop_timer *t)
{
	struct acceptor *a = OWNER(struct acceptor, pause, t);

	if (a->gateway->client_n < a->connections_max)
		try_to_start(a);
}

void
acceptor_look(struct acceptor *a)
{
	if (!a->accepting && a->pause.heap_index == 0)
		try_to_start(a);
}

void
acceptor_pause(struct acceptor *a)
{
	a->paused = true;
	if (a->accepting)
		stop(a);
}

void
acceptor_resume(struct acceptor *a)
{
	a->paused = false;
	try_to_start(a);
}

/* ---- one more ---- */

static void
take_connection(struct listener *l, int fd, const struct address *peer)
{
	SSL *ssl = SSL_new(l->tls);

	if (!ssl) {
		close(fd);
		return;
	}
	enum err err = client_new(l->acceptor->gateway, fd, ssl, peer, l->proxied);
	if (err && err != E_LIMIT)
		log_error("connection not taken: out of memory");
}

static void
tell_full(struct acceptor *a)
{
	uint64_t now = loop_now_ms(a->gateway->loop);

	if (now >= a->full_silent_until_ms) {
		a->full_silent_until_ms = now + FULL_SAY_EVERY_MS;
		log_warn("as many connections as limits.connections allows", LOG_UINT("connections", a->gateway->client_n));
	}
}

/* False: there is none, or none can be taken now. When there are as many as may be, those go first on which nobody has shown who they are, the
 * oldest before the others: who comes to stay has a moment to do that, however many come for nothing. */
static bool
accept_one(struct listener *l)
{
	struct acceptor *a = l->acceptor;
	struct gateway *g = a->gateway;
	struct address peer = { .len = sizeof(peer.u) };
	bool full = g->client_n >= a->connections_max;

	if (full && !g->strangers) {
		tell_full(a);
		stop(a);
		return false;
	}
	int fd = accept4(l->watch.fd, &peer.u.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		if (full) {
			tell_full(a);
			client_shed(g);
		}
		take_connection(l, fd, &peer);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		log_error("accept", LOG_ERRNO(errno));
		stop_for_a_while(a);
		return false;
	}
	return fd >= 0 || errno != EAGAIN; /* EAGAIN: another worker was faster */
}

/* As long as others wait there the loop says so again. */
static void
on_turn(struct turn *t)
{
	struct listener *l = OWNER(struct listener, turn, t);
	struct acceptor *a = l->acceptor;

	if (!accept_one(l) || !a->accepting)
		return;
	/* The kernel wakes the first of those who wait. To the end of the queue, or that one would get nearly all connections, however long they last. */
	loop_remove(a->gateway->loop, &l->watch);
	if (loop_add(a->gateway->loop, &l->watch, LISTENER_EVENTS))
		stop_for_a_while(a);
}

static void
on_listener(struct loop_watch *watch, uint32_t events)
{
	struct listener *l = OWNER(struct listener, watch, watch);
	struct turns *turns = l->acceptor->gateway->turns;

	(void)events;
	turns_wait(turns, turns_newcomers(turns), &l->turn);
}

void
acceptor_close(struct acceptor *a)
{
	for (size_t i = 0; i < a->n; i++)
		for (int n = 0; n < ACCEPT_REST_MAX && accept_one(&a->listeners[i]); n++)
			;
	stop(a);
	for (size_t i = 0; i < a->n; i++)
		close(a->listeners[i].watch.fd);
	a->closed = true;
}
