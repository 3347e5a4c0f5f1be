#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oidc/login/cache.h"
#include "oidc/login/exec_credential.h"
#include "oidc/login/loopback.h"

static struct arena arena;
static char folder[64];

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, 0);
	snprintf(folder, sizeof(folder), "/tmp/gatehouse-login-XXXXXX");
	assert_non_null(mkdtemp(folder));
	setenv("XDG_CACHE_HOME", folder, 1);
	return 0;
}

static int
teardown(void **state)
{
	char command[128];
	(void)state;
	arena_fini(&arena);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static const struct login_tokens sample = { SLICE_LIT("https://a.example/oidc"), SLICE_LIT("cli"), SLICE_LIT("openid"), SLICE_LIT("h.p.s"), SLICE_LIT("r\"1"), 1234 };

static void
tokens_are_stored_for_their_owner_only_and_read_back(void **state)
{
	struct login_cache c;
	struct login_tokens t;
	struct stat st;
	char why[256];
	(void)state;
	assert_int_equal(login_cache_open(&c, "https://a.example/oidc", "cli", "openid", why, sizeof(why)), OK);
	assert_int_equal(login_cache_get(&c, &arena, &t), E_EMPTY);
	assert_int_equal(login_cache_lock(&c, why, sizeof(why)), OK);
	assert_int_equal(login_cache_put(&c, &sample, why, sizeof(why)), OK);
	assert_int_equal(login_cache_get(&c, &arena, &t), OK);
	assert_true(slice_eq(t.id_token, sample.id_token) && slice_eq(t.refresh_token, sample.refresh_token));
	assert_int_equal(t.expires_at, 1234);
	assert_int_equal(stat(c.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(c.folder, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	login_cache_close(&c);
	/* Another client or scope is another entry. */
	assert_int_equal(login_cache_open(&c, "https://a.example/oidc", "cli2", "openid", why, sizeof(why)), OK);
	assert_int_equal(login_cache_get(&c, &arena, &t), E_EMPTY);
}

static void
an_entry_that_others_can_read_or_that_is_damaged_is_not_used(void **state)
{
	struct login_cache c;
	struct login_tokens t;
	char why[256];
	static const char *const damaged[] = { "", "{}", "[]", "{\"issuer\":\"a\",\"client_id\":\"b\",\"id_token\":\"c\",\"expires_at\":\"1\"}",
		"{\"issuer\":\"a\",\"client_id\":\"b\",\"expires_at\":1}", "not json" };
	(void)state;
	assert_int_equal(login_cache_open(&c, "i", "c", "s", why, sizeof(why)), OK);
	assert_int_equal(login_cache_put(&c, &sample, why, sizeof(why)), OK);
	assert_int_equal(chmod(c.path, 0640), 0);
	assert_int_equal(login_cache_get(&c, &arena, &t), E_EMPTY);
	for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
		FILE *f = fopen(c.path, "w");
		assert_non_null(f);
		fputs(damaged[i], f);
		fclose(f);
		assert_int_equal(chmod(c.path, 0600), 0);
		assert_int_equal(login_cache_get(&c, &arena, &t), E_EMPTY);
	}
	assert_int_equal(unlink(c.path), 0);
	assert_int_equal(symlink("/etc/passwd", c.path), 0);
	assert_int_equal(login_cache_get(&c, &arena, &t), E_EMPTY);
}

static void
a_cache_that_cannot_be_made_or_written_says_where(void **state)
{
	struct login_cache c;
	char why[256] = "";
	(void)state;
	setenv("XDG_CACHE_HOME", "/dev/null/x", 1);
	assert_int_equal(login_cache_open(&c, "i", "c", "s", why, sizeof(why)), E_SYSTEM);
	assert_non_null(strstr(why, "/dev/null/x/gatehouse"));
	setenv("XDG_CACHE_HOME", "relative", 1);
	unsetenv("HOME");
	assert_int_equal(login_cache_open(&c, "i", "c", "s", why, sizeof(why)), E_EMPTY);
	assert_non_null(strstr(why, "XDG_CACHE_HOME"));
	setenv("XDG_CACHE_HOME", folder, 1);
	assert_int_equal(login_cache_open(&c, "i", "c", "s", why, sizeof(why)), OK);
	assert_int_equal(mkdir(c.path, 0700), 0);
	assert_int_equal(login_cache_put(&c, &sample, why, sizeof(why)), E_SYSTEM);
	assert_non_null(strstr(why, c.path));
}

static void
count_visit(void *arg, const char *path, const struct login_tokens *t)
{
	size_t *n = arg;
	(void)path;
	assert_true(t->id_token.n > 0);
	(*n)++;
}

static void
entries_are_listed_all_or_by_issuer(void **state)
{
	struct login_cache c;
	struct login_tokens other = sample;
	char why[256];
	size_t n = 0;
	(void)state;
	other.issuer = SLICE_LIT("https://b.example");
	assert_int_equal(login_cache_each(NULL, count_visit, &n), 0);
	assert_int_equal(login_cache_open(&c, "1", "c", "s", why, sizeof(why)), OK);
	assert_int_equal(login_cache_put(&c, &sample, why, sizeof(why)), OK);
	assert_int_equal(login_cache_open(&c, "2", "c", "s", why, sizeof(why)), OK);
	assert_int_equal(login_cache_put(&c, &other, why, sizeof(why)), OK);
	assert_int_equal(login_cache_each(NULL, count_visit, &n), 2);
	assert_int_equal(login_cache_each("https://b.example", count_visit, &n), 1);
	assert_int_equal(n, 3);
}

static void
only_a_get_of_the_callback_is_an_answer(void **state)
{
	(void)state;
	assert_true(slice_eq_str(loopback_request_query(SLICE_LIT("GET /callback?code=a&state=b HTTP/1.1\r\nHost: x\r\n\r\n")), "code=a&state=b"));
	assert_null(loopback_request_query(SLICE_LIT("POST /callback?code=a HTTP/1.1\r\n\r\n")).p);
	assert_null(loopback_request_query(SLICE_LIT("GET /other?code=a HTTP/1.1\r\n\r\n")).p);
	assert_null(loopback_request_query(SLICE_LIT("GET /callback?code=a")).p);
	assert_null(loopback_request_query(SLICE_LIT("GET /callback HTTP/1.1\r\n\r\n")).p);
	assert_null(loopback_request_query(SLICE_NONE).p);
	assert_true(slice_eq_str(loopback_pasted_query(SLICE_LIT("  http://127.0.0.1:8000/callback?code=a&state=b \r\n")), "code=a&state=b"));
	assert_null(loopback_pasted_query(SLICE_LIT("code\n")).p);
	assert_null(loopback_pasted_query(SLICE_NONE).p);
}

struct visitor {
	uint16_t port;
	char answers[3][64];
};

/* First strays, then the answer: each connection's status line is kept. */
static void *
visit_loopback(void *arg)
{
	struct visitor *v = arg;
	static const char *const requests[] = { "GET /favicon.ico HTTP/1.1\r\n\r\n", "GET /callback?code=stolen&state=wrong HTTP/1.1\r\n\r\n",
		"GET /callback?code=c%2F1&state=s1 HTTP/1.1\r\n\r\n" };
	for (int i = 0; i < 3; i++) {
		struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(v->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && send(fd, requests[i], strlen(requests[i]), 0) > 0)
			recv(fd, v->answers[i], 12, MSG_WAITALL);
		close(fd);
	}
	return NULL;
}

static void
strays_and_foreign_states_do_not_end_the_wait(void **state)
{
	struct loopback l;
	struct form query;
	struct visitor v;
	pthread_t thread;
	(void)state;
	memset(&v, 0, sizeof(v));
	assert_int_equal(loopback_open(&l, 0), OK);
	v.port = l.port;
	assert_int_equal(pthread_create(&thread, NULL, visit_loopback, &v), 0);
	assert_int_equal(loopback_wait(&l, SLICE_LIT("s1"), -1, 20000, &arena, &query), OK);
	pthread_join(thread, NULL);
	assert_true(slice_eq_str(form_get(&query, "code"), "c/1"));
	assert_string_equal(v.answers[0], "HTTP/1.1 404");
	assert_string_equal(v.answers[1], "HTTP/1.1 400");
	assert_string_equal(v.answers[2], "HTTP/1.1 200");
	/* The port is taken now: the error is the system's. */
	struct loopback second;
	assert_int_equal(loopback_open(&second, l.port), E_SYSTEM);
	loopback_close(&l);
}

static void
the_answer_can_be_pasted_and_the_wait_is_bounded(void **state)
{
	struct loopback l;
	struct form query;
	int p[2];
	static const char wrong[] = "http://127.0.0.1:1/callback?code=x&state=no\n", right[] = "http://127.0.0.1:1/callback?code=x&state=s1\n";
	(void)state;
	assert_int_equal(loopback_open(&l, 0), OK);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], right, sizeof(right) - 1), sizeof(right) - 1);
	assert_int_equal(loopback_wait(&l, SLICE_LIT("s1"), p[0], 20000, &arena, &query), OK);
	assert_true(slice_eq_str(form_get(&query, "code"), "x"));
	assert_int_equal(write(p[1], wrong, sizeof(wrong) - 1), sizeof(wrong) - 1);
	close(p[1]);
	assert_int_equal(loopback_wait(&l, SLICE_LIT("s1"), p[0], 50, &arena, &query), E_AGAIN);
	close(p[0]);
	loopback_close(&l);
}

static void
exec_info_of_kubectl_is_understood(void **state)
{
	struct exec_info info;
	const char *why;
	(void)state;
	assert_int_equal(exec_info_parse(NULL, &arena, &info, &why), OK);
	assert_string_equal(info.api_version, "client.authentication.k8s.io/v1");
	assert_true(info.interactive);
	assert_int_equal(exec_info_parse("{\"apiVersion\":\"client.authentication.k8s.io/v1beta1\",\"kind\":\"ExecCredential\",\"spec\":{\"interactive\":false,"
					 "\"cluster\":{\"server\":\"https://gw:8443\",\"certificate-authority-data\":\"UEVNIQ==\"}}}",
				 &arena, &info, &why),
		OK);
	assert_string_equal(info.api_version, "client.authentication.k8s.io/v1beta1");
	assert_false(info.interactive);
	assert_true(slice_eq_str(info.server, "https://gw:8443"));
	assert_true(slice_eq_str(info.ca_pem, "PEM!"));
}

static void
exec_info_of_another_kind_is_refused(void **state)
{
	static const char *const bad[] = { "{}", "x", "[]", "{\"apiVersion\":\"client.authentication.k8s.io/v9\"}", "{\"apiVersion\":1}",
		"{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"spec\":{\"cluster\":{\"certificate-authority-data\":\"a*b=\"}}}",
		"{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"spec\":{\"cluster\":{\"certificate-authority-data\":\"abc\"}}}" };
	struct exec_info info;
	const char *why = NULL;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(exec_info_parse(bad[i], &arena, &info, &why), E_FORMAT);
		assert_non_null(strstr(why, "KUBERNETES_EXEC_INFO"));
	}
}

static void
exec_credential_carries_the_token_and_its_end(void **state)
{
	struct buf b;
	(void)state;
	buf_init(&b, 0);
	exec_credential_add(&b, "client.authentication.k8s.io/v1", SLICE_LIT("h.p.s"), 1767323045);
	assert_string_equal(b.p, "{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\",\"spec\":{\"interactive\":false},"
				 "\"status\":{\"expirationTimestamp\":\"2026-01-02T03:04:05Z\",\"token\":\"h.p.s\"}}\n");
	buf_fini(&b);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(tokens_are_stored_for_their_owner_only_and_read_back), T(an_entry_that_others_can_read_or_that_is_damaged_is_not_used),
		T(a_cache_that_cannot_be_made_or_written_says_where), T(entries_are_listed_all_or_by_issuer), T(only_a_get_of_the_callback_is_an_answer),
		T(strays_and_foreign_states_do_not_end_the_wait), T(the_answer_can_be_pasted_and_the_wait_is_bounded), T(exec_info_of_kubectl_is_understood),
		T(exec_info_of_another_kind_is_refused), T(exec_credential_carries_the_token_and_its_end) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
