/* id_token_unit.h - a key, a policy and claims to vary, for the tests of ID tokens. */
#ifndef TESTS_UNIT_ID_TOKEN_H
#define TESTS_UNIT_ID_TOKEN_H

#include "tests/unit/unit.h"
#include <openssl/err.h>
#include "oidc/id_token.h"
#include "tests/unit/tokens.h"

#define NOW 1700000000
#define ISSUER "https://issuer.example/oidc"
#define HEADER SLICE_LIT("{\"alg\":\"RS256\",\"kid\":\"a\"}")

static EVP_PKEY *key;
static struct jwk_set keys;
static struct buf token, payload;
static struct arena arena;
static struct identity who;
static struct id_token_policy policy;

static const char *const audiences[] = { "kubernetes", "other-of-ours" };
static const struct id_token_policy plain_policy = {
	.issuer = ISSUER,
	.audiences = audiences,
	.audience_n = 2,
	.username_prefix = "",
	.groups_claim = "groups",
	.groups_prefix = "",
	.how = IDENTITY_JWT,
};

static inline int
make_keys(void **state)
{
	(void)state;
	key = token_key("RSA2048");
	assert_int_equal(jwk_set_add(&keys, key, JWS_RS256, SLICE_LIT("a")), OK);
	buf_init(&token, 0);
	buf_init(&payload, 0);
	return 0;
}

static inline int
free_keys(void **state)
{
	(void)state;
	jwk_set_fini(&keys);
	EVP_PKEY_free(key);
	buf_fini(&token);
	buf_fini(&payload);
	return 0;
}

static inline int
fresh(void **state)
{
	(void)state;
	arena_init(&arena, 1u << 20);
	policy = plain_policy;
	memset(&who, 0, sizeof(who));
	return 0;
}

static inline int
done(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

/* JSON texts of the claims; NULL: a good one. more: ",\"name\":value". */
struct claims {
	const char *iss, *sub, *aud, *exp, *more;
};

static inline void
print_claims(struct claims c)
{
	buf_reset(&payload);
	buf_printf(&payload, "{\"iss\":%s,\"sub\":%s,\"aud\":%s,\"exp\":%s%s}", c.iss ? c.iss : "\"" ISSUER "\"", c.sub ? c.sub : "\"jane\"",
		c.aud ? c.aud : "\"kubernetes\"", c.exp ? c.exp : "1700000300", c.more ? c.more : "");
}

static inline enum id_token_verdict
identify_text(struct slice text)
{
	struct identity before = who;
	enum id_token_verdict verdict = id_token_identify(text, &policy, &keys, NOW, &arena, &who);

	if (verdict != ID_TOKEN_OK)
		assert_memory_equal(&who, &before, sizeof(who));
	assert_int_equal(ERR_peek_error(), 0);
	return verdict;
}

static inline enum id_token_verdict
identify_payload(struct slice text)
{
	token_sign(&token, key, JWS_RS256, HEADER, text);
	return identify_text(buf_slice(&token));
}

static inline enum id_token_verdict
identify(struct claims c)
{
	print_claims(c);
	return identify_payload(buf_slice(&payload));
}

#define T(name) cmocka_unit_test_setup_teardown(name, fresh, done)

#endif
