#include "proxyd/client.h"
#include "proxyd/exchange_state.h"
#include "proxyd/kube_request.h"
#include "proxyd/lasting.h"
#include "shared/log.h"
#include "shared/rng.h"

#define OWNER(type, member, p) ((type *)((char *)(p) - offsetof(type, member)))
#define NEVER UINT64_MAX

static void on_due(struct loop_timer *t);

/* ---- which ---- */

static bool
mentions(struct slice s, const char *word)
{
	return s.n && memmem(s.p, s.n, word, strlen(word));
}

static bool
follows(struct slice query)
{
	return mentions(query, "follow=t") || mentions(query, "follow=T") || mentions(query, "follow=1");
}

static void
read_request(const struct exchange *x, struct kube_request *k)
{
	struct slice path = x->request->head.path;
	size_t prefix = x->to->forward.strip_prefix.n;

	kube_request_parse(x->method, prefix <= path.n ? slice_of(path.p + prefix, path.n - prefix) : SLICE_LIT(""), x->request->head.query, k);
}

bool
lasting_will_watch(const struct exchange *x)
{
	struct kube_request k;

	if (x->method != METHOD_GET || x->to->forward.kind != FORWARD_CLUSTER || x->upgrade != UPGRADE_NONE || x->request->head.framing != FRAMING_NONE ||
		(!mentions(x->request->head.query, "watch") && !mentions(x->request->head.path, "/watch/")))
		return false;
	read_request(x, &k);
	return k.verb == KUBE_WATCH;
}

enum lasting_kind
lasting_kind_of(const struct exchange *x, const struct http_head *answer)
{
	struct kube_request k;

	if (!x->request || x->to->forward.kind != FORWARD_CLUSTER || answer->status / 100 != 2 || answer->framing == FRAMING_NONE)
		return LASTING_NOT;
	struct slice path = x->request->head.path, query = x->request->head.query;
	/* Nearly all requests end here. */
	if (!mentions(query, "watch") && !mentions(query, "follow") && !mentions(path, "/watch/") && !mentions(path, "/proxy"))
		return LASTING_NOT;
	read_request(x, &k);
	if (k.verb == KUBE_WATCH) /* of a known length it cannot be ended early */
		return answer->framing == FRAMING_LENGTH ? LASTING_STREAM : LASTING_WATCH;
	if (k.verb == KUBE_PROXY || slice_eq_str(k.subresource, "proxy") || (slice_eq_str(k.subresource, "log") && follows(query)))
		return LASTING_STREAM;
	return LASTING_NOT;
}

/* ---- when ---- */

static void
end_by(struct exchange *x, uint64_t delay_ms, const char *why)
{
	struct lasting *l = &x->lasting;
	uint64_t now = loop_now_ms(x->gateway->loop);

	if (l->ending || delay_ms > NEVER - now || now + delay_ms >= l->ends_at_ms)
		return;
	l->ends_at_ms = now + delay_ms;
	l->why = why;
	if (loop_timer_set(x->gateway->loop, &l->timer, delay_ms))
		log_warn("no memory for a timer", LOG_SLICE("request_id", exchange_id(x)));
}

/* From 0 to most_ms, any of them as likely. */
static uint64_t
any_time(uint64_t most_ms)
{
	uint64_t random = 0;

	if (most_ms == 0 || rng_fill(&rng_system, &random, sizeof(random)))
		return 0;
	return random % (most_ms + 1);
}

static void
end_with_drain(struct exchange *x)
{
	uint64_t now = loop_now_ms(x->gateway->loop), until = x->gateway->drain_until_ms;

	if (x->lasting.kind == LASTING_WATCH)
		end_by(x, until > now ? any_time((until - now) / 4 * 3) : 0, "the worker drains");
}

static void
end_with_credential(struct exchange *x)
{
	const struct proxyd_config *config = x->gateway->config;
	int64_t now_s = clock_now_s(x->gateway->clock), expires_at = x->principal ? x->principal->expires_at : ID_TOKEN_TIME_MAX;

	if (expires_at >= ID_TOKEN_TIME_MAX)
		return;
	uint64_t left_ms = expires_at > now_s ? (uint64_t)(expires_at - now_s) * 1000 : 0;
	end_by(x, left_ms + (uint64_t)config->authentication.long_running.token_expired_ms, "its credential has expired");
}

static void
end_with_session(struct exchange *x)
{
	struct gateway *g = x->gateway;

	if (g->config->authentication.long_running.session_ended == PROXYD_SESSION_ENDED_CUT && x->principal &&
		authenticator_has_ended(g->authenticator, x->principal))
		end_by(x, 0, "its session has ended");
}

static void
end_with_age(struct exchange *x)
{
	uint64_t most = (uint64_t)x->gateway->config->limits.watch_max_age_ms;

	if (x->lasting.kind == LASTING_WATCH && most)
		end_by(x, most - any_time(most / 4), "limits.watchMaxAge");
}

/* ---- the list ---- */

void
lasting_begin(struct exchange *x, enum lasting_kind kind, const struct http_head *answer)
{
	struct gateway *g = x->gateway;
	struct lasting *l = &x->lasting;
	const struct http_header *type = answer ? http_head_find_name(answer, "Content-Type") : NULL;

	if (kind == LASTING_NOT)
		return;
	*l = (struct lasting){ .kind = kind, .ends_at_ms = NEVER, .next = g->lasting, .timer.on_due = on_due };
	if (g->lasting)
		g->lasting->lasting.prev = x;
	g->lasting = x;
	watch_events_init(&l->events, type ? type->value : SLICE_NONE);
	end_with_age(x);
	end_with_credential(x);
	end_with_session(x);
	if (g->draining)
		end_with_drain(x);
}

void
lasting_over(struct exchange *x)
{
	struct lasting *l = &x->lasting;

	if (l->kind == LASTING_NOT)
		return;
	loop_timer_clear(x->gateway->loop, &l->timer);
	*(l->prev ? &l->prev->lasting.next : &x->gateway->lasting) = l->next;
	if (l->next)
		l->next->lasting.prev = l->prev;
	l->kind = LASTING_NOT;
}

static void
on_due(struct loop_timer *t)
{
	struct exchange *x = OWNER(struct exchange, lasting.timer, t);
	struct lasting *l = &x->lasting;

	x->why = l->why;
	if (l->kind != LASTING_WATCH || l->ending) {
		exchange_cut(x);
		return;
	}
	l->ending = true;
	if (loop_timer_set(x->gateway->loop, &l->timer, LASTING_END_MS))
		exchange_cut(x);
	else
		exchange_end_watch(x);
}

void
lasting_drain(struct gateway *g, uint64_t within_ms)
{
	g->drain_until_ms = loop_now_ms(g->loop) + within_ms;
	for (struct exchange *x = g->lasting; x; x = x->lasting.next)
		end_with_drain(x);
}

size_t
lasting_mark_stays(struct gateway *g)
{
	size_t n = 0;

	for (struct exchange *x = g->lasting; x; x = x->lasting.next) {
		if (x->lasting.kind == LASTING_WATCH || !x->context->client)
			continue;
		x->context->client->stays = true;
		n++;
	}
	return n;
}

void
lasting_look(struct gateway *g)
{
	for (struct exchange *x = g->lasting; x; x = x->lasting.next)
		end_with_session(x);
}
