/* provider.h - the issuer as a client sees it: discovery, the authorization URL, the token endpoint, and the id_token that comes back, verified. */
#ifndef OIDC_LOGIN_PROVIDER_H
#define OIDC_LOGIN_PROVIDER_H

#include "oidc/discovery.h"
#include "oidc/id_token.h"
#include "oidc/login/cache.h"
#include "shared/fetch.h"

struct provider {
	struct arena arena;
	struct fetcher *fetcher;
	const char *issuer, *client_id, *scope, *ca_file; /* ca_file NULL: the system's */
	struct discovery discovery;
	struct jwk_set keys;
	bool discovered;
};

/* Strings are borrowed. E_NOMEM. */
MUST_CHECK enum err provider_init(struct provider *p, const char *issuer, const char *client_id, const char *scope, const char *ca_file);
void provider_fini(struct provider *p);
/* Discovery and keys, once. why (>= 512 bytes): for people. */
MUST_CHECK enum err provider_discover(struct provider *p, char *why, size_t why_n);
/* Append the URL that starts a sign-in (code flow, S256). */
MUST_CHECK enum err provider_authorization_url(const struct provider *p, const char *redirect_uri, struct slice state, struct slice nonce,
	struct slice challenge, struct buf *url);
/* Redeem a code; the id_token's signature, iss, aud, exp and nonce are checked. Slices of *out in arena. E_DENIED: the issuer refused (why says its words). */
MUST_CHECK enum err provider_redeem(struct provider *p, struct slice code, const char *redirect_uri, struct slice verifier, struct slice nonce,
	struct arena *arena, struct login_tokens *out, char *why, size_t why_n);
/* A device that waits for its person (RFC 8628 section 3.2). */
struct provider_device {
	struct slice device_code, user_code, verification_uri, verification_uri_complete; /* the last may be empty */
	int64_t expires_in_s, interval_s;
};
MUST_CHECK enum err provider_device_start(struct provider *p, struct arena *arena, struct provider_device *out, char *why, size_t why_n);
/* Ask once (section 3.4, 3.5). E_AGAIN: nobody has signed in yet; E_LIMIT: the same, and the interval has to grow; E_SYSTEM: the issuer cannot be reached;
 * E_DENIED: refused, or too late. */
MUST_CHECK enum err provider_device_poll(struct provider *p, struct slice device_code, struct arena *arena, struct login_tokens *out, char *why, size_t why_n);
/* E_DENIED: the refresh token is no longer good: sign in again. E_SYSTEM: the issuer cannot be reached. */
MUST_CHECK enum err provider_refresh(struct provider *p, struct slice refresh_token, struct arena *arena, struct login_tokens *out, char *why, size_t why_n);

#endif
