#include <stdlib.h>
#include <time.h>
#include "authd/directory.h"
#include "authd/logout_notice.h"
#include "authd/logout_sender.h"
#include "authd/revocation.h"
#include "authd/signer.h"
#include "oidc/base64url.h"
#include "oidc/token_claims.h"
#include "shared/log.h"

#define JTI_BYTES 16
#define HOLD_MS 10000           /* after a write that failed: what would be sent now would be sent again */
#define LOOK_AGAIN_S 60         /* the wall clock may have jumped */
#define ANSWER_BYTES_MAX 65536  /* nobody reads it */
#define ARENA_BYTES_MAX (1u << 20)

/* One notice that is on its way. Its texts live in its arena. */
struct sending {
	struct logout_sender *sender;
	struct sending *next; /* of those that are back */
	struct arena arena;
	struct logout_notice_found notice;
	enum logout_notice_outcome outcome;
	char why[160]; /* with LOGOUT_NOTICE_FAILED and _REFUSED */
	bool abandoned;
};

struct logout_sender {
	struct authd *app;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool woken, stopping;
	struct sending *back; /* answered, and not yet settled */
	/* the thread's own */
	struct sending *under_way[LOGOUT_SENDER_AT_ONCE];
	size_t n;
	uint64_t hold_until_ms;
};

/* ---- the token ---- */

static enum err
jti_make(const struct authd *app, char out[BASE64URL_ENCODED_BYTES(JTI_BYTES) + 1], struct slice *jti)
{
	unsigned char bytes[JTI_BYTES];
	enum err e = rng_fill(app->rng, bytes, sizeof bytes);

	if (e == OK)
		*jti = slice_of(out, base64url_encode(bytes, sizeof bytes, out));
	return e;
}

static enum err
token_mint(const struct authd *app, const struct generation *g, const struct client *client, const struct record_logout_notice *n, struct buf *out)
{
	struct token_person person = { .connector_id = n->connector_id, .user_id = n->user_id, .plain_subject = client->plain_subject };
	char jti[BASE64URL_ENCODED_BYTES(JTI_BYTES) + 1];
	int64_t now_s = clock_now_s(app->clock);
	struct logout_token_claims c = { .issuer = slice_str(g->config->issuer), .client_id = n->client_id, .sid = n->sid, .person = &person,
		.issued_at = now_s, .expires_at = now_s + LOGOUT_TOKEN_LIFETIME_S };
	struct buf claims;
	enum err e = jti_make(app, jti, &c.jti);

	buf_init(&claims, 0);
	logout_token_claims_print(&c, &claims);
	if (e == OK)
		e = buf_ok(&claims) ? signer_mint(app->keys, client->signing_alg, "logout+jwt", buf_slice(&claims), out) : E_NOMEM;
	buf_fini(&claims);
	return e == OK && !buf_ok(out) ? E_NOMEM : e;
}

/* ---- on its way ---- */

static void
come_back(struct sending *s)
{
	struct logout_sender *sender = s->sender;

	pthread_mutex_lock(&sender->lock);
	s->next = sender->back;
	sender->back = s;
	sender->woken = true;
	pthread_cond_signal(&sender->changed);
	pthread_mutex_unlock(&sender->lock);
}

/* Section 2.8: 200, and 400 for what the client will not have; some answer 204. */
static void
on_answer(void *arg, struct fetch_result *r)
{
	struct sending *s = arg;

	if (r->err == OK && r->status >= 200 && r->status < 300)
		s->outcome = LOGOUT_NOTICE_TAKEN;
	else if (r->err == OK && r->status == 400)
		s->outcome = LOGOUT_NOTICE_REFUSED;
	else
		s->outcome = LOGOUT_NOTICE_FAILED;
	s->abandoned = r->err == E_AGAIN;
	if (r->err == OK)
		snprintf(s->why, sizeof s->why, "it answered %d", r->status);
	else
		snprintf(s->why, sizeof s->why, "%.*s", (int)sizeof s->why - 1, r->message);
	come_back(s);
}

static enum err
post(struct sending *s, const struct generation *g, const struct client *client)
{
	static const char *const headers[] = { "Content-Type: application/x-www-form-urlencoded", "Cache-Control: no-store", NULL };
	struct buf body;
	enum err e;

	buf_init(&body, 0);
	buf_add_str(&body, "logout_token=");
	e = token_mint(s->sender->app, g, client, &s->notice.record, &body); /* of base64url and dots: nothing to encode */
	if (e == OK)
		e = fetch_start(s->sender->app->fetcher, &(struct fetch_request){ .method = "POST", .url = client->backchannel_logout_uri, .headers = headers, .body = buf_slice(&body),
			.timeout_ms = LOGOUT_SENDER_TIMEOUT_MS, .body_bytes_max = ANSWER_BYTES_MAX }, on_answer, s);
	buf_fini_secret(&body);
	return e;
}

static void
send_off(struct sending *s)
{
	struct generation *g = app_generation_acquire(s->sender->app);
	struct directory d = { .generation = g, .store = s->sender->app->store, .arena = &s->arena };
	const struct client *client;
	enum err e = directory_client(&d, s->notice.record.client_id, &client);

	if (e == E_EMPTY || (e == OK && (!client->backchannel_logout_uri || !client_backchannel_logout_uri_ok(client->backchannel_logout_uri)))) {
		s->outcome = LOGOUT_NOTICE_NOBODY;
		come_back(s);
	} else if (e != OK || (e = post(s, g, client)) != OK) {
		s->outcome = LOGOUT_NOTICE_FAILED;
		snprintf(s->why, sizeof s->why, "it could not be sent: %s", err_name(e));
		come_back(s);
	}
	app_generation_release(g);
}

static enum err
copy_into(struct arena *arena, struct slice *text)
{
	*text = arena_slice(arena, *text);
	return text->p ? OK : E_NOMEM;
}

/* E_NOMEM: it stays in the store and is found again. */
static enum err
begin(struct logout_sender *sender, const struct logout_notice_found *found)
{
	struct sending *s = calloc(1, sizeof *s);
	struct record_logout_notice *n;

	if (!s)
		return E_NOMEM;
	arena_init(&s->arena, ARENA_BYTES_MAX);
	s->sender = sender;
	s->notice = *found;
	n = &s->notice.record;
	if (copy_into(&s->arena, &n->client_id) != OK || copy_into(&s->arena, &n->sid) != OK || copy_into(&s->arena, &n->connector_id) != OK ||
		copy_into(&s->arena, &n->user_id) != OK) {
		arena_fini(&s->arena);
		free(s);
		return E_NOMEM;
	}
	sender->under_way[sender->n++] = s;
	send_off(s);
	return OK;
}

/* ---- what is due ---- */

static size_t
count_under_way(void *arg, struct slice client_key)
{
	const struct logout_sender *s = arg;
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += memcmp(s->under_way[i]->notice.key_bytes, client_key.p, client_key.n) == 0;
	return n;
}

static bool
is_under_way(void *arg, struct slice key)
{
	const struct logout_sender *s = arg;

	for (size_t i = 0; i < s->n; i++)
		if (slice_eq(slice_of(s->under_way[i]->notice.key_bytes, s->under_way[i]->notice.key_n), key))
			return true;
	return false;
}

/* Seconds until there is something to do. */
static int64_t
look(struct logout_sender *s)
{
	struct logout_notice_found found[LOGOUT_SENDER_AT_ONCE];
	int64_t now_s = clock_now_s(s->app->clock), wait_s = LOOK_AGAIN_S;
	struct arena arena;
	struct logout_notice_search search = { .arena = &arena, .now_s = now_s, .per_client_max = LOGOUT_SENDER_PER_CLIENT, .under_way = count_under_way,
		.is_under_way = is_under_way, .arg = s, .found = found, .max = LOGOUT_SENDER_AT_ONCE - s->n };

	if (clock_mono_ms(s->app->clock) < s->hold_until_ms)
		return HOLD_MS / 1000;
	arena_init(&arena, ARENA_BYTES_MAX);
	enum err e = store_read(s->app->store, logout_notice_search, &search);
	for (size_t i = 0; i < search.n && e == OK; i++)
		e = begin(s, &found[i]);
	arena_fini(&arena);
	if (e != OK)
		log_error("logout tokens cannot be looked after: trying again in a minute", LOG_STR("reason", err_name(e)));
	else if (search.next_due_at && search.next_due_at - now_s < wait_s)
		wait_s = search.next_due_at - now_s;
	return wait_s;
}

/* ---- what is back ---- */

static void
report(const struct sending *s, const struct logout_notice_settling *settled)
{
	const struct record_logout_notice *n = &s->notice.record;

	switch (s->outcome) {
	case LOGOUT_NOTICE_NOBODY:
		return;
	case LOGOUT_NOTICE_TAKEN:
		log_info("client told of a logout", LOG_SLICE("client", n->client_id), LOG_SLICE("sid", n->sid), LOG_INT("attempts", n->attempts + 1));
		return;
	case LOGOUT_NOTICE_REFUSED:
		log_warn("client refused to be told of a logout", LOG_SLICE("client", n->client_id), LOG_SLICE("sid", n->sid), LOG_STR("reason", s->why));
		return;
	case LOGOUT_NOTICE_FAILED:
		break;
	}
	if (settled->given_up)
		log_error("client was never told of a logout", LOG_SLICE("client", n->client_id), LOG_SLICE("sid", n->sid), LOG_INT("attempts", n->attempts + 1),
			LOG_STR("reason", s->why));
	else if (n->attempts == 0)
		log_warn("client could not be told of a logout: trying again", LOG_SLICE("client", n->client_id), LOG_SLICE("sid", n->sid),
			LOG_STR("reason", s->why));
}

static void
sending_free(struct logout_sender *sender, struct sending *s)
{
	for (size_t i = 0; i < sender->n; i++)
		if (sender->under_way[i] == s) {
			sender->under_way[i] = sender->under_way[--sender->n];
			break;
		}
	arena_fini(&s->arena);
	free(s);
}

/* What could not be written is sent again: a client is told twice rather than not at all. */
static void
settle(struct logout_sender *sender, struct sending *s)
{
	struct logout_notice_settling settling = { .notice = &s->notice, .outcome = s->outcome, .now_s = clock_now_s(sender->app->clock) };

	if (s->abandoned)
		return;
	if (store_write_wait(sender->app->store, logout_notice_settle, &settling) == OK) {
		report(s, &settling);
		return;
	}
	log_error("what became of a logout token could not be stored", LOG_SLICE("client", s->notice.record.client_id));
	sender->hold_until_ms = clock_mono_ms(sender->app->clock) + HOLD_MS;
}

static void
settle_all(struct logout_sender *sender, struct sending *back)
{
	while (back) {
		struct sending *next = back->next;
		settle(sender, back);
		sending_free(sender, back);
		back = next;
	}
}

/* ---- the thread ---- */

static void
wait_for_work(struct logout_sender *s, int64_t wait_s)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_s;
	while (!s->woken && !s->stopping)
		if (pthread_cond_timedwait(&s->changed, &s->lock, &until) != 0)
			break;
	s->woken = false;
}

static void *
run(void *arg)
{
	struct logout_sender *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stopping) {
		struct sending *back = s->back;
		s->back = NULL;
		pthread_mutex_unlock(&s->lock);
		settle_all(s, back);
		int64_t wait_s = look(s);
		pthread_mutex_lock(&s->lock);
		wait_for_work(s, wait_s);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void
wake(void *arg)
{
	struct logout_sender *s = arg;

	pthread_mutex_lock(&s->lock);
	s->woken = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

enum err
logout_sender_start(struct authd *app, struct logout_sender **out)
{
	struct logout_sender *s = calloc(1, sizeof *s);
	pthread_condattr_t monotonic;

	if (!s)
		return E_NOMEM;
	s->app = app;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*out = s;
	if (pthread_create(&s->thread, NULL, run, s) != 0)
		return E_SYSTEM;
	s->running = true;
	revocations_follow(app->revocations, wake, s);
	return OK;
}

void
logout_sender_stop(struct logout_sender *s)
{
	if (!s || !s->running)
		return;
	revocations_follow(s->app->revocations, NULL, NULL);
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	s->running = false;
}

void
logout_sender_free(struct logout_sender *s)
{
	if (!s)
		return;
	while (s->n)
		sending_free(s, s->under_way[0]);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
