#include <time.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include "proxyd/tls.h"
#include "proxyd/tls_peer.h"

/* 0: unreadable, so over. */
static int64_t
certificate_end(const X509 *x)
{
	struct tm tm;

	return ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* What a ticket carries besides the certificate. The chain itself is not in it. */
static bool
session_end(SSL_SESSION *session, int64_t *end)
{
	void *p;
	size_t n;

	if (!session || SSL_SESSION_get0_ticket_appdata(session, &p, &n) != 1 || !p || n != sizeof(*end))
		return false;
	memcpy(end, p, sizeof(*end));
	return true;
}

static bool
session_ends_with(SSL_SESSION *session, const X509 *x)
{
	int64_t end = certificate_end(x), before;

	if (session_end(session, &before) && before <= end)
		return true;
	return session && SSL_SESSION_set1_ticket_appdata(session, &end, sizeof(end)) == 1;
}

/* SSL_CTX_set_verify(3): for each certificate of the chain, the client's own last. OpenSSL takes a certificate that says nothing about its usage
 * for everything's; here one that was made for a server, or for mail, opens no door. */
static int
on_certificate(int ok, X509_STORE_CTX *verifying)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(verifying, SSL_get_ex_data_X509_STORE_CTX_idx());
	X509 *x = X509_STORE_CTX_get_current_cert(verifying);

	if (!ok || !x)
		return ok;
	if (X509_STORE_CTX_get_error_depth(verifying) == 0 &&
		(!(X509_get_extension_flags(x) & EXFLAG_XKUSAGE) || !(X509_get_extended_key_usage(x) & XKU_SSL_CLIENT))) {
		X509_STORE_CTX_set_error(verifying, X509_V_ERR_INVALID_PURPOSE);
		return 0;
	}
	if (ssl && session_ends_with(SSL_get_session(ssl), x))
		return 1;
	X509_STORE_CTX_set_error(verifying, X509_V_ERR_OUT_OF_MEM);
	return 0;
}

enum err
tls_peer_request(SSL_CTX *ctx, struct slice ca_pem)
{
	X509_STORE *store = X509_STORE_new();
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	enum err e = E_NOMEM;

	/* A store of its own: the context's also completes the chain that we show, with whatever it finds there. */
	if (!store || !names || X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) != 1 || SSL_CTX_set0_verify_cert_store(ctx, store) != 1) {
		X509_STORE_free(store);
	} else if (!tls_add_authorities(store, names, ca_pem)) {
		e = E_FORMAT;
	} else {
		SSL_CTX_set0_CA_list(ctx, names);
		names = NULL;
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_certificate);
		SSL_CTX_set_verify_depth(ctx, TLS_PEER_DEPTH_MAX);
		e = OK;
	}
	sk_X509_NAME_pop_free(names, X509_NAME_free);
	return e;
}

X509 *
tls_peer_certificate(SSL *ssl, int64_t *expires_at)
{
	X509 *x = SSL_get0_peer_certificate(ssl);

	/* A session that was verified has its end; one without is over. */
	if (x && !session_end(SSL_get_session(ssl), expires_at))
		*expires_at = 0;
	return x;
}

const char *
tls_peer_refusal(const SSL *ssl)
{
	long verdict = SSL_get_verify_result(ssl);

	return verdict == X509_V_OK ? NULL : X509_verify_cert_error_string(verdict);
}
