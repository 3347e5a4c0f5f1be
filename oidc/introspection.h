/* introspection.h - what an issuer says about a token of its own, as JSON. Pure.   Spec: RFC 7662 section 2.2. */
#ifndef OIDC_INTROSPECTION_H
#define OIDC_INTROSPECTION_H

#include "shared/buf.h"

/* A token that can be used now. Empty texts are left out. */
struct introspection {
	struct slice issuer, sub, audience, client_id, scope, username, sid, jti;
	const char *use;     /* "access_token", "refresh_token" (dex's token_use) */
	int64_t issued_at;
	int64_t expires_at;  /* 0: it has no end */
};
void introspection_print(const struct introspection *i, struct buf *out);
/* Unknown, expired, ended, of another issuer, or not the caller's business: one answer for all. */
#define INTROSPECTION_INACTIVE "{\"active\":false}"

#endif
