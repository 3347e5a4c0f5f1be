#include <signal.h>
#include <time.h>
#include "tests/unit/unit.h"
#include "tests/unit/unit_http.h"
#include "tests/unit/unit_tls.h"
#include "shared/fetch.h"

static struct unit_http server;
static struct fetcher *fetcher;
static struct fetch_result result;
static char url[256];

static int
setup(void **state)
{
	(void)state;
	unit_http_start(&server, "127.0.0.1:0", NULL);
	fetcher = fetcher_new(&(struct fetcher_options){ .user_agent = "gatehouse-test" });
	return fetcher ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	fetcher_free(fetcher);
	unit_http_stop(&server);
	return 0;
}

static const char *
at(const char *path)
{
	snprintf(url, sizeof(url), "http://%s%s", server.address, path);
	return url;
}

static enum err
get(const char *path)
{
	struct fetch_request req = { .method = "GET", .url = at(path) };

	return fetch_wait(fetcher, &req, &result);
}

static void
assert_message(const char *before, const char *peer, const char *after)
{
	char want[300];

	snprintf(want, sizeof(want), "%s%s%s", before, peer, after);
	assert_string_equal(result.message, want);
}

static void
an_answer_arrives_with_status_headers_and_body(void **state)
{
	(void)state;
	assert_int_equal(get("/ok?secret=1"), OK);
	assert_int_equal(result.err, OK);
	assert_int_equal(result.status, 200);
	assert_string_equal(result.body.p, "ok");
	assert_string_equal(result.headers.p, "Content-Type: text/plain\r\nContent-Length: 2\r\n");
	assert_string_equal(result.message, "");
	fetch_result_fini(&result);
}

static void
headers_are_those_of_the_last_answer(void **state)
{
	(void)state;
	assert_int_equal(get("/headers"), OK);
	assert_int_equal(result.status, 404);
	assert_int_equal(result.body.n, 0);
	assert_true(slice_eq_str(fetch_header(&result, "etag"), "\"a\""));
	assert_true(slice_eq_str(fetch_header(&result, "X-TWO"), "1"));
	assert_non_null(fetch_header(&result, "empty").p);
	assert_int_equal(fetch_header(&result, "empty").n, 0);
	assert_null(fetch_header(&result, "X-Early").p);
	assert_null(fetch_header(&result, "X-T").p);
	fetch_result_fini(&result);
	assert_null(fetch_header(&result, "etag").p);
}

static void
a_redirect_is_an_answer_and_not_followed(void **state)
{
	(void)state;
	assert_int_equal(get("/redirect"), OK);
	assert_int_equal(result.status, 302);
	assert_string_equal(result.body.p, "moved");
	assert_true(slice_eq_str(fetch_header(&result, "location"), "/ok"));
	assert_int_equal(atomic_load(&server.requests), 1);
	fetch_result_fini(&result);
}

static void
method_headers_and_body_are_sent(void **state)
{
	const char *const headers[] = { "Authorization: Bearer hunter2", "Content-Type: application/x-www-form-urlencoded", "Accept: application/json",
		NULL };
	struct fetch_request req = { .method = "POST", .url = at("/echo"), .headers = headers, .body = SLICE_LIT("a=1&b=\0x") };

	(void)state;
	assert_int_equal(fetch_wait(fetcher, &req, &result), OK);
	char want[400];
	int n = snprintf(want, sizeof(want), "POST /echo HTTP/1.1\r\nHost: %s\r\nUser-Agent: gatehouse-test\r\nAuthorization: Bearer hunter2\r\n"
					     "Content-Type: application/x-www-form-urlencoded\r\nAccept: application/json\r\nContent-Length: 8\r\n\r\n",
		server.address);
	memcpy(want + n, "a=1&b=\0x", 9);
	assert_int_equal(result.body.n, n + 8);
	assert_memory_equal(result.body.p, want, (size_t)n + 8);
	fetch_result_fini(&result);

	req = (struct fetch_request){ .method = "POST", .url = at("/echo") };
	assert_int_equal(fetch_wait(fetcher, &req, &result), OK);
	assert_memory_equal(result.body.p, "POST /echo ", 11);
	assert_non_null(strstr(result.body.p, "Content-Length: 0\r\n"));
	fetch_result_fini(&result);

	req = (struct fetch_request){ .method = "PUT", .url = at("/echo"), .body = SLICE_LIT("body") };
	assert_int_equal(fetch_wait(fetcher, &req, &result), OK);
	assert_memory_equal(result.body.p, "PUT /echo ", 10);
	assert_non_null(strstr(result.body.p, "\r\n\r\nbody"));
	fetch_result_fini(&result);

	req = (struct fetch_request){ .method = "DELETE", .url = at("/echo") };
	assert_int_equal(fetch_wait(fetcher, &req, &result), OK);
	assert_memory_equal(result.body.p, "DELETE /echo ", 13);
	fetch_result_fini(&result);

	/* A handle that was used for a body is used again without it. */
	assert_int_equal(get("/echo"), OK);
	assert_memory_equal(result.body.p, "GET /echo ", 10);
	assert_null(strstr(result.body.p, "Content-Length"));
	fetch_result_fini(&result);

	req = (struct fetch_request){ .method = "HEAD", .url = at("/headers") };
	assert_int_equal(fetch_wait(fetcher, &req, &result), OK);
	assert_int_equal(result.status, 404);
	fetch_result_fini(&result);
	assert_int_equal(atomic_load(&server.accepted), 1); /* all over one connection */
}

static void
a_large_body_is_sent_without_asking_first(void **state)
{
	size_t n = 3u << 20;
	char *body = malloc(n);
	struct fetch_request req = { .method = "POST", .url = at("/echo"), .body = slice_of(body, n), .body_bytes_max = 4u << 20 };

	(void)state;
	memset(body, 'b', n);
	assert_int_equal(fetch_wait(fetcher, &req, &result), OK);
	assert_null(strstr(result.body.p, "100-continue"));
	assert_true(result.body.n > n);
	fetch_result_fini(&result);
	free(body);
}

static void
a_longer_answer_than_wanted_is_refused(void **state)
{
	struct fetch_request req = { .method = "GET", .url = at("/long?secret=1"), .body_bytes_max = 99999 };

	(void)state;
	assert_int_equal(fetch_wait(fetcher, &req, &result), E_LIMIT);
	assert_message("", server.address, ": answer longer than 99999 bytes");
	assert_int_equal(result.status, 0);
	assert_int_equal(result.body.n, 0);
	fetch_result_fini(&result);
	req.url = at("/endless");
	assert_int_equal(fetch_wait(fetcher, &req, &result), E_LIMIT);
	assert_message("", server.address, ": answer longer than 99999 bytes");
	assert_int_equal(result.body.n, 0);
	fetch_result_fini(&result);
	req.body_bytes_max = 64 * 4096;
	assert_int_equal(fetch_wait(fetcher, &req, &result), OK);
	assert_int_equal(result.body.n, 64 * 4096);
	fetch_result_fini(&result);
	assert_int_equal(get("/endless-headers"), E_LIMIT);
	assert_message("", server.address, ": headers longer than 65536 bytes");
	fetch_result_fini(&result);
}

static void
a_server_that_never_answers_is_given_up(void **state)
{
	struct fetch_request req = { .method = "GET", .url = at("/silent?secret=1"), .timeout_ms = 150 };

	(void)state;
	assert_int_equal(fetch_wait(fetcher, &req, &result), E_SYSTEM);
	assert_message("", server.address, ": no answer within 150 ms");
	assert_true(result.total_ms >= 150 && result.total_ms < 5000);
	fetch_result_fini(&result);
}

static void
a_broken_answer_is_no_answer(void **state)
{
	(void)state;
	assert_int_equal(get("/cut"), E_SYSTEM);
	assert_non_null(strstr(result.message, server.address));
	assert_int_equal(result.body.n, 0);
	fetch_result_fini(&result);
	assert_int_equal(get("/close"), E_SYSTEM);
	assert_message("", server.address, ": Empty reply from server");
	fetch_result_fini(&result);
	assert_int_equal(get("/junk?secret=1"), E_SYSTEM);
	assert_null(strstr(result.message, "secret"));
	assert_null(strstr(result.message, "SSH"));
	fetch_result_fini(&result);
}

static void
a_refused_connection_says_so(void **state)
{
	struct unit_http gone;
	char gone_url[256];

	(void)state;
	unit_http_start(&gone, "127.0.0.1:0", NULL);
	unit_http_stop(&gone);
	snprintf(gone_url, sizeof(gone_url), "http://%s/?secret=1", gone.address);
	struct fetch_request req = { .method = "GET", .url = gone_url };
	assert_int_equal(fetch_wait(fetcher, &req, &result), E_SYSTEM);
	assert_message("connect to ", gone.address, ": Connection refused");
	fetch_result_fini(&result);

	req = (struct fetch_request){ .method = "GET", .url = "http://issuer/", .unix_socket = "/nonexistent/sock" };
	assert_int_equal(fetch_wait(fetcher, &req, &result), E_SYSTEM);
	assert_memory_equal(result.message, "connect to unix:/nonexistent/sock: ", 35);
	fetch_result_fini(&result);
}

static void
an_issuer_is_asked_over_its_unix_socket(void **state)
{
	struct unit_http local;
	char folder[64], where[128];

	(void)state;
	unit_folder_make(folder);
	snprintf(where, sizeof(where), "unix:%s/authd.sock", folder);
	unit_http_start(&local, where, NULL);
	struct fetch_request req = { .method = "GET", .url = "https://gateway.example/oidc/keys", .unix_socket = where + 5 };
	assert_int_equal(fetch_wait(fetcher, &req, &result), OK);
	assert_int_equal(result.status, 200);
	fetch_result_fini(&result);
	req.url = "https://gateway.example:8443/echo";
	assert_int_equal(fetch_wait(fetcher, &req, &result), OK);
	assert_memory_equal(result.body.p, "GET /echo HTTP/1.1\r\nHost: gateway.example:8443\r\n", 47);
	fetch_result_fini(&result);
	/* Asked for TLS, it is TLS that is spoken: this server waits for a request that never comes. */
	req.unix_tls = true;
	req.timeout_ms = 100;
	assert_int_equal(fetch_wait(fetcher, &req, &result), E_SYSTEM);
	assert_int_equal(atomic_load(&local.requests), 2);
	fetch_result_fini(&result);
	unit_http_stop(&local);
	unlink(where + 5);
	rmdir(folder);
}

static void
a_proxy_from_the_environment_counts_only_when_told(void **state)
{
	char proxy[256];

	(void)state;
	snprintf(proxy, sizeof(proxy), "http://%s", server.address);
	setenv("http_proxy", proxy, 1);
	struct fetch_request req = { .method = "GET", .url = "http://nowhere.invalid/echo" };
	assert_int_equal(fetch_wait(fetcher, &req, &result), E_SYSTEM);
	assert_non_null(strstr(result.message, "nowhere.invalid:80: "));
	fetch_result_fini(&result);
	struct fetcher *told = fetcher_new(&(struct fetcher_options){ .proxy_from_environment = true });
	assert_int_equal(fetch_wait(told, &req, &result), OK);
	assert_int_equal(result.status, 200);
	fetch_result_fini(&result);
	fetcher_free(told);
	unsetenv("http_proxy");
}

static void
what_is_no_request_is_refused_before_it_starts(void **state)
{
	static const char *const urls[] = { "", "file:///etc/passwd", "ftp://a/", "http://user:pw@a/", "http://a/#f", "http://a/ b", "a", NULL };
	static const char *const lines[] = { "", "NoColon", ": empty", "A b: c", "X: a\r\nY: b", "X: a\n", NULL };
	static const char *const methods[] = { "", "get", "GET /", "GET\r\n" };
	struct fetch_request req = { .method = "GET" };

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		req.url = urls[i];
		assert_int_equal(fetch_wait(fetcher, &req, &result), E_FORMAT);
		assert_int_equal(result.err, E_FORMAT);
		assert_string_equal(result.message, "cannot begin: E_FORMAT");
		fetch_result_fini(&result);
	}
	req.url = at("/ok");
	for (size_t i = 0; lines[i]; i++) {
		req.headers = (const char *const[]){ "Good: 1", lines[i], NULL };
		assert_int_equal(fetch_wait(fetcher, &req, &result), E_FORMAT);
	}
	req.headers = NULL;
	for (size_t i = 0; i < 4; i++) {
		req.method = methods[i];
		assert_int_equal(fetch_wait(fetcher, &req, &result), E_FORMAT);
	}
	req = (struct fetch_request){ .method = "POST", .url = at("/ok"), .body = slice_of("", FETCH_REQUEST_BYTES_MAX + 1u) };
	assert_int_equal(fetch_wait(fetcher, &req, &result), E_LIMIT);
	assert_int_equal(atomic_load(&server.requests), 0);
}

/* Counts ends, and lets the test wait for a number of them. */
struct tally {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int ok, abandoned, failed;
	struct fetch_request next;
	enum err nested, waited;
};

static void
tally_init(struct tally *t)
{
	memset(t, 0, sizeof(*t));
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->changed, NULL);
}

static void
tally_fini(struct tally *t)
{
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
}

static void
count(void *arg, struct fetch_result *r)
{
	struct tally *t = arg;

	pthread_mutex_lock(&t->lock);
	if (r->err == OK)
		t->ok++;
	else if (r->err == E_AGAIN)
		t->abandoned++;
	else
		t->failed++;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
}

static void
tally_wait(struct tally *t, int ends)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&t->lock);
	while (t->ok + t->abandoned + t->failed < ends)
		assert_int_equal(pthread_cond_timedwait(&t->changed, &t->lock, &until), 0);
	pthread_mutex_unlock(&t->lock);
}

static void
a_slow_answer_does_not_delay_others(void **state)
{
	struct tally slow, quick;
	struct fetch_request req = { .method = "GET", .url = at("/silent"), .timeout_ms = 30000 };

	(void)state;
	tally_init(&slow);
	tally_init(&quick);
	for (int i = 0; i < 10; i++)
		assert_int_equal(fetch_start(fetcher, &req, count, &slow), OK);
	req.url = at("/ok");
	for (int i = 0; i < 30; i++)
		assert_int_equal(fetch_start(fetcher, &req, count, &quick), OK);
	tally_wait(&quick, 30);
	assert_int_equal(quick.ok, 30);
	assert_int_equal(slow.ok + slow.abandoned + slow.failed, 0);
	/* Freed while they are under way: each ends once. */
	fetcher_free(fetcher);
	assert_int_equal(slow.abandoned, 10);
	fetcher = fetcher_new(&(struct fetcher_options){ 0 });
	tally_fini(&slow);
	tally_fini(&quick);
}

static void
the_queue_is_bounded_and_its_wait_counts(void **state)
{
	struct tally t;
	struct fetch_request silent = { .method = "GET", .url = at("/silent"), .timeout_ms = 300 };
	struct fetcher *narrow = fetcher_new(&(struct fetcher_options){ .concurrent_max = 1, .queue_max = 2 });

	(void)state;
	tally_init(&t);
	assert_int_equal(fetch_start(narrow, &silent, count, &t), OK);
	while (atomic_load(&server.requests) < 1) /* it is under way, not in the queue */
		sched_yield();
	struct fetch_request ok = { .method = "GET", .url = at("/ok"), .timeout_ms = 20000 };
	silent.timeout_ms = 1;
	assert_int_equal(fetch_start(narrow, &silent, count, &t), OK);
	assert_int_equal(fetch_start(narrow, &ok, count, &t), OK);
	assert_int_equal(fetch_start(narrow, &ok, count, &t), E_LIMIT);
	tally_wait(&t, 3);
	assert_int_equal(t.failed, 2);
	assert_int_equal(t.ok, 1);
	assert_int_equal(atomic_load(&server.requests), 2); /* the second was never sent */
	fetcher_free(narrow);
	tally_fini(&t);
}

static void
start_another(void *arg, struct fetch_result *r)
{
	struct tally *t = arg;
	struct fetch_result inner;

	if (r->err == OK)
		t->nested = fetch_start(fetcher, &t->next, count, t);
	t->waited = fetch_wait(fetcher, &t->next, &inner);
	fetch_result_fini(&inner);
}

static void
a_callback_may_start_another_but_not_wait(void **state)
{
	struct tally t;

	(void)state;
	tally_init(&t);
	t.next = (struct fetch_request){ .method = "GET", .url = at("/ok") };
	assert_int_equal(fetch_start(fetcher, &t.next, start_another, &t), OK);
	tally_wait(&t, 1);
	assert_int_equal(t.nested, OK);
	assert_int_equal(t.waited, E_CONFLICT);
	assert_int_equal(t.ok, 1);
	tally_fini(&t);
}

static void
start_late(void *arg, struct fetch_result *r)
{
	struct tally *t = arg;

	t->nested = fetch_start(fetcher, &t->next, count, t);
	count(t, r);
}

static void
what_waits_in_the_queue_is_abandoned_too(void **state)
{
	struct tally t;
	struct fetcher *narrow = fetcher_new(&(struct fetcher_options){ .concurrent_max = 1 }), *kept = fetcher;

	(void)state;
	tally_init(&t);
	t.next = (struct fetch_request){ .method = "GET", .url = at("/silent") };
	for (int i = 0; i < 5; i++)
		assert_int_equal(fetch_start(narrow, &t.next, start_late, &t), OK);
	fetcher = narrow; /* start_late uses it while it is being freed */
	fetcher_free(narrow);
	fetcher = kept;
	assert_int_equal(t.abandoned, 5);
	assert_int_equal(t.nested, E_CONFLICT);
	tally_fini(&t);
	fetcher_free(NULL);
}

static void
tls_is_verified_always(void **state)
{
	char folder[64], ca[128], other[128], tls_url[256];
	struct unit_http secure;
	time_t now = time(NULL);
	EVP_PKEY *ca_key = test_key_new(0), *key = test_key_new(0), *other_key = test_key_new(0);
	X509 *ca_cert = unit_cert_make(ca_key, "unit CA", NULL, NULL, NULL, now - 60, now + 3600);
	X509 *other_ca = unit_cert_make(other_key, "other CA", NULL, NULL, NULL, now - 60, now + 3600);
	X509 *cert = unit_cert_make(key, "server", "DNS:issuer.test,IP:127.0.0.1", ca_cert, ca_key, now - 60, now + 3600);
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

	(void)state;
	SSL_CTX_use_certificate(tls, cert);
	SSL_CTX_use_PrivateKey(tls, key);
	unit_folder_make(folder);
	snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
	snprintf(other, sizeof(other), "%s/other.pem", folder);
	unit_cert_write(ca, "w", ca_cert);
	unit_cert_write(other, "w", other_ca);
	unit_http_start(&secure, "127.0.0.1:0", tls);
	snprintf(tls_url, sizeof(tls_url), "https://%s/ok", secure.address);

	struct fetch_request req = { .method = "GET", .url = tls_url };
	const char *const refused[] = { NULL, other, "/nonexistent/ca.pem" };
	for (size_t i = 0; i < 3; i++) {
		req.ca_file = refused[i];
		assert_int_equal(fetch_wait(fetcher, &req, &result), E_SYSTEM);
		assert_non_null(strstr(result.message, secure.address));
		assert_non_null(strstr(result.message, "certificate"));
		assert_int_equal(atomic_load(&secure.requests), 0);
		fetch_result_fini(&result);
	}
	req.ca_file = ca;
	assert_int_equal(fetch_wait(fetcher, &req, &result), OK);
	assert_string_equal(result.body.p, "ok");
	fetch_result_fini(&result);
	/* The fetcher's own CA file, and a name that the certificate does not have. */
	struct fetcher *with_ca = fetcher_new(&(struct fetcher_options){ .ca_file = ca });
	req.ca_file = NULL;
	assert_int_equal(fetch_wait(with_ca, &req, &result), OK);
	fetch_result_fini(&result);
	snprintf(tls_url, sizeof(tls_url), "https://localhost:%s/ok", strrchr(secure.address, ':') + 1);
	assert_int_equal(fetch_wait(with_ca, &req, &result), E_SYSTEM);
	assert_non_null(strstr(result.message, "certificate subject name"));
	fetch_result_fini(&result);
	fetcher_free(with_ca);
	assert_int_equal(atomic_load(&secure.requests), 2);

	unit_http_stop(&secure);
	SSL_CTX_free(tls);
	X509_free(cert);
	X509_free(ca_cert);
	X509_free(other_ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(other_key);
	unlink(ca);
	unlink(other);
	rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_answer_arrives_with_status_headers_and_body, setup, teardown),
		cmocka_unit_test_setup_teardown(headers_are_those_of_the_last_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(a_redirect_is_an_answer_and_not_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(method_headers_and_body_are_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(a_large_body_is_sent_without_asking_first, setup, teardown),
		cmocka_unit_test_setup_teardown(a_longer_answer_than_wanted_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_never_answers_is_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(a_broken_answer_is_no_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refused_connection_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(an_issuer_is_asked_over_its_unix_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(a_proxy_from_the_environment_counts_only_when_told, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_request_is_refused_before_it_starts, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slow_answer_does_not_delay_others, setup, teardown),
		cmocka_unit_test_setup_teardown(the_queue_is_bounded_and_its_wait_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(a_callback_may_start_another_but_not_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(what_waits_in_the_queue_is_abandoned_too, setup, teardown),
		cmocka_unit_test_setup_teardown(tls_is_verified_always, setup, teardown),
	};

	signal(SIGPIPE, SIG_IGN); /* the server writes to clients that gave up */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
