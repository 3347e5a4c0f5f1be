/* app.h - what every handler of authd reaches: the store, the keys, the pools, and the configuration of the moment.
 *
 * A configuration and what was prepared from it is a generation: immutable and counted. A request keeps the one that it started with, so a reload
 * never changes the rules under it. */
#ifndef AUTHD_APP_H
#define AUTHD_APP_H

#include <pthread.h>
#include <stdatomic.h>
#include "authd/config.h"
#include "authd/connector.h"
#include "authd/keys.h"
#include "authd/password.h"
#include "authd/request.h"
#include "authd/server.h"
#include "authd/store.h"
#include "oidc/token_request.h"
#include "shared/fetch.h"

#define AUTH_REQUESTS_MAX 10000 /* sign-ins under way; about 1 KiB each. The ones that expire first make room for new ones */

struct limiter;
struct counters;
struct logout_sender;
struct revocations;

struct generation {
	atomic_uint refs;
	struct arena arena;
	struct authd_config *config;
	struct connector **connectors; /* as configured; local passwords are not among them */
	size_t connector_n;
	struct slice path;             /* of the issuer: "" or "/oidc" */
	struct slice origin;           /* of the issuer: "https://gw.example" */
	bool secure;                   /* the issuer is https: cookies are Secure, names may start with __Host- */
	const char *session_cookie, *login_cookie; /* names */
	struct slice discovery[2];     /* prepared answers: with RS256 alone; with ES256 too */
	struct slice gateway_ca;       /* PEM of console.certificateAuthority; empty: none */
};

struct authd {
	const struct clock *clock;
	const struct rng *rng;
	struct store *store;
	struct keys *keys;
	struct password_pool *passwords;
	struct fetcher *fetcher;
	struct limiter *limiter;
	struct counters *counters;
	struct server *server;
	struct revocations *revocations;
	struct logout_sender *logout_sender;
	pthread_mutex_t generation_lock;
	pthread_mutex_t needs_lock;    /* what clients want of the keys is counted by one at a time */
	struct generation *generation; /* the current one */
	_Atomic uint64_t keys_due_ms;  /* when app_tick looks after the keys next */
	int64_t started_at;
	int memory_fd;                 /* /proc/self/statm, opened before files are closed to us; -1: it is not there */
	bool files_confined;           /* to folders that the first configuration named */
};

/* Read the file and prepare everything; nothing is changed anywhere. why: "FILE:LINE: key: …". fetcher: what connectors call
 * their upstreams with (NULL for --check); counters: where they count that (NULL: nowhere). */
MUST_CHECK enum err app_generation_load(const char *config_path, const struct clock *clock, struct fetcher *fetcher, struct counters *counters,
	struct generation **out, char *why, size_t why_n);
/* Whether a running authd may go from old to new; why says what needs a restart. */
MUST_CHECK enum err app_generation_may_follow(const struct generation *old, const struct generation *new, char *why, size_t why_n);
/* What server_listen wants of it; texts are its own. Returns how many. */
size_t app_generation_listeners(const struct generation *g, struct server_listen out[SERVER_LISTENERS_MAX]);
void app_generation_free(struct generation *g);

struct generation *app_generation_acquire(struct authd *app);
void app_generation_release(struct generation *g);
/* By id; NULL: there is none. */
struct connector *app_generation_connector(const struct generation *g, struct slice id);
/* A connector of that id, local passwords included, that the client (NULL: the console) may be signed in with for all of grants (GRANT_BITs). */
bool app_generation_connector_allowed(const struct generation *g, struct slice id, const struct client *client, unsigned grants);
/* Whether the client may use a grant, as far as the configuration says. */
bool app_generation_grant_allowed(const struct generation *g, enum grant_type grant, const struct client *client);

/* Start everything from a configuration file; why as above. After an error app_stop frees what was started. */
MUST_CHECK enum err app_start(struct authd *app, const char *config_path, char *why, size_t why_n);
/* Finish what is under way, then stop. False: some request did not end in time; the store is closed, and the caller must leave the process at once. */
bool app_stop(struct authd *app);
/* Validate, then switch. On an error the old configuration stays in force. */
MUST_CHECK enum err app_reload(struct authd *app, const char *config_path, char *why, size_t why_n);
/* After a change of anybody's hash: what an unknown person costs. Any thread. */
void app_password_cost_update(struct authd *app);
/* Before clients come into force: keys for what they want of them (directory.h). After an error nothing has changed. Waits for the store, as app_rotate does. */
struct directory_needs;
MUST_CHECK enum err app_keys_prepare(struct authd *app, const struct directory_needs *wanted);
/* After a change of anybody: keys for what is wanted now, no more. Any thread. */
void app_keys_update(struct authd *app);
/* Rotate signing keys now: of one algorithm, or (JWS_ALG_NONE) all. E_EMPTY: it is not in use. Any thread but a server's for everybody: it waits for the store. */
MUST_CHECK enum err app_rotate(struct authd *app, enum jws_alg alg);
/* What is due now: keys, listeners. Returns milliseconds until it should be called again. */
int64_t app_tick(struct authd *app);

/* Run fn(txn, arg) on the store's writer while the request waits, then next(r, result). fn may run more than once (a grown map): it must set all of its
 * results each time. It has the request's arena to itself. */
void request_write(struct request *r, enum err (*fn)(struct store_txn *t, void *arg), void *arg, void (*next)(struct request *r, enum err result));

/* n random bytes as base64url in the arena; .p NULL: no randomness or no memory. */
struct slice request_secret(struct request *r, size_t n);
static inline int64_t
request_now_s(const struct request *r)
{
	return clock_now_s(r->app->clock);
}

#endif
