/* exchange.h - one request and its answer: route, authenticate, check, forward, relay both bodies.
 *
 * It speaks HTTP/1.1 to the upstream but does not know how the client speaks: a front hands it a parsed head and a table of operations (front_ops).
 * HTTP/1.1 is front_h1; another front brings its own table. No operation of a front calls an exchange_* function before it returns.
 *
 * Owns: one bounded block per direction, held only while it has bytes; the request's head until the answer goes on without it.
 * Inside: exchange.c decides (admission, own answers, retry, end), relay.c moves bytes.   Spec: RFC 9110, RFC 9112 (sections 6, 7, 9). */
#ifndef PROXYD_EXCHANGE_H
#define PROXYD_EXCHANGE_H

#include "proxyd/forward.h"
#include "proxyd/gateway.h"
#include "proxyd/http_chunk.h"
#include "proxyd/status.h"

struct exchange;

/* A request's parsed head. Its slices point into the block of whoever parsed it. */
struct request {
	struct request *next;
	struct http_head head;
	struct http_chunk chunk; /* the front's decoder of the body */
};
/* NULL: no memory. */
struct request *request_get(struct gateway *g);
void request_put(struct gateway *g, struct request *r);

enum front_sent {
	FRONT_TAKEN,   /* the block is free again */
	FRONT_BLOCKED, /* the bytes stay where they are until exchange_front_ready */
	FRONT_GONE     /* the client is gone: no further operation but `over` */
};
enum front_body {
	FRONT_BODY_SOME,  /* n > 0 bytes */
	FRONT_BODY_AGAIN, /* none now; exchange_body_ready follows */
	FRONT_BODY_END,   /* n >= 0 bytes, and they are the last */
	FRONT_BODY_BAD,   /* the framing is broken: *why is static */
	FRONT_BODY_GONE
};

struct front_ops {
	/* A 1xx other than 101. Never FRONT_BLOCKED. */
	enum front_sent (*send_interim)(struct exchange *x, const struct http_head *head);
	/* head: the answer's in the first call, then NULL. The run b->data[at..at+n) is decoded body; everything in front of it (at least
	 * BLOCK_GAP bytes) and BLOCK_TAIL bytes behind it may be overwritten. end: nothing follows. */
	enum front_sent (*send)(struct exchange *x, const struct http_head *head, struct block *b, size_t at, size_t n, bool end);
	/* An answer of our own, whole. a->close is the front's to set. */
	void (*answer)(struct exchange *x, struct status_answer *a, bool page);
	enum front_body (*read_body)(struct exchange *x, char *p, size_t n, size_t *got, const char **why);
	/* The answer cannot be completed: the client has to notice. */
	void (*cut)(struct exchange *x);
	/* A 101 that was asked for: its head for this client is in g->scratch, behind whatever else is not written yet, and what returns is the
	 * connection, for raw bytes. The front's part from now on: exchange_tunnel_ready, exchange_abort. NULL: *why says what forbids it, and the
	 * answer is a 400; or it is NULL, and the client is gone. A front that has no upgrades is never asked. */
	struct transport *(*tunnel)(struct exchange *x, const struct http_head *head, const char **why);
	/* The request's head is not needed any more; its slices die. */
	void (*release_head)(struct exchange *x);
	/* Last call: the exchange does not exist afterwards. */
	void (*over)(struct exchange *x);
};

/* What a front says about its connection. Slices live as long as it. */
struct front_context {
	struct slice client_ip;
	struct slice sni; /* .p NULL: none */
	bool tls;
	const struct shown_certificate *certificate;
	struct client *client;        /* whose connection it is; NULL: nobody's that limits count */
	const unsigned char *address; /* as struct client's: whom they count; NULL: nobody */
	uint64_t stall_ms; /* how long an answer may wait for the client to take it; 0: limits.bodyTimeout */
};

#define EXCHANGE_ID_BYTES 16

/* request is taken; context outlives the exchange. NULL: no memory, request is put back. */
struct exchange *exchange_new(struct gateway *g, const struct front_ops *ops, void *front, const struct front_context *context,
	struct request *request);
void *exchange_front(const struct exchange *x);
/* NULL once released. */
struct request *exchange_request(const struct exchange *x);
struct slice exchange_id(const struct exchange *x);
/* What the exchange has to say about an answer's head: request_id, hsts, session_cookie. The rest of *c is the front's. */
void exchange_describe(const struct exchange *x, struct response_context *c);

/* Each runs as far as it goes; `over` may have been called when it returns. */
void exchange_start(struct exchange *x);
void exchange_body_ready(struct exchange *x);
void exchange_front_ready(struct exchange *x);
/* Of a tunnel: the client's connection may be read or written. */
void exchange_tunnel_ready(struct exchange *x);
/* The client has gone away. */
void exchange_abort(struct exchange *x);

void exchange_free_lists(struct gateway *g);

#endif
