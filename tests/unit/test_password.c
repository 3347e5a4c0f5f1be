#include <crypt.h>
#include <semaphore.h>
#include <time.h>
#include "tests/unit/unit.h"
#include "authd/password.h"

/* Vectors of the bcrypt that OpenBSD and Openwall published, cost 5 and 10. */
#define UU "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"         /* "U*U" */
#define UU_2Y "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
#define UU_2B "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
#define LONG72 "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui"     /* 0123456789a…z A…Z 0123456789, and more */
#define LONG72_TEXT "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define ADMIN10 "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"     /* "password", in dex's example */

static struct password_pool *pool;

static int
setup(void **state)
{
	(void)state;
	pool = password_pool_new(2, 4);
	return pool ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	password_pool_free(pool);
	return 0;
}

struct answer {
	sem_t there;
	enum err err;
	bool matches;
};

static void
answered(void *arg, enum err err, bool matches)
{
	struct answer *a = arg;
	a->err = err;
	a->matches = matches;
	sem_post(&a->there);
}

static bool
check(struct slice password, struct slice hash)
{
	struct answer a = { .err = E_CONFLICT };

	sem_init(&a.there, 0, 0);
	assert_int_equal(password_check(pool, password, hash, answered, &a), OK);
	sem_wait(&a.there);
	sem_destroy(&a.there);
	assert_int_equal(a.err, OK);
	return a.matches;
}

static void
the_password_of_a_hash_matches_and_no_other(void **state)
{
	(void)state;
	assert_true(check(SLICE_LIT("U*U"), SLICE_LIT(UU)));
	assert_true(check(SLICE_LIT("U*U"), SLICE_LIT(UU_2Y)));
	assert_true(check(SLICE_LIT("U*U"), SLICE_LIT(UU_2B)));
	assert_true(check(SLICE_LIT("password"), SLICE_LIT(ADMIN10)));
	assert_false(check(SLICE_LIT("U*V"), SLICE_LIT(UU)));
	assert_false(check(SLICE_LIT("U*U*"), SLICE_LIT(UU)));
	assert_false(check(SLICE_LIT("u*u"), SLICE_LIT(UU)));
	assert_false(check(SLICE_LIT(""), SLICE_LIT(UU)));
}

static void
what_bcrypt_would_cut_off_never_matches(void **state)
{
	(void)state;
	assert_true(check(SLICE_LIT(LONG72_TEXT), SLICE_LIT(LONG72)));
	assert_false(check(SLICE_LIT(LONG72_TEXT "0"), SLICE_LIT(LONG72)));
	assert_false(check(SLICE_LIT(LONG72_TEXT LONG72_TEXT), SLICE_LIT(LONG72)));
	assert_false(check(SLICE_LIT("U*U\0"), SLICE_LIT(UU)));
	assert_false(check(SLICE_LIT("U*U\0more"), SLICE_LIT(UU)));
}

static void
the_empty_password_matches_not_even_its_own_hash(void **state)
{
	(void)state;
	struct crypt_data data = { 0 };
	char empty[64];

	snprintf(empty, sizeof(empty), "%s", crypt_r("", "$2b$04$CCCCCCCCCCCCCCCCCCCCC.", &data));
	assert_int_equal(strlen(empty), 60);
	assert_false(check(SLICE_LIT(""), slice_str(empty)));
}

static uint64_t
cpu_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t
cost_us(struct slice password, struct slice hash)
{
	uint64_t least = UINT64_MAX;
	for (int i = 0; i < 3; i++) {
		uint64_t start = cpu_us();
		(void)check(password, hash);
		uint64_t took = cpu_us() - start;
		least = took < least ? took : least;
	}
	return least;
}

static void
an_unknown_user_costs_what_a_known_one_costs_and_never_matches(void **state)
{
	(void)state;
	/* CPU time, the least of three: within a third of each other, where no work at all would be a thousandth. */
	password_pool_set_cost(pool, password_hash_cost(SLICE_LIT(ADMIN10)));
	uint64_t known = cost_us(SLICE_LIT("wrong"), SLICE_LIT(ADMIN10));
	uint64_t unknown = cost_us(SLICE_LIT("wrong"), SLICE_NONE);
	uint64_t too_long = cost_us(SLICE_LIT(LONG72_TEXT "0"), SLICE_LIT(ADMIN10));

	assert_in_range(unknown, known * 2 / 3, known * 4 / 3);
	assert_in_range(too_long, known * 2 / 3, known * 4 / 3);
	password_pool_set_cost(pool, 5);
	assert_in_range(cost_us(SLICE_LIT("wrong"), SLICE_NONE), 0, known / 4);
	assert_false(check(SLICE_LIT("unknown"), SLICE_NONE));
	assert_false(check(SLICE_LIT(""), SLICE_NONE));
}

/* Holds a pool thread until it is let go. */
struct gate {
	sem_t entered, open;
};

static void
gate_done(void *arg, enum err err, bool matches)
{
	struct gate *g = arg;
	(void)err;
	(void)matches;
	sem_post(&g->entered);
	sem_wait(&g->open);
}

static void
a_full_queue_refuses_and_what_waits_at_the_end_is_told(void **state)
{
	(void)state;
	struct password_pool *small = password_pool_new(1, 2);
	struct gate g;
	struct answer a[2];

	sem_init(&g.entered, 0, 0);
	sem_init(&g.open, 0, 0);
	assert_int_equal(password_check(small, SLICE_LIT("x"), SLICE_LIT(UU), gate_done, &g), OK);
	sem_wait(&g.entered);
	for (int i = 0; i < 2; i++) {
		a[i] = (struct answer){ .err = OK };
		sem_init(&a[i].there, 0, 0);
		assert_int_equal(password_check(small, SLICE_LIT("U*U"), SLICE_LIT(UU), answered, &a[i]), OK);
	}
	assert_int_equal(password_check(small, SLICE_LIT("U*U"), SLICE_LIT(UU), answered, &a[0]), E_LIMIT);
	sem_post(&g.open);
	sem_wait(&a[0].there);
	assert_true(a[0].matches);
	assert_int_equal(password_check(small, SLICE_LIT("x"), SLICE_LIT(UU), gate_done, &g), OK);
	sem_wait(&g.entered);
	sem_wait(&a[1].there);
	/* The gate again holds the thread; what is behind it is not compared any more when the pool ends. */
	a[0].err = OK;
	a[0].matches = true;
	assert_int_equal(password_check(small, SLICE_LIT("U*U"), SLICE_LIT(UU), answered, &a[0]), OK);
	sem_post(&g.open);
	password_pool_free(small);
	sem_wait(&a[0].there);
	assert_true(a[0].err == OK ? a[0].matches : (a[0].err == E_AGAIN && !a[0].matches));
	for (int i = 0; i < 2; i++)
		sem_destroy(&a[i].there);
	sem_destroy(&g.entered);
	sem_destroy(&g.open);
}

static void
hashes_are_checked_before_they_are_believed(void **state)
{
	(void)state;
	static const struct {
		const char *hash, *why; /* NULL: fine */
	} rows[] = {
		{ ADMIN10, NULL },
		{ "$2b$16$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", NULL },
		{ "$2y$12$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", NULL },
		{ UU, "cost 10 or more" },
		{ "$2a$09$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "cost 10 or more" },
		{ "$2a$17$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "cost 16 or less" },
		{ "$2a$32$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "60 characters" },
		{ "$2a$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "60 characters" },
		{ "$2x$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "60 characters" },
		{ "$2$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeWW", "60 characters" },
		{ "$2a$1x$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "60 characters" },
		{ "$2a$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe", "60 characters" },
		{ "$2a$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeWW", "60 characters" },
		{ "$2a$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvy=eW", "60 characters" },
		{ "$2a$10$CCCCCCCCCCCCCCCCCCCCCCE5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "60 characters" }, /* bits bcrypt never sets */
		{ "$2a$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeX", "60 characters" },
		{ "$6$rounds=5000$salt$hash", "60 characters" },
		{ "password", "60 characters" },
		{ "", "60 characters" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *why = NULL;
		assert_int_equal(password_hash_ok(slice_str(rows[i].hash), &why), rows[i].why == NULL);
		if (rows[i].why)
			assert_non_null(strstr(why, rows[i].why));
	}
	struct answer a;
	assert_int_equal(password_check(pool, SLICE_LIT("x"), SLICE_LIT("plain"), answered, &a), E_FORMAT);
	assert_int_equal(password_hash_cost(SLICE_LIT(ADMIN10)), 10);
	assert_int_equal(password_hash_cost(SLICE_LIT(UU)), 5);
	assert_int_equal(password_hash_cost(SLICE_LIT("x")), 0);
}

static void
a_hash_that_was_made_matches_its_password_alone_and_is_made_anew_each_time(void **state)
{
	(void)state;
	char one[PASSWORD_HASH_BYTES], two[PASSWORD_HASH_BYTES];
	const char *why;

	assert_int_equal(password_hash_make(SLICE_LIT("caf\xc3\xa9 "), 10, &rng_system, one), OK);
	assert_int_equal(password_hash_make(SLICE_LIT("caf\xc3\xa9 "), 11, &rng_system, two), OK);
	assert_true(password_hash_ok(slice_str(one), &why) && password_hash_ok(slice_str(two), &why));
	assert_int_equal(password_hash_cost(slice_str(one)), 10);
	assert_int_equal(password_hash_cost(slice_str(two)), 11);
	assert_string_not_equal(one + 7, two + 7);
	assert_true(check(SLICE_LIT("caf\xc3\xa9 "), slice_str(one)));
	assert_true(check(SLICE_LIT("caf\xc3\xa9 "), slice_str(two)));
	assert_false(check(SLICE_LIT("caf\xc3\xa9"), slice_str(one)));
}

static enum err
no_randomness(const struct rng *r, void *out, size_t n)
{
	(void)r, (void)out, (void)n;
	return E_SYSTEM;
}

static void
a_hash_is_not_made_of_what_bcrypt_cannot_tell_apart(void **state)
{
	(void)state;
	static const struct rng broken = { no_randomness };
	char out[PASSWORD_HASH_BYTES];

	assert_int_equal(password_hash_make(SLICE_LIT(LONG72_TEXT), 10, &rng_system, out), OK);
	assert_true(check(SLICE_LIT(LONG72_TEXT), slice_str(out)));
	assert_int_equal(password_hash_make(SLICE_LIT(LONG72_TEXT "x"), 10, &rng_system, out), E_FORMAT);
	assert_int_equal(password_hash_make(SLICE_LIT(""), 10, &rng_system, out), E_FORMAT);
	assert_int_equal(password_hash_make(SLICE_LIT("a\0b"), 10, &rng_system, out), E_FORMAT);
	assert_int_equal(password_hash_make(SLICE_LIT("a"), 9, &rng_system, out), E_LIMIT);
	assert_int_equal(password_hash_make(SLICE_LIT("a"), 17, &rng_system, out), E_LIMIT);
	assert_int_equal(password_hash_make(SLICE_LIT("a"), 10, &broken, out), E_SYSTEM);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_password_of_a_hash_matches_and_no_other, setup, teardown),
		cmocka_unit_test_setup_teardown(what_bcrypt_would_cut_off_never_matches, setup, teardown),
		cmocka_unit_test_setup_teardown(the_empty_password_matches_not_even_its_own_hash, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unknown_user_costs_what_a_known_one_costs_and_never_matches, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_queue_refuses_and_what_waits_at_the_end_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(hashes_are_checked_before_they_are_believed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_hash_that_was_made_matches_its_password_alone_and_is_made_anew_each_time, setup, teardown),
		cmocka_unit_test_setup_teardown(a_hash_is_not_made_of_what_bcrypt_cannot_tell_apart, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
