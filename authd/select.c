/* prompt=select_account (OpenID Connect Core 3.1.2.1): the person of this browser's session goes on as themselves, or signs in as somebody else. */
#include "authd/authorization.h"
#include "authd/browser.h"
#include "authd/pages.h"
#include "authd/routes.h"
#include "authd/sign_in_pages.h"
#include "oidc/authorization_request.h"
#include "oidc/sign_in.h"

#define FORM_PURPOSE "select"

struct selection {
	struct slice id;
	struct record_auth_request a;
	struct session session;
};

/* True: the session that was found fit when it was asked still is, and the person may go on with it. False: r has been answered, with the way to sign in where
 * that is left. */
static bool
selection_open(struct selection *s, struct request *r, struct slice id)
{
	enum err e = authorization_lookup(r, id, &s->a);

	s->id = id;
	if (e == E_EMPTY || (e == OK && !(s->a.prompt & PROMPT_SELECT_ACCOUNT))) {
		page_expired(r);
		return false;
	}
	if (e == OK)
		e = session_find(r, &s->session);
	if (e == OK && slice_eq(s->session.record.sid, s->a.sid) &&
		sign_in_session_suffices((unsigned)s->a.prompt, s->a.max_age_s, s->session.record.auth_time, request_now_s(r)))
		return true;
	if (e == OK || e == E_EMPTY)
		authorization_choose_login(r, id, &s->a);
	else
		page_unavailable(r);
	return false;
}

/* Of this very session: somebody who signed in meanwhile in another window has not been asked. */
static struct slice
form_token(struct request *r, const struct selection *s)
{
	char *purpose = arena_printf(&r->arena, FORM_PURPOSE " %.*s", SLICE_FMT(s->session.record.sid));

	return purpose ? browser_form_token(r, browser_login_cookie(r), purpose, s->id) : SLICE_NONE;
}

void
select_page(struct request *r, struct slice rest)
{
	struct selection s;
	struct form *form;

	(void)rest;
	if (request_query_form(r, &form) != OK)
		page_bad_request(r, "The address has malformed parameters.");
	else if (selection_open(&s, r, form_get(form, "req")))
		sign_in_page_select(r, &(struct sign_in_page){ .id = s.id, .token = form_token(r, &s), .client = authorization_client(r, &s.a),
			.form_target = browser_form_target(r, s.a.redirect_uri) }, &s.session.record.user);
}

void
select_submit(struct request *r, struct slice rest)
{
	struct selection s;
	struct form *form;
	struct slice choice, wanted;

	(void)rest;
	if (request_body_form(r, &form) != OK) {
		page_bad_request(r, "The form that was sent cannot be read.");
		return;
	}
	if (!selection_open(&s, r, form_get(form, "req")))
		return;
	choice = form_get(form, "account");
	wanted = form_token(r, &s);
	if (!wanted.n || !slice_eq_secret(wanted, form_get(form, "csrf")) || !browser_origin_ok(r))
		page_expired(r);
	else if (slice_eq_str(choice, "this"))
		authorization_go_on(r, s.id, &s.session);
	else if (slice_eq_str(choice, "other"))
		authorization_choose_login(r, s.id, &s.a);
	else
		page_bad_request(r, "The form that was sent has no answer in it.");
}
