/* Kubernetes' static token file: what a line means, and what is refused with its line. */
#include "tests/unit/unit.h"
#include "oidc/id_token.h"
#include "proxyd/token_file.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define T1 "0123456789abcdef0"
#define T2 "31ada4fd-adec-460c-809a-9e56ceb75269"

struct fixture {
	struct arena arena;
	struct token_file file;
	struct config_error e;
};

static int
setup(void **state)
{
	static struct fixture x;

	x = (struct fixture){ .e = { "" } };
	arena_init(&x.arena, 0);
	*state = &x;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *x = *state;

	arena_fini(&x->arena);
	return 0;
}

static enum err
parse(struct fixture *x, struct slice text)
{
	x->e.text[0] = '\0';
	return token_file_parse(&x->arena, "/etc/tokens.csv", text, 8192, &x->file, &x->e);
}

static const struct identity *
find(struct fixture *x, const char *token)
{
	unsigned char digest[CREDENTIAL_DIGEST_BYTES];
	struct credential_hasher h;

	assert_int_equal(credential_hasher_init(&h), OK);
	assert_true(credential_digest(&h, CREDENTIAL_BEARER, SLICE_NONE, slice_str(token), digest));
	credential_hasher_fini(&h);
	return token_file_find(&x->file, digest);
}

static void
a_line_names_a_token_a_user_a_uid_and_groups(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(parse(x, SLICE_LIT(T1 ",jane,42,\"dev,ops\"\n" T2 ",joe,\n")), OK);
	assert_int_equal(x->file.n, 2);
	const struct identity *jane = find(x, T1), *joe = find(x, T2);
	assert_true(slice_eq_str(jane->username, "jane"));
	assert_true(slice_eq_str(jane->uid, "42"));
	assert_int_equal(jane->group_n, 2);
	assert_true(slice_eq_str(jane->groups[0], "dev"));
	assert_true(slice_eq_str(jane->groups[1], "ops"));
	assert_int_equal(jane->how, IDENTITY_TOKEN_FILE);
	assert_int_equal(jane->expires_at, ID_TOKEN_TIME_MAX);
	assert_true(slice_eq_str(joe->username, "joe"));
	assert_int_equal(joe->uid.n, 0);
	assert_int_equal(joe->group_n, 0);
	assert_null(find(x, "0123456789abcdef1"));
	assert_null(find(x, ""));
}

static void
csv_is_read_as_rfc_4180_says(void **state)
{
	struct fixture *x = *state;
	static const char *const same[] = {
		T1 ",jane,42,dev", T1 ",jane,42,dev\n", T1 ",jane,42,dev\r\n", "\n\n" T1 ",jane,42,dev\n\n", "\"" T1 "\",\"jane\",\"42\",\"dev\"\n",
	};

	for (size_t i = 0; i < COUNT(same); i++) {
		assert_int_equal(parse(x, slice_str(same[i])), OK);
		assert_int_equal(x->file.n, 1);
		const struct identity *jane = find(x, T1);
		assert_true(slice_eq_str(jane->username, "jane"));
		assert_true(slice_eq_str(jane->uid, "42"));
		assert_int_equal(jane->group_n, 1);
		assert_true(slice_eq_str(jane->groups[0], "dev"));
	}
	assert_int_equal(parse(x, SLICE_LIT(T1 ",\"a \"\"quoted\"\", name\",\"\",\"\"\n")), OK);
	assert_true(slice_eq_str(find(x, T1)->username, "a \"quoted\", name"));
	assert_int_equal(find(x, T1)->group_n, 0);
	assert_int_equal(parse(x, SLICE_LIT("\"0123456789\"\"abcdef\",jane,\n")), OK);
	assert_non_null(find(x, "0123456789\"abcdef"));
	assert_int_equal(parse(x, SLICE_LIT("")), OK);
	assert_int_equal(x->file.n, 0);
	assert_null(find(x, T1));
}

static void
whatever_is_not_such_a_line_is_refused_with_its_line(void **state)
{
	struct fixture *x = *state;
	static const struct {
		struct slice text;
		const char *expected;
	} cases[] = {
		{ SLICE_LIT(T1 ",jane\n"), "1: expected token,user,uid or" },
		{ SLICE_LIT("\n" T1 "\n"), "2: expected token,user,uid or token,user,uid,\"group1,group2\", found 1 column" },
		{ SLICE_LIT(T1 ",jane,42,dev,ops\n"), "1: expected token,user,uid,\"group1,group2\", found more columns" },
		{ SLICE_LIT(T1 ",jane,42,\"dev\",\n"), "1: expected token,user,uid,\"group1,group2\", found more columns" },
		{ SLICE_LIT("# a comment is none here\n"), "1: expected token,user,uid" },
		{ SLICE_LIT("#a comment is none, here, too\n"), "1: token: expected visible ASCII" },
		{ SLICE_LIT(",jane,42\n"), "1: token: expected at least 16 characters, found 0" },
		{ SLICE_LIT("0123456789abcde,jane,42\n"), "1: token: expected at least 16 characters, found 15" },
		{ SLICE_LIT(" " T1 ",jane,42\n"), "1: token: expected visible ASCII" },
		{ SLICE_LIT("\xef\xbb\xbf" T1 ",jane,42\n"), "1: token: expected visible ASCII" }, /* a byte order mark */
		{ SLICE_LIT("0123456789abcdef\0,jane,42\n"), "1: token: expected visible ASCII" },
		{ SLICE_LIT(T1 ",,42\n"), "1: user: expected" },
		{ SLICE_LIT(T1 ", jane,42\n"), "1: user: expected" },
		{ SLICE_LIT(T1 ",ja\rne,42\n"), "1: user: expected" },
		{ SLICE_LIT(T1 ",jane\0,42\n"), "1: user: expected" },
		{ SLICE_LIT(T1 ",\xff,42\n"), "1: user: expected" },
		{ SLICE_LIT(T1 ",jane,42 \n"), "1: uid: expected" },
		{ SLICE_LIT(T1 ",jane,42,\"dev, ops\"\n"), "1: group 2: expected" },
		{ SLICE_LIT(T1 ",jane,42,\"dev,,ops\"\n"), "1: group 2: expected" },
		{ SLICE_LIT(T1 ",jane,42,\"dev,\"\n"), "1: group 2: expected" },
		{ SLICE_LIT(T1 ",jane,42,\"dev\n"), "1: a quoted value does not end on its line" },
		{ SLICE_LIT(T1 ",jane,42,\"dev\nops\"\n"), "1: a quoted value does not end on its line" },
		{ SLICE_LIT(T1 ",jane,42,\"dev\" \n"), "1: a quoted value is followed by" },
		{ SLICE_LIT(T1 ",\"jane\"x,42\n"), "1: a quoted value is followed by" },
		{ SLICE_LIT(T1 ",ja\"ne,42\n"), "1: a quote inside a value" },
		{ SLICE_LIT("ok-token-0123456789,ok,\n" T1 ",jane,42,\"dev,system:masters\"\n"), "2: group system:masters is above RBAC" },
		{ SLICE_LIT(T2 ",joe,\n\n" T1 ",jane,42\nother-token-0123456,x,\n" T1 ",jane,42\n"), "5: the token of line 3 again" },
		{ SLICE_LIT(T1 ",jane,\n" T1 ",joe,\n" T1 ",mallory,\n"), "2: the token of line 1 again" },
		{ SLICE_LIT(T1 ",jane,\n\"" T1 "\",joe,\n"), "2: the token of line 1 again" },
	};
	char expected[256];

	for (size_t i = 0; i < COUNT(cases); i++) {
		snprintf(expected, sizeof(expected), "/etc/tokens.csv:%s", cases[i].expected);
		enum err e = parse(x, cases[i].text);
		if (e != E_FORMAT || strncmp(x->e.text, expected, strlen(expected)) != 0)
			fail_msg("%s: %s, expected %s", cases[i].text.p, e ? x->e.text : "no error", expected);
		assert_null(strstr(x->e.text, T1)); /* a token is never repeated */
	}
}

/* Kubernetes' own names are the operator's to give in a file of their own. */
static void
system_names_other_than_system_masters_are_taken(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(parse(x, SLICE_LIT(T1 ",system:serviceaccount:ci:deployer,7,\"system:serviceaccounts,system:masters2\"\n")), OK);
	assert_true(slice_eq_str(find(x, T1)->username, "system:serviceaccount:ci:deployer"));
	assert_int_equal(find(x, T1)->group_n, 2);
}

static void
sizes_are_bounded(void **state)
{
	struct fixture *x = *state;
	struct buf text;

	buf_init(&text, 0);
	for (int i = 0; i < 8193; i++)
		buf_add_char(&text, 'a');
	buf_add_str(&text, ",jane,\n");
	assert_int_equal(parse(x, slice_of(text.p + 1, text.n - 1)), OK);
	assert_int_equal(parse(x, buf_slice(&text)), E_FORMAT);
	assert_non_null(strstr(x->e.text, ":1: token: expected at most 8192 characters (limits.tokenBytes), found 8193"));

	buf_reset(&text);
	buf_add_str(&text, T1 ",jane,,\"g");
	for (int i = 1; i < IDENTITY_GROUPS_MAX; i++)
		buf_printf(&text, ",g%d", i);
	buf_add_str(&text, "\"\n");
	assert_int_equal(parse(x, buf_slice(&text)), OK);
	assert_int_equal(find(x, T1)->group_n, IDENTITY_GROUPS_MAX);
	buf_consume(&text, sizeof(T1 ",jane,,\"") - 1);
	struct buf more;
	buf_init(&more, 0);
	buf_add_str(&more, T1 ",jane,,\"one-more,");
	buf_add_slice(&more, buf_slice(&text));
	assert_int_equal(parse(x, buf_slice(&more)), E_FORMAT);
	assert_non_null(strstr(x->e.text, ":1: groups: expected at most 253, found 254"));

	buf_reset(&text);
	for (int i = 0; i < TOKEN_FILE_ENTRIES_MAX; i++)
		buf_printf(&text, "token-number-%08d,user-%d,\n", i, i);
	assert_int_equal(parse(x, buf_slice(&text)), OK);
	assert_int_equal(x->file.n, TOKEN_FILE_ENTRIES_MAX);
	assert_true(slice_eq_str(find(x, "token-number-00012345")->username, "user-12345"));
	buf_add_str(&text, T1 ",one-more,\n");
	assert_int_equal(parse(x, buf_slice(&text)), E_FORMAT);
	assert_non_null(strstr(x->e.text, "expected at most 16384 lines"));
	buf_fini(&text);
	buf_fini(&more);
}

static void
too_little_memory_is_said_and_nothing_is_kept(void **state)
{
	struct fixture *x = *state;
	size_t enough = 0;

	for (size_t bytes = 1; bytes < 4096; bytes++) {
		struct arena small;
		arena_init(&small, bytes);
		x->e.text[0] = '\0';
		enum err e = token_file_parse(&small, "f", SLICE_LIT(T1 ",jane,42,\"dev,ops\"\n"), 8192, &x->file, &x->e);
		if (e == OK) {
			enough = bytes;
			arena_fini(&small);
			break;
		}
		assert_int_equal(e, E_NOMEM);
		assert_string_equal(x->e.text, "f: out of memory");
		arena_fini(&small);
	}
	assert_true(enough > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_names_a_token_a_user_a_uid_and_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(csv_is_read_as_rfc_4180_says, setup, teardown),
		cmocka_unit_test_setup_teardown(whatever_is_not_such_a_line_is_refused_with_its_line, setup, teardown),
		cmocka_unit_test_setup_teardown(system_names_other_than_system_masters_are_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(sizes_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(too_little_memory_is_said_and_nothing_is_kept, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
