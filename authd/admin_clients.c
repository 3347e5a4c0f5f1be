/* Clients that are stored beside those of the configuration. Their secrets never come here: `authd ctl` sends hashes. */
#include "authd/admin.h"
#include "authd/directory.h"
#include "oidc/base64url.h"
#include "oidc/identity.h"
#include "shared/address.h"
#include "shared/log.h"

/* ---- listing ---- */

static void
add_client(struct buf *b, const struct client *c, const char *source, bool shadowed, int64_t created_at)
{
	buf_add_str(b, "{\"id\":");
	buf_add_json(b, slice_str(c->id));
	admin_add_text(b, "name", slice_str(c->name));
	admin_add_bool(b, "public", c->public);
	admin_add_bool(b, "has_secret", client_has_secret(c));
	admin_add_strings(b, "redirect_uris", &(struct config_strings){ (const char **)(uintptr_t)c->redirect_uris, c->redirect_uri_n });
	admin_add_strings(b, "trusted_peers", &(struct config_strings){ (const char **)(uintptr_t)c->trusted_peers, c->trusted_peer_n });
	admin_add_strings(b, "allowed_connectors", &(struct config_strings){ (const char **)(uintptr_t)c->allowed_connectors, c->allowed_connector_n });
	admin_add_strings(b, "post_logout_redirect_uris",
		&(struct config_strings){ (const char **)(uintptr_t)c->post_logout_redirect_uris, c->post_logout_redirect_uri_n });
	admin_add_text(b, "backchannel_logout_uri", slice_str(c->backchannel_logout_uri));
	admin_add_text(b, "logo_url", slice_str(c->logo_url));
	admin_add_text(b, "source", slice_str(source));
	admin_add_bool(b, "shadowed", shadowed);
	admin_add_time(b, "created_at", created_at);
	buf_add_char(b, '}');
}

static enum err
visit_stored(struct admin_page *p, struct slice id, const void *record)
{
	const struct record_client *stored = record;
	const struct client *c;
	enum err e = directory_client_of(&p->scratch, id, stored, &c);

	if (e == OK)
		add_client(admin_page_item(p), c, "stored", authd_config_client(p->r->generation->config, id) != NULL, stored->created_at);
	return e;
}

void
admin_clients_list(struct request *r, struct slice rest)
{
	const struct authd_config *c = r->generation->config;
	const struct form *form = admin_form(r);
	struct admin_page p;

	(void)rest;
	if (!form || !admin_page_begin(&p, r, form))
		return;
	for (size_t i = 0; i < c->client_n && !p.after.n; i++)
		add_client(admin_page_item(&p), &c->clients[i], "config", false, 0);
	p.visit = visit_stored;
	admin_page_send(&p, admin_page_run(&p, RECORD_CLIENT));
}

/* ---- adding ---- */

struct change {
	struct request *r;
	struct slice id;
	struct record_client record;
	enum { CHANGED, CLIENT_EXISTS, CLIENT_UNKNOWN } outcome; /* result */
};

static const char *
list_fault(struct request *r, const struct record_strings *list, const char *(*fault)(struct request *r, struct slice item))
{
	for (size_t i = 0; i < list->n; i++) {
		const char *why = fault(r, list->items[i]);
		if (why)
			return why;
	}
	return NULL;
}

static const char *
redirect_fault(struct request *r, struct slice uri)
{
	(void)r;
	return slice_eq_str(uri, CLIENT_DEVICE_CALLBACK) ? NULL : authd_config_redirect_uri_fault(uri.p);
}

static const char *
post_logout_fault(struct request *r, struct slice uri)
{
	(void)r;
	return authd_config_redirect_uri_fault(uri.p);
}

static const char *
connector_fault(struct request *r, struct slice id)
{
	return app_generation_connector(r->generation, id) || slice_eq_str(id, AUTHD_PASSWORD_CONNECTOR) ?
		       NULL :
		       "expected the id of a connector of the configuration, or \"" AUTHD_PASSWORD_CONNECTOR "\"";
}

static const char *
peer_fault(struct request *r, struct slice id)
{
	(void)r;
	return authd_config_client_id_ok(id) ? NULL : "expected the id of a client";
}

/* Empty, or an http or https URL. */
static bool
url_ok(struct slice text)
{
	struct url url;

	return !text.n || url_parse(text, &url) == OK;
}

/* Empty, or where a logout token may be sent. */
static bool
backchannel_ok(struct request *r, struct slice text)
{
	const char *uri = text.n ? arena_strndup(&r->arena, text.p, text.n) : NULL;

	return !text.n || (uri && client_backchannel_logout_uri_ok(uri));
}

/* List items are cut out of one value: each gets its own NUL. */
static enum err
take_list(struct request *r, const struct form *form, const char *name, struct record_strings *out)
{
	enum err e = admin_list(&r->arena, form_get(form, name), out);

	for (size_t i = 0; i < out->n && e == OK; i++) {
		out->items[i] = arena_slice(&r->arena, out->items[i]);
		e = out->items[i].p ? OK : E_NOMEM;
	}
	return e;
}

/* NULL: fine. The parameter that is wrong in *name. */
static const char *
record_fault(struct request *r, const struct change *c, const char **name)
{
	const struct record_client *record = &c->record;
	const char *why;

	if (*name = "id", !authd_config_client_id_ok(c->id))
		return "expected 1 to 256 visible ASCII characters";
	if (*name = "name", !identity_value_ok(record->name))
		return "expected a text without control characters and without blanks at its ends";
	if (*name = "secret", !record->secret_hash.n && !record->public)
		return "a client without a secret has to be public";
	if (*name = "redirect-uri", (why = list_fault(r, &record->redirect_uris, redirect_fault)))
		return why;
	if (*name = "redirect-uri", !record->redirect_uris.n && !record->public)
		return "expected at least one: only a public client may do without";
	if (*name = "post-logout-redirect-uri", (why = list_fault(r, &record->post_logout_redirect_uris, post_logout_fault)))
		return why;
	if (*name = "trusted-peer", (why = list_fault(r, &record->trusted_peers, peer_fault)))
		return why;
	if (*name = "connector", (why = list_fault(r, &record->allowed_connectors, connector_fault)))
		return why;
	if (*name = "logo-url", !url_ok(record->logo_url))
		return "expected an http or https URL";
	if (*name = "backchannel-logout-uri", !backchannel_ok(r, record->backchannel_logout_uri))
		return "expected an https URL without a fragment (http to the issuer's own machine only)";
	return NULL;
}

static enum err
record_take(struct request *r, const struct form *form, struct change *c)
{
	struct slice secret_hash = form_get(form, "secret_hash");
	unsigned char *hash = arena_alloc(&r->arena, 32);
	size_t n = 0;
	enum err e = hash ? OK : E_NOMEM;

	c->id = form_get(form, "id");
	c->record = (struct record_client){ .name = form_get(form, "name"), .logo_url = form_get(form, "logo_url"),
		.backchannel_logout_uri = form_get(form, "backchannel_logout_uri"), .public = slice_eq_str(form_get(form, "public"), "true"),
		.created_at = request_now_s(r) };
	if (e == OK && secret_hash.n)
		e = base64url_decode(secret_hash, hash, 32, &n) == OK && n == 32 ? OK : E_FORMAT;
	c->record.secret_hash = slice_of((const char *)hash, n);
	if (e == OK)
		e = take_list(r, form, "redirect_uris", &c->record.redirect_uris);
	if (e == OK)
		e = take_list(r, form, "trusted_peers", &c->record.trusted_peers);
	if (e == OK)
		e = take_list(r, form, "connectors", &c->record.allowed_connectors);
	if (e == OK)
		e = take_list(r, form, "post_logout_redirect_uris", &c->record.post_logout_redirect_uris);
	return e;
}

static enum err
add_store(struct store_txn *t, void *arg)
{
	struct change *c = arg;
	struct directory d = directory_in(c->r->generation, t, &c->r->arena);
	const struct client *there;
	enum err e = directory_client(&d, c->id, &there);

	c->outcome = e == OK ? CLIENT_EXISTS : CHANGED;
	if (e != E_EMPTY)
		return e;
	return store_put(t, RECORD_CLIENT, c->id, &c->record);
}

static void
add_stored(struct request *r, enum err result)
{
	const struct change *c = r->state;
	struct buf body;

	if (result != OK) {
		admin_refuse_store(r, result);
	} else if (c->outcome == CLIENT_EXISTS) {
		admin_refuse(r, 409, "there is a client \"%.*s\" already: choose another id, or remove that one first", SLICE_FMT(c->id));
	} else {
		log_info("client added", LOG_SLICE("client", c->id), LOG_UINT("uid", r->peer_uid), LOG_REQ(r->id));
		buf_init(&body, 0);
		buf_add_str(&body, "{\"id\":");
		buf_add_json(&body, c->id);
		buf_add_char(&body, '}');
		admin_send(r, 200, &body);
	}
}

void
admin_clients_add(struct request *r, struct slice rest)
{
	struct change *c = arena_alloc(&r->arena, sizeof(*c));
	const struct form *form = admin_form(r);
	const char *why, *name;
	enum err e;

	(void)rest;
	if (!form)
		return;
	e = c ? record_take(r, form, c) : E_NOMEM;
	if (e == E_FORMAT || e == E_LIMIT)
		admin_refuse(r, 400, "a list of the request cannot be read, or is longer than %d", RECORD_LIST_MAX);
	else if (e != OK)
		admin_refuse_store(r, e);
	else if ((why = record_fault(r, c, &name)))
		admin_refuse(r, 400, "%s: %s", name, why);
	else {
		c->r = r;
		r->state = c;
		request_write(r, add_store, c, add_stored);
	}
}

/* ---- removing ---- */

static enum err
remove_store(struct store_txn *t, void *arg)
{
	struct change *c = arg;
	enum err e = store_delete(t, RECORD_CLIENT, c->id);

	c->outcome = e == E_EMPTY ? CLIENT_UNKNOWN : CHANGED;
	return e == E_EMPTY ? OK : e;
}

static void
remove_stored(struct request *r, enum err result)
{
	const struct change *c = r->state;
	struct buf body;

	if (result != OK) {
		admin_refuse_store(r, result);
	} else if (c->outcome == CLIENT_UNKNOWN && authd_config_client(r->generation->config, c->id)) {
		admin_refuse(r, 409, "\"%.*s\" stands in the configuration: take it out of staticClients and reload authd (SIGHUP)", SLICE_FMT(c->id));
	} else if (c->outcome == CLIENT_UNKNOWN) {
		admin_refuse(r, 404, "there is no stored client \"%.*s\" (authd ctl clients list shows them)", SLICE_FMT(c->id));
	} else {
		log_info("client removed", LOG_SLICE("client", c->id), LOG_UINT("uid", r->peer_uid), LOG_REQ(r->id));
		buf_init(&body, 0);
		buf_add_str(&body, "{}");
		admin_send(r, 200, &body);
	}
}

/* One that is stored and configured may be removed from the store: nothing changes for anybody. */
void
admin_clients_remove(struct request *r, struct slice rest)
{
	struct change *c = arena_alloc(&r->arena, sizeof(*c));
	const struct form *form = admin_form(r);

	(void)rest;
	if (!form)
		return;
	if (!c) {
		admin_refuse_store(r, E_NOMEM);
		return;
	}
	c->r = r;
	c->id = form_get(form, "id");
	r->state = c;
	request_write(r, remove_store, c, remove_stored);
}
