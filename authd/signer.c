#include <jwt.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include "authd/signer.h"
#include "oidc/base64url.h"

#define SIGNATURE_BYTES_MAX 1024 /* RSA of 8192 bits */
#define ES256_PART_BYTES 32
#define SHA256_BYTES 32

/* What a thread keeps between two tokens: the header of each kind that it mints, which is the same for every token of a key, and a context that knows its key
 * already. */
#define KINDS_MAX 4
#define HEADER_BYTES_MAX 256
struct kept {
	char kid[JWK_KID_BYTES_MAX + 1];
	enum jws_alg alg;
	struct {
		char typ[16], text[HEADER_BYTES_MAX]; /* text: in base64url */
		size_t n;
	} headers[KINDS_MAX];
	size_t header_n;
	EVP_PKEY_CTX *ctx; /* signs with EVP_PKEY `key`, to which it has a reference */
	const EVP_PKEY *key;
};
static pthread_key_t kept_key;
static pthread_once_t kept_once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256; /* NULL: OpenSSL has none, and nothing is signed */

static void
kept_free(void *p)
{
	struct kept *all = p;

	for (size_t i = 0; i < KEYS_RINGS; i++)
		EVP_PKEY_CTX_free(all[i].ctx);
	free(all);
}

static void
kept_prepare(void)
{
	if (pthread_key_create(&kept_key, kept_free) != 0)
		abort(); /* before the first token of the first thread */
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* This thread's, of this key. NULL: no memory. */
static struct kept *
kept_of(const struct key_signing *signing)
{
	pthread_once(&kept_once, kept_prepare);
	struct kept *k = pthread_getspecific(kept_key);

	if (!k) {
		k = calloc(KEYS_RINGS, sizeof(*k));
		if (!k || pthread_setspecific(kept_key, k) != 0) {
			free(k);
			return NULL;
		}
	}
	k += signing->alg == JWS_ES256; /* one for each ring */
	if (k->key != signing->key || k->alg != signing->alg || strcmp(k->kid, signing->kid) != 0) {
		EVP_PKEY_CTX_free(k->ctx);
		*k = (struct kept){ .key = signing->key, .alg = signing->alg };
		memcpy(k->kid, signing->kid, sizeof(k->kid));
	}
	return k;
}

/* The jwt_t is left without an alg of its own: with one, libjwt 1.10 writes typ "JWT" whatever was set, and wants a key, which it would parse
 * anew for each token. *out: from malloc. */
static enum err
header_build(const struct key_signing *signing, const char *typ, char **out)
{
	jwt_t *jwt = NULL;

	if (jwt_new(&jwt) != 0)
		return E_NOMEM;
	*out = jwt_add_header(jwt, "alg", jws_alg_name(signing->alg)) == 0 && jwt_add_header(jwt, "kid", signing->kid) == 0 &&
			jwt_add_header(jwt, "typ", typ) == 0
		? jwt_get_headers_json(jwt, NULL) : NULL;
	jwt_free(jwt);
	return *out ? OK : E_NOMEM;
}

static enum err
header_add(struct kept *k, const struct key_signing *signing, const char *typ, struct buf *token)
{
	char *json;
	size_t start = token->n, n;

	for (size_t i = 0; i < k->header_n; i++)
		if (strcmp(k->headers[i].typ, typ) == 0) {
			buf_add(token, k->headers[i].text, k->headers[i].n);
			return OK;
		}
	enum err err = header_build(signing, typ, &json);
	if (err != OK)
		return err;
	base64url_add(token, json, strlen(json));
	free(json);
	n = token->n - start;
	if (buf_ok(token) && k->header_n < KINDS_MAX && n <= HEADER_BYTES_MAX && strlen(typ) < sizeof(k->headers[0].typ)) {
		strcpy(k->headers[k->header_n].typ, typ);
		memcpy(k->headers[k->header_n].text, token->p + start, n);
		k->headers[k->header_n++].n = n;
	}
	return OK;
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

/* Ready to sign any number of digests with the key. */
static EVP_PKEY_CTX *
context_new(const struct key_signing *signing)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(signing->key, NULL);

	if (ctx && EVP_PKEY_sign_init(ctx) == 1 && EVP_PKEY_CTX_set_signature_md(ctx, sha256) == 1 &&
		(signing->alg != JWS_RS256 || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1))
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	return NULL;
}

/* A context that has failed once is not asked again. */
static enum err
digest_sign(struct kept *k, const struct key_signing *signing, struct slice input, unsigned char *signature, size_t *n)
{
	unsigned char digest[SHA256_BYTES];

	if (EVP_Digest(input.p, input.n, digest, NULL, sha256, NULL) == 1 && (k->ctx || (k->ctx = context_new(signing))) &&
		EVP_PKEY_sign(k->ctx, signature, n, digest, sizeof(digest)) == 1)
		return OK;
	EVP_PKEY_CTX_free(k->ctx);
	k->ctx = NULL;
	ERR_clear_error();
	return E_SYSTEM;
}

static enum err
sign(struct kept *k, const struct key_signing *signing, struct slice input, struct buf *token)
{
	unsigned char signature[SIGNATURE_BYTES_MAX], raw[2 * ES256_PART_BYTES];
	size_t n = sizeof(signature);
	enum err err = digest_sign(k, signing, input, signature, &n);

	if (err == OK && signing->alg == JWS_ES256) {
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
signer_mint(struct keys *k, enum jws_alg alg, const char *typ, struct slice claims, struct buf *token)
{
	size_t start = token->n;

	if (claims.n < 2 || claims.p[0] != '{' || claims.p[claims.n - 1] != '}')
		return E_FORMAT;
	const struct key_set *set = keys_acquire(k);
	const struct key_signing *signing = key_set_signing(set, alg);
	struct kept *kept = kept_of(signing);
	enum err err = kept ? header_add(kept, signing, typ, token) : E_NOMEM;
	if (err == OK) {
		buf_add_char(token, '.');
		base64url_add(token, claims.p, claims.n);
		err = buf_ok(token) ? sign(kept, signing, slice_of(token->p + start, token->n - start), token) : E_NOMEM;
	}
	if (err != OK && token->p)
		token->p[token->n = start] = '\0'; /* half a token is none */
	keys_release(k, set);
	return err;
}
