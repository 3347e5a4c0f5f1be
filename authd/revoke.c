/* The revocation endpoint (RFC 7009): a client gives up what it was granted. An access token takes its refresh token with it, and the other way round:
 * both are one grant. */
#include "authd/client_endpoint.h"
#include "authd/grant.h"
#include "authd/own_token.h"
#include "authd/routes.h"
#include "shared/log.h"

/* RFC 7009 section 2.2: also for a token that is unknown, or not the client's: nothing is left to do, and nothing is told. */
static void
revoked(struct request *r, enum err result)
{
	const struct grant_revocation *g = r->state;

	if (result != OK) {
		client_endpoint_unavailable(r);
		return;
	}
	if (g->found)
		log_info("grant revoked", LOG_SLICE("client", g->client_id), LOG_SLICE("address", r->address), LOG_REQ(r->id));
	client_endpoint_send(r, 200, NULL);
}

void
revoke_request(struct request *r, struct slice rest)
{
	struct grant_revocation *g = arena_alloc(&r->arena, sizeof *g);
	const struct client *client;
	const struct form *form;
	struct own_token own;
	enum err e;

	(void)rest;
	if (!client_endpoint_open(r, &form, &client))
		return;
	if (!form_get(form, "token").n) {
		client_endpoint_refuse_with(r, 400, "invalid_request", "token is missing");
		return;
	}
	e = g ? own_token_open(r, form_get(form, "token"), "at+jwt", false, &own) : E_NOMEM;
	if (e != OK && e != E_DENIED) {
		client_endpoint_unavailable(r);
		return;
	}
	*g = (struct grant_revocation){ .arena = &r->arena, .token = form_get(form, "token"), .client_id = slice_str(client->id), .now_s = request_now_s(r) };
	if (e == OK && slice_eq(own.client_id, g->client_id)) {
		if (!own.grant.n) {
			/* RFC 7009 section 2.2.1. 200 would say that it no longer works. */
			client_endpoint_refuse_with(r, 400, "unsupported_token_type", "a token of client_credentials ends with its lifetime only");
			return;
		}
		g->grant_id = own.grant;
	}
	r->state = g;
	request_write(r, grant_revoke, g, revoked);
}
