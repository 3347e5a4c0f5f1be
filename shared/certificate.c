#include <limits.h>
#include <stdio.h>
#include <time.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include "shared/certificate.h"
#include "shared/clock.h"

#define CHAIN_CERTIFICATES_MAX 16
#define BUNDLE_CERTIFICATES_MAX 4096

static BIO *
bio_of(struct slice pem)
{
	return pem.n > INT_MAX ? NULL : BIO_new_mem_buf(pem.p ? pem.p : "", (int)pem.n);
}

/* PEM readers ask for a pass phrase through this, by default at the terminal. */
static int
no_passphrase(char *out, int bytes, int writing, void *asked)
{
	(void)out;
	(void)bytes;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

/* The next certificate. NULL with *end: there are no more; NULL without: one that cannot be read. */
static X509 *
next_certificate(BIO *bio, bool *end)
{
	bool asked = false;

	ERR_clear_error();
	X509 *x = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, &asked);
	unsigned long e = ERR_peek_last_error();
	*end = !x && ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
	ERR_clear_error();
	return x;
}

static const char *
time_text(const ASN1_TIME *t, char out[CLOCK_TEXT_BYTES])
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return "an unreadable date";
	return clock_format(timegm(&tm), out);
}

/* E_FORMAT unless now lies within the certificate's validity. */
static enum err
check_dates(const X509 *x, int64_t now_s, char why[CERTIFICATE_WHY_BYTES])
{
	char text[CLOCK_TEXT_BYTES];
	time_t now = (time_t)now_s;

	if (X509_cmp_time(X509_get0_notAfter(x), &now) != 1) {
		snprintf(why, CERTIFICATE_WHY_BYTES, "expired on %s", time_text(X509_get0_notAfter(x), text));
		return E_FORMAT;
	}
	if (X509_cmp_time(X509_get0_notBefore(x), &now) != -1) {
		snprintf(why, CERTIFICATE_WHY_BYTES, "is not valid before %s", time_text(X509_get0_notBefore(x), text));
		return E_FORMAT;
	}
	return OK;
}

/* Read the leaf; the others are only looked at. */
static enum err
read_chain(struct slice pem, X509 **leaf, char why[CERTIFICATE_WHY_BYTES])
{
	BIO *bio = bio_of(pem);
	bool end = false;
	size_t n = 0;
	X509 *x;

	*leaf = NULL;
	if (!bio)
		return E_NOMEM;
	while ((x = next_certificate(bio, &end))) {
		if (n++ == 0)
			*leaf = x;
		else
			X509_free(x);
		if (n > CHAIN_CERTIFICATES_MAX)
			break;
	}
	BIO_free(bio);
	if (end && n > 0)
		return OK;
	if (n > CHAIN_CERTIFICATES_MAX)
		snprintf(why, CERTIFICATE_WHY_BYTES, "holds more than %d certificates", CHAIN_CERTIFICATES_MAX);
	else if (n > 0 || !end)
		snprintf(why, CERTIFICATE_WHY_BYTES, "certificate %zu in it cannot be read", n + 1);
	else
		snprintf(why, CERTIFICATE_WHY_BYTES, "holds no certificate (expected PEM, BEGIN CERTIFICATE)");
	return E_FORMAT;
}

static enum err
read_key(struct slice pem, EVP_PKEY **key, char why[CERTIFICATE_WHY_BYTES])
{
	BIO *bio = bio_of(pem);
	bool asked = false;

	if (!bio)
		return E_NOMEM;
	*key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
	ERR_clear_error();
	BIO_free(bio);
	if (*key)
		return OK;
	snprintf(why, CERTIFICATE_WHY_BYTES, "%s", asked ? "is encrypted; expected a key without a pass phrase"
		: "holds no private key (expected PEM, BEGIN PRIVATE KEY)");
	return E_FORMAT;
}

/* What OpenSSL itself thinks of the pair: its security level refuses small keys and old digests. */
static enum err
check_with_openssl(X509 *leaf, EVP_PKEY *key, enum certificate_part *part, char why[CERTIFICATE_WHY_BYTES])
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	if (!ctx)
		return E_NOMEM;
	ERR_clear_error();
	bool cert_ok = SSL_CTX_use_certificate(ctx, leaf) == 1;
	bool ok = cert_ok && SSL_CTX_use_PrivateKey(ctx, key) == 1;
	if (!ok) {
		const char *reason = ERR_reason_error_string(ERR_peek_last_error());
		*part = cert_ok ? CERTIFICATE_KEY : CERTIFICATE_CHAIN;
		snprintf(why, CERTIFICATE_WHY_BYTES, "is refused by OpenSSL: %s", reason ? reason : "unknown reason");
	}
	ERR_clear_error();
	SSL_CTX_free(ctx);
	return ok ? OK : E_FORMAT;
}

enum err
certificate_check_pair(struct slice cert_pem, struct slice key_pem, int64_t now_s, enum certificate_part *part,
	char why[CERTIFICATE_WHY_BYTES])
{
	X509 *leaf = NULL;
	EVP_PKEY *key = NULL;

	*part = CERTIFICATE_CHAIN;
	snprintf(why, CERTIFICATE_WHY_BYTES, "cannot be checked: out of memory");
	enum err e = read_chain(cert_pem, &leaf, why);
	if (!e)
		e = check_dates(leaf, now_s, why);
	if (!e) {
		*part = CERTIFICATE_KEY;
		e = read_key(key_pem, &key, why);
	}
	if (!e && X509_check_private_key(leaf, key) != 1) {
		snprintf(why, CERTIFICATE_WHY_BYTES, "does not belong to the certificate");
		e = E_FORMAT;
	}
	ERR_clear_error();
	if (!e)
		e = check_with_openssl(leaf, key, part, why);
	X509_free(leaf);
	EVP_PKEY_free(key);
	return e;
}

enum err
certificate_check_ca(struct slice pem, int64_t now_s, char why[CERTIFICATE_WHY_BYTES])
{
	BIO *bio = bio_of(pem);
	char last[CERTIFICATE_WHY_BYTES];
	size_t n = 0, valid = 0;
	bool end = false;
	X509 *x;

	if (!bio) {
		snprintf(why, CERTIFICATE_WHY_BYTES, "cannot be checked: out of memory");
		return E_NOMEM;
	}
	while (n < BUNDLE_CERTIFICATES_MAX && (x = next_certificate(bio, &end))) {
		n++;
		if (check_dates(x, now_s, last) == OK)
			valid++;
		X509_free(x);
	}
	BIO_free(bio);
	if (end && valid > 0)
		return OK;
	if (n == BUNDLE_CERTIFICATES_MAX)
		snprintf(why, CERTIFICATE_WHY_BYTES, "holds more than %d certificates", BUNDLE_CERTIFICATES_MAX - 1);
	else if (!end)
		snprintf(why, CERTIFICATE_WHY_BYTES, "certificate %zu in it cannot be read", n + 1);
	else if (n == 0)
		snprintf(why, CERTIFICATE_WHY_BYTES, "holds no certificate (expected PEM, BEGIN CERTIFICATE)");
	else
		snprintf(why, CERTIFICATE_WHY_BYTES, "%.*s", CERTIFICATE_WHY_BYTES - 1, last);
	return E_FORMAT;
}
