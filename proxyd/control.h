/* control.h - the few messages between master and its children, and between a master and its successor, which may be of another version: new kinds go to the end. SOCK_SEQPACKET pairs, one struct control_message each, at most one descriptor. */
#ifndef PROXYD_CONTROL_H
#define PROXYD_CONTROL_H

#include "shared/err.h"
#include "shared/slice.h"

enum control_kind {
	CONTROL_READY = 1,    /* child -> master: serving, or able to */
	CONTROL_SERVE,        /* master -> child that was not to serve at once: accept from now on */
	CONTROL_KEYCACHE,     /* keeper -> master -> workers, with the memfd */
	CONTROL_WANT_KEYS,    /* worker -> master -> keeper: an unknown kid was seen (rate-limited by the worker and by the keeper) */
	CONTROL_DRAIN,        /* master -> worker: stop accepting, finish what runs; value: milliseconds until requests are cut. Again: if it is sooner */
	CONTROL_STOP,         /* master -> child: end now */
	CONTROL_FAILED,       /* child -> master: could not start; text says why */
	CONTROL_CREDENTIAL,   /* master -> worker: another token of a cluster, in a memfd (credentials.h); value: its index */
	CONTROL_LOG_SOURCE,   /* master -> logger: read end of one more pipe; value: its log_stream */
	CONTROL_LOG_OUTPUT,   /* master -> logger: write this stream there from now on, without a descriptor: nowhere; text: its file, "" says nothing */
	CONTROL_LOG_STYLE,    /* master -> logger: how its own lines look; value: CONTROL_STYLE(level, format) */
	CONTROL_PAUSE,        /* master -> worker: leave new connections to others until CONTROL_SERVE; those that there are go on */
	CONTROL_SERVED,       /* worker -> master: a request has been answered, once; successor -> predecessor: it serves for good, you may leave */
	CONTROL_GENERATION,   /* predecessor -> successor: number of the configuration in use */
	CONTROL_TICKETS,      /* predecessor -> successor: secret of the session tickets, as CONTROL_CREDENTIAL's token */
	CONTROL_TUNNELS,      /* master -> worker, before CONTROL_DRAIN: value: milliseconds until streams and tunnels are cut */
	CONTROL_LINGERS,      /* worker -> master: the time for requests is over, and it has tunnels still */
	CONTROL_ENDED,        /* keeper -> master -> workers, successor -> predecessor: sessions have ended, the key cache says which */
	CONTROL_SIGNAL,       /* between the two: a signal that is the other's to follow, too; value: its number */
	CONTROL_METRICS,      /* predecessor -> successor: the memory that is counted in (metrics.h); value: metrics_layout */
	CONTROL_KINDS
};
#define CONTROL_STYLE(level, format) ((uint32_t)(level) << 8 | (uint32_t)(format))
struct control_message {
	uint32_t kind;
	uint32_t value;
	char text[248]; /* NUL-terminated */
};
/* fd -1: none. E_AGAIN: the socket is full; E_EMPTY: the peer is gone; E_SYSTEM. */
MUST_CHECK enum err control_send(int sock, enum control_kind kind, uint32_t value, const char *text, int fd);
/* OK; E_AGAIN: nothing now; E_EMPTY: the peer is gone; E_FORMAT. *fd -1 when none came. */
MUST_CHECK enum err control_receive(int sock, struct control_message *m, int *fd);

#endif
