#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "authd/github_answer.h"

static struct arena arena;

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static void
token_is_read_and_github_errors_are_passed_on(void **state)
{
	struct slice token, why;
	(void)state;
	assert_int_equal(github_answer_token(SLICE_LIT("{\"access_token\":\"gho_x\",\"scope\":\"user:email\",\"token_type\":\"bearer\"}"), &arena, &token, &why), OK);
	assert_true(slice_eq_str(token, "gho_x"));
	assert_int_equal(github_answer_token(SLICE_LIT("{\"error\":\"bad_verification_code\",\"error_description\":\"The code passed is incorrect or expired.\"}"),
				 &arena, &token, &why),
		E_DENIED);
	assert_true(slice_eq_str(why, "The code passed is incorrect or expired."));
	assert_null(token.p);
	assert_int_equal(github_answer_token(SLICE_LIT("{\"error\":\"x\"}"), &arena, &token, &why), E_DENIED);
	assert_true(slice_eq_str(why, "x"));
}

static void
token_answers_that_are_not_as_documented_are_refused(void **state)
{
	static const char *const bad[] = { "", "null", "[]", "{}", "{\"access_token\":\"\"}", "{\"access_token\":7}", "{\"access_token\":\"a\\nb\"}",
		"access_token=gho_x&scope=", "{\"access_token\":\"a\",\"access_token\":\"b\"}", "{\"access_token\":\"a\"} x", "<html>" };
	struct slice token, why;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(github_answer_token(slice_str(bad[i]), &arena, &token, &why), E_FORMAT);
}

static void
user_needs_a_numeric_id_and_a_login(void **state)
{
	struct github_user u;
	static const char *const bad[] = { "{}", "[]", "{\"id\":0,\"login\":\"a\"}", "{\"id\":-1,\"login\":\"a\"}", "{\"id\":\"7\",\"login\":\"a\"}",
		"{\"id\":1.5,\"login\":\"a\"}", "{\"id\":7}", "{\"id\":7,\"login\":\"\"}", "{\"id\":7,\"login\":null}", "{\"id\":7,\"login\":\"a\\u0000b\"}",
		"{\"id\":7,\"login\":\"a\",\"name\":5}", "{\"id\":99999999999999999999,\"login\":\"a\"}" };
	(void)state;
	assert_int_equal(github_answer_user(SLICE_LIT("{\"id\":583231,\"login\":\"octocat\",\"name\":null}"), &arena, &u), OK);
	assert_int_equal(u.id, 583231);
	assert_true(slice_eq_str(u.login, "octocat"));
	assert_int_equal(u.name.n, 0);
	assert_int_equal(github_answer_user(SLICE_LIT("{\"id\":1,\"login\":\"a\",\"name\":\" Ann \"}"), &arena, &u), OK);
	assert_true(slice_eq_str(u.name, "Ann"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(github_answer_user(slice_str(bad[i]), &arena, &u), E_FORMAT);
}

static struct slice
best_email(const char *json, const char *domain)
{
	struct slice best = SLICE_NONE;
	int rank = 0;
	assert_int_equal(github_answer_emails(slice_str(json), domain, &arena, &best, &rank), OK);
	return best;
}

#define EMAILS                                                        \
	"[{\"email\":\"old@corp.example\",\"verified\":false,\"primary\":false}," \
	"{\"email\":\"me@home.example\",\"verified\":true,\"primary\":true},"     \
	"{\"email\":\"me@corp.example\",\"verified\":true,\"primary\":false},"    \
	"{\"email\":\"me@eu.corp.example\",\"verified\":true,\"primary\":false}]"

static void
only_verified_addresses_count_and_the_preferred_domain_comes_first(void **state)
{
	(void)state;
	assert_true(slice_eq_str(best_email(EMAILS, NULL), "me@home.example"));
	assert_true(slice_eq_str(best_email(EMAILS, ""), "me@home.example"));
	assert_true(slice_eq_str(best_email(EMAILS, "CORP.example"), "me@corp.example"));
	assert_true(slice_eq_str(best_email(EMAILS, "other.example"), "me@home.example"));
	assert_int_equal(best_email("[{\"email\":\"a@b\",\"verified\":false,\"primary\":true}]", NULL).n, 0);
	assert_int_equal(best_email("[{\"email\":\"a@b\",\"verified\":\"true\",\"primary\":true}]", NULL).n, 0);
	assert_int_equal(best_email("[{\"email\":\"ab\",\"verified\":true,\"primary\":true}]", NULL).n, 0);
	assert_int_equal(best_email("[{\"email\":\"a@b\",\"verified\":true,\"primary\":false}]", NULL).n, 0);
	assert_int_equal(best_email("[]", NULL).n, 0);
}

static void
a_star_in_the_preferred_domain_stands_for_one_label(void **state)
{
	(void)state;
	assert_true(slice_eq_str(best_email(EMAILS, "*.corp.example"), "me@eu.corp.example"));
	assert_true(slice_eq_str(best_email(EMAILS, "eu.*.example"), "me@eu.corp.example"));
	assert_true(slice_eq_str(best_email(EMAILS, "*"), "me@home.example"));
	assert_true(slice_eq_str(best_email("[{\"email\":\"a@corp.example.evil\",\"verified\":true,\"primary\":false}]", "corp.example"), ""));
}

static void
damaged_email_lists_are_refused(void **state)
{
	static const char *const bad[] = { "", "{}", "[{}]", "[{\"email\":5}]", "[{\"email\":\"a\\r\\nb@c\",\"verified\":true}]" };
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct slice best = SLICE_NONE;
		int rank = 0;
		assert_int_equal(github_answer_emails(slice_str(bad[i]), NULL, &arena, &best, &rank), E_FORMAT);
	}
}

static void
next_page_is_followed_only_at_the_api_itself(void **state)
{
	struct slice api = SLICE_LIT("https://api.github.com");
	(void)state;
	assert_true(slice_eq_str(
		github_answer_next(SLICE_LIT("<https://api.github.com/user/teams?page=1>; rel=\"prev\", <https://api.github.com/user/teams?page=3>; rel=\"next\""), api),
		"https://api.github.com/user/teams?page=3"));
	assert_null(github_answer_next(SLICE_LIT("<https://api.github.com/x?page=9>; rel=\"last\""), api).p);
	assert_null(github_answer_next(SLICE_LIT("<https://evil.example/x>; rel=\"next\""), api).p);
	assert_null(github_answer_next(SLICE_LIT("<https://api.github.com.evil.example/x>; rel=\"next\""), api).p);
	assert_null(github_answer_next(SLICE_LIT("<https://api.github.com@evil.example/x>; rel=\"next\""), api).p);
	assert_null(github_answer_next(SLICE_LIT("<https://api.github.com"), api).p);
	assert_null(github_answer_next(SLICE_NONE, api).p);
}

#define TEAMS                                                                                                   \
	"[{\"name\":\"Site Ops\",\"slug\":\"site-ops\",\"organization\":{\"login\":\"Acme\"}},"                         \
	"{\"name\":\"Dev\",\"slug\":\"dev\",\"organization\":{\"login\":\"Acme\"}},"                                    \
	"{\"name\":\"Dev\",\"slug\":\"dev\",\"organization\":{\"login\":\"Other\"}}]"

static struct github_teams
sample_teams(void)
{
	struct github_teams t = { NULL, 0, 0 };
	assert_int_equal(github_answer_teams(SLICE_LIT(TEAMS), &arena, &t), OK);
	assert_int_equal(t.n, 3);
	return t;
}

static void
groups_of_listed_orgs_match_without_case_and_keep_the_configured_name(void **state)
{
	const char *teams_wanted[] = { "SITE-OPS" };
	struct github_org orgs[] = { { "acme", { teams_wanted, 1 } }, { "Elsewhere", { NULL, 0 } } };
	struct github_config c = { .orgs = { orgs, 2 }, .team_name_field = 0 };
	bool in_acme[] = { true, false }, in_none[] = { false, false }, in_both[] = { true, true };
	struct github_teams t = sample_teams();
	struct record_strings none = { NULL, 0 }, groups;
	(void)state;
	assert_int_equal(github_groups(&c, in_acme, &t, &none, &arena, &groups), OK);
	assert_int_equal(groups.n, 1);
	assert_true(slice_eq_str(groups.items[0], "acme:Site Ops"));
	c.team_name_field = 2;
	assert_int_equal(github_groups(&c, in_both, &t, &none, &arena, &groups), OK);
	assert_int_equal(groups.n, 2);
	assert_true(slice_eq_str(groups.items[1], "acme:site-ops"));
	/* A team of the right name in an org that the person is no member of lets nobody in. */
	assert_int_equal(github_groups(&c, in_none, &t, &none, &arena, &groups), E_DENIED);
	teams_wanted[0] = "absent";
	assert_int_equal(github_groups(&c, in_acme, &t, &none, &arena, &groups), E_DENIED);
	/* An org without a list of teams lets its members in, with the teams that they have. */
	assert_int_equal(github_groups(&c, (bool[]){ false, true }, &t, &none, &arena, &groups), OK);
	assert_int_equal(groups.n, 0);
}

static void
legacy_org_gives_bare_team_names(void **state)
{
	struct github_config c = { .org = "acme", .team_name_field = 1 };
	struct github_teams t = sample_teams();
	struct record_strings none = { NULL, 0 }, groups;
	(void)state;
	assert_int_equal(github_groups(&c, (bool[]){ true }, &t, &none, &arena, &groups), OK);
	assert_int_equal(groups.n, 2);
	assert_true(slice_eq_str(groups.items[0], "site-ops"));
	assert_int_equal(github_groups(&c, (bool[]){ false }, &t, &none, &arena, &groups), E_DENIED);
}

static void
load_all_groups_lists_orgs_and_their_teams(void **state)
{
	struct github_config c = { .load_all_groups = true };
	struct github_teams t = sample_teams();
	struct record_strings orgs = { NULL, 0 }, groups;
	(void)state;
	assert_int_equal(github_answer_orgs(SLICE_LIT("[{\"login\":\"Acme\"},{\"login\":\"Other\"},{\"login\":\"Third\"}]"), &arena, &orgs), OK);
	assert_int_equal(github_groups(&c, (bool[]){ false }, &t, &orgs, &arena, &groups), OK);
	assert_int_equal(groups.n, 6);
	assert_true(slice_eq_str(groups.items[3], "Acme:Site Ops"));
	c.load_all_groups = false;
	assert_int_equal(github_groups(&c, (bool[]){ false }, &t, &orgs, &arena, &groups), OK);
	assert_int_equal(groups.n, 0);
}

static void
damaged_team_and_org_lists_are_refused_and_long_ones_bounded(void **state)
{
	static const char *const bad[] = { "", "{}", "[{}]", "[{\"name\":\"a\",\"slug\":\"b\"}]", "[{\"name\":1,\"slug\":\"b\",\"organization\":{\"login\":\"c\"}}]",
		"[\"x\"]", "[{\"name\":\"a\",\"slug\":\"b\",\"organization\":[]}]" };
	struct github_teams t = { NULL, 0, 0 };
	struct record_strings orgs = { NULL, 0 };
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(github_answer_teams(slice_str(bad[i]), &arena, &t), E_FORMAT);
		assert_int_equal(github_answer_orgs(slice_str(bad[i]), &arena, &orgs), E_FORMAT);
	}
	enum err err = OK;
	for (int i = 0; i < 400 && err == OK; i++)
		err = github_answer_teams(SLICE_LIT(TEAMS), &arena, &t);
	assert_int_equal(err, E_LIMIT);
	assert_int_equal(t.n, RECORD_GROUPS_MAX);
	for (int i = 0; i < RECORD_GROUPS_MAX + 1; i++) {
		char *one = arena_printf(&arena, "[{\"login\":\"o%d\"}]", i);
		assert_non_null(one);
		err = github_answer_orgs(slice_str(one), &arena, &orgs);
		assert_int_equal(err, i < RECORD_GROUPS_MAX ? OK : E_LIMIT);
	}
}

static void
a_token_counts_only_where_the_answer_names_our_application(void **state)
{
	(void)state;
	assert_int_equal(github_answer_check(SLICE_LIT("{\"app\":{\"client_id\":\"ours\"},\"user\":{\"id\":1}}"), "ours"), OK);
	assert_int_equal(github_answer_check(SLICE_LIT("{\"app\":{\"client_id\":\"Ours\"}}"), "ours"), E_DENIED);
	assert_int_equal(github_answer_check(SLICE_LIT("{\"app\":{\"client_id\":1}}"), "ours"), E_FORMAT);
	assert_int_equal(github_answer_check(SLICE_LIT("{\"app\":\"ours\"}"), "ours"), E_FORMAT);
	assert_int_equal(github_answer_check(SLICE_LIT("[]"), "ours"), E_FORMAT);
	assert_int_equal(github_answer_check(SLICE_LIT("{\"app\":{\"client_id\":\"other\",\"client_id\":\"ours\"}}"), "ours"), E_FORMAT);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(token_is_read_and_github_errors_are_passed_on), T(token_answers_that_are_not_as_documented_are_refused),
		T(a_token_counts_only_where_the_answer_names_our_application),
		T(user_needs_a_numeric_id_and_a_login), T(only_verified_addresses_count_and_the_preferred_domain_comes_first),
		T(a_star_in_the_preferred_domain_stands_for_one_label), T(damaged_email_lists_are_refused), T(next_page_is_followed_only_at_the_api_itself),
		T(groups_of_listed_orgs_match_without_case_and_keep_the_configured_name), T(legacy_org_gives_bare_team_names),
		T(load_all_groups_lists_orgs_and_their_teams), T(damaged_team_and_org_lists_are_refused_and_long_ones_bounded) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
