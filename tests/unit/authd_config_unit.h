/* authd_config_unit.h - a folder with a configuration file and certificates, and tables of what is refused. */
#ifndef TESTS_AUTHD_CONFIG_UNIT_H
#define TESTS_AUTHD_CONFIG_UNIT_H

#include "tests/unit/unit.h"
#include "authd/config.h"
#include "tests/unit/certificates.h"

static const char *const config_unit_files[] = { "authd.yaml", "cert.pem", "key.pem", "other-key.pem", "expired.pem", "broken.pem" };
static char config_unit_folder[64];
static struct clock_fixed config_unit_now;

static inline void
config_unit_put(const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", config_unit_folder, name);
	unit_file_write(path, text, strlen(text));
}

static inline int
config_unit_setup(void **state)
{
	(void)state;
	static char text[TEST_PEM_BYTES];
	EVP_PKEY *key = test_key_new(0), *other = test_key_new(0);

	unit_folder_make(config_unit_folder);
	clock_fixed_init(&config_unit_now, TEST_NOW_S);
	test_certificate_pem(key, TEST_NOW_S - 10, TEST_NOW_S + TEST_YEAR_S, text);
	config_unit_put("cert.pem", text);
	test_certificate_pem(key, TEST_NOW_S - TEST_YEAR_S, TEST_NOW_S - 1, text);
	config_unit_put("expired.pem", text);
	test_key_pem(key, NULL, text);
	config_unit_put("key.pem", text);
	test_key_pem(other, NULL, text);
	config_unit_put("other-key.pem", text);
	config_unit_put("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	assert_int_equal(setenv("GH_TEST_ID", "id-of-env", 1), 0);
	assert_int_equal(setenv("GH_TEST_SECRET", "secret-of-env", 1), 0);
	assert_int_equal(setenv("GH_TEST_EMPTY", "", 1), 0);
	assert_int_equal(setenv("GH_TEST_HASH", "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W", 1), 0);
	assert_int_equal(unsetenv("GH_TEST_UNSET"), 0);
	return 0;
}

static inline int
config_unit_teardown(void **state)
{
	(void)state;
	char path[128];

	for (size_t i = 0; i < sizeof(config_unit_files) / sizeof(config_unit_files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", config_unit_folder, config_unit_files[i]);
		unlink(path);
	}
	return rmdir(config_unit_folder);
}

/* Load a text in which every '@' before a '/' is the folder. */
static inline enum err
config_unit_load(const char *text, struct authd_config **out, struct config_error *e)
{
	char path[128];
	struct buf full;

	buf_init(&full, 0);
	for (; *text; text++)
		if (text[0] == '@' && text[1] == '/')
			buf_add_str(&full, config_unit_folder);
		else
			buf_add_char(&full, *text);
	config_unit_put("authd.yaml", full.p ? full.p : "");
	buf_fini(&full);
	snprintf(path, sizeof(path), "%s/authd.yaml", config_unit_folder);
	return authd_config_load(path, &config_unit_now.clock, out, e);
}

static inline struct authd_config *
config_unit_load_ok(const char *text)
{
	struct config_error e = { "" };
	struct authd_config *c = NULL;

	if (config_unit_load(text, &c, &e) != OK)
		fail_msg("%s\nrefused: %s", text, e.text);
	return c;
}

struct config_unit_refusal {
	const char *text, *expected; /* expected: what follows "FOLDER/authd.yaml" */
};

static inline void
config_unit_expect_refusals(const struct config_unit_refusal *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct config_error e = { "" };
		struct authd_config *c = NULL;
		char prefix[128];
		snprintf(prefix, sizeof(prefix), "%s/authd.yaml", config_unit_folder);
		enum err err = config_unit_load(cases[i].text, &c, &e);
		bool named = strncmp(e.text, prefix, strlen(prefix)) == 0;
		if (err == OK || !named || strncmp(e.text + strlen(prefix), cases[i].expected, strlen(cases[i].expected)) != 0)
			fail_msg("%s\ngave: %s\nexpected: %s%s", cases[i].text, err ? e.text : "no error", prefix, cases[i].expected);
		assert_null(c);
	}
}
#define EXPECT_REFUSALS(rows) config_unit_expect_refusals((rows), sizeof(rows) / sizeof((rows)[0]))

/* Four lines that are enough; what a row adds begins on line 5. */
#define ISSUER "issuer: https://gw.example/oidc\n"
#define STORAGE "storage: {type: lmdb, config: {path: /var/lib/gatehouse}}\n"
#define WEB "web: {unix: /run/gatehouse/authd.sock}\n"
#define DB "enablePasswordDB: true\n"
#define BASE ISSUER STORAGE WEB DB
#define HASH "'$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W'"
#define PERSON(more) BASE "staticPasswords:\n- {email: a@example.com, userID: '1', hash: " HASH more "}\n"
#define CLIENT(more) BASE "staticClients:\n- {id: app, secret: s, name: App" more "}\n"
#define GITHUB_KEYS "clientID: i, clientSecret: s, redirectURI: 'https://gw.example/oidc/callback'"
#define GITHUB(more) BASE "connectors:\n- {type: github, id: github, name: GitHub, config: {" GITHUB_KEYS more "}}\n"

#endif
