#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "tests/unit/unit.h"
#include "shared/file.h"

static char folder[64];
static char path[128];

static int
setup(void **state)
{
	(void)state;
	unit_folder_make(folder);
	snprintf(path, sizeof(path), "%s/file", folder);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder); /* fails if anything was left beside the file */
}

static void
a_file_is_appended_whole(void **state)
{
	struct buf b;
	char big[20000];

	(void)state;
	memset(big, 'k', sizeof(big));
	unit_file_write(path, big, sizeof(big));
	buf_init(&b, 0);
	buf_add_str(&b, "before:");
	assert_int_equal(file_read(path, sizeof(big), &b), OK);
	assert_int_equal(b.n, 7 + sizeof(big));
	assert_memory_equal(b.p, "before:kkk", 10);
	buf_fini(&b);
	/* A buffer with room for exactly the file is enough. */
	buf_init(&b, sizeof(big));
	assert_int_equal(file_read(path, SIZE_MAX, &b), OK);
	buf_fini(&b);
}

static void
a_file_past_the_bound_leaves_the_buffer_as_it_was(void **state)
{
	struct buf b;

	(void)state;
	unit_file_write(path, "0123456789", 10);
	buf_init(&b, 0);
	buf_add_str(&b, "x");
	assert_int_equal(file_read(path, 9, &b), E_LIMIT);
	assert_string_equal(b.p, "x");
	assert_true(buf_ok(&b));
	buf_fini(&b);
	buf_init(&b, 5);
	assert_int_equal(file_read(path, 100, &b), E_LIMIT);
	assert_int_equal(b.n, 0);
	buf_fini(&b);
	/* Found only after a part of it was taken. */
	char big[20000] = { 0 };
	unit_file_write(path, big, sizeof(big));
	buf_init(&b, 10000);
	buf_add_str(&b, "x");
	assert_int_equal(file_read(path, SIZE_MAX, &b), E_LIMIT);
	assert_string_equal(b.p, "x");
	assert_int_equal(b.n, 1);
	buf_fini(&b);
	/* Its size as reported is 0: the bound holds while reading too. */
	buf_init(&b, 0);
	assert_int_equal(file_read("/proc/self/maps", 10, &b), E_LIMIT);
	assert_int_equal(b.n, 0);
	buf_fini(&b);
}

static void
what_is_no_file_is_refused(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	assert_int_equal(file_read(path, 100, &b), E_SYSTEM);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(file_read(folder, 100, &b), E_SYSTEM);
	assert_int_equal(errno, EISDIR);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(file_read(path, 100, &b), E_SYSTEM);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(b.n, 0);
	buf_fini(&b);
}

static void
a_write_replaces_content_and_mode_at_once(void **state)
{
	struct buf b;
	struct stat st;

	(void)state;
	unit_file_write(path, "old and longer", 14);
	assert_int_equal(chmod(path, 0644), 0);
	FILE *reader = fopen(path, "r");
	assert_int_equal(file_write_atomic(path, SLICE_LIT("new"), 0600), OK);
	buf_init(&b, 0);
	assert_int_equal(file_read(path, 100, &b), OK);
	assert_string_equal(b.p, "new");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	char old[32] = { 0 };
	assert_int_equal(fread(old, 1, sizeof(old), reader), 14);
	assert_string_equal(old, "old and longer");
	fclose(reader);
	assert_int_equal(file_write_atomic(path, SLICE_NONE, 0640), OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 0);
	buf_fini(&b);
}

static void
a_relative_path_is_written_in_the_working_folder(void **state)
{
	char before[4096];

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(folder), 0);
	assert_int_equal(file_write_atomic("file", SLICE_LIT("x"), 0600), OK);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(chdir(before), 0);
}

static void
a_write_that_fails_leaves_nothing_behind(void **state)
{
	char bad[256], longest[5000];

	(void)state;
	snprintf(bad, sizeof(bad), "%s/none/file", folder);
	assert_int_equal(file_write_atomic(bad, SLICE_LIT("x"), 0600), E_SYSTEM);
	assert_int_equal(errno, ENOENT);
	/* The rename fails: the target is a folder. */
	assert_int_equal(file_write_atomic(folder, SLICE_LIT("x"), 0600), E_SYSTEM);
	assert_int_equal(errno, EISDIR);
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(file_write_atomic(longest, SLICE_LIT("x"), 0600), E_SYSTEM);
	assert_int_equal(errno, ENAMETOOLONG);
}

static void
a_disk_that_fills_up_keeps_the_old_file(void **state)
{
	struct rlimit before, small;
	char big[5000] = { 0 };
	struct buf b;

	(void)state;
	unit_file_write(path, "old", 3);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){ 4096, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	enum err e = file_write_atomic(path, slice_of(big, sizeof(big)), 0600);
	int why = errno;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(e, E_SYSTEM);
	assert_int_equal(why, EFBIG);
	buf_init(&b, 0);
	assert_int_equal(file_read(path, 100, &b), OK);
	assert_string_equal(b.p, "old");
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_is_appended_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_past_the_bound_leaves_the_buffer_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_file_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_write_replaces_content_and_mode_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_relative_path_is_written_in_the_working_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(a_write_that_fails_leaves_nothing_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(a_disk_that_fills_up_keeps_the_old_file, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
