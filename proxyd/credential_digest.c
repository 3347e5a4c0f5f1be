#include <openssl/err.h>
#include "proxyd/credential_digest.h"

enum err
credential_hasher_init(struct credential_hasher *h)
{
	h->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->ctx = EVP_MD_CTX_new();
	return h->sha256 && h->ctx ? OK : E_NOMEM;
}

void
credential_hasher_fini(struct credential_hasher *h)
{
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->sha256);
	*h = (struct credential_hasher){ NULL, NULL };
}

bool
credential_digest(struct credential_hasher *h, enum credential_kind kind, struct slice scope, struct slice credential,
	unsigned char out[CREDENTIAL_DIGEST_BYTES])
{
	const char first = (char)kind;
	/* The NUL keeps scope and credential apart; kinds without a scope have nothing there, and no other kind begins like them. */
	bool ok = EVP_DigestInit_ex2(h->ctx, h->sha256, NULL) == 1 && EVP_DigestUpdate(h->ctx, &first, 1) == 1 &&
		(scope.n == 0 || (EVP_DigestUpdate(h->ctx, scope.p, scope.n) == 1 && EVP_DigestUpdate(h->ctx, "", 1) == 1)) &&
		EVP_DigestUpdate(h->ctx, credential.p, credential.n) == 1 && EVP_DigestFinal_ex(h->ctx, out, NULL) == 1;

	if (!ok)
		ERR_clear_error(); /* what stays in the queue would fail the next SSL_read of an innocent connection */
	return ok;
}
