/* What one address and one caller may ask, by itself and through the whole data path. */
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include "proxyd/exchange_state.h"
#include "proxyd/limits.h"
#include "proxyd/metrics.h"
#include "tests/unit/exchange_unit.h"

static const unsigned char one[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, [15] = 1 }, two[16] = { [10] = 0xff, [11] = 0xff, [12] = 192, [15] = 2 };
static const unsigned char nobody[16];

static struct limits
limits_of(struct proxyd_config c)
{
	struct limits l;

	assert_int_equal(limits_init(&l, &c, 42), OK);
	return l;
}

static void
without_limits_nothing_is_refused(void **state)
{
	struct limits l = limits_of((struct proxyd_config){ 0 });
	uint64_t key[2];

	(void)state;
	for (int i = 0; i < 10000; i++) {
		assert_true(limits_connect(&l, one) && limits_ask(&l, one, 0) && limits_try(&l, one, 0));
		limits_refused(&l, one, 0);
		assert_int_equal(limits_enter(&l, SLICE_LIT("jane"), one, 0, key), LIMIT_NONE);
	}
	limits_leave(&l, key);
	limits_disconnect(&l, one);
	limits_fini(&l);
}

static void
a_unix_socket_has_no_address_and_no_limit_of_one(void **state)
{
	struct limits l = limits_of((struct proxyd_config){ .limits = { .connections_per_address = 1, .request_rate_per_address = 1, .refusal_rate_per_address = 1 } });

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_true(limits_connect(&l, nobody) && limits_ask(&l, NULL, 0) && limits_try(&l, nobody, 0));
		limits_refused(&l, nobody, 0);
	}
	limits_fini(&l);
}

static void
each_limit_counts_its_own(void **state)
{
	struct limits l = limits_of((struct proxyd_config){ .limits = { .connections_per_address = 2, .request_rate_per_address = 1, .refusal_rate_per_address = 2,
		.request_rate_per_identity = 3 } });
	uint64_t key[2];
	int n;

	(void)state;
	assert_true(limits_connect(&l, one) && limits_connect(&l, one));
	assert_false(limits_connect(&l, one));
	assert_true(limits_connect(&l, two));
	limits_disconnect(&l, one);
	assert_true(limits_connect(&l, one));
	for (n = 0; limits_ask(&l, one, 5); n++)
		;
	assert_int_equal(n, RATE_BURST_S);
	for (n = 0; limits_try(&l, one, 5); n++)
		limits_refused(&l, one, 5);
	assert_int_equal(n, 2 * RATE_BURST_S);
	assert_true(limits_try(&l, two, 5));
	for (n = 0; limits_enter(&l, SLICE_LIT("jane"), one, 5, key) == LIMIT_NONE; n++)
		;
	assert_int_equal(n, 3 * RATE_BURST_S);
	assert_int_equal(limits_enter(&l, SLICE_LIT("jane"), two, 5, key), LIMIT_IDENTITY_RATE);
	assert_int_equal(limits_enter(&l, SLICE_LIT("janet"), one, 5, key), LIMIT_NONE);
	assert_int_equal(limits_enter(&l, SLICE_LIT(""), one, 5, key), LIMIT_NONE); /* nobody's: by address, which has its own */
	limits_fini(&l);
}

static void
a_caller_has_so_many_requests_at_once(void **state)
{
	struct limits l = limits_of((struct proxyd_config){ .limits = { .requests_in_flight_per_identity = 2 } });
	uint64_t key[2], again[2];

	(void)state;
	assert_int_equal(limits_enter(&l, SLICE_LIT("jane"), one, 0, key), LIMIT_NONE);
	assert_int_equal(limits_enter(&l, SLICE_LIT("jane"), two, 0, again), LIMIT_NONE);
	assert_int_equal(limits_enter(&l, SLICE_LIT("jane"), one, 0, again), LIMIT_IDENTITY_SHARE);
	assert_int_equal(limits_enter(&l, SLICE_LIT("joe"), one, 0, again), LIMIT_NONE);
	limits_leave(&l, key);
	assert_int_equal(limits_enter(&l, SLICE_LIT("jane"), one, 0, key), LIMIT_NONE);
	limits_fini(&l);
}

/* One has filled it: others come in, up to a share as large as theirs, and the one waits until it has no more than they. */
static void
past_the_cap_whoever_has_most_is_refused_first(void **state)
{
	struct limits l = limits_of((struct proxyd_config){ .limits = { .requests_in_flight = 100 } });
	uint64_t flood[2], key[2];
	int n;

	(void)state;
	for (n = 0; limits_enter(&l, SLICE_LIT("flood"), one, 0, flood) == LIMIT_NONE; n++)
		;
	assert_int_equal(n, 100);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(limits_enter(&l, SLICE_LIT("jane"), two, 0, key), LIMIT_NONE);
		assert_int_equal(limits_enter(&l, SLICE_LIT("flood"), one, 0, key), LIMIT_IN_FLIGHT);
	}
	for (; l.in_flight_n >= 100; n--)
		limits_leave(&l, flood);
	assert_int_equal(limits_enter(&l, SLICE_LIT("flood"), one, 0, flood), LIMIT_NONE);
	assert_int_equal(limits_enter(&l, SLICE_LIT("flood"), one, 0, flood), LIMIT_IN_FLIGHT);
	limits_fini(&l);
}

/* Even a crowd of callers with one request each has an end. */
static void
far_past_the_cap_everybody_is_refused(void **state)
{
	struct limits l = limits_of((struct proxyd_config){ .limits = { .requests_in_flight = 100 } });
	uint64_t key[2];
	char name[16];
	int n;

	(void)state;
	for (n = 0; n < 1000; n++) {
		snprintf(name, sizeof(name), "user%d", n);
		if (limits_enter(&l, slice_str(name), one, 0, key) != LIMIT_NONE)
			break;
	}
	assert_int_equal(n, 100 * LIMITS_HARD_FACTOR);
	limits_fini(&l);
}

static void
names_that_begin_alike_are_different_callers(void **state)
{
	struct limits l = limits_of((struct proxyd_config){ .limits = { .requests_in_flight_per_identity = 1 } });
	static const char *const names[] = { "a", "aa", "aaaaaaaa", "aaaaaaaab", "aaaaaaaaaaaaaaaa", "system:serviceaccount:a:b", "system:serviceaccount:a:c" };
	uint64_t key[2];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(limits_enter(&l, slice_str(names[i]), one, 0, key), LIMIT_NONE);
		assert_int_equal(limits_enter(&l, slice_str(names[i]), one, 0, key), LIMIT_IDENTITY_SHARE);
	}
	limits_fini(&l);
}

/* ---- through the data path ---- */

#define BAD "GET /api HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer mallory\r\n\r\n"

static void
of_one_second(struct proxyd_config *c)
{
	c->limits.refusal_rate_per_address = 1;
	c->limits.request_rate_per_identity = 2;
}
static void
one_at_once(struct proxyd_config *c)
{
	c->limits.requests_in_flight_per_identity = 1;
}
static void
body_rate(struct proxyd_config *c)
{
	c->limits.body_rate = 100;
	c->limits.body_timeout_ms = 30000;
}

static void
hear_answer(struct end *client, const char *status, char head[4096])
{
	char body[4096];

	end_hear_head(client, head, 4096);
	assert_memory_equal(head + 9, status, 3);
	size_t n = strtoul(strstr(head, "Content-Length: ") + 16, NULL, 10);
	for (size_t got = 0; got < n;) {
		ssize_t r = end_read(client, body + got, n - got);
		assert_true(r > 0);
		got += (size_t)r;
	}
	memcpy(head, body, n);
	head[n] = '\0';
}

static void
serve_one(struct end *client, struct end *cluster)
{
	char head[4096];

	end_say(client, GET);
	if (cluster->fd < 0)
		*cluster = rig_cluster(&rig);
	end_hear_head(cluster, head, sizeof(head));
	end_say(cluster, OK_ABC);
	hear_answer(client, "200", head);
}

static void
refused_credentials_in_a_row_make_new_ones_wait_and_known_ones_not(void **state)
{
	char text[4096];

	(void)state;
	rig_start(&rig, of_one_second);
	struct end client = rig_client(&rig), cluster = { .fd = -1 };
	for (int i = 0; i < RATE_BURST_S; i++) {
		end_say(&client, BAD);
		hear_answer(&client, "401", text);
	}
	end_say(&client, BAD);
	assert_true(end_is_silent(&client, 100));
	struct end other = rig_client(&rig); /* from the same address, but known */
	serve_one(&other, &cluster);
	rig_later(&rig, EXCHANGE_LATE_MS);
	end_hear_status(&client, "429", text, sizeof(text));
	assert_non_null(strstr(text, "Retry-After: 1\r\n"));
	assert_int_equal(metrics_get(&rig.gateway.metrics->values[METRIC_LIMITED_REFUSALS]), 1);
	end_close(&client);
	end_close(&other);
	end_close(&cluster);
}

static void
a_caller_over_the_rate_is_told_when_to_come_again(void **state)
{
	char text[4096];

	(void)state;
	rig_start(&rig, of_one_second);
	struct end client = rig_client(&rig), cluster = { .fd = -1 };
	for (int i = 0; i < 2 * RATE_BURST_S; i++)
		serve_one(&client, &cluster);
	end_say(&client, GET);
	assert_true(end_is_silent(&client, 100));
	rig_later(&rig, EXCHANGE_LATE_MS);
	hear_answer(&client, "429", text);
	assert_non_null(strstr(text, "\"reason\":\"TooManyRequests\",\"details\":{\"retryAfterSeconds\":1},\"code\":429"));
	assert_non_null(strstr(text, limit_text(LIMIT_IDENTITY_RATE)));
	serve_one(&client, &cluster);
	end_close(&client);
	end_close(&cluster);
}

static void
read_late(struct rig *r, void *arg)
{
	*(size_t *)arg = r->gateway.late_n;
}
static size_t
late_n(void)
{
	size_t n;

	rig_run(&rig, read_late, &n);
	return n;
}

/* What holds answers back must not be held itself. */
static void
a_client_that_leaves_takes_its_late_answer_along(void **state)
{
	(void)state;
	rig_start(&rig, of_one_second);
	struct end client = rig_client(&rig), cluster = { .fd = -1 }, last;
	for (int i = 0; i < 2 * RATE_BURST_S; i++)
		serve_one(&client, &cluster);
	end_say(&client, GET);
	assert_true(end_is_silent(&client, 50));
	assert_int_equal(late_n(), 1);
	end_reset(&client);
	last = rig_client(&rig); /* by now the reset has been seen */
	assert_int_equal(late_n(), 0);
	end_close(&last);
	end_close(&cluster);
}

/* In flight is what nobody has answered: a watch that goes on is not. */
static void
a_request_that_is_not_answered_yet_counts_and_a_watch_does_not(void **state)
{
	char text[4096];

	(void)state;
	rig_start(&rig, one_at_once);
	struct end a = rig_client(&rig), b = rig_client(&rig);
	end_say(&a, LINE("GET", "/api/v1/pods?watch=1") "\r\n");
	struct end cluster = rig_cluster(&rig);
	end_hear_head(&cluster, text, sizeof(text));
	end_say(&b, GET);
	assert_true(end_is_silent(&b, 50));
	rig_later(&rig, EXCHANGE_LATE_MS);
	hear_answer(&b, "429", text);
	end_say(&cluster, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	end_hear_head(&a, text, sizeof(text));
	struct end second = { .fd = -1 };
	serve_one(&b, &second);
	end_close(&a);
	end_close(&b);
	end_close(&cluster);
	end_close(&second);
}

static void
a_body_that_comes_byte_by_byte_is_given_up(void **state)
{
	char head[4096];

	(void)state;
	rig_start(&rig, body_rate);
	struct end client = rig_client(&rig);
	end_say(&client, "POST /x HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer alice\r\nContent-Length: 100000\r\n\r\n");
	struct end cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	for (int s = 0; s < 10; s++) {
		end_say(&client, "x");
		end_hear(&cluster, "x");
		rig_later(&rig, 1001);
	}
	end_hear_status(&client, "408", head, sizeof(head));
	end_close(&client);
	end_close(&cluster);
}

static void
a_body_at_the_least_rate_goes_on(void **state)
{
	char head[4096], many[256];

	(void)state;
	rig_start(&rig, body_rate);
	memset(many, 'x', sizeof(many));
	many[200] = '\0';
	struct end client = rig_client(&rig);
	end_say(&client, "POST /x HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer alice\r\nContent-Length: 6000\r\n\r\n");
	struct end cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	for (int s = 0; s < 30; s++) {
		end_say(&client, many);
		end_hear(&cluster, many);
		rig_later(&rig, 1500);
	}
	end_say(&cluster, OK_ABC);
	hear_answer(&client, "200", head);
	end_close(&client);
	end_close(&cluster);
}

static sem_t held, let_go;
static void
hold(struct rig *r, void *arg)
{
	(void)r, (void)arg;
	sem_post(&held);
	sem_wait(&let_go);
}
static void *
hold_rig(void *arg)
{
	rig_run(arg, hold, NULL);
	return NULL;
}

/* All of them in one batch of events, some gone before their turn comes. */
static void
handshakes_that_come_at_once_all_have_their_turn(void **state)
{
	enum { CLIENTS = 40 };
	struct end clients[CLIENTS], known, cluster = { .fd = -1 };
	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	pthread_t holder;
	char c;

	(void)state;
	rig_start(&rig, NULL);
	known = rig_client(&rig);
	serve_one(&known, &cluster);
	sem_init(&held, 0, 0);
	sem_init(&let_go, 0, 0);
	pthread_create(&holder, NULL, hold_rig, &rig);
	sem_wait(&held);
	assert_int_equal(getsockname(rig.listen_fd, (struct sockaddr *)&a, &n), 0);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = (struct end){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
		assert_int_equal(connect(clients[i].fd, (struct sockaddr *)&a, sizeof(a)), 0);
		fcntl(clients[i].fd, F_SETFL, O_NONBLOCK);
		assert_non_null(clients[i].ssl = SSL_new(rig.client_tls));
		SSL_set_fd(clients[i].ssl, clients[i].fd);
		assert_int_equal(SSL_connect(clients[i].ssl), -1); /* what it has to say is on its way */
		if (i % 3 == 0)
			end_reset(&clients[i]);
	}
	sem_post(&let_go);
	pthread_join(holder, NULL);
	serve_one(&known, &cluster);
	for (int i = 0; i < CLIENTS; i++) {
		if (i % 3 == 0)
			continue;
		fcntl(clients[i].fd, F_SETFL, 0);
		end_patience(&clients[i]);
		assert_int_equal(SSL_connect(clients[i].ssl), 1);
		end_say(&clients[i], LINE("GET", "/clusters/none/api") "\r\n");
		assert_int_equal(end_read(&clients[i], &c, 1), 1);
		end_close(&clients[i]);
	}
	end_close(&known);
	end_close(&cluster);
}

static void
count_here(struct rig *r, void *arg)
{
	(void)arg;
	router_set_metrics(r->gateway.router, r->gateway.metrics);
}
static void
impatient(struct proxyd_config *c)
{
	c->limits.body_timeout_ms = 5000;
}

/* Who takes a few bytes now and then holds a block of ours as long as who takes none. */
static void
a_reader_that_takes_less_than_a_block_in_its_time_is_cut(void **state)
{
	const struct timeval patience = { .tv_usec = 300000 };
	char head[4096], *zeros = calloc(1, 1 << 14);

	(void)state;
	rig_start(&rig, impatient);
	struct end client = rig_client_with(&rig, "gate.test", 4096);
	end_say(&client, GET);
	struct end cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
	setsockopt(cluster.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	while (SSL_write(cluster.ssl, zeros, 1 << 14) > 0)
		;
	for (int s = 0; s < 6; s++) {
		assert_int_equal(end_read(&client, head, 1), 1);
		rig_later(&rig, 1000);
	}
	end_hear_cut(&client);
	end_close(&client);
	end_close(&cluster);
	free(zeros);
}

/* Once the batch of events is through, before what it has put off. */
static uint64_t begun;
static int strangers_left;
static sem_t seen;
static void
look(struct loop_deferred *d)
{
	(void)d;
	begun = metrics_get(&metrics_target(rig.gateway.metrics, "default")->upstream[METRIC_UPSTREAM_OPEN]);
	strangers_left = 0;
	for (const struct client *c = rig.gateway.strangers; c; c = c->stranger_next)
		strangers_left++;
	sem_post(&seen);
}
static void
look_soon(struct rig *r, void *arg)
{
	static struct loop_deferred d = { .run = look };

	(void)arg;
	loop_defer(r->gateway.loop, &d);
}
static void *
look_at_rig(void *arg)
{
	rig_run(arg, look_soon, NULL);
	return NULL;
}

/* Forty of one caller's in one batch of events, each worth two units, for the event and for the request: so many of one who is alone begin, and the rest in the batches after it. */
static void
a_caller_begins_so_many_requests_in_one_turn_and_the_rest_in_the_next_ones(void **state)
{
	enum { CLIENTS = 40 };
	struct end clients[CLIENTS], cluster[CLIENTS];
	pthread_t holder, looker;
	char text[4096];

	(void)state;
	rig_start(&rig, NULL);
	rig_run(&rig, count_here, NULL);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = rig_client(&rig);
		end_say(&clients[i], LINE("GET", "/clusters/none/api") "\r\n"); /* nobody is a stranger */
		hear_answer(&clients[i], "404", text);
	}
	sem_init(&held, 0, 0);
	sem_init(&let_go, 0, 0);
	pthread_create(&holder, NULL, hold_rig, &rig);
	sem_wait(&held);
	for (int i = 0; i < CLIENTS; i++)
		end_say(&clients[i], GET);
	sem_init(&seen, 0, 0);
	pthread_create(&looker, NULL, look_at_rig, &rig);
	for (int n = 0; n < (int)sizeof(void *); ioctl(rig.order_fds[0], FIONREAD, &n)) /* it has been given */
		sched_yield();
	sem_post(&let_go);
	pthread_join(looker, NULL);
	pthread_join(holder, NULL);
	sem_wait(&seen);
	assert_int_equal(begun, TURNS_UNITS_ALONE / 2);
	for (int i = 0; i < CLIENTS; i++) {
		cluster[i] = rig_cluster(&rig);
		end_hear_head(&cluster[i], text, sizeof(text));
		end_say(&cluster[i], OK_ABC);
	}
	for (int i = 0; i < CLIENTS; i++)
		hear_answer(&clients[i], "200", text);
	for (int i = 0; i < CLIENTS; i++) {
		end_close(&clients[i]);
		end_close(&cluster[i]);
	}
}

/* Whatever strangers have sent before: a caller's request goes first, and theirs come one in a batch. */
static void
who_is_known_does_not_wait_for_strangers(void **state)
{
	enum { CLIENTS = 20 };
	struct end clients[CLIENTS], known, cluster = { .fd = -1 };
	pthread_t holder, looker;
	char text[4096];

	(void)state;
	rig_start(&rig, NULL);
	rig_run(&rig, count_here, NULL);
	known = rig_client(&rig);
	end_say(&known, LINE("GET", "/clusters/none/api") "\r\n");
	hear_answer(&known, "404", text);
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = rig_client(&rig);
	rig_later(&rig, 0); /* the last handshake's end has been looked at */
	sem_init(&held, 0, 0);
	sem_init(&let_go, 0, 0);
	pthread_create(&holder, NULL, hold_rig, &rig);
	sem_wait(&held);
	for (int i = 0; i < CLIENTS; i++)
		end_say(&clients[i], LINE("GET", "/clusters/none/api") "\r\n");
	end_say(&known, GET);
	sem_init(&seen, 0, 0);
	pthread_create(&looker, NULL, look_at_rig, &rig);
	for (int n = 0; n < (int)sizeof(void *); ioctl(rig.order_fds[0], FIONREAD, &n)) /* it has been given */
		sched_yield();
	sem_post(&let_go);
	pthread_join(looker, NULL);
	pthread_join(holder, NULL);
	sem_wait(&seen);
	assert_int_equal(begun, 1);
	assert_int_equal(strangers_left, CLIENTS);
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, text, sizeof(text));
	end_say(&cluster, OK_ABC);
	hear_answer(&known, "200", text);
	for (int i = 0; i < CLIENTS; i++) {
		hear_answer(&clients[i], "404", text);
		end_close(&clients[i]);
	}
	end_close(&known);
	end_close(&cluster);
}

/* Gone while they wait for their turn. */
static void
a_client_that_leaves_before_its_turn_leaves_nothing_behind(void **state)
{
	enum { CLIENTS = 40 };
	struct end clients[CLIENTS], cluster = { .fd = -1 };
	pthread_t holder;

	(void)state;
	rig_start(&rig, NULL);
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = rig_client(&rig);
	sem_init(&held, 0, 0);
	sem_init(&let_go, 0, 0);
	pthread_create(&holder, NULL, hold_rig, &rig);
	sem_wait(&held);
	for (int i = 0; i < CLIENTS; i++) {
		end_say(&clients[i], GET);
		end_reset(&clients[i]);
	}
	sem_post(&let_go);
	pthread_join(holder, NULL);
	struct end after = rig_client(&rig);
	end_say(&after, LINE("GET", "/clusters/none/api") "\r\n");
	char head[4096];
	hear_answer(&after, "404", head);
	end_close(&after);
	end_close(&cluster);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_limits_nothing_is_refused),
		cmocka_unit_test(a_unix_socket_has_no_address_and_no_limit_of_one),
		cmocka_unit_test(each_limit_counts_its_own),
		cmocka_unit_test(a_caller_has_so_many_requests_at_once),
		cmocka_unit_test(past_the_cap_whoever_has_most_is_refused_first),
		cmocka_unit_test(far_past_the_cap_everybody_is_refused),
		cmocka_unit_test(names_that_begin_alike_are_different_callers),
		cmocka_unit_test_teardown(refused_credentials_in_a_row_make_new_ones_wait_and_known_ones_not, rig_teardown),
		cmocka_unit_test_teardown(a_caller_over_the_rate_is_told_when_to_come_again, rig_teardown),
		cmocka_unit_test_teardown(a_client_that_leaves_takes_its_late_answer_along, rig_teardown),
		cmocka_unit_test_teardown(a_request_that_is_not_answered_yet_counts_and_a_watch_does_not, rig_teardown),
		cmocka_unit_test_teardown(a_body_that_comes_byte_by_byte_is_given_up, rig_teardown),
		cmocka_unit_test_teardown(a_body_at_the_least_rate_goes_on, rig_teardown),
		cmocka_unit_test_teardown(a_reader_that_takes_less_than_a_block_in_its_time_is_cut, rig_teardown),
		cmocka_unit_test_teardown(a_caller_begins_so_many_requests_in_one_turn_and_the_rest_in_the_next_ones, rig_teardown),
		cmocka_unit_test_teardown(who_is_known_does_not_wait_for_strangers, rig_teardown),
		cmocka_unit_test_teardown(a_client_that_leaves_before_its_turn_leaves_nothing_behind, rig_teardown),
		cmocka_unit_test_teardown(handshakes_that_come_at_once_all_have_their_turn, rig_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
