#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include "oidc/base64url.h"
#include "oidc/jwk.h"

/* "name":"base64url of bytes" */
static void
add_bytes(struct buf *out, const char *name, const uint8_t *p, size_t n)
{
	buf_printf(out, "\"%s\":\"", name);
	base64url_add(out, p, n);
	buf_add_char(out, '"');
}

/* A number of the key, `bytes` long with zeros in front (0: as short as it is, RFC 7518 section 2, Base64urlUInt). */
static enum err
add_number(struct buf *out, const char *name, const EVP_PKEY *key, const char *param, size_t bytes)
{
	uint8_t number[JWK_RSA_BITS_MAX / 8];
	BIGNUM *bn = NULL;
	enum err err = E_FORMAT;

	if (EVP_PKEY_get_bn_param(key, param, &bn) != 1) {
		ERR_clear_error();
		return E_NOMEM;
	}
	size_t n = bytes ? bytes : (size_t)BN_num_bytes(bn);
	if (n <= sizeof(number) && BN_bn2binpad(bn, number, (int)n) == (int)n) {
		add_bytes(out, name, number, n);
		err = OK;
	}
	BN_free(bn);
	ERR_clear_error();
	return err;
}

static enum err
add_rsa(struct buf *out, const EVP_PKEY *key)
{
	enum err err = add_number(out, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);

	if (err)
		return err;
	buf_add_str(out, ",\"kty\":\"RSA\",");
	return add_number(out, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
}

static enum err
add_ec(struct buf *out, const EVP_PKEY *key, const struct jwk_curve *curve)
{
	buf_printf(out, "\"crv\":\"%s\",\"kty\":\"EC\",", curve->crv);
	enum err err = add_number(out, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, curve->bytes);
	if (err)
		return err;
	buf_add_char(out, ',');
	return add_number(out, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, curve->bytes);
}

static enum err
add_okp(struct buf *out, const EVP_PKEY *key)
{
	uint8_t x[JWK_ED25519_BYTES];
	size_t n = sizeof(x);

	if (EVP_PKEY_get_raw_public_key(key, x, &n) != 1) {
		ERR_clear_error();
		return E_NOMEM;
	}
	buf_add_str(out, "\"crv\":\"Ed25519\",\"kty\":\"OKP\",");
	add_bytes(out, "x", x, n);
	return OK;
}

/* The required members in lexicographic order, as RFC 7638 section 3.2 hashes them, without braces. */
static enum err
add_required_members(struct buf *out, const EVP_PKEY *key)
{
	const struct jwk_curve *curve;
	enum jwk_type type;

	if (!jwk_type_get(key, &type, &curve))
		return E_FORMAT;
	return type == JWK_RSA ? add_rsa(out, key) : type == JWK_EC ? add_ec(out, key, curve) : add_okp(out, key);
}

enum err
jwk_print_public(EVP_PKEY *key, enum jws_alg alg, struct slice kid, struct buf *out)
{
	size_t start = out->n;

	if (!jwk_alg_fits(key, alg))
		return E_FORMAT;
	buf_add_char(out, '{');
	enum err err = add_required_members(out, key);
	buf_printf(out, ",\"use\":\"sig\",\"alg\":\"%s\"", jws_alg_name(alg));
	if (kid.n > 0) {
		buf_add_str(out, ",\"kid\":");
		buf_add_json(out, kid);
	}
	buf_add_char(out, '}');
	if (!err && !buf_ok(out))
		err = E_NOMEM;
	if (err && out->p) {
		out->n = start;
		out->p[start] = '\0';
	}
	return err;
}

enum err
jwk_thumbprint(EVP_PKEY *key, char out[44])
{
	struct buf text;
	uint8_t digest[32];

	buf_init(&text, 0);
	buf_add_char(&text, '{');
	enum err err = add_required_members(&text, key);
	buf_add_char(&text, '}');
	if (!err && (!buf_ok(&text) || EVP_Q_digest(NULL, "SHA256", NULL, text.p, text.n, digest, NULL) != 1))
		err = E_NOMEM;
	if (!err)
		base64url_encode(digest, sizeof(digest), out);
	ERR_clear_error();
	buf_fini(&text);
	return err;
}
