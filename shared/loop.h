/* loop.h - one epoll loop with timers. Single-threaded.
 *
 * A watch is embedded in its owner. An event for a watch that was removed earlier in the same batch is never delivered
 * (loop_remove clears it from the batch), so an owner may be freed once loop_defer's callback runs. */
#ifndef SHARED_LOOP_H
#define SHARED_LOOP_H

#include <sys/epoll.h>
#include "shared/clock.h"
#include "shared/err.h"
#include "shared/slice.h"

struct loop;

struct loop_watch {
	int fd;
	uint32_t index;  /* loop's own */
	void (*on_event)(struct loop_watch *w, uint32_t events); /* EPOLLIN | EPOLLOUT | EPOLLHUP | … */
};

struct loop_timer {
	uint64_t due_ms;     /* clock_mono_ms; owned by the loop while armed */
	size_t heap_index;   /* 0: not armed */
	void (*on_due)(struct loop_timer *t);
};

struct loop_deferred {
	struct loop_deferred *next;
	void (*run)(struct loop_deferred *d);
};

/* NULL: no memory or descriptors. */
struct loop *loop_new(const struct clock *clock);
/* Runs what is still deferred, then frees. Watches and timers are their owners'. */
void loop_free(struct loop *l);

/* events: as for epoll_ctl; EPOLLET is the caller's choice. E_NOMEM; E_SYSTEM (errno); E_CONFLICT: add of a watch that is
 * watched, modify of one that is not. A modify that changes nothing costs no system call. */
MUST_CHECK enum err loop_add(struct loop *l, struct loop_watch *w, uint32_t events);
MUST_CHECK enum err loop_modify(struct loop *l, struct loop_watch *w, uint32_t events);
/* Safe inside callbacks; does not close the descriptor, so call it before close(2). No-op when it is not watched. */
void loop_remove(struct loop *l, struct loop_watch *w);

/* Arm or move. A due time that moves later than an armed one is free (lazy): O(1) for the usual idle timeout that is pushed
 * back at every event; otherwise O(log n). A watch or timer starts zeroed. E_NOMEM. */
MUST_CHECK enum err loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms);
void loop_timer_clear(struct loop *l, struct loop_timer *t);

/* Run once after the current batch of events, in order. Not again before it ran. */
void loop_defer(struct loop *l, struct loop_deferred *d);
/* The same, behind everything that was deferred before the batch was over. */
void loop_defer_last(struct loop *l, struct loop_deferred *d);
/* Which batch of events this is: what happens so many times in each compares it. Wraps. */
uint32_t loop_batch(const struct loop *l);

/* Monotonic now, read once per batch. */
uint64_t loop_now_ms(const struct loop *l);
const struct clock *loop_clock(const struct loop *l);

/* Until loop_stop, which lets the batch end. E_SYSTEM when epoll itself fails. */
MUST_CHECK enum err loop_run(struct loop *l);
void loop_stop(struct loop *l);

#endif
