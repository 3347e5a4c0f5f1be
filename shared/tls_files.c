#include <errno.h>
#include <stdio.h>
#include "shared/file.h"
#include "shared/tls_files.h"

static enum err
read_file(const char *path, const char *expected, struct buf *out, char *why, size_t why_bytes)
{
	enum err e = file_read(path, TLS_FILE_BYTES_MAX, out);

	if (e == E_SYSTEM)
		snprintf(why, why_bytes, "expected %s, found %s: %s", expected, path,
			errno == EINVAL ? "is not a regular file" : strerrordesc_np(errno));
	else if (e == E_LIMIT)
		snprintf(why, why_bytes, "expected %s, found %s: is longer than %u bytes", expected, path, TLS_FILE_BYTES_MAX);
	else if (e != OK)
		snprintf(why, why_bytes, "out of memory");
	return e == E_LIMIT ? E_FORMAT : e;
}

enum err
tls_files_check_pair(const char *cert_file, const char *key_file, const struct clock *clock, char *why, size_t why_bytes)
{
	static const char *const expected[] = {
		[CERTIFICATE_CHAIN] = "a certificate chain in PEM that is valid now",
		[CERTIFICATE_KEY] = "the certificate's private key in PEM, without a pass phrase",
	};
	char found[CERTIFICATE_WHY_BYTES];
	enum certificate_part part;
	struct buf cert, key;

	buf_init(&cert, TLS_FILE_BYTES_MAX);
	buf_init(&key, TLS_FILE_BYTES_MAX);
	enum err e = read_file(cert_file, expected[CERTIFICATE_CHAIN], &cert, why, why_bytes);
	if (e == OK)
		e = read_file(key_file, expected[CERTIFICATE_KEY], &key, why, why_bytes);
	if (e == OK) {
		e = certificate_check_pair(buf_slice(&cert), buf_slice(&key), clock_now_s(clock), &part, found);
		if (e != OK)
			snprintf(why, why_bytes, "expected %s, found %s: %s", expected[part],
				part == CERTIFICATE_CHAIN ? cert_file : key_file, found);
	}
	buf_fini_secret(&cert); /* it may hold the key too */
	buf_fini_secret(&key);
	return e;
}

enum err
tls_files_check_ca(const char *ca_file, const struct clock *clock, char *why, size_t why_bytes)
{
	const char *expected = "CA certificates in PEM, one of them valid now";
	char found[CERTIFICATE_WHY_BYTES];
	struct buf pem;

	buf_init(&pem, TLS_FILE_BYTES_MAX);
	enum err e = read_file(ca_file, expected, &pem, why, why_bytes);
	if (e == OK) {
		e = certificate_check_ca(buf_slice(&pem), clock_now_s(clock), found);
		if (e != OK)
			snprintf(why, why_bytes, "expected %s, found %s: %s", expected, ca_file, found);
	}
	buf_fini(&pem);
	return e;
}
