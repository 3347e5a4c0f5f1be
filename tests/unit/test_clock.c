#include <time.h>
#include "tests/unit/unit.h"
#include "shared/clock.h"
#include "shared/rng.h"

static void
the_system_clock_is_the_kernels(void **state)
{
	int64_t before = time(NULL);
	uint64_t mono = clock_mono_ms(&clock_system);
	int64_t now = clock_now_s(&clock_system);

	(void)state;
	assert_true(now >= before && now <= time(NULL));
	assert_true(clock_mono_ms(&clock_system) >= mono);
}

static void
a_fixed_clock_moves_only_when_told(void **state)
{
	struct clock_fixed c;

	(void)state;
	clock_fixed_init(&c, 1700000000);
	uint64_t mono = clock_mono_ms(&c.clock);
	assert_int_equal(clock_now_s(&c.clock), 1700000000);
	clock_fixed_advance(&c, 90);
	assert_int_equal(clock_now_s(&c.clock), 1700000090);
	assert_int_equal(clock_mono_ms(&c.clock), mono + 90000);
}

/* Every day of the 400-year cycle around today, and the edges, against the C library. */
static void
times_are_written_as_the_c_library_would(void **state)
{
	char ours[CLOCK_TEXT_BYTES], theirs[64];

	(void)state;
	for (int64_t day = -80000; day < 80000; day++) {
		time_t t = day * 86400 + (day & 0xFFFF) % 86400;
		struct tm tm;
		gmtime_r(&t, &tm);
		strftime(theirs, sizeof(theirs), "%Y-%m-%dT%H:%M:%SZ", &tm);
		assert_string_equal(clock_format(t, ours), theirs);
	}
	assert_string_equal(clock_format(0, ours), "1970-01-01T00:00:00Z");
	assert_string_equal(clock_format(951827696, ours), "2000-02-29T12:34:56Z");
	assert_string_equal(clock_format(253402300799, ours), "9999-12-31T23:59:59Z");
	assert_string_equal(clock_format(INT64_MAX, ours), "9999-12-31T23:59:59Z");
	assert_string_equal(clock_format(-62167219200, ours), "0000-01-01T00:00:00Z");
	assert_string_equal(clock_format(-62162035201, ours), "0000-02-29T23:59:59Z");
	assert_string_equal(clock_format(INT64_MIN, ours), "0000-01-01T00:00:00Z");
}

static void
randomness_fills_every_byte_and_differs(void **state)
{
	static unsigned char a[100000], b[100000];
	int seen[256] = { 0 };

	(void)state;
	assert_int_equal(rng_fill(&rng_system, a, sizeof(a)), OK);
	assert_int_equal(rng_fill(&rng_system, b, sizeof(b)), OK);
	assert_memory_not_equal(a, b, 32);
	/* 100000 bytes miss one of 256 values with probability 256 * (255/256)^100000 < 10^-167. */
	for (size_t i = 0; i < sizeof(a); i++)
		seen[a[i]] = 1;
	for (int i = 0; i < 256; i++)
		assert_true(seen[i]);
	/* The last 32 bytes would stay zero if a short answer were taken for a whole one. */
	assert_memory_not_equal(a + sizeof(a) - 32, (unsigned char[32]){ 0 }, 32);
	assert_int_equal(rng_fill(&rng_system, a, 0), OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_system_clock_is_the_kernels),
		cmocka_unit_test(a_fixed_clock_moves_only_when_told),
		cmocka_unit_test(times_are_written_as_the_c_library_would),
		cmocka_unit_test(randomness_fills_every_byte_and_differs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
