#include <stdlib.h>
#include "authd/config_internal.h"
#include "authd/keys.h"
#include "authd/password.h"

#define CONFIG_BYTES_MAX (64u << 20) /* the file, its tree, and the PEM files that it names */

static const char *const sandbox_words[] = { "available", "required", NULL };
static const char *const tls_versions[] = { "1.2", "1.3", NULL };
static const char *const algorithms[] = { "RS256", "ES256", NULL };
static const enum jws_alg algorithm_values[] = { JWS_RS256, JWS_ES256 };
static const char *const subjects[] = { "encoded", "plain", NULL };
static const char *const team_name_fields[] = { "name", "slug", "both", NULL };

/* One row each: key, type, member of the struct that the outermost table describes, then what differs from zero. Blocks are bound in
 * place, so their rows count offsets from the same struct. */
#define ROW(key, kind, in, member, how, ...) { .name = (key), .type = (kind), .offset = offsetof(struct in, member), .flags = (how), __VA_ARGS__ }
#define BLOCK(key, rows, how) { .name = (key), .type = CONFIG_BLOCK, .flags = (how), .table = &(rows) }
#define PLAIN 0
#define NEEDED CONFIG_REQUIRED
#define EXPANDED CONFIG_EXPAND_ENV
#define END { .name = NULL }
#define TABLE(name, ...) \
	static const struct config_table name = { .fields = (const struct config_field[]){ __VA_ARGS__, END }, .ignore_case = true }
#define ITEMS(name, in, ...) \
	static const struct config_table name = { .fields = (const struct config_field[]){ __VA_ARGS__, END }, .ignore_case = true, \
		.size = sizeof(struct in), .line_offset = offsetof(struct in, line) }

#define SECOND_MS 1000
#define DAY_MS (INT64_C(86400) * SECOND_MS)
#define YEAR_MS (365 * DAY_MS)

/* clang-format off */
TABLE(storage_table,
	ROW("type", CONFIG_STRING, config_file, c.storage.type, CONFIG_REQUIRED),
	ROW("config", CONFIG_NODE, config_file, storage_config, PLAIN));
TABLE(lmdb_table,
	ROW("path", CONFIG_STRING, config_file, c.storage.path, CONFIG_REQUIRED | CONFIG_EXPAND_ENV),
	ROW("keyFile", CONFIG_STRING, config_file, c.storage.key_file, CONFIG_EXPAND_ENV));

const char *const authd_config_web_headers[AUTHD_WEB_HEADERS] = { "Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "X-XSS-Protection",
	"Strict-Transport-Security" };
TABLE(web_headers_table,
	ROW("Content-Security-Policy", CONFIG_STRING, config_file, c.web.headers[0], PLAIN),
	ROW("X-Frame-Options", CONFIG_STRING, config_file, c.web.headers[1], PLAIN),
	ROW("X-Content-Type-Options", CONFIG_STRING, config_file, c.web.headers[2], PLAIN),
	ROW("X-XSS-Protection", CONFIG_STRING, config_file, c.web.headers[3], PLAIN),
	ROW("Strict-Transport-Security", CONFIG_STRING, config_file, c.web.headers[4], PLAIN));
TABLE(client_ip_table,
	ROW("header", CONFIG_STRING, config_file, c.web.client_ip_header, PLAIN),
	ROW("trustedProxies", CONFIG_STRING_LIST, config_file, trusted_proxies, PLAIN));
TABLE(web_table,
	ROW("http", CONFIG_STRING, config_file, c.web.http, PLAIN),
	ROW("https", CONFIG_STRING, config_file, c.web.https, PLAIN),
	ROW("unix", CONFIG_STRING, config_file, c.web.unix_path, PLAIN),
	ROW("ctl", CONFIG_STRING, config_file, c.web.ctl_path, PLAIN),
	ROW("tlsCert", CONFIG_STRING, config_file, c.web.tls_cert, CONFIG_FILE),
	ROW("tlsKey", CONFIG_STRING, config_file, c.web.tls_key, CONFIG_FILE),
	ROW("tlsMinVersion", CONFIG_ENUM, config_file, c.web.tls_min_version, PLAIN, .fallback = "1.2", .words = tls_versions),
	ROW("tlsMaxVersion", CONFIG_ENUM, config_file, c.web.tls_max_version, PLAIN, .fallback = "1.3", .words = tls_versions),
	ROW("allowedOrigins", CONFIG_STRING_LIST, config_file, c.web.allowed_origins, PLAIN),
	ROW("allowedHeaders", CONFIG_STRING_LIST, config_file, c.web.allowed_headers, PLAIN),
	BLOCK("headers", web_headers_table, PLAIN),
	BLOCK("clientRemoteIP", client_ip_table, PLAIN));

TABLE(pkce_table,
	ROW("enforce", CONFIG_BOOL, config_file, c.oauth2.pkce_enforce, PLAIN),
	ROW("codeChallengeMethodsSupported", CONFIG_STRING_LIST, config_file, pkce_methods, PLAIN, .fallback = "[S256]"));
TABLE(oauth2_table,
	ROW("grantTypes", CONFIG_STRING_LIST, config_file, grant_types, PLAIN, 
		.fallback = "[authorization_code, refresh_token, urn:ietf:params:oauth:grant-type:device_code, password]"),
	ROW("responseTypes", CONFIG_STRING_LIST, config_file, response_types, PLAIN, .fallback = "[code]"),
	ROW("skipApprovalScreen", CONFIG_BOOL, config_file, c.oauth2.skip_approval_screen, PLAIN),
	ROW("alwaysShowLoginScreen", CONFIG_BOOL, config_file, c.oauth2.always_show_login_screen, PLAIN),
	ROW("passwordConnector", CONFIG_STRING, config_file, c.oauth2.password_connector, PLAIN),
	BLOCK("pkce", pkce_table, PLAIN));

TABLE(refresh_table,
	ROW("disableRotation", CONFIG_BOOL, config_file, c.expiry.refresh_tokens.disable_rotation, PLAIN),
	ROW("reuseInterval", CONFIG_DURATION, config_file, c.expiry.refresh_tokens.reuse_interval_ms, PLAIN, .fallback = "10s", .max = DAY_MS),
	ROW("absoluteLifetime", CONFIG_DURATION, config_file, c.expiry.refresh_tokens.absolute_lifetime_ms, PLAIN, .fallback = "3960h",
		.max = 10 * YEAR_MS),
	ROW("validIfNotUsedFor", CONFIG_DURATION, config_file, c.expiry.refresh_tokens.valid_if_not_used_for_ms, PLAIN, .fallback = "2160h",
		.max = 10 * YEAR_MS));
TABLE(expiry_table,
	ROW("idTokens", CONFIG_DURATION, config_file, c.expiry.id_tokens_ms, PLAIN, .fallback = "24h", .min = SECOND_MS, .max = YEAR_MS),
	ROW("authRequests", CONFIG_DURATION, config_file, c.expiry.auth_requests_ms, PLAIN, .fallback = "30m", .min = SECOND_MS, .max = DAY_MS),
	ROW("deviceRequests", CONFIG_DURATION, config_file, c.expiry.device_requests_ms, PLAIN, .fallback = "5m", .min = 60 * SECOND_MS, .max = DAY_MS),
	ROW("staleGroups", CONFIG_DURATION, config_file, c.expiry.stale_groups_ms, PLAIN, .fallback = "24h", .max = YEAR_MS),
	ROW("signingKeys", CONFIG_DURATION, config_file, c.expiry.signing_keys_ms, PLAIN, .fallback = "6h", .min = KEYS_PUBLISH_S * SECOND_MS,
		.max = 10 * YEAR_MS),
	BLOCK("refreshTokens", refresh_table, PLAIN));

TABLE(signer_table,
	ROW("type", CONFIG_STRING, config_file, signer_type, PLAIN, .fallback = "local"),
	ROW("config", CONFIG_NODE, config_file, signer_config, PLAIN));
TABLE(local_signer_table,
	ROW("keysRotationPeriod", CONFIG_DURATION, config_file, signer_rotation_ms, EXPANDED, .min = KEYS_PUBLISH_S * SECOND_MS, .max = 10 * YEAR_MS),
	ROW("algorithm", CONFIG_ENUM, config_file, algorithm, EXPANDED, .fallback = "RS256", .words = algorithms));

ITEMS(password_table, authd_password,
	ROW("email", CONFIG_STRING, authd_password, email, NEEDED),
	ROW("hash", CONFIG_STRING, authd_password, hash, CONFIG_SECRET),
	ROW("hashFromEnv", CONFIG_STRING, authd_password, hash_from_env, PLAIN),
	ROW("username", CONFIG_STRING, authd_password, username, PLAIN),
	ROW("name", CONFIG_STRING, authd_password, name, PLAIN),
	ROW("preferredUsername", CONFIG_STRING, authd_password, preferred_username, PLAIN),
	ROW("emailVerified", CONFIG_BOOL, authd_password, email_verified, PLAIN, .fallback = "true"),
	ROW("userID", CONFIG_STRING, authd_password, user_id, PLAIN),
	ROW("groups", CONFIG_STRING_LIST, authd_password, groups, PLAIN));

ITEMS(client_claim_table, config_file_claim,
	ROW("name", CONFIG_STRING, config_file_claim, name, NEEDED),
	ROW("value", CONFIG_STRING, config_file_claim, value, PLAIN),
	ROW("from", CONFIG_STRING, config_file_claim, from, PLAIN));
TABLE(client_refresh_table,
	ROW("absoluteLifetime", CONFIG_DURATION, config_file_client, refresh_absolute_ms, PLAIN, .min = SECOND_MS, .max = 10 * YEAR_MS),
	ROW("validIfNotUsedFor", CONFIG_DURATION, config_file_client, refresh_idle_ms, PLAIN, .min = SECOND_MS, .max = 10 * YEAR_MS));
TABLE(client_expiry_table,
	ROW("idTokens", CONFIG_DURATION, config_file_client, id_tokens_ms, PLAIN, .min = SECOND_MS, .max = YEAR_MS),
	BLOCK("refreshTokens", client_refresh_table, PLAIN));
ITEMS(client_table, config_file_client,
	ROW("id", CONFIG_STRING, config_file_client, id, PLAIN),
	ROW("idEnv", CONFIG_STRING, config_file_client, id_env, PLAIN),
	ROW("secret", CONFIG_STRING, config_file_client, secret, CONFIG_SECRET),
	ROW("secretEnv", CONFIG_STRING, config_file_client, secret_env, PLAIN),
	ROW("name", CONFIG_STRING, config_file_client, name, NEEDED),
	ROW("redirectURIs", CONFIG_STRING_LIST, config_file_client, redirect_uris, PLAIN),
	ROW("postLogoutRedirectURIs", CONFIG_STRING_LIST, config_file_client, post_logout_redirect_uris, PLAIN),
	ROW("backchannelLogoutURI", CONFIG_STRING, config_file_client, backchannel_logout_uri, PLAIN),
	ROW("backchannelLogoutSessionRequired", CONFIG_BOOL, config_file_client, backchannel_session_required, PLAIN),
	ROW("trustedPeers", CONFIG_STRING_LIST, config_file_client, trusted_peers, PLAIN),
	ROW("public", CONFIG_BOOL, config_file_client, public, PLAIN),
	ROW("logoURL", CONFIG_STRING, config_file_client, logo_url, PLAIN),
	ROW("allowedConnectors", CONFIG_STRING_LIST, config_file_client, allowed_connectors, PLAIN),
	ROW("grantTypes", CONFIG_STRING_LIST, config_file_client, grant_types, PLAIN),
	ROW("groups", CONFIG_STRING_LIST, config_file_client, groups, PLAIN),
	ROW("idTokenSignedResponseAlg", CONFIG_STRING, config_file_client, signing_alg, PLAIN),
	ROW("subject", CONFIG_ENUM, config_file_client, subject, PLAIN, .fallback = "encoded", .words = subjects),
	ROW("claims", CONFIG_BLOCK_LIST, config_file_client, claims, PLAIN, .table = &client_claim_table, .max = 32),
	BLOCK("expiry", client_expiry_table, PLAIN));

ITEMS(connector_table, authd_connector_config,
	ROW("type", CONFIG_STRING, authd_connector_config, type, NEEDED),
	ROW("id", CONFIG_STRING, authd_connector_config, id, NEEDED),
	ROW("name", CONFIG_STRING, authd_connector_config, name, NEEDED),
	ROW("config", CONFIG_NODE, authd_connector_config, config, PLAIN),
	ROW("grantTypes", CONFIG_STRING_LIST, authd_connector_config, grant_types, PLAIN));
static const struct config_table github_org_table = {
	.fields = (const struct config_field[]){
		ROW("name", CONFIG_STRING, github_org, name, NEEDED | EXPANDED),
		ROW("teams", CONFIG_STRING_LIST, github_org, teams, EXPANDED), END },
	.ignore_case = true, .size = sizeof(struct github_org) };
TABLE(github_table,
	ROW("clientID", CONFIG_STRING, github_config, client_id, NEEDED | EXPANDED),
	ROW("clientSecret", CONFIG_STRING, github_config, client_secret, NEEDED | EXPANDED | CONFIG_SECRET),
	ROW("redirectURI", CONFIG_STRING, github_config, redirect_uri, NEEDED | EXPANDED),
	ROW("org", CONFIG_STRING, github_config, org, EXPANDED),
	ROW("orgs", CONFIG_BLOCK_LIST, github_config, orgs, EXPANDED, .table = &github_org_table),
	ROW("hostName", CONFIG_STRING, github_config, host_name, EXPANDED),
	ROW("rootCA", CONFIG_STRING, github_config, root_ca, EXPANDED | CONFIG_FILE),
	ROW("teamNameField", CONFIG_ENUM, github_config, team_name_field, EXPANDED, .fallback = "name", .words = team_name_fields),
	ROW("loadAllGroups", CONFIG_BOOL, github_config, load_all_groups, EXPANDED),
	ROW("useLoginAsID", CONFIG_BOOL, github_config, use_login_as_id, EXPANDED),
	ROW("preferredEmailDomain", CONFIG_STRING, github_config, preferred_email_domain, EXPANDED),
	ROW("baseURL", CONFIG_STRING, github_config, base_url, EXPANDED),
	ROW("apiURL", CONFIG_STRING, github_config, api_url, EXPANDED));

TABLE(logger_table,
	ROW("level", CONFIG_STRING, config_file, log_level, PLAIN, .fallback = "info"),
	ROW("format", CONFIG_STRING, config_file, log_format, PLAIN, .fallback = "text"),
	ROW("excludeFields", CONFIG_STRING_LIST, config_file, c.log.exclude, PLAIN));
TABLE(frontend_table,
	ROW("issuer", CONFIG_STRING, config_file, c.frontend.issuer, PLAIN, .fallback = "Gatehouse"),
	ROW("theme", CONFIG_STRING, config_file, c.frontend.theme, PLAIN),
	ROW("logoURL", CONFIG_STRING, config_file, c.frontend.logo_url, PLAIN),
	ROW("dir", CONFIG_STRING, config_file, c.frontend.dir, PLAIN),
	ROW("extra", CONFIG_NODE, config_file, c.frontend.extra, PLAIN));
TABLE(telemetry_table,
	ROW("http", CONFIG_STRING, config_file, c.telemetry_http, PLAIN),
	ROW("enableProfiling", CONFIG_BOOL, config_file, profiling, PLAIN));
TABLE(sessions_table,
	ROW("cookieName", CONFIG_STRING, config_file, c.sessions.cookie_name, PLAIN),
	ROW("absoluteLifetime", CONFIG_DURATION, config_file, c.sessions.absolute_lifetime_ms, PLAIN, .fallback = "24h", .min = SECOND_MS, .max = YEAR_MS),
	ROW("validIfNotUsedFor", CONFIG_DURATION, config_file, c.sessions.valid_if_not_used_for_ms, PLAIN, .fallback = "1h", .min = SECOND_MS,
		.max = YEAR_MS),
	ROW("rememberMeCheckedByDefault", CONFIG_BOOL, config_file, c.sessions.remember_me, PLAIN, .fallback = "true"));
TABLE(revocations_table,
	ROW("secretFile", CONFIG_STRING, config_file, c.revocations.secret_file, NEEDED | CONFIG_FILE));
TABLE(console_table,
	ROW("gateway", CONFIG_STRING, config_file, c.console.gateway, PLAIN),
	ROW("certificateAuthority", CONFIG_STRING, config_file, c.console.certificate_authority, CONFIG_FILE),
	ROW("clientID", CONFIG_STRING, config_file, c.console.client_id, PLAIN),
	ROW("clusters", CONFIG_STRING_LIST, config_file, c.console.clusters, PLAIN));

TABLE(root_table,
	ROW("issuer", CONFIG_STRING, config_file, c.issuer, CONFIG_REQUIRED),
	BLOCK("storage", storage_table, CONFIG_REQUIRED),
	BLOCK("web", web_table, NEEDED),
	BLOCK("oauth2", oauth2_table, PLAIN),
	BLOCK("expiry", expiry_table, PLAIN),
	BLOCK("signer", signer_table, PLAIN),
	BLOCK("logger", logger_table, PLAIN),
	BLOCK("telemetry", telemetry_table, PLAIN),
	BLOCK("frontend", frontend_table, PLAIN),
	ROW("enablePasswordDB", CONFIG_BOOL, config_file, c.enable_password_db, PLAIN),
	ROW("staticPasswords", CONFIG_BLOCK_LIST, config_file, c.passwords, PLAIN, .table = &password_table),
	ROW("staticClients", CONFIG_BLOCK_LIST, config_file, clients, PLAIN, .table = &client_table),
	ROW("connectors", CONFIG_BLOCK_LIST, config_file, c.connectors, PLAIN, .table = &connector_table, .max = 64),
	BLOCK("sessions", sessions_table, PLAIN),
	BLOCK("revocations", revocations_table, PLAIN),
	BLOCK("console", console_table, PLAIN),
	ROW("sandbox", CONFIG_ENUM, config_file, c.sandbox, PLAIN, .fallback = "available", .words = sandbox_words),
	ROW("user", CONFIG_STRING, config_file, c.user, PLAIN));
/* clang-format on */

static enum err
bind_part(struct config_check *k, const struct yaml_node *node, const char *path, const struct config_table *table, void *out)
{
	static const struct yaml_node nothing = { .kind = YAML_MAP };
	struct yaml_node empty = nothing;

	/* An absent block: what it lacks is missing where it would stand. */
	empty.line = authd_config_line(k->f->root, path);
	return config_bind(&k->f->c.arena, k->f->c.file, node ? node : &empty, path, table, out, k->e);
}

enum err
authd_config_bind_storage(struct config_check *k)
{
	return bind_part(k, k->f->storage_config, "storage.config", &lmdb_table, k->f);
}

enum err
authd_config_bind_signer(struct config_check *k)
{
	enum err e = bind_part(k, k->f->signer_config, "signer.config", &local_signer_table, k->f);

	if (e != OK)
		return e;
	k->f->c.alg = algorithm_values[k->f->algorithm];
	if (k->f->signer_rotation_ms)
		k->f->c.expiry.signing_keys_ms = k->f->signer_rotation_ms; /* dex's newer name for it wins */
	return OK;
}

enum err
authd_config_bind_client(struct config_check *k, const struct yaml_node *node, struct config_file_client *out)
{
	return config_bind(&k->f->c.arena, k->f->c.file, node, "", &client_table, out, k->e);
}

enum err
authd_config_bind_github(struct config_check *k, size_t connector)
{
	struct authd_connector_config *c = (struct authd_connector_config *)k->f->c.connectors.items + connector;

	c->github = arena_alloc(&k->f->c.arena, sizeof(*c->github));
	if (!c->github)
		return authd_config_no_memory(k);
	return bind_part(k, c->config, KEY("connectors[%zu].config", connector), &github_table, c->github);
}

struct config_file *
authd_config_file_new(const char *name, struct config_error *e)
{
	struct config_file *f = calloc(1, sizeof(*f));

	e->text[0] = '\0';
	if (f) {
		arena_init(&f->c.arena, CONFIG_BYTES_MAX);
		f->c.file = arena_strdup(&f->c.arena, name);
	}
	if (f && f->c.file)
		return f;
	config_error_set(e, name, 0, NULL, "out of memory");
	if (f)
		authd_config_free(&f->c);
	return NULL;
}

/* f is taken. read: what became of reading its text into root. */
static enum err
finish(struct config_file *f, enum err read, const struct yaml_node *root, const struct clock *clock, struct authd_config **out,
	struct config_error *e)
{
	struct config_check k = { f, clock_now_s(clock), e };
	enum err err = read;

	f->root = root;
	if (err == OK)
		err = authd_config_check_dex(f->c.file, root, e);
	if (err == OK)
		err = config_bind(&f->c.arena, f->c.file, root, "", &root_table, f, e);
	if (err == OK)
		err = authd_config_check(&k);
	if (err == OK) {
		*out = &f->c;
		return OK;
	}
	config_error_set(e, f->c.file, 0, NULL, "%s", err == E_NOMEM ? "out of memory" : err_name(err)); /* keeps a text that is there */
	authd_config_free(&f->c);
	return err;
}

enum err
authd_config_load(const char *path, const struct clock *clock, struct authd_config **out, struct config_error *e)
{
	struct config_file *f = authd_config_file_new(path, e);
	struct yaml_node *root = NULL;

	if (!f)
		return E_NOMEM;
	enum err read = yaml_load(&f->c.arena, path, &root, e);
	return finish(f, read, root, clock, out, e);
}

enum err
authd_config_load_text(const char *name, struct slice text, const struct clock *clock, struct authd_config **out, struct config_error *e)
{
	struct config_file *f = authd_config_file_new(name, e);
	struct yaml_node *root = NULL;

	if (!f)
		return E_NOMEM;
	enum err read = yaml_parse(&f->c.arena, name, text, &root, e);
	return finish(f, read, root, clock, out, e);
}

void
authd_config_free(struct authd_config *c)
{
	if (!c)
		return;
	arena_fini_secret(&c->arena);
	free((struct config_file *)c); /* its first member */
}

int64_t
authd_config_tokens_longest_s(const struct authd_config *c)
{
	int64_t longest_s = c->expiry.id_tokens_ms / 1000;

	for (size_t i = 0; i < c->client_n; i++)
		if (c->clients[i].id_tokens_s > longest_s)
			longest_s = c->clients[i].id_tokens_s;
	return longest_s;
}

const struct client *
authd_config_client(const struct authd_config *c, struct slice id)
{
	for (size_t i = 0; i < c->client_n; i++)
		if (slice_eq_str(id, c->clients[i].id))
			return &c->clients[i];
	return NULL;
}

const struct authd_password *
authd_config_password(const struct authd_config *c, struct slice email)
{
	const struct authd_password *all = c->passwords.items;

	for (size_t i = 0; i < c->passwords.n; i++)
		if (slice_eq_nocase(email, slice_str(all[i].email)))
			return &all[i];
	return NULL;
}

unsigned
authd_config_password_cost(const struct authd_config *c)
{
	const struct authd_password *all = c->passwords.items;
	unsigned most = PASSWORD_COST_MIN;

	for (size_t i = 0; i < c->passwords.n; i++) {
		unsigned cost = password_hash_cost(slice_str(all[i].hash));
		most = cost > most ? cost : most;
	}
	return most;
}
