/* The PROXY protocol as the specification has it, and what is next to it. */
#include "proxyd/proxy_protocol.h"
#include "tests/unit/unit.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define TAIL "\x16\x03\x01" /* where TLS begins */

static enum proxy_verdict
parse(const char *p, size_t n, struct proxy_header *h)
{
	const char *why = NULL;
	/* Of just that size: a sanitizer sees whoever reads on. */
	char *copy = malloc(n);

	memcpy(copy, p, n);
	enum proxy_verdict v = proxy_protocol_parse(copy, n, h, &why);
	free(copy);
	assert_true((v == PROXY_BAD) == (why != NULL));
	return v;
}

/* Whole it is taken, with what follows left alone; every part of it is waited for. */
static void
assert_taken(const char *p, size_t n, const char *ip)
{
	char text[IP_TEXT_MAX], all[PROXY_BYTES_MAX + 16];
	struct proxy_header h;

	for (size_t part = 1; part < n; part++)
		assert_int_equal(parse(p, part, &h), PROXY_MORE);
	memcpy(all, p, n);
	memcpy(all + n, TAIL, 3);
	for (size_t more = 0; more <= 3; more++) {
		assert_int_equal(parse(all, n + more, &h), PROXY_OK);
		assert_int_equal(h.bytes, n);
		assert_int_equal(h.has_ip, ip != NULL);
		if (ip)
			assert_string_equal(ip_format(&h.ip, text), ip);
	}
}
static void
assert_refused(const char *p, size_t n)
{
	struct proxy_header h;

	assert_int_equal(parse(p, n, &h), PROXY_BAD);
}

#define TAKEN(literal, ip) assert_taken(literal, sizeof(literal) - 1, ip)
#define REFUSED(literal) assert_refused(literal, sizeof(literal) - 1)

/* Section 2.1 */
static void
text_headers_say_who_is_calling(void **state)
{
	(void)state;
	TAKEN("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", "192.0.2.1");
	TAKEN("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255");
	TAKEN("PROXY TCP6 2001:db8::1 2001:db8::2 0 1\r\n", "2001:db8::1");
	TAKEN("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	TAKEN("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1");
	TAKEN("PROXY UNKNOWN\r\n", NULL);
	TAKEN("PROXY UNKNOWN ffff::1 nonsense 65535 65535 and more\r\n", NULL);
}

static void
text_that_is_not_exactly_a_header_is_refused(void **state)
{
	char long_line[PROXY_V1_BYTES_MAX + 20];

	(void)state;
	REFUSED("GET / HTTP/1.1\r\n");
	REFUSED("proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
	REFUSED("PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
	REFUSED("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n");
	REFUSED("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n");
	REFUSED("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n");
	REFUSED("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n");
	REFUSED("PROXY TCP4\r\n");
	REFUSED("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n");
	REFUSED("PROXY TCP4 192.0.2.1\r192.0.2.2 1 2\r\n");
	REFUSED("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n");
	REFUSED("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n");
	REFUSED("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n");
	REFUSED("PROXY TCP4 192.0.2.1 192.0.2.2 1 -2\r\n");
	REFUSED("PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n");
	REFUSED("PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n");
	REFUSED("PROXY TCP4 0300.0.2.1 192.0.2.2 1 2\r\n");
	REFUSED("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n");
	REFUSED("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n");
	REFUSED("PROXY TCP6 [2001:db8::1] 2001:db8::2 1 2\r\n");
	REFUSED("PROXY TCP6 2001:db8::1%eth0 2001:db8::2 1 2\r\n");
	REFUSED("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n");
	REFUSED("PROXY UNKNOWNX\r\n");
	REFUSED("PROXY \r\n");
	REFUSED("PROXYTCP4 192.0.2.1 192.0.2.2 1 2\r\n");
	memset(long_line, 'x', sizeof(long_line));
	memcpy(long_line, "PROXY UNKNOWN ", 14);
	assert_refused(long_line, PROXY_V1_BYTES_MAX);
	memcpy(long_line + PROXY_V1_BYTES_MAX - 1, "\r\n", 2);
	assert_refused(long_line, PROXY_V1_BYTES_MAX + 1); /* one too long */
	memcpy(long_line + PROXY_V1_BYTES_MAX - 2, "\r\n", 2);
	assert_taken(long_line, PROXY_V1_BYTES_MAX, NULL);
}

/* Section 2.2 */
static void
binary_headers_say_who_is_calling(void **state)
{
	static const char unix_head[] = SIG "\x21\x31\x00\xd8";
	char with_unix[sizeof(unix_head) - 1 + 216] = { 0 };

	(void)state;
	TAKEN(SIG "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb", "192.0.2.1");
	TAKEN(SIG "\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xdc\x04\x01\xbb", "2001:db8::1");
	/* With additions: an empty NOOP, an ALPN. */
	TAKEN(SIG "\x21\x11\x00\x14\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb\x04\x00\x00\x01\x00\x02h2", "192.0.2.1");
	TAKEN(SIG "\x20\x00\x00\x00", NULL); /* LOCAL: a health check */
	TAKEN(SIG "\x20\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb", NULL);
	TAKEN(SIG "\x21\x00\x00\x03xyz", NULL);
	memcpy(with_unix, unix_head, sizeof(unix_head) - 1);
	assert_taken(with_unix, sizeof(with_unix), NULL);
}

static void
binary_that_does_not_fit_is_refused(void **state)
{
	struct proxy_header h;

	(void)state;
	REFUSED("\r\n\r\n\0\r\nQUIT\r");
	REFUSED("\r\n\r\nGET / HTTP/1.1\r\n");
	REFUSED(SIG "\x11\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb"); /* version 1 */
	REFUSED(SIG "\x22\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb"); /* command 2 */
	REFUSED(SIG "\x21\x12\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb"); /* datagrams */
	REFUSED(SIG "\x21\x41\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb"); /* family 4 */
	REFUSED(SIG "\x21\x11\x00\x0b\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01");     /* too short for its addresses */
	REFUSED(SIG "\x21\x21\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb");
	REFUSED(SIG "\x21\x11\x00\x0e\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb\x04\x00"); /* half an addition */
	REFUSED(SIG "\x21\x11\x00\x0f\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbb\x04\x00\x01"); /* one that ends behind the header */
	REFUSED(SIG "\x21\x11\xff\xff");
	REFUSED(SIG "\x20\x00\x10\x00");
	assert_int_equal(parse(SIG "\x20\x00\x0f\xf0", 16, &h), PROXY_MORE); /* the longest */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_headers_say_who_is_calling),
		cmocka_unit_test(text_that_is_not_exactly_a_header_is_refused),
		cmocka_unit_test(binary_headers_say_who_is_calling),
		cmocka_unit_test(binary_that_does_not_fit_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
