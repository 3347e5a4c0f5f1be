/* The console: what have I allowed which application, and an end to it. */
#include "authd/authorization.h"
#include "authd/browser.h"
#include "authd/console.h"
#include "authd/directory.h"
#include "authd/pages.h"
#include "authd/routes.h"
#include "authd/sign_in_pages.h"
#include "oidc/token_claims.h"
#include "shared/log.h"

#define FORM_PURPOSE "applications"
#define SHOWN_MAX 100

/* ---- what there is ---- */

struct allowed {
	struct slice client_id, scope;
	int64_t since;
};
struct list {
	struct request *r;
	struct session here;
	struct allowed *all; /* SHOWN_MAX */
	size_t n, more;
};

static enum err
approval_visited(void *arg, struct slice client_id, const struct record_approval *a)
{
	struct list *l = arg;
	struct allowed *one = &l->all[l->n];

	if (l->n == SHOWN_MAX) {
		l->more++;
		return OK;
	}
	*one = (struct allowed){ arena_slice(&l->r->arena, client_id), arena_slice(&l->r->arena, a->scope), a->approved_at };
	l->n++;
	return one->client_id.p && one->scope.p ? OK : E_NOMEM;
}

static enum err
list_read(struct store_txn *t, void *arg)
{
	struct list *l = arg;

	l->n = l->more = 0;
	return authorization_approvals(t, &l->here.record.user, &l->r->arena, approval_visited, l);
}

/* ---- the page ---- */

static void
card(struct page *p, const struct list *l, const struct allowed *a)
{
	struct directory d = directory_of(p->r);
	const struct client *client;
	bool known = directory_client(&d, a->client_id, &client) == OK && client->name && client->name[0];
	struct slice name = known ? slice_str(client->name) : a->client_id;

	page_html(p, "<li><h3>");
	page_text(p, name);
	page_html(p, "</h3><dl><dt>Allowed</dt><dd>");
	page_time(p, a->since);
	page_html(p, "</dd></dl>");
	sign_in_page_scopes(p, scope_bits(a->scope));
	page_html(p, "<form method=\"post\" action=\"" CONSOLE_APPLICATIONS_PATH "/withdraw\">");
	page_hidden(p, "csrf", browser_form_token(l->r, l->here.secret, FORM_PURPOSE, l->here.record.sid));
	page_hidden(p, "client", a->client_id);
	page_html(p, "<button class=\"quiet\" type=\"submit\" aria-label=\"Take back what ");
	page_text(p, name);
	page_html(p, " was allowed\">Take back</button></form></li>");
}

static void
list_send(const struct list *l)
{
	struct page p;

	page_begin_wide(&p, l->r, "Applications");
	page_html(&p, "<h1>Applications you allowed</h1><p class=\"lead\">");
	page_html(&p, l->n ? "What you take back has ended at once: the application gets nothing more about you, and has to ask again. A token that it holds already ends by itself."
			   : "None yet. An application that asks you for something will be listed here.");
	page_html(&p, "</p><ul class=\"cards\">");
	for (size_t i = 0; i < l->n; i++)
		card(&p, l, &l->all[i]);
	page_html(&p, "</ul>");
	if (l->more)
		buf_printf(&p.html, "<p>And %zu more.</p>", l->more);
	page_html(&p, "<a class=\"button quiet\" href=\"" CONSOLE_PATH "\">Back to the console</a>");
	page_send(&p, 200, SLICE_NONE);
}

void
console_applications(struct request *r, struct slice rest)
{
	struct list *l = arena_alloc(&r->arena, sizeof *l);

	(void)rest;
	if (l)
		*l = (struct list){ .r = r, .all = arena_alloc(&r->arena, SHOWN_MAX * sizeof l->all[0]) };
	if (!l || !l->all)
		page_unavailable(r);
	else if (console_read(r, &l->here, list_read, l))
		list_send(l);
}

/* ---- taking back ---- */

struct withdrawal {
	struct request *r;
	struct session here;
	struct slice client_id;
	bool found; /* result */
};

/* Until the last grant that was given under it has ended by itself. */
static int64_t
kept_until(const struct request *r)
{
	const struct authd_config *c = r->generation->config;
	int64_t refresh_ms = c->expiry.refresh_tokens.absolute_lifetime_ms;

	return refresh_ms ? request_now_s(r) + (refresh_ms + c->expiry.id_tokens_ms) / 1000 : 0;
}

static enum err
withdraw_store(struct store_txn *t, void *arg)
{
	struct withdrawal *w = arg;
	enum err e = authorization_withdraw(t, &w->here.record.user, w->client_id, &w->r->arena, request_now_s(w->r), kept_until(w->r));

	w->found = e == OK;
	return e == E_EMPTY ? OK : e;
}

static void
withdraw_stored(struct request *r, enum err result)
{
	const struct withdrawal *w = r->state;

	if (result != OK) {
		page_unavailable(r);
		return;
	}
	if (w->found)
		log_info("approval withdrawn", LOG_SLICE("client", w->client_id), LOG_SLICE("sid", w->here.record.sid), LOG_SLICE("address", r->address),
			LOG_REQ(r->id));
	page_redirect(r, SLICE_LIT(CONSOLE_APPLICATIONS_PATH));
}

void
console_applications_withdraw(struct request *r, struct slice rest)
{
	struct withdrawal *w = arena_alloc(&r->arena, sizeof *w);
	struct form *form;

	(void)rest;
	if (!w || request_body_form(r, &form) != OK) {
		page_bad_request(r, "The form that was sent cannot be read.");
		return;
	}
	*w = (struct withdrawal){ .r = r, .client_id = form_get(form, "client") };
	if (!console_session_needed(r, &w->here))
		return;
	if (!browser_form_ok(r, w->here.secret, FORM_PURPOSE, w->here.record.sid, form_get(form, "csrf"))) {
		page_bad_request(r, "This form is not of this session. Load the page again.");
	} else {
		r->state = w;
		request_write(r, withdraw_store, w, withdraw_stored);
	}
}
