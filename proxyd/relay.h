/* relay.h - the bytes of an exchange: request up, answer down, HTTP/1.1 on the upstream's side, as upstream.h has it. Used by exchange.c only.
 *
 * Leaves what to do about the outcome to its caller. */
#ifndef PROXYD_RELAY_H
#define PROXYD_RELAY_H

#include "proxyd/exchange_state.h"

enum relay {
	RELAY_WAITS,
	RELAY_DONE,               /* the answer is out */
	RELAY_TURN,               /* could go on, but others wait */
	RELAY_SWITCHED,           /* x->gateway->answer_head is the 101 that was asked for; x->down: it and what came behind it */
	RELAY_CLIENT_GONE,
	RELAY_REQUEST_BAD,        /* x->why */
	RELAY_REQUEST_TOO_LARGE,  /* with what we add */
	RELAY_UPSTREAM_LOST,      /* ended or failed before the answer was whole */
	RELAY_UPSTREAM_BAD,       /* x->why: what it sent is no answer to this request */
	RELAY_UPSTREAM_UNAUTHORIZED, /* it does not take our own credential */
	RELAY_FAILED              /* memory, or a rule of ours: 500 */
};

/* Write the request's head to x->call (or what a fresh connection has to get again), then go on like relay_run. */
MUST_CHECK enum relay relay_start(struct exchange *x);
MUST_CHECK enum relay relay_run(struct exchange *x);
/* A watch: complete the answer if it stands between two events. RELAY_WAITS: it does not, or the client does not take it now. */
MUST_CHECK enum relay relay_end(struct exchange *x);
/* Bytes of the request wait for the upstream to take them. */
bool relay_has_unsent(const struct exchange *x);
/* The head in flight may be sent once more on another connection (RFC 9110 section 9.2.2). */
bool relay_may_retry(const struct exchange *x);
/* The front has let go of the block it held. */
void relay_unblock(struct exchange *x);
/* Put the blocks back. The front holds none of them any more. */
void relay_release(struct exchange *x);

#endif
