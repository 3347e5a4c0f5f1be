/* Who is signed in: browser sessions, and "offline" ones - refresh tokens, which outlive their browser's session. Listing them, and ending them. */
#include "authd/admin.h"
#include "authd/grant.h"
#include "authd/revocation.h"
#include "authd/session.h"
#include "shared/log.h"

#define ENDINGS_MAX 500 /* in one write: about 10 ms of the writer's time */

enum sessions_of { OF_BROWSER, OF_OFFLINE, OF_APPROVAL };
static const enum record_kind kinds[] = { [OF_BROWSER] = RECORD_SESSION, [OF_OFFLINE] = RECORD_REFRESH, [OF_APPROVAL] = RECORD_APPROVAL };

/* Whom or what a request is about; nothing set: everything. */
struct selection {
	enum sessions_of of;
	struct slice user, connector, client;
	struct record_strings sids;
	bool all;
};

static bool
selection_take(struct request *r, const struct form *form, struct selection *s)
{
	struct slice of = form_get(form, "kind"), all = form_get(form, "all");
	enum err e = admin_list(&r->arena, form_get(form, "sids"), &s->sids);

	s->of = slice_eq_str(of, "offline") ? OF_OFFLINE : slice_eq_str(of, "approval") ? OF_APPROVAL : OF_BROWSER;
	s->user = form_get(form, "user");
	s->connector = form_get(form, "connector");
	s->client = form_get(form, "client");
	s->all = slice_eq_str(all, "true");
	if (s->of == OF_BROWSER && !slice_eq_str(of, "browser"))
		admin_refuse(r, 400, "kind is browser, offline or approval");
	else if (e != OK)
		admin_refuse(r, 400, "sids is no list of at most %d session ids", RECORD_LIST_MAX);
	else
		return true;
	return false;
}

static bool
user_matches(const struct selection *s, const struct record_user *u)
{
	if (s->connector.n && !slice_eq(s->connector, u->connector_id))
		return false;
	return !s->user.n || slice_eq_nocase(s->user, u->email) || slice_eq(s->user, u->user_id) || slice_eq(s->user, u->preferred_username);
}

static bool
sid_matches(const struct selection *s, struct slice sid)
{
	for (size_t i = 0; i < s->sids.n; i++)
		if (slice_eq(s->sids.items[i], sid))
			return true;
	return s->sids.n == 0;
}

static bool
selected(const struct selection *s, const struct record_user *u, struct slice sid, struct slice client)
{
	return user_matches(s, u) && sid_matches(s, sid) && (!s->client.n || slice_eq(s->client, client));
}

/* ---- listing ---- */

static void
add_user(struct buf *b, const struct record_user *u)
{
	admin_add_text(b, "connector", u->connector_id);
	admin_add_text(b, "user_id", u->user_id);
	admin_add_text(b, "username", u->preferred_username.n ? u->preferred_username : u->username);
	admin_add_text(b, "email", u->email);
	admin_add_texts(b, "groups", u->groups.items, u->groups.n);
}

static enum err
visit_browser(struct admin_page *p, struct slice key, const void *record)
{
	const struct record_session *s = record;
	struct buf *b;

	(void)key;
	if (!selected(p->arg, &s->user, s->sid, SLICE_NONE))
		return OK;
	b = admin_page_item(p);
	buf_add_str(b, "{\"kind\":\"browser\"");
	admin_add_text(b, "sid", s->sid);
	add_user(b, &s->user);
	admin_add_time(b, "auth_time", s->auth_time);
	admin_add_time(b, "created_at", s->created_at);
	admin_add_time(b, "last_used_at", s->last_seen_at);
	admin_add_time(b, "expires_at", s->expires_at);
	admin_add_text(b, "address", s->address);
	admin_add_text(b, "user_agent", s->user_agent);
	buf_add_char(b, '}');
	return OK;
}

static enum err
visit_offline(struct admin_page *p, struct slice key, const void *record)
{
	const struct record_refresh *f = record;
	struct buf *b;

	(void)key;
	if (f->ended || !selected(p->arg, &f->user, f->sid, f->client_id))
		return OK;
	b = admin_page_item(p);
	buf_add_str(b, "{\"kind\":\"offline\"");
	admin_add_text(b, "sid", f->sid);
	add_user(b, &f->user);
	admin_add_text(b, "client", f->client_id);
	admin_add_text(b, "scope", f->scope);
	admin_add_time(b, "auth_time", f->auth_time);
	admin_add_time(b, "created_at", f->created_at);
	admin_add_time(b, "last_used_at", f->last_used_at);
	admin_add_time(b, "expires_at", f->expires_at);
	buf_add_char(b, '}');
	return OK;
}

void
admin_sessions_list(struct request *r, struct slice rest)
{
	const struct form *form = admin_form(r);
	struct selection s;
	struct admin_page p;

	(void)rest;
	if (!form || !selection_take(r, form, &s))
		return;
	if (s.of == OF_APPROVAL) {
		admin_refuse(r, 400, "kind is browser or offline");
		return;
	}
	if (!admin_page_begin(&p, r, form))
		return;
	p.visit = s.of == OF_BROWSER ? visit_browser : visit_offline;
	p.arg = &s;
	admin_page_send(&p, admin_page_run(&p, kinds[s.of]));
}

/* ---- ending ---- */

struct ending {
	struct slice key, sid;
};

struct endings {
	struct selection selection;
	struct admin_page page;
	struct ending *items;
	size_t n;
};

static enum err
ending_add(struct admin_page *p, struct slice key, struct slice sid)
{
	struct endings *e = p->arg;
	struct ending *one = &e->items[e->n];

	one->key = arena_slice(&p->r->arena, key);
	one->sid = arena_slice(&p->r->arena, sid);
	if (!one->key.p || !one->sid.p)
		return E_NOMEM;
	e->n++;
	p->full = e->n == ENDINGS_MAX;
	return OK;
}

static enum err
ending_visit(struct admin_page *p, struct slice key, const struct record_user *user, struct slice sid, struct slice client)
{
	struct endings *e = p->arg;

	return selected(&e->selection, user, sid, client) ? ending_add(p, key, sid) : OK;
}

static enum err
ending_visit_browser(struct admin_page *p, struct slice key, const void *record)
{
	const struct record_session *s = record;

	return ending_visit(p, key, &s->user, s->sid, SLICE_NONE);
}

static enum err
ending_visit_offline(struct admin_page *p, struct slice key, const void *record)
{
	const struct record_refresh *f = record;

	return f->ended ? OK : ending_visit(p, key, &f->user, f->sid, f->client_id);
}

/* Key: sub NUL client id. What a client was allowed does not go to another of its id. */
static enum err
ending_visit_approval(struct admin_page *p, struct slice key, const void *record)
{
	const struct endings *e = p->arg;
	struct slice client = key;

	(void)record;
	slice_cut(&client, '\0');
	return slice_eq(client, e->selection.client) ? ending_add(p, key, SLICE_LIT("")) : OK;
}

static enum err
ending_run(struct store_txn *t, const struct endings *e, const struct ending *one, struct arena *scratch)
{
	int64_t now_s = request_now_s(e->page.r);
	enum err result;

	switch (e->selection.of) {
	case OF_BROWSER:
		return session_end(t, one->key, one->sid, scratch, now_s);
	case OF_OFFLINE:
		/* Of one client alone: the session goes on. Else what carries its sid has to stop, though no browser holds it any more. */
		result = e->selection.client.n ? OK : revocation_put(t, one->sid, scratch, now_s);
		return result == OK ? grant_end_family(t, one->key, scratch, now_s) : result;
	case OF_APPROVAL:
		break;
	}
	result = store_delete(t, RECORD_APPROVAL, one->key);
	return result == E_EMPTY ? OK : result;
}

static enum err
endings_write(struct store_txn *t, void *arg)
{
	struct endings *e = arg;
	struct arena scratch; /* of one at a time: hundreds of records do not fit in a request */
	enum err result = OK;

	arena_init(&scratch, REQUEST_ARENA_BYTES_MAX);
	for (size_t i = 0; i < e->n && result == OK; i++) {
		result = ending_run(t, e, &e->items[i], &scratch);
		arena_fini_secret(&scratch);
	}
	return result;
}

static void
endings_written(struct request *r, enum err result)
{
	struct endings *e = r->state;
	struct buf body;

	if (result != OK) {
		admin_refuse_store(r, result);
		return;
	}
	for (size_t i = 0; i < e->n && e->selection.of != OF_APPROVAL; i++)
		log_info("session ended by an administrator", LOG_SLICE("sid", e->items[i].sid), LOG_UINT("uid", r->peer_uid), LOG_REQ(r->id));
	buf_init(&body, 0);
	buf_printf(&body, "{\"ended\":%zu", e->n);
	admin_page_add_after(&e->page, &body);
	buf_add_char(&body, '}');
	admin_send(r, 200, &body);
}

void
admin_sessions_end(struct request *r, struct slice rest)
{
	static enum err (*const visits[])(struct admin_page *p, struct slice key, const void *record) = { [OF_BROWSER] = ending_visit_browser,
		[OF_OFFLINE] = ending_visit_offline, [OF_APPROVAL] = ending_visit_approval };
	struct endings *e = arena_alloc(&r->arena, sizeof(*e));
	const struct form *form = admin_form(r);
	enum err err;

	(void)rest;
	if (!form)
		return;
	if (!e || !(e->items = arena_alloc(&r->arena, ENDINGS_MAX * sizeof(e->items[0])))) {
		admin_refuse_store(r, E_NOMEM);
		return;
	}
	if (!selection_take(r, form, &e->selection))
		return;
	if (e->selection.of == OF_APPROVAL ? !e->selection.client.n :
					      !e->selection.all && !e->selection.sids.n && !e->selection.user.n && !e->selection.client.n) {
		admin_refuse(r, 400, "nothing says which sessions: sids, user, client or all");
		return;
	}
	if (!admin_page_begin(&e->page, r, form))
		return;
	e->page.visit = visits[e->selection.of];
	e->page.arg = e;
	err = admin_page_run(&e->page, kinds[e->selection.of]);
	admin_page_fini(&e->page);
	if (err != OK) {
		admin_refuse_store(r, err);
		return;
	}
	r->state = e;
	request_write(r, endings_write, e, endings_written);
}
