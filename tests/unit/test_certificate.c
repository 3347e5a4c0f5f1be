#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "shared/certificate.h"
#include "shared/buf.h"
#include "tests/unit/certificates.h"

struct pems {
	char cert[TEST_PEM_BYTES], expired[TEST_PEM_BYTES], key[TEST_PEM_BYTES], other_key[TEST_PEM_BYTES];
};

static int
pems_setup(void **state)
{
	struct pems *p = calloc(1, sizeof(*p));
	EVP_PKEY *key = test_key_new(0), *other = test_key_new(0);

	assert_non_null(p);
	test_certificate_pem(key, TEST_NOW_S - 10, TEST_NOW_S + 10, p->cert);
	test_certificate_pem(key, TEST_NOW_S - 20, TEST_NOW_S - 10, p->expired);
	test_key_pem(key, NULL, p->key);
	test_key_pem(other, NULL, p->other_key);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	*state = p;
	return 0;
}

static int
pems_teardown(void **state)
{
	free(*state);
	return 0;
}

static enum err
check(const char *cert, const char *key, int64_t now_s, enum certificate_part *part, char why[CERTIFICATE_WHY_BYTES])
{
	return certificate_check_pair(slice_str(cert), slice_str(key), now_s, part, why);
}

static void
a_pair_is_good_from_its_first_second_to_its_last(void **state)
{
	struct pems *p = *state;
	enum certificate_part part;
	char why[CERTIFICATE_WHY_BYTES];

	assert_int_equal(check(p->cert, p->key, TEST_NOW_S, &part, why), OK);
	assert_int_equal(check(p->cert, p->key, TEST_NOW_S - 9, &part, why), OK);
	assert_int_equal(check(p->cert, p->key, TEST_NOW_S + 9, &part, why), OK);
	assert_int_equal(check(p->cert, p->key, TEST_NOW_S - 11, &part, why), E_FORMAT);
	assert_int_equal(part, CERTIFICATE_CHAIN);
	assert_string_equal(why, "is not valid before 2027-01-15T07:59:50Z");
	assert_int_equal(check(p->cert, p->key, TEST_NOW_S + 11, &part, why), E_FORMAT);
	assert_int_equal(part, CERTIFICATE_CHAIN);
	assert_string_equal(why, "expired on 2027-01-15T08:00:10Z");
}

static void
another_keys_certificate_is_the_keys_fault(void **state)
{
	struct pems *p = *state;
	enum certificate_part part;
	char why[CERTIFICATE_WHY_BYTES];

	assert_int_equal(check(p->cert, p->other_key, TEST_NOW_S, &part, why), E_FORMAT);
	assert_int_equal(part, CERTIFICATE_KEY);
	assert_string_equal(why, "does not belong to the certificate");
	assert_int_equal(check(p->cert, "", TEST_NOW_S, &part, why), E_FORMAT);
	assert_int_equal(part, CERTIFICATE_KEY);
	assert_int_equal(check("", p->key, TEST_NOW_S, &part, why), E_FORMAT);
	assert_int_equal(part, CERTIFICATE_CHAIN);
}

static void
a_chain_is_read_to_its_end_and_has_one(void **state)
{
	struct pems *p = *state;
	enum certificate_part part;
	char why[CERTIFICATE_WHY_BYTES];
	struct buf chain;

	buf_init(&chain, 0);
	for (int i = 0; i < 16; i++)
		buf_add_str(&chain, p->cert);
	assert_int_equal(check(chain.p, p->key, TEST_NOW_S, &part, why), OK);
	buf_add_str(&chain, p->cert);
	assert_int_equal(check(chain.p, p->key, TEST_NOW_S, &part, why), E_FORMAT);
	assert_string_equal(why, "holds more than 16 certificates");
	buf_reset(&chain);
	buf_printf(&chain, "text before\n%s-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", p->cert);
	assert_int_equal(check(chain.p, p->key, TEST_NOW_S, &part, why), E_FORMAT);
	assert_string_equal(why, "certificate 2 in it cannot be read");
	buf_fini(&chain);
}

static void
a_bundle_may_hold_expired_authorities_but_not_only_those(void **state)
{
	struct pems *p = *state;
	char why[CERTIFICATE_WHY_BYTES];
	struct buf bundle;

	buf_init(&bundle, 0);
	buf_printf(&bundle, "%s%s", p->expired, p->cert);
	assert_int_equal(certificate_check_ca(buf_slice(&bundle), TEST_NOW_S, why), OK);
	assert_int_equal(certificate_check_ca(slice_str(p->expired), TEST_NOW_S, why), E_FORMAT);
	assert_string_equal(why, "expired on 2027-01-15T07:59:50Z");
	assert_int_equal(certificate_check_ca(SLICE_NONE, TEST_NOW_S, why), E_FORMAT);
	assert_int_equal(certificate_check_ca(slice_str(p->key), TEST_NOW_S, why), E_FORMAT);
	buf_reset(&bundle);
	buf_printf(&bundle, "%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", p->cert);
	assert_int_equal(certificate_check_ca(buf_slice(&bundle), TEST_NOW_S, why), E_FORMAT);
	assert_string_equal(why, "certificate 2 in it cannot be read");
	buf_fini(&bundle);
}

/* A leftover in OpenSSL's error queue would make the next SSL_read of an innocent connection fail. */
static void
nothing_is_left_in_openssls_error_queue(void **state)
{
	struct pems *p = *state;
	const char *const texts[] = { "", p->cert, p->key, p->expired, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" };
	enum certificate_part part;
	char why[CERTIFICATE_WHY_BYTES];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++) {
			enum err pair = check(texts[i], texts[j], TEST_NOW_S, &part, why);
			enum err ca = certificate_check_ca(slice_str(texts[i]), TEST_NOW_S, why);
			assert_int_equal(pair == OK, i == 1 && j == 2);
			assert_int_equal(ca == OK, i == 1);
			assert_int_equal(ERR_peek_error(), 0);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pair_is_good_from_its_first_second_to_its_last),
		cmocka_unit_test(another_keys_certificate_is_the_keys_fault),
		cmocka_unit_test(a_chain_is_read_to_its_end_and_has_one),
		cmocka_unit_test(a_bundle_may_hold_expired_authorities_but_not_only_those),
		cmocka_unit_test(nothing_is_left_in_openssls_error_queue),
	};
	return cmocka_run_group_tests(tests, pems_setup, pems_teardown);
}
