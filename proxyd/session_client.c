#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <jansson.h>
#include "proxyd/http_answer.h"
#include "proxyd/session_client.h"
#include "shared/buf.h"
#include "shared/log.h"

#define OWNER(type, member, p) ((type *)((char *)(p) - offsetof(type, member)))

#define REQUEST_BYTES_MAX 8192  /* a cookie of authd's has some dozens */
#define REFRESH_AFTER_MAX 86400 /* seconds; longer is read as this */

enum ask_state { ASK_IN_LINE, ASK_RUNNING, ASK_CONCLUDED };

/* One cookie being asked about, for all that wait. */
struct session_ask {
	struct session_client *client;
	struct session_ask *next, *prev; /* running: any order; in line: oldest first */
	struct session_wait *waits;
	struct upstream_call call;
	struct loop_timer timer;
	struct loop_deferred deferred;
	enum ask_state state;
	const char *why;     /* it could not even start; static */
	struct buf request;
	size_t sent;
	struct block *answer;
	struct slice cookie; /* behind this struct */
};

struct ask_list {
	struct session_ask *first, *last;
	size_t n;
};

struct session_client {
	struct session_client_options o;
	struct ask_list running, line;
	size_t waiter_n;
	uint64_t down_until_ms;
	struct http_head head; /* of an answer being read */
};

static void on_connected(struct upstream_call *call);
static void on_failed(struct upstream_call *call, enum upstream_failure failure, const char *why);
static void on_ready(struct upstream_call *call);
static void on_timeout(struct loop_timer *t);
static void launch(struct session_ask *a);

struct session_client *
session_client_new(const struct session_client_options *o)
{
	struct session_client *s = calloc(1, sizeof(*s));

	if (s)
		s->o = *o;
	return s;
}

void
session_client_free(struct session_client *s)
{
	if (!s)
		return;
	assert(s->waiter_n == 0 && !s->running.first && !s->line.first);
	free(s);
}

bool
session_client_is_down(const struct session_client *s)
{
	return loop_now_ms(s->o.loop) < s->down_until_ms;
}

/* ---- asks ---- */

static void
list_push(struct ask_list *l, struct session_ask *a)
{
	a->next = NULL;
	a->prev = l->last;
	*(l->last ? &l->last->next : &l->first) = a;
	l->last = a;
	l->n++;
}

static void
list_remove(struct ask_list *l, struct session_ask *a)
{
	*(a->prev ? &a->prev->next : &l->first) = a->next;
	*(a->next ? &a->next->prev : &l->last) = a->prev;
	l->n--;
}

static struct session_ask *
list_find(const struct ask_list *l, struct slice cookie)
{
	for (struct session_ask *a = l->first; a; a = a->next)
		if (slice_eq_secret(a->cookie, cookie))
			return a;
	return NULL;
}

static void
ask_recycle(struct loop_deferred *d)
{
	struct session_ask *a = OWNER(struct session_ask, deferred, d);

	buf_fini_secret(&a->request);
	free(a);
}

/* It is on no list any more and nobody waits. */
static void
ask_end(struct session_ask *a)
{
	struct session_client *s = a->client;

	assert(!a->waits);
	upstream_finish(&a->call, false);
	loop_timer_clear(s->o.loop, &a->timer);
	block_put(s->o.blocks, a->answer);
	a->answer = NULL;
	a->deferred.run = ask_recycle;
	loop_defer(s->o.loop, &a->deferred);
}

static void
next_in_line(struct session_client *s)
{
	while (s->line.first && s->running.n < SESSION_ASKS_MAX) {
		struct session_ask *a = s->line.first;
		list_remove(&s->line, a);
		list_push(&s->running, a);
		launch(a);
	}
}

/* Tell all that wait. principal: a reference of ours, given away or dropped. */
static void
conclude(struct session_ask *a, enum session_answer answer, struct principal *principal)
{
	struct session_client *s = a->client;
	struct session_wait *w;

	if (answer == SESSION_DOWN)
		s->down_until_ms = loop_now_ms(s->o.loop) + SESSION_PAUSE_MS;
	else
		s->down_until_ms = 0;
	list_remove(&s->running, a);
	a->state = ASK_CONCLUDED;
	while ((w = a->waits)) {
		a->waits = w->next;
		if (w->next)
			w->next->prev = NULL;
		w->ask = NULL;
		s->waiter_n--;
		if (principal)
			principal_ref(principal);
		w->on_answer(w, answer, principal);
	}
	principal_unref(principal);
	ask_end(a);
	next_in_line(s);
}

static void
fail(struct session_ask *a, const char *why)
{
	log_warn("session not resolved", LOG_STR("upstream", upstream_name(a->client->o.authd)), LOG_STR("reason", why));
	conclude(a, SESSION_DOWN, NULL);
}

static void
on_timeout(struct loop_timer *t)
{
	struct session_ask *a = OWNER(struct session_ask, timer, t);

	fail(a, a->why ? a->why : "no answer in time");
}

/* ---- talking to authd ---- */

/* A connection of its own for each ask: on a local socket it costs some microseconds, and it is never a stale one. */
static void
launch(struct session_ask *a)
{
	struct session_client *s = a->client;

	a->state = ASK_RUNNING;
	enum err err = upstream_start(s->o.authd, &a->call, true);
	if (err == E_AGAIN)
		return;
	a->why = err == E_SYSTEM ? strerrordesc_np(errno) : err == OK ? "connected unasked" : err_name(err);
	if (loop_timer_set(s->o.loop, &a->timer, 0)) /* those who wait are told from the loop */
		log_warn("no memory for a timer", LOG_STR("upstream", upstream_name(s->o.authd)));
}

static void
on_failed(struct upstream_call *call, enum upstream_failure failure, const char *why)
{
	(void)failure;
	fail(OWNER(struct session_ask, call, call), why);
}

/* What can stand in a header line: a JWS in its compact form (RFC 7515 section 3.1). */
static bool
is_token(const char *s)
{
	return *s && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(s);
}

static void
add_id_tokens(const struct config_strings *audiences, const json_t *from, struct buf *out)
{
	for (size_t i = 0; audiences && i < audiences->n; i++) {
		const char *token = json_string_value(json_object_get(from, audiences->items[i]));
		if (token && is_token(token))
			buf_add_str(out, token);
		buf_add_char(out, '\n');
	}
}

/* id_token is verified like any other token; the others are only passed on. */
static void
conclude_with(struct session_ask *a, struct slice body)
{
	json_t *answer = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
	const json_t *token = json_object_get(answer, "id_token"), *refresh = json_object_get(answer, "refresh_after");
	json_int_t seconds = json_is_integer(refresh) ? json_integer_value(refresh) : -1;
	struct principal *principal = NULL;
	const char *why = "";
	struct buf others;

	if (!json_is_string(token) || seconds < 0) {
		json_decref(answer);
		fail(a, "not the answer that was expected");
		return;
	}
	const struct slice jwt = { json_string_value(token), json_string_length(token) };
	buf_init(&others, SESSION_ANSWER_BYTES_MAX);
	add_id_tokens(a->client->o.audiences, json_object_get(answer, "id_tokens"), &others);
	enum authentication verdict = authenticator_session(a->client->o.authenticator, a->cookie, jwt, buf_slice(&others),
		(int)(seconds < REFRESH_AFTER_MAX ? seconds : REFRESH_AFTER_MAX), &principal, &why);
	buf_fini_secret(&others);
	json_decref(answer);
	if (verdict == AUTHENTICATED) {
		conclude(a, SESSION_VERIFIED, principal);
		return;
	}
	if (verdict == AUTHENTICATION_UNAVAILABLE) {
		fail(a, why);
		return;
	}
	log_warn("a session's token was refused", LOG_STR("reason", why));
	conclude(a, SESSION_REFUSED, NULL);
}

static void
take_answer(struct session_ask *a, enum io io)
{
	static const struct http_limits limits = { SESSION_ANSWER_BYTES_MAX, 1024 };
	struct buf body;
	bool keep;

	buf_init(&body, SESSION_ANSWER_BYTES_MAX);
	switch (http_answer_parse(slice_of(a->answer->data, a->answer->to), io == IO_EOF, &limits, METHOD_POST, &a->client->head, &body, &keep)) {
	case HTTP_ANSWER_MORE:
		if (io == IO_EOF || io == IO_FAILED)
			fail(a, "the connection ended before the answer did");
		else if (a->answer->to == a->answer->bytes)
			fail(a, "the answer is too long");
		break;
	case HTTP_ANSWER_BAD:
		fail(a, "not an HTTP answer");
		break;
	case HTTP_ANSWER_WHOLE:
		if (a->client->head.status == 200) {
			conclude_with(a, buf_slice(&body));
		} else if (a->client->head.status == 401) {
			authenticator_session_gone(a->client->o.authenticator, a->cookie);
			conclude(a, SESSION_NONE, NULL);
		} else {
			fail(a, "it answered neither 200 nor 401");
		}
		break;
	}
	buf_fini_secret(&body);
}

static void
on_connected(struct upstream_call *call)
{
	on_ready(call);
}

static void
on_ready(struct upstream_call *call)
{
	struct session_ask *a = OWNER(struct session_ask, call, call);
	size_t n;
	enum io io;

	/* A failure to write shows below: what authd said before it may still be read. */
	if (a->sent < a->request.n && transport_write(call->transport, a->request.p + a->sent, a->request.n - a->sent, &n) != IO_FAILED)
		a->sent += n;
	if (!a->answer && !(a->answer = block_get(a->client->o.blocks, SESSION_ANSWER_BYTES_MAX))) {
		fail(a, "out of memory");
		return;
	}
	do {
		size_t room = a->answer->bytes - a->answer->to;
		io = room ? transport_read(call->transport, a->answer->data + a->answer->to, room, &n) : IO_AGAIN;
		a->answer->to += n;
	} while (io == IO_OK && a->answer->to < a->answer->bytes);
	if (a->answer->to || io != IO_AGAIN)
		take_answer(a, io);
}

/* ---- waiting ---- */

static struct session_ask *
ask_new(struct session_client *s, struct slice cookie)
{
	struct session_ask *a = calloc(1, sizeof(*a) + cookie.n);

	if (!a)
		return NULL;
	memcpy(a + 1, cookie.p, cookie.n);
	a->cookie = slice_of((const char *)(a + 1), cookie.n);
	a->client = s;
	a->call.on_connected = on_connected;
	a->call.on_failed = on_failed;
	a->call.on_ready = on_ready;
	a->timer.on_due = on_timeout;
	buf_init(&a->request, REQUEST_BYTES_MAX);
	buf_add_str(&a->request, "POST /internal/session");
	for (size_t i = 0; s->o.audiences && i < s->o.audiences->n; i++) {
		buf_add_str(&a->request, i ? "%20" : "?audience=");
		buf_add_urlencoded(&a->request, slice_str(s->o.audiences->items[i]));
	}
	buf_add_str(&a->request, " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nCookie: ");
	buf_add_str(&a->request, s->o.cookie_name);
	buf_add_char(&a->request, '=');
	buf_add_slice(&a->request, cookie);
	buf_add_str(&a->request, "\r\n\r\n");
	if (buf_ok(&a->request) && loop_timer_set(s->o.loop, &a->timer, SESSION_TIMEOUT_MS) == OK)
		return a;
	buf_fini_secret(&a->request);
	free(a);
	return NULL;
}

enum err
session_client_ask(struct session_client *s, struct slice cookie, struct session_wait *w)
{
	struct session_ask *a = list_find(&s->running, cookie);

	w->ask = NULL;
	if (s->waiter_n >= SESSION_WAITERS_MAX)
		return E_LIMIT;
	if (!a)
		a = list_find(&s->line, cookie);
	if (!a) {
		if (!(a = ask_new(s, cookie)))
			return E_NOMEM;
		list_push(&s->line, a);
	}
	w->ask = a;
	w->prev = NULL;
	w->next = a->waits;
	if (w->next)
		w->next->prev = w;
	a->waits = w;
	s->waiter_n++;
	next_in_line(s);
	return OK;
}

void
session_client_cancel(struct session_client *s, struct session_wait *w)
{
	struct session_ask *a = w->ask;

	if (!a)
		return;
	w->ask = NULL;
	s->waiter_n--;
	*(w->prev ? &w->prev->next : &a->waits) = w->next;
	if (w->next)
		w->next->prev = w->prev;
	if (a->waits || a->state == ASK_CONCLUDED)
		return;
	list_remove(a->state == ASK_IN_LINE ? &s->line : &s->running, a);
	ask_end(a);
	next_in_line(s);
}
