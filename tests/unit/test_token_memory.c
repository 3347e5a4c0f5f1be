#include <openssl/sha.h>
#include "tests/unit/unit.h"
#include "authd/token_memory.h"

static void
digest(unsigned n, unsigned char out[TOKEN_MEMORY_DIGEST_BYTES])
{
	SHA256((const unsigned char *)&n, sizeof n, out);
}

static void
what_was_added_is_known_and_nothing_else(void **state)
{
	(void)state;
	struct token_memory *m = token_memory_new();
	unsigned char one[TOKEN_MEMORY_DIGEST_BYTES], near[TOKEN_MEMORY_DIGEST_BYTES];

	assert_non_null(m);
	digest(1, one);
	memcpy(near, one, sizeof near);
	near[31] ^= 1;
	assert_false(token_memory_has(m, one));
	token_memory_add(m, one);
	token_memory_add(m, one);
	assert_true(token_memory_has(m, one));
	assert_false(token_memory_has(m, near));
	token_memory_free(m);
}

static void
the_oldest_of_a_full_set_goes(void **state)
{
	(void)state;
	struct token_memory *m = token_memory_new();
	unsigned char d[TOKEN_MEMORY_DIGEST_BYTES] = { 7, 7 };

	for (unsigned char i = 1; i <= TOKEN_MEMORY_WAYS + 1; i++) {
		d[31] = i;
		token_memory_add(m, d);
		assert_true(token_memory_has(m, d));
	}
	d[31] = 1;
	assert_false(token_memory_has(m, d));
	d[31] = 2;
	assert_true(token_memory_has(m, d));
	token_memory_free(m);
}

static void
thousands_fit(void **state)
{
	(void)state;
	struct token_memory *m = token_memory_new();
	unsigned char d[TOKEN_MEMORY_DIGEST_BYTES];
	unsigned known = 0;

	for (unsigned i = 0; i < 8000; i++) {
		digest(i, d);
		token_memory_add(m, d);
	}
	for (unsigned i = 0; i < 8000; i++) {
		digest(i, d);
		known += token_memory_has(m, d);
	}
	assert_in_range(known, 7600, 8000);
	token_memory_free(m);
}

static void
without_memory_nothing_is_known(void **state)
{
	(void)state;
	unsigned char d[TOKEN_MEMORY_DIGEST_BYTES] = { 1 };

	token_memory_add(NULL, d);
	assert_false(token_memory_has(NULL, d));
	token_memory_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_added_is_known_and_nothing_else),
		cmocka_unit_test(the_oldest_of_a_full_set_goes),
		cmocka_unit_test(thousands_fit),
		cmocka_unit_test(without_memory_nothing_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
