#include <limits.h>
#include <sys/stat.h>
#include "tests/unit/unit.h"
#include "shared/program.h"

static char folder[64];
static char before[PATH_MAX];

static int
setup(void **state)
{
	char path[128];

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	unit_folder_make(folder);
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(mkdir("bin", 0700), 0);
	snprintf(path, sizeof(path), "%s/bin/tool", folder);
	unit_file_write(path, "", 0);
	assert_int_equal(chmod("bin/tool", 0700), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	unlink("bin/link");
	unlink("bin/tool");
	rmdir("bin");
	assert_int_equal(chdir(before), 0);
	return rmdir(folder);
}

static void
expect(const char *name, const char *below_folder)
{
	char *argv[] = { (char *)(uintptr_t)name, NULL }, expected[PATH_MAX];

	snprintf(expected, sizeof(expected), "%s/%s", folder, below_folder);
	assert_int_equal(program_init(argv), OK);
	assert_string_equal(program_path(), expected);
	assert_string_equal(program_arguments()[0], name);
	assert_null(program_arguments()[1]);
}

static void
a_name_becomes_absolute_however_it_was_given(void **state)
{
	char path[128], list[256];

	(void)state;
	snprintf(path, sizeof(path), "%s/bin/tool", folder);
	expect(path, "bin/tool");
	expect("bin/tool", "bin/tool");
	expect("./bin/tool", "./bin/tool");
	snprintf(list, sizeof(list), "/nonexistent:%s/bin:/bin", folder);
	setenv("PATH", list, 1);
	expect("tool", "bin/tool");
	setenv("PATH", "/nonexistent:bin", 1);
	expect("tool", "bin/tool");
}

static void
a_symbolic_link_stays_one(void **state)
{
	(void)state;
	assert_int_equal(symlink("tool", "bin/link"), 0);
	expect("bin/link", "bin/link");
}

static void
a_name_that_leads_nowhere_is_our_own_file(void **state)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	self[n] = '\0';
	const char *const names[] = { "no-such-tool", "bin/none", "/nonexistent/tool", "" };
	for (size_t i = 0; i < 4; i++) {
		char *argv[] = { (char *)(uintptr_t)names[i], NULL };
		assert_int_equal(program_init(argv), E_EMPTY);
		assert_string_equal(program_path(), self);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_name_becomes_absolute_however_it_was_given, setup, teardown),
		cmocka_unit_test_setup_teardown(a_symbolic_link_stays_one, setup, teardown),
		cmocka_unit_test_setup_teardown(a_name_that_leads_nowhere_is_our_own_file, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
