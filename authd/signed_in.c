/* Somebody has proved who they are: one store write starts their session and takes the authorization one step further, then the browser follows. */
#include "authd/authorization_answer.h"
#include "authd/browser.h"
#include "authd/counters.h"
#include "authd/pages.h"
#include "authd/person.h"
#include "oidc/sign_in.h"
#include "shared/log.h"

enum outcome { OUTCOME_GONE, OUTCOME_APPROVAL, OUTCOME_CLIENT, OUTCOME_CONSOLE };

struct signed_in {
	struct request *r;
	struct slice id, login_cookie;
	struct record_user user;
	struct session session;
	struct authorization_answer answer;
	const bool *remember; /* NULL: as the authorization says */
	bool goes_on;         /* the session is the browser's already */
	/* results */
	enum outcome outcome;
	struct record_auth_request a;
};

/* The browser's session before, if any. Signing in again as the same person goes on under the same sid, so that what was granted under it can still be
 * ended with it; another person's ends here, as nobody could end it later. Its secret changes in any case, so that one that was known before the login is worth nothing after it. */
static enum err
session_replace(struct store_txn *t, struct signed_in *s)
{
	struct slice cookie = request_cookie(s->r, s->r->generation->session_cookie);
	struct record_session before, now = s->session.record;
	unsigned char hash[32];
	enum err e;

	if (cookie.n) {
		struct slice key = store_hash(cookie, hash);
		e = key.n ? store_get(t, RECORD_SESSION, key, &s->r->arena, &before) : E_NOMEM;
		if (e == OK && !person_same(&before.user, &now.user)) {
			e = session_end(t, key, before.sid, &s->r->arena, request_now_s(s->r));
		} else if (e == OK) {
			now.sid = before.sid;
			e = store_delete(t, RECORD_SESSION, key);
		}
		if (e != OK && e != E_EMPTY)
			return e;
	}
	s->a.sid = now.sid;
	now.remember = s->session.record.remember = s->remember ? *s->remember : s->a.remember;
	return session_put(t, s->r->generation->config, session_key(&s->session), &now, &s->r->arena);
}

/* E_EMPTY: it has ended meanwhile. */
static enum err
session_go_on(struct store_txn *t, struct signed_in *s)
{
	s->a.sid = s->session.record.sid;
	return session_use(t, s->r, &s->session);
}

static enum err
step_to_approval(struct store_txn *t, struct signed_in *s)
{
	s->outcome = OUTCOME_APPROVAL;
	s->a.logged_in = true;
	s->a.user = s->user;
	s->a.auth_time = s->session.record.auth_time;
	return authorization_put(t, s->id, &s->a);
}

static enum err
step_to_client(struct store_txn *t, struct signed_in *s)
{
	enum err e = store_delete(t, RECORD_AUTH_REQUEST, s->id);

	s->outcome = OUTCOME_CLIENT;
	if (e != OK)
		return e;
	return authorization_answer_put(t, s->r, &s->a, &s->user, s->session.record.auth_time, s->a.sid, &s->answer);
}

static enum err
signed_in_store(struct store_txn *t, void *arg)
{
	struct signed_in *s = arg;
	bool approved;
	struct directory d = directory_in(s->r->generation, t, &s->r->arena);
	const struct client *client;
	enum err e = authorization_get(t, s->id, s->login_cookie, &s->r->arena, &s->a);

	s->outcome = OUTCOME_GONE;
	if (e == OK && s->a.client_id.n)
		e = directory_client(&d, s->a.client_id, &client);
	if (e != OK)
		return e == E_EMPTY ? OK : e;
	e = s->goes_on ? session_go_on(t, s) : session_replace(t, s);
	if (e == E_EMPTY)
		return OK;
	if (e == OK && s->a.return_to.n) {
		s->outcome = OUTCOME_CONSOLE;
		return store_delete(t, RECORD_AUTH_REQUEST, s->id);
	}
	if (e == OK)
		e = authorization_approved(t, &s->a, &s->user, &s->r->arena, &approved);
	if (e != OK)
		return e;
	return sign_in_needs_approval((unsigned)s->a.prompt, s->r->generation->config->oauth2.skip_approval_screen, approved) ? step_to_approval(t, s) :
																step_to_client(t, s);
}

static void
signed_in_stored(struct request *r, enum err result)
{
	struct signed_in *s = r->state;

	if (result != OK) {
		page_unavailable(r);
		return;
	}
	if (s->outcome == OUTCOME_GONE) {
		page_expired(r);
		return;
	}
	log_info(s->goes_on ? "signed in by session" : "signed in", LOG_SLICE("connector", s->user.connector_id), LOG_SLICE("user_id", s->user.user_id), LOG_SLICE("client", s->a.client_id),
		LOG_SLICE("sid", s->a.sid), LOG_SLICE("address", r->address), LOG_REQ(r->id));
	if (!s->goes_on) {
		counters_login(r->app->counters, s->user.connector_id, "succeeded");
		session_cookie_set(r, &s->session);
	}
	if (s->outcome == OUTCOME_CONSOLE)
		page_redirect(r, s->a.return_to);
	else if (s->outcome == OUTCOME_APPROVAL)
		page_redirect_to(r, "/approval", "req", s->id);
	else
		authorization_answer_send(r, &s->a, &s->answer);
}

static void
go(struct request *r, struct signed_in *s, struct slice id)
{
	s->r = r;
	s->id = id;
	s->login_cookie = browser_login_cookie(r);
	r->state = s;
	request_write(r, signed_in_store, s, signed_in_stored);
}

void
authorization_signed_in(struct request *r, struct slice id, const struct record_user *user, const bool *remember)
{
	struct signed_in *s = arena_alloc(&r->arena, sizeof *s);

	if (!s || person_copy(&r->arena, user, &s->user) != OK || session_prepare(r, &s->user, &s->session) != OK ||
		authorization_answer_prepare(r, &s->answer) != OK) {
		page_unavailable(r);
		return;
	}
	s->remember = remember;
	go(r, s, id);
}

void
authorization_go_on(struct request *r, struct slice id, const struct session *session)
{
	struct signed_in *s = arena_alloc(&r->arena, sizeof *s);

	if (!s || authorization_answer_prepare(r, &s->answer) != OK) {
		page_unavailable(r);
		return;
	}
	s->user = session->record.user;
	s->session = *session;
	s->goes_on = true;
	go(r, s, id);
}
