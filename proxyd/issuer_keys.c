#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include "proxyd/issuer_keys.h"

/* A session token's audience is its issuer itself, so that no token that was made for a client passes for a session and no session token
 * for a bearer token: the issuer's URL is therefore never an audience of a bearer, whatever the configuration lists. */
static enum err
issuer_init(struct issuer *s, const struct proxyd_jwt *jwt, bool has_sessions)
{
	s->audiences = calloc(jwt->policy.audience_n + 1, sizeof(*s->audiences));
	if (!s->audiences)
		return E_NOMEM;
	s->bearer = jwt->policy;
	s->bearer.audiences = s->audiences;
	s->bearer.audience_n = 0;
	for (size_t i = 0; i < jwt->policy.audience_n; i++)
		if (!has_sessions || strcmp(jwt->policy.audiences[i], jwt->policy.issuer) != 0)
			s->audiences[s->bearer.audience_n++] = jwt->policy.audiences[i];
	if (has_sessions) {
		s->session_audience[0] = jwt->policy.issuer;
		s->session = jwt->policy;
		s->session.audiences = s->session_audience;
		s->session.audience_n = 1;
		s->session.authorized_parties = NULL;
		s->session.authorized_party_n = 0;
		s->session.how = IDENTITY_SESSION;
	}
	return OK;
}

enum err
issuer_keys_init(struct issuer_keys *k, const struct proxyd_config *config)
{
	const struct proxyd_jwt *all = config->authentication.jwt.items;

	*k = (struct issuer_keys){ .issuers = calloc(config->authentication.jwt.n + 1, sizeof(*k->issuers)) };
	if (!k->issuers)
		return E_NOMEM;
	for (; k->n < config->authentication.jwt.n; k->n++) {
		const struct proxyd_jwt *jwt = &all[k->n];
		if (issuer_init(&k->issuers[k->n], jwt, jwt == config->session_jwt) != OK) {
			issuer_keys_fini(k);
			return E_NOMEM;
		}
		if (jwt == config->session_jwt)
			k->session = &k->issuers[k->n];
		if (jwt == config->revocations_jwt)
			k->revoking = &k->issuers[k->n];
	}
	return OK;
}

static void
drop_keys(struct issuer *s)
{
	if (s->keys)
		jwk_set_fini(s->keys);
	free(s->keys);
	s->keys = NULL;
}

void
issuer_keys_fini(struct issuer_keys *k)
{
	for (size_t i = 0; i < k->n; i++) {
		drop_keys(&k->issuers[i]);
		free(k->issuers[i].audiences);
	}
	free(k->issuers);
	keycache_close(k->keycache);
	*k = (struct issuer_keys){ 0 };
}

void
issuer_keys_set_keycache(struct issuer_keys *k, struct keycache *kc)
{
	keycache_close(k->keycache);
	k->keycache = kc;
	k->generation = k->tried = 0; /* generations of another mapping say nothing about this one's */
	k->revoked_seen = 0;
	k->revoked_epoch++;
}

struct issuer *
issuer_keys_find(struct issuer_keys *k, struct slice issuer)
{
	for (size_t i = 0; i < k->n; i++)
		if (slice_eq_str(issuer, k->issuers[i].bearer.issuer))
			return &k->issuers[i];
	return NULL;
}

/* E_NOMEM: worth another try. */
static enum err
take_jwks(struct issuer_keys *k, struct issuer *s, struct slice jwks)
{
	unsigned char digest[32];

	if (EVP_Digest(jwks.p, jwks.n, digest, NULL, EVP_sha256(), NULL) != 1) {
		ERR_clear_error();
		return E_NOMEM;
	}
	if (s->keys && memcmp(digest, s->jwks_digest, sizeof(digest)) == 0)
		return OK; /* another issuer's keys changed; what these have verified stays verified */
	struct jwk_set *set = malloc(sizeof(*set));
	enum err e = set ? jwk_set_parse(jwks, set, NULL) : E_NOMEM;
	if (e != OK) {
		free(set);
		log_warn("keys of an issuer cannot be used, the last good ones stay", LOG_STR("issuer", s->bearer.issuer), LOG_STR("reason", err_name(e)));
		return e;
	}
	drop_keys(s);
	s->keys = set;
	memcpy(s->jwks_digest, digest, sizeof(digest));
	s->epoch++;
	k->epoch++;
	return OK;
}

void
issuer_keys_follow(struct issuer_keys *k)
{
	struct keycache_entry entry;
	struct buf snapshot;
	size_t pos = 0;
	uint64_t now = k->keycache ? keycache_generation(k->keycache) : 0;
	uint64_t revoked = k->keycache ? revoked_generation(keycache_revoked(k->keycache)) : 0;

	if (revoked != k->revoked_seen) {
		k->revoked_seen = revoked;
		k->revoked_epoch++;
	}
	if (now == 0 || now == k->tried)
		return;
	k->tried = now; /* what is damaged is reported once, not at every request */
	buf_init(&snapshot, KEYCACHE_SLOT_BYTES_MAX);
	enum err e = keycache_snapshot(k->keycache, &k->generation, &snapshot);
	if (e == OK || e == E_AGAIN || e == E_NOMEM)
		k->tried = k->generation; /* overtaken by the writer, or no memory: the next request looks again */
	if (e != OK && e != E_AGAIN)
		log_warn("key cache cannot be read, the last good keys stay", LOG_STR("reason", err_name(e)));
	while (e == OK && keycache_next(buf_slice(&snapshot), &pos, &entry) == OK) {
		struct issuer *s = issuer_keys_find(k, entry.issuer);
		if (s && take_jwks(k, s, entry.jwks) == E_NOMEM)
			k->generation = k->tried = 0;
	}
	buf_fini(&snapshot);
}

bool
issuer_keys_session_ended(const struct issuer_keys *k, struct slice sid)
{
	uint64_t digest[2];

	if (!k->keycache || sid.n == 0 || k->revoked_seen == 0)
		return false;
	return revoked_digest(sid, digest) != OK || revoked_has(keycache_revoked(k->keycache), digest);
}
