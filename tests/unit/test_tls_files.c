#include <sys/stat.h>
#include "tests/unit/unit.h"
#include "tests/unit/certificates.h"
#include "shared/tls_files.h"

static char folder[64], cert_file[128], key_file[128], cert[TEST_PEM_BYTES], key[TEST_PEM_BYTES], why[512];
static struct clock_fixed now;
static EVP_PKEY *pair;

static int
setup(void **state)
{
	(void)state;
	unit_folder_make(folder);
	snprintf(cert_file, sizeof(cert_file), "%s/tls.crt", folder);
	snprintf(key_file, sizeof(key_file), "%s/tls.key", folder);
	clock_fixed_init(&now, TEST_NOW_S);
	pair = test_key_new(0);
	test_key_pem(pair, NULL, key);
	test_certificate_pem(pair, TEST_NOW_S - TEST_YEAR_S, TEST_NOW_S + TEST_YEAR_S, cert);
	unit_file_write(cert_file, cert, strlen(cert));
	unit_file_write(key_file, key, strlen(key));
	why[0] = '\0';
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	EVP_PKEY_free(pair);
	unlink(cert_file);
	unlink(key_file);
	return rmdir(folder);
}

#define CHAIN "expected a certificate chain in PEM that is valid now"
#define KEY "expected the certificate's private key in PEM, without a pass phrase"
#define CA "expected CA certificates in PEM, one of them valid now"

static void
assert_pair(enum err e, const char *expected, const char *file, const char *found)
{
	char want[512];

	assert_int_equal(tls_files_check_pair(cert_file, key_file, &now.clock, why, sizeof(why)), e);
	snprintf(want, sizeof(want), "%s, found %s: %s", expected, file, found);
	assert_string_equal(why, want);
}

static void
assert_ca(enum err e, const char *file, const char *found)
{
	char want[512];

	assert_int_equal(tls_files_check_ca(file, &now.clock, why, sizeof(why)), e);
	snprintf(want, sizeof(want), CA ", found %s: %s", file, found);
	assert_string_equal(why, want);
}

static void
a_pair_that_fits_is_taken(void **state)
{
	char both[2 * TEST_PEM_BYTES];

	(void)state;
	assert_int_equal(tls_files_check_pair(cert_file, key_file, &now.clock, why, sizeof(why)), OK);
	/* Key, leaf and another certificate in one file, which is given twice. */
	int n = snprintf(both, sizeof(both), "%stext between\n%s%s", key, cert, cert);
	unit_file_write(cert_file, both, (size_t)n);
	assert_int_equal(tls_files_check_pair(cert_file, cert_file, &now.clock, why, sizeof(why)), OK);
	assert_string_equal(why, "");
}

static void
files_that_cannot_be_read_are_named(void **state)
{
	(void)state;
	unlink(key_file);
	assert_pair(E_SYSTEM, KEY, key_file, "No such file or directory");
	unlink(cert_file);
	assert_pair(E_SYSTEM, CHAIN, cert_file, "No such file or directory");
	assert_ca(E_SYSTEM, cert_file, "No such file or directory");
	assert_ca(E_SYSTEM, folder, "Is a directory");
	assert_int_equal(mkfifo(cert_file, 0600), 0);
	assert_pair(E_SYSTEM, CHAIN, cert_file, "is not a regular file");
	unlink(cert_file);
	unit_file_write(cert_file, "", 0);
	assert_int_equal(truncate(cert_file, TLS_FILE_BYTES_MAX + 1), 0);
	assert_ca(E_FORMAT, cert_file, "is longer than 4194304 bytes");
}

static void
a_key_that_only_others_may_read_is_named(void **state)
{
	(void)state;
	uid_t root = geteuid();
	assert_int_equal(chmod(key_file, 0), 0);
	assert_int_equal(chmod(cert_file, 0644), 0);
	assert_int_equal(chmod(folder, 0711), 0);
	if (root == 0) /* who reads everything */
		assert_int_equal(seteuid(65534), 0);
	enum err e = tls_files_check_pair(cert_file, key_file, &now.clock, why, sizeof(why));
	if (root == 0)
		assert_int_equal(seteuid(root), 0);
	assert_int_equal(e, E_SYSTEM);
	char want[512];
	snprintf(want, sizeof(want), KEY ", found %s: Permission denied", key_file);
	assert_string_equal(why, want);
}

static void
what_is_not_pem_is_refused(void **state)
{
	const char *no_cert = "holds no certificate (expected PEM, BEGIN CERTIFICATE)";

	(void)state;
	unit_file_write(cert_file, "", 0);
	assert_pair(E_FORMAT, CHAIN, cert_file, no_cert);
	assert_ca(E_FORMAT, cert_file, no_cert);
	unit_file_write(cert_file, key, strlen(key));
	assert_pair(E_FORMAT, CHAIN, cert_file, no_cert);
	unit_file_write(cert_file, "\x30\x82\x01\x00 DER", 8);
	assert_ca(E_FORMAT, cert_file, no_cert);
	unit_file_write(cert_file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 59);
	assert_pair(E_FORMAT, CHAIN, cert_file, "certificate 1 in it cannot be read");
	assert_ca(E_FORMAT, cert_file, "certificate 1 in it cannot be read");
	unit_file_write(cert_file, cert, strlen(cert) - 30);
	assert_ca(E_FORMAT, cert_file, "certificate 1 in it cannot be read");
}

static void
a_key_is_the_certificates_own(void **state)
{
	const char *no_key = "holds no private key (expected PEM, BEGIN PRIVATE KEY)";
	EVP_PKEY *other = test_key_new(0);

	(void)state;
	test_key_pem(other, NULL, key);
	unit_file_write(key_file, key, strlen(key));
	assert_pair(E_FORMAT, KEY, key_file, "does not belong to the certificate");
	EVP_PKEY_free(other);
	other = test_key_new(2048);
	test_key_pem(other, NULL, key);
	unit_file_write(key_file, key, strlen(key));
	assert_pair(E_FORMAT, KEY, key_file, "does not belong to the certificate");
	EVP_PKEY_free(other);
	unit_file_write(key_file, "", 0);
	assert_pair(E_FORMAT, KEY, key_file, no_key);
	unit_file_write(key_file, cert, strlen(cert));
	assert_pair(E_FORMAT, KEY, key_file, no_key);
}

static void
an_encrypted_key_is_told_and_nobody_is_asked(void **state)
{
	(void)state;
	test_key_pem(pair, "hunter2", key);
	unit_file_write(key_file, key, strlen(key));
	assert_pair(E_FORMAT, KEY, key_file, "is encrypted; expected a key without a pass phrase");
}

static void
dates_are_told(void **state)
{
	(void)state;
	clock_fixed_advance(&now, TEST_YEAR_S + 1);
	assert_pair(E_FORMAT, CHAIN, cert_file, "expired on 2028-01-15T08:00:00Z");
	assert_ca(E_FORMAT, cert_file, "expired on 2028-01-15T08:00:00Z");
	clock_fixed_advance(&now, -2 * TEST_YEAR_S - 2);
	assert_pair(E_FORMAT, CHAIN, cert_file, "is not valid before 2026-01-15T08:00:00Z");
	assert_ca(E_FORMAT, cert_file, "is not valid before 2026-01-15T08:00:00Z");
}

static void
a_bundle_needs_one_valid_certificate(void **state)
{
	char expired[TEST_PEM_BYTES], bundle[2 * TEST_PEM_BYTES];

	(void)state;
	test_certificate_pem(pair, TEST_NOW_S - 2, TEST_NOW_S - 1, expired);
	int n = snprintf(bundle, sizeof(bundle), "# comment\n%s%s", expired, cert);
	unit_file_write(cert_file, bundle, (size_t)n);
	assert_int_equal(tls_files_check_ca(cert_file, &now.clock, why, sizeof(why)), OK);
	n = snprintf(bundle, sizeof(bundle), "%s%s", cert, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	unit_file_write(cert_file, bundle, (size_t)n);
	assert_ca(E_FORMAT, cert_file, "certificate 2 in it cannot be read");
}

static void
chains_are_bounded(void **state)
{
	FILE *f = fopen(cert_file, "w");

	(void)state;
	for (int i = 0; i < 17; i++)
		fputs(cert, f);
	fclose(f);
	assert_pair(E_FORMAT, CHAIN, cert_file, "holds more than 16 certificates");
}

static void
a_weak_key_is_refused_by_openssl(void **state)
{
	EVP_PKEY *weak = test_key_new(512);

	(void)state;
	test_key_pem(weak, NULL, key);
	test_certificate_pem(weak, TEST_NOW_S - 60, TEST_NOW_S + 60, cert);
	unit_file_write(cert_file, cert, strlen(cert));
	unit_file_write(key_file, key, strlen(key));
	assert_pair(E_FORMAT, CHAIN, cert_file, "is refused by OpenSSL: ee key too small");
	EVP_PKEY_free(weak);
}

static void
a_short_buffer_is_cut(void **state)
{
	char small[10];

	(void)state;
	unlink(cert_file);
	assert_int_equal(tls_files_check_ca(cert_file, &now.clock, small, sizeof(small)), E_SYSTEM);
	assert_string_equal(small, "expected ");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pair_that_fits_is_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(files_that_cannot_be_read_are_named, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_that_only_others_may_read_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_pem_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_is_the_certificates_own, setup, teardown),
		cmocka_unit_test_setup_teardown(an_encrypted_key_is_told_and_nobody_is_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(dates_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bundle_needs_one_valid_certificate, setup, teardown),
		cmocka_unit_test_setup_teardown(chains_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(a_weak_key_is_refused_by_openssl, setup, teardown),
		cmocka_unit_test_setup_teardown(a_short_buffer_is_cut, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
