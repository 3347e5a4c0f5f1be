#include "tests/unit/unit.h"
#include "oidc/authorization_request.h"

#define CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
#define WEB "client_id=web&redirect_uri=https%3A%2F%2Fapp.example%2Fcb"
#define CLI "client_id=cli&redirect_uri=http%3A%2F%2Flocalhost%3A8000"
#define CODE "&response_type=code"
#define OPENID "&scope=openid"
#define S256 "&code_challenge_method=S256&code_challenge=" CHALLENGE
#define BIT(types) (1u << (types))

static const char *const web_uris[] = { "https://app.example/cb" };
static const char *const cli_uris[] = { "http://localhost:8000" };
static const char *const peers[] = { "other", "web" };
static const struct client clients[] = {
	{ .id = "web", .secret = "s", .redirect_uris = web_uris, .redirect_uri_n = 1 },
	{ .id = "cli", .redirect_uris = cli_uris, .redirect_uri_n = 1, .public = true },
	{ .id = "kubernetes", .secret = "s", .trusted_peers = peers, .trusted_peer_n = 2 },
	{ .id = "closed", .secret = "s" },
};

static const struct client *
find(void *arg, struct slice id)
{
	(void)arg;
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
		if (slice_eq_str(id, clients[i].id))
			return &clients[i];
	}
	return NULL;
}

static struct arena arena;
static struct form form;
static struct authorization_rules rules;
static struct authorization_request asked;
static struct authorization_error error;
static const struct client *client;

static int
fresh(void **state)
{
	(void)state;
	arena_init(&arena, 1u << 20);
	rules = (struct authorization_rules){ .response_types = BIT(RESPONSE_CODE), .client_find = find };
	return 0;
}

static int
done(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static enum authorization_outcome
parse(const char *query)
{
	memset(&asked, 0xa5, sizeof(asked));
	assert_int_equal(form_parse(slice_str(query), &arena, &form), OK);
	enum authorization_outcome outcome = authorization_request_parse(&form, &rules, &asked, &client, &error);
	if (outcome == AUTHORIZATION_OK) {
		assert_null(error.error);
	} else {
		assert_true(strlen(error.description) > 10);
		for (const char *c = error.description; *c; c++)
			assert_true(*c >= 0x20 && *c < 0x7f && *c != '"' && *c != '\\');
	}
	return outcome;
}

static void
assert_page(const char *query, const char *expected)
{
	assert_int_equal(parse(query), AUTHORIZATION_PAGE);
	assert_string_equal(error.error, expected);
}

static void
assert_redirect(const char *query, const char *expected)
{
	assert_int_equal(parse(query), AUTHORIZATION_REDIRECT);
	assert_string_equal(error.error, expected);
	assert_non_null(client);
	assert_true(asked.redirect_uri.n > 0);
	assert_int_not_equal(asked.response_mode, RESPONSE_MODE_DEFAULT);
}

static void
a_whole_request_is_read(void **state)
{
	(void)state;
	assert_int_equal(parse(WEB CODE "&scope=openid+email++profile+groups+offline_access+federated%3Aid+address+phone&state=s%26t&nonce=n&prompt=login+consent&max_age=300"
				   "&login_hint=jane&id_token_hint=h&connector_id=github&response_mode=form_post&display=popup&ui_locales=de&access_type=offline&claims=%7B%7D"
				   "&acr_values=x&foo=bar&resource=a&resource=b" S256),
		AUTHORIZATION_OK);
	assert_ptr_equal(client, &clients[0]);
	assert_true(slice_eq_str(asked.client_id, "web"));
	assert_true(slice_eq_str(asked.redirect_uri, "https://app.example/cb"));
	assert_true(slice_eq_str(asked.state, "s&t"));
	assert_true(slice_eq_str(asked.nonce, "n"));
	assert_true(slice_eq_str(asked.login_hint, "jane"));
	assert_true(slice_eq_str(asked.id_token_hint, "h"));
	assert_true(slice_eq_str(asked.connector_id, "github"));
	assert_int_equal(asked.response_type, RESPONSE_CODE);
	assert_int_equal(asked.response_mode, RESPONSE_MODE_FORM_POST);
	assert_int_equal(asked.scopes,
		SCOPE_OPENID | SCOPE_EMAIL | SCOPE_PROFILE | SCOPE_GROUPS | SCOPE_OFFLINE_ACCESS | SCOPE_FEDERATED_ID | SCOPE_ADDRESS | SCOPE_PHONE);
	assert_true(slice_has_prefix(asked.scope, SLICE_LIT("openid email")));
	assert_int_equal(asked.audience_n, 0);
	assert_int_equal(asked.prompt, PROMPT_LOGIN | PROMPT_CONSENT);
	assert_int_equal(asked.max_age_s, 300);
	assert_int_equal(asked.pkce, PKCE_S256);
	assert_true(slice_eq_str(asked.code_challenge, CHALLENGE));
}

static void
the_smallest_request_is_enough_and_a_nonce_is_not_needed_for_a_code(void **state)
{
	(void)state;
	assert_int_equal(parse(WEB CODE OPENID), AUTHORIZATION_OK);
	assert_int_equal(asked.max_age_s, -1);
	assert_int_equal(asked.prompt, 0);
	assert_int_equal(asked.pkce, PKCE_NONE);
	assert_int_equal(asked.response_mode, RESPONSE_MODE_QUERY);
	assert_int_equal(asked.state.n + asked.nonce.n + asked.code_challenge.n, 0);
}

/* RFC 6749 section 4.1.2.1: MUST NOT automatically redirect. */
static void
without_a_sure_client_and_redirect_uri_there_is_a_page_and_no_redirect(void **state)
{
	(void)state;
	assert_page("", "invalid_request");
	assert_page("redirect_uri=https%3A%2F%2Fapp.example%2Fcb" CODE OPENID, "invalid_request");
	assert_page("client_id=&redirect_uri=https%3A%2F%2Fapp.example%2Fcb" CODE OPENID, "invalid_request");
	assert_page("client_id=nobody&redirect_uri=https%3A%2F%2Fapp.example%2Fcb" CODE OPENID, "invalid_client");
	assert_null(client);
	assert_page("client_id=web" CODE OPENID, "invalid_request");
	assert_page("client_id=web&redirect_uri=" CODE OPENID, "invalid_request");
	assert_page("client_id=web&redirect_uri=https%3A%2F%2Fevil.example%2Fcb" CODE OPENID, "invalid_request");
	assert_page("client_id=web&redirect_uri=https%3A%2F%2Fapp.example%2Fcb%3Fa%3Db" CODE OPENID, "invalid_request");
	assert_page("client_id=web&redirect_uri=http%3A%2F%2Flocalhost%3A8000" CODE OPENID, "invalid_request");
	assert_page(WEB "&client_id=web" CODE OPENID, "invalid_request");
	assert_page(WEB "&redirect_uri=https%3A%2F%2Fevil.example%2Fcb" CODE OPENID, "invalid_request");
	assert_page(WEB "&redirect_uri=https%3A%2F%2Fapp.example%2Fcb" CODE OPENID, "invalid_request");
	/* Whatever else is wrong with the request. */
	assert_page("client_id=web&redirect_uri=https%3A%2F%2Fevil.example%2Fcb&request=x&state=s", "invalid_request");
	char *longer = malloc(5000);
	memset(longer, 'a', 4999);
	memcpy(longer, "client_id=", 10);
	longer[4999] = '\0';
	assert_page(longer, "invalid_client");
	memset(longer, 'a', 4999);
	memcpy(longer, "client_id=web&redirect_uri=", 27);
	assert_page(longer, "invalid_request");
	free(longer);
}

/* RFC 6749 section 3.1. */
static void
a_repeated_parameter_is_an_invalid_request(void **state)
{
	(void)state;
	assert_redirect(WEB CODE OPENID "&scope=email&state=s", "invalid_request");
	assert_true(slice_eq_str(asked.state, "s"));
	assert_non_null(strstr(error.description, "scope"));
	assert_redirect(WEB CODE OPENID "&foo=1&foo=1", "invalid_request");
	assert_redirect(WEB CODE OPENID "&x%22%0A%C3%A4=1&x%22%0A%C3%A4=1", "invalid_request");
	assert_redirect(WEB CODE OPENID "&a-name-that-is-longer-than-the-sixty-four-bytes-that-are-shown-of-it=1&a-name-that-is-longer-than-the-sixty-four-bytes-that-are-shown-of-it=2",
		"invalid_request");
	/* Which state would be the right one? Neither is sent back. */
	assert_redirect(WEB CODE OPENID "&state=a&state=b", "invalid_request");
	assert_int_equal(asked.state.n, 0);
	assert_redirect(WEB CODE OPENID "&foo=1&foo=1&state=a&state=b", "invalid_request");
	assert_int_equal(asked.state.n, 0);
}

static void
request_objects_are_refused_by_name_and_not_ignored(void **state)
{
	(void)state;
	assert_redirect(WEB CODE OPENID "&request=eyJ&state=s", "request_not_supported");
	assert_true(slice_eq_str(asked.state, "s"));
	assert_redirect(WEB CODE OPENID "&request_uri=https%3A%2F%2Fapp.example%2Fr", "request_uri_not_supported");
	/* RFC 6749 section 3.1: without a value, as if omitted. */
	assert_int_equal(parse(WEB CODE OPENID "&request=&request_uri=&response_mode=&prompt=&max_age=&code_challenge=&code_challenge_method=&state=&nonce="), AUTHORIZATION_OK);
}

static void
response_types_that_are_missing_unknown_or_not_offered_are_refused(void **state)
{
	static const char *const bad[] = { "token", "id_token", "code+token", "code+id_token", "none", "x", "code+x", "Code", "code+code", "+", "code%09", "code,token" };
	char query[256];

	(void)state;
	assert_redirect(WEB OPENID "&state=s", "invalid_request");
	assert_true(slice_eq_str(asked.state, "s"));
	assert_redirect(WEB OPENID "&response_type=", "invalid_request");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(query, sizeof(query), "%s&nonce=n&response_type=%s", WEB OPENID, bad[i]);
		assert_redirect(query, "unsupported_response_type");
	}
	rules.response_types = BIT(RESPONSE_CODE | RESPONSE_ID_TOKEN);
	assert_redirect(WEB OPENID CODE, "unsupported_response_type");
	assert_int_equal(parse(WEB OPENID "&nonce=n&response_type=id_token+code"), AUTHORIZATION_OK);
	assert_int_equal(asked.response_type, RESPONSE_CODE | RESPONSE_ID_TOKEN);
	rules.response_types = BIT(RESPONSE_ID_TOKEN | RESPONSE_TOKEN);
	assert_redirect(WEB OPENID "&response_type=id_token+token", "invalid_request"); /* OpenID Core 3.2.2.1: nonce REQUIRED */
	assert_non_null(strstr(error.description, "nonce"));
	assert_int_equal(parse(WEB OPENID "&nonce=n&response_type=id_token+token" S256), AUTHORIZATION_OK);
	assert_int_equal(asked.pkce, PKCE_NONE); /* no code, nothing to bind */
}

/* OAuth 2.0 Multiple Response Type Encoding Practices section 5. */
static void
tokens_and_their_errors_come_back_in_the_fragment_never_in_the_query(void **state)
{
	(void)state;
	rules.response_types = BIT(RESPONSE_CODE) | BIT(RESPONSE_ID_TOKEN);
	assert_int_equal(parse(WEB OPENID "&nonce=n&response_type=id_token"), AUTHORIZATION_OK);
	assert_int_equal(asked.response_mode, RESPONSE_MODE_FRAGMENT);
	assert_redirect(WEB OPENID "&nonce=n&response_type=id_token&response_mode=query", "invalid_request");
	assert_int_equal(asked.response_mode, RESPONSE_MODE_FRAGMENT);
	assert_redirect(WEB OPENID "&nonce=n&response_type=id_token&request=x", "request_not_supported");
	assert_int_equal(asked.response_mode, RESPONSE_MODE_FRAGMENT);
	assert_redirect(WEB CODE OPENID "&response_mode=form_post&request=x", "request_not_supported");
	assert_int_equal(asked.response_mode, RESPONSE_MODE_FORM_POST);
	assert_int_equal(parse(WEB CODE OPENID "&response_mode=query"), AUTHORIZATION_OK);
	assert_int_equal(asked.response_mode, RESPONSE_MODE_QUERY);
	assert_int_equal(parse(WEB CODE OPENID "&response_mode=fragment"), AUTHORIZATION_OK);
	assert_int_equal(asked.response_mode, RESPONSE_MODE_FRAGMENT);
	assert_redirect(WEB CODE OPENID "&response_mode=web_message", "invalid_request");
	assert_int_equal(asked.response_mode, RESPONSE_MODE_QUERY);
}

static void
scopes_must_be_known_and_openid_among_them(void **state)
{
	static const char *const bad[] = { "bogus", "OpenID", "openid+bogus", "openid+audience:server:client_id:", "openid+audience:server:client_id", "openid%09email", "openid,email",
		"openid+%22x%5C%0A%C3%A4", "openid+groups:x", "openid+%7Fx",
		"openid+a-scope-with-a-name-so-long-that-it-would-fill-the-description-and-push-out-the-rest-of-what-is-to-be-said-about-it" };
	char query[512];

	(void)state;
	assert_redirect(WEB CODE "&state=s", "invalid_scope");
	assert_true(slice_eq_str(asked.state, "s"));
	assert_redirect(WEB CODE "&scope=", "invalid_scope");
	assert_redirect(WEB CODE "&scope=email+profile", "invalid_scope");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(query, sizeof(query), "%s&scope=%s", WEB CODE, bad[i]);
		assert_redirect(query, "invalid_scope");
	}
	assert_redirect(WEB CODE "&scope=openid+bogus", "invalid_scope");
	assert_non_null(strstr(error.description, "bogus"));
	assert_int_equal(parse(WEB CODE "&scope=email+openid+openid"), AUTHORIZATION_OK);
	assert_int_equal(asked.scopes, SCOPE_OPENID | SCOPE_EMAIL);
}

/* dex's cross-client scope: the named client must trust the asking one. */
static void
another_client_s_audience_is_given_only_to_its_trusted_peers(void **state)
{
	char query[2048] = WEB CODE "&scope=openid";

	(void)state;
	assert_int_equal(parse(WEB CODE "&scope=openid+audience:server:client_id:kubernetes+audience:server:client_id:web+audience:server:client_id:kubernetes"), AUTHORIZATION_OK);
	assert_int_equal(asked.audience_n, 2);
	assert_true(slice_eq_str(asked.audiences[0], "kubernetes"));
	assert_true(slice_eq_str(asked.audiences[1], "web"));
	assert_redirect(WEB CODE "&scope=openid+audience:server:client_id:closed", "invalid_scope");
	assert_redirect(WEB CODE "&scope=openid+audience:server:client_id:nobody", "invalid_scope");
	assert_redirect(WEB CODE "&scope=openid+audience:server:client_id:cli", "invalid_scope");
	assert_redirect(CLI CODE S256 "&scope=openid+audience:server:client_id:kubernetes", "invalid_scope");
	assert_int_equal(parse(CLI CODE S256 "&scope=openid+audience:server:client_id:cli"), AUTHORIZATION_OK);
	for (int i = 0; i < AUTHORIZATION_AUDIENCES_MAX + 1; i++)
		snprintf(query + strlen(query), sizeof(query) - strlen(query), "+audience:server:client_id:kubernetes");
	assert_int_equal(parse(query), AUTHORIZATION_OK);
	assert_int_equal(asked.audience_n, 1);
}

static struct client many[AUTHORIZATION_AUDIENCES_MAX + 1];
static char names[AUTHORIZATION_AUDIENCES_MAX + 1][8];

static const struct client *
find_many(void *arg, struct slice id)
{
	struct client *all = arg;

	for (size_t i = 0; i < AUTHORIZATION_AUDIENCES_MAX + 1; i++) {
		if (slice_eq_str(id, all[i].id))
			return &all[i];
	}
	return find(NULL, id);
}

static void
as_many_audiences_as_allowed_fit_and_one_more_does_not(void **state)
{
	char query[2048] = WEB CODE "&scope=openid";

	(void)state;
	rules.client_find = find_many;
	rules.arg = many;
	for (size_t i = 0; i < AUTHORIZATION_AUDIENCES_MAX + 1; i++) {
		snprintf(names[i], sizeof(names[i]), "c%zu", i);
		many[i] = (struct client){ .id = names[i], .trusted_peers = peers, .trusted_peer_n = 2 };
	}
	for (size_t i = 0; i < AUTHORIZATION_AUDIENCES_MAX + 1; i++) {
		snprintf(query + strlen(query), sizeof(query) - strlen(query), "+audience:server:client_id:c%zu", i);
		if (i < AUTHORIZATION_AUDIENCES_MAX)
			assert_int_equal(parse(query), AUTHORIZATION_OK);
	}
	assert_redirect(query, "invalid_scope");
}

/* OpenID Connect Core 3.1.2.1. */
static void
prompt_none_goes_with_nothing_else(void **state)
{
	(void)state;
	assert_int_equal(parse(WEB CODE OPENID "&prompt=none"), AUTHORIZATION_OK);
	assert_int_equal(asked.prompt, PROMPT_NONE);
	assert_int_equal(parse(WEB CODE OPENID "&prompt=select_account"), AUTHORIZATION_OK);
	assert_int_equal(asked.prompt, PROMPT_SELECT_ACCOUNT);
	assert_redirect(WEB CODE OPENID "&prompt=none+login&state=s", "invalid_request");
	assert_true(slice_eq_str(asked.state, "s"));
	assert_redirect(WEB CODE OPENID "&prompt=consent+none", "invalid_request");
	assert_redirect(WEB CODE OPENID "&prompt=none+none", "invalid_request");
	assert_redirect(WEB CODE OPENID "&prompt=Login", "invalid_request");
	assert_redirect(WEB CODE OPENID "&prompt=create", "invalid_request");
}

static void
max_age_is_a_number_of_seconds(void **state)
{
	static const char *const bad[] = { "-1", "1.5", "1e3", "x", "%2B1", "+1", "2147483648", "99999999999999999999" };
	char query[256];

	(void)state;
	assert_int_equal(parse(WEB CODE OPENID "&max_age=0"), AUTHORIZATION_OK);
	assert_int_equal(asked.max_age_s, 0);
	assert_int_equal(parse(WEB CODE OPENID "&max_age=2147483647"), AUTHORIZATION_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(query, sizeof(query), "%s&max_age=%s", WEB CODE OPENID, bad[i]);
		assert_redirect(query, "invalid_request");
		assert_int_equal(asked.max_age_s, -1);
	}
}

/* RFC 7636 sections 4.3, 4.4.1; RFC 9700 section 2.1.1. */
static void
a_public_client_must_use_pkce_with_s256(void **state)
{
	(void)state;
	assert_redirect(CLI CODE OPENID "&state=s", "invalid_request");
	assert_true(slice_eq_str(asked.state, "s"));
	assert_int_equal(parse(CLI CODE OPENID S256), AUTHORIZATION_OK);
	assert_int_equal(asked.pkce, PKCE_S256);
	assert_redirect(CLI CODE OPENID "&code_challenge=" CHALLENGE, "invalid_request");
	assert_redirect(CLI CODE OPENID "&code_challenge_method=plain&code_challenge=" CHALLENGE, "invalid_request");
	rules.pkce_plain = true;
	assert_redirect(CLI CODE OPENID "&code_challenge=" CHALLENGE, "invalid_request");
	assert_redirect(CLI CODE OPENID "&code_challenge_method=plain&code_challenge=" CHALLENGE, "invalid_request");
	assert_int_equal(parse(CLI CODE OPENID S256), AUTHORIZATION_OK);
}

static void
a_confidential_client_may_use_pkce_and_must_where_it_is_enforced(void **state)
{
	(void)state;
	assert_int_equal(parse(WEB CODE OPENID S256), AUTHORIZATION_OK);
	assert_redirect(WEB CODE OPENID "&code_challenge=" CHALLENGE, "invalid_request"); /* plain by default, which is off */
	assert_redirect(WEB CODE OPENID "&code_challenge_method=plain&code_challenge=" CHALLENGE, "invalid_request");
	assert_redirect(WEB CODE OPENID "&code_challenge_method=s256&code_challenge=" CHALLENGE, "invalid_request");
	assert_redirect(WEB CODE OPENID "&code_challenge_method=S256", "invalid_request");
	assert_redirect(WEB CODE OPENID "&code_challenge_method=S256&code_challenge=short", "invalid_request");
	rules.pkce_enforce = true;
	assert_redirect(WEB CODE OPENID, "invalid_request");
	rules.pkce_plain = true;
	assert_int_equal(parse(WEB CODE OPENID "&code_challenge=" CHALLENGE), AUTHORIZATION_OK);
	assert_int_equal(asked.pkce, PKCE_PLAIN);
	assert_int_equal(parse(WEB CODE OPENID "&code_challenge_method=plain&code_challenge=" CHALLENGE), AUTHORIZATION_OK);
	assert_int_equal(asked.pkce, PKCE_PLAIN);
	assert_redirect(WEB CODE OPENID "&code_challenge_method=plain&code_challenge=short", "invalid_request");
	assert_redirect(WEB CODE OPENID "&code_challenge_method=S512&code_challenge=" CHALLENGE, "invalid_request");
}

static void
values_that_are_too_long_or_have_control_characters_are_refused(void **state)
{
	static const char *const params[] = { "state", "nonce", "login_hint", "connector_id" };
	char *query = malloc(8192);

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		for (size_t n = 2048; n <= 2049; n++) {
			int at = sprintf(query, "%s&%s=", WEB CODE OPENID, params[i]);
			memset(query + at, 'x', n);
			query[(size_t)at + n] = '\0';
			if (n == 2048)
				assert_int_equal(parse(query), AUTHORIZATION_OK);
			else
				assert_redirect(query, "invalid_request");
		}
	}
	free(query);
	assert_int_equal(parse(WEB CODE OPENID "&state=%C3%A4+~&nonce=%C3%A4+~"), AUTHORIZATION_OK);
	assert_redirect(WEB CODE OPENID "&state=a%0D%0Ab", "invalid_request");
	assert_int_equal(asked.state.n, 0);
	assert_redirect(WEB CODE OPENID "&state=a%7F", "invalid_request");
	assert_redirect(WEB CODE OPENID "&state=s&nonce=a%0Ab", "invalid_request");
	assert_true(slice_eq_str(asked.state, "s"));
}

static void
parameters_are_appended_where_the_response_mode_says(void **state)
{
	static const struct {
		const char *uri;
		enum response_mode mode;
		const char *expected;
	} cases[] = {
		{ "https://a.example/cb", RESPONSE_MODE_QUERY, "https://a.example/cb?code=1" },
		{ "https://a.example/cb", RESPONSE_MODE_DEFAULT, "https://a.example/cb?code=1" },
		{ "https://a.example/cb?x=y", RESPONSE_MODE_QUERY, "https://a.example/cb?x=y&code=1" },
		{ "https://a.example/cb?", RESPONSE_MODE_QUERY, "https://a.example/cb?code=1" },
		{ "https://a.example/cb?x&", RESPONSE_MODE_QUERY, "https://a.example/cb?x&code=1" },
		{ "https://a.example/cb&", RESPONSE_MODE_QUERY, "https://a.example/cb&?code=1" },
		{ "https://a.example/cb", RESPONSE_MODE_FRAGMENT, "https://a.example/cb#code=1" },
		{ "https://a.example/cb?x=y&", RESPONSE_MODE_FRAGMENT, "https://a.example/cb?x=y&#code=1" },
		{ "http://localhost:8000", RESPONSE_MODE_QUERY, "http://localhost:8000?code=1" },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	authorization_redirect_add(&out, SLICE_NONE, RESPONSE_MODE_QUERY, SLICE_LIT("code=1"));
	assert_string_equal(out.p, "?code=1");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&out);
		authorization_redirect_add(&out, slice_str(cases[i].uri), cases[i].mode, SLICE_LIT("code=1"));
		assert_string_equal(out.p, cases[i].expected);
	}
	buf_fini(&out);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_whole_request_is_read),
		T(the_smallest_request_is_enough_and_a_nonce_is_not_needed_for_a_code),
		T(without_a_sure_client_and_redirect_uri_there_is_a_page_and_no_redirect),
		T(a_repeated_parameter_is_an_invalid_request),
		T(request_objects_are_refused_by_name_and_not_ignored),
		T(response_types_that_are_missing_unknown_or_not_offered_are_refused),
		T(tokens_and_their_errors_come_back_in_the_fragment_never_in_the_query),
		T(scopes_must_be_known_and_openid_among_them),
		T(another_client_s_audience_is_given_only_to_its_trusted_peers),
		T(as_many_audiences_as_allowed_fit_and_one_more_does_not),
		T(prompt_none_goes_with_nothing_else),
		T(max_age_is_a_number_of_seconds),
		T(a_public_client_must_use_pkce_with_s256),
		T(a_confidential_client_may_use_pkce_and_must_where_it_is_enforced),
		T(values_that_are_too_long_or_have_control_characters_are_refused),
		T(parameters_are_appended_where_the_response_mode_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
