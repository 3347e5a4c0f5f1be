/* identity_table.h - who a credential stands for, by the credential's digest; bounded (one per worker, single-threaded).
 *
 * Owns: entries_max slots of 80 bytes, touched from the first on as they are needed, and a reference on each principal in them. Sets of IDENTITY_TABLE_WAYS slots: a new
 * entry takes a free slot of its set, else an expired one, else the one that was not used for the longest time. There are four times as many slots in use as entries, up to all:
 * one more set at a time takes its half of an earlier one's (linear hashing). Strewn over all slots from the start, each of the first thousand entries would cost two page faults. */
#ifndef PROXYD_IDENTITY_TABLE_H
#define PROXYD_IDENTITY_TABLE_H

#include "proxyd/authenticator.h"
#include "proxyd/credential_digest.h"
#include "proxyd/issuer_keys.h"

#define IDENTITY_TABLE_WAYS 8

struct identity_entry {
	unsigned char digest[CREDENTIAL_DIGEST_BYTES];
	struct principal *principal; /* NULL: free */
	struct issuer *issuer;       /* NULL: no keys are involved */
	uint64_t epoch;              /* of the issuer's keys when this was verified */
	uint64_t revoked_epoch;      /* of the ended sessions when this one was looked up among them */
	int64_t refresh_at;          /* sessions and reviewed tokens: when to ask next; 0: never */
	uint64_t used;               /* last use, counted in uses */
};
struct identity_table {
	struct identity_entry *entries;
	size_t sets, sets_max; /* in use; in all, a power of two */
	size_t level;          /* a power of two: level <= sets < 2 * level */
	size_t n;
	uint64_t uses;
};

/* entries_max is rounded up to sets of a power of two. E_NOMEM. */
MUST_CHECK enum err identity_table_init(struct identity_table *t, size_t entries_max);
void identity_table_fini(struct identity_table *t);
/* Entries are valid until the next put. NULL: none. */
struct identity_entry *identity_table_find(struct identity_table *t, const unsigned char digest[CREDENTIAL_DIGEST_BYTES]);
/* Takes over the caller's reference; an entry with this digest is replaced. */
struct identity_entry *identity_table_put(struct identity_table *t, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], struct principal *p,
	int64_t now_s);
void identity_table_remove(struct identity_table *t, struct identity_entry *e);

/* Credentials that were refused, so that the same garbage costs a digest and no more. Direct-mapped: garbage only ever evicts garbage. */
#define REFUSALS 1024
#define REFUSAL_LIFETIME_S 30
struct refusal {
	unsigned char digest[CREDENTIAL_DIGEST_BYTES];
	const char *why;  /* static; NULL: free */
	bool unknown_key; /* keys may be on their way */
	uint64_t epoch;   /* of all keys */
	int64_t until;
};
struct refusal_table {
	struct refusal slots[REFUSALS];
};
const struct refusal *refusal_find(const struct refusal_table *t, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], uint64_t epoch, int64_t now_s);
void refusal_put(struct refusal_table *t, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], const char *why, bool unknown_key, uint64_t epoch,
	int64_t until);

#endif
