/* Storing a client and changing one. What may be set, and how it is checked, is the configuration's (authd_config_client_load); its secret never comes here:
 * `authd ctl` sends its hash. */
#include "authd/admin_client.h"
#include "authd/directory.h"
#include "oidc/base64url.h"
#include "oidc/strict_json.h"
#include "shared/log.h"

#define SECRET_HASH_BYTES 32

struct change {
	struct request *r;
	struct slice id, secret_hash; /* .n 0: none is given */
	bool add;                     /* there is none yet */
	int64_t revision;             /* of what is changed */
	struct record_client record;
	enum { CHANGED, CLIENT_EXISTS, CLIENT_CHANGED } outcome; /* result */
};

/* ---- what is asked for ---- */

/* Who has just "FILE:LINE: " of nothing is told the key alone. */
static void
refuse_document(struct request *r, const char *file, const char *why)
{
	const char *rest = *file ? NULL : strstr(why, ": ");

	admin_refuse(r, 400, "%s", rest ? rest + 2 : why);
}

/* What `given` sets, over what is stored: as JSON in the arena. */
static enum err
merged(struct request *r, const struct client *stored, struct slice given, struct slice *out)
{
	json_t *base = NULL, *over = NULL;
	struct buf text;

	buf_init(&text, 0);
	admin_client_print(stored, &text);
	enum err e = buf_ok(&text) ? strict_json_parse(buf_slice(&text), &base) : E_NOMEM;
	if (e == OK)
		e = strict_json_parse(given, &over);
	if (e == OK)
		e = json_object_update_recursive(base, over) == 0 ? OK : E_NOMEM;
	char *merged = e == OK ? json_dumps(base, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	if (merged) {
		*out = arena_slice(&r->arena, slice_str(merged));
		e = out->p ? OK : E_NOMEM;
	} else if (e == OK) {
		e = E_NOMEM;
	}
	free(merged);
	json_decref(base);
	json_decref(over);
	buf_fini(&text);
	return e;
}

/* The document as a record; keys for what it asks for are there afterwards. False: r has been answered. */
static bool
document_take(struct request *r, struct change *c, const struct form *form, struct slice document, const struct record_client *stored)
{
	const char *name = form_get(form, "file").p, *file = name ? name : "";
	struct config_error why = { "" };
	struct directory_needs needs = { .algs = 0 };
	struct authd_config *one;
	enum err e = authd_config_client_load(r->generation->config, file, document, &one, &why);

	if (e != OK) {
		if (e == E_NOMEM)
			admin_refuse_store(r, e);
		else
			refuse_document(r, file, why.text);
		return false;
	}
	directory_needs_add(&needs, &one->clients[0]);
	e = directory_client_record(&r->arena, &one->clients[0], &c->record);
	authd_config_free(one);
	c->record.secret_hash = c->secret_hash.n || !stored ? c->secret_hash : stored->secret_hash;
	c->record.created_at = stored ? stored->created_at : request_now_s(r);
	c->record.changed_at = stored ? request_now_s(r) : 0;
	c->record.revision = stored ? stored->revision + 1 : 0;
	if (e == OK && !c->record.secret_hash.n && !c->record.public) {
		admin_refuse(r, 400, "secret: a client without a secret has to be public");
		return false;
	}
	if (e == OK)
		e = app_keys_prepare(r->app, &needs);
	if (e != OK)
		admin_refuse_store(r, e);
	return e == OK;
}

/* ---- storing it ---- */

static enum err
change_store(struct store_txn *t, void *arg)
{
	struct change *c = arg;
	struct directory d = directory_in(c->r->generation, t, &c->r->arena);
	const struct client *there;
	struct record_client stored;
	enum err e;

	if (c->add) {
		e = directory_client(&d, c->id, &there);
		c->outcome = e == OK ? CLIENT_EXISTS : CHANGED;
	} else {
		e = store_get(t, RECORD_CLIENT, c->id, &c->r->arena, &stored);
		c->outcome = e == OK && stored.revision == c->revision ? CHANGED : CLIENT_CHANGED;
	}
	if (e != OK && e != E_EMPTY)
		return e;
	return c->outcome == CHANGED ? store_put(t, RECORD_CLIENT, c->id, &c->record) : OK;
}

static void
change_stored(struct request *r, enum err result)
{
	const struct change *c = r->state;
	struct buf body;

	app_keys_update(r->app); /* also where nothing came of it */
	if (result != OK) {
		admin_refuse_store(r, result);
	} else if (c->outcome == CLIENT_EXISTS) {
		admin_refuse(r, 409, "there is a client \"%.*s\" already: choose another id, remove that one first, or change it (authd ctl clients set)", SLICE_FMT(c->id));
	} else if (c->outcome == CLIENT_CHANGED) {
		admin_refuse(r, 409, "somebody else has just changed or removed \"%.*s\": look at it, and try again", SLICE_FMT(c->id));
	} else {
		log_info(c->add ? "client added" : "client changed", LOG_SLICE("client", c->id), LOG_UINT("uid", r->peer_uid), LOG_REQ(r->id));
		buf_init(&body, 0);
		buf_add_str(&body, "{\"id\":");
		buf_add_json(&body, c->id);
		buf_add_char(&body, '}');
		admin_send(r, 200, &body);
	}
}

/* id and the secret's hash. False: r has been answered. */
static bool
change_begin(struct request *r, const struct form *form, struct change *c)
{
	struct slice hash = form_get(form, "secret_hash");
	unsigned char *bytes = arena_alloc(&r->arena, SECRET_HASH_BYTES);
	size_t n = 0;

	c->r = r;
	c->id = form_get(form, "id");
	r->state = c;
	if (!bytes) {
		admin_refuse_store(r, E_NOMEM);
		return false;
	}
	if (hash.n && (base64url_decode(hash, bytes, SECRET_HASH_BYTES, &n) != OK || n != SECRET_HASH_BYTES)) {
		admin_refuse(r, 400, "secret_hash: expected a SHA-256 in base64url");
		return false;
	}
	c->secret_hash = slice_of((const char *)bytes, n);
	if (authd_config_client_id_ok(c->id))
		return true;
	admin_refuse(r, 400, "id: expected 1 to 256 visible ASCII characters");
	return false;
}

void
admin_clients_add(struct request *r, struct slice rest)
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
	c->add = true;
	if (change_begin(r, form, c) && document_take(r, c, form, form_get(form, "document"), NULL))
		request_write(r, change_store, c, change_stored);
}

/* merge: what the document does not name stays as it is; else it is all that is set. */
void
admin_clients_set(struct request *r, struct slice rest)
{
	struct change *c = arena_alloc(&r->arena, sizeof(*c));
	const struct form *form = admin_form(r);
	const struct client *client;
	struct record_client stored;

	(void)rest;
	if (!form)
		return;
	if (!c) {
		admin_refuse_store(r, E_NOMEM);
		return;
	}
	if (!change_begin(r, form, c))
		return;
	struct slice document = form_get(form, "document");
	enum err e = store_lookup(r->app->store, RECORD_CLIENT, c->id, &r->arena, &stored);
	if (e == E_EMPTY && authd_config_client(r->generation->config, c->id)) {
		admin_refuse(r, 409, "\"%.*s\" stands in the configuration: change it in staticClients and reload authd (SIGHUP)", SLICE_FMT(c->id));
		return;
	}
	if (e == E_EMPTY) {
		admin_refuse(r, 404, "there is no stored client \"%.*s\" (authd ctl clients list shows them)", SLICE_FMT(c->id));
		return;
	}
	if (e == OK && slice_eq_str(form_get(form, "merge"), "true")) {
		e = directory_client_of(&r->arena, c->id, &stored, &client);
		if (e == OK && (e = merged(r, client, document, &document)) == E_FORMAT) {
			admin_refuse(r, 400, "document: expected a JSON object");
			return;
		}
	}
	if (e != OK) {
		admin_refuse_store(r, e);
		return;
	}
	c->revision = stored.revision;
	if (document_take(r, c, form, document, &stored))
		request_write(r, change_store, c, change_stored);
}
