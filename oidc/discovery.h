/* discovery.h - OpenID Connect Discovery 1.0 section 3/4, RFC 8414. */
#ifndef OIDC_DISCOVERY_H
#define OIDC_DISCOVERY_H

#include "shared/arena.h"
#include "shared/buf.h"

#define DISCOVERY_PATH "/.well-known/openid-configuration"
#define DISCOVERY_BYTES_MAX (64u * 1024)

struct discovery {
	struct slice issuer, authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint, device_authorization_endpoint, end_session_endpoint, revocation_endpoint;
};
/* Refuses an issuer that is not byte-equal to `issuer` (section 4.3) and a missing jwks_uri. Slices in arena. why: static text. */
MUST_CHECK enum err discovery_parse(struct slice json, const char *issuer, struct arena *arena, struct discovery *out, const char **why);

/* What an issuer offers; endpoints are issuer + their path; a NULL path is left out. */
struct discovery_offer {
	const char *issuer;
	const char *auth_path, *token_path, *keys_path, *userinfo_path, *device_path, *introspect_path, *revoke_path, *logout_path;
	const char *const *response_types, *const *grant_types, *const *algs, *const *pkce_methods, *const *scopes, *const *claims, *const *response_modes; /* NULL-terminated */
	bool backchannel_logout;
};
void discovery_print(const struct discovery_offer *o, struct buf *out);

#endif
