#include <errno.h>
#include <stdio.h>
#include <openssl/crypto.h>
#include "proxyd/kubeconfig.h"
#include "shared/address.h"
#include "shared/file.h"

#define PEM_BYTES_MAX (1u << 20)     /* a bundle of public CAs has about 220 KiB */
#define PATH_MAX_BYTES 64              /* "contexts[", 20 digits, "].context" */
#define KEY_MAX_BYTES (PATH_MAX_BYTES + 64)

/* Where one document is being read, for messages. */
struct reader {
	struct arena *arena;
	const char *name;
	struct config_error *e;
	struct file_watch *watch; /* NULL: nobody asks */
};
/* A map of the document with its path ("users[2].user"). */
struct block {
	const struct yaml_node *node; /* NULL: absent */
	char path[PATH_MAX_BYTES];
};
/* Files that stand in place of data, with the line that names them. */
struct source {
	const char *file;
	int line;
	char key[KEY_MAX_BYTES];
};
struct sources {
	struct source ca, cert, key, token;
};

#define REFUSE(r, line, key, ...) (config_error_set((r)->e, (r)->name, (line), (key), __VA_ARGS__), E_FORMAT)

static enum err parse(struct reader *r, struct slice text, const char *context, struct kubeconfig *out, struct sources *files);
static enum err read_sources(struct reader *r, const char *path, struct sources *files, struct kubeconfig *out);

enum err
kubeconfig_parse(struct arena *arena, const char *name, struct slice text, const char *context, struct kubeconfig *out,
	struct config_error *e)
{
	struct reader r = { arena, name, e, NULL };
	struct sources files;

	return parse(&r, text, context, out, &files);
}

enum err
kubeconfig_load(struct arena *arena, const char *path, const char *context, struct file_watch *watch, struct kubeconfig *out,
	struct config_error *e)
{
	struct reader r = { arena, path, e, watch };
	struct sources files;
	struct kubeconfig found;
	struct buf text;

	buf_init(&text, YAML_BYTES_MAX);
	enum err err = watch ? file_watch_note(watch, path) : OK;
	if (!err)
		err = file_read(path, YAML_BYTES_MAX, &text);
	if (err)
		config_error_set(e, path, 0, NULL, "cannot be read: %s", err == E_SYSTEM ? strerrordesc_np(errno) : err_name(err));
	if (!err)
		err = parse(&r, buf_slice(&text), context, &found, &files);
	if (!err)
		err = read_sources(&r, path, &files, &found);
	if (!err)
		*out = found;
	buf_fini_secret(&text);
	return err;
}

static bool
is_null(const struct yaml_node *n)
{
	return !n || yaml_is_null(n);
}

/* A scalar (yaml.h lets no NUL through); NULL in *out when it is absent, null or "" (client-go makes no difference). */
static enum err
string_of(struct reader *r, const struct block *b, const char *key, const char **out, struct source *where)
{
	const struct yaml_node *n = yaml_get(b->node, key);
	struct source at = { NULL, n ? n->line : 0, "" };

	snprintf(at.key, sizeof(at.key), "%s%s%s", b->path, *b->path ? "." : "", key);
	*out = NULL;
	if (where)
		*where = at;
	if (is_null(n))
		return OK;
	if (n->kind != YAML_SCALAR)
		return REFUSE(r, n->line, at.key, "expected a string, found a %s", n->kind == YAML_MAP ? "map" : "list");
	if (n->scalar.n)
		*out = n->scalar.p;
	return OK;
}

/* The entry called `name` of the list `list` ("clusters", whose entries hold a "cluster"). client-go refuses lists in which a name occurs twice. */
static enum err
find_entry(struct reader *r, const struct yaml_node *root, const char *list, const char *member, const char *name, struct block *out)
{
	const struct yaml_node *entries = yaml_get(root, list), *found = NULL;
	size_t index = 0;

	out->node = NULL;
	if (!is_null(entries) && entries->kind != YAML_LIST)
		return REFUSE(r, entries->line, list, "expected a list");
	for (const struct yaml_node *n = is_null(entries) ? NULL : entries->first; n; n = n->next, index++) {
		struct block entry = { n, "" };
		const char *entry_name;
		snprintf(entry.path, sizeof(entry.path), "%s[%zu]", list, index);
		if (n->kind != YAML_MAP)
			return REFUSE(r, n->line, entry.path, "expected a map with name and %s", member);
		enum err e = string_of(r, &entry, "name", &entry_name, NULL);
		if (e)
			return e;
		if (!entry_name || strcmp(entry_name, name) != 0)
			continue;
		if (found)
			return REFUSE(r, n->line, entry.path, "the name \"%s\" occurs twice", name);
		found = n;
		out->node = yaml_get(n, member);
		snprintf(out->path, sizeof(out->path), "%s[%zu].%s", list, index, member);
		if (is_null(out->node) || out->node->kind != YAML_MAP)
			return REFUSE(r, n->line, out->path, "expected a map");
	}
	if (!found)
		return REFUSE(r, entries ? entries->line : 0, list, "there is none called \"%s\"", name);
	return OK;
}

/* What would run a program, weaken TLS, or make us somebody else: refused where it is set, with the reason. */
struct refused_key {
	const char *key, *why;
};
static const struct refused_key refused_cluster_keys[] = {
	{ "proxy-url", "is not supported: the gateway connects to the apiserver itself" },
	{ NULL, NULL }
};
static const struct refused_key refused_user_keys[] = {
	{ "exec", "is refused: the gateway runs no programs; use client-certificate, token or tokenFile" },
	{ "auth-provider", "is refused: the gateway runs no providers; use client-certificate, token or tokenFile" },
	{ "username", "is refused: apiservers have no basic authentication; use client-certificate, token or tokenFile" },
	{ "password", "is refused: apiservers have no basic authentication; use client-certificate, token or tokenFile" },
	{ "as", "is refused: whom to impersonate is decided by each caller's identity" },
	{ "as-uid", "is refused: whom to impersonate is decided by each caller's identity" },
	{ "as-groups", "is refused: whom to impersonate is decided by each caller's identity" },
	{ "as-user-extra", "is refused: whom to impersonate is decided by each caller's identity" },
	{ NULL, NULL }
};

static enum err
check_refused(struct reader *r, const struct block *b, const struct refused_key *keys)
{
	for (; keys->key; keys++) {
		const struct yaml_node *n = yaml_get(b->node, keys->key);
		char path[KEY_MAX_BYTES];
		bool empty = is_null(n) || (n->kind == YAML_SCALAR ? n->scalar.n == 0 : !n->first);
		if (empty)
			continue;
		snprintf(path, sizeof(path), "%s.%s", b->path, keys->key);
		return REFUSE(r, n->key_line, path, "%s", keys->why);
	}
	return OK;
}

/* RFC 4648 section 4 as Go reads it for []byte: padded, CR and LF anywhere are no data. *out lives in the arena, NUL-terminated. */
static enum err
decode_base64(struct reader *r, const struct source *at, const char *text, struct slice *out)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t digits = 0, padding = 0, n = 0;
	uint32_t group = 0;
	char *bytes = arena_alloc(r->arena, strlen(text) / 4 * 3 + 4);

	if (!bytes) {
		config_error_set(r->e, r->name, at->line, at->key, "out of memory");
		return E_NOMEM;
	}
	for (; *text; text++) {
		const char *digit = memchr(alphabet, *text, sizeof(alphabet) - 1);
		if (*text == '\r' || *text == '\n')
			continue;
		if (*text == '=')
			padding++;
		else if (!digit || padding)
			return REFUSE(r, at->line, at->key, "expected standard base64");
		group = group << 6 | (digit ? (uint32_t)(digit - alphabet) : 0);
		if (++digits % 4)
			continue;
		bytes[n++] = (char)(group >> 16 & 255);
		bytes[n++] = (char)(group >> 8 & 255);
		bytes[n++] = (char)(group & 255);
	}
	if (digits % 4 || padding > 2)
		return REFUSE(r, at->line, at->key, "expected standard base64 with its padding");
	if (padding && (bytes[n - 1] || (padding == 2 && bytes[n - 2])))
		return REFUSE(r, at->line, at->key, "expected standard base64: bits behind the last byte are set");
	n -= padding;
	if (n == 0)
		return REFUSE(r, at->line, at->key, "expected data, found none");
	bytes[n] = '\0';
	*out = slice_of(bytes, n);
	return OK;
}

/* KEY-data, else the file that KEY names: data wins, as in client-go. */
static enum err
data_or_file(struct reader *r, const struct block *b, const char *key, struct slice *data, struct source *file)
{
	struct source at;
	const char *text;
	char data_key[64];

	*data = SLICE_NONE;
	snprintf(data_key, sizeof(data_key), "%s-data", key);
	enum err e = string_of(r, b, data_key, &text, &at);
	if (!e)
		e = string_of(r, b, key, &file->file, file);
	if (e || !text)
		return e;
	*file = at;
	return decode_base64(r, &at, text, data);
}

/* A host name as it may stand in SNI, or an address. */
static bool
is_server_name(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 253 && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:") == n;
}

/* RFC 6750 section 2.1 allows fewer bytes; what matters is that a token cannot end its header line. */
static bool
is_token(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return true;
}

bool
kubeconfig_token_trim(struct slice *text)
{
	while (text->n && memchr(" \t\r\n", text->p[text->n - 1], 4))
		text->n--;
	while (text->n && memchr(" \t\r\n", text->p[0], 4))
		*text = slice_of(text->p + 1, text->n - 1);
	return text->n && is_token(*text);
}

static enum err
parse_server(struct reader *r, const struct block *cluster, struct kubeconfig *out)
{
	struct source at;
	struct url url;
	const char *name;

	enum err e = string_of(r, cluster, "server", &out->server, &at);
	if (e)
		return e;
	if (!out->server)
		return REFUSE(r, cluster->node->line, at.key, "expected the apiserver's https URL, found none");
	if (url_parse(slice_str(out->server), &url) || strchr(out->server, '?'))
		return REFUSE(r, at.line, at.key, "expected an https URL without user, query or fragment, found \"%s\"", out->server);
	if (!url.tls)
		return REFUSE(r, at.line, at.key, "is refused: expected https, found \"%s\" (credentials would travel in the clear)", out->server);
	if (url.port == 0)
		return REFUSE(r, at.line, at.key, "expected a port from 1 to 65535");
	while (url.path.n && url.path.p[url.path.n - 1] == '/')
		url.path.n--;
	out->host = arena_strndup(r->arena, url.host.p, url.host.n);
	out->port = url.port;
	out->base_path = arena_strndup(r->arena, url.path.p ? url.path.p : "", url.path.n);
	out->host_header = arena_strndup(r->arena, url.authority.p, url.authority.n);
	if (!out->host || !out->base_path || !out->host_header) {
		config_error_set(r->e, r->name, at.line, at.key, "out of memory");
		return E_NOMEM;
	}
	e = string_of(r, cluster, "tls-server-name", &name, &at);
	if (e)
		return e;
	out->tls_server_name = name ? name : out->host;
	if (!is_server_name(out->tls_server_name))
		return REFUSE(r, at.line, at.key, "expected a host name, found \"%s\"", out->tls_server_name);
	return OK;
}

static enum err
parse_cluster(struct reader *r, const struct block *cluster, struct kubeconfig *out, struct sources *files)
{
	struct source at;
	const char *insecure;

	enum err e = check_refused(r, cluster, refused_cluster_keys);
	if (!e)
		e = string_of(r, cluster, "insecure-skip-tls-verify", &insecure, &at);
	if (e)
		return e;
	if (insecure && strcmp(insecure, "false") != 0)
		return REFUSE(r, at.line, at.key,
			"is refused: without verification anyone on the path could take the gateway's credential; use certificate-authority");
	e = parse_server(r, cluster, out);
	if (!e)
		e = data_or_file(r, cluster, "certificate-authority", &out->ca_pem, &files->ca);
	return e;
}

static enum err
parse_user(struct reader *r, const struct block *user, struct kubeconfig *out, struct sources *files)
{
	struct source token;

	enum err e = check_refused(r, user, refused_user_keys);
	if (!e)
		e = data_or_file(r, user, "client-certificate", &out->cert_pem, &files->cert);
	if (!e)
		e = data_or_file(r, user, "client-key", &out->key_pem, &files->key);
	if (!e)
		e = string_of(r, user, "token", &out->token, &token);
	if (!e)
		e = string_of(r, user, "tokenFile", &files->token.file, &files->token);
	if (e)
		return e;
	bool cert = out->cert_pem.n || files->cert.file, key = out->key_pem.n || files->key.file;
	if (cert && !key)
		return REFUSE(r, files->cert.line, files->cert.key, "needs its key: client-key or client-key-data");
	if (key && !cert)
		return REFUSE(r, files->key.line, files->key.key, "needs its certificate: client-certificate or client-certificate-data");
	if (out->token && !is_token(slice_str(out->token)))
		return REFUSE(r, token.line, token.key, "expected printable characters without blanks");
	if (!cert && !out->token && !files->token.file)
		return REFUSE(r, user->node->line, user->path,
			"has no credential: expected client-certificate and client-key, token or tokenFile");
	return OK;
}

static enum err
parse(struct reader *r, struct slice text, const char *context, struct kubeconfig *out, struct sources *files)
{
	struct yaml_node *tree;
	struct block root = { NULL, "" }, at, cluster, user;
	const char *kind, *version, *cluster_name, *user_name;

	*out = (struct kubeconfig){ 0 };
	*files = (struct sources){ 0 };
	enum err e = yaml_parse(r->arena, r->name, text, &tree, r->e);
	if (e)
		return e;
	if (!tree || tree->kind != YAML_MAP)
		return REFUSE(r, tree ? tree->line : 0, NULL, "expected a kubeconfig (a map with clusters, users and contexts)");
	root.node = tree;
	if ((e = string_of(r, &root, "kind", &kind, NULL)) || (e = string_of(r, &root, "apiVersion", &version, NULL)))
		return e;
	if ((kind && strcmp(kind, "Config") != 0) || (version && strcmp(version, "v1") != 0))
		return REFUSE(r, tree->line, "kind", "expected a kubeconfig: kind Config, apiVersion v1");
	if (!context && (e = string_of(r, &root, "current-context", &context, NULL)))
		return e;
	if (!context)
		return REFUSE(r, tree->line, "current-context", "is not set, and no context is named");

	e = find_entry(r, tree, "contexts", "context", context, &at);
	if (!e)
		e = string_of(r, &at, "cluster", &cluster_name, NULL);
	if (!e)
		e = string_of(r, &at, "user", &user_name, NULL);
	if (e)
		return e;
	if (!cluster_name || !user_name)
		return REFUSE(r, at.node->line, at.path, "expected a cluster and a user");
	e = find_entry(r, tree, "clusters", "cluster", cluster_name, &cluster);
	if (!e)
		e = find_entry(r, tree, "users", "user", user_name, &user);
	if (!e)
		e = parse_cluster(r, &cluster, out, files);
	if (!e)
		e = parse_user(r, &user, out, files);
	return e;
}

/* path as it stands in the kubeconfig: relative to the folder that the kubeconfig is in. */
static const char *
beside(struct reader *r, const char *kubeconfig, const char *path)
{
	const char *slash = strrchr(kubeconfig, '/');

	if (*path == '/' || !slash)
		return path;
	return arena_printf(r->arena, "%.*s%s", (int)(slash - kubeconfig + 1), kubeconfig, path);
}

static enum err
read_source(struct reader *r, struct file_watch *watch, const char *kubeconfig, const struct source *s, size_t bytes_max, const char **path, struct slice *out)
{
	struct buf bytes;

	*path = beside(r, kubeconfig, s->file);
	if (!*path) {
		config_error_set(r->e, r->name, s->line, s->key, "out of memory");
		return E_NOMEM;
	}
	buf_init(&bytes, bytes_max);
	enum err e = watch ? file_watch_note(watch, *path) : OK;
	if (!e)
		e = file_read(*path, bytes_max, &bytes);
	if (e)
		config_error_set(r->e, r->name, s->line, s->key, "cannot read %s: %s", *path,
			e == E_SYSTEM ? strerrordesc_np(errno) : err_name(e));
	if (!e && bytes.n == 0) {
		e = REFUSE(r, s->line, s->key, "%s is empty", *path);
	} else if (!e) {
		*out = arena_slice(r->arena, buf_slice(&bytes));
		if (!out->p) {
			config_error_set(r->e, r->name, s->line, s->key, "out of memory");
			e = E_NOMEM;
		}
	}
	buf_fini_secret(&bytes);
	return e;
}

static enum err
read_token(struct reader *r, const char *path, const struct source *s, struct kubeconfig *out)
{
	struct slice text;

	/* Not noted: kubelets replace it by the hour, and credentials.h follows it without a reload. */
	enum err e = read_source(r, NULL, path, s, KUBECONFIG_TOKEN_BYTES_MAX, &out->token_file, &text);
	if (e)
		return e;
	if (!kubeconfig_token_trim(&text))
		return REFUSE(r, s->line, s->key, "expected one token in %s", out->token_file);
	out->token = arena_strndup(r->arena, text.p, text.n);
	if (!out->token)
		config_error_set(r->e, r->name, s->line, s->key, "out of memory");
	return out->token ? OK : E_NOMEM;
}

static enum err
read_sources(struct reader *r, const char *path, struct sources *files, struct kubeconfig *out)
{
	const char *unused;
	enum err e = OK;

	if (files->ca.file)
		e = read_source(r, r->watch, path, &files->ca, PEM_BYTES_MAX, &unused, &out->ca_pem);
	if (!e && files->cert.file)
		e = read_source(r, r->watch, path, &files->cert, PEM_BYTES_MAX, &unused, &out->cert_pem);
	if (!e && files->key.file)
		e = read_source(r, r->watch, path, &files->key, PEM_BYTES_MAX, &unused, &out->key_pem);
	if (!e && files->token.file)
		e = read_token(r, path, &files->token, out);
	return e;
}
