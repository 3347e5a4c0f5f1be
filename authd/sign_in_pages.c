#include "authd/browser.h"
#include "authd/pages.h"
#include "authd/person.h"
#include "authd/sign_in_pages.h"
#include "authd/template_pages.h"
#include "oidc/authorization_request.h"

static void
client_name(struct page *p, const struct client *client)
{
	if (client)
		page_text(p, slice_str(client->name && client->name[0] ? client->name : client->id));
	else
		page_html(p, "your console");
}

static void
lead(struct page *p, const struct client *client)
{
	page_html(p, "<p class=\"lead\">to continue to <b>");
	client_name(p, client);
	page_html(p, "</b></p>");
}

static void
hidden_fields(struct page *p, const struct sign_in_page *s)
{
	page_hidden(p, "req", s->id);
	page_hidden(p, "csrf", s->token);
}

/* href below the issuer's path, with the authorization it is about. */
static void
link_begin(struct page *p, const char *class, const char *path, struct slice segment, struct slice id)
{
	page_html(p, "<a class=\"");
	page_html(p, class);
	page_html(p, "\" href=\"");
	page_text(p, p->r->generation->path);
	page_html(p, path);
	buf_add_urlencoded(&p->html, segment);
	page_html(p, "?req=");
	buf_add_urlencoded(&p->html, id);
	page_html(p, "\">");
}

void
sign_in_page_password(struct request *r, const struct sign_in_page *s, const struct sign_in_page_filled *f, bool other_ways)
{
	struct page p;

	if (template_page_password(r, s, f, other_ways))
		return;
	page_begin(&p, r, "Sign in");
	page_html(&p, "<h1>Sign in</h1>");
	lead(&p, s->client);
	if (f->problem) {
		page_html(&p, "<p class=\"alert\" role=\"alert\" id=\"problem\">");
		page_html(&p, f->problem);
		page_html(&p, "</p>");
	}
	page_form_begin(&p, "/auth/local/login");
	hidden_fields(&p, s);
	page_html(&p, "<div class=\"field\"><label for=\"login\">Email or user name</label><input type=\"text\" id=\"login\" name=\"login\" value=\"");
	page_text(&p, f->login);
	page_html(&p, "\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" required");
	page_html(&p, f->login.n ? "" : " autofocus");
	page_html(&p, "></div><div class=\"field\"><label for=\"password\">Password</label>"
		"<input type=\"password\" id=\"password\" name=\"password\" autocomplete=\"current-password\" required");
	page_html(&p, f->login.n ? " autofocus" : "");
	page_html(&p, f->problem ? " aria-describedby=\"problem\"" : "");
	page_html(&p, "></div><label class=\"check\"><input type=\"checkbox\" name=\"remember\" value=\"1\"");
	page_html(&p, f->remember ? " checked" : "");
	page_html(&p, ">Stay signed in on this device</label><button type=\"submit\">Sign in</button></form>");
	if (other_ways) {
		page_html(&p, "<p>");
		link_begin(&p, "button quiet", "/auth", SLICE_NONE, s->id);
		page_html(&p, "Sign in another way</a></p>");
	}
	page_send(&p, f->status, s->form_target);
}

void
sign_in_page_select(struct request *r, const struct sign_in_page *s, const struct record_user *user)
{
	struct page p;

	page_begin(&p, r, "Choose an account");
	page_html(&p, "<h1>Choose an account</h1>");
	lead(&p, s->client);
	page_form_begin(&p, "/select");
	hidden_fields(&p, s);
	page_html(&p, "<div class=\"stack\"><button type=\"submit\" name=\"account\" value=\"this\">Continue as ");
	page_text(&p, person_label(user));
	page_html(&p, "</button><button class=\"quiet\" type=\"submit\" name=\"account\" value=\"other\">Use another account</button></div></form>");
	page_send(&p, 200, s->form_target);
}

static void
way(struct page *p, const struct sign_in_page *s, struct slice id, const char *name, bool first)
{
	if (!app_generation_connector_allowed(p->r->generation, id, s->client, s->grants))
		return;
	link_begin(p, first ? "button" : "button quiet", "/auth/", id, s->id);
	page_html(p, "Sign in with ");
	page_text(p, slice_str(name));
	page_html(p, "</a>");
}

void
sign_in_page_choose(struct request *r, const struct sign_in_page *s)
{
	const struct generation *g = r->generation;
	struct page p;

	if (template_page_login(r, s))
		return;
	page_begin(&p, r, "Sign in");
	page_html(&p, "<h1>Sign in</h1>");
	lead(&p, s->client);
	page_html(&p, "<div class=\"stack\">");
	for (size_t i = 0; i < g->connector_n; i++)
		way(&p, s, slice_str(g->connectors[i]->id), g->connectors[i]->name, i == 0);
	way(&p, s, SLICE_LIT(AUTHD_PASSWORD_CONNECTOR), "a password", g->connector_n == 0);
	page_html(&p, "</div>");
	page_send(&p, 200, SLICE_NONE);
}

#define SCOPE_TEXTS 6

/* What a client may do with each; returns how many. */
static size_t
scope_texts(unsigned scopes, struct slice out[SCOPE_TEXTS])
{
	static const struct {
		unsigned bit;
		const char *text;
	} known[SCOPE_TEXTS] = { { SCOPE_OPENID, "Know that it is you" }, { SCOPE_PROFILE, "See your name and user name" }, { SCOPE_EMAIL, "See your mail address" },
		{ SCOPE_GROUPS, "See the groups you are in" }, { SCOPE_FEDERATED_ID, "See your account number where you signed in" },
		{ SCOPE_OFFLINE_ACCESS, "Stay signed in as you while you are away, until you sign out here" } };
	size_t n = 0;

	for (size_t i = 0; i < SCOPE_TEXTS; i++)
		if (scopes & known[i].bit)
			out[n++] = slice_str(known[i].text);
	return n;
}

void
sign_in_page_scopes(struct page *p, unsigned scopes)
{
	struct slice texts[SCOPE_TEXTS];
	size_t n = scope_texts(scopes, texts);

	page_html(p, "<ul class=\"plain\">");
	for (size_t i = 0; i < n; i++) {
		page_html(p, "<li>");
		page_text(p, texts[i]);
		page_html(p, "</li>");
	}
	page_html(p, "</ul>");
}

void
sign_in_page_approval(struct request *r, const struct sign_in_page *s, const struct record_user *user, struct slice scope)
{
	struct slice texts[SCOPE_TEXTS];
	size_t n = scope_texts(scope_bits(scope), texts);
	struct page p;

	if (template_page_approval(r, s, person_label(user), texts, n))
		return;
	page_begin(&p, r, "Allow access");
	page_html(&p, "<h1>Allow <span>");
	client_name(&p, s->client);
	page_html(&p, "</span>?</h1><p class=\"lead\">You are signed in as <b>");
	page_text(&p, person_label(user));
	page_html(&p, "</b>. It asks to:</p>");
	sign_in_page_scopes(&p, scope_bits(scope));
	if (s->user_code.n) {
		page_html(&p, "<p>It is for the device that shows this code:</p><pre class=\"code\">");
		page_text(&p, s->user_code);
		page_html(&p, "</pre><p>Refuse if you did not start this yourself, on a device that you have before you.</p>");
	}
	page_form_begin(&p, "/approval");
	hidden_fields(&p, s);
	page_html(&p, "<div class=\"row\"><button type=\"submit\" name=\"approval\" value=\"approve\">Allow</button>"
		"<button class=\"quiet\" type=\"submit\" name=\"approval\" value=\"deny\">Refuse</button></div></form>");
	page_send(&p, 200, s->form_target);
}

void
sign_in_page_form_post(struct request *r, struct slice redirect_uri, struct slice parameters)
{
	struct form *form = arena_alloc(&r->arena, sizeof *form);
	struct page p;

	if (!form || form_parse(parameters, &r->arena, form) != OK) {
		page_unavailable(r);
		return;
	}
	page_begin(&p, r, "Continue");
	page_html(&p, "<h1>Almost there</h1><p class=\"lead\">Your answer goes back to the application now.</p><form method=\"post\" action=\"");
	page_text(&p, redirect_uri);
	page_html(&p, "\">");
	for (size_t i = 0; i < form->n; i++) {
		page_html(&p, "<input type=\"hidden\" name=\"");
		page_text(&p, form->fields[i].name);
		page_html(&p, "\" value=\"");
		page_text(&p, form->fields[i].value);
		page_html(&p, "\">");
	}
	page_html(&p, "<button type=\"submit\">Continue</button></form>");
	page_send(&p, 200, browser_form_target(r, redirect_uri));
}

void
sign_in_page_device(struct request *r, int status, struct slice token, struct slice user_code, const char *problem)
{
	struct page p;

	if (template_page_device(r, status, token, user_code, problem))
		return;
	page_begin(&p, r, "Sign in on a device");
	page_html(&p, "<h1>Sign in on a device</h1><p class=\"lead\">Type the code that your device shows.</p>");
	if (problem) {
		page_html(&p, "<p class=\"alert\" role=\"alert\" id=\"problem\">");
		page_html(&p, problem);
		page_html(&p, "</p>");
	}
	page_form_begin(&p, "/device/auth/verify_code");
	page_hidden(&p, "csrf", token);
	page_html(&p, "<div class=\"field\"><label for=\"user_code\">Code</label><input type=\"text\" id=\"user_code\" name=\"user_code\" value=\"");
	page_text(&p, user_code);
	page_html(&p, "\" placeholder=\"BCDF-GHJK\" maxlength=\"20\" autocomplete=\"off\" autocapitalize=\"characters\" spellcheck=\"false\" required autofocus");
	page_html(&p, problem ? " aria-describedby=\"problem\"" : "");
	page_html(&p, "></div><button type=\"submit\">Continue</button></form>");
	page_send(&p, status, SLICE_NONE);
}

void
sign_in_page_device_done(struct request *r, bool agreed)
{
	struct page p;

	page_begin(&p, r, agreed ? "Go back to your device" : "Refused");
	page_html(&p, agreed ? "<h1>Go back to your device</h1><p class=\"lead\">It continues by itself in a few seconds. You can close this page.</p>" :
			       "<h1>Refused</h1><p class=\"lead\">The device gets nothing. You can close this page.</p>");
	page_send(&p, 200, SLICE_NONE);
}

void
sign_in_page_code(struct request *r, struct slice code)
{
	struct page p;

	if (template_page_code(r, code))
		return;
	page_begin(&p, r, "Code");
	page_html(&p, "<h1>Copy this code</h1><p class=\"lead\">Paste it where you started to sign in. It can be used once, within two minutes.</p>"
		"<pre class=\"code\">");
	page_text(&p, code);
	page_html(&p, "</pre>");
	page_send(&p, 200, SLICE_NONE);
}
