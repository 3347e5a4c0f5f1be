#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "proxyd/child.h"
#include "proxyd/confine.h"
#include "proxyd/control.h"
#include "proxyd/keeper.h"
#include "shared/process.h"

/* Descriptors that a child keeps besides the standard streams. */
struct kept {
	int *fds;
	size_t n;
};

static void
keep(struct kept *k, int fd)
{
	if (fd >= 0)
		k->fds[k->n++] = fd;
}

static enum err
keep_what_it_needs(struct kept *k, enum child_kind kind, const struct child_setup *setup, const struct log_ends *log, int control_fd)
{
	/* its socket, key cache, a descriptor for each stream of the log; and its sources, or the listeners */
	size_t most = 2 + LOG_STREAMS + (setup->logger ? setup->logger->source_n : setup->listeners->n);

	k->fds = calloc(most, sizeof(k->fds[0]));
	if (!k->fds)
		return E_NOMEM;
	keep(k, control_fd);
	for (size_t i = 0; i < LOG_STREAMS; i++)
		keep(k, setup->logger ? setup->logger->output_fds[i] : log->fds[i]);
	for (size_t i = 0; setup->logger && i < setup->logger->source_n; i++)
		keep(k, setup->logger->sources[i].fd);
	if (setup->logger)
		return OK;
	keep(k, setup->keycache_fd);
	if (kind == CHILD_KEEPER)
		keep(k, listeners_admin_fd(setup->listeners));
	for (size_t i = 0; i < setup->config->listen.n && kind == CHILD_WORKER; i++)
		keep(k, setup->listeners->items[i].fd);
	return OK;
}

static int
ascending(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Everything else is master's: other children's sockets, its signals, its loop. */
static enum err
close_others(struct kept *k)
{
	unsigned from = 3;

	qsort(k->fds, k->n, sizeof(k->fds[0]), ascending);
	for (size_t i = 0; i <= k->n; i++) {
		unsigned fd = i < k->n ? (unsigned)k->fds[i] : ~0u;
		if (fd > from && close_range(from, i < k->n ? fd - 1 : fd, 0) < 0)
			return E_SYSTEM;
		if (fd >= from && i < k->n)
			from = fd + 1;
	}
	return OK;
}

/* no_new_privs and the like come after the change of user, which resets some of them. The logger outlives a master that was killed: it has its last lines. */
static enum err
drop_rights(enum child_kind kind, const char *user, pid_t parent)
{
	enum err e = process_drop(user);

	if (!e)
		e = process_harden();
	if (!e && kind != CHILD_LOGGER)
		e = process_die_with_parent(parent);
	return e;
}

static int
run_keeper(const struct child_setup *setup, int control_fd, const struct metrics_view *metrics)
{
	const struct keeper_start start = {
		.config = setup->config,
		.generation = setup->generation,
		.control_fd = control_fd,
		.seed_fd = setup->keycache_fd,
		.admin_fd = listeners_admin_fd(setup->listeners),
		.metrics = metrics,
		.serve = setup->serve,
		.clock = setup->clock,
	};

	return keeper_run(&start);
}

static int
run_worker(const struct child *c, const struct child_setup *setup, const struct log_ends *log, int control_fd, struct metrics_slot *metrics)
{
	int listen_fds[PROXYD_LISTENERS_MAX];
	struct worker_start start = {
		.config = setup->config,
		.index = c->index,
		.generation = setup->generation,
		.listen_fds = listen_fds,
		.serve = setup->serve,
		.control_fd = control_fd,
		.keycache_fd = setup->keycache_fd,
		.log_fd = log->fds[LOG_STREAM_LOG],
		.audit_fd = log->fds[LOG_STREAM_AUDIT],
		.metrics = metrics,
		.clock = setup->clock,
	};

	for (size_t i = 0; i < setup->config->listen.n; i++)
		listen_fds[i] = setup->listeners->items[i].fd;
	memcpy(start.ticket_secret, setup->ticket_secret, sizeof(start.ticket_secret));
	return worker_run(&start);
}

static int
run_logger(const struct child_setup *setup, int control_fd)
{
	struct logger_start start = *setup->logger;

	start.control_fd = control_fd;
	if (confine_logger()) {
		log_error("logger cannot be confined", LOG_ERRNO(errno));
		return 1;
	}
	return logger_run(&start);
}

/* What this child may see of what is counted; nothing when the memory for it cannot be had. To be called while the descriptor is open. */
struct counted {
	struct metrics_slot *slot;
	struct metrics_view *view;
};
static struct counted
map_metrics(const struct child *c, const struct child_setup *setup)
{
	static struct metrics_view view;
	struct counted out = { NULL, NULL };
	enum err e = OK;

	if (!setup->metrics)
		return out;
	if (c->kind == CHILD_WORKER && c->metrics_slot != METRICS_NO_SLOT)
		e = metrics_map_slot(metrics_fd(setup->metrics), c->metrics_slot, &out.slot);
	else if (c->kind == CHILD_KEEPER && !(e = metrics_map_all(metrics_fd(setup->metrics), &view)))
		out.view = &view;
	if (e)
		log_warn("metrics of this process are missing", LOG_ERRNO(errno));
	return out;
}

/* As ps shows it. */
static void
set_name(const struct child *c, const struct child_setup *setup, int log_fd)
{
	static const char *const programs[] = { [CHILD_KEEPER] = "proxyd-keeper", [CHILD_WORKER] = "proxyd-worker", [CHILD_LOGGER] = "proxyd-logger" };

	if (c->kind == CHILD_WORKER)
		process_title_set("proxyd: worker %u (generation %u)", c->index, setup->generation);
	else if (c->kind == CHILD_KEEPER)
		process_title_set("proxyd: keeper (generation %u)", setup->generation);
	else
		process_title_set("proxyd: logger");
	log_setup(programs[c->kind], log_fd, setup->log_level, setup->log_format);
}

static int
run(const struct child *c, const struct child_setup *setup, const struct log_ends *log, int control_fd, pid_t parent)
{
	int log_fd = log->fds[LOG_STREAM_LOG];
	struct kept k = { .n = 0 };

	set_name(c, setup, log_fd < 0 ? 2 : log_fd);
	struct counted counted = map_metrics(c, setup);
	enum err e = keep_what_it_needs(&k, c->kind, setup, log, control_fd);
	if (!e)
		e = close_others(&k);
	free(k.fds);
	if (!e)
		e = drop_rights(c->kind, setup->user, parent);
	if (e == E_CONFLICT)
		return 1; /* master died in between */
	if (e) {
		const char *why = e == E_SYSTEM ? strerrordesc_np(errno) : e == E_EMPTY ? "no such user" : "not allowed";
		log_error("cannot drop rights", LOG_STR("user", setup->user), LOG_STR("reason", why));
		return control_send(control_fd, CONTROL_FAILED, 0, "cannot drop rights", -1) ? 2 : 1;
	}
	if (c->kind == CHILD_WORKER)
		return run_worker(c, setup, log, control_fd, counted.slot);
	setup->forget(setup->arg);
	return c->kind == CHILD_KEEPER ? run_keeper(setup, control_fd, counted.view) : run_logger(setup, control_fd);
}

/* fork, with a socket between the two; 0: failed (errno). */
static pid_t
fork_child(struct child *c, const struct child_setup *setup, const struct log_ends *log)
{
	pid_t parent = getpid();
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
		return 0;
	pid_t pid = fork();
	if (pid == 0)
		exit(run(c, setup, log, ends[1], parent));
	int code = errno;
	close(ends[1]);
	if (pid > 0) {
		c->control.fd = ends[0];
		return pid;
	}
	close(ends[0]);
	errno = code;
	return 0;
}

enum err
child_start(struct child *c, const struct child_setup *setup)
{
	struct log_ends log = { { -1, -1 } };

	if (setup->logs) {
		enum err e = logs_pipe(setup->logs, c->kind == CHILD_WORKER && setup->config->audit.file, &log);
		if (e)
			return e;
	}
	pid_t pid = fork_child(c, setup, &log);
	if (setup->logs)
		logs_piped(setup->logs, &log, pid);
	if (!pid)
		return E_SYSTEM;
	c->pid = pid;
	c->ready = c->lingers = false;
	c->why[0] = '\0';
	c->started_ms = clock_mono_ms(setup->clock);
	return OK;
}

void
child_forget(struct child *c, struct loop *loop)
{
	if (c->control.fd >= 0) {
		loop_remove(loop, &c->control);
		close(c->control.fd);
	}
	c->control.fd = -1;
	c->pid = 0;
	c->ready = false;
}

const char *
child_kind_name(const struct child *c)
{
	return c->kind == CHILD_KEEPER ? "keeper" : c->kind == CHILD_WORKER ? "worker" : "logger";
}

void
child_describe_death(const struct child *c, int status, char out[CHILD_DEATH_BYTES])
{
	const char *kind = child_kind_name(c);
	int n = c->kind == CHILD_WORKER ? snprintf(out, CHILD_DEATH_BYTES, "%s %u ", kind, c->index) : snprintf(out, CHILD_DEATH_BYTES, "%s ", kind);
	size_t room = CHILD_DEATH_BYTES - (size_t)n;

	if (*c->why)
		snprintf(out + n, room, "failed: %s", c->why);
	else if (WIFSIGNALED(status))
		snprintf(out + n, room, "was ended by signal %d (SIG%s)", WTERMSIG(status), sigabbrev_np(WTERMSIG(status)));
	else
		snprintf(out + n, room, "ended with status %d", WEXITSTATUS(status));
}
