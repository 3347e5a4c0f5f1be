/* HTTP/2 through the whole data path: what arrives upstream, what comes back, and who is held up by whom. */
#include "tests/unit/h2_unit.h"

static void
hurry(struct proxyd_config *c)
{
	c->limits.header_timeout_ms = 5000;
	c->limits.idle_timeout_ms = 60000;
	c->limits.body_timeout_ms = 60000;
}
static int
setup(void **state)
{
	(void)state;
	rig_start(&rig, hurry);
	return 0;
}

/* A GET that has arrived upstream. */
static struct end
get_upstream(struct h2_client *c, uint32_t id)
{
	char head[4096];

	h2_get(c, id);
	struct end cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	return cluster;
}

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

/* ---- flow control ---- */

#define LARGE (3u << 20)

static unsigned char
pattern(size_t at)
{
	return (unsigned char)(at * 2654435761u >> 24);
}

struct talk {
	struct end *end;
	size_t n;
	_Atomic size_t done;
};

static void *
send_large(void *arg)
{
	struct talk *t = arg;
	char piece[4096];

	for (size_t at = 0; at < t->n; at += sizeof(piece)) {
		for (size_t i = 0; i < sizeof(piece); i++)
			piece[i] = (char)pattern(at + i);
		end_write(t->end, piece, sizeof(piece));
		t->done = at + sizeof(piece);
	}
	return NULL;
}

static void
an_answer_waits_for_the_clients_window_and_the_upstream_for_both(void **state)
{
	struct h2_client c = h2_client_with(&rig, 100000);
	struct end cluster = get_upstream(&c, 1), other = get_upstream(&c, 3);
	struct talk talk = { .end = &cluster, .n = LARGE };
	pthread_t sender;
	struct h2_frame f;
	size_t n = 0;
	char head[128];

	(void)state;
	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", LARGE);
	end_say(&cluster, head);
	assert_int_equal(pthread_create(&sender, NULL, send_large, &talk), 0);
	h2_hear(&c, FRAME_HEADERS, 1, &f);
	while (n < 100000) {
		h2_hear(&c, FRAME_DATA, 1, &f);
		n += f.n;
	}
	assert_int_equal(n, 100000);
	assert_true(end_is_silent(&c.end, 50));
	/* One that waits for its window holds up nobody else. */
	end_say(&other, OK_ABC);
	h2_hear_answer(&c, 3, "200", "abc");
	for (size_t i = 0; i < n; i += 997)
		assert_int_equal(f.n && i >= n - f.n ? f.payload[i - (n - f.n)] : pattern(i), pattern(i));
	while (n < LARGE) {
		h2_say_u32(&c, FRAME_WINDOW_UPDATE, 1, 100000);
		for (size_t goal = n + 100000 < LARGE ? n + 100000 : LARGE; n < goal; n += f.n) {
			h2_hear(&c, FRAME_DATA, 1, &f);
			for (size_t i = 0; i < f.n; i++)
				if (f.payload[i] != pattern(n + i))
					fail_msg("byte %zu", n + i);
		}
	}
	assert_int_equal(f.flags, FLAG_END_STREAM);
	pthread_join(sender, NULL);
	h2_close(&c);
	end_close(&cluster);
	end_close(&other);
}

static void
an_answer_that_the_client_has_no_room_for_is_cut_after_a_while(void **state)
{
	struct h2_client c = h2_client_with(&rig, 10);
	struct end cluster = get_upstream(&c, 1);
	struct h2_frame f;

	(void)state;
	end_say(&cluster, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789");
	h2_hear(&c, FRAME_HEADERS, 1, &f);
	h2_hear(&c, FRAME_DATA, 1, &f);
	assert_int_equal(f.n, 10);
	rig_later(&rig, 29000);
	assert_true(end_is_silent(&c.end, 50));
	rig_later(&rig, 2000);
	h2_hear_reset(&c, 1, NGHTTP2_INTERNAL_ERROR);
	/* An answer of ours, too: nobody else looks after it. */
	h2_say_headers(&c, 3, FLAGS_WHOLE, H2_TARGET("GET", "/api"));
	h2_hear(&c, FRAME_HEADERS, 3, &f);
	h2_hear(&c, FRAME_DATA, 3, &f);
	for (int i = 0; i < 8; i++)
		rig_later(&rig, 5000);
	h2_hear_reset(&c, 3, NGHTTP2_INTERNAL_ERROR);
	h2_close(&c);
	end_close(&cluster);
}

static void
a_body_that_the_upstream_does_not_take_is_not_asked_for(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct h2_frame f;
	char head[4096];
	static unsigned char piece[16384];
	size_t sent = 0, got = 0;
	size_t window = 262144; /* as announced */

	(void)state;
	h2_say_headers(&c, 1, FLAG_END_HEADERS, H2_TARGET("POST", "/x") H2_ALICE);
	struct end cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	while (window) {
		size_t n = window < sizeof(piece) ? window : sizeof(piece);
		for (size_t i = 0; i < n; i++)
			piece[i] = pattern(sent + i);
		h2_say(&c, FRAME_DATA, 0, 1, piece, n);
		sent += n;
		window -= n;
		while (window < sizeof(piece) && !end_is_silent(&c.end, 200)) {
			assert_true(h2_hear_any(&c, &f));
			if (f.type == FRAME_WINDOW_UPDATE && f.id == 1)
				window += get_u32(f.payload);
		}
		assert_true(sent < 64u << 20); /* the kernel's buffers take some megabytes */
	}
	/* The upstream reads: everything comes, and the window is given back. */
	while (got < sent) {
		char line[16], *end;
		size_t i = 0;
		do
			assert_int_equal(end_read(&cluster, line + i, 1), 1);
		while (line[i++] != '\n');
		size_t chunk = strtoul(line, &end, 16);
		for (size_t k = 0; k < chunk; k++, got++) {
			char byte;
			if (end_read(&cluster, &byte, 1) != 1 || (unsigned char)byte != pattern(got))
				fail_msg("byte %zu", got);
		}
		end_hear(&cluster, "\r\n");
	}
	do
		assert_true(h2_hear_any(&c, &f));
	while (f.type != FRAME_WINDOW_UPDATE || f.id != 1);
	h2_say(&c, FRAME_DATA, FLAG_END_STREAM, 1, NULL, 0);
	end_hear(&cluster, "0\r\n\r\n");
	end_say(&cluster, OK_ABC);
	h2_hear_answer(&c, 1, "200", "abc");
	h2_close(&c);
	end_close(&cluster);
}

static void
a_request_answered_before_its_body_is_whole_gets_its_answer(void **state)
{
	struct h2_client c = h2_client(&rig);

	(void)state;
	h2_say_headers(&c, 1, FLAG_END_HEADERS, H2_TARGET("POST", "/api"));
	h2_say(&c, FRAME_DATA, 0, 1, "some", 4);
	h2_hear_answer(&c, 1, "401", NULL);
	h2_say(&c, FRAME_DATA, 0, 1, "more", 4);
	h2_say(&c, FRAME_DATA, FLAG_END_STREAM, 1, "rest", 4);
	h2_say_headers(&c, 3, FLAG_END_HEADERS, H2_TARGET("POST", "/api"));
	h2_hear_answer(&c, 3, "401", NULL);
	for (int i = 0; i < 3; i++)
		rig_later(&rig, 5000);
	h2_hear_reset(&c, 3, NGHTTP2_NO_ERROR); /* the first had come to its end by itself */
	struct end cluster = get_upstream(&c, 5);
	end_say(&cluster, OK_ABC);
	h2_hear_answer(&c, 5, "200", "abc");
	h2_close(&c);
	end_close(&cluster);
}

/* ---- ends ---- */

static void
a_stream_that_the_client_gives_up_ends_its_upstream_and_no_other(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct end first = get_upstream(&c, 1), second = get_upstream(&c, 3);
	char byte;

	(void)state;
	h2_say_u32(&c, FRAME_RST_STREAM, 1, NGHTTP2_CANCEL);
	assert_true(end_read(&first, &byte, 1) <= 0);
	end_say(&second, CHUNKED_OK "1\r\na\r\n");
	struct h2_frame f;
	h2_hear(&c, FRAME_HEADERS, 3, &f);
	h2_hear(&c, FRAME_DATA, 3, &f);
	h2_say_u32(&c, FRAME_RST_STREAM, 3, NGHTTP2_CANCEL);
	assert_true(end_read(&second, &byte, 1) <= 0);
	struct end third = get_upstream(&c, 5);
	end_say(&third, OK_ABC);
	h2_hear_answer(&c, 5, "200", "abc");
	h2_close(&c);
	end_close(&first);
	end_close(&second);
	end_close(&third);
}

static void
half_an_answer_never_looks_whole(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct end cut = get_upstream(&c, 1), whole = get_upstream(&c, 3);
	struct h2_frame f;

	(void)state;
	end_say(&cut, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
	h2_hear(&c, FRAME_HEADERS, 1, &f);
	h2_hear(&c, FRAME_DATA, 1, &f);
	end_close(&cut);
	h2_hear_reset(&c, 1, NGHTTP2_INTERNAL_ERROR);
	end_say(&whole, OK_ABC);
	h2_hear_answer(&c, 3, "200", "abc");
	h2_close(&c);
	end_close(&whole);
}

static void
all_upstreams_end_with_the_clients_connection(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct end upstreams[20];
	char byte;

	(void)state;
	for (uint32_t i = 0; i < 20; i++)
		upstreams[i] = get_upstream(&c, 2 * i + 1);
	end_reset(&c.end);
	nghttp2_hd_inflate_del(c.inflater);
	for (int i = 0; i < 20; i++) {
		assert_true(end_read(&upstreams[i], &byte, 1) <= 0);
		end_close(&upstreams[i]);
	}
}

static void
a_ping_is_answered_during_a_watch(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct end cluster = get_upstream(&c, 1);
	struct h2_frame f;

	(void)state;
	end_say(&cluster, CHUNKED_OK "5\r\nevent\r\n");
	h2_hear(&c, FRAME_HEADERS, 1, &f);
	h2_hear(&c, FRAME_DATA, 1, &f);
	for (int i = 0; i < 20; i++) {
		rig_later(&rig, 30000); /* ten minutes of silence */
		h2_say(&c, FRAME_PING, 0, 0, "are you?", 8);
		do
			assert_true(h2_hear_any(&c, &f));
		while (f.type == FRAME_SETTINGS);
		assert_int_equal(f.type, FRAME_PING);
		assert_int_equal(f.flags, FLAG_ACK);
		assert_memory_equal(f.payload, "are you?", 8);
	}
	end_say(&cluster, "4\r\nlate\r\n");
	h2_hear(&c, FRAME_DATA, 1, &f);
	assert_memory_equal(f.payload, "late", 4);
	h2_close(&c);
	end_close(&cluster);
}

static void
an_idle_connection_is_told_and_ended(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct end cluster = get_upstream(&c, 1);

	(void)state;
	end_say(&cluster, OK_ABC);
	h2_hear_answer(&c, 1, "200", "abc");
	rig_later(&rig, 59000);
	assert_true(end_is_silent(&c.end, 50));
	rig_later(&rig, 2000);
	h2_hear_goaway(&c, NGHTTP2_NO_ERROR);
	h2_close(&c);
	end_close(&cluster);
}

static void
a_head_has_to_be_whole_in_time(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	add_headers(&out, 1, FLAGS_WHOLE, H2_TARGET("GET", "/a") H2_ALICE);
	for (size_t i = 0; i < 4; i++) { /* however many bytes keep coming */
		end_write(&c.end, out.p + 10 * i, 10);
		assert_true(end_is_silent(&c.end, 20));
		rig_later(&rig, 1200);
	}
	end_write(&c.end, out.p + 40, 10);
	rig_later(&rig, 1200);
	h2_hear_goaway(&c, NGHTTP2_ENHANCE_YOUR_CALM);
	h2_close(&c);
	buf_fini(&out);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
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
		TEST(an_answer_waits_for_the_clients_window_and_the_upstream_for_both),
		TEST(an_answer_that_the_client_has_no_room_for_is_cut_after_a_while),
		TEST(a_body_that_the_upstream_does_not_take_is_not_asked_for),
		TEST(a_request_answered_before_its_body_is_whole_gets_its_answer),
		TEST(a_stream_that_the_client_gives_up_ends_its_upstream_and_no_other),
		TEST(half_an_answer_never_looks_whole),
		TEST(all_upstreams_end_with_the_clients_connection),
		TEST(a_ping_is_answered_during_a_watch),
		TEST(an_idle_connection_is_told_and_ended),
		TEST(a_head_has_to_be_whole_in_time),
		TEST(draining_lets_everything_finish_that_the_client_has_begun),
		TEST(a_client_that_does_not_answer_the_ping_is_told_all_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
