#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "proxyd/child.h"
#include "proxyd/control.h"
#include "proxyd/keeper.h"
#include "shared/process.h"

#define KEPT_MAX (PROXYD_LISTENERS_MAX + 3) /* listeners, control socket, key cache */

/* Descriptors that a child keeps besides the standard streams. */
struct kept {
	int fds[KEPT_MAX];
	size_t n;
};

static void
keep(struct kept *k, int fd)
{
	if (fd >= 0)
		k->fds[k->n++] = fd;
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

/* no_new_privs and the like come after the change of user, which resets some of them. */
static enum err
drop_rights(const char *user, pid_t parent)
{
	enum err e = process_drop(user);

	if (!e)
		e = process_harden();
	if (!e)
		e = process_die_with_parent(parent);
	return e;
}

static int
run_keeper(const struct child_setup *setup, int control_fd)
{
	const struct keeper_start start = {
		.config = setup->config,
		.generation = setup->generation,
		.control_fd = control_fd,
		.seed_fd = setup->keycache_fd,
		.admin_fd = listeners_admin_fd(setup->listeners),
		.clock = setup->clock,
	};

	return keeper_run(&start);
}

static int
run_worker(const struct child *c, const struct child_setup *setup, int control_fd)
{
	int listen_fds[PROXYD_LISTENERS_MAX];
	struct worker_start start = {
		.config = setup->config,
		.index = c->index,
		.generation = setup->generation,
		.listen_fds = listen_fds,
		.control_fd = control_fd,
		.keycache_fd = setup->keycache_fd,
		.clock = setup->clock,
	};

	for (size_t i = 0; i < setup->config->listen.n; i++)
		listen_fds[i] = setup->listeners->items[i].fd;
	memcpy(start.ticket_secret, setup->ticket_secret, sizeof(start.ticket_secret));
	return worker_run(&start);
}

static int
run(const struct child *c, const struct child_setup *setup, int control_fd, pid_t parent)
{
	bool keeper = c->kind == CHILD_KEEPER;
	struct kept k = { .n = 0 };

	keep(&k, control_fd);
	keep(&k, setup->keycache_fd);
	if (keeper)
		keep(&k, listeners_admin_fd(setup->listeners));
	for (size_t i = 0; i < setup->config->listen.n && !keeper; i++)
		keep(&k, setup->listeners->items[i].fd);
	if (keeper)
		process_title_set("proxyd: keeper (generation %u)", setup->generation);
	else
		process_title_set("proxyd: worker %u (generation %u)", c->index, setup->generation);
	log_setup(keeper ? "proxyd-keeper" : "proxyd-worker", 2, (enum log_level)setup->config->log.level,
		(enum log_format)setup->config->log.format);

	enum err e = close_others(&k);
	if (!e)
		e = drop_rights(setup->config->user, parent);
	if (e == E_CONFLICT)
		return 1; /* master died in between */
	if (e) {
		const char *why = e == E_SYSTEM ? strerrordesc_np(errno) : e == E_EMPTY ? "no such user" : "not allowed";
		log_error("cannot drop rights", LOG_STR("user", setup->config->user), LOG_STR("reason", why));
		return control_send(control_fd, CONTROL_FAILED, 0, "cannot drop rights", -1) ? 2 : 1;
	}
	if (keeper)
		setup->forget(setup->arg);
	return keeper ? run_keeper(setup, control_fd) : run_worker(c, setup, control_fd);
}

enum err
child_start(struct child *c, const struct child_setup *setup)
{
	pid_t parent = getpid();
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
		return E_SYSTEM;
	pid_t pid = fork();
	if (pid == 0)
		exit(run(c, setup, ends[1], parent));
	int code = errno;
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		errno = code;
		return E_SYSTEM;
	}
	c->control.fd = ends[0];
	c->pid = pid;
	c->ready = false;
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
	return c->kind == CHILD_KEEPER ? "keeper" : "worker";
}
