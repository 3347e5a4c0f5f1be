/* pkce.h - RFC 7636. */
#ifndef OIDC_PKCE_H
#define OIDC_PKCE_H

#include "shared/slice.h"
#include "shared/err.h"

enum pkce_method { PKCE_NONE, PKCE_S256, PKCE_PLAIN };
#define PKCE_CHALLENGE_BYTES 43 /* of S256 */

/* 43..128 unreserved characters (section 4.1). */
bool pkce_verifier_ok(struct slice verifier);
bool pkce_challenge_ok(struct slice challenge, enum pkce_method method);
/* S256 challenge of a verifier: 43 characters + NUL. */
void pkce_challenge_s256(struct slice verifier, char out[PKCE_CHALLENGE_BYTES + 1]);
/* Section 4.6. PKCE_NONE with an empty verifier matches; a verifier without a challenge, or the reverse, does not. */
bool pkce_matches(enum pkce_method method, struct slice challenge, struct slice verifier);

#endif
