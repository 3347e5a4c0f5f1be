/* route.h - which destination a path belongs to. The bytes that are matched are the bytes that are forwarded: nothing is decoded or cleaned.
 *
 * Owns: one upstream per cluster and per socket, and the prepared forward_targets. */
#ifndef PROXYD_ROUTE_H
#define PROXYD_ROUTE_H

#include "proxyd/config.h"
#include "proxyd/forward.h"
#include "proxyd/tls.h"
#include "proxyd/upstream.h"

struct router;

struct destination {
	struct forward_target forward;
	struct upstream *upstream;
	const char *name;            /* the cluster's, or the route's path: for the log */
	struct metrics_target *metrics; /* NULL: those of no cluster */
	bool impersonation_reviewed; /* --as is asked about instead of refused */
	uint64_t role_silent_until_ms; /* before that nothing is said of a missing right */
};

enum route_verdict {
	ROUTE_FOUND,
	ROUTE_NO_CLUSTER, /* /clusters/<name> that is not configured: 404, but only to somebody who is signed in */
	ROUTE_NONE        /* no default cluster */
};

/* Resolves names (blocking), loads credentials and client certificates. e: filled but with OK. E_FORMAT, E_SYSTEM, E_NOMEM; E_AGAIN: the name service does not
 * answer. A cluster whose name does not exist is logged and has no address until the next start; the others work. */
MUST_CHECK enum err router_new(struct loop *loop, const struct proxyd_config *config, struct router **out, struct tls_error *e);
void router_free(struct router *r);
/* Every upstream there is, some of them several times. */
void router_each_upstream(const struct router *r, void (*each)(void *arg, const struct upstream *u), void *arg);

/* Where what goes to each destination is counted from now on; outlives the router. */
void router_set_metrics(struct router *r, struct metrics_slot *metrics);

/* path: without query. *out borrowed, set with ROUTE_FOUND. */
enum route_verdict route_find(struct router *r, struct slice path, struct destination **out);
/* A route covers this path (and no cluster does). */
bool route_has(const struct router *r, const char *path);
/* A cluster (index as in the configuration) has another token from now on. E_EMPTY: no such cluster; E_FORMAT: it is no token; E_NOMEM. */
MUST_CHECK enum err route_set_token(struct router *r, size_t cluster, struct slice token);

#endif
