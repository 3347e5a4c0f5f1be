/* Small answers to requests of our own. */
#include "proxyd/http_answer.h"
#include "tests/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
static const struct http_limits limits = { 1024, 1024 };

static enum http_answer
parse(const char *text, bool ended, struct buf *body, bool *keep)
{
	struct http_head h;

	buf_init(body, 64);
	return http_answer_parse(slice_str(text), ended, &limits, METHOD_POST, &h, body, keep);
}

static void
a_whole_answer_is_taken_however_it_is_framed(void **state)
{
	static const struct {
		const char *text, *body;
		bool ended, keep;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", false, true },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", false, true },
		{ "HTTP/1.1 204 No Content\r\n\r\n", "", false, true },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc", false, true },
		{ "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", false, true },
		{ "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", "abc", false, false },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", false, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcX", "abc", false, false }, /* whose is the X? */
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", "", false, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc", true, false },
		{ "HTTP/1.1 200 OK\r\n\r\nabc", "abc", true, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf body;
		bool keep;
		if (parse(cases[i].text, cases[i].ended, &body, &keep) != HTTP_ANSWER_WHOLE || !slice_eq_str(buf_slice(&body), cases[i].body) ||
			keep != cases[i].keep)
			fail_msg("%s", cases[i].text);
		buf_fini(&body);
	}
}

static void
every_part_of_an_answer_asks_for_more(void **state)
{
	static const char *const whole[] = { "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(whole); i++)
		for (size_t n = 0; n <= strlen(whole[i]); n++) {
			struct http_head h;
			struct buf body;
			bool keep;
			buf_init(&body, 64);
			enum http_answer a = http_answer_parse(slice_of(whole[i], n), false, &limits, METHOD_POST, &h, &body, &keep);
			assert_int_equal(a, n == strlen(whole[i]) ? HTTP_ANSWER_WHOLE : HTTP_ANSWER_MORE);
			assert_int_equal(keep, a == HTTP_ANSWER_WHOLE);
			buf_fini(&body);
		}
}

static void
what_cannot_be_an_answer_is_refused(void **state)
{
	static const char *const bad[] = { "SSH-2.0-x\r\n", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n", /* more than is wanted: not waited for */
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n"
		"0123456789012345678901234567890123456789012345678901234567890123456789" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct buf body;
		bool keep;
		if (parse(bad[i], false, &body, &keep) != HTTP_ANSWER_BAD)
			fail_msg("%s", bad[i]);
		assert_false(keep);
		buf_fini(&body);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_answer_is_taken_however_it_is_framed),
		cmocka_unit_test(every_part_of_an_answer_asks_for_more),
		cmocka_unit_test(what_cannot_be_an_answer_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
