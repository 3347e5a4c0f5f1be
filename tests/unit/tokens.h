/* tokens.h - keys and signed tokens for unit tests, made by OpenSSL alone: nothing of oidc/ but base64url is trusted here. */
#ifndef TESTS_UNIT_TOKENS_H
#define TESTS_UNIT_TOKENS_H

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include "oidc/base64url.h"
#include "oidc/jwk_set.h"

/* "RSA2048", "P-256", "ED25519" and so on; freed by the caller. */
static inline EVP_PKEY *
token_key(const char *kind)
{
	EVP_PKEY *key;

	if (strncmp(kind, "RSA", 3) == 0)
		key = EVP_RSA_gen((unsigned)atoi(kind + 3));
	else if (strstr(kind, "25519"))
		key = EVP_PKEY_Q_keygen(NULL, NULL, kind);
	else
		key = EVP_EC_gen(kind);
	assert_non_null(key);
	return key;
}

static inline const EVP_MD *
token_digest(enum jws_alg alg)
{
	switch (alg) {
	case JWS_RS256:
	case JWS_PS256:
	case JWS_ES256:
		return EVP_sha256();
	case JWS_RS384:
	case JWS_PS384:
	case JWS_ES384:
		return EVP_sha384();
	case JWS_RS512:
	case JWS_PS512:
	case JWS_ES512:
		return EVP_sha512();
	case JWS_EDDSA:
	case JWS_ALG_NONE:
		break;
	}
	return NULL;
}

/* r || s of a DER signature, each `bytes` long. */
static inline size_t
token_raw_ecdsa(const unsigned char *der, size_t n, size_t bytes, unsigned char *out)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);

	assert_non_null(sig);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)bytes), bytes);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + bytes, (int)bytes), bytes);
	ECDSA_SIG_free(sig);
	return 2 * bytes;
}

/* Signature as alg makes it; EC as DER where raw is false. salt: of PSS, RSA_PSS_SALTLEN_DIGEST by the rule. Returns its length. */
static inline size_t
token_signature(EVP_PKEY *key, enum jws_alg alg, int salt, bool raw, struct slice input, unsigned char out[1024])
{
	unsigned char der[1024];
	size_t n = sizeof(der);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pkey_ctx;

	assert_int_equal(EVP_DigestSignInit(ctx, &pkey_ctx, token_digest(alg), NULL, key), 1);
	if (alg >= JWS_PS256 && alg <= JWS_PS512) {
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING), 1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, salt), 1);
	}
	assert_int_equal(EVP_DigestSign(ctx, der, &n, (const unsigned char *)input.p, input.n), 1);
	EVP_MD_CTX_free(ctx);
	if (raw && alg >= JWS_ES256 && alg <= JWS_ES512)
		return token_raw_ecdsa(der, n, ((size_t)EVP_PKEY_get_bits(key) + 7) / 8, out);
	memcpy(out, der, n);
	return n;
}

/* header.payload of the two texts. */
static inline void
token_add_input(struct buf *out, struct slice header, struct slice payload)
{
	base64url_add(out, header.p, header.n);
	buf_add_char(out, '.');
	base64url_add(out, payload.p, payload.n);
}

/* A whole compact JWS of any two texts. */
static inline void
token_sign(struct buf *out, EVP_PKEY *key, enum jws_alg alg, struct slice header, struct slice payload)
{
	unsigned char signature[1024];

	buf_reset(out);
	token_add_input(out, header, payload);
	size_t n = token_signature(key, alg, RSA_PSS_SALTLEN_DIGEST, true, buf_slice(out), signature);
	buf_add_char(out, '.');
	base64url_add(out, signature, n);
	assert_true(buf_ok(out));
}

/* The same with a signature given in bytes. */
static inline void
token_join(struct buf *out, struct slice header, struct slice payload, const void *signature, size_t n)
{
	buf_reset(out);
	token_add_input(out, header, payload);
	buf_add_char(out, '.');
	base64url_add(out, signature, n);
	assert_true(buf_ok(out));
}

/* HMAC with any secret, as an attacker makes it who has only the public key. */
static inline void
token_hmac(struct buf *out, const EVP_MD *md, const void *secret, size_t secret_n, struct slice header, struct slice payload)
{
	unsigned char mac[64];
	unsigned n = 0;

	buf_reset(out);
	token_add_input(out, header, payload);
	assert_non_null(HMAC(md, secret, (int)secret_n, (const unsigned char *)out->p, out->n, mac, &n));
	buf_add_char(out, '.');
	base64url_add(out, mac, n);
	assert_true(buf_ok(out));
}

#endif
