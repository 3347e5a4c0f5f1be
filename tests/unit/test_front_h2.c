/* HTTP/2 through the whole data path: what arrives upstream, what comes back, and who is held up by whom. */
#include "tests/unit/h2_unit.h"

/* ---- messages ---- */

static void
a_request_arrives_as_http11_with_the_callers_identity(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct h2_frame f;
	char head[4096];

	(void)state;
	h2_say_headers(&c, 1, FLAGS_WHOLE, H2_TARGET("GET", "/api/v1/pods?limit=5") H2_ALICE "accept: application/json\nx-remote-user: root\n"
		"cookie: a=1\ncookie: gate=secret\ncookie: b=2\nte: trailers\n");
	struct end cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_memory_equal(head, "GET /api/v1/pods?limit=5 HTTP/1.1\r\nHost: cluster.test\r\n", 54);
	assert_non_null(strstr(head, "Impersonate-User: alice\r\nImpersonate-Group: system:authenticated\r\n\r\n"));
	assert_non_null(strstr(head, "accept: application/json\r\n"));
	assert_non_null(strstr(head, "Content-Length: 0\r\n"));
	assert_non_null(strstr(head, "cookie: a=1; b=2\r\n"));
	assert_null(strstr(head, "Bearer"));
	assert_null(strstr(head, "x-remote-user"));
	assert_null(strstr(head, "te: "));
	char *id = strstr(head, "X-Request-Id: ");
	assert_non_null(id);
	id[14 + 16] = '\0';
	end_say(&cluster, "HTTP/1.1 200 OK\r\nContent-Type: Text/Plain\r\nConnection: X-Hop\r\nX-Hop: 1\r\nSet-Cookie: gate=evil\r\nAudit-Id: 1\r\n"
			  "Content-Length: 3\r\n\r\nabc");
	h2_hear(&c, FRAME_HEADERS, 1, &f);
	assert_memory_equal(f.fields, ":status: 200\ncontent-type: Text/Plain\naudit-id: 1\ncontent-length: 3\nx-request-id: ", 82);
	assert_memory_equal(strstr(f.fields, "x-request-id: ") + 14, id + 14, 16);
	h2_hear(&c, FRAME_DATA, 1, &f);
	assert_int_equal(f.flags, FLAG_END_STREAM);
	assert_memory_equal(f.payload, "abc", 3);
	h2_close(&c);
	end_close(&cluster);
}

static void
answers_come_as_they_are_ready_whatever_their_order(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct end first = get_upstream(&c, 1), second = get_upstream(&c, 3), third = get_upstream(&c, 5);

	(void)state;
	end_say(&second, OK_ABC);
	h2_hear_answer(&c, 3, "200", "abc");
	end_say(&first, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	h2_hear_answer(&c, 1, "404", "");
	end_say(&third, CHUNKED_OK "2\r\nxy\r\n");
	struct h2_frame f;
	h2_hear(&c, FRAME_HEADERS, 5, &f);
	h2_hear(&c, FRAME_DATA, 5, &f);
	assert_int_equal(f.flags, 0);
	end_say(&third, "0\r\n\r\n");
	h2_hear(&c, FRAME_DATA, 5, &f);
	assert_int_equal(f.flags, FLAG_END_STREAM);
	assert_int_equal(f.n, 0);
	/* All three are kept and serve again. */
	for (uint32_t id = 7; id < 107; id += 2) {
		h2_get(&c, id);
		char head[4096];
		end_hear_head(&third, head, sizeof(head));
		end_say(&third, OK_ABC);
		h2_hear_answer(&c, id, "200", "abc");
	}
	assert_true(rig_nobody_connects(rig.cluster_fd, 0));
	h2_close(&c);
	end_close(&first);
	end_close(&second);
	end_close(&third);
}

static void
a_body_goes_up_with_its_length_or_in_chunks(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct h2_frame f;
	char head[4096];

	(void)state;
	h2_say_headers(&c, 1, FLAG_END_HEADERS, H2_TARGET("POST", "/x") H2_ALICE "content-length: 11\n");
	h2_say(&c, FRAME_DATA, 0, 1, "hello", 5);
	struct end cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_non_null(strstr(head, "Content-Length: 11\r\n"));
	end_hear(&cluster, "hello");
	h2_say(&c, FRAME_DATA, FLAG_PADDED | FLAG_END_STREAM, 1, "\x04 world\0\0\0\0", 11);
	end_hear(&cluster, " world");
	end_say(&cluster, OK_ABC);
	h2_hear_answer(&c, 1, "200", "abc");
	h2_say_headers(&c, 3, FLAG_END_HEADERS, H2_TARGET("PUT", "/x") H2_ALICE);
	end_hear_head(&cluster, head, sizeof(head));
	assert_non_null(strstr(head, "Transfer-Encoding: chunked\r\n"));
	h2_say(&c, FRAME_DATA, 0, 3, "abc", 3);
	end_hear(&cluster, "3\r\nabc\r\n");
	h2_say_headers(&c, 3, FLAGS_WHOLE, "x-trailer: dropped\n");
	end_hear(&cluster, "0\r\n\r\n");
	end_say(&cluster, OK_ABC);
	h2_hear_answer(&c, 3, "200", "abc");
	/* Without a body in spite of a method that usually has one. */
	h2_say_headers(&c, 5, FLAGS_WHOLE, H2_TARGET("POST", "/x") H2_ALICE);
	end_hear_head(&cluster, head, sizeof(head));
	assert_non_null(strstr(head, "Content-Length: 0\r\n"));
	end_say(&cluster, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" OK_ABC);
	h2_hear(&c, FRAME_HEADERS, 5, &f);
	assert_string_equal(f.fields, ":status: 100\n");
	h2_hear(&c, FRAME_HEADERS, 5, &f);
	assert_string_equal(f.fields, ":status: 103\nlink: </a>\n");
	h2_hear_answer(&c, 5, "200", "abc");
	h2_close(&c);
	end_close(&cluster);
}

static void
a_client_that_waits_for_a_sign_gets_it_once_the_upstream_is_there(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct h2_frame f;
	char head[4096];

	(void)state;
	h2_say_headers(&c, 1, FLAG_END_HEADERS, H2_TARGET("POST", "/x") H2_ALICE "expect: 100-continue\n");
	struct end cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_null(strstr(head, "expect"));
	h2_hear(&c, FRAME_HEADERS, 1, &f);
	assert_string_equal(f.fields, ":status: 100\n");
	h2_say(&c, FRAME_DATA, FLAG_END_STREAM, 1, "x", 1);
	end_hear(&cluster, "1\r\nx\r\n0\r\n\r\n");
	end_say(&cluster, OK_ABC);
	h2_hear_answer(&c, 1, "200", "abc");
	h2_close(&c);
	end_close(&cluster);
}

static void
answers_of_our_own_are_whole_messages(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct h2_frame f;

	(void)state;
	h2_say_headers(&c, 1, FLAGS_WHOLE, H2_TARGET("GET", "/api"));
	h2_hear(&c, FRAME_HEADERS, 1, &f);
	assert_memory_equal(f.fields, ":status: 401\n", 13);
	assert_non_null(strstr(f.fields, "\nwww-authenticate: Bearer\n"));
	assert_non_null(strstr(f.fields, "\nx-content-type-options: nosniff\n"));
	assert_non_null(strstr(f.fields, "\ncontent-type: application/json\n"));
	assert_null(strstr(f.fields, "connection"));
	char *first = strstr(f.fields, "x-request-id: ");
	assert_non_null(first);
	assert_null(strstr(first + 1, "x-request-id"));
	h2_hear(&c, FRAME_DATA, 1, &f);
	assert_int_equal(f.flags, FLAG_END_STREAM);
	assert_non_null(memmem(f.payload, f.n, "\"reason\":\"Unauthorized\"", 23));
	h2_say_headers(&c, 3, FLAGS_WHOLE, H2_TARGET("HEAD", "/api"));
	h2_hear(&c, FRAME_HEADERS, 3, &f);
	assert_int_equal(f.flags, FLAGS_WHOLE); /* no body, not even an empty one */
	h2_say_headers(&c, 5, FLAGS_WHOLE, H2_TARGET("GET", "/api/../secrets") H2_ALICE);
	h2_hear_answer(&c, 5, "400", NULL);
	h2_say_headers(&c, 7, FLAGS_WHOLE, H2_TARGET("GET", "/api") H2_ALICE "impersonate-user: root\n");
	h2_hear_answer(&c, 7, "403", NULL);
	h2_say_headers(&c, 9, FLAGS_WHOLE, ":method: CONNECT\n:authority: gate.test:443\n");
	h2_hear_answer(&c, 9, "501", NULL);
	h2_say_headers(&c, 11, FLAGS_WHOLE, ":method: GET\n:scheme: https\n:path: /api\n:authority: other.test\n" H2_ALICE);
	h2_hear_answer(&c, 11, "421", NULL); /* a connection for another name may not be used for it */
	h2_say_headers(&c, 13, FLAGS_WHOLE, H2_TARGET("GET", "/api") H2_ALICE "authorization: Bearer alice\n");
	h2_hear_answer(&c, 13, "400", NULL);
	assert_true(rig_nobody_connects(rig.cluster_fd, 20));
	h2_close(&c);
}

static void
malformed_messages_end_their_stream_and_nothing_else(void **state)
{
	static const char *const malformed[] = {
		H2_TARGET("GET", "/a") "Upper: case\n",
		H2_TARGET("GET", "/a") "x y: z\n",
		H2_TARGET("GET", "/a") "connection: close\n",
		H2_TARGET("GET", "/a") "transfer-encoding: chunked\n",
		H2_TARGET("GET", "/a") "upgrade: websocket\n",
		H2_TARGET("GET", "/a") "keep-alive: 1\n",
		H2_TARGET("GET", "/a") "te: gzip\n",
		H2_TARGET("GET", "/a") "host: other.test\n",
		H2_TARGET("GET", "/a") ":path: /b\n",
		H2_TARGET("GET", "/a") "content-length: 1\n",
		H2_TARGET("GET", "/a") "content-length: +0\n",
		H2_TARGET("GET", "/a") "content-length: 0\ncontent-length: 0\n",
		H2_TARGET("GET", "/a") "x: y\n:extra: z\n",
		H2_TARGET("GET", "/a") ":protocol: websocket\n",
		":method: GET\n:scheme: https\n:path: \n:authority: gate.test\n",
		":method: GET\n:scheme: https\n:authority: gate.test\n",
		":method: GET\n:path: /\n:authority: gate.test\n",
		":method: GET\n:scheme: https\n:path: a\n:authority: gate.test\n",
		":method: GET\n:scheme: https\n:path: /\n:authority: root@gate.test\n",
		"x: y\n" H2_TARGET("GET", "/a"),
	};
	struct h2_client c = h2_client(&rig);
	struct end cluster = get_upstream(&c, 1);
	uint32_t id = 3;

	(void)state;
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++, id += 2) {
		char fields[512];
		snprintf(fields, sizeof(fields), "%s%s", malformed[i], H2_ALICE);
		h2_say_headers(&c, id, FLAGS_WHOLE, fields);
		h2_hear_reset(&c, id, NGHTTP2_PROTOCOL_ERROR);
	}
	/* Bytes that the test's own lines cannot carry. */
	static const struct slice values[] = { SLICE_LIT("a\r\nhost: evil"), SLICE_LIT("a\nb"), SLICE_LIT("a\0b"), SLICE_LIT(" a"), SLICE_LIT("a\t") };
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++, id += 2) {
		struct buf block, out;
		buf_init(&block, 0);
		buf_init(&out, 0);
		add_fields(&block, H2_TARGET("GET", "/a") H2_ALICE);
		add_field(&block, SLICE_LIT("x"), values[i]);
		add_frame(&out, FRAME_HEADERS, FLAGS_WHOLE, id, block.p, block.n);
		end_write(&c.end, out.p, out.n);
		h2_hear_reset(&c, id, NGHTTP2_PROTOCOL_ERROR);
		buf_fini(&block);
		buf_fini(&out);
	}
	assert_true(rig_nobody_connects(rig.cluster_fd, 20));
	end_say(&cluster, OK_ABC);
	h2_hear_answer(&c, 1, "200", "abc");
	h2_close(&c);
	end_close(&cluster);
}

static void
a_body_that_is_not_as_long_as_announced_never_looks_whole_upstream(void **state)
{
	struct h2_client c = h2_client(&rig);
	char head[4096];

	(void)state;
	for (uint32_t id = 1; id < 5; id += 2) {
		h2_say_headers(&c, id, FLAG_END_HEADERS, H2_TARGET("POST", "/x") H2_ALICE "content-length: 10\n");
		h2_say(&c, FRAME_DATA, 0, id, "hello", 5);
		struct end cluster = rig_cluster(&rig);
		end_hear_head(&cluster, head, sizeof(head));
		end_hear(&cluster, "hello");
		h2_say(&c, FRAME_DATA, FLAG_END_STREAM, id, "too long", id == 1 ? 8 : 2);
		h2_hear_reset(&c, id, NGHTTP2_PROTOCOL_ERROR);
		char rest[16]; /* nothing of what is too much; of what is too little all there is */
		ssize_t n = end_read(&cluster, rest, sizeof(rest));
		assert_true(id == 1 ? n <= 0 : n == 2);
		assert_true(id == 1 || end_read(&cluster, rest, 1) <= 0);
		end_close(&cluster);
	}
	/* As long as announced, but not at its end: its last byte stays here until that has come, or shows that there is more. */
	for (uint32_t id = 5; id < 11; id += 2) {
		h2_say_headers(&c, id, FLAG_END_HEADERS, H2_TARGET("POST", "/x") H2_ALICE "content-length: 10\n");
		h2_say(&c, FRAME_DATA, 0, id, "helloworld", 10);
		struct end cluster = rig_cluster(&rig);
		end_hear_head(&cluster, head, sizeof(head));
		end_hear(&cluster, "helloworl");
		if (id == 5) {
			h2_say(&c, FRAME_DATA, FLAG_END_STREAM, id, "", 0);
			end_hear(&cluster, "d");
			end_say(&cluster, OK_ABC);
			h2_hear_answer(&c, id, "200", "abc");
		} else {
			if (id == 7)
				h2_say(&c, FRAME_DATA, 0, id, "!", 1);
			else
				h2_say_headers(&c, id, FLAGS_WHOLE, "impersonate-user: root\n");
			h2_hear_reset(&c, id, NGHTTP2_PROTOCOL_ERROR);
			char byte;
			assert_true(end_read(&cluster, &byte, 1) <= 0);
		}
		end_close(&cluster);
	}
	h2_close(&c);
}

static void
trailers_that_would_change_what_is_decided_already_are_refused(void **state)
{
	struct h2_client c = h2_client(&rig);
	char head[4096];

	(void)state;
	h2_say_headers(&c, 1, FLAG_END_HEADERS, H2_TARGET("POST", "/x") H2_ALICE);
	h2_say(&c, FRAME_DATA, 0, 1, "a", 1);
	struct end cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	end_hear(&cluster, "1\r\na\r\n");
	h2_say_headers(&c, 1, FLAGS_WHOLE, "impersonate-user: root\n");
	h2_hear_reset(&c, 1, NGHTTP2_PROTOCOL_ERROR);
	char byte;
	assert_true(end_read(&cluster, &byte, 1) <= 0);
	end_close(&cluster);
	h2_close(&c);
}

static void
headers_past_the_limit_are_answered_and_the_connection_goes_on(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct buf block, out;

	(void)state;
	buf_init(&block, 0);
	buf_init(&out, 0);
	add_fields(&block, H2_TARGET("GET", "/a") H2_ALICE);
	while (block.n < 70000)
		add_fields(&block, "x: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n");
	for (size_t at = 0; at < block.n; at += 16384) {
		bool last = block.n - at <= 16384;
		add_frame(&out, at ? FRAME_CONTINUATION : FRAME_HEADERS, (at ? 0u : FLAG_END_STREAM) | (last ? FLAG_END_HEADERS : 0u), 1, block.p + at,
			last ? block.n - at : 16384);
	}
	end_write(&c.end, out.p, out.n);
	h2_hear_answer(&c, 1, "431", NULL);
	struct end cluster = get_upstream(&c, 3);
	end_say(&cluster, OK_ABC);
	h2_hear_answer(&c, 3, "200", "abc");
	h2_close(&c);
	end_close(&cluster);
	buf_fini(&block);
	buf_fini(&out);
}

static void
a_head_that_fills_several_frames_is_one_head(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct buf block;
	char large[30001], head[65536];

	(void)state;
	memset(large, 'v', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	buf_init(&block, 0);
	add_fields(&block, H2_TARGET("GET", "/a") H2_ALICE);
	add_field(&block, SLICE_LIT("x-large"), slice_str(large));
	h2_say(&c, FRAME_HEADERS, FLAG_END_STREAM, 1, block.p, 10000);
	h2_say(&c, FRAME_CONTINUATION, 0, 1, block.p + 10000, 10000);
	h2_say(&c, FRAME_CONTINUATION, FLAG_END_HEADERS, 1, block.p + 20000, block.n - 20000);
	struct end cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_non_null(strstr(head, large));
	end_say(&cluster, "HTTP/1.1 200 OK\r\nX-Large: ");
	end_say(&cluster, large);
	end_say(&cluster, "\r\nContent-Length: 3\r\n\r\nabc");
	unsigned char frame[9];
	do { /* an answer of several frames, too: the test's decoder takes one, so look at their kinds alone */
		assert_true(h2_hear_bytes(&c, frame, 9));
		assert_true(h2_hear_bytes(&c, head, (size_t)frame[1] << 8 | frame[2]));
		assert_true(frame[3] == FRAME_HEADERS || frame[3] == FRAME_CONTINUATION || frame[3] == FRAME_SETTINGS);
	} while (frame[3] == FRAME_SETTINGS || !(frame[4] & FLAG_END_HEADERS));
	assert_int_equal(frame[3], FRAME_CONTINUATION);
	h2_close(&c);
	end_close(&cluster);
	buf_fini(&block);
}

/* ---- draining ---- */

static void
order_drain(struct rig *r, void *arg)
{
	(void)arg;
	r->gateway.draining = true;
	client_drain_all(&r->gateway);
}

static void
draining_lets_everything_finish_that_the_client_has_begun(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct end cluster = get_upstream(&c, 1);
	struct h2_frame f;

	(void)state;
	rig_run(&rig, order_drain, NULL);
	h2_hear(&c, FRAME_GOAWAY, 0, &f);
	assert_int_equal(get_u32(f.payload), 0x7fffffff);
	assert_int_equal(get_u32(f.payload + 4), NGHTTP2_NO_ERROR);
	do
		assert_true(h2_hear_any(&c, &f));
	while (f.type != FRAME_PING);
	assert_int_equal(f.flags, 0);
	/* A request that crossed with it is served; our PING's answer says that it was the last. */
	struct end crossing = get_upstream(&c, 3);
	h2_say(&c, FRAME_PING, FLAG_ACK, 0, f.payload, 8);
	h2_hear(&c, FRAME_GOAWAY, 0, &f);
	assert_int_equal(get_u32(f.payload), 3);
	end_say(&crossing, OK_ABC);
	h2_hear_answer(&c, 3, "200", "abc");
	end_say(&cluster, OK_ABC);
	h2_hear_answer(&c, 1, "200", "abc");
	end_hear_eof(&c.end);
	h2_close(&c);
	end_close(&cluster);
	end_close(&crossing);
}

static void
a_client_that_does_not_answer_the_ping_is_told_all_the_same(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct h2_frame f;

	(void)state;
	rig_run(&rig, order_drain, NULL);
	h2_hear(&c, FRAME_GOAWAY, 0, &f);
	rig_later(&rig, 1100);
	h2_hear_goaway(&c, NGHTTP2_NO_ERROR);
	h2_close(&c);
	/* Who comes now is told at once. */
	struct h2_client late;
	SSL_CTX_set_alpn_protos(rig.client_tls, (const unsigned char *)"\x02h2", 3);
	late.end = rig_client(&rig);
	assert_int_equal(nghttp2_hd_inflate_new(&late.inflater), 0);
	end_say(&late.end, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	h2_say(&late, FRAME_SETTINGS, 0, 0, NULL, 0);
	h2_hear(&late, FRAME_GOAWAY, 0, &f);
	h2_close(&late);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, h2_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_request_arrives_as_http11_with_the_callers_identity),
		TEST(answers_come_as_they_are_ready_whatever_their_order),
		TEST(a_body_goes_up_with_its_length_or_in_chunks),
		TEST(a_client_that_waits_for_a_sign_gets_it_once_the_upstream_is_there),
		TEST(answers_of_our_own_are_whole_messages),
		TEST(malformed_messages_end_their_stream_and_nothing_else),
		TEST(a_body_that_is_not_as_long_as_announced_never_looks_whole_upstream),
		TEST(trailers_that_would_change_what_is_decided_already_are_refused),
		TEST(headers_past_the_limit_are_answered_and_the_connection_goes_on),
		TEST(a_head_that_fills_several_frames_is_one_head),
		TEST(draining_lets_everything_finish_that_the_client_has_begun),
		TEST(a_client_that_does_not_answer_the_ping_is_told_all_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
