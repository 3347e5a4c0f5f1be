/* Any JWK Set: what is taken over prints, reads back as the same key, and has a thumbprint. */
#include <openssl/err.h>
#include "oidc/jwk_set.h"
#include "tests/fuzz/must.h"

static void
check_key(const struct jwk *jwk)
{
	struct jwk_set again = { .n = 0 };
	char thumbprint[44];
	struct buf json;

	MUST(jwk->kid_n <= JWK_KID_BYTES_MAX && jwk->alg != JWS_ALG_NONE && jwk->signature_bytes >= 64);
	buf_init(&json, 0);
	buf_add_str(&json, "{\"keys\":[");
	MUST(jwk_print_public(jwk->key, jwk->alg, slice_of(jwk->kid, jwk->kid_n), &json) == OK);
	buf_add_str(&json, "]}");
	MUST(jwk_set_parse(buf_slice(&json), &again, NULL) == OK && again.n == 1);
	MUST(EVP_PKEY_eq(again.keys[0].key, jwk->key) == 1 && again.keys[0].alg == jwk->alg);
	MUST(slice_eq(slice_of(again.keys[0].kid, again.keys[0].kid_n), slice_of(jwk->kid, jwk->kid_n)));
	MUST(jwk_thumbprint(jwk->key, thumbprint) == OK);
	jwk_set_fini(&again);
	buf_fini(&json);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct jwk_set set = { .n = 0 };
	size_t skipped = 0;

	enum err err = jwk_set_parse(slice_of((const char *)data, n), &set, &skipped);
	MUST(err == OK ? set.n > 0 && set.n <= JWK_SET_KEYS_MAX : set.n == 0 && err != E_NOMEM);
	for (size_t i = 0; i < set.n; i++) {
		check_key(&set.keys[i]);
		if (set.keys[i].kid_n > 0)
			MUST(jwk_set_find(&set, slice_of(set.keys[i].kid, set.keys[i].kid_n)) == &set.keys[i]);
	}
	jwk_set_fini(&set);
	MUST(ERR_peek_error() == 0);
	return 0;
}
