/* key_plan.h - all signing keys as they are stored, and what becomes of them: for each algorithm in use a ring, next -> active -> retired. keys.h uses it; nobody
 * else does. */
#ifndef AUTHD_KEY_PLAN_H
#define AUTHD_KEY_PLAN_H

#include "authd/keys.h"

/* One key as stored. */
struct key_stored {
	struct slice kid;
	struct record_key r;
};
/* All keys of the store, and what is to be put at once. */
struct key_plan {
	struct arena arena;
	struct key_stored keys[JWK_SET_KEYS_MAX];
	size_t n;
	bool changed[JWK_SET_KEYS_MAX];
	bool gone[JWK_SET_KEYS_MAX];
};

/* Of store_read and store_write_wait; arg: the plan, with an arena of its own that is wiped afterwards. */
MUST_CHECK enum err key_plan_read(struct store_txn *t, void *plan);
MUST_CHECK enum err key_plan_write(struct store_txn *t, void *plan);
/* Whether a ring has to be there. */
bool keys_in_use(const struct keys_options *o, enum jws_alg alg);
/* What is due at now_s. soon: KEYS_ALGs of the rings to rotate. opened_at: since when somebody can fetch keys. *due_at: when to look again. */
MUST_CHECK enum err key_plan_advance(struct key_plan *p, const struct keys_options *o, int64_t opened_at, int64_t now_s, unsigned soon, int64_t *due_at);
/* The newest of a ring, or (JWS_ALG_NONE) of any, in a state; NULL: none. */
struct key_stored *key_plan_find(struct key_plan *p, enum jws_alg alg, enum record_key_state state);
/* What signs where no algorithm is asked for, at now_s: the signer's own, but not before every cache has its first key; until then what signed before. NULL:
 * nothing signs yet. */
struct key_stored *key_plan_default(struct key_plan *p, enum jws_alg alg, int64_t now_s);
/* NULL: damaged, or no memory. */
EVP_PKEY *key_stored_private(struct slice pem);

#endif
