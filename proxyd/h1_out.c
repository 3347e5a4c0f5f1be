#include "proxyd/forward.h"
#include "proxyd/h1_state.h"
#include "shared/log.h"

void
h1_drop_out(struct h1 *h)
{
	if (h->out_owned)
		h1_put_block(h, &h->out);
	h->out = NULL;
	h->out_owned = false;
}

enum io
h1_flush(struct h1 *h)
{
	size_t put;

	if (!h->out)
		return IO_OK;
	enum io io = transport_write(&h->client->transport, h->out->data + h->out_at, h->out_end - h->out_at, &put);
	h->out_at += put;
	if (io == IO_AGAIN)
		return io;
	h1_drop_out(h);
	if (io != IO_OK)
		h->gone = true;
	return io;
}

/* Put a copy behind what waits to be written, then write. */
static enum front_sent
write_copy(struct h1 *h, const struct slice *parts, size_t part_n)
{
	size_t n = h->out ? h->out_end - h->out_at : 0;

	for (size_t i = 0; i < part_n; i++)
		n += parts[i].n;
	struct block *b = block_get(&h1_gateway(h)->blocks, n);
	if (!b) {
		h->gone = true;
		return FRONT_GONE;
	}
	n = 0;
	if (h->out) {
		n = h->out_end - h->out_at;
		memcpy(b->data, h->out->data + h->out_at, n);
		h1_drop_out(h);
	}
	for (size_t i = 0; i < part_n; i++) {
		if (parts[i].n)
			memcpy(b->data + n, parts[i].p, parts[i].n);
		n += parts[i].n;
	}
	h->out = b;
	h->out_owned = true;
	h->out_at = 0;
	h->out_end = n;
	enum io io = h1_flush(h);
	return io == IO_OK ? FRONT_TAKEN : io == IO_AGAIN ? FRONT_BLOCKED : FRONT_GONE;
}

/* The same without a copy where the kernel takes all of it. */
enum front_sent
h1_write(struct h1 *h, struct slice s)
{
	size_t put = 0;

	if (!h->out) {
		enum io io = transport_write(&h->client->transport, s.p, s.n, &put);
		if (io == IO_OK)
			return FRONT_TAKEN;
		if (io != IO_AGAIN) {
			h->gone = true;
			return FRONT_GONE;
		}
	}
	const struct slice rest = { s.p + put, s.n - put };
	return write_copy(h, &rest, 1);
}

enum front_sent
h1_send_interim(struct exchange *x, const struct http_head *head)
{
	struct h1 *h = exchange_front(x);
	struct buf *out = &h1_gateway(h)->scratch;
	const struct response_context context = { .framing = FRAMING_NONE, .minor = h->minor };

	if (h->minor == 0) /* RFC 9110 section 15.2: HTTP/1.0 has none */
		return FRONT_TAKEN;
	if (h->out && head->status != 100) /* an upstream that sends them without end would fill the memory of one whose client does not read */
		return FRONT_TAKEN;
	buf_reset(out);
	if (head->status == 100)
		buf_add_str(out, "HTTP/1.1 100 Continue\r\n\r\n");
	else if (forward_response(head, &context, out))
		return FRONT_TAKEN; /* an interim answer that does not fit may be left out */
	return h1_write(h, buf_slice(out)) == FRONT_GONE ? FRONT_GONE : FRONT_TAKEN;
}

/* No next request on this connection: the worker's last ones, or one that others are to have. */
static bool
is_to_go(struct gateway *g)
{
	if (g->draining || g->send_away == 0)
		return g->draining;
	g->send_away--;
	return true;
}

/* The answer's head into the scratch buffer, with this connection's framing (RFC 9112 sections 6 and 9.6). */
static bool
write_head(struct h1 *h, struct exchange *x, const struct http_head *head)
{
	struct buf *out = &h1_gateway(h)->scratch;

	h->framing = head->framing;
	if (head->framing == FRAMING_CHUNKED || head->framing == FRAMING_CLOSE)
		h->framing = h->minor ? FRAMING_CHUNKED : FRAMING_CLOSE;
	h->closes = !h->keep_alive || h->upgrade || !h->body_done || h->ended || h->framing == FRAMING_CLOSE || is_to_go(h1_gateway(h));
	struct response_context context = { .framing = h->framing, .close = h->closes, .minor = h->minor };
	exchange_describe(x, &context);
	buf_reset(out);
	if (forward_response(head, &context, out) || !buf_ok(out)) {
		log_error("answer's head not written", LOG_SLICE("request_id", exchange_id(x)));
		return false;
	}
	return true;
}

bool
h1_write_switch(struct h1 *h, const struct exchange *x, const struct http_head *head)
{
	struct buf *out = &h1_gateway(h)->scratch;
	struct response_context context = { .framing = FRAMING_NONE, .minor = h->minor };

	exchange_describe(x, &context);
	buf_reset(out);
	if (h->out)
		buf_add(out, h->out->data + h->out_at, h->out_end - h->out_at);
	h1_drop_out(h);
	return buf_ok(out) && forward_response(head, &context, out) == OK && buf_ok(out);
}

enum front_sent
h1_send(struct exchange *x, const struct http_head *head, struct block *b, size_t at, size_t n, bool end)
{
	struct h1 *h = exchange_front(x);
	struct slice lead = SLICE_NONE;
	char chunk[CHUNK_HEAD_BYTES_MAX];
	size_t chunk_n = 0, to = at + n, put;

	if (h->gone || (head && !write_head(h, x, head))) {
		h->gone = true;
		return FRONT_GONE;
	}
	if (head)
		lead = buf_slice(&h1_gateway(h)->scratch);
	h->answered = end;
	if (h->framing == FRAMING_CHUNKED && n) {
		chunk_n = http_chunk_head(n, chunk);
		memcpy(b->data + to, "\r\n", 2);
		to += 2;
	}
	if (h->framing == FRAMING_CHUNKED && end) {
		memcpy(b->data + to, "0\r\n\r\n", 5);
		to += 5;
	}
	if (h->out || lead.n + chunk_n > at) {
		const struct slice parts[] = { lead, { chunk, chunk_n }, { b->data + at, to - at } };
		enum front_sent sent = write_copy(h, parts, 3);
		h->awaited = sent == FRONT_BLOCKED;
		return sent;
	}
	/* Head, framing and run stand one behind the other: one write, one TLS record where they fit. */
	at -= chunk_n;
	memcpy(b->data + at, chunk, chunk_n);
	at -= lead.n;
	if (lead.n)
		memcpy(b->data + at, lead.p, lead.n);
	switch (transport_write(&h->client->transport, b->data + at, to - at, &put)) {
	case IO_OK:
		return FRONT_TAKEN;
	case IO_AGAIN:
		h->out = b;
		h->out_owned = false;
		h->out_at = at + put;
		h->out_end = to;
		h->awaited = true;
		return FRONT_BLOCKED;
	default:
		h->gone = true;
		return FRONT_GONE;
	}
}

void
h1_send_answer(struct exchange *x, struct status_answer *a, bool page)
{
	struct h1 *h = exchange_front(x);
	struct buf *out = &h1_gateway(h)->scratch;

	h1_skip_body(h);
	h->closes = a->close = !h->keep_alive || h->upgrade || !h->body_done || h->ended || is_to_go(h1_gateway(h));
	h->answered = true;
	buf_reset(out);
	status_write(a, page, h->head_only, h->minor, out);
	if (buf_ok(out))
		h1_write(h, buf_slice(out));
	else
		h->gone = true;
}
