#include <stdlib.h>
#include "proxyd/rate_table.h"

#define BURST_US (RATE_BURST_S * UINT64_C(1000000))
_Static_assert((RATE_ENTRIES / RATE_WAYS & (RATE_ENTRIES / RATE_WAYS - 1)) == 0, "sets are chosen by low bits");

enum err
rate_table_init(struct rate_table *t, uint32_t per_s, uint64_t seed)
{
	*t = (struct rate_table){ .seed = seed };
	if (per_s == 0)
		return OK;
	t->interval_us = 1000000 / (per_s < RATE_MAX ? per_s : RATE_MAX);
	t->entries = calloc(RATE_ENTRIES, sizeof(*t->entries));
	return t->entries ? OK : E_NOMEM;
}

void
rate_table_fini(struct rate_table *t)
{
	free(t->entries);
	*t = (struct rate_table){ .entries = NULL };
}

/* Murmur3's finalizer over both words, seeded. */
static struct rate_entry *
set_of(const struct rate_table *t, const uint64_t key[2])
{
	uint64_t h = key[0] ^ t->seed;

	for (int i = 0; i < 2; i++) {
		h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
		h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
		h ^= i ? h >> 33 : key[1];
	}
	return t->entries + (h & (RATE_ENTRIES / RATE_WAYS - 1)) * RATE_WAYS;
}

static struct rate_entry *
find(const struct rate_table *t, const uint64_t key[2])
{
	struct rate_entry *set = set_of(t, key);

	for (size_t i = 0; i < RATE_WAYS; i++)
		if (set[i].full_at_us && set[i].key[0] == key[0] && set[i].key[1] == key[1])
			return &set[i];
	return NULL;
}

/* A bucket holds BURST_US worth of drops; what is missing of it is full_at_us - now. */
static bool
has_drop(const struct rate_table *t, const struct rate_entry *e, uint64_t now_us)
{
	return !e || e->full_at_us <= now_us || e->full_at_us - now_us + t->interval_us <= BURST_US;
}

bool
rate_table_may(const struct rate_table *t, const uint64_t key[2], uint64_t now_ms)
{
	return !t->entries || has_drop(t, find(t, key), now_ms * 1000);
}

bool
rate_table_take(struct rate_table *t, const uint64_t key[2], uint64_t now_ms)
{
	uint64_t now_us = now_ms * 1000;

	if (!t->entries)
		return true;
	struct rate_entry *e = find(t, key);
	if (!has_drop(t, e, now_us))
		return false;
	if (!e) {
		e = set_of(t, key);
		for (struct rate_entry *other = e, *end = e + RATE_WAYS; other < end; other++)
			if (other->full_at_us < e->full_at_us)
				e = other;
		*e = (struct rate_entry){ .key = { key[0], key[1] } };
	}
	e->full_at_us = (e->full_at_us > now_us ? e->full_at_us : now_us) + t->interval_us;
	return true;
}
