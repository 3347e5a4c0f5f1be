#include "tests/unit/unit.h"
#include "authd/request.h"

static struct request request;

static int
begin(void **state)
{
	(void)state;
	request = (struct request){ .method = METHOD_GET };
	arena_init(&request.arena, REQUEST_ARENA_BYTES_MAX);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	arena_fini(&request.arena);
	return 0;
}

static void
header_n(const char *name, size_t name_n, const char *value, size_t value_n)
{
	request.headers[request.header_n++] = (struct request_header){ { name, name_n }, { value, value_n } };
}

static void
header(const char *name, const char *value)
{
	header_n(name, strlen(name), value, strlen(value));
}

static bool
refused_after(const char *name, const char *value)
{
	size_t before = request.header_n;

	header(name, value);
	bool refused = request_head_refused(&request) != NULL;
	request.header_n = before;
	return refused;
}

static void
headers_are_found_without_regard_to_case_and_absent_ones_are_null(void **state)
{
	(void)state;
	header("hOST", "a");
	header("Empty", "");
	assert_true(slice_eq_str(request_header(&request, "Host"), "a"));
	assert_non_null(request_header(&request, "Empty").p);
	assert_null(request_header(&request, "Cookie").p);
}

static void
a_cookie_is_found_among_others_by_its_whole_name(void **state)
{
	(void)state;
	header("Cookie", "xa=1; a=2;b=3=4 ; c=");
	header("cookie", "d=5");
	assert_true(slice_eq_str(request_cookie(&request, "a"), "2"));
	assert_true(slice_eq_str(request_cookie(&request, "b"), "3=4"));
	assert_true(slice_eq_str(request_cookie(&request, "d"), "5"));
	assert_int_equal(request_cookie(&request, "c").n, 0);
	assert_null(request_cookie(&request, "e").p);
}

static void
a_cookie_sent_twice_with_different_values_is_none(void **state)
{
	(void)state;
	header("Cookie", "a=1; a=2; b=1; b=1");
	assert_null(request_cookie(&request, "a").p);
	assert_true(slice_eq_str(request_cookie(&request, "b"), "1"));
	header("Cookie", "b=2");
	assert_null(request_cookie(&request, "b").p);
}

static void
a_target_is_split_at_the_first_question_mark_and_must_be_in_origin_form(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "*", "http://h/", "h:80", "/a b", "/a\r", "/\x7f", "/\xc3\xa9", "/a#b" };
	struct slice path, query;

	assert_true(request_target_split(SLICE_LIT("/a/b?c=d?e"), &path, &query));
	assert_true(slice_eq_str(path, "/a/b"));
	assert_true(slice_eq_str(query, "c=d?e"));
	assert_true(request_target_split(SLICE_LIT("/"), &path, &query));
	assert_null(query.p);
	assert_true(request_target_split(SLICE_LIT("/?"), &path, &query));
	assert_non_null(query.p);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(request_target_split(slice_str(bad[i]), &path, &query));
}

static void
an_ordinary_head_passes(void **state)
{
	(void)state;
	header("Host", "gw.example");
	header("Authorization", "Bearer x");
	header("Cookie", "a=1");
	header("Cookie", "b=1");
	header("Content-Length", "12");
	header("X-Any", "tab\tand \xc3\xa9");
	assert_null(request_head_refused(&request));
}

static void
what_may_come_once_and_comes_twice_is_refused(void **state)
{
	(void)state;
	static const char *const names[] = { "Host", "Content-Length", "Authorization", "Content-Type", "Origin" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		request.header_n = 0;
		header(names[i], "1");
		assert_false(request_head_refused(&request) != NULL);
		assert_true(refused_after(names[i], "1"));
	}
	request.header_n = 0;
	header("Transfer-Encoding", "chunked");
	assert_true(refused_after("transfer-encoding", "chunked"));
}

static void
framing_that_two_parsers_could_read_differently_is_refused(void **state)
{
	(void)state;
	static const char *const lengths[] = { "", "+1", "-1", "0x1", "1,1", "1 0", "1e0", "18446744073709551617" };

	header("Transfer-Encoding", "chunked");
	assert_null(request_head_refused(&request));
	assert_true(refused_after("Content-Length", "3"));
	request.header_n = 0;
	assert_true(refused_after("Transfer-Encoding", "identity"));
	assert_true(refused_after("Transfer-Encoding", "gzip, chunked"));
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
		assert_true(refused_after("Content-Length", lengths[i]));
}

static void
names_that_are_no_tokens_and_values_with_control_bytes_are_refused(void **state)
{
	(void)state;
	static const char *const names[] = { "", "a b", "a\t", "Host ", "a:b", "a\xc3\xa9", "a(", "a\x01" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		assert_true(refused_after(names[i], "v"));
	assert_true(refused_after("a", "b\rc"));
	assert_true(refused_after("a", "b\nc"));
	assert_true(refused_after("a", "\x7f"));
	header_n("a", 1, "b\0c", 3);
	assert_non_null(request_head_refused(&request));
}

static void
a_request_id_is_taken_over_only_when_it_is_harmless(void **state)
{
	(void)state;
	char long_id[66];

	request_id_set(&request, SLICE_LIT("Az09-_."), &rng_system);
	assert_string_equal(request.id, "Az09-_.");
	request_id_set(&request, SLICE_LIT("a b"), &rng_system);
	assert_int_equal(strlen(request.id), 22);
	memset(long_id, 'a', sizeof long_id);
	request_id_set(&request, slice_of(long_id, 64), &rng_system);
	assert_int_equal(strlen(request.id), 64);
	request_id_set(&request, slice_of(long_id, 65), &rng_system);
	assert_int_equal(strlen(request.id), 22);
}

static void
a_body_is_a_form_only_under_its_content_type(void **state)
{
	(void)state;
	struct form *form;

	request.body = SLICE_LIT("a=1&b=%20");
	assert_int_equal(request_body_form(&request, &form), E_FORMAT);
	header("Content-Type", "Application/x-www-form-urlencoded ; charset=utf-8");
	assert_int_equal(request_body_form(&request, &form), OK);
	assert_true(slice_eq_str(form_get(form, "b"), " "));
	request.query = SLICE_LIT("q=%zz");
	assert_int_equal(request_query_form(&request, &form), E_FORMAT);
}

static void
an_answer_header_that_does_not_fit_spoils_the_answer_instead_of_missing(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof request.answer_headers / sizeof request.answer_headers[0]; i++)
		response_header(&request, "X", SLICE_LIT("1"));
	assert_false(request.answer_failed);
	response_header(&request, "Content-Security-Policy", SLICE_LIT("1"));
	assert_true(request.answer_failed);
}

#define REQUEST_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		REQUEST_TEST(headers_are_found_without_regard_to_case_and_absent_ones_are_null),
		REQUEST_TEST(a_cookie_is_found_among_others_by_its_whole_name),
		REQUEST_TEST(a_cookie_sent_twice_with_different_values_is_none),
		REQUEST_TEST(a_target_is_split_at_the_first_question_mark_and_must_be_in_origin_form),
		REQUEST_TEST(an_ordinary_head_passes),
		REQUEST_TEST(what_may_come_once_and_comes_twice_is_refused),
		REQUEST_TEST(framing_that_two_parsers_could_read_differently_is_refused),
		REQUEST_TEST(names_that_are_no_tokens_and_values_with_control_bytes_are_refused),
		REQUEST_TEST(a_request_id_is_taken_over_only_when_it_is_harmless),
		REQUEST_TEST(a_body_is_a_form_only_under_its_content_type),
		REQUEST_TEST(an_answer_header_that_does_not_fit_spoils_the_answer_instead_of_missing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
