#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "proxyd/host_name.h"

static void
a_name_is_what_stands_before_the_port_and_an_address_is_none(void **state)
{
	static const struct {
		const char *host, *name;
	} rows[] = { { "gate.test", "gate.test" }, { "gate.test:8443", "gate.test" }, { "GATE.test.", "GATE.test." }, { "127.0.0.1", NULL }, { "127.0.0.1:8443", NULL },
		{ "[::1]:8443", NULL }, { "", NULL }, { ":80", NULL }, { "127.0.0.1.", "127.0.0.1." }, { "127.0.0", "127.0.0" }, { "256.1.1.1", "256.1.1.1" }, { "node1", "node1" } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice name = host_name_of(slice_str(rows[i].host));
		assert_true(rows[i].name ? slice_eq_str(name, rows[i].name) : name.p == NULL);
	}
}

static void
another_name_than_the_handshakes_is_misdirected_however_long_it_is(void **state)
{
	static char text[4096];
	const struct slice sni = SLICE_LIT("gate.test");

	(void)state;
	assert_false(host_name_is_misdirected(sni, SLICE_LIT("Gate.TEST:443")));
	assert_false(host_name_is_misdirected(sni, SLICE_LIT("10.1.2.3:443")));
	assert_false(host_name_is_misdirected(SLICE_NONE, SLICE_LIT("other.test")));
	assert_true(host_name_is_misdirected(sni, SLICE_LIT("other.test")));
	assert_true(host_name_is_misdirected(sni, SLICE_LIT("gate.test.")));
	memset(text, '1', sizeof(text));
	for (size_t n = 1; n <= sizeof(text); n++)
		assert_true(host_name_is_misdirected(sni, slice_of(text, n)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_what_stands_before_the_port_and_an_address_is_none),
		cmocka_unit_test(another_name_than_the_handshakes_is_misdirected_however_long_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
