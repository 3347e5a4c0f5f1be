#include "proxyd/h2_guard.h"
#include "tests/unit/unit.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, UNKNOWN = 0xbe };
enum { END_STREAM = 1, END_HEADERS = 4, PADDED = 8 };

static struct h2_guard guard;

static int
setup(void **state)
{
	size_t ok;

	(void)state;
	memset(&guard, 0, sizeof(guard));
	assert_int_equal(h2_guard_frames(&guard, PREFACE, 24, 1000, &ok), H2_FAULT_NONE);
	assert_int_equal(ok, 24);
	assert_false(h2_guard_in_head(&guard));
	return 0;
}

static size_t
frame(char *out, unsigned type, unsigned flags, uint32_t id, const char *payload, size_t n)
{
	const unsigned char head[] = { (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n, (unsigned char)type, (unsigned char)flags,
		(unsigned char)(id >> 24), (unsigned char)(id >> 16), (unsigned char)(id >> 8), (unsigned char)id };

	memcpy(out, head, sizeof(head));
	if (n)
		memcpy(out + sizeof(head), payload, n);
	return sizeof(head) + n;
}

static void
put_id(char *frame_head, uint32_t id)
{
	frame_head[7] = (char)(id >> 8);
	frame_head[8] = (char)id;
}

/* One frame at a time; payload: n zeros. */
static enum h2_fault
see(unsigned type, unsigned flags, uint32_t id, size_t n, uint64_t now_ms)
{
	char bytes[9 + 1024], zeros[1024] = { 0 };
	size_t ok, length = frame(bytes, type, flags, id, zeros, n);

	enum h2_fault fault = h2_guard_frames(&guard, bytes, length, now_ms, &ok);
	assert_int_equal(ok, fault ? 0 : length);
	return fault;
}

static void
the_preface_counts_as_a_head_until_it_is_whole(void **state)
{
	struct h2_guard fresh = { 0 };
	size_t ok;

	(void)state;
	assert_true(h2_guard_in_head(&fresh));
	assert_int_equal(h2_guard_frames(&fresh, PREFACE, 23, 1, &ok), H2_FAULT_NONE);
	assert_true(h2_guard_in_head(&fresh));
	assert_int_equal(h2_guard_frames(&fresh, PREFACE + 23, 1, 1, &ok), H2_FAULT_NONE);
	assert_false(h2_guard_in_head(&fresh));
}

static void
a_head_lasts_until_its_last_frame_is_whole_however_it_is_cut(void **state)
{
	char bytes[128];
	size_t n = frame(bytes, HEADERS, 0, 1, "abc", 3), first = n, ok;

	(void)state;
	n += frame(bytes + n, CONTINUATION, 0, 1, "", 0);
	n += frame(bytes + n, CONTINUATION, END_HEADERS, 1, "defg", 4);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(h2_guard_frames(&guard, bytes + i, 1, 1000, &ok), H2_FAULT_NONE);
		assert_int_equal(ok, 1);
		assert_int_equal(h2_guard_in_head(&guard), i >= 8 && i + 1 < n);
	}
	assert_int_equal(guard.heads, 1);
	assert_int_equal(first, 12);
}

static void
eight_continuations_are_allowed_and_a_ninth_is_not(void **state)
{
	(void)state;
	assert_int_equal(see(HEADERS, 0, 1, 10, 1000), H2_FAULT_NONE);
	for (int i = 0; i < 7; i++)
		assert_int_equal(see(CONTINUATION, 0, 1, 10, 1000), H2_FAULT_NONE);
	assert_int_equal(see(CONTINUATION, END_HEADERS, 1, 10, 1000), H2_FAULT_NONE);
	assert_int_equal(see(HEADERS, 0, 3, 10, 1000), H2_FAULT_NONE);
	for (int i = 0; i < 8; i++)
		assert_int_equal(see(CONTINUATION, 0, 3, 10, 1000), H2_FAULT_NONE);
	assert_int_equal(see(CONTINUATION, 0, 3, 0, 1000), H2_FAULT_FLOOD);
}

static void
control_frames_of_every_kind_share_a_hundred_at_once_and_ten_per_second(void **state)
{
	static const unsigned kinds[] = { PRIORITY, SETTINGS, PUSH_PROMISE, PING, GOAWAY, UNKNOWN };

	(void)state;
	for (unsigned i = 0; i < H2_GUARD_CONTROLS_BURST; i++)
		assert_int_equal(see(kinds[i % 6], 0, 0, 5, 1000), H2_FAULT_NONE);
	struct h2_guard full = guard;
	assert_int_equal(see(PING, 0, 0, 8, 1099), H2_FAULT_FLOOD);
	guard = full;
	assert_int_equal(see(PING, 0, 0, 8, 1100), H2_FAULT_NONE); /* a tenth of a second is one */
	assert_int_equal(see(PING, 0, 0, 8, 1100), H2_FAULT_FLOOD);
	guard = full;
	for (uint64_t ms = 2000; ms < 100000; ms += 100)
		assert_int_equal(see(PING, 0, 0, 8, ms), H2_FAULT_NONE);
}

static void
data_without_a_byte_counts_unless_it_ends_the_stream(void **state)
{
	(void)state;
	assert_int_equal(see(HEADERS, END_HEADERS, 1, 10, 1000), H2_FAULT_NONE);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(see(DATA, END_STREAM, 1, 0, 1000), H2_FAULT_NONE);
		assert_int_equal(see(DATA, 0, 1, 1, 1000), H2_FAULT_NONE);
		assert_int_equal(see(DATA, PADDED, 1, 2, 1000), H2_FAULT_NONE); /* no padding, one byte */
		assert_int_equal(see(WINDOW_UPDATE, 0, 1, 4, 1000), H2_FAULT_NONE);
		assert_int_equal(see(RST_STREAM, 0, 5, 4, 1000), H2_FAULT_NONE);
	}
	for (int i = 0; i < H2_GUARD_CONTROLS_BURST; i++)
		assert_int_equal(see(DATA, 0, 1, 0, 1000), H2_FAULT_NONE);
	assert_int_equal(see(DATA, 0, 1, 0, 1000), H2_FAULT_FLOOD);
}

static void
data_that_is_all_padding_counts_as_empty(void **state)
{
	char bytes[64];
	size_t n = frame(bytes, DATA, PADDED, 1, "\x03\0\0\0", 4), ok;

	(void)state;
	for (int i = 0; i < H2_GUARD_CONTROLS_BURST; i++)
		assert_int_equal(h2_guard_frames(&guard, bytes, n, 1000, &ok), H2_FAULT_NONE);
	/* Cut behind the frame's head: that has been passed on. */
	assert_int_equal(h2_guard_frames(&guard, bytes, 9, 1000, &ok), H2_FAULT_NONE);
	assert_int_equal(h2_guard_frames(&guard, bytes + 9, n - 9, 1000, &ok), H2_FAULT_FLOOD);
	assert_int_equal(ok, 0);
}

static void
a_hundred_resets_within_a_second_are_too_many(void **state)
{
	(void)state;
	for (uint64_t second = 10000; second < 20000; second += 1000)
		for (int i = 0; i < H2_GUARD_RESETS_PER_S - 1; i++)
			assert_true(h2_guard_reset(&guard, second + (uint64_t)i));
	assert_false(h2_guard_reset(&guard, 19999));
}

static void
nothing_more_may_come_for_a_stream_that_the_client_ended(void **state)
{
	(void)state;
	assert_int_equal(see(HEADERS, END_HEADERS, 1, 1, 1000), H2_FAULT_NONE);
	assert_int_equal(see(HEADERS, END_HEADERS, 3, 1, 1000), H2_FAULT_NONE);
	assert_int_equal(see(DATA, 0, 1, 1, 1000), H2_FAULT_NONE);
	h2_guard_closed(&guard, 1);
	struct h2_guard before = guard;
	assert_int_equal(see(DATA, 0, 3, 1, 1000), H2_FAULT_NONE);
	assert_int_equal(see(RST_STREAM, 0, 1, 4, 1000), H2_FAULT_NONE); /* allowed for a while (RFC 9113 section 5.1) */
	assert_int_equal(see(WINDOW_UPDATE, 0, 1, 4, 1000), H2_FAULT_NONE);
	assert_int_equal(see(DATA, 0, 1, 1, 1000), H2_FAULT_STREAM_CLOSED);
	guard = before;
	assert_int_equal(see(HEADERS, END_HEADERS, 1, 1, 1000), H2_FAULT_STREAM_CLOSED);
	/* Its RST_STREAM says the same. */
	guard = before;
	assert_int_equal(see(RST_STREAM, 0, 3, 4, 1000), H2_FAULT_NONE);
	assert_int_equal(see(DATA, 0, 3, 1, 1000), H2_FAULT_STREAM_CLOSED);
	/* It is forgotten after H2_GUARD_CLOSED others. */
	guard = before;
	for (uint32_t i = 0; i < H2_GUARD_CLOSED; i++)
		h2_guard_closed(&guard, 2 * i + 5);
	assert_int_equal(see(DATA, 0, 1, 1, 1000), H2_FAULT_NONE);
}

static void
a_stream_that_was_left_out_cannot_be_opened_later(void **state)
{
	(void)state;
	assert_int_equal(see(HEADERS, END_HEADERS, 1, 1, 1000), H2_FAULT_NONE);
	assert_int_equal(see(HEADERS, END_HEADERS, 3, 1, 1000), H2_FAULT_NONE);
	assert_int_equal(see(HEADERS, END_HEADERS, 9, 1, 1000), H2_FAULT_NONE);
	assert_int_equal(see(HEADERS, END_HEADERS | END_STREAM, 3, 1, 1000), H2_FAULT_NONE); /* trailers */
	struct h2_guard before = guard;
	assert_int_equal(see(HEADERS, END_HEADERS, 5, 1, 1000), H2_FAULT_STREAM_ID);
	guard = before;
	assert_int_equal(see(HEADERS, END_HEADERS, 7, 1, 1000), H2_FAULT_STREAM_ID);
	guard = before;
	assert_int_equal(see(HEADERS, END_HEADERS, 11, 1, 1000), H2_FAULT_NONE);
}

static void
what_stands_before_a_fault_may_be_used(void **state)
{
	char bytes[64];
	size_t n = frame(bytes, HEADERS, END_HEADERS, 9, "abc", 3), first = n, ok;

	(void)state;
	n += frame(bytes + n, HEADERS, END_HEADERS, 5, "abc", 3);
	n += frame(bytes + n, PING, 0, 0, "12345678", 8);
	assert_int_equal(h2_guard_frames(&guard, bytes, n, 1000, &ok), H2_FAULT_STREAM_ID);
	assert_int_equal(ok, first);
}

static void
bytes_belong_to_one_frame_at_a_time_however_they_come(void **state)
{
	char bytes[128];
	size_t preface = 24, first = frame(bytes, HEADERS, END_HEADERS, 1, "abc", 3), n = first + frame(bytes + first, PING, 0, 0, "12345678", 8), ok;
	struct h2_guard fresh = { 0 };
	bool begins;

	(void)state;
	assert_int_equal(h2_guard_frame(&fresh, PREFACE, 24, &begins), preface);
	assert_false(begins);
	assert_int_equal(h2_guard_frame(&fresh, PREFACE, 20, &begins), 20);
	assert_int_equal(h2_guard_frame(&guard, bytes, n, &begins), first);
	assert_true(begins);
	for (size_t cut = 1; cut < n; cut++) {
		size_t at = 0, begun = 0;
		for (size_t end = cut; at < n; end = n) {
			while (at < end) {
				size_t some = h2_guard_frame(&guard, bytes + at, end - at, &begins);
				assert_true(some > 0 && some <= end - at);
				assert_int_equal(begins, at == 0 || at == first);
				assert_true(at >= first || at + some <= first);
				begun += begins;
				assert_int_equal(h2_guard_frames(&guard, bytes + at, some, 1000, &ok), H2_FAULT_NONE);
				at += some;
			}
		}
		assert_int_equal(begun, 2);
		put_id(bytes, (uint32_t)(3 + 2 * cut));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_preface_counts_as_a_head_until_it_is_whole, setup),
		cmocka_unit_test_setup(a_head_lasts_until_its_last_frame_is_whole_however_it_is_cut, setup),
		cmocka_unit_test_setup(eight_continuations_are_allowed_and_a_ninth_is_not, setup),
		cmocka_unit_test_setup(control_frames_of_every_kind_share_a_hundred_at_once_and_ten_per_second, setup),
		cmocka_unit_test_setup(data_without_a_byte_counts_unless_it_ends_the_stream, setup),
		cmocka_unit_test_setup(data_that_is_all_padding_counts_as_empty, setup),
		cmocka_unit_test_setup(a_hundred_resets_within_a_second_are_too_many, setup),
		cmocka_unit_test_setup(nothing_more_may_come_for_a_stream_that_the_client_ended, setup),
		cmocka_unit_test_setup(a_stream_that_was_left_out_cannot_be_opened_later, setup),
		cmocka_unit_test_setup(what_stands_before_a_fault_may_be_used, setup),
		cmocka_unit_test_setup(bytes_belong_to_one_frame_at_a_time_however_they_come, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
