#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/unit/unit.h"
#include "proxyd/turns.h"

#define WAITING_MAX 600

struct work {
	struct turn turn;
	char name;
	struct turn_lane *again; /* it has more to do */
	int times;
	struct work *other; /* leaves when this runs */
};

static struct clock_fixed clock;
static struct loop *loop;
static struct turns *turns;
static const struct slice alice = SLICE_LIT("alice"), bob = SLICE_LIT("bob");
static char done[WAITING_MAX + 1]; /* names of what has run, and '|' between two batches */
static size_t done_n;
static int batches, batch;

static int
setup(void **state)
{
	(void)state;
	memset(done, 0, sizeof(done));
	done_n = 0;
	clock_fixed_init(&clock, 1000);
	loop = loop_new(&clock.clock);
	turns = loop ? turns_new(loop, 7) : NULL;
	if (!turns)
		return -1;
	/* Nobody is alone. */
	turns_charge(turns, turns_caller(turns, SLICE_LIT("carol")), 1);
	turns_charge(turns, turns_caller(turns, SLICE_LIT("dave")), 1);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	loop_free(loop);
	turns_free(turns);
	return 0;
}

static void
say(char c)
{
	assert_true(done_n < WAITING_MAX);
	done[done_n++] = c;
}

static void
work_run(struct turn *t)
{
	struct work *w = (struct work *)t;

	assert_null(t->lane);
	say(w->name);
	if (w->other)
		turns_leave(&w->other->turn);
	if (w->again && --w->times > 0)
		turns_wait(turns, w->again, &w->turn);
}

static struct work
work(char name)
{
	return (struct work){ .turn.run = work_run, .name = name };
}

static void
wait_in(struct turn_lane *lane, struct work *w)
{
	turns_wait(turns, lane, &w->turn);
}

/* Runs once in each batch, behind its events and before what waits. */
static void
on_batch(struct loop_deferred *d)
{
	if (batch)
		say('|');
	if (++batch == batches)
		loop_stop(loop);
	else
		loop_defer(loop, d);
}

/* So many batches, each of which comes at once. */
static void
run_batches(int n)
{
	struct loop_deferred d = { .run = on_batch };

	batches = n;
	batch = 0;
	loop_defer(loop, &d);
	assert_int_equal(loop_run(loop), OK);
}

static void
stop_at(struct turn *t)
{
	(void)t;
	loop_stop(loop);
}

static const unsigned char *
address(unsigned char last)
{
	static unsigned char a[16] = { [10] = 0xff, [11] = 0xff, [12] = 10 };

	a[15] = last;
	return a;
}

/* Two of whom neither shares the other's lane. */
static struct turn_lane *
stranger(unsigned n)
{
	struct turn_lane *lanes[4];
	unsigned found = 0;

	for (unsigned char i = 1; found <= n; i++) {
		struct turn_lane *lane = turns_stranger(turns, address(i));
		bool known = false;
		for (unsigned k = 0; k < found; k++)
			known |= lanes[k] == lane;
		if (!known)
			lanes[found++] = lane;
	}
	return lanes[n];
}

static void
a_caller_has_so_many_units_in_a_batch_and_the_next_has_as_many(void **state)
{
	struct turn_lane *a = turns_caller(turns, alice), *b = turns_caller(turns, bob);

	(void)state;
	assert_ptr_not_equal(a, b);
	assert_ptr_equal(turns_caller(turns, SLICE_LIT("alice")), a);
	for (int n = 0; n < 3; n++) {
		for (int i = 0; i < TURNS_UNITS; i++)
			assert_true(turns_take(turns, a));
		assert_false(turns_left(turns, a));
		assert_false(turns_take(turns, a));
		assert_true(turns_take(turns, b)); /* who is none of the flood */
		run_batches(1);
	}
}

static size_t
units_until_full(struct turn_lane *lane)
{
	size_t n = 0;

	while (turns_take(turns, lane))
		n++;
	return n;
}

static void
who_is_alone_for_a_while_has_more_until_somebody_comes(void **state)
{
	struct turn_lane *a = turns_caller(turns, alice), *b = turns_caller(turns, bob);

	(void)state;
	assert_int_equal(units_until_full(a), TURNS_UNITS);
	clock_fixed_advance(&clock, TURNS_ALONE_MS / 1000);
	run_batches(1);
	assert_int_equal(units_until_full(a), TURNS_UNITS_ALONE);
	run_batches(1);
	assert_int_equal(units_until_full(a), TURNS_UNITS_ALONE);
	run_batches(1);
	assert_true(turns_take(turns, b));
	assert_int_equal(units_until_full(a), TURNS_UNITS);
	assert_int_equal(units_until_full(b), TURNS_UNITS - 1);
}

static void
what_is_more_work_is_charged(void **state)
{
	struct turn_lane *a = turns_caller(turns, alice);

	(void)state;
	assert_true(turns_take(turns, a));
	turns_charge(turns, a, 1000);
	assert_false(turns_take(turns, a));
	run_batches(1);
	assert_true(turns_take(turns, a)); /* no debts */
}

static void
what_waits_runs_in_order_and_so_much_of_it_in_each_batch(void **state)
{
	struct turn_lane *a = turns_caller(turns, alice), *b = turns_caller(turns, bob);
	struct work of_a[2 * TURNS_UNITS + 1], of_b = work('b');

	(void)state;
	for (int i = 0; i < 2 * TURNS_UNITS + 1; i++) {
		of_a[i] = work((char)('A' + i));
		wait_in(a, &of_a[i]);
		wait_in(a, &of_a[i]); /* which changes nothing */
	}
	wait_in(b, &of_b);
	assert_false(turns_take(turns, b)); /* b's own that came before go first */
	run_batches(4);
	assert_string_equal(done, "ABCDEFGHIJKLMNOPb|QRSTUVWXYZ[\\]^_`|a|");
}

static void
a_flood_of_one_caller_delays_another_by_one_batch_of_theirs(void **state)
{
	struct turn_lane *a = turns_caller(turns, alice), *b = turns_caller(turns, bob);
	static struct work flood[400];
	struct work good = work('b');

	(void)state;
	for (int i = 0; i < 400; i++) {
		flood[i] = work('a');
		wait_in(a, &flood[i]);
	}
	run_batches(3);
	wait_in(b, &good);
	run_batches(1);
	assert_int_equal(done_n, 4 * TURNS_UNITS + 3);
	assert_int_equal(done[4 * TURNS_UNITS + 2], 'b');
	for (int i = 0; i < 400; i++)
		turns_leave(&flood[i].turn);
}

static void
strangers_never_run_at_once_and_have_one_turn_behind_each_batch(void **state)
{
	struct turn_lane *s = stranger(0), *a = turns_caller(turns, alice);
	struct work x = work('x'), y = work('y'), c = work('a');

	(void)state;
	assert_false(turns_take(turns, s));
	assert_false(turns_left(turns, s));
	wait_in(s, &x);
	wait_in(s, &y);
	wait_in(a, &c);
	run_batches(3);
	assert_string_equal(done, "ax|y|");
}

static void
addresses_of_strangers_take_turns_however_many_of_one_there_are(void **state)
{
	struct work many[6], one = work('1'), newcomer = work('n');

	(void)state;
	for (int i = 0; i < 6; i++) {
		many[i] = work('m');
		wait_in(stranger(0), &many[i]);
	}
	wait_in(stranger(1), &one);
	wait_in(turns_newcomers(turns), &newcomer);
	run_batches(9);
	assert_string_equal(done, "m|1|n|m|m|m|m|m|");
}

struct spender {
	struct loop_deferred deferred;
	struct turn_lane *lane;
	size_t units;
};

static void
spend(struct loop_deferred *d)
{
	struct spender *s = (struct spender *)d;

	turns_charge(turns, s->lane, s->units);
}

static void
when_callers_keep_a_worker_busy_strangers_have_their_share(void **state)
{
	struct spender spender = { .deferred.run = spend, .lane = turns_caller(turns, alice), .units = 3 * TURNS_SHARE + 1 };
	struct work strangers[5];

	(void)state;
	for (int i = 0; i < 5; i++) {
		strangers[i] = work('s');
		wait_in(stranger(0), &strangers[i]);
	}
	loop_defer(loop, &spender.deferred);
	run_batches(2);
	assert_string_equal(done, "ssss|s");
}

static void
what_waits_runs_even_if_no_event_comes(void **state)
{
	struct work strangers[20], last = { .turn.run = stop_at }, callers[40];

	(void)state;
	for (int i = 0; i < 20; i++) {
		strangers[i] = work('s');
		wait_in(stranger(0), &strangers[i]);
	}
	for (int i = 0; i < 40; i++) {
		callers[i] = work('c');
		wait_in(turns_caller(turns, alice), &callers[i]);
	}
	wait_in(stranger(0), &last);
	assert_int_equal(loop_run(loop), OK);
	assert_int_equal(strlen(done), 60);
}

static void
whoever_leaves_does_not_run_and_the_others_do(void **state)
{
	struct work w[5];

	(void)state;
	for (int i = 0; i < 5; i++) {
		w[i] = work((char)('1' + i));
		wait_in(stranger(0), &w[i]);
	}
	turns_leave(&w[0].turn);
	turns_leave(&w[2].turn);
	turns_leave(&w[2].turn); /* again: nothing */
	turns_leave(&w[4].turn);
	run_batches(4);
	assert_string_equal(done, "2|4||");
	/* All of a lane, and it fills again. */
	wait_in(stranger(1), &w[0]);
	turns_leave(&w[0].turn);
	wait_in(stranger(1), &w[1]);
	run_batches(2);
	assert_string_equal(done, "2|4||" "2|");
}

static void
one_may_end_another_that_waits_behind_it(void **state)
{
	struct turn_lane *a = turns_caller(turns, alice);
	struct work first = work('1'), second = work('2'), third = work('3');

	(void)state;
	first.other = &second;
	wait_in(a, &first);
	wait_in(a, &second);
	wait_in(a, &third);
	run_batches(1);
	assert_string_equal(done, "13");
	/* The last one of its lane. */
	first.other = &third;
	wait_in(stranger(0), &first);
	wait_in(stranger(0), &third);
	run_batches(2);
	assert_string_equal(done, "13" "1|");
}

static void
one_that_has_more_to_do_goes_behind_those_who_wait(void **state)
{
	struct turn_lane *s = stranger(0);
	struct work long_one = work('l'), short_one = work('s');

	(void)state;
	long_one.again = s;
	long_one.times = 3;
	wait_in(s, &long_one);
	wait_in(s, &short_one);
	run_batches(5);
	assert_string_equal(done, "l|s|l|l|");
}

struct nested {
	struct turn turn;
	struct turn_lane *lane;
	bool took;
};
static void
nested_run(struct turn *t)
{
	struct nested *n = (struct nested *)t;

	n->took = turns_take(turns, n->lane);
}

static void
what_waited_may_do_more_than_one_unit_and_what_comes_meanwhile_may_not_pass(void **state)
{
	struct turn_lane *a = turns_caller(turns, alice), *b = turns_caller(turns, bob);
	struct nested own = { .turn.run = nested_run, .lane = a }, others = { .turn.run = nested_run, .lane = b };
	struct work behind = work('2'), of_b = work('b');

	(void)state;
	turns_wait(turns, a, &own.turn);
	turns_wait(turns, a, &others.turn);
	wait_in(a, &behind);
	wait_in(b, &of_b);
	run_batches(1);
	assert_true(own.took);
	assert_false(others.took);
	assert_string_equal(done, "2b");
}

static void
ipv6_counts_by_64_bits_and_names_are_no_addresses(void **state)
{
	unsigned char a[16] = { 0x20, 1, 0xd, 0xb8, 1 }, b[16] = { 0x20, 1, 0xd, 0xb8, 1 };

	(void)state;
	b[15] = 1;
	assert_ptr_equal(turns_stranger(turns, a), turns_stranger(turns, b));
	assert_ptr_not_equal(turns_newcomers(turns), turns_stranger(turns, a));
}

/* A thousand lanes and no two names of a few that share one: or the hash is none. */
static void
names_are_spread(void **state)
{
	struct turn_lane *lanes[32];
	int same = 0;

	(void)state;
	for (int i = 0; i < 32; i++) {
		char name[32];
		int n = snprintf(name, sizeof(name), "user-%d@example.com", i);
		lanes[i] = turns_caller(turns, slice_of(name, (size_t)n));
		for (int k = 0; k < i; k++)
			same += lanes[k] == lanes[i];
	}
	assert_in_range(same, 0, 3);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_caller_has_so_many_units_in_a_batch_and_the_next_has_as_many),
		T(who_is_alone_for_a_while_has_more_until_somebody_comes),
		T(what_is_more_work_is_charged),
		T(what_waits_runs_in_order_and_so_much_of_it_in_each_batch),
		T(a_flood_of_one_caller_delays_another_by_one_batch_of_theirs),
		T(strangers_never_run_at_once_and_have_one_turn_behind_each_batch),
		T(addresses_of_strangers_take_turns_however_many_of_one_there_are),
		T(when_callers_keep_a_worker_busy_strangers_have_their_share),
		T(what_waits_runs_even_if_no_event_comes),
		T(whoever_leaves_does_not_run_and_the_others_do),
		T(one_may_end_another_that_waits_behind_it),
		T(one_that_has_more_to_do_goes_behind_those_who_wait),
		T(what_waited_may_do_more_than_one_unit_and_what_comes_meanwhile_may_not_pass),
		T(ipv6_counts_by_64_bits_and_names_are_no_addresses),
		T(names_are_spread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
