/* A generation's life: how it comes to serve, who is replaced, and how it leaves. */
#include "tests/unit/generation_unit.h"

static void
it_settles_once_when_keeper_and_workers_are_ready(void **state)
{
	struct stage *s = *state;

	s->stop_at_settled = 1;
	begin(s, 3, true);
	assert_int_equal(s->g->phase, GENERATION_KEEPER_STARTS);
	run(s);
	assert_string_equal(s->why, "");
	assert_int_equal(s->g->phase, GENERATION_SERVES);
	assert_true(s->g->keeper.ready && s->g->workers[0].ready && s->g->workers[2].ready);
	assert_true(s->g->keycache_fd >= 0);
	assert_int_equal(s->forgotten, 0); /* only the keeper forgets, in its own memory */
	finish(s);
	assert_int_equal(s->settled, 1);
	assert_int_equal(s->deaths, 4);
}

static void
no_worker_starts_before_the_keeper_is_ready(void **state)
{
	struct stage *s = *state;

	script.keeper = FAILS;
	s->stop_at_settled = 1;
	begin(s, 2, true);
	run(s);
	assert_string_equal(s->why, "keeper failed: no sockets left");
	assert_int_equal(s->g->workers[0].pid, 0);
	assert_int_equal(s->g->workers[1].pid, 0);
	finish(s);
	assert_int_equal(s->deaths, 1);
}

static void
a_candidate_gives_up_at_the_first_worker_that_fails(void **state)
{
	struct stage *s = *state;

	script.workers[1] = FAILS;
	s->stop_at_settled = 1;
	begin(s, 3, true);
	run(s);
	assert_string_equal(s->why, "worker 1 failed: no sockets left");
	finish(s);
	assert_int_equal(s->settled, 1);
	assert_int_equal(s->deaths, 4);
}

static void
a_candidate_gives_up_once_when_several_workers_crash(void **state)
{
	struct stage *s = *state;

	script.workers[0] = script.workers[1] = script.workers[2] = CRASHES;
	s->stop_at_settled = 1;
	begin(s, 3, true);
	run(s);
	assert_non_null(strstr(s->why, "was ended by signal 9 (SIGKILL)"));
	finish(s);
	assert_int_equal(s->settled, 1);
}

static void
workers_that_never_became_ready_are_killed_not_drained(void **state)
{
	struct stage *s = *state;

	script.workers[0] = SILENT; /* would wait for a stop that a drain does not send */
	script.workers[1] = FAILS;
	s->stop_at_settled = 1;
	begin(s, 2, true);
	run(s);
	finish(s);
	assert_int_equal(s->deaths, 3);
}

static void
the_first_generation_goes_on_without_its_keeper(void **state)
{
	struct stage *s = *state;

	script.keeper = CRASHES;
	s->stop_at_settled = 1;
	begin(s, 2, false);
	run(s);
	assert_string_equal(s->why, "");
	assert_int_equal(s->g->phase, GENERATION_SERVES);
	assert_true(s->deaths >= 1);
	finish(s);
}

static void
a_child_of_a_serving_generation_is_replaced(void **state)
{
	struct stage *s = *state;

	s->stop_at_settled = 1;
	begin(s, 2, true);
	run(s);
	pid_t before = s->g->workers[1].pid;
	assert_int_equal(kill(before, SIGKILL), 0);
	s->stop_at_deaths = 1;
	run(s);
	assert_true(s->g->workers[1].pid > 0 && s->g->workers[1].pid != before);
	assert_int_equal(s->g->phase, GENERATION_SERVES);
	finish(s);
}

static void
a_new_key_cache_reaches_every_worker_and_their_wants_reach_master(void **state)
{
	struct stage *s = *state;

	s->stop_at_settled = 1;
	begin(s, 2, true);
	run(s);
	int before = s->g->keycache_fd;
	assert_true(before >= 0);
	/* Both workers were started with the cache; a successor of the keeper sends another. */
	assert_int_equal(kill(s->g->keeper.pid, SIGKILL), 0);
	s->stop_at_wanted = 2;
	run(s);
	assert_int_equal(s->wanted, 2);
	finish(s);
}

static void
a_wanted_key_is_passed_to_the_keeper(void **state)
{
	struct stage *s = *state;

	s->stop_at_settled = 1;
	begin(s, 1, true);
	run(s);
	generation_want_keys(s->g);
	s->stop_at_deaths = 1;
	run(s);
	assert_true(WIFEXITED(s->last_status));
	assert_int_equal(WEXITSTATUS(s->last_status), 5);
	finish(s);
}

static void
a_worker_cannot_hand_out_a_key_cache(void **state)
{
	struct stage *s = *state;

	script.workers[0] = FORGES;
	s->stop_at_settled = 1;
	begin(s, 2, true);
	run(s);
	assert_string_equal(s->why, "");
	finish(s);
	assert_int_equal(s->wanted, 0); /* worker 1, who would have answered, was sent nothing */
}

static void
a_candidate_serves_when_it_is_told_and_its_later_children_at_once(void **state)
{
	struct stage *s = *state;

	script.keeper = script.workers[1] = WANTS_TO_SERVE;
	s->stop_at_settled = 1;
	begin(s, 2, true);
	run(s);
	assert_string_equal(s->why, "");
	assert_int_equal(s->deaths, 0);
	generation_serve(s->g);
	s->stop_at_deaths = 4;
	run(s);
	assert_int_equal(s->exits, 1u << 6 | 1u << 7);
	finish(s);
}

static void
a_pause_reaches_workers_and_their_successors_and_what_becomes_of_them_is_told(void **state)
{
	struct stage *s = *state;

	script.workers[0] = PAUSES;
	s->stop_at_settled = 1;
	begin(s, 1, false);
	run(s);
	assert_int_equal(s->keycaches, 1);
	generation_pause(s->g);
	s->stop_at_deaths = 1;
	run(s);
	assert_int_equal(s->served, 1);
	assert_string_equal(s->died, "worker 0 ended with status 9");
	assert_false(s->g->serving); /* so that whoever comes in its place leaves connections to others, too */
	generation_pause(s->g);
	s->stop_at_deaths = 2;
	run(s);
	assert_string_equal(s->died, "worker 0 ended with status 8");
	finish(s);
}

static void
ended_sessions_are_told_by_the_keeper_to_every_worker(void **state)
{
	struct stage *s = *state;

	script.keeper = script.workers[0] = script.workers[1] = HEARS;
	s->stop_at_settled = 1;
	begin(s, 2, false);
	run(s);
	generation_want_keys(s->g);
	s->stop_at_deaths = 3; /* the keeper's too, as always when keys are wanted */
	run(s);
	assert_int_equal(s->ended, 1);
	assert_int_equal(s->exits, (1u << 10 | 1u << 5));
	finish(s);
}

static void
a_second_drain_may_only_be_shorter(void **state)
{
	struct stage *s = *state;

	s->stop_at_settled = 1;
	begin(s, 1, true);
	run(s);
	generation_drain(s->g, (struct generation_drain){ 50000, 60000 });
	uint64_t due = s->g->deadline.due_ms;
	assert_true(due >= loop_now_ms(s->loop) + 50000 + GENERATION_KILL_MS);
	generation_drain(s->g, (struct generation_drain){ 70000, 80000 });
	assert_int_equal(s->g->deadline.due_ms, due);
	generation_drain(s->g, (struct generation_drain){ 1000, 1000 }); /* what SERVES ends at */
	assert_true(s->g->deadline.due_ms <= loop_now_ms(s->loop) + 1000 + GENERATION_KILL_MS);
	s->stop_at_gone = 1;
	run(s);
	assert_true(WIFEXITED(s->last_status));
	finish(s);
}

static struct stage *waiting;
static void
on_turn_over(struct loop_timer *t)
{
	(void)t;
	loop_stop(waiting->loop);
}

/* One turn of the loop, whatever it brings. */
static void
wait_for_message(struct stage *s)
{
	struct loop_timer t = { .on_due = on_turn_over };

	waiting = s;
	assert_int_equal(loop_timer_set(s->loop, &t, 1), OK);
	run(s);
	loop_timer_clear(s->loop, &t);
}

/* As if the time had come. */
static void
make_due(struct stage *s, struct loop_timer *t)
{
	loop_timer_clear(s->loop, t);
	assert_int_equal(loop_timer_set(s->loop, t, 0), OK);
}

static void
who_lingers_is_killed_when_the_time_for_tunnels_is_over_and_who_does_not_when_that_for_requests_is(void **state)
{
	struct stage *s = *state;

	script.workers[0] = LINGERS;
	script.workers[1] = DEAF;
	s->stop_at_settled = 1;
	begin(s, 2, true);
	run(s);
	pid_t lingers = s->g->workers[0].pid;
	generation_drain(s->g, (struct generation_drain){ 2000, 60000 });
	s->stop_at_deaths = 1; /* the keeper's */
	run(s);
	while (!s->g->workers[0].lingers)
		wait_for_message(s);
	make_due(s, &s->g->deadline);
	s->stop_at_deaths = 2;
	run(s);
	assert_int_equal(WTERMSIG(s->last_status), SIGKILL);
	assert_int_equal(s->g->workers[1].pid, 0);
	assert_int_equal(s->g->workers[0].pid, lingers);
	assert_true(s->g->deadline.due_ms > loop_now_ms(s->loop) + 50000);
	s->g->workers[0].tunnels_until_ms = 1;
	make_due(s, &s->g->deadline);
	s->stop_at_gone = 1;
	run(s);
	assert_int_equal(WTERMSIG(s->last_status), SIGKILL);
	finish(s);
}

static void
a_removed_worker_that_lingers_stays_until_the_time_for_tunnels_is_over(void **state)
{
	struct stage *s = *state;

	script.workers[1] = LINGERS;
	s->stop_at_settled = 1;
	begin(s, 2, true);
	run(s);
	struct child *c = &s->g->workers[1];
	assert_int_equal(generation_remove_worker(s->g, (struct generation_drain){ 2000, 60000 }), OK);
	while (!c->lingers)
		wait_for_message(s);
	make_due(s, &c->respawn_timer);
	wait_for_message(s);
	assert_true(c->pid > 0 && c->respawn_timer.due_ms > loop_now_ms(s->loop) + 50000);
	c->tunnels_until_ms = 1;
	make_due(s, &c->respawn_timer);
	s->stop_at_deaths = 1;
	run(s);
	assert_int_equal(WTERMSIG(s->last_status), SIGKILL);
	finish(s);
}

static void
workers_are_added_and_removed_while_it_serves(void **state)
{
	struct stage *s = *state;

	s->stop_at_settled = 1;
	begin(s, 1, true);
	assert_int_equal(generation_add_worker(s->g), E_LIMIT); /* not yet */
	assert_int_equal(generation_remove_worker(s->g, (struct generation_drain){ 1000, 1000 }), E_LIMIT);
	run(s);
	assert_int_equal(generation_remove_worker(s->g, (struct generation_drain){ 1000, 1000 }), E_LIMIT); /* the last one */
	assert_int_equal(generation_add_worker(s->g), OK);
	assert_int_equal(generation_add_worker(s->g), OK);
	assert_int_equal(generation_workers(s->g), 3);
	assert_int_equal(s->g->worker_n, 3);
	assert_int_equal(s->g->workers[2].index, 2);
	assert_true(s->g->workers[2].pid > 0);
	/* The last one leaves: killed, for it has not said that it is ready; its place is taken again. */
	assert_int_equal(generation_remove_worker(s->g, (struct generation_drain){ 1000, 1000 }), OK);
	assert_int_equal(generation_workers(s->g), 2);
	s->stop_at_deaths = 1;
	run(s);
	assert_int_equal(WTERMSIG(s->last_status), SIGKILL);
	assert_int_equal(s->g->workers[2].pid, 0);
	assert_int_equal(generation_add_worker(s->g), OK);
	assert_int_equal(s->g->worker_n, 3);
	finish(s);
	assert_int_equal(s->settled, 1);
}

static void
a_removed_worker_drains_has_no_successor_and_is_killed_if_it_stays(void **state)
{
	struct stage *s = *state;

	script.workers[1] = DEAF;
	s->stop_at_settled = 1;
	begin(s, 3, true);
	run(s);
	pid_t two = s->g->workers[2].pid, one = s->g->workers[1].pid;
	assert_int_equal(generation_remove_worker(s->g, (struct generation_drain){ 1000, 1000 }), OK); /* what SERVES ends at */
	s->stop_at_deaths = 1;
	run(s);
	assert_true(WIFEXITED(s->last_status) && WEXITSTATUS(s->last_status) == 0);
	assert_int_equal(s->g->workers[2].pid, 0);
	assert_int_equal(generation_remove_worker(s->g, (struct generation_drain){ 0, 0 }), OK);
	/* A place whose worker is still leaving is not given away. */
	assert_int_equal(generation_add_worker(s->g), OK);
	assert_int_equal(s->g->workers[1].pid, one);
	assert_true(s->g->workers[2].pid > 0 && s->g->workers[2].pid != two);
	s->g->workers[1].respawn_timer.due_ms -= GENERATION_KILL_MS; /* its time is over */
	assert_int_equal(loop_timer_set(s->loop, &s->g->workers[1].respawn_timer, 0), OK);
	s->stop_at_deaths = 2;
	run(s);
	assert_int_equal(WTERMSIG(s->last_status), SIGKILL);
	assert_int_equal(s->g->workers[1].pid, 0);
	assert_int_equal(generation_workers(s->g), 2);
	finish(s);
}

static void
there_are_never_more_workers_than_there_may_be(void **state)
{
	struct stage *s = *state;

	s->stop_at_settled = 1;
	begin(s, 1, true);
	run(s);
	s->g->worker_n = PROXYD_WORKERS_MAX; /* as if they all ran */
	for (size_t i = 1; i < PROXYD_WORKERS_MAX; i++) {
		s->g->workers[i] = s->g->workers[0];
		s->g->workers[i].pid = 0;
		s->g->workers[i].control.fd = -1;
		s->g->workers[i].control.index = 0;
	}
	assert_int_equal(generation_add_worker(s->g), E_LIMIT);
	s->g->workers[77].wanted = false;
	assert_int_equal(generation_add_worker(s->g), OK);
	assert_int_equal(s->g->workers[77].index, 77);
	assert_true(s->g->workers[77].pid > 0);
	finish(s);
}

static void
a_child_that_talks_nonsense_is_ended(void **state)
{
	struct stage *s = *state;

	script.workers[0] = TALKS_NONSENSE;
	s->stop_at_settled = 1;
	begin(s, 1, true);
	run(s);
	assert_string_equal(s->why, "worker 0 was ended by signal 9 (SIGKILL)");
	finish(s);
}

static void
a_deaf_child_is_killed_when_its_time_to_stop_is_over(void **state)
{
	struct stage *s = *state;

	script.workers[0] = DEAF;
	s->stop_at_settled = 1;
	begin(s, 2, true);
	run(s);
	uint64_t before_ms = clock_mono_ms(&clock_system);
	generation_stop(s->g);
	s->stop_at_gone = 1;
	run(s);
	assert_in_range(clock_mono_ms(&clock_system) - before_ms, GENERATION_STOP_MS, GENERATION_STOP_MS + 5000);
	assert_true(WIFSIGNALED(s->last_status));
	finish(s);
}

static void
a_stop_cuts_a_drain_short(void **state)
{
	struct stage *s = *state;

	s->stop_at_settled = 1;
	begin(s, 1, true);
	run(s);
	generation_drain(s->g, (struct generation_drain){ 60000, 60000 }); /* which these workers do not act upon */
	generation_stop(s->g);
	s->stop_at_gone = 1;
	run(s);
	assert_true(WIFEXITED(s->last_status));
	finish(s);
}

static void
a_process_of_somebody_else_is_not_taken_for_ours(void **state)
{
	struct stage *s = *state;

	s->stop_at_settled = 1;
	begin(s, 1, true);
	run(s);
	assert_false(generation_reaped(s->g, getpid(), 0));
	finish(s);
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
	const struct CMUnitTest tests[] = {
		CASE(it_settles_once_when_keeper_and_workers_are_ready),
		CASE(no_worker_starts_before_the_keeper_is_ready),
		CASE(a_candidate_gives_up_at_the_first_worker_that_fails),
		CASE(a_candidate_gives_up_once_when_several_workers_crash),
		CASE(workers_that_never_became_ready_are_killed_not_drained),
		CASE(the_first_generation_goes_on_without_its_keeper),
		CASE(a_child_of_a_serving_generation_is_replaced),
		CASE(a_new_key_cache_reaches_every_worker_and_their_wants_reach_master),
		CASE(a_wanted_key_is_passed_to_the_keeper),
		CASE(a_worker_cannot_hand_out_a_key_cache),
		CASE(a_candidate_serves_when_it_is_told_and_its_later_children_at_once),
		CASE(a_pause_reaches_workers_and_their_successors_and_what_becomes_of_them_is_told),
		CASE(ended_sessions_are_told_by_the_keeper_to_every_worker),
		CASE(a_second_drain_may_only_be_shorter),
		CASE(who_lingers_is_killed_when_the_time_for_tunnels_is_over_and_who_does_not_when_that_for_requests_is),
		CASE(a_removed_worker_that_lingers_stays_until_the_time_for_tunnels_is_over),
		CASE(workers_are_added_and_removed_while_it_serves),
		CASE(a_removed_worker_drains_has_no_successor_and_is_killed_if_it_stays),
		CASE(there_are_never_more_workers_than_there_may_be),
		CASE(a_child_that_talks_nonsense_is_ended),
		CASE(a_deaf_child_is_killed_when_its_time_to_stop_is_over),
		CASE(a_stop_cuts_a_drain_short),
		CASE(a_process_of_somebody_else_is_not_taken_for_ours),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
