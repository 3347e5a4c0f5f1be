/* signer.h - mints JWTs: libjwt builds header and claims, the held OpenSSL key signs. The only file that includes jwt.h. */
#ifndef AUTHD_SIGNER_H
#define AUTHD_SIGNER_H

#include "authd/keys.h"

/* claims: a JSON object. typ: "JWT", "at+jwt" (RFC 9068). Appends the compact token. E_FORMAT: claims are no object; E_NOMEM; E_SYSTEM: OpenSSL. */
MUST_CHECK enum err signer_mint(struct keys *k, const char *typ, struct slice claims, struct buf *token);

#endif
