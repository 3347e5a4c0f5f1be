/* proxyd_config_unit.h - a folder with certificates, kubeconfigs and other files, good and bad ones, for configurations that name them: "@" is the folder. */
#ifndef TESTS_PROXYD_CONFIG_UNIT_H
#define TESTS_PROXYD_CONFIG_UNIT_H

#include <sys/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "proxyd/config.h"
#include "tests/unit/certificates.h"

static const char *const file_names[] = { "proxyd.yaml", "cert.pem", "key.pem", "other-key.pem", "encrypted-key.pem", "expired.pem", "future.pem",
	"weak.pem", "weak-key.pem", "broken.pem", "kube", "kube-expired", "kube-other-key", "kube-bad-ca", "kube-exec", "empty", "tokens.csv", "feed.secret", "tokens-twice.csv" };

struct folder {
	struct clock_fixed clock;
	char path[64];
};

static inline void
put(const struct folder *f, const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
}

static inline void
put_kubeconfig(const struct folder *f, const char *name, const char *ca, const char *cert, const char *key)
{
	char ca64[TEST_PEM_BYTES * 2], cert64[TEST_PEM_BYTES * 2], key64[TEST_PEM_BYTES * 2];
	char *text = NULL;

	test_base64(ca, ca64);
	test_base64(cert, cert64);
	test_base64(key, key64);
	assert_true(asprintf(&text,
		"current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
		"clusters: [{name: k, cluster: {server: 'https://127.0.0.1:6443', certificate-authority-data: %s}}]\n"
		"users: [{name: u, user: {client-certificate-data: %s, client-key-data: %s}}]\n",
		ca64, cert64, key64) > 0);
	put(f, name, text);
	free(text);
}

static inline int
folder_setup(void **state)
{
	static char cert[TEST_PEM_BYTES], key[TEST_PEM_BYTES], other[TEST_PEM_BYTES], text[TEST_PEM_BYTES];
	struct folder *f = calloc(1, sizeof(*f));
	EVP_PKEY *p256 = test_key_new(0), *second = test_key_new(0), *weak = test_key_new(1024);

	assert_non_null(f);
	clock_fixed_init(&f->clock, TEST_NOW_S);
	snprintf(f->path, sizeof(f->path), "/tmp/config-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	test_certificate_pem(p256, TEST_NOW_S - 10, TEST_NOW_S + TEST_YEAR_S, cert);
	put(f, "cert.pem", cert);
	test_key_pem(p256, NULL, key);
	put(f, "key.pem", key);
	test_key_pem(second, NULL, other);
	put(f, "other-key.pem", other);
	test_key_pem(p256, "secret", text);
	put(f, "encrypted-key.pem", text);
	put_kubeconfig(f, "kube", cert, cert, key);
	put_kubeconfig(f, "kube-other-key", cert, cert, other);
	put_kubeconfig(f, "kube-bad-ca", "junk", cert, key);
	put(f, "kube-exec",
		"current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
		"clusters: [{name: k, cluster: {server: 'https://a'}}]\nusers:\n- name: u\n  user: {exec: {command: sh}}\n");
	test_certificate_pem(p256, TEST_NOW_S - TEST_YEAR_S, TEST_NOW_S - 1, text);
	put(f, "expired.pem", text);
	put_kubeconfig(f, "kube-expired", cert, text, key);
	test_certificate_pem(p256, TEST_NOW_S + 10, TEST_NOW_S + TEST_YEAR_S, text);
	put(f, "future.pem", text);
	test_certificate_pem(weak, TEST_NOW_S - 10, TEST_NOW_S + TEST_YEAR_S, text);
	put(f, "weak.pem", text);
	test_key_pem(weak, NULL, text);
	put(f, "weak-key.pem", text);
	put(f, "broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	put(f, "empty", "");
	put(f, "feed.secret", "# of this month\n0123456789abcdef0123456789abcdef\n");
	char secret[200];
	snprintf(secret, sizeof(secret), "%s/feed.secret", f->path);
	chmod(secret, 0600);
	put(f, "tokens.csv", "0123456789abcdef,jane,7,\"dev,ops\"\n");
	put(f, "tokens-twice.csv", "0123456789abcdef,jane,7\nfedcba9876543210,joe,8\n0123456789abcdef,mallory,9\n");
	EVP_PKEY_free(p256);
	EVP_PKEY_free(second);
	EVP_PKEY_free(weak);
	*state = f;
	return 0;
}

static inline int
folder_teardown(void **state)
{
	struct folder *f = *state;
	char path[128];

	for (size_t i = 0; i < sizeof(file_names) / sizeof(file_names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->path, file_names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(f->path), 0);
	free(f);
	return 0;
}

/* Load a text in which every '@' is the folder. */
static inline enum err
load(const struct folder *f, const char *text, struct proxyd_config **out, struct config_error *e)
{
	char path[128];
	struct buf full;

	buf_init(&full, 0);
	for (; *text; text++)
		if (*text == '@')
			buf_add_str(&full, f->path);
		else
			buf_add_char(&full, *text);
	put(f, "proxyd.yaml", full.p ? full.p : "");
	buf_fini(&full);
	snprintf(path, sizeof(path), "%s/proxyd.yaml", f->path);
	return proxyd_config_load(path, &f->clock.clock, out, e);
}

static inline struct proxyd_config *
load_ok(const struct folder *f, const char *text)
{
	struct config_error e = { "" };
	struct proxyd_config *c = NULL;

	if (load(f, text, &c, &e) != OK)
		fail_msg("%s\nrefused: %s", text, e.text);
	return c;
}

struct refusal {
	const char *text, *expected; /* expected: after "FOLDER/proxyd.yaml" */
};

static inline void
expect_refusals(const struct folder *f, const struct refusal *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct config_error e = { "" };
		struct proxyd_config *c = NULL;
		char prefix[128];
		snprintf(prefix, sizeof(prefix), "%s/proxyd.yaml", f->path);
		enum err err = load(f, cases[i].text, &c, &e);
		bool named = strncmp(e.text, prefix, strlen(prefix)) == 0;
		if (err == OK || !named || strncmp(e.text + strlen(prefix), cases[i].expected, strlen(cases[i].expected)) != 0)
			fail_msg("%s\ngave: %s\nexpected: %s%s", cases[i].text, err ? e.text : "no error", prefix, cases[i].expected);
		assert_null(c);
	}
}

#define TLS "tls: {certFile: @/cert.pem, keyFile: @/key.pem}"
#define LISTEN "listen: [{address: '127.0.0.1:0', " TLS "}]\n"
#define ISSUER "issuer: {url: 'https://i', audiences: [a]}"
#define JWT(more) LISTEN "authentication:\n  jwt:\n  - {" ISSUER more "}\n" /* on line 4 */
#define WITH_ISSUER LISTEN "authentication: {jwt: [{" ISSUER "}]}\n"

#endif
