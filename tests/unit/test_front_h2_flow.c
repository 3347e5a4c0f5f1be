/* HTTP/2: who waits for whom, and what becomes of the others when one stream, a connection or an upstream ends. */
#include "tests/unit/h2_unit.h"

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

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, h2_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
