#include "proxyd/h2_head.h"
#include "tests/unit/unit.h"
#include "tests/unit/http_oracle.h"

static struct block_pool pool;
static const struct http_limits limits = { 65536, 8192 };

struct field {
	const char *name, *value; /* name NULL: the end */
};
#define TARGET { ":method", "GET" }, { ":scheme", "https" }, { ":path", "/api?limit=5" }, { ":authority", "gate.test:8443" }
#define FIELDS(...) ((const struct field[]){ __VA_ARGS__, { NULL, NULL } })

static struct http_head head;
static struct h2_refusal refusal;
static char *text;

static enum err
build_within(const struct field *f, bool ended, const struct http_limits *l)
{
	struct h2_fields fields = { 0 };

	free(text);
	for (; f->name; f++)
		assert_int_equal(h2_fields_add(&fields, &pool, l->head_bytes_max, slice_str(f->name), slice_str(f->value)), OK);
	enum err err = h2_head_request(&fields, ended, l, &head, &text, &refusal);
	h2_fields_drop(&fields, &pool);
	assert_int_equal(pool.held, 0);
	assert_int_equal(err == OK, text != NULL);
	return err;
}
static enum err
build(const struct field *f, bool ended)
{
	return build_within(f, ended, &limits);
}

static int
teardown(void **state)
{
	(void)state;
	free(text);
	text = NULL;
	block_pool_fini(&pool);
	return 0;
}

static bool
is(struct slice s, const char *want)
{
	return slice_eq_str(s, want);
}

static void
a_request_fills_the_head_that_every_rule_works_on(void **state)
{
	(void)state;
	assert_int_equal(build(FIELDS(TARGET, { "accept", "application/json" }, { "authorization", "Bearer t" }, { "x_under", "1" }), true), OK);
	assert_int_equal(head.minor, 2);
	assert_int_equal(head.method, METHOD_GET);
	assert_true(is(head.method_text, "GET") && is(head.target, "/api?limit=5") && is(head.path, "/api") && is(head.query, "limit=5"));
	assert_true(is(head.host, "gate.test:8443"));
	assert_int_equal(head.framing, FRAMING_NONE);
	assert_true(head.keep_alive);
	assert_int_equal(head.upgrade, UPGRADE_NONE);
	assert_int_equal(head.header_n, 3);
	assert_int_equal(head.headers[0].field, FIELD_ACCEPT);
	assert_int_equal(head.authorization, 1);
	assert_int_equal(head.accept, 0);
	assert_true(head.headers[2].folds);
	for (size_t i = 0; i < head.header_n; i++) /* nothing points into what has been given back */
		assert_true(head.headers[i].name.p >= text && head.headers[i].value.p >= text);
}

static void
framing_follows_from_content_length_and_from_whether_a_body_comes(void **state)
{
	(void)state;
	assert_int_equal(build(FIELDS(TARGET), false), OK);
	assert_int_equal(head.framing, FRAMING_CHUNKED);
	assert_int_equal(build(FIELDS(TARGET, { "content-length", "12" }), false), OK);
	assert_int_equal(head.framing, FRAMING_LENGTH);
	assert_int_equal(head.content_length, 12);
	assert_int_equal(build(FIELDS(TARGET, { "content-length", "0" }), false), OK);
	assert_int_equal(head.framing, FRAMING_CHUNKED); /* whole when its stream ends */
	assert_int_equal(build(FIELDS(TARGET, { "content-length", "0" }), true), OK);
	assert_int_equal(head.framing, FRAMING_LENGTH);
	assert_int_equal(build(FIELDS(TARGET, { "content-length", "12" }), true), E_FORMAT);
	assert_int_equal(refusal.code, 0);
}

/* RFC 9113 section 8.2.3 */
static void
crumbs_of_cookies_are_joined(void **state)
{
	(void)state;
	assert_int_equal(build(FIELDS(TARGET, { "cookie", "a=1" }, { "accept", "*/*" }, { "cookie", "b=2; c=3" }, { "cookie", "d=4" }), true), OK);
	assert_int_equal(head.header_n, 2);
	assert_int_equal(head.cookie, 1);
	assert_true(is(head.headers[1].value, "a=1; b=2; c=3; d=4"));
	assert_true(is(http_cookie(&head, "c"), "3"));
}

static void
the_host_header_may_take_the_place_of_authority_and_must_not_differ_from_it(void **state)
{
	(void)state;
#define LINE { ":method", "GET" }, { ":scheme", "https" }, { ":path", "/" }
	assert_int_equal(build(FIELDS(LINE, { "host", "h" }), true), OK);
	assert_true(is(head.host, "h"));
	assert_int_equal(build(FIELDS(LINE, { ":authority", "h" }, { "host", "H" }), true), OK);
	assert_int_equal(build(FIELDS(LINE, { ":authority", "h" }, { "host", "other" }), true), E_FORMAT);
	assert_int_equal(refusal.code, 0);
	assert_int_equal(build(FIELDS(LINE, { ":authority", "h:1" }, { "host", "h" }), true), E_FORMAT);
	assert_int_equal(build(FIELDS(LINE), true), E_FORMAT);
}

/* RFC 9113 section 8.1.1: a stream error. */
static void
malformed_requests_are_told_from_refused_ones(void **state)
{
	static const struct field cases[][8] = {
		{ { ":scheme", "https" }, { ":path", "/" }, { ":authority", "h" } },
		{ { ":method", "GET" }, { ":path", "/" }, { ":authority", "h" } },
		{ { ":method", "GET" }, { ":scheme", "https" }, { ":authority", "h" } },
		{ { ":method", "GET" }, { ":scheme", "https" }, { ":path", "" }, { ":authority", "h" } },
		{ { ":method", "GET" }, { ":scheme", "https" }, { ":path", "api" }, { ":authority", "h" } },
		{ { ":method", "GET" }, { ":scheme", "https" }, { ":path", "https://h/" }, { ":authority", "h" } },
		{ { ":method", "GET" }, { ":scheme", "https" }, { ":path", "/a b" }, { ":authority", "h" } },
		{ { ":method", "GET" }, { ":scheme", "https" }, { ":path", "/a\r\nx: y" }, { ":authority", "h" } },
		{ { ":method", "GET" }, { ":scheme", "https" }, { ":path", "/#a" }, { ":authority", "h" } },
		{ { ":method", "GET" }, { ":scheme", "https" }, { ":path", "/" }, { ":path", "/b" }, { ":authority", "h" } },
		{ { ":method", "GET" }, { ":scheme", "ftp" }, { ":path", "/" }, { ":authority", "h" } },
		{ { ":method", "G T" }, { ":scheme", "https" }, { ":path", "/" }, { ":authority", "h" } },
		{ { ":method", "GET / HTTP/1.1\r\nx:" }, { ":scheme", "https" }, { ":path", "/" }, { ":authority", "h" } },
		{ TARGET, { ":protocol", "websocket" } },
		{ TARGET, { ":status", "200" } },
		{ TARGET, { ":", "x" } },
		{ { ":method", "GET" }, { ":scheme", "https" }, { ":path", "/" }, { ":authority", "u@h" } },
		{ { ":method", "GET" }, { ":scheme", "https" }, { ":path", "/" }, { ":authority", "h,g" } },
		{ { ":method", "GET" }, { "accept", "*/*" }, { ":scheme", "https" }, { ":path", "/" }, { ":authority", "h" } },
		{ TARGET, { "Accept", "*/*" } },
		{ TARGET, { "", "x" } },
		{ TARGET, { "x y", "z" } },
		{ TARGET, { "x:y", "z" } },
		{ TARGET, { "x\r\ny", "z" } },
		{ TARGET, { "x\xc3\xa9", "z" } },
		{ TARGET, { "x", "a\r\nhost: evil" } },
		{ TARGET, { "x", "a\nb" } },
		{ TARGET, { "x", " a" } },
		{ TARGET, { "x", "a\t" } },
		{ TARGET, { "cookie", "a\r\nb" } },
		{ TARGET, { "cookie", "a=1" }, { "cookie", " b" } },
		{ TARGET, { "connection", "close" } },
		{ TARGET, { "keep-alive", "1" } },
		{ TARGET, { "proxy-connection", "close" } },
		{ TARGET, { "transfer-encoding", "chunked" } },
		{ TARGET, { "transfer-encoding", "gzip" } },
		{ TARGET, { "upgrade", "websocket" } },
		{ TARGET, { "te", "gzip" } },
		{ TARGET, { "content-length", "+1" } },
		{ TARGET, { "content-length", "" } },
		{ TARGET, { "content-length", "1" }, { "content-length", "1" } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (build(cases[i], false) != E_FORMAT || refusal.code != 0 || !refusal.why)
			fail_msg("case %zu: %u %s", i, refusal.code, refusal.why ? refusal.why : "taken");
	}
	assert_int_equal(build(FIELDS(TARGET, { "te", "trailers" }), true), OK);
	assert_true(head.headers[0].hop);
}

static void
a_nul_is_as_malformed_as_any_control_byte(void **state)
{
	struct h2_fields fields = { 0 };
	const struct field target[] = { TARGET };

	(void)state;
	free(text);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(h2_fields_add(&fields, &pool, 65536, slice_str(target[i].name), slice_str(target[i].value)), OK);
	assert_int_equal(h2_fields_add(&fields, &pool, 65536, SLICE_LIT("x"), SLICE_LIT("a\0b")), OK);
	assert_int_equal(h2_head_request(&fields, true, &limits, &head, &text, &refusal), E_FORMAT);
	assert_int_equal(refusal.code, 0);
	h2_fields_drop(&fields, &pool);
}

static void
what_other_rules_refuse_gets_their_answer(void **state)
{
	char longest[9000];

	(void)state;
#define REFUSED(c, ...)                                                                                                                         \
	do {                                                                                                                                    \
		assert_int_equal(build(FIELDS(__VA_ARGS__), true), E_FORMAT);                                                                   \
		assert_int_equal(refusal.code, c);                                                                                              \
		assert_non_null(refusal.why);                                                                                                   \
	} while (0)
#define PATH(p) { ":method", "GET" }, { ":scheme", "https" }, { ":path", p }, { ":authority", "h" }
	REFUSED(400, PATH("/a/../b"));
	REFUSED(400, PATH("//api"));
	REFUSED(400, PATH("/a%2f..%2fb"));
	REFUSED(400, PATH("/%00"));
	REFUSED(400, PATH("*"));
	REFUSED(400, TARGET, { "authorization", "a" }, { "authorization", "b" });
	REFUSED(400, TARGET, { "content_length", "5" });
	REFUSED(400, TARGET, { "x_forwarded_for", "1.2.3.4" });
	REFUSED(417, TARGET, { "expect", "200-ok" });
	REFUSED(501, { ":method", "CONNECT" }, { ":authority", "h:443" });
	REFUSED(501, { ":method", "TRACE" }, { ":scheme", "https" }, { ":path", "/" }, { ":authority", "h" });
	REFUSED(400, { ":method", "AMETHODTHATISLONGERTHANTHIRTYTWOB" }, { ":scheme", "https" }, { ":path", "/" }, { ":authority", "h" });
	memset(longest, 'a', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	REFUSED(414, PATH(longest));
	assert_int_equal(build(FIELDS({ ":method", "OPTIONS" }, { ":scheme", "https" }, { ":path", "*" }, { ":authority", "h" }), true), OK);
}

static void
too_many_or_too_large_fields_are_not_kept_but_answered(void **state)
{
	struct h2_fields fields = { 0 };
	const struct field target[] = { TARGET };
	char large[4000];

	(void)state;
	free(text);
	memset(large, 'a', sizeof(large));
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(h2_fields_add(&fields, &pool, 65536, slice_str(target[i].name), slice_str(target[i].value)), OK);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(h2_fields_add(&fields, &pool, 65536, SLICE_LIT("x"), slice_of(large, sizeof(large))), OK);
	assert_true(fields.block->to <= 65536 + 8 * 20);
	assert_int_equal(h2_head_request(&fields, true, &limits, &head, &text, &refusal), E_FORMAT);
	assert_int_equal(refusal.code, 431);
	h2_fields_drop(&fields, &pool);
	for (int i = 0; i < 200; i++)
		assert_int_equal(h2_fields_add(&fields, &pool, 65536, SLICE_LIT("x"), SLICE_LIT("y")), OK);
	assert_int_equal(h2_head_request(&fields, true, &limits, &head, &text, &refusal), E_FORMAT);
	assert_int_equal(refusal.code, 431);
	h2_fields_drop(&fields, &pool);
	assert_int_equal(pool.held, 0);
}

static void
as_many_headers_as_http11_may_have_are_taken(void **state)
{
	static struct field f[4 + HTTP_HEADERS_MAX + 2] = { TARGET };

	(void)state;
	for (size_t i = 0; i < HTTP_HEADERS_MAX; i++)
		f[4 + i] = (struct field){ "x", "y" };
	assert_int_equal(build(f, true), OK);
	assert_int_equal(head.header_n, HTTP_HEADERS_MAX);
	f[4 + HTTP_HEADERS_MAX] = (struct field){ "x", "y" };
	assert_int_equal(build(f, true), E_FORMAT);
	assert_int_equal(refusal.code, 431);
	/* With cookies the joined one is the last. */
	f[4] = (struct field){ "cookie", "a=1" };
	f[4 + HTTP_HEADERS_MAX] = (struct field){ NULL, NULL };
	assert_int_equal(build(f, true), OK);
}

static void
a_head_of_more_than_a_block_is_taken_whole(void **state)
{
	static char large[40000];
	static const struct http_limits wide = { 1 << 20, 8192 };

	(void)state;
	memset(large, 'v', sizeof(large) - 1);
	assert_int_equal(build_within(FIELDS(TARGET, { "a", large }, { "b", large }, { "c", "end" }), true, &wide), OK);
	assert_int_equal(head.headers[0].value.n, sizeof(large) - 1);
	assert_true(is(head.headers[2].value, "end"));
}

/* What goes upstream of it is as sound as of HTTP/1.1. */
static void
the_upstream_head_has_one_host_one_framing_and_the_proven_identity(void **state)
{
	const struct field *const requests[] = {
		FIELDS(TARGET, { "cookie", "a=1" }, { "cookie", "__Host-gatehouse=secret" }, { "x-remote-user", "root" }, { "x-forwarded-for", "1.2.3.4" }),
		FIELDS(TARGET, { "host", "gate.test:8443" }, { "te", "trailers" }, { "authorization", "Bearer t" }, { "content-length", "5" }),
		FIELDS(TARGET, { "trailer", "x" }, { "expect", "100-continue" }, { "forwarded", "for=1" }),
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct buf out;
		struct oracle_seen seen = { 0 };
		buf_init(&out, 0);
		assert_int_equal(build(requests[i], false), OK);
		assert_int_equal(forward_request(&head, &oracle_cluster, &oracle_context, &out), OK);
		oracle_read_leniently(buf_slice(&out), &seen);
		assert_int_equal(seen.host, 1);
		assert_int_equal(seen.framing, 1);
		assert_int_equal(seen.user, 1);
		assert_int_equal(seen.other_identity, 0);
		assert_int_equal(seen.authorization, 1);
		assert_int_equal(seen.connection, 0);
		assert_null(memmem(out.p, out.n, "secret", 6));
		assert_null(memmem(out.p, out.n, "trailer", 7));
		buf_fini(&out);
	}
}

/* Every byte at every edge of the headers that matter, as for HTTP/1.1 (test_http_oracle.c): refused, or what goes upstream can be read in one way. */
static void
every_byte_at_every_edge_is_refused_or_read_in_one_way(void **state)
{
	static const struct field headers[] = { { "content-length", "5" }, { "transfer-encoding", "chunked" }, { "host", "gate.test:8443" },
		{ "connection", "close" }, { "authorization", "Bearer x" }, { "impersonate-user", "root" } };
	static const struct field target[] = { TARGET };
	unsigned judged = 0, passed = 0;
	struct buf out;

	(void)state;
	buf_init(&out, 65536);
	for (size_t i = 0; i < 6 * 4 * 256; i++, judged++) {
		const struct field *header = &headers[i / 1024];
		size_t place = i / 256 % 4;
		struct h2_fields fields = { 0 };
		char name[64], value[64], byte = (char)i;
		const char *why;
		int name_n = snprintf(name, sizeof(name), "%s%s%s", place == 0 ? "?" : "", header->name, place == 1 ? "?" : "");
		int value_n = snprintf(value, sizeof(value), "%s%s%s", place == 2 ? "?" : "", header->value, place == 3 ? "?" : "");

		*(place < 2 ? &name[place ? name_n - 1 : 0] : &value[place == 3 ? value_n - 1 : 0]) = byte;
		for (size_t k = 0; k < 4; k++)
			assert_int_equal(h2_fields_add(&fields, &pool, 65536, slice_str(target[k].name), slice_str(target[k].value)), OK);
		assert_int_equal(h2_fields_add(&fields, &pool, 65536, slice_of(name, (size_t)name_n), slice_of(value, (size_t)value_n)), OK);
		free(text);
		enum err err = h2_head_request(&fields, false, &limits, &head, &text, &refusal);
		h2_fields_drop(&fields, &pool);
		if (err || forward_check(&head, &why) != FORWARD_OK)
			continue;
		const char *wrong = oracle_judge_all(&head, &out);
		if (wrong)
			fail_msg("%s, place %zu, byte %02x: %s:\n%.*s", header->name, place, (unsigned char)byte, wrong, SLICE_FMT(buf_slice(&out)));
		passed++;
	}
	buf_fini(&out);
	assert_int_equal(judged, 6144);
	assert_true(passed > 100); /* token bytes make other names */
}

/* Every byte in the place of every byte of a name or a value, and between any two, as for HTTP/1.1: refused, or nothing of it arrives that any reader takes for one
 * of ours. */
static void
every_byte_anywhere_in_what_a_front_proxy_says_is_refused_or_harmless(void **state)
{
	static const struct field headers[] = { { "x-remote-user", "root" }, { "x-remote-group", "system:masters" }, { "x-remote-uid", "0" },
		{ "x-remote-extra-scopes", "all" }, { "authorization", "Bearer x" }, { "x-forwarded-host", "evil" }, { "x-gatehouse-clusters", "prod" },
		{ "cookie", "__Host-gatehouse=secret" } };
	static const struct field target[] = { TARGET };
	unsigned judged = 0, passed = 0;
	struct buf out;

	(void)state;
	buf_init(&out, 65536);
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		size_t name_n = strlen(headers[i].name), all_n = name_n + strlen(headers[i].value);
		for (size_t at = 0; at <= all_n + 1; at++)
			for (int byte = 0; byte < 256; byte++)
				for (int instead = 0; instead < 2; instead++) {
					struct h2_fields fields = { 0 };
					char texts[2][64];
					size_t n[2], which = at > name_n, where = which ? at - name_n - 1 : at;
					const char *why;

					for (size_t k = 0; k < 2; k++)
						n[k] = (size_t)snprintf(texts[k], sizeof(texts[k]), "%s", k ? headers[i].value : headers[i].name);
					if (!instead || where == n[which]) {
						memmove(texts[which] + where + 1, texts[which] + where, n[which] - where);
						n[which]++;
					}
					texts[which][where] = (char)byte;
					for (size_t k = 0; k < 4; k++)
						assert_int_equal(h2_fields_add(&fields, &pool, 65536, slice_str(target[k].name), slice_str(target[k].value)), OK);
					assert_int_equal(h2_fields_add(&fields, &pool, 65536, slice_of(texts[0], n[0]), slice_of(texts[1], n[1])), OK);
					free(text);
					enum err err = h2_head_request(&fields, true, &limits, &head, &text, &refusal);
					h2_fields_drop(&fields, &pool);
					judged++;
					if (err || forward_check(&head, &why) != FORWARD_OK)
						continue;
					const char *wrong = oracle_judge_all(&head, &out);
					if (wrong)
						fail_msg("%s, at %zu, byte %02x: %s:\n%.*s", headers[i].name, at, (unsigned)byte, wrong, SLICE_FMT(buf_slice(&out)));
					passed++;
				}
	}
	buf_fini(&out);
	assert_true(judged > 50000 && passed > judged / 10 && passed < judged);
}

/* ---- answers ---- */

static const struct h2_field *
find(const struct h2_answer *a, const char *name)
{
	for (size_t i = 0; i < a->n; i++)
		if (slice_eq_nocase(a->fields[i].name, slice_str(name)))
			return &a->fields[i];
	return NULL;
}

static void
parse_answer(const char *http11, enum http_method method)
{
	size_t scanned = 0, bytes;
	const char *why;

	assert_int_equal(http_response_parse(http11, strlen(http11), &scanned, &limits, method, &head, &bytes, &why), HTTP_OK);
}

static void
an_answer_loses_what_belongs_to_the_connection_and_gets_our_fields(void **state)
{
	const struct response_context c = { .minor = 2, .request_id = SLICE_LIT("rid"), .hsts = true, .session_cookie = SLICE_LIT("gate") };
	struct h2_answer a;

	(void)state;
	parse_answer("HTTP/1.1 203 Whatever\r\nContent-Type: text/plain\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTransfer-Encoding: chunked\r\n"
		     "Keep-Alive: 1\r\nAudit-Id: 7\r\nX-Request-Id: theirs\r\nSet-Cookie: gate=1\r\nSet-Cookie: other=1\r\n\r\n", METHOD_GET);
	h2_head_answer(&head, &c, &a);
	assert_true(is(a.fields[0].name, ":status") && is(a.fields[0].value, "203"));
	assert_int_equal(a.n, 6);
	assert_true(is(find(&a, "content-type")->value, "text/plain"));
	assert_true(find(&a, "audit-id")->once);
	assert_true(is(find(&a, "set-cookie")->value, "other=1"));
	assert_true(is(find(&a, "x-request-id")->value, "rid"));
	assert_true(is(find(&a, "strict-transport-security")->value, "max-age=31536000"));
	for (const char *const *name = (const char *const[]){ "connection", "x-hop", "transfer-encoding", "keep-alive", "content-length", NULL }; *name; name++)
		assert_null(find(&a, *name));
}

static void
content_length_is_told_where_it_is_known(void **state)
{
	const struct response_context c = { .minor = 2, .hsts = true };
	struct h2_answer a;

	(void)state;
	parse_answer("HTTP/1.1 200 OK\r\nContent-Length: 18446744\r\nStrict-Transport-Security: max-age=1\r\n\r\n", METHOD_GET);
	h2_head_answer(&head, &c, &a);
	assert_true(is(find(&a, "content-length")->value, "18446744"));
	assert_true(is(find(&a, "strict-transport-security")->value, "max-age=1"));
	assert_int_equal(a.n, 3);
	parse_answer("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", METHOD_HEAD);
	h2_head_answer(&head, &c, &a);
	assert_true(is(find(&a, "content-length")->value, "7"));
	parse_answer("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", METHOD_GET);
	h2_head_answer(&head, &c, &a);
	assert_null(find(&a, "content-length"));
	parse_answer("HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\n", METHOD_GET);
	h2_head_answer(&head, &c, &a);
	assert_true(is(find(&a, "content-length")->value, "12"));
	parse_answer("HTTP/1.1 200 OK\r\n\r\n", METHOD_GET); /* until the connection ends */
	h2_head_answer(&head, &c, &a);
	assert_null(find(&a, "content-length"));
	parse_answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", METHOD_GET);
	h2_head_answer(&head, &c, &a);
	assert_int_equal(a.n, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_fills_the_head_that_every_rule_works_on),
		cmocka_unit_test(framing_follows_from_content_length_and_from_whether_a_body_comes),
		cmocka_unit_test(crumbs_of_cookies_are_joined),
		cmocka_unit_test(the_host_header_may_take_the_place_of_authority_and_must_not_differ_from_it),
		cmocka_unit_test(malformed_requests_are_told_from_refused_ones),
		cmocka_unit_test(a_nul_is_as_malformed_as_any_control_byte),
		cmocka_unit_test(what_other_rules_refuse_gets_their_answer),
		cmocka_unit_test(too_many_or_too_large_fields_are_not_kept_but_answered),
		cmocka_unit_test(as_many_headers_as_http11_may_have_are_taken),
		cmocka_unit_test(a_head_of_more_than_a_block_is_taken_whole),
		cmocka_unit_test(the_upstream_head_has_one_host_one_framing_and_the_proven_identity),
		cmocka_unit_test(every_byte_at_every_edge_is_refused_or_read_in_one_way),
		cmocka_unit_test(every_byte_anywhere_in_what_a_front_proxy_says_is_refused_or_harmless),
		cmocka_unit_test(an_answer_loses_what_belongs_to_the_connection_and_gets_our_fields),
		cmocka_unit_test(content_length_is_told_where_it_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, teardown);
}
