#include <openssl/crypto.h>
#include <openssl/err.h>
#include "oidc/base64url.h"
#include "oidc/jwk.h"
#include "oidc/jws.h"
#include "oidc/strict_json.h"

/* RFC 7515 section 7.1: exactly three parts, none of them empty here (an empty signature is alg none, an empty payload no claims). */
static bool
split_parts(struct slice token, struct jws *out)
{
	struct slice rest = token;

	out->token = token;
	out->header_b64 = slice_cut(&rest, '.');
	out->payload_b64 = slice_cut(&rest, '.');
	out->signature_b64 = rest;
	if (out->header_b64.n == 0 || out->payload_b64.n == 0 || out->signature_b64.n == 0)
		return false;
	out->signing_input = slice_of(token.p, token.n - out->signature_b64.n - 1);
	/* A fourth part's dot is no base64url character. */
	return base64url_ok(out->header_b64) && base64url_ok(out->payload_b64) && base64url_ok(out->signature_b64);
}

/* Copy an optional string member into the room left in header_text. False: present, but no string or an empty one. */
static bool
take_string(struct jws *out, size_t *used, const json_t *header, const char *name, struct slice *value)
{
	const json_t *member = json_object_get(header, name);
	struct slice text = strict_json_string(member);

	*value = SLICE_NONE;
	if (!member)
		return true;
	/* Decoded strings of one header are shorter than its text, so the room suffices; checked all the same. */
	if (text.n == 0 || text.n > sizeof(out->header_text) - *used)
		return false;
	memcpy(out->header_text + *used, text.p, text.n);
	*value = slice_of(out->header_text + *used, text.n);
	*used += text.n;
	return true;
}

static enum jws_verdict
read_header(const json_t *header, struct jws *out)
{
	/* crit: RFC 7515 section 4.1.11, we know no extension. b64: RFC 7797. Keys that a token brings along or points to
	 * (4.1.2, 4.1.3, 4.1.5, 4.1.6) would let it vouch for itself: RFC 8725 section 3.10. */
	static const char *const refused[] = { "crit", "b64", "jwk", "jku", "x5u", "x5c" };
	struct slice alg = strict_json_string(json_object_get(header, "alg"));
	size_t used = 0;

	if (!alg.p || !take_string(out, &used, header, "kid", &out->kid) || !take_string(out, &used, header, "typ", &out->typ) ||
		out->kid.n > JWK_KID_BYTES_MAX)
		return JWS_MALFORMED;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		if (json_object_get(header, refused[i]))
			return JWS_UNSUPPORTED;
	}
	out->alg = jws_alg_parse(alg);
	return out->alg == JWS_ALG_NONE ? JWS_UNSUPPORTED : JWS_OK;
}

enum jws_verdict
jws_split(struct slice token, size_t bytes_max, struct jws *out)
{
	char text[JWS_HEADER_BYTES_MAX];
	size_t n = 0;
	json_t *header;

	if (token.n > (bytes_max ? bytes_max : JWS_BYTES_MAX))
		return JWS_TOO_LONG;
	if (!split_parts(token, out))
		return JWS_MALFORMED;
	if (base64url_decode(out->header_b64, text, sizeof(text), &n) != OK)
		return JWS_TOO_LONG;
	enum err err = strict_json_parse(slice_of(text, n), &header);
	if (err)
		return err == E_NOMEM ? JWS_FAILED : JWS_MALFORMED;
	enum jws_verdict verdict = read_header(header, out);
	json_decref(header);
	return verdict;
}

/* 1 <= v < order, both big-endian of the same length. */
static bool
scalar_ok(const uint8_t *v, const struct jwk_curve *curve)
{
	static const uint8_t zero[JWK_COORDINATE_BYTES_MAX];

	return memcmp(v, zero, curve->bytes) != 0 && memcmp(v, curve->order, curve->bytes) < 0;
}

/* DER INTEGER of a positive number (X.690 8.3): no leading zeros, but one where the top bit would make it negative. */
static uint8_t *
put_integer(uint8_t *out, const uint8_t *v, size_t n)
{
	while (n > 1 && *v == 0) {
		v++;
		n--;
	}
	size_t pad = *v >> 7;
	*out++ = 0x02;
	*out++ = (uint8_t)(n + pad);
	if (pad)
		*out++ = 0;
	memcpy(out, v, n);
	return out + n;
}

/* SEQUENCE header of 3 bytes at most, twice an INTEGER with header of 2 and a zero in front. */
#define ECDSA_DER_BYTES_MAX (3 + 2 * (3 + JWK_COORDINATE_BYTES_MAX))

/* JWS signs with r || s (RFC 7518 section 3.4), OpenSSL reads ECDSA-Sig-Value (RFC 3279 section 2.2.3). Returns the length; 0: r or s is not in
 * 1..n-1 (FIPS 186-5 section 6.4.2 step 1), with which some libraries have accepted any message (CVE-2022-21449). */
static size_t
ecdsa_to_der(const uint8_t *raw, const struct jwk_curve *curve, uint8_t der[ECDSA_DER_BYTES_MAX])
{
	uint8_t integers[2 * (3 + JWK_COORDINATE_BYTES_MAX)];
	size_t at = 0;

	if (!scalar_ok(raw, curve) || !scalar_ok(raw + curve->bytes, curve))
		return 0;
	uint8_t *end = put_integer(put_integer(integers, raw, curve->bytes), raw + curve->bytes, curve->bytes);
	size_t n = (size_t)(end - integers);
	der[at++] = 0x30;
	if (n > 127)
		der[at++] = 0x81;
	der[at++] = (uint8_t)n;
	memcpy(der + at, integers, n);
	return at + n;
}

static enum jws_verdict
verify_digest(const struct jwk *jwk, struct slice input, const uint8_t *signature, size_t n)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned digest_n = 0;

	if (EVP_Digest(input.p, input.n, digest, &digest_n, jwk->digest, NULL) != 1)
		return JWS_FAILED;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_dup(jwk->prepared);
	if (!ctx)
		return JWS_FAILED;
	int rc = EVP_PKEY_verify(ctx, signature, n, digest, digest_n);
	EVP_PKEY_CTX_free(ctx);
	return rc == 1 ? JWS_OK : JWS_BAD_SIGNATURE;
}

static enum jws_verdict
verify_eddsa(const struct jwk *jwk, struct slice input, const uint8_t *signature, size_t n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	enum jws_verdict verdict = JWS_FAILED;

	if (ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, jwk->key) == 1) {
		int rc = EVP_DigestVerify(ctx, signature, n, (const uint8_t *)input.p, input.n);
		verdict = rc == 1 ? JWS_OK : JWS_BAD_SIGNATURE;
	}
	EVP_MD_CTX_free(ctx);
	return verdict;
}

static enum jws_verdict
verify_with(const struct jwk *jwk, const struct jws *jws)
{
	const struct jwk_algorithm *algorithm = jwk_algorithm_get(jwk->alg);
	uint8_t signature[JWK_SIGNATURE_BYTES_MAX], der[ECDSA_DER_BYTES_MAX];
	size_t n = 0;

	/* RFC 8725 section 3.1: the key says which algorithm, the token may only agree. */
	if (jws->alg != jwk->alg || jws->signature_b64.n != BASE64URL_ENCODED_BYTES(jwk->signature_bytes))
		return JWS_BAD_SIGNATURE;
	if (base64url_decode(jws->signature_b64, signature, sizeof(signature), &n) != OK)
		return JWS_BAD_SIGNATURE;
	if (algorithm->type == JWK_OKP)
		return verify_eddsa(jwk, jws->signing_input, signature, n);
	if (algorithm->type == JWK_RSA)
		return verify_digest(jwk, jws->signing_input, signature, n);
	n = ecdsa_to_der(signature, algorithm->curve, der);
	return n > 0 ? verify_digest(jwk, jws->signing_input, der, n) : JWS_BAD_SIGNATURE;
}

enum jws_verdict
jws_verify(const struct jws *jws, const struct jwk_set *set)
{
	const struct jwk *jwk = jwk_set_find(set, jws->kid);

	if (!jwk)
		return JWS_UNKNOWN_KEY;
	enum jws_verdict verdict = verify_with(jwk, jws);
	/* What stays in the queue would turn the next SSL_read of an innocent connection into an error. */
	ERR_clear_error();
	return verdict;
}
