/* client.h - a client's connection: accepted, TLS handshake, handed to the front its ALPN chose, ended so that nothing of an answer is lost.
 *
 * Owns: the transport, its timer, its place in the gateway's list. The front (front_h1, front_h2) owns what it made of it. */
#ifndef PROXYD_CLIENT_H
#define PROXYD_CLIENT_H

#include "proxyd/gateway.h"
#include "proxyd/transport.h"
#include "shared/address.h"

struct client;

/* How a protocol is spoken with a client. */
struct client_protocol {
	/* After the handshake. False: no memory, the client is closed; c->front, if set, is freed with it, and nothing else is held. */
	bool (*open)(struct client *c);
	void (*on_ready)(struct client *c);
	void (*on_timer)(struct client *c);
	/* The client is being closed or ended: let go of everything but c->front itself, which is freed with the client. */
	void (*close)(struct client *c);
	/* The worker drains: bring the connection to its end without failing what runs. NULL: its next answer says so. */
	void (*drain)(struct client *c);
};

enum client_state { CLIENT_PROXY_HEADER, CLIENT_HANDSHAKE, CLIENT_OPEN, CLIENT_LINGER, CLIENT_CLOSED };

struct client {
	struct transport transport;
	struct gateway *gateway;
	struct client *next, *prev;
	struct client *stranger_next, *stranger_prev;
	bool is_stranger;
	struct turn_lane *lane;  /* of the caller that was known on it last, or of its address */
	struct turn turn;        /* waits for that lane's, */
	bool ready, due;         /* because something has come, because the timer was due */
	struct loop_timer timer; /* the front's, while open */
	struct loop_deferred deferred;
	const struct client_protocol *protocol;
	void *front;             /* the protocol's, from malloc */
	struct shown_certificate certificate; /* after the handshake */
	enum client_state state;
	bool counted; /* for its address */
	uint64_t linger_until_ms;
	bool stays;              /* something on it may go on when a drain is over */
	unsigned char address[16]; /* IPv6, or IPv4 mapped into it; zeros on a unix socket */
	char ip[INET6_ADDRSTRLEN]; /* "" on a unix socket */
};

/* The client's address as struct client has it. */
void client_peer_address(const struct address *peer, unsigned char out[16]);
/* proxied: peer is a load balancer, and a header of the PROXY protocol in front of everything else says who the client is.
 * Takes fd and ssl (server side; NULL: plain) over. E_NOMEM, E_SYSTEM, E_LIMIT (too many of this address): both are closed. */
MUST_CHECK enum err client_new(struct gateway *g, int fd, SSL *ssl, const struct address *peer, bool proxied);
/* In delay_ms from now protocol->on_timer. Moving it later costs nothing. */
void client_timer_set(struct client *c, uint64_t delay_ms);
/* Everything is written: say so, read on for a while, close (RFC 9112 section 9.6). The front is let go at once. */
#define CLIENT_LINGER_IDLE_MS 5000
#define CLIENT_LINGER_TOTAL_MS 30000
void client_end(struct client *c);
/* Somebody on it is known: it is not among the first to go any more when there are too many, and what happens on it is that caller's. */
void client_known(struct client *c, struct turn_lane *caller);
/* A credential on it was none: what happens on it is a stranger's, until somebody is known again. */
void client_unknown(struct client *c);
/* There is more to do than one turn allows: protocol->on_ready in the next one. */
void client_again(struct client *c);
/* Close the oldest connection on which nobody is known; there is one. */
void client_shed(struct gateway *g);
/* Close now. */
void client_close(struct client *c);
/* g->draining has been set: tell all clients. */
void client_drain_all(struct gateway *g);
/* The time for requests is over: close those on which nothing lasting runs. Returns how many are left. */
size_t client_close_most(struct gateway *g);
/* Close all of a gateway's clients. */
void client_close_all(struct gateway *g);

#endif
