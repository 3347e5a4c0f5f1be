/* signer.h - mints JWTs: libjwt builds the header, once for a key and kind of token; the claims are signed as they were printed (oidc/token_claims.h), since
 * parsing and printing them again would cost half as much as ES256 itself; the held OpenSSL key signs. The only file that includes jwt.h. */
#ifndef AUTHD_SIGNER_H
#define AUTHD_SIGNER_H

#include "authd/keys.h"

/* alg: whose ring signs; JWS_ALG_NONE: the signer's own (key_set_signing). claims: a JSON object of ours, without blanks around it. typ: "JWT", "at+jwt"
 * (RFC 9068). Appends the compact token. E_FORMAT: not between braces; E_NOMEM; E_SYSTEM: OpenSSL. */
MUST_CHECK enum err signer_mint(struct keys *k, enum jws_alg alg, const char *typ, struct slice claims, struct buf *token);

#endif
