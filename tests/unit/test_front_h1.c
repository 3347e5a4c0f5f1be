/* A client's HTTP/1.1 connection: what is refused, what is waited for, how it ends. */
#include "tests/unit/exchange_unit.h"

static void
impatient(struct proxyd_config *c)
{
	c->limits.header_timeout_ms = 300;
	c->limits.idle_timeout_ms = 600;
	c->limits.body_timeout_ms = 300;
}
static int
setup_impatient(void **state)
{
	(void)state;
	rig_start(&rig, impatient);
	return 0;
}

static void
a_request_that_is_none_is_answered_400_and_the_connection_ends(void **state)
{
	static const char *const requests[] = { "GET / HTTP/1.1\nHost: gate.test\n\n", "GET / HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01 / HTTP/1.1\r\n\r\n", "GET /../x HTTP/1.1\r\nHost: gate.test\r\n\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct end client = rig_client(&rig);
		char head[4096];
		end_say(&client, requests[i]);
		end_say(&client, GET); /* never read as a request */
		end_hear_status(&client, "400", head, sizeof(head));
		assert_non_null(strstr(head, "Connection: close\r\n"));
		assert_non_null(strstr(head, "application/json"));
		char body[4096];
		ssize_t n;
		while ((n = end_read(&client, body, sizeof(body))) > 0)
			assert_null(memmem(body, (size_t)n, "HTTP/1.1", 8));
		assert_int_equal(n, 0); /* close_notify, no reset */
		end_close(&client);
	}
	assert_true(rig_nobody_connects(rig.cluster_fd, 0));
}

static void
heads_over_the_limit_are_answered_431_or_414(void **state)
{
	char *long_text = malloc(70001), head[4096];

	(void)state;
	memset(long_text, 'a', 70000);
	long_text[70000] = '\0';
	struct end client = rig_client(&rig);
	end_say(&client, "GET / HTTP/1.1\r\nHost: gate.test\r\nX: ");
	end_say(&client, long_text);
	end_hear_status(&client, "431", head, sizeof(head));
	end_close(&client);
	client = rig_client(&rig);
	end_say(&client, "GET /");
	end_say(&client, long_text);
	end_hear_status(&client, "414", head, sizeof(head));
	end_close(&client);
	free(long_text);
}

static void
a_thousand_pipelined_requests_without_credential_get_a_thousand_answers(void **state)
{
	struct end client = rig_client(&rig);
	char head[4096];

	(void)state;
	for (int i = 0; i < 1000; i++)
		end_say(&client, "GET /api HTTP/1.1\r\nHost: gate.test\r\n\r\n");
	for (int i = 0; i < 1000; i++) {
		end_hear_status(&client, "401", head, sizeof(head));
		assert_null(strstr(head, "Connection: close"));
		char *length = strstr(head, "Content-Length: ");
		assert_non_null(length);
		for (long n = strtol(length + 16, NULL, 10); n; n--)
			assert_int_equal(end_read(&client, head, 1), 1);
	}
	end_close(&client);
}

static void
heads_that_lie_across_a_blocks_end_are_whole(void **state)
{
	struct end client = rig_client(&rig);
	char *all = malloc(400 * 1000), head[4096];
	size_t n = 0;

	(void)state;
	/* 400 requests of odd lengths, 300 KB in one go: they end up anywhere in the blocks. */
	for (int i = 0; i < 400; i++)
		n += (size_t)sprintf(all + n, "GET /%0*d HTTP/1.1\r\nHost: gate.test\r\n\r\n", 700 + i % 61, i);
	end_write(&client, all, n);
	for (int i = 0; i < 400; i++) {
		end_hear_status(&client, "401", head, sizeof(head));
		for (long left = strtol(strstr(head, "Content-Length: ") + 16, NULL, 10); left; left--)
			assert_int_equal(end_read(&client, head, 1), 1);
	}
	free(all);
	end_close(&client);
}

/* Write until the kernel takes no more for a moment; how much it took. */
static size_t
flood(struct end *client, const char *text, size_t most)
{
	const struct timeval little = { .tv_usec = 50000 };
	size_t n = strlen(text), written = 0;
	char *many = malloc(n * 100);

	for (int i = 0; i < 100; i++)
		memcpy(many + (size_t)i * n, text, n);
	setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &little, sizeof(little));
	for (int r; written < most && (r = SSL_write(client->ssl, many, (int)n * 100)) > 0;)
		written += (size_t)r;
	free(many);
	end_patience(client);
	return written;
}

static void
a_client_that_asks_on_and_on_without_reading_is_not_read_any_more(void **state)
{
	static const char request[] = "GET /api HTTP/1.1\r\nHost: gate.test\r\n\r\n";
	struct end client = rig_client_with(&rig, "gate.test", 4096);
	char *buf = malloc(65536);
	size_t answer_n = 0;

	(void)state;
	size_t written = flood(&client, request, 64u << 20), some = written / (sizeof(request) - 1) / 2;
	assert_true(written < 64u << 20);
	/* It begins to read, and the answers go on. */
	while (answer_n < some && answer_n < 30000) {
		ssize_t n = end_read(&client, buf, 65536);
		assert_true(n > 0);
		for (const char *p = buf; (p = memmem(p, (size_t)(buf + n - p), "HTTP/1.1 401 ", 13)); p++)
			answer_n++;
	}
	free(buf);
	end_reset(&client);
}

static void
and_is_cut_when_it_goes_on_like_that(void **state)
{
	struct end client = rig_client_with(&rig, "gate.test", 4096);

	(void)state;
	flood(&client, "GET /api HTTP/1.1\r\nHost: gate.test\r\n\r\n", 64u << 20);
	struct pollfd gone = { .fd = client.fd, .events = POLLRDHUP };
	assert_int_equal(poll(&gone, 1, UNIT_WAIT_S * 1000), 1);
	end_hear_cut(&client); /* what was written arrives, and then no proper end */
	end_close(&client);
}

static void
addresses_of_both_families_are_told_apart(void **state)
{
	struct address v4 = { .u.in4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x01020304) } }, v6 = { .u.in6 = { .sin6_family = AF_INET6 } },
		un = { .u.un = { .sun_family = AF_UNIX } };
	unsigned char out[16], none[16] = { 0 };

	(void)state;
	client_peer_address(&v4, out);
	assert_memory_equal(out, "\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4", 16);
	memset(&v6.u.in6.sin6_addr, 7, 16);
	client_peer_address(&v6, out);
	assert_memory_equal(out, "\7\7\7\7\7\7\7\7\7\7\7\7\7\7\7\7", 16);
	client_peer_address(&un, out);
	assert_memory_equal(out, none, 16);
}

static void
an_answer_of_our_own_skips_a_body_that_is_there_and_ends_where_one_is_to_come(void **state)
{
	struct end client = rig_client(&rig);
	char head[4096];

	(void)state;
	end_say(&client, "POST /api HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 4\r\n\r\nbody"
			 "POST /api HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 5\r\n\r\nb");
	end_hear_status(&client, "401", head, sizeof(head));
	assert_null(strstr(head, "Connection: close"));
	for (long n = strtol(strstr(head, "Content-Length: ") + 16, NULL, 10); n; n--)
		assert_int_equal(end_read(&client, head, 1), 1);
	end_hear_status(&client, "401", head, sizeof(head));
	assert_non_null(strstr(head, "Connection: close\r\n"));
	end_close(&client);
}

static void
an_http10_client_gets_its_body_until_the_end_of_the_connection(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[4096];

	(void)state;
	end_say(&client, "GET /api HTTP/1.0\r\nHost: gate.test\r\nAuthorization: Bearer alice\r\n\r\n");
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_memory_equal(head, "GET /api HTTP/1.1\r\n", 19);
	end_say(&cluster, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
	end_hear_status(&client, "200", head, sizeof(head)); /* no 1xx for HTTP/1.0 */
	assert_null(strstr(head, "Transfer-Encoding"));
	assert_non_null(strstr(head, "Connection: close\r\n"));
	end_hear(&client, "abc");
	end_hear_eof(&client);
	end_close(&client);
	end_close(&cluster);
}

static void
an_http10_client_that_asks_for_it_keeps_its_connection(void **state)
{
	struct end client = rig_client(&rig), cluster = { .fd = -1 };
	char head[4096];

	(void)state;
	for (int i = 0; i < 2; i++) {
		end_say(&client, "GET /api HTTP/1.0\r\nHost: gate.test\r\nConnection: keep-alive\r\nAuthorization: Bearer alice\r\n\r\n");
		if (i == 0)
			cluster = rig_cluster(&rig);
		end_hear_head(&cluster, head, sizeof(head));
		end_say(&cluster, OK_ABC);
		end_hear_head(&client, head, sizeof(head));
		assert_non_null(strstr(head, "Connection: keep-alive\r\n"));
		end_hear(&client, "abc");
	}
	end_close(&client);
	end_close(&cluster);
}

static void
a_client_that_says_close_is_closed_after_its_answer(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[4096];

	(void)state;
	end_say(&client, LINE("GET", "/api") "Connection: close\r\n\r\n");
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_null(strstr(head, "Connection:"));
	end_say(&cluster, OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	assert_non_null(strstr(head, "Connection: close\r\n"));
	end_hear(&client, "abc");
	end_hear_eof(&client);
	end_close(&client);
	end_close(&cluster);
}

static void
set_draining(struct rig *r, void *arg)
{
	(void)arg;
	r->gateway.draining = true;
}

static void
while_draining_each_connection_gets_one_more_answer_and_a_proper_end(void **state)
{
	struct end idle = rig_client(&rig), busy = rig_client(&rig), cluster;
	char head[4096];

	(void)state;
	end_say(&busy, GET);
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	rig_run(&rig, set_draining, NULL);
	assert_true(end_is_silent(&idle, 50)); /* it may be about to send */
	end_say(&cluster, OK_ABC);
	end_hear_head(&busy, head, sizeof(head));
	assert_non_null(strstr(head, "Connection: close\r\n"));
	end_hear(&busy, "abc");
	end_hear_eof(&busy);
	end_say(&idle, GET);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, OK_ABC);
	end_hear_head(&idle, head, sizeof(head));
	assert_non_null(strstr(head, "Connection: close\r\n"));
	end_hear(&idle, "abc");
	end_hear_eof(&idle);
	end_close(&idle);
	end_close(&busy);
	end_close(&cluster);
}

static void
a_head_that_does_not_come_whole_in_time_is_answered_408(void **state)
{
	struct end client = rig_client(&rig);
	char head[4096];
	struct timespec before, after;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &before);
	/* A byte now and then does not buy time: the head as a whole has 300 ms. */
	const char *p = "GET /api HTTP/1.1\r\nHost: gate.test\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	while (*p && end_is_silent(&client, 40))
		end_write(&client, p++, 1);
	end_hear_head(&client, head, sizeof(head));
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_memory_equal(head, "HTTP/1.1 408 ", 13);
	assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 2000);
	end_close(&client);
}

static void
an_idle_connection_is_ended_properly_after_its_time(void **state)
{
	struct end client = rig_client(&rig);

	(void)state;
	assert_true(end_is_silent(&client, 400)); /* longer than a head may take */
	end_hear_eof(&client);
	end_close(&client);
}

static void
a_handshake_that_is_never_begun_ends_in_time(void **state)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	struct end e = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };

	(void)state;
	end_patience(&e);
	assert_int_equal(getsockname(rig.listen_fd, (struct sockaddr *)&a, &n), 0);
	assert_int_equal(connect(e.fd, (struct sockaddr *)&a, n), 0);
	end_hear_eof(&e);
	end_close(&e);
}

static void
plain_http_on_the_tls_port_is_told_so(void **state)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	struct end e = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	char head[1024];

	(void)state;
	end_patience(&e);
	assert_int_equal(getsockname(rig.listen_fd, (struct sockaddr *)&a, &n), 0);
	assert_int_equal(connect(e.fd, (struct sockaddr *)&a, n), 0);
	end_say(&e, "GET / HTTP/1.1\r\nHost: gate.test\r\n\r\n");
	end_hear_head(&e, head, sizeof(head));
	assert_memory_equal(head, "HTTP/1.0 400 ", 13);
	end_close(&e);
}

static void
a_body_that_stops_coming_is_answered_408_and_its_upstream_closed(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[4096];

	(void)state;
	end_say(&client, LINE("POST", "/x") "Content-Length: 100\r\n\r\nhalf");
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	end_hear(&cluster, "half");
	for (int i = 0; i < 4; i++) { /* slow is not stopped */
		assert_true(end_is_silent(&client, 150));
		end_say(&client, ".");
		end_hear(&cluster, ".");
	}
	end_hear_status(&client, "408", head, sizeof(head));
	end_hear_eof(&cluster);
	end_close(&client);
	end_close(&cluster);
}

static void
a_client_that_takes_nothing_of_its_answer_is_cut(void **state)
{
	struct end client = rig_client_with(&rig, "gate.test", 4096), cluster;
	char head[4096], *zeros = calloc(1, 1 << 20);

	(void)state;
	end_say(&client, GET);
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
	while (SSL_write(cluster.ssl, zeros, 1 << 20) > 0)
		;
	/* Writing failed because the gateway let both go, not because the test lost patience. */
	assert_int_not_equal(errno, EAGAIN);
	end_close(&cluster);
	end_close(&client);
	free(zeros);
}

static void
an_upstream_that_takes_nothing_of_a_body_is_a_504(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[4096], *zeros = calloc(1, 1 << 20);

	(void)state;
	end_say(&client, LINE("POST", "/x") "Content-Length: 1000000000\r\n\r\n");
	cluster = rig_cluster(&rig);
	const struct timeval patience = { .tv_usec = 20000 };
	setsockopt(client.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	while (SSL_write(client.ssl, zeros, 16384) > 0)
		;
	end_hear_status(&client, "504", head, sizeof(head));
	end_close(&client);
	end_close(&cluster);
	free(zeros);
}

static void
a_quiet_watch_outlives_every_timeout(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[4096];

	(void)state;
	end_say(&client, LINE("GET", "/api/v1/pods?watch=1") "\r\n");
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	end_hear_head(&client, head, sizeof(head));
	assert_true(end_is_silent(&client, 1000));
	end_say(&cluster, "2\r\nok\r\n0\r\n\r\n");
	end_hear(&client, "2\r\nok\r\n0\r\n\r\n");
	end_close(&client);
	end_close(&cluster);
}

static void
a_session_resumes(void **state)
{
	struct end client = rig_client(&rig);
	char head[4096];

	(void)state;
	end_say(&client, "GET /api HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n\r\n");
	end_hear_head(&client, head, sizeof(head)); /* the ticket has come with it */
	SSL_SESSION *session = SSL_get1_session(client.ssl);
	end_close(&client);

	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	struct end again = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .ssl = SSL_new(rig.client_tls) };
	assert_int_equal(getsockname(rig.listen_fd, (struct sockaddr *)&a, &n), 0);
	assert_int_equal(connect(again.fd, (struct sockaddr *)&a, n), 0);
	SSL_set_fd(again.ssl, again.fd);
	static char name[] = "gate.test";
	SSL_set_tlsext_host_name(again.ssl, name);
	SSL_set_session(again.ssl, session);
	assert_int_equal(SSL_connect(again.ssl), 1);
	assert_true(SSL_session_reused(again.ssl));
	SSL_SESSION_free(session);
	end_close(&again);
}

int
main(void)
{
	log_set_level(LOG_LEVEL_ERROR + 1);
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
#define QUICK(name) cmocka_unit_test_setup_teardown(name, setup_impatient, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(a_request_that_is_none_is_answered_400_and_the_connection_ends),
		T(heads_over_the_limit_are_answered_431_or_414),
		T(a_thousand_pipelined_requests_without_credential_get_a_thousand_answers),
		T(heads_that_lie_across_a_blocks_end_are_whole),
		T(a_client_that_asks_on_and_on_without_reading_is_not_read_any_more),
		QUICK(and_is_cut_when_it_goes_on_like_that),
		T(addresses_of_both_families_are_told_apart),
		T(an_answer_of_our_own_skips_a_body_that_is_there_and_ends_where_one_is_to_come),
		T(an_http10_client_gets_its_body_until_the_end_of_the_connection),
		T(an_http10_client_that_asks_for_it_keeps_its_connection),
		T(a_client_that_says_close_is_closed_after_its_answer),
		T(while_draining_each_connection_gets_one_more_answer_and_a_proper_end),
		QUICK(a_head_that_does_not_come_whole_in_time_is_answered_408),
		QUICK(an_idle_connection_is_ended_properly_after_its_time),
		QUICK(a_handshake_that_is_never_begun_ends_in_time),
		T(plain_http_on_the_tls_port_is_told_so),
		QUICK(a_body_that_stops_coming_is_answered_408_and_its_upstream_closed),
		QUICK(a_client_that_takes_nothing_of_its_answer_is_cut),
		QUICK(an_upstream_that_takes_nothing_of_a_body_is_a_504),
		QUICK(a_quiet_watch_outlives_every_timeout),
		T(a_session_resumes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
