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

static int
make_keys(void **state)
{
	(void)state;
	key = token_key("RSA2048");
	assert_int_equal(jwk_set_add(&keys, key, JWS_RS256, SLICE_LIT("a")), OK);
	buf_init(&token, 0);
	buf_init(&payload, 0);
	return 0;
}

static int
free_keys(void **state)
{
	(void)state;
	jwk_set_fini(&keys);
	EVP_PKEY_free(key);
	buf_fini(&token);
	buf_fini(&payload);
	return 0;
}

static int
fresh(void **state)
{
	(void)state;
	arena_init(&arena, 1u << 20);
	policy = plain_policy;
	memset(&who, 0, sizeof(who));
	return 0;
}

static int
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

static void
print_claims(struct claims c)
{
	buf_reset(&payload);
	buf_printf(&payload, "{\"iss\":%s,\"sub\":%s,\"aud\":%s,\"exp\":%s%s}", c.iss ? c.iss : "\"" ISSUER "\"", c.sub ? c.sub : "\"jane\"",
		c.aud ? c.aud : "\"kubernetes\"", c.exp ? c.exp : "1700000300", c.more ? c.more : "");
}

static enum id_token_verdict
identify_text(struct slice text)
{
	struct identity before = who;
	enum id_token_verdict verdict = id_token_identify(text, &policy, &keys, NOW, &arena, &who);

	if (verdict != ID_TOKEN_OK)
		assert_memory_equal(&who, &before, sizeof(who));
	assert_int_equal(ERR_peek_error(), 0);
	return verdict;
}

static enum id_token_verdict
identify_payload(struct slice text)
{
	token_sign(&token, key, JWS_RS256, HEADER, text);
	return identify_text(buf_slice(&token));
}

static enum id_token_verdict
identify(struct claims c)
{
	print_claims(c);
	return identify_payload(buf_slice(&payload));
}

static enum id_token_verdict
open_as(const char *header, const char *typ, struct slice *claims)
{
	print_claims((struct claims){ 0 });
	token_sign(&token, key, JWS_RS256, slice_str(header), buf_slice(&payload));
	return id_token_open(buf_slice(&token), ISSUER, typ, &keys, NOW, 0, false, &arena, claims);
}

static void
every_verdict_has_its_own_name(void **state)
{
	(void)state;
	for (int a = ID_TOKEN_OK; a <= ID_TOKEN_FAILED; a++) {
		for (int b = a + 1; b <= ID_TOKEN_FAILED + 1; b++)
			assert_string_not_equal(id_token_verdict_name((enum id_token_verdict)a), id_token_verdict_name((enum id_token_verdict)b));
	}
}

static void
a_good_token_names_its_person(void **state)
{
	(void)state;
	policy.uid_claim = "sub";
	assert_int_equal(identify((struct claims){ .more = ",\"groups\":[\"dev\",\"acme:ops\"],\"jti\":\"t-1\",\"sid\":\"s-1\",\"nbf\":1699999999,\"iat\":1699999999,\"nonce\":null,\"x\":[1.5,{}]" }),
		ID_TOKEN_OK);
	assert_true(slice_eq_str(who.username, "jane"));
	assert_true(slice_eq_str(who.uid, "jane"));
	assert_int_equal(who.group_n, 2);
	assert_true(slice_eq_str(who.groups[0], "dev"));
	assert_true(slice_eq_str(who.groups[1], "acme:ops"));
	assert_int_equal(who.extra_n, 1);
	assert_true(slice_eq_str(who.extra[0].key, "authentication.kubernetes.io/credential-id"));
	assert_int_equal(who.extra[0].n, 1);
	assert_true(slice_eq_str(who.extra[0].values[0], "JTI=t-1"));
	assert_true(slice_eq_str(who.sid, "s-1"));
	assert_true(slice_eq_str(who.issuer, ISSUER));
	assert_int_equal(who.expires_at, 1700000300);
	assert_int_equal(who.not_before, 1699999999);
	assert_int_equal(who.how, IDENTITY_JWT);
	policy.how = IDENTITY_SESSION;
	policy.uid_claim = NULL;
	assert_int_equal(identify((struct claims){ 0 }), ID_TOKEN_OK);
	assert_int_equal(who.how, IDENTITY_SESSION);
	assert_int_equal(who.uid.n + who.sid.n + who.group_n + who.extra_n, 0);
	assert_int_equal(who.not_before, 0);
}

static void
nothing_of_the_identity_points_into_the_token(void **state)
{
	(void)state;
	policy.uid_claim = "sub";
	assert_int_equal(identify((struct claims){ .more = ",\"groups\":\"dev\",\"jti\":\"t\",\"sid\":\"s\"" }), ID_TOKEN_OK);
	memset(token.p, 'x', token.n);
	assert_true(slice_eq_str(who.username, "jane") && slice_eq_str(who.uid, "jane") && slice_eq_str(who.groups[0], "dev") && slice_eq_str(who.sid, "s") &&
		    slice_eq_str(who.extra[0].values[0], "JTI=t"));
	assert_true(who.issuer.p != policy.issuer);
}

static void
what_the_signature_check_says_is_passed_on(void **state)
{
	EVP_PKEY *evil = token_key("RSA2048");

	(void)state;
	print_claims((struct claims){ 0 });
	token_sign(&token, evil, JWS_RS256, HEADER, buf_slice(&payload));
	assert_int_equal(identify_text(buf_slice(&token)), ID_TOKEN_BAD_SIGNATURE);
	token_sign(&token, key, JWS_RS256, SLICE_LIT("{\"alg\":\"RS256\",\"kid\":\"b\"}"), buf_slice(&payload));
	assert_int_equal(identify_text(buf_slice(&token)), ID_TOKEN_UNKNOWN_KEY);
	token_sign(&token, key, JWS_RS256, SLICE_LIT("{\"alg\":\"none\",\"kid\":\"a\"}"), buf_slice(&payload));
	assert_int_equal(identify_text(buf_slice(&token)), ID_TOKEN_MALFORMED);
	assert_int_equal(identify_text(SLICE_LIT("abc")), ID_TOKEN_MALFORMED);
	assert_int_equal(identify_text(SLICE_NONE), ID_TOKEN_MALFORMED);
	token_sign(&token, key, JWS_RS256, HEADER, buf_slice(&payload));
	policy.token_bytes_max = token.n - 1;
	assert_int_equal(identify_text(buf_slice(&token)), ID_TOKEN_MALFORMED);
	policy.token_bytes_max = token.n;
	assert_int_equal(identify_text(buf_slice(&token)), ID_TOKEN_OK);
	EVP_PKEY_free(evil);
}

/* RFC 8725 section 3.11, RFC 9068 section 4. */
static void
an_access_token_is_no_id_token_and_the_reverse(void **state)
{
	static const struct {
		const char *typ, *wanted;
		enum id_token_verdict verdict;
	} cases[] = {
		{ "\"JWT\"", NULL, ID_TOKEN_OK },
		{ "\"jwt\"", NULL, ID_TOKEN_OK },
		{ "\"application/jwt\"", NULL, ID_TOKEN_OK },
		{ "\"at+jwt\"", NULL, ID_TOKEN_MALFORMED },
		{ "\"AT+JWT\"", NULL, ID_TOKEN_MALFORMED },
		{ "\"application/at+jwt\"", NULL, ID_TOKEN_MALFORMED },
		{ "\"logout+jwt\"", NULL, ID_TOKEN_MALFORMED },
		{ "\"application/\"", NULL, ID_TOKEN_MALFORMED },
		{ "\"verifiable-credential+jwt\"", NULL, ID_TOKEN_MALFORMED },
		{ "\"JWT \"", NULL, ID_TOKEN_MALFORMED },
		{ "\"\"", NULL, ID_TOKEN_MALFORMED },
		{ "null", NULL, ID_TOKEN_MALFORMED },
		{ "\"at+jwt\"", "at+jwt", ID_TOKEN_OK },
		{ "\"application/AT+jwt\"", "at+jwt", ID_TOKEN_OK },
		{ "\"JWT\"", "at+jwt", ID_TOKEN_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice claims;
		char header[128];
		snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":\"a\",\"typ\":%s}", cases[i].typ);
		policy.typ = cases[i].wanted;
		print_claims((struct claims){ 0 });
		token_sign(&token, key, JWS_RS256, slice_str(header), buf_slice(&payload));
		assert_int_equal(identify_text(buf_slice(&token)), cases[i].verdict);
		assert_int_equal(open_as(header, cases[i].wanted, &claims), cases[i].verdict);
	}
	/* Absent: an ID token, and nothing else. */
	policy.typ = "at+jwt";
	assert_int_equal(identify((struct claims){ 0 }), ID_TOKEN_MALFORMED);
	policy.typ = NULL;
	assert_int_equal(identify((struct claims){ 0 }), ID_TOKEN_OK);
}

static void
an_issuer_that_differs_in_one_byte_is_refused(void **state)
{
	static const char *const wrong[] = { "\"https://issuer.example/oidc/\"", "\"https://issuer.example/OIDC\"", "\"https://Issuer.example/oidc\"", "\"HTTPS://issuer.example/oidc\"",
		"\"https://issuer.example/oid\"", "\"https://issuer.example:443/oidc\"", "\" https://issuer.example/oidc\"", "\"https://issuer.example/oidc\\n\"", "\"\"" };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(identify((struct claims){ .iss = wrong[i] }), ID_TOKEN_WRONG_ISSUER);
	assert_int_equal(identify((struct claims){ .iss = "null" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .iss = "7" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .iss = "[\"" ISSUER "\"]" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .iss = "\"" ISSUER "\\u0000\"" }), ID_TOKEN_MALFORMED);
	/* JSON may spell the same bytes otherwise. */
	assert_int_equal(identify((struct claims){ .iss = "\"https:\\/\\/issuer.example\\u002foidc\"" }), ID_TOKEN_OK);
	assert_int_equal(identify_payload(SLICE_LIT("{\"sub\":\"jane\",\"aud\":\"kubernetes\",\"exp\":1700000300}")), ID_TOKEN_MALFORMED);
}

/* RFC 7519 sections 4.1.4 to 4.1.6; integers 0..253402300799 only. */
static void
times_of_another_type_or_out_of_range_are_refused(void **state)
{
	static const char *const bad[] = { "\"1700000300\"", "null", "1700000300.0", "1700000300.5", "1E10", "1e400", "-1", "-1700000300", "9007199254740993", "9223372036854775807",
		"9223372036854775808", "99999999999999999999999", "253402300800", "[1700000300]", "{}", "true", "0x65", "01700000300", "+1" };
	char more[64];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(identify((struct claims){ .exp = bad[i] }), ID_TOKEN_MALFORMED);
		snprintf(more, sizeof(more), ",\"nbf\":%s", bad[i]);
		assert_int_equal(identify((struct claims){ .more = more }), ID_TOKEN_MALFORMED);
		snprintf(more, sizeof(more), ",\"iat\":%s", bad[i]);
		assert_int_equal(identify((struct claims){ .more = more }), ID_TOKEN_MALFORMED);
	}
	assert_int_equal(identify_payload(SLICE_LIT("{\"iss\":\"" ISSUER "\",\"sub\":\"jane\",\"aud\":\"kubernetes\"}")), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .exp = "253402300799" }), ID_TOKEN_OK);
	assert_int_equal(who.expires_at, 253402300799);
	policy.skew_s = ID_TOKEN_SKEW_S_MAX;
	assert_int_equal(identify((struct claims){ .exp = "253402300799" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .more = ",\"nbf\":253402300799" }), ID_TOKEN_NOT_YET);
	assert_int_equal(identify((struct claims){ .more = ",\"nbf\":0,\"iat\":0" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .exp = "0" }), ID_TOKEN_EXPIRED);
}

static void
the_second_of_expiry_is_too_late_and_skew_moves_it(void **state)
{
	(void)state;
	assert_int_equal(identify((struct claims){ .exp = "1700000001" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .exp = "1700000000" }), ID_TOKEN_EXPIRED);
	assert_int_equal(identify((struct claims){ .more = ",\"nbf\":1700000000,\"iat\":1700000000" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .more = ",\"nbf\":1700000001" }), ID_TOKEN_NOT_YET);
	assert_int_equal(identify((struct claims){ .more = ",\"iat\":1700000001" }), ID_TOKEN_NOT_YET);
	policy.skew_s = 10;
	assert_int_equal(identify((struct claims){ .exp = "1699999991" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .exp = "1699999990" }), ID_TOKEN_EXPIRED);
	assert_int_equal(identify((struct claims){ .more = ",\"nbf\":1700000010,\"iat\":1700000010" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .more = ",\"nbf\":1700000011" }), ID_TOKEN_NOT_YET);
	assert_int_equal(identify((struct claims){ .more = ",\"iat\":1700000011" }), ID_TOKEN_NOT_YET);
}

static void
an_audience_that_is_not_ours_nested_or_of_10000_entries_is_refused(void **state)
{
	static const char *const wrong[] = { "\"other\"", "\"Kubernetes\"", "\"kubernetes \"", "\"kubernete\"", "\"\"", "[]", "[\"other\"]", "[\"\",\"other\"]", "\"kubernetes,other\"" };
	static const char *const malformed[] = { "null", "7", "{}", "[[\"kubernetes\"]]", "[\"kubernetes\",7]", "[7,\"kubernetes\"]", "[\"kubernetes\",null]", "{\"kubernetes\":1}",
		"\"kubernetes\\u0000\"" };
	struct buf many;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(identify((struct claims){ .aud = wrong[i] }), ID_TOKEN_WRONG_AUDIENCE);
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
		assert_int_equal(identify((struct claims){ .aud = malformed[i] }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .aud = "[\"x\",\"kubernetes\"]" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .aud = "[\"other-of-ours\"]" }), ID_TOKEN_OK);
	assert_int_equal(identify_payload(SLICE_LIT("{\"iss\":\"" ISSUER "\",\"sub\":\"jane\",\"exp\":1700000300}")), ID_TOKEN_MALFORMED);
	buf_init(&many, 0);
	policy.token_bytes_max = 1u << 20;
	const size_t counts[] = { ID_TOKEN_AUDIENCES_MAX, ID_TOKEN_AUDIENCES_MAX + 1, 10000 };
	for (size_t i = 0; i < 3; i++) {
		buf_reset(&many);
		buf_add_str(&many, "[\"kubernetes\"");
		for (size_t j = 1; j < counts[i]; j++)
			buf_add_str(&many, ",\"x\"");
		buf_add_str(&many, "]");
		assert_int_equal(identify((struct claims){ .aud = many.p }), i == 0 ? ID_TOKEN_OK : ID_TOKEN_MALFORMED);
	}
	buf_fini(&many);
}

/* OpenID Connect Core 3.1.3.7 rule 5. */
static void
an_authorized_party_that_is_not_known_is_refused(void **state)
{
	static const char *const parties[] = { "kubelogin" };

	(void)state;
	assert_int_equal(identify((struct claims){ .more = ",\"azp\":\"kubernetes\"" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .aud = "[\"kubernetes\",\"other-of-ours\"]", .more = ",\"azp\":\"other-of-ours\"" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .more = ",\"azp\":\"evil\"" }), ID_TOKEN_WRONG_AUDIENCE);
	assert_int_equal(identify((struct claims){ .aud = "[\"kubernetes\",\"evil\"]", .more = ",\"azp\":\"evil\"" }), ID_TOKEN_WRONG_AUDIENCE);
	assert_int_equal(identify((struct claims){ .more = ",\"azp\":\"\"" }), ID_TOKEN_WRONG_AUDIENCE);
	assert_int_equal(identify((struct claims){ .more = ",\"azp\":null" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .more = ",\"azp\":[\"kubernetes\"]" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .aud = "[\"kubernetes\",\"kubelogin\"]", .more = ",\"azp\":\"kubelogin\"" }), ID_TOKEN_WRONG_AUDIENCE);
	policy.authorized_parties = parties;
	policy.authorized_party_n = 1;
	assert_int_equal(identify((struct claims){ .aud = "[\"kubernetes\",\"kubelogin\"]", .more = ",\"azp\":\"kubelogin\"" }), ID_TOKEN_OK);
	/* It may ask for us; it is not us. */
	assert_int_equal(identify((struct claims){ .aud = "\"kubelogin\"", .more = ",\"azp\":\"kubelogin\"" }), ID_TOKEN_WRONG_AUDIENCE);
}

static void
duplicate_claims_are_refused(void **state)
{
	(void)state;
	assert_int_equal(identify((struct claims){ .more = ",\"sub\":\"root\"" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .more = ",\"\\u0073ub\":\"root\"" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .more = ",\"exp\":1700000300" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .more = ",\"x\":{\"a\":1,\"a\":1}" }), ID_TOKEN_MALFORMED);
}

static void
a_payload_with_bom_trailing_junk_array_or_depth_over_16_is_refused(void **state)
{
	const char *good = "{\"iss\":\"" ISSUER "\",\"sub\":\"jane\",\"aud\":\"kubernetes\",\"exp\":1700000300}";
	char text[512];

	(void)state;
	assert_int_equal(identify_payload(slice_str(good)), ID_TOKEN_OK);
	static const char *const around[][2] = { { "\xEF\xBB\xBF", "" }, { "", "x" }, { "", "{}" }, { "", "," }, { "[", "]" }, { "\"", "\"" }, { "x", "" } };
	for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++) {
		snprintf(text, sizeof(text), "%s%s%s", around[i][0], good, around[i][1]);
		assert_int_equal(identify_payload(slice_str(text)), ID_TOKEN_MALFORMED);
	}
	assert_int_equal(identify_payload(slice_of(good, strlen(good) + 1)), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .more = ",\"x\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .more = ",\"x\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify_payload(SLICE_LIT("null")), ID_TOKEN_MALFORMED);
	assert_int_equal(identify_payload(SLICE_LIT("no json at all")), ID_TOKEN_MALFORMED);
}

/* jansson lets CR and LF through; a name becomes a header of the upstream request. */
static void
names_with_nul_surrogates_overlong_utf8_crlf_or_edge_blanks_are_refused(void **state)
{
	static const char *const malformed[] = { "\"a\\u0000b\"", "\"\\u0000\"", "\"\\ud800\"", "\"\\udfff\"", "\"a\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xff\"", "\"a\nb\"", "7", "true", "null",
		"{}", "[[]]" };
	static const char *const bad[] = { "\"a\\r\\nImpersonate-Group: system:masters\"", "\"a\\nb\"", "\"a\\rb\"", "\"a\\tb\"", "\" a\"", "\"a \"", "\"\\ta\"", "\" system:masters\\t\"",
		"\"\\u007f\"", "\"a\\u0085\"", "\"\\u001f\"", "\"\"" };
	char more[128];

	(void)state;
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		assert_int_equal(identify((struct claims){ .sub = malformed[i] }), ID_TOKEN_MALFORMED);
		snprintf(more, sizeof(more), ",\"groups\":[\"dev\",%s]", malformed[i]);
		assert_int_equal(identify((struct claims){ .more = more }), ID_TOKEN_MALFORMED);
		snprintf(more, sizeof(more), ",\"sid\":%s", malformed[i]);
		assert_int_equal(identify((struct claims){ .more = more }), ID_TOKEN_MALFORMED);
		snprintf(more, sizeof(more), ",\"jti\":%s", malformed[i]);
		assert_int_equal(identify((struct claims){ .more = more }), ID_TOKEN_MALFORMED);
	}
	policy.uid_claim = "uid";
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(identify((struct claims){ .sub = bad[i], .more = ",\"uid\":\"u\"" }), ID_TOKEN_BAD_CLAIM);
		snprintf(more, sizeof(more), ",\"uid\":\"u\",\"groups\":[\"dev\",%s]", bad[i]);
		assert_int_equal(identify((struct claims){ .more = more }), ID_TOKEN_BAD_CLAIM);
		snprintf(more, sizeof(more), ",\"uid\":\"u\",\"groups\":%s", bad[i]);
		assert_int_equal(identify((struct claims){ .more = more }), ID_TOKEN_BAD_CLAIM);
		snprintf(more, sizeof(more), ",\"uid\":\"u\",\"sid\":%s", bad[i]);
		assert_int_equal(identify((struct claims){ .more = more }), ID_TOKEN_BAD_CLAIM);
		snprintf(more, sizeof(more), ",\"uid\":\"u\",\"jti\":%s", bad[i]);
		assert_int_equal(identify((struct claims){ .more = more }), ID_TOKEN_BAD_CLAIM);
		snprintf(more, sizeof(more), ",\"uid\":%s", bad[i]);
		assert_int_equal(identify((struct claims){ .more = more }), ID_TOKEN_BAD_CLAIM);
	}
	/* sub must be sound though another claim names the user; a prefix hides no blank. */
	policy.username_claim = "name";
	assert_int_equal(identify((struct claims){ .sub = "\"a\\nb\"", .more = ",\"uid\":\"u\",\"name\":\"x\"" }), ID_TOKEN_BAD_CLAIM);
	policy.username_prefix = "oidc:";
	assert_int_equal(identify((struct claims){ .more = ",\"uid\":\"u\",\"name\":\" x\"" }), ID_TOKEN_BAD_CLAIM);
	assert_int_equal(identify((struct claims){ .more = ",\"uid\":\"u\",\"name\":\"x\"" }), ID_TOKEN_OK);
	assert_true(slice_eq_str(who.username, "oidc:x"));
	policy.groups_prefix = "oidc:";
	assert_int_equal(identify((struct claims){ .more = ",\"uid\":\"u\",\"name\":\"x\",\"groups\":[\" a\"]" }), ID_TOKEN_BAD_CLAIM);
	assert_int_equal(identify((struct claims){ .more = ",\"uid\":\"u\",\"name\":\"x\",\"groups\":[\"\"]" }), ID_TOKEN_BAD_CLAIM);
}

static void
names_that_start_with_system_are_refused_unless_allowed(void **state)
{
	(void)state;
	assert_int_equal(identify((struct claims){ .sub = "\"system:admin\"" }), ID_TOKEN_BAD_CLAIM);
	assert_int_equal(identify((struct claims){ .sub = "\"system:\"" }), ID_TOKEN_BAD_CLAIM);
	assert_int_equal(identify((struct claims){ .sub = "\"system:serviceaccount:kube-system:default\"" }), ID_TOKEN_BAD_CLAIM);
	assert_int_equal(identify((struct claims){ .more = ",\"groups\":[\"dev\",\"system:masters\"]" }), ID_TOKEN_BAD_CLAIM);
	assert_int_equal(identify((struct claims){ .more = ",\"groups\":\"system:masters\"" }), ID_TOKEN_BAD_CLAIM);
	assert_int_equal(identify((struct claims){ .sub = "\"systems\"", .more = ",\"groups\":\"my-system:masters\"" }), ID_TOKEN_OK);
	/* What counts is the name as Kubernetes gets it. */
	policy.username_prefix = "oidc:";
	policy.groups_prefix = "oidc:";
	assert_int_equal(identify((struct claims){ .sub = "\"system:admin\"", .more = ",\"groups\":[\"system:masters\"]" }), ID_TOKEN_OK);
	assert_true(slice_eq_str(who.groups[0], "oidc:system:masters"));
	policy.username_prefix = "sys";
	assert_int_equal(identify((struct claims){ .sub = "\"tem:admin\"" }), ID_TOKEN_BAD_CLAIM);
	policy.username_prefix = "";
	policy.groups_prefix = "sys";
	assert_int_equal(identify((struct claims){ .more = ",\"groups\":[\"tem:masters\"]" }), ID_TOKEN_BAD_CLAIM);
	policy.allow_system = true;
	assert_int_equal(identify((struct claims){ .sub = "\"system:admin\"", .more = ",\"groups\":[\"tem:masters\"]" }), ID_TOKEN_OK);
	assert_true(slice_eq_str(who.groups[0], "system:masters"));
}

static void
the_default_user_name_prefix_is_the_issuer_and_none_for_email(void **state)
{
	(void)state;
	policy.username_prefix = NULL;
	assert_int_equal(identify((struct claims){ 0 }), ID_TOKEN_OK);
	assert_true(slice_eq_str(who.username, ISSUER "#jane"));
	policy.username_claim = "email";
	assert_int_equal(identify((struct claims){ .more = ",\"email\":\"jane@example.com\"" }), ID_TOKEN_OK);
	assert_true(slice_eq_str(who.username, "jane@example.com"));
}

static void
an_email_that_is_not_verified_names_nobody(void **state)
{
	static const char *const unverified[] = { "false", "\"true\"", "1", "null", "[]" };
	char more[128];

	(void)state;
	policy.username_claim = "email";
	for (size_t i = 0; i < sizeof(unverified) / sizeof(unverified[0]); i++) {
		snprintf(more, sizeof(more), ",\"email\":\"jane@example.com\",\"email_verified\":%s", unverified[i]);
		assert_int_equal(identify((struct claims){ .more = more }), ID_TOKEN_BAD_CLAIM);
	}
	assert_int_equal(identify((struct claims){ .more = ",\"email\":\"jane@example.com\",\"email_verified\":true" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .more = ",\"email\":\"jane@example.com\"" }), ID_TOKEN_OK);
	policy.username_claim = "sub";
	assert_int_equal(identify((struct claims){ .more = ",\"email\":\"jane@example.com\",\"email_verified\":false" }), ID_TOKEN_OK);
}

static void
a_missing_mapped_claim_is_refused_and_missing_groups_are_none(void **state)
{
	(void)state;
	assert_int_equal(identify_payload(SLICE_LIT("{\"iss\":\"" ISSUER "\",\"aud\":\"kubernetes\",\"exp\":1700000300}")), ID_TOKEN_BAD_CLAIM);
	policy.username_claim = "preferred_username";
	assert_int_equal(identify((struct claims){ 0 }), ID_TOKEN_BAD_CLAIM);
	policy.username_claim = NULL;
	policy.uid_claim = "uid";
	assert_int_equal(identify((struct claims){ 0 }), ID_TOKEN_BAD_CLAIM);
	assert_int_equal(identify((struct claims){ .more = ",\"uid\":7" }), ID_TOKEN_MALFORMED);
	policy.uid_claim = NULL;
	assert_int_equal(identify((struct claims){ .more = ",\"groups\":null" }), ID_TOKEN_OK);
	assert_int_equal(who.group_n, 0);
	assert_int_equal(identify((struct claims){ .more = ",\"groups\":[]" }), ID_TOKEN_OK);
	assert_int_equal(who.group_n, 0);
	assert_int_equal(identify((struct claims){ .more = ",\"groups\":{\"a\":1}" }), ID_TOKEN_MALFORMED);
	assert_int_equal(identify((struct claims){ .more = ",\"groups\":7" }), ID_TOKEN_MALFORMED);
	policy.groups_claim = NULL;
	assert_int_equal(identify((struct claims){ .more = ",\"groups\":[\"dev\"]" }), ID_TOKEN_OK);
	assert_int_equal(who.group_n, 0);
	policy.groups_claim = "groups";
	policy.groups_prefix = NULL;
	assert_int_equal(identify((struct claims){ .more = ",\"groups\":\"dev\"" }), ID_TOKEN_OK);
	assert_true(slice_eq_str(who.groups[0], "dev"));
}

static void
more_than_253_groups_are_refused_not_cut(void **state)
{
	struct buf more;

	(void)state;
	buf_init(&more, 0);
	for (size_t n = IDENTITY_GROUPS_MAX; n <= IDENTITY_GROUPS_MAX + 1; n++) {
		buf_reset(&more);
		buf_add_str(&more, ",\"groups\":[\"g\"");
		for (size_t i = 1; i < n; i++)
			buf_printf(&more, ",\"g%zu\"", i);
		buf_add_str(&more, "]");
		assert_int_equal(identify((struct claims){ .more = more.p }), n <= IDENTITY_GROUPS_MAX ? ID_TOKEN_OK : ID_TOKEN_BAD_CLAIM);
		assert_int_equal(who.group_n, IDENTITY_GROUPS_MAX);
	}
	buf_fini(&more);
}

static void
a_name_with_its_prefix_keeps_to_the_longest_value(void **state)
{
	char sub[IDENTITY_VALUE_BYTES_MAX + 8];

	(void)state;
	memset(sub, 'x', sizeof(sub));
	sub[0] = '"';
	sub[IDENTITY_VALUE_BYTES_MAX + 1] = '"';
	sub[IDENTITY_VALUE_BYTES_MAX + 2] = '\0';
	assert_int_equal(identify((struct claims){ .sub = sub }), ID_TOKEN_OK);
	policy.username_prefix = "a";
	assert_int_equal(identify((struct claims){ .sub = sub }), ID_TOKEN_BAD_CLAIM);
}

static void
required_claims_must_be_there_and_equal(void **state)
{
	static const struct id_token_required required[] = { { "hd", "example.com" }, { "tier", "gold" } };

	(void)state;
	policy.required = required;
	policy.required_n = 2;
	assert_int_equal(identify((struct claims){ .more = ",\"hd\":\"example.com\",\"tier\":\"gold\"" }), ID_TOKEN_OK);
	assert_int_equal(identify((struct claims){ .more = ",\"hd\":\"example.com\",\"tier\":\"Gold\"" }), ID_TOKEN_BAD_CLAIM);
	assert_int_equal(identify((struct claims){ .more = ",\"hd\":\"example.com\"" }), ID_TOKEN_BAD_CLAIM);
	assert_int_equal(identify((struct claims){ .more = ",\"hd\":[\"example.com\"],\"tier\":\"gold\"" }), ID_TOKEN_BAD_CLAIM);
	assert_int_equal(identify((struct claims){ .more = ",\"hd\":true,\"tier\":\"gold\"" }), ID_TOKEN_BAD_CLAIM);
	assert_int_equal(identify((struct claims){ 0 }), ID_TOKEN_BAD_CLAIM);
}

static void
the_issuer_can_be_read_before_anything_is_verified(void **state)
{
	static const char *const none[] = { "{}", "{\"iss\":7}", "{\"iss\":\"\"}", "{\"iss\":\"a\",\"iss\":\"b\"}", "[]", "x" };
	struct arena small;
	struct jws jws;

	(void)state;
	token_sign(&token, key, JWS_RS256, HEADER, SLICE_LIT("{\"iss\":\"https://a.example\"}"));
	assert_int_equal(jws_split(buf_slice(&token), 0, &jws), JWS_OK);
	assert_true(slice_eq_str(id_token_peek_issuer(&arena, &jws), "https://a.example"));
	arena_init(&small, 8);
	assert_int_equal(id_token_peek_issuer(&small, &jws).n, 0);
	arena_fini(&small);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		token_sign(&token, key, JWS_RS256, HEADER, slice_str(none[i]));
		assert_int_equal(jws_split(buf_slice(&token), 0, &jws), JWS_OK);
		struct slice iss = id_token_peek_issuer(&arena, &jws);
		assert_int_equal(iss.n, 0);
		assert_null(iss.p);
	}
	jws.payload_b64 = SLICE_LIT("!!!!");
	assert_int_equal(id_token_peek_issuer(&arena, &jws).n, 0);
}

static void
an_issuer_opens_its_own_tokens(void **state)
{
	const char *header = "{\"alg\":\"RS256\",\"kid\":\"a\",\"typ\":\"at+jwt\"}";
	struct slice claims = SLICE_NONE;

	(void)state;
	assert_int_equal(open_as(header, "at+jwt", &claims), ID_TOKEN_OK);
	assert_true(slice_eq(claims, buf_slice(&payload)));
	assert_int_equal(id_token_open(buf_slice(&token), ISSUER "/", "at+jwt", &keys, NOW, 0, false, &arena, &claims), ID_TOKEN_WRONG_ISSUER);
	assert_int_equal(id_token_open(buf_slice(&token), ISSUER, "at+jwt", &keys, NOW + 300, 0, false, &arena, &claims), ID_TOKEN_EXPIRED);
	assert_int_equal(id_token_open(buf_slice(&token), ISSUER, "at+jwt", &keys, NOW + 300, 1, false, &arena, &claims), ID_TOKEN_OK);
	assert_int_equal(id_token_open(buf_slice(&token), ISSUER, "at+jwt", &keys, NOW + 3000000, 0, true, &arena, &claims), ID_TOKEN_OK);
	token.p[token.n - 10] = token.p[token.n - 10] == 'A' ? 'B' : 'A';
	assert_int_equal(id_token_open(buf_slice(&token), ISSUER, "at+jwt", &keys, NOW, 0, true, &arena, &claims), ID_TOKEN_BAD_SIGNATURE);
	/* Even where an expired one is welcome, its times must be times. */
	print_claims((struct claims){ .exp = "\"1700000300\"" });
	token_sign(&token, key, JWS_RS256, HEADER, buf_slice(&payload));
	assert_int_equal(id_token_open(buf_slice(&token), ISSUER, NULL, &keys, NOW, 0, true, &arena, &claims), ID_TOKEN_MALFORMED);
}

/* Every bound of the arena, from nothing to enough: refused without a crash until it suffices. */
static void
an_exhausted_arena_is_a_failure_and_never_an_identity(void **state)
{
	struct slice claims = SLICE_NONE;
	bool failed = false, opened_failed = false;
	enum id_token_verdict verdict = ID_TOKEN_FAILED, opened = ID_TOKEN_FAILED;

	(void)state;
	policy.uid_claim = "sub";
	policy.username_prefix = NULL;
	print_claims((struct claims){ .more = ",\"groups\":[\"a\",\"b\"],\"jti\":\"t\",\"sid\":\"s\"" });
	token_sign(&token, key, JWS_RS256, HEADER, buf_slice(&payload));
	for (size_t bytes = 8; bytes < 4096 && (verdict || opened); bytes += 8) {
		struct arena small;
		arena_init(&small, bytes);
		verdict = id_token_identify(buf_slice(&token), &policy, &keys, NOW, &small, &who);
		assert_true(verdict == ID_TOKEN_FAILED || verdict == ID_TOKEN_OK);
		failed = failed || verdict == ID_TOKEN_FAILED;
		arena_fini(&small);
		arena_init(&small, bytes);
		opened = id_token_open(buf_slice(&token), ISSUER, NULL, &keys, NOW, 0, false, &small, &claims);
		assert_true(opened == ID_TOKEN_FAILED || opened == ID_TOKEN_OK);
		opened_failed = opened_failed || opened == ID_TOKEN_FAILED;
		arena_fini(&small);
	}
	assert_int_equal(verdict, ID_TOKEN_OK);
	assert_int_equal(opened, ID_TOKEN_OK);
	assert_true(failed && opened_failed);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(every_verdict_has_its_own_name),
		T(a_good_token_names_its_person),
		T(nothing_of_the_identity_points_into_the_token),
		T(what_the_signature_check_says_is_passed_on),
		T(an_access_token_is_no_id_token_and_the_reverse),
		T(an_issuer_that_differs_in_one_byte_is_refused),
		T(times_of_another_type_or_out_of_range_are_refused),
		T(the_second_of_expiry_is_too_late_and_skew_moves_it),
		T(an_audience_that_is_not_ours_nested_or_of_10000_entries_is_refused),
		T(an_authorized_party_that_is_not_known_is_refused),
		T(duplicate_claims_are_refused),
		T(a_payload_with_bom_trailing_junk_array_or_depth_over_16_is_refused),
		T(names_with_nul_surrogates_overlong_utf8_crlf_or_edge_blanks_are_refused),
		T(names_that_start_with_system_are_refused_unless_allowed),
		T(the_default_user_name_prefix_is_the_issuer_and_none_for_email),
		T(an_email_that_is_not_verified_names_nobody),
		T(a_missing_mapped_claim_is_refused_and_missing_groups_are_none),
		T(more_than_253_groups_are_refused_not_cut),
		T(a_name_with_its_prefix_keeps_to_the_longest_value),
		T(required_claims_must_be_there_and_equal),
		T(the_issuer_can_be_read_before_anything_is_verified),
		T(an_issuer_opens_its_own_tokens),
		T(an_exhausted_arena_is_a_failure_and_never_an_identity),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
