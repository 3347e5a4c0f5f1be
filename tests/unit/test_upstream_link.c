/* Which requests share connections, how much each stream may hold, and how both end. */
#include "tests/unit/upstream_link_unit.h"

/* ---- what it is for ---- */

static void
a_watch_rides_on_a_stream_that_has_its_callers_identity(void **state)
{
	struct end c = rig_client(&rig);
	struct h2_frame f;

	(void)state;
	end_say(&c, "GET " WATCH " HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer alice\r\nX-Own: Yes\r\nTE: trailers\r\nCookie: gate=1; other=2\r\n\r\n");
	struct h2_client s = server();
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	assert_int_equal(f.flags & FLAGS_WHOLE, FLAGS_WHOLE);
	char id[64] = "";
	const char *at = strstr(f.fields, "x-request-id: ");
	assert_non_null(at);
	sscanf(at, "x-request-id: %40s", id);
	char wanted[512];
	snprintf(wanted, sizeof(wanted),
		":method: GET\n:scheme: https\n:path: " WATCH "\n:authority: cluster.test\nx-own: Yes\ncookie: other=2\nx-forwarded-for: 127.0.0.1\nx-request-id: %s\n"
		"impersonate-user: alice\nimpersonate-group: system:authenticated\n", id);
	assert_string_equal(f.fields, wanted);

	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD "audit-id: 7\n");
	char head[4096];
	say_event(&s, 1, EVENT);
	end_hear_head(&c, head, sizeof(head));
	assert_non_null(strstr(head, "\r\naudit-id: 7\r\n"));
	hear_event(&c, EVENT);
	say_event(&s, 1, "{}");
	hear_event(&c, "{}");
	h2_say(&s, FRAME_DATA, FLAG_END_STREAM, 1, NULL, 0);
	end_hear(&c, "0\r\n\r\n");

	/* The client's connection goes on, and so does the apiserver's. */
	end_say(&c, ASK(WATCH));
	h2_hear(&s, FRAME_HEADERS, 3, &f);
	h2_say_headers(&s, 3, FLAGS_WHOLE, ":status: 410\n");
	hear_head(&c, "410");
	h2_close(&s);
	end_close(&c);
}

static void
whatever_is_no_watch_has_a_connection_of_its_own(void **state)
{
	static const char *const paths[] = { "/api/v1/pods", "/api/v1/pods?watch=false", "/api/v1/namespaces/a/pods/watch/log?follow=1" };
	struct end c;

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char ask[256];
		c = rig_client(&rig);
		snprintf(ask, sizeof(ask), "GET %s HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer alice\r\n\r\n", paths[i]);
		end_say(&c, ask);
		struct end s = hear_alone(paths[i]);
		answer_alone(&s, &c);
	}
	/* A body would need a stream of its own upwards. */
	c = rig_client(&rig);
	end_say(&c, "GET " WATCH " HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer alice\r\nContent-Length: 1\r\n\r\nx");
	struct end s = hear_alone(WATCH);
	end_hear(&s, "x");
	answer_alone(&s, &c);
}

static void
many_watches_share_a_connection_and_one_more_than_it_allows_has_another(void **state)
{
	struct end c[4];

	(void)state;
	c[0] = watcher();
	struct h2_client s = server_with(3);
	struct h2_frame f;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD);
	hear_head(&c[0], "200");
	c[1] = running(&s, 3);
	c[2] = running(&s, 5);
	assert_true(rig_nobody_connects(rig.cluster_fd, 50));
	c[3] = watcher();
	struct h2_client other = server_with(3);
	h2_hear(&other, FRAME_HEADERS, 1, &f);
	/* A place that is free again is taken. */
	end_close(&c[1]);
	h2_hear_reset(&s, 3, CANCEL);
	c[1] = running(&other, 3);
	struct end more[2] = { running(&other, 5), running(&s, 7) };
	end_close(&more[0]);
	end_close(&more[1]);
	for (size_t i = 0; i < 4; i++)
		end_close(&c[i]);
	h2_close(&s);
	h2_close(&other);
}

static void
those_that_waited_for_more_streams_than_there_are_find_places_elsewhere(void **state)
{
	struct end a = watcher(), b = watcher(), c = watcher();
	struct h2_client s[3];
	struct h2_frame f;

	(void)state;
	s[0] = server_unsettled();
	assert_true(rig_nobody_connects(rig.cluster_fd, 50));
	settle(&s[0], 1);
	for (size_t i = 1; i < 3; i++) /* how many are allowed is known by now */
		s[i] = server_with(1);
	for (size_t i = 0; i < 3; i++) {
		if (i == 0)
			do
				assert_true(h2_hear_any(&s[0], &f));
			while (f.type != FRAME_HEADERS);
		else
			h2_hear(&s[i], FRAME_HEADERS, 1, &f);
		h2_say_headers(&s[i], 1, FLAGS_WHOLE, ":status: 204\n");
	}
	hear_head(&a, "204");
	hear_head(&b, "204");
	hear_head(&c, "204");
	end_close(&a);
	end_close(&b);
	end_close(&c);
	for (size_t i = 0; i < 3; i++)
		h2_close(&s[i]);
}

static void
a_client_that_leaves_gives_up_its_stream_alone(void **state)
{
	struct end a = watcher();
	struct h2_client s = server();
	struct h2_frame f;

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	struct end b = running(&s, 3);
	end_close(&a);
	h2_hear_reset(&s, 1, CANCEL);
	/* What was on its way is nobody's. */
	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD);
	say_event(&s, 1, EVENT);
	say_event(&s, 3, "{}");
	hear_event(&b, "{}");
	end_close(&b);
	h2_hear_reset(&s, 3, CANCEL);
	h2_close(&s);
}

static void
a_client_that_leaves_before_the_connection_is_there_is_not_asked_for(void **state)
{
	struct end a = watcher(), b = watcher();
	struct h2_client s = server_unsettled();
	struct h2_frame f;

	(void)state;
	end_close(&a);
	rig_run(&rig, rig_order_nothing, NULL);
	do
		assert_true(h2_hear_any(&s, &f));
	while (f.type != FRAME_SETTINGS);
	settle(&s, 100);
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAGS_WHOLE, ":status: 204\n");
	hear_head(&b, "204");
	end_close(&b);
	h2_close(&s);
}

/* More than one caller has turns for in a batch (turns.h). */
static void
what_comes_for_many_at_once_reaches_each(void **state)
{
	enum { N = 90 };
	struct end c[N];
	struct buf out;

	(void)state;
	c[0] = watcher();
	struct h2_client s = server();
	struct h2_frame f;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD);
	hear_head(&c[0], "200");
	for (uint32_t i = 1; i < N; i++)
		c[i] = running(&s, 1 + 2 * i);
	for (int round = 0; round < 3; round++) {
		buf_init(&out, 0);
		for (uint32_t i = 0; i < N; i++)
			add_frame(&out, FRAME_DATA, 0, 1 + 2 * i, EVENT, sizeof(EVENT) - 1);
		end_write(&s.end, out.p, out.n);
		buf_fini(&out);
		for (uint32_t i = 0; i < N; i++)
			hear_event(&c[i], EVENT);
	}
	/* So does the end of all. */
	end_reset(&s.end);
	nghttp2_hd_inflate_del(s.inflater);
	for (uint32_t i = 0; i < N; i++) {
		end_hear_cut(&c[i]);
		end_close(&c[i]);
	}
}

/* ---- flow control ---- */

/* Send until the stream's window, as the gateway has widened it, is used up: how much went. */
static size_t
fill(struct h2_client *s, uint32_t id, size_t most)
{
	static const char bytes[16384];
	size_t window = UPSTREAM_H2_STREAM_WINDOW, sent = 0;
	struct h2_frame f;

	while (sent < most) {
		while (window >= sizeof(bytes) && sent < most) {
			h2_say(s, FRAME_DATA, 0, id, bytes, sizeof(bytes));
			window -= sizeof(bytes);
			sent += sizeof(bytes);
		}
		if (end_is_silent(&s->end, 300))
			break;
		assert_true(h2_hear_any(s, &f));
		if (f.type == FRAME_WINDOW_UPDATE && f.id == id)
			window += get_u32(f.payload);
	}
	return sent;
}

static void
who_does_not_read_uses_up_no_window_but_the_own(void **state)
{
	struct end slow = rig_client_with(&rig, "gate.test", 4096);
	struct h2_frame f;

	(void)state;
	end_say(&slow, ASK(WATCH));
	struct h2_client s = server();
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, ":status: 200\ncontent-type: text/plain\n");
	struct end other = running(&s, 3);
	size_t sent = fill(&s, 1, 128u << 20);
	assert_in_range(sent, UPSTREAM_H2_STREAM_WINDOW, (128u << 20) - 1);
	for (int i = 0; i < 100; i++) {
		say_event(&s, 3, EVENT);
		hear_event(&other, EVENT);
	}
	/* All of it is there for whoever begins to read again. */
	hear_head(&slow, "200");
	size_t got = 0;
	while (got < sent) {
		char chunk[16], bytes[32768];
		size_t n = 0, left;
		do
			assert_int_equal(end_read(&slow, chunk + n, 1), 1);
		while (chunk[n++] != '\n' && n < sizeof(chunk));
		left = strtoul(chunk, NULL, 16);
		got += left;
		for (left += 2; left;) {
			ssize_t r = end_read(&slow, bytes, left < sizeof(bytes) ? left : sizeof(bytes));
			assert_true(r > 0);
			left -= (size_t)r;
		}
	}
	assert_int_equal(got, sent);
	assert_true(fill(&s, 1, 1u << 20) > 0);
	end_close(&slow);
	end_close(&other);
	h2_close(&s);
}

static void
a_server_that_sends_more_than_the_window_loses_the_stream(void **state)
{
	static const char bytes[16384];
	struct end slow = rig_client_with(&rig, "gate.test", 4096);
	struct h2_frame f;

	(void)state;
	end_say(&slow, ASK(WATCH));
	struct h2_client s = server();
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD);
	struct end other = running(&s, 3);
	do {
		f.type = FRAME_DATA;
		h2_say(&s, FRAME_DATA, 0, 1, bytes, sizeof(bytes));
		if (!end_is_silent(&s.end, 1))
			assert_true(h2_hear_any(&s, &f));
	} while (f.type != FRAME_RST_STREAM);
	assert_int_equal(f.id, 1);
	assert_int_equal(get_u32(f.payload), FLOW_CONTROL_ERROR);
	say_event(&s, 3, EVENT);
	hear_event(&other, EVENT);
	end_hear_cut(&slow);
	end_close(&slow);
	end_close(&other);
	h2_close(&s);
}

/* ---- ends ---- */

static void
a_server_that_goes_away_keeps_what_runs_and_gets_nothing_new(void **state)
{
	unsigned char last[8] = { 0, 0, 0, 1 };
	struct end a = watcher();
	struct h2_client s = server();
	struct h2_frame f;

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD);
	hear_head(&a, "200");
	struct end b = watcher();
	h2_hear(&s, FRAME_HEADERS, 3, &f);
	/* It has not looked at the second: that one is asked for again, by itself. */
	h2_say(&s, FRAME_GOAWAY, 0, 0, last, sizeof(last));
	struct end alone = hear_alone(WATCH);
	answer_alone(&alone, &b);
	say_event(&s, 1, EVENT);
	hear_event(&a, EVENT);
	struct end c = watcher();
	struct h2_client next = server();
	h2_hear(&next, FRAME_HEADERS, 1, &f);
	/* The last one ends: so does the connection. */
	h2_say(&s, FRAME_DATA, FLAG_END_STREAM, 1, NULL, 0);
	end_hear(&a, "0\r\n\r\n");
	while (h2_hear_any(&s, &f))
		assert_int_not_equal(f.type, FRAME_HEADERS);
	end_close(&a);
	end_close(&c);
	h2_close(&s);
	h2_close(&next);
}

static void
a_stream_that_was_refused_is_asked_for_once_more(void **state)
{
	struct end a = watcher();
	struct h2_client s = server();
	struct h2_frame f;

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_u32(&s, FRAME_RST_STREAM, 1, REFUSED_STREAM);
	struct end alone = hear_alone(WATCH);
	answer_alone(&alone, &a);
	struct end b = running(&s, 3);
	end_close(&b);
	h2_close(&s);
}

static void
a_stream_that_is_reset_ends_its_watch_alone(void **state)
{
	struct end a = watcher();
	struct h2_client s = server();
	struct h2_frame f;

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_u32(&s, FRAME_RST_STREAM, 1, INTERNAL_ERROR);
	hear_failure(&a, "stream reset: internal error");
	struct end b = running(&s, 3), c = running(&s, 5), d = watcher();
	h2_hear(&s, FRAME_HEADERS, 7, &f); /* on a connection that has served */
	h2_say_u32(&s, FRAME_RST_STREAM, 7, INTERNAL_ERROR);
	hear_failure(&d, "stream reset: internal error");
	end_close(&d);
	/* What came before it is passed on. */
	say_event(&s, 3, "{}");
	h2_say_u32(&s, FRAME_RST_STREAM, 3, 0);
	hear_event(&b, "{}");
	end_hear_cut(&b);
	say_event(&s, 5, EVENT);
	hear_event(&c, EVENT);
	end_close(&a);
	end_close(&b);
	end_close(&c);
	h2_close(&s);
}

static void
a_connection_that_is_lost_ends_all_of_its_watches_and_the_next_has_another(void **state)
{
	struct end a = watcher();
	struct h2_client s = server();
	struct h2_frame f;

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD);
	hear_head(&a, "200");
	struct end b = running(&s, 3), c = watcher();
	h2_hear(&s, FRAME_HEADERS, 5, &f);
	end_reset(&s.end);
	nghttp2_hd_inflate_del(s.inflater);
	end_hear_cut(&a);
	end_hear_cut(&b);
	/* One that was not answered yet may be asked for again, for the connection had served before. */
	struct end alone = hear_alone(WATCH);
	answer_alone(&alone, &c);
	end_close(&a);
	end_close(&b);
	struct end d = watcher();
	s = server();
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	/* A new one that ends is what the server does. */
	end_close(&s.end);
	nghttp2_hd_inflate_del(s.inflater);
	hear_failure(&d, "connection closed by peer");
	end_close(&d);
}

static void
a_watch_of_a_given_length_ends_with_it(void **state)
{
	struct end c = watcher();
	struct h2_client s = server();
	struct h2_frame f;
	char head[4096];

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, ":status: 200\ncontent-length: 4\n");
	h2_say(&s, FRAME_DATA, FLAG_END_STREAM, 1, "four", 4);
	end_hear_head(&c, head, sizeof(head));
	assert_non_null(strstr(head, "Content-Length: 4\r\n"));
	end_hear(&c, "four");
	end_say(&c, ASK(WATCH));
	h2_hear(&s, FRAME_HEADERS, 3, &f);
	h2_say_headers(&s, 3, FLAG_END_HEADERS, OK_HEAD);
	hear_head(&c, "200");
	end_close(&c);
	h2_close(&s);
}

/* So many clients begin a watch, and leave at once. */
static void
come_and_go(struct h2_client *s, uint32_t *id, size_t n)
{
	struct end c[UPSTREAM_LINK_RESETS_PER_S];
	struct h2_frame f;
	size_t resets = 0;

	for (size_t i = 0; i < n; i++, *id += 2) {
		c[i] = watcher();
		h2_hear(s, FRAME_HEADERS, *id, &f);
	}
	for (size_t i = 0; i < n; i++)
		end_close(&c[i]);
	while (resets < n) {
		assert_true(h2_hear_any(s, &f));
		resets += f.type == FRAME_RST_STREAM;
	}
}

static void
clients_that_come_and_go_leave_those_alone_that_stay(void **state)
{
	struct end stays = watcher(), c;
	struct h2_client s = server_with(1000), other;
	struct h2_frame f;
	uint32_t id = 3;

	(void)state;
	h2_hear(&s, FRAME_HEADERS, 1, &f);
	h2_say_headers(&s, 1, FLAG_END_HEADERS, OK_HEAD);
	hear_head(&stays, "200");
	come_and_go(&s, &id, UPSTREAM_LINK_RESETS_PER_S - 1);
	rig_later(&rig, 1000);
	come_and_go(&s, &id, UPSTREAM_LINK_RESETS_PER_S); /* the first of which found a place because the second was over */
	c = watcher();
	other = server();
	h2_hear(&other, FRAME_HEADERS, 1, &f);
	say_event(&s, 1, EVENT);
	hear_event(&stays, EVENT);
	end_close(&c);
	end_close(&stays);
	h2_close(&s);
	h2_close(&other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_watch_rides_on_a_stream_that_has_its_callers_identity, setup, teardown),
		cmocka_unit_test_setup_teardown(whatever_is_no_watch_has_a_connection_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(many_watches_share_a_connection_and_one_more_than_it_allows_has_another, setup, teardown),
		cmocka_unit_test_setup_teardown(those_that_waited_for_more_streams_than_there_are_find_places_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_that_leaves_gives_up_its_stream_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_that_leaves_before_the_connection_is_there_is_not_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(what_comes_for_many_at_once_reaches_each, setup, teardown),
		cmocka_unit_test_setup_teardown(who_does_not_read_uses_up_no_window_but_the_own, setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_sends_more_than_the_window_loses_the_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_goes_away_keeps_what_runs_and_gets_nothing_new, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stream_that_was_refused_is_asked_for_once_more, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stream_that_is_reset_ends_its_watch_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_connection_that_is_lost_ends_all_of_its_watches_and_the_next_has_another, setup, teardown),
		cmocka_unit_test_setup_teardown(a_watch_of_a_given_length_ends_with_it, setup, teardown),
		cmocka_unit_test_setup_teardown(clients_that_come_and_go_leave_those_alone_that_stay, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
