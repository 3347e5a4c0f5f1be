/* acceptor.h - a worker's listening sockets: when it takes connections, how many, and which go when there are too many.
 *
 * Owns: the sockets' watches and TLS contexts; the sockets are shared with the other workers. Whoever comes is a stranger (turns.h) and taken in turn with those who are on the way in: one that has
 * much to do leaves the others' connections to the others. */
#ifndef PROXYD_ACCEPTOR_H
#define PROXYD_ACCEPTOR_H

#include "proxyd/gateway.h"
#include "proxyd/tls.h"

struct acceptor;

/* For g->config->listen; fds: in its order. ticket_secret: as in tls.h, copied. Does not accept yet. Raises the limit of open files as far as it goes, for limits.connections. E_NOMEM, E_SYSTEM, E_FORMAT (why). */
MUST_CHECK enum err acceptor_new(struct gateway *g, const int *fds, const unsigned char *ticket_secret, struct acceptor **out, struct tls_error *why);
/* Before the loop is freed. The sockets stay open. NULL: nothing. */
void acceptor_free(struct acceptor *a);

/* From now on; nothing, if it does already. E_NOMEM, E_SYSTEM. */
MUST_CHECK enum err acceptor_start(struct acceptor *a);
/* Others accept, until acceptor_resume; nothing any more after acceptor_close. */
void acceptor_pause(struct acceptor *a);
void acceptor_resume(struct acceptor *a);
/* Take along those who are connected as far as the kernel is concerned: where a socket is not listened on any more they would be cut. Then close all. */
void acceptor_close(struct acceptor *a);
/* A connection is gone: there may be room again. */
void acceptor_look(struct acceptor *a);

#endif
