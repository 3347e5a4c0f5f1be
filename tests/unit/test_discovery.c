#include "tests/unit/unit.h"
#include "oidc/discovery.h"
#include "oidc/strict_json.h"

#define ISSUER "https://issuer.example/oidc"

static struct arena arena;
static struct discovery found;
static const char *why;

static int
fresh(void **state)
{
	(void)state;
	arena_init(&arena, 1u << 18);
	memset(&found, 0, sizeof(found));
	why = NULL;
	return 0;
}

static int
done(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static enum err
parse(const char *json)
{
	struct discovery before = found;

	why = NULL;
	enum err err = discovery_parse(slice_str(json), ISSUER, &arena, &found, &why);
	if (err) {
		assert_memory_equal(&found, &before, sizeof(found));
		assert_non_null(why);
	}
	return err;
}

static void
the_endpoints_of_a_good_document_are_read(void **state)
{
	(void)state;
	assert_int_equal(parse("{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"" ISSUER "/keys\",\"authorization_endpoint\":\"" ISSUER "/auth\",\"token_endpoint\":\"" ISSUER
			       "/token\",\"userinfo_endpoint\":\"" ISSUER "/userinfo\",\"device_authorization_endpoint\":\"" ISSUER "/device/code\",\"end_session_endpoint\":\"" ISSUER
			       "/logout\",\"revocation_endpoint\":\"" ISSUER "/token/revoke\",\"scopes_supported\":[\"openid\"],\"x\":{\"y\":[1,2,null]}}"),
		OK);
	assert_true(slice_eq_str(found.issuer, ISSUER));
	assert_true(slice_eq_str(found.jwks_uri, ISSUER "/keys"));
	assert_true(slice_eq_str(found.authorization_endpoint, ISSUER "/auth"));
	assert_true(slice_eq_str(found.token_endpoint, ISSUER "/token"));
	assert_true(slice_eq_str(found.userinfo_endpoint, ISSUER "/userinfo"));
	assert_true(slice_eq_str(found.device_authorization_endpoint, ISSUER "/device/code"));
	assert_true(slice_eq_str(found.end_session_endpoint, ISSUER "/logout"));
	assert_true(slice_eq_str(found.revocation_endpoint, ISSUER "/token/revoke"));
}

static void
endpoints_that_are_not_offered_are_absent(void **state)
{
	(void)state;
	assert_int_equal(parse("{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"https://keys.example/k?v=1\"}"), OK);
	assert_true(slice_eq_str(found.jwks_uri, "https://keys.example/k?v=1"));
	assert_null(found.token_endpoint.p);
	assert_null(found.userinfo_endpoint.p);
}

/* OpenID Connect Discovery 4.3: the issuer MUST be identical to the one asked. */
static void
an_issuer_that_differs_in_one_byte_is_refused(void **state)
{
	static const char *const wrong[] = { "\"" ISSUER "/\"", "\"https://ISSUER.example/oidc\"", "\"http://issuer.example/oidc\"", "\"\"", "null", "7", "[\"" ISSUER "\"]" };
	char json[256];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(json, sizeof(json), "{\"issuer\":%s,\"jwks_uri\":\"%s/keys\"}", wrong[i], ISSUER);
		assert_int_equal(parse(json), E_FORMAT);
		assert_non_null(strstr(why, "issuer"));
	}
	assert_int_equal(parse("{\"jwks_uri\":\"" ISSUER "/keys\"}"), E_FORMAT);
}

static void
an_endpoint_that_is_no_url_or_weaker_than_the_issuer_is_refused(void **state)
{
	static const char *const bad[] = { "\"http://issuer.example/keys\"", "\"\"", "\"/keys\"", "\"ftp://issuer.example/keys\"", "\"file:///etc/passwd\"", "\"https://\"",
		"\"https://user@issuer.example/keys\"", "\"https://issuer.example/keys#x\"", "\"https://issuer.example/a\\r\\nb\"", "\"https://issuer.example/a b\"", "null", "7", "{}" };
	char json[512];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(json, sizeof(json), "{\"issuer\":\"%s\",\"jwks_uri\":%s}", ISSUER, bad[i]);
		assert_int_equal(parse(json), E_FORMAT);
		snprintf(json, sizeof(json), "{\"issuer\":\"%s\",\"jwks_uri\":\"%s/keys\",\"token_endpoint\":%s}", ISSUER, ISSUER, bad[i]);
		assert_int_equal(parse(json), E_FORMAT);
	}
	assert_int_equal(parse("{\"issuer\":\"" ISSUER "\"}"), E_FORMAT);
	assert_string_equal(why, "it has no jwks_uri");
	/* Where the issuer itself is plain http, as on a developer's machine, its endpoints may be. */
	assert_int_equal(discovery_parse(SLICE_LIT("{\"issuer\":\"http://localhost:5556\",\"jwks_uri\":\"http://localhost:5556/keys\"}"), "http://localhost:5556", &arena, &found, &why), OK);
	assert_int_equal(discovery_parse(SLICE_LIT("{\"issuer\":\"accounts.example\",\"jwks_uri\":\"http://accounts.example/keys\"}"), "accounts.example", &arena, &found, &why), OK);
}

static void
what_is_no_document_or_too_long_is_refused(void **state)
{
	static const char *const bad[] = { "", "[]", "null", "{", "<html>", "{\"issuer\":\"" ISSUER "\",\"issuer\":\"x\",\"jwks_uri\":\"https://a/\"}", "{} x", "\xEF\xBB\xBF{}" };
	char *text = malloc(DISCOVERY_BYTES_MAX + 1);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse(bad[i]), E_FORMAT);
	memset(text, ' ', DISCOVERY_BYTES_MAX + 1);
	memcpy(text, "{}", 2);
	assert_int_equal(discovery_parse(slice_of(text, DISCOVERY_BYTES_MAX), ISSUER, &arena, &found, &why), E_FORMAT);
	assert_int_equal(discovery_parse(slice_of(text, DISCOVERY_BYTES_MAX + 1), ISSUER, &arena, &found, &why), E_LIMIT);
	free(text);
}

static void
an_exhausted_arena_is_out_of_memory(void **state)
{
	const struct slice json = SLICE_LIT("{\"issuer\":\"" ISSUER "\",\"jwks_uri\":\"" ISSUER "/keys\",\"token_endpoint\":\"" ISSUER "/token\"}");
	size_t failed = 0;
	enum err err = E_NOMEM;

	(void)state;
	for (size_t bytes = 8; err; bytes += 8) {
		struct arena small;
		arena_init(&small, bytes);
		err = discovery_parse(json, ISSUER, &small, &found, &why);
		assert_true(err == OK || err == E_NOMEM);
		failed += err == E_NOMEM;
		if (err)
			assert_string_equal(why, "out of memory");
		arena_fini(&small);
		assert_true(bytes < 8192);
	}
	assert_true(failed > 3);
}

static const char *const codes[] = { "code", NULL };
static const char *const algs[] = { "RS256", NULL };

static bool
lists(const json_t *root, const char *name, const char *item)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(root, name), i, v) {
		if (strcmp(json_string_value(v), item) == 0)
			return true;
	}
	return false;
}

/* OpenID Connect Discovery 3, RFC 8414 section 2, RFC 9207 section 3. */
static void
what_is_offered_is_printed_and_reads_back(void **state)
{
	const struct discovery_offer offer = { .issuer = ISSUER, .auth_path = "/auth", .token_path = "/token", .keys_path = "/keys", .userinfo_path = "/userinfo",
		.device_path = "/device/code", .introspect_path = "/token/introspect", .revoke_path = "/token/revoke", .logout_path = "/logout", .response_types = codes, .grant_types = codes,
		.algs = algs, .pkce_methods = codes, .scopes = codes, .claims = codes, .response_modes = codes, .backchannel_logout = true };
	struct buf out;
	json_t *root;

	(void)state;
	buf_init(&out, 0);
	discovery_print(&offer, &out);
	assert_true(buf_ok(&out));
	assert_int_equal(parse(out.p), OK);
	assert_true(slice_eq_str(found.end_session_endpoint, ISSUER "/logout"));
	assert_true(slice_eq_str(found.device_authorization_endpoint, ISSUER "/device/code"));
	assert_int_equal(strict_json_parse(buf_slice(&out), &root), OK);
	assert_string_equal(json_string_value(json_object_get(root, "introspection_endpoint")), ISSUER "/token/introspect");
	assert_true(lists(root, "id_token_signing_alg_values_supported", "RS256"));
	assert_true(lists(root, "subject_types_supported", "public"));
	assert_true(lists(root, "token_endpoint_auth_methods_supported", "client_secret_basic"));
	assert_true(lists(root, "token_endpoint_auth_methods_supported", "none"));
	assert_true(lists(root, "revocation_endpoint_auth_methods_supported", "none"));
	/* RFC 7662 section 2.1: introspection is for authenticated callers. */
	assert_true(lists(root, "introspection_endpoint_auth_methods_supported", "client_secret_post"));
	assert_false(lists(root, "introspection_endpoint_auth_methods_supported", "none"));
	assert_true(json_is_false(json_object_get(root, "request_uri_parameter_supported")));
	assert_true(json_is_false(json_object_get(root, "request_parameter_supported")));
	assert_true(json_is_true(json_object_get(root, "authorization_response_iss_parameter_supported")));
	assert_true(json_is_true(json_object_get(root, "backchannel_logout_supported")));
	json_decref(root);
	buf_fini(&out);
}

static void
what_is_not_offered_is_left_out(void **state)
{
	const struct discovery_offer offer = { .issuer = ISSUER, .auth_path = "/auth", .token_path = "/token", .keys_path = "/keys", .response_types = codes, .algs = algs };
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	discovery_print(&offer, &out);
	assert_int_equal(parse(out.p), OK);
	assert_null(strstr(out.p, "userinfo"));
	assert_null(strstr(out.p, "introspection"));
	assert_null(strstr(out.p, "revocation"));
	assert_null(strstr(out.p, "backchannel"));
	assert_null(strstr(out.p, "scopes_supported"));
	buf_fini(&out);
	buf_init(&out, 100);
	discovery_print(&offer, &out);
	assert_false(buf_ok(&out));
	buf_fini(&out);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_endpoints_of_a_good_document_are_read),
		T(endpoints_that_are_not_offered_are_absent),
		T(an_issuer_that_differs_in_one_byte_is_refused),
		T(an_endpoint_that_is_no_url_or_weaker_than_the_issuer_is_refused),
		T(what_is_no_document_or_too_long_is_refused),
		T(an_exhausted_arena_is_out_of_memory),
		T(what_is_offered_is_printed_and_reads_back),
		T(what_is_not_offered_is_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
