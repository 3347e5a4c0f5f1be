/* rate_table.h - how fast somebody is allowed to go on, for as many as there are; bounded. Pure: the clock is a parameter.
 *
 * Each key has a bucket that refills at the rate and holds some seconds of it. Owns: RATE_ENTRIES slots of 24 bytes, touched as they are needed, in sets
 * of RATE_WAYS: a new key takes the place of the one with the fullest bucket, so that who is over the limit is not forgotten for somebody new. */
#ifndef PROXYD_RATE_TABLE_H
#define PROXYD_RATE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shared/err.h"

#define RATE_ENTRIES 16384u /* 384 KiB; a flood from more addresses than that, each below the limit, is none of one address */
#define RATE_WAYS 8u
#define RATE_MAX 1000000    /* a second */
/* What a full bucket holds. */
#define RATE_BURST_S 10

struct rate_entry {
	uint64_t key[2];
	uint64_t full_at_us; /* when the bucket will be full again; 0: unused */
};
struct rate_table {
	struct rate_entry *entries; /* NULL: no limit */
	uint64_t interval_us;       /* between two drops */
	uint64_t seed;              /* so that nobody chooses keys of one set */
};

/* per_s: 1..RATE_MAX; 0: no limit, and everything below says yes. E_NOMEM. */
MUST_CHECK enum err rate_table_init(struct rate_table *t, uint32_t per_s, uint64_t seed);
void rate_table_fini(struct rate_table *t);
/* Take a drop. False: there is none, and none is taken. */
bool rate_table_take(struct rate_table *t, const uint64_t key[2], uint64_t now_ms);
/* There is a drop. */
bool rate_table_may(const struct rate_table *t, const uint64_t key[2], uint64_t now_ms);

#endif
