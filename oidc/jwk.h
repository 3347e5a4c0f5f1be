/* jwk.h - what a key can do, for the files of oidc/ that handle keys (RFC 7518 sections 3.1 and 6, RFC 8037).
 * Owns: nothing; the tables are static. */
#ifndef OIDC_JWK_H
#define OIDC_JWK_H

#include "oidc/jwk_set.h"

#define JWK_RSA_BITS_MIN 2048 /* RFC 7518 section 3.3 */
#define JWK_RSA_BITS_MAX 8192 /* a verification costs some 200 µs here, and grows with the square */
#define JWK_SIGNATURE_BYTES_MAX (JWK_RSA_BITS_MAX / 8)
#define JWK_COORDINATE_BYTES_MAX 66 /* P-521 */
#define JWK_ED25519_BYTES 32

enum jwk_type { JWK_RSA, JWK_EC, JWK_OKP };

struct jwk_curve {
	const char *crv; /* RFC 7518 section 6.2.1.1; OpenSSL's name of the group too */
	int nid;
	size_t bytes;         /* of a coordinate, and of r and s */
	const uint8_t *order; /* n, big-endian, `bytes` long */
	enum jws_alg alg;     /* the one algorithm of the curve */
};

struct jwk_algorithm {
	const char *name;
	enum jwk_type type;
	const char *digest;            /* OpenSSL's name; NULL for EdDSA */
	bool pss;                      /* RSASSA-PSS, salt as long as the digest (RFC 7518 section 3.5) */
	const struct jwk_curve *curve; /* EC only */
};

/* NULL for JWS_ALG_NONE. */
const struct jwk_algorithm *jwk_algorithm_get(enum jws_alg alg);
/* By "crv"; NULL: not supported. */
const struct jwk_curve *jwk_curve_find(struct slice crv);

/* The type of a key; for an EC key also its curve. False: a type or curve that JWS has no use for. */
bool jwk_type_get(const EVP_PKEY *key, enum jwk_type *type, const struct jwk_curve **curve);
/* RFC 8725 section 3.1: whether alg may be used with key, its size included. */
bool jwk_alg_fits(const EVP_PKEY *key, enum jws_alg alg);

#endif
