#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "proxyd/generation_state.h"

#define START_RETRY_MS 1000       /* after a fork that failed: the machine is short of something */

static void start_child(struct child *c);
static void start_workers(struct generation *g);
static void on_respawn_due(struct loop_timer *t);
static void on_credentials_due(struct loop_timer *t);
static void on_deadline(struct loop_timer *t);
static void tell_gone(struct loop_deferred *d);

static unsigned
cpu_count(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	int n = CPU_COUNT(&set);
	return n < 1 ? 1 : n > PROXYD_WORKERS_MAX ? PROXYD_WORKERS_MAX : (unsigned)n;
}

static void
init_child(struct child *c, struct generation *g, enum child_kind kind, unsigned index)
{
	*c = (struct child){ .control = { .fd = -1, .on_event = generation_on_control }, .respawn_timer = { .on_due = on_respawn_due }, .generation = g,
		.kind = kind, .index = index, .metrics_slot = METRICS_NO_SLOT, .wanted = true };
}

struct generation *
generation_new(const struct generation_setup *setup)
{
	struct generation *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	*g = (struct generation){
		.number = setup->number,
		.candidate = setup->candidate,
		.config = setup->config,
		.listeners = setup->listeners,
		.keycache_fd = -1,
		.credentials_timer = { .on_due = on_credentials_due },
		.deadline = { .on_due = on_deadline },
		.gone = { .run = tell_gone },
		.loop = setup->loop,
		.clock = setup->clock,
		.ticket_secret = setup->ticket_secret,
		.logs = setup->logs,
		.metrics = setup->metrics,
		.events = setup->events,
		.master = setup->master,
	};
	g->worker_n = g->config->workers ? (size_t)g->config->workers : cpu_count();
	g->workers = calloc(PROXYD_WORKERS_MAX, sizeof(*g->workers));
	g->credentials = credentials_new(g->config);
	if (!g->workers || !g->credentials || (setup->seed_fd >= 0 && (g->keycache_fd = fcntl(setup->seed_fd, F_DUPFD_CLOEXEC, 3)) < 0)) {
		credentials_free(g->credentials);
		free(g->workers);
		free(g);
		return NULL;
	}
	init_child(&g->keeper, g, CHILD_KEEPER, 0);
	for (unsigned i = 0; i < g->worker_n; i++)
		init_child(&g->workers[i], g, CHILD_WORKER, i);
	return g;
}

void
generation_free(struct generation *g)
{
	loop_timer_clear(g->loop, &g->deadline);
	loop_timer_clear(g->loop, &g->credentials_timer);
	if (g->keycache_fd >= 0)
		close(g->keycache_fd);
	credentials_free(g->credentials);
	proxyd_config_free(g->config);
	free(g->workers);
	free(g);
}

static void
set_timer(struct generation *g, struct loop_timer *t, uint64_t delay_ms)
{
	if (loop_timer_set(g->loop, t, delay_ms) == OK)
		return;
	log_error("no memory for a timer: it is due now", LOG_UINT("generation", g->number));
	t->on_due(t);
}

static void
settle(struct generation *g, const char *why)
{
	if (!why) {
		g->phase = GENERATION_SERVES;
		g->candidate = false;
		loop_timer_clear(g->loop, &g->deadline);
	}
	g->events->settled(g->master, g, why);
}

void
generation_start(struct generation *g, bool serve)
{
	g->serving = serve;
	g->phase = GENERATION_KEEPER_STARTS;
	if (credentials_any(g->credentials))
		set_timer(g, &g->credentials_timer, CREDENTIALS_LOOK_MS);
	start_child(&g->keeper);
	if (g->phase == GENERATION_KEEPER_STARTS)
		set_timer(g, &g->deadline, g->candidate ? GENERATION_READY_MS : GENERATION_KEEPER_MS);
}

/* A worker counts in a slot of its own from its start to its end. */
static void
count_in(struct child *c)
{
	struct metrics *m = c->generation->metrics;

	if (!m || c->kind != CHILD_WORKER)
		return;
	c->metrics_slot = metrics_slot_take(m, c->index);
	if (c->metrics_slot == METRICS_NO_SLOT)
		log_warn("more workers than can be counted: one has no metrics", LOG_UINT("index", c->index));
}

static void
count_out(struct child *c)
{
	struct metrics *m = c->generation->metrics;

	if (!m || c->kind != CHILD_WORKER)
		return;
	metrics_slot_release(m, c->metrics_slot);
	c->metrics_slot = METRICS_NO_SLOT;
}

static void
start_child(struct child *c)
{
	struct generation *g = c->generation;
	struct child_setup setup = {
		.user = g->config->user,
		.log_level = (enum log_level)g->config->log.level,
		.log_format = (enum log_format)g->config->log.format,
		.logs = g->logs,
		.metrics = g->metrics,
		.config = g->config,
		.generation = g->number,
		.serve = g->serving,
		.listeners = &g->listeners,
		.keycache_fd = g->keycache_fd,
		.ticket_secret = g->ticket_secret,
		.clock = g->clock,
		.forget = g->events->forget_secrets,
		.arg = g->master,
	};

	count_in(c);
	enum err e = child_start(c, &setup);
	if (e)
		count_out(c);
	if (!e && (e = loop_add(g->loop, &c->control, EPOLLIN)))
		kill(c->pid, SIGKILL); /* it will be reaped and tried again */
	if (!e) {
		log_info("child started", LOG_STR("child", child_kind_name(c)), LOG_UINT("index", c->index), LOG_INT("child_pid", c->pid),
			LOG_UINT("generation", g->number));
		return;
	}
	log_error("child cannot be started", LOG_STR("child", child_kind_name(c)), LOG_UINT("index", c->index), LOG_ERRNO(errno));
	if (g->candidate)
		settle(g, "a process could not be started");
	else if (!c->pid)
		set_timer(g, &c->respawn_timer, START_RETRY_MS);
}

static void
start_workers(struct generation *g)
{
	g->phase = GENERATION_WORKERS_START;
	if (!g->candidate)
		loop_timer_clear(g->loop, &g->deadline);
	for (size_t i = 0; i < g->worker_n && g->phase == GENERATION_WORKERS_START; i++)
		start_child(&g->workers[i]);
}

void
generation_child_ready(struct child *c)
{
	struct generation *g = c->generation;
	bool all = g->phase == GENERATION_WORKERS_START;

	if (c->ready)
		return;
	c->ready = true;
	if (g->phase == GENERATION_LEAVES)
		return;
	log_info("child ready", LOG_STR("child", child_kind_name(c)), LOG_UINT("index", c->index), LOG_INT("child_pid", c->pid),
		LOG_UINT("generation", g->number));
	if (c->kind == CHILD_KEEPER && g->phase == GENERATION_KEEPER_STARTS)
		start_workers(g);
	for (size_t i = 0; i < g->worker_n; i++)
		all = all && (g->workers[i].ready || !g->workers[i].wanted);
	if (all)
		settle(g, NULL);
}

static void
kill_unready(struct generation *g)
{
	for (size_t i = 0; i < g->worker_n; i++)
		if (g->workers[i].pid && !g->workers[i].ready)
			kill(g->workers[i].pid, SIGKILL);
}

/* Tell master, once, when a generation that leaves has no child any more. */
static void
check_gone(struct generation *g)
{
	for (size_t i = 0; i <= g->worker_n; i++)
		if (generation_child(g, i)->pid)
			return;
	if (!g->told_gone)
		loop_defer(g->loop, &g->gone);
	g->told_gone = true;
}

static void
leave(struct generation *g, uint64_t kill_after_ms)
{
	g->phase = GENERATION_LEAVES;
	g->candidate = false;
	for (size_t i = 0; i <= g->worker_n; i++)
		loop_timer_clear(g->loop, &generation_child(g, i)->respawn_timer);
	set_timer(g, &g->deadline, kill_after_ms);
	check_gone(g);
}

static uint32_t
in_message(uint64_t ms)
{
	return ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static void
drain_worker(struct child *c, struct generation_drain d)
{
	uint64_t until = clock_mono_ms(c->generation->clock) + (d.tunnels_ms > d.requests_ms ? d.tunnels_ms : d.requests_ms) + GENERATION_KILL_MS;

	if (c->tunnels_until_ms == 0 || until < c->tunnels_until_ms)
		c->tunnels_until_ms = until;
	generation_send(c, CONTROL_TUNNELS, in_message(d.tunnels_ms), -1);
	generation_send(c, CONTROL_DRAIN, in_message(d.requests_ms), -1);
}

static void
hurry(struct generation *g, struct generation_drain d)
{
	for (size_t i = 0; i < g->worker_n; i++)
		drain_worker(&g->workers[i], d);
	if (g->deadline.heap_index && g->deadline.due_ms > loop_now_ms(g->loop) + d.requests_ms + GENERATION_KILL_MS)
		set_timer(g, &g->deadline, d.requests_ms + GENERATION_KILL_MS);
}

void
generation_drain(struct generation *g, struct generation_drain d)
{
	if (g->phase == GENERATION_LEAVES) {
		hurry(g, d);
		return;
	}
	g->phase = GENERATION_LEAVES;
	for (size_t i = 0; i < g->worker_n; i++)
		generation_hear(&g->workers[i], GENERATION_MESSAGES_MAX); /* one may be ready and serving by now */
	kill_unready(g); /* a worker that never became ready has nothing to finish */
	generation_send(&g->keeper, CONTROL_STOP, 0, -1);
	for (size_t i = 0; i < g->worker_n; i++)
		drain_worker(&g->workers[i], d);
	leave(g, d.requests_ms + GENERATION_KILL_MS);
}

void
generation_stop(struct generation *g)
{
	bool leaving = g->phase == GENERATION_LEAVES;

	for (size_t i = 0; i <= g->worker_n; i++) {
		generation_send(generation_child(g, i), CONTROL_STOP, 0, -1);
		generation_child(g, i)->lingers = false;
	}
	if (leaving)
		set_timer(g, &g->deadline, GENERATION_STOP_MS);
	else
		leave(g, GENERATION_STOP_MS);
}

size_t
generation_workers(const struct generation *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->worker_n; i++)
		n += g->workers[i].wanted;
	return n;
}

enum err
generation_add_worker(struct generation *g)
{
	size_t at = 0;

	while (at < g->worker_n && (g->workers[at].wanted || g->workers[at].pid))
		at++;
	if (at == PROXYD_WORKERS_MAX || g->phase != GENERATION_SERVES)
		return E_LIMIT;
	init_child(&g->workers[at], g, CHILD_WORKER, (unsigned)at);
	if (at == g->worker_n)
		g->worker_n++;
	start_child(&g->workers[at]);
	return OK;
}

enum err
generation_remove_worker(struct generation *g, struct generation_drain d)
{
	struct child *last = NULL;

	if (generation_workers(g) <= 1 || g->phase != GENERATION_SERVES)
		return E_LIMIT;
	for (size_t i = 0; i < g->worker_n; i++)
		if (g->workers[i].wanted)
			last = &g->workers[i];
	last->wanted = false;
	loop_timer_clear(g->loop, &last->respawn_timer);
	if (!last->pid)
		return OK;
	if (last->ready)
		drain_worker(last, d);
	else
		kill(last->pid, SIGKILL); /* it has nothing to finish */
	set_timer(g, &last->respawn_timer, d.requests_ms + GENERATION_KILL_MS);
	return OK;
}

static void
tell_gone(struct loop_deferred *d)
{
	struct generation *g = (struct generation *)((char *)d - offsetof(struct generation, gone));

	g->events->gone(g->master, g);
}

/* A child of a generation that serves, or is the first one: it gets a successor. */
static void
replace(struct child *c, const char *why)
{
	struct generation *g = c->generation;
	uint64_t delay_ms = respawn_delay_ms(&c->respawn, c->started_ms, clock_mono_ms(g->clock));

	if (g->metrics)
		metrics_master_count(&metrics_master(g->metrics)->deaths[c->kind == CHILD_WORKER ? METRICS_WORKER : METRICS_KEEPER]);
	log_error("child died", LOG_STR("child", child_kind_name(c)), LOG_UINT("index", c->index), LOG_STR("reason", why),
		LOG_UINT("generation", g->number), LOG_UINT("restart_in_ms", delay_ms));
	if (delay_ms)
		set_timer(g, &c->respawn_timer, delay_ms);
	else
		start_child(c);
	if (c->kind == CHILD_KEEPER && g->phase == GENERATION_KEEPER_STARTS)
		start_workers(g);
}

bool
generation_reaped(struct generation *g, pid_t pid, int status)
{
	struct child *c = NULL;
	char why[CHILD_DEATH_BYTES];

	for (size_t i = 0; i <= g->worker_n && !c; i++)
		if (generation_child(g, i)->pid == pid)
			c = generation_child(g, i);
	if (!c)
		return false;
	c->pid = 0; /* reaped: the number may be somebody else's by now */
	generation_hear(c, UINT32_MAX); /* its last words */
	child_describe_death(c, status, why);
	child_forget(c, g->loop);
	count_out(c);
	if (g->phase == GENERATION_LEAVES) {
		check_gone(g);
	} else if (!c->wanted) {
		loop_timer_clear(g->loop, &c->respawn_timer);
		log_info("worker gone", LOG_UINT("index", c->index), LOG_UINT("generation", g->number));
	} else if (g->candidate) {
		settle(g, why);
	} else {
		if (g->events->died)
			g->events->died(g->master, g, why);
		if (g->phase == GENERATION_LEAVES)
			check_gone(g);
		else
			replace(c, why);
	}
	return true;
}

/* How long one that was to leave may stay, for it has tunnels and says so. */
static uint64_t
stays_ms(const struct child *c)
{
	uint64_t now = clock_mono_ms(c->generation->clock);

	return c->pid && c->lingers && c->tunnels_until_ms > now ? c->tunnels_until_ms - now : 0;
}

/* The time is over for those who do not linger, or have done so for long enough. */
static void
kill_late(struct generation *g)
{
	uint64_t longest_ms = 0;
	bool any = false;

	for (size_t i = 0; i <= g->worker_n; i++) {
		struct child *c = generation_child(g, i);
		uint64_t stays = stays_ms(c);
		if (stays > longest_ms)
			longest_ms = stays;
		if (c->pid && !stays) {
			kill(c->pid, SIGKILL);
			any = true;
		}
	}
	if (any)
		log_warn("children did not end in time and are killed", LOG_UINT("generation", g->number));
	if (longest_ms)
		set_timer(g, &g->deadline, longest_ms);
}

/* A successor is due, or the end of one that was to leave. */
static void
on_respawn_due(struct loop_timer *t)
{
	struct child *c = (struct child *)((char *)t - offsetof(struct child, respawn_timer));

	if (c->wanted) {
		start_child(c);
		return;
	}
	if (stays_ms(c)) {
		set_timer(c->generation, t, stays_ms(c));
		return;
	}
	log_warn("worker did not end in time and is killed", LOG_UINT("index", c->index), LOG_INT("child_pid", c->pid));
	kill(c->pid, SIGKILL);
}

/* A candidate is not ready, the first keeper is slow, or children that were to leave are still there. */
static void
on_deadline(struct loop_timer *t)
{
	struct generation *g = (struct generation *)((char *)t - offsetof(struct generation, deadline));

	if (g->phase == GENERATION_LEAVES) {
		kill_late(g);
	} else if (g->candidate) {
		settle(g, g->phase == GENERATION_KEEPER_STARTS ? "the keeper did not become ready in time" : "the workers did not become ready in time");
	} else if (g->phase == GENERATION_KEEPER_STARTS) {
		start_workers(g);
	}
}

static void
credential_changed(void *arg, size_t cluster, struct slice token)
{
	struct generation *g = arg;
	const struct proxyd_cluster *clusters = g->config->clusters.items;
	int fd;

	log_info("cluster has another token", LOG_STR("cluster", clusters[cluster].name), LOG_UINT("generation", g->number));
	if (credentials_wrap(token, &fd)) {
		log_error("token not passed on to the workers", LOG_STR("cluster", clusters[cluster].name), LOG_ERRNO(errno));
		return;
	}
	for (size_t i = 0; i < g->worker_n; i++)
		generation_send(&g->workers[i], CONTROL_CREDENTIAL, (uint32_t)cluster, fd);
	close(fd);
}

static void
on_credentials_due(struct loop_timer *t)
{
	struct generation *g = (struct generation *)((char *)t - offsetof(struct generation, credentials_timer));

	credentials_look(g->credentials, credential_changed, g);
	if (loop_timer_set(g->loop, t, CREDENTIALS_LOOK_MS))
		log_error("no memory for a timer: token files are not looked at any more", LOG_UINT("generation", g->number));
}

void
generation_forget_secrets(struct generation *g)
{
	credentials_free(g->credentials);
	g->credentials = NULL;
	proxyd_config_forget_secrets(g->config);
}
