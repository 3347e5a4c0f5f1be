/* revoked.h - sessions that have ended, by the digest of their sid, in memory that the keeper writes and workers read.
 *
 * Owns: nothing but the layout, which stands in the key cache's memfd. Two slots, as there: set g lives in slot g % 2, and the writer of g + 1 never
 * touches the set that readers are sent to. Readers bound what they read. */
#ifndef PROXYD_REVOKED_H
#define PROXYD_REVOKED_H

#include <stdatomic.h>
#include "shared/err.h"
#include "shared/slice.h"

#define REVOKED_MAX 65536 /* ended within the life of a token; 24 bytes each */

struct revoked_entry {
	uint64_t digest[2]; /* the first 16 bytes of SHA-256 of the sid: nobody can choose a sid, let alone two alike */
	int64_t until;      /* NumericDate: no token of it is good from here on */
};

#define REVOKED_WORDS 3 /* of an entry */
struct revoked_slot {
	_Atomic uint64_t n; /* entries; never trusted past REVOKED_MAX */
	_Atomic uint64_t words[REVOKED_MAX * REVOKED_WORDS];
};
struct revoked_region {
	_Atomic uint64_t generation; /* 0: nothing published yet */
	struct revoked_slot slots[2];
};

/* E_NOMEM: OpenSSL could not. */
MUST_CHECK enum err revoked_digest(struct slice sid, uint64_t out[2]);
/* Order of entries in a set. For qsort. */
int revoked_compare(const void *a, const void *b);

/* Writer. sorted by revoked_compare, no digest twice, n at most REVOKED_MAX. */
void revoked_publish(struct revoked_region *r, const struct revoked_entry *sorted, size_t n);

/* One load. */
uint64_t revoked_generation(const struct revoked_region *r);
/* Whether the newest set has it. True also when the writer is faster than any honest one. About 16 steps. */
bool revoked_has(const struct revoked_region *r, const uint64_t digest[2]);
/* Copy the newest set; *n: how many. E_AGAIN: overtaken again and again. */
MUST_CHECK enum err revoked_copy(const struct revoked_region *r, struct revoked_entry out[REVOKED_MAX], size_t *n);

#endif
