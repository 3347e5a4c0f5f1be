#include "tests/unit/unit.h"
#include "shared/config_path.h"

static struct arena arena;
static struct yaml_node *root;

static int
setup(void **state)
{
	static const char text[] = "Listen:\n"
				   "- address: a\n"
				   "  tls:\n"
				   "    keyFile: k\n"
				   "- address: b\n"
				   "limits: {connections: 1}\n";
	struct config_error e;

	(void)state;
	arena_init(&arena, 0);
	return yaml_parse(&arena, "f.yaml", SLICE_LIT(text), &root, &e);
}

static int
teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static void
assert_at(const char *path, bool any_case, const char *text, int line)
{
	int found = -1;
	const struct yaml_node *n = config_path_node(root, path, any_case, &found);

	assert_int_equal(found, line);
	if (text)
		assert_true(n && slice_eq_str(n->scalar, text));
	else
		assert_null(n);
}

static void
a_place_is_found_with_its_line_or_that_of_what_is_around_it(void **state)
{
	(void)state;
	assert_at("Listen[0].tls.keyFile", false, "k", 4);
	assert_at("Listen[1].address", false, "b", 5);
	assert_at("limits.connections", false, "1", 6);
	assert_at("Listen[0].tls.certFile", false, NULL, 3);
	assert_at("Listen[2].address", false, NULL, 1);
	assert_at("Listen.address", false, NULL, 1);
	assert_at("limits[0]", false, NULL, 6);
	assert_at("limits.connections.more", false, NULL, 6);
	assert_at("admin", false, NULL, 1);
}

static void
case_counts_only_where_it_is_said(void **state)
{
	(void)state;
	assert_at("listen[0].TLS.keyfile", true, "k", 4);
	assert_at("listen[0].address", false, NULL, 1);
	assert_null(config_path_node(NULL, "a", true, NULL));
}

static void
a_key_with_an_answer_of_its_own_gets_it_in_the_documents_spelling(void **state)
{
	static const struct config_refusal refusals[] = { { "admin.address", "no" }, { "limits[].connections", "no" }, { "listen[].tls.keyfile", "is not wanted" } };
	struct config_error e = { "" };

	(void)state;
	assert_int_equal(config_path_refuse("f.yaml", root, refusals, 3, false, &e), OK);
	assert_int_equal(config_path_refuse("f.yaml", root, refusals, 3, true, &e), E_FORMAT);
	assert_string_equal(e.text, "f.yaml:4: Listen[0].tls.keyFile: is not wanted");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_place_is_found_with_its_line_or_that_of_what_is_around_it, setup, teardown),
		cmocka_unit_test_setup_teardown(case_counts_only_where_it_is_said, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_with_an_answer_of_its_own_gets_it_in_the_documents_spelling, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
