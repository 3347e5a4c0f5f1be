#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include "authd/config_internal.h"
#include "authd/keys.h"
#include "oidc/identity.h"
#include "shared/certificate.h"
#include "shared/file.h"
#include "shared/log.h"
#include "shared/process.h"
#include "shared/sandbox.h"

#define KEY_FILE_BYTES_MAX 4096
#define NOT_CARRIED "is known to dex and not carried by authd yet"

int
authd_config_line(const struct yaml_node *root, const char *key)
{
	int line;

	config_path_node(root, key, true, &line);
	return line;
}

enum err
authd_config_refuse(const struct config_check *k, const char *key, const char *fmt, ...)
{
	char text[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	config_error_set(k->e, k->f->c.file, authd_config_line(k->f->root, key), key, "%s", text);
	return E_FORMAT;
}

enum err
authd_config_no_memory(const struct config_check *k)
{
	config_error_set(k->e, k->f->c.file, 0, NULL, "out of memory");
	return E_NOMEM;
}

enum err
authd_config_read_pem(const struct config_check *k, const char *key, const char *path, struct slice *out)
{
	struct buf bytes;

	buf_init(&bytes, CONFIG_PEM_BYTES_MAX);
	enum err e = file_read(path, CONFIG_PEM_BYTES_MAX, &bytes);
	if (e != OK) {
		e = authd_config_refuse(k, key, "cannot read %s: %s", path, e == E_SYSTEM ? strerrordesc_np(errno) : err_name(e));
	} else {
		*out = arena_slice(&k->f->c.arena, buf_slice(&bytes));
		e = out->p ? OK : authd_config_no_memory(k);
	}
	buf_fini_secret(&bytes);
	return e;
}

enum err
authd_config_check_value(const struct config_check *k, const char *key, const char *text)
{
	if (!text || identity_value_ok(slice_str(text)))
		return OK;
	return authd_config_refuse(k, key, "expected a text of 1 to %d bytes without control characters and without blanks at its ends",
		IDENTITY_VALUE_BYTES_MAX);
}

void
authd_config_drop_empty(const char **const *texts)
{
	for (; *texts; texts++)
		if (**texts && ***texts == '\0')
			**texts = NULL;
}

/* A browser writes it in lower case and leaves out the scheme's own port: anything else would never be equal to what it sends. */
static bool
is_browser_origin(const struct url *u)
{
	for (size_t i = 0; i < u->origin.n; i++)
		if (u->origin.p[i] >= 'A' && u->origin.p[i] <= 'Z')
			return false;
	return !slice_has_suffix(u->authority, u->tls ? SLICE_LIT(":443") : SLICE_LIT(":80"));
}

bool
authd_config_is_origin(const char *text)
{
	struct url u;
	return url_parse(slice_str(text), &u) == OK && u.origin.n == strlen(text) && is_browser_origin(&u);
}

/* ---- issuer, storage ---- */

/* Compared and cut byte by byte, so only bytes that nobody writes in two ways. */
static bool
is_plain_path(const char *s)
{
	size_t n = strlen(s);

	if (n == 0)
		return true;
	if (s[0] != '/' || s[n - 1] == '/' || strstr(s, "//") || strstr(s, "/./") || strstr(s, "/../"))
		return false;
	if (strcmp(s + n - 2, "/.") == 0 || (n > 2 && strcmp(s + n - 3, "/..") == 0))
		return false;
	return strspn(s, "/ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") == n;
}

static enum err
check_issuer(struct config_check *k)
{
	struct authd_config *c = &k->f->c;
	struct url *u = &c->issuer_url;

	if (url_parse(slice_str(c->issuer), u) != OK || strchr(c->issuer, '?'))
		return authd_config_refuse(k, "issuer",
			"expected an http or https URL without user, query or fragment, such as https://gateway.example.com/oidc, found \"%s\"", c->issuer);
	if (!is_browser_origin(u))
		return authd_config_refuse(k, "issuer",
			"expected scheme and host in lower case and no port that the scheme implies, as browsers write them, found \"%s\"", c->issuer);
	if (!is_plain_path(u->path.p))
		return authd_config_refuse(k, "issuer",
			"expected a path without '/' at its end, empty or dot segments and %%-escapes: clients compare the issuer byte by byte; found \"%s\"",
			c->issuer);
	return OK;
}

/* Its keys, kept in the configuration as its other secrets are. */
static enum err
check_key_file(struct config_check *k)
{
	const char *path = k->f->c.storage.key_file, *why;
	struct vault_keys *keys = arena_alloc(&k->f->c.arena, sizeof(*keys));
	struct buf bytes;
	struct stat st;
	enum err e;

	if (!keys)
		return authd_config_no_memory(k);
	buf_init(&bytes, KEY_FILE_BYTES_MAX);
	e = file_read(path, KEY_FILE_BYTES_MAX, &bytes);
	if (e == E_NOMEM)
		e = authd_config_no_memory(k);
	else if (e != OK)
		e = authd_config_refuse(k, "storage.config.keyFile", "cannot read %s: %s", path, e == E_SYSTEM ? strerrordesc_np(errno) : "it is no key file");
	else if (stat(path, &st) == 0 && (st.st_mode & (S_IROTH | S_IWOTH)))
		e = authd_config_refuse(k, "storage.config.keyFile", "everybody on this machine may read or change %s: chmod o= it", path);
	else if ((e = vault_keys_parse(buf_slice(&bytes), keys, &why)) == E_FORMAT)
		e = authd_config_refuse(k, "storage.config.keyFile", "expected %s in %s", why, path);
	buf_fini_secret(&bytes);
	k->f->c.storage.keys = keys;
	return e;
}

static enum err
check_storage(struct config_check *k)
{
	if (strcmp(k->f->c.storage.type, "lmdb") != 0)
		return authd_config_refuse(k, "storage.type",
			"expected `type: lmdb` with `config: {path: /var/lib/gatehouse}`: authd keeps its state in a folder of its own; found \"%s\"",
			k->f->c.storage.type);
	enum err e = authd_config_bind_storage(k);
	if (e == OK)
		authd_config_drop_empty((const char **[]){ &k->f->c.storage.key_file, NULL });
	return e == OK && k->f->c.storage.key_file ? check_key_file(k) : e;
}

/* ---- expiry, signer, log, sessions, console ---- */

enum err
authd_config_check_lifetime(const struct config_check *k, const char *key, int64_t lifetime_ms)
{
	if (lifetime_ms / k->f->c.expiry.signing_keys_ms <= KEYS_RETIRED_MAX)
		return OK;
	return authd_config_refuse(k, key, "expected at most %d times the period in which signing keys are rotated: so many keys would have to stay published",
		KEYS_RETIRED_MAX);
}

static enum err
check_signer(struct config_check *k)
{
	if (strcmp(k->f->signer_type, "local") != 0)
		return authd_config_refuse(k, "signer.type", "expected \"local\", found \"%s\"%s", k->f->signer_type,
			strcmp(k->f->signer_type, "vault") == 0 ? ", which " NOT_CARRIED : "");
	enum err e = authd_config_bind_signer(k);
	/* Each retired key stays published as long as its tokens live. */
	return e == OK ? authd_config_check_lifetime(k, "expiry.idTokens", k->f->c.expiry.id_tokens_ms) : e;
}

/* What dex calls client_remote_addr is our address; who leaves out the one means the other. */
static enum err
check_log_exclude(struct config_check *k)
{
	struct config_strings *given = &k->f->c.log.exclude;
	const char **keys = arena_alloc(&k->f->c.arena, (given->n + 1) * sizeof(*keys));
	bool address = false;

	if (!keys)
		return authd_config_no_memory(k);
	for (size_t i = 0; i < given->n; i++) {
		keys[i] = given->items[i];
		address |= strcmp(keys[i], "client_remote_addr") == 0;
		if (!*keys[i])
			return authd_config_refuse(k, KEY("logger.excludeFields[%zu]", i), "expected the name of a field, such as email, found nothing");
	}
	if (address)
		keys[given->n++] = "address";
	given->items = keys;
	return OK;
}

static enum err
check_log(struct config_check *k)
{
	static const char *const levels[] = { [LOG_LEVEL_DEBUG] = "debug", [LOG_LEVEL_INFO] = "info", [LOG_LEVEL_WARN] = "warn",
		[LOG_LEVEL_ERROR] = "error" };
	static const char *const formats[] = { [LOG_FORMAT_TEXT] = "text", [LOG_FORMAT_JSON] = "json" };
	struct config_file *f = k->f;

	f->c.log.level = f->c.log.format = -1;
	for (int i = 0; i < 4; i++) /* dex takes INFO too */
		if (slice_eq_nocase(slice_str(f->log_level), slice_str(levels[i])))
			f->c.log.level = i;
	for (int i = 0; i < 2; i++)
		if (slice_eq_nocase(slice_str(f->log_format), slice_str(formats[i])))
			f->c.log.format = i;
	if (f->c.log.level < 0)
		return authd_config_refuse(k, "logger.level", "expected debug, info, warn or error, found \"%s\"", f->log_level);
	if (f->c.log.format < 0)
		return authd_config_refuse(k, "logger.format", "expected text or json, found \"%s\"", f->log_format);
	return check_log_exclude(k);
}

static enum err
check_sessions(struct config_check *k)
{
	struct authd_config *c = &k->f->c;

	authd_config_drop_empty((const char **[]){ &c->sessions.cookie_name, NULL });
	if (!c->sessions.cookie_name) /* __Host-: the browser takes it from this very host only, and only over https */
		c->sessions.cookie_name = c->issuer_url.tls ? "__Host-gatehouse" : "gatehouse";
	if (!config_is_token(c->sessions.cookie_name))
		return authd_config_refuse(k, "sessions.cookieName", "expected the name of a cookie, found \"%s\"", c->sessions.cookie_name);
	if (!c->issuer_url.tls && strncmp(c->sessions.cookie_name, "__", 2) == 0)
		return authd_config_refuse(k, "sessions.cookieName", "browsers take \"%s\" over https only, and the issuer is http",
			c->sessions.cookie_name);
	if (c->sessions.valid_if_not_used_for_ms > c->sessions.absolute_lifetime_ms)
		return authd_config_refuse(k, "sessions.validIfNotUsedFor", "expected at most sessions.absoluteLifetime");
	return OK;
}

static enum err
check_revocations(struct config_check *k)
{
	struct authd_config *c = &k->f->c;
	const char *key = "revocations.secretFile", *path = c->revocations.secret_file, *why;

	if (!path)
		return OK;
	switch (bearer_file_read(path, &c->arena, &c->revocations.secrets, &why)) {
	case OK:
		return OK;
	case E_NOMEM:
		return authd_config_no_memory(k);
	case E_FORMAT:
		return authd_config_refuse(k, key, "%s: %s", path, why);
	default:
		return authd_config_refuse(k, key, "cannot read %s: %s", path, strerrordesc_np(errno));
	}
}

/* RFC 1123 label, as Kubernetes names are. */
static bool
is_dns_label(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 63 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n && s[0] != '-' && s[n - 1] != '-';
}

static enum err
check_console(struct config_check *k)
{
	struct authd_config *c = &k->f->c;
	char why[CERTIFICATE_WHY_BYTES];

	authd_config_drop_empty((const char **[]){ &c->console.gateway, &c->console.certificate_authority, &c->console.client_id, NULL });
	if (!c->console.gateway) {
		c->console.gateway = arena_strndup(&c->arena, c->issuer_url.origin.p, c->issuer_url.origin.n);
		if (!c->console.gateway)
			return authd_config_no_memory(k);
	}
	if (!authd_config_is_origin(c->console.gateway))
		return authd_config_refuse(k, "console.gateway",
			"expected scheme and host of the gateway as browsers write them, such as https://gateway.example.com, found \"%s\"", c->console.gateway);
	if (c->console.certificate_authority) {
		enum err e = authd_config_read_pem(k, "console.certificateAuthority", c->console.certificate_authority,
			&c->console.certificate_authority_pem);
		if (e != OK)
			return e;
		if (certificate_check_ca(c->console.certificate_authority_pem, k->now_s, why) != OK)
			return authd_config_refuse(k, "console.certificateAuthority", "%s %s", c->console.certificate_authority, why);
	}
	const struct client *client = c->console.client_id ? authd_config_client(c, slice_str(c->console.client_id)) : NULL;
	if (c->console.client_id && (!client || !client->public))
		return authd_config_refuse(k, "console.clientID", "expected the id of a public client in staticClients, found \"%s\"",
			c->console.client_id);
	for (size_t i = 0; i < c->console.clusters.n; i++) {
		if (!is_dns_label(c->console.clusters.items[i]))
			return authd_config_refuse(k, KEY("console.clusters[%zu]", i), "expected a DNS label (a-z, 0-9, '-'), found \"%s\"",
				c->console.clusters.items[i]);
		for (size_t j = 0; j < i; j++)
			if (strcmp(c->console.clusters.items[i], c->console.clusters.items[j]) == 0)
				return authd_config_refuse(k, KEY("console.clusters[%zu]", i), "\"%s\" occurs twice", c->console.clusters.items[i]);
	}
	return OK;
}

static enum err
check_user(struct config_check *k)
{
	authd_config_drop_empty((const char **[]){ &k->f->c.user, NULL });
	switch (k->f->c.user ? process_may_become(k->f->c.user) : OK) {
	case E_EMPTY:
		return authd_config_refuse(k, "user", "there is no user called \"%s\"", k->f->c.user);
	case E_DENIED:
		return authd_config_refuse(k, "user", "only root can become \"%s\"", k->f->c.user);
	case E_SYSTEM:
		return authd_config_refuse(k, "user", "\"%s\" cannot be looked up: %s", k->f->c.user, strerrordesc_np(errno));
	default:
		return OK;
	}
}

static enum err
check_sandbox(struct config_check *k)
{
	const char *lack = sandbox_lack();

	return k->f->c.sandbox && lack ? authd_config_refuse(k, "sandbox", "expected \"available\" on this machine: %s", lack) : OK;
}

enum err
authd_config_check(struct config_check *k)
{
	static enum err (*const steps[])(struct config_check *k) = { check_issuer, check_storage, authd_config_check_web, authd_config_check_oauth2, check_signer, check_log,
		authd_config_check_connectors, authd_config_check_clients, authd_config_check_passwords, check_sessions, authd_config_check_telemetry, authd_config_check_frontend,
		check_revocations, check_console, check_user, check_sandbox };
	enum err e = OK;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && e == OK; i++)
		e = steps[i](k);
	if (e == OK && !k->f->c.connectors.n && !k->f->c.enable_password_db)
		e = authd_config_refuse(k, "connectors", "expected a connector, or enablePasswordDB: true: without one nobody can sign in");
	return e;
}
