/* records_unit.h - an open store, an arena and a clock that stands still: for modules that keep records. */
#ifndef TESTS_RECORDS_UNIT_H
#define TESTS_RECORDS_UNIT_H

#include "tests/unit/store_unit.h"

static struct store *store;
static struct arena arena;

static inline int
records_begin(void **state)
{
	(void)state;
	store_unit_begin();
	store = store_unit_open();
	arena_init(&arena, 0);
	return 0;
}
static inline int
records_end(void **state)
{
	(void)state;
	arena_fini(&arena);
	store_close(store);
	store_unit_end();
	return 0;
}

static inline int64_t
now_s(void)
{
	return clock_now_s(&store_unit_clock.clock);
}
static inline void
seconds_pass(int64_t n)
{
	clock_fixed_advance(&store_unit_clock, n);
}

#endif
