/* What a configuration of proxyd means. What is wrong with one: test_proxyd_config_refusals.c. */
#include "tests/unit/proxyd_config_unit.h"

static void
the_smallest_config_has_the_documented_defaults(void **state)
{
	struct proxyd_config *c = load_ok(*state, LISTEN);
	const struct proxyd_listen *l = c->listen.items;

	assert_int_equal(c->listen.n, 1);
	assert_int_equal(l->tls.min_version, 0);
	assert_int_equal(l->address.u.sa.sa_family, AF_INET);
	assert_true(l->tls.cert_pem.n > 100 && l->tls.key_pem.n > 100);
	assert_int_equal(c->workers, 0);
	assert_null(c->user);
	assert_int_equal(c->limits.header_bytes, 65536);
	assert_int_equal(c->limits.header_timeout_ms, 10000);
	assert_int_equal(c->limits.idle_timeout_ms, 300000);
	assert_int_equal(c->limits.body_timeout_ms, 60000);
	assert_int_equal(c->limits.upstream_connect_timeout_ms, 5000);
	assert_int_equal(c->limits.upstream_idle_timeout_ms, 60000);
	assert_int_equal(c->limits.tunnel_idle_timeout_ms, 3600000);
	assert_int_equal(c->limits.drain_timeout_ms, 30000);
	assert_int_equal(c->limits.connections, 0);
	assert_int_equal(c->limits.connections_per_address, 0);
	assert_int_equal(c->limits.token_bytes, 8192);
	assert_int_equal(c->limits.identities, 65536);
	assert_string_equal(c->authentication.session.cookie_name, "__Host-gatehouse");
	assert_true(c->authentication.how_extra);
	assert_false(c->authentication.token_review.enabled);
	assert_int_equal(c->authentication.long_running.session_ended, PROXYD_SESSION_ENDED_CUT);
	assert_int_equal(c->authentication.long_running.token_expired_ms, 8 * 3600 * 1000);
	assert_null(c->admin.address_text);
	assert_int_equal(c->log.level, LOG_LEVEL_INFO);
	assert_int_equal(c->log.format, LOG_FORMAT_JSON);
	assert_null(c->session_jwt);
	assert_null(proxyd_config_default_cluster(c));
	proxyd_config_free(c);
}

static void
every_key_arrives_where_it_belongs(void **state)
{
	struct proxyd_config *c = load_ok(*state,
		"listen:\n- {address: '127.0.0.1:8443', tls: {certFile: @/cert.pem, keyFile: @/key.pem, minVersion: '1.3'}}\n"
		"- {address: '[::1]:8443', " TLS "}\n"
		"workers: 3\nuser: root\n"
		"authentication:\n  jwt:\n"
		"  - issuer: {url: 'https://gw/oidc', discoveryURL: 'unix:/run/authd.sock', audiences: [kubectl, console], audienceMatchPolicy: MatchAny}\n"
		"    claimMappings: {username: {claim: email, prefix: ''}, groups: {claim: groups, prefix: 'oidc:'}, uid: {claim: sub}}\n"
		"    claimValidationRules: [{claim: hd, requiredValue: example.com}]\n"
		"  - issuer: {url: 'https://other', audiences: [x], certificateAuthority: @/cert.pem, discoveryURL: 'https://intern/d'}\n"
		"  session: {issuer: 'https://gw/oidc', cookieName: sid}\n"
		"clusters: [{name: a, kubeconfig: @/kube, context: c}, {name: default, kubeconfig: @/kube, impersonateOthers: subjectAccessReview, http2: never}]\n"
		"routes: [{path: /oidc, to: 'unix:/run/authd.sock'}, {path: /oidc/longer, to: 'unix:/run/b'}, {path: /c, to: 'unix:/run/c'}]\n"
		"limits: {headerBytes: 4096, headerTimeout: 1s, idleTimeout: 2s, bodyTimeout: 3s, upstreamConnectTimeout: 4s, upstreamIdleTimeout: 5s,\n"
		"  tunnelIdleTimeout: 6s, drainTimeout: 0, upgradeTimeout: 8s, tunnelDrainTimeout: 9s, watchMaxAge: 10s, connections: 7, connectionsPerAddress: 8, tokenBytes: 9000, identities: 100}\n"
		"admin: {address: '127.0.0.1:9443'}\nlog: {level: debug, format: text}\n");
	const struct proxyd_listen *l = c->listen.items;
	const struct proxyd_jwt *j = c->authentication.jwt.items;
	const struct proxyd_route *r = c->routes.items;
	const struct id_token_policy *p = &j[0].policy;

	assert_int_equal(c->listen.n, 2);
	assert_int_equal(l[0].tls.min_version, 1);
	assert_int_equal(l[0].line, 2);
	assert_int_equal(l[1].line, 3);
	assert_int_equal(l[1].address.u.sa.sa_family, AF_INET6);
	assert_int_equal(c->workers, 3);
	assert_string_equal(c->user, "root");
	assert_string_equal(p->issuer, "https://gw/oidc");
	assert_int_equal(p->audience_n, 2);
	assert_string_equal(p->audiences[1], "console");
	assert_string_equal(p->username_claim, "email");
	assert_string_equal(p->username_prefix, "");
	assert_string_equal(p->groups_claim, "groups");
	assert_string_equal(p->groups_prefix, "oidc:");
	assert_string_equal(p->uid_claim, "sub");
	assert_int_equal(p->required_n, 1);
	assert_string_equal(p->required[0].claim, "hd");
	assert_string_equal(p->required[0].value, "example.com");
	assert_int_equal(p->token_bytes_max, 9000);
	assert_int_equal(p->skew_s, PROXYD_SKEW_S);
	assert_false(p->allow_system);
	assert_string_equal(j[0].socket, "/run/authd.sock");
	assert_int_equal(j[0].ca_pem.n, 0);
	assert_null(j[1].socket);
	assert_true(j[1].ca_pem.n > 100);
	assert_string_equal(j[1].policy.username_claim, "sub");
	assert_null(j[1].policy.username_prefix);
	assert_null(j[1].policy.groups_claim);
	assert_ptr_equal(c->session_jwt, &j[0]);
	assert_ptr_equal(c->revocations_jwt, &j[0]);
	assert_int_equal(c->session_socket.u.sa.sa_family, AF_UNIX);
	assert_string_equal(c->session_socket.u.un.sun_path, "/run/authd.sock");
	assert_string_equal(c->authentication.session.cookie_name, "sid");
	assert_string_equal(proxyd_config_default_cluster(c)->name, "default");
	assert_int_equal(proxyd_config_default_cluster(c)->impersonate_others, PROXYD_IMPERSONATE_REVIEWED);
	assert_int_equal(((const struct proxyd_cluster *)c->clusters.items)[0].impersonate_others, PROXYD_IMPERSONATE_REFUSED);
	assert_int_equal(proxyd_config_default_cluster(c)->http2, PROXYD_HTTP2_NEVER);
	assert_int_equal(((const struct proxyd_cluster *)c->clusters.items)[0].http2, PROXYD_HTTP2_WATCHES);
	assert_string_equal(proxyd_config_default_cluster(c)->target.host, "127.0.0.1");
	assert_string_equal(r[0].path, "/oidc/longer");
	assert_string_equal(r[1].path, "/oidc");
	assert_string_equal(r[2].path, "/c");
	assert_string_equal(r[0].address.u.un.sun_path, "/run/b");
	assert_int_equal(c->limits.header_bytes, 4096);
	assert_int_equal(c->limits.header_timeout_ms, 1000);
	assert_int_equal(c->limits.idle_timeout_ms, 2000);
	assert_int_equal(c->limits.body_timeout_ms, 3000);
	assert_int_equal(c->limits.upstream_connect_timeout_ms, 4000);
	assert_int_equal(c->limits.upstream_idle_timeout_ms, 5000);
	assert_int_equal(c->limits.tunnel_idle_timeout_ms, 6000);
	assert_int_equal(c->limits.drain_timeout_ms, 0);
	assert_int_equal(c->limits.connections, 7);
	assert_int_equal(c->limits.connections_per_address, 8);
	assert_int_equal(c->limits.token_bytes, 9000);
	assert_int_equal(c->limits.identities, 100);
	assert_int_equal(c->admin.address.u.in4.sin_port, htons(9443));
	assert_int_equal(c->log.level, LOG_LEVEL_DEBUG);
	assert_int_equal(c->log.format, LOG_FORMAT_TEXT);
	proxyd_config_free(c);
}

static void
sessions_belong_to_the_first_issuer_behind_a_socket_unless_said_otherwise(void **state)
{
	struct proxyd_config *c = load_ok(*state,
		LISTEN "authentication: {jwt: [{issuer: {url: 'https://a', audiences: [x]}},"
		       " {issuer: {url: 'https://b', audiences: [x], discoveryURL: 'unix:/run/b'}}]}\n");

	assert_string_equal(c->session_jwt->issuer.url, "https://b");
	assert_string_equal(c->session_socket.u.un.sun_path, "/run/b");
	proxyd_config_free(c);
}

static void
ended_sessions_of_an_issuer_elsewhere_are_heard_of_and_its_cookies_are_not_taken(void **state)
{
	struct proxyd_config *c = load_ok(*state,
		LISTEN "authentication: {jwt: [{issuer: {url: 'https://b', audiences: [x], discoveryURL: 'unix:/run/b'}}, {issuer: {url: 'https://a', audiences: [x]}}],\n"
		       " session: {revocationsSecretFile: @/feed.secret}}\n");

	assert_null(c->session_jwt);
	assert_string_equal(c->revocations_jwt->issuer.url, "https://a");
	assert_string_equal(c->authentication.session.revocations_secret, "0123456789abcdef0123456789abcdef");
	proxyd_config_free(c);
}

static void
each_way_to_say_who_calls_is_reason_enough_for_a_cluster(void **state)
{
	struct proxyd_config *c = load_ok(*state, LISTEN "authentication: {tokenFile: @/tokens.csv}\nclusters: [{name: a, kubeconfig: @/kube}]\n");

	assert_int_equal(c->tokens.n, 1);
	assert_true(slice_eq_str(c->tokens.entries[0].identity.username, "jane"));
	assert_int_equal(c->tokens.entries[0].identity.group_n, 2);
	proxyd_config_forget_secrets(c);
	assert_int_equal(c->tokens.n, 0);
	proxyd_config_free(c);
	c = load_ok(*state, LISTEN "authentication: {tokenFile: @/empty}\n");
	assert_int_equal(c->tokens.n, 0);
	assert_int_equal(c->authentication.client_certificate.ca_pem.n, 0);
	proxyd_config_free(c);
	c = load_ok(*state, LISTEN "authentication: {clientCertificate: {certificateAuthority: @/cert.pem}}\nclusters: [{name: a, kubeconfig: @/kube}]\n");
	assert_true(c->authentication.client_certificate.ca_pem.n > 100);
	assert_false(c->authentication.token_review.enabled);
	proxyd_config_free(c);
	c = load_ok(*state, LISTEN "authentication: {tokenReview: {enabled: true, audiences: [x]}}\nclusters: [{name: a, kubeconfig: @/kube}]\n");
	assert_true(c->authentication.token_review.enabled);
	assert_string_equal(c->authentication.token_review.audiences.items[0], "x");
	proxyd_config_free(c);
}

static void
the_first_cluster_is_the_default_when_none_is_called_so(void **state)
{
	struct proxyd_config *c = load_ok(*state, WITH_ISSUER "clusters: [{name: b, kubeconfig: @/kube}, {name: a, kubeconfig: @/kube}]\n");

	assert_string_equal(proxyd_config_default_cluster(c)->name, "b");
	proxyd_config_free(c);
}

static void
an_issuers_ca_may_be_given_as_pem_as_in_kubernetes(void **state)
{
	struct folder *f = *state;
	char cert[TEST_PEM_BYTES], *text = NULL;
	EVP_PKEY *key = test_key_new(0);
	struct buf indented;

	test_certificate_pem(key, TEST_NOW_S - 10, TEST_NOW_S + TEST_YEAR_S, cert);
	buf_init(&indented, 0);
	for (char *line = strtok(cert, "\n"); line; line = strtok(NULL, "\n"))
		buf_printf(&indented, "        %s\n", line);
	assert_true(asprintf(&text, LISTEN "authentication:\n  jwt:\n  - issuer:\n      url: https://i\n      audiences: [a]\n"
					   "      certificateAuthority: |\n%s", indented.p) > 0);
	struct proxyd_config *c = load_ok(f, text);
	const struct proxyd_jwt *j = c->authentication.jwt.items;
	assert_true(j[0].ca_pem.n > 100);
	proxyd_config_free(c);
	free(text);
	buf_fini(&indented);
	EVP_PKEY_free(key);
}

static void
routes_to_backends_know_where_and_for_whom(void **state)
{
	struct proxyd_config *c = load_ok(*state,
		LISTEN "routes:\n- {path: /plain, to: 'http://localhost:3000/', kind: session, stripPrefix: true, allowedGroups: [dev, ops]}\n"
		       "- {path: /, host: app.example, to: 'https://b.example/base/', kind: bearer, allowedOrigins: ['https://other.example']}\n"
		       "- {path: /front, to: 'https://[::1]:8443', kind: frontProxy, tls: {certificateAuthority: @/cert.pem, certFile: @/cert.pem, keyFile: @/key.pem, serverName: b}}\n"
		       "- {path: /one, to: 'https://b', kind: bearer, audience: one}\n- {path: /two, to: 'https://b', kind: bearer, audience: two}\n"
		       "- {path: /three, to: 'https://b', kind: bearer, audience: one}\n"
		       "- {path: /socket, to: 'unix:/run/x', kind: frontProxy}\n- {path: /oidc, to: 'unix:/run/authd'}\n");
	const struct proxyd_route *r = c->routes.items;

	assert_int_equal(c->routes.n, 8);
	assert_int_equal(c->id_token_audiences.n, 2);
	for (size_t i = 0; i < c->routes.n; i++)
		if (r[i].audience)
			assert_string_equal(c->id_token_audiences.items[r[i].audience_at], r[i].audience);
	assert_string_equal(r[0].path, "/"); /* its host goes first */
	assert_string_equal(r[0].host, "app.example");
	assert_int_equal(r[0].kind, PROXYD_ROUTE_BEARER);
	assert_string_equal(r[0].target.host, "b.example");
	assert_int_equal(r[0].target.port, 443);
	assert_string_equal(r[0].target.base_path, "/base");
	assert_string_equal(r[0].target.tls_server_name, "b.example");
	assert_false(r[0].plain);
	assert_string_equal(r[0].allowed_origins.items[0], "https://other.example");
	assert_string_equal(r[1].path, "/socket");
	assert_true(r[1].address.len > 0);
	assert_string_equal(r[3].path, "/plain");
	assert_true(r[3].plain && r[3].strip_prefix);
	assert_int_equal(r[3].target.port, 3000);
	assert_string_equal(r[3].target.base_path, "");
	assert_int_equal(r[3].allowed_groups.n, 2);
	assert_string_equal(r[2].path, "/front");
	assert_string_equal(r[2].target.host, "::1");
	assert_string_equal(r[2].target.tls_server_name, "b");
	assert_true(r[2].target.ca_pem.n && r[2].target.cert_pem.n && r[2].target.key_pem.n);
	assert_int_equal(r[5].kind, PROXYD_ROUTE_AUTHD);
	proxyd_config_forget_secrets(c);
	assert_int_equal(r[2].target.key_pem.n, 0);
	proxyd_config_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_config_has_the_documented_defaults),
		cmocka_unit_test(every_key_arrives_where_it_belongs),
		cmocka_unit_test(sessions_belong_to_the_first_issuer_behind_a_socket_unless_said_otherwise),
		cmocka_unit_test(ended_sessions_of_an_issuer_elsewhere_are_heard_of_and_its_cookies_are_not_taken),
		cmocka_unit_test(each_way_to_say_who_calls_is_reason_enough_for_a_cluster),
		cmocka_unit_test(the_first_cluster_is_the_default_when_none_is_called_so),
		cmocka_unit_test(an_issuers_ca_may_be_given_as_pem_as_in_kubernetes),
		cmocka_unit_test(routes_to_backends_know_where_and_for_whom),
	};
	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
