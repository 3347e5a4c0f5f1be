/* credential_digest.h - what is kept of a credential: SHA-256 over its kind, where it counts, and its bytes.
 *
 * Tables are searched by it, so that no comparison of secrets takes a time that says anything about them, and no credential of one kind, or of one
 * cluster, is ever found under another. */
#ifndef PROXYD_CREDENTIAL_DIGEST_H
#define PROXYD_CREDENTIAL_DIGEST_H

#include <openssl/evp.h>
#include "shared/err.h"
#include "shared/slice.h"

#define CREDENTIAL_DIGEST_BYTES 32

enum credential_kind {
	CREDENTIAL_BEARER = 'B',
	CREDENTIAL_SESSION = 'S',
	CREDENTIAL_REVIEWED = 'R', /* a bearer token that a cluster has been asked about */
	CREDENTIAL_ACCESS = 'A'    /* no credential but a question: may this person be that one? */
};

struct credential_hasher {
	EVP_MD *sha256;
	EVP_MD_CTX *ctx;
};
/* E_NOMEM; credential_hasher_fini in either case. */
MUST_CHECK enum err credential_hasher_init(struct credential_hasher *h);
void credential_hasher_fini(struct credential_hasher *h);
/* scope: a cluster's name (without NUL), or empty. False: OpenSSL failed; out is not to be used. */
bool credential_digest(struct credential_hasher *h, enum credential_kind kind, struct slice scope, struct slice credential,
	unsigned char out[CREDENTIAL_DIGEST_BYTES]);

#endif
