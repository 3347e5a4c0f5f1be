/* The page that asks whether a client may have what it wants, and the answer to it. */
#include "authd/authorization_answer.h"
#include "authd/browser.h"
#include "authd/device.h"
#include "authd/pages.h"
#include "authd/routes.h"
#include "authd/sign_in_pages.h"
#include "authd/template_pages.h"
#include "shared/log.h"

#define FORM_PURPOSE "approval"

struct approval {
	struct request *r;
	struct slice id, login_cookie;
	struct record_auth_request a;
	struct authorization_answer answer;
	bool approve;
	bool gone; /* result */
};

/* The signed-in authorization of id, whose session still lives in this browser. False: r has been answered. */
static bool
approval_open(struct approval *p, struct request *r, struct slice id)
{
	struct session session;
	enum err e = authorization_lookup(r, id, &p->a);

	p->r = r;
	p->id = id;
	p->login_cookie = browser_login_cookie(r);
	if (e == OK && !p->a.logged_in)
		e = E_EMPTY;
	if (e == OK)
		e = session_find(r, &session);
	if (e == OK && !slice_eq(session.record.sid, p->a.sid))
		e = E_EMPTY;
	if (e == E_EMPTY || (e == OK && p->a.client_id.n == 0))
		page_expired(r);
	else if (e != OK)
		page_unavailable(r);
	else
		return true;
	return false;
}

void
approval_page(struct request *r, struct slice rest)
{
	struct approval p;
	struct slice shown = SLICE_NONE;
	struct sign_in_page s;
	struct form *form;

	(void)rest;
	if (request_query_form(r, &form) != OK) {
		page_bad_request(r, "The address has malformed parameters.");
		return;
	}
	if (!approval_open(&p, r, form_get(form, "req")))
		return;
	if (p.a.user_code.n)
		shown = device_user_code_shown(&r->arena, p.a.user_code);
	if (template_pages_approve(r) && !shown.n && !form_get(form, "csrf").p) {
		page_redirect_form(r, "/approval", &(struct form){ .n = 2, .fields = { { SLICE_LIT("req"), p.id },
			{ SLICE_LIT("csrf"), browser_form_token(r, p.login_cookie, FORM_PURPOSE, p.id) } } });
		return;
	}
	s = (struct sign_in_page){ .id = p.id, .token = browser_form_token(r, p.login_cookie, FORM_PURPOSE, p.id), .client = authorization_client(r, &p.a),
		.user_code = shown, 		.form_target = browser_form_target(r, p.a.redirect_uri) };
	sign_in_page_approval(r, &s, &p.a.user, p.a.scope);
}

static enum err
answer_store(struct store_txn *t, void *arg)
{
	struct approval *p = arg;
	int64_t now_s = request_now_s(p->r);
	enum err e = authorization_get(t, p->id, p->login_cookie, &p->r->arena, &p->a);

	p->gone = e == E_EMPTY || (e == OK && !p->a.logged_in);
	if (e != OK || p->gone)
		return p->gone ? OK : e;
	e = store_delete(t, RECORD_AUTH_REQUEST, p->id);
	if (e == OK && p->a.device_key.n) {
		e = device_decide(t, &p->a, p->approve, &p->r->arena, now_s);
		p->gone = e == E_EMPTY;
		return p->gone ? OK : e;
	}
	if (e == OK && p->approve)
		e = authorization_approve(t, &p->a, &p->a.user, &p->r->arena, now_s);
	if (e == OK && p->approve)
		e = authorization_answer_put(t, p->r, &p->a, &p->a.user, p->a.auth_time, p->a.sid, &p->answer);
	return e;
}

static void
answer_stored(struct request *r, enum err result)
{
	struct approval *p = r->state;

	if (result != OK) {
		page_unavailable(r);
		return;
	}
	if (p->gone) {
		page_expired(r);
		return;
	}
	log_info(p->approve ? "approved" : "not approved", LOG_SLICE("client", p->a.client_id), LOG_SLICE("sid", p->a.sid), LOG_REQ(r->id));
	if (p->a.device_key.n)
		page_redirect_to(r, CLIENT_DEVICE_CALLBACK, p->approve ? NULL : "error", SLICE_LIT("access_denied"));
	else if (p->approve)
		authorization_answer_send(r, &p->a, &p->answer);
	else
		authorization_answer_error(r, &p->a, "access_denied", "the person refused");
}

void
approval_submit(struct request *r, struct slice rest)
{
	struct approval *p = arena_alloc(&r->arena, sizeof *p);
	struct form *form;
	struct slice choice;

	(void)rest;
	if (!p || request_body_form(r, &form) != OK) {
		page_bad_request(r, "The form that was sent cannot be read.");
		return;
	}
	if (!approval_open(p, r, form_get(form, "req")))
		return;
	choice = form_get(form, "approval");
	p->approve = slice_eq_str(choice, "approve");
	if (!browser_form_ok(r, p->login_cookie, FORM_PURPOSE, p->id, browser_form_field(r, form, "csrf")))
		page_expired(r);
	else if (!p->approve && !slice_eq_str(choice, "deny") && !slice_eq_str(choice, "rejected")) /* as dex's templates call it */
		page_bad_request(r, "The form that was sent has no answer in it.");
	else if (authorization_answer_prepare(r, &p->answer) != OK)
		page_unavailable(r);
	else {
		r->state = p;
		request_write(r, answer_store, p, answer_stored);
	}
}
