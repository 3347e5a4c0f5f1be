/* tls.h - the TLS contexts: one for each listener, one for each cluster.
 *
 * Server: TLS 1.2 and 1.3, no renegotiation, no compression, no early data, stateless tickets whose keys every worker derives from one secret
 * and the time, so that a connection resumes at any of them.   Spec: RFC 8446, RFC 5077, RFC 7301 (ALPN), RFC 5869 (HKDF) */
#ifndef PROXYD_TLS_H
#define PROXYD_TLS_H

#include <openssl/ssl.h>
#include "proxyd/kubeconfig.h"
#include "shared/clock.h"
#include "shared/err.h"

#define TLS_TICKET_SECRET_BYTES 32
/* A ticket key lives this long, and one more such period for what it sealed. */
#define TLS_TICKET_PERIOD_S (12 * 3600)

struct tls_error {
	char text[256]; /* for people: what, whose, why */
};

struct tls_server_options {
	struct slice cert_pem, key_pem; /* leaf first, then its chain; not kept */
	bool tls13_only;
	struct slice client_ca_pem; /* who may sign clients' certificates (tls_peer.h); empty: nobody is asked for one; not kept */
	struct slice context; /* what a session belongs to: tickets of another listener are not accepted */
	const unsigned char *ticket_secret; /* TLS_TICKET_SECRET_BYTES; copied */
	const struct clock *clock;          /* outlives the context */
};
/* E_FORMAT, E_NOMEM; e is filled. Freed by SSL_CTX_free, which also wipes the ticket keys. */
MUST_CHECK enum err tls_server_new(const struct tls_server_options *o, SSL_CTX **out, struct tls_error *e);

/* Every certificate of a PEM text into store; names NULL, or where the subjects go. False: broken, none there, or no memory; OpenSSL's error queue
 * says why. */
bool tls_add_authorities(X509_STORE *store, STACK_OF(X509_NAME) *names, struct slice pem);

/* An upstream's context and the newest session of it that can be resumed. */
struct tls_client;
/* k: CA (empty: the system's), client certificate and key, tls_server_name for SNI (not with addresses) and verification. Nothing of k is kept. */
MUST_CHECK enum err tls_client_new(const struct kubeconfig *k, struct tls_client **out, struct tls_error *e);
void tls_client_free(struct tls_client *c);
/* Ready for transport_open. h2: HTTP/2 is offered, too; otherwise nothing is (RFC 7301), which means HTTP/1.1. NULL: no memory. */
SSL *tls_client_connect(struct tls_client *c, bool h2);
/* Either side, after the handshake: both speak HTTP/2. */
bool tls_chose_h2(const SSL *ssl);

#endif
