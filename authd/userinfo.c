/* UserInfo (OpenID Connect Core 5.3): what the access token's scope lets its bearer know, as long as its grant has not ended. */
#include "authd/grant.h"
#include "authd/own_token.h"
#include "authd/person.h"
#include "authd/routes.h"
#include "oidc/authorization_request.h"
#include "shared/log.h"

static const char SCHEME[] = "Bearer ";

/* RFC 6750 section 3. error NULL: no token was sent, and then nothing more is said. */
static void
refuse(struct request *r, int status, const char *error, const char *description)
{
	char *challenge = error ? arena_printf(&r->arena, "Bearer realm=\"userinfo\", error=\"%s\", error_description=\"%s\"", error, description) :
				  arena_strdup(&r->arena, "Bearer realm=\"userinfo\"");
	struct buf body;

	if (error)
		log_info("userinfo refused", LOG_STR("error", error), LOG_STR("reason", description), LOG_SLICE("address", r->address), LOG_REQ(r->id));
	buf_init(&body, 0);
	buf_printf(&body, "{\"error\":\"%s\",\"error_description\":\"%s\"}", error ? error : "invalid_token", description);
	response_header(r, "WWW-Authenticate", challenge ? slice_str(challenge) : SLICE_LIT("Bearer"));
	response_header(r, "Cache-Control", SLICE_LIT("no-store"));
	response_header(r, "X-Content-Type-Options", SLICE_LIT("nosniff"));
	response_send(r, status, "application/json", &body);
}

/* The token of the header or of the body (RFC 6750 2.1, 2.2); in one place only. False: r has been answered. */
static bool
token_take(struct request *r, struct slice *token)
{
	struct slice header = request_header(r, "Authorization"), scheme = slice_of(header.p, sizeof SCHEME - 1);
	struct form *form;

	*token = SLICE_NONE;
	if (header.p && (header.n < sizeof SCHEME || !slice_eq_nocase(scheme, slice_str(SCHEME)))) {
		refuse(r, 401, NULL, "a Bearer token is needed");
		return false;
	}
	if (header.p)
		*token = slice_trim(slice_of(header.p + scheme.n, header.n - scheme.n));
	if (r->method == METHOD_POST && r->body.n) {
		struct slice in_body = request_body_form(r, &form) == OK && !form_duplicate(form, NULL).p ? form_get(form, "access_token") : SLICE_NONE;
		if (in_body.n && token->n) {
			refuse(r, 400, "invalid_request", "the token was sent in two ways");
			return false;
		}
		if (in_body.n)
			*token = in_body;
	}
	if (token->n == 0)
		refuse(r, 401, NULL, "a Bearer token is needed");
	return token->n > 0;
}

static void
answer(struct request *r, const struct own_token *own, struct grant *g)
{
	struct directory d = directory_of(r);
	const struct client *client;
	struct token_person person;
	struct buf body;
	enum err e = person_refresh(&d, &g->user);

	if (e == OK)
		e = directory_client(&d, own->client_id, &client);
	if (e == OK)
		e = person_claims(&r->arena, client, &g->user, &person);
	if (e != OK) {
		bool gone = e == E_DENIED || e == E_EMPTY;
		refuse(r, gone ? 401 : 503, gone ? "invalid_token" : "temporarily_unavailable",
			gone ? "the person or the client is no longer known here" : "the store cannot be read just now");
		return;
	}
	buf_init(&body, 0);
	userinfo_claims_print(&person, scope_bits(own->scope), &body);
	response_header(r, "Cache-Control", SLICE_LIT("no-store"));
	response_header(r, "X-Content-Type-Options", SLICE_LIT("nosniff"));
	response_send(r, 200, "application/json", &body);
}

void
userinfo_request(struct request *r, struct slice rest)
{
	struct slice token;
	struct own_token own;
	struct grant grant;
	enum err e;

	(void)rest;
	if (!token_take(r, &token))
		return;
	e = own_token_open(r, token, "at+jwt", false, &own);
	if (e == OK && !(scope_bits(own.scope) & SCOPE_OPENID)) {
		refuse(r, 403, "insufficient_scope", "the token was issued without the scope openid");
		return;
	}
	if (e == OK)
		e = grant_find(r->app->store, own.grant, &r->arena, &grant);
	if (e == OK)
		answer(r, &own, &grant);
	else if (e == E_DENIED || e == E_EMPTY)
		refuse(r, 401, "invalid_token", "the token is not valid, has expired, or was ended");
	else
		refuse(r, 503, "temporarily_unavailable", "the issuer cannot tell just now; try again");
}
