#include "tests/unit/unit.h"
#include "oidc/token_request.h"

#define FORM SLICE_LIT("application/x-www-form-urlencoded")
#define CODE "grant_type=authorization_code&code=c"

static struct arena arena;
static struct form body;
static struct token_request asked;
static struct client_credentials who;
static struct token_error error;

static int
fresh(void **state)
{
	(void)state;
	arena_init(&arena, 1u << 20);
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
checked(enum err err)
{
	if (err == OK) {
		assert_null(error.error);
	} else {
		assert_int_equal(err, E_FORMAT);
		assert_true(error.status == 400 || error.status == 401);
		assert_true(strlen(error.description) > 10);
	}
	return err;
}

static enum err
parse(const char *authorization, const char *query, const char *text)
{
	assert_int_equal(form_parse(slice_str(text), &arena, &body), OK);
	return checked(token_request_parse(FORM, slice_str(authorization), slice_str(query), &body, &arena, &asked, &error));
}

static void
assert_refused(const char *authorization, const char *query, const char *text, const char *expected, int status)
{
	assert_int_equal(parse(authorization, query, text), E_FORMAT);
	assert_string_equal(error.error, expected);
	assert_int_equal(error.status, status);
}

static enum err
credentials(const char *authorization, const char *text)
{
	assert_int_equal(form_parse(slice_str(text), &arena, &body), OK);
	return checked(client_credentials_parse(slice_str(authorization), &body, &arena, &who, &error));
}

static void
a_code_request_is_read(void **state)
{
	(void)state;
	assert_int_equal(parse(NULL, NULL, CODE "&client_id=cli&redirect_uri=http%3A%2F%2Flocalhost&code_verifier=v&scope=openid+email&foo=bar"), OK);
	assert_int_equal(asked.grant, GRANT_AUTHORIZATION_CODE);
	assert_int_equal(asked.client.how, CLIENT_AUTH_NONE);
	assert_true(slice_eq_str(asked.client.id, "cli"));
	assert_true(slice_eq_str(asked.code, "c"));
	assert_true(slice_eq_str(asked.redirect_uri, "http://localhost"));
	assert_true(slice_eq_str(asked.code_verifier, "v"));
	assert_true(slice_eq_str(asked.scope, "openid email"));
	assert_int_equal(asked.refresh_token.n, 0);
}

static void
every_grant_type_is_known_by_its_exact_name(void **state)
{
	static const struct {
		const char *text;
		enum grant_type grant;
	} cases[] = { { "grant_type=authorization_code&code=c", GRANT_AUTHORIZATION_CODE }, { "grant_type=refresh_token&refresh_token=r", GRANT_REFRESH_TOKEN },
		{ "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=d", GRANT_DEVICE_CODE }, { "grant_type=password&username=u&password=p", GRANT_PASSWORD },
		{ "grant_type=client_credentials", GRANT_CLIENT_CREDENTIALS }, { "grant_type=urn:ietf:params:oauth:grant-type:token-exchange", GRANT_TOKEN_EXCHANGE } };
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "%s&client_id=web&client_secret=s", cases[i].text);
		assert_int_equal(parse(NULL, NULL, text), OK);
		assert_int_equal(asked.grant, cases[i].grant);
	}
	assert_refused(NULL, NULL, "grant_type=implicit&client_id=web", "unsupported_grant_type", 400);
	assert_refused(NULL, NULL, "grant_type=Authorization_code&code=c&client_id=web", "unsupported_grant_type", 400);
	assert_refused(NULL, NULL, "code=c&client_id=web", "invalid_request", 400);
	assert_refused(NULL, NULL, "grant_type=&code=c&client_id=web", "invalid_request", 400);
}

static void
a_grant_without_its_credential_is_an_invalid_request(void **state)
{
	(void)state;
	assert_refused(NULL, NULL, "grant_type=authorization_code&client_id=web", "invalid_request", 400);
	assert_refused(NULL, NULL, "grant_type=authorization_code&code=&client_id=web", "invalid_request", 400);
	assert_refused(NULL, NULL, "grant_type=refresh_token&code=c&client_id=web", "invalid_request", 400);
	assert_refused(NULL, NULL, "grant_type=refresh_token&refresh_token=&client_id=web", "invalid_request", 400);
}

/* RFC 6749 section 2.3.1: both parts are form-encoded, then joined and encoded once more. */
static void
basic_credentials_are_decoded_twice(void **state)
{
	static const struct {
		const char *header, *id, *secret;
	} good[] = {
		{ "Basic d2ViOnNlY3JldA==", "web", "secret" },
		{ "basic d2ViOnNlY3JldA==", "web", "secret" },
		{ "BASIC   d2ViOnNlY3JldA==", "web", "secret" },
		{ "Basic d2ViOg==", "web", "" },
		{ "Basic d2ViOmE6Yg==", "web", "a:b" },
		{ "Basic YSUzQWI6YyUyNStk", "a:b", "c% d" }, /* a%3Ab:c%25+d */
		{ "Basic d2ViOj8/Pz4+Pg==", "web", "?\?\?>>>" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(credentials(good[i].header, ""), OK);
		assert_int_equal(who.how, CLIENT_AUTH_BASIC);
		assert_true(slice_eq_str(who.id, good[i].id));
		assert_true(slice_eq_str(who.secret, good[i].secret));
	}
}

/* RFC 6749 section 5.2: 401 where the client tried the Authorization header. */
static void
a_malformed_authorization_header_is_an_invalid_client(void **state)
{
	static const char *const bad[] = { "", "Basic", "Basic ", "Bearer abc", "Basicd2ViOnNlY3JldA==", "Basic d2ViOnNlY3JldA=", "Basic d2ViOnNlY3JldA", "Basic d2Vi OnNlY3JldA==",
		"Basic d2ViOnNlY3JldA==,", "Basic d2ViOnNlY3JldB==", "Basic ====", "Basic d2Vi", "Basic OnNlY3JldA==", "Basic Og==", "Basic d2ViOj8_Pz4-Pg==", "Basic d2ViOj4-", "Basic d2ViOgA=",
		"Basic d2ViOiU=", "Basic d2ViOiUwMA==", "Basic d2ViOv8=", "Basic /2ViOg==", "Digest username=web", "Basic d2V=OnNlY3JldA==" };
	char *header = malloc(9000);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(credentials(bad[i], "client_id=web&client_secret=secret"), E_FORMAT);
		assert_string_equal(error.error, "invalid_client");
		assert_int_equal(error.status, 401);
	}
	memset(header, 'A', 8999);
	memcpy(header, "Basic ", 6);
	header[6 + 8196] = '\0';
	assert_int_equal(credentials(header, ""), E_FORMAT);
	free(header);
}

static void
credentials_in_the_body_are_post_and_an_id_alone_is_none(void **state)
{
	(void)state;
	assert_int_equal(credentials(NULL, "client_id=web&client_secret=s+%26"), OK);
	assert_int_equal(who.how, CLIENT_AUTH_POST);
	assert_true(slice_eq_str(who.id, "web"));
	assert_true(slice_eq_str(who.secret, "s &"));
	assert_int_equal(credentials(NULL, "client_id=cli"), OK);
	assert_int_equal(who.how, CLIENT_AUTH_NONE);
	assert_null(who.secret.p);
	/* RFC 6749 section 3.2: without a value, as if omitted. */
	assert_int_equal(credentials(NULL, "client_id=cli&client_secret="), OK);
	assert_int_equal(who.how, CLIENT_AUTH_NONE);
	assert_int_equal(credentials(NULL, ""), E_FORMAT);
	assert_string_equal(error.error, "invalid_client");
	assert_int_equal(error.status, 401);
	assert_int_equal(credentials(NULL, "client_id=&client_secret=s"), E_FORMAT);
	assert_string_equal(error.error, "invalid_client");
}

/* RFC 6749 section 2.3: MUST NOT use more than one authentication method. */
static void
two_ways_to_authenticate_are_refused(void **state)
{
	const char *basic = "Basic d2ViOnNlY3JldA==";

	(void)state;
	assert_int_equal(credentials(basic, "client_id=web&client_secret=secret"), E_FORMAT);
	assert_string_equal(error.error, "invalid_request");
	assert_int_equal(credentials(basic, "client_secret=other"), E_FORMAT);
	assert_string_equal(error.error, "invalid_request");
	assert_int_equal(credentials(basic, "client_id=other"), E_FORMAT);
	assert_string_equal(error.error, "invalid_request");
	/* Saying again who one is does no harm. */
	assert_int_equal(credentials(basic, "client_id=web&client_secret="), OK);
	assert_int_equal(who.how, CLIENT_AUTH_BASIC);
	assert_int_equal(credentials(basic, "client_assertion=x"), E_FORMAT);
	assert_string_equal(error.error, "invalid_client");
	assert_int_equal(credentials(NULL, "client_id=web&client_assertion_type=x"), E_FORMAT);
	assert_string_equal(error.error, "invalid_client");
}

/* RFC 6749 section 3.2. */
static void
a_repeated_parameter_is_an_invalid_request(void **state)
{
	(void)state;
	assert_refused(NULL, NULL, CODE "&code=d&client_id=web", "invalid_request", 400);
	assert_refused(NULL, NULL, CODE "&client_id=web&client_id=web", "invalid_request", 400);
	assert_refused(NULL, NULL, CODE "&client_id=web&x=1&x=1", "invalid_request", 400);
	assert_int_equal(credentials(NULL, "client_id=web&client_id=other"), E_FORMAT);
	assert_string_equal(error.error, "invalid_request");
	/* RFC 8693 section 2.1 lets these be repeated. */
	assert_int_equal(parse(NULL, NULL, CODE "&client_id=web&resource=a&resource=b&audience=c&audience=d"), OK);
}

static void
a_secret_or_any_other_parameter_in_the_query_is_refused(void **state)
{
	static const char *const bad[] = { "client_secret=s", "client_id=web", "grant_type=authorization_code", "code=c", "x=1&refresh_token=r", "%63lient_secret=s", "client_secret", "token=t",
		"a=%zz", "a=%00", "password=" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(NULL, bad[i], CODE "&client_id=web", "invalid_request", 400);
	assert_int_equal(parse(NULL, "trace=1", CODE "&client_id=web"), OK);
	assert_int_equal(parse(NULL, "", CODE "&client_id=web"), OK);
	assert_int_equal(client_query_check(SLICE_LIT("token=t"), &arena, &error), E_FORMAT);
	assert_int_equal(client_query_check(SLICE_NONE, &arena, &error), OK);
}

static void
the_body_must_be_a_form(void **state)
{
	static const char *const bad[] = { NULL, "", "application/json", "multipart/form-data; boundary=x", "text/plain", "application/x-www-form-urlencodedx", ";" };
	static const char *const good[] = { "application/x-www-form-urlencoded", "Application/X-WWW-Form-URLEncoded", "application/x-www-form-urlencoded; charset=UTF-8",
		" application/x-www-form-urlencoded ;x" };

	(void)state;
	assert_int_equal(form_parse(SLICE_LIT(CODE "&client_id=web"), &arena, &body), OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(checked(token_request_parse(slice_str(bad[i]), SLICE_NONE, SLICE_NONE, &body, &arena, &asked, &error)), E_FORMAT);
		assert_string_equal(error.error, "invalid_request");
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(checked(token_request_parse(slice_str(good[i]), SLICE_NONE, SLICE_NONE, &body, &arena, &asked, &error)), OK);
}

static void
an_exhausted_arena_is_out_of_memory_and_no_refusal(void **state)
{
	size_t failed = 0;
	enum err err = E_NOMEM;

	(void)state;
	assert_int_equal(form_parse(SLICE_LIT(CODE), &arena, &body), OK);
	for (size_t bytes = 16; err; bytes += 16) {
		struct arena small;
		arena_init(&small, bytes);
		err = token_request_parse(FORM, SLICE_LIT("Basic d2ViOnNlY3JldA=="), SLICE_LIT("x=1"), &body, &small, &asked, &error);
		assert_true(err == OK || err == E_NOMEM);
		assert_null(error.error);
		failed += err == E_NOMEM;
		arena_fini(&small);
		assert_true(bytes < 1u << 16);
	}
	assert_true(failed > 3);
}

static void
an_error_prints_as_rfc_6749_says(void **state)
{
	struct token_error e = { .error = "invalid_grant", .description = "say \"no\"", .status = 400 };
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	token_error_print(&e, &out);
	assert_string_equal(out.p, "{\"error\":\"invalid_grant\",\"error_description\":\"say \\\"no\\\"\"}");
	buf_reset(&out);
	e.description[0] = '\0';
	token_error_print(&e, &out);
	assert_string_equal(out.p, "{\"error\":\"invalid_grant\"}");
	buf_fini(&out);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_code_request_is_read),
		T(every_grant_type_is_known_by_its_exact_name),
		T(a_grant_without_its_credential_is_an_invalid_request),
		T(basic_credentials_are_decoded_twice),
		T(a_malformed_authorization_header_is_an_invalid_client),
		T(credentials_in_the_body_are_post_and_an_id_alone_is_none),
		T(two_ways_to_authenticate_are_refused),
		T(a_repeated_parameter_is_an_invalid_request),
		T(a_secret_or_any_other_parameter_in_the_query_is_refused),
		T(the_body_must_be_a_form),
		T(an_exhausted_arena_is_out_of_memory_and_no_refusal),
		T(an_error_prints_as_rfc_6749_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
