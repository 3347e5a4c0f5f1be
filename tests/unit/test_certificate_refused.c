/* What --check and a reload say of certificates, keys and authorities that cannot be used. */
#include "tests/unit/unit.h"
#include "tests/unit/certificates.h"
#include "shared/certificate.h"

static char cert[TEST_PEM_BYTES], key[TEST_PEM_BYTES], why[CERTIFICATE_WHY_BYTES];
static const char *cert_text, *key_text;
static int64_t now_s;
static EVP_PKEY *pair;

static int
setup(void **state)
{
	(void)state;
	pair = test_key_new(0);
	now_s = TEST_NOW_S;
	test_key_pem(pair, NULL, key);
	test_certificate_pem(pair, TEST_NOW_S - TEST_YEAR_S, TEST_NOW_S + TEST_YEAR_S, cert);
	cert_text = cert;
	key_text = key;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	EVP_PKEY_free(pair);
	return 0;
}

static void
assert_pair(enum certificate_part to_blame, const char *found)
{
	enum certificate_part part;

	assert_int_equal(certificate_check_pair(slice_str(cert_text), slice_str(key_text), now_s, &part, why), E_FORMAT);
	assert_int_equal(part, to_blame);
	assert_string_equal(why, found);
}

static void
assert_ca(const char *found)
{
	assert_int_equal(certificate_check_ca(slice_str(cert_text), now_s, why), E_FORMAT);
	assert_string_equal(why, found);
}

static void
all_may_stand_in_one_file(void **state)
{
	char both[4 * TEST_PEM_BYTES];
	enum certificate_part part;

	(void)state;
	snprintf(both, sizeof(both), "%stext between\n%s%s", key, cert, cert);
	assert_int_equal(certificate_check_pair(slice_str(both), slice_str(both), now_s, &part, why), OK);
}

static void
what_is_not_pem_is_refused(void **state)
{
	const char *no_cert = "holds no certificate (expected PEM, BEGIN CERTIFICATE)";

	(void)state;
	cert_text = "";
	assert_pair(CERTIFICATE_CHAIN, no_cert);
	assert_ca(no_cert);
	cert_text = key;
	assert_pair(CERTIFICATE_CHAIN, no_cert);
	cert_text = "\x30\x82\x01\x00 DER";
	assert_ca(no_cert);
	cert_text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	assert_pair(CERTIFICATE_CHAIN, "certificate 1 in it cannot be read");
	assert_ca("certificate 1 in it cannot be read");
	cert[strlen(cert) - 30] = '\0';
	cert_text = cert;
	assert_ca("certificate 1 in it cannot be read");
}

static void
a_key_is_the_certificates_own(void **state)
{
	const char *no_key = "holds no private key (expected PEM, BEGIN PRIVATE KEY)";
	EVP_PKEY *other = test_key_new(0);

	(void)state;
	test_key_pem(other, NULL, key);
	key_text = key;
	assert_pair(CERTIFICATE_KEY, "does not belong to the certificate");
	EVP_PKEY_free(other);
	other = test_key_new(2048);
	test_key_pem(other, NULL, key);
	key_text = key;
	assert_pair(CERTIFICATE_KEY, "does not belong to the certificate");
	EVP_PKEY_free(other);
	key_text = "";
	assert_pair(CERTIFICATE_KEY, no_key);
	key_text = cert;
	assert_pair(CERTIFICATE_KEY, no_key);
}

static void
an_encrypted_key_is_told_and_nobody_is_asked(void **state)
{
	(void)state;
	test_key_pem(pair, "hunter2", key);
	key_text = key;
	assert_pair(CERTIFICATE_KEY, "is encrypted; expected a key without a pass phrase");
}

static void
dates_are_told(void **state)
{
	(void)state;
	now_s += TEST_YEAR_S + 1;
	assert_pair(CERTIFICATE_CHAIN, "expired on 2028-01-15T08:00:00Z");
	assert_ca("expired on 2028-01-15T08:00:00Z");
	now_s -= 2 * TEST_YEAR_S + 2;
	assert_pair(CERTIFICATE_CHAIN, "is not valid before 2026-01-15T08:00:00Z");
	assert_ca("is not valid before 2026-01-15T08:00:00Z");
}

static void
a_bundle_needs_one_valid_certificate(void **state)
{
	char expired[TEST_PEM_BYTES], bundle[3 * TEST_PEM_BYTES];

	(void)state;
	test_certificate_pem(pair, TEST_NOW_S - 2, TEST_NOW_S - 1, expired);
	snprintf(bundle, sizeof(bundle), "# comment\n%s%s", expired, cert);
	cert_text = bundle;
	assert_int_equal(certificate_check_ca(slice_str(cert_text), now_s, why), OK);
	snprintf(bundle, sizeof(bundle), "%s%s", cert, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	cert_text = bundle;
	assert_ca("certificate 2 in it cannot be read");
}

static void
chains_are_bounded(void **state)
{
	static char many[17 * TEST_PEM_BYTES];

	(void)state;
	many[0] = '\0';
	for (int i = 0; i < 17; i++)
		strcat(many, cert);
	cert_text = many;
	assert_pair(CERTIFICATE_CHAIN, "holds more than 16 certificates");
}

static void
a_weak_key_is_refused_by_openssl(void **state)
{
	EVP_PKEY *weak = test_key_new(512);

	(void)state;
	test_key_pem(weak, NULL, key);
	test_certificate_pem(weak, TEST_NOW_S - 60, TEST_NOW_S + 60, cert);
	cert_text = cert;
	key_text = key;
	assert_pair(CERTIFICATE_CHAIN, "is refused by OpenSSL: ee key too small");
	EVP_PKEY_free(weak);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_may_stand_in_one_file, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_pem_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_is_the_certificates_own, setup, teardown),
		cmocka_unit_test_setup_teardown(an_encrypted_key_is_told_and_nobody_is_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(dates_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bundle_needs_one_valid_certificate, setup, teardown),
		cmocka_unit_test_setup_teardown(chains_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(a_weak_key_is_refused_by_openssl, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
