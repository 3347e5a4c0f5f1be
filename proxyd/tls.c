#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <arpa/inet.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include "proxyd/system_authorities.h"
#include "proxyd/tls.h"
#include "proxyd/tls_peer.h"

/* RFC 9325 section 4.2: forward secrecy and AEAD only. AES-128 first: nobody breaks it, and it costs less. */
static const char ciphers_tls12[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
				    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char ciphers_tls13[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

/* The reason of OpenSSL's first error, and the queue emptied. */
static void
explain(struct tls_error *e, const char *what, const char *which)
{
	unsigned long code = ERR_peek_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	if (code && ERR_SYSTEM_ERROR(code))
		reason = strerrordesc_np(ERR_GET_REASON(code));
	snprintf(e->text, sizeof(e->text), "%s%s%s: %s", what, which ? " " : "", which ? which : "", reason ? reason : "not usable");
	ERR_clear_error();
}

/* ---- tickets ---- */

#define TICKET_NAME_BYTES 16 /* RFC 5077 section 4 */
#define TICKET_IV_BYTES 16
struct ticket_key {
	int64_t period; /* -1: not derived yet */
	unsigned char name[TICKET_NAME_BYTES];
	unsigned char aes[32];
	unsigned char mac[32];
};
struct tickets {
	const struct clock *clock;
	unsigned char secret[TLS_TICKET_SECRET_BYTES];
	struct ticket_key keys[2]; /* [period % 2] */
};

static int tickets_index = -1; /* of SSL_CTX's extra data; given out once per process */

static void
tickets_free(void *parent, void *p, CRYPTO_EX_DATA *ad, int index, long argl, void *argp)
{
	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	if (!p)
		return;
	OPENSSL_cleanse(p, sizeof(struct tickets));
	free(p);
}

static bool
ticket_derive(const struct tickets *t, int64_t period, struct ticket_key *out)
{
	unsigned char bytes[TICKET_NAME_BYTES + sizeof(out->aes) + sizeof(out->mac)];
	char info[64];
	size_t n = sizeof(bytes);
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	int info_n = snprintf(info, sizeof(info), "gatehouse session ticket %lld", (long long)period);
	bool ok = c && EVP_PKEY_derive_init(c) == 1 && EVP_PKEY_CTX_set_hkdf_md(c, EVP_sha256()) == 1 &&
		EVP_PKEY_CTX_set1_hkdf_key(c, t->secret, sizeof(t->secret)) == 1 &&
		EVP_PKEY_CTX_add1_hkdf_info(c, (const unsigned char *)info, info_n) == 1 && EVP_PKEY_derive(c, bytes, &n) == 1;

	EVP_PKEY_CTX_free(c);
	if (ok) {
		memcpy(out->name, bytes, sizeof(out->name));
		memcpy(out->aes, bytes + sizeof(out->name), sizeof(out->aes));
		memcpy(out->mac, bytes + sizeof(out->name) + sizeof(out->aes), sizeof(out->mac));
		out->period = period;
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return ok;
}

static const struct ticket_key *
ticket_key(struct tickets *t, int64_t period)
{
	struct ticket_key *k = &t->keys[period & 1];

	return k->period == period || ticket_derive(t, period, k) ? k : NULL;
}

static bool
ticket_arm(const struct ticket_key *k, const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
	static char digest[] = "SHA256";
	unsigned char key[sizeof(k->mac)];
	OSSL_PARAM params[3];

	memcpy(key, k->mac, sizeof(key)); /* OSSL_PARAM wants it writable */
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key, sizeof(key));
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
	params[2] = OSSL_PARAM_construct_end();
	bool ok = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->aes, iv, seal) == 1 && EVP_MAC_CTX_set_params(mac, params) == 1;
	OPENSSL_cleanse(key, sizeof(key));
	return ok;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3). -1: error; 0: not ours; 1: ours; 2: ours and due to be renewed. */
static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
	struct tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tickets_index);
	int64_t now = clock_now_s(t->clock) / TLS_TICKET_PERIOD_S;

	if (seal) {
		const struct ticket_key *k = ticket_key(t, now);
		if (!k || RAND_bytes(iv, TICKET_IV_BYTES) != 1)
			return -1;
		memcpy(name, k->name, TICKET_NAME_BYTES);
		return ticket_arm(k, iv, cipher, mac, 1) ? 1 : -1;
	}
	for (int64_t period = now; period >= now - 1; period--) {
		const struct ticket_key *k = ticket_key(t, period);
		if (!k)
			return -1;
		if (CRYPTO_memcmp(name, k->name, TICKET_NAME_BYTES) != 0)
			continue;
		if (!ticket_arm(k, iv, cipher, mac, 0))
			return -1;
		/* TLS 1.3 tickets are used once (RFC 8446 appendix C.4): there is always a next one. */
		return period == now && SSL_version(ssl) < TLS1_3_VERSION ? 1 : 2;
	}
	return 0;
}

static bool
tickets_attach(SSL_CTX *ctx, const struct tls_server_options *o)
{
	if (tickets_index < 0)
		tickets_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, tickets_free);
	struct tickets *t = tickets_index < 0 ? NULL : calloc(1, sizeof(*t));
	if (!t)
		return false;
	t->clock = o->clock;
	memcpy(t->secret, o->ticket_secret, sizeof(t->secret));
	t->keys[0].period = t->keys[1].period = -1;
	if (SSL_CTX_set_ex_data(ctx, tickets_index, t) != 1) {
		tickets_free(NULL, t, NULL, 0, 0, NULL);
		return false;
	}
	return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1;
}

/* ---- both ---- */

bool
tls_add_authorities(X509_STORE *store, STACK_OF(X509_NAME) *names, struct slice pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *x;
	size_t n = 0;
	bool ok = bio != NULL;

	while (ok && (x = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL))) {
		X509_NAME *name = names ? X509_NAME_dup(X509_get_subject_name(x)) : NULL;
		ok = X509_STORE_add_cert(store, x) == 1;
		if (names && (!name || sk_X509_NAME_push(names, name) <= 0)) {
			X509_NAME_free(name);
			ok = false;
		}
		X509_free(x);
		n++;
	}
	/* The end of the text is an error to the PEM reader, and the only one that is none. */
	if (ok && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
		ERR_clear_error();
	else
		ok = false;
	BIO_free(bio);
	return ok && n > 0;
}

/* ---- server ---- */

#define H2_AND_H1 "\x02h2\x08http/1.1"

bool
tls_chose_h2(const SSL *ssl)
{
	const unsigned char *name = NULL;
	unsigned n = 0;

	SSL_get0_alpn_selected(ssl, &name, &n);
	return n == 2 && memcmp(name, "h2", 2) == 0;
}

/* RFC 7301 section 3.2: a client whose protocols we do not speak is told so, not given a guess. */
static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n, void *arg)
{
	static const unsigned char ours[] = H2_AND_H1; /* in this order, whatever the client's */
	unsigned char *chosen;

	(void)ssl, (void)arg;
	if (SSL_select_next_proto(&chosen, out_n, ours, sizeof(ours) - 1, in, in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* Names are looked at later (admission.c). That there is such a callback keeps libssl from asking an EC key for its curve, at each of the five places of a handshake where it wants to
 * know whether TLS 1.3 is possible: 10 us of them. */
static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	(void)ssl, (void)alert, (void)arg;
	return SSL_TLSEXT_ERR_NOACK; /* as without one */
}

/* RFC 8446 section 4.2.3: TLS 1.3 has these curves for signatures. With another one libssl has to find out that it is TLS 1.2. */
static bool
has_curve_of_tls13(const EVP_PKEY *key)
{
	char name[32];
	size_t n;

	return EVP_PKEY_get_group_name(key, name, sizeof(name), &n) == 1 &&
		(strcmp(name, SN_X9_62_prime256v1) == 0 || strcmp(name, SN_secp384r1) == 0 || strcmp(name, SN_secp521r1) == 0);
}

/* What both sides want. */
static bool
ctx_setup(SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	/* RELEASE_BUFFERS: an idle connection is 14 KiB instead of 30 to 41. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* One recv(2) for a record's head and body together. */
	SSL_CTX_set_read_ahead(ctx, 1);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 && SSL_CTX_set_cipher_list(ctx, ciphers_tls12) == 1 &&
		SSL_CTX_set_ciphersuites(ctx, ciphers_tls13) == 1;
}

static bool
use_certificate(SSL_CTX *ctx, struct slice cert_pem, struct slice key_pem)
{
	BIO *certs = BIO_new_mem_buf(cert_pem.p, (int)cert_pem.n), *keys = BIO_new_mem_buf(key_pem.p, (int)key_pem.n);
	X509 *x = certs ? PEM_read_bio_X509_AUX(certs, NULL, NULL, NULL) : NULL;
	EVP_PKEY *key = keys ? PEM_read_bio_PrivateKey(keys, NULL, NULL, NULL) : NULL;
	bool ok = x && key && SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1;

	X509_free(x);
	while (ok && (x = PEM_read_bio_X509(certs, NULL, NULL, NULL)))
		if (SSL_CTX_add0_chain_cert(ctx, x) != 1) {
			X509_free(x);
			ok = false;
		}
	if (ok)
		ERR_clear_error();
	EVP_PKEY_free(key);
	BIO_free(certs);
	BIO_free(keys);
	return ok;
}

/* Where a ticket may be used again: at the same listener, which trusts the same authorities (RFC 8446 section 4.6.1; CVE-2025-23419). */
static bool
bind_sessions(SSL_CTX *ctx, const struct tls_server_options *o)
{
	unsigned char context[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool ok = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(digest, o->context.p, o->context.n) == 1 &&
		EVP_DigestUpdate(digest, "", 1) == 1 && EVP_DigestUpdate(digest, o->client_ca_pem.p, o->client_ca_pem.n) == 1 &&
		EVP_DigestFinal_ex(digest, context, &n) == 1 && SSL_CTX_set_session_id_context(ctx, context, n) == 1;

	EVP_MD_CTX_free(digest);
	return ok;
}

enum err
tls_server_new(const struct tls_server_options *o, SSL_CTX **out, struct tls_error *e)
{
	enum err err = E_NOMEM;

	ERR_clear_error();
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx || !ctx_setup(ctx) || (o->tls13_only && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1)) {
		explain(e, "TLS", NULL);
		goto fail;
	}
	if (!use_certificate(ctx, o->cert_pem, o->key_pem)) {
		explain(e, "certificate and key", NULL);
		err = E_FORMAT;
		goto fail;
	}
	if (has_curve_of_tls13(SSL_CTX_get0_privatekey(ctx)))
		SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_timeout(ctx, TLS_TICKET_PERIOD_S);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	if (!bind_sessions(ctx, o) || !tickets_attach(ctx, o)) {
		explain(e, "session tickets", NULL);
		goto fail;
	}
	if (o->client_ca_pem.n && (err = tls_peer_request(ctx, o->client_ca_pem))) {
		explain(e, "certificate authority of clients", NULL);
		goto fail;
	}
	*out = ctx;
	return OK;
fail:
	SSL_CTX_free(ctx);
	return err;
}

/* ---- client ---- */

struct tls_client {
	SSL_CTX *ctx;
	SSL_SESSION *session; /* newest that came with a ticket */
	char *name;           /* for SNI and verification */
	bool name_is_address;
};

/* A ticket arrived (with TLS 1.3 after the handshake). Returning 1 keeps the reference. */
static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_client *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (!SSL_SESSION_is_resumable(session))
		return 0;
	SSL_SESSION_free(c->session);
	c->session = session;
	return 1;
}

static bool
is_address(const char *name)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static enum err
client_setup(struct tls_client *c, const struct kubeconfig *k, struct tls_error *e)
{
	if (!ctx_setup(c->ctx)) {
		explain(e, "TLS", NULL);
		return E_NOMEM;
	}
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	X509_STORE *store = SSL_CTX_get_cert_store(c->ctx);
	if (k->ca_pem.n && !tls_add_authorities(store, NULL, k->ca_pem)) {
		explain(e, "certificate authority of", k->server);
		return E_FORMAT;
	}
	if (k->ca_pem.n == 0 && system_authorities_load(store) == 0) {
		snprintf(e->text, sizeof(e->text), "%s: no certificate authority is named, and this machine trusts none", k->server);
		return E_FORMAT;
	}
	if (k->cert_pem.n && !use_certificate(c->ctx, k->cert_pem, k->key_pem)) {
		explain(e, "client certificate and key for", k->server);
		return E_FORMAT;
	}
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ctx, on_session);
	SSL_CTX_set_app_data(c->ctx, c);
	return OK;
}

enum err
tls_client_new(const struct kubeconfig *k, struct tls_client **out, struct tls_error *e)
{
	struct tls_client *c = calloc(1, sizeof(*c));
	enum err err = E_NOMEM;

	ERR_clear_error();
	if (!c || !(c->name = strdup(k->tls_server_name)) || !(c->ctx = SSL_CTX_new(TLS_client_method())))
		explain(e, "TLS", NULL);
	else
		err = client_setup(c, k, e);
	if (err) {
		tls_client_free(c);
		return err;
	}
	c->name_is_address = is_address(c->name);
	*out = c;
	return OK;
}

void
tls_client_free(struct tls_client *c)
{
	if (!c)
		return;
	SSL_SESSION_free(c->session);
	SSL_CTX_free(c->ctx);
	free(c->name);
	free(c);
}

SSL *
tls_client_connect(struct tls_client *c, bool h2)
{
	SSL *ssl = SSL_new(c->ctx);

	if (!ssl)
		return NULL;
	SSL_set_connect_state(ssl);
	/* RFC 6066 section 3: no addresses in SNI. Verification knows both kinds (RFC 9110 section 4.3.4). */
	bool ok = c->name_is_address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), c->name) == 1
				     : SSL_set1_host(ssl, c->name) == 1 && SSL_set_tlsext_host_name(ssl, c->name) == 1;
	if (ok && c->session) {
		/* A copy: libssl takes a TLS 1.3 session that was used once for spent, and several may connect at a time. */
		SSL_SESSION *copy = SSL_SESSION_dup(c->session);
		ok = copy && SSL_set_session(ssl, copy) == 1;
		SSL_SESSION_free(copy);
	}
	ok = ok && (!h2 || SSL_set_alpn_protos(ssl, (const unsigned char *)H2_AND_H1, sizeof(H2_AND_H1) - 1) == 0);
	if (!ok) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return ssl;
}
