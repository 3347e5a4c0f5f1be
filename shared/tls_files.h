/* tls_files.h - certificate, key and CA files, read and checked before anything serves them (by --check and at every reload). */
#ifndef SHARED_TLS_FILES_H
#define SHARED_TLS_FILES_H

#include "shared/certificate.h"
#include "shared/clock.h"

#define TLS_FILE_BYTES_MAX (4u << 20)

/* A chain (leaf first) and the leaf's private key, by certificate_check_pair. Both may stand in one file.
 *   why  "expected X, found FILE: Y", for config_error_set; set unless OK. Never a byte of the key
 * Returns OK; E_SYSTEM (a file cannot be read), E_FORMAT (not PEM, encrypted key, a key of another certificate, expired, not yet
 * valid: with the date), E_NOMEM. */
MUST_CHECK enum err tls_files_check_pair(const char *cert_file, const char *key_file, const struct clock *clock, char *why, size_t why_bytes);
/* A CA bundle, by certificate_check_ca; the same errors. */
MUST_CHECK enum err tls_files_check_ca(const char *ca_file, const struct clock *clock, char *why, size_t why_bytes);

#endif
