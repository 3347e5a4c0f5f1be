#include "tests/unit/unit.h"
#include "oidc/base64url.h"

/* RFC 4648 section 10, without padding, and the two characters that differ from plain base64. */
static const struct {
	const char *bytes, *text;
} vectors[] = {
	{ "", "" },           { "f", "Zg" },           { "fo", "Zm8" },        { "foo", "Zm9v" },        { "foob", "Zm9vYg" },
	{ "fooba", "Zm9vYmE" }, { "foobar", "Zm9vYmFy" }, { "\xff\xff\xfe", "___-" }, { "\xfb\xef\xbe", "----" },
};

static void
vectors_of_rfc_4648_encode_and_decode(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		size_t n = strlen(vectors[i].bytes), got = 99;
		char text[32], bytes[32];

		assert_int_equal(base64url_encode(vectors[i].bytes, n, text), strlen(vectors[i].text));
		assert_string_equal(text, vectors[i].text);
		assert_int_equal(strlen(text), BASE64URL_ENCODED_BYTES(n));
		assert_int_equal(base64url_decode(slice_str(text), bytes, sizeof(bytes), &got), OK);
		assert_int_equal(got, n);
		assert_memory_equal(bytes, vectors[i].bytes, n);
	}
}

static void
every_length_and_byte_survives_a_round_trip(void **state)
{
	unsigned char in[300], out[300];
	char text[BASE64URL_ENCODED_BYTES(sizeof(in)) + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)(i * 37 + (i >> 3));
	for (size_t n = 0; n <= sizeof(in); n++) {
		size_t got = 0;
		size_t text_n = base64url_encode(in, n, text);
		assert_int_equal(base64url_decode(slice_of(text, text_n), out, sizeof(out), &got), OK);
		assert_int_equal(got, n);
		assert_memory_equal(out, in, n);
	}
}

static void
appending_to_a_buffer_takes_exactly_its_room(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 6);
	buf_add_str(&b, "x:");
	base64url_add(&b, "foo", 3);
	assert_true(buf_ok(&b));
	assert_string_equal(b.p, "x:Zm9v");
	base64url_add(&b, "f", 1);
	assert_false(buf_ok(&b));
	buf_fini(&b);
}

/* RFC 7515 section 2: no padding, no line breaks, no other characters. */
static void
padding_blanks_and_the_other_alphabet_are_refused(void **state)
{
	static const char *const bad[] = { "Zg==", "Zm8=", "Zg=", "=", "====", "++++", "////", "Zm 9", " Zm9", "Zm9v\n", "Zm9v\r\n", "Zm\t9", "Zm9v.", "Zm9\x80",
		"Zm9\xff" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char out[16];
		size_t n = 77;
		assert_false(base64url_ok(slice_str(bad[i])));
		assert_int_equal(base64url_decode(slice_str(bad[i]), out, sizeof(out), &n), E_FORMAT);
		assert_int_equal(n, 77);
	}
	assert_false(base64url_ok(slice_of("Zm\0v", 4)));
}

static void
each_of_the_256_bytes_is_in_the_alphabet_or_refused(void **state)
{
	size_t accepted = 0;

	(void)state;
	for (int c = 0; c < 256; c++) {
		char text[4] = { 'A', 'A', 'A', (char)c };
		bool in_alphabet = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
		assert_int_equal(base64url_ok(slice_of(text, 4)), in_alphabet);
		accepted += base64url_ok(slice_of(text, 4));
	}
	assert_int_equal(accepted, 64);
}

static void
a_length_of_one_more_than_a_multiple_of_four_is_refused(void **state)
{
	(void)state;
	assert_false(base64url_ok(SLICE_LIT("A")));
	assert_false(base64url_ok(SLICE_LIT("AAAAA")));
	assert_true(base64url_ok(SLICE_LIT("AAAAAA")));
	assert_true(base64url_ok(SLICE_NONE));
}

/* RFC 4648 section 3.5: otherwise Zg, Zh … Zv would all be "f". */
static void
trailing_bits_that_are_not_zero_are_refused(void **state)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	int two = 0, three = 0;

	(void)state;
	for (size_t i = 0; i < 64; i++) {
		char text[3] = { 'A', digits[i], 0 };
		two += base64url_ok(slice_of(text, 2));
		char longer[4] = { 'A', 'A', digits[i], 0 };
		three += base64url_ok(slice_of(longer, 3));
	}
	assert_int_equal(two, 4);
	assert_int_equal(three, 16);
	assert_false(base64url_ok(SLICE_LIT("Zh")));
	assert_false(base64url_ok(SLICE_LIT("Zm9")));
}

static void
more_bytes_than_there_is_room_for_are_a_limit(void **state)
{
	char out[3];
	size_t n = 0;

	(void)state;
	assert_int_equal(base64url_decode(SLICE_LIT("Zm9vYg"), out, sizeof(out), &n), E_LIMIT);
	assert_int_equal(base64url_decode(SLICE_LIT("Zm9v"), out, sizeof(out), &n), OK);
	assert_int_equal(base64url_decode(SLICE_NONE, NULL, 0, &n), OK);
	assert_int_equal(n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_rfc_4648_encode_and_decode),
		cmocka_unit_test(every_length_and_byte_survives_a_round_trip),
		cmocka_unit_test(appending_to_a_buffer_takes_exactly_its_room),
		cmocka_unit_test(padding_blanks_and_the_other_alphabet_are_refused),
		cmocka_unit_test(each_of_the_256_bytes_is_in_the_alphabet_or_refused),
		cmocka_unit_test(a_length_of_one_more_than_a_multiple_of_four_is_refused),
		cmocka_unit_test(trailing_bits_that_are_not_zero_are_refused),
		cmocka_unit_test(more_bytes_than_there_is_room_for_are_a_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
