/* master_state.h - a master from inside: for master*.c only.
 *
 * master.c: start, reloads, workers, the end. master_upgrade.c: one program in place of another, from either side. */
#ifndef PROXYD_MASTER_STATE_H
#define PROXYD_MASTER_STATE_H

#include "proxyd/generation.h"
#include "proxyd/inheritance.h"
#include "proxyd/master.h"
#include "proxyd/successor.h"

/* ENDING_SUCCEEDED: another program serves; what we have is finished. */
enum ending { ENDING_NO, ENDING_SUCCEEDED, ENDING_DRAIN, ENDING_STOP };

struct master {
	struct loop_watch signals; /* first member */
	struct loop_timer watchdog;
	struct loop_timer files;        /* master_files.c */
	struct loop *loop;
	const struct clock *clock;
	const char *path;
	struct generation *generations; /* all that have a child left, newest first */
	struct generation *active;      /* the one that serves, or is starting as the first; NULL: none yet, or no more */
	struct generation *candidate;   /* the one that is to replace it; NULL: no reload runs */
	struct logs *logs;
	struct metrics *metrics;
	struct log_files candidate_files; /* in use when the candidate is */
	struct proxyd_config *starting; /* loaded, and nobody's yet */
	unsigned last_number;
	bool reload_again;              /* HUP came while a reload or an upgrade ran */
	bool upgrade_again;             /* so did USR2 */
	int workers_more;               /* and TTIN less TTOU */
	bool announced;                 /* "proxyd ready" was said */
	enum ending ending;
	bool failed;                    /* exit status 1 */
	uint64_t watchdog_ms;
	char *pid_file;                 /* that has our number; NULL: none */
	unsigned char ticket_secret[TICKET_SECRET_BYTES]; /* for the life of this process and its successors': tickets outlive reloads */

	struct successor successor;     /* the program that is to replace this one */
	struct inheritance *inheritance; /* and, if this one is to replace another, the line to that */
	struct loop_timer trial;        /* of this one */
	bool on_trial;
	struct loop_timer predecessor_over; /* it is gone, and soon its workers are */
};

/* master.c */
/* Every generation leaves; the loop ends with the last one, and with the predecessor, which may still have connections. Less than what runs already changes nothing. */
void master_end(struct master *m, enum ending how, const char *why);
void master_reload(struct master *m);
void master_reopen_logs(struct master *m);
/* A reload, a start or an upgrade runs: nothing else may begin. */
bool master_is_busy(const struct master *m);
/* What came while it did. */
void master_run_queued(struct master *m);
/* Sessions have ended: every worker there is looks, our predecessor's too. */
void master_tell_ended(struct master *m);
/* "proxyd ready", "reload: done", with the addresses as bound. */
void master_announce(const struct generation *g, const char *msg);
/* No child is left, nor a predecessor. */
void master_end_if_gone(struct master *m);
/* The pid file, if the configuration in use names one, is ours from now on. */
void master_claim_pid_file(struct master *m);

/* master_files.c */
/* Looks at the configuration's files now and then, for as long as nothing ends. */
void master_follow_files(struct master *m);

/* master_upgrade.c */
void master_upgrade_init(struct master *m);
void master_upgrade(struct master *m);
/* The first configuration has taken the sockets that were passed on: those that it has no use for go, for nobody would answer there. */
void master_settle_inheritance(struct master *m);
/* As a successor, when all is ready: from now on both programs' listening sockets are the same, and this one accepts, too. */
void master_take_over(struct master *m, struct generation *g);
/* A child died, or one has answered a request. */
void master_child_died(struct master *m, const struct generation *g, const char *why);
void master_child_served(struct master *m, const struct generation *g);
/* It cannot take the predecessor's place. */
void master_give_up(struct master *m, const char *why);

#endif
