#include <stdlib.h>
#include <time.h>
#include "proxyd/access_log.h"
#include "proxyd/audit_event.h"
#include "proxyd/exchange_state.h"
#include "proxyd/kube_request.h"
#include "proxyd/line_pipe.h"
#include "proxyd/metrics.h"
#include "shared/log.h"

#define RESOURCE_BYTES_MAX 512

struct access_kept {
	struct slice path, query, user_agent; /* into bytes */
	char bytes[];
};

/* A request as far as it is still known. */
struct view {
	struct slice method, path, query, user_agent;
};

static struct slice
user_agent(const struct http_head *h)
{
	const struct http_header *f = http_head_find(h, FIELD_USER_AGENT);

	return f ? f->value : SLICE_NONE;
}

static struct slice
put(char **to, struct slice s)
{
	struct slice copy = { *to, s.n };

	if (!s.p)
		return s;
	memcpy(*to, s.p, s.n);
	*to += s.n;
	return copy;
}

void
access_log_keep(struct exchange *x)
{
	const struct http_head *h = &x->request->head;
	struct slice agent = x->gateway->audit ? user_agent(h) : SLICE_NONE;
	struct access_kept *k = malloc(sizeof(*k) + h->path.n + h->query.n + agent.n);

	if (!k)
		return; /* a line without a path */
	char *to = k->bytes;
	k->path = put(&to, h->path);
	k->query = put(&to, h->query);
	k->user_agent = put(&to, agent);
	x->kept = k;
}

void
access_log_answered(struct exchange *x, const struct http_head *answer)
{
	const struct http_header *f;

	x->answered_ms = loop_now_ms(x->gateway->loop);
	if (!x->gateway->audit || !(f = http_head_find_name(answer, "Audit-Id")))
		return;
	if (f->value.n && f->value.n <= sizeof(x->audit_id)) {
		memcpy(x->audit_id, f->value.p, f->value.n);
		x->audit_id_n = (uint8_t)f->value.n;
	}
}

static struct view
view_of(const struct exchange *x)
{
	static const char *const methods[] = { "OTHER", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE" };
	const struct http_head *h = x->request ? &x->request->head : NULL;

	if (h)
		return (struct view){ h->method_text, h->path, h->query, user_agent(h) };
	if (x->kept)
		return (struct view){ slice_str(methods[x->method]), x->kept->path, x->kept->query, x->kept->user_agent };
	return (struct view){ slice_str(methods[x->method]), SLICE_NONE, SLICE_NONE, SLICE_NONE };
}

static struct slice
cluster_path(const struct exchange *x, struct slice path)
{
	size_t prefix = x->to->forward.strip_prefix.n;

	return prefix <= path.n ? slice_of(path.p + prefix, path.n - prefix) : SLICE_LIT("");
}

/* "pods", "pods/log", "deployments.apps/scale": as kubectl and RBAC's messages write them. .p NULL: none, or longer than anybody's. */
static struct slice
resource_text(const struct kube_request *k, char out[RESOURCE_BYTES_MAX])
{
	char *to = out;

	if (!k->is_resource || k->resource.n + k->group.n + k->subresource.n + 2 > RESOURCE_BYTES_MAX)
		return SLICE_NONE;
	put(&to, k->resource);
	if (k->group.n) {
		*to++ = '.';
		put(&to, k->group);
	}
	if (k->subresource.n) {
		*to++ = '/';
		put(&to, k->subresource);
	}
	return slice_of(out, (size_t)(to - out));
}

static struct slice
if_any(struct slice s)
{
	return s.n ? s : SLICE_NONE;
}

/* A field that is left out when it does not apply. */
static struct log_field
uint_field(const char *key, uint64_t v, bool applies)
{
	return applies ? LOG_UINT(key, v) : LOG_STR(key, NULL);
}

static void
write_line(const struct exchange *x, const struct view *v, const struct kube_request *k)
{
	const struct identity *who = x->principal ? &x->principal->identity : NULL;
	uint64_t now_ms = loop_now_ms(x->gateway->loop);
	char resource[RESOURCE_BYTES_MAX], ip[IP_TEXT_MAX];

	log_info("request", LOG_SLICE("method", v->method), LOG_SLICE("path", v->path), LOG_STR("verb", k ? kube_verb_name(k->verb) : NULL),
		LOG_SLICE("resource", k ? resource_text(k, resource) : SLICE_NONE), LOG_SLICE("namespace", k ? if_any(k->namespace) : SLICE_NONE),
		LOG_SLICE("name", k ? if_any(k->name) : SLICE_NONE), LOG_UINT("status", x->status),
		LOG_SLICE("user", who ? who->username : SLICE_NONE), uint_field("groups", who ? who->group_n : 0, who != NULL),
		LOG_STR("how", who ? identity_how_name(who->how) : NULL), LOG_SLICE("as", x->as ? x->as->target.username : SLICE_NONE), LOG_STR(k ? "cluster" : "route", x->to ? x->to->name : NULL),
		LOG_SLICE("client", exchange_client_ip(x, ip)), LOG_UINT("bytes_in", x->bytes_up), LOG_UINT("bytes_out", x->bytes_down),
		LOG_UINT("ms", now_ms - x->started_ms), uint_field("upstream_ms", x->answered_ms - x->forwarded_ms, x->answered_ms && x->forwarded_ms),
		LOG_STR("reason", x->why), LOG_SLICE("request_id", exchange_id(x)));
}

static int64_t
wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* What goes to authd is authd's to record; queries there hold codes. */
static void
write_event(const struct exchange *x, const struct view *v, const struct kube_request *k)
{
	int64_t now_us = wall_us();
	char ip[IP_TEXT_MAX];
	struct line_pipe *events = x->gateway->audit;
	const struct audit_event e = {
		.id = x->audit_id_n ? slice_of(x->audit_id, x->audit_id_n) : exchange_id(x),
		.path = v->path,
		.query = k ? v->query : SLICE_NONE,
		.verb = k ? kube_verb_name(k->verb) : NULL,
		.method = v->method,
		.object = k && k->is_resource ? k : NULL,
		.user = x->principal ? &x->principal->identity : NULL,
		.impersonated = x->as && x->as->headers.n ? &x->as->target : NULL,
		.client_ip = exchange_client_ip(x, ip),
		.user_agent = v->user_agent,
		.code = x->status,
		.own_answer = x->status && !x->answered_ms,
		.received_us = now_us - (int64_t)(loop_now_ms(x->gateway->loop) - x->started_ms) * 1000,
		.finished_us = now_us,
		.cluster = k ? x->to->name : NULL,
		.why = x->why,
		.request_id = exchange_id(x),
	};

	audit_event_write(&e, line_pipe_begin(events));
	line_pipe_end(events, false);
}

/* What is meant to last says nothing about how fast anything is. */
static bool
is_lasting(const struct exchange *x, const struct kube_request *k)
{
	if (x->upgrade != UPGRADE_NONE || (k && (k->verb == KUBE_WATCH || k->verb == KUBE_PROXY)))
		return true;
	return k && (slice_eq_str(k->subresource, "log") || slice_eq_str(k->subresource, "proxy"));
}

/* As the verbs of requests for no resource. */
static enum kube_verb
method_verb(enum http_method method)
{
	static const enum kube_verb verbs[] = { [METHOD_GET] = KUBE_GET, [METHOD_HEAD] = KUBE_HEAD, [METHOD_POST] = KUBE_POST, [METHOD_PUT] = KUBE_PUT,
		[METHOD_PATCH] = KUBE_PATCH, [METHOD_DELETE] = KUBE_DELETE, [METHOD_OPTIONS] = KUBE_OPTIONS };

	return method != METHOD_OTHER && method < sizeof(verbs) / sizeof(verbs[0]) ? verbs[method] : KUBE_OTHER;
}

static void
count(const struct exchange *x, const struct kube_request *k)
{
	struct metrics_target *t = x->to && x->to->metrics ? x->to->metrics : &x->gateway->metrics->targets[0];

	metrics_request(t, k ? k->verb : method_verb(x->method), x->status);
	if (!is_lasting(x, k))
		metrics_time(&t->duration, loop_now_ms(x->gateway->loop) - x->started_ms);
	if (x->answered_ms && x->forwarded_ms)
		metrics_time(&t->first_byte, x->answered_ms - x->forwarded_ms);
}

void
access_log_write(struct exchange *x)
{
	bool line = log_level_get() <= LOG_LEVEL_INFO, event = x->gateway->audit && !(x->to && x->to->forward.kind == FORWARD_AUTHD);
	bool cluster = x->to && x->to->forward.kind == FORWARD_CLUSTER;
	struct kube_request k;

	struct view v = view_of(x);
	if (cluster)
		kube_request_parse(x->method, cluster_path(x, v.path), v.query, &k);
	count(x, cluster ? &k : NULL);
	if (line)
		write_line(x, &v, cluster ? &k : NULL);
	if (event)
		write_event(x, &v, cluster ? &k : NULL);
}
