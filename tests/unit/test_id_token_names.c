#include "tests/unit/id_token_unit.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_good_token_names_its_person),
		T(nothing_of_the_identity_points_into_the_token),
		T(names_with_nul_surrogates_overlong_utf8_crlf_or_edge_blanks_are_refused),
		T(names_that_start_with_system_are_refused_unless_allowed),
		T(the_default_user_name_prefix_is_the_issuer_and_none_for_email),
		T(an_email_that_is_not_verified_names_nobody),
		T(a_missing_mapped_claim_is_refused_and_missing_groups_are_none),
		T(more_than_253_groups_are_refused_not_cut),
		T(a_name_with_its_prefix_keeps_to_the_longest_value),
		T(required_claims_must_be_there_and_equal),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
