/* The pool of connections to one destination. The loop runs in the test's thread until what is waited for has happened. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include "proxyd/upstream.h"
#include "tests/unit/unit.h"

struct call {
	struct upstream_call call; /* first */
	int connected, failed, ready;
	enum upstream_failure failure;
	char why[200];
};
static struct loop *loop;
static struct upstream *upstream;
static int listener;
static struct address addresses[3];

static void
on_connected(struct upstream_call *call)
{
	((struct call *)call)->connected++;
	loop_stop(loop);
}
static void
on_failed(struct upstream_call *call, enum upstream_failure failure, const char *why)
{
	struct call *c = (struct call *)call;

	c->failed++;
	c->failure = failure;
	snprintf(c->why, sizeof(c->why), "%s", why);
	loop_stop(loop);
}
static void
on_ready(struct upstream_call *call)
{
	((struct call *)call)->ready++;
	loop_stop(loop);
}
static struct call
a_call(void)
{
	return (struct call){ .call = { .on_connected = on_connected, .on_failed = on_failed, .on_ready = on_ready } };
}

static void
on_due(struct loop_timer *t)
{
	(void)t;
	loop_stop(loop);
}
/* Until a callback above stops it, or ms have passed. */
static void
run(unsigned ms)
{
	struct loop_timer patience = { .on_due = on_due };

	assert_int_equal(loop_timer_set(loop, &patience, ms), OK);
	assert_int_equal(loop_run(loop), OK);
	loop_timer_clear(loop, &patience);
}

static int
tcp_listen(struct address *a, int backlog)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*a = (struct address){ .len = sizeof(a->u.in4) };
	a->u.in4.sin_family = AF_INET;
	a->u.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, &a->u.sa, a->len), 0);
	assert_int_equal(listen(fd, backlog), 0);
	socklen_t n = sizeof(a->u);
	assert_int_equal(getsockname(fd, &a->u.sa, &n), 0);
	return fd;
}

static void
make(size_t address_n, uint64_t connect_ms, uint64_t idle_ms)
{
	const struct upstream_options o = { .name = "test", .addresses = addresses, .address_n = address_n, .connect_timeout_ms = connect_ms,
		.idle_timeout_ms = idle_ms };

	assert_int_equal(upstream_new(loop, &o, &upstream), OK);
}

static int
setup(void **state)
{
	(void)state;
	assert_non_null(loop = loop_new(&clock_system));
	listener = tcp_listen(&addresses[0], 16);
	upstream = NULL;
	return 0;
}
static int
teardown(void **state)
{
	(void)state;
	upstream_free(upstream);
	loop_free(loop);
	if (listener >= 0)
		close(listener);
	return 0;
}

/* A connected call, and the other end. */
static int
connect_call(struct call *c)
{
	*c = a_call();
	assert_int_equal(upstream_start(upstream, &c->call, true), E_AGAIN);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	while (!c->connected) {
		run(5000);
		assert_int_equal(c->failed, 0);
	}
	assert_non_null(c->call.transport);
	assert_false(c->call.kept);
	return fd;
}

static bool
is_closed(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

static void
the_connection_that_was_kept_last_is_used_first(void **state)
{
	struct call a, b, again = a_call();

	(void)state;
	make(1, 1000, 60000);
	int fd_a = connect_call(&a), fd_b = connect_call(&b);
	struct upstream_connection *last = b.call.connection;
	upstream_finish(&a.call, true);
	upstream_finish(&b.call, true);
	assert_null(b.call.transport);
	assert_int_equal(upstream_idle_n(upstream), 2);
	assert_int_equal(upstream_start(upstream, &again.call, false), OK);
	assert_ptr_equal(again.call.connection, last);
	assert_true(again.call.kept);
	assert_int_equal(upstream_idle_n(upstream), 1);
	upstream_finish(&again.call, false);
	run(20);
	assert_true(is_closed(fd_b));
	assert_false(is_closed(fd_a));
	close(fd_a);
	close(fd_b);
}

static void
a_fresh_connection_is_asked_for_and_got(void **state)
{
	struct call a, b;

	(void)state;
	make(1, 1000, 60000);
	int fd_a = connect_call(&a);
	upstream_finish(&a.call, true);
	int fd_b = connect_call(&b);
	assert_int_equal(upstream_idle_n(upstream), 1);
	upstream_finish(&b.call, true);
	close(fd_a);
	close(fd_b);
}

static void
an_idle_connection_that_ends_or_speaks_is_closed_at_once(void **state)
{
	(void)state;
	make(1, 1000, 60000);
	for (int speaks = 0; speaks < 2; speaks++) {
		struct call a;
		int fd = connect_call(&a);
		upstream_finish(&a.call, true);
		assert_int_equal(upstream_idle_n(upstream), 1);
		if (speaks)
			assert_int_equal(write(fd, "HTTP/1.1 200 OK\r\n\r\n", 19), 19);
		else
			shutdown(fd, SHUT_WR);
		run(20);
		assert_int_equal(upstream_idle_n(upstream), 0);
		close(fd);
	}
}

static void
a_connection_with_bytes_left_on_it_is_not_kept(void **state)
{
	struct call a;
	char c;
	size_t n;

	(void)state;
	make(1, 1000, 60000);
	int fd = connect_call(&a);
	assert_int_equal(write(fd, "ab", 2), 2);
	run(5000);
	assert_int_equal(a.ready, 1);
	assert_int_equal(transport_read(a.call.transport, &c, 1, &n), IO_OK);
	upstream_finish(&a.call, true);
	assert_int_equal(upstream_idle_n(upstream), 0);
	close(fd);
}

static void
idle_connections_are_closed_when_their_time_is_over_and_not_before(void **state)
{
	struct call a, b;

	(void)state;
	make(1, 1000, 300);
	int fd_a = connect_call(&a), fd_b = connect_call(&b);
	upstream_finish(&a.call, true);
	run(200);
	upstream_finish(&b.call, true);
	assert_false(is_closed(fd_a));
	run(200);
	assert_true(is_closed(fd_a));
	assert_false(is_closed(fd_b));
	assert_int_equal(upstream_idle_n(upstream), 1);
	run(250);
	assert_true(is_closed(fd_b));
	assert_int_equal(upstream_idle_n(upstream), 0);
	close(fd_a);
	close(fd_b);
}

static void
more_than_the_most_are_not_kept(void **state)
{
	static struct call calls[UPSTREAM_IDLE_MAX + 1];
	static int fds[UPSTREAM_IDLE_MAX + 1];

	(void)state;
	make(1, 1000, 60000);
	for (size_t i = 0; i <= UPSTREAM_IDLE_MAX; i++)
		fds[i] = connect_call(&calls[i]);
	for (size_t i = 0; i <= UPSTREAM_IDLE_MAX; i++)
		upstream_finish(&calls[i].call, true);
	assert_int_equal(upstream_idle_n(upstream), UPSTREAM_IDLE_MAX);
	run(20);
	assert_true(is_closed(fds[0])); /* the oldest */
	assert_false(is_closed(fds[1]));
	for (size_t i = 0; i <= UPSTREAM_IDLE_MAX; i++)
		close(fds[i]);
}

static void
a_refused_connection_fails_with_its_reason(void **state)
{
	struct call a = a_call();

	(void)state;
	make(1, 1000, 60000);
	close(listener);
	listener = -1;
	assert_int_equal(upstream_start(upstream, &a.call, false), E_AGAIN);
	assert_int_equal(a.failed, 0); /* never before upstream_start has returned */
	run(5000);
	assert_int_equal(a.failed, 1);
	assert_int_equal(a.failure, UPSTREAM_REFUSED);
	assert_string_equal(a.why, "Connection refused");
	assert_null(a.call.connection);
	upstream_finish(&a.call, false); /* nothing */
}

static void
the_next_address_is_tried_and_remembered(void **state)
{
	struct call a = a_call(), b = a_call();

	(void)state;
	addresses[2] = addresses[0];
	close(tcp_listen(&addresses[0], 1)); /* two that refuse, one that answers */
	close(tcp_listen(&addresses[1], 1));
	make(3, 2000, 60000);
	assert_int_equal(upstream_start(upstream, &a.call, true), E_AGAIN);
	while (!a.connected && !a.failed)
		run(5000);
	assert_int_equal(a.connected, 1);
	int fd = accept(listener, NULL, NULL);
	upstream_finish(&a.call, false);
	assert_int_equal(upstream_start(upstream, &b.call, true), E_AGAIN);
	int again = accept(listener, NULL, NULL); /* at once, without a detour */
	assert_true(again >= 0);
	while (!b.connected)
		run(5000);
	upstream_finish(&b.call, false);
	close(fd);
	close(again);
}

static void
a_connection_that_does_not_come_about_in_time_fails(void **state)
{
	struct call fill[4], a = a_call();

	(void)state;
	/* A listener whose backlog is full drops what comes then. */
	close(listener);
	listener = tcp_listen(&addresses[0], 0);
	make(1, 200, 60000);
	for (int i = 0; i < 4; i++) {
		fill[i] = a_call();
		assert_int_equal(upstream_start(upstream, &fill[i].call, true), E_AGAIN);
	}
	assert_int_equal(upstream_start(upstream, &a.call, true), E_AGAIN);
	while (!a.failed)
		run(5000);
	assert_int_equal(a.failure, UPSTREAM_TIMEOUT);
	assert_string_equal(a.why, "connect timed out");
	for (int i = 0; i < 4; i++)
		upstream_finish(&fill[i].call, false);
}

static void
a_call_may_end_before_its_connection_is_there(void **state)
{
	struct call a = a_call();

	(void)state;
	make(1, 1000, 60000);
	assert_int_equal(upstream_start(upstream, &a.call, true), E_AGAIN);
	upstream_finish(&a.call, false);
	run(20);
	assert_int_equal(a.connected + a.failed, 0);
	assert_int_equal(upstream_idle_n(upstream), 0);
}

static void
without_an_address_there_is_nothing_to_wait_for(void **state)
{
	struct call a = a_call();

	(void)state;
	make(0, 1000, 60000);
	assert_int_equal(upstream_start(upstream, &a.call, false), E_EMPTY);
	struct upstream *u;
	const struct upstream_options o = { .name = "none", .addresses = addresses, .address_n = 1, .connect_timeout_ms = 100, .idle_timeout_ms = 100 };
	addresses[0] = (struct address){ .len = sizeof(addresses[0].u.un) };
	addresses[0].u.un = (struct sockaddr_un){ .sun_family = AF_UNIX, .sun_path = "/nonexistent/socket" };
	assert_int_equal(upstream_new(loop, &o, &u), OK);
	assert_int_equal(upstream_start(u, &a.call, false), E_SYSTEM);
	assert_int_equal(errno, ENOENT);
	assert_null(a.call.connection);
	upstream_free(u);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_connection_that_was_kept_last_is_used_first),
		T(a_fresh_connection_is_asked_for_and_got),
		T(an_idle_connection_that_ends_or_speaks_is_closed_at_once),
		T(a_connection_with_bytes_left_on_it_is_not_kept),
		T(idle_connections_are_closed_when_their_time_is_over_and_not_before),
		T(more_than_the_most_are_not_kept),
		T(a_refused_connection_fails_with_its_reason),
		T(the_next_address_is_tried_and_remembered),
		T(a_connection_that_does_not_come_about_in_time_fails),
		T(a_call_may_end_before_its_connection_is_there),
		T(without_an_address_there_is_nothing_to_wait_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
