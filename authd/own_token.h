/* own_token.h - reading back what this issuer signed itself: access tokens at its own endpoints, id_token_hint. */
#ifndef AUTHD_OWN_TOKEN_H
#define AUTHD_OWN_TOKEN_H

#include "authd/app.h"

struct own_token {
	struct slice sub, scope, grant, client_id, sid, jti, azp, aud; /* in the arena; .n 0: the token has none. aud: if it is one text */
	struct record_strings audiences; /* all of them */
	unsigned shown; /* SCOPE_*: which of a person's claims it has */
	int64_t issued_at, expires_at, auth_time;
};
/* typ: "at+jwt" or "JWT". OK; E_DENIED: it is not ours, not of that kind, or has expired (unless allowed); E_NOMEM. */
MUST_CHECK enum err own_token_open(struct request *r, struct slice token, const char *typ, bool allow_expired, struct own_token *out);

#endif
