/* upstream.h - connections to one destination: dialled, kept, watched while idle, handed out again newest first.
 *
 * Owns: the connections. Whoever needs one embeds a struct upstream_call. No function here calls back before it returns; callbacks run from the
 * loop only. An idle connection that shows EOF or a byte nobody asked for is closed at once: the byte would become the front of somebody else's answer. */
#ifndef PROXYD_UPSTREAM_H
#define PROXYD_UPSTREAM_H

#include "proxyd/metrics.h"
#include "proxyd/tls.h"
#include "proxyd/transport.h"
#include "shared/address.h"

#define UPSTREAM_ADDRESSES_MAX 8 /* of one server */
#define UPSTREAM_IDLE_MAX 256 /* kept per worker and destination; past it the oldest goes */

struct upstream;
struct upstream_connection;
struct upstream_stream;

enum upstream_failure {
	UPSTREAM_REFUSED,  /* no connection: 502 */
	UPSTREAM_TIMEOUT,  /* no connection in time: 504 */
	UPSTREAM_TLS       /* connected, but not to whom we want: 502 */
};

struct upstream_call {
	struct upstream_connection *connection; /* NULL: none yet */
	struct transport *transport;            /* of connection, once it may be used; NULL before */
	struct upstream_stream *stream;         /* instead of both: on a connection that others share; NULL: none */
	bool kept;                              /* it served somebody before: it may have died meanwhile */
	void (*on_connected)(struct upstream_call *call);
	/* The call holds nothing any more. why lives until it returns. */
	void (*on_failed)(struct upstream_call *call, enum upstream_failure failure, const char *why);
	/* The transport may be read or written. */
	void (*on_ready)(struct upstream_call *call);
	/* Something happened on the connection. False: not now, upstream_proceed follows. NULL: always. */
	bool (*has_turn)(struct upstream_call *call);
};

struct upstream_options {
	const char *name; /* for logs; outlives the upstream */
	const struct address *addresses; /* of a server, tried in order; of several, one behind the other; copied */
	size_t address_n;
	const size_t *server_address_n;  /* how many are each server's, 0: its name does not resolve; NULL: there is one server */
	size_t server_n;                 /* <= UPSTREAM_SERVERS_MAX */
	bool http2; /* offered for upstream_start_stream, with TLS */
	struct tls_client *tls; /* NULL: plain. Owned by the upstream from now on, also when making it fails */
	uint64_t connect_timeout_ms, idle_timeout_ms;
};
/* E_NOMEM. */
MUST_CHECK enum err upstream_new(struct loop *loop, const struct upstream_options *o, struct upstream **out);
/* Closes what is idle; no call may be running. */
void upstream_free(struct upstream *u);
/* Close what is idle. */
void upstream_flush(struct upstream *u);
/* Where what happens here is counted from now on; outlives the upstream. */
void upstream_set_metrics(struct upstream *u, struct metrics_target *metrics);
void upstream_count(struct upstream *u, enum metric_upstream what);
const char *upstream_name(const struct upstream *u);
/* Where it connects to. */
const struct address *upstream_addresses(const struct upstream *u, size_t *n);
size_t upstream_idle_n(const struct upstream *u);

/* There are several servers: what failed at one may be tried at another. */
bool upstream_has_others(const struct upstream *u);
/* The connection of this call ended before it brought an answer. One that was new says something about its server: others are asked before it. Before upstream_finish. */
void upstream_lost(struct upstream_call *call, const char *why);

/* A server that cannot be reached leaves the request to the next one, for nothing has been sent yet. fresh: not a kept one. OK: call->transport is there. E_AGAIN: on_connected or on_failed follows. E_SYSTEM (errno), E_NOMEM, E_EMPTY (no address): nothing
 * is held. */
MUST_CHECK enum err upstream_start(struct upstream *u, struct upstream_call *call, bool fresh);
/* Look at what happened when there was no turn for it. */
void upstream_proceed(struct upstream_call *call);
/* For a request without a body that waits for long and says little: on a stream of a shared connection where the server speaks HTTP/2 (upstream_link.h), else as upstream_start. */
MUST_CHECK enum err upstream_start_stream(struct upstream *u, struct upstream_call *call);
/* The call is over, at any point after upstream_start. keep: the exchange ended cleanly and nothing is left on the connection. No-op without one. */
void upstream_finish(struct upstream_call *call, bool keep);

/* ---- a call's bytes: HTTP/1.1, whatever the connection speaks. As transport_*, once it is connected ---- */

bool upstream_may_read(const struct upstream_call *call);
enum io upstream_read(struct upstream_call *call, char *p, size_t n, size_t *got);
/* A stream takes a whole request's head at once and nothing else. */
enum io upstream_write(struct upstream_call *call, const char *p, size_t n, size_t *put);
/* Static: what came is no answer (streams only, for there the bytes are not the text's); NULL: nothing is wrong so far. */
const char *upstream_bad(const struct upstream_call *call);
const char *upstream_why(const struct upstream_call *call, char out[TRANSPORT_WHY_MAX]);

#endif
