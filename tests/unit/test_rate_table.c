#include "proxyd/rate_table.h"
#include "tests/unit/unit.h"

static const uint64_t A[2] = { 1, 0 }, B[2] = { 2, 0 };

static void
a_bucket_holds_its_seconds_and_refills_at_the_rate(void **state)
{
	struct rate_table t;

	(void)state;
	assert_int_equal(rate_table_init(&t, 5, 7), OK);
	for (int i = 0; i < 5 * RATE_BURST_S; i++) {
		assert_true(rate_table_may(&t, A, 1000));
		assert_true(rate_table_take(&t, A, 1000));
	}
	assert_false(rate_table_may(&t, A, 1000));
	assert_false(rate_table_take(&t, A, 1000));
	assert_true(rate_table_take(&t, B, 1000));
	assert_false(rate_table_take(&t, A, 1199));
	assert_true(rate_table_take(&t, A, 1200));
	assert_false(rate_table_take(&t, A, 1200));
	for (int i = 0; i < 5; i++)
		assert_true(rate_table_take(&t, A, 2200));
	assert_false(rate_table_take(&t, A, 2200));
	rate_table_fini(&t);
}

/* To look costs nothing, and to be refused costs nothing: who stops for a second is let in after a second. */
static void
what_is_refused_is_not_counted(void **state)
{
	struct rate_table t;

	(void)state;
	assert_int_equal(rate_table_init(&t, 1, 7), OK);
	while (rate_table_take(&t, A, 1000))
		;
	for (int i = 0; i < 1000; i++)
		assert_false(rate_table_take(&t, A, 1000 + (uint64_t)i % 1000));
	assert_true(rate_table_take(&t, A, 2000));
	rate_table_fini(&t);
}

static void
without_a_rate_everything_may_be_had(void **state)
{
	struct rate_table t;

	(void)state;
	assert_int_equal(rate_table_init(&t, 0, 7), OK);
	for (int i = 0; i < 100000; i++)
		assert_true(rate_table_take(&t, A, 0) && rate_table_may(&t, A, 0));
	rate_table_fini(&t);
}

static void
the_largest_rate_is_a_rate(void **state)
{
	struct rate_table t;
	int n = 0;

	(void)state;
	assert_int_equal(rate_table_init(&t, RATE_MAX, 7), OK);
	while (rate_table_take(&t, A, 1))
		n++;
	assert_int_equal(n, RATE_MAX * RATE_BURST_S);
	rate_table_fini(&t);
}

/* Whoever floods from a hundred thousand addresses does not make room for the one that is over its limit. */
static void
who_is_over_the_limit_is_not_forgotten_for_newcomers(void **state)
{
	struct rate_table t;

	(void)state;
	assert_int_equal(rate_table_init(&t, 10, 7), OK);
	while (rate_table_take(&t, A, 1000))
		;
	for (uint64_t i = 0; i < 100000; i++) {
		const uint64_t key[2] = { i * 2654435761u, i };
		assert_true(rate_table_take(&t, key, 1000));
	}
	assert_false(rate_table_may(&t, A, 1000));
	rate_table_fini(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_holds_its_seconds_and_refills_at_the_rate),
		cmocka_unit_test(what_is_refused_is_not_counted),
		cmocka_unit_test(without_a_rate_everything_may_be_had),
		cmocka_unit_test(the_largest_rate_is_a_rate),
		cmocka_unit_test(who_is_over_the_limit_is_not_forgotten_for_newcomers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
