#include "tests/unit/unit.h"
#include "oidc/pkce.h"

/* RFC 7636 appendix B. */
#define VERIFIER "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

static void
the_example_of_rfc_7636_matches(void **state)
{
	char challenge[PKCE_CHALLENGE_BYTES + 1];

	(void)state;
	pkce_challenge_s256(SLICE_LIT(VERIFIER), challenge);
	assert_string_equal(challenge, CHALLENGE);
	assert_true(pkce_matches(PKCE_S256, SLICE_LIT(CHALLENGE), SLICE_LIT(VERIFIER)));
}

static void
another_verifier_does_not_match(void **state)
{
	(void)state;
	assert_false(pkce_matches(PKCE_S256, SLICE_LIT(CHALLENGE), SLICE_LIT("eBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")));
	assert_false(pkce_matches(PKCE_S256, SLICE_LIT(CHALLENGE), SLICE_LIT(VERIFIER "A")));
	/* The challenge itself is public: it must not do as verifier. */
	assert_false(pkce_matches(PKCE_S256, SLICE_LIT(CHALLENGE), SLICE_LIT(CHALLENGE)));
	assert_false(pkce_matches(PKCE_S256, SLICE_LIT(VERIFIER), SLICE_LIT(VERIFIER)));
}

/* RFC 9700 section 2.1.1: a stripped challenge must not let the verifier pass, nor the reverse. */
static void
a_verifier_without_a_challenge_and_the_reverse_do_not_match(void **state)
{
	(void)state;
	assert_true(pkce_matches(PKCE_NONE, SLICE_NONE, SLICE_NONE));
	assert_false(pkce_matches(PKCE_NONE, SLICE_NONE, SLICE_LIT(VERIFIER)));
	assert_false(pkce_matches(PKCE_S256, SLICE_LIT(CHALLENGE), SLICE_NONE));
	assert_false(pkce_matches(PKCE_S256, SLICE_NONE, SLICE_LIT(VERIFIER)));
	assert_false(pkce_matches(PKCE_S256, SLICE_NONE, SLICE_NONE));
	assert_false(pkce_matches(PKCE_PLAIN, SLICE_NONE, SLICE_NONE));
	assert_false(pkce_matches((enum pkce_method)7, SLICE_LIT(CHALLENGE), SLICE_LIT(VERIFIER)));
}

static void
plain_compares_the_texts(void **state)
{
	(void)state;
	assert_true(pkce_matches(PKCE_PLAIN, SLICE_LIT(VERIFIER), SLICE_LIT(VERIFIER)));
	assert_false(pkce_matches(PKCE_PLAIN, SLICE_LIT(VERIFIER), SLICE_LIT(CHALLENGE)));
	assert_false(pkce_matches(PKCE_PLAIN, SLICE_LIT("short"), SLICE_LIT("short")));
}

static void
a_verifier_has_43_to_128_unreserved_characters(void **state)
{
	char text[130];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_false(pkce_verifier_ok(slice_of(text, 42)));
	assert_true(pkce_verifier_ok(slice_of(text, 43)));
	assert_true(pkce_verifier_ok(slice_of(text, 128)));
	assert_false(pkce_verifier_ok(slice_of(text, 129)));
	for (int c = 0; c < 256; c++) {
		bool allowed = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr("-._~", c));
		text[20] = (char)c;
		assert_int_equal(pkce_verifier_ok(slice_of(text, 43)), allowed);
	}
}

static void
an_s256_challenge_is_32_bytes_in_strict_base64url(void **state)
{
	(void)state;
	assert_true(pkce_challenge_ok(SLICE_LIT(CHALLENGE), PKCE_S256));
	assert_false(pkce_challenge_ok(SLICE_LIT("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN"), PKCE_S256)); /* unused bits not zero */
	assert_false(pkce_challenge_ok(SLICE_LIT(CHALLENGE "="), PKCE_S256));
	assert_false(pkce_challenge_ok(SLICE_LIT("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"), PKCE_S256));
	assert_false(pkce_challenge_ok(SLICE_LIT("E9Me"), PKCE_S256));
	assert_false(pkce_challenge_ok(SLICE_NONE, PKCE_S256));
	assert_true(pkce_challenge_ok(SLICE_NONE, PKCE_NONE));
	assert_false(pkce_challenge_ok(SLICE_LIT(CHALLENGE), PKCE_NONE));
	assert_true(pkce_challenge_ok(SLICE_LIT(VERIFIER "~."), PKCE_PLAIN));
	assert_false(pkce_challenge_ok(SLICE_LIT("short"), PKCE_PLAIN));
	assert_false(pkce_challenge_ok(SLICE_LIT(CHALLENGE), (enum pkce_method)7));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_rfc_7636_matches),
		cmocka_unit_test(another_verifier_does_not_match),
		cmocka_unit_test(a_verifier_without_a_challenge_and_the_reverse_do_not_match),
		cmocka_unit_test(plain_compares_the_texts),
		cmocka_unit_test(a_verifier_has_43_to_128_unreserved_characters),
		cmocka_unit_test(an_s256_challenge_is_32_bytes_in_strict_base64url),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
