/* What one HTTP/2 connection may cost: each cap ends the connection that runs into it, says so, and leaves others alone; 500 watches are no flood. */
#include "tests/unit/h2_unit.h"

static struct h2_client neighbour;
static struct end watched;

/* Somebody else watches through the same gateway all the time. */
static int
setup(void **state)
{
	struct h2_frame f;
	char head[4096];

	(void)state;
	rig_start(&rig, NULL);
	neighbour = h2_client(&rig);
	h2_get(&neighbour, 1);
	watched = rig_cluster(&rig);
	end_hear_head(&watched, head, sizeof(head));
	end_say(&watched, CHUNKED_OK "1\r\na\r\n");
	h2_hear(&neighbour, FRAME_HEADERS, 1, &f);
	h2_hear(&neighbour, FRAME_DATA, 1, &f);
	return 0;
}
static int
teardown(void **state)
{
	struct h2_frame f;

	(void)state;
	end_say(&watched, "1\r\nb\r\n0\r\n\r\n");
	h2_hear(&neighbour, FRAME_DATA, 1, &f);
	assert_int_equal(f.payload[0], 'b');
	h2_close(&neighbour);
	end_close(&watched);
	rig_stop(&rig);
	return 0;
}

static void
end_write_all(struct h2_client *c, struct buf *out)
{
	assert_true(buf_ok(out));
	end_write(&c->end, out->p, out->n);
	buf_reset(out);
}

/* The cluster takes what comes and says nothing, until its listener is asked to stop. */
struct silence {
	struct end ends[600];
	size_t n, want;
	_Atomic bool over;
};
static void *
keep_silent(void *arg)
{
	struct silence *s = arg;

	while (s->n < s->want && !s->over) {
		if (rig_nobody_connects(rig.cluster_fd, 20))
			continue;
		struct end e = { .fd = accept4(rig.cluster_fd, NULL, NULL, SOCK_CLOEXEC) };
		end_patience(&e);
		e.ssl = SSL_new(rig.back_tls);
		SSL_set_fd(e.ssl, e.fd);
		if (SSL_accept(e.ssl) == 1)
			s->ends[s->n++] = e;
		else
			end_reset(&e); /* given up before it came about */
	}
	return NULL;
}

static void
rapid_resets_end_the_connection(void **state)
{
	struct h2_client c = h2_client(&rig);
	static struct silence silence;
	pthread_t cluster;
	struct buf out;

	(void)state;
	silence = (struct silence){ .want = 600 };
	assert_int_equal(pthread_create(&cluster, NULL, keep_silent, &silence), 0);
	buf_init(&out, 0);
	for (uint32_t id = 1; id < 400; id += 2) {
		add_headers(&out, id, FLAGS_WHOLE, H2_TARGET("GET", "/api") H2_ALICE);
		add_frame(&out, FRAME_RST_STREAM, 0, id, "\0\0\0\x08", 4);
		if (id % 20 == 1)
			end_write_all(&c, &out);
	}
	end_write_all(&c, &out);
	h2_hear_goaway(&c, NGHTTP2_ENHANCE_YOUR_CALM);
	silence.over = true;
	pthread_join(cluster, NULL);
	while (silence.n)
		end_close(&silence.ends[--silence.n]);
	h2_close(&c);
	buf_fini(&out);
}

/* CVE-2025-8671: each stream makes the server reset it. */
static void
resets_that_we_are_made_to_send_end_the_connection(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	for (uint32_t id = 1; id < 400; id += 2) {
		add_headers(&out, id, FLAG_END_HEADERS, H2_TARGET("POST", "/api") H2_ALICE);
		add_frame(&out, FRAME_WINDOW_UPDATE, 0, id, "\x7f\xff\xff\xff", 4);
	}
	end_write_all(&c, &out);
	h2_hear_goaway(&c, NGHTTP2_ENHANCE_YOUR_CALM);
	h2_close(&c);
	c = h2_client(&rig);
	for (uint32_t id = 1; id < 400; id += 2)
		add_headers(&out, id, FLAGS_WHOLE, H2_TARGET("GET", "/api") H2_ALICE "connection: close\n");
	end_write_all(&c, &out);
	h2_hear_goaway(&c, NGHTTP2_ENHANCE_YOUR_CALM);
	h2_close(&c);
	buf_fini(&out);
}

static void
floods_of_control_frames_end_the_connection(void **state)
{
	static const struct {
		unsigned type, flags;
		size_t n;
		uint32_t id;
	} floods[] = {
		{ FRAME_PING, 0, 8, 0 },
		{ FRAME_PING, FLAG_ACK, 8, 0 },
		{ FRAME_SETTINGS, 0, 0, 0 },
		{ FRAME_SETTINGS, 0, 6, 0 },
		{ FRAME_PRIORITY, 0, 5, 1 },
		{ FRAME_DATA, 0, 0, 1 },
		{ 0xbe, 0, 3, 0 },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
		struct h2_client c = h2_client(&rig);
		h2_say_headers(&c, 1, FLAG_END_HEADERS, H2_TARGET("POST", "/console/x"));
		struct end authd = rig_authd(&rig);
		for (int n = 0; n < 300; n++)
			add_frame(&out, floods[i].type, floods[i].flags, floods[i].id, "\0\0\0\0\0\0\0\0", floods[i].n);
		end_write_all(&c, &out);
		h2_hear_goaway(&c, NGHTTP2_ENHANCE_YOUR_CALM);
		h2_close(&c);
		end_close(&authd);
	}
	buf_fini(&out);
}

static void
the_habits_of_real_clients_are_no_flood(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct h2_frame f;

	(void)state;
	for (int i = 0; i < 45; i++) {
		h2_say(&c, FRAME_PRIORITY, 0, 1, "\0\0\0\0\x10", 5);
		h2_say(&c, FRAME_PING, 0, 0, "12345678", 8);
		do
			assert_true(h2_hear_any(&c, &f));
		while (f.type != FRAME_PING);
	}
	for (int i = 0; i < 200; i++) {
		rig_later(&rig, 1000);
		h2_say(&c, FRAME_PING, 0, 0, "12345678", 8);
		do
			assert_true(h2_hear_any(&c, &f));
		while (f.type != FRAME_PING);
		if (i % 20 == 0) { /* it would be idle */
			h2_say_headers(&c, (uint32_t)i + 1, FLAGS_WHOLE, H2_TARGET("GET", "/api"));
			h2_hear_answer(&c, (uint32_t)i + 1, "401", NULL);
		}
	}
	h2_close(&c);
}

static void
more_than_eight_continuations_end_the_connection(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct buf block, out;

	(void)state;
	buf_init(&block, 0);
	buf_init(&out, 0);
	add_fields(&block, H2_TARGET("GET", "/a") H2_ALICE);
	add_frame(&out, FRAME_HEADERS, FLAG_END_STREAM, 1, block.p, block.n);
	for (int i = 0; i < 8; i++)
		add_frame(&out, FRAME_CONTINUATION, 0, 1, NULL, 0);
	end_write_all(&c, &out);
	assert_true(end_is_silent(&c.end, 50));
	h2_say(&c, FRAME_CONTINUATION, FLAG_END_HEADERS, 1, NULL, 0);
	h2_hear_goaway(&c, NGHTTP2_ENHANCE_YOUR_CALM);
	h2_close(&c);
	buf_fini(&block);
	buf_fini(&out);
}

/* Few bytes that decode to many: each of the indexed fields repeats 4,000 bytes. */
static void
a_head_that_swells_in_decoding_is_answered_without_being_kept(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct buf block, out;
	char large[3000];

	(void)state;
	memset(large, 'a', sizeof(large));
	buf_init(&block, 0);
	buf_init(&out, 0);
	add_fields(&block, H2_TARGET("GET", "/a") H2_ALICE);
	buf_add_char(&block, 0x40); /* into the table (RFC 7541 section 6.2.1): its first place, 62 */
	add_length(&block, 1);
	buf_add_char(&block, 'x');
	add_length(&block, sizeof(large));
	buf_add(&block, large, sizeof(large));
	while (block.n < 16000)
		buf_add_char(&block, (char)(0x80 | 62));
	add_frame(&out, FRAME_HEADERS, FLAGS_WHOLE, 1, block.p, block.n);
	end_write_all(&c, &out);
	h2_hear_answer(&c, 1, "431", NULL);
	h2_close(&c);
	buf_fini(&block);
	buf_fini(&out);
}

#define WATCHES 500

static void
five_hundred_watches_share_one_connection(void **state)
{
	struct h2_client c = h2_client(&rig);
	static struct silence silence;
	pthread_t cluster;
	struct h2_frame f;
	char head[4096];
	static unsigned seen[2 * WATCHES + 2];

	(void)state;
	silence = (struct silence){ .want = WATCHES };
	assert_int_equal(pthread_create(&cluster, NULL, keep_silent, &silence), 0);
	for (uint32_t i = 0; i < WATCHES; i++)
		h2_get(&c, 2 * i + 1);
	pthread_join(cluster, NULL);
	for (size_t i = 0; i < WATCHES; i++) {
		end_hear_head(&silence.ends[i], head, sizeof(head));
		end_say(&silence.ends[i], CHUNKED_OK);
	}
	memset(seen, 0, sizeof(seen));
	for (size_t i = 0; i < WATCHES; i++) {
		do
			assert_true(h2_hear_any(&c, &f));
		while (f.type != FRAME_HEADERS);
		assert_int_equal(seen[f.id]++, 0);
	}
	for (unsigned round = 0; round < 4; round++) {
		for (size_t i = 0; i < WATCHES; i++)
			end_say(&silence.ends[i], "6\r\nevent\n\r\n");
		size_t bytes = 0;
		while (bytes < 6 * WATCHES) {
			assert_true(h2_hear_any(&c, &f));
			if (f.type != FRAME_DATA)
				continue;
			bytes += f.n;
			seen[f.id] += (unsigned)f.n;
		}
	}
	for (uint32_t i = 0; i < WATCHES; i++)
		assert_int_equal(seen[2 * i + 1], 1 + 4 * 6);
	/* All given up at once, as when a controller ends: no attack, and the connection goes on. */
	for (uint32_t i = 0; i < WATCHES; i++)
		h2_say_u32(&c, FRAME_RST_STREAM, 2 * i + 1, NGHTTP2_CANCEL);
	h2_say_headers(&c, 2 * WATCHES + 1, FLAGS_WHOLE, H2_TARGET("GET", "/api"));
	h2_hear_answer(&c, 2 * WATCHES + 1, "401", NULL);
	for (size_t i = 0; i < WATCHES; i++) {
		assert_true(end_read(&silence.ends[i], head, 1) <= 0);
		end_close(&silence.ends[i]);
	}
	h2_close(&c);
}

static void
streams_past_the_announced_number_are_not_begun(void **state)
{
	struct h2_client c = h2_client(&rig);
	struct buf out;

	(void)state;
	buf_init(&out, 0);
	for (uint32_t id = 1; id <= 2 * 1000 + 1; id += 2) /* incomplete: they stay open */
		add_headers(&out, id, FLAG_END_HEADERS, ":method: POST\n:scheme: https\n:path: /api\n:authority: gate.test\n");
	end_write_all(&c, &out);
	h2_hear_goaway(&c, NGHTTP2_PROTOCOL_ERROR);
	h2_close(&c);
	buf_fini(&out);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(rapid_resets_end_the_connection),
		TEST(resets_that_we_are_made_to_send_end_the_connection),
		TEST(floods_of_control_frames_end_the_connection),
		TEST(the_habits_of_real_clients_are_no_flood),
		TEST(more_than_eight_continuations_end_the_connection),
		TEST(a_head_that_swells_in_decoding_is_answered_without_being_kept),
		TEST(five_hundred_watches_share_one_connection),
		TEST(streams_past_the_announced_number_are_not_begun),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
