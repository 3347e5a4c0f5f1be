#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include "proxyd/confine.h"
#include "proxyd/control.h"
#include "proxyd/master_state.h"
#include "proxyd/pid_file.h"
#include "shared/process.h"
#include "shared/rng.h"
#include "shared/sandbox.h"

#define FILES_FEW 1024 /* of which each worker gives half to connections */

static bool start_up(struct master *m, struct proxyd_config *config);
static void release_pid_file(struct master *m);
static bool start_generation(struct master *m, struct proxyd_config *config, struct config_error *e);
static void on_signal(struct loop_watch *w, uint32_t events);
static void on_watchdog(struct loop_timer *t);
static void settled(void *arg, struct generation *g, const char *why);
static void gone(void *arg, struct generation *g);
static void want_keys(void *arg);
static void forget_secrets(void *arg);
static void child_died(void *arg, struct generation *g, const char *why);
static void child_served(void *arg, struct generation *g);
static void new_keycache(void *arg, struct generation *g);
static void sessions_ended(void *arg, struct generation *g);

static const struct generation_events events = { settled, gone, want_keys, forget_secrets, child_died, child_served, new_keycache, sessions_ended };

int
master_run(const char *path, struct proxyd_config *config, struct inheritance *inheritance, const struct clock *clock)
{
	struct master m = { .clock = clock, .path = path, .inheritance = inheritance };

	inheritance->master = &m; /* cppcheck-suppress autoVariables ; main holds it no longer than this runs */

	log_setup("proxyd", 2, (enum log_level)config->log.level, (enum log_format)config->log.format);
	if (!start_up(&m, config)) {
		logs_free(m.logs);
		metrics_free(m.metrics);
		if (m.loop)
			loop_free(m.loop);
		return 1;
	}
	enum err e = loop_run(m.loop);
	if (e)
		log_error("event loop failed", LOG_ERRNO(errno)); /* children end with us */
	release_pid_file(&m);
	log_info("proxyd stopped");
	logs_free(m.logs);
	successor_fini(&m.successor);
	metrics_free(m.metrics);
	loop_free(m.loop);
	OPENSSL_cleanse(m.ticket_secret, sizeof(m.ticket_secret));
	return e || m.failed ? 1 : 0;
}

/* Why it did not start; a predecessor logs it, too. */
static bool
refuse(struct master *m, const char *why)
{
	fprintf(stderr, "proxyd: %s\n", why);
	inheritance_tell(m->inheritance, CONTROL_FAILED, 0, why, -1);
	return false;
}

static bool
complain(struct master *m, const char *what)
{
	char text[256];

	snprintf(text, sizeof(text), "%s: %s", what, strerrordesc_np(errno));
	return refuse(m, text);
}

/* From here on lines go where the configuration says. */
static bool
start_logs(struct master *m, const struct proxyd_config *config, struct config_error *e)
{
	struct log_files files;

	if (log_files_open(config, &files, e))
		return refuse(m, e->text);
	m->logs = logs_new(m->loop, m->clock, &files, config->user, forget_secrets, m);
	return m->logs || complain(m, "no logger");
}

static bool
start_up(struct master *m, struct proxyd_config *config)
{
	static const int signals[] = { SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGCHLD, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, 0 };
	struct config_error e = { "" };
	uint64_t watchdog_us = process_watchdog_us();
	int fd;

	process_title_set("proxyd: master %s", m->path);
	if (process_signals(signals, &fd))
		return complain(m, "signals cannot be set up");
	if (process_harden())
		return complain(m, "the process cannot be hardened");
	if (confine_master())
		return complain(m, "the process cannot be confined");
	if (rng_fill(&rng_system, m->ticket_secret, sizeof(m->ticket_secret)))
		return complain(m, "no random numbers");
	size_t files = process_raise_nofile();
	m->loop = loop_new(m->clock);
	m->signals = (struct loop_watch){ .fd = fd, .on_event = on_signal };
	if (!m->loop || loop_add(m->loop, &m->signals, EPOLLIN))
		return complain(m, "no event loop");
	if ((m->inheritance->metrics_fd < 0 || metrics_inherit(m->inheritance->metrics_fd, &m->metrics)) && metrics_new(clock_now_s(m->clock), &m->metrics))
		return complain(m, "no shared memory for metrics");
	master_upgrade_init(m);
	if (m->inheritance->predecessor.fd >= 0 && loop_add(m->loop, &m->inheritance->predecessor, EPOLLIN))
		return complain(m, "no event loop");
	m->starting = config;
	if (!start_logs(m, config, &e)) {
		proxyd_config_free(config);
		return false;
	}
	m->watchdog.on_due = on_watchdog;
	m->watchdog_ms = watchdog_us / 2000; /* half the time that the service manager allows */
	if (m->watchdog_ms)
		on_watchdog(&m->watchdog);
	log_info("proxyd starts", LOG_STR("version", GATEHOUSE_VERSION), LOG_STR("config", m->path), LOG_UINT("open_files", files));
	sandbox_log_support();
	if (geteuid() == 0 && !config->user)
		log_warn("running as root: set user in the configuration");
	if (files < FILES_FEW)
		log_warn("few files may be open, so few connections too: raise the limit (LimitNOFILE, ulimit -n)", LOG_UINT("open_files", files));
	bool log_is_elsewhere = config->log.file != NULL;
	if (!start_generation(m, config, &e)) {
		if (log_is_elsewhere)
			log_error("proxyd does not start", LOG_STR("reason", e.text));
		return refuse(m, e.text);
	}
	master_settle_inheritance(m);
	master_follow_files(m);
	return true;
}

/* Takes over config, whatever comes of it. False: e says why, and nothing has changed. */
static bool
start_generation(struct master *m, struct proxyd_config *config, struct config_error *e)
{
	struct generation_setup setup = {
		.number = m->last_number + 1,
		.candidate = m->active || m->inheritance->from_predecessor,
		.config = config,
		.seed_fd = m->active ? m->active->keycache_fd : m->inheritance->keycache_fd,
		.loop = m->loop,
		.clock = m->clock,
		.ticket_secret = m->ticket_secret,
		.logs = m->logs,
		.metrics = m->metrics,
		.events = &events,
		.master = m,
	};
	const struct listeners *old = m->active ? &m->active->listeners : &m->inheritance->sockets;

	if (listeners_open(config, old, &setup.listeners, e)) {
		proxyd_config_free(config);
		return false;
	}
	if (!setup.candidate && listeners_listen(&setup.listeners, config, e)) {
		listeners_close(&setup.listeners, old);
		proxyd_config_free(config);
		return false;
	}
	struct generation *g = generation_new(&setup);
	if (!g) {
		config_error_set(e, config->file, 0, NULL, "out of memory or descriptors");
		listeners_close(&setup.listeners, old);
		proxyd_config_free(config);
		return false;
	}
	m->starting = NULL;
	m->last_number++;
	g->next = m->generations;
	m->generations = g;
	*(setup.candidate ? &m->candidate : &m->active) = g;
	generation_start(g, !setup.candidate);
	return true;
}

static void
notify_reloading(const struct clock *clock)
{
	char text[64];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_mono_ms(clock) * 1000);
	process_notify(text);
}

static void
reload_failed(struct master *m, const char *why)
{
	log_error("reload: failed, the configuration in use stays", LOG_STR("reason", why), LOG_UINT("generation", m->active->number));
	metrics_master_count(&metrics_master(m->metrics)->reloads_failed);
	process_notify("READY=1\nSTATUS=reload failed, see the log");
}

/* Takes over config, as start_generation does. */
static bool
start_candidate(struct master *m, struct proxyd_config *config, struct config_error *e)
{
	struct log_files files;

	if (log_files_open(config, &files, e)) {
		proxyd_config_free(config);
		return false;
	}
	m->candidate_files = files;
	if (start_generation(m, config, e))
		return true;
	log_files_close(&m->candidate_files);
	return false;
}

bool
master_is_busy(const struct master *m)
{
	return m->candidate || !m->announced || m->on_trial || m->successor.phase == SUCCESSOR_STARTS || m->successor.phase == SUCCESSOR_ON_TRIAL;
}

void
master_reload(struct master *m)
{
	struct proxyd_config *config;
	struct config_error e = { "" };

	if (m->ending)
		return;
	if (master_is_busy(m)) {
		log_info("reload: queued until the running one is done");
		m->reload_again = true;
		return;
	}
	log_info("reload: started", LOG_STR("config", m->path));
	notify_reloading(m->clock);
	if (proxyd_config_load(m->path, m->clock, &config, &e) || !start_candidate(m, config, &e))
		reload_failed(m, e.text);
}

/* The addresses as bound, for those who asked for port 0. */
void
master_announce(const struct generation *g, const char *msg)
{
	char admin[ADDRESS_TEXT_MAX] = "";
	struct buf addresses;

	buf_init(&addresses, 0);
	listeners_print(&g->listeners, &addresses);
	if (g->listeners.admin)
		address_format(&g->listeners.items[g->listeners.n - 1].bound, admin);
	log_info(msg, LOG_UINT("generation", g->number), LOG_UINT("workers", generation_workers(g)), LOG_SLICE("addresses", buf_slice(&addresses)),
		LOG_STR("admin", *admin ? admin : NULL));
	buf_fini(&addresses);
	process_notify("READY=1\nSTATUS=serving");
}

/* How long others may finish what they have when this configuration takes their place. */
static struct generation_drain
drain_of(const struct generation *g)
{
	return (struct generation_drain){ (uint64_t)g->config->limits.drain_timeout_ms, (uint64_t)g->config->limits.tunnel_drain_timeout_ms };
}

static void
abandon_candidate(struct master *m, const char *why)
{
	struct generation *g = m->candidate;

	m->candidate = NULL;
	log_files_close(&m->candidate_files);
	generation_drain(g, drain_of(m->active));
	listeners_close(&g->listeners, &m->active->listeners);
	reload_failed(m, why);
}

void
master_claim_pid_file(struct master *m)
{
	const char *path = m->active->config->pid_file;

	if (m->pid_file && (!path || strcmp(path, m->pid_file) != 0))
		release_pid_file(m);
	if (!path || m->pid_file)
		return;
	if (pid_file_write(path, getpid()))
		log_error("pid file not written", LOG_STR("file", path), LOG_ERRNO(errno));
	else
		m->pid_file = strdup(path);
}

static void
release_pid_file(struct master *m)
{
	if (m->pid_file)
		pid_file_remove(m->pid_file, getpid());
	free(m->pid_file);
	m->pid_file = NULL;
}

static void
switch_to(struct master *m, struct generation *g)
{
	struct generation *old = m->active;
	struct config_error e = { "" };

	if (listeners_listen(&g->listeners, g->config, &e)) {
		abandon_candidate(m, e.text);
		return;
	}
	m->active = g;
	m->candidate = NULL;
	logs_use(m->logs, &m->candidate_files);
	generation_serve(g);
	listeners_close(&old->listeners, &g->listeners); /* before workers do, who take along what waits in them: the last to close would cut that */
	generation_drain(old, drain_of(g));
	metrics_master_count(&metrics_master(m->metrics)->reloads_done);
	new_keycache(m, g);
	master_claim_pid_file(m);
	master_announce(g, "reload: done");
}

/* One more or one less, of the configuration that serves: the next one has its own number. */
static void
change_workers(struct master *m, int by)
{
	struct generation *g = m->active;
	enum err e;

	if (m->ending)
		return;
	if (master_is_busy(m)) {
		log_info("workers: queued until the running reload is done");
		m->workers_more += by;
		return;
	}
	e = by > 0 ? generation_add_worker(g) : generation_remove_worker(g, drain_of(g));
	if (e)
		log_warn(by > 0 ? "no worker more: there are as many as there may be" : "no worker less: there is only one", LOG_UINT("workers", generation_workers(g)));
	else
		log_info(by > 0 ? "one worker more" : "one worker less", LOG_UINT("workers", generation_workers(g)));
}

void
master_run_queued(struct master *m)
{
	int by = m->workers_more;

	m->workers_more = 0;
	for (; by > 0; by--)
		change_workers(m, 1);
	for (; by < 0; by++)
		change_workers(m, -1);
	if (m->reload_again && !master_is_busy(m)) {
		m->reload_again = false;
		master_reload(m);
	}
	if (m->upgrade_again && !master_is_busy(m) && !m->successor.pid) {
		m->upgrade_again = false;
		master_upgrade(m);
	}
}

static void
settled(void *arg, struct generation *g, const char *why)
{
	struct master *m = arg;

	if (m->ending)
		return;
	if (g == m->candidate && !m->active && why) {
		master_give_up(m, why);
	} else if (g == m->candidate && !m->active) {
		master_take_over(m, g);
	} else if (g == m->candidate && why) {
		abandon_candidate(m, why);
	} else if (g == m->candidate) {
		switch_to(m, g);
	} else if (g == m->active && !m->announced) {
		m->announced = true;
		master_claim_pid_file(m);
		master_announce(g, "proxyd ready");
	}
	if (!m->ending)
		master_run_queued(m);
}

static void
gone(void *arg, struct generation *g)
{
	struct master *m = arg;
	struct generation **at = &m->generations;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	if (m->active == g)
		m->active = NULL; /* we are ending */
	unsigned number = g->number;
	generation_free(g);
	log_info("generation gone", LOG_UINT("generation", number));
	master_end_if_gone(m);
}

void
master_end_if_gone(struct master *m)
{
	if (m->ending && !m->generations && m->inheritance->predecessor.fd < 0)
		loop_stop(m->loop);
}

static void
want_keys(void *arg)
{
	struct master *m = arg;

	if (m->active)
		generation_want_keys(m->active);
}

static void
child_died(void *arg, struct generation *g, const char *why)
{
	master_child_died(arg, g, why);
}

static void
child_served(void *arg, struct generation *g)
{
	master_child_served(arg, g);
}

/* Those who only finish what they have are to hear of ended sessions as well. */
static void
new_keycache(void *arg, struct generation *g)
{
	struct master *m = arg;

	if (g != m->active || g->keycache_fd < 0)
		return;
	for (struct generation *other = m->generations; other; other = other->next)
		if (other->phase == GENERATION_LEAVES)
			generation_use_keycache(other, g->keycache_fd);
	if (!m->on_trial)
		inheritance_tell(m->inheritance, CONTROL_KEYCACHE, 0, NULL, g->keycache_fd);
}

static void
sessions_ended(void *arg, struct generation *g)
{
	if (g == ((struct master *)arg)->active)
		master_tell_ended(arg);
}

void
master_tell_ended(struct master *m)
{
	for (struct generation *g = m->generations; g; g = g->next)
		generation_tell_ended(g);
	if (!m->on_trial)
		inheritance_tell(m->inheritance, CONTROL_ENDED, 0, NULL, -1);
}

static void
forget_secrets(void *arg)
{
	struct master *m = arg;

	if (m->starting)
		proxyd_config_forget_secrets(m->starting);
	for (struct generation *g = m->generations; g; g = g->next)
		generation_forget_secrets(g);
	OPENSSL_cleanse(m->ticket_secret, sizeof(m->ticket_secret));
}

static void
close_listeners(struct master *m)
{
	if (m->candidate)
		listeners_close(&m->candidate->listeners, m->active ? &m->active->listeners : NULL);
	if (m->active)
		listeners_close(&m->active->listeners, NULL);
}

static void
say_ending(struct master *m, enum ending how, const char *why)
{
	if (how == ENDING_SUCCEEDED) {
		loop_timer_clear(m->loop, &m->watchdog); /* the successor's from now on, as the service manager is */
		return;
	}
	log_info(how == ENDING_STOP ? "proxyd stops" : "proxyd drains and stops", LOG_STR("signal", why));
	if (m->ending != ENDING_SUCCEEDED && !m->failed)
		process_notify("STOPPING=1");
	inheritance_tell(m->inheritance, CONTROL_SIGNAL, how == ENDING_STOP ? SIGTERM : SIGQUIT, NULL, -1);
}

void
master_end(struct master *m, enum ending how, const char *why)
{
	if (how <= m->ending)
		return;
	say_ending(m, how, why);
	if (!m->ending) {
		successor_cancel(&m->successor);
		close_listeners(m);
	}
	m->ending = how;
	m->candidate = NULL;
	for (struct generation *g = m->generations; g; g = g->next) {
		struct generation_drain d = drain_of(m->generations);
		if (how == ENDING_DRAIN)
			d.tunnels_ms = d.requests_ms; /* whoever waits for our end waits no longer than that */
		if (how == ENDING_STOP)
			generation_stop(g);
		else
			generation_drain(g, d);
	}
	master_end_if_gone(m);
}

void
master_reopen_logs(struct master *m)
{
	logs_reopen(m->logs);
	inheritance_tell(m->inheritance, CONTROL_SIGNAL, SIGUSR1, NULL, -1);
}

static void
reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (logs_reaped(m->logs, pid, status)) {
			metrics_master_count(&metrics_master(m->metrics)->deaths[METRICS_LOGGER]);
			continue;
		}
		if (successor_reaped(&m->successor, pid, status)) {
			metrics_release_all_of(m->metrics, pid);
			if (!m->ending)
				master_run_queued(m);
			continue;
		}
		for (struct generation *g = m->generations; g && !generation_reaped(g, pid, status); g = g->next)
			;
	}
}

static void
on_signal(struct loop_watch *w, uint32_t events_seen)
{
	struct master *m = (struct master *)w;

	(void)events_seen;
	for (int number; (number = process_signal_next(w->fd));) {
		if (number == SIGCHLD)
			reap(m);
		else if (number == SIGHUP)
			master_reload(m);
		else if (number == SIGQUIT)
			master_end(m, ENDING_DRAIN, "QUIT");
		else if (number == SIGTERM || number == SIGINT)
			master_end(m, ENDING_STOP, sigabbrev_np(number));
		else if (number == SIGUSR1)
			master_reopen_logs(m);
		else if (number == SIGUSR2)
			master_upgrade(m);
		else
			change_workers(m, number == SIGTTIN ? 1 : -1);
	}
}

static void
on_watchdog(struct loop_timer *t)
{
	struct master *m = (struct master *)((char *)t - offsetof(struct master, watchdog));

	process_notify("WATCHDOG=1");
	if (loop_timer_set(m->loop, t, m->watchdog_ms))
		log_error("no memory for the watchdog's timer");
}
