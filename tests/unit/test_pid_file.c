#include <errno.h>
#include <sys/stat.h>
#include "tests/unit/unit.h"
#include "proxyd/pid_file.h"
#include "shared/file.h"

static void
it_has_one_number_and_is_removed_only_by_its_owner(void **state)
{
	char folder[64], path[128];
	struct buf text;

	(void)state;
	unit_folder_make(folder);
	snprintf(path, sizeof(path), "%s/pid", folder);
	assert_int_equal(pid_file_write(path, 12), OK);
	assert_int_equal(pid_file_write(path, 34567), OK);
	buf_init(&text, 0);
	assert_int_equal(file_read(path, 100, &text), OK);
	assert_true(slice_eq(buf_slice(&text), SLICE_LIT("34567\n")));
	buf_fini(&text);
	pid_file_remove(path, 3456);
	pid_file_remove(path, 12);
	assert_int_equal(access(path, R_OK), 0);
	pid_file_remove(path, 34567);
	assert_int_equal(access(path, R_OK), -1);
	pid_file_remove(path, 34567); /* gone already */
	assert_int_equal(rmdir(folder), 0);
}

static void
a_folder_that_is_not_there_is_told(void **state)
{
	(void)state;
	assert_int_equal(pid_file_write("/nonexistent/pid", 12), E_SYSTEM);
	assert_int_equal(errno, ENOENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_has_one_number_and_is_removed_only_by_its_owner),
		cmocka_unit_test(a_folder_that_is_not_there_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
