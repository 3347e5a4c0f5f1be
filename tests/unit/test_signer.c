#include <jansson.h>
#include <jwt.h>
#include <openssl/pem.h>
#include "tests/unit/store_unit.h"
#include "authd/signer.h"
#include "oidc/base64url.h"
#include "oidc/jws.h"

static struct store *store;
static struct keys *keys;
static struct buf token;

static int
setup_with(enum jws_alg alg)
{
	char why[256];
	struct keys_options o = { alg, 0, 86400, 3600, &store_unit_clock.clock };

	store_unit_begin();
	store = store_unit_open();
	buf_init(&token, 0);
	return keys_open(store, &o, &keys, why, sizeof(why)) == OK ? 0 : -1;
}

static int
setup_rs256(void **state)
{
	(void)state;
	return setup_with(JWS_RS256);
}

static int
setup_es256(void **state)
{
	(void)state;
	return setup_with(JWS_ES256);
}

static int
teardown(void **state)
{
	(void)state;
	buf_fini(&token);
	keys_close(keys);
	store_close(store);
	store_unit_end();
	return 0;
}

/* Header and claims as texts, NUL-terminated. */
static void
decode(struct slice part, char out[32768])
{
	size_t n;
	assert_int_equal(base64url_decode(part, out, 32767, &n), OK);
	out[n] = '\0';
}

#define CLAIMS "{\"iss\":\"https://gw/oidc\",\"sub\":\"Cg\",\"aud\":\"kubectl\",\"exp\":1700003600,\"iat\":1700000000,\"email_verified\":true," \
	"\"groups\":[\"a:b\",\"\\u00e4 \\\"}.{\"],\"name\":\"J\xc3\xb6rg\",\"federated_claims\":{\"connector_id\":\"local\"}}"

/* By our own verifier, and by libjwt itself: what others use to read tokens. */
static void
assert_verifies(const char *alg, const char *typ, const char *claims)
{
	const struct key_set *set = keys_acquire(keys);
	static char header[32768], payload[32768];
	struct jws jws;

	assert_int_equal(jws_split(buf_slice(&token), 64 * 1024, &jws), JWS_OK);
	assert_string_equal(jws_alg_name(jws.alg), alg);
	assert_true(slice_eq_str(jws.kid, set->signing[0].kid));
	assert_true(slice_eq_str(jws.typ, typ));
	assert_int_equal(jws_verify(&jws, &set->verify), JWS_OK);
	decode(jws.header_b64, header);
	decode(jws.payload_b64, payload);
	json_t *h = json_loads(header, JSON_REJECT_DUPLICATES, NULL), *got = json_loads(payload, JSON_REJECT_DUPLICATES, NULL);
	json_t *want = json_loads(claims, JSON_REJECT_DUPLICATES, NULL);
	assert_int_equal(json_object_size(h), 3);
	assert_true(json_equal(got, want));
	json_decref(h);
	json_decref(got);
	json_decref(want);

	BIO *out = BIO_new(BIO_s_mem());
	char *pem;
	jwt_t *jwt = NULL;
	assert_int_equal(PEM_write_bio_PUBKEY(out, set->signing[0].key), 1);
	long n = BIO_get_mem_data(out, &pem);
	if (strcmp(typ, "JWT") == 0) { /* it refuses every other typ */
		assert_int_equal(jwt_decode(&jwt, token.p, (unsigned char *)pem, (int)n), 0);
		assert_string_equal(jwt_get_header(jwt, "alg"), alg);
		assert_string_equal(jwt_get_header(jwt, "kid"), set->signing[0].kid);
		jwt_free(jwt);
	}
	BIO_free(out);
	keys_release(keys, set);
}

static void
an_rs256_token_verifies_everywhere(void **state)
{
	(void)state;
	assert_int_equal(signer_mint(keys, JWS_ALG_NONE, "JWT", SLICE_LIT(CLAIMS), &token), OK);
	assert_verifies("RS256", "JWT", CLAIMS);
}

static void
an_es256_token_verifies_everywhere_each_time(void **state)
{
	(void)state;
	/* r and s are 32 bytes each, also the one in 128 of them that begins with a zero byte. */
	for (int i = 0; i < 300; i++) {
		buf_reset(&token);
		assert_int_equal(signer_mint(keys, JWS_ALG_NONE, "JWT", SLICE_LIT(CLAIMS), &token), OK);
		struct slice rest = buf_slice(&token);
		slice_cut(&rest, '.');
		slice_cut(&rest, '.');
		assert_int_equal(rest.n, 86);
		assert_verifies("ES256", "JWT", CLAIMS);
	}
}

static void
typ_says_what_the_token_is_for(void **state)
{
	(void)state;
	assert_int_equal(signer_mint(keys, JWS_ALG_NONE, "at+jwt", SLICE_LIT("{\"a\":1}"), &token), OK);
	assert_verifies("ES256", "at+jwt", "{\"a\":1}");
}

static void
a_token_is_appended_to_what_is_there(void **state)
{
	(void)state;
	buf_add_str(&token, "{\"id_token\":\"");
	assert_int_equal(signer_mint(keys, JWS_ALG_NONE, "JWT", SLICE_LIT("{}"), &token), OK);
	assert_memory_equal(token.p, "{\"id_token\":\"ey", 15);
	buf_consume(&token, 13);
	assert_verifies("ES256", "JWT", "{}");
}

static void
long_claims_are_minted_whole(void **state)
{
	(void)state;
	static char claims[20000];
	size_t n = (size_t)snprintf(claims, sizeof(claims), "{\"groups\":[\"%015d\"", 0);

	for (int i = 1; i < 1000; i++)
		n += (size_t)snprintf(claims + n, sizeof(claims) - n, ",\"%015d\"", i);
	n += (size_t)snprintf(claims + n, sizeof(claims) - n, "]}");
	assert_int_equal(signer_mint(keys, JWS_ALG_NONE, "JWT", slice_of(claims, n), &token), OK);
	assert_verifies("ES256", "JWT", claims);
}

static void
what_are_no_claims_is_refused(void **state)
{
	(void)state;
	static const struct slice bad[] = {
		SLICE_LIT(""),
		SLICE_LIT("x"),
		SLICE_LIT("[]"),
		SLICE_LIT("\"text\""),
		SLICE_LIT("null"),
		SLICE_LIT("{"),
		SLICE_LIT("}"),
		SLICE_LIT("{}x"),
		SLICE_LIT(" {}"),
		SLICE_LIT("{\"a\":1}\0"),
	};

	buf_add_str(&token, "before");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (signer_mint(keys, JWS_ALG_NONE, "JWT", bad[i], &token) != E_FORMAT)
			fail_msg("row %zu", i);
		assert_string_equal(token.p, "before");
	}
	assert_int_equal(signer_mint(keys, JWS_ALG_NONE, "JWT", SLICE_NONE, &token), E_FORMAT);
}

/* Threads keep what they sign with: one that has signed with one key signs with the next one after a rotation, of whatever algorithm. */
static void
what_a_thread_keeps_is_of_the_key_that_signs_now(void **state)
{
	(void)state;
	struct keys *first = keys, *second;
	struct keys_options o = { JWS_RS256, 0, 86400, 3600, &store_unit_clock.clock };
	char why[256];
	int64_t next_s;

	for (int i = 0; i < 3; i++) {
		keys = first;
		buf_reset(&token);
		assert_int_equal(signer_mint(keys, JWS_ALG_NONE, "JWT", SLICE_LIT(CLAIMS), &token), OK);
		assert_verifies("ES256", "JWT", CLAIMS);
		assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK);
		clock_fixed_advance(&store_unit_clock, KEYS_PUBLISH_S);
		assert_int_equal(keys_tick(keys, &next_s), OK);
		buf_reset(&token);
		assert_int_equal(signer_mint(keys, JWS_ALG_NONE, "at+jwt", SLICE_LIT(CLAIMS), &token), OK);
		assert_verifies("ES256", "at+jwt", CLAIMS);
	}
	keys_close(first);
	assert_int_equal(keys_open(store, &o, &second, why, sizeof(why)), OK);
	keys = second;
	assert_int_equal(keys_rotate(keys, JWS_ALG_NONE), OK);
	clock_fixed_advance(&store_unit_clock, KEYS_PUBLISH_S);
	assert_int_equal(keys_tick(keys, &next_s), OK);
	for (int i = 0; i < 2; i++) {
		buf_reset(&token);
		assert_int_equal(signer_mint(keys, JWS_ALG_NONE, "JWT", SLICE_LIT(CLAIMS), &token), OK);
		assert_verifies("RS256", "JWT", CLAIMS);
	}
}

static void
a_buffer_that_is_too_small_is_no_memory(void **state)
{
	(void)state;
	struct buf small;

	for (size_t max = 1; max < 300; max += 50) {
		buf_init(&small, max);
		enum err e = signer_mint(keys, JWS_ALG_NONE, "JWT", SLICE_LIT(CLAIMS), &small);
		assert_int_equal(e, E_NOMEM);
		buf_fini(&small);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_rs256_token_verifies_everywhere, setup_rs256, teardown),
		cmocka_unit_test_setup_teardown(an_es256_token_verifies_everywhere_each_time, setup_es256, teardown),
		cmocka_unit_test_setup_teardown(typ_says_what_the_token_is_for, setup_es256, teardown),
		cmocka_unit_test_setup_teardown(a_token_is_appended_to_what_is_there, setup_es256, teardown),
		cmocka_unit_test_setup_teardown(long_claims_are_minted_whole, setup_es256, teardown),
		cmocka_unit_test_setup_teardown(what_are_no_claims_is_refused, setup_es256, teardown),
		cmocka_unit_test_setup_teardown(what_a_thread_keeps_is_of_the_key_that_signs_now, setup_es256, teardown),
		cmocka_unit_test_setup_teardown(a_buffer_that_is_too_small_is_no_memory, setup_es256, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
