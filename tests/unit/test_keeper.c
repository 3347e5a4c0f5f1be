#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "proxyd/keeper_fetch.h"
#include "proxyd/keeper_plan.h"
#include "proxyd/keeper_report.h"

#define NOW 1000000u

static struct keeper_plan
plan_after_first_success(uint64_t now_ms)
{
	struct keeper_plan p;

	keeper_plan_init(&p, now_ms);
	keeper_plan_started(&p);
	keeper_plan_succeeded(&p, now_ms, -1);
	return p;
}

static void
the_first_fetch_is_due_at_once_and_only_one_runs_at_a_time(void **state)
{
	struct keeper_plan p;

	(void)state;
	keeper_plan_init(&p, NOW);
	assert_int_equal(keeper_plan_delay(&p, NOW), 0);
	assert_false(p.tried);
	keeper_plan_started(&p);
	assert_true(keeper_plan_delay(&p, NOW) == KEEPER_NEVER);
	keeper_plan_want(&p, NOW + 1);
	assert_true(keeper_plan_delay(&p, NOW + KEEPER_REFRESH_MAX_MS) == KEEPER_NEVER);
}

static void
keys_are_refreshed_by_their_age_between_half_a_minute_and_an_hour(void **state)
{
	static const struct {
		int64_t max_age_s;
		uint64_t delay_ms;
	} cases[] = { { -1, 300000 }, { 0, 30000 }, { 29, 30000 }, { 31, 31000 }, { 600, 600000 }, { 3600, 3600000 }, { 3601, 3600000 },
		{ INT64_MAX, 3600000 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct keeper_plan p;
		keeper_plan_init(&p, NOW);
		keeper_plan_started(&p);
		keeper_plan_succeeded(&p, NOW, cases[i].max_age_s);
		assert_true(p.tried);
		assert_int_equal(keeper_plan_delay(&p, NOW), cases[i].delay_ms);
		assert_int_equal(keeper_plan_delay(&p, NOW + cases[i].delay_ms + 5), 0);
	}
}

static void
a_failed_fetch_is_tried_again_later_each_time_up_to_a_minute(void **state)
{
	static const uint64_t delays_ms[] = { 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000 };
	struct keeper_plan p;

	(void)state;
	keeper_plan_init(&p, NOW);
	for (size_t i = 0; i < sizeof(delays_ms) / sizeof(delays_ms[0]); i++) {
		keeper_plan_started(&p);
		keeper_plan_failed(&p, NOW, 0);
		assert_true(p.tried);
		assert_int_equal(keeper_plan_delay(&p, NOW), delays_ms[i]);
	}
	for (int i = 0; i < 100; i++)
		keeper_plan_failed(&p, NOW, 0);
	assert_int_equal(keeper_plan_delay(&p, NOW), 60000);
	keeper_plan_succeeded(&p, NOW, -1);
	keeper_plan_failed(&p, NOW, 0);
	assert_int_equal(keeper_plan_delay(&p, NOW), 1000);
}

static void
chance_cuts_at_most_a_quarter_from_a_retry(void **state)
{
	struct keeper_plan p;

	(void)state;
	keeper_plan_init(&p, NOW);
	keeper_plan_failed(&p, NOW, 255);
	assert_int_equal(keeper_plan_delay(&p, NOW), 750);
	keeper_plan_init(&p, NOW);
	keeper_plan_failed(&p, NOW, 128);
	assert_in_range(keeper_plan_delay(&p, NOW), 751, 999);
}

static void
an_unknown_key_is_fetched_at_once_the_first_time(void **state)
{
	struct keeper_plan p = plan_after_first_success(NOW);

	(void)state;
	keeper_plan_want(&p, NOW + 7);
	assert_int_equal(keeper_plan_delay(&p, NOW + 7), 0);
}

/* security.md's bound: however many forged kids arrive, one fetch in half a minute. */
static void
a_flood_of_unknown_keys_causes_one_fetch_in_half_a_minute(void **state)
{
	struct keeper_plan p = plan_after_first_success(NOW);
	unsigned fetches = 0;

	(void)state;
	for (uint64_t now_ms = NOW; now_ms < NOW + 10 * KEEPER_WANT_MS; now_ms++) {
		keeper_plan_want(&p, now_ms);
		if (keeper_plan_delay(&p, now_ms) == 0) {
			keeper_plan_started(&p);
			fetches++;
			keeper_plan_want(&p, now_ms);
			keeper_plan_succeeded(&p, now_ms, 3600);
		}
	}
	assert_int_equal(fetches, 10);
}

static void
a_flood_does_not_hasten_the_retries_of_an_issuer_that_is_down(void **state)
{
	struct keeper_plan p;
	unsigned fetches = 0, calm = 0;

	(void)state;
	for (int flood = 0; flood < 2; flood++) {
		unsigned *count = flood ? &fetches : &calm;
		keeper_plan_init(&p, NOW);
		for (uint64_t now_ms = NOW; now_ms < NOW + 20 * KEEPER_WANT_MS; now_ms++) {
			if (flood)
				keeper_plan_want(&p, now_ms);
			if (keeper_plan_delay(&p, now_ms) == 0) {
				keeper_plan_started(&p);
				(*count)++;
				keeper_plan_failed(&p, now_ms, 0);
			}
		}
	}
	assert_in_range(calm, 10, 20);
	assert_in_range(fetches, calm, 20 + 8);
}

static void
a_key_wanted_during_a_fetch_is_looked_for_after_it(void **state)
{
	struct keeper_plan p = plan_after_first_success(NOW);

	(void)state;
	keeper_plan_started(&p);
	keeper_plan_want(&p, NOW + 10);
	keeper_plan_succeeded(&p, NOW + 20, 3600);
	assert_int_equal(keeper_plan_delay(&p, NOW + 20), 0);
	keeper_plan_started(&p);
	keeper_plan_succeeded(&p, NOW + 30, 3600);
	assert_int_equal(keeper_plan_delay(&p, NOW + 30), 3600000);
}

static void
a_wanted_key_never_puts_a_fetch_off(void **state)
{
	struct keeper_plan p = plan_after_first_success(NOW);

	(void)state;
	keeper_plan_want(&p, NOW);
	keeper_plan_started(&p);
	keeper_plan_failed(&p, NOW, 0);
	assert_int_equal(keeper_plan_delay(&p, NOW), 1000);
	keeper_plan_want(&p, NOW);
	assert_int_equal(keeper_plan_delay(&p, NOW), 1000);
}

static void
cache_control_is_read_as_rfc_9111_writes_it(void **state)
{
	static const struct {
		const char *value;
		int64_t max_age_s;
	} cases[] = { { "", -1 }, { "public", -1 }, { "max-age=60", 60 }, { "public, Max-Age=60, must-revalidate", 60 }, { "max-age=\"60\"", 60 },
		{ " max-age = 60 ", 60 }, { "max-age=60,max-age=70", 60 }, { "max-age=-1", -1 }, { "max-age=x", -1 }, { "max-age", -1 },
		{ "max-age=99999999999999999999", -1 }, { "s-maxage=60", -1 }, { "max-age=60, no-store", 0 }, { "no-cache, max-age=60", 0 },
		{ "no-cache=\"x\"", 0 }, { ",,max-age=1", 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(keeper_max_age_s(slice_str(cases[i].value)), cases[i].max_age_s);
}

static void
the_discovery_document_is_asked_for_where_the_configuration_says(void **state)
{
	static const struct {
		const char *url, *discovery_url, *socket, *expected;
	} cases[] = {
		{ "https://i", NULL, NULL, "https://i/.well-known/openid-configuration" },
		{ "https://i:444/a/b", NULL, NULL, "https://i:444/a/b/.well-known/openid-configuration" },
		{ "https://i/a/", NULL, NULL, "https://i/a/.well-known/openid-configuration" },
		{ "https://i", "https://intern/d?x=1", NULL, "https://intern/d?x=1" },
		{ "https://gw:8443/oidc", "unix:/run/a", "/run/a", "http://gw:8443/oidc/.well-known/openid-configuration" },
		{ "https://gw", "unix:/run/a", "/run/a", "http://gw/.well-known/openid-configuration" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct proxyd_jwt jwt = { .issuer = { .url = cases[i].url, .discovery_url = cases[i].discovery_url }, .socket = cases[i].socket };
		struct buf url;
		buf_init(&url, 0);
		assert_int_equal(keeper_discovery_url(&jwt, &url), OK);
		assert_string_equal(url.p, cases[i].expected);
		buf_fini(&url);
	}
}

static void
keys_are_only_asked_for_where_an_issuer_may_send_us(void **state)
{
	static const struct {
		const char *socket, *jwks_uri, *expected; /* NULL: refused */
	} cases[] = {
		{ NULL, "https://gw/oidc/keys", "https://gw/oidc/keys" },
		{ NULL, "https://cdn.example.com/keys?v=1", "https://cdn.example.com/keys?v=1" },
		{ NULL, "http://gw/oidc/keys", NULL },
		{ NULL, "file:///etc/passwd", NULL },
		{ NULL, "https://user@gw/keys", NULL },
		{ NULL, "", NULL },
		{ "/run/a", "https://gw/oidc/keys", "http://gw/oidc/keys" },
		{ "/run/a", "https://gw/oidc/keys?v=1", "http://gw/oidc/keys?v=1" },
		{ "/run/a", "https://gw:443/oidc/keys", NULL },
		{ "/run/a", "https://other/oidc/keys", NULL },
		{ "/run/a", "https://gw.evil/oidc/keys", NULL },
		{ "/run/a", "http://gw/oidc/keys", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct proxyd_jwt jwt = { .issuer = { .url = "https://gw/oidc" }, .socket = cases[i].socket };
		const char *why = NULL;
		struct buf url;
		buf_init(&url, 0);
		enum err e = keeper_keys_url(&jwt, slice_str(cases[i].jwks_uri), &url, &why);
		assert_int_equal(e == OK, cases[i].expected != NULL);
		if (!e)
			assert_string_equal(url.p, cases[i].expected);
		else
			assert_non_null(why);
		buf_fini(&url);
	}
}

static void
ready_names_what_is_missing(void **state)
{
	struct keeper_report r = { .issuer_n = 2,
		.issuers = { { "https://a", 2, 10, 1, 0, "" }, { "https://b", 0, -1, 0, 3, "key set: answered with status 500" } } };
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	assert_false(keeper_report_ready(&r, &out));
	assert_string_equal(out.p,
		"[+] issuer https://a: 2 keys\n[-] issuer https://b: no keys yet: key set: answered with status 500\nnot ready\n");
	buf_reset(&out);
	r.issuers[1].key_n = 1;
	assert_true(keeper_report_ready(&r, &out));
	assert_string_equal(out.p, "[+] issuer https://a: 2 keys\n[+] issuer https://b: 1 keys\nready\n");
	buf_reset(&out);
	r.issuer_n = 0;
	assert_true(keeper_report_ready(&r, &out));
	assert_string_equal(out.p, "ready\n");
	buf_fini(&out);
}

static void
metrics_are_openmetrics_text(void **state)
{
	struct keeper_report r = { .generation = 3, .keycache_generation = 4, .started_at = 5, .cpu_us = 1000007, .resident_bytes = 6, .open_fds = 7,
		.issuer_n = 2, .issuers = { { "https://a", 2, 10, 1, 0, "" }, { "q\"b\\", 0, -1, 0, 3, "x" } } };
	static const char *const lines[] = { "gatehouse_config_generation 3\n", "gatehouse_keycache_generation 4\n",
		"gatehouse_issuer_keys{issuer=\"https://a\"} 2\n", "gatehouse_issuer_keys{issuer=\"q\\\"b\\\\\"} 0\n",
		"gatehouse_issuer_keys_age_seconds{issuer=\"https://a\"} 10\n",
		"gatehouse_issuer_fetches_total{issuer=\"https://a\",result=\"succeeded\"} 1\n",
		"gatehouse_issuer_fetches_total{issuer=\"q\\\"b\\\\\",result=\"failed\"} 3\n", "process_start_time_seconds 5\n",
		"process_cpu_seconds_total 1.000007\n", "process_resident_memory_bytes 6\n", "process_open_fds 7\n" };
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	keeper_report_metrics(&r, NULL, &out);
	assert_true(buf_ok(&out));
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (!strstr(out.p, lines[i]))
			fail_msg("missing: %s in\n%s", lines[i], out.p);
	assert_null(strstr(out.p, "age_seconds{issuer=\"q"));
	assert_true(slice_has_suffix(buf_slice(&out), SLICE_LIT("\n# EOF\n")));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_fetch_is_due_at_once_and_only_one_runs_at_a_time),
		cmocka_unit_test(keys_are_refreshed_by_their_age_between_half_a_minute_and_an_hour),
		cmocka_unit_test(a_failed_fetch_is_tried_again_later_each_time_up_to_a_minute),
		cmocka_unit_test(chance_cuts_at_most_a_quarter_from_a_retry),
		cmocka_unit_test(an_unknown_key_is_fetched_at_once_the_first_time),
		cmocka_unit_test(a_flood_of_unknown_keys_causes_one_fetch_in_half_a_minute),
		cmocka_unit_test(a_flood_does_not_hasten_the_retries_of_an_issuer_that_is_down),
		cmocka_unit_test(a_key_wanted_during_a_fetch_is_looked_for_after_it),
		cmocka_unit_test(a_wanted_key_never_puts_a_fetch_off),
		cmocka_unit_test(cache_control_is_read_as_rfc_9111_writes_it),
		cmocka_unit_test(the_discovery_document_is_asked_for_where_the_configuration_says),
		cmocka_unit_test(keys_are_only_asked_for_where_an_issuer_may_send_us),
		cmocka_unit_test(ready_names_what_is_missing),
		cmocka_unit_test(metrics_are_openmetrics_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
