#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/stat.h>
#include "tests/unit/store_unit.h"

static struct store *store;

static int
setup(void **state)
{
	(void)state;
	store_unit_begin();
	store = store_unit_open();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	store_close(store);
	store = NULL;
	store_unit_end();
	return 0;
}

static void
reopen(void)
{
	store_close(store);
	store = store_unit_open();
}

/* ---- one record ---- */

static void
a_record_that_was_put_is_found_also_after_a_restart(void **state)
{
	(void)state;
	assert_int_equal(store_unit_put(store, "a", "openid", 0), OK);
	assert_string_equal(store_unit_get(store, "a"), "openid");
	assert_string_equal(store_unit_get(store, "b"), "E_EMPTY");
	reopen();
	assert_string_equal(store_unit_get(store, "a"), "openid");
	assert_int_equal(store_unit_put(store, "a", "email", 0), OK);
	assert_string_equal(store_unit_get(store, "a"), "email");
}

static enum err
delete_fn(struct store_txn *t, void *arg)
{
	return store_delete(t, RECORD_APPROVAL, slice_str(arg));
}

static void
a_deleted_record_is_gone(void **state)
{
	(void)state;
	assert_int_equal(store_unit_put(store, "a", "x", STORE_UNIT_NOW + 10), OK);
	assert_int_equal(store_write_wait(store, delete_fn, (char[]){ "a" }), OK);
	assert_string_equal(store_unit_get(store, "a"), "E_EMPTY");
	assert_int_equal(store_write_wait(store, delete_fn, (char[]){ "a" }), E_EMPTY);
	assert_int_equal(store_write_wait(store, delete_fn, (char[]){ "" }), E_EMPTY);
}

static enum err
kinds_fn(struct store_txn *t, void *arg)
{
	(void)arg;
	struct record_session session = { .sid = SLICE_LIT("s") };
	struct record_key key = { .alg = SLICE_LIT("ES256") };
	enum err e = store_put(t, RECORD_SESSION, SLICE_LIT("same"), &session);
	return e == OK ? store_put(t, RECORD_KEY, SLICE_LIT("same"), &key) : e;
}

static void
kinds_are_apart(void **state)
{
	(void)state;
	struct arena arena;
	struct record_session session;
	struct record_key key;
	struct record_code code;

	arena_init(&arena, 0);
	assert_int_equal(store_write_wait(store, kinds_fn, NULL), OK);
	assert_int_equal(store_lookup(store, RECORD_SESSION, SLICE_LIT("same"), &arena, &session), OK);
	assert_true(slice_eq_str(session.sid, "s"));
	assert_int_equal(store_lookup(store, RECORD_KEY, SLICE_LIT("same"), &arena, &key), OK);
	assert_true(slice_eq_str(key.alg, "ES256"));
	assert_int_equal(store_lookup(store, RECORD_CODE, SLICE_LIT("same"), &arena, &code), E_EMPTY);
	arena_fini(&arena);
}

static void
keys_and_records_are_bounded(void **state)
{
	(void)state;
	char longest[STORE_KEY_BYTES_MAX + 2];
	static char big[STORE_RECORD_BYTES_MAX + 1];
	struct store_unit_put p = { "big", { big, sizeof(big) }, 0, OK };

	memset(longest, 'k', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(store_unit_put(store, longest, "x", 1), E_LIMIT);
	assert_string_equal(store_unit_get(store, longest), "E_EMPTY");
	assert_int_equal(store_unit_put(store, "", "x", 0), E_LIMIT);
	assert_string_equal(store_unit_get(store, ""), "E_EMPTY");
	longest[STORE_KEY_BYTES_MAX] = '\0';
	assert_int_equal(store_unit_put(store, longest, "x", STORE_UNIT_NOW + 1), OK);
	assert_string_equal(store_unit_get(store, longest), "x");
	assert_int_equal(store_write_wait(store, store_unit_put_fn, &p), E_LIMIT);
	p.scope.n = STORE_RECORD_BYTES_MAX - 16;
	assert_int_equal(store_write_wait(store, store_unit_put_fn, &p), OK);
	assert_int_equal(strlen(store_unit_get(store, "big")), 0); /* of NULs */
}

static void
a_secret_is_hashed_by_sha256(void **state)
{
	(void)state;
	unsigned char out[32];
	struct slice h = store_hash(SLICE_LIT("abc"), out);

	assert_int_equal(h.n, 32);
	assert_ptr_equal(h.p, out);
	assert_memory_equal(h.p, "\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23"
				 "\xb0\x03\x61\xa3\x96\x17\x7a\x9c\xb4\x10\xff\x61\xf2\x00\x15\xad", 32);
}

static void
files_are_readable_by_their_owner_only(void **state)
{
	(void)state;
	static const char *const names[] = { "data.mdb", "lock.mdb", "authd.lock" };
	char path[128];
	struct stat st;

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", store_unit_folder, names[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
}

/* ---- groups ---- */

/* A function that holds the writer until it is let go, so that what follows queues behind it. */
struct gate {
	sem_t entered, open, done;
	enum err result;
};

static void
gate_init(struct gate *g)
{
	sem_init(&g->entered, 0, 0);
	sem_init(&g->open, 0, 0);
	sem_init(&g->done, 0, 0);
}

static void
gate_fini(struct gate *g)
{
	sem_destroy(&g->entered);
	sem_destroy(&g->open);
	sem_destroy(&g->done);
}

static enum err
gate_fn(struct store_txn *t, void *arg)
{
	struct gate *g = arg;
	(void)t;
	sem_post(&g->entered);
	sem_wait(&g->open);
	return OK;
}

static void
gate_done(void *arg, enum err result)
{
	struct gate *g = arg;
	g->result = result;
	sem_post(&g->done);
}

struct counted {
	struct store_unit_put put;
	enum err result;
	sem_t *done;
};

static enum err
counted_fn(struct store_txn *t, void *arg)
{
	struct counted *c = arg;
	return store_unit_put_fn(t, &c->put);
}

static void
counted_done(void *arg, enum err result)
{
	struct counted *c = arg;
	c->result = result;
	sem_post(c->done);
}

static void
writes_that_wait_together_are_committed_together(void **state)
{
	(void)state;
	enum { N = 100 };
	static char keys[N][16];
	struct counted c[N];
	struct gate g;
	struct store_stats before, after;
	sem_t done;

	gate_init(&g);
	sem_init(&done, 0, 0);
	assert_int_equal(store_write(store, gate_fn, gate_done, &g), OK);
	sem_wait(&g.entered);
	store_stats(store, &before);
	for (int i = 0; i < N; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%d", i);
		c[i] = (struct counted){ .put = { keys[i], slice_str(keys[i]), 0, OK }, .done = &done };
		assert_int_equal(store_write(store, counted_fn, counted_done, &c[i]), OK);
	}
	sem_post(&g.open);
	for (int i = 0; i < N; i++)
		sem_wait(&done);
	store_stats(store, &after);
	assert_int_equal(after.groups - before.groups, 2); /* the gate's own, and one for all of them */
	assert_int_equal(after.writes - before.writes, N + 1);
	for (int i = 0; i < N; i++) {
		assert_int_equal(c[i].result, OK);
		assert_string_equal(store_unit_get(store, keys[i]), keys[i]);
	}
	sem_wait(&g.done);
	gate_fini(&g);
	sem_destroy(&done);
}

static void
a_function_that_fails_leaves_nothing_of_its_own_and_the_others_alone(void **state)
{
	(void)state;
	struct counted c[3];
	struct gate g;
	sem_t done;

	assert_int_equal(store_unit_put(store, "shared", "before", 0), OK);
	gate_init(&g);
	sem_init(&done, 0, 0);
	assert_int_equal(store_write(store, gate_fn, gate_done, &g), OK);
	sem_wait(&g.entered);
	c[0] = (struct counted){ .put = { "first", SLICE_LIT("1"), 0, OK }, .done = &done };
	c[1] = (struct counted){ .put = { "shared", SLICE_LIT("changed"), 0, E_CONFLICT }, .done = &done };
	c[2] = (struct counted){ .put = { "last", SLICE_LIT("3"), 0, OK }, .done = &done };
	for (int i = 0; i < 3; i++)
		assert_int_equal(store_write(store, counted_fn, counted_done, &c[i]), OK);
	sem_post(&g.open);
	for (int i = 0; i < 3; i++)
		sem_wait(&done);
	assert_int_equal(c[0].result, OK);
	assert_int_equal(c[1].result, E_CONFLICT);
	assert_int_equal(c[2].result, OK);
	reopen();
	assert_string_equal(store_unit_get(store, "first"), "1");
	assert_string_equal(store_unit_get(store, "shared"), "before");
	assert_string_equal(store_unit_get(store, "last"), "3");
	gate_fini(&g);
	sem_destroy(&done);
}

static void
a_full_queue_refuses_and_recovers(void **state)
{
	(void)state;
	enum { MAX = 4096 };
	static struct counted c[MAX];
	struct gate g;
	sem_t done;

	gate_init(&g);
	sem_init(&done, 0, 0);
	assert_int_equal(store_write(store, gate_fn, gate_done, &g), OK);
	sem_wait(&g.entered);
	for (int i = 0; i < MAX; i++) {
		c[i] = (struct counted){ .put = { "same", SLICE_LIT("x"), 0, OK }, .done = &done };
		assert_int_equal(store_write(store, counted_fn, counted_done, &c[i]), OK);
	}
	assert_int_equal(store_write(store, counted_fn, counted_done, &c[0]), E_LIMIT);
	assert_int_equal(store_unit_put(store, "other", "x", 0), E_LIMIT);
	sem_post(&g.open);
	for (int i = 0; i < MAX; i++)
		sem_wait(&done);
	assert_int_equal(store_unit_put(store, "other", "x", 0), OK);
	gate_fini(&g);
	sem_destroy(&done);
}

static void
closing_commits_what_has_queued(void **state)
{
	(void)state;
	struct counted c[2];
	struct gate g;
	sem_t done;

	gate_init(&g);
	sem_init(&done, 0, 0);
	assert_int_equal(store_write(store, gate_fn, gate_done, &g), OK);
	sem_wait(&g.entered);
	c[0] = (struct counted){ .put = { "a", SLICE_LIT("1"), 0, OK }, .done = &done };
	c[1] = (struct counted){ .put = { "b", SLICE_LIT("2"), 0, OK }, .done = &done };
	for (int i = 0; i < 2; i++)
		assert_int_equal(store_write(store, counted_fn, counted_done, &c[i]), OK);
	sem_post(&g.open);
	reopen();
	assert_int_equal(c[0].result, OK);
	assert_int_equal(c[1].result, OK);
	assert_string_equal(store_unit_get(store, "a"), "1");
	assert_string_equal(store_unit_get(store, "b"), "2");
	gate_fini(&g);
	sem_destroy(&done);
}

/* Look, decide, put: what makes a code single-use. */
static enum err
redeem_fn(struct store_txn *t, void *arg)
{
	struct arena arena;
	struct record_code code;

	(void)arg;
	arena_init(&arena, 0);
	enum err e = store_get(t, RECORD_CODE, SLICE_LIT("code"), &arena, &code);
	if (e == OK && code.redeemed_at)
		e = E_CONFLICT;
	code.redeemed_at = STORE_UNIT_NOW;
	if (e == OK)
		e = store_put(t, RECORD_CODE, SLICE_LIT("code"), &code);
	arena_fini(&arena);
	return e;
}

static enum err
issue_fn(struct store_txn *t, void *arg)
{
	struct record_code code = { .client_id = SLICE_LIT("c"), .expires_at = STORE_UNIT_NOW + 60 };
	(void)arg;
	return store_put(t, RECORD_CODE, SLICE_LIT("code"), &code);
}

static void *
redeemer(void *arg)
{
	enum err *e = arg;
	*e = store_write_wait(store, redeem_fn, NULL);
	return NULL;
}

static void
of_many_who_redeem_at_once_exactly_one_succeeds(void **state)
{
	(void)state;
	enum { N = 32 };
	pthread_t threads[N];
	enum err results[N];
	int won = 0;

	assert_int_equal(store_write_wait(store, issue_fn, NULL), OK);
	for (int i = 0; i < N; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, redeemer, &results[i]), 0);
	for (int i = 0; i < N; i++) {
		pthread_join(threads[i], NULL);
		assert_true(results[i] == OK || results[i] == E_CONFLICT);
		won += results[i] == OK;
	}
	assert_int_equal(won, 1);
}

struct pages {
	struct slice after;
	char seen[64];
	int stop; /* behind so many */
	struct arena arena;
};

static enum err
page_visit(void *arg, struct slice key, const void *record)
{
	struct pages *p = arg;
	const struct record_approval *a = record;

	assert_int_equal(a->scope.n, 1);
	strncat(p->seen, key.p, key.n);
	arena_fini(&p->arena); /* a long list does not gather */
	return --p->stop ? OK : E_LIMIT;
}

static enum err
page_read(struct store_txn *t, void *arg)
{
	struct pages *p = arg;
	return store_each_after(t, RECORD_APPROVAL, p->after, &p->arena, page_visit, p);
}

static void
a_long_list_is_read_in_pages_from_behind_a_key_on(void **state)
{
	(void)state;
	static const struct {
		const char *after;
		int stop;
		enum err result;
		const char *seen;
	} cases[] = { { "", 0, OK, "abd" }, { "a", 0, OK, "bd" }, { "a", 1, E_LIMIT, "b" }, { "b", 0, OK, "d" }, { "c", 0, OK, "d" }, { "d", 0, OK, "" },
		{ "z", 0, OK, "" } };
	static char longest[STORE_KEY_BYTES_MAX + 1];
	struct pages p = { .after = slice_of(longest, sizeof(longest)) };

	for (const char *key = "adb"; *key; key++)
		assert_int_equal(store_unit_put(store, (char[]){ *key, 0 }, "x", 0), OK);
	assert_int_equal(store_unit_put(store, "c", "x", STORE_UNIT_NOW), OK); /* has expired */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		p = (struct pages){ .after = slice_str(cases[i].after), .stop = cases[i].stop ? cases[i].stop : -1 };
		assert_int_equal(store_read(store, page_read, &p), cases[i].result);
		assert_string_equal(p.seen, cases[i].seen);
		arena_fini(&p.arena);
	}
	p = (struct pages){ .after = slice_of(longest, sizeof(longest)) };
	assert_int_equal(store_read(store, page_read, &p), E_LIMIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_record_that_was_put_is_found_also_after_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(a_deleted_record_is_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(kinds_are_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(keys_and_records_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(a_secret_is_hashed_by_sha256, setup, teardown),
		cmocka_unit_test_setup_teardown(files_are_readable_by_their_owner_only, setup, teardown),
		cmocka_unit_test_setup_teardown(writes_that_wait_together_are_committed_together, setup, teardown),
		cmocka_unit_test_setup_teardown(a_function_that_fails_leaves_nothing_of_its_own_and_the_others_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_queue_refuses_and_recovers, setup, teardown),
		cmocka_unit_test_setup_teardown(closing_commits_what_has_queued, setup, teardown),
		cmocka_unit_test_setup_teardown(of_many_who_redeem_at_once_exactly_one_succeeds, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_list_is_read_in_pages_from_behind_a_key_on, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
