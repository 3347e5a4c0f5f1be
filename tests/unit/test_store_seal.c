#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include "tests/unit/store_unit.h"
#include "shared/log.h"

#define SECRET_TEXT "-----BEGIN PRIVATE KEY----- of "
#define RECORDS 3000

static struct vault_keys one, two, both; /* both: two first, one behind it */
static char why[512];

static int
setup(void **state)
{
	const char *expected;

	(void)state;
	store_unit_begin();
	log_set_level(LOG_LEVEL_ERROR + 1);
	store_unit_keys = NULL;
	assert_int_equal(vault_keys_parse(SLICE_LIT("11111111111111111111111111111111"), &one, &expected), OK);
	assert_int_equal(vault_keys_parse(SLICE_LIT("22222222222222222222222222222222"), &two, &expected), OK);
	both = two;
	both.items[1] = one.items[0];
	both.n = 2;
	return 0;
}

/* ---- records with secrets ---- */

static struct slice
text_of(char out[64], const char *what, int i)
{
	return slice_of(out, (size_t)snprintf(out, 64, "%s%d", what, i));
}

static enum err
fill_fn(struct store_txn *t, void *arg)
{
	const int *range = arg;
	enum err e = OK;

	for (int i = range[0]; i < range[1] && e == OK; i++) {
		char key[64], secret[64], data[64];
		struct record_session s = { .sid = text_of(key, "sid", i), .jwt = text_of(secret, SECRET_TEXT, i), .expires_at = STORE_UNIT_NOW + 100 + i % 7,
			.user = { .user_id = SLICE_LIT("u"), .connector_data = text_of(data, "token of ", i) } };
		e = store_put(t, RECORD_SESSION, s.sid, &s);
	}
	return e;
}

static void
fill(struct store *s, int from, int to)
{
	assert_int_equal(store_write_wait(s, fill_fn, (int[]){ from, to }), OK);
}

static bool
has(struct store *s, int i)
{
	char key[64], secret[64], data[64];
	struct record_session r;
	struct arena arena;

	arena_init(&arena, 0);
	enum err e = store_lookup(s, RECORD_SESSION, text_of(key, "sid", i), &arena, &r);
	bool good = e == OK && slice_eq(r.jwt, text_of(secret, SECRET_TEXT, i)) && slice_eq(r.user.connector_data, text_of(data, "token of ", i)) &&
		    r.expires_at == STORE_UNIT_NOW + 100 + i % 7;
	arena_fini(&arena);
	return good;
}

static void
assert_all(struct store *s, int n)
{
	for (int i = 0; i < n; i++)
		if (!has(s, i))
			fail_msg("record %d is not what it was", i);
}

/* Whether the file has a text anywhere, free pages included. */
static bool
file_has(const char *text)
{
	static char bytes[8 << 20];
	FILE *f = fopen(in_folder("data.mdb"), "r");
	size_t n;

	assert_non_null(f);
	n = fread(bytes, 1, sizeof(bytes), f);
	assert_true(n < sizeof(bytes));
	fclose(f);
	return memmem(bytes, n, text, strlen(text)) != NULL;
}

static struct store *
open_with(const struct vault_keys *keys)
{
	store_unit_keys = keys;
	return store_unit_open();
}

static enum err
refused_with(const struct vault_keys *keys)
{
	struct store_options o = { .path = store_unit_folder, .clock = &store_unit_clock.clock, .keys = keys };
	struct store *s = NULL;
	enum err e = store_open(&o, &s, why, sizeof(why));

	assert_null(s);
	return e;
}

/* ---- tests ---- */

static void
a_sealed_store_holds_no_secret_that_can_be_read(void **state)
{
	struct store *s = open_with(&one);

	(void)state;
	assert_string_equal(store_key_id(s), one.items[0].id);
	fill(s, 0, 50);
	assert_all(s, 50);
	store_close(s);
	assert_true(file_has("sid7"));
	assert_false(file_has(SECRET_TEXT));
	assert_false(file_has("token of "));
	s = open_with(&one);
	assert_all(s, 50);
	store_close(s);
}

static void
a_key_for_a_store_that_had_none_seals_all_of_it_and_leaves_nothing_behind(void **state)
{
	struct store *s = open_with(NULL);

	(void)state;
	fill(s, 0, RECORDS);
	assert_int_equal(store_unit_put(s, "approval", "scope", STORE_UNIT_NOW + 3), OK);
	assert_null(store_key_id(s));
	store_close(s);
	assert_true(file_has(SECRET_TEXT));
	s = open_with(&one);
	assert_false(file_has(SECRET_TEXT));
	assert_all(s, RECORDS);
	assert_string_equal(store_unit_get(s, "approval"), "scope");
	fill(s, RECORDS, RECORDS + 10);
	assert_all(s, RECORDS + 10);
	/* The index of expiries came along. */
	clock_fixed_advance(&store_unit_clock, 1000);
	size_t gone;
	assert_int_equal(store_purge(s, &gone), OK);
	assert_int_equal(gone, RECORDS + 10 + 1);
	store_close(s);
}

static void
without_its_key_or_with_another_a_sealed_store_is_refused_with_what_to_do(void **state)
{
	struct store *s = open_with(&one);

	(void)state;
	fill(s, 0, 5);
	store_close(s);
	assert_int_equal(refused_with(NULL), E_DENIED);
	assert_non_null(strstr(why, one.items[0].id));
	assert_non_null(strstr(why, "name the file of that key in storage.config.keyFile"));
	assert_int_equal(refused_with(&two), E_DENIED);
	assert_non_null(strstr(why, one.items[0].id));
	assert_non_null(strstr(why, two.items[0].id));
	assert_non_null(strstr(why, "behind a new one"));
	s = open_with(&one);
	assert_all(s, 5);
	store_close(s);
}

static void
a_new_key_before_the_old_one_takes_over(void **state)
{
	struct store *s = open_with(&one);

	(void)state;
	fill(s, 0, 20);
	store_close(s);
	s = open_with(&both);
	assert_string_equal(store_key_id(s), two.items[0].id);
	assert_all(s, 20);
	store_close(s);
	s = open_with(&two);
	assert_all(s, 20);
	store_close(s);
	assert_int_equal(refused_with(&one), E_DENIED);
}

/* A record from a store that is not sealed, its checksum right, put into one that is: as somebody would who can write the file. */
static void
a_secret_that_is_not_sealed_is_damage_in_a_sealed_store(void **state)
{
	static char value[4096];
	size_t value_n = 0;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_val k = { 4, (char[]){ "sid0" } }, v;

	(void)state;
	for (int pass = 0; pass < 2; pass++) {
		struct store *s = open_with(pass ? &one : NULL);
		fill(s, 0, 1);
		store_close(s);
		assert_int_equal(mdb_env_create(&env), 0);
		assert_int_equal(mdb_env_set_maxdbs(env, 64), 0);
		assert_int_equal(mdb_env_open(env, store_unit_folder, 0, 0600), 0);
		assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
		assert_int_equal(mdb_dbi_open(txn, "session", 0, &dbi), 0);
		if (pass == 0) {
			assert_int_equal(mdb_get(txn, dbi, &k, &v), 0);
			assert_true(v.mv_size < sizeof(value));
			memcpy(value, v.mv_data, value_n = v.mv_size);
		} else {
			v = (MDB_val){ value_n, value };
			assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
		}
		assert_int_equal(mdb_txn_commit(txn), 0);
		mdb_env_close(env);
		if (pass == 0) {
			assert_int_equal(unlink(in_folder("data.mdb")), 0);
			assert_int_equal(unlink(in_folder("lock.mdb")), 0);
		}
	}
	struct store *s = open_with(&one);
	struct record_session r;
	struct arena arena;
	arena_init(&arena, 0);
	assert_int_equal(store_lookup(s, RECORD_SESSION, SLICE_LIT("sid0"), &arena, &r), E_FORMAT);
	arena_fini(&arena);
	store_close(s);
	assert_int_equal(refused_with(&both), E_FORMAT);
	assert_non_null(strstr(why, "a record is damaged"));
}

static void
a_disk_without_room_leaves_the_store_as_it_was(void **state)
{
	struct store *s = open_with(NULL);
	struct rlimit before, small;

	(void)state;
	fill(s, 0, RECORDS);
	store_close(s);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 256 << 10;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	enum err e = refused_with(&one);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(e, E_SYSTEM);
	assert_non_null(strstr(why, "make room for a second copy of the database; the store is as it was"));
	assert_int_not_equal(access(in_folder("data.mdb.sealing"), F_OK), 0);
	s = open_with(NULL);
	assert_all(s, RECORDS);
	store_close(s);
	s = open_with(&one);
	assert_all(s, RECORDS);
	store_close(s);
}

static void
copy_file(const char *from, const char *to)
{
	char command[300];

	snprintf(command, sizeof(command), "cp %s/%s %s/%s", store_unit_folder, from, store_unit_folder, to);
	assert_int_equal(system(command), 0);
}

/* Milliseconds of a child that opens the store with a key; killed after kill_us, -1: not. */
static long
open_in_child(long kill_us)
{
	struct timespec begin, end;
	int status;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct store_options o = { .path = store_unit_folder, .clock = &store_unit_clock.clock, .keys = &one };
		struct store *s;
		if (store_open(&o, &s, why, sizeof(why)) != OK)
			_exit(1);
		store_close(s);
		_exit(0);
	}
	if (kill_us >= 0) {
		const struct timespec wait = { kill_us / 1000000, kill_us % 1000000 * 1000 };
		nanosleep(&wait, NULL); /* any moment will do: it is random */
		kill(child, SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	return (end.tv_sec - begin.tv_sec) * 1000000 + (end.tv_nsec - begin.tv_nsec) / 1000;
}

static void
kill_9_at_any_moment_of_sealing_loses_nothing(void **state)
{
	struct store *s = open_with(NULL);

	(void)state;
	fill(s, 0, RECORDS);
	store_close(s);
	copy_file("data.mdb", "plain");
	long whole_us = open_in_child(-1);
	srandom(7);
	for (int i = 0; i < 25; i++) {
		copy_file("plain", "data.mdb");
		unlink(in_folder("lock.mdb"));
		open_in_child(random() % (whole_us + 1));
		/* It may have left a process behind that verifies, and holds the lock until it dies. */
		struct store_options o = { .path = store_unit_folder, .clock = &store_unit_clock.clock, .keys = &one };
		enum err e;
		while ((e = store_open(&o, &s, why, sizeof(why))) == E_CONFLICT)
			sched_yield();
		if (e != OK)
			fail_msg("%s", why);
		assert_all(s, RECORDS);
		store_close(s);
		assert_false(file_has(SECRET_TEXT));
		assert_int_not_equal(access(in_folder("data.mdb.sealing"), F_OK), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_sealed_store_holds_no_secret_that_can_be_read, setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_key_for_a_store_that_had_none_seals_all_of_it_and_leaves_nothing_behind, setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(without_its_key_or_with_another_a_sealed_store_is_refused_with_what_to_do, setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_new_key_before_the_old_one_takes_over, setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_secret_that_is_not_sealed_is_damage_in_a_sealed_store, setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(a_disk_without_room_leaves_the_store_as_it_was, setup, store_unit_teardown),
		cmocka_unit_test_setup_teardown(kill_9_at_any_moment_of_sealing_loses_nothing, setup, store_unit_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
