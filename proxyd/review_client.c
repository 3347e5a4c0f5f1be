#include <assert.h>
#include <stdlib.h>
#include <openssl/crypto.h>
#include "proxyd/cluster_call.h"
#include "proxyd/review_client.h"
#include "shared/log.h"

#define OWNER(type, member, p) ((type *)((char *)(p) - offsetof(type, member)))

enum review_state { REVIEW_IN_LINE, REVIEW_RUNNING, REVIEW_CONCLUDED };

/* One question, for all that wait for its answer. */
struct review {
	struct review_client *client;
	struct review *next, *prev; /* running: any order; in line: oldest first */
	struct review_wait *waits;
	struct destination *to;
	struct cluster_call call;
	struct loop_timer timer;
	struct loop_deferred deferred;
	enum review_state state;
	struct review_question question; /* its body stands behind this struct */
	size_t bytes;
};

struct review_list {
	struct review *first, *last;
	size_t n;
};

/* Anybody can bring tokens that nobody knows: what goes wrong with a cluster is said this often, the access log has every request. */
#define SAY_EVERY_MS 1000

struct review_client {
	struct review_client_options o;
	struct review_list running, line;
	size_t waiter_n;
	uint64_t silent_until_ms;
};

static void launch(struct review *r);

/* ---- lists ---- */

static void
list_push(struct review_list *l, struct review *r)
{
	r->next = NULL;
	r->prev = l->last;
	*(l->last ? &l->last->next : &l->first) = r;
	l->last = r;
	l->n++;
}

static void
list_remove(struct review_list *l, struct review *r)
{
	*(r->prev ? &r->prev->next : &l->first) = r->next;
	*(r->next ? &r->next->prev : &l->last) = r->prev;
	l->n--;
}

/* The digest is over everything that is asked, the cluster included. */
static struct review *
list_find(const struct review_list *l, const unsigned char digest[CREDENTIAL_DIGEST_BYTES])
{
	for (struct review *r = l->first; r; r = r->next)
		if (memcmp(r->question.digest, digest, CREDENTIAL_DIGEST_BYTES) == 0)
			return r;
	return NULL;
}

static void
review_recycle(struct loop_deferred *d)
{
	struct review *r = OWNER(struct review, deferred, d);

	OPENSSL_cleanse(r, r->bytes); /* a token may be in it */
	free(r);
}

/* It is on no list any more and nobody waits. */
static void
review_end(struct review *r)
{
	assert(!r->waits);
	cluster_call_finish(&r->call);
	loop_timer_clear(r->client->o.loop, &r->timer);
	r->deferred.run = review_recycle;
	loop_defer(r->client->o.loop, &r->deferred);
}

struct review_client *
review_client_new(const struct review_client_options *o)
{
	struct review_client *c = calloc(1, sizeof(*c));

	if (c)
		c->o = *o;
	return c;
}

void
review_client_free(struct review_client *c)
{
	struct review *r;

	if (!c)
		return;
	assert(c->waiter_n == 0 && !c->line.first);
	while ((r = c->running.first)) {
		list_remove(&c->running, r);
		review_end(r);
	}
	free(c);
}

static void
next_in_line(struct review_client *c)
{
	while (c->line.first && c->running.n < REVIEWS_RUNNING_MAX) {
		struct review *r = c->line.first;
		list_remove(&c->line, r);
		list_push(&c->running, r);
		launch(r);
	}
}

/* ---- answers ---- */

/* Tell all that wait. principal: a reference of ours, given away or dropped. */
static void
conclude(struct review *r, enum review_verdict verdict, struct principal *principal, const char *why)
{
	struct review_client *c = r->client;
	struct review_wait *w;

	list_remove(r->state == REVIEW_IN_LINE ? &c->line : &c->running, r);
	r->state = REVIEW_CONCLUDED;
	while ((w = r->waits)) {
		r->waits = w->next;
		if (w->next)
			w->next->prev = NULL;
		w->review = NULL;
		c->waiter_n--;
		if (principal)
			principal_ref(principal);
		w->on_answer(w, verdict, principal, verdict == REVIEW_YES ? NULL : why);
	}
	principal_unref(principal);
	review_end(r);
	next_in_line(c);
}

static bool
may_say(struct review_client *c)
{
	uint64_t now = loop_now_ms(c->o.loop);

	if (now < c->silent_until_ms)
		return false;
	c->silent_until_ms = now + SAY_EVERY_MS;
	return true;
}

/* why: for the log, need not last. */
static void
fail(struct review *r, const char *why)
{
	if (may_say(r->client))
		log_warn("a cluster did not answer a review", LOG_STR("cluster", r->to->name), LOG_STR("kind", r->client->o.kind), LOG_STR("reason", why));
	conclude(r, REVIEW_UNKNOWN, NULL, "the cluster did not answer a review");
}

/* Somebody has to change something in that cluster. */
static void
fail_for_good(struct review *r, const char *what, const char *why)
{
	if (may_say(r->client))
		log_error(what, LOG_STR("cluster", r->to->name), LOG_STR("verb", "create"), LOG_STR("resource", r->client->o.resource));
	conclude(r, REVIEW_DENIED, NULL, why);
}

static void
on_timeout(struct loop_timer *t)
{
	fail(OWNER(struct review, timer, t), "no answer in time");
}

static void
on_end(struct cluster_call *call, unsigned status, struct slice body, const char *why)
{
	struct review *r = OWNER(struct review, call, call);
	const struct review_client_options *o = &r->client->o;
	struct principal *principal = NULL;
	char text[32];

	switch (status) {
	case 0:
		fail(r, why);
		return;
	case 200:
	case 201:
		break;
	case 401:
		upstream_count(r->to->upstream, METRIC_UPSTREAM_UNAUTHORIZED);
		fail_for_good(r, "the cluster does not accept the gateway's own credential", "the cluster does not accept the gateway's own credential");
		return;
	case 403:
		fail_for_good(r, "the gateway's role in this cluster lacks a right (bind gatehouse-reviewer)", "the gateway may not ask the cluster for a review");
		return;
	default:
		snprintf(text, sizeof(text), "it answered with status %u", status);
		fail(r, text);
		return;
	}
	enum review_verdict verdict = o->judge(o->arg, &r->question, body, &principal, &why);
	if (verdict == REVIEW_UNKNOWN)
		fail(r, why);
	else
		conclude(r, verdict, principal, why);
}

static void
launch(struct review *r)
{
	struct review_client *c = r->client;

	r->state = REVIEW_RUNNING;
	r->call.on_end = on_end;
	if (cluster_call_start(&r->call, c->o.loop, r->to, c->o.path, r->question.body) &&
		loop_timer_set(c->o.loop, &r->timer, 0)) /* those who wait are told from the loop */
		log_warn("no memory for a timer", LOG_STR("cluster", r->to->name));
}

/* ---- waiting ---- */

static struct review *
review_new(struct review_client *c, struct destination *to, const struct review_question *q)
{
	size_t bytes = sizeof(struct review) + q->body.n;
	struct review *r = calloc(1, bytes);

	if (!r)
		return NULL;
	r->bytes = bytes;
	r->client = c;
	r->to = to;
	r->question = *q;
	memcpy(r + 1, q->body.p, q->body.n);
	r->question.body = slice_of((const char *)(r + 1), q->body.n);
	r->timer.on_due = on_timeout;
	if (loop_timer_set(c->o.loop, &r->timer, REVIEW_TIMEOUT_MS) == OK)
		return r;
	OPENSSL_cleanse(r, bytes);
	free(r);
	return NULL;
}

enum err
review_client_ask(struct review_client *c, struct destination *to, const struct review_question *q, struct review_wait *w)
{
	struct review *r = list_find(&c->running, q->digest);

	w->review = NULL;
	if (c->waiter_n >= REVIEW_WAITERS_MAX)
		return E_LIMIT;
	if (!r)
		r = list_find(&c->line, q->digest);
	if (!r) {
		if (c->line.n >= REVIEWS_LINE_MAX)
			return E_LIMIT;
		if (!(r = review_new(c, to, q)))
			return E_NOMEM;
		list_push(&c->line, r);
	}
	w->review = r;
	w->prev = NULL;
	w->next = r->waits;
	if (w->next)
		w->next->prev = w;
	r->waits = w;
	c->waiter_n++;
	next_in_line(c);
	return OK;
}

void
review_client_cancel(struct review_wait *w)
{
	struct review *r = w->review;

	if (!r)
		return;
	struct review_client *c = r->client;
	w->review = NULL;
	c->waiter_n--;
	*(w->prev ? &w->prev->next : &r->waits) = w->next;
	if (w->next)
		w->next->prev = w->prev;
	/* What runs goes on: its answer is remembered, and a connection that is cut in the middle would have to be dialled anew. */
	if (r->waits || r->state != REVIEW_IN_LINE)
		return;
	list_remove(&c->line, r);
	review_end(r);
}
