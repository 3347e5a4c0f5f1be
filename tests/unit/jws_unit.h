/* jws_unit.h - keys, sets and checks that the tests of JWS share. */
#ifndef TESTS_UNIT_JWS_H
#define TESTS_UNIT_JWS_H

#include "tests/unit/unit.h"
#include <openssl/err.h>
#include "oidc/jws.h"
#include "tests/unit/tokens.h"

#define PAYLOAD SLICE_LIT("{\"iss\":\"joe\",\"exp\":1300819380}")

static EVP_PKEY *rsa, *p256, *p384, *p521, *ed;
static struct jwk_set set; /* rsa, p256, p384, p521, ed under their names */
static struct jwk_set one; /* rsa alone, for RS256 */
static struct buf token;

static inline int
make_keys(void **state)
{
	(void)state;
	rsa = token_key("RSA2048");
	p256 = token_key("P-256");
	p384 = token_key("P-384");
	p521 = token_key("P-521");
	ed = token_key("ED25519");
	buf_init(&token, 0);
	assert_int_equal(jwk_set_add(&set, rsa, JWS_RS256, SLICE_LIT("rsa")), OK);
	assert_int_equal(jwk_set_add(&set, p256, JWS_ES256, SLICE_LIT("p256")), OK);
	assert_int_equal(jwk_set_add(&set, p384, JWS_ES384, SLICE_LIT("p384")), OK);
	assert_int_equal(jwk_set_add(&set, p521, JWS_ES512, SLICE_LIT("p521")), OK);
	assert_int_equal(jwk_set_add(&set, ed, JWS_EDDSA, SLICE_LIT("ed")), OK);
	assert_int_equal(jwk_set_add(&one, rsa, JWS_RS256, SLICE_NONE), OK);
	return 0;
}

static inline int
free_keys(void **state)
{
	(void)state;
	jwk_set_fini(&set);
	jwk_set_fini(&one);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(p256);
	EVP_PKEY_free(p384);
	EVP_PKEY_free(p521);
	EVP_PKEY_free(ed);
	buf_fini(&token);
	return 0;
}

static inline enum jws_verdict
check_text(struct slice text, const struct jwk_set *keys)
{
	/* In a block of its own exact size, so that a sanitizer sees one byte too far. */
	char *copy = malloc(text.n ? text.n : 1);
	struct jws jws;

	if (text.n)
		memcpy(copy, text.p, text.n);
	enum jws_verdict verdict = jws_split(slice_of(copy, text.n), 0, &jws);
	if (verdict == JWS_OK)
		verdict = jws_verify(&jws, keys);
	free(copy);
	assert_int_equal(ERR_peek_error(), 0);
	return verdict;
}

static inline enum jws_verdict
check(void)
{
	return check_text(buf_slice(&token), &set);
}

/* Sign with the RSA key under this header: only what the header says can be the reason of a refusal. */
static inline enum jws_verdict
check_header(const char *header)
{
	token_sign(&token, rsa, JWS_RS256, slice_str(header), PAYLOAD);
	return check_text(buf_slice(&token), &one);
}

#endif
