/* jwk_set.h - JWK Sets with their keys held ready for verification (RFC 7517, RFC 7518 section 6). */
#ifndef OIDC_JWK_SET_H
#define OIDC_JWK_SET_H

#include <openssl/evp.h>
#include "shared/buf.h"

#define JWK_SET_KEYS_MAX 128
#define JWK_KID_BYTES_MAX 128
#define JWK_SET_BYTES_MAX (64u * 1024)

/* Exactly one algorithm per key (RFC 8725 section 3.1). */
enum jws_alg { JWS_ALG_NONE, JWS_RS256, JWS_RS384, JWS_RS512, JWS_PS256, JWS_PS384, JWS_PS512, JWS_ES256, JWS_ES384, JWS_ES512, JWS_EDDSA };
const char *jws_alg_name(enum jws_alg a);
/* Byte-exact; JWS_ALG_NONE for anything unknown, "none" included. */
enum jws_alg jws_alg_parse(struct slice s);

struct jwk {
	char kid[JWK_KID_BYTES_MAX + 1];
	size_t kid_n; /* 0: the key has no kid */
	enum jws_alg alg;
	EVP_PKEY *key;
	EVP_PKEY_CTX *prepared; /* verification set up once; duplicated for each use, so threads may share the set. NULL for EdDSA */
	EVP_MD *digest;         /* of the signing input. NULL for EdDSA, which hashes by itself */
	size_t signature_bytes; /* exact length of a signature by this key */
};

struct jwk_set {
	struct jwk keys[JWK_SET_KEYS_MAX];
	size_t n;
};

/* Parse a JWK Set. Members that cannot verify (use "enc", kty "oct", private parts, unknown kty or curve, RSA under 2048 bits or over 8192,
 * alg that does not fit the key) are left out and counted in *skipped (may be NULL); a duplicate kid refuses the whole set. A key without alg gets
 * its type's default (RSA: RS256; P-256: ES256; P-384: ES384; P-521: ES512; Ed25519: EdDSA).
 * Returns OK with at least one key; E_EMPTY: no usable key; E_FORMAT; E_LIMIT; E_NOMEM. out untouched unless OK; freed by jwk_set_fini. */
MUST_CHECK enum err jwk_set_parse(struct slice json, struct jwk_set *out, size_t *skipped);
void jwk_set_fini(struct jwk_set *set);
/* Add a key in hand (its public half is used; the set takes its own reference) to a zeroed or parsed set. E_FORMAT: alg does not fit the
 * key, kid too long; E_CONFLICT: the kid is taken; E_LIMIT: the set is full; E_NOMEM. */
MUST_CHECK enum err jwk_set_add(struct jwk_set *set, EVP_PKEY *key, enum jws_alg alg, struct slice kid);

/* Key by kid, byte-compared; an empty kid finds a key only when the set has exactly one. NULL: none. */
const struct jwk *jwk_set_find(const struct jwk_set *set, struct slice kid);

/* Append the public half as one JWK object: kty, use, alg, kid and the key's own members.
 * E_FORMAT: alg does not fit the key; E_NOMEM. Nothing is appended then. */
MUST_CHECK enum err jwk_print_public(EVP_PKEY *key, enum jws_alg alg, struct slice kid, struct buf *out);
/* RFC 7638 SHA-256 thumbprint, base64url, 43 characters + NUL. E_FORMAT: key type not supported; E_NOMEM. */
MUST_CHECK enum err jwk_thumbprint(EVP_PKEY *key, char out[44]);

#endif
