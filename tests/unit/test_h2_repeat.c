#include <nghttp2/nghttp2.h>
#include "proxyd/h2_guard.h"
#include "proxyd/h2_repeat.h"
#include "shared/buf.h"
#include "tests/unit/failing_malloc.h"
#include "tests/unit/unit.h"

enum { HEADERS = 1, END_HEADERS = 4, PADDED = 8, PRIORITY = 0x20 };
#define TOKEN "Bearer aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggghhhhhhhhhhiiiiiiiiiijjjjjjjjjj"
#define OTHER "Bearer zzzzzzzzzzyyyyyyyyyyxxxxxxxxxxwwwwwwwwwwvvvvvvvvvvuuuuuuuuuuttttttttttssssssssssrrrrrrrrrrqqqqqqqqqq"

static struct h2_repeat repeat;
static nghttp2_hd_deflater *deflater;
static nghttp2_hd_inflater *inflater;
static char bytes[65536];

static int
setup(void **state)
{
	(void)state;
	memset(&repeat, 0, sizeof(repeat));
	assert_int_equal(nghttp2_hd_deflate_new(&deflater, 4096), 0);
	assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
	return 0;
}
static int
teardown(void **state)
{
	(void)state;
	h2_repeat_fini(&repeat);
	nghttp2_hd_deflate_del(deflater);
	nghttp2_hd_inflate_del(inflater);
	return 0;
}

/* Whose block of n bytes is in bytes, from H2_FRAME_HEAD_BYTES on. Its whole length. */
static size_t
frame(unsigned type, unsigned flags, size_t n)
{
	const unsigned char head[H2_FRAME_HEAD_BYTES] = { (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n, (unsigned char)type, (unsigned char)flags, 0, 0, 0, 1 };

	memcpy(bytes, head, sizeof(head));
	return sizeof(head) + n;
}

static nghttp2_nv
field(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), 0 };
}

/* As nghttp2's clients write it: what is "authorization" stays out of the table. */
static size_t
head_with(const char *path, const char *token)
{
	const nghttp2_nv nv[] = { field(":method", "GET"), field(":path", path), field("authorization", token), field("accept", "*/*") };
	ssize_t n = nghttp2_hd_deflate_hd(deflater, (uint8_t *)bytes + H2_FRAME_HEAD_BYTES, sizeof(bytes) - H2_FRAME_HEAD_BYTES, nv, 4);

	assert_true(n > 0);
	return frame(HEADERS, END_HEADERS, (size_t)n);
}

/* What comes out of a frame from the decoder's side: "name: value\n" each. How long it was when the decoder got it. */
static size_t
fields_of(size_t n, struct buf *out)
{
	char *from = h2_repeat_frame(&repeat, bytes, n);
	size_t left = (size_t)(bytes + n - from), index = 0;
	int flags = 0;

	assert_int_equal((size_t)(unsigned char)from[0] << 16 | (size_t)(unsigned char)from[1] << 8 | (unsigned char)from[2], left - H2_FRAME_HEAD_BYTES);
	assert_int_equal(from[3], HEADERS);
	uint8_t *p = (uint8_t *)from + H2_FRAME_HEAD_BYTES;
	buf_init(out, 0);
	for (size_t rest = left - H2_FRAME_HEAD_BYTES; !(flags & NGHTTP2_HD_INFLATE_FINAL);) {
		nghttp2_nv nv;
		ssize_t took = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, p, rest, 1);
		assert_true(took >= 0);
		p += took;
		rest -= (size_t)took;
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT))
			continue;
		struct slice name = slice_of((const char *)nv.name, nv.namelen), value = slice_of((const char *)nv.value, nv.valuelen);
		assert_true(h2_repeat_field(&repeat, index++, name, &value));
		buf_printf(out, "%.*s: %.*s\n", SLICE_FMT(name), SLICE_FMT(value));
	}
	nghttp2_hd_inflate_end_headers(inflater);
	return left;
}

/* How many bytes the decoder got. */
static size_t
expect(const char *path, const char *token)
{
	char wanted[1024];
	struct buf got;
	size_t n = fields_of(head_with(path, token), &got);

	snprintf(wanted, sizeof(wanted), ":method: GET\n:path: %s\nauthorization: %s\naccept: */*\n", path, token);
	assert_string_equal(got.p, wanted);
	buf_fini(&got);
	return n;
}

static void
a_token_that_comes_again_is_left_out_and_put_back(void **state)
{
	(void)state;
	size_t first = expect("/a", TOKEN);
	size_t second = expect("/a", TOKEN);
	assert_true(second < first - H2_REPEAT_BYTES_MIN);
	assert_int_equal(expect("/a", TOKEN), second);
	assert_true(expect("/another/path", TOKEN) < first - H2_REPEAT_BYTES_MIN);
}

static void
another_token_is_decoded_and_takes_its_place(void **state)
{
	(void)state;
	expect("/a", TOKEN);
	size_t known = expect("/a", TOKEN), coded = known + H2_REPEAT_BYTES_MIN;
	assert_true(expect("/a", OTHER) > coded);
	assert_int_equal(expect("/a", OTHER), known);
	assert_true(expect("/a", TOKEN) > coded);
	/* Its first bytes are not enough. */
	assert_true(expect("/a", TOKEN "k") > coded);
}

static void
a_frame_with_a_priority_is_followed_too(void **state)
{
	(void)state;
	expect("/a", TOKEN);
	size_t n = head_with("/a", TOKEN);
	memmove(bytes + H2_FRAME_HEAD_BYTES + 5, bytes + H2_FRAME_HEAD_BYTES, n - H2_FRAME_HEAD_BYTES);
	memcpy(bytes + H2_FRAME_HEAD_BYTES, "\x80\0\0\0\x10", 5);
	n = frame(HEADERS, END_HEADERS | PRIORITY, n - H2_FRAME_HEAD_BYTES + 5);
	char *from = h2_repeat_frame(&repeat, bytes, n);
	assert_true((size_t)(from - bytes) > H2_REPEAT_BYTES_MIN);
	assert_memory_equal(from + H2_FRAME_HEAD_BYTES, "\x80\0\0\0\x10", 5);
	assert_int_equal(repeat.now, H2_REPEAT_LEFT_OUT);
	/* Too short for what its flag says. */
	assert_ptr_equal(h2_repeat_frame(&repeat, bytes, frame(HEADERS, END_HEADERS | PRIORITY, 4)), bytes);
}

static void
what_cannot_be_followed_stays_as_it_came(void **state)
{
	static const struct {
		const char *what, *block;
		size_t n;
		unsigned type, flags;
	} cases[] = {
		{ "DATA", NULL, 0, 0, END_HEADERS },
		{ "a head that goes on", NULL, 0, HEADERS, 0 },
		{ "padding", NULL, 0, HEADERS, END_HEADERS | PADDED },
		{ "nothing", "", 0, HEADERS, END_HEADERS },
		{ "an integer that does not end", "\x1f", 1, HEADERS, END_HEADERS },
		{ "an integer that never ends", "\x1f\x88\x80\x80\x80\x80\x00\x81\x00", 9, HEADERS, END_HEADERS },
		{ "a table's size that does not end", "\x3f", 1, HEADERS, END_HEADERS },
		{ "a name that ends early", "\x10\x05" "abc", 5, HEADERS, END_HEADERS },
		{ "a name and no value", "\x10\x03" "abc", 5, HEADERS, END_HEADERS },
		{ "a value that ends early", "\x1f\x08\xff\x10" "abcdefgh", 12, HEADERS, END_HEADERS },
	};

	(void)state;
	expect("/a", TOKEN);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = head_with("/a", TOKEN) - H2_FRAME_HEAD_BYTES;
		if (cases[i].block) {
			n = cases[i].n;
			memcpy(bytes + H2_FRAME_HEAD_BYTES, cases[i].block, n);
		}
		n = frame(cases[i].type, cases[i].flags, n);
		char before[1024];
		memcpy(before, bytes, n);
		if (h2_repeat_frame(&repeat, bytes, n) != bytes || memcmp(before, bytes, n) != 0 || repeat.now != H2_REPEAT_NOTHING)
			fail_msg("%s was touched", cases[i].what);
	}
	/* Not all of it is here, or more than that. */
	size_t n = head_with("/a", TOKEN);
	assert_ptr_equal(h2_repeat_frame(&repeat, bytes, n - 1), bytes);
	assert_ptr_equal(h2_repeat_frame(&repeat, bytes, n + 1), bytes);
	assert_ptr_equal(h2_repeat_frame(&repeat, bytes, 8), bytes);
	assert_true(h2_repeat_frame(&repeat, bytes, n) > bytes);
	/* Longer than a frame may be, which nobody would see any more in what is left of it. */
	n = head_with("/a", TOKEN) - H2_FRAME_HEAD_BYTES;
	memset(bytes + H2_FRAME_HEAD_BYTES + n, 0x82, 16385 - n);
	assert_ptr_equal(h2_repeat_frame(&repeat, bytes, frame(HEADERS, END_HEADERS, 16385)), bytes);
	assert_true(h2_repeat_frame(&repeat, bytes, frame(HEADERS, END_HEADERS, 16384)) > bytes);
}

/* Literal, name 23 of the static table or spelled out, with the value's bytes said to be Huffman's. */
static size_t
value_frame(const char *name, size_t name_n, bool huffman, size_t value_n)
{
	char *p = bytes + H2_FRAME_HEAD_BYTES;

	memcpy(p, name, name_n);
	p += name_n;
	*p++ = (char)(0x7f | (huffman ? 0x80 : 0));
	*p++ = (char)((value_n - 127) % 128 | 128);
	*p++ = (char)((value_n - 127) / 128);
	memset(p, 0x1f, value_n);
	return frame(HEADERS, END_HEADERS, (size_t)(p - bytes) - H2_FRAME_HEAD_BYTES + value_n);
}

static void
only_what_is_costly_and_in_no_table_is_kept(void **state)
{
	(void)state;
	h2_repeat_frame(&repeat, bytes, value_frame("\x1f\x08", 2, true, 1000));
	assert_int_equal(repeat.now, H2_REPEAT_NEW);
	assert_int_equal(repeat.index, 0);
	assert_int_equal(repeat.coded.n, 1000);
	h2_repeat_frame(&repeat, bytes, value_frame("\x3f\x01\x82\x0f\x08", 5, true, 1000)); /* a table's size is no field */
	assert_int_equal(repeat.now, H2_REPEAT_NEW);
	assert_int_equal(repeat.index, 1);
	h2_repeat_frame(&repeat, bytes, value_frame("\x1f\x08", 2, false, 1000)); /* as it is */
	assert_int_equal(repeat.now, H2_REPEAT_NOTHING);
	h2_repeat_frame(&repeat, bytes, value_frame("\x57", 1, true, 1000)); /* goes into the table */
	assert_int_equal(repeat.now, H2_REPEAT_NOTHING);
	h2_repeat_frame(&repeat, bytes, value_frame("\x1f\x09", 2, true, 1000)); /* cache-control */
	assert_int_equal(repeat.now, H2_REPEAT_NOTHING);
	h2_repeat_frame(&repeat, bytes, value_frame("\x1f\x08", 2, true, H2_REPEAT_BYTES_MAX));
	assert_int_equal(repeat.now, H2_REPEAT_NEW);
	h2_repeat_frame(&repeat, bytes, value_frame("\x1f\x08", 2, true, H2_REPEAT_BYTES_MAX + 1));
	assert_int_equal(repeat.now, H2_REPEAT_NOTHING);
	expect("/a", "Bearer short");
	assert_int_equal(repeat.now, H2_REPEAT_NOTHING);
	assert_null(repeat.kept);
}

static void
a_client_that_sends_the_placeholder_has_sent_no_more_than_that(void **state)
{
	(void)state;
	expect("/a", TOKEN);
	expect("/a", "-");
	expect("/a", TOKEN);
	assert_int_equal(repeat.now, H2_REPEAT_LEFT_OUT);
}

static void
a_field_that_is_not_the_one_that_was_left_out_is_noticed(void **state)
{
	struct slice value = SLICE_LIT("-");

	(void)state;
	expect("/a", TOKEN);
	expect("/a", TOKEN);
	assert_int_equal(repeat.index, 2);
	assert_true(h2_repeat_field(&repeat, 1, SLICE_LIT("authorization"), &value));
	assert_true(slice_eq_str(value, "-"));
	assert_false(h2_repeat_field(&repeat, 2, SLICE_LIT("accept"), &value));
	value = SLICE_LIT("Bearer other");
	assert_false(h2_repeat_field(&repeat, 2, SLICE_LIT("authorization"), &value));
	value = SLICE_LIT("-");
	assert_true(h2_repeat_field(&repeat, 2, SLICE_LIT("authorization"), &value));
	assert_true(slice_eq_str(value, TOKEN));
}

static void
without_memory_it_is_decoded_every_time(void **state)
{
	(void)state;
#if FAILING_MALLOC
	struct slice value = SLICE_LIT(TOKEN);
	size_t n = head_with("/a", TOKEN);

	h2_repeat_frame(&repeat, bytes, n);
	failing_malloc_arm(1, false);
	assert_true(h2_repeat_field(&repeat, 2, SLICE_LIT("authorization"), &value));
	failing_malloc_disarm();
	assert_null(repeat.kept);
	assert_ptr_equal(h2_repeat_frame(&repeat, bytes, n), bytes);
	assert_int_equal(repeat.now, H2_REPEAT_NEW);
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_token_that_comes_again_is_left_out_and_put_back, setup, teardown),
		cmocka_unit_test_setup_teardown(another_token_is_decoded_and_takes_its_place, setup, teardown),
		cmocka_unit_test_setup_teardown(a_frame_with_a_priority_is_followed_too, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_followed_stays_as_it_came, setup, teardown),
		cmocka_unit_test_setup_teardown(only_what_is_costly_and_in_no_table_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_that_sends_the_placeholder_has_sent_no_more_than_that, setup, teardown),
		cmocka_unit_test_setup_teardown(a_field_that_is_not_the_one_that_was_left_out_is_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(without_memory_it_is_decoded_every_time, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
