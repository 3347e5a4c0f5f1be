/* What ends too early, comes too late or never ends, between a client and an upstream: nothing looks whole that is not, nothing is sent twice, nothing is
 * left behind. */
#include "tests/unit/exchange_unit.h"

static void
an_answer_before_the_whole_body_ends_both_connections(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, LINE("POST", "/x") "Content-Length: 1000000\r\n\r\nfirst");
	end_hear_head(&cluster, head, sizeof(head));
	end_hear(&cluster, "first");
	end_say(&cluster, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
	end_hear_status(&client, "413", head, sizeof(head));
	assert_non_null(strstr(head, "Connection: close\r\n"));
	end_hear(&client, "big");
	end_hear_eof(&client);
	end_hear_eof(&cluster);
	part(&client, &cluster);
}

static void
an_early_answer_reaches_a_client_that_is_still_sending(void **state)
{
	struct end client, cluster;
	static char megabytes[4 << 20];
	char head[4096];
	size_t sent = 0;

	(void)state;
	pair(&client, &cluster);
	end_say(&client, LINE("POST", "/x") "Content-Length: 100000000\r\n\r\n");
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
	end_reset(&cluster); /* the upstream does not listen any more */
	/* No reset until the client has had its answer: it goes on sending for a while, as a real one would. */
	for (; sent < sizeof(megabytes); sent += 65536)
		end_write(&client, megabytes + sent, 65536);
	end_hear_status(&client, "413", head, sizeof(head));
	end_hear(&client, "big");
	end_close(&client);
}

static void
an_answer_that_breaks_off_is_not_made_to_look_whole(void **state)
{
	static const char *const answers[] = { "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", CHUNKED_OK "3\r\nabc\r\n", CHUNKED_OK "8\r\nabc", CHUNKED_OK "3\r\nabc\r\n" };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct end client, cluster;
		char head[4096];
		pair(&client, &cluster);
		end_say(&client, GET);
		end_hear_head(&cluster, head, sizeof(head));
		end_say(&cluster, answers[i]);
		end_hear_head(&client, head, sizeof(head));
		if (i == 3)
			end_say(&cluster, "what is this\r\n"); /* no chunk */
		else
			end_close(&cluster);
		end_hear_cut(&client);
		end_close(&client);
		if (i == 3)
			end_close(&cluster);
	}
}

static void
an_answer_that_ends_with_its_connection_is_whole_only_when_the_end_is_said(void **state)
{
	(void)state;
	for (int proper = 0; proper < 2; proper++) {
		struct end client, cluster;
		char head[4096];
		pair(&client, &cluster);
		end_say(&client, GET);
		end_hear_head(&cluster, head, sizeof(head));
		end_say(&cluster, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc");
		end_hear_head(&client, head, sizeof(head));
		end_hear(&client, "3\r\nabc\r\n");
		if (proper) {
			end_close(&cluster);
			end_hear(&client, "0\r\n\r\n");
			end_close(&client);
		} else {
			end_reset(&cluster);
			end_hear_cut(&client);
			end_close(&client);
		}
	}
}

static void
a_broken_head_from_upstream_is_a_502_that_says_so(void **state)
{
	static const char *const answers[] = { "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
		"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", CHUNKED_OK "0x3\r\nabc\r\n" };

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct end client, cluster;
		char head[4096];
		pair(&client, &cluster);
		end_say(&client, GET);
		end_hear_head(&cluster, head, sizeof(head));
		end_say(&cluster, answers[i]);
		end_hear_status(&client, "502", head, sizeof(head));
		assert_null(strstr(head, "Connection: close")); /* the client's connection is fine */
		end_hear_eof(&cluster);
		part(&client, &cluster);
	}
}

static void
a_head_without_end_from_upstream_is_a_502(void **state)
{
	struct end client, cluster;
	char head[4096], *line = malloc(70001);

	(void)state;
	memset(line, 'x', 70000);
	line[70000] = '\0';
	pair(&client, &cluster);
	end_say(&client, GET);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, "HTTP/1.1 200 OK\r\nX: ");
	end_say(&cluster, line);
	end_hear_status(&client, "502", head, sizeof(head));
	part(&client, &cluster);
	free(line);
}

static void
a_client_that_leaves_ends_its_upstream_connection(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	for (int reset = 0; reset < 2; reset++) {
		pair(&client, &cluster);
		end_say(&client, GET);
		end_hear_head(&cluster, head, sizeof(head));
		if (reset)
			end_reset(&client);
		else
			end_close(&client);
		end_hear_eof(&cluster);
		end_close(&cluster);
	}
	/* In the middle of its body, too. */
	pair(&client, &cluster);
	end_say(&client, LINE("POST", "/x") "Content-Length: 100\r\n\r\nhalf");
	end_hear_head(&cluster, head, sizeof(head));
	end_hear(&cluster, "half");
	end_close(&client);
	end_hear_eof(&cluster);
	end_close(&cluster);
}

static void
bytes_behind_an_answer_are_nobodys(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, GET);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, OK_ABC OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	end_hear(&client, "abc");
	end_hear_eof(&cluster);
	assert_true(end_is_silent(&client, 20));
	end_close(&cluster);
	end_say(&client, GET);
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	part(&client, &cluster);
}

static void
a_kept_connection_that_died_unseen_is_tried_once_more_for_a_get(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, GET);
	end_hear_head(&cluster, head, sizeof(head)); /* taken, and then it dies without an answer */
	end_close(&cluster);
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_memory_equal(head, "GET /api ", 9);
	assert_non_null(strstr(head, "Impersonate-User: alice\r\n"));
	end_close(&cluster); /* the new one dies, too: that is no accident */
	end_hear_status(&client, "502", head, sizeof(head));
	assert_true(rig_nobody_connects(rig.cluster_fd, 50));
	end_close(&client);
}

static void
a_post_is_never_sent_twice(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, LINE("POST", "/x") "Content-Length: 4\r\n\r\nbody");
	end_hear_head(&cluster, head, sizeof(head));
	end_close(&cluster);
	end_hear_status(&client, "502", head, sizeof(head));
	assert_true(rig_nobody_connects(rig.cluster_fd, 50));
	end_close(&client);
}

static void
pause_gateway(struct rig *r, void *arg)
{
	sem_t *both = arg;

	(void)r;
	sem_post(&both[0]);
	while (sem_wait(&both[1]) < 0)
		;
}
static void *
run_pause(void *both)
{
	rig_run(&rig, pause_gateway, both);
	return NULL;
}

static void
a_post_of_which_nothing_was_written_is_sent_on_a_fresh_connection(void **state)
{
	struct end client, cluster;
	char head[4096];
	sem_t both[2];
	pthread_t thread;

	(void)state;
	pair(&client, &cluster);
	/* While the gateway looks away the request arrives, and then the kept connection is reset: it finds out when it writes. */
	sem_init(&both[0], 0, 0);
	sem_init(&both[1], 0, 0);
	pthread_create(&thread, NULL, run_pause, both);
	sem_wait(&both[0]);
	end_say(&client, LINE("POST", "/x") "Content-Length: 4\r\n\r\nbody");
	end_reset(&cluster);
	sem_post(&both[1]);
	pthread_join(thread, NULL);
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_memory_equal(head, "POST /x ", 8);
	end_hear(&cluster, "body");
	end_say(&cluster, OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	end_hear(&client, "abc");
	get_abc(&client, &cluster);
	part(&client, &cluster);
	sem_destroy(&both[0]);
	sem_destroy(&both[1]);
}

/* Until it fails: the other side has gone. */
static void *
send_big_or_fail(void *arg)
{
	struct end *e = arg;
	char *zeros = calloc(1, 1 << 16);

	do
		ERR_clear_error();
	while (SSL_write(e->ssl, zeros, 1 << 16) > 0);
	free(zeros);
	return NULL;
}

static void
clients_that_vanish_at_any_moment_leave_nothing_behind(void **state)
{
	(void)state;
	for (int i = 0; i < 30; i++) {
		struct end client, cluster;
		char head[4096], *buf = malloc(1 << 20);
		pthread_t thread;
		pair(&client, &cluster);
		end_say(&client, GET);
		end_hear_head(&cluster, head, sizeof(head));
		end_say(&cluster, "HTTP/1.1 200 OK\r\nContent-Length: 25165824\r\n\r\n");
		pthread_create(&thread, NULL, send_big_or_fail, &cluster);
		for (size_t left = (size_t)i * 211811; left;) {
			ssize_t n = end_read(&client, buf, left < 1 << 20 ? left : 1 << 20);
			assert_true(n > 0);
			left -= (size_t)n;
		}
		if (i % 2)
			end_reset(&client);
		else
			end_close(&client);
		pthread_join(thread, NULL); /* the cluster's writing has failed */
		end_close(&cluster);
		free(buf);
	}
}

static void
interim_answers_without_end_to_a_client_that_does_not_read_cost_no_memory(void **state)
{
	struct end client = rig_client_with(&rig, "gate.test", 4096), cluster;
	char head[4096], *hint = malloc(30001);
	size_t held = 99;

	(void)state;
	memset(hint, 'h', 30000);
	hint[30000] = '\0';
	end_say(&client, GET);
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	for (int i = 0; i < 400; i++) { /* 12 MB */
		end_say(&cluster, "HTTP/1.1 103 Early Hints\r\nX: ");
		end_say(&cluster, hint);
		end_say(&cluster, "\r\n\r\n");
	}
	end_say(&cluster, OK_ABC);
	held = blocks_held();
	assert_true(held <= 4);
	/* Some were left out; the answer was not. */
	char *answer = malloc(1 << 16);
	do
		end_hear_head(&client, answer, 1 << 16);
	while (memcmp(answer, "HTTP/1.1 103 ", 13) == 0);
	assert_memory_equal(answer, "HTTP/1.1 200 ", 13);
	end_hear(&client, "abc");
	free(answer);
	free(hint);
	part(&client, &cluster);
}

static void
an_upstream_that_says_close_is_not_used_again(void **state)
{
	struct end client, cluster;
	char head[4096];

	(void)state;
	pair(&client, &cluster);
	end_say(&client, GET);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
	end_hear_head(&client, head, sizeof(head));
	assert_null(strstr(head, "Connection: close"));
	end_hear(&client, "abc");
	end_hear_eof(&cluster);
	end_close(&cluster);
	end_say(&client, GET);
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	part(&client, &cluster);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(an_answer_before_the_whole_body_ends_both_connections),
		T(an_early_answer_reaches_a_client_that_is_still_sending),
		T(an_answer_that_breaks_off_is_not_made_to_look_whole),
		T(an_answer_that_ends_with_its_connection_is_whole_only_when_the_end_is_said),
		T(a_broken_head_from_upstream_is_a_502_that_says_so),
		T(a_head_without_end_from_upstream_is_a_502),
		T(a_client_that_leaves_ends_its_upstream_connection),
		T(bytes_behind_an_answer_are_nobodys),
		T(a_kept_connection_that_died_unseen_is_tried_once_more_for_a_get),
		T(a_post_is_never_sent_twice),
		T(a_post_of_which_nothing_was_written_is_sent_on_a_fresh_connection),
		T(clients_that_vanish_at_any_moment_leave_nothing_behind),
		T(interim_answers_without_end_to_a_client_that_does_not_read_cost_no_memory),
		T(an_upstream_that_says_close_is_not_used_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
