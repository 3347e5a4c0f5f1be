/* system_authorities.h - the certificate authorities that this machine trusts, all loaded at once.
 *
 * OpenSSL itself opens a folder's files when a chain first needs them, which a worker can no longer do by then. */
#ifndef PROXYD_SYSTEM_AUTHORITIES_H
#define PROXYD_SYSTEM_AUTHORITIES_H

#include <openssl/x509_vfy.h>
#include "shared/err.h"

/* Of the same places that OpenSSL looks at: SSL_CERT_FILE and SSL_CERT_DIR, or what it was built with. What is not there, or is no certificate, is passed over, as it
 * does. Returns how many there are in the store now. */
size_t system_authorities_load(X509_STORE *store);

#endif
