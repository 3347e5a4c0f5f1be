/* inheritance.h - what this process was started with: listening sockets that somebody else opened, and the line to a predecessor whose place it is to take.
 *
 * Sockets come as sd_listen_fds(3) says, from a service manager as from a predecessor: LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES, descriptors from 3 on. A predecessor (successor.h)
 * adds PROXYD_PREDECESSOR, the number of the descriptor that leads to it: control messages both ways. Those that it sent before it started us are read here.
 * Owns: all descriptors that came, until they are taken out. */
#ifndef PROXYD_INHERITANCE_H
#define PROXYD_INHERITANCE_H

#include "proxyd/listeners.h"
#include "proxyd/worker.h"
#include "shared/loop.h"

#define INHERITANCE_SOCKETS_MAX (PROXYD_LISTENERS_MAX + 1)
#define INHERITANCE_PREDECESSOR "PROXYD_PREDECESSOR"

struct inheritance {
	struct loop_watch predecessor; /* first member; its socket, fd -1: there is none */
	void *master;                  /* the owner's, for on_event */
	struct listeners sockets;
	bool from_predecessor;         /* there was one; it may have gone since */
	int keycache_fd;               /* -1: none */
	int metrics_fd;                /* where the predecessor counts, and we may, too; -1: none, or it counts other things */
	pid_t predecessor_pid;
	unsigned generation;           /* of the predecessor's newest configuration */
	bool has_ticket_secret;
	unsigned char ticket_secret[TICKET_SECRET_BYTES];
};

/* Takes what the environment promises, and removes it there. E_FORMAT with why filled: a descriptor that is none, or no stream socket of a kind we serve. *out can be used for
 * inheritance_tell, and freed by inheritance_fini, whatever comes back. */
#define INHERITANCE_WHY_BYTES 200
MUST_CHECK enum err inheritance_take(struct inheritance *out, char why[INHERITANCE_WHY_BYTES]);
/* Closes what is left. */
void inheritance_fini(struct inheritance *i);
/* To the predecessor, if there is one: control.h. text and fd as there. */
void inheritance_tell(struct inheritance *i, unsigned kind, uint32_t value, const char *text, int fd);

#endif
