#include <stdalign.h>
#include <stdbool.h>
#include "tests/unit/unit.h"
#include "shared/arena.h"

static void
memory_is_zeroed_aligned_and_distinct(void **state)
{
	struct arena a;
	char *last = NULL;

	(void)state;
	arena_init(&a, 0);
	assert_null(a.blocks);
	for (size_t n = 0; n < 300; n++) {
		char *p = arena_alloc(&a, n);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
		assert_ptr_not_equal(p, last);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xAA, n);
		last = p;
	}
	arena_fini(&a);
	assert_null(a.blocks);
	assert_int_equal(a.total, 0);
}

static void
the_bound_holds_and_is_reached(void **state)
{
	struct arena a;
	size_t got = 0;

	(void)state;
	arena_init(&a, 10000);
	while (arena_alloc(&a, 16))
		got += 16;
	assert_true(a.total <= 10000);
	assert_true(got > 9000);
	assert_null(arena_alloc(&a, 1));
	assert_null(arena_strdup(&a, "x"));
	assert_null(arena_printf(&a, "%d", 1));
	assert_null(arena_slice(&a, SLICE_LIT("")).p);
	arena_fini(&a);
	assert_non_null(arena_alloc(&a, 5000));
	assert_null(arena_alloc(&a, 5000));
	arena_fini(&a);
	arena_init(&a, 8);
	assert_null(arena_alloc(&a, 1));
	arena_fini(&a);
}

static void
sizes_near_the_top_do_not_wrap(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX - 8));
	assert_null(arena_alloc(&a, SIZE_MAX / 2));
	assert_null(arena_strndup(&a, "x", SIZE_MAX));
	assert_non_null(arena_alloc(&a, 1));
	assert_null(arena_alloc(&a, (size_t)1 << 36));
	arena_fini(&a);
}

static void
a_big_piece_leaves_the_block_in_use(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	char *small = arena_alloc(&a, 16);
	char *big = arena_alloc(&a, 1 << 20);
	assert_non_null(big);
	memset(big, 1, 1 << 20);
	assert_ptr_equal(arena_alloc(&a, 16), small + 16);
	arena_fini_secret(&a);
}

static void
copies_end_in_a_nul(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 0);
	assert_string_equal(arena_strdup(&a, "issuer"), "issuer");
	assert_string_equal(arena_strndup(&a, "issuer", 3), "iss");
	struct slice s = arena_slice(&a, SLICE_LIT("a\0b"));
	assert_int_equal(s.n, 3);
	assert_memory_equal(s.p, "a\0b\0", 4);
	s = arena_slice(&a, SLICE_NONE);
	assert_non_null(s.p);
	assert_int_equal(s.n, 0);
	assert_string_equal(arena_printf(&a, "%s:%d", "x", 42), "x:42");
	arena_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zeroed_aligned_and_distinct),
		cmocka_unit_test(the_bound_holds_and_is_reached),
		cmocka_unit_test(sizes_near_the_top_do_not_wrap),
		cmocka_unit_test(a_big_piece_leaves_the_block_in_use),
		cmocka_unit_test(copies_end_in_a_nul),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
