#include "proxyd/tunnel.h"

/* One turn of a way: 16 blocks are 512 KiB, as for bodies (relay.c). */
#define TURN_BLOCKS 16

void
tunnel_init(struct tunnel *t, struct block_pool *blocks, struct transport *client, struct transport *upstream)
{
	*t = (struct tunnel){ .blocks = blocks, .up = { .from = client, .to = upstream }, .down = { .from = upstream, .to = client } };
}

void
tunnel_begin_down(struct tunnel *t, struct block *b, size_t lead, bool ended)
{
	t->down.lead = lead;
	t->down.block = b;
	t->down.ended = ended;
}

static void
put_block(struct tunnel *t, struct tunnel_way *w)
{
	block_put(t->blocks, w->block);
	w->block = NULL;
}

void
tunnel_release(struct tunnel *t)
{
	put_block(t, &t->up);
	put_block(t, &t->down);
}

enum way { WAY_WAITS, WAY_GOES_ON, WAY_TURN, WAY_OVER, WAY_LOST, WAY_NO_MEMORY };

/* WAY_GOES_ON: nothing is left to write. */
static enum way
write_block(struct tunnel *t, struct tunnel_way *w)
{
	struct block *b = w->block;
	size_t put, lead;

	if (!b)
		return WAY_GOES_ON;
	enum io io = transport_write(w->to, b->data + b->from, b->to - b->from, &put);
	b->from += put;
	lead = put < w->lead ? put : w->lead;
	w->lead -= lead;
	w->bytes += put - lead;
	if (io == IO_AGAIN)
		return WAY_WAITS;
	put_block(t, w);
	if (io == IO_OK)
		return WAY_GOES_ON;
	/* It may have sent much before it closed: the opposite way finds its end, or the failure. */
	w->over = true;
	return WAY_OVER;
}

/* Read a block full, or what there is. WAY_WAITS: nothing. */
static enum way
read_block(struct tunnel *t, struct tunnel_way *w)
{
	struct block *b = w->block = block_get(t->blocks, BLOCK_BYTES);
	enum io io = IO_OK;

	if (!b)
		return WAY_NO_MEMORY;
	while (io == IO_OK && b->to < BLOCK_RUN_BYTES) {
		size_t got;
		io = transport_read(w->from, b->data + b->to, BLOCK_RUN_BYTES - b->to, &got);
		b->to += got;
	}
	w->ended = io == IO_EOF;
	if (b->to > 0) /* a failure shows again when these have gone */
		return WAY_GOES_ON;
	put_block(t, w);
	return io == IO_EOF ? WAY_GOES_ON : io == IO_AGAIN ? WAY_WAITS : WAY_LOST;
}

static enum way
run_way(struct tunnel *t, struct tunnel_way *w)
{
	unsigned budget = TURN_BLOCKS;

	while (!w->over) {
		enum way r = write_block(t, w);
		if (r != WAY_GOES_ON)
			return r;
		if (w->ended) {
			if (!transport_say_end(w->to))
				return WAY_WAITS;
			transport_end(w->to);
			w->over = true;
			break;
		}
		if (!transport_may_read(w->from))
			return WAY_WAITS;
		if (budget-- == 0)
			return WAY_TURN;
		r = read_block(t, w);
		if (r != WAY_GOES_ON)
			return r;
	}
	return WAY_OVER;
}

enum tunnel_state
tunnel_run(struct tunnel *t)
{
	enum way up = run_way(t, &t->up);
	enum way down = run_way(t, &t->down);

	if (up == WAY_LOST)
		return TUNNEL_CLIENT_LOST;
	if (down == WAY_LOST)
		return TUNNEL_UPSTREAM_LOST;
	if (up == WAY_NO_MEMORY || down == WAY_NO_MEMORY)
		return TUNNEL_NO_MEMORY;
	if (up == WAY_OVER && down == WAY_OVER)
		return TUNNEL_DONE;
	return up == WAY_TURN || down == WAY_TURN ? TUNNEL_TURN : TUNNEL_WAITS;
}
