/* TokenReview as text: what is asked, and which answers make a caller. */
#include "tests/unit/unit.h"
#include "proxyd/impersonate.h"
#include "proxyd/token_review.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *ours[] = { "gatehouse", "https://kubernetes.default.svc" };
static const struct config_strings none = { NULL, 0 }, two = { ours, 2 };

static void
the_request_says_token_and_audiences(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	token_review_print(SLICE_LIT("a\"b\\c"), &none, &out);
	assert_string_equal(out.p, "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\",\"spec\":{\"token\":\"a\\\"b\\\\c\"}}");
	buf_reset(&out);
	token_review_print(SLICE_LIT("t"), &two, &out);
	assert_string_equal(out.p, "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\",\"spec\":{\"token\":\"t\","
				   "\"audiences\":[\"gatehouse\",\"https://kubernetes.default.svc\"]}}");
	buf_fini(&out);
}

static void
only_visible_characters_are_asked_about(void **state)
{
	static const struct slice no[] = { { "", 0 }, { "a b", 3 }, { "a\tb", 3 }, { "a\0b", 3 }, { "a\x7f", 2 }, { "\xc3\xa9", 2 }, { "a\xff", 2 } };

	(void)state;
	assert_true(token_review_may_ask(SLICE_LIT("ey.J-x_1~+/=\"")));
	for (size_t i = 0; i < COUNT(no); i++)
		assert_false(token_review_may_ask(no[i]));
}

#define REVIEW(status) "{\"kind\":\"TokenReview\",\"apiVersion\":\"authentication.k8s.io/v1\",\"metadata\":{},\"spec\":{\"token\":\"t\"},\"status\":" status "}"
#define YES(user) REVIEW("{\"authenticated\":true,\"user\":" user ",\"audiences\":[\"gatehouse\"]}")

static enum token_review
read_as(const char *text, const struct config_strings *audiences, struct arena *arena, struct identity *id, const char **why)
{
	arena_init(arena, 0);
	return token_review_read(slice_str(text), audiences, arena, id, why);
}

static void
a_service_account_is_taken_with_everything_that_is_said_of_it(void **state)
{
	struct identity id;
	struct arena arena;
	const char *why;
	struct buf headers;

	(void)state;
	assert_int_equal(read_as(YES("{\"username\":\"system:serviceaccount:ci:deployer\",\"uid\":\"u-1\",\"groups\":[\"system:serviceaccounts\","
				     "\"system:serviceaccounts:ci\",\"system:authenticated\"],\"extra\":{\"authentication.kubernetes.io/credential-id\":[\"JTI=1\"],"
				     "\"authentication.kubernetes.io/pod-name\":[\"p\"],\"scopes\":[\"a\",\"b\"],\"nothing\":[],\"null\":null}}"),
				 &two, &arena, &id, &why), TOKEN_REVIEW_YES);
	assert_int_equal(id.how, IDENTITY_TOKEN_REVIEW);
	buf_init(&headers, 0);
	assert_int_equal(impersonate_block(&id, &headers), OK);
	assert_string_equal(headers.p, "Impersonate-User: system:serviceaccount:ci:deployer\r\nImpersonate-Group: system:serviceaccounts\r\n"
				       "Impersonate-Group: system:serviceaccounts:ci\r\nImpersonate-Group: system:authenticated\r\nImpersonate-Uid: u-1\r\n"
				       "Impersonate-Extra-authentication.kubernetes.io%2Fcredential-id: JTI=1\r\n"
				       "Impersonate-Extra-authentication.kubernetes.io%2Fpod-name: p\r\n"
				       "Impersonate-Extra-scopes: a\r\nImpersonate-Extra-scopes: b\r\n");
	buf_fini(&headers);
	arena_fini(&arena);
}

static void
a_user_may_have_no_more_than_a_name(void **state)
{
	static const char *const ways[] = { "{\"username\":\"jane\"}", "{\"username\":\"jane\",\"uid\":\"\",\"groups\":[],\"extra\":{}}",
		"{\"username\":\"jane\",\"uid\":null,\"groups\":null,\"extra\":null}" };
	char text[500];

	(void)state;
	for (size_t i = 0; i < COUNT(ways); i++) {
		struct identity id;
		struct arena arena;
		const char *why;
		snprintf(text, sizeof(text), REVIEW("{\"authenticated\":true,\"user\":%s}"), ways[i]);
		assert_int_equal(read_as(text, &none, &arena, &id, &why), TOKEN_REVIEW_YES);
		assert_true(slice_eq_str(id.username, "jane"));
		assert_int_equal(id.uid.n + id.group_n + id.extra_n, 0);
		arena_fini(&arena);
	}
}

#define JANE "\"user\":{\"username\":\"jane\"}"
static void
the_audience_is_checked_whatever_authenticated_says(void **state)
{
	static const struct {
		const struct config_strings *wanted;
		const char *text;
		enum token_review expected;
	} cases[] = {
		{ &two, REVIEW("{\"authenticated\":true," JANE ",\"audiences\":[\"gatehouse\"]}"), TOKEN_REVIEW_YES },
		{ &two, REVIEW("{\"authenticated\":true," JANE ",\"audiences\":[\"x\",\"https://kubernetes.default.svc\"]}"), TOKEN_REVIEW_YES },
		{ &two, REVIEW("{\"authenticated\":true," JANE ",\"audiences\":[\"vault\"]}"), TOKEN_REVIEW_NO },
		{ &two, REVIEW("{\"authenticated\":true," JANE ",\"audiences\":[\"gatehouse2\",\"gatehous\",\"Gatehouse\"]}"), TOKEN_REVIEW_NO },
		{ &two, REVIEW("{\"authenticated\":true," JANE ",\"audiences\":[]}"), TOKEN_REVIEW_NO },
		{ &two, REVIEW("{\"authenticated\":true," JANE ",\"audiences\":null}"), TOKEN_REVIEW_NO },
		{ &two, REVIEW("{\"authenticated\":true," JANE "}"), TOKEN_REVIEW_NO }, /* a server that knows no audiences */
		{ &two, REVIEW("{\"authenticated\":true," JANE ",\"audiences\":\"gatehouse\"}"), TOKEN_REVIEW_BROKEN },
		{ &two, REVIEW("{\"authenticated\":true," JANE ",\"audiences\":[1]}"), TOKEN_REVIEW_BROKEN },
		{ &none, REVIEW("{\"authenticated\":true," JANE "}"), TOKEN_REVIEW_YES },
		{ &none, REVIEW("{\"authenticated\":true," JANE ",\"audiences\":[\"https://kubernetes.default.svc\"]}"), TOKEN_REVIEW_YES },
		{ &none, REVIEW("{\"authenticated\":true," JANE ",\"audiences\":{}}"), TOKEN_REVIEW_BROKEN },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct identity id;
		struct arena arena;
		const char *why;
		if (read_as(cases[i].text, cases[i].wanted, &arena, &id, &why) != cases[i].expected)
			fail_msg("%zu: %s", i, why);
		arena_fini(&arena);
	}
}

static void
callers_that_must_not_pass_are_refused(void **state)
{
	static const char *const users[] = { "{\"username\":\"\"}", "{}", "{\"username\":null}", "{\"username\":\"system:anonymous\"}",
		"{\"username\":\" root\"}", "{\"username\":\"root\\t\"}", "{\"username\":\"a\\r\\nImpersonate-User: root\"}", "{\"username\":\"a\\u0085\"}",
		"{\"username\":\"jane\",\"uid\":\" 1\"}", "{\"username\":\"jane\",\"groups\":[\"dev\",\"system:masters\"]}",
		"{\"username\":\"jane\",\"groups\":[\" system:masters\"]}", "{\"username\":\"jane\",\"groups\":[\"\"]}",
		"{\"username\":\"jane\",\"extra\":{\"Scopes\":[\"x\"]}}", "{\"username\":\"jane\",\"extra\":{\"\":[\"x\"]}}",
		"{\"username\":\"jane\",\"extra\":{\"a\\nb\":[\"x\"]}}", "{\"username\":\"jane\",\"extra\":{\"a\":[\"\"]}}",
		"{\"username\":\"jane\",\"extra\":{\"gatehouse/original-user\":[\"root\"]}}" };
	char text[500];

	(void)state;
	for (size_t i = 0; i < COUNT(users); i++) {
		struct identity id = { .group_n = 77 };
		struct arena arena;
		const char *why;
		snprintf(text, sizeof(text), YES("%s"), users[i]);
		if (read_as(text, &two, &arena, &id, &why) != TOKEN_REVIEW_NO)
			fail_msg("%s: %s", users[i], why);
		assert_int_equal(id.group_n, 77);
		arena_fini(&arena);
	}
}

static void
a_token_that_is_not_known_is_refused(void **state)
{
	static const char *const answers[] = { REVIEW("{}"), REVIEW("{\"authenticated\":false}"),
		REVIEW("{\"user\":{},\"error\":\"[invalid bearer token, square/go-jose: error in cryptographic primitive]\"}"),
		REVIEW("{\"authenticated\":false,\"user\":{\"username\":\"jane\"},\"audiences\":[\"gatehouse\"]}"),
		REVIEW("{\"user\":{\"username\":\"jane\"},\"audiences\":[\"gatehouse\"]}") };

	(void)state;
	for (size_t i = 0; i < COUNT(answers); i++) {
		struct identity id;
		struct arena arena;
		const char *why;
		assert_int_equal(read_as(answers[i], &two, &arena, &id, &why), TOKEN_REVIEW_NO);
		assert_string_equal(why, "the cluster does not know the token");
		arena_fini(&arena);
	}
}

static void
what_is_no_answer_says_nothing_about_the_token(void **state)
{
	static const char *const answers[] = { "", "yes", "[]", "{}", "null", "<html>", REVIEW("{}") "x", REVIEW("null"), REVIEW("[]"), REVIEW("\"authenticated\""),
		REVIEW("{\"authenticated\":\"true\"," JANE ",\"audiences\":[\"gatehouse\"]}"), REVIEW("{\"authenticated\":1," JANE "}"),
		REVIEW("{\"authenticated\":null," JANE "}"), REVIEW("{\"authenticated\":true,\"authenticated\":false}"),
		REVIEW("{\"authenticated\":true," JANE ",\"audiences\":[\"gatehouse\"],\"error\":\"x\"}"),
		REVIEW("{\"authenticated\":true," JANE ",\"audiences\":[\"gatehouse\"],\"error\":1}"),
		REVIEW("{\"authenticated\":true,\"audiences\":[\"gatehouse\"]}"), YES("[]"), YES("\"jane\""), YES("{\"username\":1}"),
		YES("{\"username\":\"jane\",\"groups\":\"dev\"}"), YES("{\"username\":\"jane\",\"groups\":[1]}"), YES("{\"username\":\"jane\",\"extra\":[]}"),
		YES("{\"username\":\"jane\",\"extra\":{\"a\":\"x\"}}"), YES("{\"username\":\"jane\",\"extra\":{\"a\":[1]}}"),
		"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"code\":500}",
		"{\"kind\":\"TokenReview\",\"apiVersion\":\"authentication.k8s.io/v1beta1\",\"status\":{\"authenticated\":true," JANE "}}",
		"{\"kind\":\"SubjectAccessReview\",\"apiVersion\":\"authentication.k8s.io/v1\",\"status\":{\"authenticated\":true," JANE "}}" };

	(void)state;
	for (size_t i = 0; i < COUNT(answers); i++) {
		struct identity id;
		struct arena arena;
		const char *why;
		if (read_as(answers[i], &two, &arena, &id, &why) != TOKEN_REVIEW_BROKEN)
			fail_msg("%s: %s", answers[i], why);
		assert_string_equal(why, "not a TokenReview that was answered");
		arena_fini(&arena);
	}
}

static void
groups_and_extras_are_bounded(void **state)
{
	static char text[1 << 20];

	(void)state;
	for (int over = 0; over < 2; over++)
		for (int extras = 0; extras < 2; extras++) {
			struct identity id;
			struct arena arena;
			const char *why;
			int most = extras ? IDENTITY_EXTRA_MAX : IDENTITY_GROUPS_MAX;
			size_t n = (size_t)snprintf(text, sizeof(text), "%s", extras ? "{\"username\":\"jane\",\"extra\":{" : "{\"username\":\"jane\",\"groups\":[");
			for (int i = 0; i < most + over; i++)
				n += (size_t)snprintf(text + n, sizeof(text) - n, extras ? "%s\"k%d\":[\"v\"]" : "%s\"g%d\"", i ? "," : "", i);
			snprintf(text + n, sizeof(text) - n, extras ? "}}" : "]}");
			char *whole = NULL;
			assert_true(asprintf(&whole, YES("%s"), text) > 0);
			assert_int_equal(read_as(whole, &two, &arena, &id, &why), over ? TOKEN_REVIEW_NO : TOKEN_REVIEW_YES);
			free(whole);
			arena_fini(&arena);
		}
}

static void
too_little_memory_says_nothing_about_the_token(void **state)
{
	size_t enough = 0;

	(void)state;
	for (size_t bytes = 8; !enough && bytes < 10000; bytes += 8) {
		struct identity id;
		struct arena arena;
		const char *why;
		arena_init(&arena, bytes);
		enum token_review v = token_review_read(
			SLICE_LIT(YES("{\"username\":\"jane\",\"uid\":\"1\",\"groups\":[\"a\",\"b\"],\"extra\":{\"k\":[\"v\"]}}")), &two, &arena, &id, &why);
		if (v == TOKEN_REVIEW_YES)
			enough = bytes;
		else
			assert_string_equal(why, "out of memory");
		assert_true(v == TOKEN_REVIEW_YES || v == TOKEN_REVIEW_BROKEN);
		arena_fini(&arena);
	}
	assert_true(enough > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_request_says_token_and_audiences),
		cmocka_unit_test(only_visible_characters_are_asked_about),
		cmocka_unit_test(a_service_account_is_taken_with_everything_that_is_said_of_it),
		cmocka_unit_test(a_user_may_have_no_more_than_a_name),
		cmocka_unit_test(the_audience_is_checked_whatever_authenticated_says),
		cmocka_unit_test(callers_that_must_not_pass_are_refused),
		cmocka_unit_test(a_token_that_is_not_known_is_refused),
		cmocka_unit_test(what_is_no_answer_says_nothing_about_the_token),
		cmocka_unit_test(groups_and_extras_are_bounded),
		cmocka_unit_test(too_little_memory_says_nothing_about_the_token),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
