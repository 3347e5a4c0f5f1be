#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include "authd/limiter.h"

#define WAYS 8u
#define SETS (LIMITER_ENTRIES / WAYS)

enum kind { KIND_PAIR, KIND_ACCOUNT, KIND_ADDRESS };
static const unsigned free_failures[] = { LIMITER_PAIR_FREE, LIMITER_ACCOUNT_FREE, LIMITER_ADDRESS_FREE };

struct entry {
	unsigned char key[16]; /* all zero: unused */
	unsigned failures;
	int64_t last_at, open_at; /* monotonic seconds: of the last attempt; until when the next one waits */
	int64_t known_until;      /* pairs: the owner was here */
};
_Static_assert(sizeof(struct entry) == 48, "the arithmetic of LIMITER_ENTRIES");

struct limiter {
	const struct clock *clock;
	unsigned char secret[32]; /* so that nobody can aim at a set */
	pthread_mutex_t lock;
	struct entry entries[SETS][WAYS];
};

struct limiter *
limiter_new(const struct clock *clock, const struct rng *rng)
{
	struct limiter *l = calloc(1, sizeof *l);

	if (l && rng_fill(rng, l->secret, sizeof l->secret) != OK) {
		free(l);
		return NULL;
	}
	if (l) {
		l->clock = clock;
		pthread_mutex_init(&l->lock, NULL);
	}
	return l;
}

void
limiter_free(struct limiter *l)
{
	if (!l)
		return;
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* IPv6 customers own at least a /64. */
static void
address_add(EVP_MD_CTX *ctx, struct slice address)
{
	char text[INET6_ADDRSTRLEN] = "";
	unsigned char v6[16];

	if (address.n < sizeof text && address.n)
		memcpy(text, address.p, address.n);
	if (inet_pton(AF_INET6, text, v6) == 1)
		EVP_DigestUpdate(ctx, v6, 8);
	else
		EVP_DigestUpdate(ctx, address.p, address.n);
}

static void
account_add(EVP_MD_CTX *ctx, struct slice account)
{
	for (size_t i = 0; i < account.n; i++) {
		char c = account.p[i] >= 'A' && account.p[i] <= 'Z' ? (char)(account.p[i] | 0x20) : account.p[i];
		EVP_DigestUpdate(ctx, &c, 1);
	}
}

static bool
entry_key(const struct limiter *l, enum kind kind, struct slice account, struct slice address, unsigned char key[32])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char mark = (unsigned char)kind;
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

	if (ok) {
		EVP_DigestUpdate(ctx, l->secret, sizeof l->secret);
		EVP_DigestUpdate(ctx, &mark, 1);
		if (kind != KIND_ADDRESS)
			account_add(ctx, account);
		EVP_DigestUpdate(ctx, "", 1); /* a NUL between the two: neither holds one */
		if (kind != KIND_ACCOUNT)
			address_add(ctx, address);
		ok = EVP_DigestFinal_ex(ctx, key, NULL) == 1;
	}
	EVP_MD_CTX_free(ctx);
	return ok;
}

/* The entry of a key, or the one that makes room for it: unused, else used longest ago; those of known owners go last. */
static struct entry *
entry_find(struct limiter *l, const unsigned char key[32], int64_t now_s)
{
	struct entry *set = l->entries[((unsigned)key[16] << 8 | key[17]) % SETS];
	struct entry *oldest = &set[0];

	for (size_t i = 0; i < WAYS; i++) {
		if (memcmp(set[i].key, key, sizeof set[i].key) == 0)
			return &set[i];
		bool known = set[i].known_until > now_s, oldest_known = oldest->known_until > now_s;
		if (known < oldest_known || (known == oldest_known && set[i].last_at < oldest->last_at))
			oldest = &set[i];
	}
	*oldest = (struct entry){ .last_at = now_s };
	memcpy(oldest->key, key, sizeof oldest->key);
	return oldest;
}

static int64_t
now_mono_s(const struct limiter *l)
{
	/* From 1: 0 is what an unused entry has. */
	return (int64_t)(clock_mono_ms(l->clock) / 1000) + 1;
}

static void
entry_failed(struct entry *e, enum kind kind, int64_t now_s)
{
	unsigned over;

	e->failures++;
	e->last_at = now_s;
	if (e->failures < free_failures[kind])
		return;
	over = e->failures - free_failures[kind];
	e->open_at = now_s + (over < 9 ? 1 << over : LIMITER_WAIT_S_MAX); /* 1, 2, 4 … 256, 300 */
}

/* Entries of an attempt; the later ones may have taken the place of an earlier one only if all share a set, and then the earlier is
 * merely forgotten. False: no digest could be made. */
static bool
entries_find(struct limiter *l, struct slice account, struct slice address, int64_t now_s, struct entry *e[3])
{
	for (int kind = KIND_PAIR; kind <= KIND_ADDRESS; kind++) {
		unsigned char key[32];
		if (!entry_key(l, (enum kind)kind, account, address, key))
			return false;
		e[kind] = entry_find(l, key, now_s);
		if (now_s - e[kind]->last_at > LIMITER_FORGET_S)
			e[kind]->failures = 0;
	}
	return true;
}

unsigned
limiter_attempt(struct limiter *l, struct slice account, struct slice address)
{
	int64_t now_s = now_mono_s(l), wait_s = 0;
	struct entry *e[3];

	pthread_mutex_lock(&l->lock);
	if (!entries_find(l, account, address, now_s, e)) {
		pthread_mutex_unlock(&l->lock);
		return 1;
	}
	bool known = e[KIND_PAIR]->known_until > now_s;
	for (int kind = KIND_PAIR; kind <= KIND_ADDRESS; kind++)
		if (!(known && kind == KIND_ACCOUNT) && e[kind]->open_at - now_s > wait_s)
			wait_s = e[kind]->open_at - now_s;
	for (int kind = KIND_PAIR; wait_s == 0 && kind <= KIND_ADDRESS; kind++)
		entry_failed(e[kind], (enum kind)kind, now_s);
	pthread_mutex_unlock(&l->lock);
	return (unsigned)wait_s;
}

/* The attempt was counted as a failure: taken back from the address and the account; the pair starts anew. */
static void
entry_unfail(struct entry *e)
{
	if (e->failures)
		e->failures--;
	e->open_at = 0;
}

void
limiter_succeeded(struct limiter *l, struct slice account, struct slice address)
{
	int64_t now_s = now_mono_s(l);
	struct entry *e[3];

	pthread_mutex_lock(&l->lock);
	if (entries_find(l, account, address, now_s, e)) {
		entry_unfail(e[KIND_ADDRESS]);
		entry_unfail(e[KIND_ACCOUNT]);
		e[KIND_PAIR]->failures = 0;
		e[KIND_PAIR]->open_at = 0;
		e[KIND_PAIR]->known_until = now_s + LIMITER_KNOWN_S;
	}
	pthread_mutex_unlock(&l->lock);
}
