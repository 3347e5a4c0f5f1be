/* What is wrong with a configuration of proxyd is said with its file, line and key. */
#include "tests/unit/proxyd_config_unit.h"

static void
a_wrong_type_is_reported_with_file_line_and_key(void **state)
{
	static const struct refusal cases[] = {
		{ "", ": listen: expected" },
		{ "- a\n", ":1: expected a map" },
		{ "workers: 1\n", ":1: listen: expected" },
		{ "listen: []\n", ":1: listen: expected" },
		{ "listen: yes\n", ":1: listen: expected a list" },
		{ "listen: {address: a}\n", ":1: listen: expected a list" },
		{ "listen: [a]\n", ":1: listen[0]: expected a map" },
		{ "listen:\n- {" TLS "}\n", ":2: listen[0].address: expected" },
		{ "listen:\n- {address: [], " TLS "}\n", ":2: listen[0].address: expected a text" },
		{ "listen:\n- {address: '', " TLS "}\n", ":2: listen[0].address: expected" },
		{ "listen:\n- {address: '127.0.0.1:0'}\n", ":2: listen[0].tls: expected" },
		{ "listen:\n- {address: '127.0.0.1:0', tls: true}\n", ":2: listen[0].tls: expected a map" },
		{ "listen:\n- {address: '127.0.0.1:0', tls: {keyFile: @/key.pem}}\n", ":2: listen[0].tls.certFile: expected" },
		{ "listen:\n- {address: '127.0.0.1:0', tls: {certFile: {}, keyFile: @/key.pem}}\n", ":2: listen[0].tls.certFile: expected a text" },
		{ "listen:\n- {address: '127.0.0.1:0', tls: {certFile: @/cert.pem}}\n", ":2: listen[0].tls.keyFile: expected" },
		{ "listen:\n- {address: '127.0.0.1:0', tls: {certFile: @/cert.pem, keyFile: []}}\n", ":2: listen[0].tls.keyFile: expected a text" },
		{ "listen:\n- {address: '127.0.0.1:0', tls: {certFile: @/cert.pem, keyFile: @/key.pem, minVersion: '1.1'}}\n",
			":2: listen[0].tls.minVersion: expected 1.2 or 1.3" },
		{ LISTEN "workers: many\n", ":2: workers: expected a whole number from 0 to 256" },
		{ LISTEN "workers: 257\n", ":2: workers: expected a whole number from 0 to 256" },
		{ LISTEN "workers: -1\n", ":2: workers: expected a whole number from 0 to 256" },
		{ LISTEN "user: [a]\n", ":2: user: expected a text" },
		{ LISTEN "authentication: 1\n", ":2: authentication: expected a map" },
		{ LISTEN "authentication: {jwt: 1}\n", ":2: authentication.jwt: expected a list" },
		{ LISTEN "authentication: {jwt: [1]}\n", ":2: authentication.jwt[0]: expected a map" },
		{ LISTEN "authentication: {jwt: [{}]}\n", ":2: authentication.jwt[0].issuer: expected" },
		{ LISTEN "authentication: {jwt: [{issuer: 1}]}\n", ":2: authentication.jwt[0].issuer: expected a map" },
		{ LISTEN "authentication: {jwt: [{issuer: {audiences: [a]}}]}\n", ":2: authentication.jwt[0].issuer.url: expected" },
		{ LISTEN "authentication: {jwt: [{issuer: {url: [], audiences: [a]}}]}\n", ":2: authentication.jwt[0].issuer.url: expected a text" },
		{ LISTEN "authentication: {jwt: [{issuer: {url: 'https://i'}}]}\n", ":2: authentication.jwt[0].issuer.audiences: expected" },
		{ LISTEN "authentication: {jwt: [{issuer: {url: 'https://i', audiences: a}}]}\n",
			":2: authentication.jwt[0].issuer.audiences: expected a list" },
		{ LISTEN "authentication: {jwt: [{issuer: {url: 'https://i', audiences: []}}]}\n", ":2: authentication.jwt[0].issuer.audiences: expected" },
		{ LISTEN "authentication: {jwt: [{issuer: {url: 'https://i', audiences: [{}]}}]}\n",
			":2: authentication.jwt[0].issuer.audiences[0]: expected a text" },
		{ LISTEN "authentication: {jwt: [{issuer: {url: 'https://i', audiences: [a], audienceMatchPolicy: All}}]}\n",
			":2: authentication.jwt[0].issuer.audienceMatchPolicy: expected MatchAny" },
		{ LISTEN "authentication: {jwt: [{issuer: {url: 'https://i', audiences: [a], discoveryURL: []}}]}\n",
			":2: authentication.jwt[0].issuer.discoveryURL: expected a text" },
		{ LISTEN "authentication: {jwt: [{issuer: {url: 'https://i', audiences: [a], certificateAuthority: []}}]}\n",
			":2: authentication.jwt[0].issuer.certificateAuthority: expected a text" },
		{ JWT(", claimMappings: 1"), ":4: authentication.jwt[0].claimMappings: expected a map" },
		{ JWT(", claimMappings: {username: sub}"), ":4: authentication.jwt[0].claimMappings.username: expected a map" },
		{ JWT(", claimMappings: {username: {claim: []}}"), ":4: authentication.jwt[0].claimMappings.username.claim: expected a text" },
		{ JWT(", claimMappings: {username: {claim: a, prefix: []}}"), ":4: authentication.jwt[0].claimMappings.username.prefix: expected a text" },
		{ JWT(", claimMappings: {groups: []}"), ":4: authentication.jwt[0].claimMappings.groups: expected a map" },
		{ JWT(", claimMappings: {uid: a}"), ":4: authentication.jwt[0].claimMappings.uid: expected a map" },
		{ JWT(", claimMappings: {uid: {claim: []}}"), ":4: authentication.jwt[0].claimMappings.uid.claim: expected a text" },
		{ JWT(", claimValidationRules: {}"), ":4: authentication.jwt[0].claimValidationRules: expected a list" },
		{ JWT(", claimValidationRules: [{claim: a}]"), ":4: authentication.jwt[0].claimValidationRules[0].requiredValue: expected" },
		{ JWT(", claimValidationRules: [{requiredValue: a}]"), ":4: authentication.jwt[0].claimValidationRules[0].claim: expected" },
		{ LISTEN "authentication: {session: 1}\n", ":2: authentication.session: expected a map" },
		{ LISTEN "authentication: {session: {issuer: []}}\n", ":2: authentication.session.issuer: expected a text" },
		{ LISTEN "authentication: {session: {cookieName: []}}\n", ":2: authentication.session.cookieName: expected a text" },
		{ LISTEN "clusters: {}\n", ":2: clusters: expected a list" },
		{ LISTEN "clusters: [a]\n", ":2: clusters[0]: expected a map" },
		{ LISTEN "clusters: [{kubeconfig: @/kube}]\n", ":2: clusters[0].name: expected" },
		{ LISTEN "clusters: [{name: a}]\n", ":2: clusters[0].kubeconfig: expected" },
		{ LISTEN "clusters: [{name: a, kubeconfig: [x]}]\n", ":2: clusters[0].kubeconfig: expected a text" },
		{ LISTEN "clusters: [{name: a, kubeconfig: @/kube, context: {}}]\n", ":2: clusters[0].context: expected a text" },
		{ LISTEN "clusters: [{name: a, kubeconfig: @/kube, impersonateOthers: allow}]\n", ":2: clusters[0].impersonateOthers: expected refuse" },
		{ LISTEN "clusters: [{name: a, kubeconfig: @/kube, http2: always}]\n", ":2: clusters[0].http2: expected watches or never" },
		{ LISTEN "clusters: [{name: a, kubeconfig: @/kube, http3: never}]\n", ":2: clusters[0].http3: expected a known key (the nearest is \"http2\")" },
		{ LISTEN "routes: a\n", ":2: routes: expected a list" },
		{ LISTEN "routes: [{to: 'unix:/a'}]\n", ":2: routes[0].path: expected" },
		{ LISTEN "routes: [{path: /a}]\n", ":2: routes[0].to: expected" },
		{ LISTEN "limits: []\n", ":2: limits: expected a map" },
		{ LISTEN "limits: {headerBytes: 64k}\n", ":2: limits.headerBytes: expected a whole number from 4096 to 1048576" },
		{ LISTEN "limits: {headerBytes: 4095}\n", ":2: limits.headerBytes: expected" },
		{ LISTEN "limits: {headerTimeout: 10}\n", ":2: limits.headerTimeout: expected a duration" },
		{ LISTEN "limits: {headerTimeout: 0s}\n", ":2: limits.headerTimeout: expected a duration" },
		{ LISTEN "limits: {idleTimeout: x}\n", ":2: limits.idleTimeout: expected a duration" },
		{ LISTEN "limits: {bodyTimeout: x}\n", ":2: limits.bodyTimeout: expected a duration" },
		{ LISTEN "limits: {upstreamConnectTimeout: x}\n", ":2: limits.upstreamConnectTimeout: expected a duration" },
		{ LISTEN "limits: {upstreamIdleTimeout: x}\n", ":2: limits.upstreamIdleTimeout: expected a duration" },
		{ LISTEN "limits: {upgradeTimeout: 0s}\n", ":2: limits.upgradeTimeout: expected a duration" },
		{ LISTEN "pidFile: [a]\n", ":2: pidFile: expected a" },
		{ LISTEN "limits: {drainTimeout: -1s}\n", ":2: limits.drainTimeout: expected a duration" },
		{ LISTEN "limits: {connections: 1.5}\n", ":2: limits.connections: expected a whole number" },
		{ LISTEN "limits: {connectionsPerAddress: a}\n", ":2: limits.connectionsPerAddress: expected a whole number" },
		{ LISTEN "limits: {tokenBytes: 100}\n", ":2: limits.tokenBytes: expected a whole number" },
		{ LISTEN "limits: {identities: 1}\n", ":2: limits.identities: expected a whole number" },
		{ LISTEN "admin: x\n", ":2: admin: expected a map" },
		{ LISTEN "admin: {address: []}\n", ":2: admin.address: expected a text" },
		{ LISTEN "log: x\n", ":2: log: expected a map" },
		{ LISTEN "log: {level: loud}\n", ":2: log.level: expected debug, info, warn or error" },
		{ LISTEN "log: {format: xml}\n", ":2: log.format: expected text or json" },
	};

	expect_refusals(*state, cases, sizeof(cases) / sizeof(cases[0]));
}

static void
an_unknown_key_is_reported_with_the_nearest_known_one(void **state)
{
	static const struct refusal cases[] = {
		{ LISTEN "wrokers: 1\n", ":2: wrokers: expected a known key (the nearest is \"workers\")" },
		{ "listen:\n- {address: '127.0.0.1:0', " TLS ", adress: x}\n", ":2: listen[0].adress: expected a known key (the nearest is \"address\")" },
		{ LISTEN "limits:\n  headerTimeouts: 1s\n", ":3: limits.headerTimeouts: expected a known key (the nearest is \"headerTimeout\")" },
		{ JWT(", claimMapping: {}"), ":4: authentication.jwt[0].claimMapping: expected a known key (the nearest is \"claimMappings\")" },
		{ LISTEN "workers: 1\nworkers: 2\n", ":3:" },
	};

	expect_refusals(*state, cases, sizeof(cases) / sizeof(cases[0]));
}

static void
a_feature_that_does_not_exist_is_said_not_to_be_supported(void **state)
{
	static const struct refusal cases[] = {
		{ "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt: []\n", ":1: apiVersion: is not supported" },
		{ "kind: AuthenticationConfiguration\n", ":1: kind: is not supported" },
		{ LISTEN "jwt: []\n", ":2: jwt: is not supported here; it belongs under" },
		{ LISTEN "authentication:\n  anonymous: {enabled: true}\n", ":3: authentication.anonymous: is not supported" },
		{ JWT(", userValidationRules: []"), ":4: authentication.jwt[0].userValidationRules: is not supported" },
		{ LISTEN "authentication:\n  jwt:\n  - issuer: {egressSelectorType: cluster}\n",
			":4: authentication.jwt[0].issuer.egressSelectorType: is not supported" },
		{ JWT("}\n  - {claimMappings: {username: {expression: x}}"),
			":5: authentication.jwt[1].claimMappings.username.expression: is not supported: CEL" },
		{ JWT(", claimMappings: {groups: {expression: x}}"), ":4: authentication.jwt[0].claimMappings.groups.expression: is not supported: CEL" },
		{ JWT(", claimMappings: {uid: {expression: x}}"), ":4: authentication.jwt[0].claimMappings.uid.expression: is not supported: CEL" },
		{ JWT(", claimMappings: {extra: []}"), ":4: authentication.jwt[0].claimMappings.extra: is not supported: CEL" },
		{ JWT(", claimValidationRules: [{claim: a, requiredValue: b}, {expression: x}]"),
			":4: authentication.jwt[0].claimValidationRules[1].expression: is not supported: CEL" },
		{ JWT(", claimValidationRules: [{claim: a, requiredValue: b, message: x}]"),
			":4: authentication.jwt[0].claimValidationRules[0].message: is not supported: CEL" },
	};

	expect_refusals(*state, cases, sizeof(cases) / sizeof(cases[0]));
}

static void
values_that_make_no_sense_are_refused_with_their_line(void **state)
{
	static const struct refusal cases[] = {
		{ "listen:\n- {address: 'example.com:1', " TLS "}\n", ":2: listen[0].address: expected" },
		{ "listen:\n- {address: '127.0.0.1', " TLS "}\n", ":2: listen[0].address: expected" },
		{ "listen:\n- {address: '127.0.0.1:8443', " TLS "}\n- {address: '127.0.0.1:8443', " TLS "}\n",
			":3: listen[1].address: \"127.0.0.1:8443\" is the address of listen[0] too" },
		{ LISTEN "admin: {address: 'nowhere'}\n", ":2: admin.address: expected" },
		{ "listen: [{address: '127.0.0.1:8443', " TLS "}]\nadmin:\n  address: '127.0.0.1:8443'\n",
			":3: admin.address: \"127.0.0.1:8443\" is the address of listen[0] too" },
		{ LISTEN "sandbox: off\n", ":2: sandbox: expected available or required, found \"off\"" },
		{ LISTEN "user: no-such-user-here\n", ":2: user: there is no user called \"no-such-user-here\"" },
		{ LISTEN "authentication:\n  jwt:\n  - issuer:\n      url: http://i\n      audiences: [a]\n",
			":5: authentication.jwt[0].issuer.url: expected an https URL" },
		{ LISTEN "authentication:\n  jwt:\n  - issuer: {url: 'https://i?a=b', audiences: [a]}\n",
			":4: authentication.jwt[0].issuer.url: expected an https URL" },
		{ LISTEN "authentication:\n  jwt:\n  - {" ISSUER "}\n  - {" ISSUER "}\n",
			":5: authentication.jwt[1].issuer.url: \"https://i\" is the issuer of jwt[0] too" },
		{ LISTEN "authentication:\n  jwt:\n  - issuer: {url: 'https://i', audiences: [a, '']}\n",
			":4: authentication.jwt[0].issuer.audiences[1]: expected an audience" },
		{ LISTEN "authentication:\n  jwt:\n  - issuer: {url: 'https://i', audiences: [a, b, a]}\n",
			":4: authentication.jwt[0].issuer.audiences[2]: \"a\" occurs twice" },
		{ LISTEN "authentication:\n  jwt:\n  - issuer: {url: 'https://i', audiences: [a], discoveryURL: 'http://i/d'}\n",
			":4: authentication.jwt[0].issuer.discoveryURL: expected an https URL or unix:" },
		{ LISTEN "authentication:\n  jwt:\n  - issuer: {url: 'https://i', audiences: [a], discoveryURL: 'unix:'}\n",
			":4: authentication.jwt[0].issuer.discoveryURL: expected" },
		{ LISTEN "authentication:\n  jwt:\n  - issuer: {url: 'https://i', audiences: [a], discoveryURL: 'https://i'}\n",
			":4: authentication.jwt[0].issuer.discoveryURL: must differ from url" },
		{ JWT(", claimMappings: {username: {claim: email}}"), ":4: authentication.jwt[0].claimMappings.username.prefix: is required" },
		{ JWT(", claimMappings: {groups: {claim: groups}}"), ":4: authentication.jwt[0].claimMappings.groups.prefix: is required" },
		{ JWT(", claimMappings: {username: {prefix: a}}"), ":4: authentication.jwt[0].claimMappings.username.prefix: needs claim" },
		{ JWT(", claimMappings: {groups: {prefix: a}}"), ":4: authentication.jwt[0].claimMappings.groups.prefix: needs claim" },
		{ JWT(", claimMappings: {username: {claim: '', prefix: a}}"),
			":4: authentication.jwt[0].claimMappings.username.claim: expected the name of a claim" },
		{ JWT(", claimMappings: {username: {claim: a, prefix: 'system:'}}"),
			":4: authentication.jwt[0].claimMappings.username.prefix: may not begin with \"system:\"" },
		{ JWT(", claimMappings: {groups: {claim: a, prefix: \"\\n\"}}"),
			":4: authentication.jwt[0].claimMappings.groups.prefix: expected no control characters" },
		{ JWT(", claimMappings: {uid: {claim: ''}}"), ":4: authentication.jwt[0].claimMappings.uid.claim: expected the name of a claim" },
		{ JWT("") "  session: {issuer: 'https://x'}\n", ":5: authentication.session.issuer: expected the url of an issuer" },
		{ JWT("") "  session: {revocationsSecretFile: @/missing}\n", ":5: authentication.session.revocationsSecretFile: " },
		{ JWT("") "  session: {revocationsSecretFile: @/tokens.csv}\n", ":5: authentication.session.revocationsSecretFile: " },
		{ LISTEN "authentication:\n  jwt: [{issuer: {url: 'https://i', audiences: [a], discoveryURL: 'unix:/run/a'}}]\n"
		  "  session: {issuer: 'https://i', revocationsSecretFile: @/feed.secret}\n", ":4: authentication.session.revocationsSecretFile: expected an issuer that is asked over https" },
		{ LISTEN "authentication:\n  session: {revocationsSecretFile: @/feed.secret}\n", ":3: authentication.session.revocationsSecretFile: expected an issuer" },
		{ JWT("") "  session: {issuer: 'https://i'}\n", ":5: authentication.session.issuer: sessions are asked for at authd's socket" },
		{ LISTEN "authentication:\n  session: {cookieName: 'a=b'}\n", ":3: authentication.session.cookieName: expected the name of a cookie" },
		{ WITH_ISSUER "clusters:\n- {name: A_b, kubeconfig: @/kube}\n", ":4: clusters[0].name: expected a DNS label" },
		{ WITH_ISSUER "clusters:\n- {name: -a, kubeconfig: @/kube}\n", ":4: clusters[0].name: expected a DNS label" },
		{ WITH_ISSUER "clusters:\n- {name: a, kubeconfig: @/kube}\n- {name: a, kubeconfig: @/kube}\n",
			":5: clusters[1].name: \"a\" is the name of clusters[0] too" },
		{ LISTEN "clusters:\n- {name: a, kubeconfig: @/kube}\n", ":1: authentication.jwt: expected at least one issuer" },
		{ LISTEN "authentication: {tokenFile: [x]}\n", ":2: authentication.tokenFile: expected" },
		{ LISTEN "authentication:\n  clientCertificate: {}\n", ":3: authentication.clientCertificate.certificateAuthority: expected" },
		{ LISTEN "authentication:\n  longRunning: {sessionEnded: kill}\n", ":3: authentication.longRunning.sessionEnded: expected cut" },
		{ LISTEN "authentication:\n  longRunning: {tokenExpired: 9000h}\n", ":3: authentication.longRunning.tokenExpired: expected a duration" },
		{ LISTEN "limits: {tunnelDrainTimeout: 200h}\n", ":2: limits.tunnelDrainTimeout: expected a duration" },
		{ LISTEN "limits: {watchMaxAge: never}\n", ":2: limits.watchMaxAge: expected a duration" },
		{ LISTEN "authentication:\n  tokenReview: {enabled: yes}\n", ":3: authentication.tokenReview.enabled: expected true or false" },
		{ LISTEN "authentication:\n  tokenReview: {audiences: [a]}\n", ":3: authentication.tokenReview.audiences: needs enabled: true" },
		{ LISTEN "authentication:\n  tokenReview: {enabled: true, audiences: ['']}\n", ":3: authentication.tokenReview.audiences[0]: expected an audience" },
		{ LISTEN "authentication:\n  tokenReview: {enabled: true, audiences: [a, a]}\n", ":3: authentication.tokenReview.audiences[1]: \"a\" occurs twice" },
		{ LISTEN "authentication:\n  clientCertificate: x\n", ":3: authentication.clientCertificate: expected a map" },
		{ LISTEN "routes:\n- {path: oidc, to: 'unix:/a'}\n", ":3: routes[0].path: expected a path" },
		{ LISTEN "routes:\n- {path: /oidc/, to: 'unix:/a'}\n", ":3: routes[0].path: expected a path" },
		{ LISTEN "routes:\n- {path: /a//b, to: 'unix:/a'}\n", ":3: routes[0].path: expected a path" },
		{ LISTEN "routes:\n- {path: /a/../b, to: 'unix:/a'}\n", ":3: routes[0].path: expected a path" },
		{ LISTEN "routes:\n- {path: /a/.., to: 'unix:/a'}\n", ":3: routes[0].path: expected a path" },
		{ LISTEN "routes:\n- {path: /., to: 'unix:/a'}\n", ":3: routes[0].path: expected a path" },
		{ LISTEN "routes:\n- {path: /a%41, to: 'unix:/a'}\n", ":3: routes[0].path: expected a path" },
		{ LISTEN "routes:\n- {path: '/a?b', to: 'unix:/a'}\n", ":3: routes[0].path: expected a path" },
		{ LISTEN "routes:\n- {path: /clusters/a, to: 'unix:/a'}\n", ":3: routes[0].path: \"/clusters/a\" is taken" },
		{ LISTEN "routes:\n- {path: /a, to: 'unix:/a'}\n- {path: /a, to: 'unix:/b'}\n", ":4: routes[1].path: \"/a\" is the path of routes[0] too" },
		{ LISTEN "routes:\n- {path: /a, to: 'https://x'}\n", ":3: routes[0].kind: expected bearer, frontProxy, session or public" },
		{ LISTEN "routes:\n- {path: /a, to: 'unix:'}\n", ":3: routes[0].to: expected" },
	};

	expect_refusals(*state, cases, sizeof(cases) / sizeof(cases[0]));
}

#define ROUTE(...) LISTEN "routes:\n- {path: /a, " __VA_ARGS__ "}\n"
#define HTTPS "to: 'https://b.example'"
static void
routes_that_make_no_sense_are_refused_with_their_line(void **state)
{
	static const struct refusal cases[] = {
		{ LISTEN "routes:\n- {path: /a/b/c/d, to: 'unix:/a'}\n", ":3: routes[0].path: expected at most 3 segments" },
		{ WITH_ISSUER "clusters: [{name: a, kubeconfig: @/kube}]\nroutes:\n- {path: /, to: 'unix:/a'}\n", ":5: routes[0].path: \"/\" is taken" },
		{ ROUTE("to: 'unix:/a', host: App.example"), ":3: routes[0].host: expected a host name in lower case" },
		{ ROUTE("to: 'unix:/a', host: 'app.example:443'"), ":3: routes[0].host: expected a host name" },
		{ ROUTE("to: 'unix:/a', host: ''"), ":3: routes[0].host: expected a host name" },
		{ LISTEN "routes:\n- {path: /a, host: h, to: 'unix:/a'}\n- {path: /a, host: h, to: 'unix:/b'}\n", ":4: routes[1].path: \"/a\" is the path of routes[0] too" },
		{ ROUTE("to: 'ftp://x', kind: public"), ":3: routes[0].to: expected unix:/path or an https URL" },
		{ ROUTE("to: 'https://x#y', kind: public"), ":3: routes[0].to: expected unix:/path or an https URL" },
		{ ROUTE("to: 'https://x?y', kind: public"), ":3: routes[0].to: expected unix:/path or an https URL" },
		{ ROUTE("to: 'https://x:0', kind: public"), ":3: routes[0].to: expected" },
		{ ROUTE("to: 'https://x/a//b', kind: public"), ":3: routes[0].to: expected a plain path" },
		{ ROUTE("to: 'https://x/../b', kind: public"), ":3: routes[0].to: expected a plain path" },
		{ ROUTE("to: 'http://b.example', kind: public"), ":3: routes[0].to: is refused: http leads to this machine only" },
		{ ROUTE("to: 'http://128.0.0.1', kind: public"), ":3: routes[0].to: is refused: http leads to this machine only" },
		{ ROUTE("to: 'http://[::2]', kind: public"), ":3: routes[0].to: is refused: http leads to this machine only" },
		{ ROUTE(HTTPS ", kind: Bearer"), ":3: routes[0].kind: expected" },
		{ ROUTE(HTTPS ", kind: authd"), ":3: routes[0].kind: expected bearer, frontProxy, session or public" },
		{ ROUTE(HTTPS ", kind: frontProxy"), ":3: routes[0].kind: frontProxy needs an https URL with tls.certFile and tls.keyFile" },
		{ ROUTE("to: 'http://127.0.0.1:80', kind: frontProxy"), ":3: routes[0].kind: frontProxy needs an https URL" },
		{ ROUTE("to: 'http://127.0.0.1:80', kind: bearer, tls: {serverName: b}"), ":3: routes[0].tls: there is no TLS on the way" },
		{ ROUTE("to: 'unix:/a', kind: bearer, tls: {certificateAuthority: @/cert.pem}"), ":3: routes[0].tls: there is no TLS on the way" },
		{ ROUTE(HTTPS ", kind: bearer, tls: {certFile: @/cert.pem}"), ":3: routes[0].tls.certFile: needs keyFile beside it" },
		{ ROUTE(HTTPS ", kind: bearer, tls: {keyFile: @/key.pem}"), ":3: routes[0].tls.keyFile: needs certFile beside it" },
		{ ROUTE(HTTPS ", kind: bearer, tls: {certFile: @/expired.pem, keyFile: @/key.pem}"), ":3: routes[0].tls.certFile: " },
		{ ROUTE(HTTPS ", kind: bearer, tls: {certFile: @/cert.pem, keyFile: @/other-key.pem}"), ":3: routes[0].tls.keyFile: " },
		{ ROUTE(HTTPS ", kind: bearer, tls: {certFile: @/none, keyFile: @/key.pem}"), ":3: routes[0].tls.certFile: expected a readable file" },
		{ ROUTE(HTTPS ", kind: bearer, tls: {certificateAuthority: @/broken.pem}"), ":3: routes[0].tls.certificateAuthority: " },
		{ ROUTE(HTTPS ", kind: bearer, tls: {serverName: 'a b'}"), ":3: routes[0].tls.serverName: expected a host name" },
		{ ROUTE(HTTPS ", kind: bearer, tls: {insecure: true}"), ":3: routes[0].tls.insecure: expected a known key" },
		{ ROUTE("to: 'unix:/a', allowedGroups: [dev]"), ":3: routes[0].allowedGroups: is not for routes to authd" },
		{ ROUTE("to: 'unix:/a', allowedOrigins: ['https://x']"), ":3: routes[0].allowedOrigins: is not for routes to authd" },
		{ ROUTE("to: 'unix:/a', stripPrefix: true"), ":3: routes[0].stripPrefix: is not for routes to authd" },
		{ ROUTE(HTTPS ", kind: public, allowedGroups: [dev]"), ":3: routes[0].allowedGroups: nobody is asked who they are" },
		{ ROUTE(HTTPS ", kind: session, allowedGroups: []"), ":3: routes[0].allowedGroups: expected at least one group" },
		{ ROUTE(HTTPS ", kind: session, allowedGroups: [' dev']"), ":3: routes[0].allowedGroups[0]: expected the name of a group" },
		{ ROUTE(HTTPS ", kind: session, allowedGroup: [dev]"), ":3: routes[0].allowedGroup: expected a known key (the nearest is \"allowedGroups\")" },
		{ ROUTE(HTTPS ", kind: session, audience: a"), ":3: routes[0].audience: is for routes of kind bearer" },
		{ ROUTE(HTTPS ", kind: bearer, audience: 'a b'"), ":3: routes[0].audience: expected the id of a client" },
		{ LISTEN "routes:\n- {path: /0, to: 'https://b', kind: bearer, audience: '0'}\n- {path: /1, to: 'https://b', kind: bearer, audience: '1'}\n"
			 "- {path: /2, to: 'https://b', kind: bearer, audience: '2'}\n- {path: /3, to: 'https://b', kind: bearer, audience: '3'}\n"
			 "- {path: /4, to: 'https://b', kind: bearer, audience: '4'}\n- {path: /5, to: 'https://b', kind: bearer, audience: '5'}\n"
			 "- {path: /6, to: 'https://b', kind: bearer, audience: '6'}\n- {path: /7, to: 'https://b', kind: bearer, audience: '7'}\n"
			 "- {path: /8, to: 'https://b', kind: bearer, audience: '8'}\n", ":11: routes[8].audience: expected at most 8 different ones" },
		{ ROUTE(HTTPS ", kind: session, allowedOrigins: ['https://x/']"), ":3: routes[0].allowedOrigins[0]: expected an origin" },
		{ ROUTE(HTTPS ", kind: session, allowedOrigins: ['*']"), ":3: routes[0].allowedOrigins[0]: expected an origin" },
		{ WITH_ISSUER "clusters:\n- {name: a, kubeconfig: @/kube, allowedGroups: []}\n", ":4: clusters[0].allowedGroups: expected at least one group" },
	};

	expect_refusals(*state, cases, sizeof(cases) / sizeof(cases[0]));
}

#define PAIR(cert, key) "listen:\n- address: '127.0.0.1:0'\n  tls:\n    certFile: " cert "\n    keyFile: " key "\n" /* lines 4, 5 */
static void
a_missing_expired_or_foreign_file_is_reported_with_its_line(void **state)
{
	struct folder *f = *state;
	static const struct refusal cases[] = {
		{ PAIR("@/none.pem", "@/key.pem"), ":4: listen[0].tls.certFile: expected a readable file" },
		{ PAIR("@", "@/key.pem"), ":4: listen[0].tls.certFile: expected a readable file" },
		{ PAIR("@/cert.pem", "@/none.pem"), ":5: listen[0].tls.keyFile: expected a readable file" },
		{ WITH_ISSUER "clusters:\n- name: a\n  kubeconfig: @/none\n", ":5: clusters[0].kubeconfig: expected a readable file" },
		{ LISTEN "authentication:\n  jwt:\n  - issuer: {url: 'https://i', audiences: [a], certificateAuthority: @/none}\n",
			":4: authentication.jwt[0].issuer.certificateAuthority: cannot read " },
		{ LISTEN "authentication:\n  tokenFile: @/none\n", ":3: authentication.tokenFile: expected a readable file" },
		{ LISTEN "authentication:\n  clientCertificate: {certificateAuthority: @/none}\n",
			":3: authentication.clientCertificate.certificateAuthority: cannot read " },
	};
	static const struct {
		const char *text;
		const char *line_and_key, *reason;
	} contents[] = {
		{ PAIR("@/expired.pem", "@/key.pem"), ":4: listen[0].tls.certFile: ", "/expired.pem expired on 2027-01-15T07:59:59Z" },
		{ PAIR("@/future.pem", "@/key.pem"), ":4: listen[0].tls.certFile: ", "/future.pem is not valid before 2027-01-15T08:00:10Z" },
		{ PAIR("@/empty", "@/key.pem"), ":4: listen[0].tls.certFile: ", "/empty holds no certificate" },
		{ PAIR("@/key.pem", "@/key.pem"), ":4: listen[0].tls.certFile: ", "/key.pem holds no certificate" },
		{ PAIR("@/broken.pem", "@/key.pem"), ":4: listen[0].tls.certFile: ", "/broken.pem certificate 1 in it cannot be read" },
		{ PAIR("@/weak.pem", "@/weak-key.pem"), ":4: listen[0].tls.certFile: ", "/weak.pem is refused by OpenSSL: ee key too small" },
		{ PAIR("@/cert.pem", "@/other-key.pem"), ":5: listen[0].tls.keyFile: ", "/other-key.pem does not belong to the certificate" },
		{ PAIR("@/cert.pem", "@/encrypted-key.pem"), ":5: listen[0].tls.keyFile: ", "/encrypted-key.pem is encrypted" },
		{ PAIR("@/cert.pem", "@/empty"), ":5: listen[0].tls.keyFile: ", "/empty holds no private key" },
		{ WITH_ISSUER "clusters:\n- name: a\n  kubeconfig: @/empty\n", ":5: clusters[0].kubeconfig: ", "/empty: expected a kubeconfig" },
		{ WITH_ISSUER "clusters:\n- name: a\n  kubeconfig: @/kube-exec\n", ":5: clusters[0].kubeconfig: ",
			"/kube-exec:6: users[0].user.exec: is refused: the gateway runs no programs" },
		{ WITH_ISSUER "clusters:\n- name: a\n  context: none\n  kubeconfig: @/kube\n", ":6: clusters[0].kubeconfig: ",
			"/kube:2: contexts: there is none called \"none\"" },
		{ WITH_ISSUER "clusters:\n- name: a\n  kubeconfig: @/kube-expired\n", ":5: clusters[0].kubeconfig: ",
			"/kube-expired: client-certificate expired on 2027-01-15T07:59:59Z" },
		{ WITH_ISSUER "clusters:\n- name: a\n  kubeconfig: @/kube-other-key\n", ":5: clusters[0].kubeconfig: ",
			"/kube-other-key: client-key does not belong to the certificate" },
		{ WITH_ISSUER "clusters:\n- name: a\n  kubeconfig: @/kube-bad-ca\n", ":5: clusters[0].kubeconfig: ",
			"/kube-bad-ca: certificate-authority holds no certificate" },
		{ LISTEN "authentication:\n  jwt:\n  - issuer: {url: 'https://i', audiences: [a], certificateAuthority: @/empty}\n",
			":4: authentication.jwt[0].issuer.certificateAuthority: ", "/empty holds no certificate" },
		{ LISTEN "authentication:\n  jwt:\n  - issuer: {url: 'https://i', audiences: [a], certificateAuthority: @/expired.pem}\n",
			":4: authentication.jwt[0].issuer.certificateAuthority: ", "/expired.pem expired on" },
		{ LISTEN "authentication:\n  jwt:\n  - issuer: {url: 'https://i', audiences: [a], certificateAuthority: '-----BEGIN X'}\n",
			":4: authentication.jwt[0].issuer.certificateAuthority: ", "the certificate holds no certificate" },
		{ LISTEN "authentication:\n  clientCertificate: {certificateAuthority: @/expired.pem}\n",
			":3: authentication.clientCertificate.certificateAuthority: ", "/expired.pem expired on 2027-01-15T07:59:59Z" },
		{ LISTEN "authentication:\n  clientCertificate: {certificateAuthority: @/key.pem}\n",
			":3: authentication.clientCertificate.certificateAuthority: ", "/key.pem holds no certificate" },
		{ LISTEN "authentication:\n  tokenFile: @/tokens-twice.csv\n", ":3: authentication.tokenFile: ",
			"/tokens-twice.csv:3: the token of line 1 again" },
		{ LISTEN "authentication:\n  tokenFile: @/kube\n", ":3: authentication.tokenFile: ", "/kube:1: expected token,user,uid" },
	};

	expect_refusals(f, cases, sizeof(cases) / sizeof(cases[0]));
	for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
		struct refusal where = { contents[i].text, contents[i].line_and_key };
		struct config_error e = { "" };
		struct proxyd_config *c = NULL;
		expect_refusals(f, &where, 1);
		assert_int_not_equal(load(f, contents[i].text, &c, &e), OK);
		if (!strstr(e.text, contents[i].reason))
			fail_msg("%s\ngave: %s\nexpected: %s", contents[i].text, e.text, contents[i].reason);
	}
}

static void
a_config_that_cannot_be_read_is_reported(void **state)
{
	struct folder *f = *state;
	struct config_error e = { "an old text" };
	struct proxyd_config *c = NULL;

	assert_int_not_equal(proxyd_config_load("/nowhere/proxyd.yaml", &f->clock.clock, &c, &e), OK);
	assert_null(c);
	assert_non_null(strstr(e.text, "/nowhere/proxyd.yaml"));
	assert_non_null(strstr(e.text, "No such file or directory"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrong_type_is_reported_with_file_line_and_key),
		cmocka_unit_test(an_unknown_key_is_reported_with_the_nearest_known_one),
		cmocka_unit_test(a_feature_that_does_not_exist_is_said_not_to_be_supported),
		cmocka_unit_test(values_that_make_no_sense_are_refused_with_their_line),
		cmocka_unit_test(routes_that_make_no_sense_are_refused_with_their_line),
		cmocka_unit_test(a_missing_expired_or_foreign_file_is_reported_with_its_line),
		cmocka_unit_test(a_config_that_cannot_be_read_is_reported),
	};
	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
