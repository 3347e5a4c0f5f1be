#include "tests/unit/unit.h"
#include "oidc/form.h"

static struct arena arena;
static struct form form;

static int
fresh(void **state)
{
	(void)state;
	arena_init(&arena, 1u << 20);
	return 0;
}

static int
done(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static void
assert_field(size_t i, const char *name, const char *value)
{
	assert_true(i < form.n);
	assert_true(slice_eq_str(form.fields[i].name, name));
	assert_true(slice_eq_str(form.fields[i].value, value));
	/* A NUL follows both, so that they serve as C strings too. */
	assert_int_equal(strlen(form.fields[i].name.p), form.fields[i].name.n);
	assert_int_equal(strlen(form.fields[i].value.p), form.fields[i].value.n);
}

static void
names_and_values_are_decoded(void **state)
{
	(void)state;
	assert_int_equal(form_parse(SLICE_LIT("a=1&b%20c=d+e&%C3%A4=%e2%82%ac&x=a%3Db=c%26"), &arena, &form), OK);
	assert_int_equal(form.n, 4);
	assert_field(0, "a", "1");
	assert_field(1, "b c", "d e");
	assert_field(2, "\xC3\xA4", "\xE2\x82\xAC");
	assert_field(3, "x", "a=b=c&");
}

/* WHATWG URL 5.1: empty sequences are skipped, a missing '=' means an empty value. */
static void
empty_sequences_are_skipped_and_values_may_be_missing(void **state)
{
	(void)state;
	assert_int_equal(form_parse(SLICE_LIT("&&a&b=&=c&&="), &arena, &form), OK);
	assert_int_equal(form.n, 4);
	assert_field(0, "a", "");
	assert_field(1, "b", "");
	assert_field(2, "", "c");
	assert_field(3, "", "");
	assert_int_equal(form_parse(SLICE_NONE, &arena, &form), OK);
	assert_int_equal(form.n, 0);
	assert_int_equal(form_parse(SLICE_LIT("&"), &arena, &form), OK);
	assert_int_equal(form.n, 0);
}

static void
a_present_empty_value_differs_from_an_absent_one(void **state)
{
	(void)state;
	assert_int_equal(form_parse(SLICE_LIT("a=&b=2&b=3"), &arena, &form), OK);
	assert_non_null(form_get(&form, "a").p);
	assert_int_equal(form_get(&form, "a").n, 0);
	assert_true(slice_eq_str(form_get(&form, "b"), "2"));
	assert_null(form_get(&form, "c").p);
	assert_null(form_get(&form, "B").p);
}

static void
bad_escapes_nul_and_invalid_utf8_are_refused_in_names_and_values(void **state)
{
	static const char *const bad[] = { "%", "%4", "%zz", "%4g", "%g4", "%%41", "%00", "%u0041", "%C0%80", "%C0%AF", "%ED%A0%80", "%F5%80%80%80", "%C3", "%80",
		"\xC3\x28", "\xff", "%c3%28" };
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "a=1&b=%s", bad[i]);
		assert_int_equal(form_parse(slice_str(text), &arena, &form), E_FORMAT);
		snprintf(text, sizeof(text), "%s=1", bad[i]);
		assert_int_equal(form_parse(slice_str(text), &arena, &form), E_FORMAT);
		struct slice out;
		assert_int_equal(form_decode(slice_str(bad[i]), &arena, &out), E_FORMAT);
	}
	assert_int_equal(form_parse(slice_of("a=\0b", 4), &arena, &form), E_FORMAT);
	assert_int_equal(form_parse(slice_of("a\0=b", 4), &arena, &form), E_FORMAT);
}

static void
as_many_fields_as_allowed_fit_and_one_more_does_not(void **state)
{
	char text[3 * FORM_FIELDS_MAX + 3] = "";

	(void)state;
	/* Fields of one byte without '=' are those that need most room beyond their own bytes. */
	for (size_t i = 0; i < FORM_FIELDS_MAX; i++)
		strcat(text, i ? "&a" : "a");
	assert_int_equal(form_parse(slice_str(text), &arena, &form), OK);
	assert_int_equal(form.n, FORM_FIELDS_MAX);
	assert_field(FORM_FIELDS_MAX - 1, "a", "");
	strcat(text, "&a");
	assert_int_equal(form_parse(slice_str(text), &arena, &form), E_LIMIT);
}

static void
bytes_past_the_bound_are_a_limit(void **state)
{
	char *text = malloc(FORM_BYTES_MAX + 1);
	struct slice out;

	(void)state;
	memset(text, 'a', FORM_BYTES_MAX + 1);
	assert_int_equal(form_parse(slice_of(text, FORM_BYTES_MAX), &arena, &form), OK);
	assert_int_equal(form.fields[0].name.n, FORM_BYTES_MAX);
	assert_int_equal(form_parse(slice_of(text, FORM_BYTES_MAX + 1), &arena, &form), E_LIMIT);
	assert_int_equal(form_decode(slice_of(text, FORM_BYTES_MAX), &arena, &out), OK);
	assert_int_equal(form_decode(slice_of(text, FORM_BYTES_MAX + 1), &arena, &out), E_LIMIT);
	free(text);
}

static void
an_exhausted_arena_is_out_of_memory(void **state)
{
	struct arena small;
	struct slice out;

	(void)state;
	arena_init(&small, 16);
	assert_int_equal(form_parse(SLICE_LIT("a=1"), &small, &form), E_NOMEM);
	assert_int_equal(form_decode(SLICE_LIT("a=1"), &small, &out), E_NOMEM);
	arena_fini(&small);
}

/* RFC 6749 section 3.1: "Request and response parameters MUST NOT be included more than once." */
static void
a_repeated_name_is_found_unless_it_may_repeat(void **state)
{
	static const char *const repeatable[] = { "resource", NULL };

	(void)state;
	assert_int_equal(form_parse(SLICE_LIT("a=1&resource=x&b=2&resource=y&%61=3"), &arena, &form), OK);
	assert_true(slice_eq_str(form_duplicate(&form, repeatable), "a"));
	assert_true(slice_eq_str(form_duplicate(&form, NULL), "resource"));
	assert_int_equal(form_parse(SLICE_LIT("a=1&resource=x&b=2&resource=y"), &arena, &form), OK);
	assert_null(form_duplicate(&form, repeatable).p);
	assert_int_equal(form_parse(SLICE_LIT("a=1&b=1"), &arena, &form), OK);
	assert_null(form_duplicate(&form, NULL).p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(names_and_values_are_decoded, fresh, done),
		cmocka_unit_test_setup_teardown(empty_sequences_are_skipped_and_values_may_be_missing, fresh, done),
		cmocka_unit_test_setup_teardown(a_present_empty_value_differs_from_an_absent_one, fresh, done),
		cmocka_unit_test_setup_teardown(bad_escapes_nul_and_invalid_utf8_are_refused_in_names_and_values, fresh, done),
		cmocka_unit_test_setup_teardown(as_many_fields_as_allowed_fit_and_one_more_does_not, fresh, done),
		cmocka_unit_test_setup_teardown(bytes_past_the_bound_are_a_limit, fresh, done),
		cmocka_unit_test_setup_teardown(an_exhausted_arena_is_out_of_memory, fresh, done),
		cmocka_unit_test_setup_teardown(a_repeated_name_is_found_unless_it_may_repeat, fresh, done),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
