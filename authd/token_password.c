/* Resource owner password credentials (RFC 6749 section 4.3), where oauth2.passwordConnector switches them on: with the same limits as the password page. */
#include <stdio.h>
#include "authd/counters.h"
#include "authd/session.h"
#include "authd/token_internal.h"

/* Tokens of no browser's session: their sid is their own, and `authd ctl sessions end` ends them by it. */
static void
issue(struct request *r, struct token *t)
{
	struct grant_redemption *g = &t->redemption;
	struct slice sid = request_secret(r, SESSION_SID_BYTES), code = request_secret(r, GRANT_CODE_BYTES);

	if (!sid.p || !code.p) {
		client_endpoint_unavailable(r);
		return;
	}
	if (!token_redemption_prepare(r, t, code, SLICE_NONE))
		return;
	g->record = (struct record_code){ .client_id = g->client_id, .scope = t->wanted.scope, .user = t->password.user, .auth_time = g->now_s, .sid = sid,
		.audiences = { t->wanted.audiences, t->wanted.audience_n } };
	counters_login(r->app->counters, SLICE_LIT(AUTHD_PASSWORD_CONNECTOR), "succeeded");
	request_write(r, grant_issue, g, token_redeemed);
}

static void
held_back(struct request *r, unsigned wait_s)
{
	char after[16];

	snprintf(after, sizeof after, "%u", wait_s);
	response_header(r, "Retry-After", slice_str(after));
	client_endpoint_refuse_with(r, 429, "slow_down", "too many attempts: wait a little");
}

static void
checked(struct request *r)
{
	struct token *t = r->state;

	switch (t->password.verdict) {
	case LOCAL_PASSWORD_RIGHT:
		issue(r, t);
		return;
	case LOCAL_PASSWORD_WRONG:
		client_endpoint_refuse_with(r, 400, "invalid_grant", "the name or the password is wrong");
		return;
	case LOCAL_PASSWORD_HELD_BACK:
		held_back(r, t->password.wait_s);
		return;
	case LOCAL_PASSWORD_UNAVAILABLE:
		client_endpoint_unavailable(r);
		return;
	}
}

void
token_password(struct request *r, struct token *t)
{
	if (!client_endpoint_scope(r, t->client, t->request.scope, &t->wanted))
		return;
	t->password.login = slice_trim(t->request.username);
	if (!app_generation_connector_allowed(r->generation, slice_str(r->generation->config->oauth2.password_connector), t->client, GRANT_BIT(GRANT_PASSWORD)))
		client_endpoint_refuse_with(r, 400, "unauthorized_client", "this client may not sign people in with a local password");
	else if (t->password.login.n == 0 || t->password.login.n > LOCAL_PASSWORD_LOGIN_BYTES_MAX)
		client_endpoint_refuse_with(r, 400, "invalid_grant", "the name or the password is wrong");
	else
		local_password_check(r, &t->password, t->request.password, checked);
}
