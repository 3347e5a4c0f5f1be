/* Clients that are stored beside those of the configuration: which there are, and what is set for them; and taking one away. */
#include "authd/admin_client.h"
#include "authd/directory.h"
#include "shared/log.h"

/* ---- one, as an entry of staticClients ---- */

static void
add_list(struct buf *b, const char *name, const char *const *items, size_t n)
{
	if (n)
		admin_add_strings(b, name, &(struct config_strings){ (const char **)(uintptr_t)items, n });
}

static void
add_given(struct buf *b, const char *name, const char *text)
{
	if (text)
		admin_add_text(b, name, slice_str(text));
}

/* As the configuration writes durations, in the largest unit that it is a multiple of. */
static void
add_duration(struct buf *b, const char *comma, const char *name, int64_t s)
{
	int64_t unit = s % 3600 == 0 ? 3600 : s % 60 == 0 ? 60 : 1;

	buf_printf(b, "%s\"%s\":\"%lld%c\"", comma, name, (long long)(s / unit), unit == 3600 ? 'h' : unit == 60 ? 'm' : 's');
}

static void
add_expiry(struct buf *b, const struct client *c)
{
	const char *comma = "";

	if (!c->id_tokens_s && !c->refresh_absolute_s && !c->refresh_idle_s)
		return;
	buf_add_str(b, ",\"expiry\":{");
	if (c->id_tokens_s) {
		add_duration(b, comma, "idTokens", c->id_tokens_s);
		comma = ",";
	}
	if (c->refresh_absolute_s || c->refresh_idle_s) {
		buf_printf(b, "%s\"refreshTokens\":{", comma);
		if (c->refresh_absolute_s)
			add_duration(b, "", "absoluteLifetime", c->refresh_absolute_s);
		if (c->refresh_idle_s)
			add_duration(b, c->refresh_absolute_s ? "," : "", "validIfNotUsedFor", c->refresh_idle_s);
		buf_add_char(b, '}');
	}
	buf_add_char(b, '}');
}

static void
add_claims(struct buf *b, const struct client *c)
{
	if (c->claim_n)
		buf_add_str(b, ",\"claims\":");
	for (size_t i = 0; i < c->claim_n; i++) {
		buf_add_str(b, i ? ",{\"name\":" : "[{\"name\":");
		buf_add_json(b, slice_str(c->claims[i].name));
		if (c->claims[i].from == CLAIM_TEXT)
			admin_add_text(b, "value", slice_str(c->claims[i].text));
		else
			admin_add_text(b, "from", slice_str(client_claim_from_name(c->claims[i].from)));
		buf_add_char(b, '}');
	}
	if (c->claim_n)
		buf_add_char(b, ']');
}

void
admin_client_print(const struct client *c, struct buf *b)
{
	const char *grants[GRANT_TYPES];
	size_t n = 0;

	for (size_t i = 0; i < GRANT_TYPES; i++)
		if (c->grant_types & GRANT_BIT(i))
			grants[n++] = grant_type_name((enum grant_type)i);
	buf_add_str(b, "{\"id\":");
	buf_add_json(b, slice_str(c->id));
	admin_add_text(b, "name", slice_str(c->name));
	if (c->public)
		admin_add_bool(b, "public", true);
	add_list(b, "redirectURIs", c->redirect_uris, c->redirect_uri_n);
	add_list(b, "postLogoutRedirectURIs", c->post_logout_redirect_uris, c->post_logout_redirect_uri_n);
	add_given(b, "backchannelLogoutURI", c->backchannel_logout_uri);
	add_list(b, "trustedPeers", c->trusted_peers, c->trusted_peer_n);
	add_list(b, "allowedConnectors", c->allowed_connectors, c->allowed_connector_n);
	add_given(b, "logoURL", c->logo_url);
	add_list(b, "grantTypes", grants, n);
	add_list(b, "groups", c->groups, c->group_n);
	add_given(b, "idTokenSignedResponseAlg", c->signing_alg ? jws_alg_name(c->signing_alg) : NULL);
	add_given(b, "subject", c->plain_subject ? "plain" : NULL);
	add_claims(b, c);
	add_expiry(b, c);
	buf_add_char(b, '}');
}

/* ---- listing ---- */

static void
add_client(struct buf *b, const struct client *c, const char *source, bool shadowed, const struct record_client *stored)
{
	buf_add_str(b, "{\"id\":");
	buf_add_json(b, slice_str(c->id));
	admin_add_text(b, "name", slice_str(c->name));
	admin_add_bool(b, "public", c->public);
	admin_add_bool(b, "has_secret", client_has_secret(c));
	admin_add_text(b, "source", slice_str(source));
	admin_add_bool(b, "shadowed", shadowed);
	admin_add_time(b, "created_at", stored ? stored->created_at : 0);
	admin_add_time(b, "changed_at", stored ? stored->changed_at : 0);
	admin_add_strings(b, "redirect_uris", &(struct config_strings){ (const char **)(uintptr_t)c->redirect_uris, c->redirect_uri_n });
	buf_add_str(b, ",\"client\":");
	admin_client_print(c, b);
	buf_add_char(b, '}');
}

static enum err
visit_stored(struct admin_page *p, struct slice id, const void *record)
{
	const struct record_client *stored = record;
	const struct client *c;
	enum err e = directory_client_of(&p->scratch, id, stored, &c);

	if (e == OK)
		add_client(admin_page_item(p), c, "stored", authd_config_client(p->r->generation->config, id) != NULL, stored);
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
		add_client(admin_page_item(&p), &c->clients[i], "config", false, NULL);
	p.visit = visit_stored;
	admin_page_send(&p, admin_page_run(&p, RECORD_CLIENT));
}

void
admin_clients_show(struct request *r, struct slice rest)
{
	const struct form *form = admin_form(r);
	struct record_client stored;
	struct buf body;

	(void)rest;
	if (!form)
		return;
	struct slice id = form_get(form, "id");
	const struct client *c = authd_config_client(r->generation->config, id);
	bool configured = c != NULL;
	enum err e = configured ? OK : store_lookup(r->app->store, RECORD_CLIENT, id, &r->arena, &stored);
	if (e == OK && !configured)
		e = directory_client_of(&r->arena, id, &stored, &c);
	if (e != OK && e != E_EMPTY) {
		admin_refuse_store(r, e);
	} else if (!c) {
		admin_refuse(r, 404, "there is no client \"%.*s\" (authd ctl clients list shows them)", SLICE_FMT(id));
	} else {
		buf_init(&body, 0);
		add_client(&body, c, configured ? "config" : "stored", false, configured ? NULL : &stored);
		admin_send(r, 200, &body);
	}
}

/* ---- removing ---- */

struct removal {
	struct request *r;
	struct slice id;
	bool unknown; /* result */
};

static enum err
remove_store(struct store_txn *t, void *arg)
{
	struct removal *c = arg;
	enum err e = store_delete(t, RECORD_CLIENT, c->id);

	c->unknown = e == E_EMPTY;
	return e == E_EMPTY ? OK : e;
}

static void
remove_stored(struct request *r, enum err result)
{
	const struct removal *c = r->state;
	struct buf body;

	if (result != OK) {
		admin_refuse_store(r, result);
	} else if (c->unknown && authd_config_client(r->generation->config, c->id)) {
		admin_refuse(r, 409, "\"%.*s\" stands in the configuration: take it out of staticClients and reload authd (SIGHUP)", SLICE_FMT(c->id));
	} else if (c->unknown) {
		admin_refuse(r, 404, "there is no stored client \"%.*s\" (authd ctl clients list shows them)", SLICE_FMT(c->id));
	} else {
		app_keys_update(r->app);
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
	struct removal *c = arena_alloc(&r->arena, sizeof(*c));
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
