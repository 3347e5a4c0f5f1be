/* password.h - bcrypt in a bounded pool of threads of its own: 49 ms each at cost 10 never delays another request. */
#ifndef AUTHD_PASSWORD_H
#define AUTHD_PASSWORD_H

#include "shared/err.h"
#include "shared/rng.h"
#include "shared/slice.h"

struct password_pool;
/* threads 0: half of the CPUs, at least 1. queue_max 0: 256. */
struct password_pool *password_pool_new(unsigned threads, size_t queue_max);
/* Jobs that wait end with matches=false, err E_AGAIN. */
void password_pool_free(struct password_pool *p);

#define PASSWORD_BYTES_MAX 72
#define PASSWORD_COST_MIN 10
#define PASSWORD_COST_MAX 16

/* A bcrypt hash as dex accepts it: $2a$/$2b$/$2y$, cost 10..16. *why: static text of what was expected. */
bool password_hash_ok(struct slice hash, const char **why);
/* Cost of such a hash (any cost that bcrypt has, 4..31); 0: it is none. */
unsigned password_hash_cost(struct slice hash);

/* What an unknown user costs: the cost of the hashes that users have (4..31; default PASSWORD_COST_MIN). Any thread, any time. */
void password_pool_set_cost(struct password_pool *p, unsigned cost);

/* The same, unless it is higher already. */
void password_pool_raise_cost(struct password_pool *p, unsigned cost);
/* How many wait, and how many are being compared. */
void password_pool_load(struct password_pool *p, size_t *waiting, size_t *running);

/* A new hash, at PASSWORD_COST_MIN..PASSWORD_COST_MAX. It takes as long as a comparison: not for a server's thread.
 * E_FORMAT: password is not of 1..PASSWORD_BYTES_MAX bytes, or has a NUL; E_LIMIT: the cost; E_SYSTEM: no randomness, or crypt(3) failed. */
#define PASSWORD_HASH_BYTES 61 /* with NUL */
MUST_CHECK enum err password_hash_make(struct slice password, unsigned cost, const struct rng *rng, char out[PASSWORD_HASH_BYTES]);

/* Compare on the pool; password (copied, wiped) of 1..72 bytes without NUL, others never match. hash empty: an unknown user, who costs the same as a
 * known one and never matches. done runs on a pool thread, with err OK or, when nothing could be compared, E_SYSTEM or E_AGAIN.
 * E_LIMIT: the queue is full (answer 503 with Retry-After); E_FORMAT: hash is no bcrypt hash; E_NOMEM. */
MUST_CHECK enum err password_check(struct password_pool *p, struct slice password, struct slice hash, void (*done)(void *arg, enum err err, bool matches), void *arg);

#endif
