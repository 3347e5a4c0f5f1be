#include <openssl/sha.h>
#include <pthread.h>
#include "tests/unit/unit.h"
#include "authd/token_memory.h"

static void
digest(unsigned n, unsigned char out[TOKEN_MEMORY_DIGEST_BYTES])
{
	SHA256((const unsigned char *)&n, sizeof n, out);
}

static struct arena arena;

static int
teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static bool
has(struct token_memory *m, const unsigned char *d)
{
	return token_memory_get(m, d, &arena).p;
}

static void
what_was_put_is_copied_out_and_nothing_else(void **state)
{
	(void)state;
	struct token_memory *m = token_memory_new();
	unsigned char one[TOKEN_MEMORY_DIGEST_BYTES], near[TOKEN_MEMORY_DIGEST_BYTES];
	char text[] = "value";

	assert_non_null(m);
	digest(1, one);
	memcpy(near, one, sizeof near);
	near[31] ^= 1;
	assert_false(has(m, one));
	token_memory_put(m, one, slice_str(text));
	text[0] = 'x';
	assert_true(slice_eq_str(token_memory_get(m, one, &arena), "value"));
	token_memory_put(m, one, slice_str(text)); /* it is there already */
	struct slice copy = token_memory_get(m, one, &arena);
	assert_false(has(m, near));
	token_memory_free(m);
	assert_true(slice_eq_str(copy, "value"));
}

static void
the_oldest_of_a_full_set_goes(void **state)
{
	(void)state;
	struct token_memory *m = token_memory_new();
	unsigned char d[TOKEN_MEMORY_DIGEST_BYTES] = { 7, 7 };

	for (unsigned char i = 1; i <= TOKEN_MEMORY_WAYS + 1; i++) {
		d[31] = i;
		token_memory_put(m, d, SLICE_LIT("v"));
		assert_true(has(m, d));
	}
	d[31] = 1;
	assert_false(has(m, d));
	d[31] = 2;
	assert_true(has(m, d));
	token_memory_free(m);
}

static void
thousands_fit(void **state)
{
	(void)state;
	struct token_memory *m = token_memory_new();
	unsigned char d[TOKEN_MEMORY_DIGEST_BYTES];
	unsigned known = 0;

	for (unsigned i = 0; i < 4000; i++) {
		digest(i, d);
		token_memory_put(m, d, slice_of((const char *)d, sizeof d));
	}
	for (unsigned i = 0; i < 4000; i++) {
		digest(i, d);
		struct slice value = token_memory_get(m, d, &arena);
		assert_true(!value.p || slice_eq(value, slice_of((const char *)d, sizeof d)));
		known += value.p != NULL;
	}
	assert_in_range(known, 3800, 4000);
	token_memory_free(m);
}

/* In two sets, so that they meet: each thread finds what was put for that digest, or nothing. */
struct user {
	pthread_t thread;
	struct token_memory *m;
	size_t found, wrong;
};

static void *
user_main(void *arg)
{
	struct user *u = arg;
	unsigned char d[TOKEN_MEMORY_DIGEST_BYTES] = { 0 };
	struct arena own;

	arena_init(&own, 0);
	for (unsigned i = 0; i < 20000; i++) {
		d[1] = i % 2;
		d[31] = (unsigned char)((i * 2654435761u >> 24) % 12);
		struct slice want = slice_of((const char *)d, sizeof d), got = token_memory_get(u->m, d, &own);
		u->found += got.p != NULL;
		u->wrong += got.p && !slice_eq(got, want);
		token_memory_put(u->m, d, want);
		if (i % 1000 == 0)
			arena_fini(&own);
	}
	arena_fini(&own);
	return NULL;
}

static void
threads_share_it(void **state)
{
	(void)state;
	struct user users[4];
	struct token_memory *m = token_memory_new();

	for (size_t i = 0; i < 4; i++) {
		users[i] = (struct user){ .m = m };
		assert_int_equal(pthread_create(&users[i].thread, NULL, user_main, &users[i]), 0);
	}
	size_t found = 0;
	for (size_t i = 0; i < 4; i++) {
		pthread_join(users[i].thread, NULL);
		assert_int_equal(users[i].wrong, 0);
		found += users[i].found;
	}
	assert_true(found > 0);
	token_memory_free(m);
}

static void
what_is_too_long_is_not_remembered(void **state)
{
	(void)state;
	static const char bytes[TOKEN_MEMORY_VALUE_BYTES_MAX + 1];
	struct token_memory *m = token_memory_new();
	unsigned char d[TOKEN_MEMORY_DIGEST_BYTES] = { 1 }, other[TOKEN_MEMORY_DIGEST_BYTES] = { 2 };

	token_memory_put(m, d, slice_of(bytes, sizeof bytes));
	assert_false(has(m, d));
	token_memory_put(m, other, slice_of(bytes, sizeof bytes - 1));
	assert_int_equal(token_memory_get(m, other, &arena).n, sizeof bytes - 1);
	token_memory_free(m);
}

static void
without_memory_nothing_is_known(void **state)
{
	(void)state;
	unsigned char d[TOKEN_MEMORY_DIGEST_BYTES] = { 1 };
	struct token_memory *m = token_memory_new();
	struct arena small;

	token_memory_put(NULL, d, SLICE_LIT("v"));
	assert_false(has(NULL, d));
	token_memory_free(NULL);
	/* nor is what finds no room for its copy */
	arena_init(&small, 1);
	token_memory_put(m, d, SLICE_LIT("value"));
	assert_null(token_memory_get(m, d, &small).p);
	assert_true(has(m, d));
	token_memory_free(m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_was_put_is_copied_out_and_nothing_else, teardown),
		cmocka_unit_test_teardown(the_oldest_of_a_full_set_goes, teardown),
		cmocka_unit_test_teardown(thousands_fit, teardown),
		cmocka_unit_test_teardown(threads_share_it, teardown),
		cmocka_unit_test_teardown(what_is_too_long_is_not_remembered, teardown),
		cmocka_unit_test_teardown(without_memory_nothing_is_known, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
