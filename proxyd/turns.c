#include <assert.h>
#include <stdlib.h>
#include "proxyd/peers.h"
#include "proxyd/turns.h"

#define OWNER(type, member, p) ((type *)((char *)(p) - offsetof(type, member)))

struct turn_lane {
	struct turn *first, *last;
	struct turn_lane *next; /* in the ring */
	bool is_stranger, in_ring;
	uint32_t batch; /* that units are of */
	size_t units;
};

/* Lanes in which something waits, in the order of their turns. One that was left empty goes when it would be its turn. */
struct ring {
	struct turn_lane *first, *last;
	size_t n;
};

struct turns {
	struct loop *loop;
	uint64_t seed;
	struct loop_deferred end; /* of the batch */
	bool end_awaited;
	struct turn_lane *running; /* a caller's, from among those that wait */
	uint32_t batch;
	size_t spent; /* by callers, in that batch */
	const struct turn_lane *latest; /* caller's that did something */
	uint64_t crowded_until_ms; /* since another one did before it */
	struct ring callers, strangers;
	struct turn_lane newcomers;
	struct turn_lane caller_lanes[TURNS_CALLER_LANES], stranger_lanes[TURNS_STRANGER_LANES];
};

static void on_batch_end(struct loop_deferred *d);

struct turns *
turns_new(struct loop *l, uint64_t seed)
{
	struct turns *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->loop = l;
	t->seed = seed;
	t->end.run = on_batch_end;
	t->newcomers.is_stranger = true;
	for (size_t i = 0; i < TURNS_STRANGER_LANES; i++)
		t->stranger_lanes[i].is_stranger = true;
	return t;
}

void
turns_free(struct turns *t)
{
	free(t);
}

struct turn_lane *
turns_caller(struct turns *t, struct slice name)
{
	uint64_t key[2];

	peers_name_key(name, t->seed, key);
	return &t->caller_lanes[peers_hash(key, t->seed) % TURNS_CALLER_LANES];
}

struct turn_lane *
turns_stranger(struct turns *t, const unsigned char address[16])
{
	uint64_t key[2];

	peers_key(address, key);
	return &t->stranger_lanes[peers_hash(key, t->seed) % TURNS_STRANGER_LANES];
}

struct turn_lane *
turns_newcomers(struct turns *t)
{
	return &t->newcomers;
}

bool
turns_is_stranger(const struct turn_lane *lane)
{
	return lane->is_stranger;
}

/* ---- units ---- */

static size_t
units_of(const struct turns *t, const struct turn_lane *lane)
{
	return lane->batch == loop_batch(t->loop) ? lane->units : 0;
}

static size_t
spent(const struct turns *t)
{
	return t->batch == loop_batch(t->loop) ? t->spent : 0;
}

void
turns_charge(struct turns *t, struct turn_lane *lane, size_t units)
{
	if (lane->is_stranger)
		return;
	t->spent = spent(t) + units;
	lane->units = units_of(t, lane) + units;
	t->batch = lane->batch = loop_batch(t->loop);
	if (t->latest != lane) {
		t->crowded_until_ms = t->latest ? loop_now_ms(t->loop) + TURNS_ALONE_MS : 0;
		t->latest = lane;
	}
}

bool
turns_left(const struct turns *t, const struct turn_lane *lane)
{
	size_t most = loop_now_ms(t->loop) < t->crowded_until_ms ? TURNS_UNITS : TURNS_UNITS_ALONE;

	return !lane->is_stranger && units_of(t, lane) < most;
}

bool
turns_take(struct turns *t, struct turn_lane *lane)
{
	if (!turns_left(t, lane) || (lane->first && t->running != lane))
		return false;
	turns_charge(t, lane, 1);
	return true;
}

/* ---- waiting ---- */

static void
ring_push(struct ring *r, struct turn_lane *lane)
{
	lane->in_ring = true;
	lane->next = NULL;
	*(r->last ? &r->last->next : &r->first) = lane;
	r->last = lane;
	r->n++;
}

static struct turn_lane *
ring_pop(struct ring *r)
{
	struct turn_lane *lane = r->first;

	r->first = lane->next;
	if (!r->first)
		r->last = NULL;
	r->n--;
	lane->in_ring = false;
	return lane;
}

static void
await_end(struct turns *t)
{
	if (t->end_awaited)
		return;
	t->end_awaited = true;
	loop_defer_last(t->loop, &t->end);
}

void
turns_wait(struct turns *t, struct turn_lane *lane, struct turn *turn)
{
	if (turn->lane)
		return;
	turn->lane = lane;
	turn->next = NULL;
	turn->prev = lane->last;
	*(lane->last ? &lane->last->next : &lane->first) = turn;
	lane->last = turn;
	if (!lane->in_ring)
		ring_push(lane->is_stranger ? &t->strangers : &t->callers, lane);
	await_end(t);
}

void
turns_leave(struct turn *turn)
{
	struct turn_lane *lane = turn->lane;

	if (!lane)
		return;
	*(turn->prev ? &turn->prev->next : &lane->first) = turn->next;
	*(turn->next ? &turn->next->prev : &lane->last) = turn->prev;
	turn->lane = NULL;
	turn->next = turn->prev = NULL;
}

/* ---- the end of a batch ---- */

static void
run_first(struct turn_lane *lane)
{
	struct turn *turn = lane->first;

	turns_leave(turn);
	turn->run(turn);
}

/* Each that waits now, as far as its units go. */
static void
run_callers(struct turns *t)
{
	for (size_t n = t->callers.n; n; n--) {
		struct turn_lane *lane = ring_pop(&t->callers);
		t->running = lane;
		while (lane->first && turns_left(t, lane)) {
			turns_charge(t, lane, 1);
			run_first(lane);
		}
		t->running = NULL;
		if (lane->first && !lane->in_ring)
			ring_push(&t->callers, lane);
	}
}

static void
run_strangers(struct turns *t)
{
	for (size_t n = 1 + spent(t) / TURNS_SHARE; n && t->strangers.n;) {
		struct turn_lane *lane = ring_pop(&t->strangers);
		if (!lane->first)
			continue;
		n--;
		if (lane->first->next)
			ring_push(&t->strangers, lane);
		run_first(lane);
	}
}

static void
on_batch_end(struct loop_deferred *d)
{
	struct turns *t = OWNER(struct turns, end, d);

	t->end_awaited = false;
	run_callers(t);
	run_strangers(t);
	if (t->callers.n || t->strangers.n)
		await_end(t);
}
