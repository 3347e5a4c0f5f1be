#include <time.h>
#include "shared/clock.h"

static int64_t
system_wall_s(const struct clock *c)
{
	struct timespec t;

	(void)c;
	clock_gettime(CLOCK_REALTIME, &t); /* cannot fail for a clock that exists */
	return t.tv_sec;
}

static uint64_t
system_mono_ms(const struct clock *c)
{
	struct timespec t;

	(void)c;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

const struct clock clock_system = { system_wall_s, system_mono_ms };

static int64_t
fixed_wall_s(const struct clock *c)
{
	return __atomic_load_n(&((const struct clock_fixed *)c)->now_s, __ATOMIC_RELAXED); /* clock is its first member */
}

static uint64_t
fixed_mono_ms(const struct clock *c)
{
	return __atomic_load_n(&((const struct clock_fixed *)c)->now_ms, __ATOMIC_RELAXED);
}

void
clock_fixed_init(struct clock_fixed *c, int64_t now_s)
{
	*c = (struct clock_fixed){ { fixed_wall_s, fixed_mono_ms }, now_s, 1000 };
}

void
clock_fixed_advance(struct clock_fixed *c, int64_t seconds)
{
	/* Threads of what is tested may be looking. */
	__atomic_fetch_add(&c->now_s, seconds, __ATOMIC_RELAXED);
	__atomic_fetch_add(&c->now_ms, (uint64_t)seconds * 1000, __ATOMIC_RELAXED);
}

static void
digits(char *out, int64_t v, int n)
{
	for (; n > 0; v /= 10)
		out[--n] = (char)('0' + v % 10);
}

const char *
clock_format(int64_t wall_s, char out[CLOCK_TEXT_BYTES])
{
	const int64_t first = -62167219200, last = 253402300799; /* 0000-01-01T00:00:00Z, 9999-12-31T23:59:59Z */
	int64_t t = (wall_s < first ? first : wall_s > last ? last : wall_s) - first;
	int64_t second = t % 86400;

	/* Days since 0000-01-01, moved to years that start on 1 March, so that the leap day comes last; one 400-year
	 * cycle of 146097 days is added so that January and February of year 0 stay positive. Of such a year the
	 * months have 31,30,31,30,31, 31,30,31,30,31, 31,28/29 days: 153 in each five. */
	int64_t days = t / 86400 + 146097 - 60;
	int64_t cycle = days / 146097, in_cycle = days % 146097;
	int64_t year_in_cycle = (in_cycle - in_cycle / 1460 + in_cycle / 36524 - in_cycle / 146096) / 365;
	int64_t day_in_year = in_cycle - (365 * year_in_cycle + year_in_cycle / 4 - year_in_cycle / 100);
	int64_t month_from_march = (5 * day_in_year + 2) / 153;
	int64_t day = day_in_year - (153 * month_from_march + 2) / 5 + 1;
	int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
	int64_t year = (cycle - 1) * 400 + year_in_cycle + (month <= 2);

	digits(out, year, 4);
	out[4] = '-';
	digits(out + 5, month, 2);
	out[7] = '-';
	digits(out + 8, day, 2);
	out[10] = 'T';
	digits(out + 11, second / 3600, 2);
	out[13] = ':';
	digits(out + 14, second / 60 % 60, 2);
	out[16] = ':';
	digits(out + 17, second % 60, 2);
	out[19] = 'Z';
	out[20] = '\0';
	return out;
}
