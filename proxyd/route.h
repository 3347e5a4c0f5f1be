/* route.h - which destination a path belongs to. The bytes that are matched are the bytes that are forwarded: nothing is decoded or cleaned.
 *
 * Owns: one upstream per cluster, per socket and per URL of a route, and the prepared forward_targets. */
#ifndef PROXYD_ROUTE_H
#define PROXYD_ROUTE_H

#include "proxyd/config.h"
#include "proxyd/forward.h"
#include "proxyd/tls.h"
#include "proxyd/upstream.h"

struct router;

enum route_access {
	ROUTE_FOR_CALLERS,  /* whoever is known */
	ROUTE_FOR_BROWSERS, /* who is signed in in their browser */
	ROUTE_FOR_ALL       /* nobody is asked */
};

struct destination {
	struct forward_target forward;
	struct upstream *upstream;
	const char *name;            /* the cluster's, or the route's path: for the log */
	struct metrics_target *metrics; /* NULL: those of no cluster */
	const char *host;            /* of a route: the only one; NULL: any */
	enum route_access access;
	const struct config_strings *groups;  /* the caller has to be in one of them; none: all who are known; NULL with ROUTE_FOR_ALL */
	const struct config_strings *origins; /* whose pages are taken for ours; NULL: nobody else's */
	const char *audience;        /* FORWARD_BEARER: whose ID token of a session is passed on; NULL: the session's own */
	size_t audience_at;          /* its line in identity.id_tokens */
	bool local;                  /* on this machine, without TLS: another connection costs nothing worth naming */
	bool impersonation_reviewed; /* --as is asked about instead of refused */
	uint64_t role_silent_until_ms; /* before that nothing is said of a missing right */
};

enum route_verdict {
	ROUTE_FOUND,
	ROUTE_NO_CLUSTER, /* /clusters/<name> that is not configured: 404, but only to somebody who is signed in */
	ROUTE_NONE,       /* no default cluster */
	ROUTE_AMBIGUOUS   /* escaped so that it belongs elsewhere to those who undo it: 400 */
};

/* Resolves names (blocking), loads credentials and client certificates. e: filled but with OK. E_FORMAT, E_SYSTEM, E_NOMEM; E_AGAIN: the name service does not
 * answer. A cluster whose name does not exist is logged and has no address until the next start; the others work. */
MUST_CHECK enum err router_new(struct loop *loop, const struct proxyd_config *config, struct router **out, struct tls_error *e);
void router_free(struct router *r);
/* Every upstream there is, some of them several times. */
void router_each_upstream(const struct router *r, void (*each)(void *arg, const struct upstream *u), void *arg);

/* Where what goes to each destination is counted from now on; outlives the router. */
void router_set_metrics(struct router *r, struct metrics_slot *metrics);

/* host: as in the Host header; path: without query. *out borrowed, set with ROUTE_FOUND. */
enum route_verdict route_find(struct router *r, struct slice host, struct slice path, struct destination **out);
/* authd is what serves this path at this host. */
bool route_is_authd(struct router *r, struct slice host, const char *path);
/* A cluster (index as in the configuration) has another token from now on. E_EMPTY: no such cluster; E_FORMAT: it is no token; E_NOMEM. */
MUST_CHECK enum err route_set_token(struct router *r, size_t cluster, struct slice token);

#endif
