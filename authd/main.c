/* authd - the OpenID Connect issuer. This thread reads signals and looks after what is due; requests run on the server's threads. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <time.h>
#include "authd/app.h"
#include "authd/confine.h"
#include "authd/ctl.h"
#include "authd/usage.h"
#include "oidc/strict_json.h"
#include "shared/log.h"
#include "shared/process.h"

#define WHY_BYTES 1024

static int
check(const char *config_path)
{
	char why[WHY_BYTES] = "";
	struct generation *g;
	enum err e = app_generation_load(config_path, &clock_system, NULL, NULL, &g, why, sizeof why);

	if (e != OK) {
		fprintf(stderr, "authd: %s\n", why);
		return 1;
	}
	app_generation_release(g);
	return printf("%s: ok\n", config_path) < 0 || fflush(stdout) != 0;
}

static void
notify_reloading(void)
{
	struct timespec now;
	char state[64];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	process_notify(state);
}

/* What listens is in the log line and in what the service manager shows. */
static void
say_ready(struct authd *app, const char *what)
{
	struct buf addresses, own, state;

	buf_init(&addresses, 0);
	buf_init(&own, 0);
	buf_init(&state, 0);
	server_addresses(app->server, false, &addresses);
	server_addresses(app->server, true, &own);
	log_info(what, LOG_SLICE("listening", buf_slice(&addresses)), LOG_SLICE("for_operators", buf_slice(&own)),
		LOG_STR("issuer", app->generation->config->issuer));
	buf_printf(&state, "READY=1\nSTATUS=serving %s", buf_slice(&addresses).p);
	process_notify(buf_slice(&state).p);
	buf_fini(&addresses);
	buf_fini(&own);
	buf_fini(&state);
}

static void
reload(struct authd *app, const char *config_path)
{
	char why[WHY_BYTES] = "";

	notify_reloading();
	if (app_reload(app, config_path, why, sizeof why) == OK) {
		say_ready(app, "configuration reloaded");
		return;
	}
	const char *hint = app->files_confined ? authd_confine_hint(why) : "";
	snprintf(why + strlen(why), sizeof why - strlen(why), "%s", hint);
	log_error("configuration not reloaded: the old one stays in force", LOG_STR("reason", why));
	process_notify("READY=1\nSTATUS=the last reload failed: see the log");
}

/* False: stop. */
static bool
on_signal(struct authd *app, const char *config_path, int signal)
{
	switch (signal) {
	case SIGHUP:
		reload(app, config_path);
		return true;
	case SIGUSR1:
		return true; /* the log is the standard error: there is no file to open again */
	case SIGTTIN:
	case SIGTTOU:
		log_info("signal without a meaning for authd: it has no workers", LOG_STR("signal", strsignal(signal)));
		return true;
	case SIGUSR2:
		if (app_rotate(app, JWS_ALG_NONE) == OK)
			log_info("signing keys rotated: the new ones are published and will sign once every cache has them");
		else
			log_error("signing keys could not be rotated");
		return true;
	default:
		log_info("stopping", LOG_STR("signal", strsignal(signal)));
		process_notify("STOPPING=1");
		return false;
	}
}

static void
run(struct authd *app, const char *config_path, int signals)
{
	struct pollfd p = { .fd = signals, .events = POLLIN };
	bool watchdog = process_watchdog_us() > 0;
	bool go_on = true;

	while (go_on) {
		int64_t wait_ms = app_tick(app);
		int signal;
		poll(&p, 1, (int)wait_ms);
		while (go_on && (signal = process_signal_next(signals)) != 0)
			go_on = on_signal(app, config_path, signal);
		if (watchdog)
			process_notify("WATCHDOG=1");
	}
}

static int
serve(const char *config_path)
{
	static const int wanted[] = { SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, 0 };
	struct authd app = { .clock = &clock_system, .rng = &rng_system };
	char why[WHY_BYTES] = "";
	uint32_t seed;
	int signals, rc = 1;

	if (process_signals(wanted, &signals) != OK || process_harden() != OK || rng_fill(&rng_system, &seed, sizeof seed) != OK) {
		fprintf(stderr, "authd: cannot set itself up: %m\n");
		return 1;
	}
	strict_json_seed(seed);
	process_raise_nofile();
	if (app_start(&app, config_path, why, sizeof why) == OK) {
		say_ready(&app, "authd ready");
		run(&app, config_path, signals);
		rc = 0;
	} else {
		log_error("authd does not start", LOG_STR("reason", why));
	}
	if (!app_stop(&app)) {
		log_error("some requests did not end in time: they are cut");
		_exit(1);
	}
	close(signals);
	if (rc == 0)
		log_info("authd stopped");
	return rc;
}

int
main(int argc, char **argv)
{
	log_setup("authd", 2, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	if (argc >= 2 && strcmp(argv[1], "ctl") == 0)
		return ctl_main(argc - 1, argv + 1);
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return fputs(authd_help, stdout) < 0 || fflush(stdout) != 0;
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return puts("authd " GATEHOUSE_VERSION) < 0 || fflush(stdout) != 0;
	if (argc == 3 && strcmp(argv[1], "--check") == 0)
		return check(argv[2]);
	if (argc != 2 || argv[1][0] == '-') {
		fputs(authd_usage, stderr);
		return 2;
	}
	return serve(argv[1]);
}
