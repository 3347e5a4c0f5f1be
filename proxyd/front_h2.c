#include <stdlib.h>
#include "proxyd/h2_state.h"
#include "proxyd/metrics.h"
#include "shared/log.h"

#define OWNER(type, member, p) ((type *)((char *)(p) - offsetof(type, member)))
/* One turn of a caller's: 64 KiB, then others. */
#define TURN_BLOCKS 2
/* What is looked at together, heads or parts of bodies. Who sends many heads in a few bytes gets fewer of them begun before others have their turn; what is full of a body's bytes is read in larger
 * pieces, where somebody is known. */
#define READ_BYTES_FIRST 1024
#define READ_BYTES_MIN 512
#define READ_HEADS_FEW 8
#define READ_HEADS_MANY 16

/* ---- the course of a connection ---- */

/* Once per batch of events: what has been collected by then leaves together. */
static void
want_flush(struct h2 *h)
{
	if (h->flush_queued || h->running || h->closing)
		return;
	h->flush_queued = true;
	loop_defer(h2_gateway(h)->loop, &h->flush);
}

/* When on_timer has something to look at; 0: never. */
static uint64_t
next_due_ms(const struct h2 *h)
{
	const struct proxyd_config *config = h2_gateway(h)->config;
	uint64_t due = UINT64_MAX, idle = (uint64_t)config->limits.idle_timeout_ms;

	if (h->head_since_ms)
		due = h->head_since_ms + (uint64_t)config->limits.header_timeout_ms;
	if (h->drain == H2_DRAIN_NOTICE && h->drain_since_ms + H2_DRAIN_MS < due)
		due = h->drain_since_ms + H2_DRAIN_MS;
	if (h->loose_since_ms && h->loose_since_ms + H2_LINGER_MS < due)
		due = h->loose_since_ms + H2_LINGER_MS;
	if (h->exchange_n == 0 && h->idle_since_ms + idle < due)
		due = h->idle_since_ms + idle;
	return due == UINT64_MAX ? 0 : due;
}

static void
arm_timer(struct h2 *h)
{
	uint64_t now = h2_now_ms(h);

	if (!h->streams)
		h->loose_since_ms = 0;
	uint64_t due = next_due_ms(h);
	if (due)
		client_timer_set(h->client, due > now ? due - now : 0);
}

static void run_due(struct h2 *h);

/* Until nothing is left to do before the next event. The connection may be closed afterwards. */
static void
proceed(struct h2 *h)
{
	h->running = true;
	do {
		run_due(h);
		h2_session_send(h, true);
	} while (h->due && !h->gone);
	h->running = false;
	if (h->gone)
		client_close(h->client);
	else if (h2_session_is_over(h))
		client_end(h->client);
	else
		arm_timer(h);
}

/* A read of n bytes that brought so many heads: how much the next one may bring. */
static void
adapt(struct h2 *h, size_t n, unsigned heads)
{
	if (heads > READ_HEADS_MANY)
		h->read_bytes = h->read_bytes / 2 > READ_BYTES_MIN ? h->read_bytes / 2 : READ_BYTES_MIN;
	else if (heads <= READ_HEADS_FEW && n == h->read_bytes && !turns_is_stranger(h->client->lane))
		h->read_bytes = h->read_bytes * 2 < H2_IN_BYTES ? h->read_bytes * 2 : H2_IN_BYTES;
}

/* Records are collected before they are looked at: what they bring of a body then leaves in whole records, too. */
static enum io
receive_some(struct h2 *h, struct block *b)
{
	unsigned heads = h->guard.heads;
	enum io io = IO_OK;
	size_t n = 0, got;

	for (; n < h->read_bytes && io == IO_OK; n += got)
		io = transport_read(&h->client->transport, b->data + n, h->read_bytes - n, &got);
	if (n == 0)
		return io;
	h2_session_receive(h, b->data, n);
	heads = h->guard.heads - heads;
	turns_charge(h2_gateway(h)->turns, h->client->lane, heads + n / TURNS_UNIT_BYTES);
	adapt(h, n, heads);
	run_due(h);
	return io;
}

/* What the wire has, if the client takes what we write: one that only sends is not read. */
static void
receive(struct h2 *h)
{
	struct block *b = block_get(&h2_gateway(h)->blocks, H2_IN_BYTES);
	bool unread = false;
	enum io io = IO_OK;

	h->running = true;
	h->gone |= b == NULL;
	for (int n = 0; io == IO_OK && !h->gone && !h->deaf && !h->stuck; n++) {
		if (n == TURN_BLOCKS || (n && !turns_left(h2_gateway(h)->turns, h->client->lane))) {
			unread = true;
			break;
		}
		io = receive_some(h, b);
	}
	h->gone |= io == IO_EOF || io == IO_FAILED;
	block_put(&h2_gateway(h)->blocks, b);
	h->running = false;
	if (unread)
		client_again(h->client);
}

static void
on_flush(struct loop_deferred *d)
{
	struct h2 *h = OWNER(struct h2, flush, d);

	h->flush_queued = false;
	if (!h->closing)
		proceed(h);
}

/* ---- what an exchange asks of its front ---- */

static enum front_sent
op_send_interim(struct exchange *x, const struct http_head *head)
{
	struct h2_stream *s = exchange_front(x);
	const struct response_context context = { .minor = 2 };
	struct h2_answer a;

	if (s->closed || s->h->gone)
		return FRONT_GONE;
	h2_head_answer(head, &context, &a);
	h2_session_interim(s, &a);
	want_flush(s->h);
	return FRONT_TAKEN;
}

static bool
begin_answer(struct exchange *x, struct h2_stream *s, const struct http_head *head, bool body)
{
	struct response_context context = { .framing = head->framing, .minor = 2 };
	struct h2_answer a;

	exchange_describe(x, &context);
	h2_head_answer(head, &context, &a);
	return h2_session_answer(s, &a, body);
}

static enum front_sent
op_send(struct exchange *x, const struct http_head *head, struct block *b, size_t at, size_t n, bool end)
{
	struct h2_stream *s = exchange_front(x);
	struct h2 *h = s->h;

	if (s->closed || h->gone)
		return FRONT_GONE;
	s->run = b->data + at;
	s->run_end = s->run + n;
	s->last = end;
	if (head && !begin_answer(x, s, head, n || !end))
		return FRONT_GONE;
	if (!head)
		h2_session_resume(s);
	h2_session_send(h, false);
	want_flush(h);
	if (h->gone || (s->closed && !s->ended))
		return FRONT_GONE;
	s->blocked = s->run != s->run_end || (end && !s->ended);
	return s->blocked ? FRONT_BLOCKED : FRONT_TAKEN;
}

/* An answer of ours, from its HTTP/1.1 form: status.c writes one. */
static bool
answer(struct h2_stream *s, const struct status_answer *a, bool page)
{
	struct gateway *g = h2_gateway(s->h);
	struct response_context context = { .minor = 2, .request_id = a->request_id };
	struct h2_answer fields;
	size_t scanned = 0, head_bytes;
	const char *why;

	buf_reset(&g->scratch);
	status_write(a, page, s->head_only, 1, &g->scratch);
	if (!buf_ok(&g->scratch) || http_response_parse(g->scratch.p, g->scratch.n, &scanned, &g->answer_limits,
			s->head_only ? METHOD_HEAD : METHOD_OTHER, &g->answer_head, &head_bytes, &why) != HTTP_OK)
		return false;
	size_t n = g->scratch.n - head_bytes;
	if (n && !(s->own = malloc(n)))
		return false;
	if (n)
		memcpy(s->own, g->scratch.p + head_bytes, n);
	s->run = s->own;
	s->run_end = s->own + n;
	s->last = s->ours = true;
	h2_head_answer(&g->answer_head, &context, &fields);
	return h2_session_answer(s, &fields, n > 0);
}

static void
op_answer(struct exchange *x, struct status_answer *a, bool page)
{
	struct h2_stream *s = exchange_front(x);

	if (!answer(s, a, page))
		h2_session_cut(s);
}

static enum front_body
op_read_body(struct exchange *x, char *p, size_t n, size_t *got, const char **why)
{
	struct h2_stream *s = exchange_front(x);

	(void)why; /* broken framing ends the stream, not only its body */
	if (s->closed || s->h->gone)
		return FRONT_BODY_GONE;
	*got = h2_stream_take(s, p, n);
	h2_session_consumed(s, *got);
	want_flush(s->h);
	if (!s->body && s->body_ended)
		return FRONT_BODY_END;
	return *got ? FRONT_BODY_SOME : FRONT_BODY_AGAIN;
}

static void
op_cut(struct exchange *x)
{
	struct h2_stream *s = exchange_front(x);

	s->run = s->run_end = NULL;
	h2_session_cut(s);
}

static void
op_release_head(struct exchange *x)
{
	struct h2_stream *s = exchange_front(x);

	free(s->text);
	s->text = NULL;
}

/* A stream that has no exchange any more goes on until its answer is sent and its request's body has come, which both are up to the client. */
static void
loosen(struct h2_stream *s)
{
	s->loose_ms = h2_now_ms(s->h);
	if (s->h->loose_since_ms == 0)
		s->h->loose_since_ms = s->loose_ms;
}

static void
sweep_loose(struct h2 *h)
{
	uint64_t now = h2_now_ms(h);

	h->loose_since_ms = 0;
	for (struct h2_stream *s = h->streams; s; s = s->next) {
		if (s->loose_ms == 0)
			continue;
		if (s->ended && now - s->loose_ms >= H2_LINGER_MS)
			h2_session_stop_body(s);
		else if (now - s->loose_ms >= H2_STALL_MS)
			h2_session_cut(s);
		h->loose_since_ms = now;
	}
}

static void
op_over(struct exchange *x)
{
	struct h2_stream *s = exchange_front(x);
	struct h2 *h = s->h;

	s->exchange = NULL;
	h->exchange_n--;
	h->idle_since_ms = h2_now_ms(h);
	if (h->closing)
		return;
	op_release_head(x);
	if (!s->ours)
		s->run = s->run_end = NULL;
	h2_session_drop_body(s);
	want_flush(h);
	if (s->closed) {
		h2_stream_free(s);
		return;
	}
	if (!s->ended && !s->ours)
		h2_session_cut(s); /* an exchange that ends before its last bytes were taken was cut */
	loosen(s);
}

static const struct front_ops ops = {
	.send_interim = op_send_interim,
	.send = op_send,
	.answer = op_answer,
	.read_body = op_read_body,
	.cut = op_cut,
	.release_head = op_release_head,
	.over = op_over,
};

/* ---- what is due for a stream ---- */

/* A head that no exchange may see. */
static void
refuse(struct h2_stream *s)
{
	const struct status_answer a = { .code = s->refusal.code, .message = s->refusal.why, .now_s = clock_now_s(h2_gateway(s->h)->clock) };

	metrics_request(&h2_gateway(s->h)->metrics->targets[0], KUBE_OTHER, a.code);
	if (!answer(s, &a, false))
		h2_session_cut(s);
	loosen(s);
}

/* The stream may not exist afterwards. */
static void
start(struct h2_stream *s)
{
	struct h2 *h = s->h;
	struct request *r = s->request;

	if (!r) {
		refuse(s);
		return;
	}
	s->request = NULL;
	s->exchange = exchange_new(h2_gateway(h), &ops, s, &h->context, r);
	if (!s->exchange) {
		h2_session_cut(s);
		loosen(s);
		return;
	}
	h->exchange_n++;
	exchange_start(s->exchange);
}

static void
run_due(struct h2 *h)
{
	struct h2_stream *s;
	unsigned due;

	while (!h->gone && (due = h2_stream_take_due(h, &s))) {
		if (due & H2_DUE_START) {
			start(s);
			continue;
		}
		if (!s->exchange)
			continue;
		if (due & H2_DUE_GONE) {
			exchange_abort(s->exchange);
		} else if (due & H2_DUE_READY) {
			if (due & H2_DUE_BODY)
				h2_stream_due(s, H2_DUE_BODY);
			exchange_front_ready(s->exchange);
		} else {
			exchange_body_ready(s->exchange);
		}
	}
}

/* ---- the connection ---- */

static void
h2_on_drain(struct client *c)
{
	struct h2 *h = c->front;

	if (h->drain != H2_DRAIN_NOT)
		return;
	h2_session_drain(h);
	want_flush(h);
}

static bool
h2_open(struct client *c)
{
	struct h2 *h = calloc(1, sizeof(*h));
	const char *name = c->transport.ssl ? SSL_get_servername(c->transport.ssl, TLSEXT_NAMETYPE_host_name) : NULL;

	if (!h)
		return false;
	h->client = c;
	h->context = (struct front_context){ .client_ip = slice_str(c->ip), .sni = slice_str(name), .tls = c->transport.ssl != NULL,
		.certificate = &c->certificate, .client = c, .address = c->address, .stall_ms = H2_STALL_MS };
	h->read_bytes = READ_BYTES_FIRST;
	h->flush.run = on_flush;
	h->idle_since_ms = h->head_since_ms = h2_now_ms(h);
	c->front = h;
	if (h2_session_open(h)) {
		h2_session_close(h);
		return false;
	}
	if (h2_gateway(h)->draining)
		h2_on_drain(c);
	return true;
}

static void
h2_on_ready(struct client *c)
{
	struct h2 *h = c->front;

	if (h->stuck)
		h2_session_send(h, true);
	if (!h->gone)
		receive(h);
	want_flush(h);
}

static void
h2_on_timer(struct client *c)
{
	struct h2 *h = c->front;
	uint64_t now = h2_now_ms(h), due = next_due_ms(h);

	if (due && due <= now) {
		if (h->deaf)
			h->gone = true; /* the last GOAWAY is not taken */
		else if (h->head_since_ms && h->head_since_ms + (uint64_t)h2_gateway(h)->config->limits.header_timeout_ms <= now)
			h2_session_end(h, "the request's head did not arrive in time");
		else if (h->drain == H2_DRAIN_NOTICE && h->drain_since_ms + H2_DRAIN_MS <= now)
			h2_session_drain_last(h);
		else if (h->loose_since_ms && h->loose_since_ms + H2_LINGER_MS <= now)
			sweep_loose(h);
		else
			h2_session_end(h, NULL);
	}
	proceed(h);
}

static void
h2_close(struct client *c)
{
	struct h2 *h = c->front;

	h->closing = h->gone = true;
	for (struct h2_stream *s = h->streams; s; s = s->next)
		if (s->exchange)
			exchange_abort(s->exchange);
	h2_session_close(h);
	while (h->streams)
		h2_stream_free(h->streams);
}

const struct client_protocol front_h2_protocol = {
	.open = h2_open,
	.on_ready = h2_on_ready,
	.on_timer = h2_on_timer,
	.close = h2_close,
	.drain = h2_on_drain,
};
