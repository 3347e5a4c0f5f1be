/* The console: who am I here, for how long, what to put into kubectl, and the way out. Served at the gateway's root, beside the issuer. */
#include "authd/authorization.h"
#include "authd/browser.h"
#include "authd/console.h"
#include "authd/kubeconfig.h"
#include "authd/pages.h"
#include "authd/person.h"
#include "authd/routes.h"
#include "shared/log.h"

#define SIGN_OUT_PURPOSE "signout"

bool
console_session_needed(struct request *r, struct session *s)
{
	struct buf location;
	enum err e = session_find(r, s);

	if (e == OK)
		return true;
	if (e != E_EMPTY) {
		page_unavailable(r);
		return false;
	}
	buf_init(&location, 8192);
	buf_add_str(&location, "/console/signin?to=");
	buf_add_urlencoded(&location, r->path);
	page_redirect(r, buf_ok(&location) ? buf_slice(&location) : SLICE_LIT("/console/signin"));
	buf_fini(&location);
	return false;
}

bool
console_read(struct request *r, struct session *s, enum err (*read)(struct store_txn *t, void *arg), void *arg)
{
	if (!console_session_needed(r, s))
		return false;
	if (store_read(r->app->store, read, arg) == OK)
		return true;
	page_unavailable(r);
	return false;
}

/* ---- who am I ---- */

static void
row_begin(struct page *p, const char *name)
{
	page_html(p, "<dt>");
	page_html(p, name);
	page_html(p, "</dt><dd>");
}

static void
row(struct page *p, const char *name, struct slice value)
{
	if (value.n == 0)
		return;
	row_begin(p, name);
	page_text(p, value);
	page_html(p, "</dd>");
}

static void
row_groups(struct page *p, const struct record_strings *groups)
{
	row_begin(p, "Groups");
	page_html(p, groups->n ? "<ul class=\"chips\">" : "none");
	for (size_t i = 0; i < groups->n; i++) {
		page_html(p, "<li>");
		page_text(p, groups->items[i]);
		page_html(p, "</li>");
	}
	page_html(p, groups->n ? "</ul></dd>" : "</dd>");
}

static struct slice
connector_name(const struct request *r, struct slice id)
{
	const struct connector *c = app_generation_connector(r->generation, id);

	if (slice_eq_str(id, AUTHD_PASSWORD_CONNECTOR))
		return SLICE_LIT("Password");
	return c ? slice_str(c->name) : id;
}

static void
rows(struct page *p, const struct record_session *s)
{
	const struct record_user *u = &s->user;

	page_html(p, "<dl>");
	row(p, "Name", u->username);
	if (!slice_eq(u->preferred_username, u->username))
		row(p, "User name", u->preferred_username);
	row(p, "Mail", u->email);
	row_groups(p, &u->groups);
	row(p, "Signed in with", connector_name(p->r, u->connector_id));
	row_begin(p, "Signed in since");
	page_time(p, s->auth_time);
	page_html(p, "</dd>");
	row_begin(p, "Until");
	page_time(p, session_expires_at(p->r->generation->config, s));
	page_html(p, ", or later if you go on using it</dd></dl>");
}

static void
kubectl_part(struct page *p, const struct console_clusters *clusters)
{
	if (!p->r->generation->config->console.client_id || clusters->n == 0)
		return;
	page_html(p, "<h2>Use kubectl</h2><p>Nothing in this file is secret: kubectl asks who you are with your browser. It needs the program "
		"<code>kubectl-gatehouse</code> in your PATH.</p>"
		"<a class=\"button\" href=\"/console/kubeconfig\" download=\"gatehouse.kubeconfig\">Download kubeconfig</a>"
		"<pre><code>export KUBECONFIG=~/Downloads/gatehouse.kubeconfig\nkubectl auth whoami</code></pre>");
}

static void
home_send(struct request *r, const struct session *s)
{
	struct console_clusters clusters;
	struct page p;

	if (!console_clusters_of(r, &clusters)) {
		page_unavailable(r);
		return;
	}
	page_begin_wide(&p, r, "Console");
	page_html(&p, "<h1>Hello, <span>");
	page_text(&p, s->record.user.username.n ? s->record.user.username : person_label(&s->record.user));
	page_html(&p, "</span></h1><p class=\"lead\">This is who you are in every cluster behind this gateway.</p>");
	rows(&p, &s->record);
	console_clusters_add(&p, &clusters);
	kubectl_part(&p, &clusters);
	page_html(&p, "<hr><div class=\"stack\"><a class=\"button quiet\" href=\"" CONSOLE_SESSIONS_PATH "\">Your sessions</a>"
		"<a class=\"button quiet\" href=\"" CONSOLE_APPLICATIONS_PATH "\">Applications you allowed</a>"
		"<form method=\"post\" action=\"/console/signout\">");
	page_hidden(&p, "csrf", browser_form_token(r, s->secret, SIGN_OUT_PURPOSE, s->record.sid));
	page_html(&p, "<button class=\"quiet\" type=\"submit\">Sign out</button></form></div>");
	page_send(&p, 200, SLICE_NONE);
}

struct home {
	struct request *r;
	struct session session;
};

static enum err
home_use(struct store_txn *t, void *arg)
{
	const struct home *h = arg;

	return session_use(t, h->r, &h->session);
}

/* A use that could not be noted does not hide the page. */
static void
home_used(struct request *r, enum err result)
{
	struct home *h = r->state;

	if (result == OK)
		session_touch(r->generation->config, &h->session.record, request_now_s(r));
	home_send(r, &h->session);
}

void
console_home(struct request *r, struct slice rest)
{
	struct home *h = arena_alloc(&r->arena, sizeof *h);

	(void)rest;
	if (!h) {
		page_unavailable(r);
	} else if (!slice_eq_str(r->path, CONSOLE_PATH)) {
		page_redirect(r, SLICE_LIT(CONSOLE_PATH));
	} else if (console_session_needed(r, &h->session)) {
		h->r = r;
		r->state = h;
		if (session_touch_due(r->generation->config, &h->session.record, request_now_s(r)))
			request_write(r, home_use, h, home_used);
		else
			home_send(r, &h->session);
	}
}

/* ---- kubeconfig ---- */

void
console_kubeconfig(struct request *r, struct slice rest)
{
	const struct authd_config *c = r->generation->config;
	struct kubeconfig_offer o = { .gateway = c->console.gateway ? slice_str(c->console.gateway) : r->generation->origin, .ca_pem = r->generation->gateway_ca,
		.issuer = slice_str(c->issuer), .client_id = slice_str(c->console.client_id) };
	struct console_clusters clusters;
	struct session s;
	struct buf out;

	(void)rest;
	if (!console_session_needed(r, &s))
		return;
	if (!c->console.client_id) {
		page_error_send(r, &(struct page_error){ .status = 404, .title = "There is no kubeconfig here", .what = SLICE_LIT("This gateway is not set up for kubectl."),
			.todo = "Its administrator can change that: console.clientID in authd's configuration.", .way_on = SLICE_LIT(CONSOLE_PATH),
			.way_on_text = "Go to the console" });
		return;
	}
	if (!console_clusters_of(r, &clusters)) {
		page_unavailable(r);
		return;
	}
	if (clusters.n == 0) {
		page_error_send(r, &(struct page_error){ .status = 403, .title = "No cluster is open to you", .what = SLICE_LIT("A kubeconfig would lead nowhere: you are in "
			"none of the groups that may use a cluster here."), .todo = "Its administrator can tell which groups those are.", .way_on = SLICE_LIT(CONSOLE_PATH),
			.way_on_text = "Go to the console" });
		return;
	}
	o.clusters = clusters.names;
	o.cluster_n = clusters.n;
	buf_init(&out, 0);
	kubeconfig_print(&o, &out);
	page_headers(r);
	response_header(r, "Content-Disposition", SLICE_LIT("attachment; filename=\"gatehouse.kubeconfig\""));
	response_send(r, 200, "application/yaml; charset=utf-8", &out);
}

/* ---- in ---- */

struct sign_in {
	struct request *r;
	struct slice id;
	unsigned char browser_hash[32];
	struct record_auth_request a;
};

static enum err
sign_in_store(struct store_txn *t, void *arg)
{
	struct sign_in *s = arg;

	return authorization_put(t, s->id, &s->a);
}

static void
sign_in_stored(struct request *r, enum err result)
{
	const struct sign_in *s = r->state;

	if (result == OK)
		authorization_choose_login(r, s->id, &s->a);
	else
		page_unavailable(r);
}

static void
sign_in_begin(struct request *r, struct slice to)
{
	struct sign_in *s = arena_alloc(&r->arena, sizeof *s);
	struct slice secret = browser_login_secret(r);
	int64_t now_s = request_now_s(r);
	struct slice hash = s && secret.p ? store_hash(secret, s->browser_hash) : SLICE_NONE;

	if (!hash.n || !(s->id = request_secret(r, AUTHORIZATION_ID_BYTES)).p) {
		page_unavailable(r);
		return;
	}
	s->r = r;
	s->a = (struct record_auth_request){ .return_to = to, .browser_hash = hash, .max_age_s = -1, .created_at = now_s,
		.expires_at = now_s + r->generation->config->expiry.auth_requests_ms / 1000, .remember = r->generation->config->sessions.remember_me };
	r->state = s;
	request_write(r, sign_in_store, s, sign_in_stored);
}

/* "?to=": where the person wanted to go. */
void
console_sign_in(struct request *r, struct slice rest)
{
	struct session session;
	struct form *form;
	struct slice to;
	enum err e;

	(void)rest;
	if (request_query_form(r, &form) != OK) {
		page_bad_request(r, "The address has malformed parameters.");
		return;
	}
	to = form_get(form, "to");
	if (!browser_return_ok(to))
		to = SLICE_LIT(CONSOLE_PATH);
	e = session_find(r, &session);
	if (e == OK)
		page_redirect(r, to);
	else if (e == E_EMPTY)
		sign_in_begin(r, to);
	else
		page_unavailable(r);
}

/* ---- out ---- */

struct sign_out {
	struct request *r;
	struct session session;
};

static enum err
sign_out_store(struct store_txn *t, void *arg)
{
	struct sign_out *o = arg;

	return session_end(t, session_key(&o->session), o->session.record.sid, &o->r->arena, request_now_s(o->r));
}

static void
sign_out_stored(struct request *r, enum err result)
{
	const struct sign_out *o = r->state;

	if (result != OK) {
		page_unavailable(r);
		return;
	}
	log_info("signed out", LOG_SLICE("sid", o->session.record.sid), LOG_SLICE("address", r->address), LOG_REQ(r->id));
	session_cookie_clear(r);
	page_redirect(r, SLICE_LIT("/console/signed-out"));
}

void
console_sign_out(struct request *r, struct slice rest)
{
	struct sign_out *o = arena_alloc(&r->arena, sizeof *o);
	struct form *form;
	enum err e;

	(void)rest;
	if (!o || request_body_form(r, &form) != OK) {
		page_bad_request(r, "The form that was sent cannot be read.");
		return;
	}
	e = session_find(r, &o->session);
	if (e == E_EMPTY) {
		session_cookie_clear(r);
		page_redirect(r, SLICE_LIT("/console/signed-out"));
	} else if (e != OK) {
		page_unavailable(r);
	} else if (!browser_form_ok(r, o->session.secret, SIGN_OUT_PURPOSE, o->session.record.sid, form_get(form, "csrf"))) {
		page_bad_request(r, "This form is not of this session. Load the console again.");
	} else {
		o->r = r;
		r->state = o;
		request_write(r, sign_out_store, o, sign_out_stored);
	}
}

void
console_signed_out(struct request *r, struct slice rest)
{
	struct page p;

	(void)rest;
	page_begin(&p, r, "Signed out");
	page_html(&p, "<h1>You are signed out</h1><p class=\"lead\">Of this browser, and of every kubectl that was signed in with it. What kubectl already holds ends "
		"by itself, at the latest when its token expires.</p><a class=\"button\" href=\"/console/\">Sign in again</a>");
	page_send(&p, 200, SLICE_NONE);
}
