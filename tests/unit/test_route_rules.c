#include "proxyd/route_rules.h"
#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void
a_prefix_covers_whole_segments(void **state)
{
	static const struct {
		const char *prefix, *path;
		bool covers, decoded;
	} rows[] = { { "/a", "/a", true, true }, { "/a", "/a/", true, true }, { "/a", "/a/b", true, true }, { "/a", "/ab", false, false },
		{ "/a", "/", false, false }, { "/a", "", false, false }, { "/", "/", true, true }, { "/", "/x", true, true }, { "/", "*", false, false },
		{ "/a", "/%61", false, true }, { "/a", "/%61/b", false, true }, { "/a", "/%61%2fb", false, true }, { "/a", "/a%2Fb", false, true },
		{ "/a", "/%2561", false, true }, { "/a", "/%25", false, false }, { "/a", "/%6", false, false }, { "/a", "/%", false, false },
		{ "/a", "/%41", false, false }, { "/a", "%2Fa", false, true }, { "/a/b", "/a/%62", false, true }, { "/a", "/a%62", false, false } };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (route_covers(slice_str(rows[i].prefix), slice_str(rows[i].path)) != rows[i].covers)
			fail_msg("%s %s", rows[i].prefix, rows[i].path);
		if (route_covers_decoded(slice_str(rows[i].prefix), slice_str(rows[i].path)) != rows[i].decoded)
			fail_msg("decoded: %s %s", rows[i].prefix, rows[i].path);
	}
}

static void
a_host_is_compared_without_its_port_and_case(void **state)
{
	(void)state;
	assert_true(route_host_is("app.example", SLICE_LIT("app.example")));
	assert_true(route_host_is("app.example", SLICE_LIT("App.Example:8443")));
	assert_false(route_host_is("app.example", SLICE_LIT("app.example.evil")));
	assert_false(route_host_is("app.example", SLICE_LIT("evil:app.example")));
	assert_false(route_host_is("app.example", SLICE_LIT("[::1]:443")));
	assert_false(route_host_is("app.example", SLICE_NONE));
}

static void
one_of_the_groups_is_enough_and_no_list_lets_everybody_in(void **state)
{
	struct slice mine[] = { SLICE_LIT("dev"), SLICE_LIT("ops") };
	const struct identity jane = { .groups = mine, .group_n = 2 }, nobody = { .group_n = 0 };
	const char *allowed[] = { "admins", "ops" }, *other[] = { "admins", "Ops", "op", "opsx" }, *everybody[] = { "system:authenticated" };

	(void)state;
	assert_true(route_groups_allow(&(struct config_strings){ allowed, 2 }, &jane));
	assert_false(route_groups_allow(&(struct config_strings){ allowed, 1 }, &jane));
	assert_false(route_groups_allow(&(struct config_strings){ other, 4 }, &jane));
	assert_false(route_groups_allow(&(struct config_strings){ allowed, 2 }, &nobody));
	assert_true(route_groups_allow(&(struct config_strings){ NULL, 0 }, &nobody));
	assert_true(route_groups_allow(&(struct config_strings){ everybody, 1 }, &nobody));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_prefix_covers_whole_segments),
		cmocka_unit_test(a_host_is_compared_without_its_port_and_case),
		cmocka_unit_test(one_of_the_groups_is_enough_and_no_list_lets_everybody_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
