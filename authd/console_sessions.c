/* The console: where am I signed in, what was given tokens there, and an end to any of it. */
#include <stdlib.h>
#include "authd/agent.h"
#include "authd/browser.h"
#include "authd/console.h"
#include "authd/directory.h"
#include "authd/pages.h"
#include "authd/person_session.h"
#include "authd/routes.h"
#include "shared/log.h"

#define FORM_PURPOSE "sessions"
#define SHOWN_MAX 50       /* the ones used last; to end all others takes no list */
#define CLIENTS_SHOWN_MAX 20
#define ENDED_AT_ONCE 100  /* in one store write: about 3 ms */

/* ---- what there is ---- */

struct shown {
	struct record_session session;
	struct slice clients[CLIENTS_SHOWN_MAX]; /* ids */
	size_t client_n, more_clients;
};
struct list {
	struct request *r;
	struct session here;
	struct shown *all; /* SHOWN_MAX, and room for one more */
	size_t n, more;
};

static bool
is_here(const struct list *l, const struct record_session *s)
{
	return slice_eq(s->sid, l->here.record.sid);
}

/* This one first, then by last use. */
static int
compare(const void *a, const void *b, void *list)
{
	const struct shown *x = a, *y = b;
	bool here = is_here(list, &x->session);

	if (here != is_here(list, &y->session))
		return here ? -1 : 1;
	return (x->session.last_seen_at < y->session.last_seen_at) - (x->session.last_seen_at > y->session.last_seen_at);
}

static enum err
session_visited(void *arg, struct slice key, const struct record_session *s)
{
	struct list *l = arg;

	(void)key;
	if (request_now_s(l->r) >= session_expires_at(l->r->generation->config, s))
		return OK;
	/* The person is the one who asks. */
	l->all[l->n] = (struct shown){ .session = { .sid = arena_slice(&l->r->arena, s->sid), .created_at = s->created_at, .last_seen_at = s->last_seen_at,
		.user_agent = arena_slice(&l->r->arena, s->user_agent), .address = arena_slice(&l->r->arena, s->address) } };
	if (!l->all[l->n].session.sid.p || !l->all[l->n].session.user_agent.p || !l->all[l->n].session.address.p)
		return E_NOMEM;
	if (++l->n <= SHOWN_MAX)
		return OK;
	qsort_r(l->all, l->n, sizeof l->all[0], compare, l);
	l->n--;
	l->more++;
	return OK;
}

static enum err
client_visited(void *arg, struct slice client_id, const struct record_session_client *c)
{
	struct shown *s = ((void **)arg)[0];
	struct request *r = ((void **)arg)[1];

	(void)c;
	if (s->client_n == CLIENTS_SHOWN_MAX) {
		s->more_clients++;
		return OK;
	}
	s->clients[s->client_n] = arena_slice(&r->arena, client_id);
	return s->clients[s->client_n++].p ? OK : E_NOMEM;
}

static enum err
list_read(struct store_txn *t, void *arg)
{
	struct list *l = arg;
	enum err e;

	l->n = l->more = 0;
	e = person_session_each(t, &l->here.record.user, session_visited, l);
	if (e != OK)
		return e;
	qsort_r(l->all, l->n, sizeof l->all[0], compare, l);
	for (size_t i = 0; i < l->n && e == OK; i++)
		e = person_session_clients(t, l->all[i].session.sid, &l->r->arena, client_visited, (void *[]){ &l->all[i], l->r });
	return e;
}

/* ---- the page ---- */

static void
form_begin(struct page *p, const struct list *l)
{
	page_html(p, "<form method=\"post\" action=\"" CONSOLE_SESSIONS_PATH "/end\">");
	page_hidden(p, "csrf", browser_form_token(l->r, l->here.secret, FORM_PURPOSE, l->here.record.sid));
}

static void
row_time(struct page *p, const char *name, int64_t at_s)
{
	page_html(p, "<dt>");
	page_html(p, name);
	page_html(p, "</dt><dd>");
	page_time(p, at_s);
	page_html(p, "</dd>");
}

static void
row_clients(struct page *p, const struct shown *s)
{
	struct directory d = directory_of(p->r);
	const struct client *client;

	if (s->client_n == 0)
		return;
	page_html(p, "<dt>Signed in to</dt><dd>");
	for (size_t i = 0; i < s->client_n; i++) {
		bool known = directory_client(&d, s->clients[i], &client) == OK && client->name && client->name[0];
		page_html(p, i ? ", " : "");
		page_text(p, known ? slice_str(client->name) : s->clients[i]);
	}
	if (s->more_clients)
		buf_printf(&p->html, " and %zu more", s->more_clients);
	page_html(p, "</dd>");
}

static void
card(struct page *p, const struct list *l, const struct shown *s)
{
	bool here = is_here(l, &s->session);
	struct buf name;

	buf_init(&name, 0);
	agent_name_add(&name, s->session.user_agent);
	page_html(p, here ? "<li class=\"here\"><h3>" : "<li><h3>");
	page_text(p, buf_slice(&name));
	page_html(p, here ? " <span class=\"tag\">This browser</span>" : "");
	page_html(p, "</h3><dl><dt>Address</dt><dd>");
	page_text(p, s->session.address);
	page_html(p, "</dd>");
	row_time(p, "Since", s->session.created_at);
	row_time(p, "Last used", s->session.last_seen_at);
	row_clients(p, s);
	page_html(p, "</dl>");
	form_begin(p, l);
	page_hidden(p, "sid", s->session.sid);
	page_html(p, "<button class=\"quiet\" type=\"submit\" aria-label=\"");
	page_html(p, here ? "Sign out of this browser" : "Sign out ");
	page_text(p, here ? SLICE_NONE : buf_slice(&name));
	page_html(p, "\">Sign out</button></form></li>");
	if (!buf_ok(&name))
		p->html.failed = true;
	buf_fini(&name);
}

static void
list_send(const struct list *l)
{
	struct page p;

	page_begin_wide(&p, l->r, "Your sessions");
	page_html(&p, "<h1>Your sessions</h1><p class=\"lead\">Every browser that is signed in as you. Signing one out ends it in every cluster within a second, with "
		"every kubectl that was signed in from it.</p><ul class=\"cards\">");
	for (size_t i = 0; i < l->n; i++)
		card(&p, l, &l->all[i]);
	page_html(&p, "</ul>");
	if (l->more)
		buf_printf(&p.html, "<p>And %zu more that were used less recently.</p>", l->more);
	page_html(&p, "<div class=\"stack\">");
	if (l->n > 1) {
		form_begin(&p, l);
		page_html(&p, "<button type=\"submit\" name=\"others\" value=\"1\">Sign out everywhere else</button></form>");
	}
	page_html(&p, "<a class=\"button quiet\" href=\"" CONSOLE_PATH "\">Back to the console</a></div>");
	page_send(&p, 200, SLICE_NONE);
}

void
console_sessions(struct request *r, struct slice rest)
{
	struct list *l = arena_alloc(&r->arena, sizeof *l);

	(void)rest;
	if (l)
		*l = (struct list){ .r = r, .all = arena_alloc(&r->arena, (SHOWN_MAX + 1) * sizeof l->all[0]) };
	if (!l || !l->all)
		page_unavailable(r);
	else if (console_read(r, &l->here, list_read, l))
		list_send(l);
}

/* ---- the end ---- */

struct end {
	struct request *r;
	struct session here;
	struct slice sid; /* .n 0: all others */
	/* results */
	size_t ended;
	bool more;
};

struct found {
	struct end *end;
	struct slice keys[ENDED_AT_ONCE], sids[ENDED_AT_ONCE];
	size_t n;
};

static enum err
other_found(void *arg, struct slice key, const struct record_session *s)
{
	struct found *f = arg;

	if (slice_eq(s->sid, f->end->here.record.sid))
		return OK;
	if (f->n == ENDED_AT_ONCE)
		return E_LIMIT;
	f->keys[f->n] = arena_slice(&f->end->r->arena, key);
	f->sids[f->n] = arena_slice(&f->end->r->arena, s->sid);
	return f->keys[f->n].p && f->sids[f->n++].p ? OK : E_NOMEM;
}

static enum err
end_others(struct store_txn *t, struct end *end)
{
	struct found *f = arena_alloc(&end->r->arena, sizeof *f);
	struct arena scratch; /* of one at a time: a session may name a thousand groups */
	enum err e;

	if (!f)
		return E_NOMEM;
	*f = (struct found){ .end = end };
	e = person_session_each(t, &end->here.record.user, other_found, f);
	end->more = e == E_LIMIT;
	if (end->more)
		e = OK;
	arena_init(&scratch, REQUEST_ARENA_BYTES_MAX);
	for (size_t i = 0; i < f->n && e == OK; i++) {
		e = session_end(t, f->keys[i], f->sids[i], &scratch, request_now_s(end->r));
		arena_fini_secret(&scratch);
	}
	end->ended = f->n;
	return e;
}

/* Only a session of the very person who asks is found. */
static enum err
end_one(struct store_txn *t, struct end *end)
{
	struct slice key;
	enum err e = person_session_find(t, &end->here.record.user, end->sid, &end->r->arena, &key);

	end->ended = e == OK;
	if (e == E_EMPTY)
		return OK; /* it has ended meanwhile */
	return e == OK ? session_end(t, key, end->sid, &end->r->arena, request_now_s(end->r)) : e;
}

static enum err
end_store(struct store_txn *t, void *arg)
{
	struct end *end = arg;

	end->more = false;
	return end->sid.n ? end_one(t, end) : end_others(t, end);
}

static void
end_stored(struct request *r, enum err result)
{
	struct end *end = r->state;

	if (result != OK) {
		page_unavailable(r);
		return;
	}
	log_info("signed out from the console", LOG_UINT("sessions", end->ended), LOG_SLICE("sid", end->sid), LOG_SLICE("by", end->here.record.sid),
		LOG_SLICE("address", r->address), LOG_REQ(r->id));
	if (end->more) {
		request_write(r, end_store, end, end_stored);
	} else if (slice_eq(end->sid, end->here.record.sid)) {
		session_cookie_clear(r);
		page_redirect(r, SLICE_LIT("/console/signed-out"));
	} else {
		page_redirect(r, SLICE_LIT(CONSOLE_SESSIONS_PATH));
	}
}

void
console_sessions_end(struct request *r, struct slice rest)
{
	struct end *end = arena_alloc(&r->arena, sizeof *end);
	struct form *form;
	bool others;

	(void)rest;
	if (!end || request_body_form(r, &form) != OK) {
		page_bad_request(r, "The form that was sent cannot be read.");
		return;
	}
	*end = (struct end){ .r = r, .sid = form_get(form, "sid") };
	others = slice_eq_str(form_get(form, "others"), "1");
	if (!console_session_needed(r, &end->here))
		return;
	if (!browser_form_ok(r, end->here.secret, FORM_PURPOSE, end->here.record.sid, form_get(form, "csrf"))) {
		page_bad_request(r, "This form is not of this session. Load the page again.");
	} else if (others == (end->sid.n > 0)) {
		page_bad_request(r, "The form that was sent does not say which session.");
	} else {
		r->state = end;
		request_write(r, end_store, end, end_stored);
	}
}
