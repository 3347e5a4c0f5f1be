#include "proxyd/peers.h"
#include "tests/unit/unit.h"

static void
v4(unsigned char out[16], uint32_t n)
{
	memset(out, 0, 16);
	out[10] = out[11] = 0xff;
	memcpy(out + 12, &n, 4);
}

/* Of the call before the last it is gone. */
static const uint64_t *
key_of(const unsigned char address[16])
{
	static uint64_t keys[2][2];
	static unsigned turn;

	turn ^= 1;
	peers_key(address, keys[turn]);
	return keys[turn];
}

static void
an_address_may_have_its_limit_and_not_one_more(void **state)
{
	struct peers p = { .seed = 7 };
	unsigned char a[16], b[16];

	(void)state;
	v4(a, 1);
	v4(b, 2);
	for (int i = 0; i < 3; i++)
		assert_true(peers_enter(&p, key_of(a), 3));
	assert_false(peers_enter(&p, key_of(a), 3));
	assert_true(peers_enter(&p, key_of(b), 3));
	peers_leave(&p, key_of(a));
	assert_true(peers_enter(&p, key_of(a), 3));
	assert_false(peers_enter(&p, key_of(a), 3));
	peers_fini(&p);
}

static void
ipv6_neighbours_share_a_count(void **state)
{
	struct peers p = { .seed = 7 };
	unsigned char a[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 }, same[16] = { 0x20, 1, 0xd, 0xb8, [8] = 9, [15] = 2 }, other[16] = { 0x20, 1, 0xd, 0xb8, [7] = 1 };

	(void)state;
	assert_true(peers_enter(&p, key_of(a), 1));
	assert_false(peers_enter(&p, key_of(same), 1));
	assert_true(peers_enter(&p, key_of(other), 1));
	peers_leave(&p, key_of(a));
	assert_true(peers_enter(&p, key_of(same), 1));
	peers_fini(&p);
}

/* Against a plain array of counts. */
static void
counts_stay_right_while_thousands_come_and_go(void **state)
{
	enum { ADDRESSES = 3000, LIMIT = 4 };
	static unsigned counts[ADDRESSES];
	struct peers p = { .seed = 99 };
	unsigned random = 1;
	size_t used = 0;

	(void)state;
	for (int step = 0; step < 200000; step++) {
		random = random * 1664525u + 1013904223u;
		unsigned n = (random >> 8) % ADDRESSES;
		unsigned char a[16];
		v4(a, n * 2654435761u);
		if (random >> 31 && counts[n]) {
			peers_leave(&p, key_of(a));
			used -= --counts[n] == 0;
		} else {
			assert_int_equal(peers_enter(&p, key_of(a), LIMIT), counts[n] < LIMIT);
			used += counts[n] == 0;
			counts[n] += counts[n] < LIMIT;
		}
		assert_int_equal(p.used, used);
	}
	for (unsigned n = 0; n < ADDRESSES; n++)
		for (unsigned char a[16]; counts[n]; counts[n]--) {
			v4(a, n * 2654435761u);
			peers_leave(&p, key_of(a));
		}
	assert_int_equal(p.used, 0);
	peers_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_may_have_its_limit_and_not_one_more),
		cmocka_unit_test(ipv6_neighbours_share_a_count),
		cmocka_unit_test(counts_stay_right_while_thousands_come_and_go),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
