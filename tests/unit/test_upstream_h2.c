/* What an apiserver can send over HTTP/2 that is no answer, or no HTTP/2; and those that do not speak it. */
#include "tests/unit/upstream_link_unit.h"

/* ---- answers that are none ---- */

static void
an_answer_that_is_malformed_is_refused_with_the_reason(void **state)
{
	static const struct {
		const char *fields, *why;
	} cases[] = {
		{ "content-type: text/plain\n", "" },
		{ ":status: 20\n", "" },
		{ ":status: 2000\n", "" },
		{ ":status: abc\n", "" },
		{ ":status: 200\n:status: 200\n", "" },
		{ ":status: 200\n:path: /\n", "" },
		{ ":status: 101\n", "" },
		{ ":status: 200\nconnection: close\n", "" },
		{ ":status: 200\ntransfer-encoding: chunked\n", "" },
		{ ":status: 200\nkeep-alive: 1\n", "" },
		{ ":status: 200\nupgrade: SPDY/3.1\n", "" },
		{ ":status: 200\nproxy-connection: close\n", "" },
		{ ":status: 200\nX-Upper: 1\n", "Invalid HTTP header field" },
		{ ":status: 200\nx a: 1\n", "malformed header" },
		{ ":status: 200\nx-a: 1\x01\n", "malformed header" },
		{ ":status: 200\nx-a: 1\rb\n", "malformed header" },
		{ ":status: 200\ncontent-length: 1\ncontent-length: 2\n", "" },
		{ ":status: 200\ncontent-length: x\n", "" },
		{ ":status: 200\nlocation: /a\nlocation: /b\n", "header that may occur once occurs twice" },
	};
	struct end keeper = watcher();
	struct h2_client s = server();
	struct h2_frame f;

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD);
	hear_head(&keeper, "200");
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct end c = watcher();
		h2_hear(&s, FRAME_HEADERS, 3 + 2 * i, &f);
		h2_say_headers(&s, 3 + 2 * i, FLAG_END_HEADERS, cases[i].fields);
		hear_failure(&c, cases[i].why);
		do
			assert_true(h2_hear_any(&s, &f));
		while (f.type != FRAME_RST_STREAM || f.id != 3 + 2 * i);
		end_close(&c);
	}
	say_event(&s, 1, EVENT);
	hear_event(&keeper, EVENT);
	assert_true(rig_nobody_connects(rig.cluster_fd, 0));
	end_close(&keeper);
	h2_close(&s);
}

/* HEADERS and as many CONTINUATIONs as it takes. */
static void
say_long_head(struct h2_client *s, uint32_t id, const struct buf *block)
{
	struct buf out;

	buf_init(&out, 0);
	for (size_t at = 0, n; at < block->n; at += n) {
		n = block->n - at < 16384 ? block->n - at : 16384;
		add_frame(&out, at ? FRAME_CONTINUATION : FRAME_HEADERS, at + n == block->n ? FLAG_END_HEADERS : 0, id, block->p + at, n);
	}
	end_write(&s->end, out.p, out.n);
	buf_fini(&out);
}

static void
a_head_that_is_too_long_is_refused_and_the_connection_goes_on(void **state)
{
	struct end keeper = watcher();
	struct h2_client s = server();
	struct h2_frame f;
	char name[32], value[1000];

	(void)state;
	memset(value, 'x', sizeof(value));
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD);
	hear_head(&keeper, "200");
	for (uint32_t i = 0; i < 2; i++) { /* too many bytes, too many headers */
		struct buf block;
		struct end c = watcher();
		h2_hear(&s, FRAME_HEADERS, 3 + 2 * i, &f);
		buf_init(&block, 0);
		add_fields(&block, ":status: 200\n");
		for (unsigned k = 0; k < (i ? 200 : 100); k++) {
			snprintf(name, sizeof(name), "x-%u", k);
			add_field(&block, slice_str(name), slice_of(value, i ? 10 : sizeof(value)));
		}
		say_long_head(&s, 3 + 2 * i, &block);
		buf_fini(&block);
		hear_failure(&c, i ? "too many headers" : "");
		h2_hear_reset(&s, 3 + 2 * i, CANCEL);
		end_close(&c);
	}
	/* One that is nearly so is read whole. */
	struct end c = watcher();
	struct buf block;
	h2_hear(&s, FRAME_HEADERS, 7, &f);
	buf_init(&block, 0);
	add_fields(&block, ":status: 200\n");
	for (unsigned k = 0; k < 60; k++) {
		snprintf(name, sizeof(name), "x-%u", k);
		add_field(&block, slice_str(name), slice_of(value, sizeof(value)));
	}
	say_long_head(&s, 7, &block);
	buf_fini(&block);
	static char head[80000];
	end_hear_head(&c, head, sizeof(head));
	assert_non_null(strstr(head, "\r\nx-59: xxx"));
	end_close(&c);
	end_close(&keeper);
	h2_close(&s);
}

static void
a_body_that_is_not_as_long_as_announced_never_looks_whole(void **state)
{
	struct end c = watcher();
	struct h2_client s = server();
	struct h2_frame f;
	char head[4096];

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, ":status: 200\ncontent-length: 10\n");
	h2_say(&s, FRAME_DATA, 0, 1, "half", 4);
	end_hear_head(&c, head, sizeof(head));
	end_hear(&c, "half");
	h2_say(&s, FRAME_DATA, FLAG_END_STREAM, 1, "!", 1);
	end_hear_cut(&c);
	end_close(&c);
	h2_hear_reset(&s, 1, PROTOCOL_ERROR);

	c = watcher();
	h2_hear(&s, FRAME_HEADERS, 3, &f);
	h2_say_headers(&s, 3, FLAG_END_HEADERS, ":status: 200\ncontent-length: 4\n");
	h2_say(&s, FRAME_DATA, 0, 3, "four more", 9);
	end_hear_head(&c, head, sizeof(head));
	end_hear_cut(&c);
	end_close(&c);
	h2_close(&s);
}

static void
trailers_are_dropped_and_one_that_would_change_the_message_ends_it(void **state)
{
	struct end c = watcher();
	struct h2_client s = server();
	struct h2_frame f;

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD);
	say_event(&s, 1, EVENT);
	hear_head(&c, "200");
	hear_event(&c, EVENT);
	h2_say_headers(&s, 1, FLAGS_WHOLE, "x-sum: 1\n");
	end_hear(&c, "0\r\n\r\n");
	end_close(&c);
	c = running(&s, 3);
	h2_say_headers(&s, 3, FLAGS_WHOLE, "x-forwarded-for: 10.0.0.1\n");
	end_hear_cut(&c);
	end_close(&c);
	h2_close(&s);
}

static void
interim_answers_are_passed_on_and_not_without_end(void **state)
{
	struct end c = watcher();
	struct h2_client s = server();
	struct h2_frame f;

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, ":status: 103\nlink: </a>\n");
	hear_head(&c, "103");
	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD);
	hear_head(&c, "200");
	end_close(&c);
	c = watcher();
	h2_hear_reset(&s, 1, CANCEL);
	h2_hear(&s, FRAME_HEADERS, 3, &f);
	struct buf out;
	buf_init(&out, 0);
	for (int i = 0; i < UPSTREAM_H2_INTERIM_MAX + 1; i++)
		add_headers(&out, 3, FLAG_END_HEADERS, ":status: 103\nlink: </a>\n");
	end_write(&s.end, out.p, out.n);
	buf_fini(&out);
	for (int i = 0; i < UPSTREAM_H2_INTERIM_MAX; i++)
		hear_head(&c, "103");
	hear_failure(&c, "too many interim answers");
	end_close(&c);
	h2_close(&s);
}

/* ---- connections that are none ---- */

/* Frames behind which the connection is over: the watch that ran breaks off, and the next one has another connection. */
static void
ends_the_connection(const struct buf *frames)
{
	struct end c = watcher();
	struct h2_client s = server();
	struct h2_frame f;

	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD);
	hear_head(&c, "200");
	SSL_write(s.end.ssl, frames->p, (int)frames->n); /* it may have closed before it had read all of it */
	end_hear_cut(&c);
	while (h2_hear_any(&s, &f))
		;
	end_close(&c);
	h2_close(&s);
}

static void
floods_end_the_connection(void **state)
{
	static const unsigned char zeros[16];
	struct buf out;

	(void)state;
	for (int kind = 0; kind < 9; kind++) {
		buf_init(&out, 0);
		for (int i = 0; i < (kind == 8 ? 1000 : 200); i++) {
			switch (kind) {
			case 0:
				add_frame(&out, FRAME_PING, 0, 0, zeros, 8);
				break;
			case 1:
				add_frame(&out, FRAME_SETTINGS, 0, 0, NULL, 0);
				break;
			case 2:
				add_frame(&out, FRAME_DATA, 0, 1, NULL, 0);
				break;
			case 3:
				add_frame(&out, FRAME_PRIORITY, 0, 1, "\0\0\0\0\x10", 5);
				break;
			case 4:
				add_frame(&out, 0x77, 0, 1, zeros, 1);
				break;
			case 5: /* of a head that never ends */
				add_frame(&out, i ? FRAME_CONTINUATION : FRAME_HEADERS, 0, 1, NULL, 0);
				break;
			case 6: /* a window of one byte more, each time */
				add_frame(&out, FRAME_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
				break;
			case 7: /* nothing but padding */
				add_frame(&out, FRAME_DATA, FLAG_PADDED, 1, "\3\0\0\0", 4);
				break;
			case 8:
				add_frame(&out, FRAME_RST_STREAM, 0, 1, "\0\0\0\2", 4);
				break;
			}
		}
		ends_the_connection(&out);
		buf_fini(&out);
	}
}

static void
what_is_no_http2_ends_the_connection(void **state)
{
	struct buf out;

	(void)state;
	for (int kind = 0; kind < 5; kind++) {
		buf_init(&out, 0);
		switch (kind) {
		case 0:
			buf_add_str(&out, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
			break;
		case 1: /* pushed, although we have said no */
			add_frame(&out, FRAME_PUSH_PROMISE, FLAG_END_HEADERS, 1, "\0\0\0\2", 4);
			break;
		case 2: /* a stream that nobody opened */
			add_headers(&out, 9, FLAG_END_HEADERS, OK_HEAD);
			break;
		case 3: /* a table that is not there */
			add_frame(&out, FRAME_HEADERS, FLAG_END_HEADERS, 1, "\xff\xff\xff\x0f", 4);
			break;
		case 4: { /* longer than a frame may be */
			static const char bytes[20000];
			add_frame(&out, FRAME_DATA, 0, 1, bytes, sizeof(bytes));
			break;
		}
		}
		ends_the_connection(&out);
		buf_fini(&out);
	}
}

static void
a_server_that_is_dead_is_found_out_by_ping(void **state)
{
	struct end c = watcher();
	struct h2_client s = server();
	struct h2_frame f;

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD);
	hear_head(&c, "200");
	for (int i = 0; i < 3; i++) { /* it answers */
		rig_later(&rig, UPSTREAM_LINK_SILENCE_MS);
		h2_hear(&s, FRAME_PING, 0, &f);
		assert_int_equal(f.flags, 0);
		h2_say(&s, FRAME_PING, FLAG_ACK, 0, f.payload, f.n);
		say_event(&s, 1, EVENT);
		hear_event(&c, EVENT);
	}
	rig_later(&rig, UPSTREAM_LINK_SILENCE_MS);
	h2_hear(&s, FRAME_PING, 0, &f);
	rig_later(&rig, UPSTREAM_LINK_PING_MS);
	end_hear_cut(&c);
	while (h2_hear_any(&s, &f))
		;
	end_close(&c);
	h2_close(&s);
}

static void
a_head_that_never_ends_is_no_sign_of_life(void **state)
{
	struct end a = watcher(), b;
	struct h2_client s = server();
	struct h2_frame f;
	struct buf out;

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	b = running(&s, 3);
	buf_init(&out, 0);
	add_frame(&out, FRAME_HEADERS, 0, 1, NULL, 0);
	add_frame(&out, FRAME_CONTINUATION, 0, 1, NULL, 0);
	end_write(&s.end, out.p, out.n);
	buf_fini(&out);
	for (int i = 0; i < 5; i++) {
		rig_later(&rig, UPSTREAM_LINK_SILENCE_MS / 5);
		end_say(&s.end, "\0"); /* nothing: the next frame's length begins, one byte each time */
	}
	rig_later(&rig, UPSTREAM_LINK_SILENCE_MS);
	h2_hear(&s, FRAME_PING, 0, &f);
	rig_later(&rig, UPSTREAM_LINK_PING_MS);
	hear_failure(&a, "the server does not answer any more");
	end_hear_cut(&b);
	end_close(&a);
	end_close(&b);
	h2_close(&s);
}

/* ---- servers without HTTP/2 ---- */

static int
prefer_http1(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n, void *arg)
{
	(void)ssl, (void)in, (void)in_n, (void)arg;
	*out = (const unsigned char *)"http/1.1";
	*out_n = 8;
	return SSL_TLSEXT_ERR_OK;
}

static void
a_server_that_chooses_http1_gets_it(void **state)
{
	struct end a, b, c;
	char head[4096];

	(void)state;
	SSL_CTX_set_alpn_select_cb(rig.back_tls, prefer_http1, NULL);
	a = watcher();
	b = watcher();
	rig_run(&rig, rig_order_nothing, NULL);
	struct end s = rig_cluster(&rig); /* what was dialled for both is one's */
	end_hear_head(&s, head, sizeof(head));
	struct end t = hear_alone(WATCH);
	end_say(&s, "HTTP/1.1 204 OK\r\n\r\n");
	end_say(&t, "HTTP/1.1 204 OK\r\n\r\n");
	hear_head(&a, "204");
	hear_head(&b, "204");
	end_close(&a);
	end_close(&b);
	/* It is not asked again soon: what is kept is used. */
	c = watcher();
	struct pollfd p[2] = { { .fd = s.fd, .events = POLLIN }, { .fd = t.fd, .events = POLLIN } };
	assert_int_equal(poll(p, 2, 5000), 1);
	end_hear_head(p[0].revents ? &s : &t, head, sizeof(head));
	end_close(&c);
	end_close(&s);
	end_close(&t);
	rig_later(&rig, UPSTREAM_LINK_HTTP1_MS);
	SSL_CTX_set_alpn_select_cb(rig.back_tls, NULL, NULL);
	c = watcher();
	s = rig_cluster(&rig);
	end_hear_head(&s, head, sizeof(head));
	answer_alone(&s, &c);
}

static void
a_server_that_cannot_do_what_it_chose_gets_http1(void **state)
{
	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		struct end c = watcher();
		struct h2_client s = server_unsettled();
		switch (kind) {
		case 0:
			end_close(&s.end);
			break;
		case 1:
			end_say(&s.end, "HTTP/1.1 400 Bad Request\r\n\r\n");
			break;
		case 2:
			settle(&s, 0);
			break;
		case 3:
			rig_later(&rig, 5000);
			break;
		}
		struct end alone = hear_alone(WATCH);
		answer_alone(&alone, &c);
		if (s.end.fd >= 0)
			end_close(&s.end);
		nghttp2_hd_inflate_del(s.inflater);
		rig_later(&rig, UPSTREAM_LINK_BROKEN_MS);
	}
}

static void
a_server_that_is_not_there_is_said_to_all_who_wait(void **state)
{
	struct end a = watcher(), b = watcher();

	(void)state;
	struct end s = rig_accept(rig.cluster_fd, NULL);
	rig_run(&rig, rig_order_nothing, NULL);
	end_reset(&s);
	hear_failure(&a, "reset");
	hear_failure(&b, "reset");
	end_close(&a);
	end_close(&b);
}

static void
a_connection_that_nobody_needs_any_more_is_given_up(void **state)
{
	struct end c = watcher();
	struct h2_client s = server();
	struct h2_frame f;

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAGS_WHOLE, ":status: 204\n");
	hear_head(&c, "204");
	end_close(&c);
	rig_later(&rig, UPSTREAM_LINK_SILENCE_MS);
	h2_hear(&s, FRAME_PING, 0, &f);
	h2_say(&s, FRAME_PING, FLAG_ACK, 0, f.payload, f.n);
	c = watcher(); /* in use again, and not for long */
	h2_hear(&s, FRAME_HEADERS, 3, &f);
	h2_say_headers(&s, 3, FLAGS_WHOLE, ":status: 204\n");
	hear_head(&c, "204");
	end_close(&c);
	for (int i = 0; i < 3; i++)
		rig_later(&rig, UPSTREAM_LINK_SILENCE_MS - 10000);
	h2_hear(&s, FRAME_PING, 0, &f);
	h2_say(&s, FRAME_PING, FLAG_ACK, 0, f.payload, f.n);
	for (int i = 0; i < 3; i++)
		rig_later(&rig, 10000);
	h2_hear_goaway(&s, 0);
	h2_close(&s);
}

static void
fewer_streams_than_before_leave_those_alone_that_run(void **state)
{
	struct end a = watcher();
	struct h2_client s = server_with(2);
	struct h2_frame f;

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD);
	hear_head(&a, "200");
	settle(&s, 1);
	h2_hear(&s, FRAME_SETTINGS, 0, &f); /* the ACK */
	struct end b = watcher();
	struct h2_client t = server();
	h2_hear(&t, FRAME_HEADERS, 1, &f);
	say_event(&s, 1, EVENT);
	hear_event(&a, EVENT);
	end_close(&a);
	end_close(&b);
	h2_close(&s);
	h2_close(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_answer_that_is_malformed_is_refused_with_the_reason, setup, teardown),
		cmocka_unit_test_setup_teardown(a_head_that_is_too_long_is_refused_and_the_connection_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(a_body_that_is_not_as_long_as_announced_never_looks_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(trailers_are_dropped_and_one_that_would_change_the_message_ends_it, setup, teardown),
		cmocka_unit_test_setup_teardown(interim_answers_are_passed_on_and_not_without_end, setup, teardown),
		cmocka_unit_test_setup_teardown(floods_end_the_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_http2_ends_the_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_is_dead_is_found_out_by_ping, setup, teardown),
		cmocka_unit_test_setup_teardown(a_head_that_never_ends_is_no_sign_of_life, setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_chooses_http1_gets_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_cannot_do_what_it_chose_gets_http1, setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_is_not_there_is_said_to_all_who_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(a_connection_that_nobody_needs_any_more_is_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(fewer_streams_than_before_leave_those_alone_that_run, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
