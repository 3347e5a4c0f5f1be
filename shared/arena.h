/* arena.h - memory that is freed all at once; one per request or per loaded config. Not thread-safe.
 * Bounded: an arena never takes more than the maximum given at init. */
#ifndef SHARED_ARENA_H
#define SHARED_ARENA_H

#include "shared/err.h"
#include "shared/slice.h"

struct arena_block;
struct arena {
	struct arena_block *blocks; /* newest first */
	size_t used, total, bytes_max;
};

/* No allocation happens until the first use. bytes_max 0: no bound. */
void arena_init(struct arena *a, size_t bytes_max);
/* Frees everything that came from it; the arena can be used again. Blocks are wiped when
 * arena_fini_secret is used instead. */
void arena_fini(struct arena *a);
void arena_fini_secret(struct arena *a);

/* Zeroed, aligned for any type. NULL when memory or the bound is exhausted. */
void *arena_alloc(struct arena *a, size_t n);
/* NUL-terminated copy. NULL when exhausted. */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_strdup(struct arena *a, const char *s);
/* Copy of a slice; .p is NULL when exhausted (a copied empty slice has a non-NULL .p). NUL follows the bytes. */
struct slice arena_slice(struct arena *a, struct slice s);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
