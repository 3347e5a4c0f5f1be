#include "proxyd/upstream_servers.h"
#include "tests/unit/unit.h"

static struct upstream_servers
three(void)
{
	struct upstream_servers s = { .n = 3 };

	for (size_t i = 0; i < s.n; i++)
		s.items[i] = (struct upstream_server){ .first = i, .n = 1 };
	return s;
}

static void
equals_are_asked_in_turn(void **state)
{
	struct upstream_servers s = three();

	(void)state;
	for (int i = 0; i < 7; i++)
		assert_int_equal(upstream_servers_choose(&s, 0, 0), i % 3);
}

static void
the_one_with_the_fewest_requests_is_asked(void **state)
{
	struct upstream_servers s = three();

	(void)state;
	s.items[0].busy = s.items[2].busy = 2;
	s.items[1].busy = 1;
	for (int i = 0; i < 3; i++)
		assert_int_equal(upstream_servers_choose(&s, 0, 0), 1);
	s.items[1].busy = 3;
	assert_int_equal(upstream_servers_choose(&s, 0, 0), 2);
	assert_int_equal(upstream_servers_choose(&s, 0, 0), 0);
}

static void
what_has_been_tried_or_has_no_address_is_left_out(void **state)
{
	struct upstream_servers s = three();

	(void)state;
	assert_int_equal(upstream_servers_choose(&s, 0, 1u | 4u), 1);
	s.items[1].n = 0;
	assert_int_equal(upstream_servers_choose(&s, 0, 1u | 4u), -1);
	assert_int_equal(upstream_servers_choose(&s, 0, 1u), 2);
	assert_int_equal(upstream_servers_choose(&s, 0, 7u), -1);
}

static void
one_that_failed_is_passed_over_for_longer_each_time_and_gets_one_request_then(void **state)
{
	static const uint64_t pauses[] = { 1000, 2000, 4000, 8000, 16000, 32000, 32000 };
	struct upstream_servers s = three();
	uint64_t now = 5;

	(void)state;
	s.items[2].n = 0;
	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		assert_int_equal(upstream_servers_failed(&s, 0, now), pauses[i]);
		assert_int_equal(upstream_servers_failed(&s, 0, now + 10), pauses[i] - 10); /* others that learn the same */
		for (int k = 0; k < 3; k++)
			assert_int_equal(upstream_servers_choose(&s, now + pauses[i] - 1, 0), 1);
		now += pauses[i];
		s.items[1].busy = 1;
		assert_int_equal(upstream_servers_choose(&s, now, 0), 0);
		s.items[0].dialling = 1;
		assert_int_equal(upstream_servers_choose(&s, now, 0), 1);
		s.items[0].dialling = 0;
		s.items[1].busy = 0;
	}
	assert_true(upstream_servers_worked(&s, 0));
	assert_false(upstream_servers_worked(&s, 0));
	assert_int_equal(upstream_servers_failed(&s, 0, now), 1000);
}

static void
where_all_failed_the_one_whose_pause_ends_first_is_asked(void **state)
{
	struct upstream_servers s = three();

	(void)state;
	upstream_servers_failed(&s, 2, 0);
	upstream_servers_failed(&s, 1, 100);
	upstream_servers_failed(&s, 0, 200);
	assert_int_equal(upstream_servers_choose(&s, 300, 0), 2);
	assert_int_equal(upstream_servers_choose(&s, 300, 4u), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equals_are_asked_in_turn),
		cmocka_unit_test(the_one_with_the_fewest_requests_is_asked),
		cmocka_unit_test(what_has_been_tried_or_has_no_address_is_left_out),
		cmocka_unit_test(one_that_failed_is_passed_over_for_longer_each_time_and_gets_one_request_then),
		cmocka_unit_test(where_all_failed_the_one_whose_pause_ends_first_is_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
