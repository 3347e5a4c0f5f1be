#include <openssl/evp.h>
#include <jansson.h>
#include "http_cases.h"
#include "failing_malloc.h"
#include "proxyd/status.h"

/* Write an answer and take it apart with the parser of answers. */
static void
write_and_parse(const struct status_answer *a, bool page, bool head_only, unsigned minor, struct buf *out, struct parsed *p)
{
	buf_init(out, 0);
	status_write(a, page, head_only, minor, out);
	assert_true(buf_ok(out));
	assert_int_equal(feed(buf_slice(out), false, head_only ? METHOD_HEAD : METHOD_GET, false, p), HTTP_OK);
	assert_int_equal(p->head.content_length, head_only ? p->head.content_length : out->n - p->head_bytes);
	assert_true(slice_eq_str(http_head_find_name(&p->head, "X-Content-Type-Options")->value, "nosniff"));
	assert_true(slice_eq_str(http_head_find_name(&p->head, "Cache-Control")->value, "no-store"));
}

static bool
header_is(const struct parsed *p, const char *name, const char *value)
{
	const struct http_header *f = http_head_find_name(&p->head, name);
	return value ? f && slice_eq_str(f->value, value) : !f;
}

static void
error_is_a_kubernetes_status(void **state)
{
	struct status_answer a = { .code = 401, .message = "no \"credential\"\r\nhere", .request_id = SLICE_LIT("rid") };
	static struct parsed p;
	struct buf out;

	(void)state;
	write_and_parse(&a, false, false, 1, &out, &p);
	assert_int_equal(p.head.status, 401);
	assert_true(header_is(&p, "Content-Type", "application/json"));
	assert_true(header_is(&p, "WWW-Authenticate", "Bearer"));
	assert_true(header_is(&p, "X-Request-Id", "rid"));
	assert_true(header_is(&p, "Connection", NULL));
	assert_true(header_is(&p, "Retry-After", NULL));
	assert_true(header_is(&p, "Date", NULL));
	assert_string_equal(out.p + p.head_bytes,
		"{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":\"no \\\"credential\\\"\\r\\nhere\","
		"\"reason\":\"Unauthorized\",\"code\":401}\n");
	buf_fini(&out);
}

static void
every_code_has_its_reason_and_valid_json(void **state)
{
	static const struct {
		unsigned code;
		const char *reason;
	} cases[] = { { 400, "BadRequest" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "NotFound" }, { 405, "MethodNotAllowed" },
		{ 408, "Timeout" }, { 413, "RequestEntityTooLarge" }, { 414, "BadRequest" }, { 417, "BadRequest" }, { 421, "BadRequest" },
		{ 429, "TooManyRequests" }, { 431, "BadRequest" }, { 500, "InternalError" }, { 501, "InternalError" }, { 502, "InternalError" },
		{ 503, "ServiceUnavailable" }, { 504, "Timeout" }, { 505, "InternalError" }, { 499, "BadRequest" }, { 599, "InternalError" } };
	static struct parsed p;
	struct buf out;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct status_answer a = { .code = cases[i].code, .message = "m", .retry_after_s = 7, .close = true, .hsts = true };
		write_and_parse(&a, false, false, 1, &out, &p);
		json_t *json = json_loads(out.p + p.head_bytes, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(json);
		assert_string_equal(json_string_value(json_object_get(json, "reason")), cases[i].reason);
		assert_int_equal(json_integer_value(json_object_get(json, "code")), cases[i].code);
		assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "details"), "retryAfterSeconds")), 7);
		assert_true(header_is(&p, "Retry-After", "7"));
		assert_true(header_is(&p, "Connection", "close"));
		assert_true(header_is(&p, "Strict-Transport-Security", "max-age=31536000"));
		assert_true(header_is(&p, "WWW-Authenticate", cases[i].code == 401 ? "Bearer" : NULL));
		json_decref(json);
		buf_fini(&out);
	}
}

static void
page_escapes_what_it_is_given_and_says_when_to_try_again(void **state)
{
	struct status_answer a = { .code = 502, .message = "<script>&\"'", .request_id = SLICE_LIT("r-1") };
	static struct parsed p;
	struct buf out;

	(void)state;
	write_and_parse(&a, true, false, 1, &out, &p);
	assert_true(header_is(&p, "Content-Type", "text/html; charset=utf-8"));
	assert_non_null(strstr(out.p, "&lt;script&gt;&amp;&quot;&#39;"));
	assert_null(strstr(out.p, "<script>"));
	assert_non_null(strstr(out.p, "502, request r-1"));
	assert_non_null(strstr(out.p, "Try again in a moment"));
	buf_fini(&out);
	a.code = 404;
	write_and_parse(&a, true, false, 1, &out, &p);
	assert_null(strstr(out.p, "Try again"));
	buf_fini(&out);
}

/* Content Security Policy level 3: the hash is of the text between the tags. */
static void
policy_of_a_page_allows_its_own_style_and_nothing_else(void **state)
{
	struct status_answer a = { .code = 404, .message = "m" };
	unsigned char digest[32], text[64];
	static struct parsed p;
	struct buf out;

	(void)state;
	write_and_parse(&a, true, false, 1, &out, &p);
	const char *begin = strstr(out.p, "<style>") + 7, *end = strstr(begin, "</style>");
	assert_int_equal(EVP_Digest(begin, (size_t)(end - begin), digest, NULL, EVP_sha256(), NULL), 1);
	EVP_EncodeBlock(text, digest, sizeof(digest));
	char wanted[200];
	snprintf(wanted, sizeof(wanted),
		"default-src 'none'; style-src 'sha256-%s'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'", (char *)text);
	assert_true(header_is(&p, "Content-Security-Policy", wanted));
	buf_fini(&out);
}

static void
redirect_names_its_place_or_becomes_an_error(void **state)
{
	struct status_answer a = { .code = 302, .message = "sign in", .location = "/oidc/auth?x=%2F&y=1" };
	static const char *const bad[] = { "/a\r\nSet-Cookie: x", "/a b", "/\xc3\xa9", "/\x7f" };
	static struct parsed p;
	struct buf out;

	(void)state;
	write_and_parse(&a, true, false, 1, &out, &p);
	assert_int_equal(p.head.status, 302);
	assert_true(header_is(&p, "Location", "/oidc/auth?x=%2F&y=1"));
	assert_non_null(strstr(out.p, "href=\"/oidc/auth?x=%2F&amp;y=1\""));
	buf_fini(&out);
	for (size_t i = 0; i < COUNT(bad); i++) {
		a.location = bad[i];
		write_and_parse(&a, false, false, 1, &out, &p);
		assert_int_equal(p.head.status, 500);
		assert_true(header_is(&p, "Location", NULL));
		assert_true(header_is(&p, "Set-Cookie", NULL));
		buf_fini(&out);
	}
}

static void
answer_to_head_has_the_length_but_no_body(void **state)
{
	struct status_answer a = { .code = 404, .message = "nothing here" };
	static struct parsed full, p;
	struct buf out;

	(void)state;
	write_and_parse(&a, false, false, 1, &out, &full);
	buf_fini(&out);
	write_and_parse(&a, false, true, 1, &out, &p);
	assert_int_equal(p.head.content_length, full.head.content_length);
	assert_int_equal(out.n, p.head_bytes);
	buf_fini(&out);
}

static void
http_1_0_is_told_that_the_connection_stays(void **state)
{
	struct status_answer a = { .code = 404, .message = "m" };
	static struct parsed p;
	struct buf out;

	(void)state;
	write_and_parse(&a, false, false, 0, &out, &p);
	assert_true(header_is(&p, "Connection", "keep-alive"));
	buf_fini(&out);
}

static void
date_is_an_imf_fixdate(void **state)
{
	static const struct {
		int64_t now_s;
		const char *text;
	} cases[] = { { 1, "Thu, 01 Jan 1970 00:00:01 GMT" }, { 784111777, "Sun, 06 Nov 1994 08:49:37 GMT" }, { 1767323045, "Fri, 02 Jan 2026 03:04:05 GMT" },
		{ 1709164800, "Thu, 29 Feb 2024 00:00:00 GMT" } };
	static struct parsed p;
	struct buf out;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct status_answer a = { .code = 404, .message = "m", .now_s = cases[i].now_s };
		write_and_parse(&a, false, false, 1, &out, &p);
		assert_true(header_is(&p, "Date", cases[i].text));
		buf_fini(&out);
	}
}

static void
memory_that_runs_out_marks_the_buffer(void **state)
{
	struct status_answer a = { .code = 404, .message = "m" };
	struct buf out;

	(void)state;
	buf_init(&out, 50);
	status_write(&a, false, false, 1, &out);
	assert_false(buf_ok(&out));
	buf_fini(&out);
#if FAILING_MALLOC
	failing_malloc_arm(1, false);
	buf_init(&out, 0);
	status_write(&a, false, false, 1, &out);
	assert_true(failing_malloc_disarm());
	assert_false(buf_ok(&out));
	buf_fini(&out);
#endif
}

static void
only_a_browser_that_navigates_gets_a_page(void **state)
{
	static const struct {
		const char *method, *lines;
		bool page;
	} cases[] = {
		{ "GET", "Accept: text/html,application/xhtml+xml\r\n", true }, { "HEAD", "Accept: */*, Text/HTML;q=0.5\r\n", true },
		{ "GET", "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n", true }, { "GET", "Accept: text/html\r\nSec-Fetch-Mode: cors\r\n", false },
		{ "GET", "Accept: text/html\r\nX-Requested-With: XMLHttpRequest\r\n", false }, { "POST", "Accept: text/html\r\n", false },
		{ "GET", "Accept: application/json\r\n", false }, { "GET", "Accept: */*\r\n", false }, { "GET", "", false },
		{ "GET", "Accept: a/b\r\nAccept: text/html\r\n", true }, { "GET", "Accept: text/htm\r\n", false },
	};
	static struct parsed p;
	char text[300];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int n = snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: a\r\n%s\r\n", cases[i].method, cases[i].lines);
		assert_int_equal(feed(slice_of(text, (size_t)n), true, METHOD_OTHER, false, &p), HTTP_OK);
		if (status_wants_page(&p.head) != cases[i].page)
			fail_msg("%s", text);
	}
}

static void
a_warning_is_a_quoted_string(void **state)
{
	const struct status_answer a = { .code = 403, .message = "User \"a\\b\r\nX: y\" cannot", .warning = true };
	static struct parsed p;
	struct buf out;

	(void)state;
	write_and_parse(&a, false, false, 1, &out, &p);
	assert_true(header_is(&p, "Warning", "299 - \"User \\\"a\\\\b  X: y\\\" cannot\""));
	assert_true(header_is(&p, "X", NULL));
	buf_fini(&out);
}

static void
what_was_asked_for_is_sent_as_it_is_to_browsers_too(void **state)
{
	const struct status_answer a = { .code = 200, .message = "", .json = SLICE_LIT("{\"a\":[]}\n"), .request_id = SLICE_LIT("rid") };
	static struct parsed p;
	struct buf out;

	(void)state;
	for (int page = 0; page < 2; page++) {
		write_and_parse(&a, page, false, 1, &out, &p);
		assert_int_equal(p.head.status, 200);
		assert_true(slice_eq_str(p.head.reason, "OK"));
		assert_true(header_is(&p, "Content-Type", "application/json"));
		assert_string_equal(out.p + p.head_bytes, "{\"a\":[]}\n");
		buf_fini(&out);
	}
	write_and_parse(&a, false, true, 1, &out, &p);
	assert_true(header_is(&p, "Content-Length", "9"));
	assert_int_equal(out.n, p.head_bytes);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_is_a_kubernetes_status),
		cmocka_unit_test(every_code_has_its_reason_and_valid_json),
		cmocka_unit_test(page_escapes_what_it_is_given_and_says_when_to_try_again),
		cmocka_unit_test(policy_of_a_page_allows_its_own_style_and_nothing_else),
		cmocka_unit_test(redirect_names_its_place_or_becomes_an_error),
		cmocka_unit_test(answer_to_head_has_the_length_but_no_body),
		cmocka_unit_test(http_1_0_is_told_that_the_connection_stays),
		cmocka_unit_test(date_is_an_imf_fixdate),
		cmocka_unit_test(memory_that_runs_out_marks_the_buffer),
		cmocka_unit_test(a_warning_is_a_quoted_string),
		cmocka_unit_test(what_was_asked_for_is_sent_as_it_is_to_browsers_too),
		cmocka_unit_test(only_a_browser_that_navigates_gets_a_page),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
