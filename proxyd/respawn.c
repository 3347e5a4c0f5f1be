#include "proxyd/respawn.h"

uint64_t
respawn_delay_ms(struct respawn *r, uint64_t started_ms, uint64_t now_ms)
{
	uint64_t oldest = r->deaths_ms[r->next];
	/* The ring holds the RESPAWN_BURST deaths before this one. */
	int burst = r->n == RESPAWN_BURST && now_ms - oldest < RESPAWN_WINDOW_MS;

	r->deaths_ms[r->next] = now_ms;
	r->next = (r->next + 1) % RESPAWN_BURST;
	r->n += r->n < RESPAWN_BURST;
	if (now_ms - started_ms >= RESPAWN_WINDOW_MS)
		r->delay_ms = 0;
	else if (r->delay_ms)
		r->delay_ms = r->delay_ms * 2 < RESPAWN_DELAY_MAX_MS ? r->delay_ms * 2 : RESPAWN_DELAY_MAX_MS;
	else if (burst)
		r->delay_ms = RESPAWN_DELAY_MIN_MS;
	return r->delay_ms;
}
