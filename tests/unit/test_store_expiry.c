#include <semaphore.h>
#include "tests/unit/store_unit.h"

static struct store *store;
static size_t purged_on_demand;

/* How many records went since the store was opened. The writer may notice first that the clock has moved. */
static size_t
purge(void)
{
	struct store_stats stats;
	size_t gone;

	assert_int_equal(store_purge(store, &gone), OK);
	purged_on_demand += gone;
	store_stats(store, &stats);
	return purged_on_demand + (size_t)stats.purged;
}

static int
setup(void **state)
{
	(void)state;
	store_unit_begin();
	store = store_unit_open();
	purged_on_demand = 0;
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

static enum err
delete_fn(struct store_txn *t, void *arg)
{
	return store_delete(t, RECORD_APPROVAL, slice_str(arg));
}

/* ---- expiry ---- */

static enum err
count_fn(struct store_txn *t, void *arg)
{
	size_t *n = arg;
	*n = store_count(t, RECORD_APPROVAL);
	return OK;
}

static size_t
count(void)
{
	size_t n;
	assert_int_equal(store_read(store, count_fn, &n), OK);
	return n;
}

static enum err
visit_keys(void *arg, struct slice key, const void *record)
{
	char *list = arg;
	const struct record_approval *a = record;
	strncat(list, key.p, key.n);
	strncat(list, "=", 2);
	strncat(list, a->scope.p, a->scope.n);
	strncat(list, " ", 2);
	return slice_eq_str(a->scope, "stop") ? E_AGAIN : OK;
}

static enum err
each_fn(struct store_txn *t, void *arg)
{
	struct arena arena;
	arena_init(&arena, 0);
	enum err e = store_each(t, RECORD_APPROVAL, &arena, visit_keys, arg);
	arena_fini(&arena);
	return e;
}

static void
expired_records_are_invisible_at_once(void **state)
{
	(void)state;
	char list[256] = "";

	assert_int_equal(store_unit_put(store, "a", "1", STORE_UNIT_NOW + 10), OK);
	assert_int_equal(store_unit_put(store, "b", "2", STORE_UNIT_NOW + 20), OK);
	assert_int_equal(store_unit_put(store, "c", "3", 0), OK);
	clock_fixed_advance(&store_unit_clock, 9);
	assert_string_equal(store_unit_get(store, "a"), "1");
	clock_fixed_advance(&store_unit_clock, 1);
	assert_string_equal(store_unit_get(store, "a"), "E_EMPTY");
	assert_int_equal(store_read(store, each_fn, list), OK);
	assert_string_equal(list, "b=2 c=3 ");
	assert_int_equal(store_write_wait(store, delete_fn, (char[]){ "a" }), E_EMPTY);
	assert_int_equal(purge(), 1);
	assert_int_equal(count(), 2);
	assert_int_equal(purge(), 1);
}

static void
a_later_expiry_replaces_the_earlier_one(void **state)
{
	(void)state;
	assert_int_equal(store_unit_put(store, "a", "1", STORE_UNIT_NOW + 10), OK);
	assert_int_equal(store_unit_put(store, "a", "2", STORE_UNIT_NOW + 100), OK);
	assert_int_equal(store_unit_put(store, "b", "1", STORE_UNIT_NOW + 10), OK);
	assert_int_equal(store_unit_put(store, "b", "2", 0), OK);
	clock_fixed_advance(&store_unit_clock, 50);
	assert_int_equal(purge(), 0);
	assert_string_equal(store_unit_get(store, "a"), "2");
	clock_fixed_advance(&store_unit_clock, 50);
	assert_string_equal(store_unit_get(store, "a"), "E_EMPTY");
	assert_string_equal(store_unit_get(store, "b"), "2");
	assert_int_equal(purge(), 1);
}

static void
a_refused_change_of_expiry_leaves_the_old_one(void **state)
{
	(void)state;
	struct store_unit_put p = { "a", SLICE_LIT("2"), STORE_UNIT_NOW + 100, E_CONFLICT };

	assert_int_equal(store_unit_put(store, "a", "1", STORE_UNIT_NOW + 10), OK);
	assert_int_equal(store_write_wait(store, store_unit_put_fn, &p), E_CONFLICT);
	clock_fixed_advance(&store_unit_clock, 10);
	assert_int_equal(purge(), 1);
	clock_fixed_advance(&store_unit_clock, 100);
	assert_int_equal(purge(), 1);
}

static enum err
put_many_fn(struct store_txn *t, void *arg)
{
	const int *n = arg;
	char key[16];

	for (int i = 0; i < *n; i++) {
		snprintf(key, sizeof(key), "k%06d", i);
		struct record_approval a = { .scope = SLICE_LIT("x"), .expires_at = STORE_UNIT_NOW + 1 + i % 7 };
		enum err e = store_put(t, RECORD_APPROVAL, slice_str(key), &a);
		if (e != OK)
			return e;
	}
	return OK;
}

static void
many_that_expire_together_go_in_batches(void **state)
{
	(void)state;
	int n = 1700;
	struct store_stats before, after;

	assert_int_equal(store_write_wait(store, put_many_fn, &n), OK);
	assert_int_equal(count(), 1700);
	store_stats(store, &before);
	clock_fixed_advance(&store_unit_clock, 7);
	assert_int_equal(purge(), 1700);
	assert_int_equal(count(), 0);
	store_stats(store, &after);
	assert_int_equal(after.groups - before.groups, (1700 - after.purged) / 500 + 1);
}

static void
the_writer_purges_by_itself(void **state)
{
	(void)state;
	struct store_stats stats;

	/* What is overdue when the store opens goes at once, without anybody asking. */
	assert_int_equal(store_unit_put(store, "a", "1", STORE_UNIT_NOW + 10), OK);
	store_close(store);
	clock_fixed_advance(&store_unit_clock, 10);
	store = store_unit_open();
	/* It comes to it between two writes at the latest. */
	assert_int_equal(store_unit_put(store, "b", "1", 0), OK);
	assert_int_equal(store_unit_put(store, "b", "2", 0), OK);
	store_stats(store, &stats);
	assert_int_equal(stats.purged, 1);
	assert_int_equal(count(), 1);
}

struct trim {
	size_t max, gone;
};

static enum err
trim_fn(struct store_txn *t, void *arg)
{
	struct trim *trim = arg;
	return store_trim(t, RECORD_APPROVAL, trim->max, &trim->gone);
}

static void
a_table_is_trimmed_of_those_that_expire_first(void **state)
{
	(void)state;
	char list[256] = "";
	struct trim trim = { .max = 3 };

	assert_int_equal(store_unit_put(store, "a", "30", STORE_UNIT_NOW + 30), OK);
	assert_int_equal(store_unit_put(store, "b", "10", STORE_UNIT_NOW + 10), OK);
	assert_int_equal(store_unit_put(store, "c", "never", 0), OK);
	assert_int_equal(store_unit_put(store, "d", "20", STORE_UNIT_NOW + 20), OK);
	assert_int_equal(store_unit_put(store, "e", "40", STORE_UNIT_NOW + 40), OK);
	assert_int_equal(store_write_wait(store, trim_fn, &trim), OK);
	assert_int_equal(trim.gone, 2);
	assert_int_equal(store_read(store, each_fn, list), OK);
	assert_string_equal(list, "a=30 c=never e=40 ");
	assert_int_equal(store_write_wait(store, trim_fn, &trim), OK);
	assert_int_equal(trim.gone, 0);
	trim.max = 0;
	assert_int_equal(store_write_wait(store, trim_fn, &trim), OK);
	assert_int_equal(trim.gone, 2);
	assert_int_equal(count(), 1);
}

/* ---- visiting ---- */

static void
visiting_goes_in_key_order_and_stops_when_told(void **state)
{
	(void)state;
	char list[256] = "";

	assert_int_equal(store_unit_put(store, "b", "stop", 0), OK);
	assert_int_equal(store_unit_put(store, "c", "3", 0), OK);
	assert_int_equal(store_unit_put(store, "a", "1", 0), OK);
	assert_int_equal(store_read(store, each_fn, list), E_AGAIN);
	assert_string_equal(list, "a=1 b=stop ");
}

struct renaming {
	struct store_txn *t;
	int visits;
};

static enum err
rename_visit(void *arg, struct slice key, const void *record)
{
	struct renaming *r = arg;
	char to[16];

	r->visits++;
	if (key.p[0] != 'k')
		return OK;
	snprintf(to, sizeof(to), "z%.*s", (int)key.n - 1, key.p + 1);
	enum err e = store_put(r->t, RECORD_APPROVAL, slice_str(to), record);
	return e == OK ? store_delete(r->t, RECORD_APPROVAL, key) : e;
}

static enum err
rename_fn(struct store_txn *t, void *arg)
{
	struct renaming *r = arg;
	struct arena arena;

	*r = (struct renaming){ t, 0 };
	arena_init(&arena, 0);
	enum err e = store_each(t, RECORD_APPROVAL, &arena, rename_visit, r);
	arena_fini(&arena);
	return e;
}

static void
a_visit_may_put_and_delete(void **state)
{
	(void)state;
	char key[16];
	struct renaming r;

	for (int i = 0; i < 50; i++) {
		snprintf(key, sizeof(key), "k%02d", i);
		assert_int_equal(store_unit_put(store, key, key, STORE_UNIT_NOW + 5), OK);
	}
	assert_int_equal(store_write_wait(store, rename_fn, &r), OK);
	assert_int_equal(r.visits, 100); /* the new ones stand behind, and are met too */
	assert_int_equal(count(), 50);
	assert_string_equal(store_unit_get(store, "z49"), "k49");
	assert_string_equal(store_unit_get(store, "k49"), "E_EMPTY");
}

/* ---- against a model ---- */

enum { MODEL_KEYS = 200, MODEL_STEPS_MAX = 8 };

struct model {
	bool there;
	uint32_t value;
	int64_t expires_at;
};
static struct model model[MODEL_KEYS];
static char model_text[12000];

/* A few puts and deletes of one function, drawn before it runs, since it may run again. */
struct model_op {
	struct {
		size_t key;
		bool put;
		uint32_t value;
		int64_t expires_at;
	} steps[MODEL_STEPS_MAX];
	size_t n;
	enum err end;
	sem_t *done;
};

static struct slice
model_key(size_t i, char out[16])
{
	return slice_of(out, (size_t)snprintf(out, 16, "key%zu", i));
}

/* A text that only this value has, of a length up to several pages. */
static struct slice
model_scope(uint32_t value)
{
	return slice_of(model_text + value % 7, value % (sizeof(model_text) - 7));
}

static enum err
model_fn(struct store_txn *t, void *arg)
{
	const struct model_op *op = arg;
	char key[16];

	for (size_t i = 0; i < op->n; i++) {
		struct record_approval a = { .scope = model_scope(op->steps[i].value), .approved_at = op->steps[i].value,
			.expires_at = op->steps[i].expires_at };
		struct slice k = model_key(op->steps[i].key, key);
		enum err e = op->steps[i].put ? store_put(t, RECORD_APPROVAL, k, &a) : store_delete(t, RECORD_APPROVAL, k);
		if (e != OK && e != E_EMPTY)
			return E_SYSTEM;
	}
	return op->end;
}

static void
model_done(void *arg, enum err result)
{
	struct model_op *op = arg;
	if (result != op->end)
		op->end = E_SYSTEM;
	sem_post(op->done);
}

static void
assert_model(void)
{
	struct arena arena;
	struct record_approval a;
	char key[16];

	arena_init(&arena, 0);
	for (size_t i = 0; i < MODEL_KEYS; i++) {
		enum err e = store_lookup(store, RECORD_APPROVAL, model_key(i, key), &arena, &a);
		assert_int_equal(e, model[i].there ? OK : E_EMPTY);
		if (e != OK)
			continue;
		assert_int_equal(a.approved_at, model[i].value);
		assert_int_equal(a.expires_at, model[i].expires_at);
		assert_true(slice_eq(a.scope, model_scope(model[i].value)));
	}
	arena_fini(&arena);
}

static void
random_groups_leave_what_a_plain_model_says(void **state)
{
	(void)state;
	enum { ROUNDS = 60, GROUP = 20 };
	static struct model_op ops[GROUP];
	uint32_t seed = 1;
	size_t expiring = 0;
	sem_t done;

#define DRAW(n) ((seed = seed * 1664525 + 1013904223) >> 8) % (n)
	for (size_t i = 0; i < sizeof(model_text); i++)
		model_text[i] = (char)('a' + (i * i + i / 7) % 26);
	memset(model, 0, sizeof(model));
	sem_init(&done, 0, 0);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < GROUP; i++) {
			struct model_op *op = &ops[i];
			*op = (struct model_op){ .n = DRAW(MODEL_STEPS_MAX + 1), .end = DRAW(3) ? OK : E_CONFLICT, .done = &done };
			for (size_t k = 0; k < op->n; k++) {
				op->steps[k].key = DRAW(MODEL_KEYS);
				op->steps[k].put = DRAW(3) != 0;
				op->steps[k].value = DRAW(100000);
				op->steps[k].expires_at = DRAW(2) ? STORE_UNIT_NOW + 1 + DRAW(1000) : 0;
				if (op->end != OK)
					continue;
				model[op->steps[k].key] = (struct model){ op->steps[k].put, op->steps[k].value, op->steps[k].expires_at };
			}
			enum err end = op->end;
			assert_int_equal(store_write(store, model_fn, model_done, op), OK);
			assert_true(end == OK || end == E_CONFLICT);
		}
		for (int i = 0; i < GROUP; i++)
			sem_wait(&done);
		for (int i = 0; i < GROUP; i++)
			assert_true(ops[i].end == OK || ops[i].end == E_CONFLICT);
	}
#undef DRAW
	assert_model();
	store_close(store);
	store = store_unit_open();
	assert_model();
	/* The index of expiries is exact too: all that expire go, and nothing else. */
	for (size_t i = 0; i < MODEL_KEYS; i++)
		if (model[i].there && model[i].expires_at) {
			expiring++;
			model[i].there = false;
		}
	clock_fixed_advance(&store_unit_clock, 1001);
	assert_int_equal(purge(), expiring);
	assert_true(expiring > 20);
	assert_model();
	sem_destroy(&done);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(expired_records_are_invisible_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_later_expiry_replaces_the_earlier_one, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refused_change_of_expiry_leaves_the_old_one, setup, teardown),
		cmocka_unit_test_setup_teardown(many_that_expire_together_go_in_batches, setup, teardown),
		cmocka_unit_test_setup_teardown(the_writer_purges_by_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(a_table_is_trimmed_of_those_that_expire_first, setup, teardown),
		cmocka_unit_test_setup_teardown(random_groups_leave_what_a_plain_model_says, setup, teardown),
		cmocka_unit_test_setup_teardown(visiting_goes_in_key_order_and_stops_when_told, setup, teardown),
		cmocka_unit_test_setup_teardown(a_visit_may_put_and_delete, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
