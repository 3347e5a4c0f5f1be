/* The authorization endpoint (OpenID Connect Core 3.1.2.1): read the request, look at the browser's session, and take the one step that
 * oidc/sign_in.h decides on. */
#include "authd/authorization_answer.h"
#include "authd/browser.h"
#include "authd/counters.h"
#include "authd/own_token.h"
#include "authd/pages.h"
#include "authd/person.h"
#include "authd/routes.h"
#include "oidc/sign_in.h"
#include "oidc/token_claims.h"
#include "shared/log.h"

struct authorize {
	struct request *r;
	struct authorization_request request;
	const struct client *client;
	struct record_auth_request record;
	struct session session;
	bool has_session;
	struct authorization_lookup lookup;
	struct slice id, login_secret;
	struct slice device_key, user_code; /* .n 0: it is not for a device */
	unsigned char browser_hash[32];
	struct authorization_answer answer;
};

/* ---- facts ---- */

/* sub of the hint against the session's. */
static enum err
hint_compare(struct authorize *a, bool *other)
{
	struct own_token hint;
	enum err e;

	*other = false;
	if (a->request.id_token_hint.n == 0)
		return OK;
	e = own_token_open(a->r, a->request.id_token_hint, "JWT", true, &hint);
	if (e != OK || !a->has_session)
		return e;
	*other = !person_has_subject(&a->r->arena, &a->session.record.user, hint.sub);
	return OK;
}

static bool
connector_differs(const struct authorize *a)
{
	struct slice used = a->session.record.user.connector_id;

	if (a->request.connector_id.n && !slice_eq(a->request.connector_id, used))
		return true;
	return !app_generation_connector_allowed(a->r->generation, used, a->client, authorization_grants(&a->record));
}

static enum err
approved_read(struct store_txn *t, void *arg)
{
	struct authorize *a = ((void **)arg)[0];

	return authorization_approved(t, &a->record, &a->session.record.user, &a->r->arena, ((void **)arg)[1]);
}

static enum err
facts_gather(struct authorize *a, struct sign_in_facts *f)
{
	enum err e;

	*f = (struct sign_in_facts){ .session = a->has_session, .now_s = request_now_s(a->r), .prompt = a->request.prompt, .max_age_s = a->request.max_age_s,
		.approval_skipped = a->r->generation->config->oauth2.skip_approval_screen };
	e = hint_compare(a, &f->hint_names_other);
	if (e != OK || !a->has_session)
		return e;
	f->auth_time = a->session.record.auth_time;
	f->connector_differs = connector_differs(a);
	return store_read(a->r->app->store, approved_read, (void *[]){ a, &f->approved });
}

/* ---- steps ---- */

static enum err
answer_store(struct store_txn *t, void *arg)
{
	struct authorize *a = arg;
	const struct session *s = &a->session;
	enum err e = session_use(t, a->r, s);

	if (e != OK)
		return e;
	return authorization_answer_put(t, a->r, &a->record, &s->record.user, s->record.auth_time, s->record.sid, &a->answer);
}

static void
answer_stored(struct request *r, enum err result)
{
	struct authorize *a = r->state;

	if (result != OK) {
		authorization_answer_error(r, &a->record, "temporarily_unavailable", "the sign-in could not be stored");
		return;
	}
	counters_login(r->app->counters, a->session.record.user.connector_id, "session");
	log_info("signed in by session", LOG_SLICE("client", a->record.client_id), LOG_SLICE("sid", a->session.record.sid), LOG_REQ(r->id));
	authorization_answer_send(r, &a->record, &a->answer);
}

static enum err
kept_store(struct store_txn *t, void *arg)
{
	struct authorize *a = arg;

	return authorization_put(t, a->id, &a->record);
}

static void
kept_for_approval(struct request *r, enum err result)
{
	struct authorize *a = r->state;

	if (result == OK)
		page_redirect_to(r, "/approval", "req", a->id);
	else
		page_unavailable(r);
}

static void
kept_for_selection(struct request *r, enum err result)
{
	struct authorize *a = r->state;

	if (result == OK)
		page_redirect_to(r, "/select", "req", a->id);
	else
		page_unavailable(r);
}

static void
kept_for_login(struct request *r, enum err result)
{
	struct authorize *a = r->state;

	if (result == OK)
		authorization_choose_login(r, a->id, &a->record);
	else
		page_unavailable(r);
}

/* Keep the authorization for the pages that follow, bound to this browser. */
static void
keep(struct authorize *a, void (*next)(struct request *r, enum err result))
{
	struct request *r = a->r;

	a->login_secret = browser_login_secret(r);
	a->id = request_secret(r, AUTHORIZATION_ID_BYTES);
	a->record.browser_hash = a->login_secret.p ? store_hash(a->login_secret, a->browser_hash) : SLICE_NONE;
	if (!a->record.browser_hash.n || !a->id.p) {
		page_unavailable(r);
		return;
	}
	a->record.connector_id = a->request.connector_id;
	request_write(r, kept_store, a, next);
}

static void
take_step(struct authorize *a, const struct sign_in_facts *facts)
{
	struct request *r = a->r;
	const char *error;

	switch (sign_in_next(facts, &error)) {
	case SIGN_IN_REFUSE:
		authorization_answer_error(r, &a->record, error, "prompt=none, but the person would have to be asked");
		return;
	case SIGN_IN_ANSWER:
		if (authorization_answer_prepare(r, &a->answer) == OK)
			request_write(r, answer_store, a, answer_stored);
		else
			page_unavailable(r);
		return;
	case SIGN_IN_SELECT:
		a->record.sid = a->session.record.sid; /* whose hint and connector were right */
		keep(a, kept_for_selection);
		return;
	case SIGN_IN_APPROVAL:
		a->record.logged_in = true;
		a->record.user = a->session.record.user;
		a->record.auth_time = a->session.record.auth_time;
		a->record.sid = a->session.record.sid;
		keep(a, kept_for_approval);
		return;
	case SIGN_IN_LOGIN:
		keep(a, kept_for_login);
		return;
	}
}

/* ---- the request ---- */

static bool
grants_allowed(const struct authorize *a)
{
	unsigned wanted = authorization_grants(&a->record);

	for (size_t i = 0; i < GRANT_TYPES; i++)
		if ((wanted & GRANT_BIT(i)) && !app_generation_grant_allowed(a->r->generation, (enum grant_type)i, a->client))
			return false;
	return true;
}

static void
decide(struct authorize *a)
{
	struct request *r = a->r;
	struct sign_in_facts facts;
	enum err e;

	a->record = authorization_record(r, &a->request);
	a->record.device_key = a->device_key;
	a->record.user_code = a->user_code;
	if (!grants_allowed(a)) {
		authorization_answer_error(r, &a->record, "unauthorized_client", "this client is not registered for this response_type");
		return;
	}
	if (a->request.connector_id.n &&
		!app_generation_connector_allowed(r->generation, a->request.connector_id, a->client, authorization_grants(&a->record))) {
		authorization_answer_error(r, &a->record, "invalid_request", "connector_id names no way to sign in that this client may use");
		return;
	}
	e = session_find(r, &a->session);
	a->has_session = e == OK;
	if (e == OK || e == E_EMPTY)
		e = facts_gather(a, &facts);
	if (e == OK)
		take_step(a, &facts);
	else if (e == E_DENIED)
		authorization_answer_error(r, &a->record, "invalid_request", "id_token_hint is no ID token of this issuer");
	else
		page_unavailable(r);
}

static void
parse(struct authorize *a, const struct form *form)
{
	struct authorization_rules rules = authorization_rules_of(a->r, &a->lookup);
	struct authorization_error error = { 0 };

	enum authorization_outcome outcome = authorization_request_parse(form, &rules, &a->request, &a->client, &error);
	if (a->lookup.unreadable) {
		page_unavailable(a->r);
		return;
	}
	switch (outcome) {
	case AUTHORIZATION_OK:
		decide(a);
		return;
	case AUTHORIZATION_PAGE:
		page_bad_request(a->r, error.description);
		return;
	case AUTHORIZATION_REDIRECT:
		a->record = authorization_record(a->r, &a->request);
		authorization_answer_error(a->r, &a->record, error.error, error.description);
		return;
	}
}

static void
post_as_get(struct request *r)
{
	struct form *form;

	if (request_body_form(r, &form) == OK)
		page_redirect_form(r, "/auth", form);
	else
		page_bad_request(r, "The request's body is no form.");
}

/* "?req=": back from a page of a sign-in under way, to choose another way. */
static void
choose_again(struct request *r, struct slice id)
{
	struct record_auth_request a;
	enum err e = authorization_lookup(r, id, &a);

	if (e == OK) {
		a.connector_id = SLICE_NONE;
		authorization_choose_login(r, id, &a);
	} else if (e == E_EMPTY) {
		page_expired(r);
	} else {
		page_unavailable(r);
	}
}

/* connector: "/auth/{connector}?client_id=…" names it in the path, as dex allows. */
static void
authorize(struct request *r, struct slice connector)
{
	struct authorize *a = arena_alloc(&r->arena, sizeof *a);
	struct form *form;

	if (!a) {
		page_unavailable(r);
		return;
	}
	if (request_query_form(r, &form) != OK) {
		page_bad_request(r, "The address has malformed parameters.");
		return;
	}
	a->r = r;
	r->state = a;
	if (connector.n && form->n < FORM_FIELDS_MAX)
		form->fields[form->n++] = (struct form_field){ SLICE_LIT("connector_id"), connector };
	if (form_get(form, "req").n && !form_get(form, "client_id").p)
		choose_again(r, form_get(form, "req"));
	else
		parse(a, form);
}

void
authorize_request(struct request *r, struct slice rest)
{
	(void)rest;
	if (r->method == METHOD_POST)
		post_as_get(r);
	else
		authorize(r, SLICE_NONE);
}

void
authorize_with_connector(struct request *r, struct slice connector)
{
	authorize(r, connector);
}

void
authorize_device(struct request *r, const struct client *client, struct slice key, const struct record_device *d)
{
	struct authorize *a = arena_alloc(&r->arena, sizeof *a);
	char *redirect_uri = arena_printf(&r->arena, "%s" CLIENT_DEVICE_CALLBACK, r->generation->config->issuer);

	if (!a || !redirect_uri) {
		page_unavailable(r);
		return;
	}
	/* The person is asked whatever they agreed to before: who has sent them here with a code of their own is still unknown (RFC 8628 section 5.4). */
	*a = (struct authorize){ .r = r, .client = client, .device_key = key, .user_code = d->user_code,
		.request = { .client_id = d->client_id, .redirect_uri = slice_str(redirect_uri), .response_type = RESPONSE_CODE,
			.response_mode = RESPONSE_MODE_QUERY, .scope = d->scope, .scopes = scope_bits(d->scope), .prompt = PROMPT_CONSENT, .max_age_s = -1 } };
	r->state = a;
	decide(a);
}
