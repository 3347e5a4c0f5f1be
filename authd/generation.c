#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include "authd/app.h"
#include "authd/github.h"
#include "authd/template_pages.h"
#include "oidc/authorization_request.h"
#include "oidc/discovery.h"

#define HOST_PREFIX "__Host-"

/* Cookie names that start with __Host- are refused by browsers unless Secure, so they only work where the issuer is https. */
static const char *
cookie_name(const struct generation *g, const char *name)
{
	bool host = strncmp(name, HOST_PREFIX, sizeof HOST_PREFIX - 1) == 0;

	return host && !g->secure ? name + sizeof HOST_PREFIX - 1 : name;
}

static enum err
discovery_prepare(struct generation *g, bool es256, struct slice *to)
{
	static const char *const response_names[] = { [RESPONSE_CODE] = "code", [RESPONSE_ID_TOKEN] = "id_token", [RESPONSE_ID_TOKEN | RESPONSE_TOKEN] = "id_token token",
		[RESPONSE_CODE | RESPONSE_ID_TOKEN] = "code id_token", [RESPONSE_CODE | RESPONSE_TOKEN] = "code token",
		[RESPONSE_CODE | RESPONSE_ID_TOKEN | RESPONSE_TOKEN] = "code id_token token" };
	const char *response_types[sizeof response_names / sizeof response_names[0] + 1] = { NULL };
	size_t response_type_n = 0;
	static const char *const response_modes[] = { "query", "fragment", "form_post", NULL };
	static const char *const scopes[] = { "openid", "email", "profile", "groups", "offline_access", "federated:id", NULL };
	static const char *const claims[] = { "iss", "sub", "aud", "azp", "exp", "iat", "jti", "nonce", "auth_time", "sid", "at_hash", "c_hash", "email",
		"email_verified", "groups", "name", "preferred_username", "federated_claims", NULL };
	const char *grant_types[GRANT_TYPES + 1] = { NULL };
	size_t grant_type_n = 0;
	const char *algs[] = { "RS256", es256 ? "ES256" : NULL, NULL }; /* RS256: Discovery 1.0 section 3 wants it in any case, and any client may ask for it */
	const char *methods[] = { "S256", g->config->oauth2.pkce_plain ? "plain" : NULL, NULL };
	struct discovery_offer o = { .issuer = g->config->issuer, .auth_path = "/auth", .token_path = "/token", .keys_path = "/keys",
		.userinfo_path = "/userinfo", .introspect_path = "/token/introspect", .revoke_path = "/token/revoke", .logout_path = "/logout",
		.response_types = response_types, .grant_types = grant_types, .algs = algs, .pkce_methods = methods,
		.scopes = scopes, .claims = claims, .response_modes = response_modes, .backchannel_logout = true };
	struct buf out;

	for (size_t i = 0; i < sizeof response_names / sizeof response_names[0]; i++)
		if (response_names[i] && (g->config->oauth2.response_types >> i & 1))
			response_types[response_type_n++] = response_names[i];
	for (size_t i = 0; i < GRANT_TYPES; i++)
		if (g->config->oauth2.grants & GRANT_BIT(i))
			grant_types[grant_type_n++] = grant_type_name((enum grant_type)i);
	if (g->config->oauth2.grants & GRANT_BIT(GRANT_DEVICE_CODE))
		o.device_path = "/device/code";
	buf_init(&out, DISCOVERY_BYTES_MAX);
	discovery_print(&o, &out);
	if (buf_ok(&out))
		*to = arena_slice(&g->arena, buf_slice(&out));
	buf_fini(&out);
	return to->p ? OK : E_NOMEM;
}

/* Only what parses as a certificate is taken over: a private key in the same file stays where it is. */
static size_t
pem_certificates(BIO *in, BIO *out)
{
	size_t n = 0;
	X509 *x;

	while ((x = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL) {
		n += PEM_write_bio_X509(out, x) == 1;
		X509_free(x);
	}
	ERR_clear_error();
	return n;
}

static struct slice
certificates_of(struct arena *arena, struct slice pem)
{
	struct slice found = SLICE_NONE;
	BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
	BIO *out = BIO_new(BIO_s_mem());
	char *p;

	if (in && out && pem_certificates(in, out) > 0) {
		long n = BIO_get_mem_data(out, &p);
		found = arena_slice(arena, slice_of(p, (size_t)n));
	}
	BIO_free(in);
	BIO_free(out);
	return found;
}

static enum err
gateway_ca_load(struct generation *g, char *why, size_t why_n)
{
	const char *path = g->config->console.certificate_authority;

	if (!path)
		return OK;
	g->gateway_ca = certificates_of(&g->arena, g->config->console.certificate_authority_pem);
	if (g->gateway_ca.n)
		return OK;
	snprintf(why, why_n, "%s: console.certificateAuthority: expected PEM certificates in %s, found none", g->config->file, path);
	return E_FORMAT;
}

static enum err
connectors_make(struct generation *g, struct fetcher *fetcher, struct counters *counters)
{
	const struct config_list *list = &g->config->connectors;
	const struct authd_connector_config *configs = list->items;

	g->connectors = arena_alloc(&g->arena, (list->n + 1) * sizeof(struct connector *));
	if (!g->connectors)
		return E_NOMEM;
	for (size_t i = 0; fetcher && i < list->n; i++) {
		struct connector *c = github_connector_new(&configs[i], fetcher, counters); /* the one type that a configuration may name */
		if (!c)
			return E_NOMEM;
		g->connectors[g->connector_n++] = c;
	}
	return OK;
}

static enum err
templates_try(struct generation *g, char *why, size_t why_n)
{
	char what[300] = "";
	enum err e = template_pages_try(g, what, sizeof what);

	if (e == E_FORMAT || e == E_LIMIT)
		snprintf(why, why_n, "%s: frontend.dir: cannot use templates/%s", g->config->file, what);
	return e;
}

static enum err
generation_prepare(struct generation *g, struct fetcher *fetcher, struct counters *counters, char *why, size_t why_n)
{
	enum err e;

	g->path = g->config->issuer_url.path;
	g->origin = g->config->issuer_url.origin;
	g->secure = g->config->issuer_url.tls;
	g->session_cookie = cookie_name(g, g->config->sessions.cookie_name);
	g->login_cookie = cookie_name(g, HOST_PREFIX "gatehouse-login");
	e = gateway_ca_load(g, why, why_n);
	if (e == OK)
		e = templates_try(g, why, why_n);
	if (e == OK)
		e = discovery_prepare(g, false, &g->discovery[0]);
	if (e == OK)
		e = discovery_prepare(g, true, &g->discovery[1]);
	if (e == OK)
		e = connectors_make(g, fetcher, counters);
	if (e == E_NOMEM)
		snprintf(why, why_n, "%s: out of memory", g->config->file);
	return e;
}

enum err
app_generation_load(const char *config_path, const struct clock *clock, struct fetcher *fetcher, struct counters *counters, struct generation **out,
	char *why, size_t why_n)
{
	struct config_error ce = { "" };
	struct generation *g = calloc(1, sizeof *g);
	enum err e;

	if (!g) {
		snprintf(why, why_n, "%s: out of memory", config_path);
		return E_NOMEM;
	}
	atomic_init(&g->refs, 1);
	arena_init(&g->arena, 0);
	e = authd_config_load(config_path, clock, &g->config, &ce);
	if (e != OK) {
		g->config = NULL;
		snprintf(why, why_n, "%s", ce.text);
	} else {
		e = generation_prepare(g, fetcher, counters, why, why_n);
	}
	if (e == OK)
		*out = g;
	else
		app_generation_free(g);
	return e;
}

static bool
text_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool
keys_same(const struct vault_keys *a, const struct vault_keys *b)
{
	return a && b ? strcmp(a->items[0].id, b->items[0].id) == 0 : a == b;
}

enum err
app_generation_may_follow(const struct generation *old, const struct generation *new, char *why, size_t why_n)
{
	const char *key = !text_same(old->config->storage.path, new->config->storage.path) ? "storage.config.path" :
		!keys_same(old->config->storage.keys, new->config->storage.keys) ? "storage.config.keyFile" :
		!text_same(old->config->user, new->config->user) ? "user" : NULL;

	if (!key)
		return OK;
	snprintf(why, why_n, "%s: %s: a change needs a restart", new->config->file, key);
	return E_CONFLICT;
}

size_t
app_generation_listeners(const struct generation *g, struct server_listen out[SERVER_LISTENERS_MAX])
{
	const struct authd_config *c = g->config;
	size_t n = 0;

	if (c->web.unix_path)
		out[n++] = (struct server_listen){ .kind = SERVER_UNIX, .address = c->web.unix_path };
	out[n++] = (struct server_listen){ .kind = SERVER_CTL, .address = c->web.ctl_path };
	if (c->web.http)
		out[n++] = (struct server_listen){ .kind = SERVER_HTTP, .address = c->web.http };
	if (c->web.https)
		out[n++] = (struct server_listen){ .kind = SERVER_HTTPS, .address = c->web.https, .cert_pem = c->web.tls_cert_pem.p,
			.key_pem = c->web.tls_key_pem.p, .tls12_off = c->web.tls_min_version == 1,
			.tls13_off = c->web.tls_max_version == 0 };
	if (c->telemetry_http)
		out[n++] = (struct server_listen){ .kind = SERVER_TELEMETRY, .address = c->telemetry_http };
	return n;
}

void
app_generation_free(struct generation *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->connector_n; i++)
		g->connectors[i]->ops->free(g->connectors[i]);
	authd_config_free(g->config);
	arena_fini(&g->arena);
	free(g);
}

void
app_generation_release(struct generation *g)
{
	if (g && atomic_fetch_sub(&g->refs, 1) == 1)
		app_generation_free(g);
}

struct connector *
app_generation_connector(const struct generation *g, struct slice id)
{
	for (size_t i = 0; i < g->connector_n; i++)
		if (slice_eq_str(id, g->connectors[i]->id))
			return g->connectors[i];
	return NULL;
}

bool
app_generation_connector_allowed(const struct generation *g, struct slice id, const struct client *client, unsigned grants)
{
	const struct authd_connector_config *configs = g->config->connectors.items;
	bool exists = slice_eq_str(id, AUTHD_PASSWORD_CONNECTOR) && g->config->enable_password_db;

	if (!exists && !app_generation_connector(g, id))
		return false;
	for (size_t i = 0; i < g->config->connectors.n; i++)
		if (slice_eq_str(id, configs[i].id) && configs[i].grants && (configs[i].grants & grants) != grants)
			return false;
	if (!client || client->allowed_connector_n == 0)
		return true;
	for (size_t i = 0; i < client->allowed_connector_n; i++)
		if (slice_eq_str(id, client->allowed_connectors[i]))
			return true;
	return false;
}

bool
app_generation_grant_allowed(const struct generation *g, enum grant_type grant, const struct client *client)
{
	if (!(g->config->oauth2.grants & GRANT_BIT(grant)))
		return false;
	if (client->grant_types)
		return client->grant_types & GRANT_BIT(grant);
	/* As in dex: a client of the device flow says so among its redirect URIs, or has none and nothing to keep secret. */
	return grant != GRANT_DEVICE_CODE || client_has_device_callback(client) || (client->public && client->redirect_uri_n == 0);
}
