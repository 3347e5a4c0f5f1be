/* child.h - one process that master started: the keeper or a worker of a generation, or the logger, and the socket to it. */
#ifndef PROXYD_CHILD_H
#define PROXYD_CHILD_H

#include <sys/types.h>
#include "proxyd/listeners.h"
#include "proxyd/logs.h"
#include "proxyd/respawn.h"
#include "proxyd/worker.h"
#include "shared/loop.h"

enum child_kind { CHILD_KEEPER, CHILD_WORKER, CHILD_LOGGER };

struct child {
	struct loop_watch control; /* first member; fd -1 when there is none */
	struct loop_timer respawn_timer;
	struct generation *generation; /* NULL: the logger's */
	enum child_kind kind;
	unsigned index;            /* of a worker */
	pid_t pid;                 /* 0: not running */
	bool ready;                /* CONTROL_READY came */
	bool lingers;              /* CONTROL_LINGERS came */
	uint64_t tunnels_until_ms; /* of one that drains: however it lingers, it is killed then */
	bool wanted;               /* gets a successor when it dies; otherwise it is to leave, or its place is free */
	uint64_t started_ms;
	size_t metrics_slot;       /* of a worker; METRICS_NO_SLOT: none */
	struct respawn respawn;
	char why[248];             /* text of CONTROL_FAILED; "" */
};

/* What a child needs to know. */
struct child_setup {
	const char *user;          /* to become; NULL: stay */
	enum log_level log_level;
	enum log_format log_format;
	const struct clock *clock;
	void (*forget)(void *arg); /* called in a keeper and in a logger: they have no use for keys and tickets that they inherited */
	void *arg;
	const struct logger_start *logger; /* for a logger, which needs nothing of what follows */
	struct logs *logs;         /* NULL: the child logs to standard error */
	const struct metrics *metrics; /* NULL: nobody counts */
	const struct proxyd_config *config;
	unsigned generation;
	bool serve;                /* at once, not when told */
	const struct listeners *listeners;
	int keycache_fd;           /* worker: newest, keeper: seed; -1: none */
	const unsigned char *ticket_secret;
};

/* Fork. In the child, which keeps standard streams and what c's kind needs and drops its rights, this does not return. In master c->pid and
 * c->control.fd are set; the caller watches it. E_SYSTEM (errno). */
MUST_CHECK enum err child_start(struct child *c, const struct child_setup *setup);
/* After the death: close the socket, forget the process. */
void child_forget(struct child *c, struct loop *loop);
/* "keeper", "worker", "logger" */
const char *child_kind_name(const struct child *c);
/* "worker 1 was ended by signal 9 (SIGKILL)". status: waitpid's. */
#define CHILD_DEATH_BYTES 384
void child_describe_death(const struct child *c, int status, char out[CHILD_DEATH_BYTES]);

#endif
