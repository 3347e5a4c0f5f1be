#include "tests/unit/unit.h"
#include "shared/openmetrics.h"

static void
is_text(struct buf *b, const char *expected)
{
	assert_true(buf_ok(b));
	assert_string_equal(buf_slice(b).p, expected);
	buf_reset(b);
}

static void
a_family_says_type_unit_and_help_and_a_text_ends_in_eof(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	openmetrics_family(&b, "store_used_bytes", "gauge", "bytes", "Size of the database.");
	openmetrics_uint(&b, "store_used_bytes", "", NULL, UINT64_MAX);
	openmetrics_end(&b);
	is_text(&b, "# TYPE store_used_bytes gauge\n# UNIT store_used_bytes bytes\n# HELP store_used_bytes Size of the database.\n"
		"store_used_bytes 18446744073709551615\n# EOF\n");
	openmetrics_family(&b, "logins", "counter", NULL, "Logins.");
	is_text(&b, "# TYPE logins counter\n# HELP logins Logins.\n");
	buf_fini(&b);
}

static void
labels_follow_the_name_and_what_would_end_them_is_escaped(void **state)
{
	static const struct openmetrics_label none[] = { { NULL, SLICE_NONE } };
	static const struct openmetrics_label two[] = { { "connector", SLICE_LIT("a\"b\\c\nd") }, { "result", SLICE_LIT("") }, { NULL, SLICE_NONE } };
	static const struct openmetrics_label foreign[] = { { "l", SLICE_LIT("\xc3\xa9\xff\x80x") }, { NULL, SLICE_NONE } };
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	openmetrics_uint(&b, "logins", "_total", two, 7);
	is_text(&b, "logins_total{connector=\"a\\\"b\\\\c\\nd\",result=\"\"} 7\n");
	openmetrics_uint(&b, "logins", "_total", none, 0);
	is_text(&b, "logins_total 0\n");
	openmetrics_uint(&b, "logins", "", foreign, 1); /* each byte that is not UTF-8 becomes U+FFFD */
	is_text(&b, "logins{l=\"\xc3\xa9\xef\xbf\xbd\xef\xbf\xbdx\"} 1\n");
	buf_fini(&b);
}

static void
a_fraction_is_printed_in_the_familys_unit(void **state)
{
	static const struct {
		int64_t value;
		unsigned decimals;
		const char *text;
	} rows[] = {
		{ 0, 0, "x 0\n" },
		{ -5, 0, "x -5\n" },
		{ 0, 3, "x 0.0\n" },
		{ 1, 6, "x 0.000001\n" },
		{ 1500, 3, "x 1.5\n" },
		{ 2000, 3, "x 2.0\n" },
		{ -1, 3, "x -0.001\n" },
		{ INT64_MAX, 6, "x 9223372036854.775807\n" },
		{ INT64_MIN, 0, "x -9223372036854775808\n" },
		{ INT64_MIN, 6, "x -9223372036854.775808\n" },
	};
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		openmetrics_fraction(&b, "x", "", NULL, rows[i].value, rows[i].decimals);
		is_text(&b, rows[i].text);
	}
	buf_fini(&b);
}

/* Buckets are cumulative and the last is +Inf (OpenMetrics 1.0, "Histogram"). */
static void
a_histogram_has_cumulative_buckets_a_count_and_a_sum(void **state)
{
	static const uint64_t bounds[] = { 1, 25, 1000 }, counts[] = { 2, 0, 5, 1 };
	static const struct openmetrics_label labels[] = { { "path", SLICE_LIT("/token") }, { NULL, SLICE_NONE } };
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	openmetrics_histogram(&b, "d_seconds", labels, bounds, counts, 3, 6042, 3);
	is_text(&b,
		"d_seconds_bucket{path=\"/token\",le=\"0.001\"} 2\n"
		"d_seconds_bucket{path=\"/token\",le=\"0.025\"} 2\n"
		"d_seconds_bucket{path=\"/token\",le=\"1.0\"} 7\n"
		"d_seconds_bucket{path=\"/token\",le=\"+Inf\"} 8\n"
		"d_seconds_count{path=\"/token\"} 8\n"
		"d_seconds_sum{path=\"/token\"} 6.042\n");
	openmetrics_histogram(&b, "d", NULL, bounds, counts, 1, 3, 0);
	is_text(&b, "d_bucket{le=\"1.0\"} 2\nd_bucket{le=\"+Inf\"} 2\nd_count 2\nd_sum 3\n");
	buf_fini(&b);
}

static void
a_text_past_its_buffers_bound_fails_as_a_whole(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 20);
	openmetrics_family(&b, "some_metric", "gauge", NULL, "Help.");
	openmetrics_end(&b);
	assert_false(buf_ok(&b));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_family_says_type_unit_and_help_and_a_text_ends_in_eof),
		cmocka_unit_test(labels_follow_the_name_and_what_would_end_them_is_escaped),
		cmocka_unit_test(a_fraction_is_printed_in_the_familys_unit),
		cmocka_unit_test(a_histogram_has_cumulative_buckets_a_count_and_a_sum),
		cmocka_unit_test(a_text_past_its_buffers_bound_fails_as_a_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
