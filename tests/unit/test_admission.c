/* Who gets in, and what those are told who do not. */
#include "tests/unit/exchange_unit.h"

/* One request on a connection of its own; the answer's head and, behind it, its body. */
static void
ask(const char *request, char *answer, size_t cap)
{
	struct end client = rig_client(&rig);
	size_t n;

	end_say(&client, request);
	end_hear_head(&client, answer, cap);
	const char *length = strstr(answer, "Content-Length: ");
	n = strlen(answer);
	if (length && memcmp(request, "HEAD", 4) != 0)
		for (long left = strtol(length + 16, NULL, 10); left; left--)
			assert_int_equal(end_read(&client, answer + n++, 1), 1);
	answer[n] = '\0';
	end_close(&client);
}

/* authd's console is told whom proxyd knows; it goes on without where nobody is. */
static void
console_is_told_which_clusters_are_open_and_nobody_is_kept_from_it(void **state)
{
	char head[4096];

	(void)state;
	static const struct {
		const char *cookie, *said, *told;
	} cases[] = { { "", NULL, NULL }, { "Cookie: gate=x\r\n", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", NULL },
		{ "Cookie: gate=y\r\n", "HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n", NULL },
		{ "Cookie: gate=z\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\n{\"id_token\":\"alice\",\"refresh_after\":1234}", "X-Gatehouse-Clusters: default second\r\n" } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct end client = rig_client(&rig), authd;
		char request[400];
		snprintf(request, sizeof(request), "GET /console/ HTTP/1.1\r\n" HOST "%sAuthorization: Bearer no\r\nX-Gatehouse-Clusters: evil\r\n\r\n", cases[i].cookie);
		end_say(&client, request);
		if (cases[i].said) {
			authd = rig_authd(&rig);
			end_hear_head(&authd, head, sizeof(head));
			assert_memory_equal(head, "POST /internal/session HTTP/1.1\r\n", 33);
			end_say(&authd, cases[i].said);
			end_close(&authd);
		}
		authd = rig_authd(&rig);
		end_hear_head(&authd, head, sizeof(head));
		assert_memory_equal(head, "GET /console/ HTTP/1.1\r\n", 24);
		assert_null(strstr(head, "evil"));
		if (cases[i].told)
			assert_non_null(strstr(head, cases[i].told));
		else
			assert_null(strstr(head, "Gatehouse"));
		end_say(&authd, OK_ABC);
		end_hear_head(&client, head, sizeof(head));
		end_hear(&client, "abc");
		end_close(&client);
		end_close(&authd);
	}
}

static void
have_a_dashboard(struct proxyd_config *c)
{
	static const char *audiences[] = { "a", "b/c" };
	struct proxyd_route *routes = c->routes.items;

	routes[0].kind = PROXYD_ROUTE_BEARER;
	routes[0].audience = "b/c";
	routes[0].audience_at = 1;
	c->id_token_audiences = (struct config_strings){ audiences, 2 };
	believer.alice.identity.how = IDENTITY_SESSION;
}
static int
setup_dashboard(void **state)
{
	(void)state;
	rig_start(&rig, have_a_dashboard);
	return 0;
}

/* What authd gives for a route's audience becomes a header line, if it can be one. */
static void
dashboard_gets_the_id_token_of_its_audience_and_nothing_that_is_none(void **state)
{
	static const struct {
		const char *tokens, *sent; /* sent NULL: refused */
	} cases[] = { { "{\"a\":\"x.y.z\",\"b/c\":\"good-1._z\"}", "\r\nAuthorization: Bearer good-1._z\r\n" }, { "{\"b/c\":\"z\\r\\nX: y\"}", NULL },
		{ "{\"b/c\":\"\"}", NULL }, { "{\"b/c\":\"a b\"}", NULL }, { "{\"b/c\":7}", NULL }, { "{\"a\":\"x\"}", NULL }, { "[]", NULL }, { "null", NULL } };
	char head[4096], answer[1024], body[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct end client = rig_client(&rig), authd;
		int n = snprintf(body, sizeof(body), "{\"id_token\":\"alice\",\"refresh_after\":9,\"id_tokens\":%s}", cases[i].tokens);
		snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, body);
		end_say(&client, "GET /console/x HTTP/1.1\r\n" HOST "Cookie: gate=x\r\nAccept: text/html\r\n\r\n");
		authd = rig_authd(&rig);
		end_hear_head(&authd, head, sizeof(head));
		assert_non_null(strstr(head, "POST /internal/session?audience=a%20b%2Fc HTTP/1.1\r\n"));
		end_say(&authd, answer);
		end_close(&authd);
		if (cases[i].sent) {
			authd = rig_authd(&rig);
			end_hear_head(&authd, head, sizeof(head));
			assert_non_null(strstr(head, cases[i].sent));
			assert_null(strstr(head, "gate="));
			end_say(&authd, OK_ABC);
			end_close(&authd);
		}
		end_hear_head(&client, head, sizeof(head));
		assert_memory_equal(head, cases[i].sent ? "HTTP/1.1 200 " : "HTTP/1.1 403 ", 13);
		end_close(&client);
	}
}

static void
clusters_are_listed_to_whoever_is_known(void **state)
{
	char answer[4096];

	(void)state;
	ask("GET /clusters HTTP/1.1\r\n" HOST ALICE "\r\n", answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(answer, "{\"clusters\":[{\"name\":\"default\",\"path\":\"/clusters/default\",\"default\":true},"
				       "{\"name\":\"second\",\"path\":\"/clusters/second\",\"default\":false}]}"));
	ask("GET /clusters HTTP/1.1\r\n" HOST "\r\n", answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 401 ", 13);
	ask("DELETE /clusters HTTP/1.1\r\n" HOST ALICE "\r\n", answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 404 ", 13);
}

static void
without_a_credential_everything_on_a_cluster_is_a_401_status(void **state)
{
	static const char *const paths[] = { "/", "/api", "/clusters/default/api", "/clusters/nowhere/api", "/clusters", "/console2" };
	char answer[8192], request[256];

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n" HOST "\r\n", paths[i]);
		ask(request, answer, sizeof(answer));
		assert_memory_equal(answer, "HTTP/1.1 401 ", 13);
		assert_non_null(strstr(answer, "\"kind\":\"Status\""));
		assert_non_null(strstr(answer, "\"reason\":\"Unauthorized\""));
		assert_non_null(strstr(answer, "X-Request-Id: "));
		assert_null(strstr(answer, "nowhere"));
	}
	assert_true(rig_nobody_connects(rig.cluster_fd, 0));
}

static void
a_bad_credential_gets_the_same_answer_as_none(void **state)
{
	char none[8192], bad[8192];

	(void)state;
	ask("GET /api HTTP/1.1\r\n" HOST "\r\n", none, sizeof(none));
	ask("GET /api HTTP/1.1\r\n" HOST "Authorization: Bearer mallory\r\n\r\n", bad, sizeof(bad));
	assert_string_equal(strstr(none, "\r\n\r\n"), strstr(bad, "\r\n\r\n"));
	assert_memory_equal(bad, "HTTP/1.1 401 ", 13);
}

static void
a_browser_is_sent_to_sign_in_and_told_where_it_wanted_to_go(void **state)
{
	char answer[8192];

	(void)state;
	ask("GET /api/v1/pods?limit=1&x=%2F HTTP/1.1\r\n" HOST BROWSER "\r\n", answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 302 ", 13);
	assert_non_null(strstr(answer, "Location: /console/signin?to=%2Fapi%2Fv1%2Fpods%3Flimit%3D1%26x%3D%252F\r\n"));
	ask("HEAD /api HTTP/1.1\r\n" HOST BROWSER "\r\n", answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 302 ", 13);
	/* A script, a form and a tool are not. */
	ask("GET /api HTTP/1.1\r\n" HOST "Accept: text/html\r\nSec-Fetch-Mode: cors\r\n\r\n", answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 401 ", 13);
	ask("GET /api HTTP/1.1\r\n" HOST "Accept: text/html\r\nX-Requested-With: XMLHttpRequest\r\n\r\n", answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 401 ", 13);
	ask("POST /api HTTP/1.1\r\n" HOST BROWSER "Content-Length: 0\r\n\r\n", answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 401 ", 13);
}

static void
a_target_too_long_to_remember_is_left_out_of_the_redirect(void **state)
{
	char answer[8192], request[8192], path[4001];

	(void)state;
	memset(path, 'p', 4000);
	path[4000] = '\0';
	snprintf(request, sizeof(request), "GET /%s HTTP/1.1\r\n" HOST BROWSER "\r\n", path);
	ask(request, answer, sizeof(answer));
	assert_non_null(strstr(answer, "Location: /console/signin\r\n"));
}

static void
a_browser_at_the_root_is_sent_to_the_console(void **state)
{
	char answer[8192];

	(void)state;
	ask("GET / HTTP/1.1\r\n" HOST BROWSER "\r\n", answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 302 ", 13);
	assert_non_null(strstr(answer, "Location: /console/\r\n"));
	ask("GET / HTTP/1.1\r\n" HOST BROWSER ALICE "\r\n", answer, sizeof(answer));
	assert_non_null(strstr(answer, "Location: /console/\r\n"));
}

static void
our_own_service_is_reached_without_a_credential_and_gets_what_the_client_sent(void **state)
{
	struct end client = rig_client(&rig), authd;
	char head[4096];

	(void)state;
	end_say(&client, "GET /console/x?y=1 HTTP/1.1\r\n" HOST "Cookie: gate=1; other=2\r\nAuthorization: Basic YQ==\r\n\r\n");
	authd = rig_authd(&rig);
	end_hear_head(&authd, head, sizeof(head));
	assert_memory_equal(head, "GET /console/x?y=1 HTTP/1.1\r\n", 29);
	assert_non_null(strstr(head, "Cookie: gate=1; other=2\r\n"));
	assert_non_null(strstr(head, "Authorization: Basic YQ==\r\n"));
	assert_non_null(strstr(head, "X-Forwarded-Host: gate.test\r\n"));
	assert_non_null(strstr(head, "X-Forwarded-Proto: https\r\n"));
	assert_null(strstr(head, "Impersonate-"));
	end_say(&authd, OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	assert_non_null(strstr(head, "Strict-Transport-Security: "));
	end_hear(&client, "abc");
	end_close(&client);
	end_close(&authd);
}

static void
impersonation_by_the_client_is_refused_everywhere(void **state)
{
	static const char *const headers[] = { "Impersonate-User: root", "impersonate_group: system:masters", "IMPERSONATE-EXTRA-x: 1", "Impersonate.Uid: 1" };
	static const char *const paths[] = { "/api", "/clusters/second/api", "/oidc/keys" };
	char answer[8192], request[512];

	(void)state;
	for (size_t p = 0; p < 3; p++)
		for (size_t i = 0; i < 4; i++) {
			snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n" HOST ALICE "%s\r\n\r\n", paths[p], headers[i]);
			ask(request, answer, sizeof(answer));
			assert_memory_equal(answer, "HTTP/1.1 403 ", 13);
			assert_non_null(strstr(answer, "\"reason\":\"Forbidden\""));
		}
	snprintf(request, sizeof(request), "GET /api HTTP/1.1\r\n" HOST ALICE "Connection: Impersonate-User\r\n\r\n");
	ask(request, answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 400 ", 13);
	assert_true(rig_nobody_connects(rig.cluster_fd, 0));
	assert_true(rig_nobody_connects(rig.authd_fd, 0));
}

static void
clusters_are_found_by_name_and_the_prefix_is_removed(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[8192];

	(void)state;
	end_say(&client, "GET /clusters/second/api/v1?x HTTP/1.1\r\n" HOST ALICE "\r\n");
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_memory_equal(head, "GET /api/v1?x HTTP/1.1\r\n", 24);
	end_say(&cluster, OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	assert_null(strstr(head, "Strict-Transport-Security"));
	end_close(&cluster);
	end_close(&client);
	ask("GET /clusters/third/api HTTP/1.1\r\n" HOST ALICE "\r\n", head, sizeof(head));
	assert_memory_equal(head, "HTTP/1.1 404 ", 13);
	ask("GET /clusters/secondary/api HTTP/1.1\r\n" HOST ALICE "\r\n", head, sizeof(head));
	assert_memory_equal(head, "HTTP/1.1 404 ", 13);
}

static void
a_connection_made_for_another_name_is_misdirected(void **state)
{
	static const struct {
		const char *sni, *host;
		bool ok;
	} rows[] = { { "gate.test", "gate.test", true }, { "gate.test", "GATE.test:8443", true }, { "gate.test", "127.0.0.1:8443", true }, { "gate.test", "[::1]:8443", true },
		{ NULL, "anything.test", true }, { "gate.test", "other.test", false }, { "gate.test", "gate.test.evil", false } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct end client = rig_client_with(&rig, rows[i].sni, 0);
		char request[256], head[4096];
		snprintf(request, sizeof(request), "GET /api HTTP/1.1\r\nHost: %s\r\n\r\n", rows[i].host);
		end_say(&client, request);
		end_hear_head(&client, head, sizeof(head));
		assert_memory_equal(head, rows[i].ok ? "HTTP/1.1 401 " : "HTTP/1.1 421 ", 13);
		end_close(&client);
	}
}

static void
while_there_are_no_keys_nobody_is_refused_but_asked_to_wait(void **state)
{
	char answer[8192];

	(void)state;
	believer.no_keys = true;
	ask("GET /api HTTP/1.1\r\n" HOST ALICE "\r\n", answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 503 ", 13);
	assert_non_null(strstr(answer, "Retry-After: "));
}

/* ---- upstreams that are not there ---- */

static void
a_cluster_that_refuses_connections_is_a_502_that_says_so(void **state)
{
	char answer[8192];

	(void)state;
	close(rig.cluster_fd);
	rig.cluster_fd = -1;
	ask("GET /api HTTP/1.1\r\n" HOST ALICE "\r\n", answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 502 ", 13);
	assert_non_null(strstr(answer, "cluster default: "));
	assert_non_null(strstr(answer, "refused"));
}

static void
an_authd_that_is_not_there_is_a_page_for_browsers(void **state)
{
	char answer[8192];

	(void)state;
	close(rig.authd_fd);
	rig.authd_fd = -1;
	ask("GET /console/ HTTP/1.1\r\n" HOST BROWSER "\r\n", answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 502 ", 13);
	assert_non_null(strstr(answer, "text/html"));
}

static void
a_cluster_with_a_foreign_certificate_gets_no_request(void **state)
{
	struct unit_pem other;
	struct tls_error e;
	static const unsigned char secret[TLS_TICKET_SECRET_BYTES];
	const struct tls_server_options o = { .context = SLICE_LIT("x"), .ticket_secret = secret, .clock = &clock_system };

	(void)state;
	/* Not signed by the CA; and signed by it, but another's name. */
	for (int i = 0; i < 2; i++) {
		struct tls_server_options with = o;
		if (i == 0)
			unit_pem_make(&other, "DNS:cluster.test");
		else
			other = rig.front; /* for gate.test, and not the CA of the cluster */
		with.cert_pem = slice_str(other.cert);
		with.key_pem = slice_str(other.key);
		SSL_CTX *ctx;
		assert_int_equal(tls_server_new(&with, &ctx, &e), OK);
		struct end client = rig_client(&rig);
		char head[4096];
		end_say(&client, "GET /api HTTP/1.1\r\n" HOST ALICE "\r\n");
		struct end cluster = { .fd = accept(rig.cluster_fd, NULL, NULL), .ssl = SSL_new(ctx) };
		SSL_set_fd(cluster.ssl, cluster.fd);
		SSL_accept(cluster.ssl);
		end_hear_status(&client, "502", head, sizeof(head));
		char c;
		assert_true(end_read(&cluster, &c, 1) <= 0);
		end_close(&client);
		end_close(&cluster);
		SSL_CTX_free(ctx);
	}
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(console_is_told_which_clusters_are_open_and_nobody_is_kept_from_it),
		T(clusters_are_listed_to_whoever_is_known),
		cmocka_unit_test_setup_teardown(dashboard_gets_the_id_token_of_its_audience_and_nothing_that_is_none, setup_dashboard, rig_teardown),
		T(without_a_credential_everything_on_a_cluster_is_a_401_status),
		T(a_bad_credential_gets_the_same_answer_as_none),
		T(a_browser_is_sent_to_sign_in_and_told_where_it_wanted_to_go),
		T(a_target_too_long_to_remember_is_left_out_of_the_redirect),
		T(a_browser_at_the_root_is_sent_to_the_console),
		T(our_own_service_is_reached_without_a_credential_and_gets_what_the_client_sent),
		T(impersonation_by_the_client_is_refused_everywhere),
		T(clusters_are_found_by_name_and_the_prefix_is_removed),
		T(a_connection_made_for_another_name_is_misdirected),
		T(while_there_are_no_keys_nobody_is_refused_but_asked_to_wait),
		T(a_cluster_that_refuses_connections_is_a_502_that_says_so),
		T(an_authd_that_is_not_there_is_a_page_for_browsers),
		T(a_cluster_with_a_foreign_certificate_gets_no_request),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
