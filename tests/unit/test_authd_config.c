#include "tests/unit/authd_config_unit.h"
#include "oidc/token_request.h"
#include "shared/log.h"

static void
the_smallest_config_has_the_documented_defaults(void **state)
{
	(void)state;
	struct authd_config *c = config_unit_load_ok(BASE);

	assert_string_equal(c->issuer, "https://gw.example/oidc");
	assert_true(c->issuer_url.tls);
	assert_true(slice_eq_str(c->issuer_url.path, "/oidc"));
	assert_true(slice_eq_str(c->issuer_url.origin, "https://gw.example"));
	assert_string_equal(c->storage.path, "/var/lib/gatehouse");
	assert_null(c->web.http);
	assert_null(c->web.https);
	assert_int_equal(c->web.tls_min_version, 0);
	assert_int_equal(c->web.allowed_origins.n, 0);
	assert_false(c->oauth2.skip_approval_screen);
	assert_false(c->oauth2.always_show_login_screen);
	assert_null(c->oauth2.password_connector);
	assert_false(c->oauth2.pkce_enforce);
	assert_false(c->oauth2.pkce_plain);
	assert_int_equal(c->oauth2.grants, GRANT_BIT(GRANT_AUTHORIZATION_CODE) | GRANT_BIT(GRANT_REFRESH_TOKEN) | GRANT_BIT(GRANT_DEVICE_CODE));
	assert_int_equal(c->expiry.id_tokens_ms, 24 * 3600000);
	assert_int_equal(c->expiry.auth_requests_ms, 1800000);
	assert_int_equal(c->expiry.stale_groups_ms, 24 * 3600000);
	assert_int_equal(c->expiry.signing_keys_ms, 6 * 3600000);
	assert_false(c->expiry.refresh_tokens.disable_rotation);
	assert_int_equal(c->expiry.refresh_tokens.reuse_interval_ms, 10000);
	assert_int_equal(c->expiry.refresh_tokens.absolute_lifetime_ms, INT64_C(3960) * 3600000);
	assert_int_equal(c->expiry.refresh_tokens.valid_if_not_used_for_ms, INT64_C(2160) * 3600000);
	assert_int_equal(c->alg, JWS_RS256);
	assert_int_equal(c->log.level, LOG_LEVEL_INFO);
	assert_int_equal(c->log.format, LOG_FORMAT_TEXT);
	assert_string_equal(c->frontend.issuer, "Gatehouse");
	assert_string_equal(c->sessions.cookie_name, "__Host-gatehouse");
	assert_int_equal(c->sessions.absolute_lifetime_ms, 24 * 3600000);
	assert_int_equal(c->sessions.valid_if_not_used_for_ms, 3600000);
	assert_true(c->sessions.remember_me);
	assert_string_equal(c->console.gateway, "https://gw.example");
	assert_null(c->console.client_id);
	assert_null(c->user);
	assert_int_equal(authd_config_password_cost(c), 10);
	assert_null(authd_config_client(c, SLICE_LIT("app")));
	assert_null(authd_config_password(c, SLICE_LIT("a@example.com")));
	authd_config_free(c);
	c = config_unit_load_ok("issuer: http://127.0.0.1:5556\n" STORAGE "web: {http: '127.0.0.1:5556'}\n" DB);
	assert_string_equal(c->sessions.cookie_name, "gatehouse");
	assert_string_equal(c->console.gateway, "http://127.0.0.1:5556");
	assert_int_equal(c->issuer_url.path.n, 0);
	authd_config_free(c);
}

static void
every_key_arrives_where_it_belongs(void **state)
{
	(void)state;
	struct authd_config *c = config_unit_load_ok(
		"issuer: https://gw.example/oidc\n"
		"storage:\n  type: lmdb\n  config:\n    path: /srv/$GH_TEST_ID/${GH_TEST_SECRET}\n"
		"web:\n  http: 127.0.0.1:5556\n  https: '[::1]:5554'\n  unix: /run/a.sock\n  tlsCert: @/cert.pem\n  tlsKey: @/key.pem\n"
		"  tlsMinVersion: 1.3\n  tlsMaxVersion: 1.3\n  allowedHeaders: [X-A]\n  headers: {x-frame-options: SAMEORIGIN, Strict-Transport-Security: ''}\n"
		"  clientRemoteIP: {header: X-Real-IP, trustedProxies: [10.0.0.0/8, 'fd00::/8']}\n  allowedOrigins: ['*', 'https://console.example:8443']\n"
		"oauth2:\n  grantTypes: [authorization_code]\n  responseTypes: [code]\n  skipApprovalScreen: true\n  alwaysShowLoginScreen: true\n"
		"  passwordConnector: local\n  pkce: {enforce: true, codeChallengeMethodsSupported: [plain, S256]}\n"
		"expiry:\n  staleGroups: 90m\n  idTokens: 10m\n  authRequests: 24h\n  signingKeys: 12h\n"
		"  refreshTokens: {disableRotation: true, reuseInterval: 3s, absoluteLifetime: 0, validIfNotUsedFor: 720h}\n"
		"signer: {type: local, config: {keysRotationPeriod: 24h, algorithm: ES256}}\n"
		"logger: {level: DEBUG, format: json}\n"
		"frontend: {issuer: Example}\n"
		"enablePasswordDB: true\n"
		"staticPasswords:\n"
		"- {email: Admin@example.com, hash: " HASH ", username: admin, name: Admin User, preferredUsername: root, emailVerified: false,\n"
		"   userID: 08a8684b, groups: [team-a, team-a/admins]}\n"
		"- {email: b@example.com, hashFromEnv: GH_TEST_HASH, userID: b}\n"
		"- {email: c@example.com, hash: JDJhJDEyJDJiMmNVOENQaE9UYUdyczFIUlF1QXVlUzdKVFQ1WkhzSFN6WWlGUG0xbGVaY2s3TWM4VDRX, userID: c}\n"
		"staticClients:\n"
		"- {id: app, secret: s, name: App, redirectURIs: ['https://app.example/cb', 'http://127.0.0.1:5555/cb'], trustedPeers: [cli],\n"
		"   backchannelLogoutURI: 'https://app.example/out', backchannelLogoutSessionRequired: true,\n"
		"   logoURL: 'https://app.example/logo.png', allowedConnectors: [github, local]}\n"
		"- {id: cli, public: true, name: CLI, redirectURIs: ['http://localhost:8000', 'urn:ietf:wg:oauth:2.0:oob', 'com.example.app:/cb']}\n"
		"- {idEnv: GH_TEST_ID, secretEnv: GH_TEST_SECRET, name: Env}\n"
		"- {id: both, secret: kept, public: true, name: Both}\n"
		"connectors:\n"
		"- type: github\n  id: github\n  name: GitHub\n  config:\n    clientID: $GH_TEST_ID\n    clientSecret: pre${GH_TEST_SECRET}post\n"
		"    redirectURI: https://gw.example/oidc/callback\n    orgs: [{name: acme, teams: [ops, dev]}, {name: other}]\n"
		"    hostName: git.example:8443\n    rootCA: @/cert.pem\n    teamNameField: both\n    loadAllGroups: true\n    useLoginAsID: true\n"
		"    preferredEmailDomain: '*.example.com'\n    baseURL: https://127.0.0.1:9\n    apiURL: http://localhost:9/api/v3\n"
		"sessions: {cookieName: sid, absoluteLifetime: 48h, validIfNotUsedFor: 48h, rememberMeCheckedByDefault: false}\n"
		"console: {gateway: 'https://gw.example:6443', certificateAuthority: @/cert.pem, clientID: cli, clusters: [default, dev-1]}\n"
		"user: root\n");
	const struct authd_password *p = c->passwords.items;
	const struct authd_connector_config *g = c->connectors.items;
	const struct github_org *orgs = g->github->orgs.items;

	assert_string_equal(c->storage.type, "lmdb");
	assert_string_equal(c->storage.path, "/srv/id-of-env/secret-of-env");
	assert_string_equal(c->web.http, "127.0.0.1:5556");
	assert_string_equal(c->web.https, "[::1]:5554");
	assert_string_equal(c->web.unix_path, "/run/a.sock");
	assert_string_equal(c->web.ctl_path, "/srv/id-of-env/secret-of-env/ctl.sock");
	assert_int_equal(strncmp(c->web.tls_cert_pem.p, "-----BEGIN CERT", 15), 0);
	assert_int_equal(strncmp(c->web.tls_key_pem.p, "-----BEGIN PRIV", 15), 0);
	assert_int_equal(c->web.tls_min_version, 1);
	assert_int_equal(c->web.tls_max_version, 1);
	assert_string_equal(c->web.allowed_headers.items[0], "X-A");
	assert_string_equal(c->web.headers[1], "SAMEORIGIN");
	assert_null(c->web.headers[4]);
	assert_string_equal(c->web.client_ip_header, "X-Real-IP");
	assert_int_equal(c->web.trusted_proxy_n, 2);
	assert_int_equal(c->web.trusted_proxies[1].bits, 8);
	assert_int_equal(c->web.allowed_origins.n, 2);
	assert_true(c->oauth2.skip_approval_screen);
	assert_true(c->oauth2.always_show_login_screen);
	assert_string_equal(c->oauth2.password_connector, "local");
	assert_true(c->oauth2.pkce_enforce);
	assert_true(c->oauth2.pkce_plain);
	assert_int_equal(c->oauth2.grants, GRANT_BIT(GRANT_AUTHORIZATION_CODE));
	assert_int_equal(c->expiry.id_tokens_ms, 600000);
	assert_int_equal(c->expiry.stale_groups_ms, 90 * 60000);
	assert_int_equal(c->expiry.auth_requests_ms, 24 * 3600000);
	assert_int_equal(c->expiry.signing_keys_ms, 24 * 3600000);
	assert_true(c->expiry.refresh_tokens.disable_rotation);
	assert_int_equal(c->expiry.refresh_tokens.reuse_interval_ms, 3000);
	assert_int_equal(c->expiry.refresh_tokens.absolute_lifetime_ms, 0);
	assert_int_equal(c->expiry.refresh_tokens.valid_if_not_used_for_ms, INT64_C(720) * 3600000);
	assert_int_equal(c->alg, JWS_ES256);
	assert_int_equal(c->log.level, LOG_LEVEL_DEBUG);
	assert_int_equal(c->log.format, LOG_FORMAT_JSON);
	assert_string_equal(c->frontend.issuer, "Example");

	assert_int_equal(c->passwords.n, 3);
	assert_string_equal(p[0].username, "admin");
	assert_string_equal(p[0].name, "Admin User");
	assert_string_equal(p[0].preferred_username, "root");
	assert_false(p[0].email_verified);
	assert_string_equal(p[0].user_id, "08a8684b");
	assert_int_equal(p[0].groups.n, 2);
	assert_string_equal(p[0].groups.items[1], "team-a/admins");
	assert_string_equal(p[1].hash, getenv("GH_TEST_HASH"));
	assert_true(p[1].email_verified);
	assert_null(p[1].username);
	assert_string_equal(p[2].hash, "$2a$12$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"); /* base64 in the file */
	assert_int_equal(authd_config_password_cost(c), 12);
	assert_ptr_equal(authd_config_password(c, SLICE_LIT("aDMIN@EXAMPLE.com")), &p[0]);

	assert_int_equal(c->client_n, 4);
	const struct client *app = authd_config_client(c, SLICE_LIT("app")), *cli = authd_config_client(c, SLICE_LIT("cli"));
	const struct client *env = authd_config_client(c, SLICE_LIT("id-of-env")), *both = authd_config_client(c, SLICE_LIT("both"));
	assert_string_equal(app->secret, "s");
	assert_int_equal(app->redirect_uri_n, 2);
	assert_string_equal(app->redirect_uris[1], "http://127.0.0.1:5555/cb");
	assert_string_equal(app->trusted_peers[0], "cli");
	assert_string_equal(app->logo_url, "https://app.example/logo.png");
	assert_string_equal(app->backchannel_logout_uri, "https://app.example/out");
	assert_int_equal(app->allowed_connector_n, 2);
	assert_true(cli->public);
	assert_null(cli->secret);
	assert_string_equal(env->secret, "secret-of-env");
	assert_string_equal(both->secret, "kept");
	assert_null(authd_config_client(c, SLICE_LIT("App")));
	assert_null(authd_config_client(c, SLICE_LIT("")));

	assert_int_equal(c->connectors.n, 1);
	assert_string_equal(g->github->client_id, "id-of-env");
	assert_string_equal(g->github->client_secret, "presecret-of-envpost");
	assert_null(g->github->org);
	assert_int_equal(g->github->orgs.n, 2);
	assert_string_equal(orgs[0].teams.items[1], "dev");
	assert_int_equal(orgs[1].teams.n, 0);
	assert_string_equal(g->github->host_name, "git.example:8443");
	assert_int_equal(g->github->team_name_field, 2);
	assert_true(g->github->load_all_groups);
	assert_true(g->github->use_login_as_id);
	assert_string_equal(g->github->preferred_email_domain, "*.example.com");
	assert_string_equal(g->github->base_url, "https://127.0.0.1:9");
	assert_string_equal(g->github->api_url, "http://localhost:9/api/v3");
	assert_string_equal(c->sessions.cookie_name, "sid");
	assert_int_equal(c->sessions.absolute_lifetime_ms, 48 * 3600000);
	assert_false(c->sessions.remember_me);
	assert_string_equal(c->console.gateway, "https://gw.example:6443");
	assert_true(c->console.certificate_authority_pem.n > 100);
	assert_string_equal(c->console.client_id, "cli");
	assert_int_equal(c->console.clusters.n, 2);
	assert_string_equal(c->user, "root");
	authd_config_free(c);
}

static void
keys_match_in_any_case_as_in_dex(void **state)
{
	(void)state;
	struct authd_config *c = config_unit_load_ok("ISSUER: https://gw.example\nStorage: {Type: lmdb, CONFIG: {Path: /x}}\nweb: {HTTP: ':5556'}\n"
					 "enablepassworddb: true\nstaticclients: [{ID: app, Secret: s, NAME: n, redirecturis: ['https://a/b']}]\n");

	assert_string_equal(c->storage.path, "/x");
	assert_string_equal(c->web.http, ":5556");
	assert_int_equal(c->client_n, 1);
	assert_string_equal(c->clients[0].redirect_uris[0], "https://a/b");
	authd_config_free(c);
}

static void
empty_optional_texts_are_absent_as_in_dex(void **state)
{
	(void)state;
	struct authd_config *c = config_unit_load_ok(ISSUER STORAGE "web: {unix: /x, http: '', https: '', tlsCert: '', tlsKey: ''}\n" DB
		"staticClients: [{id: app, idEnv: '', secret: s, secretEnv: '', name: n, logoURL: ''}]\n"
		"connectors: [{type: github, id: g, name: g, config: {" GITHUB_KEYS ", org: '', hostName: '', rootCA: '', preferredEmailDomain: ''}}]\n"
		"sessions: {cookieName: ''}\noauth2: {passwordConnector: ''}\n");

	assert_null(c->web.http);
	assert_null(((const struct authd_connector_config *)c->connectors.items)->github->org);
	assert_string_equal(c->sessions.cookie_name, "__Host-gatehouse");
	authd_config_free(c);
}

static void
every_key_of_a_wrong_type_is_refused_with_its_place(void **state)
{
	(void)state;
	static const struct config_unit_refusal rows[] = {
		{ "issuer: [a]\n" STORAGE WEB DB, ":1: issuer: expected a text, found a list" },
		{ ISSUER "storage: lmdb\n" WEB DB, ":2: storage: expected a map" },
		{ ISSUER "storage: {type: [lmdb]}\n" WEB DB, ":2: storage.type: expected a text" },
		{ ISSUER "storage:\n  type: lmdb\n  config: /x\n" WEB DB, ":4: storage.config: expected a map" },
		{ ISSUER "storage:\n  type: lmdb\n  config:\n    path: [x]\n" WEB DB, ":5: storage.config.path: expected a text" },
		{ ISSUER STORAGE "web: x\n" DB, ":3: web: expected a map" },
		{ ISSUER STORAGE "web: {http: [x]}\n" DB, ":3: web.http: expected a text" },
		{ ISSUER STORAGE "web: {https: {x: y}}\n" DB, ":3: web.https: expected a text" },
		{ ISSUER STORAGE "web: {unix: [x]}\n" DB, ":3: web.unix: expected a text" },
		{ ISSUER STORAGE "web: {https: ':1', tlsCert: [x]}\n" DB, ":3: web.tlsCert: expected a text" },
		{ ISSUER STORAGE "web: {https: ':1', tlsCert: @/cert.pem, tlsKey: [x]}\n" DB, ":3: web.tlsKey: expected a text" },
		{ ISSUER STORAGE "web: {http: ':1', tlsMinVersion: [1.2]}\n" DB, ":3: web.tlsMinVersion: expected a word" },
		{ ISSUER STORAGE "web: {http: ':1', allowedOrigins: '*'}\n" DB, ":3: web.allowedOrigins: expected a list of texts" },
		{ BASE "oauth2: [x]\n", ":5: oauth2: expected a map" },
		{ BASE "oauth2: {grantTypes: authorization_code}\n", ":5: oauth2.grantTypes: expected a list of texts" },
		{ BASE "oauth2: {responseTypes: code}\n", ":5: oauth2.responseTypes: expected a list of texts" },
		{ BASE "oauth2: {responseTypes: [[code]]}\n", ":5: oauth2.responseTypes[0]: expected a text" },
		{ BASE "oauth2: {skipApprovalScreen: 1}\n", ":5: oauth2.skipApprovalScreen: expected true or false" },
		{ BASE "oauth2: {skipApprovalScreen: yes}\n", ":5: oauth2.skipApprovalScreen: expected true or false (YAML 1.1" },
		{ BASE "oauth2: {alwaysShowLoginScreen: 'true'}\n", ":5: oauth2.alwaysShowLoginScreen: expected true or false" },
		{ BASE "oauth2: {passwordConnector: [local]}\n", ":5: oauth2.passwordConnector: expected a text" },
		{ BASE "oauth2: {pkce: true}\n", ":5: oauth2.pkce: expected a map" },
		{ BASE "oauth2: {pkce: {enforce: 1}}\n", ":5: oauth2.pkce.enforce: expected true or false" },
		{ BASE "oauth2: {pkce: {codeChallengeMethodsSupported: S256}}\n", ":5: oauth2.pkce.codeChallengeMethodsSupported: expected a list" },
		{ BASE "expiry: 24h\n", ":5: expiry: expected a map" },
		{ BASE "expiry: {idTokens: 24}\n", ":5: expiry.idTokens: expected a duration" },
		{ BASE "expiry: {staleGroups: -1h}\n", ":5: expiry.staleGroups: expected a duration" },
		{ BASE "expiry: {idTokens: 1ms}\n", ":5: expiry.idTokens: expected a duration" },
		{ BASE "expiry: {authRequests: soon}\n", ":5: expiry.authRequests: expected a duration" },
		{ BASE "expiry: {authRequests: 25h}\n", ":5: expiry.authRequests: expected a duration" },
		{ BASE "expiry: {signingKeys: 9m}\n", ":5: expiry.signingKeys: expected a duration such as 10s or 1h30m, from 600000ms" },
		{ BASE "expiry: {refreshTokens: 1h}\n", ":5: expiry.refreshTokens: expected a map" },
		{ BASE "expiry: {refreshTokens: {disableRotation: 0}}\n", ":5: expiry.refreshTokens.disableRotation: expected true or false" },
		{ BASE "expiry: {refreshTokens: {reuseInterval: -1s}}\n", ":5: expiry.refreshTokens.reuseInterval: expected a duration" },
		{ BASE "expiry: {refreshTokens: {absoluteLifetime: 1d}}\n", ":5: expiry.refreshTokens.absoluteLifetime: expected a duration" },
		{ BASE "expiry: {refreshTokens: {validIfNotUsedFor: {}}}\n", ":5: expiry.refreshTokens.validIfNotUsedFor: expected a duration" },
		{ BASE "signer: local\n", ":5: signer: expected a map" },
		{ BASE "signer: {type: [local]}\n", ":5: signer.type: expected a text" },
		{ BASE "signer: {config: x}\n", ":5: signer.config: expected a map" },
		{ BASE "signer:\n  config:\n    keysRotationPeriod: 6\n", ":7: signer.config.keysRotationPeriod: expected a duration" },
		{ BASE "signer: {config: {algorithm: RS512}}\n", ":5: signer.config.algorithm: expected RS256 or ES256, found \"RS512\"" },
		{ BASE "logger: info\n", ":5: logger: expected a map" },
		{ BASE "logger: {level: [info]}\n", ":5: logger.level: expected a text" },
		{ BASE "logger: {level: loud}\n", ":5: logger.level: expected debug, info, warn or error, found \"loud\"" },
		{ BASE "logger: {format: {}}\n", ":5: logger.format: expected a text" },
		{ BASE "logger: {format: xml}\n", ":5: logger.format: expected text or json, found \"xml\"" },
		{ BASE "frontend: x\n", ":5: frontend: expected a map" },
		{ BASE "frontend: {issuer: [x]}\n", ":5: frontend.issuer: expected a text" },
		{ ISSUER STORAGE WEB "enablePasswordDB: on\n", ":4: enablePasswordDB: expected true or false" },
		{ BASE "staticPasswords: {email: a}\n", ":5: staticPasswords: expected a list of maps" },
		{ BASE "staticPasswords: [a]\n", ":5: staticPasswords[0]: expected a map" },
		{ BASE "staticPasswords: [{email: [a]}]\n", ":5: staticPasswords[0].email: expected a text" },
		{ BASE "staticPasswords: [{email: a, hash: [secret]}]\n", ":5: staticPasswords[0].hash: expected a text, found a list" },
		{ BASE "staticPasswords: [{email: a, hashFromEnv: [x]}]\n", ":5: staticPasswords[0].hashFromEnv: expected a text" },
		{ PERSON(", username: [x]"), ":6: staticPasswords[0].username: expected a text" },
		{ PERSON(", name: {}"), ":6: staticPasswords[0].name: expected a text" },
		{ PERSON(", preferredUsername: [x]"), ":6: staticPasswords[0].preferredUsername: expected a text" },
		{ PERSON(", emailVerified: 1"), ":6: staticPasswords[0].emailVerified: expected true or false" },
		{ PERSON(", groups: admins"), ":6: staticPasswords[0].groups: expected a list of texts" },
		{ BASE "staticPasswords: [{email: a, hash: " HASH ", userID: [x]}]\n", ":5: staticPasswords[0].userID: expected a text" },
		{ BASE "staticClients: app\n", ":5: staticClients: expected a list of maps" },
		{ BASE "staticClients: [{id: [a]}]\n", ":5: staticClients[0].id: expected a text" },
		{ BASE "staticClients: [{idEnv: [a]}]\n", ":5: staticClients[0].idEnv: expected a text" },
		{ BASE "staticClients: [{id: a, secret: {b: c}}]\n", ":5: staticClients[0].secret: expected a text, found a map" },
		{ BASE "staticClients: [{id: a, secretEnv: [b]}]\n", ":5: staticClients[0].secretEnv: expected a text" },
		{ BASE "staticClients: [{id: a, secret: b, name: [c]}]\n", ":5: staticClients[0].name: expected a text" },
		{ CLIENT(", redirectURIs: 'https://a'"), ":6: staticClients[0].redirectURIs: expected a list of texts" },
		{ CLIENT(", trustedPeers: a"), ":6: staticClients[0].trustedPeers: expected a list of texts" },
		{ CLIENT(", public: 1"), ":6: staticClients[0].public: expected true or false" },
		{ CLIENT(", logoURL: [a]"), ":6: staticClients[0].logoURL: expected a text" },
		{ CLIENT(", backchannelLogoutURI: [a]"), ":6: staticClients[0].backchannelLogoutURI: expected a text" },
		{ CLIENT(", backchannelLogoutSessionRequired: 1x"), ":6: staticClients[0].backchannelLogoutSessionRequired: expected true or false" },
		{ CLIENT(", allowedConnectors: local"), ":6: staticClients[0].allowedConnectors: expected a list of texts" },
		{ BASE "connectors: {type: github}\n", ":5: connectors: expected a list of maps" },
		{ BASE "connectors: [{type: [github]}]\n", ":5: connectors[0].type: expected a text" },
		{ BASE "connectors: [{type: github, id: {}}]\n", ":5: connectors[0].id: expected a text" },
		{ BASE "connectors: [{type: github, id: g, name: [g]}]\n", ":5: connectors[0].name: expected a text" },
		{ BASE "connectors: [{type: github, id: g, name: g, config: x}]\n", ":5: connectors[0].config: expected a map" },
		{ BASE "connectors: [{type: github, id: g, name: g, config: {clientID: [x]}}]\n", ":5: connectors[0].config.clientID: expected a text" },
		{ BASE "connectors: [{type: github, id: g, name: g, config: {clientID: x, clientSecret: [x]}}]\n",
			":5: connectors[0].config.clientSecret: expected a text" },
		{ BASE "connectors: [{type: github, id: g, name: g, config: {clientID: x, clientSecret: x, redirectURI: [x]}}]\n",
			":5: connectors[0].config.redirectURI: expected a text" },
		{ GITHUB(", org: [x]"), ":6: connectors[0].config.org: expected a text" },
		{ GITHUB(", orgs: acme"), ":6: connectors[0].config.orgs: expected a list of maps" },
		{ GITHUB(", orgs: [{name: [x]}]"), ":6: connectors[0].config.orgs[0].name: expected a text" },
		{ GITHUB(", orgs: [{name: x, teams: y}]"), ":6: connectors[0].config.orgs[0].teams: expected a list of texts" },
		{ GITHUB(", hostName: [x]"), ":6: connectors[0].config.hostName: expected a text" },
		{ GITHUB(", rootCA: [x]"), ":6: connectors[0].config.rootCA: expected a text" },
		{ GITHUB(", teamNameField: id"), ":6: connectors[0].config.teamNameField: expected name, slug or both" },
		{ GITHUB(", loadAllGroups: 1"), ":6: connectors[0].config.loadAllGroups: expected true or false" },
		{ GITHUB(", useLoginAsID: 1"), ":6: connectors[0].config.useLoginAsID: expected true or false" },
		{ GITHUB(", preferredEmailDomain: [x]"), ":6: connectors[0].config.preferredEmailDomain: expected a text" },
		{ GITHUB(", baseURL: [x]"), ":6: connectors[0].config.baseURL: expected a text" },
		{ GITHUB(", apiURL: [x]"), ":6: connectors[0].config.apiURL: expected a text" },
		{ BASE "sessions: 24h\n", ":5: sessions: expected a map" },
		{ BASE "sessions: {cookieName: [x]}\n", ":5: sessions.cookieName: expected a text" },
		{ BASE "sessions: {absoluteLifetime: 0}\n", ":5: sessions.absoluteLifetime: expected a duration" },
		{ BASE "sessions: {validIfNotUsedFor: [1h]}\n", ":5: sessions.validIfNotUsedFor: expected a duration" },
		{ BASE "sessions: {rememberMeCheckedByDefault: maybe}\n", ":5: sessions.rememberMeCheckedByDefault: expected true or false" },
		{ BASE "console: x\n", ":5: console: expected a map" },
		{ BASE "console: {gateway: [x]}\n", ":5: console.gateway: expected a text" },
		{ BASE "console: {certificateAuthority: [x]}\n", ":5: console.certificateAuthority: expected a text" },
		{ BASE "console: {clientID: [x]}\n", ":5: console.clientID: expected a text" },
		{ BASE "console: {clusters: default}\n", ":5: console.clusters: expected a list of texts" },
		{ BASE "user: [x]\n", ":5: user: expected a text" },
		{ "- issuer\n", ":1: expected a map, found a list" },
		{ "", ": issuer: expected a value for this required key" },
		{ "issuer: 'open\n", ":" },
	};
	EXPECT_REFUSALS(rows);
}

static void
unknown_keys_are_refused_and_name_the_nearest(void **state)
{
	(void)state;
	static const struct config_unit_refusal rows[] = {
		{ BASE "isuer: x\n", ":5: isuer: expected a known key (the nearest is \"issuer\")" },
		{ ISSUER "storage: {type: lmdb, config: {file: /x}}\n" WEB DB, ":2: storage.config.file: expected a known key" },
		{ ISSUER STORAGE "web: {htpp: ':1'}\n" DB, ":3: web.htpp: expected a known key (the nearest is \"http\")" },
		{ BASE "oauth2: {skipAproval: true}\n", ":5: oauth2.skipAproval: expected a known key" },
		{ BASE "oauth2: {pkce: {enforced: true}}\n", ":5: oauth2.pkce.enforced: expected a known key (the nearest is \"enforce\")" },
		{ BASE "expiry: {idToken: 1h}\n", ":5: expiry.idToken: expected a known key (the nearest is \"idTokens\")" },
		{ BASE "expiry: {refreshTokens: {reuse: 1h}}\n", ":5: expiry.refreshTokens.reuse: expected a known key" },
		{ BASE "signer: {config: {alg: ES256}}\n", ":5: signer.config.alg: expected a known key" },
		{ PERSON(", mail: x"), ":6: staticPasswords[0].mail: expected a known key (the nearest is \"email\")" },
		{ CLIENT(", redirectURI: x"), ":6: staticClients[0].redirectURI: expected a known key (the nearest is \"redirectURIs\")" },
		{ GITHUB(", organization: x"), ":6: connectors[0].config.organization: expected a known key" },
		{ GITHUB(", orgs: [{name: x, team: y}]"), ":6: connectors[0].config.orgs[0].team: expected a known key (the nearest is \"teams\")" },
		{ GITHUB(", orgz: []"), ":6: connectors[0].config.orgz: expected a known key (the nearest is \"orgs\")" },
		{ BASE "sessions: {cookie: x}\n", ":5: sessions.cookie: expected a known key (the nearest is \"cookieName\")" },
		{ BASE "console: {url: x}\n", ":5: console.url: expected a known key" },
		{ BASE "Issuer: https://x\n", ":5: Issuer: expected each key once, in whatever case" },
	};
	EXPECT_REFUSALS(rows);
}

static enum err
places(const char *text, struct arena *arena, struct authd_config_places *out, struct config_error *e)
{
	char path[128];

	config_unit_put("authd.yaml", text);
	snprintf(path, sizeof(path), "%s/authd.yaml", config_unit_folder);
	return authd_config_places(arena, path, out, e);
}

static void
places_are_read_from_a_file_that_cannot_be_used_whole(void **state)
{
	(void)state;
	struct authd_config_places out;
	struct config_error e = { "" };
	struct arena arena;
	char here[512];

	arena_init(&arena, 0);
	assert_int_equal(places("secret: {of: a, newer: program}\nSTORAGE: {config: {PATH: \"/srv/$GH_TEST_ID\", keyFile: '/k/${GH_TEST_ID}'}}\n", &arena, &out, &e), OK);
	assert_string_equal(out.store, "/srv/id-of-env");
	assert_string_equal(out.ctl_socket, "/srv/id-of-env/ctl.sock");
	assert_string_equal(out.key_file, "/k/id-of-env");
	assert_int_equal(places("storage: {config: {path: /srv}}\nweb: {ctl: /run/c.sock}\n", &arena, &out, &e), OK);
	assert_string_equal(out.ctl_socket, "/run/c.sock");
	assert_null(out.key_file);
	assert_int_equal(places("storage: {config: {path: store}}\nweb: {ctl: ''}\n", &arena, &out, &e), OK);
	assert_non_null(getcwd(here, sizeof(here) - 32));
	strcat(here, "/store/ctl.sock");
	assert_string_equal(out.ctl_socket, here);
	arena_fini(&arena);
}

static void
places_that_are_not_said_are_an_error_that_says_where(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "storage.config.path: expected the folder" },
		{ "storage: {type: lmdb}\n", "storage.config.path: expected the folder" },
		{ "storage: {config: {path: [x]}}\n", "storage.config.path: expected the folder" },
		{ "storage: {config: {path: ''}}\n", "storage.config.path: expected the folder" },
		{ "issuer: x\nstorage: {config: {path: $GH_TEST_UNSET/x}}\n", "authd.yaml:2: storage.config.path: the variable GH_TEST_UNSET is not set here" },
		{ "storage: {config: {path: /x, keyFile: $GH_TEST_UNSET}}\n", "storage.config.keyFile: the variable GH_TEST_UNSET" },
		{ "storage: [\n", "authd.yaml:" },
	};
	struct authd_config_places out;
	struct arena arena;

	arena_init(&arena, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config_error e = { "" };
		enum err err = places(cases[i].text, &arena, &out, &e);
		if (err != E_FORMAT || !strstr(e.text, cases[i].why))
			fail_msg("%s: %s: %s", cases[i].text, err_name(err), e.text);
	}
	arena_fini(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_smallest_config_has_the_documented_defaults, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(every_key_arrives_where_it_belongs, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(keys_match_in_any_case_as_in_dex, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(empty_optional_texts_are_absent_as_in_dex, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(every_key_of_a_wrong_type_is_refused_with_its_place, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(unknown_keys_are_refused_and_name_the_nearest, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(places_are_read_from_a_file_that_cannot_be_used_whole, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(places_that_are_not_said_are_an_error_that_says_where, config_unit_setup, config_unit_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
