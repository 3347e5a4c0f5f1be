#include <stdatomic.h>
#include <stdlib.h>
#include "proxyd/keycache.h"
#include "shared/sealed.h"

/* What stands in the shared memory. Set number g lives in slot g % 2, so that the writer of g + 1 never touches the
 * set that readers are sent to. A reader that is overtaken (the writer has begun g + 2) sees it from the counter and
 * copies again. Each word is stored with release and loaded with acquire: a reader that got one word of set g + 2 is
 * certain to see that the counter has passed g. */
#define KEYCACHE_MAGIC 0x3230736579656b67u /* "gkeyes02", little-endian */
#define SLOT_WORDS (KEYCACHE_SLOT_BYTES_MAX / sizeof(uint64_t))

struct slot {
	_Atomic uint64_t bytes; /* of words; never trusted past KEYCACHE_SLOT_BYTES_MAX */
	_Atomic uint64_t words[SLOT_WORDS];
};
struct region {
	_Atomic uint64_t magic;
	_Atomic uint64_t generation;
	struct slot slots[2];
	struct revoked_region revoked;
};
_Static_assert(sizeof(_Atomic uint64_t) == 8 && ATOMIC_LLONG_LOCK_FREE == 2, "the counter is shared between processes");
_Static_assert(KEYCACHE_SLOT_BYTES_MAX % sizeof(uint64_t) == 0, "slots are whole words");

struct keycache {
	const struct region *region;
	struct region *writable; /* the creator's mapping; NULL for readers */
};

/* An entry in a slot: this head, the issuer's bytes, the JWK Set's. */
struct entry_head {
	uint32_t issuer_n, jwks_n;
};

/* A reader that is overtaken this often in a row gives up for now: two publications within one copy of at most 1 MiB
 * cannot happen again and again unless the writer is hostile. */
#define SNAPSHOT_TRIES 8

enum err
keycache_create(struct keycache **out, int *fd)
{
	struct keycache *kc = calloc(1, sizeof(*kc));
	void *writable;

	if (!kc)
		return E_NOMEM;
	enum err e = sealed_create("gatehouse-keys", sizeof(struct region), fd, &writable);
	if (e) {
		free(kc);
		return e;
	}
	kc->writable = writable;
	kc->region = kc->writable;
	atomic_store(&kc->writable->magic, KEYCACHE_MAGIC);
	*out = kc;
	return OK;
}

enum err
keycache_open(int fd, struct keycache **out)
{
	struct keycache *kc = calloc(1, sizeof(*kc));
	const void *mapped;

	if (!kc)
		return E_NOMEM;
	enum err e = sealed_map(fd, sizeof(struct region), &mapped);
	if (e) {
		free(kc);
		return e;
	}
	kc->region = mapped;
	if (atomic_load(&kc->region->magic) != KEYCACHE_MAGIC) {
		keycache_close(kc);
		return E_FORMAT;
	}
	*out = kc;
	return OK;
}

void
keycache_close(struct keycache *kc)
{
	if (!kc)
		return;
	sealed_unmap(kc->region, sizeof(struct region));
	free(kc);
}

static void
slot_write(struct slot *slot, struct slice bytes)
{
	atomic_store_explicit(&slot->bytes, bytes.n, memory_order_release);
	for (size_t i = 0, at = 0; at < bytes.n; i++, at += sizeof(uint64_t)) {
		uint64_t word = 0;
		memcpy(&word, bytes.p + at, bytes.n - at < sizeof(word) ? bytes.n - at : sizeof(word));
		atomic_store_explicit(&slot->words[i], word, memory_order_release);
	}
}

enum err
keycache_publish(struct keycache *kc, const struct keycache_entry *entries, size_t n)
{
	struct buf bytes;
	uint64_t next = atomic_load_explicit(&kc->writable->generation, memory_order_relaxed) + 1;

	if (n > KEYCACHE_ISSUERS_MAX)
		return E_LIMIT;
	buf_init(&bytes, KEYCACHE_SLOT_BYTES_MAX);
	for (size_t i = 0; i < n; i++) {
		struct entry_head head = { (uint32_t)entries[i].issuer.n, (uint32_t)entries[i].jwks.n };
		if (entries[i].issuer.n > KEYCACHE_SLOT_BYTES_MAX || entries[i].jwks.n > KEYCACHE_SLOT_BYTES_MAX) {
			buf_fini(&bytes);
			return E_LIMIT;
		}
		buf_add(&bytes, &head, sizeof(head));
		buf_add_slice(&bytes, entries[i].issuer);
		buf_add_slice(&bytes, entries[i].jwks);
	}
	if (!buf_ok(&bytes)) {
		/* A buffer fails for its bound or for memory; only the former repeats with the same entries. */
		size_t total = 0;
		for (size_t i = 0; i < n; i++)
			total += sizeof(struct entry_head) + entries[i].issuer.n + entries[i].jwks.n;
		buf_fini(&bytes);
		return total > KEYCACHE_SLOT_BYTES_MAX ? E_LIMIT : E_NOMEM;
	}
	slot_write(&kc->writable->slots[next % 2], buf_slice(&bytes));
	atomic_store_explicit(&kc->writable->generation, next, memory_order_release);
	buf_fini(&bytes);
	return OK;
}

const struct revoked_region *
keycache_revoked(const struct keycache *kc)
{
	return &kc->region->revoked;
}

struct revoked_region *
keycache_revoked_writable(struct keycache *kc)
{
	return &kc->writable->revoked;
}

uint64_t
keycache_generation(const struct keycache *kc)
{
	return atomic_load_explicit(&kc->region->generation, memory_order_acquire);
}

/* Copy the slot of set `generation`. E_AGAIN: the writer came by meanwhile. */
static enum err
slot_copy(const struct region *region, uint64_t generation, struct buf *copy)
{
	const struct slot *slot = &region->slots[generation % 2];
	uint64_t bytes = atomic_load_explicit(&slot->bytes, memory_order_acquire);
	size_t words = bytes > KEYCACHE_SLOT_BYTES_MAX ? 0 : (size_t)(bytes + 7) / sizeof(uint64_t);

	buf_reset(copy);
	char *to = buf_reserve(copy, words * sizeof(uint64_t));
	for (size_t i = 0; to && i < words; i++) {
		uint64_t word = atomic_load_explicit(&slot->words[i], memory_order_acquire);
		memcpy(to + i * sizeof(word), &word, sizeof(word));
	}
	if (to)
		buf_commit(copy, words ? (size_t)bytes : 0);
	if (atomic_load_explicit(&region->generation, memory_order_relaxed) != generation)
		return E_AGAIN;
	if (bytes > KEYCACHE_SLOT_BYTES_MAX)
		return E_FORMAT;
	return buf_ok(copy) ? OK : E_NOMEM;
}

enum err
keycache_snapshot(const struct keycache *kc, uint64_t *gen, struct buf *out)
{
	struct buf copy;
	enum err e = E_AGAIN;
	uint64_t generation = 0;

	buf_init(&copy, KEYCACHE_SLOT_BYTES_MAX);
	for (int i = 0; i < SNAPSHOT_TRIES && e == E_AGAIN; i++) {
		generation = keycache_generation(kc);
		if (generation == 0)
			e = E_EMPTY;
		else if (generation == *gen)
			break;
		else
			e = slot_copy(kc->region, generation, &copy);
	}
	if (!e) {
		struct keycache_entry entry;
		size_t pos = 0;
		while ((e = keycache_next(buf_slice(&copy), &pos, &entry)) == OK)
			;
		e = e == E_EMPTY ? OK : e;
	}
	if (!e) {
		struct buf old = *out;
		copy.max = old.max;
		*out = copy;
		copy = old;
		*gen = generation;
	}
	buf_fini(&copy);
	return e;
}

enum err
keycache_next(struct slice snapshot, size_t *pos, struct keycache_entry *out)
{
	struct entry_head head;
	size_t at = *pos;

	if (at == snapshot.n)
		return E_EMPTY;
	if (at > snapshot.n || snapshot.n - at < sizeof(head))
		return E_FORMAT;
	memcpy(&head, snapshot.p + at, sizeof(head));
	at += sizeof(head);
	if (head.issuer_n == 0 || head.issuer_n > snapshot.n - at || head.jwks_n > snapshot.n - at - head.issuer_n)
		return E_FORMAT;
	out->issuer = slice_of(snapshot.p + at, head.issuer_n);
	out->jwks = slice_of(snapshot.p + at + head.issuer_n, head.jwks_n);
	*pos = at + head.issuer_n + head.jwks_n;
	return OK;
}
