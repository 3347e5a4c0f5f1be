/* How much of what came at once is begun in one batch of events, through the whole data path: who sends many requests in a few bytes waits for themselves. */
#include <fcntl.h>
#include "tests/unit/h2_unit.h"

#define BATCHES_MAX 2000

/* How many requests had begun at the end of each batch, until nobody asks any more. */
static struct counter {
	struct loop_deferred deferred;
	uint32_t begun[BATCHES_MAX];
	_Atomic int n;
} counter;
static sem_t held, let_go;

static void
count(struct loop_deferred *d)
{
	struct counter *c = (struct counter *)d;
	int n = c->n;

	if (n >= BATCHES_MAX)
		return;
	c->begun[n] = rig.gateway.id_counter; /* each request takes a number */
	c->n = n + 1;
	loop_defer(rig.gateway.loop, d);
}
static void
hold(struct rig *r, void *arg)
{
	(void)arg;
	sem_post(&held);
	sem_wait(&let_go);
	counter.deferred.run = count;
	counter.n = 0;
	loop_defer(r->gateway.loop, &counter.deferred);
}
static void *
hold_rig(void *arg)
{
	rig_run(arg, hold, NULL);
	return NULL;
}

/* While the worker is held, bytes[0..n) come on a connection. */
static void
send_at_once(struct end *e, const char *bytes, size_t n)
{
	pthread_t holder;

	sem_init(&held, 0, 0);
	sem_init(&let_go, 0, 0);
	pthread_create(&holder, NULL, hold_rig, &rig);
	sem_wait(&held);
	end_write(e, bytes, n);
	sem_post(&let_go);
	pthread_join(holder, NULL);
}

/* The most that began in one batch; all of them did. */
static uint32_t
largest_batch(uint32_t all)
{
	uint32_t most = 0;

	while (counter.n < BATCHES_MAX)
		sched_yield();
	for (int i = 1; i < BATCHES_MAX; i++) {
		uint32_t step = counter.begun[i] - counter.begun[i - 1];
		most = step > most ? step : most;
	}
	assert_int_equal(counter.begun[BATCHES_MAX - 1] - counter.begun[0], all);
	return most;
}

static void
hear_answers(struct end *e, const char *line, size_t n)
{
	static char seen[1 << 20];
	size_t got = 0, found = 0;

	while (found < n) {
		ssize_t r = end_read(e, seen + got, sizeof(seen) - got);
		assert_true(r > 0);
		got += (size_t)r;
		found = 0;
		for (const char *p = seen; (p = memmem(p, (size_t)(seen + got - p), line, strlen(line))); p++)
			found++;
	}
	assert_int_equal(found, n);
}

/* n requests, behind one another in one piece. */
static size_t
requests(char *out, const char *one, size_t n)
{
	for (size_t i = 0; i < n; i++)
		memcpy(out + i * strlen(one), one, strlen(one));
	return n * strlen(one);
}

static void
a_stranger_s_pipelined_requests_are_answered_one_in_a_batch(void **state)
{
	enum { N = 100 };
	static const char one[] = "GET /api HTTP/1.1\r\n" HOST "\r\n";
	static char many[N * sizeof(one)];
	struct end client = rig_client(&rig);

	(void)state;
	send_at_once(&client, many, requests(many, one, N));
	hear_answers(&client, "HTTP/1.1 401 ", N);
	assert_int_equal(largest_batch(N), 1);
	end_close(&client);
}

/* A record for each: there is never a second one in what has been read. */
static void
neither_are_those_that_come_in_pieces(void **state)
{
	enum { N = 50 };
	static const char one[] = "GET /api HTTP/1.1\r\n" HOST "\r\n";
	struct end client = rig_client(&rig);
	pthread_t holder;

	(void)state;
	sem_init(&held, 0, 0);
	sem_init(&let_go, 0, 0);
	pthread_create(&holder, NULL, hold_rig, &rig);
	sem_wait(&held);
	for (int i = 0; i < N; i++)
		end_write(&client, one, sizeof(one) - 1);
	sem_post(&let_go);
	pthread_join(holder, NULL);
	hear_answers(&client, "HTTP/1.1 401 ", N);
	assert_int_equal(largest_batch(N), 1);
	end_close(&client);
}

static void
a_caller_s_pipelined_requests_are_as_many_as_their_units(void **state)
{
	enum { N = 300 };
	static const char one[] = LINE("GET", "/clusters/none/api") "\r\n";
	static char many[N * sizeof(one)];
	struct end client = rig_client(&rig);

	(void)state;
	end_say(&client, one);
	hear_answers(&client, "HTTP/1.1 404 ", 1);
	send_at_once(&client, many, requests(many, one, N));
	hear_answers(&client, "HTTP/1.1 404 ", N);
	assert_in_range(largest_batch(N), 2, TURNS_UNITS_ALONE);
	end_close(&client);
}

/* As many streams as there may be in a few KiB, given up at once or not: the cost of so few of them is what others wait for. */
static void
a_stranger_s_streams_are_begun_a_few_in_a_batch(void **state)
{
	enum { N = 300 };
	struct h2_client c = h2_client(&rig);
	struct h2_frame f;
	struct buf out;

	(void)state;
	for (int i = 0; i < 20; i++) { /* small ones before it change nothing */
		h2_say(&c, FRAME_PING, 0, 0, "12345678", 8);
		h2_hear(&c, FRAME_PING, 0, &f);
	}
	buf_init(&out, 1 << 20);
	for (uint32_t i = 0; i < N; i++)
		add_headers(&out, 2 * i + 1, FLAGS_WHOLE, ":method: GET\n:scheme: https\n:authority: gate.test\n:path: /api\n");
	assert_true(buf_ok(&out));
	send_at_once(&c.end, out.p, out.n);
	for (uint32_t i = 0; i < N && h2_hear_any(&c, &f);)
		i += f.type == FRAME_HEADERS;
	assert_int_equal(f.type, FRAME_HEADERS);
	assert_in_range(largest_batch(N), 2, 64);
	buf_fini(&out);
	h2_close(&c);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(a_stranger_s_pipelined_requests_are_answered_one_in_a_batch),
		T(neither_are_those_that_come_in_pieces),
		T(a_caller_s_pipelined_requests_are_as_many_as_their_units),
		T(a_stranger_s_streams_are_begun_a_few_in_a_batch),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
