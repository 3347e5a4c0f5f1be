/* frontend: how our pages look. */
#include "authd/config_internal.h"

#define WHY_BYTES 300

/* A name of a folder within themes. */
static bool
is_theme(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 64 && s[0] != '.' && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == n;
}

static bool
has_theme(const struct frontend_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (strncmp(f->items[i].path, "theme/", 6) == 0)
			return true;
	return false;
}

static enum err
check_theme(struct config_check *k)
{
	struct authd_frontend *f = &k->f->c.frontend;

	authd_config_drop_empty((const char **[]){ &f->theme, &f->dir, &f->logo_url, NULL });
	if (f->theme && (strcmp(f->theme, "coreos") == 0 || strcmp(f->theme, "tectonic") == 0))
		f->theme = NULL; /* names of dex's past that mean its default */
	if (f->theme && !is_theme(f->theme))
		return authd_config_refuse(k, "frontend.theme", "expected light, dark, or the name of a folder in frontend.dir's themes, found \"%s\"", f->theme);
	f->scheme = !f->theme ? AUTHD_SCHEME_BROWSERS : strcmp(f->theme, "light") == 0 ? AUTHD_SCHEME_LIGHT : strcmp(f->theme, "dark") == 0 ? AUTHD_SCHEME_DARK :
																		AUTHD_SCHEME_BROWSERS;
	return OK;
}

static enum err
check_dir(struct config_check *k)
{
	struct authd_frontend *f = &k->f->c.frontend;
	bool ours = f->scheme != AUTHD_SCHEME_BROWSERS || !f->theme;
	char why[WHY_BYTES] = "";
	enum err e;

	if (f->dir) {
		e = frontend_read(&k->f->c.arena, f->dir, f->theme ? f->theme : "light", &f->files, why, sizeof(why));
		if (e == E_NOMEM)
			return authd_config_no_memory(k);
		if (e != OK)
			return authd_config_refuse(k, "frontend.dir", "cannot use %s", why);
	}
	if (!ours && !has_theme(&f->files))
		return authd_config_refuse(k, "frontend.theme", "expected light, dark, or the name of a folder in frontend.dir's themes, found \"%s\"", f->theme);
	return OK;
}

/* Pages of dex that authd has none of, or whose values stand in scripts. */
static bool
is_passed_over(const char *name)
{
	static const char *const names[] = { "home.html", "logout.html", "totp_verify.html", "webauthn_verify.html", "device_success.html" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return strchr(name, '/') != NULL;
}

static enum err
check_templates(struct config_check *k)
{
	struct authd_frontend *f = &k->f->c.frontend;
	char why[WHY_BYTES] = "";
	enum err e = OK;

	for (size_t i = 0; i < f->files.n && e == OK; i++) {
		const char *name = f->files.items[i].path + 10;
		if (strncmp(f->files.items[i].path, "templates/", 10) != 0 || is_passed_over(name))
			continue;
		if (!f->templates && !(f->templates = template_set_new(&k->f->c.arena)))
			return authd_config_no_memory(k);
		e = template_add(f->templates, name, f->files.items[i].bytes, why, sizeof(why));
	}
	if (e == E_NOMEM)
		return authd_config_no_memory(k);
	return e == OK ? OK : authd_config_refuse(k, "frontend.dir", "cannot use templates/%s", why);
}

/* Elsewhere, or a file of frontend.dir; dex's default stands for ours where there is none. */
static enum err
check_logo(struct config_check *k)
{
	struct authd_frontend *f = &k->f->c.frontend;
	struct slice path;
	struct url url;

	if (f->logo_url && strstr(f->logo_url, "://")) {
		if (url_parse(slice_str(f->logo_url), &url) != OK)
			return authd_config_refuse(k, "frontend.logoURL", "expected an http or https URL, or the address of a file in frontend.dir, found \"%s\"",
				f->logo_url);
		f->logo_origin = url.origin;
		return OK;
	}
	path = slice_str(f->logo_url ? f->logo_url : "theme/logo.png");
	while (path.n && path.p[0] == '/')
		path = slice_of(path.p + 1, path.n - 1);
	if (frontend_find(&f->files, "", path) && !slice_has_prefix(path, SLICE_LIT("templates/"))) {
		f->logo_url = path.p;
		return OK;
	}
	if (f->logo_url && !slice_eq_str(path, "theme/logo.png"))
		return authd_config_refuse(k, "frontend.logoURL", "expected an http or https URL, or the address of a file in frontend.dir (static/…, theme/…), found \"%s\"",
			f->logo_url);
	f->logo_url = NULL;
	return OK;
}

static enum err
check_extra(struct config_check *k)
{
	const struct yaml_node *extra = k->f->c.frontend.extra;

	if (!extra || yaml_is_null(extra))
		return OK;
	if (extra->kind != YAML_MAP)
		return authd_config_refuse(k, "frontend.extra", "expected names with texts");
	for (const struct yaml_node *n = extra->first; n; n = n->next)
		if (n->kind != YAML_SCALAR)
			return authd_config_refuse(k, KEY("frontend.extra.%s", n->key.p), "expected a text");
	return OK;
}

enum err
authd_config_check_frontend(struct config_check *k)
{
	static enum err (*const steps[])(struct config_check *k) = { check_theme, check_dir, check_templates, check_logo, check_extra };
	enum err e = authd_config_check_value(k, "frontend.issuer", k->f->c.frontend.issuer);

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && e == OK; i++)
		e = steps[i](k);
	return e;
}
