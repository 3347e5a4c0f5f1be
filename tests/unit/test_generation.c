/* A generation's life, with real processes in which keeper_run and worker_run are ours (the linker takes them before those of the library). */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "proxyd/control.h"
#include "proxyd/generation.h"
#include "proxyd/keeper.h"
#include "shared/process.h"

enum behaviour {
	SERVES,        /* ready at once; ends when told to drain or stop; answers a key cache by wanting keys */
	FAILS,         /* says why and ends */
	CRASHES,
	SILENT,        /* never ready, ends when told to stop */
	DEAF,          /* ready, and ignores everything */
	FORGES,        /* a worker that sends a key cache, then gets ready */
	TALKS_NONSENSE,
	PAUSES,        /* says that it has served, ends with status 8 when told to pause, 9 when it was to serve at once */
	LINGERS,       /* says so when it is to drain, and stays */
	HEARS,         /* a keeper says that sessions have ended; a worker ends with status 10 when it hears of it */
	WANTS_TO_SERVE /* ends with status 6 when told to serve, 7 when it was to serve at once */
};

/* What the next children do: inherited by fork. */
static struct {
	enum behaviour keeper, workers[PROXYD_WORKERS_MAX];
} script;

static void
send_or_exit(int control_fd, enum control_kind kind, const char *text, int fd)
{
	if (control_send(control_fd, kind, 0, text, fd))
		exit(9);
}

static int
act(enum behaviour behaviour, int control_fd, bool serve)
{
	struct pollfd p = { control_fd, POLLIN, 0 };
	struct control_message m;
	int fd;

	if (behaviour == FAILS) {
		send_or_exit(control_fd, CONTROL_FAILED, "no sockets left", -1);
		return 1;
	}
	if (behaviour == CRASHES)
		raise(SIGKILL);
	if (behaviour == WANTS_TO_SERVE && serve)
		return 7;
	if (behaviour == PAUSES)
		send_or_exit(control_fd, CONTROL_SERVED, NULL, -1);
	if (behaviour == FORGES)
		send_or_exit(control_fd, CONTROL_KEYCACHE, NULL, control_fd);
	if (behaviour == TALKS_NONSENSE && write(control_fd, "?", 1) != 1)
		return 9;
	if (behaviour != SILENT && behaviour != TALKS_NONSENSE)
		send_or_exit(control_fd, CONTROL_READY, NULL, -1);
	while (poll(&p, 1, -1) == 1) {
		enum err e = control_receive(control_fd, &m, &fd);
		if (e == E_EMPTY)
			return 0;
		if (e || behaviour == DEAF)
			continue;
		if (m.kind == CONTROL_DRAIN && behaviour == LINGERS)
			send_or_exit(control_fd, CONTROL_LINGERS, NULL, -1);
		if (m.kind == CONTROL_ENDED && behaviour == HEARS)
			return 10;
		if (m.kind == CONTROL_WANT_KEYS && behaviour == HEARS)
			send_or_exit(control_fd, CONTROL_ENDED, NULL, -1);
		if (m.kind == CONTROL_PAUSE && behaviour == PAUSES)
			return serve ? 9 : 8;
		if (m.kind == CONTROL_SERVE && behaviour == WANTS_TO_SERVE)
			return 6;
		if (m.kind == CONTROL_STOP || (m.kind == CONTROL_DRAIN && m.value == 1000))
			return 0;
		if (m.kind == CONTROL_KEYCACHE && fd >= 0)
			send_or_exit(control_fd, CONTROL_WANT_KEYS, NULL, -1);
		if (m.kind == CONTROL_WANT_KEYS)
			return 5; /* a keeper: seen by its exit status */
	}
	return 8;
}

int
keeper_run(const struct keeper_start *start)
{
	int fd = memfd_create("keys", MFD_CLOEXEC);

	if (script.keeper == SERVES)
		send_or_exit(start->control_fd, CONTROL_KEYCACHE, NULL, fd);
	return act(script.keeper, start->control_fd, start->serve);
}

int
worker_run(const struct worker_start *start)
{
	return act(script.workers[start->index], start->control_fd, start->serve);
}

/* A master that only watches. */
struct stage {
	struct loop_watch signals; /* first member */
	struct loop_timer guard;
	struct loop *loop;
	struct generation *g;
	unsigned settled, gone, wanted, forgotten;
	char why[400];
	unsigned stop_at_settled, stop_at_gone, stop_at_wanted;
	unsigned deaths;
	int last_status;
	unsigned exits; /* a bit for each exit status seen */
	unsigned stop_at_deaths;
	char died[CHILD_DEATH_BYTES];
	unsigned served, keycaches, ended;
	unsigned char secret[TICKET_SECRET_BYTES];
};

static void
on_settled(void *arg, struct generation *g, const char *why)
{
	struct stage *s = arg;

	s->settled++;
	snprintf(s->why, sizeof(s->why), "%s", why ? why : "");
	if (why)
		generation_drain(g, (struct generation_drain){ 1000, 1000 });
	if (s->settled == s->stop_at_settled)
		loop_stop(s->loop);
}

static void
on_gone(void *arg, struct generation *g)
{
	struct stage *s = arg;

	assert_ptr_equal(g, s->g);
	s->gone++;
	if (s->gone == s->stop_at_gone)
		loop_stop(s->loop);
}

static void
on_want_keys(void *arg)
{
	struct stage *s = arg;

	s->wanted++;
	if (s->wanted == s->stop_at_wanted)
		loop_stop(s->loop);
}

static void
on_forget(void *arg)
{
	((struct stage *)arg)->forgotten++; /* in the keeper's process */
}

static void
on_died(void *master, struct generation *g, const char *why)
{
	struct stage *s = master;

	assert_ptr_equal(g, s->g);
	snprintf(s->died, sizeof(s->died), "%s", why);
}

static void
on_served(void *master, struct generation *g)
{
	struct stage *s = master;

	assert_ptr_equal(g, s->g);
	s->served++;
}

static void
on_keycache(void *master, struct generation *g)
{
	struct stage *s = master;

	assert_ptr_equal(g, s->g);
	assert_true(g->keycache_fd >= 0);
	s->keycaches++;
}

static void
on_ended(void *master, struct generation *g)
{
	struct stage *s = master;

	assert_ptr_equal(g, s->g);
	s->ended++;
	generation_tell_ended(g);
}

static const struct generation_events events = { on_settled, on_gone, on_want_keys, on_forget, on_died, on_served, on_keycache, on_ended };

static void
on_child_signal(struct loop_watch *w, uint32_t happened)
{
	struct stage *s = (struct stage *)w;
	int status;
	pid_t pid;

	(void)happened;
	while (process_signal_next(w->fd))
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		s->last_status = status;
		s->exits |= WIFEXITED(status) ? 1u << WEXITSTATUS(status) : 0;
		s->deaths++;
		assert_true(generation_reaped(s->g, pid, status));
	}
	if (s->stop_at_deaths && s->deaths >= s->stop_at_deaths)
		loop_stop(s->loop);
}

static void
on_guard(struct loop_timer *t)
{
	(void)t;
	fail_msg("nothing happened for 20 s");
}

static int
stage_setup(void **state)
{
	static const int signals[] = { SIGCHLD, 0 };
	struct stage *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->loop = loop_new(&clock_system);
	assert_non_null(s->loop);
	assert_int_equal(process_signals(signals, &s->signals.fd), OK);
	s->signals.on_event = on_child_signal;
	assert_int_equal(loop_add(s->loop, &s->signals, EPOLLIN), OK);
	s->guard.on_due = on_guard;
	assert_int_equal(loop_timer_set(s->loop, &s->guard, 20000), OK);
	memset(&script, 0, sizeof(script));
	*state = s;
	return 0;
}

static int
stage_teardown(void **state)
{
	struct stage *s = *state;

	/* After a failed assertion children may be left; they must not reach the next test. */
	for (size_t i = 0; s->g && !s->gone && i < s->g->worker_n; i++)
		if (s->g->workers[i].pid > 0)
			kill(s->g->workers[i].pid, SIGKILL);
	if (s->g && !s->gone && s->g->keeper.pid > 0)
		kill(s->g->keeper.pid, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	loop_timer_clear(s->loop, &s->guard);
	loop_remove(s->loop, &s->signals);
	close(s->signals.fd);
	loop_free(s->loop);
	free(s);
	return 0;
}

static void
begin(struct stage *s, unsigned workers, bool candidate)
{
	struct generation_setup setup = { .number = 1, .candidate = candidate, .seed_fd = -1, .loop = s->loop, .clock = &clock_system,
		.ticket_secret = s->secret, .events = &events, .master = s };

	setup.config = calloc(1, sizeof(*setup.config));
	assert_non_null(setup.config);
	setup.config->workers = workers;
	setup.config->log.level = LOG_LEVEL_ERROR;
	log_set_level(LOG_LEVEL_ERROR);
	s->g = generation_new(&setup);
	assert_non_null(s->g);
	generation_start(s->g, !candidate);
}

static void
run(struct stage *s)
{
	assert_int_equal(loop_run(s->loop), OK);
}

/* Let everything end, and free it. */
static void
finish(struct stage *s)
{
	if (!s->gone) {
		s->stop_at_gone = 1;
		s->stop_at_settled = s->stop_at_wanted = s->stop_at_deaths = 0;
		if (s->g->phase != GENERATION_LEAVES)
			generation_drain(s->g, (struct generation_drain){ 1000, 1000 });
		run(s);
	}
	assert_int_equal(s->gone, 1);
	generation_free(s->g);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

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
