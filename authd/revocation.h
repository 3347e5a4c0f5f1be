/* revocation.h - sessions that were ended while tokens with their sid are still good: noted in the store, numbered, until the last such token has expired;
 * and the requests that wait for news of them (proxyd's keepers, over the unix socket).
 *
 * A note is part of the write that ends the session: both survive a crash, or neither does. */
#ifndef AUTHD_REVOCATION_H
#define AUTHD_REVOCATION_H

#include "authd/app.h"

#define REVOCATION_SKEW_S 60            /* a verifier's clock may be behind ours by this */
#define REVOCATION_EPOCH_BYTES 12       /* random */
#define REVOCATION_WAIT_MS 25000        /* a request without news is answered after this */
#define REVOCATION_WAITERS_MAX 256
#define REVOCATION_ANSWER_MAX 4096      /* notes of one answer: at most 90 bytes each */

/* Inside a store write: note that a session has ended. Nothing if it is noted already. */
MUST_CHECK enum err revocation_put(struct store_txn *t, struct slice sid, struct arena *arena, int64_t now_s);
/* Inside a read or write: OK: nothing is noted of it; E_EMPTY: the session has ended. */
MUST_CHECK enum err revocation_check(struct store_txn *t, struct slice sid, struct arena *arena);

/* ---- news ---- */

struct revocations;

/* Makes the feed's own record if the store has none; watches the store. why as in store_open. */
MUST_CHECK enum err revocations_open(struct store *s, const struct rng *rng, struct revocations **out, char *why, size_t why_n);
void revocations_close(struct revocations *f);

/* fn runs on the writer thread after each commit that noted something, and must be short. One; NULL takes it away. */
void revocations_follow(struct revocations *f, void (*fn)(void *arg), void *arg);
/* Counts writes that noted something. */
uint64_t revocations_changes(struct revocations *f);
/* Let r wait until there is a change after `changes` was read, or REVOCATION_WAIT_MS are over, or all is stopped; then next runs. E_LIMIT: too many wait. */
MUST_CHECK enum err revocations_wait(struct revocations *f, struct request *r, uint64_t changes, uint64_t now_ms, void (*next)(struct request *r));
/* Resume who has waited long enough. */
void revocations_tick(struct revocations *f, uint64_t now_ms);
/* Resume everybody, and let nobody wait from now on. */
void revocations_stop(struct revocations *f);

struct revocation_news {
	struct arena *arena;
	struct slice epoch;  /* the reader's; .n 0: none */
	int64_t after;       /* last number that the reader has */
	/* results */
	bool fresh;          /* the reader has to be told all: it knows nothing, or knew another store */
	struct slice now_epoch;
	int64_t sequence;    /* last number told */
	struct buf *revoked; /* caller's: "{"sid":…,"until":…},…" appended */
	size_t n;
	bool more;           /* than REVOCATION_ANSWER_MAX */
};
/* Inside store_read. */
MUST_CHECK enum err revocation_read(struct store_txn *t, void *news);

#endif
