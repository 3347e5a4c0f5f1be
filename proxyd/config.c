#include <stdlib.h>
#include "proxyd/config.h"
#include "proxyd/config_check.h"
#include "proxyd/config_unsupported.h"
#include "proxyd/keycache.h"
#include "proxyd/upstream_servers.h"
#include "proxyd/rate_table.h"

/* PEM files and kubeconfigs are kept in arenas: 64 clusters of four files at most 1 MiB each would be more than anybody has. */
#define CONFIG_BYTES_MAX (64u << 20)

static const char *const tls_versions[] = { "1.2", "1.3", NULL };
static const char *const audience_policies[] = { "MatchAny", NULL };
static const char *const impersonate_words[] = { "refuse", "subjectAccessReview", NULL };
static const char *const http2_words[] = { "watches", "never", NULL };
static const char *const route_words[] = { "authd", "bearer", "frontProxy", "session", "public", NULL };
static const char *const session_ended_words[] = { "cut", "keep", NULL };
static const char *const level_words[] = { "debug", "info", "warn", "error", NULL };
static const char *const format_words[] = { "text", "json", NULL };
static const char *const audit_level_words[] = { "Metadata", NULL };
static const char *const sandbox_words[] = { "available", "required", NULL };
_Static_assert(LOG_LEVEL_DEBUG == 0 && LOG_LEVEL_INFO == 1 && LOG_LEVEL_WARN == 2 && LOG_LEVEL_ERROR == 3, "as level_words");
_Static_assert(PROXYD_HTTP2_WATCHES == 0 && PROXYD_HTTP2_NEVER == 1, "as http2_words");
_Static_assert(PROXYD_IMPERSONATE_REFUSED == 0 && PROXYD_IMPERSONATE_REVIEWED == 1, "as impersonate_words");
_Static_assert(PROXYD_ROUTE_AUTHD == 0 && PROXYD_ROUTE_BEARER == 1 && PROXYD_ROUTE_FRONT_PROXY == 2 && PROXYD_ROUTE_SESSION == 3 && PROXYD_ROUTE_PUBLIC == 4,
	"as route_words");
_Static_assert(LOG_FORMAT_TEXT == 0 && LOG_FORMAT_JSON == 1, "as format_words");

/* One row each: key, type, member of the struct that the outermost table describes, then what differs from zero. Blocks are bound in place, so
 * their rows count offsets from the same struct. */
#define ROW(key, kind, in, member, how, ...) { .name = (key), .type = (kind), .offset = offsetof(struct in, member), .flags = (how), __VA_ARGS__ }
#define BLOCK(key, rows, how) { .name = (key), .type = CONFIG_BLOCK, .flags = (how), .table = &(rows) }
#define PLAIN 0
#define NEEDED CONFIG_REQUIRED
#define NEEDED_FILE (CONFIG_REQUIRED | CONFIG_FILE)
#define END { .name = NULL }
#define GROUPS_MAX 100
#define TABLE(name, ...) static const struct config_table name = { .fields = (const struct config_field[]){ __VA_ARGS__, END } }
#define ITEMS(name, in, ...) \
	static const struct config_table name = { .fields = (const struct config_field[]){ __VA_ARGS__, END }, \
		.size = sizeof(struct in), .line_offset = offsetof(struct in, line) }

/* clang-format off */
TABLE(listen_tls_table,
	ROW("certFile", CONFIG_STRING, proxyd_listen, tls.cert_file, NEEDED_FILE),
	ROW("keyFile", CONFIG_STRING, proxyd_listen, tls.key_file, NEEDED_FILE),
	ROW("minVersion", CONFIG_ENUM, proxyd_listen, tls.min_version, PLAIN, .fallback = "1.2", .words = tls_versions));
ITEMS(listen_table, proxyd_listen,
	ROW("address", CONFIG_STRING, proxyd_listen, address_text, NEEDED),
	ROW("proxyProtocol", CONFIG_BOOL, proxyd_listen, proxy_protocol, PLAIN, .fallback = "false"),
	BLOCK("tls", listen_tls_table, NEEDED));

TABLE(issuer_table,
	ROW("url", CONFIG_STRING, proxyd_jwt, issuer.url, NEEDED),
	ROW("discoveryURL", CONFIG_STRING, proxyd_jwt, issuer.discovery_url, PLAIN),
	ROW("certificateAuthority", CONFIG_STRING, proxyd_jwt, issuer.certificate_authority, PLAIN),
	ROW("audiences", CONFIG_STRING_LIST, proxyd_jwt, issuer.audiences, NEEDED, .max = 100),
	ROW("audienceMatchPolicy", CONFIG_ENUM, proxyd_jwt, issuer.audience_match_policy, PLAIN, .fallback = "MatchAny", .words = audience_policies));
TABLE(username_table,
	ROW("claim", CONFIG_STRING, proxyd_jwt, claim_mappings.username.claim, PLAIN),
	ROW("prefix", CONFIG_STRING, proxyd_jwt, claim_mappings.username.prefix, PLAIN));
TABLE(groups_table,
	ROW("claim", CONFIG_STRING, proxyd_jwt, claim_mappings.groups.claim, PLAIN),
	ROW("prefix", CONFIG_STRING, proxyd_jwt, claim_mappings.groups.prefix, PLAIN));
TABLE(uid_table,
	ROW("claim", CONFIG_STRING, proxyd_jwt, claim_mappings.uid.claim, PLAIN));
TABLE(mappings_table,
	BLOCK("username", username_table, PLAIN),
	BLOCK("groups", groups_table, PLAIN),
	BLOCK("uid", uid_table, PLAIN));
static const struct config_table rule_table = {
	.fields = (const struct config_field[]){
		ROW("claim", CONFIG_STRING, id_token_required, claim, NEEDED),
		ROW("requiredValue", CONFIG_STRING, id_token_required, value, NEEDED), END },
	.size = sizeof(struct id_token_required) };
ITEMS(jwt_table, proxyd_jwt,
	BLOCK("issuer", issuer_table, NEEDED),
	BLOCK("claimMappings", mappings_table, PLAIN),
	ROW("claimValidationRules", CONFIG_BLOCK_LIST, proxyd_jwt, claim_validation_rules, PLAIN, .table = &rule_table, .max = 32));

TABLE(session_table,
	ROW("issuer", CONFIG_STRING, proxyd_config, authentication.session.issuer, PLAIN),
	ROW("cookieName", CONFIG_STRING, proxyd_config, authentication.session.cookie_name, PLAIN, .fallback = "__Host-gatehouse"),
	ROW("revocationsSecretFile", CONFIG_STRING, proxyd_config, authentication.session.revocations_secret_file, CONFIG_FILE));
TABLE(token_review_table,
	ROW("enabled", CONFIG_BOOL, proxyd_config, authentication.token_review.enabled, PLAIN, .fallback = "false"),
	ROW("audiences", CONFIG_STRING_LIST, proxyd_config, authentication.token_review.audiences, PLAIN, .max = 16));
TABLE(client_certificate_table,
	ROW("certificateAuthority", CONFIG_STRING, proxyd_config, authentication.client_certificate.certificate_authority, NEEDED));
#define DAY_MS 86400000
TABLE(long_running_table,
	ROW("sessionEnded", CONFIG_ENUM, proxyd_config, authentication.long_running.session_ended, PLAIN, .fallback = "cut", .words = session_ended_words),
	ROW("tokenExpired", CONFIG_DURATION, proxyd_config, authentication.long_running.token_expired_ms, PLAIN, .fallback = "8h", .max = 366 * (int64_t)DAY_MS));
TABLE(authentication_table,
	ROW("jwt", CONFIG_BLOCK_LIST, proxyd_config, authentication.jwt, PLAIN, .table = &jwt_table, .max = KEYCACHE_ISSUERS_MAX),
	BLOCK("session", session_table, PLAIN),
	BLOCK("clientCertificate", client_certificate_table, PLAIN),
	BLOCK("tokenReview", token_review_table, PLAIN),
	BLOCK("longRunning", long_running_table, PLAIN),
	ROW("howExtra", CONFIG_BOOL, proxyd_config, authentication.how_extra, PLAIN, .fallback = "true"),
	ROW("tokenFile", CONFIG_STRING, proxyd_config, authentication.token_file, CONFIG_FILE));

ITEMS(cluster_table, proxyd_cluster,
	ROW("name", CONFIG_STRING, proxyd_cluster, name, NEEDED),
	ROW("kubeconfig", CONFIG_STRING, proxyd_cluster, kubeconfig, NEEDED_FILE),
	ROW("context", CONFIG_STRING, proxyd_cluster, context, PLAIN),
	ROW("servers", CONFIG_STRING_LIST, proxyd_cluster, servers, PLAIN, .max = UPSTREAM_SERVERS_MAX),
	ROW("impersonateOthers", CONFIG_ENUM, proxyd_cluster, impersonate_others, PLAIN, .fallback = "refuse", .words = impersonate_words),
	ROW("http2", CONFIG_ENUM, proxyd_cluster, http2, PLAIN, .fallback = "watches", .words = http2_words),
	ROW("allowedGroups", CONFIG_STRING_LIST, proxyd_cluster, allowed_groups, PLAIN, .max = GROUPS_MAX));

TABLE(route_tls_table,
	ROW("certificateAuthority", CONFIG_STRING, proxyd_route, tls.certificate_authority, PLAIN),
	ROW("certFile", CONFIG_STRING, proxyd_route, tls.cert_file, CONFIG_FILE),
	ROW("keyFile", CONFIG_STRING, proxyd_route, tls.key_file, CONFIG_FILE),
	ROW("serverName", CONFIG_STRING, proxyd_route, tls.server_name, PLAIN));
ITEMS(route_table, proxyd_route,
	ROW("path", CONFIG_STRING, proxyd_route, path, NEEDED),
	ROW("host", CONFIG_STRING, proxyd_route, host, PLAIN),
	ROW("to", CONFIG_STRING, proxyd_route, to, NEEDED),
	ROW("kind", CONFIG_ENUM, proxyd_route, kind, PLAIN, .fallback = "authd", .words = route_words),
	ROW("stripPrefix", CONFIG_BOOL, proxyd_route, strip_prefix, PLAIN, .fallback = "false"),
	ROW("audience", CONFIG_STRING, proxyd_route, audience, PLAIN),
	BLOCK("tls", route_tls_table, PLAIN),
	ROW("allowedGroups", CONFIG_STRING_LIST, proxyd_route, allowed_groups, PLAIN, .max = GROUPS_MAX),
	ROW("allowedOrigins", CONFIG_STRING_LIST, proxyd_route, allowed_origins, PLAIN, .max = 64));

#define MINUTE_MS 60000
TABLE(limits_table,
	ROW("headerBytes", CONFIG_INT, proxyd_config, limits.header_bytes, PLAIN, .fallback = "65536", .min = 4096, .max = 1048576),
	ROW("headerTimeout", CONFIG_DURATION, proxyd_config, limits.header_timeout_ms, PLAIN, .fallback = "10s", .min = 100, .max = 10 * MINUTE_MS),
	ROW("idleTimeout", CONFIG_DURATION, proxyd_config, limits.idle_timeout_ms, PLAIN, .fallback = "5m", .min = 100, .max = DAY_MS),
	ROW("bodyTimeout", CONFIG_DURATION, proxyd_config, limits.body_timeout_ms, PLAIN, .fallback = "1m", .min = 100, .max = DAY_MS),
	ROW("bodyRate", CONFIG_INT, proxyd_config, limits.body_rate, PLAIN, .fallback = "240", .max = 1048576),
	ROW("upstreamConnectTimeout", CONFIG_DURATION, proxyd_config, limits.upstream_connect_timeout_ms, PLAIN, .fallback = "5s", .min = 10,
		.max = 10 * MINUTE_MS),
	ROW("upstreamIdleTimeout", CONFIG_DURATION, proxyd_config, limits.upstream_idle_timeout_ms, PLAIN, .fallback = "60s", .min = 100, .max = DAY_MS),
	ROW("tunnelIdleTimeout", CONFIG_DURATION, proxyd_config, limits.tunnel_idle_timeout_ms, PLAIN, .fallback = "1h", .min = 100, .max = 7 * DAY_MS),
	ROW("drainTimeout", CONFIG_DURATION, proxyd_config, limits.drain_timeout_ms, PLAIN, .fallback = "30s", .max = DAY_MS),
	ROW("tunnelDrainTimeout", CONFIG_DURATION, proxyd_config, limits.tunnel_drain_timeout_ms, PLAIN, .fallback = "8h", .max = 7 * DAY_MS),
	ROW("watchMaxAge", CONFIG_DURATION, proxyd_config, limits.watch_max_age_ms, PLAIN, .fallback = "1h", .max = 7 * DAY_MS),
	ROW("upgradeTimeout", CONFIG_DURATION, proxyd_config, limits.upgrade_timeout_ms, PLAIN, .fallback = "1m", .min = 100, .max = DAY_MS),
	ROW("connections", CONFIG_INT, proxyd_config, limits.connections, PLAIN, .fallback = "0", .max = 10000000),
	ROW("connectionsPerAddress", CONFIG_INT, proxyd_config, limits.connections_per_address, PLAIN, .fallback = "0", .max = 10000000),
	ROW("requestRatePerAddress", CONFIG_INT, proxyd_config, limits.request_rate_per_address, PLAIN, .fallback = "0", .max = RATE_MAX),
	ROW("requestRatePerIdentity", CONFIG_INT, proxyd_config, limits.request_rate_per_identity, PLAIN, .fallback = "0", .max = RATE_MAX),
	ROW("refusalRatePerAddress", CONFIG_INT, proxyd_config, limits.refusal_rate_per_address, PLAIN, .fallback = "50", .max = RATE_MAX),
	ROW("requestsInFlight", CONFIG_INT, proxyd_config, limits.requests_in_flight, PLAIN, .fallback = "4096", .max = 10000000),
	ROW("requestsInFlightPerIdentity", CONFIG_INT, proxyd_config, limits.requests_in_flight_per_identity, PLAIN, .fallback = "0", .max = 10000000),
	ROW("tokenBytes", CONFIG_INT, proxyd_config, limits.token_bytes, PLAIN, .fallback = "8192", .min = 512, .max = 65536),
	ROW("identities", CONFIG_INT, proxyd_config, limits.identities, PLAIN, .fallback = "65536", .min = 16, .max = 16777216));

TABLE(admin_table,
	ROW("address", CONFIG_STRING, proxyd_config, admin.address_text, PLAIN));
TABLE(log_table,
	ROW("level", CONFIG_ENUM, proxyd_config, log.level, PLAIN, .fallback = "info", .words = level_words),
	ROW("format", CONFIG_ENUM, proxyd_config, log.format, PLAIN, .fallback = "json", .words = format_words),
	ROW("file", CONFIG_STRING, proxyd_config, log.file, PLAIN));
TABLE(audit_table,
	ROW("file", CONFIG_STRING, proxyd_config, audit.file, PLAIN),
	ROW("level", CONFIG_ENUM, proxyd_config, audit.level, PLAIN, .fallback = "Metadata", .words = audit_level_words));

TABLE(root_table,
	ROW("listen", CONFIG_BLOCK_LIST, proxyd_config, listen, NEEDED, .table = &listen_table, .max = PROXYD_LISTENERS_MAX),
	ROW("trustedProxies", CONFIG_STRING_LIST, proxyd_config, trusted_proxies_text, PLAIN, .max = 256),
	ROW("workers", CONFIG_INT, proxyd_config, workers, PLAIN, .fallback = "0", .max = PROXYD_WORKERS_MAX),
	ROW("user", CONFIG_STRING, proxyd_config, user, PLAIN),
	ROW("pidFile", CONFIG_STRING, proxyd_config, pid_file, PLAIN),
	ROW("reloadOnChange", CONFIG_BOOL, proxyd_config, reload_on_change, PLAIN, .fallback = "false"),
	ROW("sandbox", CONFIG_ENUM, proxyd_config, sandbox, PLAIN, .fallback = "available", .words = sandbox_words),
	BLOCK("authentication", authentication_table, PLAIN),
	ROW("clusters", CONFIG_BLOCK_LIST, proxyd_config, clusters, PLAIN, .table = &cluster_table, .max = PROXYD_CLUSTERS_MAX),
	ROW("routes", CONFIG_BLOCK_LIST, proxyd_config, routes, PLAIN, .table = &route_table, .max = PROXYD_ROUTES_MAX),
	BLOCK("limits", limits_table, PLAIN),
	BLOCK("admin", admin_table, PLAIN),
	BLOCK("log", log_table, PLAIN),
	BLOCK("audit", audit_table, PLAIN));
/* clang-format on */

enum err
proxyd_config_load(const char *path, const struct clock *clock, struct proxyd_config **out, struct config_error *e)
{
	struct proxyd_config *c = calloc(1, sizeof(*c));
	struct yaml_node *root = NULL;

	e->text[0] = '\0';
	if (!c) {
		config_error_set(e, path, 0, NULL, "out of memory");
		return E_NOMEM;
	}
	arena_init(&c->arena, CONFIG_BYTES_MAX);
	arena_init(&c->secrets, CONFIG_BYTES_MAX);
	enum err err = file_watch_note(&c->self, path);
	if (!err)
		err = yaml_load(&c->arena, path, &root, e);
	if (!err)
		err = config_unsupported_check(path, root, e);
	if (!err)
		err = config_bind(&c->arena, path, root, "", &root_table, c, e);
	if (!err) {
		c->file = arena_strdup(&c->arena, path);
		err = c->file ? config_check(c, root, clock_now_s(clock), e) : E_NOMEM;
	}
	if (err) {
		config_error_set(e, path, 0, NULL, "%s", err == E_NOMEM ? "out of memory" : err_name(err)); /* keeps a text that is there */
		proxyd_config_free(c);
		return err;
	}
	*out = c;
	return OK;
}

void
proxyd_config_free(struct proxyd_config *c)
{
	if (!c)
		return;
	proxyd_config_forget_secrets(c);
	file_watch_fini(&c->files);
	file_watch_fini(&c->self);
	arena_fini(&c->arena);
	free(c);
}

void
proxyd_config_forget_secrets(struct proxyd_config *c)
{
	struct proxyd_listen *listen = c->listen.items;
	struct proxyd_cluster *clusters = c->clusters.items;
	struct proxyd_route *routes = c->routes.items;

	for (size_t i = 0; listen && i < c->listen.n; i++)
		listen[i].tls.key_pem = SLICE_NONE;
	for (size_t i = 0; clusters && i < c->clusters.n; i++)
		clusters[i].target = (struct kubeconfig){ 0 };
	for (size_t i = 0; routes && i < c->routes.n; i++)
		routes[i].target.cert_pem = routes[i].target.key_pem = SLICE_NONE;
	c->tokens = (struct token_file){ NULL, 0 };
	arena_fini_secret(&c->secrets);
}

const struct proxyd_cluster *
proxyd_config_default_cluster(const struct proxyd_config *c)
{
	const struct proxyd_cluster *clusters = c->clusters.items;

	for (size_t i = 0; i < c->clusters.n; i++)
		if (strcmp(clusters[i].name, "default") == 0)
			return &clusters[i];
	return c->clusters.n ? &clusters[0] : NULL;
}
