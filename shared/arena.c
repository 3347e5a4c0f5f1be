#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <openssl/crypto.h>
#include "shared/arena.h"

#define ARENA_ALIGN alignof(max_align_t)
/* First block 1 KiB, each next one twice the last up to 64 KiB: a small request costs one allocation, a big
 * configuration some dozens. */
#define BLOCK_BYTES_MIN 1024
#define BLOCK_BYTES_MAX 65536
/* What "no bound" means: far past any machine's use, far below where a sum of sizes could wrap. */
#define ARENA_BYTES_MAX ((size_t)1 << 36)

struct arena_block {
	struct arena_block *next;
	size_t bytes; /* of data[] */
	alignas(max_align_t) char data[];
};

void
arena_init(struct arena *a, size_t bytes_max)
{
	*a = (struct arena){ .bytes_max = bytes_max };
}

/* What the newest block never gave out is zeros as it came. */
static void
release(struct arena *a, bool wipe)
{
	for (struct arena_block *b = a->blocks, *next; b; b = next) {
		next = b->next;
		if (wipe)
			OPENSSL_cleanse(b->data, b == a->blocks ? a->used : b->bytes);
		free(b);
	}
	arena_init(a, a->bytes_max);
}

void
arena_fini(struct arena *a)
{
	release(a, false);
}

void
arena_fini_secret(struct arena *a)
{
	release(a, true);
}

static size_t
bytes_left(const struct arena *a)
{
	return (a->bytes_max && a->bytes_max < ARENA_BYTES_MAX ? a->bytes_max : ARENA_BYTES_MAX) - a->total;
}

/* A block with room for n bytes of data, within the bound; counted in a->total but not yet linked. */
static struct arena_block *
block_new(struct arena *a, size_t n)
{
	size_t left = bytes_left(a);
	if (left < sizeof(struct arena_block) || n > left - sizeof(struct arena_block))
		return NULL;
	struct arena_block *b = calloc(1, sizeof(*b) + n);
	if (!b)
		return NULL;
	b->bytes = n;
	a->total += sizeof(*b) + n;
	return b;
}

static size_t
next_block_bytes(const struct arena *a, size_t n)
{
	size_t want = a->blocks ? a->blocks->bytes * 2 : BLOCK_BYTES_MIN;
	size_t left = bytes_left(a);

	if (want > BLOCK_BYTES_MAX)
		want = BLOCK_BYTES_MAX;
	if (left < sizeof(struct arena_block))
		return n;
	left = (left - sizeof(struct arena_block)) & ~(ARENA_ALIGN - 1);
	if (want > left)
		want = left;
	return want > n ? want : n;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	if (n > ARENA_BYTES_MAX)
		return NULL;
	/* At least one byte, so that two allocations never share an address. */
	n = ((n ? n : 1) + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);

	if (!a->blocks || a->blocks->bytes - a->used < n) {
		if (a->blocks && n > BLOCK_BYTES_MAX / 4) {
			/* Its own block, behind the newest, whose rest stays in use. */
			struct arena_block *big = block_new(a, n);
			if (!big)
				return NULL;
			big->next = a->blocks->next;
			a->blocks->next = big;
			return big->data;
		}
		struct arena_block *b = block_new(a, next_block_bytes(a, n));
		if (!b)
			return NULL;
		b->next = a->blocks;
		a->blocks = b;
		a->used = 0;
	}
	void *p = a->blocks->data + a->used;
	a->used += n;
	return p;
}

char *
arena_strndup(struct arena *a, const char *s, size_t n)
{
	if (n == SIZE_MAX)
		return NULL;
	char *p = arena_alloc(a, n + 1);
	if (p && n)
		memcpy(p, s, n); /* arena memory is zeroed: the NUL is there */
	return p;
}

char *
arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

struct slice
arena_slice(struct arena *a, struct slice s)
{
	char *p = arena_strndup(a, s.p, s.n);
	return p ? slice_of(p, s.n) : SLICE_NONE;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0)
		return NULL;
	char *p = arena_alloc(a, (size_t)n + 1);
	if (!p)
		return NULL;
	va_start(args, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, args);
	va_end(args);
	return p;
}
