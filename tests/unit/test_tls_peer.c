/* Clients' certificates: who gets through the handshake with which, and what a resumed session remembers. In memory, without sockets. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include "proxyd/tls.h"
#include "proxyd/tls_peer.h"
#include "tests/unit/unit.h"
#include "tests/unit/unit_tls.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const unsigned char secret[TLS_TICKET_SECRET_BYTES] = { 1 };
static struct clock_fixed now;
static time_t from, to;

/* A key and what was signed for it. */
struct named {
	EVP_PKEY *key;
	X509 *cert;
	char pem[TEST_PEM_BYTES];
};
static struct named ca, other_ca, intermediate, server, jane, joe;
static char server_key[TEST_PEM_BYTES];

static void
write_pem(struct named *n)
{
	BIO *b = BIO_new(BIO_s_mem());

	assert_int_equal(PEM_write_bio_X509(b, n->cert), 1);
	test_pem_take(b, n->pem);
}

/* usage: extended key usage, NULL: none. */
static struct named
make(const char *name, const char *san, const char *usage, const struct named *issuer, time_t not_before, time_t not_after)
{
	struct named n = { .key = test_key_new(0) };

	n.cert = unit_cert_make(n.key, name, san, issuer ? issuer->cert : NULL, issuer ? issuer->key : NULL, not_before, not_after);
	if (usage) {
		unit_cert_extend(n.cert, issuer ? issuer->cert : n.cert, NID_ext_key_usage, usage);
		assert_true(X509_sign(n.cert, issuer ? issuer->key : n.key, EVP_sha256()) > 0);
	}
	write_pem(&n);
	return n;
}

static void
drop(struct named *n)
{
	EVP_PKEY_free(n->key);
	X509_free(n->cert);
}

static int
setup(void **state)
{
	(void)state;
	from = time(NULL) - 60;
	to = time(NULL) + 3600;
	clock_fixed_init(&now, 1800000000);
	ca = make("ca", NULL, NULL, NULL, from, to);
	other_ca = make("other ca", NULL, NULL, NULL, from, to);
	intermediate = make("intermediate", NULL, NULL, &ca, from, to - 1800);
	server = make("server", "DNS:gw.test", NULL, &ca, from, to);
	test_key_pem(server.key, NULL, server_key);
	jane = make("jane", "email:jane@example.com", "clientAuth", &ca, from, to);
	joe = make("joe", "email:joe@example.com", "clientAuth", &ca, from, to);
	return 0;
}

static int
teardown(void **state)
{
	struct named *all[] = { &ca, &other_ca, &intermediate, &server, &jane, &joe };

	(void)state;
	for (size_t i = 0; i < COUNT(all); i++)
		drop(all[i]);
	return 0;
}

/* trusted NULL: clients are asked for nothing. */
static SSL_CTX *
listener(const char *trusted)
{
	const struct tls_server_options o = { .cert_pem = slice_str(server.pem), .key_pem = slice_str(server_key), .context = SLICE_LIT("l"),
		.client_ca_pem = slice_str(trusted ? trusted : ""), .ticket_secret = secret, .clock = &now.clock };
	struct tls_error e;
	SSL_CTX *ctx;

	assert_int_equal(tls_server_new(&o, &ctx, &e), OK);
	return ctx;
}

struct visit {
	bool ok, reused;
	char name[64];        /* CN of the certificate that the server has; "" none */
	int64_t expires_at;
	char refusal[128];    /* what the server says */
	int alert;            /* what the client was told; -1: nothing */
	size_t ca_names;      /* that the client was asked for */
	SSL_SESSION *session; /* to resume with */
};

static int told;
static void
on_info(const SSL *ssl, int where, int value)
{
	(void)ssl;
	if (where == SSL_CB_READ_ALERT && value >> 8 == SSL3_AL_FATAL)
		told = value & 255;
}

static bool
shake(SSL *c, SSL *s)
{
	BIO *a, *b;
	char byte;

	assert_int_equal(BIO_new_bio_pair(&a, 1 << 17, &b, 1 << 17), 1);
	SSL_set_bio(c, a, a);
	SSL_set_bio(s, b, b);
	SSL_set_connect_state(c);
	SSL_set_accept_state(s);
	for (int i = 0; i < 20; i++) {
		ERR_clear_error();
		int rc = SSL_do_handshake(c), rs = SSL_do_handshake(s);
		if (rc == 1 && rs == 1)
			return SSL_write(s, "x", 1) == 1 && SSL_read(c, &byte, 1) == 1 && SSL_write(c, "y", 1) == 1 && SSL_read(s, &byte, 1) == 1;
		if (rs < 0 && SSL_get_error(s, rs) != SSL_ERROR_WANT_READ)
			break;
	}
	SSL_read(c, &byte, 1); /* the alert */
	return false;
}

/* chain NULL: only the certificate itself is sent. */
static struct visit
visit(SSL_CTX *ctx, int version, const struct named *who, X509 *chain, SSL_SESSION *resume)
{
	SSL_CTX *cc = SSL_CTX_new(TLS_client_method());
	SSL *c = SSL_new(cc), *s = SSL_new(ctx);
	struct visit v = { .alert = -1 };

	told = -1;
	SSL_set_info_callback(c, on_info);
	SSL_set_max_proto_version(c, version);
	if (who) {
		assert_int_equal(SSL_use_certificate(c, who->cert), 1);
		assert_int_equal(SSL_use_PrivateKey(c, who->key), 1);
		assert_true(!chain || SSL_add1_chain_cert(c, chain) == 1);
	}
	if (resume)
		SSL_set_session(c, resume);
	v.ok = shake(c, s);
	v.reused = SSL_session_reused(s);
	v.alert = told;
	v.ca_names = (size_t)(SSL_get0_peer_CA_list(c) ? sk_X509_NAME_num(SSL_get0_peer_CA_list(c)) : 0);
	if (v.ok) {
		X509 *x = tls_peer_certificate(s, &v.expires_at);
		if (x)
			X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, v.name, sizeof(v.name));
		assert_null(tls_peer_refusal(s));
		v.session = SSL_get1_session(c);
	} else if (tls_peer_refusal(s)) {
		snprintf(v.refusal, sizeof(v.refusal), "%s", tls_peer_refusal(s));
	}
	SSL_set_shutdown(c, SSL_SENT_SHUTDOWN);
	SSL_free(c);
	SSL_free(s);
	SSL_CTX_free(cc);
	ERR_clear_error();
	return v;
}

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static void
a_certificate_is_asked_for_and_not_demanded(void **state)
{
	SSL_CTX *asking = listener(ca.pem), *silent = listener(NULL);

	(void)state;
	for (size_t i = 0; i < COUNT(versions); i++) {
		struct visit v = visit(asking, versions[i], NULL, NULL, NULL);
		assert_true(v.ok);
		assert_string_equal(v.name, "");
		assert_int_equal(v.ca_names, 1); /* so that a client with many shows the right one, and others none */
		SSL_SESSION_free(v.session);
		v = visit(silent, versions[i], &jane, NULL, NULL);
		assert_true(v.ok);
		assert_string_equal(v.name, "");
		assert_int_equal(v.ca_names, 0);
		SSL_SESSION_free(v.session);
	}
	SSL_CTX_free(asking);
	SSL_CTX_free(silent);
}

static void
a_certificate_of_the_authority_is_taken_with_its_end(void **state)
{
	SSL_CTX *ctx = listener(ca.pem);

	(void)state;
	for (size_t i = 0; i < COUNT(versions); i++) {
		struct visit v = visit(ctx, versions[i], &jane, NULL, NULL);
		assert_true(v.ok);
		assert_string_equal(v.name, "jane");
		assert_int_equal(v.expires_at, to);
		SSL_SESSION_free(v.session);
	}
	SSL_CTX_free(ctx);
}

static void
any_other_certificate_ends_the_handshake_with_its_reason(void **state)
{
	SSL_CTX *ctx = listener(ca.pem);
	struct named stranger = make("jane", "DNS:x", "clientAuth", &other_ca, from, to), self = make("jane", "DNS:x", "clientAuth", NULL, from, to),
		     expired = make("jane", "DNS:x", "clientAuth", &ca, from - 60, time(NULL) - 1),
		     future = make("jane", "DNS:x", "clientAuth", &ca, time(NULL) + 1000, to), unsaid = make("jane", "DNS:x", NULL, &ca, from, to),
		     servers = make("jane", "DNS:x", "serverAuth", &ca, from, to), mail = make("jane", "DNS:x", "emailProtection", &ca, from, to),
		     any = make("jane", "DNS:x", "anyExtendedKeyUsage", &ca, from, to), by_a_person = make("jane", "DNS:x", "clientAuth", &joe, from, to);
	const struct {
		const struct named *who;
		const char *reason;
		int alert;
	} cases[] = {
		{ &stranger, "unable to get local issuer certificate", SSL_AD_UNKNOWN_CA },
		{ &self, "self-signed certificate", SSL_AD_UNKNOWN_CA },
		{ &expired, "certificate has expired", SSL_AD_CERTIFICATE_EXPIRED },
		{ &future, "certificate is not yet valid", SSL_AD_BAD_CERTIFICATE },
		{ &unsaid, "unsuitable certificate purpose", SSL_AD_UNSUPPORTED_CERTIFICATE },
		{ &servers, "unsuitable certificate purpose", SSL_AD_UNSUPPORTED_CERTIFICATE },
		{ &mail, "unsuitable certificate purpose", SSL_AD_UNSUPPORTED_CERTIFICATE },
		{ &any, "unsuitable certificate purpose", SSL_AD_UNSUPPORTED_CERTIFICATE },
		{ &by_a_person, "unable to get local issuer certificate", SSL_AD_UNKNOWN_CA },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		for (size_t j = 0; j < COUNT(versions); j++) {
			struct visit v = visit(ctx, versions[j], cases[i].who, NULL, NULL);
			assert_false(v.ok);
			if (strcmp(v.refusal, cases[i].reason) != 0 || v.alert != cases[i].alert)
				fail_msg("%zu: %s, alert %d", i, v.refusal, v.alert);
		}
	/* A chain through somebody who is no authority. */
	struct visit v = visit(ctx, TLS1_3_VERSION, &by_a_person, joe.cert, NULL);
	assert_false(v.ok);
	assert_string_equal(v.refusal, "invalid CA certificate");
	struct named *made[] = { &stranger, &self, &expired, &future, &unsaid, &servers, &mail, &any, &by_a_person };
	for (size_t i = 0; i < COUNT(made); i++)
		drop(made[i]);
	SSL_CTX_free(ctx);
}

static void
the_end_is_the_earliest_of_the_chain_and_outlives_resumption(void **state)
{
	SSL_CTX *ctx = listener(ca.pem);
	struct named far = make("far", "DNS:x", "clientAuth", &intermediate, from, to);

	(void)state;
	for (size_t i = 0; i < COUNT(versions); i++) {
		struct visit first = visit(ctx, versions[i], &far, intermediate.cert, NULL);
		assert_true(first.ok);
		assert_int_equal(first.expires_at, to - 1800);
		struct visit again = visit(ctx, versions[i], &far, intermediate.cert, first.session);
		assert_true(again.ok && again.reused);
		assert_string_equal(again.name, "far");
		assert_int_equal(again.expires_at, to - 1800);
		/* And into the ticket that a resumed connection gets. */
		struct visit third = visit(ctx, versions[i], &far, intermediate.cert, again.session);
		assert_true(third.ok && third.reused);
		assert_int_equal(third.expires_at, to - 1800);
		SSL_SESSION_free(first.session);
		SSL_SESSION_free(again.session);
		SSL_SESSION_free(third.session);
		assert_false(visit(ctx, versions[i], &far, NULL, NULL).ok); /* without the one between */
	}
	drop(&far);
	SSL_CTX_free(ctx);
}

static void
an_intermediate_may_be_the_authority_and_then_its_root_is_none(void **state)
{
	SSL_CTX *ctx = listener(intermediate.pem);
	struct named far = make("far", "DNS:x", "clientAuth", &intermediate, from, to);
	struct visit v = visit(ctx, TLS1_3_VERSION, &far, NULL, NULL);

	(void)state;
	assert_true(v.ok);
	assert_string_equal(v.name, "far");
	SSL_SESSION_free(v.session);
	assert_false(visit(ctx, TLS1_3_VERSION, &jane, NULL, NULL).ok);
	drop(&far);
	SSL_CTX_free(ctx);
}

static void
a_resumed_session_is_whose_it_was_whatever_else_is_shown(void **state)
{
	SSL_CTX *ctx = listener(ca.pem);

	(void)state;
	for (size_t i = 0; i < COUNT(versions); i++) {
		const struct named *shown[] = { &jane, &joe, NULL };
		for (size_t j = 0; j < COUNT(shown); j++) {
			struct visit first = visit(ctx, versions[i], &jane, NULL, NULL), again = visit(ctx, versions[i], shown[j], NULL, first.session);
			assert_true(again.ok && again.reused);
			assert_string_equal(again.name, "jane");
			assert_int_equal(again.expires_at, to);
			SSL_SESSION_free(first.session);
			SSL_SESSION_free(again.session);
		}
		struct visit nobody = visit(ctx, versions[i], NULL, NULL, NULL), later = visit(ctx, versions[i], &jane, NULL, nobody.session);
		assert_true(later.ok && later.reused);
		assert_string_equal(later.name, "");
		SSL_SESSION_free(nobody.session);
		SSL_SESSION_free(later.session);
	}
	SSL_CTX_free(ctx);
}

/* The authorities belong to what a ticket is good for: after a reload with others everybody shakes hands anew. CVE-2025-23419 */
static void
a_ticket_is_not_good_where_other_authorities_are_trusted(void **state)
{
	char both[2 * TEST_PEM_BYTES];

	(void)state;
	snprintf(both, sizeof(both), "%s%s", other_ca.pem, ca.pem);
	const char *const trusted[] = { ca.pem, other_ca.pem, both, NULL };
	for (size_t i = 0; i < COUNT(versions); i++)
		for (size_t a = 0; a < COUNT(trusted); a++)
			for (size_t b = 0; b < COUNT(trusted); b++) {
				SSL_CTX *before = listener(trusted[a]), *after = listener(trusted[b]);
				const struct named *who = trusted[a] && a != 1 ? &jane : NULL;
				struct visit first = visit(before, versions[i], who, NULL, NULL), again = visit(after, versions[i], NULL, NULL, first.session);
				assert_true(first.ok && again.ok);
				assert_int_equal(again.reused, a == b);
				assert_string_equal(again.name, a == b && who ? "jane" : "");
				SSL_SESSION_free(first.session);
				SSL_SESSION_free(again.session);
				SSL_CTX_free(before);
				SSL_CTX_free(after);
			}
}

static void
authorities_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = { "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" };
	struct tls_error e;
	SSL_CTX *ctx;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		const struct tls_server_options o = { .cert_pem = slice_str(server.pem), .key_pem = slice_str(server_key), .context = SLICE_LIT("l"),
			.client_ca_pem = slice_str(bad[i]), .ticket_secret = secret, .clock = &now.clock };
		assert_int_equal(tls_server_new(&o, &ctx, &e), E_FORMAT);
		assert_non_null(strstr(e.text, "certificate authority of clients: "));
		assert_int_equal(ERR_peek_error(), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_certificate_is_asked_for_and_not_demanded),
		cmocka_unit_test(a_certificate_of_the_authority_is_taken_with_its_end),
		cmocka_unit_test(any_other_certificate_ends_the_handshake_with_its_reason),
		cmocka_unit_test(the_end_is_the_earliest_of_the_chain_and_outlives_resumption),
		cmocka_unit_test(an_intermediate_may_be_the_authority_and_then_its_root_is_none),
		cmocka_unit_test(a_resumed_session_is_whose_it_was_whatever_else_is_shown),
		cmocka_unit_test(a_ticket_is_not_good_where_other_authorities_are_trusted),
		cmocka_unit_test(authorities_that_are_none_are_refused),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
