/* authorization_request.h - OpenID Connect Core 3.1.2.1, as data. Parsing and rules only. */
#ifndef OIDC_AUTHORIZATION_REQUEST_H
#define OIDC_AUTHORIZATION_REQUEST_H

#include "oidc/client.h"
#include "oidc/form.h"
#include "oidc/pkce.h"
#include "shared/buf.h"

enum { SCOPE_OPENID = 1, SCOPE_EMAIL = 2, SCOPE_PROFILE = 4, SCOPE_GROUPS = 8, SCOPE_OFFLINE_ACCESS = 16, SCOPE_FEDERATED_ID = 32,
	SCOPE_ADDRESS = 64, SCOPE_PHONE = 128 }; /* the last two: known (OpenID Core 5.4), though no claim here answers them */
enum { PROMPT_NONE = 1, PROMPT_LOGIN = 2, PROMPT_CONSENT = 4, PROMPT_SELECT_ACCOUNT = 8 };
enum { RESPONSE_CODE = 1, RESPONSE_ID_TOKEN = 2, RESPONSE_TOKEN = 4 };
enum response_mode { RESPONSE_MODE_DEFAULT, RESPONSE_MODE_QUERY, RESPONSE_MODE_FRAGMENT, RESPONSE_MODE_FORM_POST };

#define AUTHORIZATION_AUDIENCES_MAX 16

struct authorization_request {
	struct slice client_id, redirect_uri, state, nonce, login_hint, id_token_hint, connector_id;
	unsigned response_type; /* RESPONSE_* */
	enum response_mode response_mode; /* never DEFAULT after parsing: query, or fragment where a token comes back (OAuth Multiple Response Types 5) */
	unsigned scopes;        /* SCOPE_* */
	struct slice scope;     /* as asked */
	struct slice audiences[AUTHORIZATION_AUDIENCES_MAX]; /* audience:server:client_id:… */
	size_t audience_n;
	unsigned prompt;        /* PROMPT_* */
	int64_t max_age_s;      /* -1: not given */
	enum pkce_method pkce;
	struct slice code_challenge;
};

/* What this issuer allows; from its config. */
struct authorization_rules {
	unsigned response_types; /* bit (1 << RESPONSE_* combination) */
	bool pkce_plain, pkce_enforce;
	/* Finds a client; NULL: unknown. */
	const struct client *(*client_find)(void *arg, struct slice id);
	void *arg;
};

enum authorization_outcome {
	AUTHORIZATION_OK,
	AUTHORIZATION_PAGE,    /* show `description` as an error page: client or redirect_uri cannot be trusted, never redirect */
	AUTHORIZATION_REDIRECT /* send error and description to redirect_uri with state */
};
struct authorization_error {
	const char *error;       /* RFC 6749 4.1.2.1, OpenID Core 3.1.2.6: static */
	char description[256];   /* for people; contains no foreign bytes but scope and parameter names (printable ASCII) */
};

/* Slices of *out point into the form's arena. With AUTHORIZATION_REDIRECT, *client is set and of *out redirect_uri, response_mode and state
 * (empty where it was repeated or too long). An empty parameter counts as absent (RFC 6749 section 3.1). */
enum authorization_outcome authorization_request_parse(const struct form *f, const struct authorization_rules *rules,
	struct authorization_request *out, const struct client **client, struct authorization_error *e);

/* RESPONSE_* of "code id_token" …; 0: a word that is none, or one twice, or no word. */
unsigned authorization_response_type(struct slice text);
/* Space-separated scopes of a request that comes without a browser: scope, scopes, audiences of *out. False: *refused is a word that is unknown, or an audience
 * that this client may not ask for. */
bool authorization_scope_parse(struct slice scope, const struct client *client, const struct authorization_rules *rules, struct authorization_request *out,
	struct slice *refused);

/* RFC 7636 4.3, 4.4.1: code_challenge and its method into *out. NULL: fine; else what is wrong. */
const char *authorization_pkce_parse(const struct form *f, const struct client *client, const struct authorization_rules *rules,
	struct authorization_request *out);

/* Append redirect_uri with code/error parameters placed by response mode query or fragment (form_post has a page of its own): params is already urlencoded "a=b&c=d". */
void authorization_redirect_add(struct buf *out, struct slice redirect_uri, enum response_mode mode, struct slice params);

#endif
