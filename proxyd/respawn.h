/* respawn.h - how soon a child that died gets a successor. Pure.
 *
 * At once, as a rule: a crash takes some connections, waiting would take more. Only a child that keeps dying (RESPAWN_BURST deaths within
 * RESPAWN_WINDOW_MS) is waited for, longer each time, until one has lived for RESPAWN_WINDOW_MS. */
#ifndef PROXYD_RESPAWN_H
#define PROXYD_RESPAWN_H

#include <stdint.h>

#define RESPAWN_BURST 5
#define RESPAWN_WINDOW_MS 10000
#define RESPAWN_DELAY_MIN_MS 500
#define RESPAWN_DELAY_MAX_MS 30000

struct respawn {
	uint64_t deaths_ms[RESPAWN_BURST]; /* a ring of the latest; all zero at first */
	unsigned next, n;
	uint64_t delay_ms;                 /* of the last wait; 0: none */
};

/* The child that started at started_ms died now. Milliseconds to wait before the next. */
uint64_t respawn_delay_ms(struct respawn *r, uint64_t started_ms, uint64_t now_ms);

#endif
