/* generation.h - one configuration at work: its keeper, its workers, and their lives from start to the last one's end.
 *
 * Built whole before it serves: first the keeper, so that there are keys, then the workers. A candidate (reload) gives up at the first child that
 * fails; the generation that serves never does: its children are replaced. */
#ifndef PROXYD_GENERATION_H
#define PROXYD_GENERATION_H

#include "proxyd/child.h"
#include "proxyd/credentials.h"

#define GENERATION_READY_MS 30000      /* a candidate that is not ready by then has failed */
#define GENERATION_KEEPER_MS 7000      /* the first generation starts its workers by then, whatever the keeper does (KEEPER_READY_MS and some) */
#define GENERATION_KILL_MS 5000        /* from the end of a drain to SIGKILL */
#define GENERATION_STOP_MS 3000        /* from CONTROL_STOP to SIGKILL */

enum generation_phase { GENERATION_NEW, GENERATION_KEEPER_STARTS, GENERATION_WORKERS_START, GENERATION_SERVES, GENERATION_LEAVES };

struct generation;
/* What master is told. settled comes once: why NULL, every child is ready; else the candidate cannot. gone: no child is left; the generation may be
 * freed once the callback has returned. */
struct generation_events {
	void (*settled)(void *master, struct generation *g, const char *why);
	void (*gone)(void *master, struct generation *g);
	void (*want_keys)(void *master);
	void (*forget_secrets)(void *master); /* in a fresh keeper process: wipe what master's memory has of them */
	/* These may be NULL. */
	void (*died)(void *master, struct generation *g, const char *why); /* a child that is about to be replaced */
	void (*served)(void *master, struct generation *g);                /* a worker has answered its first request */
	void (*keycache)(void *master, struct generation *g);              /* the keeper made another one: g->keycache_fd */
	void (*ended)(void *master, struct generation *g);                 /* the keeper has heard of sessions that ended */
};

struct generation {
	struct generation *next;       /* master's list */
	unsigned number;               /* from 1 */
	struct proxyd_config *config;  /* its own */
	struct listeners listeners;
	bool candidate;                /* gives up rather than trying again */
	bool serving;                  /* children accept connections as soon as they are ready */
	enum generation_phase phase;
	struct child keeper;
	struct child *workers;         /* PROXYD_WORKERS_MAX places, so that none ever moves */
	size_t worker_n;               /* places that have been used: of these some may be free again */
	int keycache_fd;               /* the newest; -1: none */
	struct credentials *credentials;
	struct loop_timer credentials_timer; /* to look at them again; runs as long as there may be a worker */
	struct loop_timer deadline;
	struct loop_deferred gone;
	bool told_gone;
	struct loop *loop;
	const struct clock *clock;
	const unsigned char *ticket_secret;
	struct logs *logs;
	struct metrics *metrics;
	const struct generation_events *events;
	void *master;
};

struct generation_setup {
	unsigned number;
	bool candidate;
	struct proxyd_config *config;      /* taken over unless NULL is returned */
	struct listeners listeners;        /* ditto */
	int seed_fd;                       /* key cache of the generation before, duplicated; -1: none */
	struct loop *loop;
	const struct clock *clock;
	const unsigned char *ticket_secret; /* stays master's */
	struct metrics *metrics;            /* master's; NULL: nobody counts */
	struct logs *logs;                  /* master's; NULL: children log to standard error */
	const struct generation_events *events;
	void *master;
};

struct generation *generation_new(const struct generation_setup *setup);
/* No child may be left. Does not close the listeners: others may use them. */
void generation_free(struct generation *g);

/* serve: at once; otherwise its children wait for generation_serve. */
void generation_start(struct generation *g, bool serve);
/* It has settled: accept connections from now on. */
void generation_serve(struct generation *g);
/* Leave new connections to others, until generation_serve. */
void generation_pause(struct generation *g);
/* Its own keeper is gone: these are the keys from now on. fd is borrowed. */
void generation_use_keycache(struct generation *g, int fd);
/* How long those who leave may finish what they have. */
struct generation_drain {
	uint64_t requests_ms, tunnels_ms; /* tunnels: at least as long as requests */
};
/* Let workers finish what runs; the keeper ends at once. Again: if it is sooner. */
void generation_drain(struct generation *g, struct generation_drain d);
/* Sessions have ended: those who have something of theirs look. */
void generation_tell_ended(struct generation *g);
void generation_stop(struct generation *g);
/* Master reaped this process. False: it is none of ours. */
bool generation_reaped(struct generation *g, pid_t pid, int status);
void generation_want_keys(struct generation *g);
/* One worker more, in the first free place; one less: the last one finishes what it has, for at most so long. Only while the generation serves. E_LIMIT: as many as there may
 * be; as few. */
MUST_CHECK enum err generation_add_worker(struct generation *g);
MUST_CHECK enum err generation_remove_worker(struct generation *g, struct generation_drain d);
/* Workers that are wanted. */
size_t generation_workers(const struct generation *g);
/* In a child that has no use for the secrets it inherited. */
void generation_forget_secrets(struct generation *g);

#endif
