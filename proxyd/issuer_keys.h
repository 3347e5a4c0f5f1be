/* issuer_keys.h - the trusted issuers with their newest keys, in step with the key cache (one per worker, single-threaded).
 *
 * Owns: the key cache mapping it was given and one parsed JWK Set per issuer. Keys that cannot be read leave the last good ones in place. */
#ifndef PROXYD_ISSUER_KEYS_H
#define PROXYD_ISSUER_KEYS_H

#include "proxyd/config.h"
#include "proxyd/keycache.h"

struct issuer {
	struct id_token_policy bearer;  /* for tokens that callers bring */
	struct id_token_policy session; /* for session tokens from authd; issuer NULL: this issuer has no sessions */
	struct jwk_set *keys;           /* NULL: none yet */
	uint64_t epoch;                 /* counts how often the keys changed; what was verified in another epoch is verified again */
	unsigned char jwks_digest[32];
	const char **audiences;         /* that bearer.audiences points to */
	const char *session_audience[1];
};

struct issuer_keys {
	struct issuer *issuers;
	size_t n;
	struct issuer *session;         /* whose cookie counts; NULL: none */
	struct issuer *revoking;        /* whose ended sessions are heard of; NULL: nobody's */
	uint64_t epoch;                 /* counts changes of any issuer */
	struct keycache *keycache;
	uint64_t generation, tried;     /* held; last one that was tried */
	uint64_t revoked_seen;          /* generation of the ended sessions */
	uint64_t revoked_epoch;         /* counts their changes: what was found to live in another epoch is looked up again */
};

/* config's strings are borrowed. E_NOMEM. */
MUST_CHECK enum err issuer_keys_init(struct issuer_keys *k, const struct proxyd_config *config);
void issuer_keys_fini(struct issuer_keys *k);
/* Take over a mapping; the one before is closed. */
void issuer_keys_set_keycache(struct issuer_keys *k, struct keycache *kc);
/* Read the key cache if it has something newer: one load if not. */
void issuer_keys_follow(struct issuer_keys *k);
/* Whether the session that a token of the revoking issuer belongs to has ended. */
bool issuer_keys_session_ended(const struct issuer_keys *k, struct slice sid);
/* NULL: not trusted. Byte-equal (OpenID Connect Core 3.1.3.7 rule 2). */
struct issuer *issuer_keys_find(struct issuer_keys *k, struct slice issuer);

#endif
