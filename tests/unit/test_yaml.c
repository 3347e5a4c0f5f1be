#include "tests/unit/unit.h"
#include "shared/yaml.h"

static struct arena arena;
static struct config_error why;
static struct yaml_node *root;

static int
setup(void **state)
{
	(void)state;
	arena_init(&arena, 64u << 20);
	why.text[0] = '\0';
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static enum err
parse(const char *text)
{
	why.text[0] = '\0';
	return yaml_parse(&arena, "f.yaml", slice_str(text), &root, &why);
}

static void
assert_refused(const char *text, enum err e, const char *expected)
{
	assert_int_equal(parse(text), e);
	assert_null(root);
	assert_string_equal(why.text, expected);
}

static void
nodes_know_kind_line_key_and_order(void **state)
{
	(void)state;
	assert_int_equal(parse("# comment\nissuer: https://x\n\nlist:\n- a\n- {b: 'c', d: \"e\"}\ntext: |\n  two\n  lines\nlast:\n"), OK);
	assert_int_equal(root->kind, YAML_MAP);
	struct yaml_node *n = root->first;
	assert_string_equal(n->key.p, "issuer");
	assert_int_equal(n->key_line, 2);
	assert_int_equal(n->line, 2);
	assert_string_equal(n->scalar.p, "https://x");
	assert_false(n->quoted);
	n = n->next;
	assert_string_equal(n->key.p, "list");
	assert_int_equal(n->kind, YAML_LIST);
	assert_int_equal(n->line, 5);
	assert_int_equal(n->key_line, 4);
	assert_string_equal(n->first->scalar.p, "a");
	assert_null(n->first->key.p);
	assert_int_equal(n->first->next->kind, YAML_MAP);
	assert_true(yaml_get(n->first->next, "b")->quoted);
	assert_string_equal(yaml_get(n->first->next, "d")->scalar.p, "e");
	assert_null(n->first->next->next);
	assert_string_equal(yaml_get(root, "text")->scalar.p, "two\nlines\n");
	assert_true(yaml_get(root, "text")->quoted);
	assert_true(yaml_is_null(yaml_get(root, "last")));
	assert_null(yaml_get(root, "Last"));
	assert_null(yaml_get(yaml_get(root, "last"), "x"));
	assert_null(yaml_get(NULL, "x"));
}

static void
an_empty_document_is_no_node(void **state)
{
	(void)state;
	assert_int_equal(parse(""), OK);
	assert_null(root);
	assert_int_equal(parse("# only a comment\n"), OK);
	assert_null(root);
	assert_int_equal(yaml_parse(&arena, "f", SLICE_NONE, &root, &why), OK);
	assert_null(root);
	assert_int_equal(parse("---\n...\n"), OK);
	assert_true(yaml_is_null(root));
}

static void
null_is_unquoted(void **state)
{
	(void)state;
	assert_int_equal(parse("[~, null, Null, NULL, , 'null', '', !!str null, nul, {}]"), E_FORMAT);
	assert_int_equal(parse("[~, null, Null, NULL, 'null', '', !!str null, nul, {}]"), OK);
	int i = 0;
	for (struct yaml_node *n = root->first; n; n = n->next, i++)
		assert_int_equal(yaml_is_null(n), i < 4);
	assert_int_equal(i, 9);
}

static void
a_key_given_twice_is_refused_with_both_lines(void **state)
{
	(void)state;
	assert_refused("a: 1\nb: 2\na: 3\n", E_FORMAT, "f.yaml:3: a: expected each key once, found it again (first on line 1)");
	assert_refused("x:\n  - {k: 1, 'k': 2}\n", E_FORMAT, "f.yaml:2: k: expected each key once, found it again (first on line 2)");
	assert_int_equal(parse("a: 1\nA: 2\n"), OK);
}

static void
syntax_errors_have_the_line_and_not_the_text(void **state)
{
	static const struct {
		const char *text, *where;
	} rows[] = {
		{ "a: 1\nsecret: 'hunter2\n", "f.yaml:3: expected YAML, found an error: " },
		{ "a: 1\n b: hunter2: x\n", "f.yaml:2: expected YAML, found an error: " },
		{ "a: 1\n\tb: hunter2\n", "f.yaml:2: expected YAML, found an error: " },
		{ "ä: 1\nb:\n  \tc: hunter2\n",
			"f.yaml:3: expected YAML, found an error: found character that cannot start any token while scanning for the next token"
			" (the line begins with a tab, where YAML has blanks)" },
		{ "a: [hunter2\nb: 1\n", "f.yaml:2: expected YAML, found an error: " },
		{ "a: 1\nhunter2: \xFF\n", "f.yaml:2: expected YAML, found an error: " },
		{ "a: 1\nhunter2: \x01\n", "f.yaml:2: expected YAML, found an error: " },
		{ "a: !hunter2!x y\n", "f.yaml:1: expected YAML, found an error: " },
		{ "a: @hunter2\n", "f.yaml:1: expected YAML, found an error: " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(parse(rows[i].text), E_FORMAT);
		assert_null(root);
		assert_memory_equal(why.text, rows[i].where, strlen(rows[i].where));
		assert_null(strstr(why.text, "hunter2"));
	}
}

static void
what_is_yaml_but_not_ours_is_refused(void **state)
{
	(void)state;
	assert_refused("a: 1\n---\nb: 1\n", E_FORMAT, "f.yaml:2: expected one document, found a second");
	assert_refused("a: 1\n? [x]\n: 2\n", E_FORMAT, "f.yaml:2: expected a key, found a list, a map or an alias in its place");
	assert_refused("? {x: 1}\n: 2\n", E_FORMAT, "f.yaml:1: expected a key, found a list, a map or an alias in its place");
	assert_refused("a: &k x\n*k : 2\n", E_FORMAT, "f.yaml:2: expected a key, found a list, a map or an alias in its place");
	assert_refused("a: &m {x: 1}\nb:\n  <<: *m\n", E_FORMAT,
		"f.yaml:3: expected a key, found a merge key (<<): write its keys out");
	assert_refused("a: !hunter2 x\n", E_FORMAT, "f.yaml:1: expected a plain YAML type, found another tag (!…)");
	assert_refused("a: !!binary aGk=\n", E_FORMAT, "f.yaml:1: expected a plain YAML type, found another tag (!…)");
	assert_refused("a: !!map x\n", E_FORMAT, "f.yaml:1: expected a plain YAML type, found another tag (!…)");
	assert_refused("a: !!seq {}\n", E_FORMAT, "f.yaml:1: expected a plain YAML type, found another tag (!…)");
	assert_refused("a: !!int []\n", E_FORMAT, "f.yaml:1: expected a plain YAML type, found another tag (!…)");
	assert_refused("!!x a: 1\n", E_FORMAT, "f.yaml:1: expected a plain YAML type, found another tag (!…)");
	assert_refused("a: \"x\\0y\"\n", E_FORMAT, "f.yaml:1: expected text, found a NUL byte");
	assert_refused("\"x\\0y\": 1\n", E_FORMAT, "f.yaml:1: expected text, found a NUL byte");
}

static void
core_tags_say_whether_it_is_a_text(void **state)
{
	(void)state;
	assert_int_equal(parse("[!!str 1, ! 1, !!int '1', !!bool 'true', !!float '1', !!null '', 1, '1']"), OK);
	const bool quoted[] = { true, true, false, false, false, false, false, true };
	int i = 0;
	for (struct yaml_node *n = root->first; n; n = n->next, i++)
		assert_int_equal(n->quoted, quoted[i]);
	assert_int_equal(parse("!!map {a: !!seq [x], b: ! {}}"), OK);
	assert_int_equal(yaml_get(root, "a")->kind, YAML_LIST);
}

static void
aliases_repeat_what_was_anchored(void **state)
{
	(void)state;
	assert_int_equal(parse("a: &x {k: [1, 2]}\nb: *x\nc:\n- *x\n- &x 5\n- *x\n"), OK);
	struct yaml_node *b = yaml_get(root, "b");
	assert_string_equal(b->key.p, "b");
	assert_int_equal(b->line, 2);
	assert_string_equal(yaml_get(b, "k")->first->next->scalar.p, "2");
	assert_string_equal(yaml_get(root, "c")->key.p, "c");
	assert_int_equal(yaml_get(root, "c")->first->kind, YAML_MAP);
	assert_string_equal(yaml_get(root, "c")->first->next->next->scalar.p, "5");
	assert_null(yaml_get(root, "c")->first->next->next->next);

	const char *none = "expected an alias (*…) of an anchor (&…) that ends before it, found none: quote the value if it is a text";
	char want[256];
	snprintf(want, sizeof(want), "f.yaml:2: %s", none);
	assert_refused("a: 1\nb: *hunter2\n", E_FORMAT, want);
	snprintf(want, sizeof(want), "f.yaml:1: %s", none);
	assert_refused("a: &x [*x]\n", E_FORMAT, want);
}

static void
a_billion_laughs_are_refused(void **state)
{
	char text[2048];
	size_t n = (size_t)snprintf(text, sizeof(text), "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");

	(void)state;
	for (int i = 1; i < 9; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i,
			i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	assert_refused(text, E_LIMIT, "f.yaml:6: expected at most 100000 nodes (aliases expanded), found more");
}

/* n levels of flow lists, then whatever stands inside. */
static char *
nested(char *to, int n, const char *inside)
{
	memset(to, '[', (size_t)n);
	size_t m = strlen(inside);
	memcpy(to + n, inside, m);
	memset(to + n + m, ']', (size_t)n);
	to[2 * (size_t)n + m] = '\0';
	return to;
}

static void
depth_is_bounded_also_through_aliases(void **state)
{
	char text[8192], inner[256];

	(void)state;
	assert_int_equal(parse(nested(text, 31, "x")), OK);
	assert_int_equal(parse(nested(text, 32, "")), OK);
	assert_refused(nested(text, 32, "x"), E_LIMIT, "f.yaml:1: expected at most 32 levels (aliases expanded), found more");
	assert_int_equal(parse(nested(text, 2000, "")), E_LIMIT);
	snprintf(text, sizeof(text), "a: &a %s\nb: ", nested(inner, 19, "x"));
	size_t n = strlen(text);
	nested(text + n, 10, "*a");
	assert_int_equal(parse(text), OK);
	nested(text + n, 12, "*a");
	assert_refused(text, E_LIMIT, "f.yaml:2: expected at most 32 levels (aliases expanded), found more");
}

static void
sizes_are_bounded(void **state)
{
	size_t n = YAML_BYTES_MAX + 1;
	char *text = malloc(n + 1);

	(void)state;
	memset(text, '#', n);
	text[n] = '\0';
	assert_refused(text, E_LIMIT, "f.yaml: expected at most 4194304 bytes, found 4194305");
	n = 0;
	text[n++] = '[';
	for (int i = 0; i < YAML_NODES_MAX; i++) {
		text[n++] = 'x';
		text[n++] = ',';
	}
	text[n - 1] = ']';
	text[n] = '\0';
	assert_refused(text, E_LIMIT, "f.yaml:1: expected at most 100000 nodes (aliases expanded), found more");
	n = 0;
	for (int i = 0; i <= YAML_ANCHORS_MAX; i++)
		n += (size_t)sprintf(text + n, "- &a%d x\n", i);
	assert_refused(text, E_LIMIT, "f.yaml:1001: expected at most 1000 anchors (&…), found more");
	free(text);
}

static void
an_exhausted_arena_is_no_memory(void **state)
{
	(void)state;
	size_t bytes = 8;
	enum err e = E_NOMEM;
	for (; e != OK; bytes += 40) {
		arena_fini(&arena);
		arena_init(&arena, bytes);
		e = parse("a: &x [1, 2, 3]\nb: *x\n");
		if (e == OK)
			break;
		assert_int_equal(e, E_NOMEM);
		assert_string_equal(why.text, "f.yaml: out of memory");
	}
	assert_true(bytes > 7 * sizeof(struct yaml_node));
	assert_true(bytes < 4000);
}

static void
files_are_loaded_and_their_absence_is_told(void **state)
{
	char folder[64], path[128], want[256];

	(void)state;
	unit_folder_make(folder);
	snprintf(path, sizeof(path), "%s/c.yaml", folder);
	assert_int_equal(yaml_load(&arena, path, &root, &why), E_SYSTEM);
	snprintf(want, sizeof(want), "%s: expected a readable file, found: No such file or directory", path);
	assert_string_equal(why.text, want);
	why.text[0] = '\0';
	assert_int_equal(yaml_load(&arena, folder, &root, &why), E_SYSTEM);
	snprintf(want, sizeof(want), "%s: expected a readable file, found: Is a directory", folder);
	assert_string_equal(why.text, want);
	unit_file_write(path, "a: [1, 2", 8);
	why.text[0] = '\0';
	assert_int_equal(yaml_load(&arena, path, &root, &why), E_FORMAT);
	assert_memory_equal(why.text, path, strlen(path));
	unit_file_write(path, "a: b", 4);
	assert_int_equal(yaml_load(&arena, path, &root, &why), OK);
	assert_string_equal(yaml_get(root, "a")->scalar.p, "b");
	assert_int_equal(truncate(path, YAML_BYTES_MAX + 1), 0);
	why.text[0] = '\0';
	assert_int_equal(yaml_load(&arena, path, &root, &why), E_LIMIT);
	snprintf(want, sizeof(want), "%s: expected at most 4194304 bytes, found more", path);
	assert_string_equal(why.text, want);
	unlink(path);
	rmdir(folder);
}

static void
the_first_error_stays_and_is_clean_text(void **state)
{
	char big[2000];

	(void)state;
	config_error_set(&why, "f", 3, "a.b", "found %s", "x\x1b\n\xFF\x7f");
	assert_string_equal(why.text, "f:3: a.b: found x????");
	config_error_set(&why, "f", 4, NULL, "second");
	assert_string_equal(why.text, "f:3: a.b: found x????");
	memset(big, 'y', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	memcpy(big + 600 - 100, "€€€€", 12);
	why.text[0] = '\0';
	config_error_set(&why, "f", 0, NULL, "%s", big);
	assert_int_equal(strlen(why.text) <= sizeof(why.text) - 1, 1);
	assert_true(slice_is_utf8(slice_str(why.text)));
	assert_true(slice_has_suffix(slice_str(why.text), SLICE_LIT("…")));
	why.text[0] = '\0';
	config_error_set(&why, big, 1, big, "%s", "never seen");
	assert_true(slice_has_suffix(slice_str(why.text), SLICE_LIT("…")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nodes_know_kind_line_key_and_order, setup, teardown),
		cmocka_unit_test_setup_teardown(an_empty_document_is_no_node, setup, teardown),
		cmocka_unit_test_setup_teardown(null_is_unquoted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_given_twice_is_refused_with_both_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(syntax_errors_have_the_line_and_not_the_text, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_yaml_but_not_ours_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(core_tags_say_whether_it_is_a_text, setup, teardown),
		cmocka_unit_test_setup_teardown(aliases_repeat_what_was_anchored, setup, teardown),
		cmocka_unit_test_setup_teardown(a_billion_laughs_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(depth_is_bounded_also_through_aliases, setup, teardown),
		cmocka_unit_test_setup_teardown(sizes_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(an_exhausted_arena_is_no_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(files_are_loaded_and_their_absence_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(the_first_error_stays_and_is_clean_text, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
