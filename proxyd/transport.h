/* transport.h - a non-blocking stream: a TCP or unix socket, with TLS on it or without.
 *
 * Owns: the descriptor, its SSL and its place in the loop. Registered once, edge-triggered. The BIO below OpenSSL remembers that the kernel's
 * buffer was emptied (a short read) or filled (a short write) and does not ask again before the next event, so that a
 * request costs one read(2) and one write(2) on each side.   Spec: epoll(7) "EPOLLET", RFC 8446 section 6.1, RFC 9112 section 9.6 */
#ifndef PROXYD_TRANSPORT_H
#define PROXYD_TRANSPORT_H

#include <openssl/ssl.h>
#include "shared/loop.h"

enum io {
	IO_OK,
	IO_AGAIN,  /* nothing now: on_ready runs when it may be different */
	IO_EOF,    /* the peer ended its side properly (FIN; with TLS: close_notify before it) */
	IO_FAILED  /* reset, TLS error, TLS truncation; transport_why says which */
};

struct transport {
	struct loop_watch watch; /* watch.fd -1: closed */
	struct loop *loop;
	SSL *ssl;                /* NULL: plain */
	void (*on_ready)(struct transport *t);
	bool connecting;         /* connect(2) in progress */
	bool handshaken;         /* always with plain sockets, once connected */
	bool halfway, was_halfway; /* of a server's handshake */
	bool drained;            /* the last recv(2) took all there was */
	bool full;               /* the last send(2) filled the kernel's buffer */
	bool ended;              /* the peer's FIN is there: read up to it, however short the reads are */
	bool at_end;             /* and has been read */
	bool cut;                /* failed for good: nothing more is tried, no close_notify */
	bool deaf;               /* the peer takes no more; what it sent before may still be read */
	bool said_end;           /* close_notify has been written, or there is none to write */
	int error;               /* errno of a failed call; 0: none */
	unsigned long tls_error; /* ERR_get_error() of a failed call; 0: none */
};

/* Takes fd and ssl (NULL: plain) over, also when it fails. connecting: connect(2) was started on fd. E_SYSTEM, E_NOMEM: all is closed. */
MUST_CHECK enum err transport_open(struct transport *t, struct loop *loop, int fd, SSL *ssl, bool connecting,
	void (*on_ready)(struct transport *t));
static inline bool
transport_is_open(const struct transport *t)
{
	return t->watch.fd >= 0;
}

/* Connect and TLS handshake up to IO_OK. Plain: only the connect. With IO_AGAIN and t->halfway no event has to come: a server's handshake stops once when it has read what the client wants, for
 * others to have their turn before the rest is computed. */
enum io transport_handshake(struct transport *t);
/* Up to n > 0 bytes; *got is 1..n with IO_OK, else 0. */
enum io transport_read(struct transport *t, char *p, size_t n, size_t *got);
/* As much of p[0..n) as goes. *put is what was taken with every result; IO_OK: all of it. After IO_AGAIN the rest has to come again, same bytes
 * (they may have moved), at least as many. */
enum io transport_write(struct transport *t, const char *p, size_t n, size_t *put);

/* False: transport_read would return IO_AGAIN without looking. */
bool transport_may_read(const struct transport *t);

/* close_notify, once everything before it was written. False: the kernel has no room for it; again when on_ready runs. transport_end would leave it
 * out then, and the peer take the end for a truncation. Plain: true. */
bool transport_say_end(struct transport *t);
/* End our side: close_notify (with TLS), then FIN. Reading goes on: transport_read, transport_discard. */
void transport_end(struct transport *t);
/* Throw away what the peer still sends, undecrypted: IO_AGAIN, IO_EOF, IO_FAILED. At most TRANSPORT_DISCARD_MAX bytes a call; IO_OK: there is more. */
#define TRANSPORT_DISCARD_MAX (1u << 20)
enum io transport_discard(struct transport *t);
/* Nothing is to be read or written for a while: let go of buffers, which the next read or write gets anew. libssl does that by itself except behind a ticket that has come, for which
 * it makes a buffer of 16 KiB to write to. */
void transport_rest(struct transport *t);
/* What stands in front of TLS: look at up to n bytes of it without taking them; *got is how many there are, with IO_OK. */
enum io transport_peek(struct transport *t, char *p, size_t n, size_t *got);
/* Take n bytes that have been looked at. */
enum io transport_skip(struct transport *t, size_t n);
/* Send raw bytes below TLS: the answer to plain HTTP on a TLS port. What does not fit at once is lost. */
void transport_send_raw(struct transport *t, struct slice bytes);

/* Close the descriptor and free the SSL. The struct itself may be freed or reused after the event batch (loop_defer). Closed: nothing. */
void transport_close(struct transport *t);

/* Why it failed, for people and the log: "connection reset by peer", "certificate verify failed: unable to get local issuer certificate".
 * Never empty. */
#define TRANSPORT_WHY_MAX 160
const char *transport_why(const struct transport *t, char out[TRANSPORT_WHY_MAX]);
/* The client spoke plain HTTP where TLS was expected. */
bool transport_is_plain_http(const struct transport *t);

#endif
