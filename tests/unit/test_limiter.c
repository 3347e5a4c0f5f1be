#include "tests/unit/unit.h"
#include "authd/limiter.h"

static const struct slice jane = { "jane@example.com", 16 }, home = { "192.0.2.1", 9 }, away = { "198.51.100.7", 12 };

static struct clock_fixed clock_held;

static struct limiter *
limiter_begin(void)
{
	struct limiter *l;

	clock_fixed_init(&clock_held, 1700000000);
	l = limiter_new(&clock_held.clock, &rng_system);
	assert_non_null(l);
	return l;
}

static unsigned
attempts(struct limiter *l, struct slice account, struct slice address, unsigned n)
{
	unsigned wait_s = 0;

	while (n--)
		wait_s = limiter_attempt(l, account, address);
	return wait_s;
}

static struct slice
address_text(char text[32], unsigned i)
{
	return slice_of(text, (size_t)snprintf(text, 32, "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255));
}

static void
a_few_failures_are_free_then_each_wait_is_twice_as_long(void **state)
{
	(void)state;
	struct limiter *l = limiter_begin();

	assert_int_equal(attempts(l, jane, home, LIMITER_PAIR_FREE), 0);
	for (unsigned wanted = 1; wanted <= 256; wanted *= 2) {
		assert_int_equal(limiter_attempt(l, jane, home), wanted);
		clock_fixed_advance(&clock_held, wanted);
		assert_int_equal(limiter_attempt(l, jane, home), 0);
	}
	assert_int_equal(limiter_attempt(l, jane, home), LIMITER_WAIT_S_MAX);
	clock_fixed_advance(&clock_held, LIMITER_WAIT_S_MAX);
	assert_int_equal(limiter_attempt(l, jane, home), 0);
	assert_int_equal(limiter_attempt(l, jane, home), LIMITER_WAIT_S_MAX);
	limiter_free(l);
}

static void
attempts_that_are_held_back_do_not_make_the_wait_longer(void **state)
{
	(void)state;
	struct limiter *l = limiter_begin();

	attempts(l, jane, home, LIMITER_PAIR_FREE);
	assert_int_equal(attempts(l, jane, home, 100), 1);
	limiter_free(l);
}

static void
the_same_account_in_another_case_is_the_same_account(void **state)
{
	(void)state;
	struct limiter *l = limiter_begin();

	attempts(l, jane, home, LIMITER_PAIR_FREE);
	assert_int_equal(limiter_attempt(l, SLICE_LIT("JANE@example.COM"), home), 1);
	limiter_free(l);
}

static void
success_starts_the_count_of_account_and_address_anew(void **state)
{
	(void)state;
	struct limiter *l = limiter_begin();

	for (int i = 0; i < 5; i++) {
		assert_int_equal(attempts(l, jane, home, LIMITER_PAIR_FREE), 0);
		limiter_succeeded(l, jane, home);
	}
	assert_int_equal(attempts(l, jane, home, LIMITER_PAIR_FREE), 0);
	assert_int_equal(limiter_attempt(l, jane, home), 1);
	limiter_free(l);
}

static void
guesses_from_many_addresses_hold_up_the_account_but_not_where_its_owner_was(void **state)
{
	(void)state;
	struct limiter *l = limiter_begin();
	char text[32];

	assert_int_equal(limiter_attempt(l, jane, home), 0);
	limiter_succeeded(l, jane, home);
	for (unsigned i = 0; i < LIMITER_ACCOUNT_FREE; i++)
		assert_int_equal(limiter_attempt(l, jane, address_text(text, i)), 0);
	assert_int_equal(limiter_attempt(l, jane, away), 1);
	assert_int_equal(limiter_attempt(l, jane, home), 0);
	limiter_free(l);
}

static void
one_address_that_tries_many_accounts_is_held_up(void **state)
{
	(void)state;
	struct limiter *l = limiter_begin();
	char text[32];

	for (unsigned i = 0; i < LIMITER_ADDRESS_FREE; i++)
		assert_int_equal(limiter_attempt(l, address_text(text, i), away), 0);
	assert_int_equal(limiter_attempt(l, SLICE_LIT("one more"), away), 1);
	assert_int_equal(limiter_attempt(l, SLICE_LIT("one more"), home), 0);
	limiter_free(l);
}

static void
addresses_of_one_ipv6_network_count_as_one(void **state)
{
	(void)state;
	struct limiter *l = limiter_begin();

	attempts(l, jane, SLICE_LIT("2001:db8:1:2::1"), LIMITER_PAIR_FREE);
	assert_int_equal(limiter_attempt(l, jane, SLICE_LIT("2001:db8:1:2:ffff::9")), 1);
	assert_int_equal(limiter_attempt(l, jane, SLICE_LIT("2001:db8:1:3::1")), 0);
	limiter_free(l);
}

static void
counts_are_forgotten_after_an_hour(void **state)
{
	(void)state;
	struct limiter *l = limiter_begin();

	attempts(l, jane, home, LIMITER_PAIR_FREE);
	clock_fixed_advance(&clock_held, LIMITER_FORGET_S + 1);
	assert_int_equal(attempts(l, jane, home, LIMITER_PAIR_FREE), 0);
	limiter_free(l);
}

/* Three entries for each of these pairs: twelve times what fits. */
static void
a_flood_of_other_names_stays_within_the_table_and_does_not_forget_the_owner(void **state)
{
	(void)state;
	struct limiter *l = limiter_begin();
	char text[32], other[32];

	assert_int_equal(limiter_attempt(l, jane, home), 0);
	limiter_succeeded(l, jane, home);
	for (unsigned i = 0; i < 4 * LIMITER_ENTRIES; i++)
		limiter_attempt(l, address_text(text, i), address_text(other, i + 1));
	attempts(l, jane, away, LIMITER_ACCOUNT_FREE);
	assert_int_equal(limiter_attempt(l, jane, home), 0);
	limiter_free(l);
}

static enum err
no_randomness(const struct rng *r, void *out, size_t n)
{
	(void)r, (void)out, (void)n;
	return E_SYSTEM;
}

static void
without_randomness_there_is_no_limiter(void **state)
{
	(void)state;
	struct rng none = { no_randomness };

	assert_null(limiter_new(&clock_system, &none));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_few_failures_are_free_then_each_wait_is_twice_as_long),
		cmocka_unit_test(attempts_that_are_held_back_do_not_make_the_wait_longer),
		cmocka_unit_test(the_same_account_in_another_case_is_the_same_account),
		cmocka_unit_test(success_starts_the_count_of_account_and_address_anew),
		cmocka_unit_test(guesses_from_many_addresses_hold_up_the_account_but_not_where_its_owner_was),
		cmocka_unit_test(one_address_that_tries_many_accounts_is_held_up),
		cmocka_unit_test(addresses_of_one_ipv6_network_count_as_one),
		cmocka_unit_test(counts_are_forgotten_after_an_hour),
		cmocka_unit_test(a_flood_of_other_names_stays_within_the_table_and_does_not_forget_the_owner),
		cmocka_unit_test(without_randomness_there_is_no_limiter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
