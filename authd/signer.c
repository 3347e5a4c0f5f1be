#include <jwt.h>
#include <stdlib.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include "authd/signer.h"
#include "oidc/base64url.h"

#define SIGNATURE_BYTES_MAX 1024 /* RSA of 8192 bits */
#define ES256_PART_BYTES 32

/* Header and claims as JSON, from malloc. The jwt_t is left without an alg of its own: with one, libjwt 1.10 writes typ "JWT" whatever was
 * set, and wants a key, which it would parse anew for each token. */
static enum err
build(const struct key_set *set, const char *typ, const char *claims, char **header, char **payload)
{
	jwt_t *jwt = NULL;
	enum err err = E_NOMEM;

	if (jwt_new(&jwt) != 0)
		return E_NOMEM;
	if (jwt_add_header(jwt, "alg", jws_alg_name(set->active_alg)) == 0 && jwt_add_header(jwt, "kid", set->active_kid) == 0 &&
		jwt_add_header(jwt, "typ", typ) == 0)
		err = jwt_add_grants_json(jwt, claims) == 0 ? OK : E_FORMAT;
	if (err == OK) {
		*header = jwt_get_headers_json(jwt, NULL);
		*payload = jwt_get_grants_json(jwt, NULL);
		err = *header && *payload ? OK : E_NOMEM;
	}
	jwt_free(jwt);
	return err;
}

/* OpenSSL's DER as the fixed-width r||s of RFC 7518 section 3.4. */
static enum err
ecdsa_raw(const unsigned char *der, size_t der_n, unsigned char raw[2 * ES256_PART_BYTES])
{
	const unsigned char *p = der;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)der_n);
	bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, ES256_PART_BYTES) == ES256_PART_BYTES &&
		BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + ES256_PART_BYTES, ES256_PART_BYTES) == ES256_PART_BYTES;

	ECDSA_SIG_free(sig);
	return ok ? OK : E_SYSTEM;
}

static enum err
sign(const struct key_set *set, struct slice input, struct buf *token)
{
	unsigned char signature[SIGNATURE_BYTES_MAX], raw[2 * ES256_PART_BYTES];
	size_t n = sizeof(signature);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	enum err err = ctx ? OK : E_NOMEM;

	if (ctx && (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, set->active_key) != 1 ||
			   EVP_DigestSign(ctx, signature, &n, (const unsigned char *)input.p, input.n) != 1))
		err = E_SYSTEM;
	EVP_MD_CTX_free(ctx);
	if (err == OK && set->active_alg == JWS_ES256) {
		err = ecdsa_raw(signature, n, raw);
		memcpy(signature, raw, sizeof(raw));
		n = sizeof(raw);
	}
	if (err != OK) {
		ERR_clear_error();
		return err;
	}
	buf_add_char(token, '.');
	base64url_add(token, signature, n);
	return buf_ok(token) ? OK : E_NOMEM;
}

enum err
signer_mint(struct keys *k, const char *typ, struct slice claims, struct buf *token)
{
	char *json, *header = NULL, *payload = NULL;
	size_t start = token->n;

	if (claims.n == 0 || memchr(claims.p, '\0', claims.n))
		return E_FORMAT;
	json = strndup(claims.p, claims.n);
	if (!json)
		return E_NOMEM;
	const struct key_set *set = keys_acquire(k);
	enum err err = build(set, typ, json, &header, &payload);
	if (err == OK) {
		base64url_add(token, header, strlen(header));
		buf_add_char(token, '.');
		base64url_add(token, payload, strlen(payload));
		err = buf_ok(token) ? sign(set, slice_of(token->p + start, token->n - start), token) : E_NOMEM;
	}
	free(header);
	free(payload);
	free(json);
	keys_release(k, set);
	return err;
}
