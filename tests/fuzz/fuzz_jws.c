/* A token against the keys of RFC 7515 A.2, A.3 and RFC 8037 A.4: whatever is done to the RFCs' tokens, only what their owners signed
 * verifies, and none of it is an identity (they expired long ago). */
#include <openssl/err.h>
#include "oidc/id_token.h"
#include "tests/fuzz/must.h"

static const char jwks[] =
	"{\"keys\":[{\"kid\":\"rsa\",\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4"
	"QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4"
	"uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"},"
	"{\"kid\":\"ec\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
	"{\"kid\":\"ed\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
static const char *const signed_inputs[] = {
	"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
	"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
	"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
};
#define SIGNED_N (sizeof(signed_inputs) / sizeof(signed_inputs[0]))

static bool
was_signed(struct slice input)
{
	for (size_t i = 0; i < SIGNED_N; i++) {
		if (slice_eq_str(input, signed_inputs[i]))
			return true;
	}
	return false;
}

static void
check(struct slice token, const struct jwk_set *set, const struct id_token_policy *policy)
{
	struct identity who;
	struct arena arena;
	struct jws jws;

	arena_init(&arena, 1u << 20);
	enum jws_verdict verdict = jws_split(token, 0, &jws);
	if (verdict == JWS_OK) {
		MUST(jws.signing_input.n + 1 + jws.signature_b64.n == token.n);
		MUST(jws.kid.n <= JWK_KID_BYTES_MAX);
		(void)id_token_peek_issuer(&arena, &jws);
		verdict = jws_verify(&jws, set);
		MUST(verdict != JWS_OK || was_signed(jws.signing_input));
	}
	MUST(verdict != JWS_FAILED);
	MUST(id_token_identify(token, policy, set, 1700000000, &arena, &who) != ID_TOKEN_OK);
	MUST(ERR_peek_error() == 0);
	arena_fini(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const audiences[] = { "kubernetes" };
	static const struct id_token_policy policy = { .issuer = "joe", .audiences = audiences, .audience_n = 1, .groups_claim = "groups" };
	static struct jwk_set all, alone[3];

	if (all.n == 0) {
		MUST(jwk_set_parse(SLICE_LIT(jwks), &all, NULL) == OK);
		/* The RFCs' tokens have no kid, so each key also stands in a set of its own. */
		for (size_t i = 0; i < all.n; i++)
			MUST(jwk_set_add(&alone[i], all.keys[i].key, all.keys[i].alg, SLICE_NONE) == OK);
	}
	struct slice token = slice_of((const char *)data, n);
	check(token, &all, &policy);
	for (size_t i = 0; i < all.n; i++)
		check(token, &alone[i], &policy);
	return 0;
}
