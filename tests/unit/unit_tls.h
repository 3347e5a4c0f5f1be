/* unit_tls.h - certificates with names, signed by a CA; certificates.h has keys and simple ones. */
#ifndef TESTS_UNIT_TLS_H
#define TESTS_UNIT_TLS_H

#include <stdbool.h>
#include <openssl/x509v3.h>
#include "tests/unit/unit.h"
#include "tests/unit/certificates.h"

static inline void
unit_cert_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(cert, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

/* issuer NULL: self-signed by key. san: "DNS:localhost,IP:127.0.0.1", or NULL for a CA. */
static inline X509 *
unit_cert_make(EVP_PKEY *key, const char *name, const char *san, X509 *issuer, EVP_PKEY *issuer_key, time_t not_before, time_t not_after)
{
	static long serial = 1000;
	X509 *cert = X509_new();

	assert_non_null(cert);
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
	ASN1_TIME_set(X509_getm_notBefore(cert), not_before);
	ASN1_TIME_set(X509_getm_notAfter(cert), not_after);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert));
	X509_set_pubkey(cert, key);
	unit_cert_extend(cert, issuer ? issuer : cert, NID_basic_constraints, san ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (san)
		unit_cert_extend(cert, issuer ? issuer : cert, NID_subject_alt_name, san);
	assert_true(X509_sign(cert, issuer ? issuer_key : key, EVP_sha256()) > 0);
	return cert;
}

static inline void
unit_cert_write(const char *path, const char *mode, X509 *cert)
{
	FILE *f = fopen(path, mode);
	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, cert), 1);
	assert_int_equal(fclose(f), 0);
}

#endif
