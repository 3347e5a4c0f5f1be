#include "tests/unit/authd_config_unit.h"
#include "authd/config_internal.h"
#include "oidc/authorization_request.h"
#include "oidc/strict_json.h"
#include "oidc/token_claims.h"
#include "oidc/token_request.h"

static void
what_dex_knows_and_authd_does_not_carry_says_so(void **state)
{
	(void)state;
#define NOT(key) key ": is known to dex and not carried by authd yet: remove it"
	static const struct config_unit_refusal rows[] = {
		{ BASE "telemetry: {enableProfiling: true}\n", ":5: telemetry.enableProfiling: profiles of Go programs" },
		{ BASE "GRPC:\n", ":5: " NOT("GRPC") },
		{ BASE "logger: {excludeFields: [email, '']}\n", ":5: logger.excludeFields[1]: expected the name of a field" },
		{ BASE "grpc: {addr: ':5557'}\n", ":5: " NOT("grpc") },
		{ BASE "mfa: {authenticators: []}\n", ":5: " NOT("mfa") },
		{ BASE "expiry: {deviceRequests: 5s}\n", ":5: expiry.deviceRequests: expected a duration" },
		{ CLIENT(", refreshTokenLifetime: 1h"), ":6: " NOT("staticClients[0].refreshTokenLifetime") },
		{ CLIENT(", mfaChain: [x]"), ":6: " NOT("staticClients[0].mfaChain") },
		{ CLIENT(", ssoSharedWith: ['*']"), ":6: " NOT("staticClients[0].ssoSharedWith") },
		{ BASE "sessions: {cookieEncryptionKey: x}\n", ":5: " NOT("sessions.cookieEncryptionKey") },
		{ BASE "sessions: {ssoSharedWithDefault: all}\n", ":5: " NOT("sessions.ssoSharedWithDefault") },
		{ BASE "signer: {type: vault, config: {addr: x}}\n", ":5: signer.type: expected \"local\", found \"vault\", which is known to dex" },
		{ BASE "connectors: [{type: ldap, id: l, name: l}]\n", ":5: connectors[0].type: \"ldap\" is known to dex and not carried" },
		{ ISSUER "storage: {type: sqlite3, config: {file: /var/dex.db}}\n" WEB DB,
			":2: storage.type: expected `type: lmdb` with `config: {path: /var/lib/gatehouse}`: authd keeps its state in a folder of its own; "
			"found \"sqlite3\"" },
		{ ISSUER "storage: {type: kubernetes, config: {inCluster: true}}\n" WEB DB, ":2: storage.type: expected `type: lmdb`" },
	};
	EXPECT_REFUSALS(rows);
}

static void
issuers_that_clients_would_not_find_equal_are_refused(void **state)
{
	(void)state;
#define ISSUER_ROW(url, expected) { "issuer: '" url "'\n" STORAGE WEB DB, ":1: issuer: " expected }
	static const struct config_unit_refusal rows[] = {
		{ STORAGE WEB DB, ":1: issuer: expected a value for this required key" },
		ISSUER_ROW("", "expected a text that is not empty"),
		ISSUER_ROW("gw.example", "expected an http or https URL"),
		ISSUER_ROW("/oidc", "expected an http or https URL"),
		ISSUER_ROW("ftp://gw.example", "expected an http or https URL"),
		ISSUER_ROW("https://", "expected an http or https URL"),
		ISSUER_ROW("https://user@gw.example", "expected an http or https URL"),
		ISSUER_ROW("https://gw.example/oidc?a=b", "expected an http or https URL"),
		ISSUER_ROW("https://gw.example/oidc?", "expected an http or https URL"),
		ISSUER_ROW("https://gw.example/oidc#a", "expected an http or https URL"),
		ISSUER_ROW("https://gw.example/", "expected a path without '/' at its end"),
		ISSUER_ROW("https://gw.example/oidc/", "expected a path without '/' at its end"),
		ISSUER_ROW("https://gw.example//oidc", "expected a path without"),
		ISSUER_ROW("https://gw.example/a/../oidc", "expected a path without"),
		ISSUER_ROW("https://gw.example/a/..", "expected a path without"),
		ISSUER_ROW("https://gw.example/.", "expected a path without"),
		ISSUER_ROW("https://gw.example/o%69dc", "expected a path without"),
		ISSUER_ROW("https://GW.example/oidc", "expected scheme and host in lower case"),
		ISSUER_ROW("HTTPS://gw.example/oidc", "expected scheme and host in lower case"),
		ISSUER_ROW("https://gw.example:443/oidc", "expected scheme and host in lower case and no port"),
		ISSUER_ROW("http://gw.example:80", "expected scheme and host in lower case and no port"),
	};
	EXPECT_REFUSALS(rows);
}

static void
listeners_and_certificates_are_checked(void **state)
{
	(void)state;
#define WEB_ROW(web, expected) { ISSUER STORAGE "web: {" web "}\n" DB, ":3: " expected }
	static const struct config_unit_refusal rows[] = {
		{ ISSUER STORAGE DB, ":1: web: expected a value for this required key" },
		WEB_ROW("", "web: expected at least one of unix, http and https to listen on"),
		WEB_ROW("http: 5556", "web.http: expected "),
		WEB_ROW("http: 'host.example:80'", "web.http: expected "),
		WEB_ROW("http: ':99999'", "web.http: expected "),
		WEB_ROW("http: 'unix:/x'", "web.http: expected host:port (web.unix is the key for a socket), found \"unix:/x\""),
		WEB_ROW("unix: run/authd.sock", "web.unix: expected the absolute path of a socket"),
		WEB_ROW("unix: /0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678",
			"web.unix: expected a path of at most 107 bytes, found one of 110"),
		WEB_ROW("unix: /a, ctl: run/ctl.sock", "web.ctl: expected the absolute path of a socket"),
		WEB_ROW("unix: /a, ctl: /a", "web.ctl: \"/a\" is the socket of web.unix too, which proxyd reaches"),
		WEB_ROW("unix: /a, ctl: /0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678",
			"web.ctl: expected a path of at most 107 bytes, found one of 110"),
		{ ISSUER "storage: {type: lmdb, config: {path: /0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789}}\n"
			 WEB DB, ":3: web.ctl: expected the path of the socket for authd ctl: /0123456789" },
		WEB_ROW("https: ':1'", "web.https: needs tlsCert and tlsKey beside it"),
		WEB_ROW("https: ':1', tlsCert: @/cert.pem", "web.https: needs tlsCert and tlsKey"),
		WEB_ROW("http: ':1', tlsCert: @/cert.pem", "web.tlsCert: needs https: host:port beside it"),
		WEB_ROW("http: ':1', tlsKey: @/key.pem", "web.tlsKey: needs https: host:port beside it"),
		WEB_ROW("https: ':1', tlsCert: @/none.pem, tlsKey: @/key.pem", "web.tlsCert: expected a readable file"),
		WEB_ROW("https: ':1', tlsCert: @/cert.pem, tlsKey: @/other-key.pem", "web.tlsKey: "),
		WEB_ROW("https: ':1', tlsCert: @/expired.pem, tlsKey: @/key.pem", "web.tlsCert: "),
		WEB_ROW("https: ':1', tlsCert: @/broken.pem, tlsKey: @/key.pem", "web.tlsCert: "),
		WEB_ROW("http: ':1', https: ':1', tlsCert: @/cert.pem, tlsKey: @/key.pem", "web.https: \":1\" is the address of web.http too"),
		WEB_ROW("http: ':1', tlsMinVersion: 1.1", "web.tlsMinVersion: expected 1.2 or 1.3, found \"1.1\""),
		WEB_ROW("http: ':1', tlsMaxVersion: 1.4", "web.tlsMaxVersion: expected 1.2 or 1.3, found \"1.4\""),
		WEB_ROW("http: ':1', tlsMinVersion: 1.3, tlsMaxVersion: 1.2", "web.tlsMaxVersion: expected at least tlsMinVersion"),
		WEB_ROW("http: ':1', allowedHeaders: [X-Fine, 'not one']", "web.allowedHeaders[1]: expected the name of a header"),
		WEB_ROW("http: ':1', headers: {X-Frame-Options: \"a\\nb: c\"}", "web.headers.X-Frame-Options: expected one line of printable ASCII"),
		WEB_ROW("http: ':1', headers: {Content-Security-Policy: ' a'}", "web.headers.Content-Security-Policy: expected one line"),
		WEB_ROW("http: ':1', headers: {X-Powered-By: x}", "web.headers.X-Powered-By: expected a known key"),
		WEB_ROW("http: ':1', clientRemoteIP: {header: 'X Y'}", "web.clientRemoteIP.header: expected the name of a header"),
		WEB_ROW("http: ':1', clientRemoteIP: {header: X-Real-IP, trustedProxies: [10.0.0.0/8, 10.0.0.1]}",
			"web.clientRemoteIP.trustedProxies[1]: expected a block of addresses such as 10.0.0.0/8 or fd00::/8, found \"10.0.0.1\""),
		WEB_ROW("http: ':1', allowedOrigins: ['https://a/']", "web.allowedOrigins[0]: expected \"*\" or an origin"),
		WEB_ROW("http: ':1', allowedOrigins: ['*', 'https://A']", "web.allowedOrigins[1]: expected \"*\" or an origin"),
		WEB_ROW("http: ':1', allowedOrigins: ['https://a:443']", "web.allowedOrigins[0]: expected \"*\" or an origin"),
		WEB_ROW("http: ':1', allowedOrigins: [a.example]", "web.allowedOrigins[0]: expected \"*\" or an origin"),
	};
	EXPECT_REFUSALS(rows);
}

static void
protocol_settings_are_checked(void **state)
{
	(void)state;
	static const struct config_unit_refusal rows[] = {
		{ BASE "oauth2: {grantTypes: []}\n", ":5: oauth2.grantTypes: expected authorization_code among them" },
		{ BASE "oauth2: {grantTypes: [refresh_token]}\n", ":5: oauth2.grantTypes: expected authorization_code among them" },
		{ BASE "oauth2: {grantTypes: [code]}\n", ":5: oauth2.grantTypes[0]: expected authorization_code, refresh_token, "
			"urn:ietf:params:oauth:grant-type:device_code, password, client_credentials, urn:ietf:params:oauth:grant-type:token-exchange or implicit, found \"code\"" },
		{ CLIENT(", groups: ['']"), ":6: staticClients[0].groups[0]: expected the name of a group" },
		{ CLIENT(", subject: mail"), ":6: staticClients[0].subject: expected encoded or plain, found \"mail\"" },
		{ CLIENT(", idTokenSignedResponseAlg: HS256"), ":6: staticClients[0].idTokenSignedResponseAlg: expected RS256 or ES256, found \"HS256\"" },
		{ CLIENT(", idTokenSignedResponseAlg: none"), ":6: staticClients[0].idTokenSignedResponseAlg: expected RS256 or ES256, found \"none\"" },
		{ CLIENT(", idTokenSignedResponseAlg: ES384"), ":6: staticClients[0].idTokenSignedResponseAlg: expected RS256 or ES256, found \"ES384\"" },
		{ CLIENT(", idTokenSignedResponseAlg: [ES256]"), ":6: staticClients[0].idTokenSignedResponseAlg: expected a text" },
		{ CLIENT(", idTokenSignedResponseAlgs: ES256"), ":6: staticClients[0].idTokenSignedResponseAlgs: expected a known key (the nearest is \"idTokenSignedResponseAlg\")" },
		{ CLIENT(", claims: [{name: a}]"), ":6: staticClients[0].claims[0]: expected either value or from beside the name, found neither" },
		{ CLIENT(", claims: [{name: a, value: b, from: email}]"), ":6: staticClients[0].claims[0]: expected either value or from beside the name, found both" },
		{ CLIENT(", claims: [{name: groups, value: b}]"), ":6: staticClients[0].claims[0].name: \"groups\" is a claim that authd sets itself" },
		{ CLIENT(", claims: [{name: a, from: password}]"), ":6: staticClients[0].claims[0].from: expected sub, user_id, connector_id, name" },
		{ CLIENT(", claims: [{name: a, value: b}, {name: a, value: c}]"), ":6: staticClients[0].claims[1].name: \"a\" is the name of claims[0] too" },
		{ CLIENT(", claims: [{name: a, value: \"b\\nc\"}]"), ":6: staticClients[0].claims[0].value: expected a text of 1 to" },
		{ CLIENT(", claims: [{value: b}]"), ":6: staticClients[0].claims[0].name: expected a value for this required key" },
		{ CLIENT(", expiry: {idTokens: 0}"), ":6: staticClients[0].expiry.idTokens: expected a duration" },
		{ CLIENT(", expiry: {idTokens: 8000h}"), ":6: staticClients[0].expiry.idTokens: expected at most 48 times the period" },
		{ CLIENT(", expiry: {refreshTokens: {absoluteLifetime: 1ms}}"), ":6: staticClients[0].expiry.refreshTokens.absoluteLifetime: expected a duration" },
		{ CLIENT(", expiry: {accessTokens: 1h}"), ":6: staticClients[0].expiry.accessTokens: expected a known key" },
		{ CLIENT(", grantTypes: [refresh_tokens]"), ":6: staticClients[0].grantTypes[0]: expected authorization_code, refresh_token, urn:" },
		{ CLIENT(", redirectURIs: [/device/callbacks]"), ":6: staticClients[0].redirectURIs[0]: expected an absolute URI: the one path that means something" },
		{ CLIENT(", postLogoutRedirectURIs: [/device/callback]"), ":6: staticClients[0].postLogoutRedirectURIs[0]: expected an absolute URI: the one path" },
		{ BASE "oauth2: {responseTypes: [Code]}\n", ":5: oauth2.responseTypes[0]: expected code, id_token or token, found \"Code\"" },
		{ BASE "oauth2: {responseTypes: [code, code id_token id_token]}\n", ":5: oauth2.responseTypes[1]: expected code, id_token or token" },
		{ BASE "oauth2: {responseTypes: [id_token]}\n", ":5: oauth2.responseTypes: expected code among them" },
		{ BASE "oauth2: {responseTypes: []}\n", ":5: oauth2.responseTypes: expected code among them" },
		{ BASE "oauth2: {passwordConnector: ldap}\n", ":5: oauth2.passwordConnector: expected \"local\", found \"ldap\"" },
		{ ISSUER STORAGE WEB "connectors: []\noauth2: {passwordConnector: local}\n", ":5: oauth2.passwordConnector: needs enablePasswordDB: true" },
		{ BASE "oauth2: {pkce: {codeChallengeMethodsSupported: [plain]}}\n",
			":5: oauth2.pkce.codeChallengeMethodsSupported: expected S256 among them" },
		{ BASE "oauth2: {pkce: {codeChallengeMethodsSupported: [S512]}}\n",
			":5: oauth2.pkce.codeChallengeMethodsSupported[0]: expected S256 or plain, found \"S512\"" },
		{ BASE "expiry: {idTokens: 10h, signingKeys: 10m}\n",
			":5: expiry.idTokens: expected at most 48 times the period in which signing keys are rotated" },
		{ BASE "signer: {type: hsm}\n", ":5: signer.type: expected \"local\", found \"hsm\"" },
		{ BASE "sessions: {cookieName: 'a b'}\n", ":5: sessions.cookieName: expected the name of a cookie" },
		{ BASE "sessions: {cookieName: 'a;b'}\n", ":5: sessions.cookieName: expected the name of a cookie" },
		{ "issuer: http://127.0.0.1:5556\n" STORAGE WEB DB "sessions: {cookieName: __Host-x}\n",
			":5: sessions.cookieName: browsers take \"__Host-x\" over https only" },
		{ BASE "sessions: {absoluteLifetime: 1h, validIfNotUsedFor: 2h}\n", ":5: sessions.validIfNotUsedFor: expected at most" },
		{ BASE "console: {gateway: 'https://gw/x'}\n", ":5: console.gateway: expected scheme and host" },
		{ BASE "console: {certificateAuthority: @/broken.pem}\n", ":5: console.certificateAuthority: " },
		{ BASE "console: {certificateAuthority: @/none.pem}\n", ":5: console.certificateAuthority: expected a readable file" },
		{ BASE "console: {clientID: app}\n", ":5: console.clientID: expected the id of a public client in staticClients, found \"app\"" },
		{ BASE "revocations: {}\n", ":5: revocations.secretFile: expected" },
		{ BASE "revocations: {secretFile: /nonexistent/secret}\n", ":5: revocations.secretFile: " },
		{ BASE "revocations: {secretFile: /etc/passwd}\n", ":5: revocations.secretFile: /etc/passwd: everybody on this machine may read or change it" },
		{ CLIENT("") "console: {clientID: app}\n", ":7: console.clientID: expected the id of a public client" },
		{ BASE "console: {clusters: [Default]}\n", ":5: console.clusters[0]: expected a DNS label" },
		{ BASE "console: {clusters: [a, b, a]}\n", ":5: console.clusters[2]: \"a\" occurs twice" },
		{ BASE "sandbox: yes\n", ":5: sandbox: expected available or required, found" },
		{ BASE "user: nobody-of-this-name\n", ":5: user: there is no user called" },
		{ BASE "frontend: {issuer: \"a\\nb\"}\n", ":5: frontend.issuer: expected a text of 1 to 1024 bytes without control characters" },
		{ ISSUER STORAGE WEB, ":1: connectors: expected a connector, or enablePasswordDB: true" },
	};
	EXPECT_REFUSALS(rows);
}

static void
clients_are_checked(void **state)
{
	(void)state;
#define REDIRECT(uri) CLIENT(", redirectURIs: [\"" uri "\"]")
	static const struct config_unit_refusal rows[] = {
		{ BASE "staticClients:\n- {secret: s, name: n}\n", ":6: staticClients[0].id: expected id, or idEnv, found nothing" },
		{ BASE "staticClients:\n- {id: \"a\\tb\", secret: s, name: n}\n", ":6: staticClients[0].id: expected at most 256 visible ASCII" },
		{ BASE "staticClients:\n- {id: a, idEnv: GH_TEST_ID, secret: s, name: n}\n", ":6: staticClients[0].idEnv: expected either this key or id" },
		{ BASE "staticClients:\n- {idEnv: GH_TEST_UNSET, secret: s, name: n}\n",
			":6: staticClients[0].idEnv: expected the name of an environment variable that is set and not empty, found \"GH_TEST_UNSET\"" },
		{ BASE "staticClients:\n- {id: a, secretEnv: GH_TEST_EMPTY, name: n}\n", ":6: staticClients[0].secretEnv: expected the name of an env" },
		{ BASE "staticClients:\n- {id: a, secret: s, secretEnv: GH_TEST_SECRET, name: n}\n",
			":6: staticClients[0].secretEnv: expected either this key or secret" },
		{ BASE "staticClients:\n- {id: a, name: n}\n", ":6: staticClients[0].secret: expected secret, or secretEnv, or public: true" },
		{ BASE "staticClients:\n- {id: a, secret: s}\n", ":6: staticClients[0].name: expected a value for this required key" },
		{ CLIENT(", backchannelLogoutURI: 'http://app.example/out'"), ":6: staticClients[0].backchannelLogoutURI: expected an https URL without a fragment" },
		{ CLIENT(", backchannelLogoutSessionRequired: true"), ":6: staticClients[0].backchannelLogoutSessionRequired: needs backchannelLogoutURI beside it" },
		{ CLIENT("}\n- {id: app, secret: t, name: x"), ":7: staticClients[1].id: \"app\" is the id of staticClients[0] too" },
		{ CLIENT(", postLogoutRedirectURIs: [\"javascript:alert(1)\"]"), ":6: staticClients[0].postLogoutRedirectURIs[0]: expected a URI that leads to an application" },
		{ REDIRECT("app.example/cb"), ":6: staticClients[0].redirectURIs[0]: expected an absolute URI, such as" },
		{ REDIRECT(""), ":6: staticClients[0].redirectURIs[0]: expected an absolute URI, such as" },
		{ REDIRECT("scheme:"), ":6: staticClients[0].redirectURIs[0]: expected an absolute URI, such as" },
		{ REDIRECT("https://a/b#c"), ":6: staticClients[0].redirectURIs[0]: expected an absolute URI of visible ASCII" },
		{ REDIRECT("https://a/b c"), ":6: staticClients[0].redirectURIs[0]: expected an absolute URI of visible ASCII" },
		{ REDIRECT("https://a/\xc3\xa4"), ":6: staticClients[0].redirectURIs[0]: expected an absolute URI of visible ASCII" },
		{ REDIRECT("https://u:p@a/b"), ":6: staticClients[0].redirectURIs[0]: expected an http or https URL with a host and without a user" },
		{ REDIRECT("https:b"), ":6: staticClients[0].redirectURIs[0]: expected an http or https URL with a host" },
		{ REDIRECT("JavaScript:alert(1)"), ":6: staticClients[0].redirectURIs[0]: expected a URI that leads to an application" },
		{ REDIRECT("data:text/html,x"), ":6: staticClients[0].redirectURIs[0]: expected a URI that leads to an application" },
		{ CLIENT(", redirectURIs: ['https://a/b', '*']"), ":6: staticClients[0].redirectURIs[1]: expected an absolute URI" },
		{ CLIENT(", trustedPeers: ['']"), ":6: staticClients[0].trustedPeers[0]: expected the id of a client" },
		{ CLIENT(", allowedConnectors: [githbu]"),
			":6: staticClients[0].allowedConnectors[0]: expected the id of a connector or \"local\", found \"githbu\"" },
		{ CLIENT(", logoURL: /logo.png"), ":6: staticClients[0].logoURL: expected an http or https URL" },
	};
	EXPECT_REFUSALS(rows);
}

static void
people_are_checked(void **state)
{
	(void)state;
	static const struct config_unit_refusal rows[] = {
		{ ISSUER STORAGE WEB "staticPasswords: [{email: a, hash: x}]\n", ":4: staticPasswords: needs enablePasswordDB: true" },
		{ BASE "staticPasswords:\n- {hash: " HASH ", userID: x}\n", ":6: staticPasswords[0].email: expected a value" },
		{ BASE "staticPasswords:\n- {email: a, userID: x}\n", ":6: staticPasswords[0].hash: expected hash, or hashFromEnv, found nothing" },
		{ BASE "staticPasswords:\n- {email: a, userID: x, hashFromEnv: GH_TEST_UNSET}\n",
			":6: staticPasswords[0].hashFromEnv: expected the name of an environment variable that is set" },
		{ BASE "staticPasswords:\n- {email: a, userID: x, hashFromEnv: GH_TEST_ID}\n",
			":6: staticPasswords[0].hashFromEnv: expected a bcrypt hash of 60 characters" },
		{ BASE "staticPasswords:\n- {email: a, userID: x, hash: password}\n", ":6: staticPasswords[0].hash: expected a bcrypt hash" },
		{ BASE "staticPasswords:\n- {email: a, userID: x, hash: $2a$04$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W}\n",
			":6: staticPasswords[0].hash: expected a bcrypt hash of cost 10 or more" },
		{ BASE "staticPasswords:\n- {email: a, hash: " HASH "}\n", ":6: staticPasswords[0].userID: expected a text that no other person has" },
		{ PERSON("}\n- {email: A@Example.com, userID: '2', hash: " HASH),
			":7: staticPasswords[1].email: \"A@Example.com\" is the email of staticPasswords[0] too" },
		{ PERSON("}\n- {email: b, userID: '1', hash: " HASH), ":7: staticPasswords[1].userID: \"1\" is the userID of staticPasswords[0] too" },
		{ PERSON(", groups: [a, ' system:masters']"), ":6: staticPasswords[0].groups[1]: expected a text of 1 to 1024 bytes" },
		{ PERSON(", groups: [\"a\\rb\"]"), ":6: staticPasswords[0].groups[0]: expected a text of 1 to 1024 bytes" },
		{ PERSON(", username: ' a'"), ":6: staticPasswords[0].username: expected a text of 1 to 1024 bytes" },
		{ PERSON(", name: \"a\\0b\""), ":" },
		{ PERSON(", preferredUsername: \"\\x7f\""), ":6: staticPasswords[0].preferredUsername: expected a text of 1 to 1024 bytes" },
	};
	EXPECT_REFUSALS(rows);
}

static void
connectors_are_checked(void **state)
{
	(void)state;
#define CONNECTOR(head, config) BASE "connectors:\n- {" head ", config: {" config "}}\n"
	static const struct config_unit_refusal rows[] = {
		{ CONNECTOR("id: g, name: g", GITHUB_KEYS), ":6: connectors[0].type: expected a value for this required key" },
		{ CONNECTOR("type: github, name: g", GITHUB_KEYS), ":6: connectors[0].id: expected a value" },
		{ CONNECTOR("type: github, id: g", GITHUB_KEYS), ":6: connectors[0].name: expected a value" },
		{ CONNECTOR("type: githbu, id: g, name: g", GITHUB_KEYS), ":6: connectors[0].type: expected \"github\", found \"githbu\"" },
		{ CONNECTOR("type: github, id: local, name: g", GITHUB_KEYS), ":6: connectors[0].id: \"local\" is the id of the password database" },
		{ CONNECTOR("type: github, id: a/b, name: g", GITHUB_KEYS), ":6: connectors[0].id: expected letters, digits" },
		{ CONNECTOR("type: github, id: .., name: g", GITHUB_KEYS), ":6: connectors[0].id: expected letters, digits" },
		{ GITHUB("}}\n- {type: github, id: github, name: Again, config: {" GITHUB_KEYS), ":7: connectors[1].id: \"github\" is the id of connectors[0] too" },
		{ BASE "connectors:\n- {type: github, id: g, name: g}\n", ":6: connectors[0].config.clientID: expected a value for this required key" },
		{ CONNECTOR("type: github, id: g, name: g", "clientID: i, redirectURI: 'https://gw.example/oidc/callback'"),
			":6: connectors[0].config.clientSecret: expected a value" },
		{ CONNECTOR("type: github, id: g, name: g", "clientID: i, clientSecret: s"), ":6: connectors[0].config.redirectURI: expected a value" },
		{ CONNECTOR("type: github, id: g, name: g", "clientID: i, clientSecret: s, redirectURI: 'https://gw.example/callback'"),
			":6: connectors[0].config.redirectURI: expected \"https://gw.example/oidc/callback\", the issuer's own page" },
		{ CONNECTOR("type: github, id: g, name: g", "clientID: $GH_TEST_UNSET, clientSecret: s, redirectURI: x"),
			":6: connectors[0].config.clientID: expected environment variable GH_TEST_UNSET to be set" },
		{ GITHUB("}, grantTypes: [x]}\n- {type: github, id: other, name: Other, config: {" GITHUB_KEYS),
			":6: connectors[0].grantTypes[0]: expected authorization_code, refresh_token, urn:" },
		{ GITHUB(", org: a, orgs: [{name: b}]"), ":6: connectors[0].config.org: expected either org or orgs, found both" },
		{ GITHUB(", orgs: [{teams: [a]}]"), ":6: connectors[0].config.orgs[0].name: expected a value" },
		{ GITHUB(", orgs: [{name: a}, {name: A}]"), ":6: connectors[0].config.orgs[1].name: \"A\" is the name of orgs[0] too" },
		{ GITHUB(", orgs: [{name: a, teams: [b, '']}]"), ":6: connectors[0].config.orgs[0].teams[1]: expected the name of a team" },
		{ GITHUB(", hostName: 'https://git.example'"), ":6: connectors[0].config.hostName: expected a host name without scheme and '/'" },
		{ GITHUB(", hostName: git.example/x"), ":6: connectors[0].config.hostName: expected a host name without scheme and '/'" },
		{ GITHUB(", rootCA: @/none.pem"), ":6: connectors[0].config.rootCA: expected a readable file" },
		{ GITHUB(", rootCA: @/key.pem"), ":6: connectors[0].config.rootCA: " },
		{ GITHUB(", preferredEmailDomain: '@example.com'"), ":6: connectors[0].config.preferredEmailDomain: expected a domain" },
		{ GITHUB(", preferredEmailDomain: '*.*.com'"), ":6: connectors[0].config.preferredEmailDomain: expected a domain" },
		{ GITHUB(", preferredEmailDomain: example."), ":6: connectors[0].config.preferredEmailDomain: expected a domain" },
		{ GITHUB(", preferredEmailDomain: example"), ":6: connectors[0].config.preferredEmailDomain: expected a domain" },
		{ GITHUB(", baseURL: 'http://git.example'"), ":6: connectors[0].config.baseURL: expected an https URL" },
		{ GITHUB(", baseURL: 'https://git.example/'"), ":6: connectors[0].config.baseURL: expected an https URL" },
		{ GITHUB(", apiURL: 'https://git.example/api?x'"), ":6: connectors[0].config.apiURL: expected an https URL" },
	};
	EXPECT_REFUSALS(rows);
}

static unsigned
response_types(const char *list)
{
	char text[512];

	snprintf(text, sizeof(text), BASE "oauth2: {responseTypes: [%s]}\n", list);
	struct authd_config *c = config_unit_load_ok(text);
	unsigned types = c->oauth2.response_types;
	assert_int_equal(!!(c->oauth2.grants & GRANT_BIT(GRANT_IMPLICIT)), types != 1u << RESPONSE_CODE);
	authd_config_free(c);
	return types;
}

static void
response_types_are_words_to_combine_or_combinations(void **state)
{
	(void)state;
	const unsigned code = 1u << RESPONSE_CODE, id = 1u << RESPONSE_ID_TOKEN, id_token = 1u << (RESPONSE_ID_TOKEN | RESPONSE_TOKEN);
	const unsigned code_id = 1u << (RESPONSE_CODE | RESPONSE_ID_TOKEN), code_token = 1u << (RESPONSE_CODE | RESPONSE_TOKEN);
	const unsigned everything = 1u << (RESPONSE_CODE | RESPONSE_ID_TOKEN | RESPONSE_TOKEN);

	assert_int_equal(response_types("code"), code);
	assert_int_equal(response_types("code, id_token"), code | id | code_id);
	assert_int_equal(response_types("code, token"), code | code_token); /* a token alone says nothing about who signed in */
	assert_int_equal(response_types("code, token, id_token"), code | id | id_token | code_id | code_token | everything);
	assert_int_equal(response_types("code, code id_token"), code | code_id);
	assert_int_equal(response_types("code, token id_token"), code | id_token);
}

static void
what_is_set_for_one_client_alone_is_taken_over(void **state)
{
	(void)state;
	struct authd_config *c = config_unit_load_ok(CLIENT(
		", grantTypes: [refresh_token, 'urn:ietf:params:oauth:grant-type:device_code'], groups: ['acme:*', ops], subject: plain, idTokenSignedResponseAlg: ES256, "
		"claims: [{name: tenant, value: acme}, {name: login, from: preferred_username}], "
		"expiry: {idTokens: 30h, refreshTokens: {absoluteLifetime: 2h, validIfNotUsedFor: 1h}}}\n- {id: b, secret: x, name: B"));
	const struct client *a = &c->clients[0], *b = &c->clients[1];

	assert_int_equal(a->grant_types, GRANT_BIT(GRANT_REFRESH_TOKEN) | GRANT_BIT(GRANT_DEVICE_CODE));
	assert_int_equal(a->group_n, 2);
	assert_string_equal(a->groups[0], "acme:*");
	assert_true(a->plain_subject);
	assert_int_equal(a->signing_alg, JWS_ES256);
	assert_int_equal(b->signing_alg, JWS_ALG_NONE);
	assert_int_equal(a->claim_n, 2);
	assert_string_equal(a->claims[0].name, "tenant");
	assert_string_equal(a->claims[0].text, "acme");
	assert_int_equal(a->claims[1].from, CLAIM_PREFERRED_USERNAME);
	assert_int_equal(a->id_tokens_s, 30 * 3600);
	assert_int_equal(a->refresh_absolute_s, 7200);
	assert_int_equal(a->refresh_idle_s, 3600);
	assert_int_equal(authd_config_tokens_longest_s(c), 30 * 3600);
	assert_int_equal(b->grant_types | (unsigned)b->plain_subject | b->group_n | b->claim_n, 0);
	assert_int_equal(b->id_tokens_s, 0);
	authd_config_free(c);
}

/* What is printed is signed as it stands, so a name that authd prints must not come from the configuration a second time. */
static void
every_claim_that_is_printed_is_refused_as_a_client_s_own(void **state)
{
	(void)state;
	static const struct slice groups[] = { { "g", 1 } }, audiences[] = { { "a", 1 } };
	const struct slice x = SLICE_LIT("x");
	const struct token_person person = { .connector_id = x, .user_id = x, .name = x, .preferred_username = x, .email = x, .groups = groups, .group_n = 1 };
	const struct id_token_claims id = { .issuer = x, .client_id = x, .audiences = audiences, .audience_n = 1, .person = &person, .scopes = ~0u, .nonce = x,
		.sid = x, .jti = x, .access_token = x, .code = x, .alg = JWS_ES256, .auth_time = 1, .issued_at = 1, .expires_at = 1 };
	const struct access_token_claims access = { .issuer = x, .client_id = x, .scope = x, .jti = x, .sid = x, .grant = x, .person = &person };
	const struct logout_token_claims logout = { .issuer = x, .client_id = x, .sid = x, .jti = x, .person = &person };
	struct buf texts[4];
	size_t names = 0;

	for (size_t i = 0; i < 4; i++)
		buf_init(&texts[i], 0);
	id_token_claims_print(&id, &texts[0]);
	access_token_claims_print(&access, &texts[1]);
	logout_token_claims_print(&logout, &texts[2]);
	userinfo_claims_print(&person, ~0u, &texts[3]);
	for (size_t i = 0; i < 4; i++) {
		json_t *claims, *value;
		const char *name;
		assert_int_equal(strict_json_parse(buf_slice(&texts[i]), &claims), OK);
		json_object_foreach(claims, name, value) {
			struct buf config, expected;
			buf_init(&config, 0);
			buf_init(&expected, 0);
			buf_printf(&config, CLIENT(", claims: [{name: %s, value: b}]"), name);
			buf_printf(&expected, ":6: staticClients[0].claims[0].name: \"%s\" is a claim that authd sets itself", name);
			const struct config_unit_refusal row[] = { { config.p, expected.p } };
			EXPECT_REFUSALS(row);
			buf_fini(&config);
			buf_fini(&expected);
			names++;
		}
		json_decref(claims);
		buf_fini(&texts[i]);
	}
	assert_int_equal(names, 18 + 10 + 8 + 7);
}

static void
variables_are_replaced_only_where_dex_does_it(void **state)
{
	(void)state;
	struct authd_config *c = config_unit_load_ok(
		CLIENT("}\n- {id: $GH_TEST_ID, secret: $GH_TEST_SECRET, name: $GH_TEST_UNSET") "frontend: {issuer: $GH_TEST_UNSET}\n");

	assert_string_equal(c->clients[1].id, "$GH_TEST_ID");
	assert_string_equal(c->clients[1].secret, "$GH_TEST_SECRET");
	assert_string_equal(c->clients[1].name, "$GH_TEST_UNSET");
	assert_string_equal(c->frontend.issuer, "$GH_TEST_UNSET");
	authd_config_free(c);
}

static void
no_error_shows_a_secret(void **state)
{
	(void)state;
	static const char *const texts[] = {
		BASE "staticClients: [{id: a, secret: [hunter2]}]\n",
		BASE "staticClients: [{id: a, secret: hunter2, secretEnv: GH_TEST_SECRET, name: n}]\n",
		BASE "staticClients: [{id: a, secret: {hunter2: x}}]\n",
		BASE "staticPasswords: [{email: a, userID: b, hash: hunter2}]\n",
		CONNECTOR("type: github, id: g, name: g", "clientID: i, clientSecret: [hunter2], redirectURI: x"),
		CONNECTOR("type: github, id: g, name: g", "clientID: i, clientSecret: $hunter2, redirectURI: x"),
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct config_error e = { "" };
		struct authd_config *c = NULL;
		assert_int_equal(config_unit_load(texts[i], &c, &e), E_FORMAT);
		if (strstr(e.text, "hunter2"))
			fail_msg("%s\ngave: %s", texts[i], e.text);
	}
}

static void
a_file_that_cannot_be_read_is_a_system_error(void **state)
{
	(void)state;
	struct config_error e = { "" };
	struct authd_config *c = NULL;
	char path[128];

	snprintf(path, sizeof(path), "%s/none.yaml", config_unit_folder);
	assert_int_equal(authd_config_load(path, &config_unit_now.clock, &c, &e), E_SYSTEM);
	assert_non_null(strstr(e.text, "none.yaml"));
	assert_non_null(strstr(e.text, "No such file"));
	assert_null(c);
}

static void
a_text_in_memory_loads_like_a_file(void **state)
{
	(void)state;
	struct config_error e = { "" };
	struct authd_config *c = NULL;

	assert_int_equal(authd_config_load_text("memory", SLICE_LIT(BASE), &config_unit_now.clock, &c, &e), OK);
	assert_string_equal(c->file, "memory");
	authd_config_free(c);
	assert_int_equal(authd_config_load_text("memory", SLICE_LIT("a: [\n"), &config_unit_now.clock, &c, &e), E_FORMAT);
	assert_int_equal(strncmp(e.text, "memory:", 7), 0);
	authd_config_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_dex_knows_and_authd_does_not_carry_says_so, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(issuers_that_clients_would_not_find_equal_are_refused, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(listeners_and_certificates_are_checked, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(protocol_settings_are_checked, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(clients_are_checked, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(people_are_checked, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(connectors_are_checked, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(what_is_set_for_one_client_alone_is_taken_over, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(response_types_are_words_to_combine_or_combinations, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(every_claim_that_is_printed_is_refused_as_a_client_s_own, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(variables_are_replaced_only_where_dex_does_it, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(no_error_shows_a_secret, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(a_file_that_cannot_be_read_is_a_system_error, config_unit_setup, config_unit_teardown),
		cmocka_unit_test_setup_teardown(a_text_in_memory_loads_like_a_file, config_unit_setup, config_unit_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
