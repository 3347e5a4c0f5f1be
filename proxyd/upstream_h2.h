/* upstream_h2.h - HTTP/2 towards an upstream: the session of one connection and the streams on it. Bytes in, bytes out; no socket, no timer, no clock.
 *
 * A stream looks like a connection that one exchange has for itself: the request's head goes in as the text that forward_request wrote, and what comes back is
 * text again, the answer's head as HTTP/1.1 would have it (interim ones before it), then the body as it is, up to an end or a failure. So every rule
 * on heads, identities and answers is the one that HTTP/1.1 has, and is written once. Requests have no body here.
 * Flow control: what a stream's reader has not taken uses up that stream's window alone; the connection's is given back as soon as bytes arrive, so that no reader makes another wait.
 * Owns: the library's session; what has arrived for each stream and was not read, at most its window and one head.   Spec: RFC 9113; h2_guard.h for what is counted */
#ifndef PROXYD_UPSTREAM_H2_H
#define PROXYD_UPSTREAM_H2_H

#include "proxyd/h2_guard.h"
#include "proxyd/transport.h"
#include "shared/buf.h"

/* What the upstream may send of one answer before somebody takes it: 256 KiB each 20 ms are 13 MB/s. One whose client has stopped reading holds as much until the exchange
 * is cut for it. */
#define UPSTREAM_H2_STREAM_WINDOW 262144
/* No bound on memory, for the streams' windows are: only wide enough never to be what all wait for. */
#define UPSTREAM_H2_CONNECTION_WINDOW (16 << 20)
#define UPSTREAM_H2_INTERIM_MAX 16 /* 1xx before one answer */

struct nghttp2_session;
struct upstream_h2;
struct upstream_link;
struct upstream_call;

struct upstream_stream {
	struct upstream_stream *next, *prev;         /* its owner's */
	struct upstream_stream *due_next, *due_prev; /* there is something for its reader */
	bool due;
	struct upstream_link *link;  /* its owner's: upstream_link.c */
	struct upstream_call *call;
	size_t server;
	struct upstream_h2 *h2;      /* NULL: nothing was asked yet */
	int32_t id;
	struct buf head, body;       /* what has come: text of heads, then the body */
	size_t head_at, head_whole;  /* head[head_at..head_whole) may be read; behind it one arrives */
	size_t body_at;
	unsigned interim_n;
	bool interim;                /* the head that arrives is a 1xx */
	bool answered;               /* the final head is whole: what may still come are trailers */
	bool ready;                  /* its owner's: connected, as far as its reader knows */
	bool sent;                   /* the request's head has left */
	bool ended, closed;          /* the answer is whole; the session has forgotten the stream */
	bool refused;                /* the upstream has not looked at it: it may be asked for again */
	const char *bad;             /* static: what came is no answer; NULL: nothing is wrong with it */
	const char *why;             /* why there will be no more of it; lives as long as the session; NULL: there may be */
};

/* One connection's; the preface and our settings are to be written. NULL: no memory. */
struct upstream_h2 *upstream_h2_new(void);
/* No stream is left on it. */
void upstream_h2_free(struct upstream_h2 *h);

/* Bytes from the wire; now_ms: monotonic. NULL, or why the connection is of no use any more. */
const char *upstream_h2_receive(struct upstream_h2 *h, const char *p, size_t n, uint64_t now_ms);
/* Append frames to out until it has n_max bytes or there are none. False: no memory. */
bool upstream_h2_output(struct upstream_h2 *h, struct buf *out, size_t n_max);
/* NULL, or why nothing more will come: asked after everything was written. */
const char *upstream_h2_over(const struct upstream_h2 *h);
/* The upstream's settings are known. */
bool upstream_h2_is_settled(const struct upstream_h2 *h);
/* How many streams the upstream allows at a time. */
uint32_t upstream_h2_streams_max(const struct upstream_h2 *h);
/* It has said that it takes no more streams. */
bool upstream_h2_goes_away(const struct upstream_h2 *h);
/* Whole frames that have come, of any kind: it is alive. */
uint64_t upstream_h2_frames(const struct upstream_h2 *h);
void upstream_h2_ping(struct upstream_h2 *h);
/* Say that we leave. */
void upstream_h2_leave(struct upstream_h2 *h);
/* The connection is lost: every stream on it fails. why lives as long as h. */
void upstream_h2_fail(struct upstream_h2 *h, const char *why);
/* The next stream whose reader is to look; NULL: none. */
struct upstream_stream *upstream_h2_take_due(struct upstream_h2 *h);
bool upstream_h2_has_due(const struct upstream_h2 *h);

/* Zeroed but for its owner's members: nothing was asked. head: a whole one, "GET /x HTTP/1.1", Host, lines, without a body. False: it cannot be asked (memory, numbers used up). */
bool upstream_h2_ask(struct upstream_h2 *h, struct upstream_stream *s, struct slice head);
/* As transport_read: IO_EOF: the answer is whole. */
enum io upstream_h2_read(struct upstream_stream *s, char *p, size_t n, size_t *got);
bool upstream_h2_may_read(const struct upstream_stream *s);
/* Nobody reads it any more: the upstream is told to stop where it has not ended. Its memory is the owner's to free. */
void upstream_h2_drop(struct upstream_stream *s);

#endif
