/* The introspection endpoint (RFC 7662), for clients that have a secret: whether a token can be used now, and whose it is. A client learns about its own
 * tokens, and about access tokens of the clients that it trusts as peers, whose tokens are meant for it. */
#include "authd/client_endpoint.h"
#include "authd/grant.h"
#include "authd/own_token.h"
#include "authd/person.h"
#include "authd/routes.h"
#include "oidc/introspection.h"

static void
answer(struct request *r, const struct introspection *i)
{
	struct buf body;

	buf_init(&body, 0);
	if (i)
		introspection_print(i, &body);
	else
		buf_add_str(&body, INTROSPECTION_INACTIVE);
	client_endpoint_send(r, 200, &body);
}

static struct slice
username_of(const struct record_user *u)
{
	return u->preferred_username.n ? u->preferred_username : person_label(u);
}

/* An access token: its grant must live, and its person still be known. A token without a grant is a client's own: the client must still be known. */
static enum err
look_at_access(struct request *r, struct slice token, const struct client *caller, struct introspection *out)
{
	struct directory d = directory_of(r);
	struct own_token own;
	struct grant grant = { .client_id = SLICE_NONE };
	const struct client *owner;
	enum err e = own_token_open(r, token, "at+jwt", false, &own);

	if (e == OK && !client_is_peer(caller, own.client_id))
		e = E_DENIED;
	if (e == OK && !own.grant.n)
		e = directory_client(&d, own.client_id, &owner);
	else if (e == OK && (e = grant_find(r->app->store, own.grant, &r->arena, &grant)) == OK)
		e = person_refresh(&d, &grant.user);
	if (e != OK)
		return e;
	*out = (struct introspection){ .issuer = slice_str(r->generation->config->issuer), .sub = own.sub,
		.audience = slice_str(r->generation->config->issuer), .client_id = own.client_id, .scope = own.scope, .username = username_of(&grant.user),
		.sid = own.sid, .jti = own.jti, .use = "access_token", .issued_at = own.issued_at, .expires_at = own.expires_at };
	return OK;
}

static enum err
look_at_refresh(struct request *r, struct slice token, const struct client *caller, struct introspection *out)
{
	struct directory d = directory_of(r);
	struct record_refresh f;
	enum err e = grant_find_refresh(r->app->store, r->generation, token, slice_str(caller->id), request_now_s(r), &r->arena, &f);

	if (e == OK)
		e = person_refresh(&d, &f.user);
	if (e != OK)
		return e;
	*out = (struct introspection){ .issuer = slice_str(r->generation->config->issuer), .audience = slice_str(r->generation->config->issuer),
		.client_id = f.client_id, .scope = f.scope, .username = username_of(&f.user), .sid = f.sid, .use = "refresh_token",
		.issued_at = f.rotated_at, .expires_at = f.expires_at };
	out->sub = person_subject(&r->arena, caller, &f.user);
	return out->sub.p ? OK : E_NOMEM;
}

void
introspect_request(struct request *r, struct slice rest)
{
	struct introspection found;
	const struct client *caller;
	const struct form *form;
	struct slice token;
	enum err e;

	(void)rest;
	if (!client_endpoint_open(r, &form, &caller))
		return;
	if (!client_has_secret(caller)) {
		/* RFC 7662 section 2.1: a client without a secret could be anybody who tries tokens. */
		client_endpoint_refuse_with(r, 401, "invalid_client", "introspection is for clients that have a secret");
		return;
	}
	token = form_get(form, "token");
	if (!token.n) {
		client_endpoint_refuse_with(r, 400, "invalid_request", "token is missing");
		return;
	}
	e = look_at_access(r, token, caller, &found);
	if (e == E_DENIED)
		e = look_at_refresh(r, token, caller, &found);
	if (e == OK || e == E_EMPTY || e == E_DENIED)
		answer(r, e == OK ? &found : NULL);
	else
		client_endpoint_unavailable(r);
}
