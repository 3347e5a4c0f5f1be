#include <pthread.h>
#include <stdio.h>
#include "tests/unit/unit.h"
#include "authd/counters.h"
#include "oidc/token_request.h"

static struct buf text;

static const char *
printed(struct counters *m)
{
	buf_reset(&text);
	counters_print(m, &text);
	assert_true(buf_ok(&text));
	return buf_slice(&text).p;
}

static void
assert_prints(struct counters *m, const char *line)
{
	if (!strstr(printed(m), line))
		fail_msg("not printed: %s\n%s", line, text.p);
}

static void
without_counters_nothing_is_counted(void **state)
{
	(void)state;
	counters_login(NULL, SLICE_LIT("github"), "succeeded");
	counters_tokens(NULL, "refresh_token");
	counters_upstream(NULL, SLICE_LIT("github"), "user", "answered", 1);
	counters_request(NULL, NULL, "GET", 200, 1);
	counters_reload(NULL, true);
	assert_int_equal(counters_health(NULL, false, 7).n, 0);
	assert_string_equal(printed(NULL), "");
	counters_free(NULL);
}

static void
sign_ins_tokens_calls_and_reloads_add_up(void **state)
{
	struct counters *m = counters_new();

	(void)state;
	for (int i = 0; i < 3; i++)
		counters_login(m, SLICE_LIT("github"), "succeeded");
	counters_login(m, SLICE_LIT("git\"hub"), "denied");
	counters_tokens(m, grant_type_name(GRANT_REFRESH_TOKEN));
	counters_tokens(m, "refresh_token");
	counters_tokens(m, grant_type_name(GRANT_TOKEN_EXCHANGE));
	counters_upstream(m, SLICE_LIT("github"), "user", "answered", 40);
	counters_upstream(m, SLICE_LIT("github"), "user", "unreachable", 10000);
	counters_reload(m, false);
	assert_prints(m, "gatehouse_logins_total{connector=\"github\",result=\"succeeded\"} 3\n");
	assert_prints(m, "gatehouse_logins_total{connector=\"git\\\"hub\",result=\"denied\"} 1\n");
	assert_prints(m, "gatehouse_tokens_issued_total{grant=\"refresh_token\"} 2\n");
	assert_prints(m, "gatehouse_tokens_issued_total{grant=\"urn:ietf:params:oauth:grant-type:token-exchange\"} 1\n");
	assert_prints(m, "gatehouse_upstream_calls_total{connector=\"github\",call=\"user\",result=\"unreachable\"} 1\n");
	assert_prints(m, "gatehouse_upstream_call_duration_seconds_bucket{connector=\"github\",le=\"0.05\"} 1\n");
	assert_prints(m, "gatehouse_upstream_call_duration_seconds_sum{connector=\"github\"} 10.04\n");
	assert_prints(m, "gatehouse_config_reloads_total{result=\"failed\"} 1\ngatehouse_config_reloads_total{result=\"succeeded\"} 0\n");
	counters_free(m);
}

/* Whoever is let near the configuration could else make a scrape grow without end. */
static void
more_connectors_than_there_is_room_for_are_counted_together(void **state)
{
	struct counters *m = counters_new();
	char name[COUNTERS_LABEL_BYTES_MAX + 2];

	(void)state;
	counters_login(m, SLICE_LIT("other"), "denied");
	for (int i = 0; i < COUNTERS_LABELS_MAX + 50; i++) {
		snprintf(name, sizeof(name), "connector-%d", i);
		counters_login(m, slice_str(name), "denied");
		counters_upstream(m, slice_str(name), "user", "answered", 1);
	}
	memset(name, 'x', sizeof(name));
	counters_login(m, slice_of(name, COUNTERS_LABEL_BYTES_MAX + 1), "denied");
	counters_upstream(m, slice_of(name, COUNTERS_LABEL_BYTES_MAX + 1), "user", "answered", 1);
	printed(m);
	size_t lines = 0;
	unsigned long long sum = 0;
	for (const char *p = text.p; (p = strstr(p, "\ngatehouse_logins_total{")); lines++) {
		unsigned long long n;
		p = strchr(p, '}');
		assert_int_equal(sscanf(p, "} %llu", &n), 1);
		sum += n;
	}
	assert_int_equal(sum, COUNTERS_LABELS_MAX + 52);
	assert_true(lines <= COUNTERS_LABELS_MAX);
	counters_free(m);
}

static void
requests_are_counted_by_route_method_and_code_and_a_flood_of_codes_stays_bounded(void **state)
{
	struct counters *m = counters_new();
	char name[COUNTERS_ROUTES_MAX + 8][16];

	(void)state;
	counters_request(m, "/token", "POST", 200, 0);
	counters_request(m, "/token", "POST", 200, 1);
	counters_request(m, "/token", "POST", 400, 2);
	counters_request(m, NULL, "GET", 404, 60000);
	assert_prints(m, "gatehouse_http_requests_total{route=\"/token\",method=\"POST\",code=\"200\"} 2\n");
	assert_prints(m, "gatehouse_http_requests_total{route=\"/token\",method=\"POST\",code=\"400\"} 1\n");
	assert_prints(m, "gatehouse_http_requests_total{route=\"none\",method=\"GET\",code=\"404\"} 1\n");
	assert_prints(m, "gatehouse_http_request_duration_seconds_bucket{route=\"/token\",le=\"0.001\"} 2\n");
	assert_prints(m, "gatehouse_http_request_duration_seconds_bucket{route=\"none\",le=\"30.0\"} 0\n");
	assert_prints(m, "gatehouse_http_request_duration_seconds_bucket{route=\"none\",le=\"+Inf\"} 1\n");
	for (int status = 200; status < 300; status++)
		counters_request(m, "/auth", "GET", status, 0);
	assert_prints(m, "gatehouse_http_requests_total{route=\"/auth\",method=\"GET\",code=\"200\"} 1\n");
	_Static_assert(100 - (COUNTERS_CODES_MAX - 1) == 77, "what does not fit, in the next line");
	assert_prints(m, "{route=\"/auth\",method=\"other\",code=\"other\"} 77\n");
	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		snprintf(name[i], sizeof(name[i]), "/%zu", i);
		counters_request(m, name[i], "GET", 200, 0);
	}
	assert_prints(m, "route=\"/0\"");
	assert_null(strstr(text.p, "route=\"/70\""));
	counters_free(m);
}

static void
health_says_how_often_it_failed_in_a_row_and_since_when(void **state)
{
	struct counters *m = counters_new();

	(void)state;
	assert_int_equal(counters_health(m, true, 5).n, 0);
	assert_int_equal(counters_health(m, false, 10).n, 1);
	struct counters_failing failing = counters_health(m, false, 20);
	assert_int_equal(failing.n, 2);
	assert_int_equal(failing.since_s, 10);
	assert_int_equal(counters_health(m, true, 30).n, 0);
	assert_int_equal(counters_health(m, false, 40).since_s, 40);
	counters_free(m);
}

static void *
count_a_thousand(void *arg)
{
	for (int i = 0; i < 1000; i++) {
		counters_request(arg, "/keys", "GET", 200, 1);
		counters_login(arg, SLICE_LIT("local"), "succeeded");
	}
	return NULL;
}

static void
threads_lose_no_count(void **state)
{
	struct counters *m = counters_new();
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_a_thousand, m), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_prints(m, "gatehouse_http_requests_total{route=\"/keys\",method=\"GET\",code=\"200\"} 4000\n");
	assert_prints(m, "gatehouse_logins_total{connector=\"local\",result=\"succeeded\"} 4000\n");
	counters_free(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_counters_nothing_is_counted),
		cmocka_unit_test(sign_ins_tokens_calls_and_reloads_add_up),
		cmocka_unit_test(more_connectors_than_there_is_room_for_are_counted_together),
		cmocka_unit_test(requests_are_counted_by_route_method_and_code_and_a_flood_of_codes_stays_bounded),
		cmocka_unit_test(health_says_how_often_it_failed_in_a_row_and_since_when),
		cmocka_unit_test(threads_lose_no_count),
	};

	buf_init(&text, 0);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	buf_fini(&text);
	return failed;
}
