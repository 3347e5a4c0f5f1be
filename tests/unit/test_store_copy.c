#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include "tests/unit/store_unit.h"
#include "authd/store_copy.h"

static char other_folder[64], copy_path[80];
static char why[600];

static int
setup(void **state)
{
	(void)state;
	store_unit_begin();
	unit_folder_make(other_folder);
	snprintf(copy_path, sizeof(copy_path), "%s.copy", other_folder);
	why[0] = '\0';
	return 0;
}

static int
teardown(void **state)
{
	char command[160];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s %s", other_folder, copy_path);
	assert_int_equal(system(command), 0);
	store_unit_end();
	return 0;
}

static int
copy_fd(void)
{
	int fd = open(copy_path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	return fd;
}

/* A copy that holds what the store held. */
static int
copied(struct store_copy_report *report)
{
	int fd = copy_fd();

	if (store_copy_out(store_unit_folder, fd, why, sizeof(why)) != OK || store_copy_verify(fd, report, why, sizeof(why)) != OK)
		fail_msg("%s", why);
	return fd;
}

static void
fill(struct store *s, int from, int to)
{
	static char scope[20000];
	char key[16];

	memset(scope, 's', sizeof(scope) - 1);
	for (int i = from; i < to; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(store_unit_put(s, key, scope, 0), OK);
	}
}

/* ---- while it is written to ---- */

#ifndef __SANITIZE_THREAD__

static struct store *
open_other(void)
{
	struct store_options o = { .path = other_folder, .clock = &store_unit_clock.clock };
	struct store *s = NULL;
	char text[512];

	if (store_open(&o, &s, text, sizeof(text)) != OK)
		fail_msg("%s", text);
	return s;
}

struct writer {
	struct store *s;
	atomic_bool stop;
	int n;
};

/* Both records say the same, in every moment that there is. */
static enum err
both_fn(struct store_txn *t, void *arg)
{
	struct store_unit_put p = { "left", slice_str(arg), 0, OK };
	enum err e = store_unit_put_fn(t, &p);

	p.key = "right";
	return e == OK ? store_unit_put_fn(t, &p) : e;
}

static void *
writer_main(void *arg)
{
	struct writer *w = arg;
	char text[32];

	while (!atomic_load(&w->stop)) {
		snprintf(text, sizeof(text), "%d", w->n++);
		assert_int_equal(store_write_wait(w->s, both_fn, text), OK);
	}
	return NULL;
}

static void
a_copy_under_writes_is_one_moment_and_can_be_served_from(void **state)
{
	struct writer w = { .s = store_unit_open() };
	struct store_copy_report report;
	char kept[STORE_COPY_KEPT_BYTES], left[32];
	pthread_t thread;
	int last = -1;

	(void)state;
	fill(w.s, 0, 200);
	assert_int_equal(store_write_wait(w.s, both_fn, (char[]){ "0" }), OK);
	assert_int_equal(pthread_create(&thread, NULL, writer_main, &w), 0);
	for (int i = 0; i < 10; i++) {
		int fd = copied(&report);
		assert_int_equal(report.records[RECORD_APPROVAL], 202);
		assert_int_equal(store_copy_in(other_folder, fd, kept, why, sizeof(why)), OK);
		close(fd);
		struct store *s = open_other();
		snprintf(left, sizeof(left), "%.20s", store_unit_get(s, "left"));
		assert_string_equal(store_unit_get(s, "right"), left);
		assert_true(atoi(left) >= last);
		last = atoi(left);
		assert_int_equal(strlen(store_unit_get(s, "k199")), 19999);
		assert_int_equal(store_unit_put(s, "more", "x", 0), OK);
		store_close(s);
	}
	atomic_store(&w.stop, true);
	pthread_join(thread, NULL);
	assert_true(w.n > 10);
	store_close(w.s);
}

struct out {
	int fd;
	enum err result;
	char why[600];
};

static void *
out_main(void *arg)
{
	struct out *o = arg;

	o->result = store_copy_out(store_unit_folder, o->fd, o->why, sizeof(o->why));
	close(o->fd);
	return NULL;
}

static void
a_copy_that_nobody_takes_holds_up_no_writer_and_no_growth(void **state)
{
	struct store *s = store_unit_open();
	struct store_copy_report report;
	struct store_stats stats;
	struct out out = { .result = OK };
	static char bytes[1 << 16];
	int ends[2], fd = copy_fd();
	pthread_t thread;
	ssize_t n;

	(void)state;
	fill(s, 0, 100); /* 2 MiB: far more than a pipe takes */
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	out.fd = ends[1];
	assert_int_equal(pthread_create(&thread, NULL, out_main, &out), 0);
	assert_int_equal(read(ends[0], bytes, 1), 1); /* it has begun, and will wait */
	assert_int_equal(write(fd, bytes, 1), 1);
	fill(s, 100, 4000); /* 78 MiB: the map grows */
	store_stats(s, &stats);
	assert_true(stats.growths > 0);
	while ((n = read(ends[0], bytes, sizeof(bytes))) > 0)
		assert_int_equal(write(fd, bytes, (size_t)n), n);
	assert_int_equal(n, 0);
	pthread_join(thread, NULL);
	assert_int_equal(out.result, OK);
	if (store_copy_verify(fd, &report, why, sizeof(why)) != OK)
		fail_msg("%s", why);
	assert_int_equal(report.records[RECORD_APPROVAL], 100);
	close(fd);
	close(ends[0]);
	store_close(s);
}

#endif

/* ---- what goes wrong ---- */

static void
a_copy_lets_free_pages_behind(void **state)
{
	struct store *s = store_unit_open();
	struct store_copy_report report;
	struct store_stats stats;

	(void)state;
	fill(s, 0, 200);
	for (int i = 0; i < 200; i++) {
		char key[16];
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(store_unit_put(s, key, "short", 0), OK);
	}
	store_stats(s, &stats);
	store_close(s);
	close(copied(&report));
	assert_int_equal(report.records[RECORD_APPROVAL], 200);
	assert_true(report.bytes < 200000 && stats.used_bytes > 4000000);
}

static void
a_store_that_is_not_open_is_copied_too(void **state)
{
	struct store *s = store_unit_open();
	struct store_copy_report report;

	(void)state;
	fill(s, 0, 3);
	store_close(s);
	close(copied(&report));
	assert_int_equal(report.records[RECORD_APPROVAL], 3);
	s = store_unit_open();
	assert_int_equal(strlen(store_unit_get(s, "k2")), 19999);
	store_close(s);
}

static void
what_is_no_store_is_not_copied(void **state)
{
	int fd = copy_fd();

	(void)state;
	assert_int_equal(store_copy_out("/nonexistent/folder", fd, why, sizeof(why)), E_EMPTY);
	assert_non_null(strstr(why, "/nonexistent/folder: there is no such folder"));
	assert_int_equal(store_copy_out(other_folder, fd, why, sizeof(why)), E_EMPTY);
	assert_non_null(strstr(why, "there is no database"));
	assert_int_equal(store_copy_out(copy_path, fd, why, sizeof(why)), E_SYSTEM);
	close(fd);
}

static void
a_full_disk_says_so(void **state)
{
	struct store *s = store_unit_open();
	struct rlimit before, small;
	int fd = copy_fd();

	(void)state;
	fill(s, 0, 100);
	store_close(s);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 1 << 20;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	enum err e = store_copy_out(store_unit_folder, fd, why, sizeof(why));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(e, E_SYSTEM);
	assert_int_equal(errno, EFBIG);
	assert_non_null(strstr(why, "make room"));
	close(fd);
}

static void
expect_refused(int fd, const char *text)
{
	struct store_copy_report report;
	enum err e = store_copy_verify(fd, &report, why, sizeof(why));

	if (e != E_FORMAT || !strstr(why, text))
		fail_msg("%s: %s", err_name(e), why);
}

static void
a_damaged_or_foreign_copy_is_refused(void **state)
{
	struct store *s = store_unit_open();
	struct store_copy_report report;
	static char page[4096];
	int fd;

	(void)state;
	fill(s, 0, 50);
	store_close(s);
	fd = copied(&report);
	for (off_t cut = (off_t)report.bytes - 1; cut > 0; cut -= (off_t)report.bytes / 7) {
		int cut_fd = open(other_folder, O_TMPFILE | O_RDWR, 0600);
		assert_int_equal(sendfile(cut_fd, fd, (off_t[]){ 0 }, report.bytes), (ssize_t)report.bytes);
		assert_int_equal(ftruncate(cut_fd, cut), 0);
		expect_refused(cut_fd, "it is ");
		close(cut_fd);
	}
	/* A byte inside of each page's content: a record's checksum, or LMDB's own structure. */
	size_t caught = 0, pages = report.bytes / 4096;
	for (size_t i = 2; i < pages; i++) {
		off_t at = (off_t)(i * 4096 + 2000);
		char was, now;
		assert_int_equal(pread(fd, &was, 1, at), 1);
		now = (char)~was;
		assert_int_equal(pwrite(fd, &now, 1, at), 1);
		caught += store_copy_verify(fd, &report, why, sizeof(why)) == E_FORMAT;
		assert_int_equal(pwrite(fd, &was, 1, at), 1);
	}
	assert_true(caught >= pages * 9 / 10); /* some pages have nothing there */
	assert_int_equal(ftruncate(fd, 0), 0);
	expect_refused(fd, "no database");
	assert_int_equal(pwrite(fd, page, sizeof(page), 0), sizeof(page));
	expect_refused(fd, "damaged, or no copy");
	close(fd);
	fd = open(other_folder, O_RDONLY | O_DIRECTORY);
	expect_refused(fd, "no database");
	close(fd);
}

/* ---- restoring ---- */

#ifndef __SANITIZE_THREAD__
static void
a_store_that_is_open_is_not_replaced(void **state)
{
	struct store *s = store_unit_open();
	struct store_copy_report report;
	char kept[STORE_COPY_KEPT_BYTES];
	int fd;

	(void)state;
	fill(s, 0, 3);
	fd = copied(&report);
	fill(s, 3, 4);
	assert_int_equal(store_copy_in(store_unit_folder, fd, kept, why, sizeof(why)), E_CONFLICT);
	assert_non_null(strstr(why, "stop that one first"));
	assert_int_equal(strlen(store_unit_get(s, "k3")), 19999);
	store_close(s);
	assert_int_equal(store_copy_in(store_unit_folder, fd, kept, why, sizeof(why)), OK);
	s = store_unit_open();
	assert_int_equal(strlen(store_unit_get(s, "k2")), 19999);
	assert_string_equal(store_unit_get(s, "k3"), "E_EMPTY");
	store_close(s);
	close(fd);
}
#endif

static void
what_was_there_is_kept_under_a_name_of_its_own(void **state)
{
	struct store *s = store_unit_open();
	struct store_copy_report report;
	char kept[3][STORE_COPY_KEPT_BYTES], path[160];
	struct stat st;
	int fd;

	(void)state;
	fill(s, 0, 3);
	store_close(s);
	fd = copied(&report);
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_copy_in(other_folder, fd, kept[i], why, sizeof(why)), OK);
	assert_string_equal(kept[0], "");
	assert_int_equal(strncmp(kept[1], "data.mdb.before-", 16), 0);
	assert_string_not_equal(kept[1], kept[2]);
	for (int i = 1; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", other_folder, kept[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, (off_t)report.bytes);
	}
	snprintf(path, sizeof(path), "%s/data.mdb", other_folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(store_copy_in("/nonexistent/folder", fd, kept[0], why, sizeof(why)), E_EMPTY);
	close(fd);
}

static void
root_leaves_files_of_the_folders_owner(void **state)
{
	struct store_copy_report report;
	char kept[STORE_COPY_KEPT_BYTES], path[160];
	static const char *const names[] = { "data.mdb", "authd.lock", "lock.mdb" };
	struct stat st;
	struct store *s;
	int fd;

	(void)state;
	if (geteuid() != 0)
		skip();
	s = store_unit_open();
	fill(s, 0, 3);
	store_close(s);
	fd = copied(&report);
	assert_int_equal(chown(other_folder, 65534, 65534), 0);
	assert_int_equal(store_copy_in(other_folder, fd, kept, why, sizeof(why)), OK);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(store_copy_out(other_folder, fd, why, sizeof(why)), OK);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", other_folder, names[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_uid, 65534);
	}
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#ifndef __SANITIZE_THREAD__ /* which knows no threads behind a fork of a process that has some; LMDB's copying starts one */
		cmocka_unit_test_setup_teardown(a_copy_under_writes_is_one_moment_and_can_be_served_from, setup, teardown),
		cmocka_unit_test_setup_teardown(a_copy_that_nobody_takes_holds_up_no_writer_and_no_growth, setup, teardown),
		cmocka_unit_test_setup_teardown(a_store_that_is_open_is_not_replaced, setup, teardown),
#endif
		cmocka_unit_test_setup_teardown(a_copy_lets_free_pages_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(a_store_that_is_not_open_is_copied_too, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_store_is_not_copied, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_or_foreign_copy_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_there_is_kept_under_a_name_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(root_leaves_files_of_the_folders_owner, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
