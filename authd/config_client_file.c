/* One client by itself, as `authd ctl clients` takes it from a file: read there, where its variables are, and checked here, where its connectors are. */
#include "authd/config_internal.h"

/* ---- read ---- */

static void
to_line(int line, int *at, struct buf *out)
{
	for (; *at < line; ++*at)
		buf_add_char(out, '\n');
}

static bool
in_words(const char *const *words, struct slice key)
{
	for (; *words; words++)
		if (slice_eq_nocase(key, slice_str(*words)))
			return true;
	return false;
}

static void
print_scalar(const struct yaml_node *n, struct buf *out)
{
	bool bare = !n->quoted && (slice_eq_str(n->scalar, "true") || slice_eq_str(n->scalar, "false"));

	if (yaml_is_null(n))
		buf_add_str(out, "null");
	else if (bare)
		buf_add_slice(out, n->scalar);
	else
		buf_add_json(out, n->scalar);
}

/* The tree as JSON, which is YAML too, without the keys that are named; each node on its own line. */
static void
print_node(const struct yaml_node *n, const char *const *without, int *at, struct buf *out)
{
	static const char *const nothing[] = { NULL };
	const char *comma = "";

	to_line(n->line, at, out);
	if (n->kind == YAML_SCALAR) {
		print_scalar(n, out);
		return;
	}
	buf_add_char(out, n->kind == YAML_MAP ? '{' : '[');
	for (const struct yaml_node *c = n->first; c; c = c->next) {
		if (n->kind == YAML_MAP && in_words(without, c->key))
			continue;
		buf_add_str(out, comma);
		comma = ", ";
		if (n->kind == YAML_MAP) {
			to_line(c->key_line, at, out);
			buf_add_json(out, c->key);
			buf_add_str(out, ": ");
		}
		print_node(c, nothing, at, out);
	}
	buf_add_char(out, n->kind == YAML_MAP ? '}' : ']');
}

static enum err
read_out(struct arena *arena, const struct config_check *k, const struct config_file_client *from, struct authd_config_client_file *out)
{
	static const char *const apart[] = { "id", "idEnv", "secret", "secretEnv", NULL };
	struct buf json;
	int at = 1;

	buf_init(&json, 0);
	print_node(k->f->root, apart, &at, &json);
	*out = (struct authd_config_client_file){ .id = from->id ? arena_strdup(arena, from->id) : NULL,
		.secret = from->secret ? arena_strdup(arena, from->secret) : NULL, .public = from->public, .json = arena_slice(arena, buf_slice(&json)) };
	bool ok = buf_ok(&json) && out->json.p && !from->id == !out->id && !from->secret == !out->secret;
	buf_fini(&json);
	return ok ? OK : authd_config_no_memory(k);
}

/* A document, and what its keys say. */
static enum err
document_bind(struct config_check *k, struct slice text, struct config_file_client *from)
{
	struct yaml_node *root = NULL;
	enum err err = yaml_parse(&k->f->c.arena, k->f->c.file, text, &root, k->e);

	if (err == OK && (!root || root->kind != YAML_MAP)) {
		config_error_set(k->e, k->f->c.file, root ? root->line : 0, NULL, "expected the keys of one client, as an entry of staticClients has them");
		err = E_FORMAT;
	}
	k->f->root = root;
	if (err == OK)
		err = authd_config_check_dex_client(k->f->c.file, root, k->e);
	return err == OK ? authd_config_bind_client(k, root, from) : err;
}

enum err
authd_config_client_read(struct arena *arena, const char *name, struct slice text, struct authd_config_client_file *out, struct config_error *e)
{
	struct config_file *f = authd_config_file_new(name, e);
	struct config_file_client from = { .id = NULL };
	struct config_check k = { f, 0, e };

	if (!f)
		return E_NOMEM;
	enum err err = document_bind(&k, text, &from);
	if (err == OK)
		err = authd_config_client_credentials(&k, "", &from);
	if (err == OK)
		err = read_out(arena, &k, &from, out);
	authd_config_free(&f->c);
	return err;
}

/* ---- load ---- */

enum err
authd_config_client_load(const struct authd_config *running, const char *name, struct slice json, struct authd_config **out, struct config_error *e)
{
	struct config_file *f = authd_config_file_new(name, e);
	struct config_file_client from = { .id = NULL };
	struct config_check k = { f, 0, e };

	if (!f)
		return E_NOMEM;
	f->c.connectors = running->connectors;
	f->c.expiry = running->expiry;
	enum err err = document_bind(&k, json, &from);
	f->c.clients = arena_alloc(&f->c.arena, sizeof(*f->c.clients));
	if (err == OK && !f->c.clients)
		err = authd_config_no_memory(&k);
	if (err == OK)
		err = authd_config_check_client(&k, "", &from, f->c.clients);
	if (err == OK) {
		f->c.clients->id = f->c.clients->secret = NULL;
		f->c.client_n = 1;
		*out = &f->c;
	} else {
		authd_config_free(&f->c);
	}
	return err;
}
