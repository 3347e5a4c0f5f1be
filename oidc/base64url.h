/* base64url.h - base64url without padding (RFC 4648 section 5, RFC 7515 section 2), strict. */
#ifndef OIDC_BASE64URL_H
#define OIDC_BASE64URL_H

#include "shared/buf.h"

#define BASE64URL_ENCODED_BYTES(n) (((n) * 4 + 2) / 3)

/* out holds BASE64URL_ENCODED_BYTES(n) + 1; NUL-terminated. Returns the length. */
size_t base64url_encode(const void *in, size_t n, char *out);
void base64url_add(struct buf *b, const void *in, size_t n);
/* Whether in is the one spelling of some bytes: what base64url_decode accepts. The empty string is. */
bool base64url_ok(struct slice in);
/* Refuses '=', '+', '/', blanks, length%4==1 and non-zero trailing bits (E_FORMAT); more than cap bytes: E_LIMIT. */
MUST_CHECK enum err base64url_decode(struct slice in, void *out, size_t cap, size_t *n);

#endif
