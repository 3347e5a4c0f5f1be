/* cluster_call.h - one small request of the gateway itself to a cluster's apiserver: POST of a JSON object, a JSON answer.
 *
 * It carries the gateway's own credential and nobody's identity, so nothing of a caller may ever decide its path or headers. Kept connections of
 * the cluster are used; on one that died meanwhile it is sent again, once, on a new one: what is asked this way changes nothing. */
#ifndef PROXYD_CLUSTER_CALL_H
#define PROXYD_CLUSTER_CALL_H

#include "proxyd/route.h"
#include "shared/buf.h"
#include "shared/loop.h"

/* 253 groups and some extras of 1 KiB each, and an echo of the longest token that may be configured (64 KiB). */
#define CLUSTER_CALL_ANSWER_BYTES_MAX (512u << 10)

struct cluster_call {
	struct upstream_call call;
	struct loop *loop;
	struct destination *to;
	struct loop_timer kick; /* go on from the loop */
	struct buf request, answer;
	size_t sent;
	bool retried;
	const char *why;        /* it could not even start */
	/* Once, from the loop, unless finished before. status: the answer's, with its body; 0: there is none, and why says so (while this runs). */
	void (*on_end)(struct cluster_call *c, unsigned status, struct slice body, const char *why);
};

/* path: below the cluster's server. c->on_end is set, all else zeroed. OK: on_end follows. E_NOMEM: it does not, but cluster_call_finish is due. */
MUST_CHECK enum err cluster_call_start(struct cluster_call *c, struct loop *loop, struct destination *to, const char *path, struct slice body);
/* Let go of everything, at any time. The memory of *c has to stay until the batch of events is over (loop_defer). */
void cluster_call_finish(struct cluster_call *c);

#endif
