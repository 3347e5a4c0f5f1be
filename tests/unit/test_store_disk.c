#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include "tests/unit/store_unit.h"

struct fill {
	int from, to, runs;
};

static char scope_20k[20000];

static enum err
fill_fn(struct store_txn *t, void *arg)
{
	struct fill *f = arg;
	char key[16];
	enum err e = OK;

	f->runs++;
	for (int i = f->from; i < f->to && e == OK; i++) {
		struct store_unit_put p = { key, { scope_20k, sizeof(scope_20k) }, 0, OK };
		snprintf(key, sizeof(key), "k%d", i);
		e = store_unit_put_fn(t, &p);
	}
	return e;
}

struct reader {
	struct store *s;
	atomic_bool stop;
	size_t reads, bad;
};

static enum err
reader_fn(struct store_txn *t, void *arg)
{
	struct arena arena;
	struct record_approval a;
	arena_init(&arena, 0);
	enum err e = store_get(t, RECORD_APPROVAL, SLICE_LIT("k3"), &arena, &a);
	if (e == OK && (a.scope.n != sizeof(scope_20k) || memcmp(a.scope.p, scope_20k, a.scope.n) != 0))
		e = E_FORMAT;
	/* A read inside a read goes through even while the writer waits for this one to end. */
	if (e == OK)
		e = store_lookup(arg, RECORD_APPROVAL, SLICE_LIT("k4"), &arena, &a);
	arena_fini(&arena);
	return e;
}

static void *
reader_main(void *arg)
{
	struct reader *r = arg;

	while (!atomic_load(&r->stop)) {
		r->bad += store_read(r->s, reader_fn, r->s) != OK;
		r->reads++;
	}
	return NULL;
}

static void
the_map_grows_under_readers_and_keeps_every_write(void **state)
{
	(void)state;
	struct store *s = store_unit_open_sized((size_t)1 << 30);
	struct store_stats stats;
	struct reader readers[2];
	pthread_t threads[2];
	/* 8,000 records of five pages: 156 MiB, more than two doublings of the first 64. */
	struct fill first = { 0, 10, 0 }, rest = { 10, 8000, 0 };

	memset(scope_20k, 's', sizeof(scope_20k));
	assert_int_equal(store_write_wait(s, fill_fn, &first), OK);
	store_stats(s, &stats);
	assert_int_equal(stats.map_bytes, 64 << 20);
	for (int i = 0; i < 2; i++) {
		memset(&readers[i], 0, sizeof(readers[i]));
		readers[i].s = s;
		assert_int_equal(pthread_create(&threads[i], NULL, reader_main, &readers[i]), 0);
	}
	assert_int_equal(store_write_wait(s, fill_fn, &rest), OK);
	for (int i = 0; i < 2; i++) {
		atomic_store(&readers[i].stop, true);
		pthread_join(threads[i], NULL);
		assert_true(readers[i].reads > 0);
		assert_int_equal(readers[i].bad, 0);
	}
	assert_int_equal(rest.runs, 3);
	store_stats(s, &stats);
	assert_int_equal(stats.growths, 2);
	assert_int_equal(stats.map_bytes, 256 << 20);
	assert_true(stats.used_bytes > (size_t)150 << 20);
	store_close(s);
	s = store_unit_open(); /* a map that starts smaller than the file */
	assert_int_equal(strlen(store_unit_get(s, "k7999")), sizeof(scope_20k));
	assert_int_equal(store_unit_put(s, "more", "x", 0), OK);
	store_close(s);
}

static void
a_database_at_its_largest_size_refuses_and_takes_again_after_deletes(void **state)
{
	(void)state;
	struct store *s = store_unit_open_sized(1 << 20);
	struct fill few = { 0, 10, 0 }, many = { 10, 100, 0 };

	assert_int_equal(store_write_wait(s, fill_fn, &few), OK);
	assert_int_equal(store_write_wait(s, fill_fn, &many), E_SYSTEM);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(store_healthy(s), E_SYSTEM);
	assert_int_equal(strlen(store_unit_get(s, "k9")), sizeof(scope_20k));
	assert_string_equal(store_unit_get(s, "k10"), "E_EMPTY");
	many.to = 12;
	assert_int_equal(store_write_wait(s, fill_fn, &many), OK);
	assert_int_equal(store_healthy(s), OK);
	store_close(s);
}

/* Puts until nothing fits; returns how many did. */
static int
fill_up(struct store *s)
{
	struct fill f = { 0, 1, 0 };

	while (store_write_wait(s, fill_fn, &f) == OK) {
		f.from++;
		f.to++;
		assert_true(f.to < 1000);
	}
	return f.from;
}

static void
assert_all_there(struct store *s, int n)
{
	char key[16];

	for (int i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(strlen(store_unit_get(s, key)), sizeof(scope_20k));
	}
}

/* room: makes some. */
static void
fill_make_room_and_go_on(int error, int or_error, void (*room)(void))
{
	struct store *s = store_unit_open();
	struct store_stats stats;
	int n = fill_up(s);

	assert_true(errno == error || errno == or_error);
	assert_true(n >= 10);
	assert_all_there(s, n);
	assert_int_equal(store_healthy(s), E_SYSTEM);
	/* Again and again: it neither breaks nor loses anything. */
	struct fill next = { n, n + 1, 0 };
	for (int i = 0; i < 5; i++)
		assert_int_equal(store_write_wait(s, fill_fn, &next), E_SYSTEM);
	store_stats(s, &stats);
	assert_int_equal(stats.failed_groups, 6);
	assert_all_there(s, n);
	room();
	assert_int_equal(store_write_wait(s, fill_fn, &next), OK);
	assert_int_equal(store_healthy(s), OK);
	store_close(s);
	s = store_unit_open();
	assert_all_there(s, n + 1);
	store_close(s);
}

static void
file_size_limit(rlim_t bytes)
{
	struct rlimit l;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
	l.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static void
lift_file_size_limit(void)
{
	file_size_limit(RLIM_INFINITY);
}

static void
a_file_that_may_not_grow_loses_nothing(void **state)
{
	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	file_size_limit(1 << 20);
	fill_make_room_and_go_on(EFBIG, EIO, lift_file_size_limit);
}

static void
remove_ballast(void)
{
	assert_int_equal(unlink(in_folder("ballast")), 0);
}

static void
a_full_disk_loses_nothing(void **state)
{
	(void)state;
	static char ballast[512 * 1024];

	/* In a mount namespace of its own, so that the mount ends with this process whatever happens. */
	if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		mount("tmpfs", store_unit_folder, "tmpfs", 0, "size=2m,mode=0700") != 0)
		skip(); /* not root: the file size limit above stands for it */
	unit_file_write(in_folder("ballast"), ballast, sizeof(ballast));
	fill_make_room_and_go_on(ENOSPC, ENOSPC, remove_ballast);
	/* Too full even to begin. */
	unlink(in_folder("data.mdb"));
	FILE *f = fopen(in_folder("ballast"), "w");
	while (fwrite(ballast, 1, 4096, f) == 4096 && fflush(f) == 0)
		;
	fclose(f);
	struct store_options o = { .path = store_unit_folder, .clock = &store_unit_clock.clock };
	struct store *s;
	char why[512];
	assert_int_equal(store_open(&o, &s, why, sizeof(why)), E_SYSTEM);
	assert_non_null(strstr(why, "No space left on device; make room on the disk"));
	assert_int_equal(umount(store_unit_folder), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_map_grows_under_readers_and_keeps_every_write, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_database_at_its_largest_size_refuses_and_takes_again_after_deletes, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_file_that_may_not_grow_loses_nothing, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_loses_nothing, store_unit_setup, store_unit_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
