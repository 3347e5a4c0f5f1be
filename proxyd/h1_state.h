/* h1_state.h - an HTTP/1.1 connection from inside: for front_h1.c (requests and their order), h1_in.c and h1_out.c only. */
#ifndef PROXYD_H1_STATE_H
#define PROXYD_H1_STATE_H

#include "proxyd/exchange.h"
#include "proxyd/front_h1.h"

/* One connection. */
struct h1 {
	struct client *client;
	struct front_context context;
	struct exchange *exchange; /* NULL: between two */
	struct block *in;          /* bytes not looked at yet; NULL: none */
	struct block *pinned;      /* the running request's head is in it, and perhaps bytes behind it, which come before those in `in` */
	size_t scanned;
	bool running;              /* inside proceed or on_ready: `over` leaves the next step to them */
	bool gone;                 /* the client is not there any more, or must not believe that the answer was whole */
	bool ended;                /* it sends no more */
	bool timing_head;          /* the timer is that of the head which is arriving */

	/* the request */
	enum http_framing body_framing;
	uint64_t body_left;
	bool body_done;
	bool head_only, keep_alive;
	bool upgrade;              /* it asks for one: this connection serves nothing after it */
	bool tunnel;               /* and has got it: the transport is the exchange's to read and write */
	unsigned minor;

	/* the answer */
	enum http_framing framing;
	bool closes, answered;
	struct block *out;         /* data[out_at..out_end) is to be written */
	size_t out_at, out_end;
	bool out_owned;            /* else the exchange's */
	bool awaited;              /* the exchange waits until it is written */
};

static inline struct gateway *
h1_gateway(const struct h1 *h)
{
	return h->client->gateway;
}
static inline void
h1_put_block(struct h1 *h, struct block **b)
{
	block_put(&h1_gateway(h)->blocks, *b);
	*b = NULL;
}

/* ---- h1_in.c ---- */

/* Read what the wire has behind h->in. IO_AGAIN: nothing. */
enum io h1_read_more(struct h1 *h);
/* Between the end of a request and that of its answer: false when the client has gone away. One that sends its next request already is let in
 * for a block's worth. */
bool h1_look_ahead(struct h1 *h);
/* Bytes have come that nobody has looked at. */
bool h1_has_pending(const struct h1 *h);
/* The head's slices are dead: what stands behind it is the next to be read. */
void h1_unpin(struct h1 *h);
/* What is left of a body that has come already is dropped, so that the connection can go on. */
void h1_skip_body(struct h1 *h);
enum front_body h1_read_body(struct exchange *x, char *p, size_t n, size_t *got, const char **why);

/* ---- h1_out.c ---- */

/* IO_OK: nothing is left to write. IO_FAILED: h->gone. */
enum io h1_flush(struct h1 *h);
void h1_drop_out(struct h1 *h);
/* Behind what waits already. FRONT_BLOCKED: kept, will be flushed. */
enum front_sent h1_write(struct h1 *h, struct slice s);
enum front_sent h1_send_interim(struct exchange *x, const struct http_head *head);
enum front_sent h1_send(struct exchange *x, const struct http_head *head, struct block *b, size_t at, size_t n, bool end);
/* A 101 for this client, and before it what is not written of interim answers, into the gateway's scratch. False: no memory or room. */
bool h1_write_switch(struct h1 *h, const struct exchange *x, const struct http_head *head);
void h1_send_answer(struct exchange *x, struct status_answer *a, bool page);

#endif
