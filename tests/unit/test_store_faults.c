#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "tests/unit/store_unit.h"
#include "authd/store_internal.h"

static void
assert_refused(const char *path, enum err want, const char *what, const char *advice)
{
	struct store_options o = { .path = path, .clock = &store_unit_clock.clock };
	struct store *s = NULL;
	char why[512];
	enum err e = store_open(&o, &s, why, sizeof(why));

	assert_null(s);
	if (e != want || strncmp(why, path, strlen(path)) != 0 || !strstr(why, what) || !strstr(why, advice))
		fail_msg("%s: %s", err_name(e), why);
}

/* ---- kill -9 ---- */

/* Each acknowledged number goes up the pipe, written by the thread that waited for it. */
struct crasher {
	struct store *s;
	int pipe;
	uint32_t round, id;
};

static void *
crasher_main(void *arg)
{
	const struct crasher *c = arg;
	char key[32];

	for (uint32_t i = 0;; i++) {
		snprintf(key, sizeof(key), "%u-%u-%u", c->round, c->id, i);
		if (store_unit_put(c->s, key, key, i % 3 ? 0 : STORE_UNIT_NOW + 3600) != OK)
			return NULL;
		uint32_t acknowledged[2] = { c->id, i };
		if (write(c->pipe, acknowledged, sizeof(acknowledged)) != sizeof(acknowledged))
			return NULL;
	}
}

enum { CRASH_THREADS = 4 };

static void
crash_child(int pipe, uint32_t round)
{
	pthread_t threads[CRASH_THREADS];
	struct crasher c[CRASH_THREADS];
	struct store *s = store_unit_open();

	for (uint32_t i = 0; i < CRASH_THREADS; i++) {
		c[i] = (struct crasher){ s, pipe, round, i };
		if (pthread_create(&threads[i], NULL, crasher_main, &c[i]) != 0)
			_exit(1);
	}
	for (;;)
		pause();
}

static void
every_acknowledged_record_is_there_after_kill_9(void **state)
{
	(void)state;
	enum { ROUNDS = 20 };
	uint32_t next[ROUNDS][CRASH_THREADS] = { 0 }, pair[2];

	for (uint32_t round = 0; round < ROUNDS; round++) {
		int ends[2];
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0)
			crash_child(ends[1], round);
		close(ends[1]);
		/* Somewhere in the middle of its work; a different place each time. */
		for (uint32_t seen = 0; seen < 20 + round * 7; seen++) {
			assert_int_equal(read(ends[0], pair, sizeof(pair)), sizeof(pair));
			next[round][pair[0]] = pair[1] + 1;
		}
		assert_int_equal(kill(child, SIGKILL), 0);
		while (read(ends[0], pair, sizeof(pair)) == sizeof(pair))
			next[round][pair[0]] = pair[1] + 1;
		assert_int_equal(waitpid(child, NULL, 0), child);
		close(ends[0]);

		struct store *s = store_unit_open();
		for (uint32_t r = 0; r <= round; r++)
			for (uint32_t id = 0; id < CRASH_THREADS; id++)
				for (uint32_t i = 0; i < next[r][id]; i++) {
					char key[32];
					snprintf(key, sizeof(key), "%u-%u-%u", r, id, i);
					assert_string_equal(store_unit_get(s, key), key);
				}
		store_close(s);
	}
}

/* ---- who may open it ---- */

static void
a_second_authd_on_the_same_folder_is_refused(void **state)
{
	(void)state;
	struct store *s = store_unit_open();

	assert_refused(store_unit_folder, E_CONFLICT, "another authd has it open", "stop that one");
	assert_int_equal(store_unit_put(s, "a", "1", 0), OK); /* the first goes on */
	store_close(s);
	s = store_unit_open();
	assert_string_equal(store_unit_get(s, "a"), "1");
	store_close(s);
}

static void
a_folder_that_cannot_be_used_is_refused(void **state)
{
	(void)state;
	unit_file_write(in_folder("file"), "x", 1);
	assert_refused(in_folder("file"), E_SYSTEM, "Not a directory", "must be a folder");
	assert_refused("/proc/self/gatehouse", E_SYSTEM, "cannot make this folder", "owned by the user");
	assert_refused(in_folder("none/deeper"), E_SYSTEM, "No such file or directory", "make it");
	if (geteuid() != 0) {
		assert_int_equal(chmod(store_unit_folder, 0500), 0);
		assert_refused(store_unit_folder, E_SYSTEM, "Permission denied", "needs to own");
		assert_int_equal(chmod(store_unit_folder, 0700), 0);
	} else {
		assert_refused("/proc/self", E_SYSTEM, "cannot write here", "needs to own");
	}
}

static void
a_folder_is_made_when_there_is_none(void **state)
{
	(void)state;
	char path[128];
	struct stat st;
	struct store *s;

	snprintf(path, sizeof(path), "%s/new", store_unit_folder);
	struct store_options o = { .path = path, .clock = &store_unit_clock.clock };
	char why[512];
	assert_int_equal(store_open(&o, &s, why, sizeof(why)), OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	store_close(s);
	static const char *const names[] = { "new/data.mdb", "new/lock.mdb", "new/authd.lock" };
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(unlink(in_folder(names[i])), 0);
	assert_int_equal(rmdir(path), 0);
}

/* ---- what is not a database of ours ---- */

static void
fill(struct store *s, int n)
{
	static char scope[20000];
	char key[16];

	memset(scope, 's', sizeof(scope) - 1);
	for (int i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(store_unit_put(s, key, scope, STORE_UNIT_NOW + 100 + i), OK);
	}
}

static void
garbage_is_refused(void **state)
{
	(void)state;
	char garbage[40000];

	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = (char)(i * 2654435761u >> 13);
	unit_file_write(in_folder("data.mdb"), garbage, sizeof(garbage));
	assert_refused(store_unit_folder, E_FORMAT, "data.mdb is damaged", "backup");
	unit_file_write(in_folder("data.mdb"), garbage, 100);
	assert_refused(store_unit_folder, E_FORMAT, "data.mdb is damaged", "backup");
	/* Emptied: LMDB starts anew, as for a file that was never written. */
	unit_file_write(in_folder("data.mdb"), garbage, 0);
	store_close(store_unit_open());
	unlink(in_folder("data.mdb"));
	assert_int_equal(mkdir(in_folder("data.mdb"), 0700), 0);
	assert_refused(store_unit_folder, E_FORMAT, "not a file", "move it away");
	assert_int_equal(rmdir(in_folder("data.mdb")), 0);
}

static void
a_truncated_file_is_refused_without_a_bus_error(void **state)
{
	(void)state;
	struct store *s = store_unit_open();
	struct stat st;

	fill(s, 40);
	store_close(s);
	assert_int_equal(stat(in_folder("data.mdb"), &st), 0);
	for (off_t bytes = st.st_size * 3 / 4; bytes >= 8192; bytes /= 3) {
		assert_int_equal(truncate(in_folder("data.mdb"), bytes), 0);
		assert_refused(store_unit_folder, E_FORMAT, "data.mdb is damaged", "backup");
	}
}

/* n records of five pages in one transaction. */
static enum err
fill_large_fn(struct store_txn *t, void *arg)
{
	static char scope[20000];
	const int *n = arg;
	char key[16];
	enum err e = OK;

	memset(scope, 's', sizeof(scope) - 1);
	for (int i = 0; i < *n && e == OK; i++) {
		struct store_unit_put p = { key, { scope, sizeof(scope) - 1 }, 0, OK };
		snprintf(key, sizeof(key), "large%d", i);
		e = store_unit_put_fn(t, &p);
	}
	return e;
}

static void
a_large_file_that_was_cut_is_refused_too(void **state)
{
	(void)state;
	struct store *s = store_unit_open();
	struct stat st;
	int n = 1000;

	assert_int_equal(store_write_wait(s, fill_large_fn, &n), OK);
	store_close(s);
	assert_int_equal(stat(in_folder("data.mdb"), &st), 0);
	assert_true(st.st_size > 16 << 20); /* past what is read at every start */
	assert_int_equal(truncate(in_folder("data.mdb"), st.st_size - 4 * 4096), 0);
	assert_refused(store_unit_folder, E_FORMAT, "data.mdb is damaged", "backup");
}

static enum err
delete_big_fn(struct store_txn *t, void *arg)
{
	(void)arg;
	return store_delete(t, RECORD_APPROVAL, SLICE_LIT("big"));
}

static void
a_file_that_lacks_only_free_pages_is_whole(void **state)
{
	(void)state;
	static char big[400000];
	struct store_unit_put put = { "big", { big, sizeof(big) }, 0, OK };
	struct store *s = store_unit_open();
	struct stat st;
	int n = 100;

	assert_int_equal(store_unit_put(s, "kept", "x", 0), OK);
	assert_int_equal(store_write_wait(s, store_unit_put_fn, &put), OK); /* about 98 pages at the end */
	assert_int_equal(store_write_wait(s, delete_big_fn, NULL), OK);
	for (int i = 0; i < 10; i++) /* each copies its pages to free ones further down */
		assert_int_equal(store_unit_put(s, "other", "x", 0), OK);
	store_close(s);
	assert_int_equal(stat(in_folder("data.mdb"), &st), 0);
	/* What a transaction took from the end of the file and gave back is never written: such a file ends early, and is whole. */
	assert_int_equal(truncate(in_folder("data.mdb"), st.st_size - 40 * 4096), 0);
	s = store_unit_open();
	assert_string_equal(store_unit_get(s, "kept"), "x");
	assert_int_equal(store_write_wait(s, fill_large_fn, &n), OK);
	store_close(s);
	s = store_unit_open();
	assert_int_equal(strlen(store_unit_get(s, "large99")), 19999);
	assert_string_equal(store_unit_get(s, "kept"), "x");
	store_close(s);
}

static void
a_file_with_bad_pages_is_refused(void **state)
{
	(void)state;
	struct store *s = store_unit_open();
	struct stat st;
	char page[4096];
	int refused = 0;

	fill(s, 20);
	store_close(s);
	assert_int_equal(stat(in_folder("data.mdb"), &st), 0);
	/* Each page behind the two of LMDB's head, one at a time: it is in use and refused, or free and without meaning. */
	int fd = open(in_folder("data.mdb"), O_RDWR | O_CLOEXEC);
	for (off_t at = 2 * 4096; at < st.st_size; at += 4096) {
		char was[4096];
		assert_int_equal(pread(fd, was, sizeof(was), at), sizeof(was));
		memset(page, 0xa5, sizeof(page));
		assert_int_equal(pwrite(fd, page, sizeof(page), at), sizeof(page));
		struct store_options o = { .path = store_unit_folder, .clock = &store_unit_clock.clock };
		char why[512];
		enum err e = store_open(&o, &s, why, sizeof(why));
		if (e == OK) {
			for (int i = 0; i < 20; i++) {
				char key[16];
				snprintf(key, sizeof(key), "k%d", i);
				assert_int_equal(strlen(store_unit_get(s, key)), 19999);
			}
			store_close(s);
			/* Opening writes nothing to a database that is not new. */
		} else {
			assert_int_equal(e, E_FORMAT);
			assert_non_null(strstr(why, "damaged"));
			refused++;
		}
		assert_int_equal(pwrite(fd, was, sizeof(was), at), sizeof(was));
	}
	close(fd);
	assert_true(refused >= 100); /* 20 records of five pages */
	s = store_unit_open();
	assert_int_equal(strlen(store_unit_get(s, "k7")), 19999);
	store_close(s);
}

/* Writes a database with LMDB itself. */
static void
foreign(const char *table, const char *key, const char *value)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	char k[32], v[32];

	snprintf(k, sizeof(k), "%s", key);
	snprintf(v, sizeof(v), "%s", value);
	MDB_val mk = { strlen(k), k }, mv = { strlen(v), v };
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
	assert_int_equal(mdb_env_open(env, store_unit_folder, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, table, table ? MDB_CREATE : 0, &dbi), 0);
	assert_int_equal(mdb_put(txn, dbi, &mk, &mv, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static void
a_database_of_another_program_is_refused(void **state)
{
	(void)state;
	foreign("people", "octocat", "1");
	assert_refused(store_unit_folder, E_FORMAT, "not made by authd", "another folder");
}

static void
a_meta_entry_of_another_program_is_refused(void **state)
{
	(void)state;
	foreign(NULL, "meta", "1");
	assert_refused(store_unit_folder, E_FORMAT, "not made by authd", "another folder");
}

static void
a_newer_format_is_refused(void **state)
{
	(void)state;
	store_close(store_unit_open());
	foreign("meta", "format", "2");
	assert_refused(store_unit_folder, E_FORMAT, "newer authd", "backup");
	foreign("meta", "format", "?");
	assert_refused(store_unit_folder, E_FORMAT, "not made by authd", "another folder");
	foreign("meta", "format", "1");
	store_close(store_unit_open());
}

/* What nobody should do: bytes into the tables, past store_put. */
static enum err
damage_fn(struct store_txn *t, void *arg)
{
	char copy[256];
	MDB_val a = { 1, (char[]){ "a" } }, b = { 1, (char[]){ "b" } }, v;

	(void)arg;
	assert_int_equal(mdb_get(t->mdb, t->s->records[RECORD_APPROVAL], &b, &v), 0);
	assert_true(v.mv_size < sizeof(copy));
	v.mv_data = memcpy(copy, v.mv_data, v.mv_size);
	assert_int_equal(mdb_put(t->mdb, t->s->records[RECORD_APPROVAL], &a, &v, 0), 0);
	v.mv_size = 3;
	assert_int_equal(mdb_put(t->mdb, t->s->records[RECORD_APPROVAL], &b, &v, 0), 0);
	return OK;
}

static enum err
visit_none(void *arg, struct slice key, const void *record)
{
	(void)arg;
	(void)key;
	(void)record;
	return OK;
}

static enum err
each_fn(struct store_txn *t, void *arg)
{
	struct arena arena;
	(void)arg;
	arena_init(&arena, 0);
	enum err e = store_each(t, RECORD_APPROVAL, &arena, visit_none, NULL);
	arena_fini(&arena);
	return e;
}

static void
a_damaged_record_is_reported_and_never_served(void **state)
{
	(void)state;
	struct store *s = store_unit_open();

	assert_int_equal(store_unit_put(s, "a", "scope", 0), OK);
	assert_int_equal(store_unit_put(s, "b", "scope", 0), OK);
	assert_int_equal(store_write_wait(s, damage_fn, NULL), OK);
	assert_string_equal(store_unit_get(s, "a"), "E_FORMAT"); /* another record's bytes */
	assert_string_equal(store_unit_get(s, "b"), "E_FORMAT"); /* half of its own */
	assert_int_equal(store_read(s, each_fn, NULL), E_FORMAT);
	assert_int_equal(store_unit_put(s, "b", "new", 0), E_FORMAT);
	store_close(s);
	assert_refused(store_unit_folder, E_FORMAT, "damaged", "backup");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_acknowledged_record_is_there_after_kill_9, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_second_authd_on_the_same_folder_is_refused, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_used_is_refused, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_folder_is_made_when_there_is_none, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(garbage_is_refused, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_truncated_file_is_refused_without_a_bus_error, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_large_file_that_was_cut_is_refused_too, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_file_that_lacks_only_free_pages_is_whole, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_file_with_bad_pages_is_refused, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_database_of_another_program_is_refused, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_meta_entry_of_another_program_is_refused, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_newer_format_is_refused, store_unit_setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_damaged_record_is_reported_and_never_served, store_unit_setup, store_unit_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
