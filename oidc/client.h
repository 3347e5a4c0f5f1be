/* client.h - a relying party as registered, and what it may ask for. */
#ifndef OIDC_CLIENT_H
#define OIDC_CLIENT_H

#include "oidc/jwk_set.h"

/* A claim that a client's tokens carry beside the usual ones: a text, or something about the person. */
enum client_claim_from { CLAIM_TEXT, CLAIM_SUB, CLAIM_USER_ID, CLAIM_CONNECTOR_ID, CLAIM_NAME, CLAIM_PREFERRED_USERNAME, CLAIM_EMAIL, CLAIM_GROUPS };
/* "sub" and so on; "" for CLAIM_TEXT. */
#define CLIENT_CLAIM_SOURCES (CLAIM_GROUPS + 1)
const char *client_claim_from_name(enum client_claim_from from);
/* False: it is none of the names. */
bool client_claim_from_find(struct slice name, enum client_claim_from *out);
struct client_claim {
	const char *name, *text; /* text: of CLAIM_TEXT */
	enum client_claim_from from;
};

struct client {
	const char *id;
	const char *secret;       /* NULL: none is asked for (only public clients have none; one that has a secret must present it) */
	struct slice secret_hash; /* SHA-256 of the secret where only that is known; then secret is NULL */
	const char *name;
	const char *const *redirect_uris;
	size_t redirect_uri_n;
	const char *const *trusted_peers; /* clients that may ask for this one as audience */
	size_t trusted_peer_n;
	const char *const *allowed_connectors; /* n 0: all */
	size_t allowed_connector_n;
	const char *const *post_logout_redirect_uris;
	size_t post_logout_redirect_uri_n;
	const char *backchannel_logout_uri;
	const char *logo_url;
	unsigned grant_types; /* GRANT_BITs (oidc/token_request.h) of what it may use; 0: whatever the issuer allows */
	int64_t id_tokens_s;                           /* lifetime of ID and access tokens; 0: the issuer's */
	int64_t refresh_absolute_s, refresh_idle_s;    /* of refresh tokens; 0: the issuer's */
	const char *const *groups; /* patterns of the groups it is told, '*' for any run of characters; n 0: all */
	size_t group_n;
	const struct client_claim *claims;
	size_t claim_n;
	enum jws_alg signing_alg;  /* of its tokens; JWS_ALG_NONE: the issuer's */
	bool plain_subject;        /* sub is "CONNECTOR:USER" instead of dex's encoding of both */
	bool public;
};

static inline bool
client_has_secret(const struct client *c)
{
	return c->secret || c->secret_hash.n;
}

/* Exact match; for a public client http://127.0.0.1, http://[::1] and http://localhost match any port with the registered path
 * (RFC 8252 section 7.3). A public client with no registered URI at all may use any loopback URI and urn:ietf:wg:oauth:2.0:oob (dex). */
bool client_redirect_uri_ok(const struct client *c, struct slice uri);

/* dex's mark of a client that may use the device flow, among its redirect URIs: no address that anybody is ever sent to. */
#define CLIENT_DEVICE_CALLBACK "/device/callback"
bool client_has_device_callback(const struct client *c);

/* Whether id is the client itself, or one that it trusts as a peer: whose tokens are meant for it too. */
bool client_is_peer(const struct client *c, struct slice id);
/* Whether the client is told about a group. */
bool client_group_wanted(const struct client *c, struct slice group);

/* Exact match, without exceptions (OpenID Connect RP-Initiated Logout 1.0 section 3). */
bool client_post_logout_redirect_uri_ok(const struct client *c, struct slice uri);

/* https, or http to this very machine; no user, no fragment: where logout tokens may be sent (OpenID Connect Back-Channel Logout 1.0 section 2.2). */
bool client_backchannel_logout_uri_ok(const char *uri);

#endif
