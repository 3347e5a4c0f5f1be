#include <stdio.h>
#include "authd/template_pages.h"
#include "shared/log.h"

#define FIELDS_MAX 10

struct data {
	const char *names[FIELDS_MAX];
	struct template_value values[FIELDS_MAX];
	size_t n;
};

static void
put(struct data *d, const char *name, struct template_value v)
{
	d->names[d->n] = name;
	d->values[d->n++] = v;
}

static struct template_value
map_of(const struct data *d)
{
	return (struct template_value){ .kind = TEMPLATE_MAP, .names = d->names, .items = d->values, .n = d->n };
}

static struct slice
logo_of(const struct authd_frontend *f)
{
	return f->logo_url ? slice_str(f->logo_url) : slice_str(page_icon_path());
}

static enum err
extra_of(const struct yaml_node *extra, struct arena *arena, struct template_value *out)
{
	size_t n = 0, i = 0;
	const char **names;
	struct template_value *items;

	*out = (struct template_value){ .kind = TEMPLATE_MAP };
	for (const struct yaml_node *e = extra ? extra->first : NULL; e; e = e->next)
		n++;
	names = arena_alloc(arena, (n + 1) * sizeof(*names));
	items = arena_alloc(arena, (n + 1) * sizeof(*items));
	if (!names || !items)
		return E_NOMEM;
	for (const struct yaml_node *e = extra ? extra->first : NULL; e; e = e->next, i++) {
		names[i] = e->key.p;
		items[i] = template_text(e->scalar);
	}
	*out = (struct template_value){ .kind = TEMPLATE_MAP, .names = names, .items = items, .n = n };
	return OK;
}

static enum err
render(const struct generation *g, struct arena *arena, const char *page, const struct data *d, struct buf *out, char *why, size_t why_n)
{
	const struct authd_frontend *f = &g->config->frontend;
	struct template_world world = { .issuer = slice_str(f->issuer), .logo = logo_of(f), .base = g->path };
	struct template_value data = map_of(d);
	enum err e = extra_of(f->extra, arena, &world.extra);

	return e == OK ? template_render(f->templates, page, &world, &data, arena, out, why, why_n) : e;
}

/* d: without ReqPath. */
static bool
page_of(struct request *r, const char *page, struct data *d, int status, struct slice form_target)
{
	char why[300] = "";
	struct buf out;
	enum err e;

	put(d, "ReqPath", template_text(r->path));
	buf_init(&out, TEMPLATE_PAGE_BYTES_MAX);
	e = render(r->generation, &r->arena, page, d, &out, why, sizeof(why));
	if (e == OK) {
		page_send_html(r, status, form_target, &out);
		return true;
	}
	buf_fini(&out);
	log_error("a template failed: authd's own page is sent instead", LOG_STR("page", page), LOG_STR("reason", why[0] ? why : err_name(e)), LOG_REQ(r->id));
	return false;
}

static bool
has(const struct request *r, const char *page)
{
	return template_has(r->generation->config->frontend.templates, page);
}

/* base path?name=value&name=value, in the arena. */
static struct template_value
address(struct request *r, const char *path, struct slice segment, const char *name, struct slice value, struct slice token)
{
	struct buf b;
	struct slice s;

	buf_init(&b, 8192);
	buf_add_slice(&b, r->generation->path);
	buf_add_str(&b, path);
	buf_add_urlencoded(&b, segment);
	if (name) {
		buf_printf(&b, "?%s=", name);
		buf_add_urlencoded(&b, value);
	}
	if (token.n) {
		buf_printf(&b, "%ccsrf=", name ? '&' : '?');
		buf_add_urlencoded(&b, token);
	}
	s = buf_ok(&b) ? arena_slice(&r->arena, buf_slice(&b)) : SLICE_NONE;
	buf_fini(&b);
	return template_url(s.p ? s : SLICE_LIT(""));
}

/* ---- choice ---- */

static const char *const connector_names[] = { "ID", "Name", "URL", "Type" };

static void
connector_put(struct request *r, const struct sign_in_page *s, struct template_value *out, struct slice id, const char *name, const char *type)
{
	struct template_value *v = arena_alloc(&r->arena, 4 * sizeof(*v));

	*out = (struct template_value){ .kind = TEMPLATE_NIL };
	if (!v)
		return;
	v[0] = template_text(id);
	v[1] = template_text(slice_str(name));
	v[2] = address(r, "/auth/", id, "req", s->id, SLICE_NONE);
	v[3] = template_text(slice_str(type));
	*out = (struct template_value){ .kind = TEMPLATE_MAP, .names = connector_names, .items = v, .n = 4 };
}

bool
template_page_login(struct request *r, const struct sign_in_page *s)
{
	const struct generation *g = r->generation;
	struct template_value *list;
	struct data d = { .n = 0 };
	size_t n = 0;

	if (!has(r, "login.html") || !(list = arena_alloc(&r->arena, (g->connector_n + 1) * sizeof(*list))))
		return false;
	for (size_t i = 0; i < g->connector_n; i++)
		if (app_generation_connector_allowed(g, slice_str(g->connectors[i]->id), s->client, s->grants))
			connector_put(r, s, &list[n++], slice_str(g->connectors[i]->id), g->connectors[i]->name, g->connectors[i]->type);
	if (app_generation_connector_allowed(g, SLICE_LIT(AUTHD_PASSWORD_CONNECTOR), s->client, s->grants))
		connector_put(r, s, &list[n++], SLICE_LIT(AUTHD_PASSWORD_CONNECTOR), "a password", AUTHD_PASSWORD_CONNECTOR);
	put(&d, "Connectors", (struct template_value){ .kind = TEMPLATE_LIST, .items = list, .n = n });
	return page_of(r, "login.html", &d, 200, SLICE_NONE);
}

/* ---- the others ---- */

bool
template_page_password(struct request *r, const struct sign_in_page *s, const struct sign_in_page_filled *f, bool other_ways)
{
	struct data d = { .n = 0 };

	if (!has(r, "password.html"))
		return false;
	put(&d, "PostURL", address(r, "/auth/local/login", SLICE_NONE, "req", s->id, s->token));
	put(&d, "BackLink", other_ways ? address(r, "/auth", SLICE_NONE, "req", s->id, SLICE_NONE) : template_text(SLICE_LIT("")));
	put(&d, "Username", template_text(f->login));
	put(&d, "UsernamePrompt", template_text(SLICE_LIT("Email or user name")));
	put(&d, "Invalid", template_bool(f->problem));
	put(&d, "Problem", template_text(slice_str(f->problem)));
	put(&d, "ShowRememberMe", template_bool(true));
	put(&d, "RememberMeChecked", template_bool(f->remember));
	return page_of(r, "password.html", &d, f->status, s->form_target);
}

bool
template_page_approval(struct request *r, const struct sign_in_page *s, struct slice user, const struct slice *scopes, size_t scope_n)
{
	struct template_value *list;
	struct data d = { .n = 0 };

	/* A template of dex's knows no code of a device, which has to be seen and compared. */
	if (s->user_code.n || !has(r, "approval.html") || !(list = arena_alloc(&r->arena, (scope_n + 1) * sizeof(*list))))
		return false;
	for (size_t i = 0; i < scope_n; i++)
		list[i] = template_text(scopes[i]);
	put(&d, "User", template_text(user));
	put(&d, "Client", template_text(slice_str(!s->client ? "your console" : s->client->name && s->client->name[0] ? s->client->name : s->client->id)));
	put(&d, "AuthReqID", template_text(s->id));
	put(&d, "Scopes", (struct template_value){ .kind = TEMPLATE_LIST, .items = list, .n = scope_n });
	return page_of(r, "approval.html", &d, 200, s->form_target);
}

bool
template_page_code(struct request *r, struct slice code)
{
	struct data d = { .n = 0 };

	if (!has(r, "oob.html"))
		return false;
	put(&d, "Code", template_text(code));
	return page_of(r, "oob.html", &d, 200, SLICE_NONE);
}

bool
template_page_device(struct request *r, int status, struct slice token, struct slice user_code, bool invalid)
{
	struct data d = { .n = 0 };

	if (!has(r, "device.html"))
		return false;
	put(&d, "PostURL", address(r, "/device/auth/verify_code", SLICE_NONE, NULL, SLICE_NONE, token));
	put(&d, "UserCode", template_text(user_code));
	put(&d, "Invalid", template_bool(invalid));
	return page_of(r, "device.html", &d, status, SLICE_NONE);
}

bool
template_page_error(struct request *r, const struct page_error *e)
{
	struct data d = { .n = 0 };
	char *message;

	if (!has(r, "error.html") || !(message = arena_printf(&r->arena, "%.*s %s Request %s.", SLICE_FMT(e->what), e->todo, r->id)))
		return false;
	put(&d, "ErrType", template_text(slice_str(e->title)));
	put(&d, "ErrMsg", template_text(slice_str(message)));
	put(&d, "RequestID", template_text(slice_str(r->id)));
	return page_of(r, "error.html", &d, e->status, SLICE_NONE);
}

bool
template_pages_approve(const struct request *r)
{
	return has(r, "approval.html");
}

/* ---- at the start ---- */

enum err
template_pages_try(const struct generation *g, char *why, size_t why_n)
{
	static const struct template_value connector[] = { { .kind = TEMPLATE_TEXT }, { .kind = TEMPLATE_TEXT }, { .kind = TEMPLATE_URL }, { .kind = TEMPLATE_TEXT } };
	static const struct template_value connectors[] = { { .kind = TEMPLATE_MAP, .names = connector_names, .items = connector, .n = 4 } };
	static const struct template_value scopes[] = { { .kind = TEMPLATE_TEXT, .text = { "x", 1 } } };
	static const struct template_value text = { .kind = TEMPLATE_TEXT, .text = { "x", 1 } }, yes = { .kind = TEMPLATE_BOOL, .number = 1 },
					   url = { .kind = TEMPLATE_URL, .text = { "/x", 2 } };
	const struct {
		const char *page;
		struct data d;
	} pages[] = {
		{ "login.html", { { "Connectors", "ReqPath" }, { { .kind = TEMPLATE_LIST, .items = connectors, .n = 1 }, text }, 2 } },
		{ "password.html", { { "PostURL", "BackLink", "Username", "UsernamePrompt", "Invalid", "Problem", "ShowRememberMe", "RememberMeChecked", "ReqPath" },
			{ url, url, text, text, yes, text, yes, yes, text }, 9 } },
		{ "approval.html", { { "User", "Client", "AuthReqID", "Scopes", "ReqPath" }, { text, text, text, { .kind = TEMPLATE_LIST, .items = scopes, .n = 1 }, text }, 5 } },
		{ "oob.html", { { "Code", "ReqPath" }, { text, text }, 2 } },
		{ "device.html", { { "PostURL", "UserCode", "Invalid", "ReqPath" }, { url, text, yes, text }, 4 } },
		{ "error.html", { { "ErrType", "ErrMsg", "RequestID", "ReqPath" }, { text, text, text, text }, 4 } },
	};
	enum err e = OK;

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]) && e == OK; i++) {
		struct arena arena;
		struct buf out;
		if (!template_has(g->config->frontend.templates, pages[i].page))
			continue;
		arena_init(&arena, 4u << 20);
		buf_init(&out, TEMPLATE_PAGE_BYTES_MAX);
		e = template_check(g->config->frontend.templates, pages[i].page, why, why_n);
		if (e == OK)
			e = render(g, &arena, pages[i].page, &pages[i].d, &out, why, why_n);
		if (e == E_LIMIT)
			snprintf(why, why_n, "%s: the page is too long", pages[i].page);
		buf_fini(&out);
		arena_fini(&arena);
	}
	return e;
}
