#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "tests/unit/unit.h"
#include "authd/server.h"

#define ANSWER_BYTES_MAX 65536

static struct clock_fixed clock_held;
static struct server *server;
static char folder[64], socket_path[96], other_path[96];
static atomic_uint released;

/* ---- what is served ---- */

static struct request *waiting;
static sem_t waits; /* posted when waiting is set */

static void
answer_text(struct request *r, const char *text)
{
	struct buf body;

	buf_init(&body, 0);
	buf_add_str(&body, text);
	response_send(r, 200, "text/plain", &body);
}

static void
answer_late(struct request *r)
{
	answer_text(r, "late");
}

static void
answer_twice_waited(struct request *r)
{
	waiting = r;
	request_wait(r, answer_late);
	sem_post(&waits);
}

static void
handle(struct request *r)
{
	struct buf body;

	if (slice_eq_str(r->path, "/wait")) {
		request_wait(r, answer_late);
		waiting = r;
		sem_post(&waits);
	} else if (slice_eq_str(r->path, "/wait-twice")) {
		request_wait(r, answer_twice_waited);
		request_resume(r);
	} else if (slice_eq_str(r->path, "/headers")) {
		for (int i = 0; i < 40; i++)
			response_header(r, "X-Many", SLICE_LIT("1"));
		answer_text(r, "never seen");
	} else {
		buf_init(&body, 0);
		buf_printf(&body, "path=%.*s query=%.*s body=%zu address=%.*s id=%s", SLICE_FMT(r->path), SLICE_FMT(r->query), r->body.n, SLICE_FMT(r->address), r->id);
		response_send(r, 200, "text/plain", &body);
	}
}

static void
release(struct request *r)
{
	(void)r;
	atomic_fetch_add(&released, 1);
}

/* ---- clients ---- */

static uint16_t
http_port(void)
{
	struct buf text;
	unsigned port = 0;

	buf_init(&text, 0);
	server_addresses(server, false, &text);
	const char *at = strstr(buf_slice(&text).p, "http://127.0.0.1:");
	assert_non_null(at);
	assert_int_equal(sscanf(at, "http://127.0.0.1:%u", &port), 1);
	buf_fini(&text);
	return (uint16_t)port;
}

static int
connect_http(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(http_port()), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	return fd;
}

static int
connect_unix(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
say(int fd, const char *text, size_t n)
{
	while (n) {
		ssize_t m = send(fd, text, n, MSG_NOSIGNAL);
		if (m <= 0)
			return; /* refused early: the answer says why */
		text += m;
		n -= (size_t)m;
	}
}

static void
say_text(int fd, const char *text)
{
	say(fd, text, strlen(text));
}

/* Everything until the peer closes; the connection must say so itself within ten seconds. */
static char *
hear(int fd)
{
	static char answer[ANSWER_BYTES_MAX];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;
	ssize_t m = 1;

	while (m > 0 && n < sizeof answer - 1) {
		assert_int_equal(poll(&p, 1, 10000), 1);
		m = recv(fd, answer + n, sizeof answer - 1 - n, 0);
		n += m > 0 ? (size_t)m : 0;
	}
	answer[n] = 0;
	close(fd);
	return answer;
}

static char *
ask(int fd, const char *request_text)
{
	say_text(fd, request_text);
	return hear(fd);
}

static struct request *
wait_for_waiting(void)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 10;
	assert_int_equal(sem_timedwait(&waits, &end), 0);
	return waiting;
}

/* ---- before and after each ---- */

static enum err
listen_on(const char *http, const char *unix_path, char why[256])
{
	struct server_listen want[2];
	size_t n = 0;

	if (http)
		want[n++] = (struct server_listen){ .kind = SERVER_HTTP, .address = http };
	if (unix_path)
		want[n++] = (struct server_listen){ .kind = SERVER_UNIX, .address = unix_path };
	return server_listen(server, want, n, why, 256);
}

static int
begin(void **state)
{
	char why[256] = "";
	struct server_options o = { .clock = &clock_held.clock, .rng = &rng_system, .handle = handle, .release = release };

	(void)state;
	clock_fixed_init(&clock_held, 1700000000);
	unit_folder_make(folder);
	snprintf(socket_path, sizeof socket_path, "%s/authd.sock", folder);
	snprintf(other_path, sizeof other_path, "%s/other.sock", folder);
	atomic_store(&released, 0);
	server = server_new(&o);
	assert_non_null(server);
	assert_int_equal(listen_on("127.0.0.1:0", socket_path, why), OK);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	assert_true(server_quiesce(server, 5000));
	server_free(server);
	assert_int_equal(access(socket_path, F_OK), -1);
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

/* ---- requests ---- */

static void
a_request_is_handed_over_as_it_was_sent(void **state)
{
	(void)state;
	char *a = ask(connect_http(), "POST /a%2Fb+c?d=%20e HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\nxyz");
	assert_non_null(strstr(a, "200 OK"));
	assert_non_null(strstr(a, "path=/a%2Fb+c query=d=%20e body=3 address=127.0.0.1"));
	assert_non_null(strstr(a, "X-Request-Id: "));
}

static void
what_proxyd_says_of_the_client_is_believed_on_the_unix_socket_only(void **state)
{
	(void)state;
	static const char text[] = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.9\r\nX-Request-Id: from-proxyd\r\nConnection: close\r\n\r\n";
	char *a = ask(connect_unix(socket_path), text);
	assert_non_null(strstr(a, "address=192.0.2.9 id=from-proxyd"));
	a = ask(connect_http(), text);
	assert_non_null(strstr(a, "address=127.0.0.1"));
	assert_null(strstr(a, "from-proxyd"));
}

static void
the_socket_is_for_its_owner_and_group(void **state)
{
	(void)state;
	struct stat st;
	assert_int_equal(stat(socket_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
}

static void
a_suspended_request_is_answered_after_it_is_resumed_from_elsewhere(void **state)
{
	(void)state;
	int fd = connect_http();
	say_text(fd, "GET /wait HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	struct request *r = wait_for_waiting();
	assert_non_null(strstr(ask(connect_http(), "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "path=/x")); /* others go on */
	request_resume(r);
	assert_non_null(strstr(hear(fd), "late"));
}

static void
a_request_may_wait_more_than_once_and_be_resumed_at_once(void **state)
{
	(void)state;
	int fd = connect_http();
	say_text(fd, "GET /wait-twice HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	request_resume(wait_for_waiting());
	assert_non_null(strstr(hear(fd), "late"));
}

static void
a_client_that_leaves_while_its_request_waits_is_released_once(void **state)
{
	(void)state;
	int fd = connect_http();
	say_text(fd, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
	struct request *r = wait_for_waiting();
	close(fd);
	assert_int_equal(atomic_load(&released), 0);
	request_resume(r);
	assert_true(server_quiesce(server, 5000));
	assert_int_equal(atomic_load(&released), 1);
}

static void
ambiguous_heads_are_refused_and_the_connection_closed(void **state)
{
	(void)state;
	static const char *const heads[] = {
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nA b: c\r\n\r\n",
		"GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
		char *a = ask(connect_http(), heads[i]);
		if (!strstr(a, " 400 "))
			fail_msg("%s\nwas answered\n%s", heads[i], a);
	}
	assert_int_equal(atomic_load(&released), 0);
}

static void
a_body_of_more_than_64_kib_is_refused_announced_or_not(void **state)
{
	(void)state;
	static char big[70000];
	int fd = connect_http();

	assert_non_null(strstr(ask(connect_http(), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 65537\r\n\r\n"), " 413 "));
	memset(big, 'a', sizeof big);
	say_text(fd, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n");
	say(fd, big, sizeof big);
	say_text(fd, "\r\n0\r\n\r\n");
	assert_non_null(strstr(hear(fd), " 413 "));
}

static void
too_many_header_fields_are_431(void **state)
{
	(void)state;
	int fd = connect_http();

	say_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n");
	for (int i = 0; i < REQUEST_HEADERS_MAX + 1; i++)
		say_text(fd, "a: b\r\n");
	assert_non_null(strstr(ask(fd, "\r\n"), " 431 "));
}

static void
an_answer_that_lost_a_header_is_not_sent(void **state)
{
	(void)state;
	char *a = ask(connect_http(), "GET /headers HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	assert_non_null(strstr(a, " 500 "));
	assert_null(strstr(a, "never seen"));
}

/* ---- slow clients: nothing is slept, the clock is moved ---- */

static void
connection_is_cut_after(int fd, int64_t seconds)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char c;

	server_tick(server);
	assert_int_equal(poll(&p, 1, 50), 0);
	clock_fixed_advance(&clock_held, seconds);
	server_tick(server);
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_true(recv(fd, &c, 1, 0) <= 0);
	close(fd);
}

static void
a_head_that_is_never_finished_is_cut(void **state)
{
	(void)state;
	int fd = connect_http();
	say_text(fd, "GET / HTTP/1.1\r\nHost: h\r\nA: ");
	connection_is_cut_after(fd, SERVER_HEAD_MS / 1000 + 1);
}

static void
a_body_that_is_never_finished_is_cut_earlier(void **state)
{
	(void)state;
	int fd = connect_http();
	say_text(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
	char line[64];
	assert_true(recv(fd, line, sizeof line, 0) > 0); /* 100: the head was read */
	connection_is_cut_after(fd, SERVER_BODY_MS / 1000 + 1);
}

static void
a_request_that_waits_for_us_is_not_cut(void **state)
{
	(void)state;
	int fd = connect_http();
	say_text(fd, "GET /wait HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	struct request *r = wait_for_waiting();
	clock_fixed_advance(&clock_held, 3600);
	server_tick(server);
	request_resume(r);
	assert_non_null(strstr(hear(fd), "late"));
}

/* ---- listeners ---- */

static void
listeners_that_stay_keep_their_sockets_and_others_come_and_go(void **state)
{
	(void)state;
	uint16_t port = http_port();
	char why[256] = "";

	assert_int_equal(listen_on("127.0.0.1:0", other_path, why), OK);
	assert_int_equal(http_port(), port);
	assert_int_equal(access(socket_path, F_OK), -1);
	assert_non_null(strstr(ask(connect_unix(other_path), "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "path=/x"));
}

static void
a_listener_that_goes_finishes_what_it_has(void **state)
{
	(void)state;
	char why[256] = "";
	int fd = connect_unix(socket_path);

	say_text(fd, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
	struct request *r = wait_for_waiting();
	assert_int_equal(listen_on("127.0.0.1:0", NULL, why), OK);
	server_tick(server);
	assert_int_equal(connect_unix(socket_path), -1);
	request_resume(r);
	char *a = hear(fd);
	assert_non_null(strstr(a, "late"));
	assert_non_null(strstr(a, "Connection: close"));
}

static void
a_listener_that_cannot_be_opened_changes_nothing_and_says_why(void **state)
{
	(void)state;
	uint16_t port = http_port();
	char why[256] = "", busy[64];
	struct server_listen want[] = { { .kind = SERVER_UNIX, .address = other_path }, { .kind = SERVER_HTTP, .address = busy } };

	snprintf(busy, sizeof busy, "127.0.0.1:%u", port);
	assert_int_equal(server_listen(server, want, 2, why, sizeof why), E_SYSTEM);
	assert_non_null(strstr(why, busy));
	assert_non_null(strstr(why, "Address already in use"));
	assert_int_equal(access(other_path, F_OK), -1);
	assert_int_equal(http_port(), port);
	assert_non_null(strstr(ask(connect_unix(socket_path), "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "path=/x"));
	want[1].address = "nonsense";
	assert_int_equal(server_listen(server, want, 2, why, sizeof why), E_FORMAT);
	assert_non_null(strstr(why, "expected"));
}

static void
a_key_that_is_none_is_an_error_and_leaves_no_descriptor_behind(void **state)
{
	(void)state;
	struct server_listen want[] = { { .kind = SERVER_UNIX, .address = socket_path },
		{ .kind = SERVER_HTTPS, .address = "127.0.0.1:0", .cert_pem = "no certificate", .key_pem = "no key" } };
	char why[256] = "";
	int before = dup(0), after;

	close(before);
	assert_int_not_equal(server_listen(server, want, 2, why, sizeof why), OK);
	assert_non_null(strstr(why, "web.https: cannot listen on 127.0.0.1:0"));
	after = dup(0);
	close(after);
	assert_int_equal(after, before);
}

static void
quiescing_waits_for_requests_and_gives_up_at_its_deadline(void **state)
{
	(void)state;
	int fd = connect_http();
	say_text(fd, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
	struct request *r = wait_for_waiting();
	assert_false(server_quiesce(server, 20));
	request_resume(r);
	assert_true(server_quiesce(server, 5000));
	assert_non_null(strstr(hear(fd), "Connection: close"));
}

#define SERVER_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	sem_init(&waits, 0, 0);
	const struct CMUnitTest tests[] = {
		SERVER_TEST(a_request_is_handed_over_as_it_was_sent),
		SERVER_TEST(what_proxyd_says_of_the_client_is_believed_on_the_unix_socket_only),
		SERVER_TEST(the_socket_is_for_its_owner_and_group),
		SERVER_TEST(a_suspended_request_is_answered_after_it_is_resumed_from_elsewhere),
		SERVER_TEST(a_request_may_wait_more_than_once_and_be_resumed_at_once),
		SERVER_TEST(a_client_that_leaves_while_its_request_waits_is_released_once),
		SERVER_TEST(ambiguous_heads_are_refused_and_the_connection_closed),
		SERVER_TEST(a_body_of_more_than_64_kib_is_refused_announced_or_not),
		SERVER_TEST(too_many_header_fields_are_431),
		SERVER_TEST(an_answer_that_lost_a_header_is_not_sent),
		SERVER_TEST(a_head_that_is_never_finished_is_cut),
		SERVER_TEST(a_body_that_is_never_finished_is_cut_earlier),
		SERVER_TEST(a_request_that_waits_for_us_is_not_cut),
		SERVER_TEST(listeners_that_stay_keep_their_sockets_and_others_come_and_go),
		SERVER_TEST(a_listener_that_goes_finishes_what_it_has),
		SERVER_TEST(a_listener_that_cannot_be_opened_changes_nothing_and_says_why),
		SERVER_TEST(a_key_that_is_none_is_an_error_and_leaves_no_descriptor_behind),
		SERVER_TEST(quiescing_waits_for_requests_and_gives_up_at_its_deadline),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
