#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include "proxyd/confine.h"
#include "proxyd/generation.h"
#include "proxyd/master.h"
#include "shared/process.h"
#include "shared/rng.h"
#include "shared/sandbox.h"

enum ending { ENDING_NO, ENDING_DRAIN, ENDING_STOP };

struct master {
	struct loop_watch signals; /* first member */
	struct loop_timer watchdog;
	struct loop *loop;
	const struct clock *clock;
	const char *path;
	struct generation *generations; /* all that have a child left, newest first */
	struct generation *active;      /* the one that serves, or is starting as the first */
	struct generation *candidate;   /* the one that is to replace it; NULL: no reload runs */
	struct logs *logs;
	struct metrics *metrics;
	struct log_files candidate_files; /* in use when the candidate is */
	struct proxyd_config *starting; /* loaded, and nobody's yet */
	unsigned last_number;
	bool reload_again;              /* HUP came while a reload ran */
	int workers_more;               /* TTIN less TTOU while a reload ran */
	bool announced;                 /* "proxyd ready" was said */
	enum ending ending;
	uint64_t watchdog_ms;
	unsigned char ticket_secret[TICKET_SECRET_BYTES]; /* for the life of this process: tickets outlive reloads */
};

static bool start_up(struct master *m, struct proxyd_config *config);
static bool start_generation(struct master *m, struct proxyd_config *config, struct config_error *e);
static void on_signal(struct loop_watch *w, uint32_t events);
static void on_watchdog(struct loop_timer *t);
static void settled(void *arg, struct generation *g, const char *why);
static void gone(void *arg, struct generation *g);
static void want_keys(void *arg);
static void forget_secrets(void *arg);

static const struct generation_events events = { settled, gone, want_keys, forget_secrets };

int
master_run(const char *path, struct proxyd_config *config, const struct clock *clock)
{
	struct master m = { .clock = clock, .path = path };

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
	log_info("proxyd stopped");
	logs_free(m.logs);
	metrics_free(m.metrics);
	loop_free(m.loop);
	OPENSSL_cleanse(m.ticket_secret, sizeof(m.ticket_secret));
	return e ? 1 : 0;
}

static bool
complain(const char *what)
{
	fprintf(stderr, "proxyd: %s: %s\n", what, strerrordesc_np(errno));
	return false;
}

/* From here on lines go where the configuration says. */
static bool
start_logs(struct master *m, const struct proxyd_config *config, struct config_error *e)
{
	struct log_files files;

	if (log_files_open(config, &files, e)) {
		fprintf(stderr, "proxyd: %s\n", e->text);
		return false;
	}
	m->logs = logs_new(m->loop, m->clock, &files, config->user, forget_secrets, m);
	return m->logs || complain("no logger");
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
		return complain("signals cannot be set up");
	if (process_harden())
		return complain("the process cannot be hardened");
	if (confine_master())
		return complain("the process cannot be confined");
	if (rng_fill(&rng_system, m->ticket_secret, sizeof(m->ticket_secret)))
		return complain("no random numbers");
	size_t files = process_raise_nofile();
	m->loop = loop_new(m->clock);
	m->signals = (struct loop_watch){ .fd = fd, .on_event = on_signal };
	if (!m->loop || loop_add(m->loop, &m->signals, EPOLLIN))
		return complain("no event loop");
	if (metrics_new(&m->metrics))
		return complain("no shared memory for metrics");
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
	if (!start_generation(m, config, &e)) {
		fprintf(stderr, "proxyd: %s\n", e.text);
		return false;
	}
	return true;
}

/* Takes over config, whatever comes of it. False: e says why, and nothing has changed. */
static bool
start_generation(struct master *m, struct proxyd_config *config, struct config_error *e)
{
	struct generation_setup setup = {
		.number = m->last_number + 1,
		.candidate = m->active != NULL,
		.config = config,
		.seed_fd = m->active ? m->active->keycache_fd : -1,
		.loop = m->loop,
		.clock = m->clock,
		.ticket_secret = m->ticket_secret,
		.logs = m->logs,
		.metrics = m->metrics,
		.events = &events,
		.master = m,
	};
	const struct listeners *old = m->active ? &m->active->listeners : NULL;

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
	*(m->active ? &m->candidate : &m->active) = g;
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
	metrics_add(&metrics_master(m->metrics)->reloads_failed, 1);
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

static void
reload(struct master *m)
{
	struct proxyd_config *config;
	struct config_error e = { "" };

	if (m->ending)
		return;
	if (m->candidate || !m->announced) {
		log_info("reload: queued until the running one is done");
		m->reload_again = true;
		return;
	}
	log_info("reload: started", LOG_STR("config", m->path));
	notify_reloading(m->clock);
	if (proxyd_config_load(m->path, m->clock, &config, &e) || !start_candidate(m, config, &e))
		reload_failed(m, e.text);
}

static void
reload_if_queued(struct master *m)
{
	bool again = m->reload_again;

	m->reload_again = false;
	if (again)
		reload(m);
}

/* The addresses as bound, for those who asked for port 0. */
static void
announce(const struct generation *g, const char *msg)
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

static void
abandon_candidate(struct master *m, const char *why)
{
	struct generation *g = m->candidate;

	m->candidate = NULL;
	log_files_close(&m->candidate_files);
	generation_drain(g, (uint64_t)m->active->config->limits.drain_timeout_ms);
	listeners_close(&g->listeners, &m->active->listeners);
	reload_failed(m, why);
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
	generation_drain(old, (uint64_t)g->config->limits.drain_timeout_ms);
	listeners_close(&old->listeners, &g->listeners);
	metrics_add(&metrics_master(m->metrics)->reloads_done, 1);
	announce(g, "reload: done");
}

/* One more or one less, of the configuration that serves: the next one has its own number. */
static void
change_workers(struct master *m, int by)
{
	struct generation *g = m->active;
	enum err e;

	if (m->ending)
		return;
	if (m->candidate || !m->announced) {
		log_info("workers: queued until the running reload is done");
		m->workers_more += by;
		return;
	}
	e = by > 0 ? generation_add_worker(g) : generation_remove_worker(g, (uint64_t)g->config->limits.drain_timeout_ms);
	if (e)
		log_warn(by > 0 ? "no worker more: there are as many as there may be" : "no worker less: there is only one", LOG_UINT("workers", generation_workers(g)));
	else
		log_info(by > 0 ? "one worker more" : "one worker less", LOG_UINT("workers", generation_workers(g)));
}

static void
change_workers_if_queued(struct master *m)
{
	int by = m->workers_more;

	m->workers_more = 0;
	for (; by > 0; by--)
		change_workers(m, 1);
	for (; by < 0; by++)
		change_workers(m, -1);
}

static void
settled(void *arg, struct generation *g, const char *why)
{
	struct master *m = arg;

	if (m->ending)
		return;
	if (g == m->candidate && why)
		abandon_candidate(m, why);
	else if (g == m->candidate)
		switch_to(m, g);
	else if (g == m->active && !m->announced) {
		m->announced = true;
		announce(g, "proxyd ready");
	}
	change_workers_if_queued(m);
	reload_if_queued(m);
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
	if (m->ending && !m->generations)
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
		listeners_close(&m->candidate->listeners, &m->active->listeners);
	listeners_close(&m->active->listeners, NULL);
}

/* Every generation leaves; the loop ends with the last one. */
static void
end(struct master *m, enum ending how, const char *signal_name)
{
	if (how <= m->ending)
		return;
	log_info(how == ENDING_STOP ? "proxyd stops" : "proxyd drains and stops", LOG_STR("signal", signal_name));
	process_notify("STOPPING=1");
	if (!m->ending)
		close_listeners(m);
	m->ending = how;
	m->candidate = NULL;
	for (struct generation *g = m->generations; g; g = g->next)
		if (how == ENDING_STOP)
			generation_stop(g);
		else
			generation_drain(g, (uint64_t)m->active->config->limits.drain_timeout_ms);
}

static void
reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (logs_reaped(m->logs, pid, status)) {
			metrics_add(&metrics_master(m->metrics)->deaths[METRICS_LOGGER], 1);
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
			reload(m);
		else if (number == SIGQUIT)
			end(m, ENDING_DRAIN, "QUIT");
		else if (number == SIGTERM || number == SIGINT)
			end(m, ENDING_STOP, sigabbrev_np(number));
		else if (number == SIGUSR1)
			logs_reopen(m->logs);
		else if (number == SIGTTIN || number == SIGTTOU)
			change_workers(m, number == SIGTTIN ? 1 : -1);
		else
			log_warn("signal ignored: it has no meaning in this version", LOG_STR("signal", sigabbrev_np(number)));
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
