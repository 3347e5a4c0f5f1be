#include "tests/unit/unit.h"
#include "oidc/introspection.h"

static struct buf out;

static const char *
printed(const struct introspection *i)
{
	buf_reset(&out);
	introspection_print(i, &out);
	buf_add_char(&out, '\0');
	assert_true(buf_ok(&out));
	return out.p;
}

/* RFC 7662 section 2.2. */
static void
a_token_that_can_be_used_is_described(void **state)
{
	(void)state;
	const struct introspection i = { .issuer = SLICE_LIT("https://i"), .sub = SLICE_LIT("s"), .audience = SLICE_LIT("https://i"),
		.client_id = SLICE_LIT("c\"1"), .scope = SLICE_LIT("openid email"), .username = SLICE_LIT("jane"), .sid = SLICE_LIT("sid1"),
		.jti = SLICE_LIT("j"), .use = "access_token", .issued_at = 1, .expires_at = 2 };

	assert_string_equal(printed(&i), "{\"active\":true,\"iss\":\"https://i\",\"sub\":\"s\",\"aud\":\"https://i\",\"exp\":2,\"iat\":1,"
		"\"client_id\":\"c\\\"1\",\"scope\":\"openid email\",\"username\":\"jane\",\"token_type\":\"Bearer\","
		"\"token_use\":\"access_token\",\"sid\":\"sid1\",\"jti\":\"j\"}");
}

static void
what_is_not_known_is_left_out(void **state)
{
	(void)state;
	const struct introspection i = { .issuer = SLICE_LIT("https://i"), .sub = SLICE_LIT("s"), .use = "refresh_token", .issued_at = 1 };

	assert_string_equal(printed(&i), "{\"active\":true,\"iss\":\"https://i\",\"sub\":\"s\",\"iat\":1,\"token_type\":\"Bearer\","
		"\"token_use\":\"refresh_token\"}");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_that_can_be_used_is_described),
		cmocka_unit_test(what_is_not_known_is_left_out),
	};
	buf_init(&out, 0);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	buf_fini(&out);
	return failed;
}
