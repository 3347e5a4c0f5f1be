#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "proxyd/client.h"
#include "proxyd/exchange_state.h"
#include "proxyd/relay.h"
#include "shared/log.h"

static void on_connected(struct upstream_call *call);
static void on_upstream_failed(struct upstream_call *call, enum upstream_failure failure, const char *why);
static void on_upstream_ready(struct upstream_call *call);
static bool has_turn(struct upstream_call *call);
static void on_timer(struct loop_timer *t);
static void on_turn(struct turn *t);
static void conclude(struct exchange *x, enum relay r);

#define BODY_WINDOW_MS 10000 /* over which limits.bodyRate is measured */
/* A step of a new connection to an upstream: half of a TLS handshake's 200 us and more, above the unit of any event. */
#define DIAL_UNITS 8
#define OWNER(type, member, p) ((type *)((char *)(p) - offsetof(type, member)))

/* ---- life ---- */

struct request *
request_get(struct gateway *g)
{
	struct request *r = g->requests;

	if (!r)
		return malloc(sizeof(*r));
	g->requests = r->next;
	g->request_free_n--;
	return r;
}

void
request_put(struct gateway *g, struct request *r)
{
	if (!r)
		return;
	if (g->request_free_n >= GATEWAY_FREE_MAX) {
		free(r);
		return;
	}
	r->next = g->requests;
	g->requests = r;
	g->request_free_n++;
}

static void
put_hex(char out[8], uint32_t v)
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 7; i >= 0; i--, v >>= 4)
		out[i] = hex[v & 15];
}

struct exchange *
exchange_new(struct gateway *g, const struct front_ops *ops, void *front, const struct front_context *context, struct request *request)
{
	struct exchange *x = g->exchanges;

	if (x) {
		g->exchanges = x->next;
		g->exchange_free_n--;
	} else if (!(x = malloc(sizeof(*x)))) {
		request_put(g, request);
		return NULL;
	}
	/* All but the last member, which http_chunk_init or tunnel_init prepares where it is used. */
	memset(x, 0, offsetof(struct exchange, down_chunk));
	x->gateway = g;
	x->ops = ops;
	x->front = front;
	x->context = context;
	x->address = context->address;
	x->request = request;
	x->method = request->head.method;
	x->upgrade = request->head.upgrade;
	x->wait.on_answer = admission_on_session;
	x->review.on_answer = admission_on_token_review;
	x->call.on_connected = on_connected;
	x->call.on_failed = on_upstream_failed;
	x->call.on_ready = on_upstream_ready;
	x->call.has_turn = has_turn;
	x->timer.on_due = on_timer;
	x->turn.run = on_turn;
	put_hex(x->id, g->id_prefix);
	put_hex(x->id + 8, g->id_counter++);
	x->started_ms = x->moved_ms = loop_now_ms(g->loop);
	return x;
}

void
exchange_free_lists(struct gateway *g)
{
	while (g->exchanges) {
		struct exchange *x = g->exchanges;
		g->exchanges = x->next;
		free(x);
	}
	while (g->requests) {
		struct request *r = g->requests;
		g->requests = r->next;
		free(r);
	}
	g->exchange_free_n = g->request_free_n = 0;
}

void *
exchange_front(const struct exchange *x)
{
	return x->front;
}

struct request *
exchange_request(const struct exchange *x)
{
	return x->request;
}

struct slice
exchange_client_ip(const struct exchange *x, char text[IP_TEXT_MAX])
{
	return x->address == x->forwarded_ip.bytes ? slice_str(ip_format(&x->forwarded_ip, text)) : x->context->client_ip;
}

struct slice
exchange_id(const struct exchange *x)
{
	return slice_of(x->id, sizeof(x->id));
}

/* What a pod behind a proxy subresource, or anything else in a cluster, shows to a browser that came with a cookie or a certificate would be a page of this origin: its
 * scripts could ask for whatever the visitor may. */
static bool
is_foreign_page(const struct exchange *x)
{
	return x->to && x->to->forward.kind == FORWARD_CLUSTER && x->principal &&
		(x->principal->identity.how == IDENTITY_SESSION || x->principal->identity.how == IDENTITY_CLIENT_CERTIFICATE);
}

void
exchange_describe(const struct exchange *x, struct response_context *c)
{
	c->sandbox = is_foreign_page(x);
	c->request_id = exchange_id(x);
	c->hsts = exchange_wants_hsts(x);
	c->session_cookie = SLICE_LIT("");
	if (x->to && x->to->forward.kind != FORWARD_AUTHD)
		c->session_cookie = x->to->forward.session_cookie;
}

/* "cluster a: connection refused" */
static void
answer_upstream(struct exchange *x, unsigned code, const char *why)
{
	char message[256];
	bool cluster = x->to->forward.kind == FORWARD_CLUSTER;

	log_warn("upstream failed", LOG_STR("upstream", x->to->name), LOG_STR("reason", why), LOG_SLICE("request_id", exchange_id(x)));
	snprintf(message, sizeof(message), "%s %s: %s", cluster ? "cluster" : "the service behind", x->to->name, why);
	exchange_answer(x, code, message);
}

/* Of connect(2). A unix socket is made by the program behind it. */
static const char *
refusal(int error)
{
	return error == ENOENT ? "its socket is not there: is it running?" : strerrordesc_np(error);
}

static void
connect_upstream(struct exchange *x, bool fresh)
{
	x->forwarded_ms = loop_now_ms(x->gateway->loop);
	/* What is asked for again does without others' company. */
	enum err err = !fresh && lasting_will_watch(x) ? upstream_start_stream(x->to->upstream, &x->call) : upstream_start(x->to->upstream, &x->call, fresh);

	if (err == OK) {
		x->phase = EXCHANGE_RELAYING;
		conclude(x, relay_start(x));
	} else if (err == E_AGAIN) {
		x->phase = EXCHANGE_CONNECTING;
	} else {
		answer_upstream(x, 502, err == E_EMPTY ? "its name does not resolve" : err == E_SYSTEM ? refusal(errno) : "out of memory");
	}
}

void
exchange_forward(struct exchange *x)
{
	/* What an upgrade leaves on a connection is nobody else's; nor may it meet a stale one, for it is never sent twice.
	 * On this machine a new connection costs a few microseconds: what must not be sent twice never meets a stale one there. */
	bool safe = x->method == METHOD_GET || x->method == METHOD_HEAD || x->method == METHOD_OPTIONS;

	connect_upstream(x, x->upgrade != UPGRADE_NONE || (!safe && x->to->local));
}

/* ---- the course of things ---- */

void
exchange_start(struct exchange *x)
{
	metrics_add(&x->gateway->metrics->values[METRIC_REQUESTS_OPEN], 1);
	x->lane = x->context->client ? x->context->client->lane : turns_newcomers(x->gateway->turns);
	admission_start(x);
}

void
exchange_charge(struct exchange *x, uint64_t bytes_before)
{
	turns_charge(x->gateway->turns, x->lane, (size_t)((x->bytes_up + x->bytes_down - bytes_before) / TURNS_UNIT_BYTES));
}

static void
relay(struct exchange *x)
{
	uint64_t before = x->bytes_up + x->bytes_down;
	enum relay r = relay_run(x);

	exchange_charge(x, before);
	conclude(x, r);
}

/* Whatever moves bytes now. */
static void
run(struct exchange *x)
{
	if (x->phase == EXCHANGE_RELAYING)
		relay(x);
	else if (x->phase == EXCHANGE_TUNNEL)
		exchange_run_tunnel(x);
	else if (x->phase == EXCHANGE_WAITING)
		admission_go_on(x);
}

static void
on_connected(struct upstream_call *call)
{
	struct exchange *x = OWNER(struct exchange, call, call);

	x->phase = EXCHANGE_RELAYING;
	conclude(x, relay_start(x));
}

static void
on_upstream_failed(struct upstream_call *call, enum upstream_failure failure, const char *why)
{
	struct exchange *x = OWNER(struct exchange, call, call);

	answer_upstream(x, failure == UPSTREAM_TIMEOUT ? 504 : 502, why);
}

static bool
has_turn(struct upstream_call *call)
{
	struct exchange *x = OWNER(struct exchange, call, call);
	struct turns *turns = x->gateway->turns;

	if (!turns_take(turns, x->lane)) {
		exchange_take_turn(x);
		return false;
	}
	if (x->phase == EXCHANGE_CONNECTING)
		turns_charge(turns, x->lane, DIAL_UNITS);
	return true;
}

static void
on_upstream_ready(struct upstream_call *call)
{
	run(OWNER(struct exchange, call, call));
}

void
exchange_body_ready(struct exchange *x)
{
	if (x->phase == EXCHANGE_RELAYING)
		relay(x);
}

void
exchange_front_ready(struct exchange *x)
{
	relay_unblock(x);
	x->moved_ms = loop_now_ms(x->gateway->loop);
	relay(x);
}

void
exchange_tunnel_ready(struct exchange *x)
{
	run(x);
}

void
exchange_abort(struct exchange *x)
{
	x->why = x->gateway->stopping ? "the gateway stopped" : "client closed the connection";
	exchange_finish(x);
}

void
exchange_cut(struct exchange *x)
{
	x->ops->cut(x);
	exchange_finish(x);
}

void
exchange_end_watch(struct exchange *x)
{
	conclude(x, relay_end(x));
}

static void
on_turn(struct turn *t)
{
	struct exchange *x = OWNER(struct exchange, turn, t);

	if (x->late) {
		exchange_answer(x, 429, x->late);
	} else if (x->phase == EXCHANGE_CONNECTING) {
		turns_charge(x->gateway->turns, x->lane, DIAL_UNITS);
		upstream_proceed(&x->call);
	} else {
		run(x);
	}
}

static bool
is_stalling(const struct exchange *x)
{
	return x->phase == EXCHANGE_RELAYING && (x->blocked || (!x->up_done && !x->up_broken));
}

static uint64_t
stall_limit_ms(const struct exchange *x)
{
	uint64_t limit = (uint64_t)x->gateway->config->limits.body_timeout_ms;

	return x->blocked && x->context->stall_ms && x->context->stall_ms < limit ? x->context->stall_ms : limit;
}

void
exchange_watch_for_stall(struct exchange *x, uint64_t delay_ms)
{
	if (loop_timer_set(x->gateway->loop, &x->timer, delay_ms))
		log_warn("no memory for a timer", LOG_SLICE("request_id", exchange_id(x)));
}

/* The client owes us bytes of the body. */
static bool
waits_for_body(const struct exchange *x)
{
	return !x->blocked && !x->up_ended && !relay_has_unsent(x);
}

/* Bytes that come one by one hold a connection as well as none do. Where the upstream was the one to wait for, nothing is said of the client. */
static bool
body_is_too_slow(struct exchange *x)
{
	uint64_t now = loop_now_ms(x->gateway->loop), rate = (uint64_t)x->gateway->config->limits.body_rate;

	if (now - x->window_ms < BODY_WINDOW_MS)
		return false;
	bool slow = rate && !x->up_held && waits_for_body(x) && (x->bytes_up - x->window_bytes) * 1000 < rate * (now - x->window_ms);
	x->window_ms = now;
	x->window_bytes = x->bytes_up;
	x->up_held = false;
	return slow;
}

static uint64_t
next_look_ms(const struct exchange *x, uint64_t stall_ms)
{
	return x->gateway->config->limits.body_rate && waits_for_body(x) && stall_ms > BODY_WINDOW_MS ? BODY_WINDOW_MS : stall_ms;
}

/* Armed once and only for bodies that had to wait; it looks whether they still do. */
static void
on_timer(struct loop_timer *t)
{
	struct exchange *x = OWNER(struct exchange, timer, t);

	if (x->late) {
		exchange_take_turn(x);
		return;
	}
	if (x->phase == EXCHANGE_TUNNEL) {
		exchange_tunnel_due(x);
		return;
	}
	uint64_t limit = stall_limit_ms(x), still = loop_now_ms(x->gateway->loop) - x->moved_ms;

	if (!is_stalling(x))
		return;
	if (still < limit && body_is_too_slow(x)) {
		x->why = "the request's body came too slowly";
		exchange_answer(x, 408, x->why);
		return;
	}
	if (still < limit) {
		exchange_watch_for_stall(x, next_look_ms(x, limit - still));
		return;
	}
	if (x->blocked) {
		x->why = "the client did not take the answer";
		x->ops->cut(x);
		exchange_finish(x);
	} else if (relay_has_unsent(x)) {
		answer_upstream(x, 504, "it did not take the request's body");
	} else {
		x->why = "the request's body did not come";
		exchange_answer(x, 408, x->why);
	}
}

/* Nothing to do before the next event. A long answer goes on without the request's head, so that a watch costs no more than its two connections. */
static void
settle(struct exchange *x)
{
	if (x->request && x->down_head && x->up_done)
		exchange_release_head(x);
	if (!is_stalling(x))
		return;
	uint64_t limit = stall_limit_ms(x);
	if (x->timer.heap_index == 0) {
		x->window_ms = loop_now_ms(x->gateway->loop);
		x->window_bytes = x->bytes_up;
		x->up_held = false;
		limit = next_look_ms(x, limit);
	}
	if (x->timer.heap_index == 0 || x->timer.due_ms > loop_now_ms(x->gateway->loop) + limit)
		exchange_watch_for_stall(x, limit);
}

void
exchange_take_turn(struct exchange *x)
{
	turns_wait(x->gateway->turns, x->lane, &x->turn);
}

static void
retry_or_fail(struct exchange *x)
{
	char why[TRANSPORT_WHY_MAX];

	upstream_why(&x->call, why);
	if (!x->down_any)
		upstream_lost(&x->call, why);
	if (relay_may_retry(x)) {
		upstream_count(x->to->upstream, METRIC_UPSTREAM_RETRIES);
		upstream_finish(&x->call, false);
		x->retried = true;
		connect_upstream(x, true);
		return;
	}
	upstream_count(x->to->upstream, METRIC_UPSTREAM_BROKEN);
	answer_upstream(x, 502, why);
}

static void
conclude(struct exchange *x, enum relay r)
{
	switch (r) {
	case RELAY_WAITS:
		if (x->lasting.ending && (r = relay_end(x)) != RELAY_WAITS)
			conclude(x, r);
		else
			settle(x);
		break;
	case RELAY_TURN:
		settle(x);
		exchange_take_turn(x);
		break;
	case RELAY_SWITCHED:
		exchange_start_tunnel(x);
		break;
	case RELAY_DONE:
		exchange_finish(x);
		break;
	case RELAY_CLIENT_GONE:
		exchange_abort(x);
		break;
	case RELAY_REQUEST_BAD:
		exchange_answer(x, 400, x->why);
		break;
	case RELAY_REQUEST_TOO_LARGE:
		exchange_answer(x, 431, "the request's headers do not fit with those that have to be added");
		break;
	case RELAY_UPSTREAM_LOST:
		retry_or_fail(x);
		break;
	case RELAY_UPSTREAM_BAD:
		upstream_count(x->to->upstream, METRIC_UPSTREAM_BROKEN);
		answer_upstream(x, 502, x->why);
		break;
	case RELAY_UPSTREAM_UNAUTHORIZED:
		upstream_count(x->to->upstream, METRIC_UPSTREAM_UNAUTHORIZED);
		log_error("the cluster does not accept the gateway's own credential", LOG_STR("cluster", x->to->name),
			LOG_SLICE("request_id", exchange_id(x)));
		answer_upstream(x, 502, "it does not accept the gateway's own credential");
		break;
	case RELAY_FAILED:
		log_error("request failed", LOG_STR("reason", x->why ? x->why : "out of memory"), LOG_SLICE("request_id", exchange_id(x)));
		exchange_answer(x, 500, "the gateway could not forward this request");
		break;
	}
}
