#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "authd/app.h"
#include "authd/confine.h"
#include "authd/counters.h"
#include "authd/directory.h"
#include "authd/limiter.h"
#include "authd/logout_sender.h"
#include "authd/revocation.h"
#include "authd/routes.h"
#include "oidc/base64url.h"
#include "shared/log.h"
#include "shared/process.h"
#include "shared/sandbox.h"

#define STOP_DEADLINE_MS 30000 /* the slowest thing that is waited for is a connector: three calls of 10 s */
#define TICK_MS 1000

struct generation *
app_generation_acquire(struct authd *app)
{
	struct generation *g;

	pthread_mutex_lock(&app->generation_lock);
	g = app->generation;
	atomic_fetch_add(&g->refs, 1);
	pthread_mutex_unlock(&app->generation_lock);
	return g;
}

/* E_LIMIT: a stored client's tokens live longer than keys of this configuration could stay published (of the configured ones it has been checked). */
static enum err
keys_options_of(const struct authd *app, const struct generation *g, struct keys_options *out, char *why, size_t why_n)
{
	struct directory d = { .generation = g, .store = app->store };
	struct directory_needs needs;
	enum err e = directory_needs(&d, &needs);

	*out = (struct keys_options){ .alg = g->config->alg, .client_algs = needs.algs, .rotation_period_s = g->config->expiry.signing_keys_ms / 1000,
		.token_lifetime_max_s = needs.tokens_s, .clock = app->clock };
	if (e != OK)
		snprintf(why, why_n, "stored clients cannot be read (%s)", err_name(e));
	if (e != OK || out->token_lifetime_max_s / out->rotation_period_s <= KEYS_RETIRED_MAX)
		return e;
	snprintf(why, why_n, "%s: expiry.signingKeys: tokens of a stored client live %lld s, which may be %d times this period: so many keys would have to stay published "
		"(authd ctl clients list)", g->config->file, (long long)out->token_lifetime_max_s, KEYS_RETIRED_MAX);
	return E_LIMIT;
}

enum err
app_keys_prepare(struct authd *app, const struct directory_needs *wanted)
{
	return keys_prepare(app->keys, wanted->algs, wanted->tokens_s);
}

void
app_keys_update(struct authd *app)
{
	struct keys_options o;
	char why[512];

	pthread_mutex_lock(&app->needs_lock);
	struct generation *g = app_generation_acquire(app);
	enum err e = keys_options_of(app, g, &o, why, sizeof why);
	if (e == OK)
		keys_reconfigure(app->keys, &o);
	app_generation_release(g);
	pthread_mutex_unlock(&app->needs_lock);
	if (e != OK)
		log_error("signing keys are made as before: what clients want of them is not known", LOG_STR("reason", why));
	atomic_store(&app->keys_due_ms, 0);
}

static void
log_configure(const struct generation *g)
{
	const struct config_strings *exclude = &g->config->log.exclude;

	log_setup("authd", 2, (enum log_level)g->config->log.level, (enum log_format)g->config->log.format);
	if (log_exclude(exclude->items, exclude->n) != OK)
		log_error("out of memory: logger.excludeFields is as it was before");
}

void
app_password_cost_update(struct authd *app)
{
	struct generation *g = app_generation_acquire(app);
	struct directory d = { .generation = g, .store = app->store };

	password_pool_set_cost(app->passwords, directory_password_cost(&d));
	app_generation_release(g);
}

static enum err
pools_start(struct authd *app, char *why, size_t why_n)
{
	struct server_options o = { .clock = app->clock, .rng = app->rng, .app = app, .handle = routes_handle, .release = routes_release,
		.answered = routes_answered };

	app->passwords = password_pool_new(0, 0);
	if (app->passwords)
		app_password_cost_update(app);
	app->limiter = limiter_new(app->clock, app->rng);
	app->server = server_new(&o);
	if (app->passwords && app->limiter && app->server)
		return OK;
	snprintf(why, why_n, "out of memory");
	return E_NOMEM;
}

static enum err
storage_open(struct authd *app, char *why, size_t why_n)
{
	struct store_options o = { .path = app->generation->config->storage.path, .clock = app->clock, .keys = app->generation->config->storage.keys };
	struct keys_options ko;
	enum err e = store_open(&o, &app->store, why, why_n);

	if (e == OK)
		e = keys_options_of(app, app->generation, &ko, why, why_n);
	if (e == OK)
		e = keys_open(app->store, &ko, &app->keys, why, why_n);
	return e == OK ? revocations_open(app->store, app->rng, &app->revocations, why, why_n) : e;
}

static enum err
listeners_open(struct authd *app, const struct generation *g, char *why, size_t why_n)
{
	struct server_listen want[SERVER_LISTENERS_MAX];
	int n = snprintf(why, why_n, "%s: ", g->config->file);
	size_t at = n < 0 || (size_t)n >= why_n ? 0 : (size_t)n;

	return server_listen(app->server, want, app_generation_listeners(g, want), why + at, why_n - at);
}

static enum err
privileges_drop(const struct generation *g, char *why, size_t why_n)
{
	enum err e = process_drop(g->config->user);

	if (e == E_EMPTY)
		snprintf(why, why_n, "%s: user: there is no user \"%s\" on this machine", g->config->file, g->config->user);
	else if (e != OK)
		snprintf(why, why_n, "%s: user: cannot give up privileges: %s", g->config->file, e == E_SYSTEM ? strerrordesc_np(errno) : err_name(e));
	return e;
}

static enum err
confined(enum err e, char *why, size_t why_n)
{
	if (e != OK)
		snprintf(why, why_n, "the process cannot be confined: %s", e == E_SYSTEM ? strerrordesc_np(errno) : err_name(e));
	return e;
}

enum err
app_start(struct authd *app, const char *config_path, char *why, size_t why_n)
{
	struct fetcher_options fo = { .user_agent = "gatehouse-authd/" GATEHOUSE_VERSION };
	enum err e;

	pthread_mutex_init(&app->generation_lock, NULL);
	pthread_mutex_init(&app->needs_lock, NULL);
	app->started_at = clock_now_s(app->clock);
	app->memory_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	app->counters = counters_new();
	app->fetcher = app->counters ? fetcher_new(&fo) : NULL;
	if (!app->fetcher) {
		snprintf(why, why_n, "out of memory");
		return E_NOMEM;
	}
	e = app_generation_load(config_path, app->clock, app->fetcher, app->counters, &app->generation, why, why_n);
	if (e != OK)
		return e;
	log_configure(app->generation);
	sandbox_log_support();
	if (geteuid() == 0 && !app->generation->config->user)
		log_warn("running as root: set user in the configuration");
	app->files_confined = sandbox_support().landlock > 0;
	e = privileges_drop(app->generation, why, why_n);
	if (e == OK)
		e = confined(authd_confine_files(app->generation->config), why, why_n); /* before there is a second thread */
	if (e == OK)
		e = storage_open(app, why, why_n);
	if (e == OK)
		e = pools_start(app, why, why_n);
	if (e == OK)
		e = confined(authd_confine_calls(), why, why_n);
	if (e == OK && (e = logout_sender_start(app, &app->logout_sender)) != OK)
		snprintf(why, why_n, "cannot start a thread for logout tokens");
	if (e == OK)
		e = listeners_open(app, app->generation, why, why_n);
	return e;
}

/* Requests first: they use all the rest. Each pool then ends what it has, which nobody waits for any more. */
bool
app_stop(struct authd *app)
{
	revocations_stop(app->revocations); /* who waits for news would be waited for */
	bool drained = !app->server || server_quiesce(app->server, STOP_DEADLINE_MS);

	logout_sender_stop(app->logout_sender); /* it writes to the store */
	if (!drained) {
		store_close(app->store);
		return false;
	}
	server_free(app->server);
	password_pool_free(app->passwords);
	if (app->generation)
		app_generation_release(app->generation);
	if (app->fetcher)
		fetcher_free(app->fetcher);
	logout_sender_free(app->logout_sender); /* whose tokens the fetcher had */
	keys_close(app->keys);
	store_close(app->store);
	revocations_close(app->revocations); /* which the store has told until now */
	limiter_free(app->limiter);
	counters_free(app->counters);
	if (app->memory_fd >= 0)
		close(app->memory_fd);
	pthread_mutex_destroy(&app->needs_lock);
	pthread_mutex_destroy(&app->generation_lock);
	return true;
}

/* What its clients want is there before they can ask for it. */
static enum err
keys_follow(struct authd *app, const struct generation *new, char *why, size_t why_n)
{
	struct keys_options ko;
	enum err e = keys_options_of(app, new, &ko, why, why_n);

	if (e != OK)
		return e;
	e = keys_prepare(app->keys, ko.client_algs, ko.token_lifetime_max_s);
	if (e != OK)
		snprintf(why, why_n, "%s: signing keys for it cannot be made (%s)", new->config->file, err_name(e));
	return e;
}

static enum err
generation_switch(struct authd *app, struct generation *new, char *why, size_t why_n)
{
	struct generation *old = app->generation;
	enum err e = app_generation_may_follow(old, new, why, why_n);

	if (e == OK)
		e = keys_follow(app, new, why, why_n);
	if (e == OK && (e = listeners_open(app, new, why, why_n)) != OK)
		app_keys_update(app); /* the keys of before will do */
	if (e != OK)
		return e;
	pthread_mutex_lock(&app->generation_lock);
	app->generation = new;
	pthread_mutex_unlock(&app->generation_lock);
	app_keys_update(app);
	app_password_cost_update(app);
	log_configure(new);
	app_generation_release(old);
	return OK;
}

enum err
app_reload(struct authd *app, const char *config_path, char *why, size_t why_n)
{
	struct generation *new;
	enum err e = app_generation_load(config_path, app->clock, app->fetcher, app->counters, &new, why, why_n);

	if (e == OK && (e = generation_switch(app, new, why, why_n)) != OK)
		app_generation_free(new);
	counters_reload(app->counters, e == OK);
	return e;
}

enum err
app_rotate(struct authd *app, enum jws_alg alg)
{
	enum err e = keys_rotate(app->keys, alg);

	atomic_store(&app->keys_due_ms, 0); /* to say when it becomes active */
	return e;
}

int64_t
app_tick(struct authd *app)
{
	uint64_t now_ms = clock_mono_ms(app->clock), ticking = 1;
	int64_t next_s = 60;

	server_tick(app->server);
	revocations_tick(app->revocations, now_ms);
	if (now_ms < atomic_load(&app->keys_due_ms))
		return TICK_MS;
	atomic_store(&app->keys_due_ms, ticking); /* a rotation meanwhile makes it 0, and so due again */
	if (keys_tick(app->keys, &next_s) != OK) {
		log_error("signing keys could not be looked after: trying again in a minute");
		next_s = 60;
	}
	atomic_compare_exchange_strong(&app->keys_due_ms, &ticking, now_ms + (uint64_t)(next_s > 0 ? next_s : 1) * 1000);
	return TICK_MS;
}

/* ---- for handlers ---- */

struct write {
	struct request *r;
	enum err (*fn)(struct store_txn *t, void *arg);
	void *arg;
	void (*next)(struct request *r, enum err result);
	enum err result;
};

static void
write_resumed(struct request *r)
{
	struct write *w = r->write;

	if (w->result != OK && w->result != E_CONFLICT)
		log_error("store write failed", LOG_STR("reason", err_name(w->result)), LOG_REQ(r->id));
	w->next(r, w->result);
}

static enum err
write_run(struct store_txn *t, void *arg)
{
	struct write *w = arg;

	return w->fn(t, w->arg);
}

static void
write_done(void *arg, enum err result)
{
	struct write *w = arg;

	w->result = result;
	request_resume(w->r);
}

void
request_write(struct request *r, enum err (*fn)(struct store_txn *t, void *arg), void *arg, void (*next)(struct request *r, enum err result))
{
	struct write *w = arena_alloc(&r->arena, sizeof *w);
	enum err e;

	if (!w) {
		next(r, E_NOMEM);
		return;
	}
	*w = (struct write){ r, fn, arg, next, OK };
	r->write = w;
	request_wait(r, write_resumed);
	e = store_write(r->app->store, write_run, write_done, w);
	if (e != OK)
		write_done(w, e);
}

struct slice
request_secret(struct request *r, size_t n)
{
	unsigned char bytes[64];
	char *text = arena_alloc(&r->arena, BASE64URL_ENCODED_BYTES(sizeof bytes) + 1);

	if (!text || n > sizeof bytes || rng_fill(r->app->rng, bytes, n) != OK)
		return SLICE_NONE;
	n = base64url_encode(bytes, n, text);
	OPENSSL_cleanse(bytes, sizeof bytes);
	return slice_of(text, n);
}
