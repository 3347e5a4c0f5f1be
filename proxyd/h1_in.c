#include <assert.h>
#include "proxyd/h1_state.h"

/* Where the next unread byte is; NULL: only on the wire. */
static struct block *
pending(const struct h1 *h)
{
	if (h->pinned && h->pinned->from < h->pinned->to)
		return h->pinned;
	return h->in && h->in->from < h->in->to ? h->in : NULL;
}

bool
h1_has_pending(const struct h1 *h)
{
	return pending(h) != NULL;
}

void
h1_unpin(struct h1 *h)
{
	if (!h->pinned)
		return;
	if (h->pinned->from < h->pinned->to) {
		assert(!h->in);
		h->in = h->pinned;
		h->pinned = NULL;
	}
	h1_put_block(h, &h->pinned);
}

/* Room behind what is in h->in; a head may need more than one block. */
static bool
make_room(struct h1 *h)
{
	struct block_pool *pool = &h1_gateway(h)->blocks;
	struct block *b = h->in;

	if (!b)
		return (h->in = block_get(pool, BLOCK_BYTES)) != NULL;
	if (b->from == b->to) {
		b->from = b->to = 0;
	} else if (b->to == b->bytes && b->from > 0) {
		memmove(b->data, b->data + b->from, b->to - b->from);
		b->to -= b->from;
		b->from = 0;
	} else if (b->to == b->bytes) {
		/* One byte past the limit makes the parser refuse it. */
		size_t most = h1_gateway(h)->request_limits.head_bytes_max + 1;
		size_t bytes = b->bytes * 2 < most ? b->bytes * 2 : most;
		if (bytes <= b->bytes || !(b = block_grow(pool, b, bytes)))
			return false;
		h->in = b;
	}
	return true;
}

enum io
h1_read_more(struct h1 *h)
{
	size_t got;

	if (!transport_may_read(&h->client->transport))
		return IO_AGAIN;
	if (!make_room(h))
		return IO_FAILED;
	struct block *b = h->in;
	enum io io = transport_read(&h->client->transport, b->data + b->to, b->bytes - b->to, &got);
	b->to += got;
	if (io == IO_EOF)
		h->ended = true;
	if (b->from == b->to)
		h1_put_block(h, &h->in);
	return io;
}

bool
h1_look_ahead(struct h1 *h)
{
	if (pending(h) || h->ended)
		return true;
	enum io io = h1_read_more(h);
	return io == IO_OK || io == IO_AGAIN;
}

/* Raw bytes of the body: what is here, else what the wire has. *source: the block they stay in; NULL: the wire. */
static enum io
take_raw(struct h1 *h, char *p, size_t n, size_t *got, struct block **source)
{
	struct block *b = *source = pending(h);

	if (!b)
		return transport_read(&h->client->transport, p, n, got);
	*got = b->to - b->from < n ? b->to - b->from : n;
	memcpy(p, b->data + b->from, *got);
	b->from += *got;
	return IO_OK;
}

/* Bytes that take_raw gave and that are behind the body's end: the next request's. */
static bool
give_back(struct h1 *h, struct slice rest, struct block *source)
{
	if (source) {
		source->from -= rest.n;
	} else if (rest.n) {
		/* From the wire: so nothing was pending, and nothing is. */
		if (!h->in && !(h->in = block_get(&h1_gateway(h)->blocks, rest.n)))
			return false;
		memcpy(h->in->data, rest.p, rest.n);
		h->in->from = 0;
		h->in->to = rest.n;
	}
	return true;
}

static enum front_body
read_sized(struct h1 *h, char *p, size_t n, size_t *got)
{
	struct block *source;
	enum io io = take_raw(h, p, n < h->body_left ? n : (size_t)h->body_left, got, &source);

	if (io == IO_AGAIN)
		return FRONT_BODY_AGAIN;
	if (io != IO_OK)
		return FRONT_BODY_GONE;
	h->body_left -= *got;
	return h->body_left ? FRONT_BODY_SOME : FRONT_BODY_END;
}

/* Raw bytes go to p and are decoded there: what remains of them is never longer. */
static enum front_body
read_chunked(struct h1 *h, struct http_chunk *chunk, char *p, size_t n, size_t *got, const char **why)
{
	while (*got == 0) {
		struct block *source;
		struct slice in = { p, 0 }, run;
		enum io io = take_raw(h, p, n, &in.n, &source);
		if (io == IO_AGAIN)
			return FRONT_BODY_AGAIN;
		if (io != IO_OK)
			return FRONT_BODY_GONE;
		enum http_chunk_event event;
		while ((event = http_chunk_next(chunk, &in, &run, why)) == CHUNK_DATA) {
			memmove(p + *got, run.p, run.n);
			*got += run.n;
		}
		if (event == CHUNK_BAD)
			return FRONT_BODY_BAD;
		if (event == CHUNK_END)
			return give_back(h, in, source) ? FRONT_BODY_END : FRONT_BODY_GONE;
	}
	return FRONT_BODY_SOME;
}

enum front_body
h1_read_body(struct exchange *x, char *p, size_t n, size_t *got, const char **why)
{
	struct h1 *h = exchange_front(x);
	enum front_body body = FRONT_BODY_END;

	if (!h->body_done)
		body = h->body_framing == FRAMING_LENGTH ? read_sized(h, p, n, got)
							 : read_chunked(h, &exchange_request(x)->chunk, p, n, got, why);
	if (h->in && h->in->from == h->in->to)
		h1_put_block(h, &h->in);
	h->body_done = body == FRONT_BODY_END;
	if (body == FRONT_BODY_GONE)
		h->gone = true;
	return body;
}

void
h1_skip_body(struct h1 *h)
{
	struct block *b = pending(h);

	if (h->body_done || h->body_framing != FRAMING_LENGTH || !b || b->to - b->from < h->body_left)
		return;
	b->from += (size_t)h->body_left;
	h->body_left = 0;
	h->body_done = true;
}
