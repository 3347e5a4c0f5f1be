#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "proxyd/upstream_link.h"
#include "shared/log.h"

static void on_transport(struct transport *t);
static void on_dial_timeout(struct loop_timer *timer);
static void on_sweep(struct loop_timer *timer);

static void
servers_init(struct upstream_servers *s, const struct upstream_options *o)
{
	size_t at = 0;

	assert(o->server_n <= UPSTREAM_SERVERS_MAX);
	s->n = o->server_address_n ? o->server_n : 1;
	for (size_t i = 0; i < s->n; i++) {
		size_t n = o->server_address_n ? o->server_address_n[i] : o->address_n;
		s->items[i] = (struct upstream_server){ .first = at, .n = n };
		at += n;
	}
	assert(at == o->address_n);
}

enum err
upstream_new(struct loop *loop, const struct upstream_options *o, struct upstream **out)
{
	struct upstream *u = calloc(1, sizeof(*u));

	if (!u || !(u->addresses = calloc(o->address_n + 1, sizeof(*u->addresses)))) {
		free(u);
		tls_client_free(o->tls);
		return E_NOMEM;
	}
	u->loop = loop;
	u->name = o->name;
	u->address_n = o->address_n;
	for (size_t i = 0; i < u->address_n; i++)
		u->addresses[i] = o->addresses[i];
	servers_init(&u->servers, o);
	u->tls = o->tls;
	u->connect_timeout_ms = o->connect_timeout_ms;
	u->idle_timeout_ms = o->idle_timeout_ms;
	u->http2 = o->http2 && o->tls;
	u->sweep.on_due = on_sweep;
	*out = u;
	return OK;
}

void
upstream_free(struct upstream *u)
{
	if (!u)
		return;
	upstream_flush(u);
	upstream_link_free(u);
	loop_timer_clear(u->loop, &u->sweep);
	tls_client_free(u->tls);
	free(u->addresses);
	free(u);
}

void
upstream_set_metrics(struct upstream *u, struct metrics_target *metrics)
{
	u->metrics = metrics;
}

void
upstream_add(struct upstream *u, enum metric_upstream what, int n)
{
	if (u->metrics)
		metrics_add(&u->metrics->upstream[what], (uint64_t)(int64_t)n);
}

void
upstream_count(struct upstream *u, enum metric_upstream what)
{
	upstream_add(u, what, 1);
}

const char *
upstream_name(const struct upstream *u)
{
	return u->name;
}

const struct address *
upstream_addresses(const struct upstream *u, size_t *n)
{
	*n = u->address_n;
	return u->addresses;
}

bool
upstream_has_others(const struct upstream *u)
{
	return u->servers.n > 1;
}

size_t
upstream_idle_n(const struct upstream *u)
{
	return u->idle_n;
}

/* ---- servers ---- */

static struct upstream_server *
server_of(const struct upstream_connection *c)
{
	return &c->upstream->servers.items[c->server];
}

static const char *
server_text(const struct upstream_connection *c, char out[ADDRESS_TEXT_MAX])
{
	const struct upstream_server *server = server_of(c);

	return address_format(&c->upstream->addresses[server->first + (c->address_first + c->address_at) % server->n], out);
}

static void
server_failed(struct upstream_connection *c, const char *why)
{
	struct upstream *u = c->upstream;
	bool known = server_of(c)->failures > 0;
	uint64_t pause_ms = upstream_servers_failed(&u->servers, c->server, loop_now_ms(u->loop));
	char text[ADDRESS_TEXT_MAX];

	if (u->servers.n > 1 && !known)
		log_warn("upstream server is passed over", LOG_STR("upstream", u->name), LOG_STR("server", server_text(c, text)), LOG_STR("reason", why), LOG_UINT("ms", pause_ms));
}

static void
server_worked(struct upstream_connection *c)
{
	struct upstream *u = c->upstream;
	char text[ADDRESS_TEXT_MAX];

	if (upstream_servers_worked(&u->servers, c->server) && u->servers.n > 1)
		log_info("upstream server serves again", LOG_STR("upstream", u->name), LOG_STR("server", server_text(c, text)));
}

/* ---- one connection ---- */

static void
connection_recycle(struct loop_deferred *d)
{
	free((char *)d - offsetof(struct upstream_connection, deferred));
}

static void
set_state(struct upstream_connection *c, enum connection_state state)
{
	struct upstream_server *server = server_of(c);

	server->dialling += (state == CONNECTION_DIALLING) - (unsigned)(c->state == CONNECTION_DIALLING);
	server->busy += (state == CONNECTION_DIALLING || state == CONNECTION_BUSY) - (unsigned)(c->state == CONNECTION_DIALLING || c->state == CONNECTION_BUSY);
	c->state = state;
}

/* Its memory stays until the event batch is over: we may be below its own callback. */
static void
connection_close(struct upstream_connection *c)
{
	assert(c->state != CONNECTION_CLOSED && c->state != CONNECTION_IDLE);
	upstream_add(c->upstream, METRIC_UPSTREAM_OPEN, -1);
	set_state(c, CONNECTION_CLOSED);
	c->call = NULL;
	loop_timer_clear(c->upstream->loop, &c->timer);
	transport_close(&c->transport);
	c->deferred.run = connection_recycle;
	loop_defer(c->upstream->loop, &c->deferred);
}

/* Start connecting to the server's next address that takes it. E_SYSTEM: none did, errno is the last one's. */
static enum err
dial_server(struct upstream_connection *c)
{
	struct upstream *u = c->upstream;
	const struct upstream_server *server = server_of(c);
	enum err err = E_SYSTEM;

	for (; c->address_at < server->n; c->address_at++) {
		const struct address *a = &u->addresses[server->first + (c->address_first + c->address_at) % server->n];
		SSL *ssl = NULL;
		int fd;

		err = address_connect(a, &fd);
		if (err == E_AGAIN) { /* a full backlog */
			err = E_SYSTEM;
			errno = EAGAIN;
		}
		if (err)
			continue;
		if (u->tls && !(ssl = tls_client_connect(u->tls, c->offers_h2))) {
			close(fd);
			return E_NOMEM;
		}
		return transport_open(&c->transport, u->loop, fd, ssl, true, on_transport);
	}
	return err;
}

/* False: every one has been tried. */
static bool
next_server(struct upstream_connection *c)
{
	struct upstream *u = c->upstream;
	int i = upstream_servers_choose(&u->servers, loop_now_ms(u->loop), c->tried);

	if (i < 0)
		return false;
	if (c->tried)
		set_state(c, CONNECTION_CLOSED);
	c->server = (size_t)i;
	c->tried |= 1u << i;
	c->address_first = server_of(c)->answered;
	c->address_at = 0;
	set_state(c, CONNECTION_DIALLING);
	return true;
}

static enum err
connection_dial(struct upstream_connection *c)
{
	enum err err;

	while ((err = dial_server(c)) == E_SYSTEM) {
		int saved = errno;
		server_failed(c, strerrordesc_np(saved));
		bool more = next_server(c);
		errno = saved;
		if (!more)
			break;
	}
	return err;
}

static enum err
connection_new(struct upstream *u, struct upstream_call *call, size_t server, bool h2)
{
	struct upstream_connection *c = calloc(1, sizeof(*c));
	enum err err;

	if (!c)
		return E_NOMEM;
	c->upstream = u;
	c->call = call;
	c->offers_h2 = h2;
	c->state = CONNECTION_CLOSED;
	c->timer.on_due = on_dial_timeout;
	c->server = server;
	c->tried = 1u << server;
	c->address_first = server_of(c)->answered;
	set_state(c, CONNECTION_DIALLING);
	err = connection_dial(c);
	if (err) {
		int saved = errno;
		set_state(c, CONNECTION_CLOSED);
		free(c);
		if (err == E_SYSTEM)
			upstream_count(u, METRIC_UPSTREAM_REFUSED);
		errno = saved;
		return err;
	}
	upstream_count(u, METRIC_UPSTREAM_OPEN);
	err = loop_timer_set(u->loop, &c->timer, u->connect_timeout_ms);
	if (err) {
		connection_close(c);
		return err;
	}
	call->connection = c;
	return E_AGAIN;
}

static void
connection_fail(struct upstream_connection *c, enum upstream_failure failure, const char *why)
{
	struct upstream_call *call = c->call;

	_Static_assert(METRIC_UPSTREAM_TIMEOUT == METRIC_UPSTREAM_REFUSED + (int)UPSTREAM_TIMEOUT &&
		METRIC_UPSTREAM_TLS == METRIC_UPSTREAM_REFUSED + (int)UPSTREAM_TLS, "in the order of enum upstream_failure");
	upstream_count(c->upstream, METRIC_UPSTREAM_REFUSED + failure);
	call->connection = NULL;
	call->transport = NULL;
	connection_close(c);
	call->on_failed(call, failure, why);
}

/* Nothing has been sent: another server may do. False: there is none, or none that takes it. */
static bool
dial_another(struct upstream_connection *c, enum upstream_failure failure, const char *why)
{
	struct upstream *u = c->upstream;

	server_failed(c, why);
	if (!next_server(c))
		return false;
	upstream_count(u, METRIC_UPSTREAM_REFUSED + failure);
	transport_close(&c->transport);
	return connection_dial(c) == OK && loop_timer_set(u->loop, &c->timer, u->connect_timeout_ms) == OK;
}

/* A caller waits for two of them at most. */
static void
on_dial_timeout(struct loop_timer *timer)
{
	struct upstream_connection *c = (struct upstream_connection *)((char *)timer - offsetof(struct upstream_connection, timer));
	const char *why = c->transport.connecting ? "connect timed out" : "TLS handshake timed out";

	if (!c->timed_out) {
		c->timed_out = true;
		if (dial_another(c, UPSTREAM_TIMEOUT, why))
			return;
	} else {
		server_failed(c, why);
	}
	connection_fail(c, UPSTREAM_TIMEOUT, why);
}

static void
connection_proceed(struct upstream_connection *c)
{
	struct upstream *u = c->upstream;
	enum io io = transport_handshake(&c->transport);
	char why[TRANSPORT_WHY_MAX];

	if (io == IO_AGAIN)
		return;
	if (io == IO_OK) {
		struct upstream_server *server = server_of(c);
		server->answered = (c->address_first + c->address_at) % server->n;
		server_worked(c);
		loop_timer_clear(u->loop, &c->timer);
		set_state(c, CONNECTION_BUSY);
		upstream_count(u, METRIC_UPSTREAM_OPENED);
		c->call->transport = &c->transport;
		c->call->on_connected(c->call);
		return;
	}
	bool refused = c->transport.connecting;
	transport_why(&c->transport, why);
	enum upstream_failure failure = refused ? UPSTREAM_REFUSED : UPSTREAM_TLS;
	if (refused && c->address_at + 1 < server_of(c)->n) {
		transport_close(&c->transport);
		c->address_at++;
		if (connection_dial(c) == OK)
			return;
	} else if (dial_another(c, failure, why)) {
		return;
	}
	connection_fail(c, failure, why);
}

/* ---- the idle ones ---- */

static void
idle_unlink(struct upstream_connection *c)
{
	struct upstream *u = c->upstream;

	*(c->prev ? &c->prev->next : &u->newest) = c->next;
	*(c->next ? &c->next->prev : &u->oldest) = c->prev;
	c->next = c->prev = NULL;
	u->idle_n--;
	set_state(c, CONNECTION_BUSY);
}

static void
idle_close(struct upstream_connection *c)
{
	idle_unlink(c);
	transport_end(&c->transport);
	connection_close(c);
}

void
upstream_flush(struct upstream *u)
{
	while (u->newest)
		idle_close(u->newest);
}

/* One timer for all: armed for the oldest, however often connections come and go meanwhile. */
static void
sweep_arm(struct upstream *u, uint64_t delay_ms)
{
	if (loop_timer_set(u->loop, &u->sweep, delay_ms))
		log_warn("upstream idle timer not set", LOG_STR("upstream", u->name));
}

static void
on_sweep(struct loop_timer *timer)
{
	struct upstream *u = (struct upstream *)((char *)timer - offsetof(struct upstream, sweep));
	uint64_t now = loop_now_ms(u->loop);

	while (u->oldest && now - u->oldest->idle_since_ms >= u->idle_timeout_ms)
		idle_close(u->oldest);
	if (u->oldest)
		sweep_arm(u, u->oldest->idle_since_ms + u->idle_timeout_ms - now);
}

/* Something happened on a connection that nobody uses: a TLS 1.3 ticket is read and kept; all else ends it. */
static void
idle_look(struct upstream_connection *c)
{
	char byte;
	size_t got;

	if (transport_read(&c->transport, &byte, 1, &got) != IO_AGAIN)
		idle_close(c);
}

static void
idle_push(struct upstream_connection *c)
{
	struct upstream *u = c->upstream;

	set_state(c, CONNECTION_IDLE);
	c->call = NULL;
	c->kept = true;
	c->idle_since_ms = loop_now_ms(u->loop);
	c->prev = NULL;
	c->next = u->newest;
	*(u->newest ? &u->newest->prev : &u->oldest) = c;
	u->newest = c;
	if (++u->idle_n == 1 && u->sweep.heap_index == 0)
		sweep_arm(u, u->idle_timeout_ms);
	if (u->idle_n > UPSTREAM_IDLE_MAX)
		idle_close(u->oldest);
}

static void
look(struct upstream_connection *c)
{
	switch (c->state) {
	case CONNECTION_DIALLING:
		connection_proceed(c);
		break;
	case CONNECTION_BUSY:
		c->call->on_ready(c->call);
		break;
	case CONNECTION_IDLE:
		idle_look(c);
		break;
	case CONNECTION_CLOSED:
		break;
	}
}

static void
on_transport(struct transport *t)
{
	struct upstream_connection *c = (struct upstream_connection *)((char *)t - offsetof(struct upstream_connection, transport));

	if (!c->call || !c->call->has_turn || c->call->has_turn(c->call))
		look(c);
}

/* ---- calls ---- */

void
upstream_proceed(struct upstream_call *call)
{
	if (call->connection)
		look(call->connection);
	else if (call->stream && call->stream->ready) /* one that is not waits for its connection: on_connected or on_failed comes by itself */
		call->on_ready(call);
}

static int
choose_server(struct upstream *u, struct upstream_call *call)
{
	call->connection = NULL;
	call->transport = NULL;
	call->stream = NULL;
	call->kept = false;
	return upstream_servers_choose(&u->servers, loop_now_ms(u->loop), 0);
}

enum err
upstream_start(struct upstream *u, struct upstream_call *call, bool fresh)
{
	int server = choose_server(u, call);

	return server < 0 ? E_EMPTY : upstream_start_at(u, call, (size_t)server, fresh, false);
}

enum err
upstream_start_stream(struct upstream *u, struct upstream_call *call)
{
	int server = choose_server(u, call);

	if (server < 0)
		return E_EMPTY;
	if (u->http2 && loop_now_ms(u->loop) >= u->servers.items[server].http1_until_ms)
		return upstream_link_join(u, call, (size_t)server);
	return upstream_start_at(u, call, (size_t)server, false, false);
}

enum err
upstream_start_at(struct upstream *u, struct upstream_call *call, size_t server, bool fresh, bool h2)
{
	struct upstream_connection *c = fresh ? NULL : u->newest;

	while (c && c->server != server)
		c = c->next;
	if (!c)
		return connection_new(u, call, server, h2);
	idle_unlink(c);
	c->call = call;
	call->connection = c;
	call->transport = &c->transport;
	call->kept = true;
	upstream_count(u, METRIC_UPSTREAM_REUSED);
	return OK;
}

void
upstream_pass(struct upstream_call *from, struct upstream_call *to)
{
	to->connection = from->connection;
	to->connection->call = to;
	to->transport = &to->connection->transport;
	from->connection = NULL;
	from->transport = NULL;
}

void
upstream_lost(struct upstream_call *call, const char *why)
{
	if (call->connection && !call->kept)
		server_failed(call->connection, why);
}

void
upstream_finish(struct upstream_call *call, bool keep)
{
	struct upstream_connection *c = call->connection;

	if (call->stream)
		upstream_link_leave(call);
	if (!c)
		return;
	call->connection = NULL;
	call->transport = NULL;
	if (!keep || c->state != CONNECTION_BUSY || c->transport.cut || c->transport.ended) {
		if (c->state == CONNECTION_BUSY)
			transport_end(&c->transport);
		connection_close(c);
		return;
	}
	idle_push(c);
	/* What came behind the answer, or has been read ahead of us, is no part of any exchange. */
	if (c->state == CONNECTION_IDLE && transport_may_read(&c->transport))
		idle_look(c);
}

/* ---- bytes ---- */

bool
upstream_may_read(const struct upstream_call *call)
{
	return call->stream ? upstream_link_may_read(call->stream) : transport_may_read(call->transport);
}

enum io
upstream_read(struct upstream_call *call, char *p, size_t n, size_t *got)
{
	return call->stream ? upstream_link_read(call->stream, p, n, got) : transport_read(call->transport, p, n, got);
}

enum io
upstream_write(struct upstream_call *call, const char *p, size_t n, size_t *put)
{
	return call->stream ? upstream_link_write(call->stream, p, n, put) : transport_write(call->transport, p, n, put);
}

const char *
upstream_bad(const struct upstream_call *call)
{
	return call->stream ? call->stream->bad : NULL;
}

const char *
upstream_why(const struct upstream_call *call, char out[TRANSPORT_WHY_MAX])
{
	if (call->transport)
		return transport_why(call->transport, out);
	snprintf(out, TRANSPORT_WHY_MAX, "%s", call->stream && call->stream->why ? call->stream->why : "connection closed");
	return out;
}
