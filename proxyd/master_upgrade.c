#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include "proxyd/control.h"
#include "proxyd/master_state.h"
#include "shared/process.h"
#include "shared/program.h"

/* The line to a predecessor that was killed ends before its workers are killed for that (process_die_with_parent); what they write in between would stay. */
#define PREDECESSOR_OVER_MS 1000

static void on_predecessor(struct loop_watch *w, uint32_t events);
static void on_trial_over(struct loop_timer *t);
static void on_predecessor_over(struct loop_timer *t);
static void successor_on_trial(void *arg);
static void successor_serves(void *arg);
static void successor_failed(void *arg, const char *why);
static void follow_signal(void *arg, int number);
static void follow_keys(void *arg, int fd);
static void follow_ended(void *arg);

static const struct successor_events events = { successor_on_trial, successor_serves, successor_failed, follow_signal, follow_keys, follow_ended };

/* ---- this program gives way to another ---- */

void
master_upgrade(struct master *m)
{
	const struct generation *g = m->active;

	if (m->ending)
		return;
	if (m->successor.phase == SUCCESSOR_FAILED) {
		log_info("upgrade: queued until the one that failed has ended", LOG_INT("child_pid", m->successor.pid));
		m->upgrade_again = true;
		return;
	}
	if (m->successor.pid) {
		log_warn("upgrade: one runs already", LOG_INT("child_pid", m->successor.pid));
		return;
	}
	if (master_is_busy(m)) {
		log_info("upgrade: queued until the running reload is done");
		m->upgrade_again = true;
		return;
	}
	const struct successor_setup setup = {
		.listeners = &g->listeners,
		.keycache_fd = g->keycache_fd,
		.metrics_fd = metrics_fd(m->metrics),
		.generation = m->last_number,
		.ticket_secret = m->ticket_secret,
		.ready_within_ms = (uint64_t)g->config->limits.upgrade_timeout_ms,
		.end_within_ms = (uint64_t)g->config->limits.drain_timeout_ms + GENERATION_KILL_MS,
	};
	enum err e = successor_start(&m->successor, &setup);
	if (e)
		log_error("upgrade: failed, this program stays", LOG_STR("reason", e == E_EMPTY ? "the program's file is not known" : strerrordesc_np(errno)));
	else
		log_info("upgrade: started", LOG_STR("file", program_path()), LOG_INT("child_pid", m->successor.pid));
}

/* New connections are its to answer; ours go on as if nothing were, for they may be all there is in a moment. */
static void
successor_on_trial(void *arg)
{
	struct master *m = arg;

	log_info("upgrade: the new program accepts connections", LOG_INT("child_pid", m->successor.pid));
	generation_pause(m->active);
}

static void
successor_serves(void *arg)
{
	struct master *m = arg;
	char text[128];

	log_info("upgrade: done, this program ends with its last connection", LOG_INT("child_pid", m->successor.pid));
	/* One message, for it is the last that the service manager takes from us. */
	snprintf(text, sizeof(text), "MAINPID=%d\nREADY=1\nSTATUS=serving\nWATCHDOG=1", (int)m->successor.pid);
	process_notify(text);
	if (m->reload_again)
		successor_signal(&m->successor, SIGHUP); /* it may have read its configuration before that came */
	process_title_set("proxyd: old master %s", m->path);
	master_end(m, ENDING_SUCCEEDED, NULL);
}

static void
successor_failed(void *arg, const char *why)
{
	struct master *m = arg;

	if (m->ending)
		return;
	log_error("upgrade: failed, this program stays", LOG_STR("reason", why));
	process_notify("STATUS=upgrade failed, see the log");
	generation_serve(m->active);
	master_run_queued(m);
}

static void
follow_signal(void *arg, int number)
{
	struct master *m = arg;

	if (number == SIGUSR1)
		master_reopen_logs(m);
	else if (number == SIGQUIT)
		master_end(m, ENDING_DRAIN, "the new program drains");
	else if (number == SIGTERM)
		master_end(m, ENDING_STOP, "the new program stops");
}

/* Our keeper is gone; what its successor learns counts for those who are still here. */
static void
follow_keys(void *arg, int fd)
{
	struct master *m = arg;

	for (struct generation *g = m->generations; g; g = g->next)
		generation_use_keycache(g, fd);
	inheritance_tell(m->inheritance, CONTROL_KEYCACHE, 0, NULL, fd);
}

static void
follow_ended(void *arg)
{
	master_tell_ended(arg);
}

/* ---- this program takes another's place ---- */

void
master_upgrade_init(struct master *m)
{
	struct inheritance *i = m->inheritance;

	successor_init(&m->successor, m->loop, &events, m);
	m->trial.on_due = on_trial_over;
	m->predecessor_over.on_due = on_predecessor_over;
	m->last_number = i->generation;
	if (i->has_ticket_secret)
		memcpy(m->ticket_secret, i->ticket_secret, sizeof(m->ticket_secret));
	i->predecessor.on_event = on_predecessor;
}

void
master_settle_inheritance(struct master *m)
{
	struct inheritance *i = m->inheritance;
	const struct listeners *used = &m->generations->listeners;
	char text[ADDRESS_TEXT_MAX];

	for (size_t n = 0; n < i->sockets.n; n++) {
		bool taken = false;
		for (size_t u = 0; u < used->n; u++)
			taken |= used->items[u].fd == i->sockets.items[n].fd;
		if (!taken)
			log_warn("a socket that was passed on is closed: the configuration does not name its address",
				LOG_STR("address", address_format(&i->sockets.items[n].bound, text)));
	}
	listeners_close(&i->sockets, used);
	if (i->keycache_fd >= 0)
		close(i->keycache_fd);
	if (i->metrics_fd >= 0)
		close(i->metrics_fd); /* m->metrics has its own */
	i->keycache_fd = i->metrics_fd = -1;
}

static void
pass_trial(struct master *m, const char *why)
{
	m->on_trial = false;
	loop_timer_clear(m->loop, &m->trial);
	master_claim_pid_file(m); /* whoever has read the line finds our number there */
	log_info("upgrade: this program serves", LOG_STR("reason", why));
	inheritance_tell(m->inheritance, CONTROL_SERVED, 0, NULL, -1);
	if (m->active->keycache_fd >= 0)
		inheritance_tell(m->inheritance, CONTROL_KEYCACHE, 0, NULL, m->active->keycache_fd);
	process_notify("READY=1\nSTATUS=serving");
	master_run_queued(m);
}

static void
begin_trial(struct master *m)
{
	if (m->inheritance->predecessor.fd < 0) {
		pass_trial(m, "its predecessor is gone");
		return;
	}
	m->on_trial = true;
	inheritance_tell(m->inheritance, CONTROL_READY, 0, NULL, -1);
	if (loop_timer_set(m->loop, &m->trial, SUCCESSOR_TRIAL_MS))
		master_give_up(m, "no memory for a timer");
}

void
master_take_over(struct master *m, struct generation *g)
{
	struct config_error e = { "" };

	if (listeners_listen(&g->listeners, g->config, &e)) {
		master_give_up(m, e.text);
		return;
	}
	m->active = g;
	m->candidate = NULL;
	generation_serve(g);
	m->announced = true;
	master_announce(g, "proxyd ready");
	begin_trial(m);
}

static void
on_trial_over(struct loop_timer *t)
{
	pass_trial((struct master *)((char *)t - offsetof(struct master, trial)), "nothing went wrong");
}

void
master_child_served(struct master *m, const struct generation *g)
{
	if (m->on_trial && g == m->active)
		pass_trial(m, "it has answered a request");
}

void
master_child_died(struct master *m, const struct generation *g, const char *why)
{
	if (m->on_trial && g == m->active)
		master_give_up(m, why);
}

static void
forget_predecessor(struct master *m)
{
	struct loop_watch *w = &m->inheritance->predecessor;

	if (w->fd < 0)
		return;
	loop_remove(m->loop, w);
	close(w->fd);
	w->fd = -1;
}

void
master_give_up(struct master *m, const char *why)
{
	log_error("upgrade: this program gives up, its predecessor stays", LOG_STR("reason", why));
	inheritance_tell(m->inheritance, CONTROL_FAILED, 0, why, -1);
	forget_predecessor(m);
	m->failed = true;
	loop_timer_clear(m->loop, &m->trial);
	master_end(m, m->on_trial ? ENDING_DRAIN : ENDING_STOP, "the upgrade failed");
	m->on_trial = false;
}

/* Nothing is left to do where it ended in order. */
static void
on_predecessor_over(struct loop_timer *t)
{
	const struct master *m = (struct master *)((char *)t - offsetof(struct master, predecessor_over));

	metrics_release_all_of(m->metrics, m->inheritance->predecessor_pid);
}

static void
on_predecessor(struct loop_watch *w, uint32_t happened)
{
	struct inheritance *i = (struct inheritance *)w;
	struct master *m = i->master;
	struct control_message message;
	enum err e;
	int fd;

	(void)happened;
	while (w->fd >= 0 && (e = control_receive(w->fd, &message, &fd)) != E_AGAIN) {
		if (e && e != E_FORMAT) {
			forget_predecessor(m);
			if (loop_timer_set(m->loop, &m->predecessor_over, PREDECESSOR_OVER_MS))
				log_warn("no memory for a timer: what the old program was doing stays in metrics");
			log_info("upgrade: the old program is gone");
			if (m->on_trial)
				pass_trial(m, "its predecessor is gone");
			master_end_if_gone(m);
			return;
		}
		if (!e && message.kind == CONTROL_SIGNAL && message.value == SIGHUP)
			master_reload(m);
		if (!e && fd >= 0)
			close(fd);
	}
}
