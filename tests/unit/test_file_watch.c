#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "shared/file_watch.h"

struct fixture {
	char folder[64], path[96], other[96];
	struct file_watch watch;
};

static void
put(const char *path, const char *text)
{
	char new[128];

	snprintf(new, sizeof(new), "%s.new", path);
	FILE *f = fopen(new, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0 && fclose(f) == 0 && rename(new, path) == 0);
}

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->folder, "/tmp/gatehouse-watch-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof(f->path), "%s/a", f->folder);
	snprintf(f->other, sizeof(f->other), "%s/b", f->folder);
	put(f->path, "a");
	put(f->other, "b");
	assert_int_equal(file_watch_note(&f->watch, f->path), OK);
	assert_int_equal(file_watch_note(&f->watch, f->other), OK);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	file_watch_fini(&f->watch);
	unlink(f->path);
	unlink(f->other);
	assert_int_equal(rmdir(f->folder), 0);
	free(f);
	return 0;
}

static void
what_stays_as_it_is_is_nothing_new(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 3; i++)
		assert_null(file_watch_look(&f->watch));
	assert_false(file_watch_differs(&f->watch));
}

static void
a_change_is_said_once_it_has_come_to_rest_and_then_no_more(void **state)
{
	struct fixture *f = *state;

	put(f->path, "c");
	assert_true(file_watch_differs(&f->watch));
	assert_null(file_watch_look(&f->watch));
	put(f->other, "d"); /* the second of a pair, a moment later */
	assert_null(file_watch_look(&f->watch));
	assert_string_equal(file_watch_look(&f->watch), f->path);
	assert_null(file_watch_look(&f->watch));
	assert_true(file_watch_differs(&f->watch)); /* from what it was read from */
}

static void
another_change_after_one_that_was_said_is_said_again(void **state)
{
	struct fixture *f = *state;

	put(f->path, "c");
	assert_null(file_watch_look(&f->watch));
	assert_non_null(file_watch_look(&f->watch));
	put(f->path, "dd");
	assert_null(file_watch_look(&f->watch));
	assert_string_equal(file_watch_look(&f->watch), f->path);
}

static void
a_file_that_goes_or_changes_in_place_has_changed(void **state)
{
	struct fixture *f = *state;
	FILE *s = fopen(f->path, "a");

	assert_true(s && fputs("more", s) >= 0 && fclose(s) == 0);
	assert_null(file_watch_look(&f->watch));
	assert_string_equal(file_watch_look(&f->watch), f->path);
	assert_int_equal(unlink(f->other), 0);
	assert_null(file_watch_look(&f->watch));
	assert_string_equal(file_watch_look(&f->watch), f->path);
}

static void
a_symbolic_link_that_leads_elsewhere_has_changed(void **state)
{
	struct fixture *f = *state;
	struct file_watch watch = { .n = 0 };
	char link[128], new[128];

	snprintf(link, sizeof(link), "%s/link", f->folder);
	snprintf(new, sizeof(new), "%s/link.new", f->folder);
	assert_int_equal(symlink("a", link), 0);
	assert_int_equal(file_watch_note(&watch, link), OK);
	assert_true(symlink("b", new) == 0 && rename(new, link) == 0);
	assert_null(file_watch_look(&watch));
	assert_string_equal(file_watch_look(&watch), link);
	file_watch_fini(&watch);
	unlink(link);
}

static void
a_file_that_was_not_there_and_comes_has_changed_and_paths_are_noted_once(void **state)
{
	struct fixture *f = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/late", f->folder);
	for (int i = 0; i < 20; i++)
		assert_int_equal(file_watch_note(&f->watch, path), OK);
	assert_int_equal(f->watch.n, 3);
	assert_null(file_watch_look(&f->watch));
	put(path, "now");
	assert_null(file_watch_look(&f->watch));
	assert_string_equal(file_watch_look(&f->watch), path);
	unlink(path);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_stays_as_it_is_is_nothing_new),
		TEST(a_change_is_said_once_it_has_come_to_rest_and_then_no_more),
		TEST(another_change_after_one_that_was_said_is_said_again),
		TEST(a_file_that_goes_or_changes_in_place_has_changed),
		TEST(a_symbolic_link_that_leads_elsewhere_has_changed),
		TEST(a_file_that_was_not_there_and_comes_has_changed_and_paths_are_noted_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
