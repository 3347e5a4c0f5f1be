#include <sys/stat.h>
#include <openssl/x509.h>
#include "proxyd/system_authorities.h"
#include "tests/unit/unit.h"
#include "tests/unit/unit_tls.h"

static char folder[64], second[96], file[96];
static char pem[3][TEST_PEM_BYTES];

static void
put(const char *in, const char *name, const char *text)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", in, name);
	unit_file_write(path, text, strlen(text));
}

static int
setup(void **state)
{
	(void)state;
	unit_folder_make(folder);
	snprintf(second, sizeof(second), "%s/second", folder);
	snprintf(file, sizeof(file), "%s/bundle.pem", folder);
	assert_int_equal(mkdir(second, 0700), 0);
	for (size_t i = 0; i < 3; i++) {
		EVP_PKEY *key = test_key_new(0);
		test_certificate_pem(key, time(NULL) - 60, time(NULL) + 3600, pem[i]);
		EVP_PKEY_free(key);
	}
	setenv("SSL_CERT_FILE", file, 1);
	setenv("SSL_CERT_DIR", folder, 1);
	return 0;
}
static int
teardown(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

static size_t
load(void)
{
	X509_STORE *store = X509_STORE_new();
	size_t n = system_authorities_load(store);

	X509_STORE_free(store);
	assert_int_equal(ERR_peek_error(), 0);
	return n;
}

static void
the_bundle_and_every_hashed_file_of_each_folder_are_loaded(void **state)
{
	char both[192];

	(void)state;
	assert_int_equal(load(), 0);
	unit_file_write(file, pem[0], strlen(pem[0]));
	assert_int_equal(load(), 1);
	put(folder, "0a1b2c3d.0", pem[1]);
	assert_int_equal(load(), 2);
	put(second, "0a1b2c3d.17", pem[2]);
	assert_int_equal(load(), 2);
	snprintf(both, sizeof(both), "%s::%s:/nonexistent", folder, second);
	setenv("SSL_CERT_DIR", both, 1);
	assert_int_equal(load(), 3);
	put(second, "0a1b2c3d.1", pem[0]); /* there already */
	assert_int_equal(load(), 3);
}

static void
other_files_of_the_folder_are_left_alone(void **state)
{
	static const char *const names[] = { "ca.pem", "0a1b2c3d", "0a1b2c3d.", "0a1b2c3d.r0", "0a1b2c3d.0x", "0A1b2c3d.0", "0a1b2c3.0", "0a1b2c3d4.0" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put(folder, names[i], pem[1]);
	put(folder, "0a1b2c3d.5", "not a certificate\n");
	assert_int_equal(load(), 0);
}

static void
without_variables_the_places_are_those_of_openssl(void **state)
{
	(void)state;
	unsetenv("SSL_CERT_FILE");
	unsetenv("SSL_CERT_DIR");
	if (access(X509_get_default_cert_dir(), R_OK) != 0)
		skip();
	assert_true(load() > 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_bundle_and_every_hashed_file_of_each_folder_are_loaded),
		T(other_files_of_the_folder_are_left_alone),
		T(without_variables_the_places_are_those_of_openssl),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
