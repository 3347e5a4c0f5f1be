/* What a generation's children are told, and what they say. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include "proxyd/generation_state.h"

struct child *
generation_child(struct generation *g, size_t i)
{
	return i == 0 ? &g->keeper : &g->workers[i - 1];
}

void
generation_send(struct child *c, enum control_kind kind, uint32_t value, int fd)
{
	if (!c->pid || c->control.fd < 0)
		return;
	enum err e = control_send(c->control.fd, kind, value, NULL, fd);
	if (e && e != E_EMPTY) /* E_EMPTY: its death is about to be reaped */
		log_warn("child does not take its messages", LOG_STR("child", child_kind_name(c)), LOG_UINT("index", c->index),
			LOG_INT("child_pid", c->pid), LOG_STR("reason", err_name(e)));
}

void
generation_serve(struct generation *g)
{
	g->serving = true;
	for (size_t i = 0; i <= g->worker_n; i++)
		generation_send(generation_child(g, i), CONTROL_SERVE, 0, -1);
}

void
generation_pause(struct generation *g)
{
	g->serving = false;
	for (size_t i = 0; i < g->worker_n; i++)
		generation_send(&g->workers[i], CONTROL_PAUSE, 0, -1);
}

/* The keeper made a new key cache: pass it on. Takes fd. */
static void
take_keycache(struct generation *g, int fd)
{
	if (g->keycache_fd >= 0)
		close(g->keycache_fd);
	g->keycache_fd = fd;
	for (size_t i = 0; i < g->worker_n; i++)
		generation_send(&g->workers[i], CONTROL_KEYCACHE, 0, fd);
}

void
generation_use_keycache(struct generation *g, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy >= 0)
		take_keycache(g, copy);
	else
		log_error("key cache not passed on", LOG_UINT("generation", g->number), LOG_ERRNO(errno));
}

/* Which child may say what; anything else is ignored with a line in the log (a captured worker must not be able to hand out keys). */
static void
take_message(struct child *c, const struct control_message *m, int fd)
{
	struct generation *g = c->generation;

	if (m->kind == CONTROL_KEYCACHE && c->kind == CHILD_KEEPER && fd >= 0) {
		take_keycache(g, fd);
		if (g->events->keycache)
			g->events->keycache(g->master, g);
		return;
	}
	if (fd >= 0)
		close(fd);
	if (m->kind == CONTROL_READY)
		generation_child_ready(c);
	else if (m->kind == CONTROL_FAILED)
		snprintf(c->why, sizeof(c->why), "%s", m->text);
	else if (m->kind == CONTROL_WANT_KEYS && c->kind == CHILD_WORKER)
		g->events->want_keys(g->master);
	else if (m->kind == CONTROL_LINGERS && c->kind == CHILD_WORKER)
		c->lingers = true;
	else if (m->kind == CONTROL_ENDED && c->kind == CHILD_KEEPER && g->events->ended)
		g->events->ended(g->master, g);
	else if (m->kind == CONTROL_SERVED && c->kind == CHILD_WORKER && g->events->served)
		g->events->served(g->master, g);
	else
		log_warn("child sent a message that is not its to send", LOG_STR("child", child_kind_name(c)), LOG_UINT("index", c->index),
			LOG_INT("child_pid", c->pid), LOG_UINT("kind", m->kind));
}

void
generation_hear(struct child *c, unsigned n_max)
{
	struct control_message m;
	enum err e = OK;
	int fd;

	while (n_max-- && c->control.fd >= 0 && (e = control_receive(c->control.fd, &m, &fd)) == OK)
		take_message(c, &m, fd);
	if (e == OK || e == E_AGAIN || c->control.fd < 0)
		return;
	/* Its end, or nonsense: either way there is no more to hear. Killed before the socket closes, so that it does not take the end of that
	 * for the end of master and leaves as if nothing had been wrong. */
	if (e == E_FORMAT && c->pid) {
		log_error("child talks nonsense and is ended", LOG_STR("child", child_kind_name(c)), LOG_INT("child_pid", c->pid));
		kill(c->pid, SIGKILL);
	}
	loop_remove(c->generation->loop, &c->control);
	close(c->control.fd);
	c->control.fd = -1;
}

void
generation_on_control(struct loop_watch *w, uint32_t events)
{
	(void)events;
	generation_hear((struct child *)w, GENERATION_MESSAGES_MAX);
}

void
generation_tell_ended(struct generation *g)
{
	for (size_t i = 0; i < g->worker_n; i++)
		generation_send(&g->workers[i], CONTROL_ENDED, 0, -1);
}

void
generation_want_keys(struct generation *g)
{
	generation_send(&g->keeper, CONTROL_WANT_KEYS, 0, -1);
}
