#include "tests/unit/unit.h"
#include "shared/buf.h"

static void
appends_are_followed_by_an_uncounted_nul(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	assert_string_equal(buf_slice(&b).p, "");
	buf_add(&b, NULL, 0);
	buf_add_str(&b, "GET ");
	buf_add_slice(&b, SLICE_LIT("/x"));
	buf_add_char(&b, ' ');
	buf_add_u64(&b, 0);
	buf_add_u64(&b, UINT64_MAX);
	buf_printf(&b, " %s-%03d", "n", 7);
	assert_true(buf_ok(&b));
	assert_string_equal(b.p, "GET /x 018446744073709551615 n-007");
	assert_int_equal(b.n, strlen(b.p));
	buf_fini(&b);
	assert_null(b.p);
}

static void
growth_keeps_every_byte(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	for (int i = 0; i < 20000; i++)
		buf_add_char(&b, (char)('a' + i % 26));
	assert_int_equal(b.n, 20000);
	for (int i = 0; i < 20000; i++)
		assert_int_equal(b.p[i], 'a' + i % 26);
	for (int i = 0; i < 3000; i++)
		buf_printf(&b, "%d", i % 10);
	assert_int_equal(b.n, 23000);
	assert_int_equal(b.p[22999], '9');
	buf_fini_secret(&b);
}

static void
an_append_past_the_bound_fails_for_good(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 5);
	buf_add_str(&b, "1234");
	buf_add_str(&b, "56");
	assert_false(buf_ok(&b));
	buf_add_str(&b, "5");
	assert_string_equal(b.p, "1234");
	buf_reset(&b);
	assert_true(buf_ok(&b));
	assert_int_equal(b.n, 0);
	buf_add_str(&b, "12345");
	assert_true(buf_ok(&b));
	buf_printf(&b, "%s", "");
	assert_true(buf_ok(&b));
	buf_printf(&b, "%d", 6);
	assert_false(buf_ok(&b));
	assert_string_equal(b.p, "12345");
	buf_printf(&b, "more");
	assert_string_equal(b.p, "12345");
	buf_fini(&b);
	assert_int_equal(b.max, 5);
}

static void
sizes_near_the_top_fail_without_wrapping(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	buf_add_str(&b, "x");
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_false(buf_ok(&b));
	buf_reset(&b);
	assert_null(buf_reserve(&b, ((size_t)1 << 36) + 1));
	buf_reset(&b);
	buf_add_str(&b, "y");
	assert_string_equal(b.p, "y");
	buf_fini(&b);
}

static void
reserve_commit_consume(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	char *p = buf_reserve(&b, 1000);
	assert_non_null(p);
	memcpy(p, "hello world", 11);
	buf_commit(&b, 11);
	assert_string_equal(b.p, "hello world");
	buf_consume(&b, 6);
	assert_string_equal(b.p, "world");
	buf_consume(&b, 0);
	buf_consume(&b, 5);
	assert_int_equal(b.n, 0);
	assert_non_null(buf_reserve(&b, 1000));
	assert_null(buf_reserve(&b, 1001));
	buf_fini(&b);
	buf_consume(&b, 0);
}

static void
json_strings_are_escaped(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	buf_add_json(&b, SLICE_LIT("a\"b\\c\n\r\t\x01\x7f\0/\xC3\xA4\xF0\x9F\x94\x91"));
	assert_string_equal(b.p, "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u007f\\u0000/\xC3\xA4\xF0\x9F\x94\x91\"");
	buf_reset(&b);
	buf_add_json(&b, SLICE_LIT("x\xFF\xED\xA0\x80y\xC3"));
	assert_string_equal(b.p, "\"x\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDy\xEF\xBF\xBD\"");
	buf_reset(&b);
	buf_add_json(&b, SLICE_NONE);
	assert_string_equal(b.p, "\"\"");
	buf_fini(&b);
}

static void
html_text_is_escaped(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	buf_add_html(&b, SLICE_LIT("<a href='x' title=\"y\">&\0\xFE\xC3\xA4"));
	assert_string_equal(
		b.p, "&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;\xEF\xBF\xBD\xEF\xBF\xBD\xC3\xA4");
	buf_fini(&b);
}

static void
url_encoding_keeps_rfc3986_unreserved_only(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	buf_add_urlencoded(&b, SLICE_LIT("AZaz09-._~ /?&=+%\0\xC3\xA4"));
	assert_string_equal(b.p, "AZaz09-._~%20%2F%3F%26%3D%2B%25%00%C3%A4");
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_are_followed_by_an_uncounted_nul),
		cmocka_unit_test(growth_keeps_every_byte),
		cmocka_unit_test(an_append_past_the_bound_fails_for_good),
		cmocka_unit_test(sizes_near_the_top_fail_without_wrapping),
		cmocka_unit_test(reserve_commit_consume),
		cmocka_unit_test(json_strings_are_escaped),
		cmocka_unit_test(html_text_is_escaped),
		cmocka_unit_test(url_encoding_keeps_rfc3986_unreserved_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
