#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "proxyd/block.h"

struct block *
block_get(struct block_pool *pool, size_t bytes)
{
	struct block *b = pool->free;

	if (b && bytes <= BLOCK_BYTES) {
		pool->free = b->next;
		pool->free_n--;
	} else {
		if (bytes < BLOCK_BYTES)
			bytes = BLOCK_BYTES;
		b = malloc(sizeof(*b) + bytes);
		if (!b)
			return NULL;
		b->bytes = bytes;
	}
	b->next = NULL;
	b->from = b->to = 0;
	pool->held++;
	return b;
}

void
block_put(struct block_pool *pool, struct block *b)
{
	if (!b)
		return;
	assert(pool->held > 0);
	pool->held--;
	if (b->bytes != BLOCK_BYTES || pool->free_n >= BLOCK_POOL_MAX) {
		free(b);
		return;
	}
	b->next = pool->free;
	pool->free = b;
	pool->free_n++;
}

struct block *
block_grow(struct block_pool *pool, struct block *b, size_t bytes)
{
	struct block *big = block_get(pool, bytes);

	if (!big)
		return NULL;
	assert(big->bytes >= b->to - b->from);
	memcpy(big->data, b->data + b->from, b->to - b->from);
	big->to = b->to - b->from;
	block_put(pool, b);
	return big;
}

void
block_pool_fini(struct block_pool *pool)
{
	for (struct block *b = pool->free, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	pool->free = NULL;
	pool->free_n = 0;
}
