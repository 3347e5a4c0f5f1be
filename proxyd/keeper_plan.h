/* keeper_plan.h - when the keys of one issuer are fetched. Pure: time and chance are parameters.
 *
 * Three things ask for a fetch: the age of the keys (Cache-Control, RFC 9111 section 5.2.2.1), a failure that is tried again, and a token whose
 * kid no key has. The last may be forged by anyone at any rate, so it is answered at once, but only once in KEEPER_WANT_MS. */
#ifndef PROXYD_KEEPER_PLAN_H
#define PROXYD_KEEPER_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include "shared/slice.h"

#define KEEPER_REFRESH_MIN_MS 30000
#define KEEPER_REFRESH_DEFAULT_MS 300000
#define KEEPER_REFRESH_MAX_MS 3600000
#define KEEPER_WANT_MS 30000
#define KEEPER_RETRY_MIN_MS 1000
#define KEEPER_RETRY_MAX_MS 60000
#define KEEPER_NEVER UINT64_MAX

struct keeper_plan {
	uint64_t due_ms;        /* when the next fetch starts; KEEPER_NEVER while one is under way */
	uint64_t want_from_ms;  /* before this a wanted key starts no fetch of its own */
	bool wanted;            /* asked for while a fetch was under way: what it brings may be too old */
	unsigned failures;      /* in a row */
	bool tried;             /* at least one fetch ended */
};

/* The first fetch is due now. */
void keeper_plan_init(struct keeper_plan *p, uint64_t now_ms);
/* Milliseconds until a fetch is to be started; 0: now; KEEPER_NEVER: one is under way. */
uint64_t keeper_plan_delay(const struct keeper_plan *p, uint64_t now_ms);
void keeper_plan_started(struct keeper_plan *p);
/* A worker saw an unknown kid. */
void keeper_plan_want(struct keeper_plan *p, uint64_t now_ms);
/* Keys arrived; they may be used for max_age_s (negative: the answer did not say). */
void keeper_plan_succeeded(struct keeper_plan *p, uint64_t now_ms, int64_t max_age_s);
/* 1 s, 2 s, 4 s … 60 s, each cut by up to a quarter: chance is 0..255. */
void keeper_plan_failed(struct keeper_plan *p, uint64_t now_ms, uint8_t chance);

/* max-age of a Cache-Control value, 0 for no-store and no-cache; -1: it does not say. */
int64_t keeper_max_age_s(struct slice cache_control);

#endif
