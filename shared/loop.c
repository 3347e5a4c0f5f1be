#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>
#include "shared/loop.h"

/* One epoll_wait's worth: enough that a busy worker's system call is shared by many events, few enough that the batch stays
 * in the first-level cache (128 * 12 bytes). */
#define LOOP_BATCH 128

/* A watch's place. epoll's data is the place's index and generation; a removed watch's generation has passed, so a stale event
 * finds nobody. */
struct slot {
	struct loop_watch *watch; /* NULL: free */
	uint32_t generation;
	uint32_t events;    /* as told to epoll */
	uint32_t next_free; /* index of the next free slot; 0: none */
};

/* key is the due time when the timer was last put in its place; the timer's own may be later (postponed). */
struct heap_entry {
	uint64_t key;
	struct loop_timer *timer;
};

struct deferred_list {
	struct loop_deferred *first, **tail;
};

struct loop {
	int epoll;
	bool running, stopped;
	uint64_t now_ms;
	const struct clock *clock;
	struct slot *slots; /* [0] is never used: a watch with index 0 is not watched */
	uint32_t slots_n, slots_cap, free_slot;
	struct heap_entry *heap; /* [1] is the earliest */
	size_t heap_n, heap_cap;
	struct deferred_list deferred, last;
	uint32_t batch_n;
	struct epoll_event batch[LOOP_BATCH];
};

struct loop *
loop_new(const struct clock *clock)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0) {
		free(l);
		return NULL;
	}
	l->clock = clock;
	l->now_ms = clock_mono_ms(clock);
	l->slots_n = 1;
	l->deferred.tail = &l->deferred.first;
	l->last.tail = &l->last.first;
	return l;
}

static void
run_deferred(struct deferred_list *list)
{
	/* As of now: what they defer themselves runs after the next batch. */
	struct loop_deferred *d = list->first, *next;

	list->first = NULL;
	list->tail = &list->first;
	for (; d; d = next) {
		next = d->next; /* d may be freed */
		d->run(d);
	}
}

void
loop_free(struct loop *l)
{
	if (!l)
		return;
	while (l->deferred.first || l->last.first) {
		run_deferred(&l->deferred);
		run_deferred(&l->last);
	}
	close(l->epoll);
	free(l->slots);
	free(l->heap);
	free(l);
}

static uint32_t
take_slot(struct loop *l)
{
	uint32_t index = l->free_slot;

	if (index) {
		l->free_slot = l->slots[index].next_free;
		return index;
	}
	if (l->slots_n >= l->slots_cap) {
		uint32_t cap = l->slots_cap ? l->slots_cap * 2 : 64;
		struct slot *slots = cap > l->slots_cap ? realloc(l->slots, cap * sizeof(*slots)) : NULL;
		if (!slots)
			return 0;
		l->slots = slots;
		l->slots_cap = cap;
	}
	index = l->slots_n++;
	l->slots[index] = (struct slot){ 0 };
	return index;
}

static void
give_slot(struct loop *l, uint32_t index)
{
	struct slot *s = &l->slots[index];

	s->watch = NULL;
	s->generation++;
	s->next_free = l->free_slot;
	l->free_slot = index;
}

static int
tell_epoll(struct loop *l, int op, const struct loop_watch *w, uint32_t index, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = (uint64_t)l->slots[index].generation << 32 | index };

	return epoll_ctl(l->epoll, op, w->fd, &event);
}

enum err
loop_add(struct loop *l, struct loop_watch *w, uint32_t events)
{
	if (w->index)
		return E_CONFLICT;
	uint32_t index = take_slot(l);
	if (!index)
		return E_NOMEM;
	l->slots[index].watch = w;
	l->slots[index].events = events;
	if (tell_epoll(l, EPOLL_CTL_ADD, w, index, events) < 0) {
		give_slot(l, index);
		return E_SYSTEM;
	}
	w->index = index;
	return OK;
}

enum err
loop_modify(struct loop *l, struct loop_watch *w, uint32_t events)
{
	if (!w->index)
		return E_CONFLICT;
	struct slot *s = &l->slots[w->index];
	/* An edge-triggered or one-shot watch is modified to be armed again, even with the same events. */
	if (s->events == events && !(events & (EPOLLET | EPOLLONESHOT)))
		return OK;
	if (tell_epoll(l, EPOLL_CTL_MOD, w, w->index, events) < 0)
		return E_SYSTEM;
	s->events = events;
	return OK;
}

void
loop_remove(struct loop *l, struct loop_watch *w)
{
	if (!w->index)
		return;
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	give_slot(l, w->index);
	w->index = 0;
}

static void
place(struct loop *l, size_t at, struct heap_entry entry)
{
	l->heap[at] = entry;
	entry.timer->heap_index = at;
}

static void
sift_up(struct loop *l, size_t at, struct heap_entry entry)
{
	for (; at > 1 && l->heap[at / 2].key > entry.key; at /= 2)
		place(l, at, l->heap[at / 2]);
	place(l, at, entry);
}

static void
sift_down(struct loop *l, size_t at, struct heap_entry entry)
{
	for (size_t child; (child = 2 * at) <= l->heap_n; at = child) {
		if (child < l->heap_n && l->heap[child + 1].key < l->heap[child].key)
			child++;
		if (l->heap[child].key >= entry.key)
			break;
		place(l, at, l->heap[child]);
	}
	place(l, at, entry);
}

enum err
loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ms)
{
	if (!l->running)
		l->now_ms = clock_mono_ms(l->clock);
	t->due_ms = delay_ms < UINT64_MAX - l->now_ms ? l->now_ms + delay_ms : UINT64_MAX;

	size_t at = t->heap_index;
	if (at) {
		if (t->due_ms < l->heap[at].key)
			sift_up(l, at, (struct heap_entry){ t->due_ms, t });
		return OK; /* later: looked at when the old time comes */
	}
	if (l->heap_n + 1 >= l->heap_cap) {
		size_t cap = l->heap_cap ? l->heap_cap * 2 : 64;
		struct heap_entry *heap = realloc(l->heap, cap * sizeof(*heap));
		if (!heap)
			return E_NOMEM;
		l->heap = heap;
		l->heap_cap = cap;
	}
	sift_up(l, ++l->heap_n, (struct heap_entry){ t->due_ms, t });
	return OK;
}

void
loop_timer_clear(struct loop *l, struct loop_timer *t)
{
	size_t at = t->heap_index;

	if (!at)
		return;
	t->heap_index = 0;
	struct heap_entry last = l->heap[l->heap_n--];
	if (last.timer == t)
		return;
	if (at > 1 && l->heap[at / 2].key > last.key)
		sift_up(l, at, last);
	else
		sift_down(l, at, last);
}

static void
append(struct deferred_list *list, struct loop_deferred *d)
{
	d->next = NULL;
	*list->tail = d;
	list->tail = &d->next;
}

void
loop_defer(struct loop *l, struct loop_deferred *d)
{
	append(&l->deferred, d);
}

void
loop_defer_last(struct loop *l, struct loop_deferred *d)
{
	append(&l->last, d);
}

uint32_t
loop_batch(const struct loop *l)
{
	return l->batch_n;
}

uint64_t
loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

const struct clock *
loop_clock(const struct loop *l)
{
	return l->clock;
}

/* At most as many as were armed before: a timer that arms itself anew with no delay does not hold the loop. Nor do many that are due together hold up
 * the events: what is left is due after the next batch. */
static void
run_timers(struct loop *l)
{
	for (size_t left = l->heap_n < LOOP_BATCH ? l->heap_n : LOOP_BATCH; left && l->heap_n && l->heap[1].key <= l->now_ms; left--) {
		struct loop_timer *t = l->heap[1].timer;

		if (t->due_ms > l->now_ms) {
			sift_down(l, 1, (struct heap_entry){ t->due_ms, t });
		} else {
			loop_timer_clear(l, t);
			t->on_due(t);
		}
	}
}

static int
wait_ms(const struct loop *l)
{
	const int most = 60000;

	if (l->deferred.first || l->last.first)
		return 0;
	if (!l->heap_n)
		return -1;
	if (l->heap[1].key <= l->now_ms)
		return 0;
	uint64_t left = l->heap[1].key - l->now_ms;
	return left < (uint64_t)most ? (int)left : most;
}

static void
deliver(struct loop *l, const struct epoll_event *event)
{
	uint32_t index = (uint32_t)event->data.u64;
	const struct slot *s = &l->slots[index];

	if (s->watch && s->generation == (uint32_t)(event->data.u64 >> 32))
		s->watch->on_event(s->watch, event->events);
}

enum err
loop_run(struct loop *l)
{
	enum err e = OK;

	l->running = true;
	l->now_ms = clock_mono_ms(l->clock);
	while (!l->stopped) {
		int n = epoll_wait(l->epoll, l->batch, LOOP_BATCH, wait_ms(l));
		if (n < 0 && errno != EINTR) {
			e = E_SYSTEM;
			break;
		}
		l->now_ms = clock_mono_ms(l->clock);
		l->batch_n++;
		for (int i = 0; i < n; i++)
			deliver(l, &l->batch[i]);
		run_timers(l);
		run_deferred(&l->deferred);
		run_deferred(&l->last);
	}
	l->running = false;
	l->stopped = false;
	return e;
}

void
loop_stop(struct loop *l)
{
	l->stopped = true;
}
