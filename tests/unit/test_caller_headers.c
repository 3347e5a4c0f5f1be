#include "http_cases.h"
#include "proxyd/caller_headers.h"
#include "proxyd/principal.h"

static struct buf scratch;
static const struct proxyd_config no_clusters;
static struct slice groups[] = { SLICE_LIT("dev") };

static struct principal *
person(enum identity_how how, const char *token, const char *id_tokens)
{
	const struct identity id = { .username = SLICE_LIT("jane"), .groups = groups, .group_n = 1, .how = how, .id_tokens = slice_str(id_tokens) };
	struct principal *p;

	assert_int_equal(principal_new(&id, slice_str(token), 100, 0, &p), OK);
	return p;
}

/* What is told, or the name of the error. */
static const char *
told(enum forward_kind kind, const char *audience, size_t at, const struct principal *who, const char *lines)
{
	static struct parsed p;
	static char text[1000];
	const struct destination to = { .forward.kind = kind, .audience = audience, .audience_at = at };
	struct slice out;

	snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", lines);
	if (parse_both_ways(slice_str(text), true, METHOD_OTHER, &p) != HTTP_OK)
		fail_msg("%s: %s", text, p.why);
	enum err e = caller_headers(&no_clusters, &to, who, &p.head, &scratch, &out);
	if (e)
		return err_name(e);
	snprintf(text, sizeof(text), "%.*s", SLICE_FMT(out));
	return text;
}

static void
each_kind_is_told_in_its_own_words(void **state)
{
	struct principal *jane = person(IDENTITY_JWT, "", "");

	(void)state;
	assert_string_equal(told(FORWARD_CLUSTER, NULL, 0, jane, ""), "Impersonate-User: jane\r\nImpersonate-Group: dev\r\nImpersonate-Group: system:authenticated\r\n");
	assert_string_equal(told(FORWARD_FRONT_PROXY, NULL, 0, jane, ""), "X-Remote-User: jane\r\nX-Remote-Group: dev\r\nX-Remote-Group: system:authenticated\r\n");
	assert_string_equal(told(FORWARD_AUTHD, NULL, 0, jane, ""), "");
	assert_string_equal(told(FORWARD_PLAIN, NULL, 0, jane, ""), "");
	for (enum forward_kind kind = FORWARD_CLUSTER; kind <= FORWARD_PLAIN; kind++)
		assert_string_equal(told(kind, NULL, 0, NULL, "Authorization: Bearer x\r\n"), "");
	principal_unref(jane);
}

static void
a_token_is_passed_on_from_where_it_came(void **state)
{
#define PROTOCOLS "Sec-WebSocket-Protocol: chat, base64url.bearer.authorization.k8s.io."
	struct principal *jane = person(IDENTITY_JWT, "", "");

	(void)state;
	assert_string_equal(told(FORWARD_BEARER, NULL, 0, jane, "Authorization: bearer  a.b.c\r\n"), "Authorization: Bearer a.b.c\r\n");
	assert_string_equal(told(FORWARD_BEARER, NULL, 0, jane, PROTOCOLS "YS5iLmM\r\n"), "Authorization: Bearer a.b.c\r\n");
	/* What the authenticator would not have let through. */
	assert_string_equal(told(FORWARD_BEARER, NULL, 0, jane, ""), err_name(E_FORMAT));
	assert_string_equal(told(FORWARD_BEARER, NULL, 0, jane, "Authorization: Basic x\r\n"), err_name(E_FORMAT));
	assert_string_equal(told(FORWARD_BEARER, NULL, 0, jane, PROTOCOLS "!\r\n"), err_name(E_NOMEM));
	principal_unref(jane);
}

static void
a_sessions_token_is_the_one_for_the_routes_audience(void **state)
{
	struct principal *jane = person(IDENTITY_SESSION, "own", "first\n\nthird\n"), *none = person(IDENTITY_SESSION, "own", "");
	const struct destination second = { .forward.kind = FORWARD_BEARER, .audience = "b", .audience_at = 1 };

	(void)state;
	assert_string_equal(told(FORWARD_BEARER, NULL, 0, jane, "Authorization: Bearer theirs\r\n"), "Authorization: Bearer own\r\n");
	assert_string_equal(told(FORWARD_BEARER, "a", 0, jane, ""), "Authorization: Bearer first\r\n");
	assert_string_equal(told(FORWARD_BEARER, "c", 2, jane, ""), "Authorization: Bearer third\r\n");
	assert_string_equal(told(FORWARD_BEARER, "b", 1, jane, ""), err_name(E_FORMAT));
	assert_string_equal(told(FORWARD_BEARER, "d", 7, jane, ""), err_name(E_FORMAT));
	assert_string_equal(told(FORWARD_BEARER, "a", 0, none, ""), err_name(E_FORMAT));
	assert_non_null(strstr(caller_headers_missing(&second, jane), "audience"));
	principal_unref(jane);
	principal_unref(none);
}

static void
only_id_tokens_are_passed_on(void **state)
{
	static const enum identity_how hows[] = { IDENTITY_CLIENT_CERTIFICATE, IDENTITY_TOKEN_FILE, IDENTITY_TOKEN_REVIEW };
	const struct destination bearer = { .forward.kind = FORWARD_BEARER }, front = { .forward.kind = FORWARD_FRONT_PROXY };

	(void)state;
	for (size_t i = 0; i < COUNT(hows); i++) {
		struct principal *p = person(hows[i], "", "");
		assert_non_null(caller_headers_missing(&bearer, p));
		assert_null(caller_headers_missing(&front, p));
		principal_unref(p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_is_told_in_its_own_words),
		cmocka_unit_test(a_token_is_passed_on_from_where_it_came),
		cmocka_unit_test(a_sessions_token_is_the_one_for_the_routes_audience),
		cmocka_unit_test(only_id_tokens_are_passed_on),
	};
	buf_init(&scratch, 0);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	buf_fini_secret(&scratch);
	return failed;
}
