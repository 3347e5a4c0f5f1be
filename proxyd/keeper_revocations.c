#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "proxyd/keeper_revocations.h"
#include "shared/log.h"

#define URL_BYTES_MAX 4096

static struct keeper_revocations *
of_watch(struct loop_watch *w)
{
	return (struct keeper_revocations *)((char *)w - offsetof(struct keeper_revocations, watch));
}

/* ---- the set ---- */

static enum err
take(struct keeper_revocations *k, const struct revoked_entry *more, size_t n)
{
	size_t dropped, before = k->n;
	enum err e = revocation_news_merge(&k->set, &k->n, more, n, clock_now_s(k->clock), &dropped);

	if (e != OK)
		return e;
	if (dropped)
		log_warn("more ended sessions than can be kept: those whose tokens expire first are forgotten", LOG_UINT("forgotten", dropped));
	if (n || k->n != before)
		revoked_publish(keycache_revoked_writable(k->keycache), k->set, k->n);
	if (n && k->changed)
		k->changed(k);
	return OK;
}

void
keeper_revocations_seed(struct keeper_revocations *k, const struct keycache *old)
{
	struct revoked_entry *all = calloc(REVOKED_MAX, sizeof(*all));
	size_t n = 0;
	enum err e = all ? revoked_copy(keycache_revoked(old), all, &n) : E_NOMEM;

	if (e == OK)
		e = take(k, all, n);
	if (e != OK)
		log_warn("ended sessions of the last keeper could not be taken over", LOG_STR("reason", err_name(e)));
	free(all);
}

/* ---- asking ---- */

static void ask(struct keeper_revocations *k);

static void
on_due(struct loop_timer *t)
{
	ask((struct keeper_revocations *)((char *)t - offsetof(struct keeper_revocations, timer)));
}

static void
ask_in(struct keeper_revocations *k, uint64_t delay_ms)
{
	if (loop_timer_set(k->loop, &k->timer, delay_ms)) {
		log_error("keeper ends", LOG_STR("reason", "no memory for a timer"));
		loop_stop(k->loop); /* the successor starts afresh */
	}
}

static void
failed(struct keeper_revocations *k, const char *why, uint64_t at_least_ms)
{
	uint64_t delay_ms = (uint64_t)KEEPER_REVOCATIONS_RETRY_MIN_MS << (k->failures < 4 ? k->failures : 4);

	if (k->failures++ == 0)
		log_warn("news of ended sessions cannot be read", LOG_STR("reason", why), LOG_UINT("sessions_kept", k->n));
	if (delay_ms > KEEPER_REVOCATIONS_RETRY_MAX_MS)
		delay_ms = KEEPER_REVOCATIONS_RETRY_MAX_MS;
	ask_in(k, delay_ms > at_least_ms ? delay_ms : at_least_ms);
}

static void
on_fetched(void *arg, struct fetch_result *r)
{
	struct keeper_revocations *k = arg;
	uint64_t one = 1;

	pthread_mutex_lock(&k->lock);
	k->result = *r;
	buf_init(&r->body, 0); /* moved */
	buf_init(&k->result.headers, 0); /* r keeps them */
	pthread_mutex_unlock(&k->lock);
	ssize_t written = write(k->watch.fd, &one, sizeof(one));
	(void)written; /* one answer at a time cannot overflow it */
}

/* E_LIMIT: too long. */
static enum err
url_add(const struct keeper_revocations *k, struct buf *url)
{
	struct slice issuer = slice_str(k->jwt->issuer.url);

	if (k->jwt->socket) {
		buf_add_str(url, "http://localhost/internal/revocations");
	} else {
		buf_add_slice(url, issuer);
		buf_add_str(url, slice_has_suffix(issuer, SLICE_LIT("/")) ? "revocations" : "/revocations");
	}
	if (k->epoch[0])
		buf_printf(url, "?epoch=%s&after=%lld%s", k->epoch, (long long)k->sequence, k->failures ? "&wait=0" : "");
	return buf_ok(url) ? OK : E_LIMIT;
}

static void
ask(struct keeper_revocations *k)
{
	char authorization[sizeof("Authorization: Bearer ") + BEARER_BYTES_MAX] = "";
	const char *const headers[] = { "Accept: application/json", k->secret ? authorization : NULL, NULL };
	struct buf url;

	buf_init(&url, URL_BYTES_MAX);
	snprintf(authorization, sizeof(authorization), "Authorization: Bearer %s", k->secret ? k->secret : "");
	enum err e = url_add(k, &url);
	if (e == OK)
		e = fetch_start(k->fetcher, &(struct fetch_request){ .method = "GET", .url = url.p, .unix_socket = k->jwt->socket, .headers = headers,
			.ca_file = k->ca_path, .timeout_ms = KEEPER_REVOCATIONS_HELD_MS, .body_bytes_max = REVOCATION_NEWS_BYTES_MAX }, on_fetched, k);
	explicit_bzero(authorization, sizeof(authorization));
	buf_fini(&url);
	if (e != OK)
		failed(k, err_name(e), 0);
}

static void
take_answer(struct keeper_revocations *k, const struct fetch_result *r)
{
	struct revocation_news news;
	bool first = k->failures || !k->epoch[0]; /* and therefore not held */
	enum err e = revocation_news_parse(buf_slice(&r->body), &news);

	if (e == OK && (e = take(k, news.revoked, news.n)) == OK) {
		if (first)
			log_info("following news of ended sessions", LOG_UINT("sessions", k->n));
		k->failures = 0;
		memcpy(k->epoch, news.epoch, sizeof(k->epoch));
		k->sequence = news.sequence;
	}
	if (e != OK)
		failed(k, e == E_FORMAT ? "not the answer that was expected" : err_name(e), KEEPER_REVOCATIONS_RETRY_MAX_MS);
	else /* an answer without news that was not held would be asked for without end */
		ask_in(k, news.n || r->total_ms >= KEEPER_REVOCATIONS_RETRY_MAX_MS || first ? 0 : KEEPER_REVOCATIONS_RETRY_MIN_MS);
	if (e == OK)
		revocation_news_fini(&news);
}

static void
on_answer(struct loop_watch *w, uint32_t events)
{
	struct keeper_revocations *k = of_watch(w);
	struct fetch_result r;
	uint64_t count;

	(void)events;
	ssize_t n = read(w->fd, &count, sizeof(count));
	(void)n; /* only resets the event */
	pthread_mutex_lock(&k->lock);
	r = k->result;
	buf_init(&k->result.body, 0);
	pthread_mutex_unlock(&k->lock);
	if (r.err != OK)
		failed(k, r.message, 0);
	else if (r.status == 404)
		failed(k, k->secret ? "the issuer has none: revocations.secretFile is needed in its configuration" : "the issuer has none", KEEPER_REVOCATIONS_ABSENT_MS);
	else if (r.status == 401 || r.status == 403)
		failed(k, "the issuer has another secret than authentication.session.revocationsSecretFile", KEEPER_REVOCATIONS_ABSENT_MS);
	else if (r.status != 200)
		failed(k, "answered with another status than 200", 0);
	else
		take_answer(k, &r);
	buf_fini(&r.body);
	k->answered = true;
	k->tried(k);
}

enum err
keeper_revocations_start(struct keeper_revocations *k)
{
	int fd;

	if (!k->jwt)
		return OK;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return E_SYSTEM;
	pthread_mutex_init(&k->lock, NULL);
	k->watch = (struct loop_watch){ .fd = fd, .on_event = on_answer };
	k->timer.on_due = on_due;
	enum err e = loop_add(k->loop, &k->watch, EPOLLIN);
	if (e == OK)
		ask(k);
	return e;
}

void
keeper_revocations_fini(struct keeper_revocations *k)
{
	if (k->watch.on_event) {
		buf_fini(&k->result.body);
		pthread_mutex_destroy(&k->lock);
		close(k->watch.fd);
	}
	free(k->set);
}
