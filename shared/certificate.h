/* certificate.h - is this PEM what a TLS server, a TLS client or a trust anchor needs? Nothing is kept.
 *
 * Used when a configuration is read, so that a bad file is reported with its key and never reaches a listener. */
#ifndef SHARED_CERTIFICATE_H
#define SHARED_CERTIFICATE_H

#include "shared/err.h"
#include "shared/slice.h"

#define CERTIFICATE_WHY_BYTES 160

enum certificate_part { CERTIFICATE_CHAIN, CERTIFICATE_KEY };

/* A chain, leaf first, and the leaf's private key (not encrypted); the leaf is valid at now_s, and OpenSSL takes both at its configured
 * security level. E_FORMAT: *part says which of the two is to blame, why says what is wrong ("expired on 2026-01-02T03:04:05Z"). E_NOMEM. */
MUST_CHECK enum err certificate_check_pair(struct slice cert_pem, struct slice key_pem, int64_t now_s, enum certificate_part *part,
	char why[CERTIFICATE_WHY_BYTES]);

/* At least one certificate and nothing broken; a bundle may hold expired ones, but not only those. E_FORMAT with why, E_NOMEM. */
MUST_CHECK enum err certificate_check_ca(struct slice pem, int64_t now_s, char why[CERTIFICATE_WHY_BYTES]);

#endif
