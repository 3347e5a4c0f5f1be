/* client_certificate.h - whom a client's certificate names, as Kubernetes reads it: the subject's CN is the user, each O a group.
 *
 * Pure: that the certificate is good has been proven before (tls_peer.h). Kubernetes' own components use names that begin with "system:"; here they
 * are refused: who signs certificates for people must not be able to make a system:masters by a slip, and components do not come through the gateway.
 * Spec: Kubernetes, Authenticating, "X.509 client certificates"; RFC 5280 section 4.1.2.6. */
#ifndef PROXYD_CLIENT_CERTIFICATE_H
#define PROXYD_CLIENT_CERTIFICATE_H

#include <openssl/x509.h>
#include "oidc/identity.h"

/* *out's slices live in arena. There is no uid; extra authentication.kubernetes.io/credential-id is X509SHA256=<hex>, as in Kubernetes >= 1.32.
 * E_FORMAT: *why (static) says what is wrong with its names; E_LIMIT: too many groups; E_NOMEM. */
MUST_CHECK enum err client_certificate_identify(X509 *x, int64_t expires_at, struct arena *arena, struct identity *out, const char **why);

#endif
