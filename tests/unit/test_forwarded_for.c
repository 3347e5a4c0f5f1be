/* Who is calling behind trusted proxies, and how a client's own connection gets its address from a load balancer. */
#include <fcntl.h>
#include "proxyd/forwarded_for.h"
#include "tests/unit/exchange_unit.h"
#include "shared/log.h"

static struct ip_block blocks[4];
static struct trusted_proxies trusted = { blocks, 0 };

static void
trust(const char *const *list)
{
	for (trusted.n = 0; *list; list++)
		assert_int_equal(ip_block_parse(slice_str(*list), &blocks[trusted.n++]), OK);
}

/* "" : the peer itself. */
static void
assert_client(const char *peer, const char *lines, const char *expected)
{
	static struct http_head h;
	const struct http_limits limits = { 65536, 8192 };
	char text[4096], out[IP_TEXT_MAX] = "";
	const char *why;
	size_t scanned = 0, bytes;
	struct ip ip, found;
	int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);

	assert_int_equal(http_request_parse(text, (size_t)n, &scanned, &limits, &h, &bytes, &why), HTTP_OK);
	assert_int_equal(ip_parse(slice_str(peer), &ip), OK);
	if (forwarded_for(&h, &trusted, &ip, &found))
		ip_format(&found, out);
	assert_string_equal(out, expected);
}

static void
only_a_trusted_peer_is_believed(void **state)
{
	(void)state;
	trust((const char *const[]){ "10.0.0.0/8", "fd00::/8", NULL });
	assert_client("192.0.2.9", "X-Forwarded-For: 198.51.100.1\r\n", "");
	assert_client("10.1.2.3", "X-Forwarded-For: 198.51.100.1\r\n", "198.51.100.1");
	assert_client("fd00::1", "X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1");
	assert_client("10.1.2.3", "", "");
	assert_client("10.1.2.3", "X-Forwarded-Forx: 198.51.100.1\r\nForwarded: for=198.51.100.1\r\nX-Real-IP: 198.51.100.1\r\n", "");
	trusted.n = 0;
	assert_client("10.1.2.3", "X-Forwarded-For: 198.51.100.1\r\n", "");
}

/* What stands to the left of the first stranger was written by the stranger. */
static void
the_walk_goes_from_the_right_and_ends_at_the_first_stranger(void **state)
{
	(void)state;
	trust((const char *const[]){ "10.0.0.0/8", NULL });
	assert_client("10.0.0.1", "X-Forwarded-For: 1.1.1.1, 198.51.100.1, 10.0.0.2\r\n", "198.51.100.1");
	assert_client("10.0.0.1", "X-Forwarded-For: 1.1.1.1,198.51.100.1 ,\t10.0.0.2\r\n", "198.51.100.1");
	assert_client("10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 10.0.0.2\r\n", "198.51.100.1");
	assert_client("10.0.0.1", "X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3"); /* all of them trusted: the farthest */
}

static void
an_entry_that_is_no_address_ends_the_walk(void **state)
{
	static const char *const none[] = { "unknown", "", "1.1.1", "1.1.1.1.1", "[2001:db8::1", "2001:db8::1]", "[192.0.2.1]", "_hidden", "192.0.2.1:x", "192.0.2.1:70000",
		"[2001:db8::1]x", "[2001:db8::1]:", "192.0.2.1 192.0.2.2", "\"192.0.2.1\"", "fe80::1%eth0" };
	char line[256];

	(void)state;
	trust((const char *const[]){ "10.0.0.0/8", NULL });
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		snprintf(line, sizeof(line), "X-Forwarded-For: 198.51.100.1, %s\r\n", none[i]);
		assert_client("10.0.0.1", line, "");
		snprintf(line, sizeof(line), "X-Forwarded-For: 198.51.100.1, %s, 10.0.0.2\r\n", none[i]);
		assert_client("10.0.0.1", line, "10.0.0.2");
	}
}

static void
a_port_behind_an_address_is_left_out(void **state)
{
	(void)state;
	trust((const char *const[]){ "10.0.0.0/8", NULL });
	assert_client("10.0.0.1", "X-Forwarded-For: 198.51.100.1:4711\r\n", "198.51.100.1");
	assert_client("10.0.0.1", "X-Forwarded-For: [2001:db8::1]:4711\r\n", "2001:db8::1");
	assert_client("10.0.0.1", "X-Forwarded-For: [2001:db8::1]\r\n", "2001:db8::1");
	assert_client("10.0.0.1", "X-Forwarded-For: ::ffff:198.51.100.1\r\n", "198.51.100.1");
}

/* ---- through the data path ---- */

#define FORWARDED "GET /api HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer alice\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n"
static struct ip_block loopback;

static void
trust_loopback(struct proxyd_config *c)
{
	assert_int_equal(ip_block_parse(SLICE_LIT("127.0.0.0/8"), &loopback), OK);
	c->trusted_proxies = (struct trusted_proxies){ &loopback, 1 };
	c->limits.connections_per_address = 2;
	c->limits.header_timeout_ms = 5000;
}

static struct end
plain_client(void)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	struct end e = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };

	assert_int_equal(getsockname(rig.listen_fd, (struct sockaddr *)&a, &n), 0);
	end_patience(&e);
	assert_int_equal(connect(e.fd, (struct sockaddr *)&a, n), 0);
	return e;
}
static bool
shake_hands(struct end *e)
{
	assert_non_null(e->ssl = SSL_new(rig.client_tls));
	SSL_set_fd(e->ssl, e->fd);
	return SSL_connect(e->ssl) == 1;
}

static void
assert_forwarded_as(struct end *client, struct end *cluster, const char *line)
{
	char head[4096];

	end_say(client, FORWARDED);
	if (cluster->fd < 0)
		*cluster = rig_cluster(&rig);
	end_hear_head(cluster, head, sizeof(head));
	const char *at = strstr(head, "X-Forwarded-For: ");
	assert_non_null(at);
	assert_memory_equal(at, line, strlen(line));
	assert_null(strstr(at + 1, "X-Forwarded-For: "));
	end_say(cluster, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
	end_hear_head(client, head, sizeof(head));
	end_hear(client, "abc");
}

static void
what_a_stranger_says_of_itself_is_replaced(void **state)
{
	(void)state;
	rig_start(&rig, NULL);
	struct end client = rig_client(&rig), cluster = { .fd = -1 };
	assert_forwarded_as(&client, &cluster, "X-Forwarded-For: 127.0.0.1\r\n");
	end_close(&client);
	end_close(&cluster);
}

static void
what_a_trusted_proxy_says_is_sent_on(void **state)
{
	(void)state;
	rig_start(&rig, trust_loopback);
	struct end client = rig_client(&rig), cluster = { .fd = -1 };
	assert_forwarded_as(&client, &cluster, "X-Forwarded-For: 203.0.113.5\r\n");
	end_close(&client);
	end_close(&cluster);
}

/* In pieces, then TLS; and the word of the client behind it about who is before it counts for nothing. */
static void
a_connection_has_the_address_that_its_proxy_header_says(void **state)
{
	static const char header[] = "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n";

	(void)state;
	rig_start(&rig, trust_loopback);
	rig.proxied = true;
	struct end client = plain_client(), cluster = { .fd = -1 };
	for (size_t i = 0; i < sizeof(header) - 1; i++)
		end_write(&client, header + i, 1);
	assert_true(shake_hands(&client));
	assert_forwarded_as(&client, &cluster, "X-Forwarded-For: 192.0.2.1\r\n");
	end_close(&client);
	end_close(&cluster);
}

static void
the_limit_of_connections_is_that_of_the_address_behind_the_proxy(void **state)
{
	struct end clients[4];

	(void)state;
	rig_start(&rig, trust_loopback);
	rig.proxied = true;
	for (int i = 0; i < 4; i++) {
		clients[i] = plain_client();
		end_say(&clients[i], i < 3 ? "PROXY TCP4 192.0.2.1 198.51.100.7 1 443\r\n" : "PROXY TCP4 192.0.2.2 198.51.100.7 1 443\r\n");
		assert_int_equal(shake_hands(&clients[i]), i != 2);
	}
	for (int i = 0; i < 4; i++)
		end_close(&clients[i]);
}

static void
without_its_header_a_connection_ends(void **state)
{
	static const char *const bad[] = { "GET / HTTP/1.1\r\n\r\n", "PROXY TCP4 192.0.2.1\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" };

	(void)state;
	log_set_fd(open("/dev/null", O_WRONLY));
	rig_start(&rig, trust_loopback);
	rig.proxied = true;
	char c;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct end client = plain_client();
		end_say(&client, bad[i]);
		assert_true(end_read(&client, &c, 1) <= 0);
		assert_int_not_equal(errno, EAGAIN);
		end_close(&client);
	}
	struct end half = plain_client(), silent = plain_client();
	end_say(&half, "PROXY TCP4 192.0.2.1 ");
	shutdown(half.fd, SHUT_WR);
	assert_true(end_read(&half, &c, 1) <= 0);
	rig_later(&rig, 5001);
	assert_true(end_read(&silent, &c, 1) <= 0);
	end_close(&half);
	end_close(&silent);
	log_set_fd(2);
}

static void
a_peer_that_is_not_trusted_may_not_even_try(void **state)
{
	char c;

	(void)state;
	log_set_fd(open("/dev/null", O_WRONLY));
	rig_start(&rig, NULL);
	rig.proxied = true;
	struct end client = plain_client();
	end_say(&client, "PROXY TCP4 192.0.2.1 198.51.100.7 1 443\r\n");
	assert_true(end_read(&client, &c, 1) <= 0);
	end_close(&client);
	log_set_fd(2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_a_trusted_peer_is_believed),
		cmocka_unit_test(the_walk_goes_from_the_right_and_ends_at_the_first_stranger),
		cmocka_unit_test(an_entry_that_is_no_address_ends_the_walk),
		cmocka_unit_test(a_port_behind_an_address_is_left_out),
		cmocka_unit_test_teardown(what_a_stranger_says_of_itself_is_replaced, rig_teardown),
		cmocka_unit_test_teardown(what_a_trusted_proxy_says_is_sent_on, rig_teardown),
		cmocka_unit_test_teardown(a_connection_has_the_address_that_its_proxy_header_says, rig_teardown),
		cmocka_unit_test_teardown(the_limit_of_connections_is_that_of_the_address_behind_the_proxy, rig_teardown),
		cmocka_unit_test_teardown(without_its_header_a_connection_ends, rig_teardown),
		cmocka_unit_test_teardown(a_peer_that_is_not_trusted_may_not_even_try, rig_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
