#include <stdlib.h>
#include "proxyd/h1_state.h"
#include "proxyd/metrics.h"
#include "shared/log.h"

static void proceed(struct h1 *h);

/* ---- the exchange ends ---- */

static void
op_cut(struct exchange *x)
{
	struct h1 *h = exchange_front(x);

	h->gone = true;
}

/* What came before the 101 was written for a server that speaks HTTP, whatever the upgrade would have made of it. */
static struct transport *
op_tunnel(struct exchange *x, const struct http_head *head, const char **why)
{
	struct h1 *h = exchange_front(x);

	/* The event that tells of them may stand behind the upstream's. */
	h->client->transport.drained = false;
	h->gone = !h1_look_ahead(h);
	if (h->gone)
		return NULL;
	if (h1_has_pending(h)) {
		*why = "bytes behind an upgrade request, before its answer";
		return NULL;
	}
	h->gone = !h1_write_switch(h, x, head);
	if (h->gone)
		return NULL;
	h->tunnel = h->answered = h->closes = true;
	return &h->client->transport;
}

static void
op_release_head(struct exchange *x)
{
	h1_unpin(exchange_front(x));
}

static void
op_over(struct exchange *x)
{
	struct h1 *h = exchange_front(x);

	/* An exchange that ends before its last bytes were written was cut. */
	h->gone |= !h->answered || h->awaited;
	if (h->awaited)
		h1_drop_out(h);
	h->awaited = false;
	h->exchange = NULL;
	h1_unpin(h);
	if (!h->running)
		proceed(h);
}

static const struct front_ops ops = {
	.send_interim = h1_send_interim,
	.send = h1_send,
	.answer = h1_send_answer,
	.read_body = h1_read_body,
	.cut = op_cut,
	.tunnel = op_tunnel,
	.release_head = op_release_head,
	.over = op_over,
};

/* ---- requests ---- */

/* A head that is none: answer and close, whatever follows it cannot be framed. */
static void
refuse(struct h1 *h, unsigned code, const char *why)
{
	struct buf *out = &h1_gateway(h)->scratch;
	const struct status_answer a = { .code = code, .message = why, .close = true, .now_s = clock_now_s(h1_gateway(h)->clock) };

	log_info("request refused", LOG_UINT("status", code), LOG_STR("reason", why), LOG_STR("client", h->client->ip));
	metrics_request(&h1_gateway(h)->metrics->targets[0], KUBE_OTHER, code);
	h->closes = h->answered = true;
	h1_put_block(h, &h->in);
	buf_reset(out);
	status_write(&a, false, false, 1, out);
	if (buf_ok(out))
		h1_write(h, buf_slice(out));
}

static void
start(struct h1 *h, struct request *r, size_t head_bytes)
{
	const struct http_head *head = &r->head;

	h->scanned = 0;
	h->timing_head = false;
	h->in->from += head_bytes;
	h->pinned = h->in;
	h->in = NULL;
	h->body_framing = head->framing;
	h->body_left = head->framing == FRAMING_LENGTH ? head->content_length : 0;
	h->body_done = head->framing == FRAMING_NONE || (head->framing == FRAMING_LENGTH && head->content_length == 0);
	if (head->framing == FRAMING_CHUNKED)
		http_chunk_init(&r->chunk);
	h->head_only = head->method == METHOD_HEAD;
	h->keep_alive = head->keep_alive;
	h->upgrade = head->upgrade != UPGRADE_NONE;
	h->minor = head->minor;
	h->closes = h->answered = false;
	h->exchange = exchange_new(h1_gateway(h), &ops, h, &h->context, r);
	if (h->exchange)
		exchange_start(h->exchange);
	else
		h->gone = true;
}

enum next { NEXT_STARTED, NEXT_REFUSED, NEXT_WAITS, NEXT_GONE };

/* Parse what is pending. NEXT_WAITS: it is not a whole head. */
static enum next
parse(struct h1 *h)
{
	struct gateway *g = h1_gateway(h);
	struct block *b = h->in;
	struct request *r;
	size_t head_bytes;
	const char *why = "";

	if (!b || b->from == b->to)
		return NEXT_WAITS;
	if (!(r = request_get(g)))
		return NEXT_GONE;
	enum http_verdict v =
		http_request_parse(b->data + b->from, b->to - b->from, &h->scanned, &g->request_limits, &r->head, &head_bytes, &why);
	if (v == HTTP_OK && r->head.upgrade != UPGRADE_NONE && b->to - b->from > head_bytes) {
		v = HTTP_BAD;
		why = "bytes behind an upgrade request, before its answer";
	}
	if (v == HTTP_OK) {
		start(h, r, head_bytes);
		return NEXT_STARTED;
	}
	request_put(g, r);
	if (v == HTTP_MORE)
		return NEXT_WAITS;
	refuse(h, http_verdict_status(v), why);
	return NEXT_REFUSED;
}

static enum next
next_request(struct h1 *h)
{
	for (;;) {
		enum next next = parse(h);
		if (next != NEXT_WAITS)
			return next;
		switch (h1_read_more(h)) {
		case IO_OK:
			break;
		case IO_AGAIN:
			/* Between two requests the idle term, which only ever moves later: free. A head that does not come whole has one term
			 * from its first byte on, however many bytes keep coming. */
			if (!h->in)
				client_timer_set(h->client, (uint64_t)h1_gateway(h)->config->limits.idle_timeout_ms);
			else if (!h->timing_head)
				client_timer_set(h->client, (uint64_t)h1_gateway(h)->config->limits.header_timeout_ms);
			h->timing_head = h->in != NULL;
			return NEXT_WAITS;
		default:
			return NEXT_GONE;
		}
	}
}

static bool
has_more(const struct h1 *h)
{
	return h1_has_pending(h) || transport_may_read(&h->client->transport);
}

/* Requests that came together and are answered at once: one, then others have their turn. */
static bool
has_turn(struct h1 *h)
{
	bool has = turns_take(h1_gateway(h)->turns, h->client->lane);

	if (!has)
		client_again(h->client);
	return has;
}

static void
proceed(struct h1 *h)
{
	enum next next = NEXT_WAITS;

	h->running = true;
	while (!h->gone && !h->exchange) {
		if (h1_flush(h) != IO_OK) {
			client_timer_set(h->client, (uint64_t)h1_gateway(h)->config->limits.body_timeout_ms);
			break;
		}
		if (h->answered && h->closes) {
			client_end(h->client);
			return;
		}
		if (next == NEXT_STARTED && has_more(h) && !has_turn(h))
			break;
		next = next_request(h);
		if (next == NEXT_WAITS)
			break;
		if (next == NEXT_GONE)
			h->gone = true;
	}
	h->running = false;
	if (h->gone && !h->exchange)
		client_close(h->client);
}

/* ---- the connection ---- */

static bool
h1_open(struct client *c)
{
	struct h1 *h = calloc(1, sizeof(*h));
	const char *name = c->transport.ssl ? SSL_get_servername(c->transport.ssl, TLSEXT_NAMETYPE_host_name) : NULL;

	if (!h)
		return false;
	h->client = c;
	h->context = (struct front_context){ .client_ip = slice_str(c->ip), .sni = slice_str(name), .tls = c->transport.ssl != NULL,
		.certificate = &c->certificate, .client = c, .address = c->address };
	c->front = h;
	return true;
}

static void
h1_on_ready(struct client *c)
{
	struct h1 *h = c->front;

	h->running = true;
	if (h->tunnel && h->exchange) {
		exchange_tunnel_ready(h->exchange);
		proceed(h);
		return;
	}
	if (h->out) {
		enum io io = h1_flush(h);
		if (io == IO_FAILED && h->exchange) {
			exchange_abort(h->exchange);
		} else if (io == IO_OK && h->awaited) {
			h->awaited = false;
			exchange_front_ready(h->exchange);
		}
	}
	if (h->exchange) {
		if (!h->body_done) {
			exchange_body_ready(h->exchange);
		} else if (!h1_look_ahead(h)) {
			h->gone = true; /* its upstream's work ends with it */
			exchange_abort(h->exchange);
		}
	}
	proceed(h);
}

static void
h1_on_timer(struct client *c)
{
	struct h1 *h = c->front;

	if (h->exchange)
		return;
	if (h->out) {
		client_close(c); /* an answer of our own that is not taken */
	} else if (h->in) {
		refuse(h, 408, "the request's head did not arrive in time");
		proceed(h);
	} else {
		client_end(c);
	}
}

static void
h1_close(struct client *c)
{
	struct h1 *h = c->front;

	h->running = true;
	h->gone = true;
	if (h->exchange)
		exchange_abort(h->exchange);
	h1_drop_out(h);
	h1_put_block(h, &h->in);
	h1_put_block(h, &h->pinned);
}

const struct client_protocol front_h1_protocol = {
	.open = h1_open,
	.on_ready = h1_on_ready,
	.on_timer = h1_on_timer,
	.close = h1_close,
};
