/* generation_unit.h - a generation with real processes, in which keeper_run and worker_run are ours (the linker takes them before those of the library):
 * they do what the script says. */
#ifndef TESTS_GENERATION_UNIT_H
#define TESTS_GENERATION_UNIT_H

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

static inline void
send_or_exit(int control_fd, enum control_kind kind, const char *text, int fd)
{
	if (control_send(control_fd, kind, 0, text, fd))
		exit(9);
}

static inline int
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

static inline void
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

static inline void
on_gone(void *arg, struct generation *g)
{
	struct stage *s = arg;

	assert_ptr_equal(g, s->g);
	s->gone++;
	if (s->gone == s->stop_at_gone)
		loop_stop(s->loop);
}

static inline void
on_want_keys(void *arg)
{
	struct stage *s = arg;

	s->wanted++;
	if (s->wanted == s->stop_at_wanted)
		loop_stop(s->loop);
}

static inline void
on_forget(void *arg)
{
	((struct stage *)arg)->forgotten++; /* in the keeper's process */
}

static inline void
on_died(void *master, struct generation *g, const char *why)
{
	struct stage *s = master;

	assert_ptr_equal(g, s->g);
	snprintf(s->died, sizeof(s->died), "%s", why);
}

static inline void
on_served(void *master, struct generation *g)
{
	struct stage *s = master;

	assert_ptr_equal(g, s->g);
	s->served++;
}

static inline void
on_keycache(void *master, struct generation *g)
{
	struct stage *s = master;

	assert_ptr_equal(g, s->g);
	assert_true(g->keycache_fd >= 0);
	s->keycaches++;
}

static inline void
on_ended(void *master, struct generation *g)
{
	struct stage *s = master;

	assert_ptr_equal(g, s->g);
	s->ended++;
	generation_tell_ended(g);
}

static const struct generation_events events = { on_settled, on_gone, on_want_keys, on_forget, on_died, on_served, on_keycache, on_ended };

static inline void
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

static inline void
on_guard(struct loop_timer *t)
{
	(void)t;
	fail_msg("nothing happened for 20 s");
}

static inline int
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

static inline int
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

static inline void
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

static inline void
run(struct stage *s)
{
	assert_int_equal(loop_run(s->loop), OK);
}

/* Let everything end, and free it. */
static inline void
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

#endif
