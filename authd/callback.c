/* Signing in with a connector: off to the upstream with a state and a PKCE challenge, and back, once, in the same browser. */
#include "authd/authorization.h"
#include "authd/browser.h"
#include "authd/counters.h"
#include "authd/pages.h"
#include "authd/person.h"
#include "authd/routes.h"
#include "oidc/authorization_request.h"
#include "oidc/pkce.h"
#include "shared/log.h"

#define VERIFIER_BYTES 32 /* 43 characters, RFC 7636 section 4.1 */

/* What was agreed with the upstream: what the configuration says, else where we listen. */
static const char *
redirect_uri_of(struct request *r, const struct connector *c)
{
	const struct authd_connector_config *configs = r->generation->config->connectors.items;

	for (size_t i = 0; i < r->generation->config->connectors.n; i++)
		if (strcmp(configs[i].id, c->id) == 0 && configs[i].github && configs[i].github->redirect_uri)
			return configs[i].github->redirect_uri;
	return arena_printf(&r->arena, "%s/callback", r->generation->config->issuer);
}

/* ---- off ---- */

struct begin {
	struct request *r;
	struct connector *connector;
	struct slice id, verifier;
	bool gone;
	struct slice login_hint;
	bool ask;
};

static enum err
begin_store(struct store_txn *t, void *arg)
{
	struct begin *b = arg;
	struct record_auth_request a;
	enum err e = authorization_get(t, b->id, browser_login_cookie(b->r), &b->r->arena, &a);

	b->gone = e == E_EMPTY;
	if (e != OK)
		return b->gone ? OK : e;
	/* auth_time would say that the person proved who they are: they are asked there too. */
	b->ask = (a.prompt & (PROMPT_LOGIN | PROMPT_SELECT_ACCOUNT)) || a.max_age_s == 0;
	b->login_hint = a.login_hint;
	a.connector_id = slice_str(b->connector->id);
	a.upstream_verifier = b->verifier;
	a.upstream_pending = true;
	return store_put(t, RECORD_AUTH_REQUEST, b->id, &a);
}

static void
begin_stored(struct request *r, enum err result)
{
	struct begin *b = r->state;
	const char *redirect_uri = redirect_uri_of(r, b->connector);
	char challenge[PKCE_CHALLENGE_BYTES + 1];
	struct buf url;

	if (result == OK && b->gone) {
		page_expired(r);
		return;
	}
	buf_init(&url, 8192);
	pkce_challenge_s256(b->verifier, challenge);
	if (result == OK && redirect_uri && b->connector->ops->begin(b->connector, &(struct connector_begin){ .redirect_uri = redirect_uri,
		.state = b->id, .challenge = slice_str(challenge), .login_hint = b->login_hint, .ask = b->ask }, &url) == OK && buf_ok(&url))
		page_redirect(r, buf_slice(&url));
	else
		page_unavailable(r);
	buf_fini(&url);
}

static void
begin(struct request *r, struct connector *c, struct slice id)
{
	struct record_auth_request a;
	struct begin *b = arena_alloc(&r->arena, sizeof *b);
	enum err e = b ? authorization_lookup(r, id, &a) : E_NOMEM;

	if (e == E_EMPTY) {
		page_expired(r);
		return;
	}
	if (e == OK && !app_generation_connector_allowed(r->generation, slice_str(c->id), authorization_client(r, &a), authorization_grants(&a))) {
		page_bad_request(r, "This application does not allow that way to sign in.");
		return;
	}
	if (e == OK)
		*b = (struct begin){ .r = r, .connector = c, .id = id, .verifier = request_secret(r, VERIFIER_BYTES) };
	if (e != OK || !b->verifier.p) {
		page_unavailable(r);
		return;
	}
	r->state = b;
	request_write(r, begin_store, b, begin_stored);
}

/* The connector whose encoded id stands in the path. */
static struct connector *
connector_in_path(struct request *r, struct slice segment)
{
	struct form *form = arena_alloc(&r->arena, sizeof *form);

	/* A path segment and a query decode alike but for '+', which stands for itself in a path; no id of ours is written with one. */
	if (!form || memchr(segment.p, '+', segment.n) || memchr(segment.p, '&', segment.n) || form_parse(segment, &r->arena, form) != OK || form->n != 1)
		return NULL;
	return app_generation_connector(r->generation, form->fields[0].name);
}

void
callback_begin(struct request *r, struct slice rest)
{
	struct connector *c = connector_in_path(r, rest);
	bool local = slice_eq_str(rest, AUTHD_PASSWORD_CONNECTOR);
	struct form *form;

	if (request_query_form(r, &form) != OK)
		page_bad_request(r, "The address has malformed parameters.");
	else if (!c && !local)
		page_bad_request(r, "There is no such way to sign in.");
	else if (form_get(form, "client_id").p)
		authorize_with_connector(r, c ? slice_str(c->id) : SLICE_LIT(AUTHD_PASSWORD_CONNECTOR));
	else if (local)
		page_redirect_to(r, "/auth/local/login", "req", form_get(form, "req"));
	else
		begin(r, c, form_get(form, "req"));
}

/* ---- back ---- */

struct finish {
	struct request *r;
	const struct form *query;
	struct slice id, path_connector;
	/* results of the write */
	bool gone;
	struct record_auth_request a;
	/* of the connector */
	struct connector_result result;
	enum err copied;
};

/* The state is the authorization's id, good for one return, and only in the browser that was sent off. */
static enum err
finish_store(struct store_txn *t, void *arg)
{
	struct finish *f = arg;
	struct record_auth_request used;
	enum err e = authorization_get(t, f->id, browser_login_cookie(f->r), &f->r->arena, &f->a);

	f->gone = e == E_EMPTY || (e == OK && !f->a.upstream_pending);
	if (e != OK || f->gone)
		return f->gone ? OK : e;
	used = f->a;
	used.upstream_pending = false;
	used.upstream_verifier = SLICE_NONE;
	return store_put(t, RECORD_AUTH_REQUEST, f->id, &used);
}

static void
failed(struct request *r, const struct finish *f, const struct connector *c)
{
	static const struct {
		int status;
		const char *title, *todo, *result;
	} shown[] = {
		[CONNECTOR_DENIED] = { 403, "You cannot sign in with this account", "If that is not what you expect, ask the administrator which accounts may.",
			"denied" },
		[CONNECTOR_BAD_ANSWER] = { 502, "The other side gave an answer that makes no sense",
			"Try again. If it stays like this, tell your administrator the request number below.", "bad_answer" },
		[CONNECTOR_UNAVAILABLE] = { 503, "The other side cannot be reached just now", "Try again in a little while.", "unavailable" },
		[CONNECTOR_NO_EMAIL] = { 403, "Your account has no verified mail address", "Verify a mail address there, then sign in again.", "no_verified_email" },
	};
	const struct connector_result *result = &f->result;
	char *again = arena_printf(&r->arena, "%.*s/auth?req=%.*s", SLICE_FMT(r->generation->path), SLICE_FMT(f->id));

	counters_login(r->app->counters, slice_str(c->id), shown[result->verdict].result);
	log_warn("sign-in by connector failed", LOG_STR("connector", c->id), LOG_STR("verdict", shown[result->verdict].result),
		LOG_STR("reason", result->message), LOG_SLICE("address", r->address), LOG_REQ(r->id));
	page_error_send(r, &(struct page_error){ .status = shown[result->verdict].status, .title = shown[result->verdict].title,
		.what = slice_str(result->message), .todo = shown[result->verdict].todo, .way_on = slice_str(again), .way_on_text = "Try again",
		.retry_after_s = result->retry_after_s > 0 ? (unsigned)result->retry_after_s : 0 });
}

static void
finished(struct request *r)
{
	const struct finish *f = r->state;

	if (f->copied != OK)
		page_unavailable(r);
	else if (f->result.verdict == CONNECTOR_OK)
		authorization_signed_in(r, f->id, &f->result.user, NULL);
	else
		failed(r, f, app_generation_connector(r->generation, f->a.connector_id));
}

static void
on_finished(void *arg, const struct connector_result *result)
{
	struct request *r = arg;
	struct finish *f = r->state;

	f->result = *result;
	f->copied = result->verdict == CONNECTOR_OK ? person_copy(&r->arena, &result->user, &f->result.user) : OK;
	request_resume(r);
}

static void
finish_stored(struct request *r, enum err result)
{
	struct finish *f = r->state;
	struct connector *c = result == OK && !f->gone ? app_generation_connector(r->generation, f->a.connector_id) : NULL;
	const char *redirect_uri = c ? redirect_uri_of(r, c) : NULL;

	if (result != OK) {
		page_unavailable(r);
		return;
	}
	if (!c || !redirect_uri || (f->path_connector.n && !slice_eq_str(f->path_connector, c->id))) {
		page_expired(r);
		return;
	}
	request_wait(r, finished);
	if (c->ops->finish(c, redirect_uri, f->query, f->a.upstream_verifier, on_finished, r) != OK) {
		f->copied = E_LIMIT;
		request_resume(r);
	}
}

void
callback_finish(struct request *r, struct slice rest)
{
	struct finish *f = arena_alloc(&r->arena, sizeof *f);
	struct connector *c = rest.n ? connector_in_path(r, rest) : NULL;
	struct form *form;

	if (!f || request_query_form(r, &form) != OK || form_duplicate(form, NULL).p || (rest.n && !c)) {
		page_bad_request(r, "The address has malformed parameters.");
		return;
	}
	f->r = r;
	f->query = form;
	f->id = form_get(form, "state");
	f->path_connector = c ? slice_str(c->id) : SLICE_NONE;
	r->state = f;
	request_write(r, finish_store, f, finish_stored);
}
