#include "tests/unit/unit.h"
#include "oidc/strict_json.h"

static enum err
parse(struct slice text)
{
	json_t *v = NULL;
	enum err err = strict_json_parse(text, &v);

	assert_int_equal(err == OK, v != NULL);
	json_decref(v);
	return err;
}

static void
an_object_is_read_with_its_strings_and_integers(void **state)
{
	json_t *v;
	int64_t i = 0;

	(void)state;
	assert_int_equal(strict_json_parse(SLICE_LIT(" {\"s\":\"a\\u0062\\n\",\"i\":-7,\"r\":1.0,\"e\":1E10} \r\n\t"), &v), OK);
	assert_true(slice_eq_str(strict_json_string(json_object_get(v, "s")), "ab\n"));
	assert_true(strict_json_integer(json_object_get(v, "i"), -7, 0, &i));
	assert_int_equal(i, -7);
	i = 42;
	assert_false(strict_json_integer(json_object_get(v, "i"), -6, 0, &i));
	assert_false(strict_json_integer(json_object_get(v, "i"), -9, -8, &i));
	assert_false(strict_json_integer(json_object_get(v, "r"), 0, 100, &i));
	assert_false(strict_json_integer(json_object_get(v, "e"), 0, INT64_MAX, &i));
	assert_false(strict_json_integer(json_object_get(v, "s"), 0, 100, &i));
	assert_false(strict_json_integer(NULL, 0, 100, &i));
	assert_int_equal(i, 42);
	assert_null(strict_json_string(json_object_get(v, "i")).p);
	assert_null(strict_json_string(NULL).p);
	json_decref(v);
}

static void
strings_come_out_as_they_are_meant(void **state)
{
	static const struct {
		const char *text, *meant;
	} strings[] = {
		{ "", "" },
		{ "plain \x7f", "plain \x7f" },
		{ "\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t" },
		{ "\\u0001\\u007F\\u0080\\u07ff\\u0800\\uFFFF", "\x01\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf" },
		{ "\\ud7ff\\ue000", "\xed\x9f\xbf\xee\x80\x80" },
		{ "\\ud800\\udc00\\udBFF\\uDFFF", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf" },
		{ "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "x\\\\u0041", "x\\u0041" },
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		json_t *v;
		snprintf(text, sizeof(text), "{\"%s\":[\"%s\"]}", strings[i].text, strings[i].text);
		assert_int_equal(strict_json_parse(slice_str(text), &v), OK);
		assert_true(slice_eq_str(strict_json_string(json_array_get(json_object_get(v, strings[i].meant), 0)), strings[i].meant));
		json_decref(v);
	}
}

static void
numbers_are_exact_or_refused(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} integers[] = { { "0", 0 }, { "-0", 0 }, { "-1", -1 }, { "10", 10 }, { "9223372036854775807", INT64_MAX }, { "-9223372036854775808", INT64_MIN } };
	static const struct {
		const char *text;
		double value;
	} reals[] = { { "0.0", 0 }, { "-1.5", -1.5 }, { "1e3", 1000 }, { "1E+3", 1000 }, { "25e-1", 2.5 }, { "1e-400", 0 }, { "92233720368547758080.0", 92233720368547758080.0 } };
	static const char *const bad[] = { "-", "-a", "00", "01", "-01", "1.", "1.e1", "1e", "1e+", "1e1.5", "0x1", "1_0", "--1", "9223372036854775808", "-9223372036854775809", "-1e999", "Infinity" };
	char text[64];
	json_t *v;

	(void)state;
	for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
		snprintf(text, sizeof(text), "{\"a\":%s}", integers[i].text);
		assert_int_equal(strict_json_parse(slice_str(text), &v), OK);
		assert_true(json_is_integer(json_object_get(v, "a")) && json_integer_value(json_object_get(v, "a")) == integers[i].value);
		json_decref(v);
	}
	for (size_t i = 0; i < sizeof(reals) / sizeof(reals[0]); i++) {
		snprintf(text, sizeof(text), "{\"a\":%s}", reals[i].text);
		assert_int_equal(strict_json_parse(slice_str(text), &v), OK);
		assert_true(json_is_real(json_object_get(v, "a")) && json_real_value(json_object_get(v, "a")) - reals[i].value == 0);
		json_decref(v);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "{\"a\":%s}", bad[i]);
		assert_int_equal(parse(slice_str(text)), E_FORMAT);
	}
}

static void
duplicate_names_are_refused_however_they_are_spelt(void **state)
{
	(void)state;
	assert_int_equal(parse(SLICE_LIT("{\"a\":1,\"a\":1}")), E_FORMAT);
	assert_int_equal(parse(SLICE_LIT("{\"alg\":1,\"\\u0061lg\":1}")), E_FORMAT);
	assert_int_equal(parse(SLICE_LIT("{\"x\":{\"a\":1,\"a\":2}}")), E_FORMAT);
	assert_int_equal(parse(SLICE_LIT("{\"a\":1,\"A\":1}")), OK);
}

static void
anything_but_one_whole_object_is_refused(void **state)
{
	static const char *const bad[] = { "", " ", "[]", "[{}]", "\"a\"", "1", "null", "true", "{", "}", "{}{}", "{}x", "{} 1", "{\"a\":1,}", "{a:1}", "{'a':1}",
		"{\"a\":01}", "{\"a\":+1}", "{\"a\":.5}", "{\"a\":NaN}", "{\"a\":1}//", "\xEF\xBB\xBF{}", "{\"a\":\"\n\"}", "{\"a\":99999999999999999999}", "{\"a\":1e999}",
		"{\"a\":\"x}", "{\"a\":\"\\", "{\"a\"}", "{\"a\" 1}", "{\"a\":}", "{\"a\":1 \"b\":2}", "{,}", "{\"a\":[1,]}", "{\"a\":[,1]}", "{\"a\":[1 2]}", "{\"a\":[1}", "{\"a\":[1",
		"{\"a\":tru}", "{\"a\":truex}", "{\"a\":True}", "{\"a\":nul", "{\"a\":", "{\"a\"", "{\"", "{\"a\":\"\\u", "{\"a\":{\"b\":1]}", "{\"a\":\v1}" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse(slice_str(bad[i])), E_FORMAT);
	assert_int_equal(parse(slice_of("{}\0", 3)), E_FORMAT);
	assert_int_equal(parse(slice_of("\0{}", 3)), E_FORMAT);
	assert_int_equal(parse(slice_of("{\"a\":1\0}", 8)), E_FORMAT); /* jansson's parser passes over it */
	assert_int_equal(parse(slice_of("{\"a\":1\0,\"b\":2}", 14)), E_FORMAT);
}

static void
nul_lone_surrogates_and_invalid_utf8_in_strings_are_refused(void **state)
{
	static const char *const bad[] = { "\\u0000", "a\\u0000b", "\\ud800", "\\udc00", "\\ud800x", "\\ud800\\u0041", "\xC0\x80", "\xC0\xAF", "\xED\xA0\x80",
		"\xF4\x90\x80\x80", "\xff", "\xC3", "\\x41", "\\u12" };
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "{\"a\":\"%s\"}", bad[i]);
		assert_int_equal(parse(slice_str(text)), E_FORMAT);
		snprintf(text, sizeof(text), "{\"%s\":1}", bad[i]);
		assert_int_equal(parse(slice_str(text)), E_FORMAT);
	}
	assert_int_equal(parse(slice_of("{\"a\":\"b\0c\"}", 11)), E_FORMAT);
	assert_int_equal(parse(SLICE_LIT("{\"a\":\"\\ud83d\\ude00\"}")), OK);
}

static void
nest(char *text, size_t depth, char open, char close)
{
	char *p = text;

	p += sprintf(p, "{\"a\":");
	for (size_t i = 1; i < depth; i++)
		*p++ = open;
	for (size_t i = 1; i < depth; i++)
		*p++ = close;
	p += sprintf(p, "}");
}

static void
sixteen_levels_are_read_and_seventeen_refused(void **state)
{
	char text[8192];

	(void)state;
	nest(text, STRICT_JSON_DEPTH_MAX, '[', ']');
	assert_int_equal(parse(slice_str(text)), OK);
	nest(text, STRICT_JSON_DEPTH_MAX + 1, '[', ']');
	assert_int_equal(parse(slice_str(text)), E_FORMAT);
	nest(text, 4000, '[', ']');
	assert_int_equal(parse(slice_str(text)), E_FORMAT);
	/* Brackets in strings, behind escaped quotes too, are text. */
	assert_int_equal(parse(SLICE_LIT("{\"[[[[[[[[[[[[[[[[[[\":\"\\\"{{{{{{{{{{{{{{{{{{{{\\\\\",\"b\":[]}")), OK);
	/* Many siblings are no depth. */
	assert_int_equal(parse(SLICE_LIT("{\"a\":[[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],[],{},{},{}]}")), OK);
	/* Closing brackets that nothing opened do not lend depth to those behind. */
	assert_int_equal(parse(SLICE_LIT("]]]]]]]]{}")), E_FORMAT);
}

static void
a_seed_of_zero_is_not_left_to_the_library(void **state)
{
	(void)state;
	strict_json_seed(0);
	assert_int_equal(parse(SLICE_LIT("{\"a\":1}")), OK);
	strict_json_seed(4711); /* the first one stays */
	assert_int_equal(parse(SLICE_LIT("{\"a\":1}")), OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_of_zero_is_not_left_to_the_library),
		cmocka_unit_test(an_object_is_read_with_its_strings_and_integers),
		cmocka_unit_test(strings_come_out_as_they_are_meant),
		cmocka_unit_test(numbers_are_exact_or_refused),
		cmocka_unit_test(duplicate_names_are_refused_however_they_are_spelt),
		cmocka_unit_test(anything_but_one_whole_object_is_refused),
		cmocka_unit_test(nul_lone_surrogates_and_invalid_utf8_in_strings_are_refused),
		cmocka_unit_test(sixteen_levels_are_read_and_seventeen_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
