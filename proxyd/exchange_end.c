#include <stdlib.h>
#include "proxyd/access_log.h"
#include "proxyd/exchange_state.h"
#include "proxyd/host_name.h"
#include "proxyd/metrics.h"
#include "proxyd/relay.h"

void
exchange_recycle(struct exchange *x)
{
	struct gateway *g = x->gateway;

	if (g->exchange_free_n >= GATEWAY_FREE_MAX) {
		free(x);
		return;
	}
	x->next = g->exchanges;
	g->exchanges = x;
	g->exchange_free_n++;
}

/* Our own pages tell browsers to keep to https for this host (RFC 6797); addresses and localhost have no name of their own. */
bool
exchange_wants_hsts(const struct exchange *x)
{
	if (!x->context->tls || !x->to || x->to->forward.kind != FORWARD_AUTHD || !x->request)
		return false;
	struct slice name = host_name_of(x->request->head.host);
	return name.p && !slice_eq_nocase(name, SLICE_LIT("localhost")) && !slice_has_suffix(name, SLICE_LIT(".localhost"));
}

/* What the authenticator has counted since it was looked at last. */
static void
count_credentials(struct gateway *g)
{
	_Atomic uint64_t *values = g->metrics->values;
	struct authenticator_stats now, *before = &g->credentials_counted;

	authenticator_stats(g->authenticator, &now);
	metrics_add(&values[METRIC_CREDENTIAL_HITS], now.hits - before->hits);
	metrics_add(&values[METRIC_CREDENTIAL_MISSES], now.misses - before->misses);
	metrics_add(&values[METRIC_CREDENTIALS_REFUSED], now.refused - before->refused);
	metrics_add(&values[METRIC_SIGNATURES], now.signatures - before->signatures);
	metrics_add(&values[METRIC_REVIEWS], now.reviews - before->reviews);
	metrics_set(&values[METRIC_CREDENTIALS_KNOWN], now.entries);
	*before = now;
}

static void
count_end(const struct exchange *x)
{
	_Atomic uint64_t *values = x->gateway->metrics->values;

	if (x->phase == EXCHANGE_TUNNEL)
		metrics_add(&values[METRIC_TUNNELS_OPEN], UINT64_MAX);
	metrics_add(&values[METRIC_BYTES_IN], x->bytes_up);
	metrics_add(&values[METRIC_BYTES_OUT], x->bytes_down);
	count_credentials(x->gateway);
	/* Last: who sees none open sees all counted. */
	metrics_add(&values[METRIC_REQUESTS_OPEN], UINT64_MAX);
}

void
exchange_leave_flight(struct exchange *x)
{
	if (x->in_flight)
		limits_leave(&x->gateway->limits, x->flight_key);
	x->in_flight = false;
}

void
exchange_release_head(struct exchange *x)
{
	exchange_leave_flight(x);
	access_log_keep(x);
	x->ops->release_head(x);
	request_put(x->gateway, x->request);
	x->request = NULL;
	if (x->call.transport) /* the answer may be there whole, and the client slow */
		transport_rest(x->call.transport);
}

void
exchange_finish(struct exchange *x)
{
	struct gateway *g = x->gateway;

	if (x->timer.heap_index)
		loop_timer_clear(g->loop, &x->timer);
	lasting_over(x);
	if (x->wait.ask)
		session_client_cancel(g->sessions, &x->wait);
	review_client_cancel(&x->review);
	upstream_finish(&x->call, false);
	access_log_write(x);
	count_end(x);
	if (x->status && g->on_served) {
		g->on_served(g);
		g->on_served = NULL;
	}
	principal_unref(x->principal);
	impersonation_free(x->as);
	exchange_leave_flight(x);
	if (x->late)
		g->late_n--;
	x->ops->over(x);
	/* The front has let go of what it held of the blocks. */
	relay_release(x);
	if (x->phase == EXCHANGE_TUNNEL)
		tunnel_release(&x->tunnel);
	request_put(g, x->request);
	free(x->kept);
	turns_leave(&x->turn);
	exchange_recycle(x);
}

/* ---- answers of our own ---- */

static void
answer_with(struct exchange *x, struct status_answer *a)
{
	bool page = x->request && status_wants_page(&x->request->head);

	upstream_finish(&x->call, false);
	if (x->down_head) {
		x->ops->cut(x);
	} else {
		x->status = a->code;
		x->answered_ms = 0; /* not the upstream's */
		a->request_id = exchange_id(x);
		a->hsts = exchange_wants_hsts(x);
		a->now_s = clock_now_s(x->gateway->clock);
		x->ops->answer(x, a, page);
	}
	exchange_finish(x);
}

void
exchange_answer(struct exchange *x, unsigned code, const char *message)
{
	struct status_answer a = { .code = code, .message = message, .retry_after_s = code == 503 || code == 429 ? 1 : 0 };

	answer_with(x, &a);
}

void
exchange_limit(struct exchange *x, enum limit limit)
{
	struct gateway *g = x->gateway;

	metrics_add(&g->metrics->values[METRIC_LIMITED_ADDRESS_RATE + limit - LIMIT_ADDRESS_RATE], 1);
	x->why = limit_text(limit);
	x->phase = EXCHANGE_ASKING;
	if (g->late_n >= EXCHANGES_LATE_MAX || g->draining || loop_timer_set(g->loop, &x->timer, EXCHANGE_LATE_MS)) {
		exchange_answer(x, 429, x->why);
		return;
	}
	g->late_n++;
	x->late = x->why;
}

void
exchange_forbid(struct exchange *x, const char *message)
{
	struct status_answer a = { .code = 403, .message = message, .warning = true };

	answer_with(x, &a);
}

void
exchange_answer_json(struct exchange *x, struct slice json)
{
	struct status_answer a = { .code = 200, .message = "", .json = json };

	answer_with(x, &a);
}

void
exchange_redirect(struct exchange *x, const char *location)
{
	struct status_answer a = { .code = 302, .message = "Sign in to go on", .location = location };

	answer_with(x, &a);
}
