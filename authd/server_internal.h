/* server_internal.h - what server.c (listeners, connections) and server_exchange.c (requests and answers on them) share. Nobody else includes it. */
#ifndef AUTHD_SERVER_INTERNAL_H
#define AUTHD_SERVER_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>
#include "authd/server.h"

/* One accepted socket. It is cut when due_ms has passed; 0: nothing is expected from the client now. */
struct connection {
	struct connection *prev, *next;
	int fd;
	_Atomic uint64_t due_ms;
};

struct listener {
	struct listener *next; /* among the retired */
	struct server *server;
	enum server_kind kind;
	char *address, *cert_pem, *key_pem;
	bool tls12_off, tls13_off;
	int fd; /* -1: retired */
	atomic_bool retired;
	bool starting;
	struct MHD_Daemon *daemon;
	atomic_uint connection_n;
	pthread_mutex_t lock; /* of connections */
	struct connection *connections;
	char error[200]; /* what libmicrohttpd said while it started */
};

struct server {
	struct server_options o;
	pthread_mutex_t listeners_lock;
	struct listener *serving[SERVER_LISTENERS_MAX];
	size_t serving_n;
	struct listener *retired; /* finishing what they have */
	pthread_mutex_t lock;     /* of what follows */
	pthread_cond_t idle;
	size_t live;              /* requests begun and not completed */
	bool stopped;             /* none may begin any more */
};

static inline uint64_t
server_now_ms(const struct server *s)
{
	return clock_mono_ms(s->o.clock);
}

/* Count a request in, unless the server has stopped; and out. */
bool server_enter(struct server *s);
void server_leave(struct server *s);

/* libmicrohttpd's callbacks; cls is the listener. */
void *server_on_target(void *cls, const char *target, struct MHD_Connection *mhd);
enum MHD_Result server_on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version, const char *data,
	size_t *n, void **context);
void server_on_completed(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code);

#endif
