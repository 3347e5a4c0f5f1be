#include <stddef.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include "proxyd/respawn.h"

static void
a_child_that_dies_now_and_then_is_replaced_at_once(void **state)
{
	struct respawn r = { 0 };

	(void)state;
	for (uint64_t now_ms = 100000; now_ms < 200000; now_ms += 2500)
		assert_int_equal(respawn_delay_ms(&r, now_ms - 2500, now_ms), 0);
}

static void
five_quick_deaths_are_forgiven_the_sixth_waits(void **state)
{
	struct respawn r = { 0 };

	(void)state;
	for (uint64_t i = 0; i < RESPAWN_BURST; i++)
		assert_int_equal(respawn_delay_ms(&r, 1000 + i, 1001 + i), 0);
	assert_int_equal(respawn_delay_ms(&r, 1010, 1011), RESPAWN_DELAY_MIN_MS);
}

static void
waits_double_up_to_half_a_minute_while_it_keeps_dying(void **state)
{
	static const uint64_t delays_ms[] = { 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000 };
	struct respawn r = { 0 };
	uint64_t now_ms = 1000;

	(void)state;
	for (int i = 0; i < RESPAWN_BURST; i++)
		respawn_delay_ms(&r, now_ms, now_ms);
	for (size_t i = 0; i < sizeof(delays_ms) / sizeof(delays_ms[0]); i++) {
		assert_int_equal(respawn_delay_ms(&r, now_ms, now_ms + 1), delays_ms[i]);
		now_ms += 1 + delays_ms[i];
	}
}

static void
one_long_life_ends_the_waiting(void **state)
{
	struct respawn r = { 0 };

	(void)state;
	for (int i = 0; i <= RESPAWN_BURST; i++)
		respawn_delay_ms(&r, 1000, 1000);
	assert_int_equal(respawn_delay_ms(&r, 2000, 2000 + RESPAWN_WINDOW_MS), 0);
	assert_int_equal(respawn_delay_ms(&r, 20000, 20001), 0);
}

static void
the_first_death_right_after_boot_does_not_wait(void **state)
{
	struct respawn r = { 0 };

	(void)state;
	assert_int_equal(respawn_delay_ms(&r, 0, 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_child_that_dies_now_and_then_is_replaced_at_once),
		cmocka_unit_test(five_quick_deaths_are_forgiven_the_sixth_waits),
		cmocka_unit_test(waits_double_up_to_half_a_minute_while_it_keeps_dying),
		cmocka_unit_test(one_long_life_ends_the_waiting),
		cmocka_unit_test(the_first_death_right_after_boot_does_not_wait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
