/* gateway.h - what the parts of one worker share: the loop, the rules, the caches and the memory that is used again.
 *
 * One per process, made by worker.c; everything in it is single-threaded. */
#ifndef PROXYD_GATEWAY_H
#define PROXYD_GATEWAY_H

#include "proxyd/authenticator.h"
#include "proxyd/block.h"
#include "proxyd/config.h"
#include "proxyd/http_head.h"
#include "proxyd/limits.h"
#include "proxyd/turns.h"
#include "shared/buf.h"
#include "shared/loop.h"

struct router;
struct session_client;
struct review_client;
struct access_answers;
struct exchange;
struct request;
struct client;
struct line_pipe;
struct metrics_slot;

/* A head that an upstream sends: 64 KiB, as what we accept from clients by default. */
#define GATEWAY_ANSWER_HEAD_BYTES_MAX 65536
/* A head with what we add: the largest configurable client head (1 MiB), 253 groups and 32 extras of 1 KiB each, and our own lines. */
#define GATEWAY_CALLER_BYTES_MAX (300 * 1100)
#define GATEWAY_SCRATCH_BYTES_MAX ((1u << 20) + GATEWAY_CALLER_BYTES_MAX)
/* Exchanges and connections kept for the next ones. */
#define GATEWAY_FREE_MAX 256

struct gateway {
	struct loop *loop;
	const struct clock *clock;
	const struct proxyd_config *config;
	struct authenticator *authenticator;
	struct router *router;
	struct session_client *sessions; /* NULL: no browser sessions configured */
	struct review_client *token_reviews, *access_reviews; /* reviews.h; NULL: not configured */
	struct access_answers *access_answers;
	struct credential_hasher access_hasher;
	struct http_limits request_limits, answer_limits;
	struct limits limits;
	struct turns *turns;
	struct block_pool blocks;
	struct line_pipe *audit;      /* where audit events go; NULL: nobody wants them */
	struct buf scratch;           /* a head being written; valid until control returns to the loop or another head is written */
	struct buf caller;            /* what a backend is told of a caller; the same */
	struct http_head answer_head; /* a head being read from an upstream; the same */
	uint32_t id_prefix, id_counter; /* request ids: random of this worker, and a number */
	bool draining;                /* answer "Connection: close" from now on */
	uint64_t drain_until_ms;      /* when requests are cut */
	unsigned send_away;           /* as many answers say so although it does not drain */
	bool stopping;                /* whatever still runs is cut by us */

	/* lists of what is free */
	struct exchange *exchanges;
	struct request *requests;
	size_t exchange_free_n, request_free_n;

	struct exchange *lasting; /* lasting.h */
	struct client *clients; /* all client connections */
	size_t client_n;
	struct client *strangers, *strangers_last; /* those on which nobody has been known yet, oldest first */
	uint64_t proxy_silent_until_ms; /* before that nothing is said of refused PROXY headers */
	size_t late_n; /* answers that are held back */
	void (*on_client_gone)(struct gateway *g, const struct client *c); /* its connection is closed; NULL: nobody asks */
	void (*on_keys_wanted)(struct gateway *g); /* a token named a key that nobody has; NULL: nobody asks */
	void (*on_served)(struct gateway *g); /* once, when the first request has been answered; NULL: nobody asks */
	struct metrics_slot *metrics; /* shared with the keeper; NULL before gateway_init: memory of our own, for whoever has none */
	bool metrics_own;
	struct authenticator_stats credentials_counted; /* how much of them is in metrics */
};

/* Prepares limits, pools and ids; loop, config, clock, authenticator, router, sessions and reviews are the caller's to set before. E_SYSTEM: no randomness. */
MUST_CHECK enum err gateway_init(struct gateway *g);
/* Frees pools and lists. All connections have to be gone, and the loop, too, whose last batch looks at who waits. */
void gateway_fini(struct gateway *g);

#endif
