/* http_cases.h - what the tests of heads share: a parse that is fed whole and byte by byte and must say the same. */
#ifndef TESTS_UNIT_HTTP_CASES_H
#define TESTS_UNIT_HTTP_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "proxyd/http_head.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct http_limits test_limits = { HTTP_HEAD_BYTES_MAX, 8192 };

struct parsed {
	enum http_verdict verdict;
	struct http_head head;
	size_t head_bytes;
	const char *why;
};

static inline enum http_verdict
feed(struct slice text, bool request, enum http_method method, bool bytewise, struct parsed *out)
{
	size_t scanned = 0, n = bytewise ? 0 : text.n;

	do {
		n += bytewise && n < text.n;
		out->verdict = request ? http_request_parse(text.p, n, &scanned, &test_limits, &out->head, &out->head_bytes, &out->why) :
			http_response_parse(text.p, n, &scanned, &test_limits, method, &out->head, &out->head_bytes, &out->why);
	} while (out->verdict == HTTP_MORE && n < text.n);
	return out->verdict;
}

/* Verdict on a request or answer; *out is the parse of the whole. Fails the test when feeding it byte by byte ends differently. */
static inline enum http_verdict
parse_both_ways(struct slice text, bool request, enum http_method method, struct parsed *out)
{
	struct parsed *pieces = malloc(sizeof(*pieces));

	assert_non_null(pieces);
	feed(text, request, method, true, pieces);
	feed(text, request, method, false, out);
	if (pieces->verdict != out->verdict)
		fail_msg("whole: %d, in pieces: %d: %.*s", (int)out->verdict, (int)pieces->verdict, SLICE_FMT(text));
	if (out->verdict == HTTP_OK)
		assert_int_equal(pieces->head_bytes, out->head_bytes);
	else if (out->verdict != HTTP_MORE)
		assert_non_null(out->why);
	free(pieces);
	return out->verdict;
}

struct head_case {
	const char *name;
	struct slice text;
	enum http_verdict verdict;
};
#define CASE(name, literal, verdict) { name, { literal, sizeof(literal) - 1 }, verdict }

static inline void
check_cases(const struct head_case *cases, size_t n, bool request)
{
	struct parsed *p = malloc(sizeof(*p));
	size_t wrong = 0;

	assert_non_null(p);
	for (size_t i = 0; i < n; i++) {
		enum http_verdict v = parse_both_ways(cases[i].text, request, METHOD_GET, p);
		if (v != cases[i].verdict) {
			print_error("%s: wanted %d, got %d (%s)\n", cases[i].name, (int)cases[i].verdict, (int)v, p->why ? p->why : "-");
			wrong++;
		}
	}
	free(p);
	assert_int_equal(wrong, 0);
}
#define CHECK_REQUESTS(cases) check_cases(cases, COUNT(cases), true)
#define CHECK_RESPONSES(cases) check_cases(cases, COUNT(cases), false)

#endif
