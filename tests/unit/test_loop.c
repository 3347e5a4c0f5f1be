#include <stdbool.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include "tests/unit/unit.h"
#include "shared/loop.h"

/* container_of by hand: every owner has its watch, timer or deferred first. */
struct peer {
	struct loop_watch watch;
	struct loop *loop;
	struct peer *other;
	int ends[2];
	int events;
	uint32_t last;
	bool remove_other, stop;
};

struct alarm {
	struct loop_timer timer;
	struct loop *loop;
	struct clock_fixed *clock;
	int fired, again;
	uint64_t again_ms, at_ms;
	int *order, position;
	bool stop;
};

struct later {
	struct loop_deferred deferred;
	struct loop *loop;
	struct later *other;
	int runs, *order, position;
	bool stop, allocated;
};

static struct loop *loop;

static int
setup(void **state)
{
	(void)state;
	loop = loop_new(&clock_system);
	return loop ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

static void
peer_event(struct loop_watch *w, uint32_t events)
{
	struct peer *p = (struct peer *)w;

	p->events++;
	p->last = events;
	if (p->remove_other)
		loop_remove(p->loop, &p->other->watch);
	if (p->stop)
		loop_stop(p->loop);
}

static void
peer_open(struct peer *p)
{
	memset(p, 0, sizeof(*p));
	p->loop = loop;
	p->watch.on_event = peer_event;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->ends), 0);
	p->watch.fd = p->ends[0];
}

static void
peer_close(struct peer *p)
{
	loop_remove(p->loop, &p->watch);
	close(p->ends[0]);
	close(p->ends[1]);
}

static void
alarm_due(struct loop_timer *t)
{
	struct alarm *a = (struct alarm *)t;

	a->fired++;
	a->at_ms = loop_now_ms(a->loop);
	if (a->order)
		a->position = (*a->order)++;
	if (a->again > 0) {
		a->again--;
		assert_int_equal(loop_timer_set(a->loop, t, a->again_ms), OK);
	}
	if (a->stop)
		loop_stop(a->loop);
}

static int deferred_freed;

static void
later_run(struct loop_deferred *d)
{
	struct later *l = (struct later *)d;

	l->runs++;
	if (l->order)
		l->position = (*l->order)++;
	if (l->other) {
		loop_defer(l->loop, &l->other->deferred);
		l->other = NULL;
	}
	if (l->stop)
		loop_stop(l->loop);
	if (l->allocated) {
		deferred_freed++;
		free(l);
	}
}

static void
an_event_reaches_its_watch(void **state)
{
	struct peer a;

	(void)state;
	peer_open(&a);
	a.stop = true;
	assert_int_equal(loop_add(loop, &a.watch, EPOLLIN), OK);
	assert_int_equal(write(a.ends[1], "x", 1), 1);
	assert_int_equal(loop_run(loop), OK);
	assert_int_equal(a.events, 1);
	assert_int_equal(a.last, EPOLLIN);
	assert_int_equal(loop_modify(loop, &a.watch, EPOLLOUT), OK);
	assert_int_equal(loop_run(loop), OK);
	assert_int_equal(a.last, EPOLLOUT);
	peer_close(&a);
	assert_true(loop_clock(loop) == &clock_system);
}

static void
misuse_is_a_conflict(void **state)
{
	struct peer a;
	struct loop_watch bad = { .fd = -1 };

	(void)state;
	peer_open(&a);
	assert_int_equal(loop_modify(loop, &a.watch, EPOLLIN), E_CONFLICT);
	loop_remove(loop, &a.watch);
	assert_int_equal(loop_add(loop, &a.watch, EPOLLIN), OK);
	assert_int_equal(loop_add(loop, &a.watch, EPOLLIN), E_CONFLICT);
	assert_int_equal(loop_add(loop, &bad, EPOLLIN), E_SYSTEM);
	assert_int_equal(errno, EBADF);
	assert_int_equal(bad.index, 0);
	peer_close(&a);
	peer_close(&a);
}

/* Its descriptor is gone, which epoll_ctl would tell. */
static void
a_modify_that_changes_nothing_costs_no_call(void **state)
{
	struct peer a;

	(void)state;
	peer_open(&a);
	assert_int_equal(loop_add(loop, &a.watch, EPOLLIN), OK);
	close(a.ends[0]);
	assert_int_equal(loop_modify(loop, &a.watch, EPOLLIN), OK);
	assert_int_equal(loop_modify(loop, &a.watch, EPOLLOUT), E_SYSTEM);
	assert_int_equal(errno, EBADF);
	loop_remove(loop, &a.watch);
	close(a.ends[1]);
}

static void
an_edge_triggered_watch_is_armed_again_by_modify(void **state)
{
	struct peer a;

	(void)state;
	peer_open(&a);
	a.stop = true;
	assert_int_equal(loop_add(loop, &a.watch, EPOLLIN | EPOLLET), OK);
	assert_int_equal(write(a.ends[1], "x", 1), 1);
	assert_int_equal(loop_run(loop), OK);
	assert_int_equal(loop_modify(loop, &a.watch, EPOLLIN | EPOLLET), OK);
	assert_int_equal(loop_run(loop), OK);
	assert_int_equal(a.events, 2);
	peer_close(&a);
}

/* Both are ready in one batch; the first to run removes the other. */
static void
an_event_of_a_removed_watch_is_dropped(void **state)
{
	struct peer a, b;
	struct later end = { .deferred.run = later_run, .loop = loop, .stop = true };

	(void)state;
	peer_open(&a);
	peer_open(&b);
	a.other = &b;
	b.other = &a;
	a.remove_other = b.remove_other = true;
	assert_int_equal(loop_add(loop, &a.watch, EPOLLIN), OK);
	assert_int_equal(loop_add(loop, &b.watch, EPOLLIN), OK);
	assert_int_equal(write(a.ends[1], "x", 1), 1);
	assert_int_equal(write(b.ends[1], "x", 1), 1);
	loop_defer(loop, &end.deferred);
	assert_int_equal(loop_run(loop), OK);
	assert_int_equal(a.events + b.events, 1);
	peer_close(&a);
	peer_close(&b);
}

static struct peer *newcomer;

static void
replace_other(struct loop_watch *w, uint32_t events)
{
	struct peer *p = (struct peer *)w;

	p->events++;
	p->last = events;
	if (!p->other)
		return;
	uint32_t index = p->other->watch.index;
	loop_remove(p->loop, &p->other->watch);
	p->other->other = NULL;
	assert_int_equal(loop_add(p->loop, &newcomer->watch, EPOLLIN), OK);
	assert_int_equal(newcomer->watch.index, index);
}

/* The newcomer takes the removed watch's place while that one's event is still in the batch. */
static void
a_stale_event_does_not_reach_the_next_owner_of_the_place(void **state)
{
	struct peer a, b, c;
	struct later end = { .deferred.run = later_run, .loop = loop, .stop = true };

	(void)state;
	peer_open(&a);
	peer_open(&b);
	peer_open(&c);
	a.watch.on_event = b.watch.on_event = replace_other;
	a.other = &b;
	b.other = &a;
	newcomer = &c;
	assert_int_equal(loop_add(loop, &a.watch, EPOLLIN), OK);
	assert_int_equal(loop_add(loop, &b.watch, EPOLLIN), OK);
	assert_int_equal(write(a.ends[1], "x", 1), 1);
	assert_int_equal(write(b.ends[1], "x", 1), 1);
	loop_defer(loop, &end.deferred);
	assert_int_equal(loop_run(loop), OK);
	assert_int_equal(a.events + b.events, 1);
	assert_int_equal(c.events, 0);
	peer_close(&a);
	peer_close(&b);
	peer_close(&c);
}

static void
many_watches_keep_their_places(void **state)
{
	enum { N = 300 };
	static struct peer peers[N];
	struct later end = { .deferred.run = later_run, .loop = loop, .stop = true };

	(void)state;
	for (int i = 0; i < N; i++) {
		peer_open(&peers[i]);
		assert_int_equal(loop_add(loop, &peers[i].watch, EPOLLIN), OK);
	}
	for (int i = 0; i < N; i += 3)
		loop_remove(loop, &peers[i].watch);
	for (int i = 0; i < N; i += 6)
		assert_int_equal(loop_add(loop, &peers[i].watch, EPOLLIN | EPOLLET), OK);
	for (int i = 0; i < N; i++)
		assert_int_equal(write(peers[i].ends[1], "x", 1), 1);
	for (int round = 0; round < 4; round++) { /* 250 watches, 128 a batch */
		loop_defer(loop, &end.deferred);
		assert_int_equal(loop_run(loop), OK);
	}
	for (int i = 0; i < N; i++) {
		if (i % 6 == 0)
			assert_int_equal(peers[i].events, 1);
		else if (i % 3 == 0)
			assert_int_equal(peers[i].events, 0);
		else
			assert_true(peers[i].events >= 1);
		peer_close(&peers[i]);
	}
}

static void
timers_fire_in_the_order_they_are_due(void **state)
{
	enum { N = 500 };
	static struct alarm alarms[N];
	int order = 0;
	unsigned x = 1;

	(void)state;
	for (int i = 0; i < N; i++) {
		x = x * 1103515245u + 12345u;
		alarms[i] = (struct alarm){ .timer.on_due = alarm_due, .loop = loop, .order = &order };
		assert_int_equal(loop_timer_set(loop, &alarms[i].timer, (x >> 16) % 40), OK);
	}
	for (int i = 0; i < N; i += 7) /* from every place of the heap */
		loop_timer_clear(loop, &alarms[i].timer);
	for (int i = 1; i < N; i += 7)
		assert_int_equal(loop_timer_set(loop, &alarms[i].timer, (unsigned)i % 5), OK); /* some earlier, some later */
	struct alarm end = { .timer.on_due = alarm_due, .loop = loop, .stop = true };
	assert_int_equal(loop_timer_set(loop, &end.timer, 45), OK);
	assert_int_equal(loop_run(loop), OK);
	for (int i = 0; i < N; i++) {
		assert_int_equal(alarms[i].fired, i % 7 != 0);
		assert_int_equal(alarms[i].timer.heap_index, 0);
		for (int j = 0; j < i && alarms[i].fired; j++)
			if (alarms[j].fired && alarms[j].at_ms < alarms[i].at_ms)
				assert_true(alarms[j].position < alarms[i].position);
		if (alarms[i].fired)
			assert_true(alarms[i].at_ms >= alarms[i].timer.due_ms);
	}
	assert_int_equal(order, N - (N + 6) / 7);
}

static void
timers_follow_the_clock_they_are_given(void **state)
{
	struct clock_fixed clock;

	(void)state;
	clock_fixed_init(&clock, 1700000000);
	struct loop *l = loop_new(&clock.clock);
	struct alarm early = { .timer.on_due = alarm_due, .loop = l }, postponed = early, end = early;
	struct later stop = { .deferred.run = later_run, .loop = l, .stop = true };
	end.stop = true;
	assert_int_equal(loop_timer_set(l, &early.timer, 10000), OK);
	assert_int_equal(loop_timer_set(l, &postponed.timer, 10000), OK);
	assert_int_equal(loop_timer_set(l, &postponed.timer, 25000), OK);
	loop_defer(l, &stop.deferred);
	assert_int_equal(loop_run(l), OK);
	assert_int_equal(early.fired, 0);
	clock_fixed_advance(&clock, 10);
	assert_int_equal(loop_timer_set(l, &end.timer, 0), OK);
	assert_int_equal(loop_run(l), OK);
	assert_int_equal(early.fired, 1);
	assert_int_equal(postponed.fired, 0);
	clock_fixed_advance(&clock, 15);
	assert_int_equal(loop_timer_set(l, &end.timer, 0), OK);
	assert_int_equal(loop_run(l), OK);
	assert_int_equal(early.fired, 1);
	assert_int_equal(postponed.fired, 1);
	loop_free(l);
}

static void
a_timer_that_rearms_itself_at_once_does_not_hold_the_loop(void **state)
{
	struct alarm busy = { .timer.on_due = alarm_due, .loop = loop, .again = 1000000000 };
	struct alarm end = { .timer.on_due = alarm_due, .loop = loop, .stop = true };

	(void)state;
	assert_int_equal(loop_timer_set(loop, &busy.timer, 0), OK);
	assert_int_equal(loop_timer_set(loop, &end.timer, 5), OK);
	assert_int_equal(loop_run(loop), OK);
	assert_true(busy.fired > 1);
	loop_timer_clear(loop, &busy.timer);
	loop_timer_clear(loop, &busy.timer);
}

static void
a_delay_past_the_end_of_time_never_fires(void **state)
{
	struct alarm never = { .timer.on_due = alarm_due, .loop = loop };
	struct alarm end = { .timer.on_due = alarm_due, .loop = loop, .stop = true };

	(void)state;
	assert_int_equal(loop_timer_set(loop, &never.timer, UINT64_MAX), OK);
	assert_int_equal(loop_timer_set(loop, &end.timer, 1), OK);
	assert_int_equal(loop_run(loop), OK);
	assert_int_equal(never.fired, 0);
	assert_true(never.timer.due_ms == UINT64_MAX);
}

static void
deferred_work_runs_once_in_order_after_the_batch(void **state)
{
	int order = 0;
	struct later a = { .deferred.run = later_run, .loop = loop, .order = &order }, b = a, c = a;

	(void)state;
	a.other = &c; /* deferred while deferred work runs: next time */
	c.stop = true;
	loop_defer(loop, &a.deferred);
	loop_defer(loop, &b.deferred);
	assert_int_equal(loop_run(loop), OK);
	assert_int_equal(a.runs + b.runs + c.runs, 3);
	assert_int_equal(a.position, 0);
	assert_int_equal(b.position, 1);
	assert_int_equal(c.position, 2);
}

/* What comes last does so whatever was deferred behind it, keeps the loop awake as well, and is in the batch that it is in. */
static void
what_is_deferred_last_runs_behind_the_rest_of_its_batch(void **state)
{
	int order = 0;
	struct later a = { .deferred.run = later_run, .loop = loop, .order = &order }, b = a, last = a, next = a;

	(void)state;
	uint32_t batch = loop_batch(loop);
	loop_defer_last(loop, &last.deferred);
	loop_defer(loop, &a.deferred);
	loop_defer(loop, &b.deferred);
	last.other = &next; /* after the next batch */
	next.stop = true;
	assert_int_equal(loop_run(loop), OK);
	assert_int_equal(a.position, 0);
	assert_int_equal(b.position, 1);
	assert_int_equal(last.position, 2);
	assert_int_equal(next.position, 3);
	assert_int_equal(loop_batch(loop) - batch, 2);
}

/* Many that are due at once do not keep an event waiting for all of them. */
static void
so_many_timers_run_in_a_batch_and_an_event_comes_between(void **state)
{
	enum { ALARMS = 1000 };
	static struct alarm alarms[ALARMS];
	struct peer a;

	(void)state;
	for (int i = 0; i < ALARMS; i++) {
		alarms[i] = (struct alarm){ .timer.on_due = alarm_due, .loop = loop };
		assert_int_equal(loop_timer_set(loop, &alarms[i].timer, 0), OK);
	}
	struct later first = { .deferred.run = later_run, .loop = loop, .stop = true }, second = first;
	loop_defer(loop, &first.deferred);
	assert_int_equal(loop_run(loop), OK);
	int fired = 0;
	for (int i = 0; i < ALARMS; i++)
		fired += alarms[i].fired;
	assert_in_range(fired, 1, 200);
	peer_open(&a);
	a.stop = true;
	assert_int_equal(loop_add(loop, &a.watch, EPOLLIN), OK);
	assert_int_equal(write(a.ends[1], "x", 1), 1);
	assert_int_equal(loop_run(loop), OK);
	assert_int_equal(a.events, 1);
	loop_remove(loop, &a.watch);
	while (fired < ALARMS) {
		loop_defer(loop, &second.deferred);
		assert_int_equal(loop_run(loop), OK);
		fired = 0;
		for (int i = 0; i < ALARMS; i++)
			fired += alarms[i].fired;
	}
	peer_close(&a);
}

static void
work_still_deferred_runs_when_the_loop_is_freed(void **state)
{
	(void)state;
	struct loop *l = loop_new(&clock_system);
	struct later *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
	deferred_freed = 0;
	*b = (struct later){ .deferred.run = later_run, .loop = l, .allocated = true };
	*a = (struct later){ .deferred.run = later_run, .loop = l, .allocated = true, .other = b };
	loop_defer(l, &a->deferred);
	loop_free(l);
	assert_int_equal(deferred_freed, 2);
	loop_free(NULL);
}

static void
a_stop_before_the_run_is_kept(void **state)
{
	(void)state;
	loop_stop(loop);
	assert_int_equal(loop_run(loop), OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_event_reaches_its_watch, setup, teardown),
		cmocka_unit_test_setup_teardown(misuse_is_a_conflict, setup, teardown),
		cmocka_unit_test_setup_teardown(a_modify_that_changes_nothing_costs_no_call, setup, teardown),
		cmocka_unit_test_setup_teardown(an_edge_triggered_watch_is_armed_again_by_modify, setup, teardown),
		cmocka_unit_test_setup_teardown(an_event_of_a_removed_watch_is_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stale_event_does_not_reach_the_next_owner_of_the_place, setup, teardown),
		cmocka_unit_test_setup_teardown(many_watches_keep_their_places, setup, teardown),
		cmocka_unit_test_setup_teardown(timers_fire_in_the_order_they_are_due, setup, teardown),
		cmocka_unit_test(timers_follow_the_clock_they_are_given),
		cmocka_unit_test_setup_teardown(a_timer_that_rearms_itself_at_once_does_not_hold_the_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(a_delay_past_the_end_of_time_never_fires, setup, teardown),
		cmocka_unit_test_setup_teardown(deferred_work_runs_once_in_order_after_the_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_deferred_last_runs_behind_the_rest_of_its_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(so_many_timers_run_in_a_batch_and_an_event_comes_between, setup, teardown),
		cmocka_unit_test(work_still_deferred_runs_when_the_loop_is_freed),
		cmocka_unit_test_setup_teardown(a_stop_before_the_run_is_kept, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
