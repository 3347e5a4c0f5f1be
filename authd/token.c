/* The token endpoint (RFC 6749 3.2, OpenID Connect Core 3.1.3, 12): who asks, for what grant, one store write, the tokens. */
#include "authd/counters.h"
#include "authd/mint.h"
#include "authd/person.h"
#include "authd/routes.h"
#include "authd/token_internal.h"
#include "shared/log.h"

/* What was wrong with a code or refresh token stays in our log: the client is told one thing (RFC 6749 5.2). */
void
token_refuse_grant(struct request *r, const struct token *t, enum grant_verdict verdict)
{
	bool ends = verdict == GRANT_REUSED || verdict == GRANT_REPLAYED || verdict == GRANT_PERSON_GONE || verdict == GRANT_WITHDRAWN;

	log_write(ends ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "grant refused",
		(const struct log_field[]){ LOG_STR("client", t->client->id), LOG_STR("reason", grant_verdict_text(verdict)), LOG_SLICE("address", r->address),
			LOG_REQ(r->id), { NULL, LOG_KIND_INT, { NULL, 0 }, 0 } });
	client_endpoint_refuse_with(r, 400, "invalid_grant", "the grant is unknown, expired, used, ended, or of another client");
}

/* ---- answers ---- */

/* body: taken. */
void
token_answer_minted(struct request *r, enum err result, struct buf *body)
{
	if (result == OK) {
		counters_tokens(r->app->counters, grant_type_name(((const struct token *)r->state)->request.grant));
		client_endpoint_send(r, 200, body);
		return;
	}
	log_error("tokens could not be signed", LOG_REQ(r->id));
	buf_fini_secret(body);
	client_endpoint_unavailable(r);
}

static void
answer(struct request *r, const struct mint *m)
{
	struct buf body;

	buf_init(&body, 0);
	token_answer_minted(r, mint_answer(r, m, &body), &body);
}

void
token_redeemed(struct request *r, enum err result)
{
	const struct token *t = r->state;
	const struct grant_redemption *g = &t->redemption;

	if (result != OK) {
		client_endpoint_unavailable(r);
	} else if (g->verdict != GRANT_OK) {
		token_refuse_grant(r, t, g->verdict);
	} else {
		log_info("code redeemed", LOG_STR("client", t->client->id), LOG_SLICE("sid", g->record.sid), LOG_REQ(r->id));
		answer(r, &(struct mint){ .client = t->client, .scope = g->record.scope, .nonce = g->record.nonce, .sid = g->record.sid,
			.grant_id = g->grant_id, .audiences = g->record.audiences, .user = &g->record.user, .auth_time = g->record.auth_time,
			.refresh_token = g->refresh_token });
	}
}

/* False: r has been answered. */
bool
token_redemption_prepare(struct request *r, struct token *t, struct slice code, struct slice redirect_uri)
{
	struct grant_redemption *g = &t->redemption;

	*g = (struct grant_redemption){ .generation = r->generation, .arena = &r->arena, .code = code, .client_id = slice_str(t->client->id), .client = t->client,
		.redirect_uri = redirect_uri, .verifier = t->request.code_verifier, .handle = request_secret(r, GRANT_HANDLE_BYTES),
		.secret = request_secret(r, GRANT_SECRET_BYTES), .chain_secret = request_secret(r, GRANT_SECRET_BYTES), .now_s = request_now_s(r),
		.access_expires_at = mint_expires_at(r, t->client), .offline = app_generation_grant_allowed(r->generation, GRANT_REFRESH_TOKEN, t->client) };
	if (g->handle.p && g->secret.p && g->chain_secret.p)
		return true;
	client_endpoint_unavailable(r);
	return false;
}

static void
code_redeem(struct request *r, struct token *t)
{
	/* That would be a device code, which has a grant type of its own. */
	if (slice_eq_str(t->request.redirect_uri, CLIENT_DEVICE_CALLBACK))
		token_refuse_grant(r, t, GRANT_OTHER_REDIRECT);
	else if (token_redemption_prepare(r, t, t->request.code, t->request.redirect_uri))
		request_write(r, grant_redeem_code, &t->redemption, token_redeemed);
}

/* ---- devices (RFC 8628 section 3.5) ---- */

static void
device_polled(struct request *r, enum err result)
{
	static const struct {
		const char *error, *description;
	} answers[] = {
		[DEVICE_PENDING] = { "authorization_pending", "nobody has signed in for this device yet" },
		[DEVICE_SLOW_DOWN] = { "slow_down", "ask less often: five seconds more between two requests" },
		[DEVICE_DENIED] = { "access_denied", "the person refused" },
		[DEVICE_EXPIRED] = { "expired_token", "nobody has signed in for this device in time" },
	};
	const struct token *t = r->state;

	if (result != OK)
		client_endpoint_unavailable(r);
	else if (t->device.verdict == DEVICE_DECIDED)
		token_redeemed(r, OK);
	else if (t->device.verdict == DEVICE_OTHER_CLIENT)
		token_refuse_grant(r, t, GRANT_OTHER_CLIENT);
	else
		client_endpoint_refuse_with(r, 400, answers[t->device.verdict].error, answers[t->device.verdict].description);
}

static void
device_ask(struct request *r, struct token *t)
{
	if (token_redemption_prepare(r, t, t->request.device_code, SLICE_LIT(CLIENT_DEVICE_CALLBACK)))
		request_write(r, device_poll, &t->device, device_polled);
}

/* ---- refresh ---- */

static void
refreshed(struct request *r, enum err result)
{
	const struct token *t = r->state;
	const struct grant_refreshment *g = &t->refreshment;

	if (result != OK) {
		client_endpoint_unavailable(r);
	} else if (g->verdict == GRANT_STALE) {
		log_warn("refresh held back", LOG_STR("client", t->client->id), LOG_SLICE("sid", g->record.sid), LOG_STR("reason", grant_verdict_text(g->verdict)),
			LOG_REQ(r->id));
		response_header(r, "Retry-After", SLICE_LIT("60"));
		client_endpoint_refuse_with(r, 503, "temporarily_unavailable", "your groups cannot be read again where you signed in; try again later");
	} else if (g->verdict != GRANT_OK) {
		token_refuse_grant(r, t, g->verdict);
	} else {
		log_info("refreshed", LOG_STR("client", t->client->id), LOG_SLICE("sid", g->record.sid), LOG_REQ(r->id));
		answer(r, &(struct mint){ .client = t->client, .scope = t->scope.n ? t->scope : g->record.scope, .sid = g->record.sid,
			.nonce = g->record.nonce, .grant_id = g->grant_id, .audiences = g->record.audiences, .user = &g->record.user,
			.auth_time = g->record.auth_time, .refresh_token = g->refresh_token });
	}
}

static void
refresh_write(struct request *r)
{
	struct token *t = r->state;

	t->refreshment = (struct grant_refreshment){ .generation = r->generation, .arena = &r->arena, .token = t->request.refresh_token,
		.client_id = slice_str(t->client->id), .client = t->client, .reread = t->is_reread && t->verdict == CONNECTOR_OK ? &t->reread : NULL,
		.unread = t->asked && !(t->is_reread && t->verdict == CONNECTOR_OK),
		.end = t->barred || (t->is_reread && (t->verdict == CONNECTOR_DENIED || t->verdict == CONNECTOR_NO_EMAIL)), .now_s = request_now_s(r) };
	request_write(r, grant_refresh, &t->refreshment, refreshed);
}

/* Runs on the connector's thread while r waits. An upstream that cannot be reached lets the person's last known groups serve,
 * for expiry.staleGroups. */
static void
on_reread(void *arg, const struct connector_result *result)
{
	struct request *r = arg;
	struct token *t = r->state;

	t->verdict = result->verdict;
	t->is_reread = result->verdict != CONNECTOR_OK || person_copy(&r->arena, &result->user, &t->reread) == OK;
	if (result->verdict != CONNECTOR_OK)
		log_warn("person could not be read again at refresh", LOG_STR("reason", result->message), LOG_REQ(r->id));
	request_resume(r);
}

static void
refresh_reread(struct request *r, struct connector *c, const struct record_user *user)
{
	((struct token *)r->state)->asked = true;
	request_wait(r, refresh_write);
	if (c->ops->refresh(c, user, on_reread, r) != OK)
		request_resume(r);
}

/* A narrower scope may be asked for, not a wider one (RFC 6749 6). */
static bool
scope_within(struct slice asked, struct slice granted)
{
	while (asked.n) {
		struct slice word = slice_cut(&asked, ' '), rest = granted;
		bool found = word.n == 0;
		while (rest.n && !found)
			found = slice_eq(slice_cut(&rest, ' '), word);
		if (!found)
			return false;
	}
	return true;
}

static void
refresh(struct request *r, struct token *t)
{
	struct record_refresh family;
	enum err e = grant_peek_refresh(r->app->store, t->request.refresh_token, slice_str(t->client->id), &r->arena, &family);
	bool allowed = e == OK && app_generation_connector_allowed(r->generation, family.user.connector_id, t->client, GRANT_BIT(GRANT_REFRESH_TOKEN));
	struct connector *c = allowed ? app_generation_connector(r->generation, family.user.connector_id) : NULL;

	if (e == OK && !scope_within(t->request.scope, family.scope)) {
		client_endpoint_refuse_with(r, 400, "invalid_scope", "more is asked for than was granted");
		return;
	}
	t->scope = t->request.scope;
	t->barred = e == OK && !allowed;
	if (e != OK && e != E_EMPTY)
		client_endpoint_unavailable(r);
	else if (c)
		refresh_reread(r, c, &family.user);
	else
		refresh_write(r); /* a token that is not found is looked at again there: it may have to end its family */
}

/* ---- client credentials (RFC 6749 section 4.4) ---- */

static void
client_credentials(struct request *r, const struct token *t)
{
	struct slice id = slice_str(t->client->id);
	struct buf body;

	/* MUST only be used by confidential clients: a secret that ships with a public one proves nothing. */
	if (t->client->public || !client_has_secret(t->client)) {
		client_endpoint_refuse_with(r, 400, "unauthorized_client", "client_credentials is for clients that can keep a secret");
		return;
	}
	if (t->request.scope.n) {
		client_endpoint_refuse_with(r, 400, "invalid_scope", "every scope is about a person, and none has signed in: leave scope out");
		return;
	}
	buf_init(&body, 0);
	log_info("client got a token for itself", LOG_SLICE("client", id), LOG_REQ(r->id));
	token_answer_minted(r, mint_client_answer(r, t->client, &body), &body);
}

/* ---- the request ---- */

static void
token_answer(struct request *r, struct token *t, const struct form *form)
{
	if (!client_endpoint_grant(r, t->client, t->request.grant))
		return;
	switch (t->request.grant) {
	case GRANT_AUTHORIZATION_CODE:
		code_redeem(r, t);
		return;
	case GRANT_REFRESH_TOKEN:
		refresh(r, t);
		return;
	case GRANT_DEVICE_CODE:
		device_ask(r, t);
		return;
	case GRANT_PASSWORD:
		token_password(r, t);
		return;
	case GRANT_CLIENT_CREDENTIALS:
		client_credentials(r, t);
		return;
	case GRANT_TOKEN_EXCHANGE:
		token_exchange(r, t, form);
		return;
	case GRANT_IMPLICIT:
	case GRANT_TYPES:
		break; /* no grant of this endpoint, which the parser knows */
	}
}

void
token_request(struct request *r, struct slice rest)
{
	struct token *t = arena_alloc(&r->arena, sizeof *t);
	struct form *form = arena_alloc(&r->arena, sizeof *form);
	struct token_error error = { 0 };
	enum err e;

	(void)rest;
	if (!t || !form) {
		client_endpoint_unavailable(r);
		return;
	}
	if (form_parse(r->body, &r->arena, form) != OK) {
		client_endpoint_refuse_with(r, 400, "invalid_request", "the body is no urlencoded form");
		return;
	}
	e = token_request_parse(request_header(r, "Content-Type"), request_header(r, "Authorization"), r->query, form, &r->arena, &t->request, &error);
	if (e != OK) {
		if (error.error)
			client_endpoint_refuse(r, &error);
		else
			client_endpoint_unavailable(r);
		return;
	}
	e = client_endpoint_authenticate(r, &t->request.client, &t->client);
	if (e != OK) {
		if (e == E_EMPTY)
			client_endpoint_refuse_with(r, 401, "invalid_client", "unknown client, or its secret is wrong");
		else
			client_endpoint_unavailable(r);
		return;
	}
	r->state = t;
	token_answer(r, t, form);
}
