#include "tests/unit/unit.h"
#include "shared/ip_block.h"

static bool
has(const char *block, const char *address)
{
	struct ip_block b;
	struct ip ip;

	assert_int_equal(ip_block_parse(slice_str(block), &b), OK);
	assert_int_equal(ip_parse(slice_str(address), &ip), OK);
	return ip_block_has(&b, &ip);
}

static void
a_block_has_the_addresses_that_begin_like_it(void **state)
{
	static const struct {
		const char *block, *address;
		bool has;
	} rows[] = {
		{ "10.0.0.0/8", "10.255.0.1", true },
		{ "10.0.0.0/8", "11.0.0.1", false },
		{ "10.1.2.3/8", "10.9.9.9", true },
		{ "192.0.2.128/25", "192.0.2.129", true },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.7/32", "192.0.2.7", true },
		{ "192.0.2.7/32", "192.0.2.6", false },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "203.0.113.9", false },
		{ "fd00::/8", "fdff::1", true },
		{ "fd00::/8", "fe00::1", false },
		{ "2001:db8::1/128", "2001:db8::1", true },
		{ "2001:db8::1/127", "2001:db8::2", false },
		{ "10.0.0.0/8", "::ffff:10.1.1.1", true }, /* an IPv4 client of an IPv6 socket */
		{ "::ffff:10.0.0.0/104", "10.1.1.1", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (has(rows[i].block, rows[i].address) != rows[i].has)
			fail_msg("%s in %s", rows[i].address, rows[i].block);
}

static void
what_is_no_block_is_refused(void **state)
{
	static const char *const rows[] = { "", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/8 ", " 10.0.0.0/8", "10.0.0.0/-1", "10.0.0.0/8/8",
		"::/129", "fe80::1%eth0/64", "[::1]/128", "example.com/8", "::ffff:10.0.0.0/8", "10.0.0.0/08x" };
	struct ip_block b;
	struct ip ip;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (ip_block_parse(slice_str(rows[i]), &b) == OK)
			fail_msg("taken: %s", rows[i]);
	assert_int_equal(ip_block_parse(SLICE_NONE, &b), E_FORMAT);
	assert_int_equal(ip_parse(SLICE_LIT("10.0.0.1\0"), &ip), E_FORMAT);
	assert_int_equal(ip_parse(SLICE_LIT("10.0.0.1:80"), &ip), E_FORMAT);
	assert_int_equal(ip_parse(SLICE_LIT("1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa"), &ip), E_FORMAT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_has_the_addresses_that_begin_like_it),
		cmocka_unit_test(what_is_no_block_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
