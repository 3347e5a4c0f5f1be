#include "tests/unit/unit.h"
#include "oidc/authorization_request.h"
#include "oidc/token_claims.h"

static const struct slice groups[] = { { "ops", 3 }, { "a\"b", 3 } };
static const struct token_person person = { .connector_id = { "local", 5 }, .user_id = { "08a8684b-db88-4b73-90a9-3cd1661f5466", 36 },
	.name = { "Jane", 4 }, .preferred_username = { "jane", 4 }, .email = { "jane@example.com", 16 }, .email_verified = true, .groups = groups, .group_n = 2 };

static struct id_token_claims
claims(unsigned scopes)
{
	return (struct id_token_claims){ .issuer = SLICE_LIT("https://gw.example/oidc"), .client_id = SLICE_LIT("cli"), .person = &person, .scopes = scopes,
		.alg = JWS_RS256, .auth_time = 5, .issued_at = 10, .expires_at = 20 };
}

static void
printed_is(const struct id_token_claims *c, const char *wanted)
{
	struct buf out;

	buf_init(&out, 0);
	id_token_claims_print(c, &out);
	assert_true(buf_ok(&out));
	assert_string_equal(buf_slice(&out).p, wanted);
	buf_fini(&out);
}

/* The sub of dex's own documentation for this user id and the connector "local". */
#define SUB "\"sub\":\"CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs\""

static void
one_audience_is_a_string_and_scopes_decide_what_else_is_there(void **state)
{
	(void)state;
	struct id_token_claims c = claims(SCOPE_OPENID);
	printed_is(&c, "{\"iss\":\"https://gw.example/oidc\"," SUB ",\"aud\":\"cli\",\"exp\":20,\"iat\":10,\"auth_time\":5}");
}

static void
every_scope_prints_its_claims_and_escapes_them(void **state)
{
	(void)state;
	struct id_token_claims c = claims(SCOPE_OPENID | SCOPE_EMAIL | SCOPE_GROUPS | SCOPE_PROFILE | SCOPE_FEDERATED_ID);
	c.nonce = SLICE_LIT("n\\1");
	c.sid = SLICE_LIT("s1");
	c.jti = SLICE_LIT("j1");
	printed_is(&c, "{\"iss\":\"https://gw.example/oidc\"," SUB ",\"aud\":\"cli\",\"exp\":20,\"iat\":10,\"auth_time\":5,\"nonce\":\"n\\\\1\",\"sid\":\"s1\","
		"\"jti\":\"j1\",\"email\":\"jane@example.com\",\"email_verified\":true,\"groups\":[\"ops\",\"a\\\"b\"],\"name\":\"Jane\","
		"\"preferred_username\":\"jane\",\"federated_claims\":{\"connector_id\":\"local\",\"user_id\":\"08a8684b-db88-4b73-90a9-3cd1661f5466\"}}");
}

static void
more_audiences_are_a_list_with_the_client_once_and_azp(void **state)
{
	(void)state;
	static const struct slice peers[] = { { "api", 3 }, { "cli", 3 } };
	struct id_token_claims c = claims(0);
	c.audiences = peers;
	c.audience_n = 1;
	printed_is(&c, "{\"iss\":\"https://gw.example/oidc\"," SUB ",\"aud\":[\"api\",\"cli\"],\"azp\":\"cli\",\"exp\":20,\"iat\":10,\"auth_time\":5}");
	c.audience_n = 2;
	printed_is(&c, "{\"iss\":\"https://gw.example/oidc\"," SUB ",\"aud\":[\"api\",\"cli\"],\"azp\":\"cli\",\"exp\":20,\"iat\":10,\"auth_time\":5}");
	c.audiences = &peers[1];
	c.audience_n = 1;
	printed_is(&c, "{\"iss\":\"https://gw.example/oidc\"," SUB ",\"aud\":\"cli\",\"exp\":20,\"iat\":10,\"auth_time\":5}");
}

static void
at_hash_is_the_left_half_of_the_digest_of_the_access_token(void **state)
{
	(void)state;
	struct id_token_claims c = claims(0);
	struct buf out;

	/* OpenID Connect Core, appendix A.3. */
	c.access_token = SLICE_LIT("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
	buf_init(&out, 0);
	id_token_claims_print(&c, &out);
	assert_non_null(strstr(buf_slice(&out).p, "\"at_hash\":\"77QmUPtjPfzWtF2AnpK9RQ\""));
	assert_null(strstr(buf_slice(&out).p, "c_hash"));
	buf_fini(&out);
	/* Appendix A.4, A.6. */
	c.code = SLICE_LIT("Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk");
	buf_init(&out, 0);
	id_token_claims_print(&c, &out);
	assert_non_null(strstr(buf_slice(&out).p, "\"at_hash\":\"77QmUPtjPfzWtF2AnpK9RQ\",\"c_hash\":\"LDktKdoQak3Pk0cnXxCltA\""));
	buf_fini(&out);
}

static void
access_token_names_its_grant_and_nothing_about_the_person_but_sub(void **state)
{
	(void)state;
	struct access_token_claims c = { .issuer = SLICE_LIT("https://i"), .client_id = SLICE_LIT("cli"), .scope = SLICE_LIT("openid email"),
		.jti = SLICE_LIT("j"), .sid = SLICE_LIT("s"), .grant = SLICE_LIT("code:x"), .person = &person, .issued_at = 1, .expires_at = 2 };
	struct buf out;

	buf_init(&out, 0);
	access_token_claims_print(&c, &out);
	assert_string_equal(buf_slice(&out).p, "{\"iss\":\"https://i\"," SUB ",\"aud\":\"https://i\",\"client_id\":\"cli\",\"scope\":\"openid email\","
		"\"exp\":2,\"iat\":1,\"jti\":\"j\",\"sid\":\"s\",\"grant\":\"code:x\"}");
	buf_fini(&out);
}

static void
access_token_of_a_client_for_itself_has_the_client_as_sub(void **state)
{
	(void)state;
	struct access_token_claims c = { .issuer = SLICE_LIT("https://i"), .client_id = SLICE_LIT("w\"eb"), .jti = SLICE_LIT("j"), .issued_at = 1, .expires_at = 2 };
	struct buf out;

	buf_init(&out, 0);
	access_token_claims_print(&c, &out);
	assert_string_equal(buf_slice(&out).p, "{\"iss\":\"https://i\",\"sub\":\"w\\\"eb\",\"aud\":\"https://i\",\"client_id\":\"w\\\"eb\",\"exp\":2,\"iat\":1,\"jti\":\"j\"}");
	buf_fini(&out);
}

static void
logout_token_names_person_and_session_and_the_event_and_no_nonce(void **state)
{
	(void)state;
	struct token_person jane = { .connector_id = SLICE_LIT("local"), .user_id = SLICE_LIT("jane") };
	struct logout_token_claims c = { .issuer = SLICE_LIT("https://i"), .client_id = SLICE_LIT("w\"eb"), .sid = SLICE_LIT("s"), .jti = SLICE_LIT("j"), .person = &jane,
		.issued_at = 1, .expires_at = 2 };
	struct buf out;

	buf_init(&out, 0);
	logout_token_claims_print(&c, &out);
	assert_string_equal(buf_slice(&out).p, "{\"iss\":\"https://i\",\"sub\":\"CgRqYW5lEgVsb2NhbA\",\"aud\":\"w\\\"eb\",\"iat\":1,\"exp\":2,\"jti\":\"j\",\"sid\":\"s\","
		"\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}}");
	buf_fini(&out);
}

static void
a_plain_sub_and_claims_of_the_client_are_escaped_and_scopes_do_not_matter_to_them(void **state)
{
	(void)state;
	static const struct token_claim own[] = { { .name = { "te\"nant", 7 }, .text = { "a\\b", 3 } }, { .name = { "roles", 5 }, .items = groups, .n = 2 } };
	struct token_person plain = person;
	struct id_token_claims c = claims(0);
	struct buf out;

	plain.user_id = SLICE_LIT("u\"1");
	plain.plain_subject = true;
	plain.claims = own;
	plain.claim_n = 2;
	c.person = &plain;
	printed_is(&c, "{\"iss\":\"https://gw.example/oidc\",\"sub\":\"local:u\\\"1\",\"aud\":\"cli\",\"exp\":20,\"iat\":10,\"auth_time\":5,"
		"\"te\\\"nant\":\"a\\\\b\",\"roles\":[\"ops\",\"a\\\"b\"]}");
	buf_init(&out, 0);
	userinfo_claims_print(&plain, 0, &out);
	assert_string_equal(buf_slice(&out).p, "{\"sub\":\"local:u\\\"1\",\"te\\\"nant\":\"a\\\\b\",\"roles\":[\"ops\",\"a\\\"b\"]}");
	buf_fini(&out);
}

static void
scope_words_become_bits_and_unknown_ones_nothing(void **state)
{
	(void)state;
	assert_int_equal(scope_bits(SLICE_LIT("openid  groups audience:server:client_id:x offline_access")), SCOPE_OPENID | SCOPE_GROUPS | SCOPE_OFFLINE_ACCESS);
	assert_int_equal(scope_bits(SLICE_NONE), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_audience_is_a_string_and_scopes_decide_what_else_is_there),
		cmocka_unit_test(every_scope_prints_its_claims_and_escapes_them),
		cmocka_unit_test(more_audiences_are_a_list_with_the_client_once_and_azp),
		cmocka_unit_test(at_hash_is_the_left_half_of_the_digest_of_the_access_token),
		cmocka_unit_test(access_token_names_its_grant_and_nothing_about_the_person_but_sub),
		cmocka_unit_test(access_token_of_a_client_for_itself_has_the_client_as_sub),
		cmocka_unit_test(logout_token_names_person_and_session_and_the_event_and_no_nonce),
		cmocka_unit_test(a_plain_sub_and_claims_of_the_client_are_escaped_and_scopes_do_not_matter_to_them),
		cmocka_unit_test(scope_words_become_bits_and_unknown_ones_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
