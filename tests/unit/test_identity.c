#include "tests/unit/unit.h"
#include "oidc/identity.h"

static void
every_way_to_identify_has_its_own_name(void **state)
{
	(void)state;
	assert_string_equal(identity_how_name(IDENTITY_JWT), "jwt");
	assert_string_equal(identity_how_name(IDENTITY_SESSION), "session");
	assert_string_equal(identity_how_name(IDENTITY_CLIENT_CERTIFICATE), "client_certificate");
	assert_string_equal(identity_how_name(IDENTITY_TOKEN_FILE), "token_file");
	assert_string_equal(identity_how_name(IDENTITY_TOKEN_REVIEW), "token_review");
	assert_string_equal(identity_how_name((enum identity_how)99), "unknown");
}

static void
names_that_people_have_are_fit_for_a_header(void **state)
{
	static const char *const good[] = { "a", "jane@example.com", "https://issuer.example/#jane", "Jane Doe", "acme:team one", "J\xC3\xA4ne", "\xE2\x82\xAC",
		"\xF0\x9F\x90\xB1", "\xC2\xA0", "!\"#$%&'()*+,-./:;<=>?[\\]^_`{|}~" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(identity_value_ok(slice_str(good[i])));
}

/* Go trims SP and TAB at a value's edges: " system:masters" would arrive as system:masters. */
static void
an_empty_value_and_blanks_at_an_edge_are_refused(void **state)
{
	(void)state;
	assert_false(identity_value_ok(SLICE_NONE));
	assert_false(identity_value_ok(SLICE_LIT("")));
	assert_false(identity_value_ok(SLICE_LIT(" ")));
	assert_false(identity_value_ok(SLICE_LIT(" system:masters")));
	assert_false(identity_value_ok(SLICE_LIT("system:masters ")));
	assert_false(identity_value_ok(SLICE_LIT("\tx")));
	assert_false(identity_value_ok(SLICE_LIT("x\t")));
}

static void
no_control_byte_passes_anywhere(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		char text[3] = { 'a', (char)c, 'b' };
		assert_int_equal(identity_value_ok(slice_of(text, 3)), c >= 0x20 && c < 0x7f);
	}
	for (int c = 0x80; c < 0xc0; c++) {
		char text[4] = { 'a', (char)0xc2, (char)c, 'b' };
		assert_int_equal(identity_value_ok(slice_of(text, 4)), c >= 0xa0);
	}
	assert_false(identity_value_ok(SLICE_LIT("a\r\nImpersonate-Group: system:masters")));
	assert_false(identity_value_ok(SLICE_LIT("a\xc2")));
}

static void
overlong_utf8_and_surrogates_are_refused(void **state)
{
	(void)state;
	assert_false(identity_value_ok(SLICE_LIT("a\xc0\x8d"))); /* CR in two bytes */
	assert_false(identity_value_ok(SLICE_LIT("a\xe0\x80\x8a")));
	assert_false(identity_value_ok(SLICE_LIT("a\xed\xa0\x80")));
	assert_false(identity_value_ok(SLICE_LIT("a\xf4\x90\x80\x80")));
}

static void
a_value_may_have_the_longest_length_and_not_a_byte_more(void **state)
{
	char text[IDENTITY_VALUE_BYTES_MAX + 1];

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_true(identity_value_ok(slice_of(text, IDENTITY_VALUE_BYTES_MAX)));
	assert_false(identity_value_ok(slice_of(text, sizeof(text))));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_to_identify_has_its_own_name),
		cmocka_unit_test(names_that_people_have_are_fit_for_a_header),
		cmocka_unit_test(an_empty_value_and_blanks_at_an_edge_are_refused),
		cmocka_unit_test(no_control_byte_passes_anywhere),
		cmocka_unit_test(overlong_utf8_and_surrogates_are_refused),
		cmocka_unit_test(a_value_may_have_the_longest_length_and_not_a_byte_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
