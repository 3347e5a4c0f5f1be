#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "proxyd/upstream_link.h"
#include "shared/log.h"

#define OWNER(type, member, p) ((type *)((char *)(p) - offsetof(type, member)))
/* One turn: as many bytes as an exchange moves in one of its own (relay.c). */
#define READ_BYTES 32768
#define TURN_READS 16
/* Frames leave when so many have been collected: a TLS record. */
#define OUT_BYTES 16384

enum link_state {
	LINK_DIALLING,
	LINK_SETTLING, /* the server's settings are to come */
	LINK_UP,
	LINK_LEAVING,  /* no more streams; closed with the last one */
	LINK_DEAD      /* the connection is gone; streams may still be read */
};

struct upstream_link {
	struct upstream_link *next, *prev;
	struct upstream *upstream;
	size_t server;
	enum link_state state;
	struct upstream_call call;      /* the connection */
	struct upstream_h2 *h2;         /* NULL: dialling */
	struct upstream_stream *waiting; /* for the connection; newest first */
	size_t stream_n;                /* waiting, or on it */
	struct buf out;
	size_t out_at;
	bool served;                    /* a stream has had an answer */
	bool running;                   /* on our way through its streams: it is not freed now */
	bool turn_queued, freed;
	struct loop_deferred turn;
	struct loop_timer timer;        /* settling; then silence, or being idle */
	uint64_t frames, heard_ms, pinged_ms; /* how many frames there were then; pinged: 0: not since */
	uint64_t idle_since_ms;
	uint64_t reset_second_ms;
	unsigned reset_n; /* in this second */
	char why[TRANSPORT_WHY_MAX];    /* it was lost */
};

static void link_run(struct upstream_link *l);
static void settle(struct upstream_link *l);

/* ---- links ---- */

static uint64_t
now_ms(const struct upstream_link *l)
{
	return loop_now_ms(l->upstream->loop);
}

static void
queue_turn(struct upstream_link *l)
{
	if (l->turn_queued)
		return;
	l->turn_queued = true;
	loop_defer(l->upstream->loop, &l->turn);
}

static void
set_timer(struct upstream_link *l, uint64_t delay_ms)
{
	if (loop_timer_set(l->upstream->loop, &l->timer, delay_ms))
		log_warn("upstream timer not set", LOG_STR("upstream", l->upstream->name));
}

/* No stream is left. Its memory stays until a turn that is queued has come. */
static void
link_free(struct upstream_link *l)
{
	struct upstream *u = l->upstream;

	assert(!l->waiting && l->stream_n == 0);
	*(l->prev ? &l->prev->next : &u->links) = l->next;
	if (l->next)
		l->next->prev = l->prev;
	loop_timer_clear(u->loop, &l->timer);
	if (l->h2 && l->state != LINK_DEAD)
		upstream_add(u, METRIC_UPSTREAM_OPEN_H2, -1);
	upstream_finish(&l->call, false);
	upstream_h2_free(l->h2);
	buf_fini(&l->out);
	l->freed = true;
	queue_turn(l);
}

static void
on_turn(struct loop_deferred *d)
{
	struct upstream_link *l = OWNER(struct upstream_link, turn, d);

	l->turn_queued = false;
	if (l->freed)
		free(l);
	else
		link_run(l);
}

/* ---- streams ---- */

static struct upstream_stream *
stream_new(struct upstream_link *l, struct upstream_call *call)
{
	struct upstream_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->link = l;
	s->call = call;
	s->server = l->server;
	l->upstream->servers.items[s->server].busy++;
	l->stream_n++;
	upstream_add(l->upstream, METRIC_UPSTREAM_STREAMS_OPEN, 1);
	call->stream = s;
	return s;
}

static void
wait_unlink(struct upstream_stream *s)
{
	*(s->prev ? &s->prev->next : &s->link->waiting) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	s->next = s->prev = NULL;
}

static void
stream_free(struct upstream_stream *s)
{
	struct upstream_link *l = s->link;

	s->call->stream = NULL;
	l->upstream->servers.items[s->server].busy--;
	upstream_add(l->upstream, METRIC_UPSTREAM_STREAMS_OPEN, -1);
	if (--l->stream_n == 0)
		l->idle_since_ms = now_ms(l);
	free(s);
}

/* What runs on it is not to suffer from what comes and goes. */
static void
count_reset(struct upstream_link *l)
{
	if (now_ms(l) - l->reset_second_ms >= 1000) {
		l->reset_second_ms = now_ms(l);
		l->reset_n = 0;
	}
	if (++l->reset_n >= UPSTREAM_LINK_RESETS_PER_S && l->state == LINK_UP)
		l->state = LINK_LEAVING;
}

void
upstream_link_leave(struct upstream_call *call)
{
	struct upstream_stream *s = call->stream;
	struct upstream_link *l = s->link;

	if (s->h2 && !s->closed)
		count_reset(l);
	if (s->h2)
		upstream_h2_drop(s);
	else if (!s->ready)
		wait_unlink(s);
	stream_free(s);
	if (!l->running)
		queue_turn(l); /* RST_STREAM, or the end of the link */
}

/* Those that wait, one after the other: whoever is told may end any of the others. */
static struct upstream_call *
next_waiting(struct upstream_link *l)
{
	struct upstream_stream *s = l->waiting;

	if (!s)
		return NULL;
	struct upstream_call *call = s->call;
	wait_unlink(s);
	s->ready = true;
	return call;
}

/* ---- when it does not become one ---- */

static void
on_failed(struct upstream_call *c, enum upstream_failure failure, const char *why)
{
	struct upstream_link *l = OWNER(struct upstream_link, call, c);
	struct upstream_call *call;

	l->state = LINK_DEAD;
	l->running = true;
	while ((call = next_waiting(l))) {
		stream_free(call->stream);
		call->on_failed(call, failure, why);
	}
	l->running = false;
	settle(l);
}

static void
go_alone(struct upstream_link *l, struct upstream_call *call)
{
	enum err err = upstream_start_at(l->upstream, call, l->server, false, false);

	if (err == OK)
		call->on_connected(call);
	else if (err != E_AGAIN)
		call->on_failed(call, UPSTREAM_REFUSED, err == E_SYSTEM ? strerrordesc_np(errno) : "out of memory");
}

/* The server does not speak HTTP/2, or not well: whoever waits goes on by HTTP/1.1. why NULL: the connection does for one of them. */
static void
fall_back(struct upstream_link *l, const char *why)
{
	struct upstream *u = l->upstream;
	struct upstream_call *call;
	bool running = l->running;

	u->servers.items[l->server].http1_until_ms = now_ms(l) + (why ? UPSTREAM_LINK_BROKEN_MS : UPSTREAM_LINK_HTTP1_MS);
	log_info("upstream server speaks no HTTP/2: each watch has a connection of its own", LOG_STR("upstream", u->name), LOG_STR("reason", why ? why : "it chose HTTP/1.1"));
	if (l->h2)
		upstream_add(u, METRIC_UPSTREAM_OPEN_H2, -1);
	l->state = LINK_DEAD;
	l->running = true;
	while ((call = next_waiting(l))) {
		stream_free(call->stream);
		if (!why && l->call.connection) {
			upstream_pass(&l->call, call);
			call->on_connected(call);
		} else {
			go_alone(l, call);
		}
	}
	l->running = running;
	upstream_finish(&l->call, false);
	settle(l);
}

/* ---- while it is one ---- */

static bool
has_room(const struct upstream_link *l)
{
	uint32_t most = 0;

	switch (l->state) {
	case LINK_DIALLING:
	case LINK_SETTLING:
		most = l->upstream->servers.items[l->server].streams_max;
		break;
	case LINK_UP:
		most = upstream_h2_streams_max(l->h2);
		break;
	case LINK_LEAVING:
	case LINK_DEAD:
		return false;
	}
	return l->stream_n < (most && most < UPSTREAM_LINK_STREAMS_MAX ? most : UPSTREAM_LINK_STREAMS_MAX);
}

/* The connection is gone: what runs on it ends, each where it is. */
static void
lose(struct upstream_link *l, const char *why)
{
	if (l->state == LINK_DEAD)
		return;
	if (l->state == LINK_SETTLING) {
		fall_back(l, why);
		return;
	}
	snprintf(l->why, sizeof(l->why), "%s", why);
	if (l->stream_n)
		log_warn("upstream connection lost", LOG_STR("upstream", l->upstream->name), LOG_STR("reason", l->why), LOG_UINT("streams", l->stream_n));
	if (!l->served && l->stream_n)
		upstream_lost(&l->call, l->why);
	upstream_add(l->upstream, METRIC_UPSTREAM_OPEN_H2, -1);
	l->state = LINK_DEAD;
	upstream_finish(&l->call, false);
	upstream_h2_fail(l->h2, l->why);
}

static void
lose_transport(struct upstream_link *l)
{
	char why[TRANSPORT_WHY_MAX];

	lose(l, transport_why(l->call.transport, why));
}

/* The server's settings have come: as many as it allows begin, the rest looks for another link. */
static void
begin_waiting(struct upstream_link *l)
{
	uint32_t most = upstream_h2_streams_max(l->h2);
	struct upstream_call *call;
	size_t begun = 0;

	if (most == 0) {
		fall_back(l, "it allows no streams");
		return;
	}
	l->upstream->servers.items[l->server].streams_max = most;
	l->state = LINK_UP;
	l->heard_ms = l->idle_since_ms = now_ms(l);
	set_timer(l, UPSTREAM_LINK_SILENCE_MS < l->upstream->idle_timeout_ms ? UPSTREAM_LINK_SILENCE_MS : l->upstream->idle_timeout_ms);
	while ((call = next_waiting(l))) {
		if (begun++ < most) {
			call->on_connected(call);
			continue;
		}
		stream_free(call->stream);
		enum err err = upstream_link_join(l->upstream, call, l->server);
		if (err == OK)
			call->on_connected(call);
		else if (err != E_AGAIN)
			call->on_failed(call, UPSTREAM_REFUSED, err == E_SYSTEM ? strerrordesc_np(errno) : "out of memory");
	}
}

static void
receive(struct upstream_link *l)
{
	static char room[READ_BYTES]; /* nothing below is called while it is in use */
	enum io io = IO_OK;

	for (unsigned i = 0; i < TURN_READS && l->state != LINK_DEAD; i++) {
		size_t got;
		io = transport_read(l->call.transport, room, sizeof(room), &got);
		if (io != IO_OK)
			break;
		const char *why = upstream_h2_receive(l->h2, room, got, now_ms(l));
		if (why)
			lose(l, why);
	}
	if (l->state == LINK_DEAD)
		return;
	if (io == IO_OK)
		queue_turn(l);
	else if (io != IO_AGAIN)
		lose_transport(l);
	if (l->state != LINK_DEAD && upstream_h2_frames(l->h2) != l->frames) {
		l->frames = upstream_h2_frames(l->h2);
		l->heard_ms = now_ms(l);
		l->pinged_ms = 0;
	}
}

static void
flush(struct upstream_link *l)
{
	while (l->state != LINK_DEAD) {
		size_t put = 0;
		if (!upstream_h2_output(l->h2, &l->out, l->out_at + OUT_BYTES)) {
			lose(l, "out of memory");
			return;
		}
		if (l->out.n == l->out_at)
			break;
		enum io io = transport_write(l->call.transport, l->out.p + l->out_at, l->out.n - l->out_at, &put);
		l->out_at += put;
		if (io == IO_AGAIN)
			return;
		if (io != IO_OK) {
			lose_transport(l);
			return;
		}
		buf_fini(&l->out);
		l->out_at = 0;
	}
}

/* Those for whom something has come. What they do may end streams, this one's included, and begin others. */
static void
tell(struct upstream_link *l)
{
	struct upstream_stream *s;

	while ((s = upstream_h2_take_due(l->h2))) {
		l->served |= s->answered;
		if (s->why) /* asked for again where the server has not looked at it, or is not there any more */
			s->call->kept = s->refused || (s->call->kept && l->state == LINK_DEAD);
		if (!s->call->has_turn || s->call->has_turn(s->call))
			s->call->on_ready(s->call);
	}
}

/* What is to become of it, once nobody is on their way through it. */
static void
settle(struct upstream_link *l)
{
	if (l->running || l->stream_n)
		return;
	if (l->state == LINK_DEAD || l->state == LINK_LEAVING)
		link_free(l);
}

static void
link_run(struct upstream_link *l)
{
	const char *over;

	if (!l->h2) {
		settle(l);
		return;
	}
	l->running = true;
	if (l->state != LINK_DEAD)
		receive(l);
	if (l->state == LINK_SETTLING && upstream_h2_is_settled(l->h2))
		begin_waiting(l);
	do {
		tell(l);
		flush(l);
	} while (upstream_h2_has_due(l->h2));
	if (l->state != LINK_DEAD && (over = upstream_h2_over(l->h2)) != NULL) {
		lose(l, over);
		tell(l);
	}
	if (l->state == LINK_UP && upstream_h2_goes_away(l->h2))
		l->state = LINK_LEAVING;
	l->running = false;
	settle(l);
}

static void
on_ready(struct upstream_call *call)
{
	link_run(OWNER(struct upstream_link, call, call));
}

static void
on_connected(struct upstream_call *call)
{
	struct upstream_link *l = OWNER(struct upstream_link, call, call);

	l->server = call->connection->server;
	if (!tls_chose_h2(call->transport->ssl)) {
		fall_back(l, NULL);
		return;
	}
	if (!(l->h2 = upstream_h2_new())) {
		fall_back(l, "out of memory");
		return;
	}
	upstream_add(l->upstream, METRIC_UPSTREAM_OPEN_H2, 1);
	l->state = LINK_SETTLING;
	set_timer(l, l->upstream->connect_timeout_ms);
	link_run(l);
}

/* Idle for long: say goodbye. Silent for long: is it there? */
static void
on_timer(struct loop_timer *t)
{
	struct upstream_link *l = OWNER(struct upstream_link, timer, t);
	uint64_t now = now_ms(l), due;

	if (l->state == LINK_SETTLING) {
		fall_back(l, "its settings did not come in time");
		return;
	}
	if (l->state == LINK_DEAD)
		return;
	if (l->stream_n == 0 && now - l->idle_since_ms >= l->upstream->idle_timeout_ms) {
		upstream_h2_leave(l->h2);
		l->state = LINK_LEAVING;
		queue_turn(l);
		return;
	}
	if (l->pinged_ms && now - l->pinged_ms >= UPSTREAM_LINK_PING_MS) {
		lose(l, "the server does not answer any more");
		queue_turn(l);
		return;
	}
	if (!l->pinged_ms && now - l->heard_ms >= UPSTREAM_LINK_SILENCE_MS) {
		upstream_h2_ping(l->h2);
		l->pinged_ms = now;
		queue_turn(l);
	}
	due = l->pinged_ms ? l->pinged_ms + UPSTREAM_LINK_PING_MS : l->heard_ms + UPSTREAM_LINK_SILENCE_MS;
	if (l->stream_n == 0 && l->idle_since_ms + l->upstream->idle_timeout_ms < due)
		due = l->idle_since_ms + l->upstream->idle_timeout_ms;
	set_timer(l, due > now ? due - now : 1);
}

/* ---- calls ---- */

static enum err
link_new(struct upstream *u, size_t server, struct upstream_link **out)
{
	struct upstream_link *l = calloc(1, sizeof(*l));

	if (!l)
		return E_NOMEM;
	l->upstream = u;
	l->server = server;
	l->call.on_connected = on_connected;
	l->call.on_failed = on_failed;
	l->call.on_ready = on_ready;
	l->turn.run = on_turn;
	l->timer.on_due = on_timer;
	buf_init(&l->out, 0);
	enum err err = upstream_start_at(u, &l->call, server, true, true);
	if (err != E_AGAIN) { /* a fresh one is never there at once */
		int saved = errno;
		free(l);
		errno = saved;
		return err;
	}
	l->next = u->links;
	if (u->links)
		u->links->prev = l;
	u->links = l;
	*out = l;
	return OK;
}

enum err
upstream_link_join(struct upstream *u, struct upstream_call *call, size_t server)
{
	struct upstream_link *l = u->links;

	while (l && !(l->server == server && has_room(l)))
		l = l->next;
	if (!l) {
		enum err err = link_new(u, server, &l);
		if (err)
			return err;
	}
	struct upstream_stream *s = stream_new(l, call);
	if (!s)
		return E_NOMEM; /* a link that was made for it is idle, and ends as such */
	if (l->state == LINK_UP) {
		s->ready = true;
		call->kept = true;
		upstream_count(u, METRIC_UPSTREAM_STREAMS);
		return OK;
	}
	upstream_count(u, METRIC_UPSTREAM_STREAMS);
	s->next = l->waiting;
	if (l->waiting)
		l->waiting->prev = s;
	l->waiting = s;
	return E_AGAIN;
}

enum io
upstream_link_write(struct upstream_stream *s, const char *p, size_t n, size_t *put)
{
	struct upstream_link *l = s->link;

	*put = 0;
	/* The head, once and whole. */
	if (s->h2 || l->state == LINK_DEAD || !upstream_h2_ask(l->h2, s, slice_of(p, n)))
		return IO_FAILED;
	*put = n;
	queue_turn(l);
	return IO_OK;
}

bool
upstream_link_may_read(const struct upstream_stream *s)
{
	return !s->h2 || upstream_h2_may_read(s);
}

enum io
upstream_link_read(struct upstream_stream *s, char *p, size_t n, size_t *got)
{
	*got = 0;
	if (!s->h2)
		return IO_FAILED;
	enum io io = upstream_h2_read(s, p, n, got);
	if (io == IO_OK && !s->link->running)
		queue_turn(s->link); /* the stream's window */
	return io;
}

void
upstream_link_free(struct upstream *u)
{
	while (u->links)
		link_free(u->links);
}
