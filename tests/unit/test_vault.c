#include "tests/unit/unit.h"
#include "authd/vault.h"

static struct arena arena;
static struct vault *vault;
static struct buf out;

static const char raw[] = "0123456789abcdef0123456789ABCDE\xff";
#define BASE64_ZERO "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define BASE64_ONES "//////////////////////////////////////////8"
#define BASE64_ONES_URL "__________________________________________8"

static struct vault_key
key_of(const char *base64)
{
	struct vault_keys keys;
	const char *why;

	assert_int_equal(vault_keys_parse(slice_str(base64), &keys, &why), OK);
	return keys.items[0];
}

static int
setup(void **state)
{
	struct vault_key key = key_of(BASE64_ZERO);

	(void)state;
	arena_init(&arena, 0);
	buf_init(&out, 0);
	vault = vault_new(&key, &rng_system);
	return vault ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	vault_free(vault);
	buf_fini(&out);
	arena_fini(&arena);
	return 0;
}

static void
a_key_file_is_32_bytes_or_lines_of_base64(void **state)
{
	(void)state;
	struct vault_keys keys;
	const char *why;
	static const unsigned char zero[32];

	assert_int_equal(vault_keys_parse(slice_of(raw, 32), &keys, &why), OK);
	assert_int_equal(keys.n, 1);
	assert_memory_equal(keys.items[0].bytes, raw, 32);
	assert_int_equal(vault_keys_parse(SLICE_LIT("\n" BASE64_ZERO "\r\n  " BASE64_ONES "=  \n\n" BASE64_ONES_URL), &keys, &why), OK);
	assert_int_equal(keys.n, 3);
	assert_memory_equal(keys.items[0].bytes, zero, 32);
	for (int i = 0; i < 32; i++)
		assert_int_equal(keys.items[1].bytes[i], 0xff);
	assert_string_equal(keys.items[1].id, keys.items[2].id);
	assert_string_not_equal(keys.items[0].id, keys.items[1].id);
	assert_int_equal(strlen(keys.items[0].id), 16);
	assert_ptr_equal(vault_keys_find(&keys, slice_str(keys.items[1].id)), &keys.items[1]);
	assert_null(vault_keys_find(&keys, SLICE_LIT("0123456789abcdef")));
	assert_null(vault_keys_find(NULL, SLICE_LIT("")));
}

static void
the_id_of_a_key_stays_what_it_is(void **state)
{
	(void)state;
	/* It stands in every sealed store. */
	assert_string_equal(key_of(BASE64_ZERO).id, "91056f0fb6adb83b");
}

static void
anything_else_is_no_key_file(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "\n \n", "short", BASE64_ZERO "A", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", BASE64_ZERO "==", BASE64_ZERO "\nshort",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA*", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
		"0000000000000000000000000000000000000000000000000000000000000000" };
	struct vault_keys keys;
	const char *why;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (vault_keys_parse(slice_str(bad[i]), &keys, &why) != E_FORMAT)
			fail_msg("accepted: %s", bad[i]);
		assert_non_null(strstr(why, "openssl rand -base64 32"));
	}
	assert_int_equal(vault_keys_parse(SLICE_LIT(BASE64_ZERO "\n" BASE64_ZERO "\n" BASE64_ZERO "\n" BASE64_ZERO "\n" BASE64_ZERO), &keys, &why), E_FORMAT);
	assert_string_equal(why, "at most 4 keys");
}

static void
seal(struct slice key, unsigned field, struct slice value)
{
	struct vault_box box = vault_box(vault, 3, key);

	buf_reset(&out);
	vault_box_seal(&box, field, value, &out);
	vault_box_fini(&box);
	assert_true(buf_ok(&out));
}

static enum err
open_as(const struct vault *v, unsigned char kind, struct slice key, unsigned field, struct slice sealed, struct slice *value)
{
	struct vault_box box = vault_box(v, kind, key);
	enum err e = vault_box_open(&box, field, sealed, &arena, value);

	vault_box_fini(&box);
	return e;
}

static void
what_is_sealed_opens_for_its_record_and_field_alone(void **state)
{
	(void)state;
	struct vault_key other_key = key_of(BASE64_ONES);
	struct vault *other = vault_new(&other_key, &rng_system);
	struct slice value;

	seal(SLICE_LIT("key"), 7, SLICE_LIT("a secret"));
	assert_int_equal(out.n, 8 + VAULT_OVERHEAD_BYTES);
	assert_null(memmem(out.p, out.n, "secret", 6));
	assert_int_equal(open_as(vault, 3, SLICE_LIT("key"), 7, buf_slice(&out), &value), OK);
	assert_true(slice_eq_str(value, "a secret"));
	assert_int_equal(open_as(vault, 4, SLICE_LIT("key"), 7, buf_slice(&out), &value), E_FORMAT);
	assert_int_equal(open_as(vault, 3, SLICE_LIT("kez"), 7, buf_slice(&out), &value), E_FORMAT);
	assert_int_equal(open_as(vault, 3, SLICE_LIT("ke"), 7, buf_slice(&out), &value), E_FORMAT);
	assert_int_equal(open_as(vault, 3, SLICE_LIT("key"), 7 | 2 << 8, buf_slice(&out), &value), E_FORMAT);
	assert_int_equal(open_as(vault, 3, SLICE_LIT("key"), 8, buf_slice(&out), &value), E_FORMAT);
	assert_int_equal(open_as(other, 3, SLICE_LIT("key"), 7, buf_slice(&out), &value), E_FORMAT);
	vault_free(other);
}

static void
any_changed_bit_and_any_cut_is_noticed(void **state)
{
	(void)state;
	struct slice value;

	seal(SLICE_LIT("key"), 7, SLICE_LIT("a secret"));
	for (size_t i = 0; i < out.n * 8; i++) {
		out.p[i / 8] = (char)(out.p[i / 8] ^ (1 << i % 8));
		assert_int_equal(open_as(vault, 3, SLICE_LIT("key"), 7, buf_slice(&out), &value), E_FORMAT);
		out.p[i / 8] = (char)(out.p[i / 8] ^ (1 << i % 8));
	}
	for (size_t n = 0; n < out.n; n++)
		assert_int_equal(open_as(vault, 3, SLICE_LIT("key"), 7, slice_of(out.p, n), &value), E_FORMAT);
	assert_int_equal(open_as(vault, 3, SLICE_LIT("key"), 7, buf_slice(&out), &value), OK);
}

static void
the_same_is_never_sealed_alike(void **state)
{
	(void)state;
	char first[64];

	seal(SLICE_LIT("key"), 7, SLICE_LIT("a secret"));
	memcpy(first, out.p, out.n);
	seal(SLICE_LIT("key"), 7, SLICE_LIT("a secret"));
	assert_memory_not_equal(first, out.p, 12);
	assert_memory_not_equal(first + 12, out.p + 12, 8);
}

static enum err
no_randomness(const struct rng *r, void *p, size_t n)
{
	(void)r, (void)p, (void)n;
	return E_SYSTEM;
}

static void
without_randomness_or_room_nothing_is_sealed(void **state)
{
	(void)state;
	static const struct rng broken = { no_randomness };
	struct vault_key key = key_of(BASE64_ZERO);
	struct vault *v = vault_new(&key, &broken);
	struct vault_box box = vault_box(v, 1, SLICE_LIT("k"));
	struct buf small;

	vault_box_seal(&box, 1, SLICE_LIT("a secret"), &out);
	assert_false(buf_ok(&out));
	assert_int_equal(out.n, 0);
	vault_free(v);
	box = vault_box(vault, 1, SLICE_LIT("k"));
	buf_init(&small, 35);
	vault_box_seal(&box, 1, SLICE_LIT("a secret"), &small);
	assert_false(buf_ok(&small));
	buf_fini(&small);
	vault_box_fini(&box);
}

static void
a_long_secret_keeps_every_byte(void **state)
{
	(void)state;
	static char text[100000];
	struct slice value;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 7);
	seal(SLICE_LIT("key"), 7, slice_of(text, sizeof(text)));
	assert_int_equal(open_as(vault, 3, SLICE_LIT("key"), 7, buf_slice(&out), &value), OK);
	assert_int_equal(value.n, sizeof(text));
	assert_memory_equal(value.p, text, sizeof(text));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_file_is_32_bytes_or_lines_of_base64),
		cmocka_unit_test(the_id_of_a_key_stays_what_it_is),
		cmocka_unit_test(anything_else_is_no_key_file),
		cmocka_unit_test_setup_teardown(what_is_sealed_opens_for_its_record_and_field_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(any_changed_bit_and_any_cut_is_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(the_same_is_never_sealed_alike, setup, teardown),
		cmocka_unit_test_setup_teardown(without_randomness_or_room_nothing_is_sealed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_secret_keeps_every_byte, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
