/* upstream_state.h - an upstream from inside: for upstream.c and upstream_link.c only. */
#ifndef PROXYD_UPSTREAM_STATE_H
#define PROXYD_UPSTREAM_STATE_H

#include "proxyd/upstream.h"
#include "proxyd/upstream_servers.h"

enum connection_state { CONNECTION_DIALLING, CONNECTION_BUSY, CONNECTION_IDLE, CONNECTION_CLOSED };

struct upstream_connection {
	struct transport transport;
	struct upstream *upstream;
	struct upstream_call *call;              /* dialling or busy; NULL: idle */
	struct upstream_connection *next, *prev; /* idle: newest first */
	enum connection_state state;
	bool kept;
	bool offers_h2;
	size_t server;
	uint32_t tried;                   /* bit i: server i */
	bool timed_out;                   /* at a server before */
	size_t address_first, address_at; /* being dialled: the at-th from first, of the server's */
	uint64_t idle_since_ms;
	struct loop_timer timer; /* dialling */
	struct loop_deferred deferred;
};

struct upstream {
	struct loop *loop;
	const char *name;
	struct address *addresses;
	size_t address_n;
	struct upstream_servers servers;
	struct tls_client *tls;
	uint64_t connect_timeout_ms, idle_timeout_ms;
	struct upstream_connection *newest, *oldest;
	size_t idle_n;
	struct loop_timer sweep;
	struct metrics_target *metrics; /* NULL: nobody counts */
	bool http2;
	struct upstream_link *links;    /* upstream_link.h */
};

void upstream_add(struct upstream *u, enum metric_upstream what, int n);
/* As upstream_start, at one server (others only where it cannot be reached). h2: a fresh connection that offers HTTP/2 first. */
MUST_CHECK enum err upstream_start_at(struct upstream *u, struct upstream_call *call, size_t server, bool fresh, bool h2);
/* The connection of one call is another's from now on. */
void upstream_pass(struct upstream_call *from, struct upstream_call *to);

#endif
