/* keys.h - signing keys: made by OpenSSL, kept in the store; for each algorithm in use a ring, next -> active -> retired.
 *
 * In use is the signer's own algorithm, and what clients ask for by themselves. A ring that comes into use for a client signs at once with its first key, as at
 * the first start. The signer's own algorithm is changed like a key: what signed before goes on until every cache has the new one. A ring that nobody uses any
 * more retires.
 * A key is published in the JWK Set at least one cache lifetime (KEYS_PUBLISH_S; after a restart once more KEYS_MAX_AGE_S) before it signs, and
 * stays there until the last token it signed has expired, also when the lifetime of tokens was longer once. Thread-safe; readers take a reference to an immutable set. */
#ifndef AUTHD_KEYS_H
#define AUTHD_KEYS_H

#include "authd/store.h"
#include "authd/token_memory.h"
#include "oidc/jwk_set.h"
#include "shared/rng.h"

#define KEYS_MAX_AGE_S 300                  /* Cache-Control: max-age of /keys */
#define KEYS_PUBLISH_S (2 * KEYS_MAX_AGE_S) /* published before it signs */
#define KEYS_RINGS 2                        /* JWS_RS256 (2048), JWS_ES256 */
#define KEYS_RETIRED_MAX 48                 /* of each ring: 2 * 48 of JWK_SET_KEYS_MAX; room is left for rotations by hand */

#define KEYS_DESCRIBED_MAX JWK_SET_KEYS_MAX
#define KEYS_ALG(alg) (1u << (alg)) /* one of a set of algorithms */

struct keys;
struct keys_options {
	enum jws_alg alg;             /* the signer's own */
	unsigned client_algs;         /* KEYS_ALGs that clients ask for */
	int64_t rotation_period_s;    /* expiry.signingKeys */
	int64_t token_lifetime_max_s; /* longest token a key may sign */
	const struct clock *clock;
};

/* Loads what the store has; makes a first key (active at once) where a ring has none. why: for people. */
MUST_CHECK enum err keys_open(struct store *s, const struct keys_options *o, struct keys **out, char *why, size_t why_n);
void keys_close(struct keys *k);
/* Do what is due (make next, activate, retire, forget); returns seconds until the next call is due. Called by one maintenance thread. */
MUST_CHECK enum err keys_tick(struct keys *k, int64_t *next_s);
/* Rotate now, the ring of alg or (JWS_ALG_NONE) all: a new key is published and becomes active KEYS_PUBLISH_S later (one that is published already: as soon as
 * it has been for that long). keys_tick is due at once afterwards, to say when. E_EMPTY: alg is not in use. */
MUST_CHECK enum err keys_rotate(struct keys *k, enum jws_alg alg);
/* Before clients come that ask for more: afterwards something signs by each of algs, and keys stay published for tokens of that lifetime. Holds until
 * keys_reconfigure. After an error nothing has changed. Waits for the store; 0.1 s more for a ring's first key. */
MUST_CHECK enum err keys_prepare(struct keys *k, unsigned algs, int64_t token_lifetime_max_s);
/* From the next keys_tick on, which is due at once. */
void keys_reconfigure(struct keys *k, const struct keys_options *o);

/* What there is, without anything private; slices in arena. */
struct key_info {
	struct slice kid, alg;
	enum record_key_state state;
	int64_t created_at, active_at, retired_at, expires_at; /* active_at of a next key: when it will sign, at the earliest. 0: not (yet) */
};
MUST_CHECK enum err keys_describe(struct keys *k, struct arena *arena, struct key_info out[KEYS_DESCRIBED_MAX], size_t *n);

struct key_signing {
	char kid[JWK_KID_BYTES_MAX + 1];
	enum jws_alg alg;
	EVP_PKEY *key;
};
/* An immutable generation of the keys. Take, use, release. */
struct key_set {
	struct jwk_set verify;      /* public halves of all published keys */
	struct slice jwks_json;     /* prepared answer of /keys */
	unsigned algs;              /* KEYS_ALGs of all published keys */
	struct key_signing signing[KEYS_RINGS]; /* of each ring its active key; first what signs where no algorithm is asked for */
	size_t signing_n;           /* at least 1 */
	struct token_memory *verified; /* tokens that these keys have verified; may be NULL */
};
/* What signs by alg. JWS_ALG_NONE, or nothing does (a client's configuration has just gone): the first. */
const struct key_signing *key_set_signing(const struct key_set *set, enum jws_alg alg);
const struct key_set *keys_acquire(struct keys *k);
void keys_release(struct keys *k, const struct key_set *set);

#endif
