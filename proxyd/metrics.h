/* metrics.h - what master and the workers count, in memory that the keeper prints from (metrics_report.h).
 *
 * Owns: one memfd for the life of master, and of those that take its place: a page that master writes, then slots, one for each worker process. A worker maps its own slot alone, so that it
 * cannot speak for another; the keeper maps everything, read-only. One writer for each word: counting is a load and a store, never a lock or a system call.
 * A slot belongs to a worker's number for good: a successor counts on from where its predecessor left off, and while an old generation drains there are
 * two slots of the same number, which add up. So no counter ever goes back, whatever dies or is reloaded.
 * A master that replaces another (USR2) maps the same memory, if it counts the same things in the same places (metrics_layout): both lend slots for as long as both run. */
#ifndef PROXYD_METRICS_H
#define PROXYD_METRICS_H

#include <stdatomic.h>
#include <sys/types.h>
#include "proxyd/config.h"
#include "proxyd/kube_request.h"

/* One sample each: an index into metrics_slot.values. metrics_report.c says what each one is called. */
enum metric {
	METRIC_CONNECTIONS,
	METRIC_CONNECTIONS_H1, METRIC_CONNECTIONS_H2,
	METRIC_CONNECTIONS_REFUSED_ADDRESS, METRIC_CONNECTIONS_REFUSED_PROXY, METRIC_CONNECTIONS_SHED,
	METRIC_HANDSHAKES_FULL, METRIC_HANDSHAKES_RESUMED, METRIC_HANDSHAKES_FAILED,
	METRIC_CREDENTIAL_HITS, METRIC_CREDENTIAL_MISSES, METRIC_CREDENTIALS_REFUSED, METRIC_SIGNATURES,
	METRIC_REVIEWS, METRIC_SESSIONS_ASKED,
	METRIC_LIMITED_ADDRESS_RATE, METRIC_LIMITED_REFUSALS, METRIC_LIMITED_IDENTITY_RATE, METRIC_LIMITED_IDENTITY_SHARE, METRIC_LIMITED_IN_FLIGHT, /* as enum limit */
	METRIC_BYTES_IN, METRIC_BYTES_OUT,
	METRIC_LOG_DROPPED, METRIC_AUDIT_DROPPED,
	METRIC_COUNTERS,
	/* What is so at this moment; nothing of it outlives the process. */
	METRIC_CONNECTIONS_OPEN = METRIC_COUNTERS,
	METRIC_HANDSHAKES_OPEN,
	METRIC_REQUESTS_OPEN,
	METRIC_TUNNELS_OPEN,
	METRIC_CREDENTIALS_KNOWN,
	METRIC_LOG_QUEUED, METRIC_AUDIT_QUEUED,
	METRICS
};

/* Of one destination. Row 0 is everything that goes to no cluster. */
enum metric_upstream {
	METRIC_UPSTREAM_OPENED, METRIC_UPSTREAM_REUSED, METRIC_UPSTREAM_STREAMS,
	METRIC_UPSTREAM_REFUSED, METRIC_UPSTREAM_TIMEOUT, METRIC_UPSTREAM_TLS, /* no connection, as enum upstream_failure */
	METRIC_UPSTREAM_BROKEN,       /* a connection, but no answer, or none that can be used */
	METRIC_UPSTREAM_RETRIES, METRIC_UPSTREAM_UNAUTHORIZED,
	METRIC_UPSTREAM_COUNTERS,
	METRIC_UPSTREAM_OPEN = METRIC_UPSTREAM_COUNTERS,
	METRIC_UPSTREAM_OPEN_H2,      /* of these, how many many requests share */
	METRIC_UPSTREAM_STREAMS_OPEN,
	METRICS_UPSTREAM
};

/* Status codes that are told apart; whatever else there is in the world is one more, and no answer at all another. */
#define METRICS_CODES 38
extern const uint16_t metrics_codes[METRICS_CODES];
enum { METRICS_CODE_OTHER = METRICS_CODES, METRICS_CODE_NONE, METRICS_CODES_ALL };

/* Upper bounds in milliseconds, which is what the loop's clock tells apart; one bucket more has what is beyond. */
#define METRICS_BOUNDS 15
extern const uint64_t metrics_bounds_ms[METRICS_BOUNDS];
struct metrics_histogram {
	_Atomic uint64_t counts[METRICS_BOUNDS + 1];
	_Atomic uint64_t sum_ms;
};

#define METRICS_NAME_BYTES 64 /* a DNS label has 63 */
struct metrics_target {
	_Atomic uint64_t name[METRICS_NAME_BYTES / 8]; /* NUL-terminated; empty: nobody's yet */
	_Atomic uint64_t upstream[METRICS_UPSTREAM];
	struct metrics_histogram duration;  /* of requests that are not meant to last */
	struct metrics_histogram first_byte; /* from the search for a connection to the answer's head */
	_Atomic uint64_t requests[KUBE_VERBS][METRICS_CODES_ALL];
};
/* Clusters that come and go with reloads keep their rows; who finds none left is counted in row 0. */
#define METRICS_TARGETS (1 + 2 * PROXYD_CLUSTERS_MAX)
struct metrics_slot {
	_Atomic uint64_t values[METRICS];
	struct metrics_target targets[METRICS_TARGETS];
};

/* Four generations of as many workers as there can be. Memory is touched as it is needed. */
#define METRICS_SLOTS (4 * PROXYD_WORKERS_MAX)
#define METRICS_NO_SLOT SIZE_MAX
enum metrics_child { METRICS_WORKER, METRICS_KEEPER, METRICS_LOGGER, METRICS_CHILDREN };
struct metrics_master {
	_Atomic uint64_t since_s;              /* when the counters began, in seconds since 1970 */
	_Atomic uint64_t reloads_done, reloads_failed;
	_Atomic uint64_t deaths[METRICS_CHILDREN];
	_Atomic uint64_t owners[METRICS_SLOTS]; /* worker's number + 1; 0: nobody's yet */
	_Atomic uint64_t lenders[METRICS_SLOTS]; /* process id of the master whose worker has it now; 0: nobody has */
};

static inline void
metrics_add(_Atomic uint64_t *word, uint64_t n)
{
	atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline void
metrics_set(_Atomic uint64_t *word, uint64_t n)
{
	atomic_store_explicit(word, n, memory_order_relaxed);
}
static inline uint64_t
metrics_get(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

/* ---- master ---- */

struct metrics;
/* Its mapping is not inherited by children. E_SYSTEM (errno), E_NOMEM. */
MUST_CHECK enum err metrics_new(int64_t now_s, struct metrics **out);
/* A predecessor's. fd stays the caller's. E_FORMAT: it is none; E_SYSTEM (errno), E_NOMEM. */
MUST_CHECK enum err metrics_inherit(int fd, struct metrics **out);
void metrics_free(struct metrics *m); /* NULL: nothing */
int metrics_fd(const struct metrics *m);
struct metrics_master *metrics_master(struct metrics *m);
/* One more, on master's page: two masters may count there. */
static inline void
metrics_master_count(_Atomic uint64_t *word)
{
	atomic_fetch_add_explicit(word, 1, memory_order_relaxed);
}
/* A slot for a process that is worker number i; METRICS_NO_SLOT: too many processes. */
size_t metrics_slot_take(struct metrics *m, unsigned i);
/* The process is gone: what it was doing is not done any more. METRICS_NO_SLOT: nothing. */
void metrics_slot_release(struct metrics *m, size_t slot);
/* Another master is gone, and its workers with it: the same for what it had lent. */
void metrics_release_all_of(struct metrics *m, pid_t master);

/* ---- children; neither closes fd ---- */

/* *out is for the life of the process. E_SYSTEM (errno). */
MUST_CHECK enum err metrics_map_slot(int fd, size_t slot, struct metrics_slot **out);
struct metrics_view {
	const struct metrics_master *master;
	const struct metrics_slot *slots[METRICS_SLOTS]; /* not to be looked at where the slot has no owner: that would cost a page */
};
MUST_CHECK enum err metrics_map_all(int fd, struct metrics_view *out);

/* Rows are used from the first on: behind one that is not there is none, and to look would cost a page. */
bool metrics_target_is_used(const struct metrics_slot *s, size_t t);

/* ---- a worker ---- */

/* The row of a cluster, made if need be; row 0 for everything else (name "") and when there are too many. */
struct metrics_target *metrics_target(struct metrics_slot *s, const char *name);
/* code 0: there was no answer. */
void metrics_request(struct metrics_target *t, enum kube_verb verb, unsigned code);
void metrics_time(struct metrics_histogram *h, uint64_t ms);

#endif
