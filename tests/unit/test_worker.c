/* A worker as a process of its own, with master played by the test. It has no keys and no cluster that answers: 401 is proof of life. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <openssl/ssl.h>
#include "proxyd/control.h"
#include "proxyd/worker.h"
#include "tests/unit/unit.h"
#include "tests/unit/unit_tls.h"

static char cert_pem[TEST_PEM_BYTES], key_pem[TEST_PEM_BYTES];
static struct proxyd_config config;
static struct proxyd_listen listen_item;
static struct proxyd_cluster cluster;
static int listen_fd;
static struct sockaddr_in address;
static SSL_CTX *client_tls;
static bool serve_at_once;

struct process {
	pid_t pid;
	int control;
};

static int
setup(void **state)
{
	socklen_t n = sizeof(address);

	(void)state;
	serve_at_once = true;
	signal(SIGPIPE, SIG_IGN);
	if (!cert_pem[0]) {
		EVP_PKEY *key = test_key_new(0);
		test_certificate_pem(key, time(NULL) - 60, time(NULL) + 3600, cert_pem);
		test_key_pem(key, NULL, key_pem);
		EVP_PKEY_free(key);
		client_tls = SSL_CTX_new(TLS_client_method());
	}
	address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listen_fd, 64), 0);
	assert_int_equal(getsockname(listen_fd, (struct sockaddr *)&address, &n), 0);
	memset(&config, 0, sizeof(config));
	listen_item = (struct proxyd_listen){ .address_text = "127.0.0.1:0", .tls = { .cert_pem = slice_str(cert_pem), .key_pem = slice_str(key_pem) } };
	memcpy(&listen_item.address.u.in4, &address, sizeof(address));
	cluster = (struct proxyd_cluster){ .name = "default", .target = { .server = "https://127.0.0.1:1", .host = "127.0.0.1", .port = 1, .base_path = "",
		.host_header = "127.0.0.1", .tls_server_name = "127.0.0.1", .ca_pem = slice_str(cert_pem) } };
	config.listen = (struct config_list){ &listen_item, 1 };
	config.clusters = (struct config_list){ &cluster, 1 };
	config.authentication.session.cookie_name = "gate";
	config.limits.header_bytes = 65536;
	config.limits.header_timeout_ms = 10000;
	config.limits.idle_timeout_ms = 60000;
	config.limits.body_timeout_ms = 10000;
	config.limits.upstream_connect_timeout_ms = 5000;
	config.limits.upstream_idle_timeout_ms = 60000;
	config.limits.token_bytes = 8192;
	config.limits.identities = 64;
	return 0;
}
static int
teardown(void **state)
{
	(void)state;
	close(listen_fd);
	return 0;
}

static struct process
start(void)
{
	struct process p;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	p.pid = fork();
	assert_true(p.pid >= 0);
	if (p.pid == 0) {
		const struct worker_start s = { .config = &config, .index = 0, .generation = 1, .listen_fds = &listen_fd, .serve = serve_at_once, .control_fd = ends[1],
			.log_fd = -1, .audit_fd = -1, .keycache_fd = -1, .ticket_secret = { 42 }, .clock = &clock_system };
		/* Also what the test has open as a client: its ends would stay half open here. */
		for (int fd = 3; fd < 256; fd++)
			if (fd != listen_fd && fd != ends[1])
				close(fd);
		_exit(worker_run(&s));
	}
	close(ends[1]);
	p.control = ends[0];
	return p;
}

static uint32_t
hear(struct process *p, struct control_message *m)
{
	struct pollfd poller = { .fd = p->control, .events = POLLIN };
	int fd;

	assert_int_equal(poll(&poller, 1, 5000), 1);
	enum err err = control_receive(p->control, m, &fd);
	return err == OK ? m->kind : 0;
}
static void
say(struct process *p, enum control_kind kind, uint32_t value)
{
	assert_int_equal(control_send(p->control, kind, value, "", -1), OK);
}
static struct process
start_ready(void)
{
	struct control_message m;
	struct process p = start();

	assert_int_equal(hear(&p, &m), CONTROL_READY);
	return p;
}

/* Its exit status; -1: still there after five seconds. */
static int
status_of(struct process *p)
{
	struct pollfd poller = { .fd = p->control, .events = 0 }; /* hang-up: it has exited */
	int status;

	poll(&poller, 1, 5000);
	if (waitpid(p->pid, &status, poller.revents & POLLHUP ? 0 : WNOHANG) != p->pid) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, &status, 0);
		status = -1;
	}
	close(p->control);
	return status < 0 ? status : WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}
static int
stop(struct process *p)
{
	say(p, CONTROL_STOP, 0);
	return status_of(p);
}

static SSL *
connect_client(SSL_SESSION *session)
{
	const struct timeval patience = { .tv_sec = 5 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL *ssl = SSL_new(client_tls);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	SSL_set_fd(ssl, fd);
	if (session)
		SSL_set_session(ssl, session);
	if (SSL_connect(ssl) == 1)
		return ssl;
	SSL_free(ssl);
	close(fd);
	return NULL;
}
static void
hang_up(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
}

/* A request's answer, whole. Status; *closes: it said Connection: close. */
static int
get_as(SSL *ssl, const char *lines, bool *closes)
{
	char request[256], answer[8192];
	int n = 0, got, body = 0;
	const char *end;

	got = snprintf(request, sizeof(request), "GET /api HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n", lines);
	assert_int_equal(SSL_write(ssl, request, got), got);
	do {
		got = SSL_read(ssl, answer + n, (int)sizeof(answer) - 1 - n);
		if (got <= 0)
			return -1;
		n += got;
		answer[n] = '\0';
		end = strstr(answer, "\r\n\r\n");
		if (end)
			body = atoi(strstr(answer, "Content-Length: ") + 16);
	} while (!end || n < end + 4 - answer + body);
	*closes = strstr(answer, "Connection: close\r\n") != NULL;
	return atoi(answer + 9);
}
static int
get(SSL *ssl, bool *closes)
{
	return get_as(ssl, "", closes);
}
static bool
is_ended(SSL *ssl)
{
	char c;
	int r = SSL_read(ssl, &c, 1);

	return r <= 0 && SSL_get_error(ssl, r) == SSL_ERROR_ZERO_RETURN;
}

static void
it_serves_until_it_is_told_to_stop(void **state)
{
	struct process p = start_ready();
	SSL *client = connect_client(NULL);
	bool closes;

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(get(client, &closes), 401);
		assert_false(closes);
	}
	assert_int_equal(stop(&p), 0);
	assert_true(is_ended(client));
	hang_up(client);
}

static void
it_accepts_nobody_before_it_is_told_to_serve(void **state)
{
	serve_at_once = false;
	struct process p = start_ready();
	struct pollfd waiting = { .fd = listen_fd, .events = POLLIN };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL *client;
	bool closes;

	(void)state;
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(poll(&waiting, 1, 50), 1);
	assert_int_equal(poll(&waiting, 1, 0), 1); /* still in the queue */
	say(&p, CONTROL_SERVE, 0);
	assert_non_null(client = connect_client(NULL));
	assert_int_equal(get(client, &closes), 401);
	assert_false(closes);
	hang_up(client);
	close(fd);
	say(&p, CONTROL_SERVE, 0); /* once more is once too often, and harmless */
	assert_int_equal(stop(&p), 0);
}

static void
what_waits_to_be_accepted_is_taken_along_by_a_worker_that_drains(void **state)
{
	int fds[5];

	(void)state;
	struct process p = start_ready();
	assert_int_equal(kill(p.pid, SIGSTOP), 0);
	for (int i = 0; i < 5; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&address, sizeof(address)), 0);
	}
	say(&p, CONTROL_DRAIN, 60000);
	assert_int_equal(kill(p.pid, SIGCONT), 0);
	for (int i = 0; i < 5; i++) {
		SSL *client = SSL_new(client_tls);
		bool closes;
		SSL_set_fd(client, fds[i]);
		assert_int_equal(SSL_connect(client), 1);
		assert_int_equal(get(client, &closes), 401);
		assert_true(closes);
		hang_up(client);
	}
	assert_int_equal(status_of(&p), 0);
}

static void
it_ends_when_master_is_gone(void **state)
{
	struct process p = start_ready();
	int status;

	(void)state;
	close(p.control);
	assert_int_equal(waitpid(p.pid, &status, 0), p.pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
draining_lets_every_connection_finish_and_loses_none(void **state)
{
	struct process old = start_ready(), young;
	SSL *a = connect_client(NULL), *b = connect_client(NULL), *c;
	bool closes;

	(void)state;
	assert_int_equal(get(a, &closes), 401);
	young = start_ready();
	say(&old, CONTROL_DRAIN, 60000);
	/* Who connects from now on is served by the young one: the old takes those along that are there when it is told, then leaves the listener, which stays open all the time. */
	for (int i = 0; i < 20; i++) {
		c = connect_client(NULL);
		assert_non_null(c);
		assert_int_equal(get(c, &closes), 401);
		hang_up(c);
	}
	assert_false(closes);
	assert_int_equal(kill(old.pid, 0), 0); /* it waits for a and b */
	assert_int_equal(get(a, &closes), 401);
	assert_true(closes);
	assert_true(is_ended(a));
	assert_int_equal(get(b, &closes), 401);
	assert_true(closes);
	assert_true(is_ended(b));
	hang_up(a);
	hang_up(b);
	assert_int_equal(status_of(&old), 0);
	assert_int_equal(stop(&young), 0);
}

static void
draining_ends_at_its_deadline(void **state)
{
	struct process p = start_ready();
	SSL *idle = connect_client(NULL);

	(void)state;
	say(&p, CONTROL_DRAIN, 100);
	assert_true(is_ended(idle)); /* said, not cut */
	assert_int_equal(status_of(&p), 0);
	hang_up(idle);
}

static void
draining_without_connections_ends_at_once(void **state)
{
	struct process p = start_ready();

	(void)state;
	say(&p, CONTROL_DRAIN, 60000);
	assert_int_equal(status_of(&p), 0);
}

static void
a_session_begun_with_one_worker_resumes_at_the_next(void **state)
{
	struct process p = start_ready();
	SSL *client = connect_client(NULL);
	bool closes;

	(void)state;
	assert_int_equal(get(client, &closes), 401);
	SSL_SESSION *session = SSL_get1_session(client);
	hang_up(client);
	assert_int_equal(stop(&p), 0);
	p = start_ready();
	client = connect_client(session);
	assert_true(SSL_session_reused(client));
	hang_up(client);
	SSL_SESSION_free(session);
	assert_int_equal(stop(&p), 0);
}

static void
more_connections_than_allowed_wait_for_one_to_end(void **state)
{
	struct arena arena;
	struct config_error e;
	bool closes;

	(void)state;
	config.limits.connections = 2;
	arena_init(&arena, 0);
	assert_int_equal(token_file_parse(&arena, "tokens", SLICE_LIT("0123456789abcdef,jane,1\n"), 8192, &config.tokens, &e), OK);
	struct process p = start_ready();
	SSL *a = connect_client(NULL), *b = connect_client(NULL);
	assert_int_equal(get_as(a, "Authorization: Bearer 0123456789abcdef\r\n", &closes), 502); /* known; nothing is behind it */
	assert_int_equal(get_as(b, "Authorization: Bearer 0123456789abcdef\r\n", &closes), 502);
	/* The kernel takes the third one's connection; nobody shakes hands with it. */
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	SSL *third = SSL_new(client_tls);
	SSL_set_fd(third, fd);
	const struct timeval little = { .tv_usec = 100000 }, patience = { .tv_sec = 5 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &little, sizeof(little));
	assert_true(SSL_connect(third) < 0);
	hang_up(a);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(SSL_connect(third), 1);
	assert_int_equal(get(third, &closes), 401);
	hang_up(third);
	hang_up(b);
	assert_int_equal(stop(&p), 0);
	arena_fini(&arena);
}

/* Nobody is known on any of them: the newest is served, and the oldest goes. */
static void
past_the_limit_a_new_connection_takes_the_place_of_the_oldest_stranger(void **state)
{
	bool closes;

	(void)state;
	config.limits.connections = 2;
	struct process p = start_ready();
	SSL *a = connect_client(NULL), *b = connect_client(NULL);
	assert_int_equal(get(b, &closes), 401);
	assert_int_equal(get(a, &closes), 401);
	SSL *c = connect_client(NULL);
	assert_non_null(c);
	assert_int_equal(get(c, &closes), 401);
	assert_int_equal(get(b, &closes), 401);
	assert_int_equal(get(a, &closes), -1);
	hang_up(a);
	hang_up(b);
	hang_up(c);
	assert_int_equal(stop(&p), 0);
}

static void
one_address_cannot_take_all_connections(void **state)
{
	bool closes;

	(void)state;
	config.limits.connections_per_address = 2;
	struct process p = start_ready();
	SSL *a = connect_client(NULL), *b = connect_client(NULL);
	assert_non_null(b);
	assert_null(connect_client(NULL)); /* closed before the handshake */
	hang_up(a);
	assert_int_equal(get(b, &closes), 401); /* by now the end of a has been seen */
	a = connect_client(NULL);
	assert_non_null(a);
	hang_up(a);
	hang_up(b);
	assert_int_equal(stop(&p), 0);
}

static void
a_start_that_fails_is_explained(void **state)
{
	struct control_message m;

	(void)state;
	listen_item.tls.key_pem = SLICE_LIT("no key");
	struct process p = start();
	assert_int_equal(hear(&p, &m), CONTROL_FAILED);
	assert_non_null(strstr(m.text, "certificate and key"));
	assert_int_equal(status_of(&p), 1);
	setup(NULL);
	cluster.target.token = "two\nlines";
	p = start();
	assert_int_equal(hear(&p, &m), CONTROL_FAILED);
	assert_non_null(strstr(m.text, "cluster default: the token in its kubeconfig is not usable"));
	assert_int_equal(status_of(&p), 1);
}

static void
rubbish_from_master_is_survived(void **state)
{
	struct process p = start_ready();
	SSL *client;
	bool closes;
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(control_send(p.control, CONTROL_KEYCACHE, 0, "", zero), OK); /* no key cache */
	say(&p, CONTROL_KEYCACHE, 0);
	assert_int_equal(control_send(p.control, CONTROL_CREDENTIAL, 0, "", zero), OK); /* no token */
	say(&p, CONTROL_CREDENTIAL, 0);
	say(&p, CONTROL_READY, 0);
	client = connect_client(NULL);
	assert_int_equal(get(client, &closes), 401);
	hang_up(client);
	close(zero);
	assert_int_equal(stop(&p), 0);
}

int
main(void)
{
	log_set_level(LOG_LEVEL_ERROR + 1);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(it_serves_until_it_is_told_to_stop),
		T(it_accepts_nobody_before_it_is_told_to_serve),
		T(what_waits_to_be_accepted_is_taken_along_by_a_worker_that_drains),
		T(it_ends_when_master_is_gone),
		T(draining_lets_every_connection_finish_and_loses_none),
		T(draining_ends_at_its_deadline),
		T(draining_without_connections_ends_at_once),
		T(a_session_begun_with_one_worker_resumes_at_the_next),
		T(more_connections_than_allowed_wait_for_one_to_end),
		T(past_the_limit_a_new_connection_takes_the_place_of_the_oldest_stranger),
		T(one_address_cannot_take_all_connections),
		T(a_start_that_fails_is_explained),
		T(rubbish_from_master_is_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
