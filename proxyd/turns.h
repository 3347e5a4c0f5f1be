/* turns.h - who is next in a worker, so that nobody waits long for somebody else's flood.
 *
 * Work comes in batches of events, and each piece of it belongs to a lane: one for each caller that is known, by name, and one for each address of strangers, on whose connections nobody is. A
 * caller may do TURNS_UNITS in a batch (TURNS_UNITS_ALONE while there is nobody else); what is more waits in the caller's lane, in order, for the next batches, between which the loop does not sleep but looks for others' events. Strangers
 * never run among callers: behind each batch one of their lanes has a turn, in rotation, and one more for every TURNS_SHARE units of callers, so that each side has about half of a worker that is
 * busy with both. So what an event of a well-behaved caller waits for is bounded: the others' TURNS_UNITS each and one piece of strangers' work, however many connections, requests
 * and handshakes somebody adds.
 *
 * Owns: the lanes. Names and addresses share them by a seeded hash: two that fall together wait for each other, nothing else. */
#ifndef PROXYD_TURNS_H
#define PROXYD_TURNS_H

#include "shared/loop.h"
#include "shared/slice.h"

/* A unit is about 10 us of work: one event of one connection, or one request, or 16 KiB of a body. */
#define TURNS_UNITS 16
/* Of one who has been alone for a while: what leaves together costs less. Somebody who comes then waits for so much once. */
#define TURNS_UNITS_ALONE 64
#define TURNS_ALONE_MS 1000
#define TURNS_UNIT_BYTES 16384
/* A stranger's turn is a step of a TLS handshake at worst, 200 us and more. */
#define TURNS_SHARE 32
#define TURNS_CALLER_LANES 1024
#define TURNS_STRANGER_LANES 256

struct turns;
struct turn_lane;

/* Embedded in what waits; zeroed but for run: it does not. */
struct turn {
	struct turn *next, *prev;
	struct turn_lane *lane; /* it waits there; NULL: it does not */
	void (*run)(struct turn *t); /* does not wait any more; may be freed */
};

/* seed: random. NULL: no memory. */
struct turns *turns_new(struct loop *l, uint64_t seed);
/* Nothing may be waiting. NULL: nothing. */
void turns_free(struct turns *t);

struct turn_lane *turns_caller(struct turns *t, struct slice name);
/* address: as struct client's. */
struct turn_lane *turns_stranger(struct turns *t, const unsigned char address[16]);
/* Of connections that are not accepted yet: strangers, whoever they are. */
struct turn_lane *turns_newcomers(struct turns *t);
bool turns_is_stranger(const struct turn_lane *lane);

/* May a unit of this lane's work be done now? False: turns_wait. Always false for strangers, and for a caller of whom something waits already, unless it is that which runs. */
bool turns_take(struct turns *t, struct turn_lane *lane);
/* Whether a lane that runs may do one more; it is not counted. */
bool turns_left(const struct turns *t, const struct turn_lane *lane);
/* What has been done was worth so many units more. */
void turns_charge(struct turns *t, struct turn_lane *lane, size_t units);

/* Run it when the lane's turn comes. One that waits already stays where it is. */
void turns_wait(struct turns *t, struct turn_lane *lane, struct turn *turn);
/* It does not wait any more. */
void turns_leave(struct turn *turn);

#endif
