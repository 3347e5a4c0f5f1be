#include "tests/unit/unit.h"
#include <openssl/err.h>
#include <openssl/params.h>
#include "oidc/base64url.h"
#include "oidc/jwk.h"
#include "oidc/jwk_set.h"
#include "tests/unit/tokens.h"

/* RFC 7638 section 3.1. */
#define RSA_N \
	"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W" \
	"-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qN" \
	"Lyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
#define RSA_KEY "\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\""
/* RFC 7515 appendix A.3.1. */
#define EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EC_KEY "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\""
/* RFC 8037 appendix A.2. */
#define ED_KEY "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""

static enum err
parse(const char *json, struct jwk_set *set, size_t *skipped)
{
	enum err err = jwk_set_parse(slice_str(json), set, skipped);

	assert_int_equal(ERR_peek_error(), 0);
	return err;
}

/* Parse a set of this one key and say how it went. */
static enum err
parse_key(const char *members, struct jwk *first)
{
	struct jwk_set set = { .n = 0 };
	char json[8192];

	snprintf(json, sizeof(json), "{\"keys\":[{%s}]}", members);
	enum err err = parse(json, &set, NULL);
	if (first && !err)
		*first = set.keys[0];
	assert_int_equal(set.n, err ? 0 : 1);
	jwk_set_fini(&set);
	assert_int_equal(set.n, 0);
	return err;
}

static void
algorithm_names_are_exact(void **state)
{
	static const char *const bad[] = { "", "none", "None", "nOnE", "NONE", "rs256", "RS256 ", "RS25", "RS2566", "HS256", "HS384", "HS512", "ES256K", "Ed25519", "eddsa", "RS1" };

	(void)state;
	for (int a = JWS_RS256; a <= JWS_EDDSA; a++)
		assert_int_equal(jws_alg_parse(slice_str(jws_alg_name((enum jws_alg)a))), a);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(jws_alg_parse(slice_str(bad[i])), JWS_ALG_NONE);
	assert_int_equal(jws_alg_parse(slice_of("RS256\0", 6)), JWS_ALG_NONE);
	assert_int_equal(jws_alg_parse(SLICE_NONE), JWS_ALG_NONE);
	assert_string_equal(jws_alg_name(JWS_ALG_NONE), "none");
	assert_string_equal(jws_alg_name((enum jws_alg)99), "none");
}

static void
each_kind_of_key_gets_its_default_algorithm_and_signature_length(void **state)
{
	struct jwk jwk;

	(void)state;
	assert_int_equal(parse_key(RSA_KEY, &jwk), OK);
	assert_int_equal(jwk.alg, JWS_RS256);
	assert_int_equal(jwk.signature_bytes, 256);
	assert_int_equal(jwk.kid_n, 0);
	assert_int_equal(parse_key(EC_KEY ",\"kid\":\"k1\"", &jwk), OK);
	assert_int_equal(jwk.alg, JWS_ES256);
	assert_int_equal(jwk.signature_bytes, 64);
	assert_string_equal(jwk.kid, "k1");
	assert_int_equal(jwk.kid_n, 2);
	assert_int_equal(parse_key(ED_KEY, &jwk), OK);
	assert_int_equal(jwk.alg, JWS_EDDSA);
	assert_int_equal(jwk.signature_bytes, 64);
}

static void
an_algorithm_that_is_named_must_fit_the_key(void **state)
{
	static const char *const rsa[] = { "RS256", "RS384", "RS512", "PS256", "PS384", "PS512" };
	static const char *const not_rsa[] = { "ES256", "EdDSA", "HS256", "none", "RSA-OAEP", "", "rs256" };
	struct jwk jwk;
	char members[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(rsa) / sizeof(rsa[0]); i++) {
		snprintf(members, sizeof(members), "%s,\"alg\":\"%s\"", RSA_KEY, rsa[i]);
		assert_int_equal(parse_key(members, &jwk), OK);
		assert_string_equal(jws_alg_name(jwk.alg), rsa[i]);
	}
	for (size_t i = 0; i < sizeof(not_rsa) / sizeof(not_rsa[0]); i++) {
		snprintf(members, sizeof(members), "%s,\"alg\":\"%s\"", RSA_KEY, not_rsa[i]);
		assert_int_equal(parse_key(members, NULL), E_EMPTY);
	}
	assert_int_equal(parse_key(RSA_KEY ",\"alg\":null", NULL), E_EMPTY);
	assert_int_equal(parse_key(RSA_KEY ",\"alg\":256", NULL), E_EMPTY);
	assert_int_equal(parse_key(EC_KEY ",\"alg\":\"ES256\"", NULL), OK);
	assert_int_equal(parse_key(EC_KEY ",\"alg\":\"ES384\"", NULL), E_EMPTY);
	assert_int_equal(parse_key(EC_KEY ",\"alg\":\"RS256\"", NULL), E_EMPTY);
	assert_int_equal(parse_key(ED_KEY ",\"alg\":\"EdDSA\"", NULL), OK);
	assert_int_equal(parse_key(ED_KEY ",\"alg\":\"ES256\"", NULL), E_EMPTY);
}

/* RFC 7517 sections 4.2, 4.3; RFC 7518 section 6. */
static void
keys_that_are_not_for_verification_are_left_out(void **state)
{
	static const char *const extra[] = { "\"use\":\"enc\"", "\"use\":\"\"", "\"use\":null", "\"use\":7", "\"key_ops\":[\"encrypt\"]", "\"key_ops\":[]", "\"key_ops\":\"verify\"",
		"\"key_ops\":null", "\"key_ops\":[\"sign\"]", "\"key_ops\":[1]", "\"d\":\"AQAB\"", "\"p\":\"AQAB\"", "\"q\":\"AQAB\"", "\"dp\":\"AQAB\"", "\"dq\":\"AQAB\"",
		"\"qi\":\"AQAB\"", "\"oth\":[]", "\"k\":\"AQAB\"", "\"d\":null" };
	char members[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(extra) / sizeof(extra[0]); i++) {
		snprintf(members, sizeof(members), "%s,%s", RSA_KEY, extra[i]);
		assert_int_equal(parse_key(members, NULL), E_EMPTY);
	}
	assert_int_equal(parse_key(RSA_KEY ",\"key_ops\":[\"verify\",\"sign\"]", NULL), OK);
	assert_int_equal(parse_key(RSA_KEY ",\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"],\"x5t\":\"x\",\"x5c\":[\"y\"],\"foo\":1", NULL), OK);
	assert_int_equal(parse_key("\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"", NULL), E_EMPTY);
	assert_int_equal(parse_key(EC_KEY ",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\"", NULL), E_EMPTY);
	assert_int_equal(parse_key(ED_KEY ",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"", NULL), E_EMPTY);
}

static void
a_type_or_curve_that_is_not_known_is_left_out(void **state)
{
	static const char *const bad[] = { "\"kid\":\"x\"", "\"kty\":\"rsa\"", "\"kty\":7", "\"kty\":null", "\"kty\":\"oct\"", "\"kty\":\"AKP\"",
		"\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"", "\"kty\":\"EC\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"",
		"\"kty\":\"EC\",\"crv\":256,\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"", "\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" EC_X "\"",
		"\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"" EC_X "\"", "\"kty\":\"OKP\",\"x\":\"" EC_X "\"" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_key(bad[i], NULL), E_EMPTY);
}

/* A modulus of so many bits, odd, as base64url. */
static void
modulus(char *out, size_t bits, bool odd, size_t zeros)
{
	unsigned char n[1100] = { 0 };
	size_t bytes = (bits + 7) / 8;

	memset(n + zeros, 0xa5, bytes);
	n[zeros] = (unsigned char)(1u << ((bits - 1) % 8));
	n[zeros + bytes - 1] = (unsigned char)(n[zeros + bytes - 1] & 0xfe);
	if (odd)
		n[zeros + bytes - 1] |= 1;
	base64url_encode(n, zeros + bytes, out);
}

static enum err
parse_rsa(size_t bits, bool odd, size_t zeros, const char *e, struct jwk *jwk)
{
	char n[1600], members[2048];

	modulus(n, bits, odd, zeros);
	snprintf(members, sizeof(members), "\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"", n, e);
	return parse_key(members, jwk);
}

static void
rsa_keys_that_are_too_small_too_big_or_no_rsa_keys_are_left_out(void **state)
{
	struct jwk jwk;

	(void)state;
	assert_int_equal(parse_rsa(2048, true, 0, "AQAB", &jwk), OK);
	assert_int_equal(jwk.signature_bytes, 256);
	assert_int_equal(parse_rsa(2049, true, 0, "AQAB", &jwk), OK);
	assert_int_equal(jwk.signature_bytes, 257);
	assert_int_equal(parse_rsa(8192, true, 0, "AQAB", &jwk), OK);
	assert_int_equal(jwk.signature_bytes, 1024);
	assert_int_equal(parse_rsa(8192, true, 1, "AQAB", &jwk), OK);
	assert_int_equal(jwk.signature_bytes, 1024);
	assert_int_equal(parse_rsa(1024, true, 0, "AQAB", NULL), E_EMPTY);
	assert_int_equal(parse_rsa(2047, true, 0, "AQAB", NULL), E_EMPTY);
	assert_int_equal(parse_rsa(2040, true, 8, "AQAB", NULL), E_EMPTY);
	assert_int_equal(parse_rsa(8193, true, 0, "AQAB", NULL), E_EMPTY);
	assert_int_equal(parse_rsa(8200, true, 0, "AQAB", NULL), E_EMPTY);
	assert_int_equal(parse_rsa(2048, false, 0, "AQAB", NULL), E_EMPTY);
	assert_int_equal(parse_rsa(2048, true, 0, "Aw", NULL), OK);         /* 3 */
	assert_int_equal(parse_rsa(2048, true, 0, "AQ", NULL), E_EMPTY);    /* 1: every message signs itself */
	assert_int_equal(parse_rsa(2048, true, 0, "AA", NULL), E_EMPTY);    /* 0 */
	assert_int_equal(parse_rsa(2048, true, 0, "AQAA", NULL), E_EMPTY);  /* even */
	assert_int_equal(parse_rsa(2048, true, 0, "", NULL), E_EMPTY);
	assert_int_equal(parse_rsa(2048, true, 0, "AQAB=", NULL), E_EMPTY);
	assert_int_equal(parse_rsa(2048, true, 0, "AQAAAAAAAAAB", NULL), E_EMPTY); /* nine bytes */
	assert_int_equal(parse_key("\"kty\":\"RSA\",\"n\":\"" RSA_N "\"", NULL), E_EMPTY);
	assert_int_equal(parse_key("\"kty\":\"RSA\",\"e\":\"AQAB\"", NULL), E_EMPTY);
	assert_int_equal(parse_key("\"kty\":\"RSA\",\"n\":7,\"e\":\"AQAB\"", NULL), E_EMPTY);
}

/* RFC 7518 section 6.2.1.2: coordinates have the field's length; and the point lies on the curve. */
static void
points_off_the_curve_and_short_coordinates_are_left_out(void **state)
{
	(void)state;
	assert_int_equal(parse_key("\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_X "\"", NULL), E_EMPTY);
	assert_int_equal(parse_key("\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"", NULL), E_EMPTY);
	assert_int_equal(parse_key("\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\"", NULL), E_EMPTY);
	assert_int_equal(parse_key("\"kty\":\"EC\",\"crv\":\"P-256\",\"y\":\"" EC_Y "\"", NULL), E_EMPTY);
	assert_int_equal(parse_key("\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"" EC_Y "\"", NULL), E_EMPTY);
	assert_int_equal(parse_key("\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"AQAB\"", NULL), E_EMPTY);
	assert_int_equal(parse_key("\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA" EC_X "\",\"y\":\"" EC_Y "\"", NULL), E_EMPTY);
	assert_int_equal(parse_key("\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"", NULL),
		E_EMPTY);
	assert_int_equal(parse_key("\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAB\"", NULL), E_EMPTY);
	assert_int_equal(parse_key("\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"", NULL), E_EMPTY);
	assert_int_equal(parse_key("\"kty\":\"OKP\",\"crv\":\"Ed25519\"", NULL), E_EMPTY);
}

static void
a_kid_is_a_string_of_1_to_128_bytes(void **state)
{
	char kid[200], members[1024];
	struct jwk jwk;

	(void)state;
	memset(kid, 'k', sizeof(kid));
	snprintf(members, sizeof(members), "%s,\"kid\":\"%.128s\"", EC_KEY, kid);
	assert_int_equal(parse_key(members, &jwk), OK);
	assert_int_equal(jwk.kid_n, 128);
	snprintf(members, sizeof(members), "%s,\"kid\":\"%.129s\"", EC_KEY, kid);
	assert_int_equal(parse_key(members, NULL), E_EMPTY);
	assert_int_equal(parse_key(EC_KEY ",\"kid\":\"\"", NULL), E_EMPTY);
	assert_int_equal(parse_key(EC_KEY ",\"kid\":7", NULL), E_EMPTY);
	assert_int_equal(parse_key(EC_KEY ",\"kid\":null", NULL), E_EMPTY);
	assert_int_equal(parse_key(EC_KEY ",\"kid\":\"a\\u0000b\"", NULL), E_FORMAT);
}

static void
a_duplicate_kid_refuses_the_whole_set(void **state)
{
	struct jwk_set set = { .n = 0 };

	(void)state;
	assert_int_equal(parse("{\"keys\":[{" RSA_KEY ",\"kid\":\"a\"},{" EC_KEY ",\"kid\":\"b\"},{" ED_KEY ",\"kid\":\"a\"}]}", &set, NULL), E_FORMAT);
	assert_int_equal(set.n, 0);
	/* A key without kid has none to share. */
	assert_int_equal(parse("{\"keys\":[{" RSA_KEY "},{" EC_KEY "}]}", &set, NULL), OK);
	assert_int_equal(set.n, 2);
	jwk_set_fini(&set);
}

static void
what_was_left_out_is_counted_and_the_rest_serves(void **state)
{
	struct jwk_set set = { .n = 0 };
	size_t skipped = 99;

	(void)state;
	assert_int_equal(parse("{\"x\":1,\"keys\":[{\"kty\":\"oct\",\"k\":\"AQAB\"},{" RSA_KEY ",\"kid\":\"a\"},{" RSA_KEY ",\"kid\":\"e\",\"use\":\"enc\"},{" EC_KEY
			       ",\"kid\":\"b\"},{}]}",
				 &set, &skipped),
		OK);
	assert_int_equal(set.n, 2);
	assert_int_equal(skipped, 3);
	jwk_set_fini(&set);
}

static void
keys_are_found_by_the_bytes_of_their_kid(void **state)
{
	struct jwk_set set = { .n = 0 };

	(void)state;
	assert_int_equal(parse("{\"keys\":[{" RSA_KEY ",\"kid\":\"a\"},{" EC_KEY ",\"kid\":\"ab\"},{" ED_KEY "}]}", &set, NULL), OK);
	assert_ptr_equal(jwk_set_find(&set, SLICE_LIT("a")), &set.keys[0]);
	assert_ptr_equal(jwk_set_find(&set, SLICE_LIT("ab")), &set.keys[1]);
	assert_null(jwk_set_find(&set, SLICE_LIT("A")));
	assert_null(jwk_set_find(&set, SLICE_LIT("a ")));
	assert_null(jwk_set_find(&set, slice_of("a\0", 2)));
	assert_null(jwk_set_find(&set, SLICE_LIT("../../dev/null")));
	/* No kid while several keys exist: none. */
	assert_null(jwk_set_find(&set, SLICE_NONE));
	jwk_set_fini(&set);
	assert_null(jwk_set_find(&set, SLICE_NONE));
	assert_int_equal(parse("{\"keys\":[{" RSA_KEY ",\"kid\":\"a\"}]}", &set, NULL), OK);
	assert_ptr_equal(jwk_set_find(&set, SLICE_NONE), &set.keys[0]);
	assert_null(jwk_set_find(&set, SLICE_LIT("b")));
	jwk_set_fini(&set);
}

static void
what_is_no_jwk_set_is_refused_and_leaves_the_old_one_alone(void **state)
{
	static const char *const bad[] = { "", "[]", "{}", "{\"keys\":null}", "{\"keys\":{}}", "{\"keys\":\"\"}", "{\"keys\":[1]}", "{\"keys\":[[]]}", "{\"keys\":[{" EC_KEY "},null]}",
		"{\"keys\":[{" EC_KEY "}]} x", "{\"keys\":[{" EC_KEY "}],\"keys\":[]}", "{\"keys\":[{" EC_KEY ",\"kty\":\"EC\"}]}", "\xEF\xBB\xBF{\"keys\":[{" EC_KEY "}]}",
		"<html>502 Bad Gateway</html>", "{\"keys\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}" };
	struct jwk_set set = { .n = 0 };
	size_t skipped = 5;

	(void)state;
	assert_int_equal(parse("{\"keys\":[{" RSA_KEY ",\"kid\":\"a\"}]}", &set, NULL), OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse(bad[i], &set, &skipped), E_FORMAT);
	assert_int_equal(parse("{\"keys\":[]}", &set, &skipped), E_EMPTY);
	assert_int_equal(parse("{\"keys\":[{}]}", &set, &skipped), E_EMPTY);
	assert_int_equal(skipped, 5);
	assert_int_equal(set.n, 1);
	assert_non_null(jwk_set_find(&set, SLICE_LIT("a")));
	jwk_set_fini(&set);
}

/* n keys with kids 0, 1, … */
static char *
many_keys(size_t n)
{
	char *json = malloc(n * 256 + 64), *p = json;

	p += sprintf(p, "{\"keys\":[");
	for (size_t i = 0; i < n; i++)
		p += sprintf(p, "%s{" ED_KEY ",\"kid\":\"%zu\"}", i ? "," : "", i);
	sprintf(p, "]}");
	return json;
}

static void
a_set_has_64_keys_and_64_kilobytes_at_most(void **state)
{
	struct jwk_set set = { .n = 0 };
	char *json = many_keys(JWK_SET_KEYS_MAX);

	(void)state;
	assert_int_equal(parse(json, &set, NULL), OK);
	assert_int_equal(set.n, JWK_SET_KEYS_MAX);
	jwk_set_fini(&set);
	free(json);
	json = many_keys(JWK_SET_KEYS_MAX + 1);
	assert_int_equal(parse(json, &set, NULL), E_LIMIT);
	free(json);
	json = malloc(JWK_SET_BYTES_MAX + 1);
	memset(json, ' ', JWK_SET_BYTES_MAX + 1);
	memcpy(json, "{\"keys\":[{" ED_KEY "}]}", strlen("{\"keys\":[{" ED_KEY "}]}"));
	assert_int_equal(jwk_set_parse(slice_of(json, JWK_SET_BYTES_MAX), &set, NULL), OK);
	jwk_set_fini(&set);
	assert_int_equal(jwk_set_parse(slice_of(json, JWK_SET_BYTES_MAX + 1), &set, NULL), E_LIMIT);
	free(json);
}

static void
keys_in_hand_are_added_under_the_same_rules(void **state)
{
	struct jwk_set set = { .n = 0 };
	EVP_PKEY *rsa = token_key("RSA2048"), *small = token_key("RSA1024"), *p256 = token_key("P-256"), *x25519 = token_key("X25519"), *odd = token_key("secp256k1");
	char kid[JWK_KID_BYTES_MAX + 1];

	(void)state;
	memset(kid, 'k', sizeof(kid));
	assert_int_equal(jwk_set_add(&set, rsa, JWS_RS256, SLICE_LIT("a")), OK);
	assert_int_equal(jwk_set_add(&set, p256, JWS_ES256, SLICE_LIT("a")), E_CONFLICT);
	assert_int_equal(jwk_set_add(&set, p256, JWS_ES384, SLICE_LIT("b")), E_FORMAT);
	assert_int_equal(jwk_set_add(&set, p256, JWS_ALG_NONE, SLICE_LIT("b")), E_FORMAT);
	assert_int_equal(jwk_set_add(&set, p256, (enum jws_alg)99, SLICE_LIT("b")), E_FORMAT);
	assert_int_equal(jwk_set_add(&set, small, JWS_RS256, SLICE_LIT("b")), E_FORMAT);
	assert_int_equal(jwk_set_add(&set, x25519, JWS_EDDSA, SLICE_LIT("b")), E_FORMAT);
	assert_int_equal(jwk_set_add(&set, odd, JWS_ES256, SLICE_LIT("b")), E_FORMAT);
	assert_int_equal(jwk_set_add(&set, p256, JWS_ES256, slice_of(kid, sizeof(kid))), E_FORMAT);
	assert_int_equal(jwk_set_add(&set, p256, JWS_ES256, slice_of(kid, sizeof(kid) - 1)), OK);
	assert_int_equal(set.n, 2);
	while (set.n < JWK_SET_KEYS_MAX)
		assert_int_equal(jwk_set_add(&set, p256, JWS_ES256, SLICE_NONE), OK);
	assert_int_equal(jwk_set_add(&set, p256, JWS_ES256, SLICE_NONE), E_LIMIT);
	assert_int_equal(ERR_peek_error(), 0);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(small);
	EVP_PKEY_free(p256);
	EVP_PKEY_free(x25519);
	EVP_PKEY_free(odd);
	jwk_set_fini(&set);
}

/* A public key with a modulus of so many bits, which nothing but its size speaks against. */
static EVP_PKEY *
big_key(size_t bytes)
{
	unsigned char n[2048], e[] = { 3 }; /* native order does not matter for these bytes */
	OSSL_PARAM params[] = { OSSL_PARAM_construct_BN("n", n, bytes), OSSL_PARAM_construct_BN("e", e, sizeof(e)), OSSL_PARAM_construct_end() };
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *key = NULL;

	memset(n, 0xff, sizeof(n));
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static void
an_rsa_key_in_hand_of_more_than_8192_bits_is_refused(void **state)
{
	struct jwk_set set = { .n = 0 };
	EVP_PKEY *most = big_key(1024), *over = big_key(1025);
	char thumbprint[44];

	(void)state;
	assert_int_equal(jwk_set_add(&set, most, JWS_RS256, SLICE_NONE), OK);
	assert_int_equal(jwk_thumbprint(most, thumbprint), OK);
	assert_int_equal(jwk_set_add(&set, over, JWS_RS256, SLICE_NONE), E_FORMAT);
	assert_int_equal(jwk_thumbprint(over, thumbprint), E_FORMAT);
	EVP_PKEY_free(most);
	EVP_PKEY_free(over);
	jwk_set_fini(&set);
}

static void
public_keys_print_and_parse_back_without_their_private_part(void **state)
{
	static const struct {
		const char *kind;
		enum jws_alg alg;
	} cases[] = { { "RSA2048", JWS_RS256 }, { "RSA3072", JWS_PS384 }, { "P-256", JWS_ES256 }, { "P-384", JWS_ES384 }, { "P-521", JWS_ES512 }, { "ED25519", JWS_EDDSA } };
	struct buf json;

	(void)state;
	buf_init(&json, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct jwk_set set = { .n = 0 };
		EVP_PKEY *key = token_key(cases[i].kind);

		buf_reset(&json);
		buf_add_str(&json, "{\"keys\":[");
		assert_int_equal(jwk_print_public(key, cases[i].alg, SLICE_LIT("a\"b"), &json), OK);
		buf_add_str(&json, "]}");
		assert_int_equal(jwk_set_parse(buf_slice(&json), &set, NULL), OK);
		assert_int_equal(set.n, 1);
		assert_int_equal(set.keys[0].alg, cases[i].alg);
		assert_string_equal(set.keys[0].kid, "a\"b");
		assert_int_equal(EVP_PKEY_eq(set.keys[0].key, key), 1);
		assert_null(strstr(json.p, "\"d\":"));
		assert_non_null(strstr(json.p, "\"use\":\"sig\""));
		jwk_set_fini(&set);
		EVP_PKEY_free(key);
	}
	buf_fini(&json);
}

/* A coordinate with a zero byte in front keeps it (RFC 7518 section 6.2.1.2); one key in 128 has such a coordinate. */
static void
coordinates_keep_their_leading_zeros(void **state)
{
	struct buf json;
	bool seen = false;

	(void)state;
	buf_init(&json, 0);
	for (int i = 0; i < 20000 && !seen; i++) {
		EVP_PKEY *key = token_key("P-256");
		unsigned char point[65];
		size_t n = 0;

		assert_int_equal(EVP_PKEY_get_octet_string_param(key, "encoded-pub-key", point, sizeof(point), &n), 1);
		if (point[1] == 0) {
			struct jwk_set set = { .n = 0 };
			char x[44];

			seen = true;
			base64url_encode(point + 1, 32, x);
			buf_add_str(&json, "{\"keys\":[");
			assert_int_equal(jwk_print_public(key, JWS_ES256, SLICE_NONE, &json), OK);
			buf_add_str(&json, "]}");
			assert_non_null(strstr(json.p, x));
			assert_null(strstr(json.p, "kid"));
			assert_int_equal(jwk_set_parse(buf_slice(&json), &set, NULL), OK);
			assert_int_equal(EVP_PKEY_eq(set.keys[0].key, key), 1);
			jwk_set_fini(&set);
		}
		EVP_PKEY_free(key);
	}
	assert_true(seen);
	buf_fini(&json);
}

static void
a_key_that_cannot_be_printed_appends_nothing(void **state)
{
	EVP_PKEY *x25519 = token_key("X25519"), *p256 = token_key("P-256");
	struct buf json;
	char thumbprint[44];

	(void)state;
	buf_init(&json, 20);
	buf_add_str(&json, "[");
	assert_int_equal(jwk_print_public(x25519, JWS_EDDSA, SLICE_NONE, &json), E_FORMAT);
	assert_int_equal(jwk_print_public(p256, JWS_RS256, SLICE_NONE, &json), E_FORMAT);
	assert_int_equal(jwk_print_public(p256, JWS_ES384, SLICE_NONE, &json), E_FORMAT);
	assert_string_equal(json.p, "[");
	assert_true(buf_ok(&json));
	assert_int_equal(jwk_print_public(p256, JWS_ES256, SLICE_NONE, &json), E_NOMEM);
	assert_string_equal(json.p, "[");
	assert_int_equal(jwk_thumbprint(x25519, thumbprint), E_FORMAT);
	assert_int_equal(ERR_peek_error(), 0);
	EVP_PKEY_free(x25519);
	EVP_PKEY_free(p256);
	buf_fini(&json);
}

static void
assert_thumbprint(const char *members, const char *expected)
{
	struct jwk_set set = { .n = 0 };
	char json[1024], thumbprint[44];

	snprintf(json, sizeof(json), "{\"keys\":[{%s}]}", members);
	assert_int_equal(parse(json, &set, NULL), OK);
	assert_int_equal(jwk_thumbprint(set.keys[0].key, thumbprint), OK);
	assert_string_equal(thumbprint, expected);
	jwk_set_fini(&set);
}

/* RFC 7638 section 3.1, RFC 8037 appendix A.3; the EC value was computed by hand from the RFC 7515 A.3 key with sha256sum. */
static void
thumbprints_are_those_of_the_rfcs(void **state)
{
	(void)state;
	assert_thumbprint(RSA_KEY ",\"kid\":\"2011-04-29\"", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
	assert_thumbprint(ED_KEY, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
	assert_thumbprint(EC_KEY, "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(algorithm_names_are_exact),
		cmocka_unit_test(each_kind_of_key_gets_its_default_algorithm_and_signature_length),
		cmocka_unit_test(an_algorithm_that_is_named_must_fit_the_key),
		cmocka_unit_test(keys_that_are_not_for_verification_are_left_out),
		cmocka_unit_test(a_type_or_curve_that_is_not_known_is_left_out),
		cmocka_unit_test(rsa_keys_that_are_too_small_too_big_or_no_rsa_keys_are_left_out),
		cmocka_unit_test(points_off_the_curve_and_short_coordinates_are_left_out),
		cmocka_unit_test(a_kid_is_a_string_of_1_to_128_bytes),
		cmocka_unit_test(a_duplicate_kid_refuses_the_whole_set),
		cmocka_unit_test(what_was_left_out_is_counted_and_the_rest_serves),
		cmocka_unit_test(keys_are_found_by_the_bytes_of_their_kid),
		cmocka_unit_test(what_is_no_jwk_set_is_refused_and_leaves_the_old_one_alone),
		cmocka_unit_test(a_set_has_64_keys_and_64_kilobytes_at_most),
		cmocka_unit_test(keys_in_hand_are_added_under_the_same_rules),
		cmocka_unit_test(an_rsa_key_in_hand_of_more_than_8192_bits_is_refused),
		cmocka_unit_test(public_keys_print_and_parse_back_without_their_private_part),
		cmocka_unit_test(coordinates_keep_their_leading_zeros),
		cmocka_unit_test(a_key_that_cannot_be_printed_appends_nothing),
		cmocka_unit_test(thumbprints_are_those_of_the_rfcs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
