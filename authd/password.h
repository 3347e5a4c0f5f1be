/* password.h - bcrypt in a bounded pool of threads of its own: 49 ms each at cost 10 never delays another request. */
#ifndef AUTHD_PASSWORD_H
#define AUTHD_PASSWORD_H

#include "shared/err.h"
#include "shared/slice.h"

struct password_pool;
/* threads 0: half of the CPUs, at least 1. queue_max 0: 256. */
struct password_pool *password_pool_new(unsigned threads, size_t queue_max);
/* Jobs that wait end with matches=false, err E_AGAIN. */
void password_pool_free(struct password_pool *p);

/* A bcrypt hash as dex accepts it: $2a$/$2b$/$2y$, cost 10..16. *why: static text of what was expected. */
bool password_hash_ok(struct slice hash, const char **why);

/* Compare on the pool; password (copied, wiped) of 1..72 bytes without NUL, longer ones never match. hash empty: an unknown user, which costs the same as a
 * known one and never matches. done runs on a pool thread. E_LIMIT: the queue is full (answer 503 with Retry-After). */
MUST_CHECK enum err password_check(struct password_pool *p, struct slice password, struct slice hash, void (*done)(void *arg, enum err err, bool matches), void *arg);

#endif
