#include "tests/unit/unit.h"
#include "shared/err.h"
#include "shared/slice.h"

static void
every_error_has_its_own_name(void **state)
{
	(void)state;
	assert_string_equal(err_name(OK), "OK");
	assert_string_equal(err_name(E_DENIED), "E_DENIED");
	for (int a = OK; a <= E_DENIED; a++)
		for (int b = a + 1; b <= E_DENIED; b++)
			assert_string_not_equal(err_name((enum err)a), err_name((enum err)b));
	assert_string_equal(err_name((enum err)999), "E_UNKNOWN");
}

static void
comparison_without_case_folds_ascii_only(void **state)
{
	(void)state;
	assert_true(slice_eq_nocase(SLICE_LIT("Content-Length"), SLICE_LIT("cONTENT-lENGTH")));
	assert_false(slice_eq_nocase(SLICE_LIT("a"), SLICE_LIT("ab")));
	assert_false(slice_eq_nocase(SLICE_LIT("@"), SLICE_LIT("`")));
	assert_false(slice_eq_nocase(SLICE_LIT("["), SLICE_LIT("{")));
	assert_false(slice_eq_nocase(SLICE_LIT("\xC3\x84"), SLICE_LIT("\xC3\xA4")));
	assert_true(slice_eq_nocase(SLICE_NONE, SLICE_LIT("")));
}

static void
prefix_and_suffix_of_empty_slices(void **state)
{
	(void)state;
	assert_true(slice_has_prefix(SLICE_LIT("system:masters"), SLICE_LIT("system:")));
	assert_false(slice_has_prefix(SLICE_LIT("sys"), SLICE_LIT("system:")));
	assert_true(slice_has_prefix(SLICE_NONE, SLICE_NONE));
	assert_true(slice_has_suffix(SLICE_LIT("a.example"), SLICE_LIT(".example")));
	assert_false(slice_has_suffix(SLICE_LIT("example"), SLICE_LIT(".example")));
	assert_true(slice_has_suffix(SLICE_LIT("x"), SLICE_NONE));
}

static void
cut_walks_a_list_to_its_end(void **state)
{
	struct slice s = SLICE_LIT("a,,b");

	(void)state;
	assert_true(slice_eq_str(slice_cut(&s, ','), "a"));
	assert_true(slice_eq_str(slice_cut(&s, ','), ""));
	assert_true(slice_eq_str(slice_cut(&s, ','), "b"));
	assert_int_equal(s.n, 0);
	assert_int_equal(slice_cut(&s, ',').n, 0);
	s = SLICE_NONE;
	assert_int_equal(slice_cut(&s, ',').n, 0);
	s = SLICE_LIT("x=");
	assert_true(slice_eq_str(slice_cut(&s, '='), "x"));
	assert_int_equal(s.n, 0);
}

static void
trim_takes_blanks_and_tabs_at_the_edges_only(void **state)
{
	(void)state;
	assert_true(slice_eq_str(slice_trim(SLICE_LIT(" \t a b\t ")), "a b"));
	assert_true(slice_eq_str(slice_trim(SLICE_LIT("\na\n")), "\na\n"));
	assert_int_equal(slice_trim(SLICE_LIT(" \t ")).n, 0);
}

static void
numbers_are_digits_within_the_maximum(void **state)
{
	uint64_t v = 7;

	(void)state;
	assert_true(slice_to_u64(SLICE_LIT("0"), 0, &v));
	assert_int_equal(v, 0);
	assert_true(slice_to_u64(SLICE_LIT("18446744073709551615"), UINT64_MAX, &v));
	assert_true(v == UINT64_MAX);
	assert_false(slice_to_u64(SLICE_LIT("18446744073709551616"), UINT64_MAX, &v));
	assert_true(slice_to_u64(SLICE_LIT("007"), 7, &v));
	assert_int_equal(v, 7);
	assert_false(slice_to_u64(SLICE_LIT("8"), 7, &v));
	assert_false(slice_to_u64(SLICE_LIT("65536"), 65535, &v));
	const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "0x1", "1e3", "1.0", "99999999999999999999999999" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(slice_to_u64(slice_str(bad[i]), UINT64_MAX, &v));
	assert_int_equal(v, 7);
}

static void
utf8_follows_rfc3629(void **state)
{
	static const struct {
		struct slice s;
		size_t first;
	} rows[] = {
		{ SLICE_LIT("a"), 1 },
		{ SLICE_LIT("\0"), 1 },
		{ SLICE_LIT("\xC3\xA4"), 2 },
		{ SLICE_LIT("\xE2\x82\xAC"), 3 },
		{ SLICE_LIT("\xED\x9F\xBF"), 3 },
		{ SLICE_LIT("\xEE\x80\x80"), 3 },
		{ SLICE_LIT("\xF0\x90\x80\x80"), 4 },
		{ SLICE_LIT("\xF4\x8F\xBF\xBF"), 4 },
		{ SLICE_LIT(""), 0 },
		{ SLICE_LIT("\x80"), 0 },
		{ SLICE_LIT("\xC0\xAF"), 0 },
		{ SLICE_LIT("\xC1\xBF"), 0 },
		{ SLICE_LIT("\xE0\x9F\xBF"), 0 },
		{ SLICE_LIT("\xED\xA0\x80"), 0 },
		{ SLICE_LIT("\xED\xBF\xBF"), 0 },
		{ SLICE_LIT("\xF0\x8F\xBF\xBF"), 0 },
		{ SLICE_LIT("\xF4\x90\x80\x80"), 0 },
		{ SLICE_LIT("\xF5\x80\x80\x80"), 0 },
		{ SLICE_LIT("\xFF"), 0 },
		{ SLICE_LIT("\xE2\x82"), 0 },
		{ SLICE_LIT("\xE2\x82\x28"), 0 },
		{ SLICE_LIT("\xF0\x90\x80"), 0 },
		{ SLICE_LIT("\xC3"), 0 },
		{ SLICE_LIT("\xC3\x28"), 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(slice_utf8_first(rows[i].s), rows[i].first);
	assert_true(slice_is_utf8(SLICE_NONE));
	assert_true(slice_is_utf8(SLICE_LIT("M\xC3\xBCller \xF0\x9F\x94\x91")));
	assert_false(slice_is_utf8(SLICE_LIT("ok\xED\xA0\x80")));
}

static void
secrets_are_compared_whole(void **state)
{
	(void)state;
	assert_true(slice_eq_secret(SLICE_LIT("abc"), SLICE_LIT("abc")));
	assert_false(slice_eq_secret(SLICE_LIT("abc"), SLICE_LIT("abd")));
	assert_false(slice_eq_secret(SLICE_LIT("abc"), SLICE_LIT("ab")));
	assert_true(slice_eq_secret(SLICE_NONE, SLICE_NONE));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_has_its_own_name),
		cmocka_unit_test(comparison_without_case_folds_ascii_only),
		cmocka_unit_test(prefix_and_suffix_of_empty_slices),
		cmocka_unit_test(cut_walks_a_list_to_its_end),
		cmocka_unit_test(trim_takes_blanks_and_tabs_at_the_edges_only),
		cmocka_unit_test(numbers_are_digits_within_the_maximum),
		cmocka_unit_test(utf8_follows_rfc3629),
		cmocka_unit_test(secrets_are_compared_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
