#include "http_cases.h"

/* A request whose one questionable line is `line`. */
#define REQ(line) "POST /x HTTP/1.1\r\nHost: a\r\n" line "\r\n\r\n"
#define BAD(line) CASE(line, REQ(line), HTTP_BAD)
#define GOOD(line) CASE(line, REQ(line), HTTP_OK)
#define TARGET(t) "GET " t " HTTP/1.1\r\nHost: a\r\n\r\n"

static void
request_of_kubectl_is_taken_apart(void **state)
{
	static const char text[] = "GET /api/v1/namespaces/default/pods?limit=500&x=%2F HTTP/1.1\r\nHost: gw.example:8443\r\n"
				   "User-Agent: kubectl/v1.35.0\r\nAccept: application/json;as=Table\r\nAuthorization: Bearer abc\r\n"
				   "Cookie: a=1\r\nAccept-Encoding: gzip\r\n\r\nNEXT";
	struct parsed p;

	(void)state;
	assert_int_equal(parse_both_ways(SLICE_LIT(text), true, METHOD_OTHER, &p), HTTP_OK);
	assert_int_equal(p.head_bytes, sizeof(text) - 1 - 4);
	assert_int_equal(p.head.method, METHOD_GET);
	assert_true(slice_eq_str(p.head.target, "/api/v1/namespaces/default/pods?limit=500&x=%2F"));
	assert_true(slice_eq_str(p.head.path, "/api/v1/namespaces/default/pods"));
	assert_true(slice_eq_str(p.head.query, "limit=500&x=%2F"));
	assert_true(slice_eq_str(p.head.host, "gw.example:8443"));
	assert_int_equal(p.head.minor, 1);
	assert_int_equal(p.head.framing, FRAMING_NONE);
	assert_true(p.head.keep_alive);
	assert_int_equal(p.head.header_n, 6);
	assert_int_equal(p.head.authorization, 3);
	assert_int_equal(p.head.cookie, 4);
	assert_int_equal(p.head.accept, 2);
	assert_int_equal(p.head.origin, -1);
	assert_int_equal(p.head.connection, -1);
	assert_int_equal(p.head.upgrade, UPGRADE_NONE);
}

/* Length */
static void
length_other_than_one_plain_number_is_refused(void **state)
{
	static const struct head_case cases[] = {
		GOOD("Content-Length: 0"), GOOD("Content-Length: 5"), GOOD("Content-Length:\t 007 \t"), GOOD("Content-Length: 9223372036854775807"),
		BAD("Content-Length:"), BAD("Content-Length: "), BAD("Content-Length: +1"), BAD("Content-Length: -1"), BAD("Content-Length: 0x1"),
		BAD("Content-Length: 1_0"), BAD("Content-Length: 1,1"), BAD("Content-Length: 1, 1"), BAD("Content-Length: 1 0"),
		BAD("Content-Length: \"1\""), BAD("Content-Length: 1e0"), BAD("Content-Length: 1.0"), BAD("Content-Length: 1;"),
		BAD("Content-Length: 18446744073709551616"), BAD("Content-Length: 18446744073709551617"),
		BAD("Content-Length: 9223372036854775808"), BAD("Content-Length: \x0b"
								"1"),
		BAD("Content-Length: 1\x0c"), BAD("Content-Length: 1\x00"), BAD("Content-Length: 1\xa0"), BAD("Content-Length: \x85"
														"1"),
		BAD("Content-Length: 1\r\nContent-Length: 1"), BAD("Content-Length: 1\r\nContent-Length: 2"),
		BAD("Content-Length: 1\r\ncontent-length: 1"), BAD("Content_Length: 1"), BAD("Content.Length: 1"), BAD("Content-Length : 1"),
	};

	(void)state;
	CHECK_REQUESTS(cases);
}

static void
content_length_with_transfer_encoding_is_refused_in_either_order(void **state)
{
	static const struct head_case cases[] = {
		BAD("Content-Length: 5\r\nTransfer-Encoding: chunked"),
		BAD("Transfer-Encoding: chunked\r\nContent-Length: 5"),
		BAD("Transfer-Encoding: chunked\r\nContent-Length: 0"),
		BAD("Transfer-Encoding: chunked\r\nX: 1\r\nCONTENT-LENGTH: 0"),
	};

	(void)state;
	CHECK_REQUESTS(cases);
}

static void
bodies_are_framed_whatever_the_method(void **state)
{
	static const char *const methods[] = { "GET", "HEAD", "OPTIONS", "DELETE", "POST", "PURGE" };
	struct parsed p;
	char text[200];

	(void)state;
	for (size_t i = 0; i < COUNT(methods); i++) {
		int n = snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\n\r\n", methods[i]);
		assert_int_equal(parse_both_ways(slice_of(text, (size_t)n), true, METHOD_OTHER, &p), HTTP_OK);
		assert_int_equal(p.head.framing, FRAMING_LENGTH);
		assert_int_equal(p.head.content_length, 17);
		n = snprintf(text, sizeof(text), "%s / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", methods[i]);
		assert_int_equal(parse_both_ways(slice_of(text, (size_t)n), true, METHOD_OTHER, &p), HTTP_OK);
		assert_int_equal(p.head.framing, FRAMING_CHUNKED);
		assert_false(p.head.has_length);
	}
}

/* Transfer-Encoding */
static void
transfer_encoding_other_than_one_exact_chunked_is_refused(void **state)
{
	static const struct head_case cases[] = {
		GOOD("Transfer-Encoding: chunked"), GOOD("transfer-encoding:chunked \t"), BAD("Transfer-Encoding: ,chunked"),
		BAD("Transfer-Encoding: chunked,"), BAD("Transfer-Encoding: chunked, "), BAD("Transfer-Encoding: identity"),
		BAD("Transfer-Encoding: gzip, chunked"), BAD("Transfer-Encoding: chunked, chunked"), BAD("Transfer-Encoding: chunked, identity"),
		BAD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), BAD("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
		BAD("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"), BAD("Transfer-Encoding: \"chunked\""),
		BAD("Transfer-Encoding: 'chunked'"), BAD("Transfer-Encoding: chunked;q=1"), BAD("Transfer-Encoding: Chunked"),
		BAD("Transfer-Encoding: xchunked"), BAD("Transfer-Encoding: chunked x"), BAD("Transfer-Encoding: \x0b"
												    "chunked"),
		BAD("Transfer-Encoding: chunked\x0b"), BAD("Transfer-Encoding: chunked\x0c"), BAD("Transfer-Encoding: chunked\x00"),
		BAD("Transfer-Encoding: \x00"
		    "chunked"),
		BAD("Transfer-Encoding: chunked\x85"), BAD("Transfer-Encoding: \xa0"
							   "chunked"),
		BAD("Transfer-Encoding: chunked\xff"), BAD("Transfer-Encoding:"), BAD("Transfer_Encoding: chunked"),
		BAD("Transfer.Encoding: chunked"), BAD("Transfer-Encoding : chunked"), BAD("Transfer-Encoding\t: chunked"),
		BAD(" Transfer-Encoding: chunked"), BAD("X: y\r\n Transfer-Encoding: chunked"), BAD("Transfer-Encoding:\r\n chunked"),
		CASE("HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BAD),
	};

	(void)state;
	CHECK_REQUESTS(cases);
}

/* Lines */
static void
malformed_lines_are_refused(void **state)
{
	static const struct head_case cases[] = {
		CASE("bare LF ends the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("bare LF ends a header", "GET / HTTP/1.1\r\nHost: a\n\r\n", HTTP_BAD),
		CASE("bare LF ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\n", HTTP_BAD),
		CASE("bare CR ends a header", "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", HTTP_BAD),
		CASE("bare CR in the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n", HTTP_BAD),
		CASE("bare CR in the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", HTTP_BAD),
		CASE("CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", HTTP_BAD),
		CASE("empty line first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("blank first", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n", HTTP_BAD),
		CASE("obs-fold with a tab", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n", HTTP_BAD),
		CASE("obs-fold without a value", "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n z\r\n\r\n", HTTP_OK), /* the head ends before it */
		CASE("blank before the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", HTTP_BAD),
		CASE("empty name", "GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", HTTP_BAD),
		CASE("no colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", HTTP_BAD),
		CASE("blank before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", HTTP_BAD),
		CASE("NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\0Y: z\r\n\r\n", HTTP_BAD),
		CASE("control in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x01: z\r\n\r\n", HTTP_BAD),
		CASE("DEL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x7f: z\r\n\r\n", HTTP_BAD),
		CASE("8-bit in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\xe9: z\r\n\r\n", HTTP_BAD),
		CASE("delimiter in a name", "GET / HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n", HTTP_BAD),
		CASE("NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", HTTP_BAD),
		CASE("control in a long value", "GET / HTTP/1.1\r\nHost: a\r\nX: 0123456789abcde\x1f\x80\xff\r\n\r\n", HTTP_BAD),
		CASE("DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: 01234567\x7f\r\n\r\n", HTTP_BAD),
		CASE("tabs and 8-bit in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\tb\xc3\xa9 0123456789\t\xff~ c\r\n\r\n", HTTP_OK),
		CASE("empty value", "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", HTTP_OK),
		CASE("HTTP/0.9", "GET /\r\n", HTTP_BAD),
		CASE("HTTP/0.9 spelled out", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("HTTP/1.1x", "GET / HTTP/1.1x\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("HTTP/01.1", "GET / HTTP/01.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("HTTP//.1", "GET / HTTP//.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("HTTP/:.1", "GET / HTTP/:.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("HTTP/1./", "GET / HTTP/1./\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("HTTP/1.:", "GET / HTTP/1.:\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("HTTP/1", "GET / HTTP/1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("no version", "GET / \r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP_BAD), /* * without OPTIONS */
		CASE("HTTP/3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", HTTP_VERSION),
		CASE("blank behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("two blanks before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("tab before the target", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("tab before the version", "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("method with 8-bit", "G\xc9T / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("method with NUL", "GET\0 / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("no method", "/ HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("long method", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZ", HTTP_BAD),
		CASE("other method", "REPORT / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_OK),
		CASE("TLS hello in plain text", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", HTTP_BAD),
		CASE("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", HTTP_NOT_IMPLEMENTED),
		CASE("TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_NOT_IMPLEMENTED),
		CASE("nothing yet", "", HTTP_MORE),
		CASE("half a head", "GET / HTTP/1.1\r\nHost: a\r\nX: 1", HTTP_MORE),
		CASE("all but a byte", "GET / HTTP/1.1\r\nHost: a\r\n\r", HTTP_MORE),
	};

	(void)state;
	CHECK_REQUESTS(cases);
}

/* Target */
static void
targets_that_two_readers_could_take_for_different_ones_are_refused(void **state)
{
	static const char *const refused[] = { "/a b", "/a#b", "/a?b#c", "/a\\b", "/%5c..", "/a%5Cb", "/.", "/..", "/./a", "/../a", "/a/.", "/a/..",
		"/a/../b", "/a/b/c/d/../e", "/%2e%2e/a", "/a/%2E%2e", "/a/.%2e/b", "/%2e", "/a/b/c/d/%2e%2e%2fe", "/a/b/c/d/x%2f..%2Fe",
		"/a/b/c/d/x%2f..", "//a", "/a//b", "/a/b//c", "/clusters/a//api", "//", "/a%2fb", "/console%2F..", "/a/b/c%2f", "/a;b", "/a/..;/b",
		"/a/b/c/d/..;x=y/e", "/a/b/c/d/..%3bx/e", "/a/b/c/d/.;/e", "/%00", "/a%00b", "/%0d%0aX:y", "/%0a", "/%7f", "/%1F", "/%", "/%2", "/%zz",
		"/a%2", "/%c0%ae%c0%ae/a", "/%c0%af", "/%e0%80%af", "/%f0%80%80%af", "/%ff", "/%c3", "/%c3%28", "/%c3%zz", "/%c3x%a9", "/%ed%a0%80", "/%80",
		"/a\x80", "/\xc3\xa9", "/\x7f", "/a\"b", "/a<b", "/a>b", "/a^b", "/a`b", "/a{b", "/a|b", "/a}b", "a", "api/v1", "?x", "", "*",
		"a:443", "[::1]:443" };
	static const char *const taken[] = { "/", "/a", "/a/", "/a/b/", "/...", "/.a", "/a..b", "/..a", "/a/.well-known/x", "/%41", "/a%20b", "/%25",
		"/%252e%252e", "/~a", "/a:b@c", "/!$&'()*+,=", "/%c3%a9", "/%f0%9f%98%80/x", "/a/b/c/d//e", "/a/b/c/d/https%3A%2F%2Fx%2Fy",
		"/a/b/c/d/e;f=g/h", "/a/b/c/d;e.f%41", "/a/b/c/d/;e/", "/api/v1/namespaces/n/services/https:x:443/proxy/a%2Fb//c;d", "/a?b/../c//d\\e", "/?", "/??", "/a?{b}|^`\"<>",
		"/a?%", "/a?%00" };
	struct parsed p;
	char text[300];

	(void)state;
	for (size_t i = 0; i < COUNT(refused); i++) {
		int n = snprintf(text, sizeof(text), TARGET("%s"), refused[i]);
		if (parse_both_ways(slice_of(text, (size_t)n), true, METHOD_OTHER, &p) != HTTP_BAD)
			fail_msg("taken: %s", refused[i]);
	}
	for (size_t i = 0; i < COUNT(taken); i++) {
		int n = snprintf(text, sizeof(text), TARGET("%s"), taken[i]);
		if (parse_both_ways(slice_of(text, (size_t)n), true, METHOD_OTHER, &p) != HTTP_OK)
			fail_msg("refused: %s (%s)", taken[i], p.why);
		assert_true(slice_eq_str(p.head.target, taken[i]));
		size_t path = strcspn(taken[i], "?");
		assert_true(slice_eq(p.head.path, slice_of(taken[i], path)));
		assert_int_equal(p.head.query.p != NULL, taken[i][path] == '?');
		assert_int_equal(p.head.query.n, taken[i][path] ? strlen(taken[i]) - path - 1 : 0);
	}
}

/* For heads that do not come through this parser (HTTP/2). */
static void
paths_and_authorities_are_judged_alone_too(void **state)
{
	const char *why = NULL;

	(void)state;
	assert_false(http_path_ok(SLICE_LIT(""), &why));
	assert_false(http_path_ok(SLICE_LIT("a"), &why));
	assert_non_null(why);
	assert_true(http_path_ok(SLICE_LIT("/a"), &why));
	assert_false(http_authority_ok(SLICE_LIT("")));
	assert_true(http_authority_ok(SLICE_LIT("a:1")));
}

static void
absolute_target_must_name_the_host(void **state)
{
	static const struct head_case cases[] = {
		CASE("equal", "GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_OK),
		CASE("case", "GET HTTPS://A.Example:8443/x HTTP/1.1\r\nHost: a.example:8443\r\n\r\n", HTTP_OK),
		CASE("no path", "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_OK),
		CASE("no path but a query", "GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_OK),
		CASE("other host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("other port", "GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("no Host", "GET http://a/ HTTP/1.1\r\n\r\n", HTTP_BAD),
		CASE("userinfo", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("userinfo in both", "GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n", HTTP_BAD),
		CASE("comma", "GET http://a,b/ HTTP/1.1\r\nHost: a,b\r\n\r\n", HTTP_BAD),
		CASE("empty", "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("backslash", "GET http://a\\@b/ HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("other scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("one slash", "GET http:/a/ HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("dot segment", "GET http://a/../x HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
		CASE("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_OK),
		CASE("OPTIONS **", "OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_BAD),
	};
	struct parsed p;

	(void)state;
	CHECK_REQUESTS(cases);
	parse_both_ways(cases[0].text, true, METHOD_OTHER, &p);
	assert_true(slice_eq_str(p.head.path, "/x"));
	assert_true(slice_eq_str(p.head.query, "y"));
	parse_both_ways(cases[3].text, true, METHOD_OTHER, &p);
	assert_true(slice_eq_str(p.head.path, "/"));
	assert_true(slice_eq_str(p.head.query, "x"));
	parse_both_ways(cases[15].text, true, METHOD_OTHER, &p);
	assert_true(slice_eq_str(p.head.path, "*"));
}

static void
host_must_be_one_well_formed_authority(void **state)
{
#define HOST(h) CASE(h, "GET / HTTP/1.1\r\n" h "\r\n\r\n", HTTP_BAD)
#define HOST_OK(h) CASE(h, "GET / HTTP/1.1\r\nHost: " h "\r\n\r\n", HTTP_OK)
	static const struct head_case cases[] = {
		CASE("missing", "GET / HTTP/1.1\r\n\r\n", HTTP_BAD), CASE("missing in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", HTTP_BAD), HOST("Host:"),
		HOST("Host: a\r\nHost: a"), HOST("Host: a\r\nhOST: b"), HOST("Host: a,b"), HOST("Host: u@a"), HOST("Host: a b"), HOST("Host: a/b"),
		HOST("Host: a:"), HOST("Host: a:0"), HOST("Host: a:65536"), HOST("Host: a:123456"), HOST("Host: a:8x"), HOST("Host: :80"), HOST("Host: a:80:80"), HOST("Host: ["),
		HOST("Host: []"), HOST("Host: [::1"), HOST("Host: [::1]x"), HOST("Host: [g]"), HOST("Host: [::1g]"), HOST("Host: a%2eb"), HOST("Host: \xe4"), HOST("Host: a?b"),
		HOST("Host: a#b"), HOST("Host: a\\b"), HOST("Host: a\tb"), HOST("Host: a\r\nHo_st: b\r\nX"), HOST_OK("a"), HOST_OK("a.b-c_d:65535"),
		HOST_OK("127.0.0.1:1"), HOST_OK("[::1]"), HOST_OK("[fe80::1:2]:443"), HOST_OK("[::ffff:1.2.3.4]:1"),
	};

	(void)state;
	CHECK_REQUESTS(cases);
}

static void
longer_than_a_limit_is_said_so(void **state)
{
	static char text[HTTP_HEAD_BYTES_MAX + 1000];
	struct parsed p;
	struct http_limits small = { 100, 20 };
	size_t scanned = 0;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "GET /", 5);
	assert_int_equal(feed(slice_of(text, 9000), true, METHOD_OTHER, false, &p), HTTP_TARGET_LONG);
	assert_int_equal(feed(slice_of(text, 9000), true, METHOD_OTHER, true, &p), HTTP_TARGET_LONG);
	assert_int_equal(feed(slice_of(text, 8000), true, METHOD_OTHER, true, &p), HTTP_MORE);

	memcpy(text, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
	assert_int_equal(feed(slice_of(text, HTTP_HEAD_BYTES_MAX - 1), true, METHOD_OTHER, false, &p), HTTP_MORE);
	assert_int_equal(feed(slice_of(text, HTTP_HEAD_BYTES_MAX), true, METHOD_OTHER, false, &p), HTTP_TOO_LARGE);
	assert_int_equal(feed(slice_of(text, sizeof(text)), true, METHOD_OTHER, true, &p), HTTP_TOO_LARGE);

	size_t n = 25;
	for (size_t i = 0; i < HTTP_HEADERS_MAX - 1; i++, n += 6)
		memcpy(text + n, "X: y\r\n", 6);
	memcpy(text + n, "\r\n", 2);
	assert_int_equal(feed(slice_of(text, n + 2), true, METHOD_OTHER, false, &p), HTTP_OK);
	assert_int_equal(p.head.header_n, HTTP_HEADERS_MAX);
	memcpy(text + n, "X: y\r\n\r\n", 8);
	assert_int_equal(feed(slice_of(text, n + 8), true, METHOD_OTHER, false, &p), HTTP_TOO_LARGE);

	/* A head that ends on the limit's last byte is whole; what follows it does not count. */
	memcpy(text, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
	memset(text + 28, 'a', 72);
	memcpy(text + 96, "\r\n\r\nGET", 7);
	assert_int_equal(http_request_parse(text, 103, &scanned, &small, &p.head, &p.head_bytes, &p.why), HTTP_OK);
	assert_int_equal(p.head_bytes, 100);
	small.head_bytes_max = 99;
	assert_int_equal(http_request_parse(text, 103, &scanned, &small, &p.head, &p.head_bytes, &p.why), HTTP_TOO_LARGE);
}

/* Upgrade, Expect, Connection */
static void
only_websocket_and_spdy_may_upgrade(void **state)
{
#define UPGRADE(method, version, lines) method " /x HTTP/" version "\r\nHost: a\r\n" lines "\r\n\r\n"
	static const struct head_case cases[] = {
		CASE("websocket", UPGRADE("GET", "1.1", "Connection: Upgrade\r\nUpgrade: websocket"), HTTP_OK),
		CASE("spdy", UPGRADE("POST", "1.1", "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0"), HTTP_OK),
		CASE("in a list", UPGRADE("GET", "1.1", "Connection: keep-alive, upgrade\r\nUpgrade: WebSocket"), HTTP_OK),
		CASE("h2c", UPGRADE("GET", "1.1", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA"), HTTP_BAD),
		CASE("two protocols", UPGRADE("GET", "1.1", "Connection: Upgrade\r\nUpgrade: websocket, h2c"), HTTP_BAD),
		CASE("two headers", UPGRADE("GET", "1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket"), HTTP_BAD),
		CASE("empty", UPGRADE("GET", "1.1", "Connection: Upgrade\r\nUpgrade:"), HTTP_BAD),
		CASE("not in Connection", UPGRADE("GET", "1.1", "Upgrade: websocket"), HTTP_BAD),
		CASE("HTTP/1.0", UPGRADE("GET", "1.0", "Connection: Upgrade\r\nUpgrade: websocket"), HTTP_BAD),
		CASE("PUT", UPGRADE("PUT", "1.1", "Connection: Upgrade\r\nUpgrade: websocket"), HTTP_BAD),
		CASE("HEAD", UPGRADE("HEAD", "1.1", "Connection: Upgrade\r\nUpgrade: SPDY/3.1"), HTTP_BAD),
		CASE("with a length", UPGRADE("POST", "1.1", "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 4"), HTTP_BAD),
		CASE("with chunks", UPGRADE("GET", "1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked"), HTTP_BAD),
		CASE("nothing asked for", UPGRADE("GET", "1.1", "Connection: Upgrade"), HTTP_OK),
	};
	struct parsed p;

	(void)state;
	CHECK_REQUESTS(cases);
	parse_both_ways(cases[0].text, true, METHOD_OTHER, &p);
	assert_int_equal(p.head.upgrade, UPGRADE_WEBSOCKET);
	parse_both_ways(cases[1].text, true, METHOD_OTHER, &p);
	assert_int_equal(p.head.upgrade, UPGRADE_SPDY31);
	parse_both_ways(cases[COUNT(cases) - 1].text, true, METHOD_OTHER, &p);
	assert_int_equal(p.head.upgrade, UPGRADE_NONE);
}

static void
expectation_other_than_100_continue_fails(void **state)
{
	static const struct head_case cases[] = {
		GOOD("Expect: 100-continue"), GOOD("Expect: 100-Continue"), CASE("other", REQ("Expect: 200-ok"), HTTP_EXPECTATION),
		CASE("empty", REQ("Expect:"), HTTP_EXPECTATION), CASE("list", REQ("Expect: 100-continue, x"), HTTP_EXPECTATION),
		BAD("Expect: 100-continue\r\nExpect: 100-continue"), CASE("1.0", "POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", HTTP_OK),
		BAD("Expect: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked"),
	};
	struct parsed p;

	(void)state;
	CHECK_REQUESTS(cases);
	parse_both_ways(cases[0].text, true, METHOD_OTHER, &p);
	assert_true(p.head.expect_continue);
	parse_both_ways(cases[6].text, true, METHOD_OTHER, &p);
	assert_false(p.head.expect_continue);
}

static void
connection_decides_what_is_hop_by_hop(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nX-Named: 1\r\nHost: a\r\nConnection: keep-alive, ,x-NAMED\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
				   "Proxy-Foo: 1\r\nProxy: 2\r\nX-Other: 1\r\nConnection: other2\r\nOther2: x\r\nTrailer: X\r\n\r\n";
	static const bool hop[] = { true, false, true, true, true, true, true, false, true, true, true };
	struct parsed p;

	(void)state;
	assert_int_equal(parse_both_ways(SLICE_LIT(text), true, METHOD_OTHER, &p), HTTP_OK);
	assert_int_equal(p.head.header_n, COUNT(hop));
	for (size_t i = 0; i < COUNT(hop); i++)
		assert_int_equal(p.head.headers[i].hop, hop[i]);
	assert_int_equal(p.head.connection, 2);
}

static void
malformed_connection_is_refused(void **state)
{
	static const struct head_case cases[] = {
		BAD("Connection: a b"), BAD("Connection: \"close\""), BAD("Connection: close;"), BAD("Connection: \xa0"), GOOD("Connection: ,,close"),
		GOOD("Connection:"), BAD("Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"), GOOD("Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p"),
		BAD("Connec_tion: close\r\nConnection_: x\r\n:"),
	};

	(void)state;
	CHECK_REQUESTS(cases);
}

static void
keep_alive_follows_version_and_connection(void **state)
{
	static const struct {
		const char *text;
		bool keep_alive;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true },
		{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: CLOSE\r\n\r\n", false },
		{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\nHost: a\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", true },
		{ "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", false },
	};
	struct parsed p;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(parse_both_ways(slice_str(cases[i].text), true, METHOD_OTHER, &p), HTTP_OK);
		assert_int_equal(p.head.keep_alive, cases[i].keep_alive);
	}
}

static void
second_credential_or_kind_of_content_is_refused(void **state)
{
	static const struct head_case cases[] = {
		BAD("Authorization: Bearer a\r\nAuthorization: Bearer a"), BAD("Authorization: Bearer a\r\nX: y\r\nauthorization: Basic a"),
		BAD("Content-Type: a/b\r\nContent-Type: a/b"), BAD("Origin: https://a\r\nOrigin: null"), GOOD("Accept: a/b\r\nAccept: c/d"),
		GOOD("Cookie: a\r\nCookie: b"), BAD("X_Remote_User: root"), BAD("x_forwarded.for: 1"), BAD("Author_ization.x: 1\r\nAuthorization_: y\r\n "),
		GOOD("X_Other: 1"), GOOD("X-Forwarded.For: 1"), GOOD("Impersonate_Group: x"), /* forward_check answers this one, with a 403 */
	};

	(void)state;
	CHECK_REQUESTS(cases);
}

static void
field_is_known_by_its_name_in_any_case(void **state)
{
	static const struct {
		const char *name;
		enum http_field field;
	} cases[] = {
		{ "Host", FIELD_HOST }, { "hOST", FIELD_HOST }, { "Hos", FIELD_OTHER }, { "Hostx", FIELD_OTHER }, { "", FIELD_OTHER }, { "TE", FIELD_TE },
		{ "Connection", FIELD_CONNECTION }, { "CONTENT-LENGTH", FIELD_CONTENT_LENGTH }, { "Transfer-Encoding", FIELD_TRANSFER_ENCODING },
		{ "Transfer_Encoding", FIELD_OTHER }, { "Trailer", FIELD_TRAILER }, { "Upgrade", FIELD_UPGRADE }, { "Keep-Alive", FIELD_KEEP_ALIVE },
		{ "Proxy-Connection", FIELD_PROXY_CONNECTION }, { "Proxy-Authenticate", FIELD_PROXY_AUTHENTICATE },
		{ "Proxy-Authorization", FIELD_PROXY_AUTHORIZATION }, { "Proxy", FIELD_PROXY }, { "proxy-x", FIELD_PROXY }, { "Proxyx", FIELD_OTHER },
		{ "HTTP2-Settings", FIELD_HTTP2_SETTINGS }, { "Expect", FIELD_EXPECT }, { "Authorization", FIELD_AUTHORIZATION },
		{ "Cookie", FIELD_COOKIE }, { "Set-Cookie", FIELD_SET_COOKIE }, { "Accept", FIELD_ACCEPT }, { "Origin", FIELD_ORIGIN },
		{ "Content-Type", FIELD_CONTENT_TYPE }, { "Date", FIELD_DATE }, { "Server", FIELD_SERVER }, { "Location", FIELD_LOCATION },
		{ "Forwarded", FIELD_FORWARDED }, { "X-Forwarded-For", FIELD_X_FORWARDED }, { "x-forwarded-anything", FIELD_X_FORWARDED },
		{ "X-Real-IP", FIELD_X_REAL_IP }, { "X-Remote-User", FIELD_X_REMOTE }, { "x-remote-extra-a", FIELD_X_REMOTE },
		{ "Impersonate-User", FIELD_IMPERSONATE }, { "impersonate_group", FIELD_IMPERSONATE }, { "Impersonate.User", FIELD_IMPERSONATE },
		{ "IMPERSONATE", FIELD_IMPERSONATE }, { "Impersonate-Extra-a-very-long-name-indeed", FIELD_IMPERSONATE }, { "Impersonat", FIELD_OTHER },
		{ "Sec-WebSocket-Protocol", FIELD_SEC_WEBSOCKET_PROTOCOL }, { "X-Request-Id", FIELD_X_REQUEST_ID },
		{ "X-Requested-With", FIELD_X_REQUESTED_WITH }, { "Sec-Fetch-Mode", FIELD_SEC_FETCH_MODE }, { "Accept-Encoding", FIELD_ACCEPT_ENCODING },
		{ "User-Agent", FIELD_USER_AGENT }, { "Strict-Transport-Security", FIELD_STRICT_TRANSPORT_SECURITY },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		if (http_field_of(slice_str(cases[i].name)) != cases[i].field)
			fail_msg("%s", cases[i].name);
	assert_int_equal(http_field_folded(SLICE_LIT("Transfer_Encoding")), FIELD_TRANSFER_ENCODING);
	assert_int_equal(http_field_folded(SLICE_LIT("x.remote_user")), FIELD_X_REMOTE);
	assert_int_equal(http_field_folded(SLICE_LIT("strict-transport-security_and_more")), FIELD_OTHER);
}

static void
cookie_is_found_once_or_not_at_all(void **state)
{
	static const struct {
		const char *lines, *value;
	} cases[] = {
		{ "Cookie: s=abc\r\n", "abc" }, { "Cookie: a=1; s=abc; b=2\r\n", "abc" }, { "Cookie: a=1;s=abc\r\nCookie: b=2\r\n", "abc" },
		{ "Cookie: a=1\r\nCookie: s=x=y\r\n", "x=y" }, { "Cookie: s=\r\n", "" }, { "Cookie: s=1; s=1\r\n", "1" }, { "Cookie: s=1; s=2\r\n", NULL },
		{ "Cookie: s=1\r\nCookie: s=2\r\n", NULL }, { "Cookie: xs=1; S=2; sx=3\r\n", NULL }, { "", NULL }, { "Cookie: s\r\n", "" },
	};
	struct parsed p;
	char text[200];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", cases[i].lines);
		assert_int_equal(parse_both_ways(slice_of(text, (size_t)n), true, METHOD_OTHER, &p), HTTP_OK);
		struct slice v = http_cookie(&p.head, "s");
		assert_int_equal(v.p != NULL, cases[i].value != NULL);
		if (cases[i].value)
			assert_true(slice_eq_str(v, cases[i].value));
	}
}

static void
headers_are_found_by_field_and_by_name(void **state)
{
	struct parsed p;

	(void)state;
	parse_both_ways(SLICE_LIT("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: u\r\nX-Y: 1\r\nx-y: 2\r\n\r\n"), true, METHOD_OTHER, &p);
	assert_true(slice_eq_str(http_head_find(&p.head, FIELD_USER_AGENT)->value, "u"));
	assert_null(http_head_find(&p.head, FIELD_ORIGIN));
	assert_true(slice_eq_str(http_head_find_name(&p.head, "X-y")->value, "1"));
	assert_null(http_head_find_name(&p.head, "X"));
}

/* Answers */
static void
answers_are_held_to_the_same_rules(void **state)
{
#define ANSWER(lines) CASE(lines, "HTTP/1.1 200 OK\r\n" lines "\r\n\r\n", HTTP_OK)
#define NO_ANSWER(lines) CASE(lines, "HTTP/1.1 200 OK\r\n" lines "\r\n\r\n", HTTP_BAD)
	static const struct head_case cases[] = {
		ANSWER("Content-Length: 5"), ANSWER("Transfer-Encoding: Chunked"), ANSWER("Content-Length : 5"), ANSWER("Content-Length\t : 5"), ANSWER("Host: a b"), ANSWER("Upgrade: h2,h2c"),
		NO_ANSWER("Content-Length: 5\r\nTransfer-Encoding: chunked"), NO_ANSWER("Transfer-Encoding: chunked\r\nContent-Length: 5"),
		NO_ANSWER("Content-Length: 5\r\nContent-Length: 5"), NO_ANSWER("Content-Length: 5, 5"), NO_ANSWER("Content-Length: +5"),
		NO_ANSWER("Transfer-Encoding: gzip, chunked"), NO_ANSWER("Transfer-Encoding: identity"),
		NO_ANSWER("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), NO_ANSWER("X: y\r\n z"), NO_ANSWER(" X: y"), NO_ANSWER("X"),
		NO_ANSWER(": x"), NO_ANSWER(" : x"), NO_ANSWER("X: a\0b"), NO_ANSWER("X: a\nY: b"), NO_ANSWER("X: a\rY: b"), NO_ANSWER("X\xe9: a"),
		NO_ANSWER("Location: a\r\nLocation: b"),
		CASE("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n", HTTP_OK),
		CASE("HTTP/1.0 with chunks", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BAD),
		CASE("no reason", "HTTP/1.1 200 \r\n\r\n", HTTP_OK),
		CASE("no reason, no blank", "HTTP/1.1 200\r\n\r\n", HTTP_OK),
		CASE("8-bit reason", "HTTP/1.1 200 d\xe9j\xe0\r\n\r\n", HTTP_OK),
		CASE("NUL in the reason", "HTTP/1.1 200 a\0b\r\n\r\n", HTTP_BAD),
		CASE("two digits", "HTTP/1.1 20 OK\r\n\r\n", HTTP_BAD),
		CASE("slash in the status", "HTTP/1.1 2/0 OK\r\n\r\n", HTTP_BAD),
		CASE("colon in the status", "HTTP/1.1 2:0 OK\r\n\r\n", HTTP_BAD),
		CASE("four digits", "HTTP/1.1 2000 OK\r\n\r\n", HTTP_BAD),
		CASE("status 099", "HTTP/1.1 099 OK\r\n\r\n", HTTP_BAD),
		CASE("two blanks", "HTTP/1.1  200 OK\r\n\r\n", HTTP_BAD),
		CASE("HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", HTTP_VERSION),
		CASE("HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", HTTP_BAD),
		CASE("ICY", "ICY 200 OK\r\n\r\n", HTTP_BAD),
		CASE("empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", HTTP_BAD),
		CASE("bare LF", "HTTP/1.1 200 OK\nX: y\n\n", HTTP_BAD),
		CASE("204 with chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BAD),
		CASE("204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", HTTP_BAD),
		CASE("204 with length 0", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", HTTP_OK),
		CASE("100 with a length", "HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\n", HTTP_BAD),
		CASE("101", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", HTTP_OK),
		CASE("101 to h2c", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", HTTP_BAD),
		CASE("101 without Connection", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", HTTP_BAD),
		CASE("part", "HTTP/1.1 20", HTTP_MORE),
	};

	(void)state;
	CHECK_RESPONSES(cases);
}

static void
answer_without_framing_ends_with_the_connection(void **state)
{
	static const struct {
		const char *text;
		enum http_method method;
		enum http_framing framing;
		bool keep_alive, has_length;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\n\r\n", METHOD_GET, FRAMING_CLOSE, false, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", METHOD_GET, FRAMING_LENGTH, true, true },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", METHOD_HEAD, FRAMING_NONE, true, true },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_HEAD, FRAMING_NONE, true, false },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET, FRAMING_CHUNKED, true, false },
		{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", METHOD_GET, FRAMING_NONE, true, true },
		{ "HTTP/1.1 204 No Content\r\n\r\n", METHOD_GET, FRAMING_NONE, true, false },
		{ "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", METHOD_GET, FRAMING_NONE, true, false },
		{ "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\n", METHOD_GET, FRAMING_LENGTH, false, true },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n", METHOD_GET, FRAMING_LENGTH, false, true },
	};
	struct parsed p;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(parse_both_ways(slice_str(cases[i].text), false, cases[i].method, &p), HTTP_OK);
		assert_int_equal(p.head.framing, cases[i].framing);
		assert_int_equal(p.head.keep_alive, cases[i].keep_alive);
		assert_int_equal(p.head.has_length, cases[i].has_length);
	}
	parse_both_ways(slice_str("HTTP/1.1 404 Not  Found \r\nContent-Length : 9\r\n\r\n"), false, METHOD_GET, &p);
	assert_int_equal(p.head.status, 404);
	assert_true(slice_eq_str(p.head.reason, "Not  Found "));
	assert_true(slice_eq_str(p.head.headers[0].name, "Content-Length"));
}

/* RFC 9110 section 15: what the caller of a refused message is told. */
static void
verdicts_have_statuses(void **state)
{
	(void)state;
	assert_int_equal(http_verdict_status(HTTP_OK), 200);
	assert_int_equal(http_verdict_status(HTTP_MORE), 408);
	assert_int_equal(http_verdict_status(HTTP_BAD), 400);
	assert_int_equal(http_verdict_status(HTTP_TOO_LARGE), 431);
	assert_int_equal(http_verdict_status(HTTP_TARGET_LONG), 414);
	assert_int_equal(http_verdict_status(HTTP_VERSION), 505);
	assert_int_equal(http_verdict_status(HTTP_EXPECTATION), 417);
	assert_int_equal(http_verdict_status(HTTP_NOT_IMPLEMENTED), 501);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_of_kubectl_is_taken_apart),
		cmocka_unit_test(length_other_than_one_plain_number_is_refused),
		cmocka_unit_test(content_length_with_transfer_encoding_is_refused_in_either_order),
		cmocka_unit_test(bodies_are_framed_whatever_the_method),
		cmocka_unit_test(transfer_encoding_other_than_one_exact_chunked_is_refused),
		cmocka_unit_test(malformed_lines_are_refused),
		cmocka_unit_test(targets_that_two_readers_could_take_for_different_ones_are_refused),
		cmocka_unit_test(paths_and_authorities_are_judged_alone_too),
		cmocka_unit_test(absolute_target_must_name_the_host),
		cmocka_unit_test(host_must_be_one_well_formed_authority),
		cmocka_unit_test(longer_than_a_limit_is_said_so),
		cmocka_unit_test(only_websocket_and_spdy_may_upgrade),
		cmocka_unit_test(expectation_other_than_100_continue_fails),
		cmocka_unit_test(connection_decides_what_is_hop_by_hop),
		cmocka_unit_test(malformed_connection_is_refused),
		cmocka_unit_test(keep_alive_follows_version_and_connection),
		cmocka_unit_test(second_credential_or_kind_of_content_is_refused),
		cmocka_unit_test(field_is_known_by_its_name_in_any_case),
		cmocka_unit_test(cookie_is_found_once_or_not_at_all),
		cmocka_unit_test(headers_are_found_by_field_and_by_name),
		cmocka_unit_test(answers_are_held_to_the_same_rules),
		cmocka_unit_test(answer_without_framing_ends_with_the_connection),
		cmocka_unit_test(verdicts_have_statuses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
