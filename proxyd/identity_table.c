#include <stdlib.h>
#include "proxyd/identity_table.h"

#define SETS_MIN 32
#define SLOTS_PER_ENTRY 4

enum err
identity_table_init(struct identity_table *t, size_t entries_max)
{
	*t = (struct identity_table){ .sets_max = 1 };
	while (t->sets_max * IDENTITY_TABLE_WAYS < entries_max)
		t->sets_max *= 2;
	t->sets = t->level = t->sets_max < SETS_MIN ? t->sets_max : SETS_MIN;
	t->entries = calloc(t->sets_max * IDENTITY_TABLE_WAYS, sizeof(*t->entries));
	return t->entries ? OK : E_NOMEM;
}

void
identity_table_fini(struct identity_table *t)
{
	for (size_t i = 0; t->entries && i < t->sets * IDENTITY_TABLE_WAYS; i++)
		principal_unref(t->entries[i].principal);
	free(t->entries);
	*t = (struct identity_table){ 0 };
}

/* A digest is as good as random: any 8 bytes of it choose. n: a power of two. */
static size_t
digest_index(const unsigned char digest[CREDENTIAL_DIGEST_BYTES], size_t n)
{
	uint64_t v;

	memcpy(&v, digest, sizeof(v));
	return (size_t)(v & (n - 1));
}

static struct identity_entry *
set_at(const struct identity_table *t, size_t i)
{
	return t->entries + i * IDENTITY_TABLE_WAYS;
}

/* Of those that are in use: one that is not there yet has its entries in the one that it will come from. */
static struct identity_entry *
set_of(const struct identity_table *t, const unsigned char digest[CREDENTIAL_DIGEST_BYTES])
{
	size_t i = digest_index(digest, 2 * t->level);

	return set_at(t, i < t->sets ? i : i - t->level);
}

static void
add_set(struct identity_table *t)
{
	struct identity_entry *from = set_at(t, t->sets - t->level), *to = set_at(t, t->sets);

	for (size_t i = 0; i < IDENTITY_TABLE_WAYS; i++) {
		if (!from[i].principal || digest_index(from[i].digest, 2 * t->level) != t->sets)
			continue;
		to[i] = from[i];
		from[i] = (struct identity_entry){ .principal = NULL };
	}
	t->sets++;
	if (t->sets == 2 * t->level)
		t->level = t->sets;
}

struct identity_entry *
identity_table_find(struct identity_table *t, const unsigned char digest[CREDENTIAL_DIGEST_BYTES])
{
	struct identity_entry *set = set_of(t, digest);

	for (size_t i = 0; i < IDENTITY_TABLE_WAYS; i++) {
		if (set[i].principal && memcmp(set[i].digest, digest, CREDENTIAL_DIGEST_BYTES) == 0) {
			set[i].used = ++t->uses;
			return &set[i];
		}
	}
	return NULL;
}

void
identity_table_remove(struct identity_table *t, struct identity_entry *e)
{
	principal_unref(e->principal);
	*e = (struct identity_entry){ .principal = NULL };
	t->n--;
}

/* Which slot a new entry costs: the lower, the better. */
static uint64_t
cost(const struct identity_entry *e, int64_t now_s)
{
	if (!e->principal)
		return 0;
	return e->principal->expires_at <= now_s ? 1 : 1 + e->used;
}

struct identity_entry *
identity_table_put(struct identity_table *t, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], struct principal *p, int64_t now_s)
{
	struct identity_entry *e = identity_table_find(t, digest);

	if (!e) {
		if (t->sets < t->sets_max && t->n * SLOTS_PER_ENTRY >= t->sets * IDENTITY_TABLE_WAYS)
			add_set(t);
		struct identity_entry *set = e = set_of(t, digest);
		for (size_t i = 1; i < IDENTITY_TABLE_WAYS; i++)
			if (cost(&set[i], now_s) < cost(e, now_s))
				e = &set[i];
	}
	if (e->principal)
		identity_table_remove(t, e);
	*e = (struct identity_entry){ .principal = p, .used = ++t->uses };
	memcpy(e->digest, digest, CREDENTIAL_DIGEST_BYTES);
	t->n++;
	return e;
}

_Static_assert((REFUSALS & (REFUSALS - 1)) == 0, "indexed by low bits");

const struct refusal *
refusal_find(const struct refusal_table *t, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], uint64_t epoch, int64_t now_s)
{
	const struct refusal *r = &t->slots[digest_index(digest, REFUSALS)];

	if (!r->why || r->epoch != epoch || now_s >= r->until || memcmp(r->digest, digest, CREDENTIAL_DIGEST_BYTES) != 0)
		return NULL;
	return r;
}

void
refusal_put(struct refusal_table *t, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], const char *why, bool unknown_key, uint64_t epoch,
	int64_t until)
{
	struct refusal *r = &t->slots[digest_index(digest, REFUSALS)];

	*r = (struct refusal){ .why = why, .unknown_key = unknown_key, .epoch = epoch, .until = until };
	memcpy(r->digest, digest, CREDENTIAL_DIGEST_BYTES);
}
