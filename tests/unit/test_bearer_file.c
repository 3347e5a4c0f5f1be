#include <sys/stat.h>
#include "tests/unit/unit.h"
#include "shared/bearer_file.h"

#define ONE "0123456789abcdef0123456789abcdef"
#define TWO "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/+=-._~"

static struct arena arena;

static int
begin(void **state)
{
	(void)state;
	arena_init(&arena, 0);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static void
secrets_stand_one_a_line_beside_comments(void **state)
{
	(void)state;
	struct bearer_secrets s;
	const char *why;

	assert_int_equal(bearer_file_parse(SLICE_LIT("# new\n" ONE "\r\n\n  " TWO "  \n#" ONE), &arena, &s, &why), OK);
	assert_int_equal(s.n, 2);
	assert_string_equal(s.items[0].p, ONE);
	assert_string_equal(s.items[1].p, TWO);
}

static void
what_is_short_long_strange_or_missing_is_refused(void **state)
{
	(void)state;
	static char many[9 * 33 + 1], length[BEARER_BYTES_MAX + 2];
	const char *bad[] = { "", "\n\n", "# only a comment\n", "0123456789abcdef0123456789abcde", ONE " " ONE, ONE "\n" ONE "\x01", ONE "\xc3\xa4", "\"" ONE "\"", many, length };
	struct bearer_secrets s;
	const char *why = NULL;

	for (int i = 0; i < 9; i++)
		memcpy(many + 33 * i, ONE "\n", 33);
	memset(length, 'a', BEARER_BYTES_MAX + 1);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_int_equal(bearer_file_parse(slice_str(bad[i]), &arena, &s, &why), E_FORMAT);
		assert_non_null(why);
	}
	assert_int_equal(bearer_file_parse(slice_of(length, BEARER_BYTES_MAX), &arena, &s, &why), OK);
	assert_int_equal(bearer_file_parse(slice_of(many, 8 * 33), &arena, &s, &why), OK);
	assert_int_equal(s.n, BEARER_SECRETS_MAX);
}

static void
any_of_them_matches_as_a_bearer_token_and_nothing_else(void **state)
{
	(void)state;
	struct bearer_secrets s;
	const char *why;

	assert_int_equal(bearer_file_parse(SLICE_LIT(ONE "\n" TWO), &arena, &s, &why), OK);
	assert_true(bearer_secrets_match(&s, SLICE_LIT("Bearer " ONE)));
	assert_true(bearer_secrets_match(&s, SLICE_LIT("bearer  " TWO)));
	static const char *const bad[] = { "", "Bearer", "Bearer ", ONE, "Basic " ONE, "Bearer " ONE "x", "Bearer 0123456789abcdef0123456789abcdeX", "Bearer " ONE "," TWO, "Bearer" ONE };
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(bearer_secrets_match(&s, slice_str(bad[i])));
	assert_false(bearer_secrets_match(&s, SLICE_NONE));
	assert_false(bearer_secrets_match(&(struct bearer_secrets){ .n = 0 }, SLICE_LIT("Bearer ")));
}

static void
a_file_that_everybody_may_read_is_no_secret(void **state)
{
	(void)state;
	char folder[64], path[128];
	struct bearer_secrets s;
	const char *why = "";

	unit_folder_make(folder);
	snprintf(path, sizeof path, "%s/secret", folder);
	assert_int_equal(bearer_file_read(path, &arena, &s, &why), E_SYSTEM);
	unit_file_write(path, ONE "\n", sizeof ONE);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(bearer_file_read(path, &arena, &s, &why), OK);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(bearer_file_read(path, &arena, &s, &why), E_FORMAT);
	assert_non_null(strstr(why, "chmod"));
	static char big[BEARER_FILE_BYTES_MAX + 1];
	memset(big, '\n', sizeof big);
	unit_file_write(path, big, sizeof big);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(bearer_file_read(path, &arena, &s, &why), E_FORMAT);
	unlink(path);
	assert_int_equal(rmdir(folder), 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(secrets_stand_one_a_line_beside_comments),
		T(what_is_short_long_strange_or_missing_is_refused),
		T(any_of_them_matches_as_a_bearer_token_and_nothing_else),
		T(a_file_that_everybody_may_read_is_no_secret),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
