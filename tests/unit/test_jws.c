#include "tests/unit/jws_unit.h"

static void
the_header_is_read_into_the_struct(void **state)
{
	struct jws jws;

	(void)state;
	token_sign(&token, rsa, JWS_RS256, SLICE_LIT("{\"kid\":\"r\\u0073a\",\"typ\":\"JWT\",\"alg\":\"RS256\",\"x5t\":\"abc\",\"cty\":\"x\"}"), PAYLOAD);
	assert_int_equal(jws_split(buf_slice(&token), 0, &jws), JWS_OK);
	assert_int_equal(jws.alg, JWS_RS256);
	assert_true(slice_eq_str(jws.kid, "rsa"));
	assert_true(slice_eq_str(jws.typ, "JWT"));
	assert_true(jws.kid.p >= jws.header_text && jws.kid.p < jws.header_text + sizeof(jws.header_text));
	assert_int_equal(jws.signing_input.n, jws.header_b64.n + 1 + jws.payload_b64.n);
	assert_int_equal(jws.token.n, jws.signing_input.n + 1 + jws.signature_b64.n);
	assert_int_equal(jws_verify(&jws, &set), JWS_OK);
	token_sign(&token, rsa, JWS_RS256, SLICE_LIT("{\"alg\":\"RS256\"}"), PAYLOAD);
	assert_int_equal(jws_split(buf_slice(&token), 0, &jws), JWS_OK);
	assert_null(jws.kid.p);
	assert_null(jws.typ.p);
}

/* RFC 8725 sections 3.1, 3.2. The signature is a good RS256 one each time. */
static void
alg_none_in_any_spelling_missing_or_of_another_type_is_refused(void **state)
{
	static const char *const unsupported[] = { "none", "None", "nOnE", "NONE", "rs256", "RS256 ", "", "HS256", "HS384", "HS512", "RS1", "dir", "A128KW", "ES256K" };
	char header[128];

	(void)state;
	assert_int_equal(check_header("{\"alg\":\"RS256\"}"), JWS_OK);
	for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++) {
		snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", unsupported[i]);
		assert_int_equal(check_header(header), JWS_UNSUPPORTED);
	}
	assert_int_equal(check_header("{}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"Alg\":\"RS256\"}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":256}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":null}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":true}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":[\"RS256\"]}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":{\"RS256\":1}}"), JWS_MALFORMED);
}

static void
alg_none_with_an_empty_signature_is_refused(void **state)
{
	static const char *const headers[] = { "{\"alg\":\"none\"}", "{\"alg\":\"RS256\"}", "{\"alg\":\"ES256\",\"kid\":\"p256\"}" };

	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		token_join(&token, slice_str(headers[i]), PAYLOAD, "", 0);
		assert_int_equal(check_text(buf_slice(&token), &one), JWS_MALFORMED);
		assert_int_equal(check(), JWS_MALFORMED);
	}
}

static void
a_kid_is_compared_and_never_interpreted(void **state)
{
	static const char *const unknown[] = { "../../dev/null", "/dev/null", "RSA", "rsa ", "rsa\\n", "' OR 1=1", "http://evil.example/k", "%72sa", "p25" };
	char header[JWS_HEADER_BYTES_MAX + 64], kid[JWK_KID_BYTES_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":\"%s\"}", unknown[i]);
		token_sign(&token, rsa, JWS_RS256, slice_str(header), PAYLOAD);
		assert_int_equal(check(), JWS_UNKNOWN_KEY);
	}
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"kid\":\"r\\u0000sa\"}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"kid\":\"\"}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"kid\":7}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"kid\":null}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"kid\":[\"rsa\"]}"), JWS_MALFORMED);
	memset(kid, 'k', sizeof(kid));
	snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":\"%.128s\"}", kid);
	assert_int_equal(check_header(header), JWS_UNKNOWN_KEY);
	snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":\"%.129s\"}", kid);
	assert_int_equal(check_header(header), JWS_MALFORMED);
}

static void
a_kid_of_4_kilobytes_is_refused(void **state)
{
	char header[4200];
	int n = snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":\"");

	(void)state;
	memset(header + n, 'k', 4096);
	strcpy(header + n + 4096, "\"}");
	assert_int_equal(check_header(header), JWS_TOO_LONG);
}

static void
a_missing_kid_is_refused_while_several_keys_exist(void **state)
{
	(void)state;
	token_sign(&token, rsa, JWS_RS256, SLICE_LIT("{\"alg\":\"RS256\"}"), PAYLOAD);
	assert_int_equal(check(), JWS_UNKNOWN_KEY);
	assert_int_equal(check_text(buf_slice(&token), &one), JWS_OK);
	/* An empty set knows no key. */
	struct jwk_set none = { .n = 0 };
	assert_int_equal(check_text(buf_slice(&token), &none), JWS_UNKNOWN_KEY);
}

/* RFC 8725 section 3.10; RFC 7515 sections 4.1.2, 4.1.3, 4.1.5, 4.1.6. */
static void
keys_that_a_token_brings_along_are_never_used(void **state)
{
	EVP_PKEY *evil = token_key("RSA2048");
	struct buf header, jwk;

	(void)state;
	buf_init(&header, 0);
	buf_init(&jwk, 0);
	assert_int_equal(jwk_print_public(evil, JWS_RS256, SLICE_NONE, &jwk), OK);
	buf_printf(&header, "{\"alg\":\"RS256\",\"jwk\":%s}", jwk.p);
	token_sign(&token, evil, JWS_RS256, buf_slice(&header), PAYLOAD);
	assert_int_equal(check_text(buf_slice(&token), &one), JWS_UNSUPPORTED);
	/* Even where our own key signed. */
	token_sign(&token, rsa, JWS_RS256, buf_slice(&header), PAYLOAD);
	assert_int_equal(check_text(buf_slice(&token), &one), JWS_UNSUPPORTED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"jku\":\"https://evil.example/keys\"}"), JWS_UNSUPPORTED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"x5u\":\"https://evil.example/cert\"}"), JWS_UNSUPPORTED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"x5c\":[\"MIIB\"]}"), JWS_UNSUPPORTED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"jku\":null}"), JWS_UNSUPPORTED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"x5t\":\"abc\",\"x5t#S256\":\"abc\"}"), JWS_OK);
	EVP_PKEY_free(evil);
	buf_fini(&header);
	buf_fini(&jwk);
}

/* RFC 7515 section 4.1.11: what is critical and not understood MUST be rejected; RFC 7797. */
static void
crit_and_b64_are_refused(void **state)
{
	(void)state;
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"crit\":[\"b64\"],\"b64\":false}"), JWS_UNSUPPORTED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"b64\":false}"), JWS_UNSUPPORTED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"b64\":true}"), JWS_UNSUPPORTED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"crit\":[]}"), JWS_UNSUPPORTED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"crit\":[\"exp\"],\"exp\":1}"), JWS_UNSUPPORTED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"crit\":\"x\"}"), JWS_UNSUPPORTED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"crit\":null}"), JWS_UNSUPPORTED);
}

static void
duplicate_header_names_are_refused(void **state)
{
	(void)state;
	assert_int_equal(check_header("{\"alg\":\"none\",\"alg\":\"RS256\"}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"alg\":\"RS256\"}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"\\u0061lg\":\"none\"}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"kid\":\"a\",\"kid\":\"b\"}"), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"x\":{\"a\":1,\"a\":2}}"), JWS_MALFORMED);
}

static void
a_header_that_is_no_plain_object_is_refused(void **state)
{
	static const char *const bad[] = { "[]", "\"RS256\"", "1", "null", "{\"alg\":\"RS256\"} ]", "{\"alg\":\"RS256\"}{}", "\xEF\xBB\xBF{\"alg\":\"RS256\"}", "{\"alg\":\"RS256\"",
		"{\"alg\":\"RS256\",}", "{alg:\"RS256\"}", "{\"alg\":\"RS256\",\"x\":\"\xff\"}", "{\"alg\":\"RS256\",\"x\":\"\\ud800\"}", "{\"alg\":\"RS256\",\"typ\":7}",
		"{\"alg\":\"RS256\",\"typ\":\"\"}", "{\"alg\":\"RS256\",\"x\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", " " };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(check_header(bad[i]), JWS_MALFORMED);
	assert_int_equal(check_header("{\"alg\":\"RS256\",\"x\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}"), JWS_OK);
	token_sign(&token, rsa, JWS_RS256, slice_of("{\"alg\":\"RS256\"}\0", 16), PAYLOAD);
	assert_int_equal(check_text(buf_slice(&token), &one), JWS_MALFORMED);
}

static void
a_header_over_1024_bytes_is_too_long(void **state)
{
	char header[JWS_HEADER_BYTES_MAX + 2];

	(void)state;
	memset(header, ' ', sizeof(header));
	memcpy(header, "{\"alg\":\"RS256\"}", 15);
	header[JWS_HEADER_BYTES_MAX] = '\0';
	assert_int_equal(check_header(header), JWS_OK);
	header[JWS_HEADER_BYTES_MAX] = ' ';
	header[JWS_HEADER_BYTES_MAX + 1] = '\0';
	assert_int_equal(check_header(header), JWS_TOO_LONG);
}

/* RFC 7515 section 7.1. */
static void
two_four_or_five_parts_empty_parts_and_blanks_around_are_refused(void **state)
{
	char *good, text[2048];
	struct jws jws;

	(void)state;
	token_sign(&token, rsa, JWS_RS256, SLICE_LIT("{\"alg\":\"RS256\"}"), PAYLOAD);
	good = strdup(token.p);
	assert_int_equal(jws_split(buf_slice(&token), 0, &jws), JWS_OK);
	struct slice h = jws.header_b64, p = jws.payload_b64, s = jws.signature_b64;
	static const char *const around[][2] = { { "", "." }, { ".", "" }, { "", ".AAAA" }, { "", ".." }, { "", ".AAAA.AAAA" }, { "AAAA.", "" }, { " ", "" }, { "", " " }, { "", "\n" },
		{ "\t", "" }, { "", "\r\n" }, { "Bearer ", "" }, { "\"", "\"" }, { "", "," }, { "", "=" } };
	for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++) {
		snprintf(text, sizeof(text), "%s%s%s", around[i][0], good, around[i][1]);
		assert_int_equal(check_text(slice_str(text), &one), JWS_MALFORMED);
	}
	snprintf(text, sizeof(text), "%.*s.%.*s", SLICE_FMT(h), SLICE_FMT(p));
	assert_int_equal(check_text(slice_str(text), &one), JWS_MALFORMED);
	snprintf(text, sizeof(text), "%.*s", SLICE_FMT(h));
	assert_int_equal(check_text(slice_str(text), &one), JWS_MALFORMED);
	snprintf(text, sizeof(text), "%.*s..%.*s", SLICE_FMT(h), SLICE_FMT(s));
	assert_int_equal(check_text(slice_str(text), &one), JWS_MALFORMED);
	snprintf(text, sizeof(text), ".%.*s.%.*s", SLICE_FMT(p), SLICE_FMT(s));
	assert_int_equal(check_text(slice_str(text), &one), JWS_MALFORMED);
	snprintf(text, sizeof(text), "%.*s.%.*s.", SLICE_FMT(h), SLICE_FMT(p));
	assert_int_equal(check_text(slice_str(text), &one), JWS_MALFORMED);
	assert_int_equal(check_text(SLICE_LIT("."), &one), JWS_MALFORMED);
	assert_int_equal(check_text(SLICE_LIT(".."), &one), JWS_MALFORMED);
	assert_int_equal(check_text(SLICE_LIT("..."), &one), JWS_MALFORMED);
	assert_int_equal(check_text(SLICE_NONE, &one), JWS_MALFORMED);
	assert_int_equal(check_text(slice_of(good, token.n + 1), &one), JWS_MALFORMED); /* NUL at the end */
	free(good);
}

static void
json_serialisation_and_jwe_are_refused(void **state)
{
	struct jws jws;
	char text[2048];

	(void)state;
	token_sign(&token, rsa, JWS_RS256, SLICE_LIT("{\"alg\":\"RS256\"}"), PAYLOAD);
	assert_int_equal(jws_split(buf_slice(&token), 0, &jws), JWS_OK);
	snprintf(text, sizeof(text), "{\"protected\":\"%.*s\",\"payload\":\"%.*s\",\"signature\":\"%.*s\"}", SLICE_FMT(jws.header_b64), SLICE_FMT(jws.payload_b64),
		SLICE_FMT(jws.signature_b64));
	assert_int_equal(check_text(slice_str(text), &one), JWS_MALFORMED);
	assert_int_equal(check_text(SLICE_LIT("eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.AAAA.AAAA.AAAA.AAAA"), &one), JWS_MALFORMED);
}

/* Each of these decodes to a good token in a lenient decoder; so one token would have many spellings. */
static void
lenient_base64_is_refused_in_every_part(void **state)
{
	struct slice part[3];
	struct jws jws;
	char text[2048];

	(void)state;
	/* Header of 16 bytes and payload of 31: groups with unused bits. An RSA signature of 256 bytes has them too. */
	token_sign(&token, rsa, JWS_RS256, SLICE_LIT("{\"alg\":\"RS256\" }"), SLICE_LIT("{\"iss\":\"joe\",\"exp\":1300819380 }"));
	assert_int_equal(jws_split(buf_slice(&token), 0, &jws), JWS_OK);
	part[0] = jws.header_b64;
	part[1] = jws.payload_b64;
	part[2] = jws.signature_b64;
	static const char *const suffix[] = { "=", "==", "A", "AA", "+", "/", " ", "\n", "\r\n", ".", "%3D", "*" };
	for (size_t i = 0; i < 3; i++) {
		for (size_t j = 0; j < sizeof(suffix) / sizeof(suffix[0]); j++) {
			snprintf(text, sizeof(text), "%.*s%s.%.*s%s.%.*s%s", SLICE_FMT(part[0]), i == 0 ? suffix[j] : "", SLICE_FMT(part[1]), i == 1 ? suffix[j] : "",
				SLICE_FMT(part[2]), i == 2 ? suffix[j] : "");
			assert_int_not_equal(check_text(slice_str(text), &one), JWS_OK);
		}
		/* The next character of the alphabet differs in the unused bits only. */
		assert_int_equal(part[i].n % 4, 2);
		memcpy(text, token.p, token.n + 1);
		char *last = text + (part[i].p - token.p) + part[i].n - 1;
		assert_true(*last == 'A' || *last == 'Q' || *last == 'g' || *last == 'w');
		*last = (char)(*last + 1);
		assert_int_equal(check_text(slice_str(text), &one), JWS_MALFORMED);
		*last = '\n';
		assert_int_equal(check_text(slice_str(text), &one), JWS_MALFORMED);
	}
}

static void
a_token_over_the_bound_is_refused_before_decoding(void **state)
{
	char *payload = malloc(JWS_BYTES_MAX);
	struct jws jws;
	size_t fits = 0;

	(void)state;
	memset(payload, ' ', JWS_BYTES_MAX);
	for (size_t n = 5500; n < 6200; n++) {
		token_sign(&token, p256, JWS_ES256, SLICE_LIT("{\"alg\":\"ES256\",\"kid\":\"p256\"}"), slice_of(payload, n));
		assert_int_equal(check(), token.n <= JWS_BYTES_MAX ? JWS_OK : JWS_TOO_LONG);
		fits += token.n <= JWS_BYTES_MAX;
		if (token.n > JWS_BYTES_MAX)
			break;
	}
	assert_true(fits > 0 && token.n > JWS_BYTES_MAX);
	assert_int_equal(jws_split(buf_slice(&token), token.n, &jws), JWS_OK);
	assert_int_equal(jws_split(buf_slice(&token), token.n - 1, &jws), JWS_TOO_LONG);
	/* Before decoding: what is too long is not looked at. */
	memset(payload, '!', JWS_BYTES_MAX);
	assert_int_equal(jws_split(slice_of(payload, 11), 10, &jws), JWS_TOO_LONG);
	assert_int_equal(jws_split(slice_of(payload, 10), 10, &jws), JWS_MALFORMED);
	free(payload);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_header_is_read_into_the_struct),
		cmocka_unit_test(alg_none_in_any_spelling_missing_or_of_another_type_is_refused),
		cmocka_unit_test(alg_none_with_an_empty_signature_is_refused),
		cmocka_unit_test(a_kid_is_compared_and_never_interpreted),
		cmocka_unit_test(a_kid_of_4_kilobytes_is_refused),
		cmocka_unit_test(a_missing_kid_is_refused_while_several_keys_exist),
		cmocka_unit_test(keys_that_a_token_brings_along_are_never_used),
		cmocka_unit_test(crit_and_b64_are_refused),
		cmocka_unit_test(duplicate_header_names_are_refused),
		cmocka_unit_test(a_header_that_is_no_plain_object_is_refused),
		cmocka_unit_test(a_header_over_1024_bytes_is_too_long),
		cmocka_unit_test(two_four_or_five_parts_empty_parts_and_blanks_around_are_refused),
		cmocka_unit_test(json_serialisation_and_jwe_are_refused),
		cmocka_unit_test(lenient_base64_is_refused_in_every_part),
		cmocka_unit_test(a_token_over_the_bound_is_refused_before_decoding),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
