#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include "tests/unit/unit.h"
#include "shared/address.h"

static char folder[64], path[96];
static struct address unix_address;

static int
folder_open(void **state)
{
	char text[128];
	const char *why;

	(void)state;
	unit_folder_make(folder);
	snprintf(path, sizeof(path), "%s/sock", folder);
	snprintf(text, sizeof(text), "unix:%s", path);
	return address_parse_listen(slice_str(text), &unix_address, &why) == OK ? 0 : -1;
}

static int
folder_close(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void
what_is_parsed_is_written_back(void **state)
{
	static const struct {
		const char *text, *address, *ip;
	} rows[] = {
		{ "127.0.0.1:8443", "127.0.0.1:8443", "127.0.0.1" },
		{ "0.0.0.0:0", "0.0.0.0:0", "0.0.0.0" },
		{ "localhost:80", "127.0.0.1:80", "127.0.0.1" },
		{ "LocalHost:80", "127.0.0.1:80", "127.0.0.1" },
		{ ":65535", "[::]:65535", "::" },
		{ "*:8443", "[::]:8443", "::" },
		{ "[::1]:8443", "[::1]:8443", "::1" },
		{ "[2001:DB8::1]:1", "[2001:db8::1]:1", "2001:db8::1" },
		{ "[::ffff:10.0.0.1]:5", "10.0.0.1:5", "10.0.0.1" },
		{ "unix:/run/gatehouse/authd.sock", "unix:/run/gatehouse/authd.sock", "unix:/run/gatehouse/authd.sock" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct address a;
		const char *why;
		char out[ADDRESS_TEXT_MAX];
		assert_int_equal(address_parse_listen(slice_str(rows[i].text), &a, &why), OK);
		assert_string_equal(address_format(&a, out), rows[i].address);
		assert_string_equal(address_format_ip(&a, out), rows[i].ip);
	}
}

static void
what_is_no_address_says_what_was_expected(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "an address: " },
		{ "8443", "an address: " },
		{ "127.0.0.1", "an address: " },
		{ "::1:8443", "an address: " },
		{ "[::1]", "an address: " },
		{ "[::1]8443", "an address: " },
		{ "[::1", "an address: " },
		{ "[", "an address: " },
		{ "127.0.0.1:", "a port from" },
		{ "127.0.0.1:65536", "a port from" },
		{ "127.0.0.1:-1", "a port from" },
		{ "127.0.0.1:80 ", "a port from" },
		{ "127.0.0.1:http", "a port from" },
		{ "[::1]:", "a port from" },
		{ "example.com:80", "a numeric IP" },
		{ "127.1:80", "a numeric IP" },
		{ "127.0.0.01:80", "a numeric IP" },
		{ "256.0.0.1:80", "a numeric IP" },
		{ " 127.0.0.1:80", "a numeric IP" },
		{ "[127.0.0.1]:80", "a numeric IP" },
		{ "[]:80", "a numeric IP" },
		{ "[::g]:80", "a numeric IP" },
		{ "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:80", "a numeric IP" },
		{ "unix:", "\"unix:\" and an absolute path" },
		{ "unix:run/x", "\"unix:\" and an absolute path" },
		{ "unix:@x", "\"unix:\" and an absolute path" },
	};
	struct address a = { .len = 77 };
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		why = NULL;
		assert_int_equal(address_parse_listen(slice_str(rows[i].text), &a, &why), E_FORMAT);
		assert_memory_equal(why, rows[i].why, strlen(rows[i].why));
	}
	assert_int_equal(address_parse_listen(SLICE_LIT("unix:/a\0b"), &a, &why), E_FORMAT);
	assert_int_equal(address_parse_listen(SLICE_LIT("127.0.0.1\0:80"), &a, &why), E_FORMAT);
	assert_int_equal(a.len, 77);
}

static void
a_unix_path_has_the_kernels_length(void **state)
{
	char text[200] = "unix:/", out[ADDRESS_TEXT_MAX];
	struct address a;
	const char *why;

	(void)state;
	memset(text + 6, 'a', 107);
	assert_int_equal(address_parse_listen(slice_of(text, 5 + 107), &a, &why), OK);
	assert_int_equal(strlen(address_format(&a, out)), 5 + 107);
	assert_int_equal(address_parse_listen(slice_of(text, 5 + 108), &a, &why), E_FORMAT);
	assert_string_equal(why, "a unix path of at most 107 bytes");
	struct address unnamed = { .u.sa.sa_family = AF_UNIX, .len = sizeof(sa_family_t) };
	assert_string_equal(address_format(&unnamed, out), "unix:");
	struct address other = { .u.sa.sa_family = AF_NETLINK };
	assert_string_equal(address_format(&other, out), "unknown");
}

/* Accept what connects to a, and have one byte pass. */
static void
assert_connects(int listener, const struct address *a)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	int fd;
	char c;

	assert_int_equal(address_connect(a, &fd), OK);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(poll(&p, 1, 10000), 1);
	int peer = accept(listener, NULL, NULL);
	assert_true(peer >= 0);
	assert_int_equal(write(peer, "x", 1), 1);
	p.fd = fd;
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(read(fd, &c, 1), 1);
	close(peer);
	close(fd);
}

static struct address
bound_address(int fd)
{
	struct address a = { .len = sizeof(a.u) };
	assert_int_equal(getsockname(fd, &a.u.sa, &a.len), 0);
	return a;
}

static void
a_tcp_listener_takes_connections(void **state)
{
	struct address a;
	const char *why;
	int fd, busy;

	(void)state;
	assert_int_equal(address_parse_listen(SLICE_LIT("127.0.0.1:0"), &a, &why), OK);
	assert_int_equal(address_listen(&a, 0, 16, &fd), OK);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	a = bound_address(fd);
	assert_connects(fd, &a);
	assert_int_equal(address_listen(&a, 0, 16, &busy), E_SYSTEM);
	assert_int_equal(errno, EADDRINUSE);
	assert_int_equal(busy, -1);
	close(fd);

	/* Nobody listens any more. */
	int result = 0;
	socklen_t n = sizeof(result);
	enum err e = address_connect(&a, &fd);
	if (e == OK) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		assert_int_equal(poll(&p, 1, 10000), 1);
		assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &result, &n), 0);
		close(fd);
	} else {
		assert_int_equal(fd, -1);
		result = errno;
	}
	assert_int_equal(result, ECONNREFUSED);
}

static void
all_interfaces_are_both_families(void **state)
{
	struct address a, four;
	const char *why;
	char text[ADDRESS_TEXT_MAX], want[ADDRESS_TEXT_MAX];
	int fd;

	(void)state;
	assert_int_equal(address_parse_listen(SLICE_LIT(":0"), &a, &why), OK);
	assert_int_equal(address_listen(&a, 0, 16, &fd), OK);
	a = bound_address(fd);
	uint16_t port = a.u.sa.sa_family == AF_INET6 ? ntohs(a.u.in6.sin6_port) : ntohs(a.u.in4.sin_port);
	snprintf(want, sizeof(want), "127.0.0.1:%u", port);
	assert_int_equal(address_parse_listen(slice_str(want), &four, &why), OK);
	assert_connects(fd, &four);

	/* The peer of an IPv4 client is written as IPv4. */
	int client;
	assert_int_equal(address_connect(&four, &client), OK);
	struct address peer = { .len = sizeof(peer.u) };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	assert_int_equal(poll(&p, 1, 10000), 1);
	int accepted = accept(fd, &peer.u.sa, &peer.len);
	assert_string_equal(address_format_ip(&peer, text), "127.0.0.1");
	close(accepted);
	close(client);
	close(fd);
}

static void
a_unix_listener_takes_connections_with_its_mode(void **state)
{
	struct stat st;
	int fd, busy;

	(void)state;
	assert_int_equal(address_listen(&unix_address, 0660, 16, &fd), OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_connects(fd, &unix_address);
	assert_int_equal(address_listen(&unix_address, 0660, 16, &busy), E_SYSTEM);
	assert_int_equal(errno, EADDRINUSE);
	/* It still works: the busy one was not removed. The connection tried by the second listener waits first. */
	assert_int_equal(close(accept(fd, NULL, NULL)), 0);
	assert_connects(fd, &unix_address);
	close(fd);
}

static void
a_stale_socket_file_is_replaced_and_nothing_else(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(address_listen(&unix_address, 0600, 16, &fd), OK);
	close(fd); /* as after a kill: the file stays */
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(address_connect(&unix_address, &fd), E_SYSTEM);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(address_listen(&unix_address, 0600, 16, &fd), OK);
	assert_connects(fd, &unix_address);
	close(fd);
	unlink(path);

	unit_file_write(path, "precious", 8);
	assert_int_equal(address_listen(&unix_address, 0600, 16, &fd), E_SYSTEM);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(access(path, F_OK), 0);
}

static void
a_full_backlog_is_try_again(void **state)
{
	int fd, clients[64];
	size_t n = 0;
	enum err e = OK;

	(void)state;
	assert_int_equal(address_listen(&unix_address, 0600, 1, &fd), OK);
	for (; e == OK && n < 64; n += e == OK)
		e = address_connect(&unix_address, &clients[n]);
	assert_int_equal(e, E_AGAIN);
	assert_int_equal(clients[n], -1);
	while (n)
		close(clients[--n]);
	close(fd);
}

static void
errors_of_the_kernel_come_with_errno(void **state)
{
	struct address a;
	const char *why;
	int fd;

	(void)state;
	assert_int_equal(address_parse_listen(SLICE_LIT("192.0.2.1:0"), &a, &why), OK); /* RFC 5737: nobody's */
	assert_int_equal(address_listen(&a, 0, 16, &fd), E_SYSTEM);
	assert_int_equal(errno, EADDRNOTAVAIL);
	assert_int_equal(address_parse_listen(SLICE_LIT("unix:/nonexistent/x"), &a, &why), OK);
	assert_int_equal(address_listen(&a, 0600, 16, &fd), E_SYSTEM);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(address_connect(&a, &fd), E_SYSTEM);
	assert_int_equal(errno, ENOENT);
	struct address bad = { .u.sa.sa_family = AF_MAX };
	assert_int_equal(address_listen(&bad, 0, 1, &fd), E_SYSTEM);
	assert_int_equal(address_connect(&bad, &fd), E_SYSTEM);
}

static void
names_are_resolved(void **state)
{
	struct address a[4];
	size_t n = 0;
	char text[ADDRESS_TEXT_MAX];

	(void)state;
	assert_int_equal(address_resolve("127.0.0.1", 6443, a, 4, &n), OK);
	assert_int_equal(n, 1);
	assert_string_equal(address_format(&a[0], text), "127.0.0.1:6443");
	assert_int_equal(address_resolve("::1", 443, a, 4, &n), OK);
	assert_string_equal(address_format(&a[0], text), "[::1]:443");
	assert_int_equal(address_resolve("localhost", 1, a, 1, &n), OK);
	assert_int_equal(n, 1);
	/* A name that can be refused without asking anybody. */
	enum err e = address_resolve("not a name", 1, a, 4, &n);
	assert_true(e == E_EMPTY || e == E_AGAIN);
}

static void
urls_are_split(void **state)
{
	static const struct {
		const char *text, *host, *path, *query, *authority, *origin;
		int port, tls;
	} rows[] = {
		{ "https://issuer.example", "issuer.example", "", "", "issuer.example", "https://issuer.example", 443, 1 },
		{ "http://a/", "a", "/", "", "a", "http://a", 80, 0 },
		{ "HTTPS://A.b:8443/oidc/x?y=1&z=?/", "A.b", "/oidc/x", "y=1&z=?/", "A.b:8443", "HTTPS://A.b:8443", 8443, 1 },
		{ "https://[2001:db8::1]:1/p", "2001:db8::1", "/p", "", "[2001:db8::1]:1", "https://[2001:db8::1]:1", 1, 1 },
		{ "http://[::1]", "::1", "", "", "[::1]", "http://[::1]", 80, 0 },
		{ "https://10.0.0.1:65535?q", "10.0.0.1", "", "q", "10.0.0.1:65535", "https://10.0.0.1:65535", 65535, 1 },
		{ "https://a_b-c.d./%2F~!$&'()*+,;=:@-._", "a_b-c.d.", "/%2F~!$&'()*+,;=:@-._", "", "a_b-c.d.", "https://a_b-c.d.", 443, 1 },
		{ "https://a//b", "a", "//b", "", "a", "https://a", 443, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct url u;
		assert_int_equal(url_parse(slice_str(rows[i].text), &u), OK);
		assert_true(slice_eq_str(u.host, rows[i].host));
		assert_true(slice_eq_str(u.path, rows[i].path));
		assert_true(slice_eq_str(u.query, rows[i].query));
		assert_true(slice_eq_str(u.authority, rows[i].authority));
		assert_true(slice_eq_str(u.origin, rows[i].origin));
		assert_true(slice_eq_nocase(u.scheme, slice_str(rows[i].tls ? "https" : "http")));
		assert_int_equal(u.port, rows[i].port);
		assert_int_equal(u.tls, rows[i].tls);
	}
}

static void
what_is_no_url_is_refused(void **state)
{
	static const char *const bad[] = { "", "http", "http:", "http://", "https://", "https:///x", "ftp://a", "//a", "a.b", "httpss://a",
		"https:/a", "https://user@a", "https://user:pw@a", "https://a:", "https://a:0", "https://a:65536", "https://a:1x",
		"https://a:-1", "https://a#f", "https://a/#f", "https://a/?#", "https://a b", "https://a/ b", "https://a\\b", "https://a/\\b",
		"https://a/\"", "https://a/<", "https://a/{x}", "https://a/|", "https://a/^", "https://a/`", "https://a/[", "https://a/%",
		"https://a/%2", "https://a/%2g", "https://a/\n", "https://a/\x7f", "https://a/\xC3\xA4", "https://\xC3\xA4", "https://%41",
		"https://.a", "https://-a", "https://[::1", "https://[::1]x", "https://[::1]:", "https://[::g]", "https://[]",
		"https://[127.0.0.1]", "https://[fe80::1%25eth0]", "https://::1/", "https://a,b", " https://a", "https://a?x y", "https://a?%" };
	struct url u = { .port = 7 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (url_parse(slice_str(bad[i]), &u) != E_FORMAT)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(url_parse(SLICE_LIT("https://a\0b"), &u), E_FORMAT);
	assert_int_equal(url_parse(SLICE_LIT("https://a/\0b"), &u), E_FORMAT);
	assert_int_equal(url_parse(SLICE_LIT("https://[::1\0]"), &u), E_FORMAT);
	char longest[300] = "https://";
	memset(longest + 8, 'a', 254);
	assert_int_equal(url_parse(slice_of(longest, 8 + 254), &u), E_FORMAT);
	assert_int_equal(u.port, 7);
	assert_int_equal(url_parse(slice_of(longest, 8 + 253), &u), OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_parsed_is_written_back),
		cmocka_unit_test(what_is_no_address_says_what_was_expected),
		cmocka_unit_test(a_unix_path_has_the_kernels_length),
		cmocka_unit_test(a_tcp_listener_takes_connections),
		cmocka_unit_test(all_interfaces_are_both_families),
		cmocka_unit_test_setup_teardown(a_unix_listener_takes_connections_with_its_mode, folder_open, folder_close),
		cmocka_unit_test_setup_teardown(a_stale_socket_file_is_replaced_and_nothing_else, folder_open, folder_close),
		cmocka_unit_test_setup_teardown(a_full_backlog_is_try_again, folder_open, folder_close),
		cmocka_unit_test(errors_of_the_kernel_come_with_errno),
		cmocka_unit_test(names_are_resolved),
		cmocka_unit_test(urls_are_split),
		cmocka_unit_test(what_is_no_url_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
