/* block.h - the buffers that bytes move through: one size, kept on a list, held by a connection only while it has bytes pending.
 *
 * A body that is relayed is read behind a gap and framed in place: the chunk head is put into the gap in front of the run, CRLF and the
 * last chunk behind it, and head, framing and run leave in one write. Not thread-safe; one pool per worker. */
#ifndef PROXYD_BLOCK_H
#define PROXYD_BLOCK_H

#include <stddef.h>
#include <stdint.h>
#include "proxyd/http_chunk.h"

/* A run fills two TLS records (RFC 8446 section 5.1: 2^14 bytes each) with nothing left over; in front of it the longest chunk head,
 * behind it CRLF "0" CRLF CRLF. */
#define BLOCK_RUN_BYTES 32768
#define BLOCK_GAP CHUNK_HEAD_BYTES_MAX
#define BLOCK_TAIL 7
#define BLOCK_BYTES (BLOCK_GAP + BLOCK_RUN_BYTES + BLOCK_TAIL)
/* 64 blocks of 32 KiB: 2 MiB that an idle worker keeps for its next burst. */
#define BLOCK_POOL_MAX 64

struct block {
	struct block *next; /* of the pool's list */
	size_t bytes;       /* of data: BLOCK_BYTES, or more */
	size_t from, to;    /* its holder's: what is in use, data[from..to) */
	char data[];
};

struct block_pool {
	struct block *free;
	size_t free_n;
	size_t held; /* handed out and not back */
};

/* from and to are 0. bytes: at least this many; up to BLOCK_BYTES come from the list. NULL: no memory. */
struct block *block_get(struct block_pool *pool, size_t bytes);
/* NULL: nothing. */
void block_put(struct block_pool *pool, struct block *b);
/* A block of at least bytes with data[from..to) of b at its front; b is back in the pool. NULL: no memory, b is as it was. */
struct block *block_grow(struct block_pool *pool, struct block *b, size_t bytes);
void block_pool_fini(struct block_pool *pool);

#endif
