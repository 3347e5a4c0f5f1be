/* From a certificate's subject to a caller: CN, O, and what is refused. */
#include <openssl/err.h>
#include "proxyd/client_certificate.h"
#include "proxyd/impersonate.h"
#include "tests/unit/unit.h"
#include "tests/unit/certificates.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define END 1900000000

struct name {
	const char *field; /* NULL: no more */
	int kind;          /* MBSTRING_UTF8, or a V_ASN1_* taken as it is */
	const char *value;
	int n;             /* bytes; 0: up to NUL */
};

static X509 *
certificate(const struct name *names, size_t n)
{
	X509 *x = X509_new();
	EVP_PKEY *key = test_key_new(0);

	assert_non_null(x);
	for (size_t i = 0; i < n && names[i].field; i++)
		assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), names[i].field, names[i].kind, (const unsigned char *)names[i].value,
					 names[i].n ? names[i].n : -1, -1, 0), 1);
	X509_set_pubkey(x, key);
	ASN1_TIME_set(X509_getm_notBefore(x), 1);
	ASN1_TIME_set(X509_getm_notAfter(x), END);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	EVP_PKEY_free(key);
	return x;
}

#define U MBSTRING_UTF8

static void
cn_is_the_user_and_each_o_a_group(void **state)
{
	static const struct name names[] = { { "O", U, "dev", 0 }, { "C", U, "DE", 0 }, { "OU", U, "system:masters", 0 }, { "CN", U, "jane", 0 },
		{ "O", U, "ops \xc3\xa9", 0 }, { "emailAddress", U, "root@example.com", 0 } };
	X509 *x = certificate(names, COUNT(names));
	struct identity id;
	struct arena arena;
	const char *why;
	struct buf headers;

	(void)state;
	arena_init(&arena, 0);
	assert_int_equal(client_certificate_identify(x, END, &arena, &id, &why), OK);
	assert_true(slice_eq_str(id.username, "jane"));
	assert_int_equal(id.group_n, 2);
	assert_true(slice_eq_str(id.groups[0], "dev"));
	assert_true(slice_eq_str(id.groups[1], "ops \xc3\xa9"));
	assert_int_equal(id.uid.n, 0);
	assert_int_equal(id.how, IDENTITY_CLIENT_CERTIFICATE);
	assert_int_equal(id.expires_at, END);
	assert_int_equal(id.extra_n, 1);
	assert_true(slice_eq_str(id.extra[0].key, "authentication.kubernetes.io/credential-id"));
	assert_int_equal(id.extra[0].values[0].n, 11 + 64);
	assert_true(slice_has_prefix(id.extra[0].values[0], SLICE_LIT("X509SHA256=")));
	buf_init(&headers, 0);
	assert_int_equal(impersonate_block(&id, &headers), OK);
	buf_fini(&headers);
	arena_fini(&arena);
	X509_free(x);
}

/* Whatever way a name is written, its characters count. */
static void
names_are_read_in_every_encoding(void **state)
{
	static const struct name ways[] = { { "CN", V_ASN1_PRINTABLESTRING, "jane", 0 }, { "CN", V_ASN1_IA5STRING, "jane", 0 }, { "CN", V_ASN1_T61STRING, "jane", 0 },
		{ "CN", V_ASN1_BMPSTRING, "\0j\0a\0n\0e", 8 }, { "CN", V_ASN1_UNIVERSALSTRING, "\0\0\0j\0\0\0a\0\0\0n\0\0\0e", 16 } };

	(void)state;
	for (size_t i = 0; i < COUNT(ways); i++) {
		X509 *x = certificate(&ways[i], 1);
		struct identity id;
		struct arena arena;
		const char *why = "";
		arena_init(&arena, 0);
		if (client_certificate_identify(x, END, &arena, &id, &why) != OK || !slice_eq_str(id.username, "jane"))
			fail_msg("%zu: %s", i, why);
		arena_fini(&arena);
		X509_free(x);
	}
}

static void
names_that_may_not_call_are_refused_with_a_reason(void **state)
{
	static const struct {
		struct name names[3];
		const char *why;
	} cases[] = {
		{ { { "O", U, "dev", 0 } }, "the certificate has no CN" },
		{ { { NULL, 0, NULL, 0 } }, "the certificate has no CN" },
		{ { { "CN", U, "jane", 0 }, { "CN", U, "root", 0 } }, "the certificate has more than one CN" },
		{ { { "CN", U, "jane", 0 }, { "CN", U, "jane", 0 } }, "the certificate has more than one CN" },
		{ { { "CN", U, "system:admin", 0 } }, "the certificate's CN begins with \"system:\"" },
		{ { { "CN", U, "system:", 0 } }, "the certificate's CN begins with \"system:\"" },
		{ { { "CN", V_ASN1_BMPSTRING, "\0s\0y\0s\0t\0e\0m\0:\0x", 16 } }, "the certificate's CN begins with \"system:\"" },
		{ { { "CN", U, "jane", 0 }, { "O", U, "system:masters", 0 } }, "an O of the certificate begins with \"system:\"" },
		{ { { "O", U, "dev", 0 }, { "O", U, "system:masters", 0 }, { "CN", U, "jane", 0 } }, "an O of the certificate begins with \"system:\"" },
		{ { { "CN", V_ASN1_UTF8STRING, "jane\0.evil", 10 } }, "the certificate's CN is no usable name" },
		{ { { "CN", U, "jane\r\nImpersonate-User: root", 0 } }, "the certificate's CN is no usable name" },
		{ { { "CN", U, " jane", 0 } }, "the certificate's CN is no usable name" }, /* Go trims it: it would arrive as "jane" */
		{ { { "CN", U, "jane ", 0 } }, "the certificate's CN is no usable name" },
		{ { { "CN", U, "jane", 0 }, { "O", U, " system:masters", 0 } }, "an O of the certificate is no usable name" },
		{ { { "CN", U, "jane", 0 }, { "O", V_ASN1_IA5STRING, "a\tb", 0 } }, "an O of the certificate is no usable name" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		X509 *x = certificate(cases[i].names, COUNT(cases[i].names));
		struct identity id;
		struct arena arena;
		const char *why = "";
		arena_init(&arena, 0);
		if (client_certificate_identify(x, END, &arena, &id, &why) != E_FORMAT || strcmp(why, cases[i].why) != 0)
			fail_msg("%zu: %s", i, why);
		assert_int_equal(ERR_peek_error(), 0);
		arena_fini(&arena);
		X509_free(x);
	}
}

static void
groups_are_bounded(void **state)
{
	static struct name names[IDENTITY_GROUPS_MAX + 2];
	struct identity id;
	struct arena arena;
	const char *why;

	(void)state;
	names[0] = (struct name){ "CN", U, "jane", 0 };
	for (size_t i = 1; i < COUNT(names); i++)
		names[i] = (struct name){ "O", U, "g", 0 };
	X509 *x = certificate(names, COUNT(names) - 1), *more = certificate(names, COUNT(names));
	arena_init(&arena, 0);
	assert_int_equal(client_certificate_identify(x, END, &arena, &id, &why), OK);
	assert_int_equal(id.group_n, IDENTITY_GROUPS_MAX);
	assert_int_equal(client_certificate_identify(more, END, &arena, &id, &why), E_LIMIT);
	assert_string_equal(why, "the certificate has too many O");
	arena_fini(&arena);
	X509_free(x);
	X509_free(more);
}

static void
too_little_memory_names_nobody(void **state)
{
	static const struct name names[] = { { "CN", U, "jane", 0 }, { "O", U, "dev", 0 } };
	X509 *x = certificate(names, COUNT(names));
	size_t enough = 0;

	(void)state;
	for (size_t bytes = 16; !enough && bytes < 100000; bytes += 16) {
		struct identity id = { .group_n = 77 };
		struct arena arena;
		const char *why;
		arena_init(&arena, bytes);
		enum err e = client_certificate_identify(x, END, &arena, &id, &why);
		if (e == OK)
			enough = bytes;
		else
			assert_int_equal(id.group_n, 77); /* untouched */
		arena_fini(&arena);
	}
	assert_true(enough > 1000);
	X509_free(x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cn_is_the_user_and_each_o_a_group),
		cmocka_unit_test(names_are_read_in_every_encoding),
		cmocka_unit_test(names_that_may_not_call_are_refused_with_a_reason),
		cmocka_unit_test(groups_are_bounded),
		cmocka_unit_test(too_little_memory_names_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
