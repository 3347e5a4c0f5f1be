#include <assert.h>
#include "proxyd/caller_headers.h"
#include "proxyd/relay.h"
#include "proxyd/role_check.h"
#include "shared/log.h"

/* The answer's head is read behind this much: the head that we write in its place is longer by our own lines and may need the room. */
#define DOWN_HEAD_GAP 1024
/* One turn: 16 blocks are 512 KiB, about 0.3 ms of work with TLS on both sides. */
#define TURN_BLOCKS 16
/* What chunked coding puts around a run of 32 KiB: "7ff8" CRLF and CRLF. Runs leave room for it, so that they still fill whole TLS records. */
#define RUN_FRAMING 8

static struct block *
get_block(struct exchange *x, size_t bytes)
{
	return block_get(&x->gateway->blocks, bytes);
}

static void
put_block(struct exchange *x, struct block **b)
{
	block_put(&x->gateway->blocks, *b);
	*b = NULL;
}

void
relay_release(struct exchange *x)
{
	put_block(x, &x->up);
	put_block(x, &x->down);
}

void
relay_unblock(struct exchange *x)
{
	x->blocked = false;
	put_block(x, &x->down);
}

bool
relay_has_unsent(const struct exchange *x)
{
	return x->up && x->up->from < x->up->to;
}

/* ---- up ---- */

/* Frame the run at data[at..at+n) right behind data[..to). */
static void
frame_up(struct exchange *x, struct block *b, size_t at, size_t n)
{
	char head[CHUNK_HEAD_BYTES_MAX];

	if (x->up_framing == FRAMING_CHUNKED && n) {
		size_t head_n = http_chunk_head(n, head);
		if (b->from == b->to) /* nothing before it: the head goes into the gap, the run stays */
			b->from = b->to = at - head_n;
		memcpy(b->data + b->to, head, head_n);
		b->to += head_n;
	} else if (b->from == b->to) {
		b->from = b->to = at;
	}
	if (b->to != at)
		memmove(b->data + b->to, b->data + at, n);
	b->to += n;
	if (x->up_framing == FRAMING_CHUNKED && n) {
		memcpy(b->data + b->to, "\r\n", 2);
		b->to += 2;
	}
	if (x->up_framing == FRAMING_CHUNKED && x->up_ended) {
		memcpy(b->data + b->to, "0\r\n\r\n", 5);
		b->to += 5;
	}
	x->bytes_up += n;
}

/* Take what the front has of the body into x->up. RELAY_WAITS: look whether there is something to write. */
static enum relay
fill_up(struct exchange *x)
{
	struct block *b = x->up ? x->up : get_block(x, BLOCK_BYTES);
	size_t start, at, end;
	enum front_body body = FRONT_BODY_SOME;

	if (!b)
		return RELAY_FAILED;
	x->up = b;
	if (b->from == b->to)
		b->from = b->to = 0;
	start = at = b->to && x->up_framing == FRAMING_LENGTH ? b->to : b->to + BLOCK_GAP;
	end = b->to ? b->bytes - BLOCK_TAIL : BLOCK_GAP + BLOCK_RUN_BYTES - RUN_FRAMING;
	while (at < end && body == FRONT_BODY_SOME) {
		size_t got = 0;
		body = x->ops->read_body(x, b->data + at, end - at, &got, &x->why);
		at += got;
	}
	if (body == FRONT_BODY_BAD)
		return RELAY_REQUEST_BAD;
	if (body == FRONT_BODY_GONE)
		return RELAY_CLIENT_GONE;
	x->up_ended = body == FRONT_BODY_END;
	frame_up(x, b, start, at - start);
	return RELAY_WAITS;
}

/* The client waits for a sign before it sends the body: the upstream is there, so it may. RFC 9110 section 10.1.1. */
static enum relay
say_continue(struct exchange *x)
{
	static const struct http_head go_on = { .status = 100, .reason = { "Continue", 8 }, .minor = 1, .framing = FRAMING_NONE };

	if (x->continued || !x->request || !x->request->head.expect_continue || x->bytes_up)
		return RELAY_WAITS;
	x->continued = true;
	return x->ops->send_interim(x, &go_on) == FRONT_GONE ? RELAY_CLIENT_GONE : RELAY_WAITS;
}

static enum relay
run_up(struct exchange *x, unsigned *budget)
{
	while (!x->up_done && !x->up_broken) {
		if (relay_has_unsent(x)) {
			struct block *b = x->up;
			size_t put;
			enum io io = upstream_write(&x->call, b->data + b->from, b->to - b->from, &put);
			b->from += put;
			if (put) {
				x->up_written = true;
				x->moved_ms = loop_now_ms(x->gateway->loop);
			}
			if (io == IO_AGAIN) {
				x->up_held = true;
				return RELAY_WAITS;
			}
			if (io != IO_OK) {
				x->up_broken = true;
				return RELAY_WAITS;
			}
		}
		if (x->up_ended) {
			x->up_done = true;
			put_block(x, &x->up);
			return RELAY_WAITS;
		}
		if (*budget == 0)
			return RELAY_TURN;
		--*budget;
		enum relay r = fill_up(x);
		if (r != RELAY_WAITS)
			return r;
		if (!relay_has_unsent(x) && !x->up_ended) {
			put_block(x, &x->up);
			return say_continue(x);
		}
	}
	return RELAY_WAITS;
}

/* ---- down ---- */

static size_t
block_end(const struct block *b)
{
	return b->bytes == BLOCK_BYTES ? BLOCK_GAP + BLOCK_RUN_BYTES - RUN_FRAMING : b->bytes - BLOCK_TAIL;
}

/* Read until the block is full or nothing is there: IO_OK means full. What came is sent on at once, so a watch waits for nothing. */
static enum io
fill_down(struct exchange *x)
{
	struct block *b = x->down;
	size_t end = block_end(b);
	enum io io = IO_OK;

	while (b->to < end && io == IO_OK) {
		size_t got;
		io = upstream_read(&x->call, b->data + b->to, end - b->to, &got);
		b->to += got;
		x->down_any |= got > 0;
	}
	return io;
}

/* Below "…/proxy" answers a pod, a service or a node, and its 401 is meant for the caller. */
static bool
is_proxied(struct slice path)
{
	const char *at = memmem(path.p, path.n, "/proxy", 6);

	return at && (at + 6 == path.p + path.n || at[6] == '/');
}

enum head { HEAD_MORE, HEAD_FINAL, HEAD_ENDS };

/* Parse the next head in x->down; 1xx are passed on. HEAD_ENDS: *r says how. */
static enum head
take_head(struct exchange *x, enum relay *r)
{
	struct http_head *h = &x->gateway->answer_head;
	struct block *b = x->down;

	for (;;) {
		size_t head_bytes;
		*r = RELAY_UPSTREAM_BAD;
		enum http_verdict v = http_response_parse(b->data + b->from, b->to - b->from, &x->down_scanned, &x->gateway->answer_limits,
			x->method, h, &head_bytes, &x->why);
		if (v == HTTP_MORE)
			return HEAD_MORE;
		if (v != HTTP_OK)
			return HEAD_ENDS;
		b->from += head_bytes;
		x->down_scanned = 0;
		if (h->status == 101) {
			/* RFC 9110 section 15.2.2. Anything but the protocol that was asked for is no answer (CVE-2018-1002105). */
			if (x->upgrade != UPGRADE_NONE && h->upgrade == x->upgrade && x->up_done)
				*r = RELAY_SWITCHED;
			else
				x->why = x->upgrade == UPGRADE_NONE ? "it switched protocols unasked" : "it switched to another protocol than asked";
			return HEAD_ENDS;
		}
		if (h->status >= 200)
			return HEAD_FINAL;
		if (h->status == 100 && x->continued)
			continue;
		x->continued |= h->status == 100;
		if (x->ops->send_interim(x, h) == FRONT_GONE) {
			*r = RELAY_CLIENT_GONE;
			return HEAD_ENDS;
		}
	}
}

/* A head that does not fit into what is left of the block: to its front, or on into a block that takes the longest that we read. */
static bool
room_for_head(struct exchange *x)
{
	struct block *b = x->down, *to = b;

	if (b->to < block_end(b))
		return true;
	if (b->from == DOWN_HEAD_GAP &&
		!(to = get_block(x, DOWN_HEAD_GAP + GATEWAY_ANSWER_HEAD_BYTES_MAX + BLOCK_RUN_BYTES + BLOCK_TAIL)))
		return false;
	memmove(to->data + DOWN_HEAD_GAP, b->data + b->from, b->to - b->from);
	to->to = DOWN_HEAD_GAP + (b->to - b->from);
	to->from = DOWN_HEAD_GAP;
	if (to != b) {
		put_block(x, &x->down);
		x->down = to;
	}
	return true;
}

/* Take the final head. *head: to be sent with the first run. */
static enum relay
start_answer(struct exchange *x, const struct http_head **head)
{
	enum relay r;

	switch (take_head(x, &r)) {
	case HEAD_MORE:
		if (x->down_eof)
			return RELAY_UPSTREAM_LOST;
		return room_for_head(x) ? RELAY_WAITS : RELAY_FAILED;
	case HEAD_ENDS:
		return r;
	case HEAD_FINAL:
		break;
	}
	const struct http_head *h = &x->gateway->answer_head;
	if (h->status == 401 && x->to->forward.kind == FORWARD_CLUSTER && !(x->request && is_proxied(x->request->head.path)))
		return RELAY_UPSTREAM_UNAUTHORIZED;
	x->status = h->status;
	x->keep = h->keep_alive && h->framing != FRAMING_CLOSE && x->upgrade == UPGRADE_NONE;
	access_log_answered(x, h);
	x->down_framing = h->framing;
	x->down_left = h->framing == FRAMING_LENGTH ? h->content_length : 0;
	lasting_begin(x, lasting_kind_of(x, h), h);
	if (h->framing == FRAMING_CHUNKED)
		http_chunk_init(&x->down_chunk);
	*head = h;
	return RELAY_WAITS;
}

/* Runs of several chunks become one, at the front. *n: its length. */
static bool
decode_chunks(struct exchange *x, size_t *n, bool *end)
{
	struct block *b = x->down;
	struct slice in = { b->data + b->from, b->to - b->from }, run;
	size_t at = 0;

	*n = 0;
	*end = false;
	for (;;) {
		switch (http_chunk_next(&x->down_chunk, &in, &run, &x->why)) {
		case CHUNK_DATA:
			if (*n == 0)
				at = (size_t)(run.p - b->data);
			else if (run.p != b->data + at + *n)
				memmove(b->data + at + *n, run.p, run.n);
			*n += run.n;
			break;
		case CHUNK_END:
			*end = true;
			x->keep &= in.n == 0; /* bytes behind the end belong to no answer */
			/* fall through */
		case CHUNK_MORE:
			b->from = *n ? at : BLOCK_GAP;
			return true;
		case CHUNK_BAD:
			return false;
		}
	}
}

/* Turn data[from..to) into the run data[from..from+n). */
static enum relay
decode(struct exchange *x, size_t *n, bool *end)
{
	struct block *b = x->down;
	size_t got = b->to - b->from;

	switch (x->down_framing) {
	case FRAMING_NONE:
		*n = 0;
		*end = true;
		x->keep &= got == 0;
		break;
	case FRAMING_LENGTH:
		*n = got < x->down_left ? got : (size_t)x->down_left;
		x->down_left -= *n;
		*end = x->down_left == 0;
		x->keep &= got == *n;
		break;
	case FRAMING_CHUNKED:
		if (!decode_chunks(x, n, end))
			return RELAY_UPSTREAM_BAD;
		break;
	case FRAMING_CLOSE:
		*n = got;
		*end = x->down_eof;
		break;
	}
	return RELAY_WAITS;
}

/* Its log line says what to change, so once in a while is enough. Below "…/proxy" anybody could write it. */
#define ROLE_SAY_EVERY_MS 10000
static void
look_for_missing_right(struct exchange *x, struct slice body)
{
	uint64_t now = loop_now_ms(x->gateway->loop);

	if (x->to->forward.kind != FORWARD_CLUSTER || now < x->to->role_silent_until_ms || !x->request || is_proxied(x->request->head.path))
		return;
	struct slice resource = role_check_missing(body);
	if (!resource.p)
		return;
	x->to->role_silent_until_ms = now + ROLE_SAY_EVERY_MS;
	log_error("the gateway's role in this cluster lacks a right (see gatehouse-proxy in impersonator.yaml)", LOG_STR("cluster", x->to->name),
		LOG_STR("verb", "impersonate"), LOG_SLICE("resource", resource), LOG_SLICE("request_id", exchange_id(x)));
}

/* The run of a watch that is to end ends with its last whole event. */
static void
end_behind_event(struct exchange *x, size_t *n, bool *end)
{
	struct watch_events *events = &x->lasting.events;
	bool between = watch_events_between(events);
	size_t whole = watch_events_take(events, slice_of(x->down->data + x->down->from, *n));

	if (!x->lasting.ending || !(whole || between))
		return;
	*n = whole;
	*end = true;
	x->keep = false;
}

/* Hand a run to the front; the upstream's connection is free once the answer is whole, however slowly the client reads. */
static enum relay
pass_down(struct exchange *x, const struct http_head *head, size_t n, bool end)
{
	struct block *b = x->down;

	if (x->status == 403 && x->bytes_down == 0 && n)
		look_for_missing_right(x, slice_of(b->data + b->from, n));
	if (x->lasting.kind == LASTING_WATCH && !end)
		end_behind_event(x, &n, &end);
	x->bytes_down += n;
	x->down_done = end;
	x->down_head |= head != NULL;
	if (end)
		upstream_finish(&x->call, x->keep && x->up_done && !x->down_eof);
	if (!head && n == 0 && !end) {
		b->from = b->to = BLOCK_GAP;
		return RELAY_WAITS;
	}
	switch (x->ops->send(x, head, b, b->from, n, end)) {
	case FRONT_TAKEN:
		x->moved_ms = loop_now_ms(x->gateway->loop);
		b->from = b->to = BLOCK_GAP;
		return end ? RELAY_DONE : RELAY_WAITS;
	case FRONT_BLOCKED:
		x->blocked = true;
		x->moved_ms = loop_now_ms(x->gateway->loop);
		return RELAY_WAITS;
	case FRONT_GONE:
		break;
	}
	return RELAY_CLIENT_GONE;
}

/* There will be no more of the answer, unless what came was none. */
static enum relay
upstream_is_lost(struct exchange *x)
{
	const char *bad = upstream_bad(&x->call);

	if (!bad)
		return RELAY_UPSTREAM_LOST;
	x->why = bad;
	return RELAY_UPSTREAM_BAD;
}

static enum relay
run_down(struct exchange *x, unsigned *budget)
{
	while (!x->blocked) {
		const struct http_head *head = NULL;
		size_t n = 0;
		bool end = false;

		if (x->down_done)
			return RELAY_DONE;
		if (!upstream_may_read(&x->call) && !x->down_eof)
			return RELAY_WAITS;
		if (*budget == 0)
			return RELAY_TURN;
		--*budget;
		if (!x->down) {
			if (!(x->down = get_block(x, BLOCK_BYTES)))
				return RELAY_FAILED;
			x->down->from = x->down->to = x->down_head ? BLOCK_GAP : DOWN_HEAD_GAP;
		}
		enum io io = fill_down(x);
		x->down_eof = io == IO_EOF;
		if (io == IO_FAILED && x->down->from == x->down->to)
			return upstream_is_lost(x);
		if (x->down->from == x->down->to && !x->down_eof) {
			put_block(x, &x->down);
			return RELAY_WAITS;
		}
		if (!x->down_head) {
			enum relay r = start_answer(x, &head);
			if (r != RELAY_WAITS)
				return r;
			if (!head && io == IO_FAILED) /* within the head: no more of it will come */
				return upstream_is_lost(x);
			if (!head)
				continue;
		}
		enum relay r = decode(x, &n, &end);
		if (r == RELAY_WAITS)
			r = pass_down(x, head, n, end);
		if (r != RELAY_WAITS)
			return r;
		if (x->down_eof && !x->down_done)
			return RELAY_UPSTREAM_LOST;
		if (!x->blocked && x->down->from == x->down->to)
			put_block(x, &x->down);
	}
	return RELAY_WAITS;
}

enum relay
relay_end(struct exchange *x)
{
	if (x->blocked || x->down_done || !watch_events_between(&x->lasting.events))
		return RELAY_WAITS;
	if (!x->down && !(x->down = get_block(x, BLOCK_BYTES)))
		return RELAY_FAILED;
	x->down->from = x->down->to = BLOCK_GAP;
	x->keep = false;
	return pass_down(x, NULL, 0, true);
}

/* ---- both ---- */

enum relay
relay_run(struct exchange *x)
{
	unsigned budget = TURN_BLOCKS;
	enum relay up = RELAY_WAITS;

	if (x->call.transport || x->call.stream)
		up = run_up(x, &budget);
	if (up != RELAY_WAITS && up != RELAY_TURN)
		return up;
	budget = TURN_BLOCKS;
	enum relay down = run_down(x, &budget);
	return down == RELAY_WAITS ? up : down;
}

bool
relay_may_retry(const struct exchange *x)
{
	bool safe = x->method == METHOD_GET || x->method == METHOD_HEAD || x->method == METHOD_OPTIONS;

	/* One that served before may have been closed meanwhile; a new one that ends says that its server is not well, and another may be. */
	if (x->retried || x->down_any || !x->request || !(x->call.kept || upstream_has_others(x->to->upstream)))
		return false;
	return !x->up_written || (safe && x->up_framing == FRAMING_NONE);
}

enum relay
relay_start(struct exchange *x)
{
	struct gateway *g = x->gateway;
	const struct http_head *h = &x->request->head;
	char ip[IP_TEXT_MAX];
	struct forward_context context = {
		.client_ip = exchange_client_ip(x, ip),
		.request_id = slice_of(x->id, sizeof(x->id)),
		.tls = x->context->tls,
		.client_host = h->host,
	};
	struct buf *out = &g->scratch;
	size_t put = 0;

	x->up_framing = h->framing;
	x->up_broken = x->up_done = x->up_written = x->down_eof = false;
	x->down_scanned = 0;
	if (h->framing == FRAMING_NONE)
		put_block(x, &x->up);
	else if (x->up) /* begun on a connection that took nothing of it: head and body are there */
		return relay_run(x);
	enum err err = caller_headers(g->config, x->to, x->principal, h, &g->caller, &context.identity);
	if (x->as)
		context.identity = buf_slice(&x->as->headers);
	buf_reset(out);
	if (err == OK)
		err = forward_request(h, &x->to->forward, &context, out);
	if (err == OK && !buf_ok(out))
		err = E_LIMIT;
	if (err) {
		x->why = err == E_CONFLICT ? "a request without an identity is never forwarded" : "no memory or no room for the head";
		return err == E_LIMIT ? RELAY_REQUEST_TOO_LARGE : RELAY_FAILED;
	}
	if (h->framing == FRAMING_NONE) {
		/* Straight from where it was written. */
		x->up_ended = true;
		x->up_broken = upstream_write(&x->call, out->p, out->n, &put) == IO_FAILED;
		x->up_written = put > 0;
		x->up_done = put == out->n;
	}
	if (!x->up_done && !x->up_broken) {
		/* The body is read behind the head: both leave in one write. */
		if (!(x->up = get_block(x, out->n - put + BLOCK_BYTES)))
			return RELAY_FAILED;
		memcpy(x->up->data, out->p + put, out->n - put);
		x->up->to = out->n - put;
		if (h->framing != FRAMING_NONE) {
			enum relay r = fill_up(x);
			if (r != RELAY_WAITS)
				return r;
		}
	}
	return relay_run(x);
}
