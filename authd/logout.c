/* RP-Initiated Logout (OpenID Connect RP-Initiated Logout 1.0): an application sends its person here to sign out, and wants them back. Without an ID
 * token of the very session that is here, anybody could have made the address: then the person is asked. Whatever is wrong is a page, never a redirect. */
#include "authd/authorization.h"
#include "authd/browser.h"
#include "authd/own_token.h"
#include "authd/pages.h"
#include "authd/person.h"
#include "authd/routes.h"
#include "shared/log.h"

#define FORM_PURPOSE "logout"

struct logout {
	struct request *r;
	struct slice client_id, redirect_uri, state; /* redirect_uri: the client's own, checked */
	struct own_token hint;
	bool hinted;
	struct session session;
};

/* ---- what is asked ---- */

/* NULL: fine. Else what is wrong, for a page. */
static const char *
hint_take(struct logout *l, struct slice text, enum err *e)
{
	*e = text.n ? own_token_open(l->r, text, "JWT", true, &l->hint) : OK;
	if (text.n == 0 || (*e != OK && *e != E_DENIED))
		return NULL;
	if (*e == E_DENIED) {
		*e = OK;
		return "Its proof of who is signed in was not made here, or was changed.";
	}
	struct slice client = l->hint.azp.n ? l->hint.azp : l->hint.aud;
	if (l->client_id.n && !slice_eq(client, l->client_id))
		return "Its proof of who is signed in was made for another application.";
	l->client_id = client;
	l->hinted = true;
	return NULL;
}

static const char *
request_take(struct logout *l, const struct form *form, enum err *e)
{
	const struct client *client;
	struct directory d = directory_of(l->r);
	const char *wrong;

	*e = OK;
	if (form_duplicate(form, NULL).p)
		return "A parameter occurs twice.";
	l->client_id = form_get(form, "client_id");
	l->redirect_uri = form_get(form, "post_logout_redirect_uri");
	l->state = form_get(form, "state");
	wrong = hint_take(l, form_get(form, "id_token_hint"), e);
	if (wrong || *e != OK)
		return wrong;
	if (l->client_id.n == 0)
		return l->redirect_uri.n ? "It does not say which application it comes from." : NULL;
	*e = directory_client(&d, l->client_id, &client);
	if (*e == E_EMPTY) {
		*e = OK;
		return "It comes from an application that is not known here.";
	}
	if (*e == OK && l->redirect_uri.n && !client_post_logout_redirect_uri_ok(client, l->redirect_uri))
		return "The address to go to afterwards is not registered for the application.";
	return NULL;
}

/* False: r has been answered. */
static bool
logout_open(struct logout *l, struct request *r, const struct form *form)
{
	enum err e;

	l->r = r;
	const char *wrong = request_take(l, form, &e);
	if (wrong) {
		log_info("logout refused", LOG_STR("reason", wrong), LOG_SLICE("client", l->client_id), LOG_SLICE("address", r->address), LOG_REQ(r->id));
		page_error_send(r, &(struct page_error){ .status = 400, .title = "This request to sign out is not right", .what = slice_str(wrong),
			.todo = "You are not signed out. You can do that at the console.", .way_on = SLICE_LIT("/console/"), .way_on_text = "Go to the console" });
	} else if (e != OK) {
		page_unavailable(r);
	}
	return !wrong && e == OK;
}

/* The hint is of the session that is here. */
static bool
hint_names_session(const struct logout *l)
{
	return l->hinted && person_has_subject(&l->r->arena, &l->session.record.user, l->hint.sub) && slice_eq(l->hint.sid, l->session.record.sid);
}

/* ---- answers ---- */

/* Section 3: state goes back as it came. */
static void
go_back(const struct logout *l)
{
	struct request *r = l->r;
	struct buf state, location;

	if (!l->redirect_uri.n) {
		console_signed_out(r, SLICE_NONE);
		return;
	}
	buf_init(&state, 0);
	buf_init(&location, 0);
	if (l->state.n) {
		buf_add_str(&state, "state=");
		buf_add_urlencoded(&state, l->state);
		authorization_redirect_add(&location, l->redirect_uri, RESPONSE_MODE_QUERY, buf_slice(&state));
	} else {
		buf_add_slice(&location, l->redirect_uri);
	}
	if (!buf_ok(&location) || !buf_ok(&state))
		r->answer_failed = true;
	page_redirect(r, buf_slice(&location));
	buf_fini(&location);
	buf_fini(&state);
}

static enum err
end_store(struct store_txn *t, void *arg)
{
	const struct logout *l = arg;

	return session_end(t, session_key(&l->session), l->session.record.sid, &l->r->arena, request_now_s(l->r));
}

static void
end_stored(struct request *r, enum err result)
{
	const struct logout *l = r->state;

	if (result != OK) {
		page_unavailable(r);
		return;
	}
	log_info("signed out", LOG_SLICE("sid", l->session.record.sid), LOG_SLICE("client", l->client_id), LOG_SLICE("address", r->address), LOG_REQ(r->id));
	session_cookie_clear(r);
	go_back(l);
}

static void
end(struct logout *l)
{
	l->r->state = l;
	request_write(l->r, end_store, l, end_stored);
}

static void
ask(const struct logout *l)
{
	struct request *r = l->r;
	struct page p;

	page_begin(&p, r, "Sign out");
	page_html(&p, "<h1>Sign out?</h1><p class=\"lead\">You are signed in as <strong>");
	page_text(&p, person_label(&l->session.record.user));
	page_html(&p, "</strong>. Signing out ends this browser's session, and every kubectl that was signed in with it.</p><div class=\"stack\">");
	page_form_begin(&p, "/logout/confirm");
	page_hidden(&p, "csrf", browser_form_token(r, l->session.secret, FORM_PURPOSE, l->session.record.sid));
	if (l->redirect_uri.n) {
		page_hidden(&p, "client_id", l->client_id);
		page_hidden(&p, "post_logout_redirect_uri", l->redirect_uri);
		page_hidden(&p, "state", l->state);
	}
	page_html(&p, "<button type=\"submit\">Sign out</button></form><a class=\"button quiet\" href=\"/console/\">Stay signed in</a></div>");
	page_send(&p, 200, browser_form_target(r, l->redirect_uri));
}

/* ---- requests ---- */

void
logout_request(struct request *r, struct slice rest)
{
	struct logout *l = arena_alloc(&r->arena, sizeof *l);
	struct form *form;
	enum err e = r->method == METHOD_POST ? request_body_form(r, &form) : request_query_form(r, &form);

	(void)rest;
	if (!l || e == E_NOMEM) {
		page_unavailable(r);
		return;
	}
	if (e != OK) {
		page_bad_request(r, "The request has malformed parameters.");
		return;
	}
	if (r->method == METHOD_POST) {
		page_redirect_form(r, "/logout", form);
		return;
	}
	*l = (struct logout){ .hinted = false };
	if (!logout_open(l, r, form))
		return;
	e = session_find(r, &l->session);
	if (e == E_EMPTY && (l->hinted || !l->redirect_uri.n))
		go_back(l); /* nothing is left to end */
	else if (e == E_EMPTY)
		console_signed_out(r, SLICE_NONE); /* who made the address is not known: nobody is sent anywhere without having agreed */
	else if (e != OK)
		page_unavailable(r);
	else if (hint_names_session(l))
		end(l);
	else
		ask(l);
}

/* The form of ask. */
void
logout_confirm(struct request *r, struct slice rest)
{
	struct logout *l = arena_alloc(&r->arena, sizeof *l);
	struct form *form;
	enum err e;

	(void)rest;
	if (!l || request_body_form(r, &form) != OK) {
		page_bad_request(r, "The form that was sent cannot be read.");
		return;
	}
	*l = (struct logout){ .hinted = false };
	if (!logout_open(l, r, form))
		return;
	e = session_find(r, &l->session);
	if (e == E_EMPTY)
		console_signed_out(r, SLICE_NONE);
	else if (e != OK)
		page_unavailable(r);
	else if (!browser_form_ok(r, l->session.secret, FORM_PURPOSE, l->session.record.sid, form_get(form, "csrf")))
		page_bad_request(r, "This form is not of this session. Go back and try again.");
	else
		end(l);
}
