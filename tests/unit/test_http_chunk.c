#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "proxyd/http_chunk.h"
#include "shared/buf.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct outcome {
	enum http_chunk_event event;
	struct buf data;
	size_t left; /* bytes not taken */
	const char *why;
};

/* Feed text in two parts, cut at `cut`; or byte by byte with cut SIZE_MAX. */
static void
decode(struct slice text, size_t cut, struct outcome *out)
{
	struct http_chunk c;
	size_t at = 0;

	http_chunk_init(&c);
	buf_init(&out->data, 0);
	out->why = NULL;
	do {
		size_t stop = cut == SIZE_MAX ? at + 1 : at < cut ? cut : text.n;
		if (stop > text.n)
			stop = text.n;
		struct slice in = slice_of(text.p + at, stop - at), data;
		while ((out->event = http_chunk_next(&c, &in, &data, &out->why)) == CHUNK_DATA) {
			assert_true(data.n > 0);
			buf_add_slice(&out->data, data);
		}
		if (out->event == CHUNK_MORE)
			assert_int_equal(in.n, 0);
		at = stop;
		out->left = text.n - stop + in.n;
	} while (out->event == CHUNK_MORE && at < text.n);
	if (out->event == CHUNK_BAD)
		assert_non_null(out->why);
}

/* The outcome, which must not depend on how the bytes arrive. */
static enum http_chunk_event
decode_all_ways(struct slice text, struct outcome *whole)
{
	decode(text, text.n, whole);
	for (size_t cut = 0; cut <= text.n + 1; cut++) {
		struct outcome o;
		decode(text, cut > text.n ? SIZE_MAX : cut, &o);
		assert_int_equal(o.event, whole->event);
		if (o.event == CHUNK_END)
			assert_int_equal(o.left, whole->left);
		assert_true(slice_eq(buf_slice(&o.data), buf_slice(&whole->data)));
		buf_fini(&o.data);
	}
	return whole->event;
}

static void
chunks_become_their_data(void **state)
{
	static const struct {
		const char *text, *data;
		size_t left;
	} cases[] = {
		{ "0\r\n\r\n", "", 0 },
		{ "5\r\nhello\r\n0\r\n\r\n", "hello", 0 },
		{ "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /", "hello world", 5 },
		{ "a\r\n0123456789\r\n00\r\n\r\n", "0123456789", 0 },
		{ "A\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0 },
		{ "0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", 0 },
		{ "5;a=b\r\nhello\r\n0;c=\"d e\"\r\n\r\n", "hello", 0 },
		{ "2\r\n\r\n\r\n0\r\n\r\n", "\r\n", 0 },
		{ "1\r\nx\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\nZ", "x", 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct outcome o;
		assert_int_equal(decode_all_ways(slice_str(cases[i].text), &o), CHUNK_END);
		assert_true(slice_eq_str(buf_slice(&o.data), cases[i].data));
		assert_int_equal(o.left, cases[i].left);
		buf_fini(&o.data);
	}
}

static void
refuse(const struct slice *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct outcome o;
		if (decode_all_ways(cases[i], &o) != CHUNK_BAD)
			fail_msg("taken: %.*s", SLICE_FMT(cases[i]));
		buf_fini(&o.data);
	}
}
#define REFUSE(cases) refuse(cases, COUNT(cases))
#define TEXT(literal) { literal, sizeof(literal) - 1 }

static void
chunk_size_other_than_plain_hex_is_refused(void **state)
{
	static const struct slice cases[] = { TEXT("0x1\r\nx\r\n0\r\n\r\n"), TEXT("+1\r\nx\r\n0\r\n\r\n"), TEXT("-1\r\nx\r\n0\r\n\r\n"),
		TEXT("0_1\r\nx\r\n0\r\n\r\n"), TEXT("\r\nx\r\n0\r\n\r\n"), TEXT(";a\r\nx"), TEXT(" 1\r\nx\r\n0\r\n\r\n"), TEXT("1 \r\nx\r\n0\r\n\r\n"),
		TEXT("\t1\r\nx"), TEXT("1\t\r\nx"), TEXT("1 ;a=b\r\nx"), TEXT("1,1\r\nx"), TEXT("g\r\n"), TEXT("00000000000000001\r\nx"),
		TEXT("10000000000000000\r\n"), TEXT("ffffffffffffffff1\r\n"), TEXT("1\0\r\nx"), TEXT("1\x0b\r\nx"), TEXT("\xef\xbc\x91\r\nx"),
		TEXT("1\r\nx\r\n+0\r\n\r\n"), TEXT("1\r\nx\r\n\r\n") };

	(void)state;
	REFUSE(cases);
}

static void
line_ends_other_than_crlf_are_refused(void **state)
{
	static const struct slice cases[] = { TEXT("1\nx\r\n0\r\n\r\n"), TEXT("1\rx\r\n0\r\n\r\n"), TEXT("1\r\rx"), TEXT("1\r\nx\n0\r\n\r\n"),
		TEXT("1\r\nx\r0\r\n\r\n"), TEXT("1\r\nx0\r\n\r\n"), TEXT("1\r\nxy\r\n0\r\n\r\n"), TEXT("1\r\nx\r\n0\n\r\n"), TEXT("1\r\nx\r\n0\r\n\n"),
		TEXT("1\r\nx\r\n0\r\n\rX"), TEXT("0\r\nX: y\n\r\n"), TEXT("0\r\nX: y\rZ: y\r\n\r\n"), TEXT("0\r\n\r\r\n"), TEXT("1\r\nx\n\r\n") };

	(void)state;
	REFUSE(cases);
}

static void
extension_that_hides_a_line_end_is_refused(void **state)
{
	static const struct slice cases[] = { TEXT("1;a\nx\r\n0\r\n\r\n"), TEXT("1;a\rb\r\nx"), TEXT("1;a=\"\n\"\r\nx"), TEXT("1;a=\"\r\n\"\r\nx"),
		TEXT("1;a\0\r\nx"), TEXT("1;\x0b\r\nx"), TEXT("1;\r\nx"), TEXT("1;a\x7f\r\nx") };

	(void)state;
	REFUSE(cases);
}

static void
extensions_are_bounded_for_a_chunk_and_for_a_message(void **state)
{
	struct buf b;
	struct outcome o;

	(void)state;
	buf_init(&b, 0);
	buf_add_str(&b, "1;");
	for (size_t i = 0; i < CHUNK_EXTENSION_BYTES_MAX; i++)
		buf_add_char(&b, 'a');
	buf_add_str(&b, "\r\nx\r\n0\r\n\r\n");
	decode(buf_slice(&b), b.n, &o);
	assert_int_equal(o.event, CHUNK_END);
	buf_fini(&o.data);

	buf_reset(&b);
	buf_add_str(&b, "1;");
	for (size_t i = 0; i < 65536; i++)
		buf_add_char(&b, 'a');
	buf_add_str(&b, "\r\nx\r\n0\r\n\r\n");
	decode(buf_slice(&b), b.n, &o);
	assert_int_equal(o.event, CHUNK_BAD);
	buf_fini(&o.data);

	/* One extension per byte of data: the total is what ends it. */
	buf_reset(&b);
	for (size_t i = 0; i <= CHUNK_EXTENSION_TOTAL_MAX / 2; i++)
		buf_add_str(&b, "1;ab\r\nx\r\n");
	decode(buf_slice(&b), b.n, &o);
	assert_int_equal(o.event, CHUNK_BAD);
	assert_int_equal(o.data.n, CHUNK_EXTENSION_TOTAL_MAX / 2);
	buf_fini(&o.data);
	buf_fini(&b);
}

static void
trailer_about_framing_routing_or_identity_is_refused(void **state)
{
	static const char *const names[] = { "Authorization", "Content-Length", "Transfer-Encoding", "Host", "Impersonate-User", "impersonate_group",
		"Impersonate-Extra-x", "Connection", "Cookie", "X-Remote-User", "X_Remote_User", "x-forwarded-for", "Forwarded", "Transfer_Encoding",
		"content.length", "Upgrade", "Trailer", "Expect", "Set-Cookie", "Location" };

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		char text[100];
		struct outcome o;
		int n = snprintf(text, sizeof(text), "1\r\nx\r\n0\r\nX-A: b\r\n%s: y\r\n\r\n", names[i]);
		if (decode_all_ways(slice_of(text, (size_t)n), &o) != CHUNK_BAD)
			fail_msg("taken: %s", names[i]);
		buf_fini(&o.data);
	}
}

static void
malformed_trailer_is_refused(void **state)
{
	static const struct slice cases[] = { TEXT("0\r\nX\r\n\r\n"), TEXT("0\r\n: y\r\n\r\n"), TEXT("0\r\nX : y\r\n\r\n"), TEXT("0\r\n X: y\r\n\r\n"),
		TEXT("0\r\nX: y\r\n z\r\n\r\n"), TEXT("0\r\nX\0: y\r\n\r\n"), TEXT("0\r\nX: \0\r\n\r\n"), TEXT("0\r\n\nX"),
		TEXT("0\r\nX\xe9: y\r\n\r\n") };

	(void)state;
	REFUSE(cases);
}

static void
trailers_are_bounded(void **state)
{
	struct buf b;
	struct outcome o;

	(void)state;
	buf_init(&b, 0);
	buf_add_str(&b, "0\r\n");
	for (size_t i = 0; i < CHUNK_TRAILER_BYTES_MAX / 6 + 1; i++)
		buf_add_str(&b, "X: y\r\n");
	buf_add_str(&b, "\r\n");
	decode(buf_slice(&b), b.n, &o);
	assert_int_equal(o.event, CHUNK_BAD);
	buf_fini(&o.data);

	buf_reset(&b);
	buf_add_str(&b, "0\r\n");
	for (size_t i = 0; i <= CHUNK_TRAILER_NAME_BYTES_MAX; i++)
		buf_add_char(&b, 'X');
	decode(buf_slice(&b), b.n, &o);
	assert_int_equal(o.event, CHUNK_BAD);
	buf_fini(&o.data);
	buf_fini(&b);
}

static void
unfinished_body_asks_for_more(void **state)
{
	static const char text[] = "5;a\r\nhello\r\n0\r\nX: y\r\n\r\n";
	struct outcome o;

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		assert_int_equal(decode_all_ways(slice_of(text, n), &o), CHUNK_MORE);
		buf_fini(&o.data);
	}
}

static void
refused_body_stays_refused(void **state)
{
	struct http_chunk c;
	struct slice in = SLICE_LIT("x"), data;
	const char *why = NULL;

	(void)state;
	http_chunk_init(&c);
	assert_int_equal(http_chunk_next(&c, &in, &data, &why), CHUNK_BAD);
	in = SLICE_LIT("0\r\n\r\n");
	why = NULL;
	assert_int_equal(http_chunk_next(&c, &in, &data, &why), CHUNK_BAD);
	assert_non_null(why);
}

static void
ended_body_takes_nothing_more(void **state)
{
	struct http_chunk c;
	struct slice in = SLICE_LIT("0\r\n\r\n1\r\n"), data;
	const char *why = NULL;

	(void)state;
	http_chunk_init(&c);
	assert_int_equal(http_chunk_next(&c, &in, &data, &why), CHUNK_END);
	assert_int_equal(http_chunk_next(&c, &in, &data, &why), CHUNK_END);
	assert_int_equal(in.n, 3);
}

static void
head_of_a_chunk_is_hex(void **state)
{
	static const struct {
		size_t n;
		const char *text;
	} cases[] = { { 1, "1\r\n" }, { 0x1a2b, "1a2b\r\n" }, { 16, "10\r\n" }, { 0, "0\r\n" }, { SIZE_MAX, "ffffffffffffffff\r\n" } };
	char out[CHUNK_HEAD_BYTES_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t n = http_chunk_head(cases[i].n, out);
		assert_true(slice_eq_str(slice_of(out, n), cases[i].text));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_become_their_data),
		cmocka_unit_test(chunk_size_other_than_plain_hex_is_refused),
		cmocka_unit_test(line_ends_other_than_crlf_are_refused),
		cmocka_unit_test(extension_that_hides_a_line_end_is_refused),
		cmocka_unit_test(extensions_are_bounded_for_a_chunk_and_for_a_message),
		cmocka_unit_test(trailer_about_framing_routing_or_identity_is_refused),
		cmocka_unit_test(malformed_trailer_is_refused),
		cmocka_unit_test(trailers_are_bounded),
		cmocka_unit_test(unfinished_body_asks_for_more),
		cmocka_unit_test(refused_body_stays_refused),
		cmocka_unit_test(ended_body_takes_nothing_more),
		cmocka_unit_test(head_of_a_chunk_is_hex),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
