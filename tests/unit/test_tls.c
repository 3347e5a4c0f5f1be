/* Contexts against each other in memory, without sockets or a loop. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include "proxyd/tls.h"
#include "tests/unit/unit.h"
#include "tests/unit/unit_tls.h"

static char ca_pem[TEST_PEM_BYTES], cert_pem[TEST_PEM_BYTES], key_pem[TEST_PEM_BYTES];
static char client_cert_pem[TEST_PEM_BYTES], client_key_pem[TEST_PEM_BYTES];
static const unsigned char secret_a[TLS_TICKET_SECRET_BYTES] = { 1 }, secret_b[TLS_TICKET_SECRET_BYTES] = { 2 };
static struct clock_fixed now;

static void
cert_text(X509 *x, char out[TEST_PEM_BYTES])
{
	BIO *b = BIO_new(BIO_s_mem());

	assert_int_equal(PEM_write_bio_X509(b, x), 1);
	test_pem_take(b, out);
}

static int
setup(void **state)
{
	EVP_PKEY *ca_key = test_key_new(0), *key = test_key_new(0), *client_key = test_key_new(0);
	time_t from = time(NULL) - 60, to = time(NULL) + 3600;
	X509 *ca = unit_cert_make(ca_key, "ca", NULL, NULL, NULL, from, to);
	X509 *cert = unit_cert_make(key, "server", "DNS:api.test,IP:127.0.0.1,IP:::1", ca, ca_key, from, to);
	X509 *client = unit_cert_make(client_key, "gateway", "DNS:gateway", ca, ca_key, from, to);

	(void)state;
	cert_text(ca, ca_pem);
	cert_text(cert, cert_pem);
	cert_text(client, client_cert_pem);
	test_key_pem(key, NULL, key_pem);
	test_key_pem(client_key, NULL, client_key_pem);
	X509_free(ca);
	X509_free(cert);
	X509_free(client);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
	EVP_PKEY_free(client_key);
	clock_fixed_init(&now, 1800000000);
	return 0;
}

static SSL_CTX *
server_with(const unsigned char *secret, const char *context, bool tls13_only)
{
	const struct tls_server_options o = { .cert_pem = slice_str(cert_pem), .key_pem = slice_str(key_pem), .context = slice_str(context),
		.tls13_only = tls13_only, .ticket_secret = secret, .clock = &now.clock };
	struct tls_error e;
	SSL_CTX *ctx;

	assert_int_equal(tls_server_new(&o, &ctx, &e), OK);
	return ctx;
}

/* Shake hands in memory, then let each side send a byte so that tickets arrive. True: both are content. */
static bool
shake(SSL *client, SSL *server)
{
	BIO *a, *b;
	char c;

	assert_int_equal(BIO_new_bio_pair(&a, 1 << 17, &b, 1 << 17), 1);
	SSL_set_bio(client, a, a);
	SSL_set_bio(server, b, b);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	for (int i = 0; i < 20; i++) {
		ERR_clear_error();
		int rc = SSL_do_handshake(client), rs = SSL_do_handshake(server);
		if (rc == 1 && rs == 1)
			break;
		if ((rc < 0 && SSL_get_error(client, rc) != SSL_ERROR_WANT_READ) || (rs < 0 && SSL_get_error(server, rs) != SSL_ERROR_WANT_READ))
			return false;
	}
	return SSL_write(server, "x", 1) == 1 && SSL_read(client, &c, 1) == 1 && SSL_write(client, "y", 1) == 1 && SSL_read(server, &c, 1) == 1;
}

/* One connection of a client of its own (version: 0 any) to ctx, with session or none. Returns the session to resume with; *reused says whether it was. */
static SSL_SESSION *
visit(SSL_CTX *ctx, int version, SSL_SESSION *session, bool *reused)
{
	SSL_CTX *cc = SSL_CTX_new(TLS_client_method());
	SSL *client = SSL_new(cc), *server = SSL_new(ctx);

	if (version)
		SSL_set_max_proto_version(client, version);
	static char name[] = "api.test";
	SSL_set_tlsext_host_name(client, name);
	if (session)
		SSL_set_session(client, session);
	assert_true(shake(client, server));
	*reused = SSL_session_reused(server);
	SSL_SESSION *out = SSL_get1_session(client);
	SSL_set_shutdown(client, SSL_SENT_SHUTDOWN);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(cc);
	return out;
}

static bool
resumes(SSL_CTX *from, SSL_CTX *at, int version, int64_t after_s)
{
	bool reused;
	SSL_SESSION *first = visit(from, version, NULL, &reused);

	assert_false(reused);
	clock_fixed_advance(&now, after_s);
	SSL_SESSION *second = visit(at, version, first, &reused);
	clock_fixed_advance(&now, -after_s);
	SSL_SESSION_free(first);
	SSL_SESSION_free(second);
	return reused;
}

static void
a_ticket_is_good_in_every_worker_with_the_same_secret(void **state)
{
	SSL_CTX *a = server_with(secret_a, "listener", false), *b = server_with(secret_a, "listener", false);

	(void)state;
	assert_true(resumes(a, b, TLS1_3_VERSION, 0));
	assert_true(resumes(a, b, TLS1_2_VERSION, 0));
	SSL_CTX_free(a);
	SSL_CTX_free(b);
}

static void
a_resumed_connection_gets_the_ticket_for_the_next_one(void **state)
{
	SSL_CTX *a = server_with(secret_a, "listener", false);
	SSL_SESSION *session = NULL;

	(void)state;
	for (int i = 0; i < 4; i++) {
		bool reused;
		SSL_SESSION *next = visit(a, TLS1_3_VERSION, session, &reused);
		assert_int_equal(reused, i > 0);
		SSL_SESSION_free(session);
		session = next;
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(a);
}

static void
a_ticket_of_another_secret_or_listener_is_a_full_handshake(void **state)
{
	SSL_CTX *a = server_with(secret_a, "listener", false), *other_secret = server_with(secret_b, "listener", false),
		*other_listener = server_with(secret_a, "another", false);

	(void)state;
	assert_false(resumes(a, other_secret, TLS1_3_VERSION, 0));
	assert_false(resumes(a, other_secret, TLS1_2_VERSION, 0));
	assert_false(resumes(a, other_listener, TLS1_3_VERSION, 0));
	SSL_CTX_free(a);
	SSL_CTX_free(other_secret);
	SSL_CTX_free(other_listener);
}

static void
a_ticket_is_good_through_the_next_period_and_not_after_it(void **state)
{
	SSL_CTX *a = server_with(secret_a, "listener", false);

	(void)state;
	/* The clock is the ticket keys' only; libssl's own lifetime does not move here. */
	assert_true(resumes(a, a, TLS1_3_VERSION, TLS_TICKET_PERIOD_S));
	assert_false(resumes(a, a, TLS1_3_VERSION, 2 * TLS_TICKET_PERIOD_S));
	SSL_CTX_free(a);
}

static bool
accepts(SSL_CTX *ctx, int least, int most, const char *ciphers)
{
	SSL_CTX *cc = SSL_CTX_new(TLS_client_method());
	SSL *client, *server = SSL_new(ctx);

	SSL_CTX_set_security_level(cc, 0);
	SSL_CTX_set_min_proto_version(cc, least);
	SSL_CTX_set_max_proto_version(cc, most);
	if (ciphers)
		assert_int_equal(SSL_CTX_set_cipher_list(cc, ciphers), 1);
	client = SSL_new(cc);
	bool ok = shake(client, server);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(cc);
	return ok;
}

static void
versions_and_ciphers_that_are_no_longer_good_are_refused(void **state)
{
	SSL_CTX *both = server_with(secret_a, "l", false), *newest = server_with(secret_a, "l", true);

	(void)state;
	assert_true(accepts(both, TLS1_2_VERSION, TLS1_2_VERSION, NULL));
	assert_true(accepts(both, TLS1_3_VERSION, TLS1_3_VERSION, NULL));
	assert_false(accepts(both, TLS1_VERSION, TLS1_1_VERSION, "ALL:@SECLEVEL=0"));
	assert_false(accepts(both, TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256")); /* CBC */
	assert_false(accepts(newest, TLS1_2_VERSION, TLS1_2_VERSION, NULL));
	assert_true(accepts(newest, TLS1_2_VERSION, TLS1_3_VERSION, NULL));
	SSL_CTX_free(both);
	SSL_CTX_free(newest);
}

/* RFC 8446 section 4.2.3 has no signatures with it; RFC 8422 has. */
static void
a_key_on_a_curve_that_tls13_does_not_know_serves_tls12(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("secp256k1");
	X509 *x = unit_cert_make(key, "server", "DNS:api.test", NULL, NULL, time(NULL) - 60, time(NULL) + 3600);
	char cert[TEST_PEM_BYTES], pem[TEST_PEM_BYTES];
	struct tls_error e;
	SSL_CTX *ctx, *cc = SSL_CTX_new(TLS_client_method());

	(void)state;
	cert_text(x, cert);
	test_key_pem(key, NULL, pem);
	const struct tls_server_options o = { .cert_pem = slice_str(cert), .key_pem = slice_str(pem), .context = SLICE_LIT("k"), .ticket_secret = secret_a, .clock = &now.clock };
	assert_int_equal(tls_server_new(&o, &ctx, &e), OK);
	assert_int_equal(SSL_CTX_set1_groups_list(cc, "X25519:secp256k1"), 1);
	SSL *client = SSL_new(cc), *server = SSL_new(ctx);
	assert_true(shake(client, server));
	assert_int_equal(SSL_version(server), TLS1_2_VERSION);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(cc);
	SSL_CTX_free(ctx);
	X509_free(x);
	EVP_PKEY_free(key);
}

static bool
alpn(SSL_CTX *ctx, const unsigned char *protocols, unsigned n, const char *want)
{
	SSL_CTX *cc = SSL_CTX_new(TLS_client_method());
	SSL *client = SSL_new(cc), *server = SSL_new(ctx);
	const unsigned char *chosen;
	unsigned chosen_n;

	assert_int_equal(SSL_set_alpn_protos(client, protocols, n), 0);
	bool ok = shake(client, server);
	SSL_get0_alpn_selected(client, &chosen, &chosen_n);
	if (ok && want)
		ok = chosen_n == strlen(want) && memcmp(chosen, want, chosen_n) == 0;
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(cc);
	return ok;
}

static void
alpn_chooses_http2_before_http11_and_refuses_strangers(void **state)
{
	SSL_CTX *ctx = server_with(secret_a, "l", false);

	(void)state;
	assert_true(alpn(ctx, (const unsigned char *)"\x02h2\x08http/1.1", 12, "h2"));
	assert_true(alpn(ctx, (const unsigned char *)"\x08http/1.1\x02h2", 12, "h2"));
	assert_true(alpn(ctx, (const unsigned char *)"\x08http/1.1", 9, "http/1.1"));
	assert_false(alpn(ctx, (const unsigned char *)"\x03xyz", 4, NULL));
	SSL_CTX_free(ctx);
}

static void
renegotiation_is_refused(void **state)
{
	SSL_CTX *ctx = server_with(secret_a, "l", false), *cc = SSL_CTX_new(TLS_client_method());
	SSL *client = SSL_new(cc), *server = SSL_new(ctx);
	char c;

	(void)state;
	SSL_set_max_proto_version(client, TLS1_2_VERSION);
	assert_true(shake(client, server));
	assert_int_equal(SSL_renegotiate(client), 1);
	SSL_do_handshake(client);
	SSL_read(server, &c, 1);
	SSL_do_handshake(client);
	assert_true(SSL_read(client, &c, 1) <= 0);
	assert_true(SSL_renegotiate_pending(client) || SSL_in_init(client) || ERR_peek_error());
	ERR_clear_error();
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(ctx);
	SSL_CTX_free(cc);
}

static void
a_certificate_and_a_key_that_do_not_belong_together_are_refused(void **state)
{
	struct tls_server_options o = { .cert_pem = slice_str(cert_pem), .key_pem = slice_str(client_key_pem), .context = SLICE_LIT("l"),
		.ticket_secret = secret_a, .clock = &now.clock };
	struct tls_error e;
	SSL_CTX *ctx;

	(void)state;
	assert_int_equal(tls_server_new(&o, &ctx, &e), E_FORMAT);
	assert_non_null(strstr(e.text, "certificate and key"));
	o.key_pem = SLICE_LIT("no key at all");
	assert_int_equal(tls_server_new(&o, &ctx, &e), E_FORMAT);
	o.cert_pem = SLICE_LIT("");
	assert_int_equal(tls_server_new(&o, &ctx, &e), E_FORMAT);
	assert_int_equal(ERR_peek_error(), 0); /* nothing is left for others to trip over */
}

/* ---- the client ---- */

static struct kubeconfig
kubeconfig_for(const char *name)
{
	return (struct kubeconfig){ .server = "https://api.test", .host = "127.0.0.1", .tls_server_name = name, .ca_pem = slice_str(ca_pem),
		.cert_pem = slice_str(client_cert_pem), .key_pem = slice_str(client_key_pem) };
}

static bool
trusts(const char *name, const char *ca)
{
	struct kubeconfig k = kubeconfig_for(name);
	SSL_CTX *ctx = server_with(secret_a, "l", false);
	struct tls_client *c;
	struct tls_error e;

	k.ca_pem = slice_str(ca);
	assert_int_equal(tls_client_new(&k, &c, &e), OK);
	SSL *client = tls_client_connect(c, false), *server = SSL_new(ctx);
	assert_non_null(client);
	bool ok = shake(client, server);
	SSL_free(client);
	SSL_free(server);
	tls_client_free(c);
	SSL_CTX_free(ctx);
	return ok;
}

static void
an_upstream_is_trusted_by_its_ca_and_its_name_or_address(void **state)
{
	(void)state;
	assert_true(trusts("api.test", ca_pem));
	assert_true(trusts("127.0.0.1", ca_pem));
	assert_true(trusts("::1", ca_pem));
	assert_false(trusts("127.0.0.2", ca_pem));
	assert_false(trusts("other.test", ca_pem));
	assert_false(trusts("sub.api.test", ca_pem));
	assert_false(trusts("api.test", client_cert_pem)); /* not the CA that signed it */
}

static void
without_a_ca_the_systems_are_trusted_and_there_has_to_be_one(void **state)
{
	struct tls_client *c;
	struct tls_error e;
	char folder[64], file[96];

	(void)state;
	unit_folder_make(folder);
	snprintf(file, sizeof(file), "%s/bundle.pem", folder);
	setenv("SSL_CERT_FILE", file, 1);
	setenv("SSL_CERT_DIR", folder, 1);
	struct kubeconfig k = kubeconfig_for("api.test");
	k.ca_pem = SLICE_NONE;
	assert_int_equal(tls_client_new(&k, &c, &e), E_FORMAT);
	assert_string_equal(e.text, "https://api.test: no certificate authority is named, and this machine trusts none");
	unit_file_write(file, ca_pem, strlen(ca_pem));
	assert_true(trusts("api.test", ""));
	unlink(file);
	rmdir(folder);
	unsetenv("SSL_CERT_FILE");
	unsetenv("SSL_CERT_DIR");
}

static void
the_client_certificate_is_shown_and_the_next_connection_resumes(void **state)
{
	struct kubeconfig k = kubeconfig_for("api.test");
	SSL_CTX *ctx = server_with(secret_a, "l", false);
	struct tls_client *c;
	struct tls_error e;

	(void)state;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	BIO *b = BIO_new_mem_buf(ca_pem, -1);
	X509 *ca = PEM_read_bio_X509(b, NULL, NULL, NULL);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca);
	X509_free(ca);
	BIO_free(b);
	assert_int_equal(tls_client_new(&k, &c, &e), OK);
	for (int i = 0; i < 4; i++) {
		SSL *client = tls_client_connect(c, false), *server = SSL_new(ctx);
		assert_true(shake(client, server));
		assert_int_equal(SSL_session_reused(client), i > 0);
		assert_string_equal(SSL_get_servername(server, TLSEXT_NAMETYPE_host_name), "api.test");
		X509 *shown = SSL_get1_peer_certificate(server);
		assert_non_null(shown);
		X509_free(shown);
		/* As transport_close does with a connection that was cut. */
		SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(client);
		SSL_free(server);
	}
	tls_client_free(c);
	SSL_CTX_free(ctx);
}

static void
a_client_made_of_rubbish_is_refused_with_a_reason(void **state)
{
	struct kubeconfig k = kubeconfig_for("api.test");
	struct tls_client *c;
	struct tls_error e;

	(void)state;
	k.ca_pem = SLICE_LIT("no certificate");
	assert_int_equal(tls_client_new(&k, &c, &e), E_FORMAT);
	assert_non_null(strstr(e.text, "certificate authority of https://api.test"));
	k = kubeconfig_for("api.test");
	k.key_pem = slice_str(key_pem);
	assert_int_equal(tls_client_new(&k, &c, &e), E_FORMAT);
	assert_non_null(strstr(e.text, "client certificate and key"));
	assert_int_equal(ERR_peek_error(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ticket_is_good_in_every_worker_with_the_same_secret),
		cmocka_unit_test(a_resumed_connection_gets_the_ticket_for_the_next_one),
		cmocka_unit_test(a_ticket_of_another_secret_or_listener_is_a_full_handshake),
		cmocka_unit_test(a_ticket_is_good_through_the_next_period_and_not_after_it),
		cmocka_unit_test(versions_and_ciphers_that_are_no_longer_good_are_refused),
		cmocka_unit_test(a_key_on_a_curve_that_tls13_does_not_know_serves_tls12),
		cmocka_unit_test(alpn_chooses_http2_before_http11_and_refuses_strangers),
		cmocka_unit_test(renegotiation_is_refused),
		cmocka_unit_test(a_certificate_and_a_key_that_do_not_belong_together_are_refused),
		cmocka_unit_test(an_upstream_is_trusted_by_its_ca_and_its_name_or_address),
		cmocka_unit_test(without_a_ca_the_systems_are_trusted_and_there_has_to_be_one),
		cmocka_unit_test(the_client_certificate_is_shown_and_the_next_connection_resumes),
		cmocka_unit_test(a_client_made_of_rubbish_is_refused_with_a_reason),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
