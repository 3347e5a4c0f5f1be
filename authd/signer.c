#include "authd/signer.h"

#include <jwt.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "oidc/base64url.h"

#define SIGNATURE_BYTES_MAX 1024 /* RSA of 8192 bits */
#define ES256_PART_BYTES 32

/* libjwt's text of a token that is not signed: "{header}.{claims}". It wants a key for every alg but none; it is not looked at here,
 * and libjwt would parse a real one anew for each token. */
static enum err
build(const struct key_set *set, const char *typ, const char *claims, char **text)
{
	static const unsigned char unused[] = "-";
	jwt_t *jwt = NULL;
	enum err err = E_NOMEM;

	if (jwt_new(&jwt) != 0)
		return E_NOMEM;
	jwt_alg_t alg = jwt_str_alg(jws_alg_name(set->active_alg));
	if (jwt_set_alg(jwt, alg, unused, sizeof(unused)) == 0 && jwt_add_header(jwt, "kid", set->active_kid) == 0 && jwt_add_header(jwt, "typ", typ) == 0) {
		err = jwt_add_grants_json(jwt, claims) == 0 ? OK : E_FORMAT;
		*text = err == OK ? jwt_dump_str(jwt, 0) : NULL;
		if (err == OK && !*text)
			err = E_NOMEM;
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
	const struct key_set *set = keys_acquire(k);
	char *json = strndup(claims.p ? claims.p : "", claims.n), *text = NULL;
	size_t start = token->n;
	enum err err = json ? build(set, typ, json, &text) : E_NOMEM;

	if (err == OK) {
		/* kid and typ are ours and hold no brace: the first "}." is the header's end. */
		const char *dot = strstr(text, "}.");
		size_t header_n = dot ? (size_t)(dot + 1 - text) : 0;
		err = dot ? OK : E_FORMAT;
		if (dot) {
			base64url_add(token, text, header_n);
			buf_add_char(token, '.');
			base64url_add(token, dot + 2, strlen(dot + 2));
			err = buf_ok(token) ? sign(set, slice_of(token->p + start, token->n - start), token) : E_NOMEM;
		}
	}
	free(text);
	free(json);
	keys_release(k, set);
	return err;
}
