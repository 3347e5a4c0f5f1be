#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include "proxyd/revoked.h"

#define TRIES 8 /* as in keycache.c: being overtaken so often in a row takes a hostile writer */

enum err
revoked_digest(struct slice sid, uint64_t out[2])
{
	unsigned char digest[32];

	if (EVP_Digest(sid.p, sid.n, digest, NULL, EVP_sha256(), NULL) != 1) {
		ERR_clear_error();
		return E_NOMEM;
	}
	memcpy(out, digest, 2 * sizeof(*out));
	return OK;
}

static int
compare(const uint64_t a[2], const uint64_t b[2])
{
	size_t at = a[0] == b[0];

	return (a[at] > b[at]) - (a[at] < b[at]);
}

int
revoked_compare(const void *a, const void *b)
{
	const struct revoked_entry *x = a, *y = b;

	return compare(x->digest, y->digest);
}

void
revoked_publish(struct revoked_region *r, const struct revoked_entry *sorted, size_t n)
{
	uint64_t next = atomic_load_explicit(&r->generation, memory_order_relaxed) + 1;
	struct revoked_slot *slot = &r->slots[next % 2];

	assert(n <= REVOKED_MAX);
	atomic_store_explicit(&slot->n, n, memory_order_release);
	for (size_t i = 0; i < n; i++) {
		_Atomic uint64_t *words = &slot->words[i * REVOKED_WORDS];
		atomic_store_explicit(&words[0], sorted[i].digest[0], memory_order_release);
		atomic_store_explicit(&words[1], sorted[i].digest[1], memory_order_release);
		atomic_store_explicit(&words[2], (uint64_t)sorted[i].until, memory_order_release);
	}
	atomic_store_explicit(&r->generation, next, memory_order_release);
}

uint64_t
revoked_generation(const struct revoked_region *r)
{
	return atomic_load_explicit(&r->generation, memory_order_acquire);
}

static size_t
count(const struct revoked_slot *slot)
{
	uint64_t n = atomic_load_explicit(&slot->n, memory_order_acquire);

	return n < REVOKED_MAX ? (size_t)n : REVOKED_MAX;
}

static struct revoked_entry
entry_at(const struct revoked_slot *slot, size_t i)
{
	const _Atomic uint64_t *words = &slot->words[i * REVOKED_WORDS];

	return (struct revoked_entry){ { atomic_load_explicit(&words[0], memory_order_acquire), atomic_load_explicit(&words[1], memory_order_acquire) },
		(int64_t)atomic_load_explicit(&words[2], memory_order_acquire) };
}

static bool
search(const struct revoked_slot *slot, const uint64_t digest[2])
{
	size_t from = 0, to = count(slot);

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		struct revoked_entry e = entry_at(slot, middle);
		int order = compare(e.digest, digest);
		if (order == 0)
			return true;
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return false;
}

bool
revoked_has(const struct revoked_region *r, const uint64_t digest[2])
{
	for (int i = 0; i < TRIES; i++) {
		uint64_t generation = revoked_generation(r);
		bool found = generation && search(&r->slots[generation % 2], digest);
		if (atomic_load_explicit(&r->generation, memory_order_relaxed) == generation)
			return found;
	}
	return true;
}

enum err
revoked_copy(const struct revoked_region *r, struct revoked_entry out[REVOKED_MAX], size_t *n)
{
	for (int i = 0; i < TRIES; i++) {
		uint64_t generation = revoked_generation(r);
		const struct revoked_slot *slot = &r->slots[generation % 2];
		*n = generation ? count(slot) : 0;
		for (size_t j = 0; j < *n; j++)
			out[j] = entry_at(slot, j);
		if (atomic_load_explicit(&r->generation, memory_order_relaxed) == generation)
			return OK;
	}
	return E_AGAIN;
}
