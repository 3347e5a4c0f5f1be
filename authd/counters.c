#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "authd/counters.h"
#include "shared/openmetrics.h"

#define GRANTS_MAX 16
#define DURATIONS 10

#define LABELS(...) ((const struct openmetrics_label[]){ __VA_ARGS__, { NULL, SLICE_NONE } })
#define LABEL(name, text) { (name), slice_str(text) }

/* Milliseconds: an answer takes well under one, bcrypt fifty, a connector up to thirty seconds. */
static const uint64_t duration_bounds[DURATIONS] = { 1, 5, 10, 25, 50, 100, 250, 1000, 5000, 30000 };

struct durations {
	uint64_t counts[DURATIONS + 1], sum_ms;
};

/* Of a connector; what: a sign-in's result, or a call with its result. */
struct event {
	char connector[COUNTERS_LABEL_BYTES_MAX + 1];
	const char *call, *result; /* call NULL: a sign-in */
	uint64_t n;
};
struct upstream {
	char connector[COUNTERS_LABEL_BYTES_MAX + 1];
	struct durations durations;
};
struct grant {
	const char *name;
	uint64_t n;
};
struct code {
	int status; /* 0: the rest */
	const char *method;
	uint64_t n;
};
struct route {
	const char *path;
	struct code codes[COUNTERS_CODES_MAX];
	size_t code_n;
	struct durations durations;
};

#define UPSTREAMS_MAX 128

struct counters {
	pthread_mutex_t lock;
	struct event events[COUNTERS_LABELS_MAX];
	size_t event_n;
	struct upstream upstreams[UPSTREAMS_MAX];
	size_t upstream_n;
	struct grant grants[GRANTS_MAX];
	size_t grant_n;
	struct route routes[COUNTERS_ROUTES_MAX];
	size_t route_n;
	uint64_t reloads[2]; /* failed, succeeded */
	struct counters_failing failing;
};

struct counters *
counters_new(void)
{
	struct counters *m = calloc(1, sizeof(*m));

	if (m)
		pthread_mutex_init(&m->lock, NULL);
	return m;
}

void
counters_free(struct counters *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* ---- counting ---- */

static void
duration_count(struct durations *d, uint64_t ms)
{
	size_t i = 0;

	while (i < DURATIONS && ms > duration_bounds[i])
		i++;
	d->counts[i]++;
	d->sum_ms += ms;
}

/* The same literal may stand at two addresses. */
static bool
same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static struct event *
event_find(struct counters *m, struct slice connector, const char *call, const char *result)
{
	struct event *p = m->events;

	for (; p < m->events + m->event_n; p++)
		if (same(p->result, result) && same(p->call, call) && slice_eq_str(connector, p->connector))
			return p;
	if (m->event_n == COUNTERS_LABELS_MAX || connector.n > COUNTERS_LABEL_BYTES_MAX)
		return NULL;
	memcpy(p->connector, connector.p, connector.n);
	p->call = call;
	p->result = result;
	m->event_n++;
	return p;
}

/* More connectors than a configuration has: what they did, together. */
static void
event_count(struct counters *m, struct slice connector, const char *call, const char *result)
{
	struct event *p = event_find(m, connector, call, result);

	if (!p)
		p = event_find(m, SLICE_LIT("other"), call, result);
	if (p)
		p->n++;
}

void
counters_login(struct counters *m, struct slice connector, const char *result)
{
	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	event_count(m, connector, NULL, result);
	pthread_mutex_unlock(&m->lock);
}

static struct upstream *
upstream_find(struct counters *m, struct slice connector)
{
	struct upstream *u = m->upstreams;

	if (connector.n > COUNTERS_LABEL_BYTES_MAX)
		connector = SLICE_LIT("other");
	for (; u < m->upstreams + m->upstream_n; u++)
		if (slice_eq_str(connector, u->connector))
			return u;
	if (m->upstream_n == UPSTREAMS_MAX)
		return NULL;
	memcpy(u->connector, connector.p, connector.n);
	m->upstream_n++;
	return u;
}

void
counters_upstream(struct counters *m, struct slice connector, const char *call, const char *result, uint64_t ms)
{
	struct upstream *u;

	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	event_count(m, connector, call, result);
	u = upstream_find(m, connector);
	if (u)
		duration_count(&u->durations, ms);
	pthread_mutex_unlock(&m->lock);
}

void
counters_tokens(struct counters *m, const char *grant)
{
	size_t i = 0;

	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	while (i < m->grant_n && !same(m->grants[i].name, grant))
		i++;
	if (i < GRANTS_MAX) {
		m->grants[i].name = grant;
		m->grants[i].n++;
		m->grant_n += i == m->grant_n;
	}
	pthread_mutex_unlock(&m->lock);
}

static struct route *
route_find(struct counters *m, const char *path)
{
	struct route *r = m->routes;

	for (; r < m->routes + m->route_n; r++)
		if (same(r->path, path))
			return r;
	if (m->route_n == COUNTERS_ROUTES_MAX)
		return NULL;
	r->path = path;
	m->route_n++;
	return r;
}

static void
code_count(struct route *r, const char *method, int status)
{
	struct code *c = r->codes, *last = r->codes + COUNTERS_CODES_MAX - 1;

	while (c < r->codes + r->code_n && c < last && (c->status != status || !same(c->method, method)))
		c++;
	if (c == r->codes + r->code_n) {
		c->status = c == last ? 0 : status;
		c->method = c == last ? "other" : method;
		r->code_n++;
	}
	c->n++;
}

void
counters_request(struct counters *m, const char *route, const char *method, int status, uint64_t ms)
{
	struct route *r;

	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	r = route_find(m, route ? route : "none");
	if (r) {
		duration_count(&r->durations, ms);
		code_count(r, method, status);
	}
	pthread_mutex_unlock(&m->lock);
}

void
counters_reload(struct counters *m, bool succeeded)
{
	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	m->reloads[succeeded]++;
	pthread_mutex_unlock(&m->lock);
}

struct counters_failing
counters_health(struct counters *m, bool healthy, int64_t now_s)
{
	struct counters_failing result = { 0, 0 };

	if (!m)
		return result;
	pthread_mutex_lock(&m->lock);
	if (healthy)
		m->failing = result;
	else if (m->failing.n++ == 0)
		m->failing.since_s = now_s;
	result = m->failing;
	pthread_mutex_unlock(&m->lock);
	return result;
}

/* ---- printing ---- */

static void
print_codes(const struct route *r, struct buf *out)
{
	char code[16];

	for (size_t i = 0; i < r->code_n; i++) {
		const struct code *c = &r->codes[i];
		snprintf(code, sizeof(code), "%d", c->status);
		openmetrics_uint(out, "gatehouse_http_requests", "_total",
			LABELS(LABEL("route", r->path), LABEL("method", c->method), LABEL("code", c->status ? code : "other")), c->n);
	}
}

static void
print_requests(const struct counters *m, struct buf *out)
{
	static const char duration[] = "gatehouse_http_request_duration_seconds";

	openmetrics_family(out, "gatehouse_http_requests", "counter", NULL, "Requests answered, by route, method and status.");
	for (size_t i = 0; i < m->route_n; i++)
		print_codes(&m->routes[i], out);
	openmetrics_family(out, duration, "histogram", "seconds", "From the request line until the answer was given, by route.");
	for (size_t i = 0; i < m->route_n; i++)
		openmetrics_histogram(out, duration, LABELS(LABEL("route", m->routes[i].path)), duration_bounds, m->routes[i].durations.counts, DURATIONS,
			m->routes[i].durations.sum_ms, 3);
}

static void
print_logins(const struct counters *m, struct buf *out)
{
	openmetrics_family(out, "gatehouse_logins", "counter", NULL, "Sign-ins that ended, by connector and result.");
	for (const struct event *e = m->events; e < m->events + m->event_n; e++)
		if (!e->call)
			openmetrics_uint(out, "gatehouse_logins", "_total", LABELS(LABEL("connector", e->connector), LABEL("result", e->result)), e->n);
	openmetrics_family(out, "gatehouse_tokens_issued", "counter", NULL, "Answers with tokens, by grant; session: proxyd's, for a browser.");
	for (size_t i = 0; i < m->grant_n; i++)
		openmetrics_uint(out, "gatehouse_tokens_issued", "_total", LABELS(LABEL("grant", m->grants[i].name)), m->grants[i].n);
}

static void
print_upstreams(const struct counters *m, struct buf *out)
{
	static const char duration[] = "gatehouse_upstream_call_duration_seconds";

	openmetrics_family(out, "gatehouse_upstream_calls", "counter", NULL, "Calls to connectors' upstreams, by result; all but answered are errors.");
	for (const struct event *e = m->events; e < m->events + m->event_n; e++)
		if (e->call)
			openmetrics_uint(out, "gatehouse_upstream_calls", "_total",
				LABELS(LABEL("connector", e->connector), LABEL("call", e->call), LABEL("result", e->result)), e->n);
	openmetrics_family(out, duration, "histogram", "seconds", "How long calls to connectors' upstreams took.");
	for (size_t i = 0; i < m->upstream_n; i++)
		openmetrics_histogram(out, duration, LABELS(LABEL("connector", m->upstreams[i].connector)), duration_bounds, m->upstreams[i].durations.counts,
			DURATIONS, m->upstreams[i].durations.sum_ms, 3);
}

void
counters_print(struct counters *m, struct buf *out)
{
	if (!m)
		return;
	pthread_mutex_lock(&m->lock);
	print_logins(m, out);
	print_upstreams(m, out);
	print_requests(m, out);
	openmetrics_family(out, "gatehouse_config_reloads", "counter", NULL, "Reloads of the configuration, by result.");
	for (size_t i = 0; i < 2; i++)
		openmetrics_uint(out, "gatehouse_config_reloads", "_total", LABELS(LABEL("result", i ? "succeeded" : "failed")), m->reloads[i]);
	pthread_mutex_unlock(&m->lock);
}
