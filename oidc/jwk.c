#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include "oidc/jwk.h"

/* Orders of the base points: FIPS 186-4 D.1.2.3, D.1.2.4, D.1.2.5. */
static const uint8_t p256_order[32] = {
	0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
};
static const uint8_t p384_order[48] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
	0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
};
static const uint8_t p521_order[66] = {
	0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xfa, 0x51, 0x86, 0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc, 0x01, 0x48, 0xf7, 0x09, 0xa5, 0xd0,
	0x3b, 0xb5, 0xc9, 0xb8, 0x89, 0x9c, 0x47, 0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09,
};

static const struct jwk_curve curves[] = {
	{ "P-256", NID_X9_62_prime256v1, sizeof(p256_order), p256_order, JWS_ES256 },
	{ "P-384", NID_secp384r1, sizeof(p384_order), p384_order, JWS_ES384 },
	{ "P-521", NID_secp521r1, sizeof(p521_order), p521_order, JWS_ES512 },
};
#define CURVE_N (sizeof(curves) / sizeof(curves[0]))

static const struct jwk_algorithm algorithms[] = {
	[JWS_RS256] = { "RS256", JWK_RSA, "SHA256", false, NULL },
	[JWS_RS384] = { "RS384", JWK_RSA, "SHA384", false, NULL },
	[JWS_RS512] = { "RS512", JWK_RSA, "SHA512", false, NULL },
	[JWS_PS256] = { "PS256", JWK_RSA, "SHA256", true, NULL },
	[JWS_PS384] = { "PS384", JWK_RSA, "SHA384", true, NULL },
	[JWS_PS512] = { "PS512", JWK_RSA, "SHA512", true, NULL },
	[JWS_ES256] = { "ES256", JWK_EC, "SHA256", false, &curves[0] },
	[JWS_ES384] = { "ES384", JWK_EC, "SHA384", false, &curves[1] },
	[JWS_ES512] = { "ES512", JWK_EC, "SHA512", false, &curves[2] },
	[JWS_EDDSA] = { "EdDSA", JWK_OKP, NULL, false, NULL },
};
#define ALGORITHM_N (sizeof(algorithms) / sizeof(algorithms[0]))

const struct jwk_algorithm *
jwk_algorithm_get(enum jws_alg alg)
{
	return alg > JWS_ALG_NONE && alg < ALGORITHM_N ? &algorithms[alg] : NULL;
}

const char *
jws_alg_name(enum jws_alg a)
{
	const struct jwk_algorithm *algorithm = jwk_algorithm_get(a);

	return algorithm ? algorithm->name : "none";
}

enum jws_alg
jws_alg_parse(struct slice s)
{
	for (size_t i = JWS_ALG_NONE + 1; i < ALGORITHM_N; i++) {
		if (slice_eq_str(s, algorithms[i].name))
			return (enum jws_alg)i;
	}
	return JWS_ALG_NONE;
}

const struct jwk_curve *
jwk_curve_find(struct slice crv)
{
	for (size_t i = 0; i < CURVE_N; i++) {
		if (slice_eq_str(crv, curves[i].crv))
			return &curves[i];
	}
	return NULL;
}

/* OpenSSL says "prime256v1" whichever way the key was made. */
static const struct jwk_curve *
curve_of(const EVP_PKEY *key)
{
	char group[64];

	if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) != 1) {
		ERR_clear_error();
		return NULL;
	}
	int nid = OBJ_sn2nid(group);
	for (size_t i = 0; i < CURVE_N; i++) {
		if (curves[i].nid == nid)
			return &curves[i];
	}
	return NULL;
}

bool
jwk_type_get(const EVP_PKEY *key, enum jwk_type *type, const struct jwk_curve **curve)
{
	*curve = NULL;
	/* By number: EVP_PKEY_is_a allocates, and says no where that fails. */
	switch (EVP_PKEY_get_id(key)) {
	case EVP_PKEY_RSA:
		*type = JWK_RSA;
		return true;
	case EVP_PKEY_ED25519:
		*type = JWK_OKP;
		return true;
	case EVP_PKEY_EC:
		*type = JWK_EC;
		*curve = curve_of(key);
		return *curve != NULL;
	default:
		return false;
	}
}

bool
jwk_alg_fits(const EVP_PKEY *key, enum jws_alg alg)
{
	const struct jwk_algorithm *algorithm = jwk_algorithm_get(alg);
	const struct jwk_curve *curve;
	enum jwk_type type;

	if (!algorithm || !jwk_type_get(key, &type, &curve) || type != algorithm->type || curve != algorithm->curve)
		return false;
	int bits = EVP_PKEY_get_bits(key);
	return type != JWK_RSA || (bits >= JWK_RSA_BITS_MIN && bits <= JWK_RSA_BITS_MAX);
}
