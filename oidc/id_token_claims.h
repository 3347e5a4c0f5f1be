/* id_token_claims.h - the claims of a verified token: whether they are for us and of this hour, and whom they name. Internal to oidc/.
 * Spec: OpenID Connect Core 3.1.3.7, RFC 7519 section 4.1, Kubernetes AuthenticationConfiguration. */
#ifndef OIDC_ID_TOKEN_CLAIMS_H
#define OIDC_ID_TOKEN_CLAIMS_H

#include <jansson.h>
#include "oidc/id_token.h"

struct id_token_times {
	int64_t not_before; /* 0: none */
	int64_t expires_at;
};

/* Byte-equal: a slash or a capital more is another issuer. */
enum id_token_verdict id_token_claims_issuer(const json_t *claims, const char *issuer);
/* exp, nbf, iat. allow_expired: exp may lie in the past. */
enum id_token_verdict id_token_claims_times(const json_t *claims, int64_t now_s, int skew_s, bool allow_expired, struct id_token_times *out);
/* aud and azp. */
enum id_token_verdict id_token_claims_audience(const json_t *claims, const struct id_token_policy *policy);
/* Required claims, then username, groups, uid, extra, sid. Slices in arena; of *out only those fields are set. */
enum id_token_verdict id_token_claims_map(const json_t *claims, const struct id_token_policy *policy, struct arena *arena, struct identity *out);

#endif
