#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "oidc/discovery.h"
#include "oidc/jwk_set.h"
#include "proxyd/keeper_fetch.h"
#include "proxyd/keeper_plan.h"

#define FETCH_TIMEOUT_MS 10000
#define URL_BYTES_MAX 4096

static void finished_on_loop(struct loop_watch *w, uint32_t events);
static void finished_on_thread(void *arg, struct fetch_result *r);
static void transfer(struct keeper_fetch *f, const char *url, size_t bytes_max);
static void read_discovery(struct keeper_fetch *f, struct slice json);
static void read_keys(struct keeper_fetch *f, struct slice json);
static void fail(struct keeper_fetch *f, enum err err, const char *fmt, ...) PRINTF_LIKE(3, 4);

enum err
keeper_handover_init(struct keeper_handover *h, struct loop *loop)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return E_SYSTEM;
	pthread_mutex_init(&h->lock, NULL);
	h->finished = NULL;
	h->watch = (struct loop_watch){ .fd = fd, .on_event = finished_on_loop };
	return loop_add(loop, &h->watch, EPOLLIN);
}

void
keeper_fetch_start(struct keeper_fetch *f)
{
	struct buf url;

	buf_init(&url, URL_BYTES_MAX);
	f->step = KEEPER_FETCH_DISCOVERY;
	if (keeper_discovery_url(f->jwt, &url))
		fail(f, E_FORMAT, "the discovery address is too long");
	else
		transfer(f, url.p, DISCOVERY_BYTES_MAX);
	buf_fini(&url);
}

void
keeper_fetch_fini(struct keeper_fetch *f)
{
	buf_fini(&f->result.body);
}

enum err
keeper_discovery_url(const struct proxyd_jwt *jwt, struct buf *url)
{
	struct url issuer;

	if (jwt->issuer.discovery_url && !jwt->socket) {
		buf_add_str(url, jwt->issuer.discovery_url);
		return buf_ok(url) ? OK : E_LIMIT;
	}
	enum err e = url_parse(slice_str(jwt->issuer.url), &issuer);
	if (e)
		return e;
	while (issuer.path.n && issuer.path.p[issuer.path.n - 1] == '/') /* OpenID Connect Discovery 1.0 section 4 */
		issuer.path.n--;
	buf_add_str(url, jwt->socket ? "http://" : "https://");
	buf_add_slice(url, issuer.authority);
	buf_add_slice(url, issuer.path);
	buf_add_str(url, DISCOVERY_PATH);
	return buf_ok(url) ? OK : E_LIMIT;
}

enum err
keeper_keys_url(const struct proxyd_jwt *jwt, struct slice jwks_uri, struct buf *url, const char **why)
{
	struct url issuer, keys;

	*why = "its jwks_uri is not an https URL";
	if (url_parse(slice_str(jwt->issuer.url), &issuer) || url_parse(jwks_uri, &keys) || !keys.tls)
		return E_FORMAT;
	*why = "its jwks_uri is not on the issuer's own origin, the only one behind a socket";
	if (jwt->socket && !slice_eq(keys.origin, issuer.origin))
		return E_FORMAT;
	*why = "its jwks_uri is too long";
	if (!jwt->socket) {
		buf_add_slice(url, jwks_uri);
		return buf_ok(url) ? OK : E_LIMIT;
	}
	buf_add_str(url, "http://");
	buf_add_slice(url, keys.authority);
	buf_add_slice(url, keys.path);
	if (keys.query.n) {
		buf_add_char(url, '?');
		buf_add_slice(url, keys.query);
	}
	return buf_ok(url) ? OK : E_LIMIT;
}

static void
end(struct keeper_fetch *f, enum err err, struct slice keys, size_t key_n, int64_t max_age_s, const char *why)
{
	f->step = KEEPER_FETCH_IDLE;
	f->done(f, err, keys, key_n, max_age_s, why);
}

static void
fail(struct keeper_fetch *f, enum err err, const char *fmt, ...)
{
	char why[KEEPER_WHY_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	end(f, err, SLICE_NONE, 0, -1, why);
}

static const char *
step_name(const struct keeper_fetch *f)
{
	return f->step == KEEPER_FETCH_DISCOVERY ? "discovery document" : "key set";
}

static void
transfer(struct keeper_fetch *f, const char *url, size_t bytes_max)
{
	static const char *const headers[] = { "Accept: application/json", NULL };
	struct fetch_request r = {
		.method = "GET",
		.url = url,
		.unix_socket = f->jwt->socket,
		.headers = headers,
		.ca_file = f->ca_path,
		.timeout_ms = FETCH_TIMEOUT_MS,
		.body_bytes_max = bytes_max,
	};
	enum err e = fetch_start(f->fetcher, &r, finished_on_thread, f);

	if (e)
		fail(f, e, "%s: cannot start the transfer: %s", step_name(f), err_name(e));
}

static void
finished_on_thread(void *arg, struct fetch_result *r)
{
	struct keeper_fetch *f = arg;
	struct slice cache_control = fetch_header(r, "Cache-Control");
	uint64_t one = 1;

	f->result = *r;
	snprintf(f->cache_control, sizeof(f->cache_control), "%.*s", SLICE_FMT(cache_control));
	buf_init(&r->body, 0); /* moved */
	buf_init(&f->result.headers, 0); /* r keeps them */
	pthread_mutex_lock(&f->handover->lock);
	f->next = f->handover->finished;
	f->handover->finished = f;
	pthread_mutex_unlock(&f->handover->lock);
	/* Fails only when 2^64 - 2 fetches wait unread: then the descriptor is readable anyway. */
	ssize_t written = write(f->handover->watch.fd, &one, sizeof(one));
	(void)written;
}

/* Common to both documents: a transport error, or an answer that is none. */
static bool
answered(struct keeper_fetch *f)
{
	const struct fetch_result *r = &f->result;

	if (r->err == OK && r->status == 200)
		return true;
	if (r->err == E_LIMIT)
		fail(f, E_LIMIT, "%s: too large", step_name(f));
	else if (r->err)
		fail(f, r->err, "%s: %s", step_name(f), r->message);
	else if (r->status >= 300 && r->status < 400)
		fail(f, E_FORMAT, "%s: answered with status %d: redirects are not followed", step_name(f), r->status);
	else
		fail(f, E_FORMAT, "%s: answered with status %d", step_name(f), r->status);
	return false;
}

static void
finished_on_loop(struct loop_watch *w, uint32_t events)
{
	struct keeper_handover *h = (struct keeper_handover *)w; /* its first member */
	uint64_t count;

	(void)events;
	ssize_t n = read(w->fd, &count, sizeof(count));
	(void)n; /* only resets the event; the list says what there is */
	pthread_mutex_lock(&h->lock);
	struct keeper_fetch *f = h->finished;
	h->finished = NULL;
	pthread_mutex_unlock(&h->lock);
	while (f) {
		struct keeper_fetch *next = f->next;
		struct buf body = f->result.body;
		buf_init(&f->result.body, 0); /* the next transfer fills it from the other thread */
		if (answered(f))
			(f->step == KEEPER_FETCH_DISCOVERY ? read_discovery : read_keys)(f, buf_slice(&body));
		buf_fini(&body);
		f = next;
	}
}

static void
read_discovery(struct keeper_fetch *f, struct slice json)
{
	struct discovery document;
	struct arena arena;
	struct buf url;
	const char *why = "";

	arena_init(&arena, 4 * DISCOVERY_BYTES_MAX);
	buf_init(&url, URL_BYTES_MAX);
	enum err e = discovery_parse(json, f->jwt->issuer.url, &arena, &document, &why);
	if (!e)
		e = keeper_keys_url(f->jwt, document.jwks_uri, &url, &why);
	if (e) {
		fail(f, e, "discovery document: %s", why);
	} else {
		f->step = KEEPER_FETCH_KEYS;
		transfer(f, url.p, JWK_SET_BYTES_MAX);
	}
	buf_fini(&url);
	arena_fini(&arena);
}

static void
read_keys(struct keeper_fetch *f, struct slice json)
{
	struct jwk_set set;
	size_t skipped = 0;

	enum err e = jwk_set_parse(json, &set, &skipped);
	if (e == E_EMPTY) {
		fail(f, e, "key set: no key in it can verify a token (%zu of other kinds)", skipped);
	} else if (e) {
		fail(f, e, "key set: not a JWK Set, or it names one kid twice");
	} else {
		size_t n = set.n;
		jwk_set_fini(&set);
		end(f, OK, json, n, keeper_max_age_s(slice_str(f->cache_control)), NULL);
	}
}
