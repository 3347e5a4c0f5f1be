#include "authd/client_endpoint.h"
#include "authd/directory.h"
#include "shared/log.h"

void
client_endpoint_send(struct request *r, int status, struct buf *body)
{
	response_header(r, "Cache-Control", SLICE_LIT("no-store"));
	response_header(r, "Pragma", SLICE_LIT("no-cache"));
	response_header(r, "X-Content-Type-Options", SLICE_LIT("nosniff"));
	response_send(r, status, body ? "application/json" : NULL, body);
}

void
client_endpoint_refuse(struct request *r, const struct token_error *e)
{
	struct buf body;

	log_info("client refused", LOG_SLICE("path", r->path), LOG_STR("error", e->error), LOG_STR("reason", e->description),
		LOG_SLICE("address", r->address), LOG_REQ(r->id));
	buf_init(&body, 0);
	token_error_print(e, &body);
	if (e->status == 401 && request_header(r, "Authorization").p)
		response_header(r, "WWW-Authenticate", SLICE_LIT("Basic realm=\"token\"")); /* RFC 6749 5.2: only to who tried it */
	client_endpoint_send(r, e->status, &body);
}

void
client_endpoint_refuse_with(struct request *r, int status, const char *error, const char *description)
{
	struct token_error e = { .error = error, .status = status };

	memcpy(e.description, description, strnlen(description, sizeof e.description - 1));
	client_endpoint_refuse(r, &e);
}

void
client_endpoint_unavailable(struct request *r)
{
	response_header(r, "Retry-After", SLICE_LIT("5"));
	client_endpoint_refuse_with(r, 503, "temporarily_unavailable", "the issuer cannot store or sign just now; try again");
}

static bool
secret_ok(const struct client *c, const struct client_credentials *given)
{
	if (!client_has_secret(c))
		return c->public && given->secret.n == 0;
	return given->how != CLIENT_AUTH_NONE && directory_secret_ok(c, given->secret);
}

enum err
client_endpoint_authenticate(struct request *r, const struct client_credentials *given, const struct client **out)
{
	struct directory d = directory_of(r);
	enum err e = directory_client(&d, given->id, out);

	return e == OK && !secret_ok(*out, given) ? E_EMPTY : e;
}

bool
client_endpoint_scope(struct request *r, const struct client *c, struct slice scope, struct authorization_request *out)
{
	struct authorization_lookup lookup;
	struct authorization_rules rules = authorization_rules_of(r, &lookup);
	struct slice refused = SLICE_NONE;
	bool ok = authorization_scope_parse(scope.n ? scope : SLICE_LIT("openid"), c, &rules, out, &refused);

	if (lookup.unreadable)
		client_endpoint_unavailable(r);
	else if (!ok)
		client_endpoint_refuse_with(r, 400, "invalid_scope", "a scope is unknown, or not allowed for this client");
	else if (!(out->scopes & SCOPE_OPENID))
		client_endpoint_refuse_with(r, 400, "invalid_scope", "scope openid is missing");
	else
		return true;
	return false;
}

bool
client_endpoint_grant(struct request *r, const struct client *c, enum grant_type grant)
{
	if (app_generation_grant_allowed(r->generation, grant, c))
		return true;
	if (r->generation->config->oauth2.grants & GRANT_BIT(grant))
		client_endpoint_refuse_with(r, 400, "unauthorized_client", "this client is not registered for this grant type");
	else
		client_endpoint_refuse_with(r, 400, "unsupported_grant_type", "this grant type is not among those that are allowed here");
	return false;
}

bool
client_endpoint_open(struct request *r, const struct form **form, const struct client **client)
{
	struct client_credentials given;
	struct token_error error = { 0 };
	struct form *body = NULL;
	enum err e = request_body_form(r, &body);

	if (e == OK)
		e = client_query_check(r->query, &r->arena, &error);
	else if (e != E_NOMEM)
		error = (struct token_error){ .status = 400, .error = "invalid_request", .description = "the body is no urlencoded form" };
	if (e == OK)
		e = client_credentials_parse(request_header(r, "Authorization"), body, &r->arena, &given, &error);
	if (e == OK && (e = client_endpoint_authenticate(r, &given, client)) == E_EMPTY)
		error = (struct token_error){ .status = 401, .error = "invalid_client", .description = "unknown client, or its secret is wrong" };
	*form = body;
	if (e == OK)
		return true;
	if (error.error)
		client_endpoint_refuse(r, &error);
	else
		client_endpoint_unavailable(r);
	return false;
}
