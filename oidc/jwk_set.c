#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecerr.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include "oidc/base64url.h"
#include "oidc/jwk.h"
#include "oidc/strict_json.h"

static void
jwk_fini(struct jwk *jwk)
{
	EVP_PKEY_CTX_free(jwk->prepared);
	EVP_MD_free(jwk->digest);
	EVP_PKEY_free(jwk->key);
	*jwk = (struct jwk){ .alg = JWS_ALG_NONE };
}

/* Everything of a verification that does not depend on the token is done once, here. */
static enum err
prepare(struct jwk *jwk, const struct jwk_algorithm *algorithm)
{
	if (!algorithm->digest)
		return OK;
	jwk->digest = EVP_MD_fetch(NULL, algorithm->digest, NULL);
	jwk->prepared = EVP_PKEY_CTX_new_from_pkey(NULL, jwk->key, NULL);
	if (!jwk->digest || !jwk->prepared || EVP_PKEY_verify_init(jwk->prepared) != 1)
		goto failed;
	if (algorithm->pss && (EVP_PKEY_CTX_set_rsa_padding(jwk->prepared, RSA_PKCS1_PSS_PADDING) != 1 ||
				      EVP_PKEY_CTX_set_rsa_pss_saltlen(jwk->prepared, RSA_PSS_SALTLEN_DIGEST) != 1))
		goto failed;
	if (EVP_PKEY_CTX_set_signature_md(jwk->prepared, jwk->digest) == 1)
		return OK;
failed:
	ERR_clear_error();
	return E_NOMEM;
}

static size_t
signature_bytes(const EVP_PKEY *key, const struct jwk_algorithm *algorithm)
{
	switch (algorithm->type) {
	case JWK_RSA:
		return ((size_t)EVP_PKEY_get_bits(key) + 7) / 8;
	case JWK_EC:
		return 2 * algorithm->curve->bytes;
	case JWK_OKP:
		break;
	}
	return 64; /* RFC 8032 section 5.1.6 */
}

static const struct jwk *
find_exact(const struct jwk_set *set, struct slice kid)
{
	for (size_t i = 0; i < set->n; i++) {
		if (slice_eq(slice_of(set->keys[i].kid, set->keys[i].kid_n), kid))
			return &set->keys[i];
	}
	return NULL;
}

enum err
jwk_set_add(struct jwk_set *set, EVP_PKEY *key, enum jws_alg alg, struct slice kid)
{
	if (kid.n > JWK_KID_BYTES_MAX || !jwk_alg_fits(key, alg))
		return E_FORMAT;
	/* RFC 7517 section 4.5: keys in a set SHOULD have distinct kids; two would leave the choice to chance. */
	if (kid.n > 0 && find_exact(set, kid))
		return E_CONFLICT;
	if (set->n == JWK_SET_KEYS_MAX)
		return E_LIMIT;
	const struct jwk_algorithm *algorithm = jwk_algorithm_get(alg);
	struct jwk *jwk = &set->keys[set->n];
	*jwk = (struct jwk){ .kid_n = kid.n, .alg = alg, .signature_bytes = signature_bytes(key, algorithm) };
	if (kid.n > 0)
		memcpy(jwk->kid, kid.p, kid.n);
	if (EVP_PKEY_up_ref(key) != 1)
		return E_NOMEM;
	jwk->key = key;
	enum err err = prepare(jwk, algorithm);
	if (err) {
		jwk_fini(jwk);
		return err;
	}
	set->n++;
	return OK;
}

void
jwk_set_fini(struct jwk_set *set)
{
	while (set->n > 0)
		jwk_fini(&set->keys[--set->n]);
}

const struct jwk *
jwk_set_find(const struct jwk_set *set, struct slice kid)
{
	if (kid.n == 0)
		return set->n == 1 ? &set->keys[0] : NULL;
	return find_exact(set, kid);
}

/* Below, E_EMPTY: this key is of no use here, leave it out. */

static enum err
member_bytes(const json_t *jwk, const char *name, uint8_t *out, size_t cap, size_t *n)
{
	struct slice text = strict_json_string(json_object_get(jwk, name));

	return text.n > 0 && base64url_decode(text, out, cap, n) == OK ? OK : E_EMPTY;
}

/* Why OpenSSL made no key: E_EMPTY when it names the point and no failed allocation, else E_NOMEM, which it does not always name. */
static enum err
why_no_key(void)
{
	bool bad_point = false, no_memory = false;

	for (unsigned long e; (e = ERR_get_error()) != 0;) {
		int reason = ERR_GET_REASON(e);
		no_memory = no_memory || reason == ERR_R_MALLOC_FAILURE;
		bad_point = bad_point || (ERR_GET_LIB(e) == ERR_LIB_EC && (reason == EC_R_POINT_IS_NOT_ON_CURVE || reason == EC_R_INVALID_ENCODING));
	}
	return bad_point && !no_memory ? E_EMPTY : E_NOMEM;
}

static enum err
key_from_params(const char *type, OSSL_PARAM *params, EVP_PKEY **out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	enum err err = OK;

	if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, out, EVP_PKEY_PUBLIC_KEY, params) != 1)
		err = why_no_key();
	EVP_PKEY_CTX_free(ctx);
	return err;
}

/* RFC 8017 section 3.1: n odd, e odd and at least 3. With e = 1 every message would sign itself. */
static bool
rsa_numbers_ok(const BIGNUM *n, const BIGNUM *e)
{
	int bits = BN_num_bits(n);

	return bits >= JWK_RSA_BITS_MIN && bits <= JWK_RSA_BITS_MAX && BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e);
}

static enum err
rsa_key(const json_t *jwk, EVP_PKEY **out)
{
	uint8_t n_bytes[JWK_RSA_BITS_MAX / 8 + 1]; /* one zero byte in front is seen in the wild */
	uint8_t e_bytes[8];                        /* OpenSSL takes no more than 64 bits either */
	size_t n_n = 0, e_n = 0;

	if (member_bytes(jwk, "n", n_bytes, sizeof(n_bytes), &n_n) || member_bytes(jwk, "e", e_bytes, sizeof(e_bytes), &e_n))
		return E_EMPTY;
	BIGNUM *n = BN_bin2bn(n_bytes, (int)n_n, NULL);
	BIGNUM *e = BN_bin2bn(e_bytes, (int)e_n, NULL);
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	enum err err = E_NOMEM;
	if (n && e && !rsa_numbers_ok(n, e)) {
		err = E_EMPTY;
	} else if (n && e && builder && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
		OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1) {
		params = OSSL_PARAM_BLD_to_param(builder);
		if (params)
			err = key_from_params("RSA", params, out);
	}
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(builder);
	BN_free(n);
	BN_free(e);
	ERR_clear_error();
	return err;
}

static enum err
ec_key(const json_t *jwk, const struct jwk_curve *curve, EVP_PKEY **out)
{
	uint8_t point[1 + 2 * JWK_COORDINATE_BYTES_MAX] = { 4 }; /* uncompressed, SEC 1 section 2.3.3 */
	char group[8];
	size_t x_n = 0, y_n = 0;

	/* RFC 7518 section 6.2.1.2: a coordinate MUST be as long as the curve's field. */
	if (member_bytes(jwk, "x", point + 1, curve->bytes, &x_n) || x_n != curve->bytes ||
		member_bytes(jwk, "y", point + 1 + curve->bytes, curve->bytes, &y_n) || y_n != curve->bytes)
		return E_EMPTY;
	memcpy(group, curve->crv, strlen(curve->crv) + 1);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * curve->bytes),
		OSSL_PARAM_construct_end(),
	};
	return key_from_params("EC", params, out);
}

static enum err
okp_key(const json_t *jwk, EVP_PKEY **out)
{
	uint8_t x[JWK_ED25519_BYTES];
	size_t n = 0;

	if (!slice_eq_str(strict_json_string(json_object_get(jwk, "crv")), "Ed25519") || member_bytes(jwk, "x", x, sizeof(x), &n) || n != sizeof(x))
		return E_EMPTY;
	*out = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x, n);
	ERR_clear_error();
	return *out ? OK : E_NOMEM;
}

/* RFC 7517 sections 4.2 and 4.3, and no private part (RFC 7518 sections 6.2.2, 6.3.2, 6.4.1): a key whose secret is published
 * proves nothing. */
static bool
meant_for_verification(const json_t *jwk)
{
	static const char *const private_parts[] = { "d", "p", "q", "dp", "dq", "qi", "oth", "k" };
	const json_t *use = json_object_get(jwk, "use"), *key_ops = json_object_get(jwk, "key_ops"), *op;
	bool verify = !key_ops;
	size_t i;

	for (i = 0; i < sizeof(private_parts) / sizeof(private_parts[0]); i++) {
		if (json_object_get(jwk, private_parts[i]))
			return false;
	}
	json_array_foreach(key_ops, i, op)
		verify = verify || slice_eq_str(strict_json_string(op), "verify");
	return verify && (!use || slice_eq_str(strict_json_string(use), "sig"));
}

/* The algorithm of a key by its members alone; NULL: none that fits. */
static const struct jwk_algorithm *
algorithm_of(const json_t *jwk, enum jws_alg *alg)
{
	struct slice kty = strict_json_string(json_object_get(jwk, "kty"));
	const json_t *named = json_object_get(jwk, "alg");
	const struct jwk_curve *curve = NULL;
	enum jwk_type type;

	if (slice_eq_str(kty, "RSA")) {
		type = JWK_RSA;
		*alg = JWS_RS256;
	} else if (slice_eq_str(kty, "EC")) {
		curve = jwk_curve_find(strict_json_string(json_object_get(jwk, "crv")));
		if (!curve)
			return NULL;
		type = JWK_EC;
		*alg = curve->alg;
	} else if (slice_eq_str(kty, "OKP")) {
		type = JWK_OKP;
		*alg = JWS_EDDSA;
	} else {
		return NULL;
	}
	if (named)
		*alg = jws_alg_parse(strict_json_string(named));
	const struct jwk_algorithm *algorithm = jwk_algorithm_get(*alg);
	return algorithm && algorithm->type == type && algorithm->curve == curve ? algorithm : NULL;
}

static enum err
make_key(const json_t *jwk, const struct jwk_algorithm *algorithm, EVP_PKEY **out)
{
	switch (algorithm->type) {
	case JWK_RSA:
		return rsa_key(jwk, out);
	case JWK_EC:
		return ec_key(jwk, algorithm->curve, out);
	case JWK_OKP:
		break;
	}
	return okp_key(jwk, out);
}

static enum err
add_member(struct jwk_set *set, const json_t *jwk)
{
	const json_t *kid_member = json_object_get(jwk, "kid");
	struct slice kid = strict_json_string(kid_member);
	EVP_PKEY *key = NULL;
	enum jws_alg alg;

	if (!meant_for_verification(jwk) || (kid_member && (kid.n == 0 || kid.n > JWK_KID_BYTES_MAX)))
		return E_EMPTY;
	const struct jwk_algorithm *algorithm = algorithm_of(jwk, &alg);
	if (!algorithm)
		return E_EMPTY;
	enum err err = make_key(jwk, algorithm, &key);
	if (err)
		return err;
	err = jwk_set_add(set, key, alg, kid);
	EVP_PKEY_free(key);
	/* The members fitted, so a key that does not was made with an allocation missing: the set must not lose it silently. */
	return err == E_FORMAT ? E_NOMEM : err == E_CONFLICT ? E_FORMAT : err;
}

static enum err
add_members(struct jwk_set *set, const json_t *keys, size_t *left_out)
{
	const json_t *jwk;
	size_t i;

	if (!json_is_array(keys))
		return E_FORMAT;
	json_array_foreach(keys, i, jwk) {
		if (!json_is_object(jwk))
			return E_FORMAT;
		enum err err = add_member(set, jwk);
		if (err == E_EMPTY)
			++*left_out;
		else if (err)
			return err;
	}
	return set->n > 0 ? OK : E_EMPTY;
}

enum err
jwk_set_parse(struct slice json, struct jwk_set *out, size_t *skipped)
{
	struct jwk_set set = { .n = 0 };
	size_t left_out = 0;
	json_t *root;

	if (json.n > JWK_SET_BYTES_MAX)
		return E_LIMIT;
	enum err err = strict_json_parse(json, &root);
	if (err)
		return err;
	err = add_members(&set, json_object_get(root, "keys"), &left_out);
	json_decref(root);
	if (err) {
		jwk_set_fini(&set);
		return err;
	}
	if (skipped)
		*skipped = left_out;
	*out = set;
	return OK;
}
