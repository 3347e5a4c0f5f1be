/* principal.h - a verified caller in one allocation: identity, header block and, for sessions, the token that says so. */
#ifndef PROXYD_PRINCIPAL_H
#define PROXYD_PRINCIPAL_H

#include "proxyd/authenticator.h"

/* Copies all of id. token: empty, or kept to be verified again when keys change. The caller has the one reference.
 * E_FORMAT: the identity must not become headers (impersonate.h); E_LIMIT; E_NOMEM. */
MUST_CHECK enum err principal_new(const struct identity *id, struct slice token, int64_t expires_at, int64_t refresh_at, struct principal **out);
struct slice principal_token(const struct principal *p);

#endif
