#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include "proxyd/tls.h"
#include "proxyd/transport.h"
#include "tests/unit/unit.h"
#include "tests/unit/unit_tls.h"

/* One end is a transport in a loop, the other a blocking socket. The loop runs until something happened. */
struct fixture {
	struct loop *loop;
	struct transport t;
	struct loop_timer patience;
	int events, fd;
	SSL *peer;
	SSL_CTX *server, *client;
};
static struct fixture f;

static void
on_ready(struct transport *t)
{
	assert_ptr_equal(t, &f.t);
	f.events++;
	loop_stop(f.loop);
}
static void
on_patience(struct loop_timer *t)
{
	(void)t;
	loop_stop(f.loop);
}
/* True: an event came within ms. */
static bool
wait_event(unsigned ms)
{
	int before = f.events;

	f.patience.on_due = on_patience;
	assert_int_equal(loop_timer_set(f.loop, &f.patience, ms), OK);
	assert_int_equal(loop_run(f.loop), OK);
	loop_timer_clear(f.loop, &f.patience);
	return f.events > before;
}

static void
make_contexts(void)
{
	static const unsigned char secret[TLS_TICKET_SECRET_BYTES];
	char cert[TEST_PEM_BYTES], key[TEST_PEM_BYTES];
	struct tls_error e;
	EVP_PKEY *k = test_key_new(0);

	test_key_pem(k, NULL, key);
	test_certificate_pem(k, time(NULL) - 60, time(NULL) + 3600, cert);
	EVP_PKEY_free(k);
	const struct tls_server_options o = { .cert_pem = slice_str(cert), .key_pem = slice_str(key), .context = SLICE_LIT("t"),
		.ticket_secret = secret, .clock = &clock_system };
	assert_int_equal(tls_server_new(&o, &f.server, &e), OK);
	assert_non_null(f.client = SSL_CTX_new(TLS_client_method()));
}

static int
setup_plain(void **state)
{
	int fds[2];

	(void)state;
	memset(&f, 0, sizeof(f));
	signal(SIGPIPE, SIG_DFL); /* a transport must not need it ignored */
	assert_non_null(f.loop = loop_new(&clock_system));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	const int flags = fcntl(fds[0], F_GETFL);
	fcntl(fds[0], F_SETFL, flags | O_NONBLOCK);
	f.fd = fds[1];
	assert_int_equal(transport_open(&f.t, f.loop, fds[0], NULL, false, on_ready), OK);
	return 0;
}

static void *
connect_peer(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)SSL_connect(f.peer);
}

/* TLS over loopback TCP, handshake done. */
static int
setup_tls(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval patience = { .tv_sec = 5 };
	pthread_t thread;
	void *ok;

	(void)state;
	memset(&f, 0, sizeof(f));
	signal(SIGPIPE, SIG_IGN); /* the peer is a plain BIO */
	assert_non_null(f.loop = loop_new(&clock_system));
	make_contexts();
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
	f.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(f.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(f.fd, (struct sockaddr *)&a, n), 0);
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	close(listener);
	assert_non_null(f.peer = SSL_new(f.client));
	SSL_set_fd(f.peer, f.fd);
	pthread_create(&thread, NULL, connect_peer, NULL);
	SSL *ssl = SSL_new(f.server);
	SSL_set_accept_state(ssl);
	assert_int_equal(transport_open(&f.t, f.loop, fd, ssl, false, on_ready), OK);
	int halfway_n = 0;
	while (transport_handshake(&f.t) == IO_AGAIN) {
		halfway_n += f.t.halfway;
		assert_true(f.t.halfway || wait_event(5000));
	}
	assert_int_equal(halfway_n, 1); /* for others to have their turn */
	assert_true(f.t.handshaken && !f.t.halfway);
	pthread_join(thread, &ok);
	assert_int_equal((intptr_t)ok, 1);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	transport_close(&f.t);
	loop_free(f.loop);
	SSL_free(f.peer);
	if (f.fd >= 0)
		close(f.fd);
	SSL_CTX_free(f.server);
	SSL_CTX_free(f.client);
	return 0;
}

static void
peer_say(const char *text)
{
	int n = (int)strlen(text);

	if (f.peer)
		assert_int_equal(SSL_write(f.peer, text, n), n);
	else
		assert_int_equal(write(f.fd, text, (size_t)n), n);
}

static void
nothing_is_read_before_there_is_an_event(void **state)
{
	char buf[16];
	size_t n = 99;

	(void)state;
	assert_false(transport_may_read(&f.t));
	assert_int_equal(transport_read(&f.t, buf, sizeof(buf), &n), IO_AGAIN);
	assert_int_equal(n, 0);
}

static void
a_short_read_is_the_last_until_the_next_event(void **state)
{
	char buf[16];
	size_t n;

	(void)state;
	peer_say("abc");
	assert_true(wait_event(5000));
	assert_int_equal(transport_read(&f.t, buf, sizeof(buf), &n), IO_OK);
	assert_int_equal(n, 3);
	assert_false(transport_may_read(&f.t)); /* without asking the kernel */
	peer_say("defg");
	assert_int_equal(transport_read(&f.t, buf, sizeof(buf), &n), IO_AGAIN);
	assert_true(wait_event(5000));
	assert_int_equal(transport_read(&f.t, buf, 2, &n), IO_OK);
	assert_int_equal(n, 2);
	assert_true(transport_may_read(&f.t)); /* a full buffer says nothing about what is left */
	assert_int_equal(transport_read(&f.t, buf, sizeof(buf), &n), IO_OK);
	assert_int_equal(n, 2);
	assert_memory_equal(buf, "fg", 2);
}

static void
the_end_is_seen_behind_the_last_bytes(void **state)
{
	char buf[16];
	size_t n;

	(void)state;
	peer_say("abc");
	if (f.peer)
		SSL_shutdown(f.peer);
	shutdown(f.fd, SHUT_WR); /* before the loop looks: one event for both */
	assert_true(wait_event(5000));
	assert_int_equal(transport_read(&f.t, buf, sizeof(buf), &n), IO_OK);
	assert_int_equal(n, 3);
	assert_int_equal(transport_read(&f.t, buf, sizeof(buf), &n), IO_EOF);
}

static void
an_end_without_close_notify_is_a_failure(void **state)
{
	char buf[16], why[TRANSPORT_WHY_MAX];
	size_t n;

	(void)state;
	shutdown(f.fd, SHUT_WR);
	assert_true(wait_event(5000));
	assert_int_equal(transport_read(&f.t, buf, sizeof(buf), &n), IO_FAILED);
	assert_non_null(strstr(transport_why(&f.t, why), "eof"));
	assert_int_equal(transport_read(&f.t, buf, sizeof(buf), &n), IO_FAILED);
	assert_int_equal(transport_write(&f.t, "x", 1, &n), IO_FAILED);
	transport_close(&f.t);
	ERR_clear_error();
	assert_int_equal(SSL_read(f.peer, buf, sizeof(buf)), 0);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_UNEXPECTED_EOF_WHILE_READING); /* no alert is sent after a peer that has ended */
}

static void
a_reset_is_a_failure_with_its_reason(void **state)
{
	const struct linger now = { .l_onoff = 1 };
	char buf[16], why[TRANSPORT_WHY_MAX];
	size_t n;

	(void)state;
	setsockopt(f.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(f.fd);
	f.fd = -1;
	assert_true(wait_event(5000));
	assert_int_equal(transport_read(&f.t, buf, sizeof(buf), &n), IO_FAILED);
	assert_string_equal(transport_why(&f.t, why), "Connection reset by peer");
}

static void
a_full_socket_takes_the_rest_after_the_peer_has_read(void **state)
{
	enum { ALL = 8 << 20 };
	char *out = malloc(ALL), *in = malloc(ALL);
	size_t put, done = 0, got = 0;

	(void)state;
	for (size_t i = 0; i < ALL; i++)
		out[i] = (char)(i * 31 >> 3);
	enum io io = transport_write(&f.t, out, ALL, &put);
	assert_int_equal(io, IO_AGAIN);
	assert_true(put < ALL);
	done = put;
	assert_int_equal(transport_write(&f.t, out + done, ALL - done, &put), IO_AGAIN); /* without asking the kernel */
	assert_int_equal(put, 0);
	while (got < ALL) {
		size_t most = ALL - got < 65536 ? ALL - got : 65536;
		ssize_t n = f.peer ? SSL_read(f.peer, in + got, (int)most) : read(f.fd, in + got, most);
		assert_true(n > 0);
		got += (size_t)n;
		if (done < ALL && got == done) {
			while (f.t.full)
				assert_true(wait_event(5000));
			io = transport_write(&f.t, out + done, ALL - done, &put);
			assert_true(io == IO_OK || io == IO_AGAIN);
			done += put;
		}
	}
	assert_memory_equal(in, out, ALL);
	free(out);
	free(in);
}

static void
what_a_peer_said_before_it_stopped_listening_can_still_be_read(void **state)
{
	char buf[16];
	size_t put, n;

	(void)state;
	peer_say("no");
	close(f.fd); /* a unix socket: EPIPE at the next write, and the bytes stay */
	f.fd = -1;
	assert_int_equal(transport_write(&f.t, "x", 1, &put), IO_FAILED); /* and no SIGPIPE */
	assert_true(wait_event(5000));
	assert_int_equal(transport_read(&f.t, buf, sizeof(buf), &n), IO_OK);
	assert_int_equal(n, 2);
	assert_int_equal(transport_read(&f.t, buf, sizeof(buf), &n), IO_EOF);
}

static void
ending_says_so_and_lets_the_peer_finish(void **state)
{
	char buf[64];
	enum io io;

	(void)state;
	transport_end(&f.t);
	assert_int_equal(SSL_read(f.peer, buf, sizeof(buf)), 0);
	assert_int_equal(SSL_get_error(f.peer, 0), SSL_ERROR_ZERO_RETURN);
	for (int i = 0; i < 100; i++)
		peer_say("what the peer still has to say");
	while ((io = transport_discard(&f.t)) == IO_AGAIN && wait_event(50))
		;
	assert_int_equal(io, IO_AGAIN);
	SSL_shutdown(f.peer);
	close(f.fd);
	f.fd = -1;
	while ((io = transport_discard(&f.t)) == IO_AGAIN)
		assert_true(wait_event(5000));
	assert_int_equal(io, IO_EOF); /* no reset in between */
}

static void
resting_loses_nothing_that_has_come_and_is_over_with_the_next_write(void **state)
{
	char buf[8] = "";
	size_t n, put;

	(void)state;
	peer_say("abcdef");
	assert_true(wait_event(5000));
	assert_int_equal(transport_read(&f.t, buf, 2, &n), IO_OK);
	transport_rest(&f.t); /* the rest of the record is there, decrypted */
	assert_int_equal(transport_read(&f.t, buf + 2, sizeof(buf) - 3, &n), IO_OK);
	assert_string_equal(buf, "abcdef");
	transport_rest(&f.t);
	assert_int_equal(transport_write(&f.t, "xyz", 3, &put), IO_OK);
	assert_int_equal(f.peer ? SSL_read(f.peer, buf, sizeof(buf)) : recv(f.fd, buf, sizeof(buf), 0), 3);
	peer_say("g");
	assert_true(wait_event(5000));
	assert_int_equal(transport_read(&f.t, buf, sizeof(buf), &n), IO_OK);
	assert_int_equal(n, 1);
}

static void
an_error_left_in_the_queue_does_not_fail_the_next_read(void **state)
{
	char buf[16];
	size_t n, put;

	(void)state;
	peer_say("abc");
	assert_true(wait_event(5000));
	ERR_put_error(ERR_LIB_EVP, 0, EVP_R_BAD_DECRYPT, __FILE__, __LINE__);
	assert_int_equal(transport_read(&f.t, buf, sizeof(buf), &n), IO_OK);
	ERR_put_error(ERR_LIB_EVP, 0, EVP_R_BAD_DECRYPT, __FILE__, __LINE__);
	assert_int_equal(transport_read(&f.t, buf, sizeof(buf), &n), IO_AGAIN);
	assert_int_equal(transport_write(&f.t, "x", 1, &put), IO_OK);
}

static void
connecting_succeeds_or_says_why_not(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char why[TRANSPORT_WHY_MAX];

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &n), 0);
	for (int there = 1; there >= 0; there--) {
		transport_close(&f.t);
		if (!there)
			close(listener);
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(fd, (struct sockaddr *)&a, n);
		assert_int_equal(transport_open(&f.t, f.loop, fd, NULL, true, on_ready), OK);
		enum io io;
		while ((io = transport_handshake(&f.t)) == IO_AGAIN)
			assert_true(wait_event(5000));
		assert_int_equal(io, there ? IO_OK : IO_FAILED);
		if (!there)
			assert_string_equal(transport_why(&f.t, why), "Connection refused");
	}
}

int
main(void)
{
#define PLAIN(name) { #name " (plain)", name, setup_plain, teardown, NULL }
#define TLS(name) { #name " (TLS)", name, setup_tls, teardown, NULL }
	const struct CMUnitTest tests[] = {
		PLAIN(nothing_is_read_before_there_is_an_event),
		TLS(nothing_is_read_before_there_is_an_event),
		PLAIN(a_short_read_is_the_last_until_the_next_event),
		TLS(a_short_read_is_the_last_until_the_next_event),
		PLAIN(the_end_is_seen_behind_the_last_bytes),
		TLS(the_end_is_seen_behind_the_last_bytes),
		TLS(an_end_without_close_notify_is_a_failure),
		TLS(a_reset_is_a_failure_with_its_reason),
		PLAIN(a_full_socket_takes_the_rest_after_the_peer_has_read),
		TLS(a_full_socket_takes_the_rest_after_the_peer_has_read),
		PLAIN(what_a_peer_said_before_it_stopped_listening_can_still_be_read),
		TLS(ending_says_so_and_lets_the_peer_finish),
		PLAIN(resting_loses_nothing_that_has_come_and_is_over_with_the_next_write),
		TLS(resting_loses_nothing_that_has_come_and_is_over_with_the_next_write),
		TLS(an_error_left_in_the_queue_does_not_fail_the_next_read),
		PLAIN(connecting_succeeds_or_says_why_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
