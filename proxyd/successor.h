/* successor.h - the process that is to take this master's place, as seen from here: started from the program's file as it is now, with our listening sockets and what it needs to
 * go on where we are (inheritance.h). Until it has served, nothing is given up: whatever goes wrong with it, we are told, and serve on.
 *
 *   starts    reads its configuration, starts its processes          ends with CONTROL_READY, or fails
 *   on trial  accepts connections; our workers leave them to it      ends with CONTROL_SERVED, or fails
 *   serves    it is the master now, and we leave
 *
 * It fails by saying so (CONTROL_FAILED), by ending, or by taking too long. */
#ifndef PROXYD_SUCCESSOR_H
#define PROXYD_SUCCESSOR_H

#include <sys/types.h>
#include "proxyd/listeners.h"
#include "proxyd/worker.h"
#include "shared/loop.h"

#define SUCCESSOR_TRIAL_MS 10000 /* without a request to prove itself by, this long without losing a process is good enough */
#define SUCCESSOR_TRIAL_SLACK_MS 10000 /* and this much longer it may take to say so */

enum successor_phase { SUCCESSOR_NONE, SUCCESSOR_STARTS, SUCCESSOR_ON_TRIAL, SUCCESSOR_SERVES, SUCCESSOR_FAILED };

/* What master is told. why: how it failed; what it does not say itself is how its process ended. */
struct successor_events {
	void (*on_trial)(void *master);
	void (*serves)(void *master);
	void (*failed)(void *master, const char *why); /* from start or trial; its process may still have connections to finish */
	void (*signal)(void *master, int number);      /* it was sent this while it serves, and we are to follow */
	void (*keycache)(void *master, int fd);        /* its newest keys; fd is borrowed */
	void (*ended)(void *master);                   /* its keeper has heard of sessions that ended */
};

struct successor {
	struct loop_watch control; /* first member; fd -1: none */
	struct loop_timer deadline;
	enum successor_phase phase;
	pid_t pid;                 /* 0: no process */
	struct loop *loop;
	const struct successor_events *events;
	void *master;
	uint64_t kill_ms;
	char why[248];
};

struct successor_setup {
	const struct listeners *listeners;
	int keycache_fd;           /* -1: none */
	int metrics_fd;
	unsigned generation;
	const unsigned char *ticket_secret;
	uint64_t ready_within_ms;
	uint64_t end_within_ms;    /* a successor that failed may finish what it has for so long */
};

void successor_init(struct successor *s, struct loop *loop, const struct successor_events *events, void *master);
/* Only while there is no process. E_EMPTY: our own file is not known; E_SYSTEM (errno). */
MUST_CHECK enum err successor_start(struct successor *s, const struct successor_setup *setup);
/* Master reaped this process. False: it was not the successor's. */
bool successor_reaped(struct successor *s, pid_t pid, int status);
/* We are to end, and it with us: no more events. A successor that serves stays. */
void successor_cancel(struct successor *s);
/* Pass a signal on to one that serves. */
void successor_signal(struct successor *s, int number);
void successor_fini(struct successor *s);

#endif
