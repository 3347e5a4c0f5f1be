/* h2_state.h - an HTTP/2 connection from inside: for front_h2.c (the order of things), h2_stream.c and h2_session.c only. */
#ifndef PROXYD_H2_STATE_H
#define PROXYD_H2_STATE_H

#include "proxyd/exchange.h"
#include "proxyd/front_h2.h"
#include "proxyd/h2_guard.h"
#include "proxyd/h2_head.h"
#include "proxyd/h2_repeat.h"

struct nghttp2_session;

/* As many as kube-apiserver offers its own clients; client-go keeps hundreds of watches on one connection. A waiting watch is 1.5 KiB here (stream,
 * exchange, the library's stream); one that is stuck has a block in each direction: 64 MiB for 1,000, for H2_STALL_MS at most. */
#define H2_STREAMS_MAX 1000
/* What may come of a body before the upstream takes it. One stream: 256 KiB each 20 ms are 13 MB/s. All of a connection's: 1 MiB. */
#define H2_STREAM_WINDOW 262144
#define H2_CONNECTION_WINDOW 1048576
#define H2_TABLE_BYTES 4096 /* of HPACK, either direction */
/* An answer that the client's window has no room for. */
#define H2_STALL_MS 30000
/* A request that was answered before its body was whole: the client reads the answer and stops by itself, or has used up its window by then. Told to
 * stop at once (RFC 9113 section 8.1) some clients, curl 7.88 for one, lose the answer. */
#define H2_LINGER_MS 5000
/* A client that leaves our PING before the last GOAWAY unanswered has had its round trip. */
#define H2_DRAIN_MS 1000
/* Two TLS records out; in, so much that a body's part of it fills one block of an exchange (relay.c) and no second one. */
#define H2_OUT_BYTES 32768
#define H2_IN_BYTES (BLOCK_RUN_BYTES - 8)

/* Bytes of a body that nobody has taken yet. */
struct h2_chunk {
	struct h2_chunk *next;
	size_t from, to, bytes; /* data[from..to) of bytes */
	char data[];
};

/* What has to be done for a stream when the session's callbacks are through. */
enum h2_due { H2_DUE_START = 1, H2_DUE_BODY = 2, H2_DUE_READY = 4, H2_DUE_GONE = 8 };

struct h2_stream {
	struct h2 *h;
	struct h2_stream *next, *prev;         /* all of the connection's */
	struct h2_stream *due_next, *due_prev;
	unsigned due;                          /* enum h2_due; 0: not on that list */
	int32_t id;
	struct exchange *exchange;             /* NULL: not begun, refused, or over */
	uint64_t loose_ms;                     /* since when there is none any more */
	bool closed;                           /* the session has forgotten it */

	/* the request */
	struct request *request;               /* NULL: the exchange's, or refused */
	char *text;                            /* what its slices point to */
	struct h2_refusal refusal;             /* .code: not to be begun, answered */
	struct h2_chunk *body, *body_last;
	uint64_t length_left;                  /* of a body whose length was announced: what has not been taken of it; UINT64_MAX: none was */
	bool head_only, body_ended;

	/* the answer */
	const char *run, *run_end;             /* to be sent; the exchange's block, or own */
	char *own;                             /* of an answer of ours */
	bool ours;                             /* no exchange is behind it: the run is own, and whole */
	bool answered;                         /* its head went to the session */
	bool last;                             /* nothing follows the run */
	bool deferred;                         /* the session waits for h2_session_resume */
	bool blocked;                          /* the exchange waits for exchange_front_ready */
	bool ended;                            /* END_STREAM is in a frame of ours */
};

enum h2_drain { H2_DRAIN_NOT, H2_DRAIN_NOTICE, H2_DRAIN_LAST };

/* One connection. */
struct h2 {
	struct client *client;
	struct front_context context;
	struct nghttp2_session *session;
	struct loop_deferred flush;            /* what is to be written, once per batch of events */
	bool flush_queued, running, closing;
	bool gone;                             /* nothing more is read or written */
	bool deaf;                             /* nothing more is read: the last GOAWAY says why */
	size_t read_bytes;                     /* are looked at together */
	struct h2_stream *streams, *due, *due_last;
	size_t exchange_n;
	uint64_t idle_since_ms;                /* a stream began or ended last */
	uint64_t loose_since_ms;               /* some stream that no exchange looks after is not closed; 0: none */
	uint64_t head_since_ms;                /* a head, or the preface, is arriving; 0: none is */
	struct h2_fields fields;               /* of the head that is arriving */
	struct h2_guard guard;
	struct h2_repeat repeat;
	enum h2_drain drain;
	uint64_t drain_since_ms;

	struct block *out;                     /* frames to be written: data[from..to) */
	struct slice tail;                     /* and, behind it, what of the session's last piece did not fit */
	bool stuck;                            /* the socket takes nothing now */
};

static inline struct gateway *
h2_gateway(const struct h2 *h)
{
	return h->client->gateway;
}
static inline uint64_t
h2_now_ms(const struct h2 *h)
{
	return loop_now_ms(h2_gateway(h)->loop);
}

/* ---- h2_stream.c: one stream's memory; nothing here writes or calls an exchange ---- */

/* NULL: no memory. */
struct h2_stream *h2_stream_new(struct h2 *h, int32_t id);
/* Neither the session nor an exchange knows it any more. */
void h2_stream_free(struct h2_stream *s);
void h2_stream_due(struct h2_stream *s, enum h2_due what);
/* What is due next, taken off the stream. 0: nothing. */
unsigned h2_stream_take_due(struct h2 *h, struct h2_stream **out);
/* Keep a copy of body bytes. False: no memory. */
bool h2_stream_keep(struct h2_stream *s, const char *p, size_t n);
/* Up to n bytes of what is kept: how many. The last byte of an announced length stays until the client has ended the stream: with it the message would be
 * whole upstream, while more than was announced, or a malformed trailer, may still show that it is none. */
size_t h2_stream_take(struct h2_stream *s, char *p, size_t n);
/* Everything that is kept is dropped: how many bytes. */
size_t h2_stream_drop(struct h2_stream *s);

/* ---- h2_session.c: the library, and what goes to the wire ---- */

MUST_CHECK enum err h2_session_open(struct h2 *h);
void h2_session_close(struct h2 *h);
/* Bytes from the wire, which may be changed. What they bring is due afterwards. */
void h2_session_receive(struct h2 *h, char *p, size_t n);
/* Write what there is to write, frames collected to whole records: whole records at once, the rest with flush. h->gone, h->stuck. */
void h2_session_send(struct h2 *h, bool flush);
/* Both sides are through and everything is written. */
bool h2_session_is_over(const struct h2 *h);

/* body: it follows, as s->run has it. False: no memory, s is to be reset. */
MUST_CHECK bool h2_session_answer(struct h2_stream *s, const struct h2_answer *a, bool body);
void h2_session_interim(struct h2_stream *s, const struct h2_answer *a);
/* s->run has bytes again, or s->last is set. */
void h2_session_resume(struct h2_stream *s);
/* n bytes of the body found their taker. */
void h2_session_consumed(struct h2_stream *s, size_t n);
/* Nobody will take what is kept of the body. */
void h2_session_drop_body(struct h2_stream *s);
/* The answer cannot be completed. */
void h2_session_cut(struct h2_stream *s);
/* The answer is complete, the request's body is not wanted any more (RFC 9113 section 8.1). */
void h2_session_stop_body(struct h2_stream *s);
/* Say that the end is near, then, once the client has seen it, say which stream is the last. */
void h2_session_drain(struct h2 *h);
void h2_session_drain_last(struct h2 *h);
/* The connection ends now. why: static, for the log; NULL: nothing is wrong. */
void h2_session_end(struct h2 *h, const char *why);

#endif
