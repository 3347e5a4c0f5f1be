#include <jansson.h>
#include "tests/unit/id_token_unit.h"

static enum id_token_verdict
open_as(const char *header, const char *typ, struct slice *claims)
{
	print_claims((struct claims){ 0 });
	token_sign(&token, key, JWS_RS256, slice_str(header), buf_slice(&payload));
	return id_token_open(buf_slice(&token), ISSUER, typ, &keys, NOW, 0, false, &arena, claims);
}

static void
every_verdict_has_its_own_name(void **state)
{
	(void)state;
	for (int a = ID_TOKEN_OK; a <= ID_TOKEN_FAILED; a++) {
		for (int b = a + 1; b <= ID_TOKEN_FAILED + 1; b++)
			assert_string_not_equal(id_token_verdict_name((enum id_token_verdict)a), id_token_verdict_name((enum id_token_verdict)b));
	}
}

static void
what_the_signature_check_says_is_passed_on(void **state)
{
	EVP_PKEY *evil = token_key("RSA2048");

	(void)state;
	print_claims((struct claims){ 0 });
	token_sign(&token, evil, JWS_RS256, HEADER, buf_slice(&payload));
	assert_int_equal(identify_text(buf_slice(&token)), ID_TOKEN_BAD_SIGNATURE);
	token_sign(&token, key, JWS_RS256, SLICE_LIT("{\"alg\":\"RS256\",\"kid\":\"b\"}"), buf_slice(&payload));
	assert_int_equal(identify_text(buf_slice(&token)), ID_TOKEN_UNKNOWN_KEY);
	token_sign(&token, key, JWS_RS256, SLICE_LIT("{\"alg\":\"none\",\"kid\":\"a\"}"), buf_slice(&payload));
	assert_int_equal(identify_text(buf_slice(&token)), ID_TOKEN_MALFORMED);
	assert_int_equal(identify_text(SLICE_LIT("abc")), ID_TOKEN_MALFORMED);
	assert_int_equal(identify_text(SLICE_NONE), ID_TOKEN_MALFORMED);
	token_sign(&token, key, JWS_RS256, HEADER, buf_slice(&payload));
	policy.token_bytes_max = token.n - 1;
	assert_int_equal(identify_text(buf_slice(&token)), ID_TOKEN_MALFORMED);
	policy.token_bytes_max = token.n;
	assert_int_equal(identify_text(buf_slice(&token)), ID_TOKEN_OK);
	EVP_PKEY_free(evil);
}

/* RFC 8725 section 3.11, RFC 9068 section 4. */
static void
an_access_token_is_no_id_token_and_the_reverse(void **state)
{
	static const struct {
		const char *typ, *wanted;
		enum id_token_verdict verdict;
	} cases[] = {
		{ "\"JWT\"", NULL, ID_TOKEN_OK },
		{ "\"jwt\"", NULL, ID_TOKEN_OK },
		{ "\"application/jwt\"", NULL, ID_TOKEN_OK },
		{ "\"at+jwt\"", NULL, ID_TOKEN_MALFORMED },
		{ "\"AT+JWT\"", NULL, ID_TOKEN_MALFORMED },
		{ "\"application/at+jwt\"", NULL, ID_TOKEN_MALFORMED },
		{ "\"logout+jwt\"", NULL, ID_TOKEN_MALFORMED },
		{ "\"application/\"", NULL, ID_TOKEN_MALFORMED },
		{ "\"verifiable-credential+jwt\"", NULL, ID_TOKEN_MALFORMED },
		{ "\"JWT \"", NULL, ID_TOKEN_MALFORMED },
		{ "\"\"", NULL, ID_TOKEN_MALFORMED },
		{ "null", NULL, ID_TOKEN_MALFORMED },
		{ "\"at+jwt\"", "at+jwt", ID_TOKEN_OK },
		{ "\"application/AT+jwt\"", "at+jwt", ID_TOKEN_OK },
		{ "\"JWT\"", "at+jwt", ID_TOKEN_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice claims;
		char header[128];
		snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":\"a\",\"typ\":%s}", cases[i].typ);
		policy.typ = cases[i].wanted;
		print_claims((struct claims){ 0 });
		token_sign(&token, key, JWS_RS256, slice_str(header), buf_slice(&payload));
		assert_int_equal(identify_text(buf_slice(&token)), cases[i].verdict);
		assert_int_equal(open_as(header, cases[i].wanted, &claims), cases[i].verdict);
	}
	/* Absent: an ID token, and nothing else. */
	policy.typ = "at+jwt";
	assert_int_equal(identify((struct claims){ 0 }), ID_TOKEN_MALFORMED);
	policy.typ = NULL;
	assert_int_equal(identify((struct claims){ 0 }), ID_TOKEN_OK);
}

static void
an_issuer_that_differs_in_one_byte_is_refused(void **state)
{
	static const char *const wrong[] = { "\"https://issuer.example/oidc/\"", "\"https://issuer.example/OIDC\"", "\"https://Issuer.example/oidc\"", "\"HTTPS://issuer.example/oidc\"",
		"\"https://issuer.example/oid\"", "\"https://issuer.example:443/oidc\"", "\" https://issuer.example/oidc\"", "\"https://issuer.example/oidc\\n\"", "\"\"" };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(identify((struct claims){ .iss = wrong[i] }), ID_TOKEN_WRONG_ISSUER);
	assert_int_equal(identify((struct claims){ .iss = "null" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .iss = "7" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .iss = "[\"" ISSUER "\"]" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .iss = "\"" ISSUER "\\u0000\"" }), ID_TOKEN_MALFORMED);
	/* JSON may spell the same bytes otherwise. */
	assert_int_equal(identify((struct claims){ .iss = "\"https:\\/\\/issuer.example\\u002foidc\"" }), ID_TOKEN_OK);
	assert_int_equal(identify_payload(SLICE_LIT("{\"sub\":\"jane\",\"aud\":\"kubernetes\",\"exp\":1700000300}")), ID_TOKEN_MALFORMED);
}

/* RFC 7519 sections 4.1.4 to 4.1.6; integers 0..253402300799 only. */
static void
times_of_another_type_or_out_of_range_are_refused(void **state)
{
	static const char *const bad[] = { "\"1700000300\"", "null", "1700000300.0", "1700000300.5", "1E10", "1e400", "-1", "-1700000300", "9007199254740993", "9223372036854775807",
		"9223372036854775808", "99999999999999999999999", "253402300800", "[1700000300]", "{}", "true", "0x65", "01700000300", "+1" };
	char more[64];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(identify((struct claims){ .exp = bad[i] }), ID_TOKEN_MALFORMED);
		snprintf(more, sizeof(more), ",\"nbf\":%s", bad[i]);
		assert_int_equal(identify((struct claims){ .more = more }), ID_TOKEN_MALFORMED);
		snprintf(more, sizeof(more), ",\"iat\":%s", bad[i]);
		assert_int_equal(identify((struct claims){ .more = more }), ID_TOKEN_MALFORMED);
	}
	assert_int_equal(identify_payload(SLICE_LIT("{\"iss\":\"" ISSUER "\",\"sub\":\"jane\",\"aud\":\"kubernetes\"}")), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .exp = "253402300799" }), ID_TOKEN_OK);
	assert_int_equal(who.expires_at, 253402300799);
	policy.skew_s = ID_TOKEN_SKEW_S_MAX;
	assert_int_equal(identify((struct claims){ .exp = "253402300799" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .more = ",\"nbf\":253402300799" }), ID_TOKEN_NOT_YET);
	assert_int_equal(identify((struct claims){ .more = ",\"nbf\":0,\"iat\":0" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .exp = "0" }), ID_TOKEN_EXPIRED);
}

static void
the_second_of_expiry_is_too_late_and_skew_moves_it(void **state)
{
	(void)state;
	assert_int_equal(identify((struct claims){ .exp = "1700000001" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .exp = "1700000000" }), ID_TOKEN_EXPIRED);
	assert_int_equal(identify((struct claims){ .more = ",\"nbf\":1700000000,\"iat\":1700000000" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .more = ",\"nbf\":1700000001" }), ID_TOKEN_NOT_YET);
	assert_int_equal(identify((struct claims){ .more = ",\"iat\":1700000001" }), ID_TOKEN_NOT_YET);
	policy.skew_s = 10;
	assert_int_equal(identify((struct claims){ .exp = "1699999991" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .exp = "1699999990" }), ID_TOKEN_EXPIRED);
	assert_int_equal(identify((struct claims){ .more = ",\"nbf\":1700000010,\"iat\":1700000010" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .more = ",\"nbf\":1700000011" }), ID_TOKEN_NOT_YET);
	assert_int_equal(identify((struct claims){ .more = ",\"iat\":1700000011" }), ID_TOKEN_NOT_YET);
}

static void
an_audience_that_is_not_ours_nested_or_of_10000_entries_is_refused(void **state)
{
	static const char *const wrong[] = { "\"other\"", "\"Kubernetes\"", "\"kubernetes \"", "\"kubernete\"", "\"\"", "[]", "[\"other\"]", "[\"\",\"other\"]", "\"kubernetes,other\"" };
	static const char *const malformed[] = { "null", "7", "{}", "[[\"kubernetes\"]]", "[\"kubernetes\",7]", "[7,\"kubernetes\"]", "[\"kubernetes\",null]", "{\"kubernetes\":1}",
		"\"kubernetes\\u0000\"" };
	struct buf many;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(identify((struct claims){ .aud = wrong[i] }), ID_TOKEN_WRONG_AUDIENCE);
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
		assert_int_equal(identify((struct claims){ .aud = malformed[i] }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .aud = "[\"x\",\"kubernetes\"]" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .aud = "[\"other-of-ours\"]" }), ID_TOKEN_OK);
	assert_int_equal(identify_payload(SLICE_LIT("{\"iss\":\"" ISSUER "\",\"sub\":\"jane\",\"exp\":1700000300}")), ID_TOKEN_MALFORMED);
	buf_init(&many, 0);
	policy.token_bytes_max = 1u << 20;
	const size_t counts[] = { ID_TOKEN_AUDIENCES_MAX, ID_TOKEN_AUDIENCES_MAX + 1, 10000 };
	for (size_t i = 0; i < 3; i++) {
		buf_reset(&many);
		buf_add_str(&many, "[\"kubernetes\"");
		for (size_t j = 1; j < counts[i]; j++)
			buf_add_str(&many, ",\"x\"");
		buf_add_str(&many, "]");
		assert_int_equal(identify((struct claims){ .aud = many.p }), i == 0 ? ID_TOKEN_OK : ID_TOKEN_MALFORMED);
	}
	buf_fini(&many);
}

/* OpenID Connect Core 3.1.3.7 rule 5. */
static void
an_authorized_party_that_is_not_known_is_refused(void **state)
{
	static const char *const parties[] = { "kubelogin" };

	(void)state;
	assert_int_equal(identify((struct claims){ .more = ",\"azp\":\"kubernetes\"" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .aud = "[\"kubernetes\",\"other-of-ours\"]", .more = ",\"azp\":\"other-of-ours\"" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .more = ",\"azp\":\"evil\"" }), ID_TOKEN_WRONG_AUDIENCE);
	assert_int_equal(identify((struct claims){ .aud = "[\"kubernetes\",\"evil\"]", .more = ",\"azp\":\"evil\"" }), ID_TOKEN_WRONG_AUDIENCE);
	assert_int_equal(identify((struct claims){ .more = ",\"azp\":\"\"" }), ID_TOKEN_WRONG_AUDIENCE);
	assert_int_equal(identify((struct claims){ .more = ",\"azp\":null" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .more = ",\"azp\":[\"kubernetes\"]" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .aud = "[\"kubernetes\",\"kubelogin\"]", .more = ",\"azp\":\"kubelogin\"" }), ID_TOKEN_WRONG_AUDIENCE);
	policy.authorized_parties = parties;
	policy.authorized_party_n = 1;
	assert_int_equal(identify((struct claims){ .aud = "[\"kubernetes\",\"kubelogin\"]", .more = ",\"azp\":\"kubelogin\"" }), ID_TOKEN_OK);
	/* It may ask for us; it is not us. */
	assert_int_equal(identify((struct claims){ .aud = "\"kubelogin\"", .more = ",\"azp\":\"kubelogin\"" }), ID_TOKEN_WRONG_AUDIENCE);
}

static void
duplicate_claims_are_refused(void **state)
{
	(void)state;
	assert_int_equal(identify((struct claims){ .more = ",\"sub\":\"root\"" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .more = ",\"\\u0073ub\":\"root\"" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .more = ",\"exp\":1700000300" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .more = ",\"x\":{\"a\":1,\"a\":1}" }), ID_TOKEN_MALFORMED);
}

static void
a_payload_with_bom_trailing_junk_array_or_depth_over_16_is_refused(void **state)
{
	const char *good = "{\"iss\":\"" ISSUER "\",\"sub\":\"jane\",\"aud\":\"kubernetes\",\"exp\":1700000300}";
	char text[512];

	(void)state;
	assert_int_equal(identify_payload(slice_str(good)), ID_TOKEN_OK);
	static const char *const around[][2] = { { "\xEF\xBB\xBF", "" }, { "", "x" }, { "", "{}" }, { "", "," }, { "[", "]" }, { "\"", "\"" }, { "x", "" } };
	for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++) {
		snprintf(text, sizeof(text), "%s%s%s", around[i][0], good, around[i][1]);
		assert_int_equal(identify_payload(slice_str(text)), ID_TOKEN_MALFORMED);
	}
	assert_int_equal(identify_payload(slice_of(good, strlen(good) + 1)), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .more = ",\"x\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .more = ",\"x\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify_payload(SLICE_LIT("null")), ID_TOKEN_MALFORMED);
	assert_int_equal(identify_payload(SLICE_LIT("no json at all")), ID_TOKEN_MALFORMED);
}

static void
the_issuer_can_be_read_before_anything_is_verified(void **state)
{
	static const char *const none[] = { "{}", "{\"iss\":7}", "{\"iss\":\"\"}", "{\"iss\":\"a\",\"iss\":\"b\"}", "[]", "x" };
	struct arena small;
	struct jws jws;

	(void)state;
	token_sign(&token, key, JWS_RS256, HEADER, SLICE_LIT("{\"iss\":\"https://a.example\"}"));
	assert_int_equal(jws_split(buf_slice(&token), 0, &jws), JWS_OK);
	assert_true(slice_eq_str(id_token_peek_issuer(&arena, &jws), "https://a.example"));
	arena_init(&small, 8);
	assert_int_equal(id_token_peek_issuer(&small, &jws).n, 0);
	arena_fini(&small);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		token_sign(&token, key, JWS_RS256, HEADER, slice_str(none[i]));
		assert_int_equal(jws_split(buf_slice(&token), 0, &jws), JWS_OK);
		struct slice iss = id_token_peek_issuer(&arena, &jws);
		assert_int_equal(iss.n, 0);
		assert_null(iss.p);
	}
	jws.payload_b64 = SLICE_LIT("!!!!");
	assert_int_equal(id_token_peek_issuer(&arena, &jws).n, 0);
}

static void
an_issuer_opens_its_own_tokens(void **state)
{
	const char *header = "{\"alg\":\"RS256\",\"kid\":\"a\",\"typ\":\"at+jwt\"}";
	struct slice claims = SLICE_NONE;

	(void)state;
	assert_int_equal(open_as(header, "at+jwt", &claims), ID_TOKEN_OK);
	assert_true(slice_eq(claims, buf_slice(&payload)));
	assert_int_equal(id_token_open(buf_slice(&token), ISSUER "/", "at+jwt", &keys, NOW, 0, false, &arena, &claims), ID_TOKEN_WRONG_ISSUER);
	assert_int_equal(id_token_open(buf_slice(&token), ISSUER, "at+jwt", &keys, NOW + 300, 0, false, &arena, &claims), ID_TOKEN_EXPIRED);
	assert_int_equal(id_token_open(buf_slice(&token), ISSUER, "at+jwt", &keys, NOW + 300, 1, false, &arena, &claims), ID_TOKEN_OK);
	assert_int_equal(id_token_open(buf_slice(&token), ISSUER, "at+jwt", &keys, NOW + 3000000, 0, true, &arena, &claims), ID_TOKEN_OK);
	token.p[token.n - 10] = token.p[token.n - 10] == 'A' ? 'B' : 'A';
	assert_int_equal(id_token_open(buf_slice(&token), ISSUER, "at+jwt", &keys, NOW, 0, true, &arena, &claims), ID_TOKEN_BAD_SIGNATURE);
	/* Even where an expired one is welcome, its times must be times. */
	print_claims((struct claims){ .exp = "\"1700000300\"" });
	token_sign(&token, key, JWS_RS256, HEADER, buf_slice(&payload));
	assert_int_equal(id_token_open(buf_slice(&token), ISSUER, NULL, &keys, NOW, 0, true, &arena, &claims), ID_TOKEN_MALFORMED);
}

static void
claims_come_parsed_when_the_token_is_good_and_not_at_all_otherwise(void **state)
{
	const char *header = "{\"alg\":\"RS256\",\"kid\":\"a\",\"typ\":\"at+jwt\"}";
	struct slice claims = SLICE_NONE;
	json_t *parsed = NULL;

	(void)state;
	assert_int_equal(open_as(header, "at+jwt", &claims), ID_TOKEN_OK);
	assert_int_equal(id_token_open_claims(buf_slice(&token), ISSUER, "at+jwt", &keys, NOW, 0, false, &parsed), ID_TOKEN_OK);
	assert_string_equal(json_string_value(json_object_get(parsed, "iss")), ISSUER);
	json_decref(parsed);
	assert_int_equal(id_token_open_claims(buf_slice(&token), ISSUER "/", "at+jwt", &keys, NOW, 0, false, &parsed), ID_TOKEN_WRONG_ISSUER);
	assert_int_equal(id_token_open_claims(buf_slice(&token), ISSUER, "JWT", &keys, NOW, 0, false, &parsed), ID_TOKEN_MALFORMED);
	assert_int_equal(id_token_open_claims(buf_slice(&token), ISSUER, "at+jwt", &keys, NOW + 300, 0, false, &parsed), ID_TOKEN_EXPIRED);
	assert_int_equal(id_token_open_claims(SLICE_LIT("a.b.c"), ISSUER, "at+jwt", &keys, NOW, 0, false, &parsed), ID_TOKEN_MALFORMED);
}

/* Every bound of the arena, from nothing to enough: refused without a crash until it suffices. */
static void
an_exhausted_arena_is_a_failure_and_never_an_identity(void **state)
{
	struct slice claims = SLICE_NONE;
	bool failed = false, opened_failed = false;
	enum id_token_verdict verdict = ID_TOKEN_FAILED, opened = ID_TOKEN_FAILED;

	(void)state;
	policy.uid_claim = "sub";
	policy.username_prefix = NULL;
	print_claims((struct claims){ .more = ",\"groups\":[\"a\",\"b\"],\"jti\":\"t\",\"sid\":\"s\"" });
	token_sign(&token, key, JWS_RS256, HEADER, buf_slice(&payload));
	for (size_t bytes = 8; bytes < 4096 && (verdict || opened); bytes += 8) {
		struct arena small;
		arena_init(&small, bytes);
		verdict = id_token_identify(buf_slice(&token), &policy, &keys, NOW, &small, &who);
		assert_true(verdict == ID_TOKEN_FAILED || verdict == ID_TOKEN_OK);
		failed = failed || verdict == ID_TOKEN_FAILED;
		arena_fini(&small);
		arena_init(&small, bytes);
		opened = id_token_open(buf_slice(&token), ISSUER, NULL, &keys, NOW, 0, false, &small, &claims);
		assert_true(opened == ID_TOKEN_FAILED || opened == ID_TOKEN_OK);
		opened_failed = opened_failed || opened == ID_TOKEN_FAILED;
		arena_fini(&small);
	}
	assert_int_equal(verdict, ID_TOKEN_OK);
	assert_int_equal(opened, ID_TOKEN_OK);
	assert_true(failed && opened_failed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(every_verdict_has_its_own_name),
		T(what_the_signature_check_says_is_passed_on),
		T(an_access_token_is_no_id_token_and_the_reverse),
		T(an_issuer_that_differs_in_one_byte_is_refused),
		T(times_of_another_type_or_out_of_range_are_refused),
		T(the_second_of_expiry_is_too_late_and_skew_moves_it),
		T(an_audience_that_is_not_ours_nested_or_of_10000_entries_is_refused),
		T(an_authorized_party_that_is_not_known_is_refused),
		T(duplicate_claims_are_refused),
		T(a_payload_with_bom_trailing_junk_array_or_depth_over_16_is_refused),
		T(the_issuer_can_be_read_before_anything_is_verified),
		T(an_issuer_opens_its_own_tokens),
		T(claims_come_parsed_when_the_token_is_good_and_not_at_all_otherwise),
		T(an_exhausted_arena_is_a_failure_and_never_an_identity),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
