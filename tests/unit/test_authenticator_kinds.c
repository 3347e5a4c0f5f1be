/* Who is calling, beside tokens of an issuer and sessions: the static token file. */
#include "http_cases.h"
#include "proxyd/authenticator.h"
#include "proxyd/token_file.h"

#define NOW 1800000000
#define JANES "janes-token-0123456789"
#define JOES "joes-token-0123456789"

struct fixture {
	struct proxyd_config config;
	struct arena arena;
	struct clock_fixed clock;
	struct authenticator *a;
	struct caller caller;
	struct principal *p;
	const char *why;
};

static int
setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	struct config_error e = { "" };

	assert_non_null(x);
	arena_init(&x->arena, 0);
	assert_int_equal(token_file_parse(&x->arena, "t", SLICE_LIT(JANES ",jane,7,\"dev,ops\"\n" JOES ",joe,\n"), 8192, &x->config.tokens, &e), OK);
	x->config.authentication.session.cookie_name = "s";
	x->config.limits.token_bytes = 8192;
	x->config.limits.identities = 64;
	clock_fixed_init(&x->clock, NOW);
	x->a = authenticator_new(&x->config, &x->clock.clock);
	assert_non_null(x->a);
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *x = *state;

	principal_unref(x->p);
	principal_unref(x->caller.certificate);
	authenticator_free(x->a);
	arena_fini(&x->arena);
	free(x);
	return 0;
}

/* A request with these lines; what comes out of it stands in x->p and x->why. */
static enum authentication
ask(struct fixture *x, const char *method, const char *lines)
{
	static struct parsed parsed;
	static char text[50000];
	int n = snprintf(text, sizeof(text), "%s /api HTTP/1.1\r\nHost: gw.example\r\n%s\r\n", method, lines);

	assert_int_equal(feed(slice_of(text, (size_t)n), true, METHOD_OTHER, false, &parsed), HTTP_OK);
	principal_unref(x->p);
	return authenticate(x->a, &parsed.head, &x->caller, &x->p, &x->why);
}

static enum authentication
bearer(struct fixture *x, const char *token)
{
	static char line[10000];

	snprintf(line, sizeof(line), "Authorization: Bearer %s\r\n", token);
	return ask(x, "POST", line);
}

static struct authenticator_stats
stats(const struct fixture *x)
{
	struct authenticator_stats s;
	authenticator_stats(x->a, &s);
	return s;
}

static void
token_of_the_file_is_whom_its_line_names(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(bearer(x, JANES), AUTHENTICATED);
	assert_true(slice_eq_str(x->p->headers,
		"Impersonate-User: jane\r\nImpersonate-Group: dev\r\nImpersonate-Group: ops\r\nImpersonate-Group: system:authenticated\r\n"
		"Impersonate-Uid: 7\r\n"));
	assert_int_equal(x->p->identity.how, IDENTITY_TOKEN_FILE);
	assert_int_equal(bearer(x, JOES), AUTHENTICATED);
	assert_true(slice_eq_str(x->p->headers, "Impersonate-User: joe\r\nImpersonate-Group: system:authenticated\r\n"));
}

static void
token_of_the_file_is_remembered_and_does_not_expire(void **state)
{
	struct fixture *x = *state;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(bearer(x, JANES), AUTHENTICATED);
		clock_fixed_advance(&x->clock, 100L * 365 * 86400);
	}
	assert_int_equal(stats(x).misses, 1);
	assert_int_equal(stats(x).hits, 2);
	assert_int_equal(stats(x).entries, 1);
	assert_int_equal(stats(x).signatures, 0);
}

static void
whatever_is_not_a_token_of_the_file_is_refused(void **state)
{
	struct fixture *x = *state;
	static const char *const wrong[] = { "janes-token-012345678", "janes-token-01234567890", "Janes-token-0123456789", "jane", "7", "x", "a.b.c" };

	for (size_t i = 0; i < COUNT(wrong); i++) {
		assert_int_equal(bearer(x, wrong[i]), AUTHENTICATION_REFUSED);
		assert_null(x->p);
	}
	assert_int_equal(ask(x, "GET", "Authorization: Basic " JANES "\r\n"), AUTHENTICATION_REFUSED);
	assert_int_equal(ask(x, "GET", "Cookie: s=" JANES "\r\n"), AUTHENTICATION_NONE);
	assert_int_equal(stats(x).entries, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(token_of_the_file_is_whom_its_line_names, setup, teardown),
		cmocka_unit_test_setup_teardown(token_of_the_file_is_remembered_and_does_not_expire, setup, teardown),
		cmocka_unit_test_setup_teardown(whatever_is_not_a_token_of_the_file_is_refused, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
