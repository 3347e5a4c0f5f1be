#include "http_cases.h"
#include "failing_malloc.h"
#include "http_oracle.h"

static const struct forward_target authd = { .kind = FORWARD_AUTHD, .host = { "gw.example", 10 } };

/* A head from lines, parsed; fails the test when it is refused. */
static void
parse_request(struct parsed *p, const char *text)
{
	if (parse_both_ways(slice_str(text), true, METHOD_OTHER, p) != HTTP_OK)
		fail_msg("%s: %s", text, p->why);
}

static enum forward_verdict
check_lines(const char *lines, const char **why)
{
	static struct parsed p;
	char text[1000];

	snprintf(text, sizeof(text), "GET /api HTTP/1.1\r\nHost: gw\r\n%s\r\n", lines);
	parse_request(&p, text);
	return forward_check(&p.head, why);
}

static void
sent_is(const char *request, const struct forward_target *t, const struct forward_context *c, const char *wanted)
{
	static struct parsed p;
	struct buf out;

	buf_init(&out, 0);
	parse_request(&p, request);
	assert_int_equal(forward_request(&p.head, t, c, &out), OK);
	assert_string_equal(out.p, wanted);
	buf_fini(&out);
}

static void
impersonation_by_the_caller_is_forbidden(void **state)
{
	static const char *const lines[] = { "Impersonate-User: root\r\n", "impersonate_group: system:masters\r\n", "Impersonate.User: root\r\n",
		"IMPERSONATE-EXTRA-x: y\r\n", "Impersonate-Uid: 1\r\n", "impersonate: x\r\n" };
	const char *why = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++)
		assert_int_equal(check_lines(lines[i], &why), FORWARD_IMPERSONATES);
	assert_non_null(why);
}

static void
connection_that_names_what_must_arrive_is_refused(void **state)
{
	static const char *const names[] = { "Authorization", "Impersonate-User", "impersonate_group", "Host", "X-Forwarded-For", "x-forwarded-proto",
		"Forwarded", "X-Real-IP", "X-Remote-User", "X-Gatehouse-Clusters", "Content-Length", "Transfer-Encoding", "Cookie", "Connection", "Content-Type", "Origin",
		"X-Request-Id", "content_length" };
	const char *why = NULL;
	char line[100];

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(line, sizeof(line), "Connection: close, %s\r\n", names[i]);
		if (check_lines(line, &why) != FORWARD_BAD)
			fail_msg("%s", names[i]);
		snprintf(line, sizeof(line), "Connection: close\r\nX: y\r\nConnection: %s\r\n", names[i]);
		if (check_lines(line, &why) != FORWARD_BAD)
			fail_msg("%s", names[i]);
	}
	assert_int_equal(check_lines("Connection: keep-alive, Upgrade, TE, X-Own\r\n", &why), FORWARD_OK);
	/* Worse than forbidden: the connection is not to be trusted. */
	assert_int_equal(check_lines("Impersonate-User: x\r\nConnection: Host\r\n", &why), FORWARD_BAD);
}

/* The parser refuses these for HTTP/1; a head that was filled from HTTP/2 comes here without it. */
static void
name_that_folds_to_a_critical_one_is_refused(void **state)
{
	struct http_head h = { .header_n = 1, .connection = -1 };
	const char *why = NULL;

	(void)state;
	h.headers[0] = (struct http_header){ SLICE_LIT("x_remote_user"), SLICE_LIT("root"), FIELD_OTHER, false, true };
	assert_int_equal(forward_check(&h, &why), FORWARD_BAD);
	assert_non_null(why);
	h.headers[0].name = SLICE_LIT("x_other");
	assert_int_equal(forward_check(&h, &why), FORWARD_OK);
}

static void
token_among_websocket_protocols_needs_a_companion(void **state)
{
#define WS "Sec-WebSocket-Protocol: "
#define WS_TOKEN "base64url.bearer.authorization.k8s.io."
	const char *why = NULL;

	(void)state;
	assert_int_equal(check_lines(WS "v5.channel.k8s.io\r\n", &why), FORWARD_OK);
	assert_int_equal(check_lines(WS "v5.channel.k8s.io, " WS_TOKEN "YWJj\r\n", &why), FORWARD_OK);
	assert_int_equal(check_lines(WS WS_TOKEN "YWJj\r\n" WS "v5.channel.k8s.io\r\n", &why), FORWARD_OK);
	assert_int_equal(check_lines(WS WS_TOKEN "YWJj\r\n", &why), FORWARD_BAD);
	assert_int_equal(check_lines(WS "a, " WS_TOKEN "YWJj, " WS_TOKEN "YWJj\r\n", &why), FORWARD_BAD);
	assert_int_equal(check_lines(WS "a, " WS_TOKEN "\r\n", &why), FORWARD_BAD);
}

static void
cluster_gets_a_fresh_head_with_the_identity_last(void **state)
{
	(void)state;
	sent_is("GET /api/v1/pods?watch=1&x=%2f HTTP/1.1\r\nHost: gw.example:8443\r\nUser-Agent: kubectl\r\nAuthorization: Bearer secret\r\n"
		"Accept: a/b\r\nConnection: keep-alive, X-Own\r\nX-Own: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nX-Forwarded-For: 1.2.3.4\r\n"
		"X-Forwarded-Proto: http\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nX-Remote-User: root\r\nX-Remote-Group: g\r\n"
		"Proxy-Authorization: Basic x\r\nProxy: http://evil\r\nExpect: 100-continue\r\nX-Request-Id: mine\r\nAccept-Encoding: gzip\r\n\r\n",
		&oracle_cluster, &oracle_context,
		"GET /api/v1/pods?watch=1&x=%2f HTTP/1.1\r\nHost: " ORACLE_HOST "\r\nUser-Agent: kubectl\r\nAccept: a/b\r\nAccept-Encoding: gzip\r\n"
		"Content-Length: 0\r\nX-Forwarded-For: " ORACLE_IP "\r\nX-Request-Id: rid\r\n" ORACLE_CREDENTIAL ORACLE_IDENTITY "\r\n");
}

/* forward_check() says that they are there, and where that is allowed others have been asked: still only what the gateway writes is sent. */
static void
impersonation_by_the_caller_is_never_copied(void **state)
{
	(void)state;
	sent_is("GET /api HTTP/1.1\r\nHost: gw\r\nImpersonate-User: root\r\nIMPERSONATE-GROUP: system:masters\r\nImpersonate-Uid: 0\r\nImpersonate-Extra-x: y\r\n"
		"X-Gatehouse-Clusters: evil\r\n\r\n",
		&oracle_cluster, &oracle_context,
		"GET /api HTTP/1.1\r\nHost: " ORACLE_HOST "\r\nContent-Length: 0\r\nX-Forwarded-For: " ORACLE_IP "\r\nX-Request-Id: rid\r\n" ORACLE_CREDENTIAL
		ORACLE_IDENTITY "\r\n");
}

static void
cluster_sees_no_cookie_of_ours_but_others(void **state)
{
	(void)state;
	sent_is("GET / HTTP/1.1\r\nHost: gw\r\nCookie: a=1; __Host-gatehouse=secret; b=2;; ;__Host-gatehouse-login=x;__Host-gatehouse.a=1;__Host-gatehouse_b;c\r\n"
		"Cookie: __Host-gatehouse=secret\r\nCookie: __Host-gatehouses=other; =x\r\n\r\n",
		&oracle_cluster, &oracle_context,
		"GET / HTTP/1.1\r\nHost: " ORACLE_HOST "\r\nCookie: a=1; b=2; c\r\nCookie: __Host-gatehouses=other; =x\r\nContent-Length: 0\r\n"
		"X-Forwarded-For: " ORACLE_IP "\r\nX-Request-Id: rid\r\n" ORACLE_CREDENTIAL ORACLE_IDENTITY "\r\n");
}

static void
cluster_sees_no_token_among_websocket_protocols(void **state)
{
	(void)state;
	sent_is("GET / HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n" WS "v5.channel.k8s.io,," WS_TOKEN
		"YWJj,v4.channel.k8s.io\r\n\r\n",
		&oracle_cluster, &oracle_context,
		"GET / HTTP/1.1\r\nHost: " ORACLE_HOST "\r\nSec-WebSocket-Key: k\r\n" WS "v5.channel.k8s.io, v4.channel.k8s.io\r\n"
		"Connection: Upgrade\r\nUpgrade: websocket\r\nX-Forwarded-For: " ORACLE_IP "\r\nX-Request-Id: rid\r\n" ORACLE_CREDENTIAL ORACLE_IDENTITY
		"\r\n");
}

static void
header_that_held_nothing_but_a_token_is_left_out(void **state)
{
	(void)state;
	sent_is("GET / HTTP/1.1\r\nHost: gw\r\n" WS "a\r\n" WS WS_TOKEN "YWJj\r\nCookie: __Host-gatehouse=s\r\n\r\n", &oracle_cluster, &oracle_context,
		"GET / HTTP/1.1\r\nHost: " ORACLE_HOST "\r\n" WS "a\r\nContent-Length: 0\r\nX-Forwarded-For: " ORACLE_IP
		"\r\nX-Request-Id: rid\r\n" ORACLE_CREDENTIAL ORACLE_IDENTITY "\r\n");
}

static void
framing_is_written_anew(void **state)
{
	struct forward_target t = oracle_cluster;
	struct forward_context c = { .identity = oracle_context.identity };

	(void)state;
	t.credential = SLICE_NONE;
	sent_is("POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 0042\r\n\r\n", &t, &c,
		"POST /x HTTP/1.1\r\nHost: " ORACLE_HOST "\r\nContent-Length: 42\r\n" ORACLE_IDENTITY "\r\n");
	sent_is("POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n", &t, &c,
		"POST /x HTTP/1.1\r\nHost: " ORACLE_HOST "\r\nTransfer-Encoding: chunked\r\n" ORACLE_IDENTITY "\r\n");
	sent_is("POST /x HTTP/1.1\r\nHost: gw\r\n\r\n", &t, &c,
		"POST /x HTTP/1.1\r\nHost: " ORACLE_HOST "\r\nContent-Length: 0\r\n" ORACLE_IDENTITY "\r\n");
	sent_is("POST /x HTTP/1.1\r\nHost: gw\r\nConnection: upgrade\r\nUpgrade: spdy/3.1\r\nContent-Length: 0\r\n"
		"X-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: v3.channel.k8s.io\r\n\r\n",
		&t, &c,
		"POST /x HTTP/1.1\r\nHost: " ORACLE_HOST "\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n"
		"X-Stream-Protocol-Version: v3.channel.k8s.io\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n" ORACLE_IDENTITY "\r\n");
	sent_is("GET http://gw/x?y HTTP/1.0\r\nHost: gw\r\nConnection: keep-alive\r\n\r\n", &t, &c,
		"GET /x?y HTTP/1.1\r\nHost: " ORACLE_HOST "\r\nContent-Length: 0\r\n" ORACLE_IDENTITY "\r\n");
}

static void
authd_keeps_credentials_and_gets_fresh_forwarding_headers(void **state)
{
	struct forward_context c = oracle_context;

	(void)state;
	c.identity = SLICE_LIT("X-Gatehouse-Clusters: a b\r\n");
	sent_is("POST /oidc/token HTTP/1.1\r\nHost: gw.example\r\nCookie: __Host-gatehouse=s; a=1\r\nAuthorization: Basic x\r\nOrigin: https://gw.example\r\n"
		"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil\r\nX-Remote-User: root\r\nX-Gatehouse-Clusters: c\r\nx-gatehouse: d\r\nContent-Length: 3\r\n" WS "a, " WS_TOKEN "YWJj\r\n\r\n",
		&authd, &c,
		"POST /oidc/token HTTP/1.1\r\nHost: gw.example\r\nCookie: __Host-gatehouse=s; a=1\r\nAuthorization: Basic x\r\nOrigin: https://gw.example\r\n" WS
		"a, " WS_TOKEN "YWJj\r\nContent-Length: 3\r\nX-Forwarded-For: " ORACLE_IP "\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: gw\r\n"
		"X-Request-Id: rid\r\nX-Gatehouse-Clusters: a b\r\n\r\n");
	sent_is("GET / HTTP/1.1\r\nHost: gw.example\r\n\r\n", &authd, &(struct forward_context){ .tls = false },
		"GET / HTTP/1.1\r\nHost: gw.example\r\nContent-Length: 0\r\nX-Forwarded-Proto: http\r\n\r\n");
}

#define REMOTE "X-Remote-User: jane\r\nX-Remote-Group: dev\r\n"
#define ID_TOKEN "Authorization: Bearer jane.s.token\r\n"
#define CALLERS "Authorization: Bearer theirs\r\nX-Remote-User: root\r\nx-remote-extra-a: b\r\nX-RemoteUser: root\r\nX-Forwarded-User: root\r\n" \
	"Cookie: gate=s; a=1; =gate=s\r\nCookie: gate-login=s\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: evil\r\nForwarded: for=1.2.3.4\r\n" \
	"Connection: close, X-Own\r\nX-Own: 1\r\nX-Mine: 2\r\n"
#define FORWARDED "Content-Length: 0\r\nX-Forwarded-For: " ORACLE_IP "\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: gw\r\nX-Request-Id: rid\r\n"
static void
backends_get_what_their_kind_says_and_nothing_of_the_callers_identity(void **state)
{
	static const struct {
		enum forward_kind kind;
		const char *identity, *sent;
	} kinds[] = {
		{ FORWARD_BEARER, ID_TOKEN, "Cookie: a=1\r\nX-Mine: 2\r\n" FORWARDED ID_TOKEN },
		{ FORWARD_FRONT_PROXY, REMOTE, "Cookie: a=1\r\nX-Mine: 2\r\n" FORWARDED REMOTE },
		{ FORWARD_PLAIN, "", "Authorization: Bearer theirs\r\nCookie: a=1\r\nX-Mine: 2\r\n" FORWARDED },
		{ FORWARD_PLAIN, REMOTE, "Authorization: Bearer theirs\r\nCookie: a=1\r\nX-Mine: 2\r\n" FORWARDED },
	};
	struct forward_target t = { .session_cookie = SLICE_LIT("gate") };
	struct forward_context c = oracle_context;
	char wanted[1000];

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		t.kind = kinds[i].kind;
		c.identity = slice_str(kinds[i].identity);
		snprintf(wanted, sizeof(wanted), "GET /app/x?y HTTP/1.1\r\nHost: gw\r\n%s\r\n", kinds[i].sent);
		sent_is("GET /app/x?y HTTP/1.1\r\nHost: gw\r\n" CALLERS "\r\n", &t, &c, wanted);
	}
	t.strip_prefix = SLICE_LIT("/app");
	t.base_path = SLICE_LIT("/base");
	sent_is("GET /app?y HTTP/1.1\r\nHost: gw\r\n\r\n", &t, &c, "GET /base/?y HTTP/1.1\r\nHost: gw\r\n" FORWARDED "\r\n");
}

static void
a_token_among_websocket_protocols_is_removed_where_another_identity_is_written(void **state)
{
#define UPGRADE "GET / HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" WS "chat, " WS_TOKEN "YWJj\r\n\r\n"
#define UPGRADED "Connection: Upgrade\r\nUpgrade: websocket\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: gw\r\n"
	struct forward_target t = { .kind = FORWARD_FRONT_PROXY };
	struct forward_context c = { .identity = SLICE_LIT(REMOTE), .client_host = SLICE_LIT("gw") };

	(void)state;
	sent_is(UPGRADE, &t, &c, "GET / HTTP/1.1\r\nHost: gw\r\n" WS "chat\r\n" UPGRADED REMOTE "\r\n");
	t.kind = FORWARD_PLAIN;
	sent_is(UPGRADE, &t, &c, "GET / HTTP/1.1\r\nHost: gw\r\n" WS "chat, " WS_TOKEN "YWJj\r\n" UPGRADED "\r\n");
}

static void
prefix_is_taken_off_and_base_path_put_before(void **state)
{
	static const struct {
		const char *target, *strip, *base, *sent;
	} cases[] = {
		{ "/clusters/a/api?x", "/clusters/a", "", "/api?x" }, { "/clusters/a", "/clusters/a", "", "/" }, { "/clusters/a/", "/clusters/a", "", "/" },
		{ "/clusters/a?x=/", "/clusters/a", "", "/?x=/" }, { "/clusters/a/api", "/clusters/a", "/k8s/c1", "/k8s/c1/api" },
		{ "/api", "", "/k8s", "/k8s/api" }, { "/clusters/a", "/clusters/a", "/k8s", "/k8s/" }, { "/a%20b?", "", "", "/a%20b?" },
	};
	static struct parsed p;
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct forward_target t = oracle_cluster;
		char text[200];

		t.strip_prefix = slice_str(cases[i].strip);
		t.base_path = slice_str(cases[i].base);
		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: gw\r\n\r\n", cases[i].target);
		parse_request(&p, text);
		buf_reset(&out);
		assert_int_equal(forward_request(&p.head, &t, &oracle_context, &out), OK);
		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: ", cases[i].sent);
		assert_true(slice_has_prefix(buf_slice(&out), slice_str(text)));
	}
	struct forward_target t = oracle_cluster;
	t.strip_prefix = SLICE_LIT("/clusters/a");
	buf_reset(&out);
	parse_request(&p, "GET /clusters/ab HTTP/1.1\r\nHost: gw\r\n\r\n");
	assert_int_equal(forward_request(&p.head, &t, &oracle_context, &out), E_CONFLICT);
	parse_request(&p, "GET /other HTTP/1.1\r\nHost: gw\r\n\r\n");
	assert_int_equal(forward_request(&p.head, &t, &oracle_context, &out), E_CONFLICT);
	assert_int_equal(out.n, 0);
	parse_request(&p, "OPTIONS * HTTP/1.1\r\nHost: gw\r\n\r\n");
	assert_int_equal(forward_request(&p.head, &t, &oracle_context, &out), E_CONFLICT);
	assert_int_equal(forward_request(&p.head, &oracle_cluster, &oracle_context, &out), OK);
	assert_true(slice_has_prefix(buf_slice(&out), SLICE_LIT("OPTIONS * HTTP/1.1\r\n")));
	buf_fini(&out);
}

static void
request_without_the_identity_that_it_needs_is_never_written(void **state)
{
	static const char *const blocks[] = { "", "Impersonate-Group: system:authenticated\r\n", "X: y\r\n", "Impersonate-User: a" };
	static const enum forward_kind others[] = { FORWARD_BEARER, FORWARD_FRONT_PROXY };
	static struct parsed p;
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	parse_request(&p, "GET /api HTTP/1.1\r\nHost: gw\r\n\r\n");
	for (size_t i = 0; i < COUNT(blocks); i++) {
		struct forward_context c = { .identity = slice_str(blocks[i]) };
		assert_int_equal(forward_request(&p.head, &oracle_cluster, &c, &out), E_CONFLICT);
		for (size_t o = 0; o < COUNT(others); o++) {
			const struct forward_target t = { .kind = others[o] };
			const struct forward_context other = { .identity = SLICE_LIT(ORACLE_IDENTITY) };
			assert_int_equal(forward_request(&p.head, &t, &c, &out), E_CONFLICT);
			assert_int_equal(forward_request(&p.head, &t, &other, &out), E_CONFLICT);
		}
		assert_int_equal(out.n, 0);
	}
	buf_fini(&out);
}

static void
full_buffer_takes_nothing(void **state)
{
	static struct parsed p;
	struct response_context c = { .framing = FRAMING_NONE, .minor = 1 };
	struct buf out;

	(void)state;
	buf_init(&out, 100);
	buf_add_str(&out, "before");
	parse_request(&p, "GET /api HTTP/1.1\r\nHost: gw\r\n\r\n");
	assert_int_equal(forward_request(&p.head, &oracle_cluster, &oracle_context, &out), E_LIMIT);
	assert_int_equal(forward_response(&p.head, &c, &out), E_LIMIT);
	assert_true(buf_ok(&out));
	assert_string_equal(out.p, "before");
	buf_fini(&out);
#if FAILING_MALLOC
	failing_malloc_arm(1, false);
	assert_int_equal(forward_request(&p.head, &oracle_cluster, &oracle_context, &out), E_LIMIT);
	buf_init(&out, 0);
	assert_int_equal(forward_request(&p.head, &oracle_cluster, &oracle_context, &out), E_NOMEM);
	assert_true(failing_malloc_disarm());
#endif
}

static void
answer_is(const char *answer, const struct response_context *c, const char *wanted)
{
	static struct parsed p;
	struct buf out;

	buf_init(&out, 0);
	if (parse_both_ways(slice_str(answer), false, METHOD_GET, &p) != HTTP_OK)
		fail_msg("%s: %s", answer, p.why);
	assert_int_equal(forward_response(&p.head, c, &out), OK);
	assert_string_equal(out.p, wanted);
	buf_fini(&out);
}

static void
answer_is_framed_for_this_client(void **state)
{
	static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nAudit-Id: a\r\nWarning: w\r\n\r\n";
	struct response_context c = { .framing = FRAMING_CHUNKED, .minor = 1, .request_id = SLICE_LIT("rid"), .hsts = true };

	(void)state;
	answer_is(chunked, &c,
		"HTTP/1.1 200 OK\r\nAudit-Id: a\r\nWarning: w\r\nTransfer-Encoding: chunked\r\nStrict-Transport-Security: max-age=31536000\r\n"
		"X-Request-Id: rid\r\n\r\n");
	c = (struct response_context){ .framing = FRAMING_CLOSE, .minor = 0 };
	answer_is(chunked, &c, "HTTP/1.1 200 OK\r\nAudit-Id: a\r\nWarning: w\r\nConnection: close\r\n\r\n");
	c = (struct response_context){ .framing = FRAMING_LENGTH, .minor = 0 };
	answer_is("HTTP/1.1 404 Not Found\r\nContent-Length: 007\r\nX-Request-Id: theirs\r\n\r\n", &c,
		"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n");
	c = (struct response_context){ .framing = FRAMING_LENGTH, .minor = 1, .close = true, .hsts = true };
	answer_is("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nStrict-Transport-Security: max-age=5\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", &c,
		"HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=5\r\nContent-Length: 7\r\nConnection: close\r\n\r\n");
	c = (struct response_context){ .framing = FRAMING_NONE, .minor = 1 };
	answer_is("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", &c, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n");
	answer_is("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", &c, "HTTP/1.1 204 No Content\r\n\r\n");
	answer_is("HTTP/1.1 200\r\n\r\n", &c, "HTTP/1.1 200 \r\n\r\n");
}

static void
interim_answers_pass_without_additions_but_an_upgrades_has_the_request_id(void **state)
{
	struct response_context c = { .framing = FRAMING_NONE, .minor = 1, .close = true, .request_id = SLICE_LIT("rid"), .hsts = true };

	(void)state;
	answer_is("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", &c, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
	answer_is("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4\r\n\r\n", &c,
		"HTTP/1.1 101 Switching Protocols\r\nX-Stream-Protocol-Version: v4\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Request-Id: rid\r\n\r\n");
}

static void
upstream_that_is_not_ours_sets_no_cookie_of_ours(void **state)
{
	struct response_context c = { .framing = FRAMING_LENGTH, .minor = 1, .session_cookie = SLICE_LIT("__Host-gatehouse") };
	static const char text[] = "HTTP/1.1 200 OK\r\nSet-Cookie: __Host-gatehouse=evil; Path=/\r\nSet-Cookie: a=1\r\n"
				   "Set-Cookie: __Host-gatehouse-csrf = x\r\nSet-Cookie: = =__Host-gatehouse=x\r\nSet-Cookie: __Host-gatehouse\r\nContent-Length: 0\r\n\r\n";

	(void)state;
	answer_is(text, &c, "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n");
	c.session_cookie = SLICE_NONE;
	answer_is(text, &c,
		"HTTP/1.1 200 OK\r\nSet-Cookie: __Host-gatehouse=evil; Path=/\r\nSet-Cookie: a=1\r\nSet-Cookie: __Host-gatehouse-csrf = x\r\n"
		"Set-Cookie: = =__Host-gatehouse=x\r\nSet-Cookie: __Host-gatehouse\r\nContent-Length: 0\r\n\r\n");
}

static void
nobody_below_one_path_speaks_for_the_whole_origin(void **state)
{
	struct response_context c = { .framing = FRAMING_LENGTH, .minor = 1, .session_cookie = SLICE_LIT("gate"), .sandbox = true };
	static const char text[] = "HTTP/1.1 200 OK\r\nClear-Site-Data: \"*\"\r\nservice-worker-allowed: /\r\nContent-Security-Policy: default-src 'self'\r\n"
				   "Content-Length: 0\r\n\r\n";

	(void)state;
	answer_is(text, &c, "HTTP/1.1 200 OK\r\nContent-Security-Policy: default-src 'self'\r\nContent-Length: 0\r\nContent-Security-Policy: sandbox\r\n\r\n");
	c = (struct response_context){ .framing = FRAMING_LENGTH, .minor = 1 };
	answer_is(text, &c, text);
}

static void
chunks_are_not_promised_to_http_1_0(void **state)
{
	static struct parsed p;
	struct response_context c = { .framing = FRAMING_CHUNKED, .minor = 0 };
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	parse_both_ways(SLICE_LIT("HTTP/1.1 200 OK\r\n\r\n"), false, METHOD_GET, &p);
	assert_int_equal(forward_response(&p.head, &c, &out), E_CONFLICT);
	assert_int_equal(out.n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(impersonation_by_the_caller_is_forbidden),
		cmocka_unit_test(connection_that_names_what_must_arrive_is_refused),
		cmocka_unit_test(name_that_folds_to_a_critical_one_is_refused),
		cmocka_unit_test(token_among_websocket_protocols_needs_a_companion),
		cmocka_unit_test(cluster_gets_a_fresh_head_with_the_identity_last),
		cmocka_unit_test(impersonation_by_the_caller_is_never_copied),
		cmocka_unit_test(cluster_sees_no_cookie_of_ours_but_others),
		cmocka_unit_test(cluster_sees_no_token_among_websocket_protocols),
		cmocka_unit_test(header_that_held_nothing_but_a_token_is_left_out),
		cmocka_unit_test(framing_is_written_anew),
		cmocka_unit_test(authd_keeps_credentials_and_gets_fresh_forwarding_headers),
		cmocka_unit_test(backends_get_what_their_kind_says_and_nothing_of_the_callers_identity),
		cmocka_unit_test(a_token_among_websocket_protocols_is_removed_where_another_identity_is_written),
		cmocka_unit_test(prefix_is_taken_off_and_base_path_put_before),
		cmocka_unit_test(request_without_the_identity_that_it_needs_is_never_written),
		cmocka_unit_test(full_buffer_takes_nothing),
		cmocka_unit_test(answer_is_framed_for_this_client),
		cmocka_unit_test(interim_answers_pass_without_additions_but_an_upgrades_has_the_request_id),
		cmocka_unit_test(upstream_that_is_not_ours_sets_no_cookie_of_ours),
		cmocka_unit_test(nobody_below_one_path_speaks_for_the_whole_origin),
		cmocka_unit_test(chunks_are_not_promised_to_http_1_0),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
