/* tls_peer.h - certificates of clients: asked for, never demanded, verified by OpenSSL, and their end remembered through resumption.
 *
 * A certificate that does not verify ends the handshake with the alert that says why; nobody goes on without it by accident. A resumed session
 * has the certificate it was made with, sealed in the ticket together with the earliest end of its chain.
 * Spec: RFC 8446 sections 4.3.2 and 4.4.2, RFC 5280 section 4.2.1.12. */
#ifndef PROXYD_TLS_PEER_H
#define PROXYD_TLS_PEER_H

#include <openssl/ssl.h>
#include "shared/err.h"
#include "shared/slice.h"

/* Certificates between the client's and an authority of ours. */
#define TLS_PEER_DEPTH_MAX 5

/* From now on handshakes of ctx ask for a certificate of one of the authorities in ca_pem (each is trusted as it stands there, so an intermediate
 * may be named alone), good for client authentication: the extended key usage must be there and say so. E_FORMAT, E_NOMEM; OpenSSL's error
 * queue says why. */
MUST_CHECK enum err tls_peer_request(SSL_CTX *ctx, struct slice ca_pem);

/* After the handshake: the certificate that was verified, borrowed from ssl, and when it or what it hangs on ends (NumericDate). NULL: none was shown. */
X509 *tls_peer_certificate(SSL *ssl, int64_t *expires_at);
/* A handshake has failed because of the client's certificate: why. NULL: for another reason. */
const char *tls_peer_refusal(const SSL *ssl);

#endif
