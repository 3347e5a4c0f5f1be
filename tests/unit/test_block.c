#include "proxyd/block.h"
#include "tests/unit/unit.h"

static void
a_block_that_was_put_back_is_the_next_one_out(void **state)
{
	struct block_pool pool = { 0 };
	struct block *a = block_get(&pool, 1), *b;

	(void)state;
	assert_int_equal(a->bytes, BLOCK_BYTES);
	a->from = 3;
	a->to = 9;
	block_put(&pool, a);
	b = block_get(&pool, BLOCK_BYTES);
	assert_ptr_equal(a, b);
	assert_int_equal(b->from + b->to, 0);
	block_put(&pool, b);
	block_put(&pool, NULL);
	assert_int_equal(pool.held, 0);
	block_pool_fini(&pool);
}

static void
larger_blocks_are_made_and_not_kept(void **state)
{
	struct block_pool pool = { 0 };
	struct block *b = block_get(&pool, BLOCK_BYTES + 1);

	(void)state;
	assert_int_equal(b->bytes, BLOCK_BYTES + 1);
	b->data[BLOCK_BYTES] = 'x';
	block_put(&pool, b);
	assert_int_equal(pool.free_n, 0);
	block_pool_fini(&pool);
}

static void
growing_moves_what_is_in_use_to_the_front(void **state)
{
	struct block_pool pool = { 0 };
	struct block *b = block_get(&pool, 1);

	(void)state;
	memcpy(b->data + 100, "hello", 5);
	b->from = 100;
	b->to = 105;
	b = block_grow(&pool, b, 3 * BLOCK_BYTES);
	assert_int_equal(b->from, 0);
	assert_int_equal(b->to, 5);
	assert_memory_equal(b->data, "hello", 5);
	assert_int_equal(pool.held, 1);
	assert_int_equal(pool.free_n, 1);
	block_put(&pool, b);
	block_pool_fini(&pool);
}

static void
a_burst_does_not_stay_in_memory(void **state)
{
	static struct block *blocks[BLOCK_POOL_MAX + 10];
	struct block_pool pool = { 0 };

	(void)state;
	for (size_t i = 0; i < BLOCK_POOL_MAX + 10; i++)
		blocks[i] = block_get(&pool, 1);
	for (size_t i = 0; i < BLOCK_POOL_MAX + 10; i++)
		block_put(&pool, blocks[i]);
	assert_int_equal(pool.free_n, BLOCK_POOL_MAX);
	block_pool_fini(&pool);
	assert_int_equal(pool.free_n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_that_was_put_back_is_the_next_one_out),
		cmocka_unit_test(larger_blocks_are_made_and_not_kept),
		cmocka_unit_test(growing_moves_what_is_in_use_to_the_front),
		cmocka_unit_test(a_burst_does_not_stay_in_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
