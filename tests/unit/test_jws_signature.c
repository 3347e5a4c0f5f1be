#include "tests/unit/jws_unit.h"
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include "oidc/jwk.h"

static void
assert_rfc_vector(const char *key, const char *text)
{
	struct jwk_set keys = { .n = 0 };
	char json[2048];

	snprintf(json, sizeof(json), "{\"keys\":[{%s}]}", key);
	assert_int_equal(jwk_set_parse(slice_str(json), &keys, NULL), OK);
	assert_int_equal(check_text(slice_str(text), &keys), JWS_OK);
	jwk_set_fini(&keys);
}

/* RFC 7515 appendices A.2 and A.3, RFC 8037 appendix A.4. */
static void
vectors_of_the_rfcs_verify(void **state)
{
	(void)state;
	assert_rfc_vector("\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4"
			  "QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2"
			  "CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"",
		"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv"
		"3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5"
		"h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXL"
		"IhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw");
	assert_rfc_vector("\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"",
		"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWA"
		"fUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
	assert_rfc_vector("\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"",
		"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
}

static void
every_supported_algorithm_verifies_and_notices_one_changed_bit(void **state)
{
	(void)state;
	for (int alg = JWS_RS256; alg <= JWS_EDDSA; alg++) {
		EVP_PKEY *key = alg <= JWS_PS512 ? rsa : alg == JWS_ES256 ? p256 : alg == JWS_ES384 ? p384 : alg == JWS_ES512 ? p521 : ed;
		struct jwk_set keys = { .n = 0 };
		char header[64];

		assert_int_equal(jwk_set_add(&keys, key, (enum jws_alg)alg, SLICE_LIT("k")), OK);
		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k\"}", jws_alg_name((enum jws_alg)alg));
		for (int round = 0; round < 20; round++) { /* so that short r and s occur */
			token_sign(&token, key, (enum jws_alg)alg, slice_str(header), PAYLOAD);
			assert_int_equal(check_text(buf_slice(&token), &keys), JWS_OK);
		}
		struct jws jws;
		assert_int_equal(jws_split(buf_slice(&token), 0, &jws), JWS_OK);
		size_t at = jws.header_b64.n + 5;
		token.p[at] = token.p[at] == 'A' ? 'B' : 'A';
		assert_int_equal(check_text(buf_slice(&token), &keys), JWS_BAD_SIGNATURE);
		token_sign(&token, key, (enum jws_alg)alg, slice_str(header), PAYLOAD);
		at = token.n - 20;
		token.p[at] = token.p[at] == 'A' ? 'B' : 'A';
		assert_int_equal(check_text(buf_slice(&token), &keys), JWS_BAD_SIGNATURE);
		jwk_set_fini(&keys);
	}
}

/* RFC 8725 section 2.1: the public key taken for a shared secret. */
static void
hmac_keyed_with_the_public_key_in_any_form_is_rejected(void **state)
{
	static const struct {
		const char *name;
		const EVP_MD *(*md)(void);
	} macs[] = { { "HS256", EVP_sha256 }, { "HS384", EVP_sha384 }, { "HS512", EVP_sha512 }, { "RS256", EVP_sha256 } };
	struct {
		unsigned char *p;
		size_t n;
	} secrets[6];
	BIO *pem = BIO_new(BIO_s_mem()), *pkcs1 = BIO_new(BIO_s_mem());
	struct buf jwk;
	BIGNUM *n = NULL;
	char *text;

	(void)state;
	assert_int_equal(PEM_write_bio_PUBKEY(pem, rsa), 1);
	secrets[0].n = (size_t)BIO_get_mem_data(pem, &text);
	secrets[0].p = (unsigned char *)text;
	secrets[1] = secrets[0];
	secrets[1].n--; /* without the last line break */
	unsigned char *der = NULL;
	secrets[2].n = (size_t)i2d_PUBKEY(rsa, &der);
	secrets[2].p = der;
	assert_int_equal(PEM_ASN1_write_bio((i2d_of_void *)(void (*)(void))i2d_PublicKey, "RSA PUBLIC KEY", pkcs1, rsa, NULL, NULL, 0, NULL, NULL), 1);
	secrets[3].n = (size_t)BIO_get_mem_data(pkcs1, &text);
	secrets[3].p = (unsigned char *)text;
	buf_init(&jwk, 0);
	assert_int_equal(jwk_print_public(rsa, JWS_RS256, SLICE_NONE, &jwk), OK);
	secrets[4].n = jwk.n;
	secrets[4].p = (unsigned char *)jwk.p;
	assert_int_equal(EVP_PKEY_get_bn_param(rsa, "n", &n), 1);
	unsigned char modulus[256];
	assert_int_equal(BN_bn2bin(n, modulus), 256);
	secrets[5].n = sizeof(modulus);
	secrets[5].p = modulus;
	for (size_t s = 0; s < sizeof(secrets) / sizeof(secrets[0]); s++) {
		for (size_t m = 0; m < sizeof(macs) / sizeof(macs[0]); m++) {
			char header[64];
			snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", macs[m].name);
			token_hmac(&token, macs[m].md(), secrets[s].p, secrets[s].n, slice_str(header), PAYLOAD);
			assert_int_equal(check_text(buf_slice(&token), &one), m < 3 ? JWS_UNSUPPORTED : JWS_BAD_SIGNATURE);
			snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"rsa\"}", macs[m].name);
			token_hmac(&token, macs[m].md(), secrets[s].p, secrets[s].n, slice_str(header), PAYLOAD);
			assert_int_not_equal(check(), JWS_OK);
		}
	}
	BN_free(n);
	buf_fini(&jwk);
	OPENSSL_free(der);
	BIO_free(pem);
	BIO_free(pkcs1);
}

/* One algorithm per key, though the key could verify the other one too. */
static void
another_algorithm_of_the_same_key_is_rejected(void **state)
{
	(void)state;
	for (int alg = JWS_RS384; alg <= JWS_PS512; alg++) {
		char header[64];
		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"rsa\"}", jws_alg_name((enum jws_alg)alg));
		token_sign(&token, rsa, (enum jws_alg)alg, slice_str(header), PAYLOAD);
		assert_int_equal(check(), JWS_BAD_SIGNATURE);
		assert_int_equal(check_text(buf_slice(&token), &one), JWS_UNKNOWN_KEY);
		/* And a PS256 signature under the name RS256. */
		token_sign(&token, rsa, (enum jws_alg)alg, SLICE_LIT("{\"alg\":\"RS256\"}"), PAYLOAD);
		assert_int_equal(check_text(buf_slice(&token), &one), JWS_BAD_SIGNATURE);
	}
}

/* The signature is a good one by the key's own algorithm; only the header lies. */
static void
a_header_that_names_another_algorithm_than_the_key_s_is_rejected(void **state)
{
	char header[64];

	(void)state;
	for (int alg = JWS_RS256; alg <= JWS_EDDSA; alg++) {
		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"rsa\"}", jws_alg_name((enum jws_alg)alg));
		token_sign(&token, rsa, JWS_RS256, slice_str(header), PAYLOAD);
		assert_int_equal(check(), alg == JWS_RS256 ? JWS_OK : JWS_BAD_SIGNATURE);
		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"p256\"}", jws_alg_name((enum jws_alg)alg));
		token_sign(&token, p256, JWS_ES256, slice_str(header), PAYLOAD);
		assert_int_equal(check(), alg == JWS_ES256 ? JWS_OK : JWS_BAD_SIGNATURE);
	}
}

static void
es256_with_a_key_on_another_curve_is_rejected(void **state)
{
	(void)state;
	token_sign(&token, p384, JWS_ES256, SLICE_LIT("{\"alg\":\"ES256\",\"kid\":\"p384\"}"), PAYLOAD);
	assert_int_equal(check(), JWS_BAD_SIGNATURE);
	token_sign(&token, p384, JWS_ES256, SLICE_LIT("{\"alg\":\"ES384\",\"kid\":\"p384\"}"), PAYLOAD);
	assert_int_equal(check(), JWS_BAD_SIGNATURE);
	token_sign(&token, p384, JWS_ES384, SLICE_LIT("{\"alg\":\"ES384\",\"kid\":\"p256\"}"), PAYLOAD);
	assert_int_equal(check(), JWS_BAD_SIGNATURE);
	token_sign(&token, p256, JWS_ES256, SLICE_LIT("{\"alg\":\"ES256\",\"kid\":\"rsa\"}"), PAYLOAD);
	assert_int_equal(check(), JWS_BAD_SIGNATURE);
	token_sign(&token, ed, JWS_EDDSA, SLICE_LIT("{\"alg\":\"EdDSA\",\"kid\":\"p256\"}"), PAYLOAD);
	assert_int_equal(check(), JWS_BAD_SIGNATURE);
}

static void
check_ecdsa(const unsigned char *raw, size_t n, const char *header, enum jws_verdict expected)
{
	token_join(&token, slice_str(header), PAYLOAD, raw, n);
	assert_int_equal(check(), expected);
}

/* FIPS 186-5 section 6.4.2 step 1; CVE-2022-21449. */
static void
ecdsa_r_or_s_of_zero_n_or_more_is_rejected(void **state)
{
	static const struct {
		const char *crv, *header;
	} curves[] = { { "P-256", "{\"alg\":\"ES256\",\"kid\":\"p256\"}" }, { "P-384", "{\"alg\":\"ES384\",\"kid\":\"p384\"}" }, { "P-521", "{\"alg\":\"ES512\",\"kid\":\"p521\"}" } };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		EVP_PKEY *const keys[] = { p256, p384, p521 };
		const struct jwk_curve *curve = jwk_curve_find(slice_str(curves[i].crv));
		unsigned char values[5][JWK_COORDINATE_BYTES_MAX] = { { 0 } }, good[1024], raw[2 * JWK_COORDINATE_BYTES_MAX];
		size_t n = curve->bytes;

		memcpy(values[1], curve->order, n);
		memcpy(values[2], curve->order, n);
		values[2][n - 1]++;
		memset(values[3], 0xff, n);
		/* The table's orders are OpenSSL's. */
		BIGNUM *order = NULL;
		unsigned char bytes[JWK_COORDINATE_BYTES_MAX];
		assert_int_equal(EVP_PKEY_get_bn_param(keys[i], "order", &order), 1);
		assert_int_equal(BN_bn2binpad(order, bytes, (int)n), n);
		assert_memory_equal(bytes, curve->order, n);
		BN_free(order);
		buf_reset(&token);
		token_add_input(&token, slice_str(curves[i].header), PAYLOAD);
		assert_int_equal(token_signature(keys[i], curve->alg, 0, true, buf_slice(&token), good), 2 * n);
		check_ecdsa(good, 2 * n, curves[i].header, JWS_OK);
		for (size_t v = 0; v < 4; v++) {
			memcpy(raw, good, 2 * n);
			memcpy(raw, values[v], n);
			check_ecdsa(raw, 2 * n, curves[i].header, JWS_BAD_SIGNATURE);
			memcpy(raw + n, values[v], n);
			check_ecdsa(raw, 2 * n, curves[i].header, JWS_BAD_SIGNATURE);
			memcpy(raw, good, n);
			check_ecdsa(raw, 2 * n, curves[i].header, JWS_BAD_SIGNATURE);
		}
		/* n - 1 is in range: refused by the mathematics, not by the check. And 1. */
		memcpy(raw, good, 2 * n);
		memcpy(raw, curve->order, n);
		raw[n - 1]--;
		check_ecdsa(raw, 2 * n, curves[i].header, JWS_BAD_SIGNATURE);
		memset(raw, 0, 2 * n);
		raw[n - 1] = 1;
		raw[2 * n - 1] = 1;
		check_ecdsa(raw, 2 * n, curves[i].header, JWS_BAD_SIGNATURE);
	}
}

static void
ecdsa_in_der_and_signatures_of_other_lengths_are_rejected(void **state)
{
	const char *header = "{\"alg\":\"ES256\",\"kid\":\"p256\"}";
	unsigned char der[1024], raw[1024], padded[128] = { 0 };

	(void)state;
	buf_reset(&token);
	token_add_input(&token, slice_str(header), PAYLOAD);
	size_t der_n = token_signature(p256, JWS_ES256, 0, false, buf_slice(&token), der);
	assert_int_equal(token_raw_ecdsa(der, der_n, 32, raw), 64);
	check_ecdsa(der, der_n, header, JWS_BAD_SIGNATURE);
	check_ecdsa(raw, 64, header, JWS_OK);
	check_ecdsa(raw, 63, header, JWS_BAD_SIGNATURE);
	check_ecdsa(raw, 1, header, JWS_BAD_SIGNATURE);
	memcpy(padded, raw, 64);
	check_ecdsa(padded, 65, header, JWS_BAD_SIGNATURE);
	check_ecdsa(padded, 66, header, JWS_BAD_SIGNATURE);
	check_ecdsa(padded, 128, header, JWS_BAD_SIGNATURE);
	/* r and s in 33 bytes each, with a zero in front: the same numbers. */
	memcpy(padded + 1, raw, 32);
	padded[33] = 0;
	memcpy(padded + 34, raw + 32, 32);
	padded[0] = 0;
	check_ecdsa(padded, 66, header, JWS_BAD_SIGNATURE);
}

static void
a_signature_of_21830_characters_is_refused_by_its_length(void **state)
{
	char *text = malloc(32 * 1024);
	struct jws jws;

	(void)state;
	buf_reset(&token);
	token_add_input(&token, SLICE_LIT("{\"alg\":\"ES256\",\"kid\":\"p256\"}"), PAYLOAD);
	memcpy(text, token.p, token.n);
	text[token.n] = '.';
	memset(text + token.n + 1, 'A', 21830);
	struct slice s = slice_of(text, token.n + 1 + 21830);
	assert_int_equal(check_text(s, &set), JWS_TOO_LONG);
	/* Where longer tokens are allowed, the key's signature length still decides before anything is decoded. */
	assert_int_equal(jws_split(s, 64 * 1024, &jws), JWS_OK);
	assert_int_equal(jws_verify(&jws, &set), JWS_BAD_SIGNATURE);
	free(text);
}

static void
rsa_signatures_shorter_or_longer_than_the_modulus_are_rejected(void **state)
{
	const char *header = "{\"alg\":\"RS256\"}";
	unsigned char signature[1024], longer[600] = { 0 };

	(void)state;
	buf_reset(&token);
	token_add_input(&token, slice_str(header), PAYLOAD);
	size_t n = token_signature(rsa, JWS_RS256, 0, true, buf_slice(&token), signature);
	assert_int_equal(n, 256);
	token_join(&token, slice_str(header), PAYLOAD, signature, n);
	assert_int_equal(check_text(buf_slice(&token), &one), JWS_OK);
	const size_t lengths[] = { 1, 128, 255, 257, 258, 512 };
	memcpy(longer, signature, n);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		token_join(&token, slice_str(header), PAYLOAD, longer, lengths[i]);
		assert_int_equal(check_text(buf_slice(&token), &one), JWS_BAD_SIGNATURE);
	}
	memcpy(longer + 1, signature, n);
	longer[0] = 0;
	token_join(&token, slice_str(header), PAYLOAD, longer, n + 1);
	assert_int_equal(check_text(buf_slice(&token), &one), JWS_BAD_SIGNATURE);
	/* As long as the modulus, but no smaller than it; and all zero. */
	memset(longer, 0xff, n);
	token_join(&token, slice_str(header), PAYLOAD, longer, n);
	assert_int_equal(check_text(buf_slice(&token), &one), JWS_BAD_SIGNATURE);
	memset(longer, 0, n);
	token_join(&token, slice_str(header), PAYLOAD, longer, n);
	assert_int_equal(check_text(buf_slice(&token), &one), JWS_BAD_SIGNATURE);
}

/* RFC 7518 section 3.5: the salt is as long as the digest. */
static void
pss_with_another_salt_length_is_rejected(void **state)
{
	const int salts[] = { 0, 20, 31, 33, RSA_PSS_SALTLEN_MAX };
	const struct slice header = SLICE_LIT("{\"alg\":\"PS256\"}");
	struct jwk_set keys = { .n = 0 };
	unsigned char signature[1024];

	(void)state;
	assert_int_equal(jwk_set_add(&keys, rsa, JWS_PS256, SLICE_NONE), OK);
	token_sign(&token, rsa, JWS_PS256, header, PAYLOAD);
	assert_int_equal(check_text(buf_slice(&token), &keys), JWS_OK);
	for (size_t i = 0; i < sizeof(salts) / sizeof(salts[0]); i++) {
		buf_reset(&token);
		token_add_input(&token, header, PAYLOAD);
		size_t n = token_signature(rsa, JWS_PS256, salts[i], true, buf_slice(&token), signature);
		token_join(&token, header, PAYLOAD, signature, n);
		assert_int_equal(check_text(buf_slice(&token), &keys), JWS_BAD_SIGNATURE);
	}
	jwk_set_fini(&keys);
}

/* RFC 8032 section 5.1.7: S + L would be a second signature of the same message. */
static void
ed25519_with_s_past_the_order_is_rejected(void **state)
{
	static const unsigned char order[32] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10 };
	const struct slice header = SLICE_LIT("{\"alg\":\"EdDSA\",\"kid\":\"ed\"}");
	unsigned char signature[1024];
	unsigned carry = 0;

	(void)state;
	buf_reset(&token);
	token_add_input(&token, header, PAYLOAD);
	size_t n = token_signature(ed, JWS_EDDSA, 0, true, buf_slice(&token), signature);
	token_join(&token, header, PAYLOAD, signature, n);
	assert_int_equal(check(), JWS_OK);
	for (size_t i = 0; i < 32; i++) {
		carry += (unsigned)signature[32 + i] + order[i];
		signature[32 + i] = (unsigned char)carry;
		carry >>= 8;
	}
	token_join(&token, header, PAYLOAD, signature, n);
	assert_int_equal(check(), JWS_BAD_SIGNATURE);
}

/* A header that jws_split would refuse still cannot make jws_verify read past its own arrays. */
static void
a_signature_part_that_was_never_split_is_rejected(void **state)
{
	struct jws jws;
	char text[86];

	(void)state;
	token_sign(&token, p256, JWS_ES256, SLICE_LIT("{\"alg\":\"ES256\",\"kid\":\"p256\"}"), PAYLOAD);
	assert_int_equal(jws_split(buf_slice(&token), 0, &jws), JWS_OK);
	memset(text, '!', sizeof(text));
	jws.signature_b64 = slice_of(text, sizeof(text));
	assert_int_equal(jws_verify(&jws, &set), JWS_BAD_SIGNATURE);
}

#define THREADS 4
#define ROUNDS 50

static void *
verify_often(void *arg)
{
	const struct slice *tokens = arg; /* good, forged, good, forged … */
	uintptr_t right = 0;

	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < 8; i++) {
			struct jws jws;
			if (jws_split(tokens[i], 0, &jws) == JWS_OK && (jws_verify(&jws, &set) == JWS_OK) == (i % 2 == 0))
				right++;
		}
	}
	return (void *)right;
}

/* The set is only read: each verification works on a copy of the prepared context. */
static void
one_set_serves_many_threads(void **state)
{
	static const struct {
		const char *header;
		enum jws_alg alg;
	} signers[] = { { "{\"alg\":\"RS256\",\"kid\":\"rsa\"}", JWS_RS256 }, { "{\"alg\":\"ES256\",\"kid\":\"p256\"}", JWS_ES256 },
		{ "{\"alg\":\"ES512\",\"kid\":\"p521\"}", JWS_ES512 }, { "{\"alg\":\"EdDSA\",\"kid\":\"ed\"}", JWS_EDDSA } };
	EVP_PKEY *const ours[] = { rsa, p256, p521, ed };
	struct slice tokens[8];
	pthread_t threads[THREADS];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		token_sign(&token, ours[i], signers[i].alg, slice_str(signers[i].header), PAYLOAD);
		tokens[2 * i] = slice_str(strdup(token.p));
		token.p[token.n - 20] = token.p[token.n - 20] == 'A' ? 'B' : 'A';
		tokens[2 * i + 1] = slice_str(strdup(token.p));
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, verify_often, tokens), 0);
	for (int i = 0; i < THREADS; i++) {
		void *right;
		assert_int_equal(pthread_join(threads[i], &right), 0);
		assert_int_equal((uintptr_t)right, 8 * ROUNDS);
	}
	for (size_t i = 0; i < 8; i++)
		free((char *)(uintptr_t)tokens[i].p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_the_rfcs_verify),
		cmocka_unit_test(every_supported_algorithm_verifies_and_notices_one_changed_bit),
		cmocka_unit_test(hmac_keyed_with_the_public_key_in_any_form_is_rejected),
		cmocka_unit_test(another_algorithm_of_the_same_key_is_rejected),
		cmocka_unit_test(a_header_that_names_another_algorithm_than_the_key_s_is_rejected),
		cmocka_unit_test(es256_with_a_key_on_another_curve_is_rejected),
		cmocka_unit_test(ecdsa_r_or_s_of_zero_n_or_more_is_rejected),
		cmocka_unit_test(ecdsa_in_der_and_signatures_of_other_lengths_are_rejected),
		cmocka_unit_test(a_signature_of_21830_characters_is_refused_by_its_length),
		cmocka_unit_test(rsa_signatures_shorter_or_longer_than_the_modulus_are_rejected),
		cmocka_unit_test(pss_with_another_salt_length_is_rejected),
		cmocka_unit_test(ed25519_with_s_past_the_order_is_rejected),
		cmocka_unit_test(a_signature_part_that_was_never_split_is_rejected),
		cmocka_unit_test(one_set_serves_many_threads),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
