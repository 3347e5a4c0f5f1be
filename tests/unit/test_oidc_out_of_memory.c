#include "tests/unit/unit.h"
#include <openssl/crypto.h>
#include <openssl/err.h>
#include "oidc/discovery.h"
#include "oidc/id_token.h"
#include "oidc/pkce.h"
#include "oidc/strict_json.h"
#include "oidc/token_request.h"
#include "tests/unit/failing_malloc.h"
#include "tests/unit/tokens.h"

#if FAILING_MALLOC

#define NOW 1700000000
#define HEADER "{\"alg\":\"%s\",\"kid\":\"%s\"}"
#define CLAIMS \
	SLICE_LIT("{\"iss\":\"https://issuer.example\",\"sub\":\"jane\",\"aud\":[\"x\",\"kubernetes\"],\"exp\":1700000300,\"groups\":[\"a\",\"b\"],\"jti\":\"t\",\"sid\":\"s\"}")

static const char *const audiences[] = { "kubernetes" };
static const struct id_token_policy policy = { .issuer = "https://issuer.example", .audiences = audiences, .audience_n = 1, .uid_claim = "sub", .groups_claim = "groups" };
static struct {
	const char *kid, *kind;
	enum jws_alg alg;
	EVP_PKEY *key;
	struct buf token;
} signers[] = { { "rsa", "RSA2048", JWS_RS256, NULL, { 0 } }, { "pss", "RSA2048", JWS_PS256, NULL, { 0 } }, { "ec", "P-256", JWS_ES256, NULL, { 0 } }, { "ed", "ED25519", JWS_EDDSA, NULL, { 0 } } };
#define SIGNER_N (sizeof(signers) / sizeof(signers[0]))
static struct buf jwks;
static struct jwk_set keys;

static int
make_keys(void **state)
{
	(void)state;
	buf_init(&jwks, 0);
	buf_add_str(&jwks, "{\"keys\":[");
	for (size_t i = 0; i < SIGNER_N; i++) {
		char header[64];
		signers[i].key = token_key(signers[i].kind);
		buf_init(&signers[i].token, 0);
		snprintf(header, sizeof(header), HEADER, jws_alg_name(signers[i].alg), signers[i].kid);
		token_sign(&signers[i].token, signers[i].key, signers[i].alg, slice_str(header), CLAIMS);
		buf_add_str(&jwks, i ? "," : "");
		assert_int_equal(jwk_print_public(signers[i].key, signers[i].alg, slice_str(signers[i].kid), &jwks), OK);
	}
	buf_add_str(&jwks, "]}");
	assert_int_equal(jwk_set_parse(buf_slice(&jwks), &keys, NULL), OK);
	return 0;
}

static int
free_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIGNER_N; i++) {
		EVP_PKEY_free(signers[i].key);
		buf_fini(&signers[i].token);
	}
	buf_fini(&jwks);
	jwk_set_fini(&keys);
	return 0;
}

/* Run work with the n-th allocation failing, for n = 1, 2, … until none fails any more; once alone, once with all that follow.
 * work says whether it succeeded. Nothing may stay allocated that a run without failures would free. */
static void
with_every_allocation_failing(bool (*work)(void *arg, bool failing), void *arg)
{
	for (int stays = 0; stays <= 1; stays++) {
		bool hit = true;

		assert_true(work(arg, false)); /* what libraries keep for good is allocated now */
		assert_true(work(arg, false));
		OPENSSL_thread_stop(); /* the error queue keeps its strings until then */
		long live = failing_malloc_live, n = 0;
		for (n = 1; hit; n++) {
			failing_malloc_arm(n, stays);
			bool ok = work(arg, true);
			hit = failing_malloc_disarm();
			assert_int_equal(ERR_peek_error(), 0);
			assert_true(ok || hit);
			assert_true(n < 5000);
		}
		assert_true(n > 2);
		assert_true(work(arg, false));
		OPENSSL_thread_stop();
		assert_int_equal(failing_malloc_live, live);
	}
}

static bool
read_json(void *arg, bool failing)
{
	json_t *v;
	enum err err = strict_json_parse(SLICE_LIT("{\"a\":[1,2.5,\"text\",true,null,{\"b\":\"\\u00e4\"}],\"c\":\"long enough to grow a buffer of sixteen bytes\"}"), &v);

	(void)arg;
	assert_true(err == OK || (failing && err == E_NOMEM));
	if (err == OK)
		json_decref(v);
	return err == OK;
}

static void
json_is_read_whole_or_not_at_all(void **state)
{
	(void)state;
	with_every_allocation_failing(read_json, NULL);
}

static bool
read_jwks(void *arg, bool failing)
{
	struct jwk_set set = { .n = 0 };
	enum err err = jwk_set_parse(buf_slice(&jwks), &set, NULL);

	(void)arg;
	/* A set with a key less would refuse good tokens until the next fetch. */
	assert_true(err == OK ? set.n == SIGNER_N : failing && err == E_NOMEM);
	jwk_set_fini(&set);
	return err == OK;
}

static void
a_jwk_set_is_read_whole_or_not_at_all(void **state)
{
	(void)state;
	with_every_allocation_failing(read_jwks, NULL);
}

static bool
identify(void *arg, bool failing)
{
	struct identity who;
	struct arena arena;

	(void)failing;
	arena_init(&arena, 0);
	enum id_token_verdict verdict = id_token_identify(buf_slice(arg), &policy, &keys, NOW, &arena, &who);
	/* OpenSSL does not say why a verification ended: a bad signature is the careful answer. */
	assert_true(verdict == ID_TOKEN_OK || verdict == ID_TOKEN_FAILED || verdict == ID_TOKEN_BAD_SIGNATURE);
	if (verdict == ID_TOKEN_OK) {
		assert_true(slice_eq_str(who.username, "https://issuer.example#jane"));
		assert_int_equal(who.group_n, 2);
	}
	arena_fini(&arena);
	return verdict == ID_TOKEN_OK;
}

static void
a_token_is_refused_when_memory_runs_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIGNER_N; i++)
		with_every_allocation_failing(identify, &signers[i].token);
}

/* A signature of another key under this header, on the same claims. */
static bool
refuse_forged(void *arg, bool failing)
{
	struct identity who;
	struct arena arena;

	(void)failing;
	arena_init(&arena, 0);
	enum id_token_verdict verdict = id_token_identify(buf_slice(arg), &policy, &keys, NOW, &arena, &who);
	arena_fini(&arena);
	assert_int_not_equal(verdict, ID_TOKEN_OK);
	return true;
}

/* Here work always succeeds, so the loop ends when no allocation fails any more: at each n the token must be refused. */
static void
a_forged_token_stays_refused_when_memory_runs_out(void **state)
{
	struct buf forged;

	(void)state;
	buf_init(&forged, 0);
	for (size_t i = 0; i < SIGNER_N; i++) {
		EVP_PKEY *evil = token_key(signers[i].kind);
		char header[64];
		snprintf(header, sizeof(header), HEADER, jws_alg_name(signers[i].alg), signers[i].kid);
		token_sign(&forged, evil, signers[i].alg, slice_str(header), CLAIMS);
		with_every_allocation_failing(refuse_forged, &forged);
		EVP_PKEY_free(evil);
	}
	buf_fini(&forged);
}

static bool
open_token(void *arg, bool failing)
{
	struct slice claims = SLICE_NONE;
	struct arena arena;

	(void)failing;
	arena_init(&arena, 0);
	enum id_token_verdict verdict = id_token_open(buf_slice(arg), policy.issuer, NULL, &keys, NOW, 0, false, &arena, &claims);
	assert_int_equal(verdict == ID_TOKEN_OK, claims.p != NULL);
	arena_fini(&arena);
	return verdict == ID_TOKEN_OK;
}

static bool
peek_issuer(void *arg, bool failing)
{
	struct arena arena;
	struct jws jws;

	(void)failing;
	arena_init(&arena, 0);
	enum jws_verdict verdict = jws_split(buf_slice(arg), 0, &jws);
	struct slice iss = verdict == JWS_OK ? id_token_peek_issuer(&arena, &jws) : SLICE_NONE;
	assert_true(verdict == JWS_OK || verdict == JWS_FAILED);
	assert_true(iss.n == 0 || slice_eq_str(iss, policy.issuer));
	arena_fini(&arena);
	return iss.n > 0;
}

static void
opening_and_peeking_fail_clean(void **state)
{
	(void)state;
	with_every_allocation_failing(open_token, &signers[0].token);
	with_every_allocation_failing(peek_issuer, &signers[0].token);
}

static bool
print_key(void *arg, bool failing)
{
	struct buf out;
	char thumbprint[44];
	size_t i = *(const size_t *)arg;

	buf_init(&out, 0);
	enum err err = jwk_print_public(signers[i].key, signers[i].alg, SLICE_LIT("k"), &out);
	/* E_FORMAT: OpenSSL could not name the key's curve. */
	assert_true(err == OK || (failing && (err == E_NOMEM || err == E_FORMAT)));
	assert_true(err == OK || out.n == 0);
	enum err hashed = jwk_thumbprint(signers[i].key, thumbprint);
	assert_true(hashed == OK || (failing && (hashed == E_NOMEM || hashed == E_FORMAT)));
	buf_fini(&out);
	return err == OK && hashed == OK;
}

static void
a_key_is_printed_whole_or_not_at_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < SIGNER_N; i++)
		with_every_allocation_failing(print_key, &i);
}

static bool
discover(void *arg, bool failing)
{
	static const char *const list[] = { "code", NULL };
	const struct discovery_offer offer = { .issuer = "https://issuer.example", .auth_path = "/auth", .token_path = "/token", .keys_path = "/keys", .response_types = list, .algs = list };
	struct discovery found = { .issuer = SLICE_NONE };
	const char *why = NULL;
	struct arena arena;
	struct buf out;
	enum err err = E_NOMEM;

	(void)arg;
	arena_init(&arena, 0);
	buf_init(&out, 0);
	discovery_print(&offer, &out);
	if (buf_ok(&out))
		err = discovery_parse(buf_slice(&out), offer.issuer, &arena, &found, &why);
	assert_true(err == OK || (failing && err == E_NOMEM));
	assert_true(err == OK || !buf_ok(&out) || strcmp(why, "out of memory") == 0);
	arena_fini(&arena);
	buf_fini(&out);
	return err == OK;
}

static bool
match_challenge(void *arg, bool failing)
{
	const struct slice challenge = SLICE_LIT("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");

	(void)arg;
	(void)failing;
	assert_false(pkce_matches(PKCE_S256, challenge, SLICE_LIT("eBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")));
	bool matches = pkce_matches(PKCE_S256, challenge, SLICE_LIT("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
	return matches;
}

static bool
read_token_request(void *arg, bool failing)
{
	struct client_credentials who;
	struct token_error e;
	struct arena arena;
	struct form body;

	(void)arg;
	arena_init(&arena, 0);
	enum err err = form_parse(SLICE_LIT("grant_type=client_credentials"), &arena, &body);
	if (!err)
		err = client_query_check(SLICE_LIT("a=b"), &arena, &e);
	if (!err)
		err = client_credentials_parse(SLICE_LIT("Basic d2ViOnNlY3JldA=="), &body, &arena, &who, &e);
	assert_true(err == OK ? slice_eq_str(who.secret, "secret") : failing && err == E_NOMEM);
	arena_fini(&arena);
	return err == OK;
}

static void
requests_and_discovery_fail_clean(void **state)
{
	(void)state;
	with_every_allocation_failing(discover, NULL);
	with_every_allocation_failing(match_challenge, NULL);
	with_every_allocation_failing(read_token_request, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_and_discovery_fail_clean),
		cmocka_unit_test(json_is_read_whole_or_not_at_all),
		cmocka_unit_test(a_jwk_set_is_read_whole_or_not_at_all),
		cmocka_unit_test(a_token_is_refused_when_memory_runs_out),
		cmocka_unit_test(a_forged_token_stays_refused_when_memory_runs_out),
		cmocka_unit_test(opening_and_peeking_fail_clean),
		cmocka_unit_test(a_key_is_printed_whole_or_not_at_all),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}

#else

/* A sanitizer owns malloc here. What this file shows is shown by the plain build. */
static void
allocations_cannot_fail_under_a_sanitizer(void **state)
{
	(void)state;
	assert_int_equal(FAILING_MALLOC, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(allocations_cannot_fail_under_a_sanitizer) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
