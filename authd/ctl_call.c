#include <errno.h>
#include <sys/stat.h>
#include "authd/config.h"
#include "authd/ctl_internal.h"

#define CALL_MS 60000
#define CALL_BYTES_MAX (16u << 20) /* one page, of which a single record may be a megabyte */
#define CTL_URL "http://authd/internal/ctl"

void
ctl_form_add(struct buf *form, const char *name, const char *value)
{
	if (!value)
		return;
	if (form->n)
		buf_add_char(form, '&');
	buf_printf(form, "%s=", name);
	buf_add_urlencoded(form, slice_str(value));
}

void
ctl_form_add_list(struct buf *form, const char *name, const struct ctl *c, const char *option)
{
	bool any = false;

	for (size_t i = 0; i < c->option_n; i++) {
		if (strcmp(c->options[i].name, option) != 0)
			continue;
		if (!any)
			buf_printf(form, "%s%s=", form->n ? "&" : "", name);
		else
			buf_add_str(form, "%0A");
		buf_add_urlencoded(form, slice_str(c->options[i].value));
		any = true;
	}
}

/* The socket, from --socket or the configuration; NULL: it was said why not. */
static const char *
socket_path(struct ctl *c, int *status)
{
	struct authd_config_places places;
	struct config_error e = { "" };
	struct stat st;

	if (!c->socket) {
		if (authd_config_places(&c->arena, c->config ? c->config : CTL_CONFIG, &places, &e) != OK) {
			*status = ctl_say(CTL_FAILED, "%s%s", e.text, c->config ? "" : " (--config names another, --socket the control socket)");
			return NULL;
		}
		c->socket = places.ctl_socket;
	}
	if (stat(c->socket, &st) == 0 && S_ISSOCK(st.st_mode))
		return c->socket;
	if (errno == EACCES)
		*status = ctl_say(CTL_UNREACHABLE, "%s: only root and the user that authd runs as may use it", c->socket);
	else
		*status = ctl_say(CTL_UNREACHABLE, "%s: there is no such socket: is authd running, with this configuration?", c->socket);
	return NULL;
}

static bool
connected(struct ctl *c)
{
	static const struct fetcher_options o = { .user_agent = "gatehouse-authd-ctl/" GATEHOUSE_VERSION };

	if (!c->fetcher)
		c->fetcher = fetcher_new(&o);
	return c->fetcher;
}

/* What authd said about a refusal. */
static int
refused(const struct ctl *c, const struct fetch_result *r)
{
	struct slice error = SLICE_NONE;
	json_t *body = NULL;
	int status;

	if (strict_json_parse(buf_slice(&r->body), &body) == OK)
		error = strict_json_string(json_object_get(body, "error"));
	if (error.n)
		status = ctl_say(CTL_FAILED, "%.*s", SLICE_FMT(error));
	else
		status = ctl_say(CTL_FAILED, "%s answered %d: only root and the user that authd runs as may use it, and it has to be web.ctl's socket", c->socket,
			r->status);
	json_decref(body);
	return status;
}

static int
call(struct ctl *c, const char *socket, const char *path, struct slice form, bool post, json_t **answer)
{
	static const char *const headers[] = { "Content-Type: application/x-www-form-urlencoded", NULL };
	struct fetch_request q = { .method = post ? "POST" : "GET", .url = arena_printf(&c->arena, CTL_URL "%s", path), .unix_socket = socket,
		.headers = post ? headers : NULL, .body = form, .timeout_ms = CALL_MS, .body_bytes_max = CALL_BYTES_MAX };
	struct fetch_result r;
	int status = CTL_DONE;
	enum err e = fetch_wait(c->fetcher, &q, &r);

	if (e != OK)
		status = ctl_say(CTL_UNREACHABLE, "authd does not answer at %s: %s", socket, r.message[0] ? r.message : err_name(e));
	else if (r.status != 200)
		status = refused(c, &r);
	else if (strict_json_parse(buf_slice(&r.body), answer) != OK)
		status = ctl_say(CTL_FAILED, "authd's answer makes no sense: is it of the same version? (authd --version)");
	fetch_result_fini(&r);
	return status;
}

int
ctl_call(struct ctl *c, const char *path, struct buf *form, json_t **answer)
{
	int status = CTL_DONE;
	const char *socket = socket_path(c, &status);

	if (socket && ((form && !buf_ok(form)) || !connected(c)))
		status = ctl_no_memory();
	else if (socket)
		status = call(c, socket, path, form ? buf_slice(form) : SLICE_NONE, form != NULL, answer);
	if (form)
		buf_fini_secret(form);
	return status;
}

int
ctl_each(struct ctl *c, const char *path, const char *query, int (*each)(void *arg, const json_t *items), void *arg)
{
	const char *after = "";
	int status;

	do {
		const char *at = arena_printf(&c->arena, "%s?%s%s%s", path, query, *after ? (*query ? "&after=" : "after=") : "", after);
		const json_t *items;
		json_t *page;
		status = at ? ctl_call(c, at, NULL, &page) : ctl_no_memory();
		if (status != CTL_DONE)
			return status;
		items = json_object_get(page, "items");
		after = json_string_value(json_object_get(page, "after"));
		after = arena_strdup(&c->arena, after ? after : "");
		if (!after)
			status = ctl_no_memory();
		else if (json_is_array(items))
			status = each(arg, items);
		json_decref(page);
	} while (status == CTL_DONE && *after);
	return status;
}
