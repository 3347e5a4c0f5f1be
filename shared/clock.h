/* clock.h - time as a parameter, so that tests hold it. */
#ifndef SHARED_CLOCK_H
#define SHARED_CLOCK_H

#include <stdint.h>

struct clock {
	int64_t (*wall_s)(const struct clock *c);  /* NumericDate: seconds since 1970 UTC */
	uint64_t (*mono_ms)(const struct clock *c); /* monotonic milliseconds */
};

/* CLOCK_REALTIME and CLOCK_MONOTONIC. */
extern const struct clock clock_system;

/* A clock that moves only when told. */
struct clock_fixed {
	struct clock clock; /* pass &fixed.clock */
	int64_t now_s;
	uint64_t now_ms;
};
void clock_fixed_init(struct clock_fixed *c, int64_t now_s);
void clock_fixed_advance(struct clock_fixed *c, int64_t seconds);

/* "2026-01-02T03:04:05Z" (RFC 3339), without the C library's time zone lock and files. Times outside the years
 * 0..9999 are clamped to them. Returns out. */
#define CLOCK_TEXT_BYTES 21
const char *clock_format(int64_t wall_s, char out[CLOCK_TEXT_BYTES]);

static inline int64_t
clock_now_s(const struct clock *c)
{
	return c->wall_s(c);
}
static inline uint64_t
clock_mono_ms(const struct clock *c)
{
	return c->mono_ms(c);
}

#endif
