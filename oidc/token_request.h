/* token_request.h - RFC 6749 sections 2.3.1, 4.1.3, 6: the token endpoint's request, as data. */
#ifndef OIDC_TOKEN_REQUEST_H
#define OIDC_TOKEN_REQUEST_H

#include "oidc/form.h"
#include "shared/buf.h"

/* GRANT_IMPLICIT is no grant of the token endpoint: it stands for tokens that the authorization endpoint hands out itself. */
enum grant_type { GRANT_AUTHORIZATION_CODE, GRANT_REFRESH_TOKEN, GRANT_DEVICE_CODE, GRANT_PASSWORD, GRANT_CLIENT_CREDENTIALS, GRANT_TOKEN_EXCHANGE, GRANT_IMPLICIT,
	GRANT_TYPES };
#define GRANT_BIT(grant) (1u << (grant))
/* "authorization_code", "urn:ietf:params:oauth:grant-type:device_code" … */
const char *grant_type_name(enum grant_type grant);
bool grant_type_find(struct slice name, enum grant_type *out);

enum client_authentication { CLIENT_AUTH_NONE, CLIENT_AUTH_BASIC, CLIENT_AUTH_POST };

struct client_credentials {
	enum client_authentication how;
	struct slice id, secret;
};
struct token_request {
	enum grant_type grant;
	struct client_credentials client;
	struct slice code, redirect_uri, code_verifier, refresh_token, device_code, username, password, scope;
};
struct token_error {
	const char *error;     /* RFC 6749 5.2: "invalid_request", "invalid_client", … static */
	char description[200]; /* printable ASCII */
	int status;            /* 400, 401 */
};

/* A parameter of a request in the query would stand in every log on the way (RFC 6749 section 2.3.1): E_FORMAT with e filled; E_NOMEM. */
MUST_CHECK enum err client_query_check(struct slice query, struct arena *arena, struct token_error *e);
/* Client authentication of any endpoint that has it. authorization: the header's value, .p NULL when absent. Basic and body credentials
 * together, a repeated parameter, a malformed header, no client at all: E_FORMAT with e filled; E_NOMEM. An empty parameter counts as absent. */
MUST_CHECK enum err client_credentials_parse(struct slice authorization, const struct form *body, struct arena *arena,
	struct client_credentials *out, struct token_error *e);
/* content_type: header value. query: the raw query, which may hold no parameter of the request. E_FORMAT with e filled; E_NOMEM.
 * Empty slices where a parameter is absent; a grant's own required ones (code, refresh_token, device_code, username and password) are there. */
MUST_CHECK enum err token_request_parse(struct slice content_type, struct slice authorization, struct slice query, const struct form *body,
	struct arena *arena, struct token_request *out, struct token_error *e);
/* Append {"error":…,"error_description":…}. */
void token_error_print(const struct token_error *e, struct buf *out);

#endif
