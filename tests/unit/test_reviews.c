/* Questions to a cluster, through the whole data path: asked once, with the gateway's own credential and nobody's identity, and bounded. */
#include "tests/unit/exchange_unit.h"
#include <fcntl.h>
#include "proxyd/cluster_call.h"
#include "proxyd/review_client.h"
#include "shared/log.h"

#define ASK(token) "GET /api HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer " token "\r\n\r\n"
#define YES "HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nyes"
#define NO "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nno"

static int judged;
static sem_t happened; /* posted by the gateway's thread with each number that a test may wait for */
static struct metrics_slot counted;

/* "yes": alice; "no": nobody; anything else is no answer. */
static enum review_verdict
judge(void *arg, const struct review_question *q, struct slice answer, struct principal **principal, const char **why)
{
	(void)arg;
	assert_true(q->body.n > 0);
	judged++;
	sem_post(&happened);
	*why = "judged";
	if (slice_eq_str(answer, "yes")) {
		principal_ref(*principal = &believer.alice);
		return REVIEW_YES;
	}
	return slice_eq_str(answer, "no") ? REVIEW_NO : REVIEW_UNKNOWN;
}

static void
make_reviews(struct rig *r, void *arg)
{
	const struct review_client_options o = { .loop = r->gateway.loop, .path = "/reviews", .kind = "Review", .resource = "reviews",
		.judge = judge };

	(void)arg;
	assert_non_null(r->gateway.token_reviews = review_client_new(&o));
	router_set_metrics(r->gateway.router, &counted);
}

static void
drop_reviews(struct rig *r, void *arg)
{
	(void)arg;
	client_close_all(&r->gateway);
	review_client_free(r->gateway.token_reviews);
	r->gateway.token_reviews = NULL;
}

static int
setup(void **state)
{
	(void)state;
	judged = 0;
	sem_init(&happened, 0, 0);
	memset(&counted, 0, sizeof(counted));
	log_set_level(LOG_LEVEL_ERROR);
	rig_start(&rig, NULL);
	rig_run(&rig, make_reviews, NULL);
	return 0;
}
static int
teardown(void **state)
{
	(void)state;
	rig_run(&rig, drop_reviews, NULL);
	rig_stop(&rig);
	log_set_level(LOG_LEVEL_INFO);
	return 0;
}

/* Until a number, which only the gateway's thread changes, is there. */
static void
await(const int *number, int wanted)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += UNIT_WAIT_S;
	for (;;) {
		rig_run(&rig, rig_order_nothing, NULL); /* its writes are seen from here on */
		if (*number == wanted)
			return;
		if (sem_timedwait(&happened, &end) < 0)
			fail_msg("%d, wanted %d", *number, wanted);
	}
}

static struct end
asking(const char *line)
{
	struct end client = rig_client(&rig);

	end_say(&client, line);
	return client;
}

static void
hear_question(struct end *cluster, const char *body)
{
	char head[8192];

	end_hear_head(cluster, head, sizeof(head));
	assert_memory_equal(head, "POST /reviews HTTP/1.1\r\nHost: cluster.test\r\n", 44);
	end_hear(cluster, body);
}

static void
serve_get(struct end *cluster, struct end *client)
{
	char head[8192];

	end_hear_head(cluster, head, sizeof(head));
	assert_memory_equal(head, "GET /api HTTP/1.1\r\n", 19);
	assert_non_null(strstr(head, "\r\nImpersonate-User: alice\r\n"));
	end_say(cluster, OK_ABC);
	hear_status(client, "200");
	end_hear(client, "abc");
}

static void
the_question_has_nothing_of_the_caller_but_the_question(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[8192];

	(void)state;
	end_say(&client, "GET /clusters/second/api/v1/pods?a=b HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer review-1\r\nX-Mine: 1\r\nCookie: a=b\r\n"
			 "User-Agent: kubectl\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n");
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_string_equal(head, "POST /reviews HTTP/1.1\r\nHost: cluster.test\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
				  "User-Agent: gatehouse-proxyd\r\nContent-Length: 8\r\n\r\n");
	end_hear(&cluster, "review-1");
	end_say(&cluster, YES);
	end_hear_head(&cluster, head, sizeof(head));
	assert_memory_equal(head, "GET /api/v1/pods?a=b HTTP/1.1\r\n", 31);
	end_say(&cluster, OK_ABC);
	hear_status(&client, "200");
	end_close(&client);
	end_close(&cluster);
}

static void
many_wait_for_one_answer(void **state)
{
	struct end clients[8], first, others[8];

	(void)state;
	clients[0] = asking(ASK("review-same"));
	first = rig_cluster(&rig);
	hear_question(&first, "review-same");
	for (int i = 1; i < 8; i++)
		clients[i] = asking(ASK("review-same"));
	for (int i = 1; i < 8; i++)
		assert_true(end_is_silent(&clients[i], 5));
	assert_true(end_is_silent(&first, 20));
	assert_true(rig_nobody_connects(rig.cluster_fd, 0));
	end_say(&first, YES);
	/* The kept connection serves one of them, each other gets one of its own. */
	for (int i = 1; i < 8; i++) {
		char head[8192];
		others[i] = rig_cluster(&rig);
		end_hear_head(&others[i], head, sizeof(head));
		end_say(&others[i], OK_ABC);
	}
	char head[8192];
	end_hear_head(&first, head, sizeof(head));
	end_say(&first, OK_ABC);
	for (int i = 0; i < 8; i++)
		hear_status(&clients[i], "200");
	assert_int_equal(judged, 1);
	for (int i = 0; i < 8; i++)
		end_close(&clients[i]);
	for (int i = 1; i < 8; i++)
		end_close(&others[i]);
	end_close(&first);
}

static void
a_no_is_a_401_for_all_that_wait(void **state)
{
	struct end a = asking(ASK("review-1")), cluster = rig_cluster(&rig);

	(void)state;
	hear_question(&cluster, "review-1");
	struct end b = asking(ASK("review-1"));
	assert_true(end_is_silent(&b, 20));
	end_say(&cluster, NO);
	hear_status(&a, "401");
	hear_status(&b, "401");
	/* Its connection is kept. */
	struct end c = asking(ASK("review-2"));
	hear_question(&cluster, "review-2");
	end_say(&cluster, YES);
	serve_get(&cluster, &c);
	end_close(&a);
	end_close(&b);
	end_close(&c);
	end_close(&cluster);
}

static void
answers_come_in_every_framing(void **state)
{
	static const char *const yes[] = {
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n2\r\nes\r\n0\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nyes",
		"HTTP/1.1 200 OK\r\n\r\nyes", /* until the connection ends */
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nyes",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyesHTTP/1.1 200 OK\r\n", /* bytes behind it */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		struct end client = asking(ASK("review-1")), cluster = rig_cluster(&rig);
		hear_question(&cluster, "review-1");
		end_say(&cluster, yes[i]);
		if (i == 2)
			end_close(&cluster);
		struct end next = i < 2 ? cluster : rig_cluster(&rig); /* used again only where nothing speaks against it */
		serve_get(&next, &client);
		if (i > 2)
			end_close(&cluster);
		end_close(&next);
		end_close(&client);
	}
}

static void
an_answer_in_pieces_is_one_answer(void **state)
{
	struct end client = asking(ASK("review-1")), cluster = rig_cluster(&rig);

	(void)state;
	hear_question(&cluster, "review-1");
	for (const char *p = YES; *p; p++)
		end_write(&cluster, p, 1);
	serve_get(&cluster, &client);
	assert_int_equal(judged, 1);
	end_close(&client);
	end_close(&cluster);
}

static void
what_is_no_answer_is_a_503_and_says_nothing_about_the_token(void **state)
{
	static const char *const bad[] = { "HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nmaybe", "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nyes",
		"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nyes", "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nyes",
		"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 3\r\n\r\nyes", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 3\r\n\r\nyes",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\nContent-Length: 3\n\nyes",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nyes", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5242880\r\n\r\nyes" };

	(void)state;
	log_set_fd(open("/dev/null", O_WRONLY));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct end client = asking(ASK("review-1")), cluster = rig_cluster(&rig);
		hear_question(&cluster, "review-1");
		end_say(&cluster, bad[i]);
		hear_status(&client, strstr(bad[i], " 401 ") || strstr(bad[i], " 403 ") ? "502" : "503");
		end_close(&client);
		end_close(&cluster);
	}
	assert_int_equal(judged, 1);
	assert_int_equal(metrics_target(&counted, "default")->upstream[METRIC_UPSTREAM_UNAUTHORIZED], 1);
	log_set_fd(2);
}

/* The answer is not taken in whole before it is found too long. */
static void
a_long_answer_is_given_up_at_its_bound(void **state)
{
	static char megabyte[1 << 20];
	struct end client = asking(ASK("review-1")), cluster = rig_cluster(&rig);
	size_t sent = 0;

	(void)state;
	memset(megabyte, 'y', sizeof(megabyte));
	hear_question(&cluster, "review-1");
	end_say(&cluster, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000000\r\n");
	for (; sent < 64 * sizeof(megabyte); sent += 16384) /* more than sockets on one machine take in by themselves */
		if (SSL_write(cluster.ssl, megabyte, 16384) <= 0)
			break;
	hear_status(&client, "503");
	assert_true(sent < 64 * sizeof(megabyte)); /* the connection was closed under it */
	assert_int_equal(judged, 0);
	end_close(&client);
	end_reset(&cluster);
}

static void
an_answer_that_breaks_off_is_none(void **state)
{
	static const char *const parts[] = { "", "HTTP/1.1 201 Cre", "HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nyes",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n" };

	(void)state;
	for (int reset = 0; reset < 2; reset++)
		for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
			struct end client = asking(ASK("review-1")), cluster = rig_cluster(&rig);
			hear_question(&cluster, "review-1");
			if (*parts[i])
				end_say(&cluster, parts[i]);
			if (reset)
				end_reset(&cluster);
			else
				end_close(&cluster);
			hear_status(&client, "503");
			end_close(&client);
		}
	/* Until the end of the connection, but the end was not said. */
	struct end client = asking(ASK("review-1")), cluster = rig_cluster(&rig);
	hear_question(&cluster, "review-1");
	end_say(&cluster, "HTTP/1.1 200 OK\r\n\r\nyes");
	end_reset(&cluster);
	hear_status(&client, "503");
	end_close(&client);
	assert_int_equal(judged, 0);
}

static void
a_kept_connection_that_died_is_replaced_once(void **state)
{
	struct end client = asking(ASK("review-1")), cluster = rig_cluster(&rig);

	(void)state;
	hear_question(&cluster, "review-1");
	end_say(&cluster, YES);
	serve_get(&cluster, &client);
	end_close(&client);
	client = asking(ASK("review-2"));
	hear_question(&cluster, "review-2");
	end_close(&cluster); /* as if it had been closed before the question came */
	cluster = rig_cluster(&rig);
	hear_question(&cluster, "review-2");
	end_close(&cluster);
	hear_status(&client, "503");
	assert_true(rig_nobody_connects(rig.cluster_fd, 20));
	end_close(&client);
}

static void
a_cluster_that_cannot_be_reached_is_a_503(void **state)
{
	(void)state;
	close(rig.cluster_fd);
	rig.cluster_fd = -1;
	struct end client = asking(ASK("review-1"));
	hear_status(&client, "503");
	end_close(&client);
}

/* The answer is worth having all the same, and a connection cut in the middle would have to be dialled anew. */
static void
a_question_goes_on_when_nobody_waits_any_more(void **state)
{
	struct end client = asking(ASK("review-1")), cluster = rig_cluster(&rig);

	(void)state;
	hear_question(&cluster, "review-1");
	end_reset(&client);
	assert_true(end_is_silent(&cluster, 20));
	end_say(&cluster, YES);
	await(&judged, 1);
	client = asking(ASK("review-2"));
	hear_question(&cluster, "review-2"); /* on the same connection */
	end_say(&cluster, NO);
	hear_status(&client, "401");
	end_close(&client);
	end_close(&cluster);
}

/* ---- bounds, without clients ---- */

static struct review_wait waits[REVIEW_WAITERS_MAX + 1];
static int answered[4];

static void
count_answer(struct review_wait *w, enum review_verdict verdict, struct principal *principal, const char *why)
{
	(void)w, (void)why;
	answered[verdict]++;
	sem_post(&happened);
	principal_unref(principal);
}

struct asked {
	size_t from, n, taken;
	bool same;
	enum err last;
};

static void
ask_many(struct rig *r, void *arg)
{
	struct asked *a = arg;
	struct destination *to;

	assert_int_equal(route_find(r->gateway.router, SLICE_LIT("gate.test"), SLICE_LIT("/api"), &to), ROUTE_FOUND);
	for (size_t i = a->from; i < a->from + a->n; i++) {
		char body[32];
		struct review_question q = { .digest = { 0 } };
		snprintf(body, sizeof(body), "%zu", a->same ? 0 : i);
		memcpy(q.digest, body, strlen(body));
		q.body = slice_str(body);
		waits[i] = (struct review_wait){ .on_answer = count_answer };
		a->last = review_client_ask(r->gateway.token_reviews, to, &q, &waits[i]);
		a->taken += a->last == OK;
	}
}

static void
cancel_all(struct rig *r, void *arg)
{
	(void)r, (void)arg;
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
		review_client_cancel(&waits[i]);
}

static void
questions_in_line_are_bounded_and_asked_in_their_turn(void **state)
{
	struct asked more = { .n = REVIEWS_RUNNING_MAX + REVIEWS_LINE_MAX + 1 };
	struct end clusters[REVIEWS_RUNNING_MAX];

	(void)state;
	memset(answered, 0, sizeof(answered));
	rig_run(&rig, ask_many, &more);
	assert_int_equal(more.taken, REVIEWS_RUNNING_MAX + REVIEWS_LINE_MAX);
	assert_int_equal(more.last, E_LIMIT);
	for (size_t i = 0; i < REVIEWS_RUNNING_MAX; i++)
		clusters[i] = rig_cluster(&rig);
	assert_true(rig_nobody_connects(rig.cluster_fd, 20));
	for (size_t i = 0; i < REVIEWS_RUNNING_MAX; i++) {
		char head[8192], n[32], body[32];
		end_hear_head(&clusters[i], head, sizeof(head));
		snprintf(n, sizeof(n), "%s", strstr(head, "Content-Length: ") + 16);
		for (long left = strtol(n, NULL, 10), at = 0; left; left--, at++)
			assert_int_equal(end_read(&clusters[i], body + at, 1), 1);
		end_say(&clusters[i], NO);
	}
	/* 32 more are asked at once, on the same connections; then everybody leaves. */
	for (size_t i = 0; i < REVIEWS_RUNNING_MAX; i++) {
		char head[8192];
		end_hear_head(&clusters[i], head, sizeof(head));
	}
	rig_run(&rig, cancel_all, NULL);
	assert_int_equal(answered[REVIEW_NO], REVIEWS_RUNNING_MAX);
	assert_int_equal(judged, REVIEWS_RUNNING_MAX);
	for (size_t i = 0; i < REVIEWS_RUNNING_MAX; i++)
		end_close(&clusters[i]);
}

static void
waiters_are_bounded(void **state)
{
	struct asked all = { .n = REVIEW_WAITERS_MAX + 1, .same = true };
	struct end cluster;

	(void)state;
	memset(answered, 0, sizeof(answered));
	rig_run(&rig, ask_many, &all);
	assert_int_equal(all.taken, REVIEW_WAITERS_MAX);
	assert_int_equal(all.last, E_LIMIT);
	cluster = rig_cluster(&rig);
	hear_question(&cluster, "0");
	end_say(&cluster, YES);
	await(&answered[REVIEW_YES], REVIEW_WAITERS_MAX);
	end_close(&cluster);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_question_has_nothing_of_the_caller_but_the_question),
		T(many_wait_for_one_answer),
		T(a_no_is_a_401_for_all_that_wait),
		T(answers_come_in_every_framing),
		T(an_answer_in_pieces_is_one_answer),
		T(what_is_no_answer_is_a_503_and_says_nothing_about_the_token),
		T(a_long_answer_is_given_up_at_its_bound),
		T(an_answer_that_breaks_off_is_none),
		T(a_kept_connection_that_died_is_replaced_once),
		T(a_cluster_that_cannot_be_reached_is_a_503),
		T(a_question_goes_on_when_nobody_waits_any_more),
		T(questions_in_line_are_bounded_and_asked_in_their_turn),
		T(waiters_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
