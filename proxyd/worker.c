#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include "proxyd/acceptor.h"
#include "proxyd/client.h"
#include "proxyd/confine.h"
#include "proxyd/control.h"
#include "proxyd/credentials.h"
#include "proxyd/exchange.h"
#include "proxyd/lasting.h"
#include "proxyd/line_pipe.h"
#include "proxyd/route.h"
#include "proxyd/reviews.h"
#include "proxyd/session_client.h"
#include "proxyd/worker.h"
#include "shared/log.h"
#include "shared/process.h"

#define OWNER(type, member, p) ((type *)((char *)(p) - offsetof(type, member)))

#define WANT_KEYS_EVERY_MS 1000

struct worker {
	const struct worker_start *start;
	struct gateway gateway;
	struct line_pipe log, audit; /* to the logger */
	struct upstream *authd; /* asked about sessions */
	struct acceptor *acceptor;
	struct loop_watch control;
	struct loop_timer drain, want_keys;
	uint64_t requests_until_ms, tunnels_until_ms; /* of a drain */
	uint64_t keys_wanted_ms; /* when master was told last */
	struct tls_error why;    /* of a start that failed */
};

static void on_control(struct loop_watch *w, uint32_t events);

static void
on_client_gone(struct gateway *g, const struct client *c)
{
	struct worker *w = OWNER(struct worker, gateway, g);

	(void)c;
	if (g->draining) {
		if (g->client_n == 0)
			loop_stop(g->loop);
	} else {
		acceptor_look(w->acceptor);
	}
}

/* ---- master ---- */

static void
serve(struct worker *w)
{
	w->gateway.send_away = 0;
	acceptor_resume(w->acceptor);
}

/* The others may be a program that is to prove itself: where all clients keep their connections, one comes to it from here. */
static void
pause_accepting(struct worker *w)
{
	w->gateway.send_away = 1;
	acceptor_pause(w->acceptor);
}

/* Connections go on until they are through. HTTP/1.1: each next request is answered with Connection: close, and idle ones stay until they send it,
 * or the end: closing them now could cross with a request that is on its way. HTTP/2 has GOAWAY for that. */
static void
begin_drain(struct worker *w)
{
	struct gateway *g = &w->gateway;

	acceptor_close(w->acceptor);
	g->draining = true;
	process_title_set("proxyd: worker %u (generation %u, draining)", w->start->index, w->start->generation);
	log_info("draining", LOG_UINT("connections", g->client_n));
	client_drain_all(g);
}

/* Master may change its mind about how long, once it is to end itself; never to later. */
static uint64_t
sooner(uint64_t until_ms, uint64_t now_ms, uint32_t within_ms)
{
	return until_ms && until_ms < now_ms + within_ms ? until_ms : now_ms + within_ms;
}

static void
drain(struct worker *w, uint32_t within_ms)
{
	struct gateway *g = &w->gateway;
	uint64_t now = loop_now_ms(g->loop);

	w->requests_until_ms = sooner(w->requests_until_ms, now, within_ms);
	uint64_t left_ms = w->requests_until_ms > now ? w->requests_until_ms - now : 0; /* 0: tunnels are to hurry */
	if (!g->draining)
		begin_drain(w);
	lasting_drain(g, left_ms);
	if (g->client_n == 0 || loop_timer_set(g->loop, &w->drain, left_ms))
		loop_stop(g->loop);
}

static void
tell_lingers(struct worker *w, uint64_t seconds)
{
	enum err err = control_send(w->start->control_fd, CONTROL_LINGERS, 0, "", -1);

	log_info("tunnels go on", LOG_UINT("connections", w->gateway.client_n), LOG_UINT("seconds", seconds));
	if (err)
		log_warn("master not told that tunnels go on", LOG_STR("reason", err_name(err)));
}

/* Whoever asks for a page or a list has had the time for it; people who sit before a shell have more. */
static void
on_drain_over(struct loop_timer *t)
{
	struct worker *w = OWNER(struct worker, drain, t);
	struct gateway *g = &w->gateway;
	uint64_t now = loop_now_ms(g->loop);

	log_info("drain is over", LOG_UINT("connections", g->client_n));
	if (w->tunnels_until_ms > now) {
		g->stopping = true;
		client_close_most(g);
		g->stopping = false;
	}
	if (w->tunnels_until_ms <= now || g->client_n == 0 || loop_timer_set(g->loop, &w->drain, w->tunnels_until_ms - now))
		loop_stop(g->loop);
	else
		tell_lingers(w, (w->tunnels_until_ms - now) / 1000);
}

static void
take_keycache(struct worker *w, int fd)
{
	struct keycache *kc;
	enum err err = keycache_open(fd, &kc);

	close(fd);
	if (err) {
		log_error("key cache not usable", LOG_STR("reason", err_name(err)));
		return;
	}
	authenticator_set_keycache(w->gateway.authenticator, kc);
	lasting_look(&w->gateway);
}

static void
take_credential(struct worker *w, size_t cluster, int fd)
{
	struct buf token;

	buf_init(&token, KUBECONFIG_TOKEN_BYTES_MAX);
	enum err err = credentials_unwrap(fd, &token);
	if (!err)
		err = route_set_token(w->gateway.router, cluster, buf_slice(&token));
	buf_fini_secret(&token);
	if (err)
		log_error("cluster's new token not usable", LOG_UINT("cluster", cluster), LOG_STR("reason", err_name(err)));
}

static void
on_control(struct loop_watch *watch, uint32_t events)
{
	struct worker *w = OWNER(struct worker, control, watch);
	struct control_message m;
	enum err err;
	int fd;

	(void)events;
	while ((err = control_receive(watch->fd, &m, &fd)) == OK) {
		if (m.kind == CONTROL_KEYCACHE && fd >= 0) {
			take_keycache(w, fd);
			fd = -1;
		} else if (m.kind == CONTROL_CREDENTIAL && fd >= 0) {
			take_credential(w, m.value, fd);
		} else if (m.kind == CONTROL_SERVE) {
			serve(w);
		} else if (m.kind == CONTROL_PAUSE) {
			pause_accepting(w);
		} else if (m.kind == CONTROL_TUNNELS) {
			w->tunnels_until_ms = sooner(w->tunnels_until_ms, loop_now_ms(w->gateway.loop), m.value);
		} else if (m.kind == CONTROL_ENDED) {
			lasting_look(&w->gateway);
		} else if (m.kind == CONTROL_DRAIN) {
			drain(w, m.value);
		} else if (m.kind == CONTROL_STOP) {
			loop_stop(w->gateway.loop);
		}
		if (fd >= 0)
			close(fd);
	}
	if (err != E_AGAIN) {
		log_info("master is gone", LOG_STR("reason", err_name(err)));
		loop_stop(w->gateway.loop);
	}
}

static void
tell_keys_wanted(struct worker *w)
{
	w->keys_wanted_ms = loop_now_ms(w->gateway.loop);
	enum err err = control_send(w->start->control_fd, CONTROL_WANT_KEYS, 0, "", -1);
	if (err)
		log_warn("master not told of an unknown key", LOG_STR("reason", err_name(err)));
}

static void
served(struct gateway *g)
{
	enum err err = control_send(OWNER(struct worker, gateway, g)->start->control_fd, CONTROL_SERVED, 0, "", -1);

	if (err)
		log_warn("master not told of the first answer", LOG_STR("reason", err_name(err)));
}

static void
on_want_keys(struct loop_timer *t)
{
	tell_keys_wanted(OWNER(struct worker, want_keys, t));
}

/* At once, and then at most once in a while. */
static void
keys_wanted(struct gateway *g)
{
	struct worker *w = OWNER(struct worker, gateway, g);
	uint64_t since = loop_now_ms(g->loop) - w->keys_wanted_ms;

	if (w->want_keys.heap_index)
		return;
	if (since >= WANT_KEYS_EVERY_MS)
		tell_keys_wanted(w);
	else if (loop_timer_set(g->loop, &w->want_keys, WANT_KEYS_EVERY_MS - since))
		log_warn("no memory for a timer");
}

/* ---- start ---- */

static enum err
sessions_init(struct worker *w)
{
	struct gateway *g = &w->gateway;
	const struct proxyd_config *config = g->config;
	const struct upstream_options o = { .name = "authd", .addresses = &config->session_socket, .address_n = 1,
		.connect_timeout_ms = SESSION_TIMEOUT_MS, .idle_timeout_ms = (uint64_t)config->limits.upstream_idle_timeout_ms };

	if (!config->session_jwt || config->session_socket.len == 0)
		return OK;
	enum err err = upstream_new(g->loop, &o, &w->authd);
	if (err)
		return err;
	const struct session_client_options so = { .loop = g->loop, .authenticator = g->authenticator, .blocks = &g->blocks, .authd = w->authd,
		.cookie_name = config->authentication.session.cookie_name, .audiences = &config->id_token_audiences };
	g->sessions = session_client_new(&so);
	return g->sessions ? OK : E_NOMEM;
}

/* A line of the log, from anywhere in this process. What is more than news should not be lost if we are about to crash. */
static void
take_line(void *arg, enum log_level level, struct slice line)
{
	line_pipe_add(arg, line, level >= LOG_LEVEL_WARN);
}

static void
logs_start(struct worker *w)
{
	line_pipe_init(&w->log, w->gateway.loop, w->start->log_fd, "log");
	line_pipe_init(&w->audit, w->gateway.loop, w->start->audit_fd, "audit");
	if (line_pipe_is_open(&w->log))
		log_set_sink(take_line, &w->log);
	if (line_pipe_is_open(&w->audit))
		w->gateway.audit = &w->audit;
}

static void
logs_count(struct worker *w)
{
	_Atomic uint64_t *values = w->gateway.metrics->values;

	w->log.count_dropped = &values[METRIC_LOG_DROPPED];
	w->log.count_queued = &values[METRIC_LOG_QUEUED];
	w->audit.count_dropped = &values[METRIC_AUDIT_DROPPED];
	w->audit.count_queued = &values[METRIC_AUDIT_QUEUED];
}

static void
logs_end(struct worker *w)
{
	log_set_sink(NULL, NULL);
	line_pipe_fini(&w->log);
	line_pipe_fini(&w->audit);
}

static enum err
gateway_start(struct worker *w)
{
	struct gateway *g = &w->gateway;
	const struct worker_start *s = w->start;
	enum err err;

	g->metrics = s->metrics;

	snprintf(w->why.text, sizeof(w->why.text), "out of memory or descriptors");
	g->config = s->config;
	g->clock = s->clock;
	g->on_client_gone = on_client_gone;
	g->on_keys_wanted = keys_wanted;
	g->on_served = served;
	if (!(g->loop = loop_new(s->clock)))
		return E_NOMEM;
	logs_start(w);
	if (g->metrics)
		logs_count(w);
	if (!(g->authenticator = authenticator_new(s->config, s->clock)))
		return E_NOMEM;
	if ((err = gateway_init(g)) || (err = sessions_init(w)) || (err = reviews_init(g)) ||
		(err = router_new(g->loop, s->config, &g->router, &w->why)))
		return err;
	router_set_metrics(g->router, g->metrics);
	if (w->authd)
		upstream_set_metrics(w->authd, metrics_target(g->metrics, ""));
	return acceptor_new(g, s->listen_fds, s->ticket_secret, &w->acceptor, &w->why);
}

static void
add_destination(void *arg, const struct upstream *u)
{
	size_t n;
	const struct address *addresses = upstream_addresses(u, &n);

	confine_add(arg, addresses, n);
}

/* From here on this process opens nothing, starts nothing and connects to its upstreams only. */
static enum err
confine(struct worker *w)
{
	struct confine_destinations d = { .port_n = 0 };

	router_each_upstream(w->gateway.router, add_destination, &d);
	if (w->authd)
		add_destination(&d, w->authd);
	enum err err = confine_worker(&d);
	if (err)
		snprintf(w->why.text, sizeof(w->why.text), "the process cannot be confined: %s", err == E_SYSTEM ? strerrordesc_np(errno) : err_name(err));
	return err;
}

static enum err
run(struct worker *w)
{
	struct gateway *g = &w->gateway;
	enum err err;

	snprintf(w->why.text, sizeof(w->why.text), "out of memory or descriptors");
	w->control.fd = w->start->control_fd;
	w->control.on_event = on_control;
	if ((err = loop_add(g->loop, &w->control, EPOLLIN)) || (w->start->serve && (err = acceptor_start(w->acceptor))))
		return err;
	err = control_send(w->start->control_fd, CONTROL_READY, 0, "", -1);
	return err ? err : loop_run(g->loop);
}

static void
worker_fini(struct worker *w)
{
	struct gateway *g = &w->gateway;

	g->on_client_gone = NULL;
	g->stopping = true;
	for (struct client *c = g->clients; c; c = c->next)
		transport_end(&c->transport);
	client_close_all(g);
	session_client_free(g->sessions);
	reviews_fini(g);
	upstream_free(w->authd);
	router_free(g->router);
	acceptor_free(w->acceptor);
	logs_end(w);
	loop_free(g->loop);
	gateway_fini(g);
	authenticator_free(g->authenticator);
}

int
worker_run(const struct worker_start *start)
{
	struct worker w = { .start = start, .log.watch.fd = -1, .audit.watch.fd = -1, .drain.on_due = on_drain_over, .want_keys.on_due = on_want_keys };
	enum err err = gateway_start(&w);
	if (err == OK) {
		if (start->keycache_fd >= 0)
			take_keycache(&w, start->keycache_fd);
		err = confine(&w);
	}
	if (err == OK) {
		err = run(&w);
	}
	if (err) {
		log_error("worker does not run", LOG_STR("reason", w.why.text), LOG_STR("error", err_name(err)));
		if (control_send(start->control_fd, CONTROL_FAILED, 0, w.why.text, -1))
			log_warn("master not told");
	}
	worker_fini(&w);
	return err ? 1 : 0;
}
