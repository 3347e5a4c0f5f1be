/* certificates.h - keys and certificates made on the spot, for tests of what reads them. */
#ifndef TESTS_CERTIFICATES_H
#define TESTS_CERTIFICATES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define TEST_PEM_BYTES 8192
#define TEST_NOW_S 1800000000 /* 2027-01-15 */
#define TEST_YEAR_S (365 * 86400L)

static inline void
test_pem_take(BIO *bio, char out[TEST_PEM_BYTES])
{
	char *p;
	long n = BIO_get_mem_data(bio, &p);

	if (n < 0 || n >= TEST_PEM_BYTES)
		abort();
	memcpy(out, p, (size_t)n);
	out[n] = '\0';
	BIO_free(bio);
}

/* A P-256 key, or RSA with so many bits. */
static inline EVP_PKEY *
test_key_new(unsigned rsa_bits)
{
	return rsa_bits ? EVP_RSA_gen(rsa_bits) : EVP_EC_gen("P-256");
}

static inline void
test_key_pem(EVP_PKEY *key, const char *passphrase, char out[TEST_PEM_BYTES])
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (PEM_write_bio_PKCS8PrivateKey(bio, key, passphrase ? EVP_aes_128_cbc() : NULL, passphrase,
		    passphrase ? (int)strlen(passphrase) : 0, NULL, NULL) != 1)
		abort();
	test_pem_take(bio, out);
}

/* Self-signed, valid between the two times. */
static inline void
test_certificate_pem(EVP_PKEY *key, int64_t not_before_s, int64_t not_after_s, char out[TEST_PEM_BYTES])
{
	BIO *bio = BIO_new(BIO_s_mem());
	X509 *x = X509_new();

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	ASN1_TIME_set(X509_getm_notBefore(x), not_before_s);
	ASN1_TIME_set(X509_getm_notAfter(x), not_after_s);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	if (X509_sign(x, key, EVP_sha256()) == 0 || PEM_write_bio_X509(bio, x) != 1)
		abort();
	X509_free(x);
	test_pem_take(bio, out);
}

/* Base64 on one line, as kubeconfigs have it. */
static inline void
test_base64(const char *in, char out[TEST_PEM_BYTES * 2])
{
	EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)in, (int)strlen(in));
}

#endif
