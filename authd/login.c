/* Signing in with a local password, and the choice between it and the connectors. */
#include <stdio.h>
#include "authd/authorization.h"
#include "authd/browser.h"
#include "authd/local_password.h"
#include "authd/pages.h"
#include "authd/routes.h"
#include "authd/sign_in_pages.h"

#define FORM_PURPOSE "login"

static struct sign_in_page
page_of(struct request *r, struct slice id, const struct record_auth_request *a)
{
	return (struct sign_in_page){ .id = id, .token = browser_form_token(r, browser_login_cookie(r), FORM_PURPOSE, id),
		.client = authorization_client(r, a), .grants = authorization_grants(a), .form_target = browser_form_target(r, a->redirect_uri) };
}

/* ---- the choice ---- */

static size_t
ways(const struct generation *g, const struct client *client, unsigned grants, struct slice *last)
{
	size_t n = 0;

	for (size_t i = 0; i <= g->connector_n; i++) {
		struct slice id = i < g->connector_n ? slice_str(g->connectors[i]->id) : SLICE_LIT(AUTHD_PASSWORD_CONNECTOR);
		if (!app_generation_connector_allowed(g, id, client, grants))
			continue;
		*last = id;
		n++;
	}
	return n;
}

static void
go_to_connector(struct request *r, struct slice connector, struct slice id)
{
	struct buf path;

	if (slice_eq_str(connector, AUTHD_PASSWORD_CONNECTOR)) {
		page_redirect_to(r, "/auth/local/login", "req", id);
		return;
	}
	buf_init(&path, 4096);
	buf_add_str(&path, "/auth/");
	buf_add_urlencoded(&path, connector);
	page_redirect_to(r, buf_slice(&path).p, "req", id);
	buf_fini(&path);
}

void
authorization_choose_login(struct request *r, struct slice id, const struct record_auth_request *a)
{
	const struct client *client = authorization_client(r, a);
	struct slice only = a->connector_id;
	struct sign_in_page s;
	size_t n = only.n ? 1 : ways(r->generation, client, authorization_grants(a), &only);

	if (n == 0) {
		page_error_send(r, &(struct page_error){ .status = 403, .title = "Nobody can sign in here",
			.what = SLICE_LIT("No way to sign in is set up for this application."), .todo = "Tell its operator the request number below." });
		return;
	}
	if (n == 1 && (a->connector_id.n || !r->generation->config->oauth2.always_show_login_screen)) {
		go_to_connector(r, only, id);
		return;
	}
	s = page_of(r, id, a);
	sign_in_page_choose(r, &s);
}

/* ---- the password page ---- */

/* The authorization of ?req= or the form, if a password may answer it. NULL: r has been answered. */
static struct record_auth_request *
authorization_for_password(struct request *r, struct slice id)
{
	struct record_auth_request *a = arena_alloc(&r->arena, sizeof *a);
	enum err e = a ? authorization_lookup(r, id, a) : E_NOMEM;

	if (e == E_EMPTY)
		page_expired(r);
	else if (e != OK)
		page_unavailable(r);
	else if (!app_generation_connector_allowed(r->generation, SLICE_LIT(AUTHD_PASSWORD_CONNECTOR), authorization_client(r, a), authorization_grants(a)))
		page_bad_request(r, "Passwords are not a way to sign in here.");
	else
		return a;
	return NULL;
}

static void
show(struct request *r, struct slice id, const struct record_auth_request *a, const struct sign_in_page_filled *filled)
{
	struct sign_in_page s = page_of(r, id, a);
	struct slice last;

	sign_in_page_password(r, &s, filled, ways(r->generation, s.client, s.grants, &last) > 1);
}

void
login_page(struct request *r, struct slice rest)
{
	const struct record_auth_request *a;
	struct form *form;

	(void)rest;
	if (request_query_form(r, &form) != OK) {
		page_bad_request(r, "The address has malformed parameters.");
		return;
	}
	a = authorization_for_password(r, form_get(form, "req"));
	if (a)
		show(r, form_get(form, "req"), a, &(struct sign_in_page_filled){ .status = 200, .login = a->login_hint, .remember = a->remember });
}

/* ---- a password was sent ---- */

struct attempt {
	struct slice id;
	bool remember;
	const struct record_auth_request *a;
	struct local_password password;
};

static void
again(struct request *r, const struct attempt *t, int status, const char *problem)
{
	struct slice login = t->password.login.n <= LOCAL_PASSWORD_LOGIN_BYTES_MAX ? t->password.login : SLICE_NONE;

	show(r, t->id, t->a, &(struct sign_in_page_filled){ .status = status, .login = login, .remember = t->remember, .problem = problem });
}

static void
too_many(struct request *r, const struct attempt *t)
{
	char after[16];

	snprintf(after, sizeof after, "%u", t->password.wait_s);
	response_header(r, "Retry-After", slice_str(after));
	again(r, t, 429, "Too many attempts. Wait a little, then try again.");
}

static void
checked(struct request *r)
{
	const struct attempt *t = r->state;

	switch (t->password.verdict) {
	case LOCAL_PASSWORD_RIGHT:
		authorization_signed_in(r, t->id, &t->password.user, &t->remember);
		return;
	case LOCAL_PASSWORD_WRONG:
		again(r, t, 401, "The name or the password is wrong.");
		return;
	case LOCAL_PASSWORD_HELD_BACK:
		too_many(r, t);
		return;
	case LOCAL_PASSWORD_UNAVAILABLE:
		page_unavailable(r);
		return;
	}
}

void
login_submit(struct request *r, struct slice rest)
{
	struct attempt *t = arena_alloc(&r->arena, sizeof *t);
	struct form *form;

	(void)rest;
	if (!t || request_body_form(r, &form) != OK) {
		page_bad_request(r, "The form that was sent cannot be read.");
		return;
	}
	t->id = browser_form_field(r, form, "req");
	t->password.login = slice_trim(form_get(form, "login"));
	t->remember = slice_eq_str(form_get(form, "remember"), "1") || form_get(form, "remember_me").n; /* as dex's templates call it */
	t->a = authorization_for_password(r, t->id);
	if (!t->a)
		return;
	if (!browser_form_ok(r, browser_login_cookie(r), FORM_PURPOSE, t->id, browser_form_field(r, form, "csrf")))
		page_expired(r);
	else if (t->password.login.n == 0 || t->password.login.n > LOCAL_PASSWORD_LOGIN_BYTES_MAX || form_get(form, "password").n == 0)
		again(r, t, 400, "Both a name and a password are needed.");
	else {
		r->state = t;
		local_password_check(r, &t->password, form_get(form, "password"), checked);
	}
}
