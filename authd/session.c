#include "authd/browser.h"
#include "authd/grant.h"
#include "authd/person.h"
#include "authd/person_session.h"
#include "authd/revocation.h"
#include "authd/session.h"

#define TOUCH_S_MAX 60

static int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
ends_at(const struct authd_config *c, const struct record_session *s)
{
	return s->created_at + c->sessions.absolute_lifetime_ms / 1000;
}

int64_t
session_expires_at(const struct authd_config *c, const struct record_session *s)
{
	return earlier(ends_at(c, s), s->last_seen_at + c->sessions.valid_if_not_used_for_ms / 1000);
}

bool
session_touch_due(const struct authd_config *c, const struct record_session *s, int64_t now_s)
{
	return now_s - s->last_seen_at >= earlier(TOUCH_S_MAX, c->sessions.valid_if_not_used_for_ms / 10000);
}

void
session_touch(const struct authd_config *c, struct record_session *s, int64_t now_s)
{
	s->last_seen_at = now_s;
	s->expires_at = session_expires_at(c, s);
}

enum err
session_find(struct request *r, struct session *out)
{
	struct directory d = directory_of(r);
	struct slice key;
	enum err e;

	*out = (struct session){ .secret = request_cookie(r, r->generation->session_cookie) };
	if (out->secret.n == 0 || out->secret.n > 256)
		return E_EMPTY;
	key = store_hash(out->secret, out->hash);
	e = key.n ? store_lookup(r->app->store, RECORD_SESSION, key, &r->arena, &out->record) : E_NOMEM;
	if (e == OK && request_now_s(r) >= session_expires_at(r->generation->config, &out->record))
		return E_EMPTY;
	if (e == OK)
		e = person_refresh(&d, &out->record.user);
	return e == E_DENIED ? E_EMPTY : e;
}

enum err
session_put(struct store_txn *t, const struct authd_config *c, struct slice key, const struct record_session *s, struct arena *arena)
{
	enum err e = store_put(t, RECORD_SESSION, key, s);

	return e == OK ? person_session_note(t, key, s, ends_at(c, s), arena) : e;
}

enum err
session_use(struct store_txn *t, struct request *r, const struct session *s)
{
	struct record_session now;
	enum err e = store_get(t, RECORD_SESSION, session_key(s), &r->arena, &now);

	if (e != OK)
		return e;
	session_touch(r->generation->config, &now, request_now_s(r));
	return session_put(t, r->generation->config, session_key(s), &now, &r->arena);
}

enum err
session_prepare(struct request *r, const struct record_user *user, struct session *out)
{
	struct slice agent = request_header(r, "User-Agent");
	int64_t now_s = request_now_s(r);

	*out = (struct session){ .secret = request_secret(r, BROWSER_SECRET_BYTES),
		.record = {
			.sid = request_secret(r, SESSION_SID_BYTES),
			.user = *user,
			.auth_time = now_s,
			.created_at = now_s,
			.user_agent = slice_of(agent.p, agent.n < 256 ? agent.n : 256),
			.address = r->address,
		} };
	if (!out->secret.p || !out->record.sid.p || !store_hash(out->secret, out->hash).n)
		return E_NOMEM;
	session_touch(r->generation->config, &out->record, now_s);
	return OK;
}

void
session_cookie_set(struct request *r, const struct session *s)
{
	int64_t left_s = ends_at(r->generation->config, &s->record) - request_now_s(r);

	browser_cookie_set(r, r->generation->session_cookie, s->secret, s->record.remember ? left_s : -1);
}

void
session_cookie_clear(struct request *r)
{
	browser_cookie_set(r, r->generation->session_cookie, SLICE_NONE, 0);
}

enum err
session_end(struct store_txn *t, struct slice key, struct slice sid, struct arena *arena, int64_t now_s)
{
	struct record_session s;
	enum err e = store_get(t, RECORD_SESSION, key, arena, &s);

	if (e == OK)
		e = person_session_forget(t, &s.user, sid);
	if (e == OK)
		e = store_delete(t, RECORD_SESSION, key);
	if (e == OK || e == E_EMPTY)
		e = revocation_put(t, sid, arena, now_s);
	return e == OK ? grant_end_session(t, sid, arena, now_s) : e;
}
