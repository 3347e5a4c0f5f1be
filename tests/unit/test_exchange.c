/* Bodies and framing between a client and an upstream, through the whole data path. */
#include "tests/unit/exchange_unit.h"

static void
a_request_arrives_with_the_callers_identity_and_without_the_callers_credential(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[4096];

	(void)state;
	end_say(&client, LINE("GET", "/api/v1/pods?limit=5") "Accept: application/json\r\nX-Remote-User: root\r\n\r\n");
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_memory_equal(head, "GET /api/v1/pods?limit=5 HTTP/1.1\r\nHost: cluster.test\r\n", 54);
	assert_non_null(strstr(head, "Impersonate-User: alice\r\nImpersonate-Group: system:authenticated\r\n\r\n"));
	assert_non_null(strstr(head, "Accept: application/json\r\n"));
	assert_non_null(strstr(head, "X-Forwarded-For: 127.0.0.1\r\n"));
	assert_null(strstr(head, "alice\r\nAuthorization"));
	assert_null(strstr(head, "Bearer"));
	assert_null(strstr(head, "X-Remote-User"));
	char *id = strstr(head, "X-Request-Id: ");
	assert_non_null(id);
	id[14 + 16] = '\0';
	end_say(&cluster, OK_ABC);
	char answer[4096];
	end_hear_head(&client, answer, sizeof(answer));
	assert_memory_equal(answer, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(answer, id)); /* the client is told the id that was sent upstream */
	end_hear(&client, "abc");
	part(&client, &cluster);
}

static void
connections_on_both_sides_serve_request_after_request(void **state)
{
	struct end client, cluster;

	(void)state;
	pair(&client, &cluster);
	for (int i = 0; i < 50; i++)
		get_abc(&client, &cluster);
	assert_true(rig_nobody_connects(rig.cluster_fd, 0));
	part(&client, &cluster);
}

static void
pipelined_requests_are_answered_in_order_one_at_a_time(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, LINE("GET", "/1") "\r\n" LINE("POST", "/2") "Content-Length: 4\r\n\r\nbody" LINE("GET", "/nobody") "\r\n" LINE("GET", "/3") "\r\n");
	for (const char *path = "123"; *path; path++) {
		char answer[128];
		end_hear_head(&cluster, head, sizeof(head));
		assert_int_equal(head[path[0] == '2' ? 6 : 5], path[0] == '3' ? 'n' : path[0]);
		if (*path == '2')
			end_hear(&cluster, "body");
		assert_true(end_is_silent(&cluster, 20)); /* the next is not sent before this is answered */
		snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%c", *path);
		end_say(&cluster, answer);
		end_hear_head(&client, head, sizeof(head));
		end_hear(&client, (char[]){ *path, '\0' });
	}
	end_hear_head(&cluster, head, sizeof(head));
	assert_memory_equal(head, "GET /3 ", 7);
	part(&client, &cluster);
}

static void
a_request_that_arrives_byte_by_byte_is_one_request(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	for (const char *p = LINE("POST", "/slow") "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"; *p; p++)
		end_write(&client, p, 1);
	end_hear_head(&cluster, head, sizeof(head));
	assert_non_null(strstr(head, "Transfer-Encoding: chunked\r\n"));
	/* Each byte of the body is sent on as it comes: five chunks or fewer. */
	char body[256];
	size_t n = 0;
	while (n < 5 || memcmp(body + n - 5, "0\r\n\r\n", 5) != 0)
		assert_int_equal(end_read(&cluster, body + n++, 1), 1);
	assert_true(n >= sizeof("5\r\nhello\r\n0\r\n\r\n") - 1 && n <= 5 * 6 + 5);
	end_say(&cluster, OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	end_hear(&client, "abc");
	get_abc(&client, &cluster);
	part(&client, &cluster);
}

static void
a_request_behind_a_chunked_body_in_the_same_bytes_is_the_next_one(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	/* With the body in one piece, and with the end of the body in another. */
	for (int pieces = 1; pieces <= 2; pieces++) {
		end_say(&client, LINE("POST", "/x") "Transfer-Encoding: chunked\r\n\r\n");
		if (pieces == 2) {
			end_hear_head(&cluster, head, sizeof(head));
			end_say(&client, "3\r\nabc\r\n");
			end_hear(&cluster, "3\r\nabc\r\n");
			end_say(&client, "0\r\n\r\n" LINE("GET", "/next") "\r\n");
			end_hear(&cluster, "0\r\n\r\n");
		} else {
			end_say(&client, "3\r\nabc\r\n0\r\n\r\n" LINE("GET", "/next") "\r\n");
			end_hear_head(&cluster, head, sizeof(head));
			end_hear(&cluster, "3\r\nabc\r\n0\r\n\r\n");
		}
		end_say(&cluster, OK_ABC);
		end_hear_head(&client, head, sizeof(head));
		end_hear(&client, "abc");
		end_hear_head(&cluster, head, sizeof(head));
		assert_memory_equal(head, "GET /next ", 10);
		end_say(&cluster, OK_ABC);
		end_hear_head(&client, head, sizeof(head));
		end_hear(&client, "abc");
	}
	part(&client, &cluster);
}

static void
a_sized_body_goes_up_with_its_length(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, LINE("POST", "/x") "Content-Length: 11\r\n\r\nhello");
	end_hear_head(&cluster, head, sizeof(head));
	assert_non_null(strstr(head, "Content-Length: 11\r\n"));
	end_hear(&cluster, "hello");
	end_say(&client, " world");
	end_hear(&cluster, " world");
	end_say(&cluster, OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	assert_null(strstr(head, "Connection: close"));
	end_hear(&client, "abc");
	get_abc(&client, &cluster);
	part(&client, &cluster);
}

static void
a_chunked_body_goes_up_in_chunks_of_our_own(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, LINE("POST", "/x") "Transfer-Encoding: chunked\r\n\r\n3;extension=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: gone\r\n\r\n");
	end_hear_head(&cluster, head, sizeof(head));
	end_hear(&cluster, "5\r\nabcde\r\n0\r\n\r\n");
	end_say(&cluster, OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	end_hear(&client, "abc");
	get_abc(&client, &cluster);
	part(&client, &cluster);
}

static void
a_chunked_body_that_breaks_off_its_framing_is_refused_and_the_upstream_is_not_kept(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, LINE("POST", "/x") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	end_hear_head(&cluster, head, sizeof(head));
	end_hear(&cluster, "3\r\nabc\r\n");
	end_say(&client, "+2\r\n");
	end_hear_status(&client, "400", head, sizeof(head));
	assert_non_null(strstr(head, "Connection: close\r\n"));
	end_hear_eof(&cluster); /* and never an end of the body */
	part(&client, &cluster);
}

static void
chunked_answers_come_down_in_chunks_of_our_own(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, GET);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, CHUNKED_OK "3\r\nabc\r\n2;x\r\nde\r\n1\r\nf\r\n0\r\nX-Trailer: gone\r\n\r\n");
	end_hear_head(&client, head, sizeof(head));
	assert_non_null(strstr(head, "Transfer-Encoding: chunked\r\n"));
	assert_null(strstr(head, "Content-Length"));
	end_hear(&client, "6\r\nabcdef\r\n0\r\n\r\n");
	get_abc(&client, &cluster);
	part(&client, &cluster);
}

static void
each_event_of_a_watch_is_delivered_at_once(void **state)
{
	struct end client, cluster;
	char head[4096], event[64], chunk[96];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, LINE("GET", "/api/v1/pods?watch=1") "\r\n");
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, CHUNKED_OK);
	end_hear_head(&client, head, sizeof(head)); /* before any event */
	for (int i = 0; i < 20; i++) {
		int n = snprintf(event, sizeof(event), "{\"type\":\"ADDED\",\"n\":%d}\n", i);
		snprintf(chunk, sizeof(chunk), "%x\r\n%s\r\n", n, event);
		end_say(&cluster, chunk);
		end_hear(&client, chunk);
	}
	assert_true(end_is_silent(&client, 0));
	end_close(&client);
	end_hear_eof(&cluster); /* the watch ends with its client */
	end_close(&cluster);
}

static void
an_idle_watch_holds_no_buffer(void **state)
{
	struct end client, cluster;
	char head[4096];
	size_t held = 99;

	(void)state;
	pair(&client, &cluster);
	end_say(&client, LINE("GET", "/api/v1/pods?watch=1") "\r\n");
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, CHUNKED_OK "3\r\nabc\r\n");
	end_hear_head(&client, head, sizeof(head));
	end_hear(&client, "3\r\nabc\r\n");
	held = blocks_held();
	assert_int_equal(held, 0);
	part(&client, &cluster);
}

static void
an_answer_to_head_has_a_length_and_no_body(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, LINE("HEAD", "/x") "\r\n");
	end_hear_head(&cluster, head, sizeof(head));
	assert_memory_equal(head, "HEAD /x ", 8);
	end_say(&cluster, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
	end_hear_head(&client, head, sizeof(head));
	assert_non_null(strstr(head, "Content-Length: 1000\r\n"));
	get_abc(&client, &cluster);
	part(&client, &cluster);
}

static void
answers_that_have_no_body_leave_the_connections_usable(void **state)
{
	static const char *const answers[] = { "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" };
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	for (size_t i = 0; i < 3; i++) {
		end_say(&client, GET);
		end_hear_head(&cluster, head, sizeof(head));
		end_say(&cluster, answers[i]);
		end_hear_head(&client, head, sizeof(head));
		assert_memory_equal(head, answers[i], 12);
		assert_true(end_is_silent(&client, 10));
	}
	get_abc(&client, &cluster);
	part(&client, &cluster);
}

static void
a_client_that_expects_100_gets_it_when_the_upstream_is_there(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[4096];

	(void)state;
	end_say(&client, LINE("POST", "/x") "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n");
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_null(strstr(head, "Expect"));
	end_hear(&client, "HTTP/1.1 100 Continue\r\n\r\n");
	end_say(&client, "body");
	end_hear(&cluster, "body");
	end_say(&cluster, "HTTP/1.1 100 Continue\r\n\r\n" OK_ABC); /* a second one would be too many */
	end_hear_head(&client, head, sizeof(head));
	assert_memory_equal(head, "HTTP/1.1 200 OK\r\n", 17);
	end_hear(&client, "abc");
	get_abc(&client, &cluster);
	part(&client, &cluster);
}

static void
a_client_that_does_not_wait_for_100_is_not_sent_one(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, LINE("POST", "/x") "Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody");
	end_hear_head(&cluster, head, sizeof(head));
	end_hear(&cluster, "body");
	end_say(&cluster, OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	assert_memory_equal(head, "HTTP/1.1 200 OK\r\n", 17);
	part(&client, &cluster);
}

static void
interim_answers_are_passed_on(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, GET);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" OK_ABC);
	end_hear(&client, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n");
	end_hear_head(&client, head, sizeof(head));
	end_hear(&client, "abc");
	get_abc(&client, &cluster);
	part(&client, &cluster);
}

static void
heads_larger_than_a_block_pass_in_both_directions(void **state)
{
	struct end client, cluster;
	char *head = malloc(1 << 17), *value = malloc(1 << 16);

	(void)state;
	memset(value, 'v', 1 << 16);
	value[50000] = '\0';
	pair(&client, &cluster);
	end_say(&client, LINE("POST", "/x") "Content-Length: 4\r\nX-Long: ");
	end_say(&client, value);
	end_say(&client, "\r\n\r\nbody");
	end_hear_head(&cluster, head, 1 << 17);
	assert_true(strlen(head) > 50000);
	end_hear(&cluster, "body");
	end_say(&cluster, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Long: ");
	end_say(&cluster, value);
	end_say(&cluster, "\r\n\r\nabc");
	end_hear_head(&client, head, 1 << 17);
	assert_true(strlen(head) > 50000);
	end_hear(&client, "abc");
	get_abc(&client, &cluster);
	part(&client, &cluster);
	free(head);
	free(value);
}

/* Deterministic bytes, so that a lost or doubled block shows. */
static char
byte_at(size_t i)
{
	return (char)(i * 2654435761u >> 13);
}

#define BIG (24u << 20)
struct pump {
	struct end *end;
	bool chunked;
};

static void *
send_big(void *arg)
{
	struct pump *p = arg;
	char *buf = malloc(70000);

	for (size_t at = 0, n; at < BIG; at += n) {
		n = 1 + (at * 7919) % 65000;
		n = n < BIG - at ? n : BIG - at;
		char head[32];
		int head_n = p->chunked ? snprintf(head, sizeof(head), "%zx\r\n", n) : 0;
		memcpy(buf, head, (size_t)head_n);
		for (size_t i = 0; i < n; i++)
			buf[(size_t)head_n + i] = byte_at(at + i);
		if (p->chunked)
			memcpy(buf + (size_t)head_n + n, "\r\n", 2);
		end_write(p->end, buf, (size_t)head_n + n + (p->chunked ? 2 : 0));
	}
	if (p->chunked)
		end_say(p->end, "0\r\n\r\n");
	free(buf);
	return NULL;
}

/* Reads a body of BIG bytes, chunked or not, to its end and compares it. */
static void
hear_big(struct end *e, bool chunked)
{
	char *buf = malloc(65536);
	struct http_chunk decoder;
	enum http_chunk_event event = CHUNK_MORE;
	size_t at = 0;
	const char *why;

	http_chunk_init(&decoder);
	while (chunked ? event != CHUNK_END : at < BIG) {
		ssize_t n = end_read(e, buf, 65536);
		assert_true(n > 0);
		struct slice in = { buf, (size_t)n }, run = in;
		while (!chunked ? in.n : (event = http_chunk_next(&decoder, &in, &run, &why)) == CHUNK_DATA) {
			for (size_t i = 0; i < run.n; i++, at++)
				if (run.p[i] != byte_at(at))
					fail_msg("byte %zu differs", at);
			if (!chunked)
				in.n = 0;
		}
		assert_int_not_equal(event, CHUNK_BAD);
	}
	assert_int_equal(at, BIG);
	free(buf);
}

static void
big_bodies_pass_both_ways_unchanged(void **state)
{
	(void)state;
	for (int chunked = 0; chunked < 2; chunked++) {
		struct end client, cluster;
		char head[4096], length[64];
		pthread_t thread;
		pair(&client, &cluster);
		snprintf(length, sizeof(length), chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "Content-Length: %u\r\n\r\n", BIG);
		end_say(&client, LINE("PUT", "/big"));
		end_say(&client, length);
		struct pump up = { &client, chunked }, down = { &cluster, chunked };
		pthread_create(&thread, NULL, send_big, &up);
		end_hear_head(&cluster, head, sizeof(head));
		hear_big(&cluster, chunked);
		pthread_join(thread, NULL);
		end_say(&cluster, "HTTP/1.1 200 OK\r\n");
		end_say(&cluster, length);
		pthread_create(&thread, NULL, send_big, &down);
		end_hear_head(&client, head, sizeof(head));
		hear_big(&client, chunked);
		pthread_join(thread, NULL);
		part(&client, &cluster);
	}
}

static void
a_slow_reader_makes_the_sender_wait_and_costs_no_memory(void **state)
{
	struct end client = rig_client_with(&rig, "gate.test", 4096), cluster;
	char head[4096], *zeros = calloc(1, 1 << 20);
	size_t held = 0, sent = 0;

	(void)state;
	end_say(&client, GET);
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
	/* Until the cluster's socket takes no more for a while: back-pressure has come through. */
	const struct timeval patience = { .tv_usec = 300000 };
	setsockopt(cluster.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	for (int n; (n = SSL_write(cluster.ssl, zeros, 16384)) > 0;)
		sent += (size_t)n;
	assert_true(sent < 40u << 20); /* the sockets' buffers, not the body */
	held = blocks_held();
	assert_true(held <= 2); /* the answer's block, and the request's head at most */
	end_reset(&client);
	end_hear_eof(&cluster);
	end_close(&cluster);
	free(zeros);
}

static void
a_request_without_an_identity_is_never_forwarded(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[4096];

	(void)state;
	believer.alice.headers = SLICE_NONE; /* a fault of our own: it fails closed */
	end_say(&client, GET);
	cluster = rig_cluster(&rig);
	end_hear_status(&client, "500", head, sizeof(head));
	end_hear_eof(&cluster);
	part(&client, &cluster);
}

static void
an_identity_too_large_to_send_is_a_431(void **state)
{
	static char block[2 << 20];
	struct end client = rig_client(&rig), cluster;
	char head[4096];

	(void)state;
	memset(block, 'a', sizeof(block));
	memcpy(block, "Impersonate-User: ", 18);
	memcpy(block + sizeof(block) - 2, "\r\n", 2);
	believer.alice.headers = slice_of(block, sizeof(block));
	end_say(&client, GET);
	cluster = rig_cluster(&rig);
	end_hear_status(&client, "431", head, sizeof(head));
	part(&client, &cluster);
}

static void
our_own_credential_refused_is_a_502_except_below_a_proxy_subresource(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, LINE("GET", "/api/v1/namespaces/a/services/b/proxy/c") "\r\n");
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: Basic\r\n\r\n");
	end_hear_status(&client, "401", head, sizeof(head));
	end_say(&client, GET);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
	end_hear_status(&client, "502", head, sizeof(head));
	part(&client, &cluster);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(a_request_arrives_with_the_callers_identity_and_without_the_callers_credential),
		T(connections_on_both_sides_serve_request_after_request),
		T(pipelined_requests_are_answered_in_order_one_at_a_time),
		T(a_request_that_arrives_byte_by_byte_is_one_request),
		T(a_request_behind_a_chunked_body_in_the_same_bytes_is_the_next_one),
		T(a_sized_body_goes_up_with_its_length),
		T(a_chunked_body_goes_up_in_chunks_of_our_own),
		T(a_chunked_body_that_breaks_off_its_framing_is_refused_and_the_upstream_is_not_kept),
		T(chunked_answers_come_down_in_chunks_of_our_own),
		T(each_event_of_a_watch_is_delivered_at_once),
		T(an_idle_watch_holds_no_buffer),
		T(an_answer_to_head_has_a_length_and_no_body),
		T(answers_that_have_no_body_leave_the_connections_usable),
		T(a_client_that_expects_100_gets_it_when_the_upstream_is_there),
		T(a_client_that_does_not_wait_for_100_is_not_sent_one),
		T(interim_answers_are_passed_on),
		T(heads_larger_than_a_block_pass_in_both_directions),
		T(big_bodies_pass_both_ways_unchanged),
		T(a_slow_reader_makes_the_sender_wait_and_costs_no_memory),
		T(a_request_without_an_identity_is_never_forwarded),
		T(an_identity_too_large_to_send_is_a_431),
		T(our_own_credential_refused_is_a_502_except_below_a_proxy_subresource),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
