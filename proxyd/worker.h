/* worker.h - one process, one epoll loop, all of a connection's life. */
#ifndef PROXYD_WORKER_H
#define PROXYD_WORKER_H

#include "proxyd/config.h"
#include "proxyd/metrics.h"

#define TICKET_SECRET_BYTES 32

/* What master hands to a fresh child. Everything stays valid for the child's life. */
struct worker_start {
	const struct proxyd_config *config;
	unsigned index;              /* 0.. within its generation */
	unsigned generation;         /* of the configuration, from 1 */
	const int *listen_fds;       /* one per config->listen item, non-blocking, shared by all workers */
	bool serve;                  /* accept at once; otherwise at CONTROL_SERVE, and the sockets need not listen before */
	int control_fd;              /* SOCK_SEQPACKET to master (control.h) */
	int log_fd, audit_fd;        /* pipes to the logger, non-blocking, the worker's; log -1: standard error, audit -1: no events */
	int keycache_fd;             /* newest key cache, -1: not yet; later ones come by CONTROL_KEYCACHE */
	struct metrics_slot *metrics; /* where this worker counts; NULL: nobody looks */
	unsigned char ticket_secret[TICKET_SECRET_BYTES]; /* session ticket keys are derived from it and the time: the same in every worker */
	const struct clock *clock;
};
/* Runs until CONTROL_STOP, the end of a drain or the loss of master. Returns the exit status. Sends CONTROL_READY once it accepts, or could. */
int worker_run(const struct worker_start *start);

#endif
