#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "proxyd/peers.h"

#define SLOTS_MIN 64

void
peers_key(const unsigned char address[16], uint64_t key[2])
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(key, address, 16);
	if (memcmp(address, mapped, sizeof(mapped)) != 0)
		key[1] = 0; /* IPv6: the interface's half is the customer's to choose */
}

/* Two words of one name. */
void
peers_name_key(struct slice name, uint64_t seed, uint64_t key[2])
{
	uint64_t a = seed ^ name.n, b = ~seed;

	while (name.n) {
		uint64_t word = 0;
		size_t n = name.n < sizeof(word) ? name.n : sizeof(word);
		memcpy(&word, name.p, n);
		a = (a ^ word) * UINT64_C(0xff51afd7ed558ccd);
		a ^= a >> 32;
		b = (b + word) * UINT64_C(0xc4ceb9fe1a85ec53);
		b ^= b >> 29;
		name = slice_of(name.p + n, name.n - n);
	}
	key[0] = a;
	key[1] = b | 1; /* an address has none, or its own */
}

/* Murmur3's finalizer over both words, seeded. */
uint64_t
peers_hash(const uint64_t key[2], uint64_t seed)
{
	uint64_t h = key[0] ^ seed;

	for (int i = 0; i < 2; i++) {
		h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
		h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
		h ^= i ? h >> 33 : key[1];
	}
	return h;
}

static size_t
home(const struct peers *p, const uint64_t key[2])
{
	return (size_t)peers_hash(key, p->seed) & (p->slots - 1);
}

/* Its slot, or the free one where it belongs. */
static struct peer *
find(const struct peers *p, const uint64_t key[2])
{
	size_t at = home(p, key);

	while (p->table[at].n && (p->table[at].key[0] != key[0] || p->table[at].key[1] != key[1]))
		at = (at + 1) & (p->slots - 1);
	return &p->table[at];
}

static bool
grow(struct peers *p)
{
	struct peers bigger = { .slots = p->slots ? p->slots * 2 : SLOTS_MIN, .used = p->used, .seed = p->seed };

	bigger.table = calloc(bigger.slots, sizeof(*bigger.table));
	if (!bigger.table)
		return false;
	for (size_t i = 0; i < p->slots; i++)
		if (p->table[i].n)
			*find(&bigger, p->table[i].key) = p->table[i];
	free(p->table);
	*p = bigger;
	return true;
}

bool
peers_enter(struct peers *p, const uint64_t key[2], uint32_t limit)
{
	if (p->used * 2 >= p->slots && !grow(p))
		return false;
	struct peer *e = find(p, key);
	if (e->n >= limit)
		return false;
	if (e->n++ == 0) {
		e->key[0] = key[0];
		e->key[1] = key[1];
		p->used++;
	}
	return true;
}

/* The slot becomes free: what stands behind it and was pushed there by it moves up (no tombstones). */
static void
close_gap(struct peers *p, size_t hole)
{
	for (size_t at = (hole + 1) & (p->slots - 1); p->table[at].n; at = (at + 1) & (p->slots - 1)) {
		size_t wanted = home(p, p->table[at].key);
		if (((at - wanted) & (p->slots - 1)) >= ((at - hole) & (p->slots - 1))) {
			p->table[hole] = p->table[at];
			hole = at;
		}
	}
	p->table[hole].n = 0;
}

void
peers_leave(struct peers *p, const uint64_t key[2])
{
	struct peer *e = find(p, key);
	assert(e->n > 0);
	if (--e->n)
		return;
	p->used--;
	close_gap(p, (size_t)(e - p->table));
}

void
peers_fini(struct peers *p)
{
	free(p->table);
	*p = (struct peers){ .seed = p->seed };
}
