/* Who is calling, beside tokens of an issuer and sessions: the static token file, clients' certificates, and tokens that a
 * cluster is asked about. */
#include "http_cases.h"
#include <openssl/evp.h>
#include "proxyd/authenticator.h"
#include "proxyd/token_file.h"
#include "tokens.h"

#define NOW 1800000000
#define JANES "janes-token-0123456789"
#define JOES "joes-token-0123456789"

#define ISSUER "https://gw.example/oidc"
#define CLUSTERS_OWN "https://kubernetes.default.svc"

struct fixture {
	struct proxyd_jwt jwt;
	struct proxyd_config config;
	struct arena arena;
	struct clock_fixed clock;
	struct authenticator *a;
	struct shown_certificate shown;
	struct caller caller;
	struct principal *p;
	const char *why;
};

static int
setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	struct config_error e = { "" };

	assert_non_null(x);
	arena_init(&x->arena, 0);
	assert_int_equal(token_file_parse(&x->arena, "t", SLICE_LIT(JANES ",jane,7,\"dev,ops\"\n" JOES ",joe,\n"), 8192, &x->config.tokens, &e), OK);
	x->config.authentication.session.cookie_name = "s";
	x->config.limits.token_bytes = 8192;
	x->config.limits.identities = 64;
	clock_fixed_init(&x->clock, NOW);
	x->a = authenticator_new(&x->config, &x->clock.clock);
	assert_non_null(x->a);
	x->caller.certificate = &x->shown;
	*state = x;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *x = *state;

	principal_unref(x->p);
	principal_unref(x->shown.principal);
	authenticator_free(x->a);
	arena_fini(&x->arena);
	free(x);
	return 0;
}

/* A request with these lines; what comes out of it stands in x->p and x->why. */
static enum authentication
ask(struct fixture *x, const char *method, const char *lines)
{
	static struct parsed parsed;
	static char text[50000];
	int n = snprintf(text, sizeof(text), "%s /api HTTP/1.1\r\nHost: gw.example\r\n%s\r\n", method, lines);

	assert_int_equal(feed(slice_of(text, (size_t)n), true, METHOD_OTHER, false, &parsed), HTTP_OK);
	principal_unref(x->p);
	return authenticate(x->a, &parsed.head, &x->caller, &x->p, &x->why);
}

static enum authentication
bearer(struct fixture *x, const char *token)
{
	static char line[10000];

	snprintf(line, sizeof(line), "Authorization: Bearer %s\r\n", token);
	return ask(x, "POST", line);
}

static struct authenticator_stats
stats(const struct fixture *x)
{
	struct authenticator_stats s;
	authenticator_stats(x->a, &s);
	return s;
}

static void
token_of_the_file_is_whom_its_line_names(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(bearer(x, JANES), AUTHENTICATED);
	assert_true(slice_eq_str(x->p->headers,
		"Impersonate-User: jane\r\nImpersonate-Group: dev\r\nImpersonate-Group: ops\r\nImpersonate-Group: system:authenticated\r\n"
		"Impersonate-Uid: 7\r\n"));
	assert_int_equal(x->p->identity.how, IDENTITY_TOKEN_FILE);
	assert_int_equal(bearer(x, JOES), AUTHENTICATED);
	assert_true(slice_eq_str(x->p->headers, "Impersonate-User: joe\r\nImpersonate-Group: system:authenticated\r\n"));
}

static void
token_of_the_file_is_remembered_and_does_not_expire(void **state)
{
	struct fixture *x = *state;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(bearer(x, JANES), AUTHENTICATED);
		clock_fixed_advance(&x->clock, 100L * 365 * 86400);
	}
	assert_int_equal(stats(x).misses, 1);
	assert_int_equal(stats(x).hits, 2);
	assert_int_equal(stats(x).entries, 1);
	assert_int_equal(stats(x).signatures, 0);
}

static void
whatever_is_not_a_token_of_the_file_is_refused(void **state)
{
	struct fixture *x = *state;
	static const char *const wrong[] = { "janes-token-012345678", "janes-token-01234567890", "Janes-token-0123456789", "jane", "7", "x", "a.b.c" };

	for (size_t i = 0; i < COUNT(wrong); i++) {
		assert_int_equal(bearer(x, wrong[i]), AUTHENTICATION_REFUSED);
		assert_null(x->p);
	}
	assert_int_equal(ask(x, "GET", "Authorization: Basic " JANES "\r\n"), AUTHENTICATION_REFUSED);
	assert_int_equal(ask(x, "GET", "Cookie: s=" JANES "\r\n"), AUTHENTICATION_NONE);
	assert_int_equal(stats(x).entries, 0);
}

/* Clients' certificates */
#define CERTIFICATE_END (NOW + 1000)

static void
show(struct fixture *x, const char *cn, const char *o)
{
	X509 *cert = X509_new();
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_NAME *subject = X509_get_subject_name(cert);

	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const unsigned char *)o, -1, -1, 0);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
	ASN1_TIME_set(X509_getm_notBefore(cert), 1);
	ASN1_TIME_set(X509_getm_notAfter(cert), 2);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	principal_unref(x->shown.principal);
	x->shown = authenticator_certificate(x->a, cert, CERTIFICATE_END);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void
certificate_speaks_for_every_request_of_its_connection_until_it_ends(void **state)
{
	struct fixture *x = *state;

	show(x, "jim", "dev");
	assert_null(x->shown.refused);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask(x, "POST", ""), AUTHENTICATED);
		assert_ptr_equal(x->p, x->shown.principal);
	}
	assert_int_equal(x->p->identity.how, IDENTITY_CLIENT_CERTIFICATE);
	assert_true(slice_has_prefix(x->p->headers,
		SLICE_LIT("Impersonate-User: jim\r\nImpersonate-Group: dev\r\nImpersonate-Group: system:authenticated\r\nImpersonate-Extra-authentication"
			  ".kubernetes.io%2Fcredential-id: X509SHA256=")));
	clock_fixed_advance(&x->clock, CERTIFICATE_END - NOW - 1);
	assert_int_equal(ask(x, "GET", ""), AUTHENTICATED);
	clock_fixed_advance(&x->clock, 1);
	assert_int_equal(ask(x, "GET", ""), AUTHENTICATION_REFUSED);
	assert_string_equal(x->why, "the client certificate, or one of its chain, has expired");
	assert_null(x->p);
	assert_int_equal(x->shown.principal->refs, 1);
}

static void
certificate_whose_names_are_not_taken_is_no_anonymous_caller(void **state)
{
	struct fixture *x = *state;

	show(x, "admin", "system:masters");
	assert_null(x->shown.principal);
	assert_int_equal(ask(x, "GET", ""), AUTHENTICATION_REFUSED);
	assert_string_equal(x->why, "an O of the certificate begins with \"system:\"");
	assert_int_equal(ask(x, "GET", "Cookie: s=1\r\n"), AUTHENTICATION_REFUSED);
	x->shown = authenticator_certificate(x->a, NULL, 0);
	assert_int_equal(ask(x, "GET", ""), AUTHENTICATION_NONE);
}

static void
token_beside_a_certificate_is_refused_whoever_they_name(void **state)
{
	struct fixture *x = *state;

	show(x, "jane", "dev");
	assert_int_equal(bearer(x, JANES), AUTHENTICATION_REFUSED);
	assert_string_equal(x->why, "a token and a client certificate: it is not clear who is meant");
	assert_int_equal(bearer(x, "x"), AUTHENTICATION_REFUSED);
	assert_int_equal(ask(x, "GET", "Authorization: Basic eDp5\r\n"), AUTHENTICATION_REFUSED);
	assert_int_equal(ask(x, "GET", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: v5.channel.k8s.io, "
				       "base64url.bearer.authorization.k8s.io.amFuZXMtdG9rZW4tMDEyMzQ1Njc4OQ\r\n"), AUTHENTICATION_REFUSED);
	x->shown.principal->expires_at = NOW; /* nor does a token step in for one that is over */
	assert_int_equal(bearer(x, JANES), AUTHENTICATION_REFUSED);
}

static void
certificate_wins_over_a_cookie(void **state)
{
	struct fixture *x = *state;
	struct proxyd_jwt sessions = { .line = 1 };

	x->config.session_jwt = &sessions;
	x->config.revocations_jwt = &sessions;
	assert_int_equal(ask(x, "GET", "Cookie: s=1\r\n"), AUTHENTICATION_ASK_SESSION);
	show(x, "jim", "dev");
	assert_int_equal(ask(x, "GET", "Cookie: s=1\r\n"), AUTHENTICATED);
	assert_true(slice_eq_str(x->p->identity.username, "jim"));
}

/* Browsers show certificates to whoever makes them ask, and SameSite is about cookies only. */
static void
certificate_in_a_browser_counts_for_our_own_pages_only(void **state)
{
	struct fixture *x = *state;
	static const struct {
		const char *method, *lines;
		enum authentication expected;
	} cases[] = {
		{ "POST", "", AUTHENTICATED }, /* kubectl */
		{ "GET", "Connection: Upgrade\r\nUpgrade: websocket\r\n", AUTHENTICATED },
		{ "POST", "Origin: https://gw.example\r\n", AUTHENTICATED },
		{ "POST", "Origin: https://gw.example\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n", AUTHENTICATED },
		{ "GET", "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n", AUTHENTICATED },
		{ "GET", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n", AUTHENTICATED }, /* a link */
		{ "GET", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n", AUTHENTICATION_REFUSED }, /* an image */
		{ "GET", "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\n", AUTHENTICATION_REFUSED },
		{ "GET", "Sec-Fetch-Site: cross-site\r\n", AUTHENTICATION_REFUSED },
		{ "POST", "Origin: https://evil.example\r\n", AUTHENTICATION_REFUSED },
		{ "DELETE", "Origin: null\r\n", AUTHENTICATION_REFUSED },
		{ "POST", "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n", AUTHENTICATION_REFUSED }, /* a form */
		{ "GET", "Origin: https://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", AUTHENTICATION_REFUSED },
	};

	show(x, "jim", "dev");
	for (size_t i = 0; i < COUNT(cases); i++)
		if (ask(x, cases[i].method, cases[i].lines) != cases[i].expected)
			fail_msg("%zu: %s %s", i, cases[i].method, cases[i].lines);
}

/* Tokens that a cluster is asked about */

/* An authenticator that asks clusters, and trusts one issuer, whose keys it does not have. */
static void
with_reviews(struct fixture *x)
{
	static const char *const client[] = { "client" };

	x->jwt.policy = (struct id_token_policy){ .issuer = ISSUER, .audiences = client, .audience_n = 1, .username_prefix = "", .token_bytes_max = 8192,
		.how = IDENTITY_JWT };
	x->config.authentication.jwt = (struct config_list){ &x->jwt, 1 };
	x->config.authentication.token_review.enabled = true;
	authenticator_free(x->a);
	x->a = authenticator_new(&x->config, &x->clock.clock);
	assert_non_null(x->a);
	x->caller.cluster = SLICE_LIT("default");
}

/* header and payload as given, a signature of anybody's. */
static const char *
jwt(const char *header, const char *payload)
{
	static char text[4][4000];
	static unsigned turn;
	struct buf out;

	buf_init(&out, 0);
	token_join(&out, slice_str(header), slice_str(payload), "signature", 9);
	char *to = text[turn++ % 4];
	snprintf(to, sizeof(text[0]), "%s", out.p);
	buf_fini(&out);
	return to;
}
#define RS256 "{\"alg\":\"RS256\",\"kid\":\"k\"}"
#define ANSWER(status) "{\"kind\":\"TokenReview\",\"apiVersion\":\"authentication.k8s.io/v1\",\"status\":" status "}"
#define DEPLOYER ANSWER("{\"authenticated\":true,\"user\":{\"username\":\"system:serviceaccount:ci:deployer\",\"uid\":\"u\",\"groups\":[\"system:serviceaccounts\"]}}")

static enum authentication
answer(struct fixture *x, const char *text)
{
	struct review_question q = *authenticator_question(x->a);

	principal_unref(x->p);
	return authenticator_reviewed(x->a, &q, slice_str(text), &x->p, &x->why);
}

static void
token_of_no_issuer_is_asked_about_and_remembered_for_seconds(void **state)
{
	struct fixture *x = *state;
	const char *t = jwt(RS256, "{\"iss\":\"" CLUSTERS_OWN "\",\"sub\":\"system:serviceaccount:ci:deployer\",\"exp\":1800003600}");
	char body[5000];

	with_reviews(x);
	assert_int_equal(bearer(x, t), AUTHENTICATION_ASK_REVIEW);
	assert_null(x->p);
	snprintf(body, sizeof(body), "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\",\"spec\":{\"token\":\"%s\"}}", t);
	assert_true(slice_eq_str(authenticator_question(x->a)->body, body));
	assert_int_equal(answer(x, DEPLOYER), AUTHENTICATED);
	assert_int_equal(x->p->identity.how, IDENTITY_TOKEN_REVIEW);
	assert_int_equal(x->p->expires_at, 1800003600 + PROXYD_SKEW_S);
	assert_true(slice_has_prefix(x->p->headers, SLICE_LIT("Impersonate-User: system:serviceaccount:ci:deployer\r\nImpersonate-Group: system:serviceaccounts\r\n")));
	assert_int_equal(bearer(x, t), AUTHENTICATED);
	clock_fixed_advance(&x->clock, REVIEWED_LIFETIME_S - 1);
	assert_int_equal(bearer(x, t), AUTHENTICATED);
	assert_true(slice_eq_str(x->p->identity.username, "system:serviceaccount:ci:deployer"));
	clock_fixed_advance(&x->clock, 1);
	assert_int_equal(bearer(x, t), AUTHENTICATION_ASK_REVIEW);
	assert_null(x->p);
	assert_int_equal(stats(x).entries, 0);
	assert_int_equal(stats(x).reviews, 1);
}

/* What one cluster says of a token is nothing to another: each has a serviceaccount "admin" of its own. */
static void
answer_of_one_cluster_is_not_anothers(void **state)
{
	struct fixture *x = *state;

	with_reviews(x);
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATION_ASK_REVIEW);
	assert_int_equal(answer(x, DEPLOYER), AUTHENTICATED);
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATED);
	x->caller.cluster = SLICE_LIT("second");
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATION_ASK_REVIEW);
	assert_int_equal(answer(x, ANSWER("{}")), AUTHENTICATION_REFUSED);
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATION_REFUSED);
	x->caller.cluster = SLICE_LIT("default");
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATED);
	x->caller.cluster = SLICE_NONE; /* a path that leads to no cluster */
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATION_REFUSED);
	x->caller.cluster = SLICE_LIT("default");
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATED); /* and that refusal is not held against it here */
}

static void
refusal_is_remembered_briefly(void **state)
{
	struct fixture *x = *state;

	with_reviews(x);
	assert_int_equal(bearer(x, "garbage"), AUTHENTICATION_ASK_REVIEW);
	assert_int_equal(answer(x, ANSWER("{\"authenticated\":false}")), AUTHENTICATION_REFUSED);
	clock_fixed_advance(&x->clock, REVIEW_REFUSED_LIFETIME_S - 1);
	assert_int_equal(bearer(x, "garbage"), AUTHENTICATION_REFUSED);
	assert_string_equal(x->why, "the cluster does not know the token");
	clock_fixed_advance(&x->clock, 1);
	assert_int_equal(bearer(x, "garbage"), AUTHENTICATION_ASK_REVIEW);
	assert_int_equal(answer(x, DEPLOYER), AUTHENTICATED);
	assert_int_equal(bearer(x, "garbage"), AUTHENTICATED);
}

static void
what_is_no_answer_is_not_remembered(void **state)
{
	struct fixture *x = *state;

	with_reviews(x);
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATION_ASK_REVIEW);
	assert_int_equal(answer(x, "<html>"), AUTHENTICATION_UNAVAILABLE);
	assert_null(x->p);
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATION_ASK_REVIEW);
}

static void
answer_for_other_audiences_is_a_refusal(void **state)
{
	struct fixture *x = *state;
	static const char *audiences[] = { "gatehouse" };

	with_reviews(x);
	x->config.authentication.token_review.audiences = (struct config_strings){ audiences, 1 };
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATION_ASK_REVIEW);
	assert_non_null(strstr(authenticator_question(x->a)->body.p, "\"audiences\":[\"gatehouse\"]"));
	assert_int_equal(answer(x, ANSWER("{\"authenticated\":true,\"user\":{\"username\":\"jane\"},\"audiences\":[\"vault\"]}")), AUTHENTICATION_REFUSED);
	assert_string_equal(x->why, "the token is for none of the audiences");
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATION_REFUSED);
}

/* A token that says it is of a trusted issuer is that issuer's to prove, whatever a cluster would say: it may read tokens less strictly than we do. */
static void
token_of_a_trusted_issuer_is_never_asked_about(void **state)
{
	struct fixture *x = *state;
	static const struct {
		const char *header, *payload;
		enum authentication expected;
	} cases[] = {
		{ RS256, "{\"iss\":\"" ISSUER "\"}", AUTHENTICATION_UNAVAILABLE }, /* its keys are not there yet */
		{ "{\"alg\":\"none\"}", "{\"iss\":\"" ISSUER "\"}", AUTHENTICATION_REFUSED },
		{ "{\"alg\":\"HS256\"}", "{\"iss\":\"" ISSUER "\"}", AUTHENTICATION_REFUSED },
		{ "{\"alg\":\"RS256\",\"crit\":[\"b64\"]}", "{\"iss\":\"" ISSUER "\"}", AUTHENTICATION_REFUSED },
		{ RS256, "{\"iss\":\"" CLUSTERS_OWN "\",\"iss\":\"" ISSUER "\"}", AUTHENTICATION_REFUSED },
		{ RS256, "{\"iss\":\"" ISSUER "\",\"iss\":\"" CLUSTERS_OWN "\"}", AUTHENTICATION_REFUSED },
		{ RS256, "{\"sub\":\"nobody's\"}", AUTHENTICATION_REFUSED },
		{ RS256, "{\"iss\":7}", AUTHENTICATION_REFUSED },
		{ RS256, "{\"iss\":\"\"}", AUTHENTICATION_REFUSED },
		{ RS256, "[\"" CLUSTERS_OWN "\"]", AUTHENTICATION_REFUSED },
		{ RS256, "{\"iss\":\"" ISSUER "/\"}", AUTHENTICATION_ASK_REVIEW }, /* another name is another issuer */
		{ RS256, "{\"iss\":\"" CLUSTERS_OWN "\"}", AUTHENTICATION_ASK_REVIEW },
		{ RS256, "{\"iss\":\"kubernetes/serviceaccount\"}", AUTHENTICATION_ASK_REVIEW }, /* of a Secret, without an end */
	};

	with_reviews(x);
	for (size_t i = 0; i < COUNT(cases); i++)
		if (bearer(x, jwt(cases[i].header, cases[i].payload)) != cases[i].expected)
			fail_msg("%s %s", cases[i].header, cases[i].payload);
	assert_int_equal(bearer(x, "a.b.c"), AUTHENTICATION_REFUSED);
	assert_int_equal(bearer(x, ".."), AUTHENTICATION_REFUSED);
	assert_int_equal(bearer(x, "a.b"), AUTHENTICATION_ASK_REVIEW);
	assert_int_equal(bearer(x, "a.b.c.d.e"), AUTHENTICATION_ASK_REVIEW);
}

static void
token_of_the_file_is_never_asked_about(void **state)
{
	struct fixture *x = *state;

	with_reviews(x);
	assert_int_equal(bearer(x, JANES), AUTHENTICATED);
	assert_int_equal(x->p->identity.how, IDENTITY_TOKEN_FILE);
}

static void
tokens_that_are_over_too_long_or_no_text_are_not_asked_about(void **state)
{
	struct fixture *x = *state;
	char long_one[8194], payload[200];

	with_reviews(x);
	snprintf(payload, sizeof(payload), "{\"iss\":\"" CLUSTERS_OWN "\",\"exp\":%d}", NOW - PROXYD_SKEW_S);
	assert_int_equal(bearer(x, jwt(RS256, payload)), AUTHENTICATION_REFUSED);
	assert_string_equal(x->why, "expired");
	snprintf(payload, sizeof(payload), "{\"iss\":\"" CLUSTERS_OWN "\",\"exp\":%d}", NOW - PROXYD_SKEW_S + 1);
	assert_int_equal(bearer(x, jwt(RS256, payload)), AUTHENTICATION_ASK_REVIEW);
	memset(long_one, 'a', 8193);
	long_one[8193] = '\0';
	assert_int_equal(bearer(x, long_one), AUTHENTICATION_REFUSED);
	assert_int_equal(bearer(x, long_one + 1), AUTHENTICATION_ASK_REVIEW);
	assert_int_equal(bearer(x, "\xc3\xa9"), AUTHENTICATION_REFUSED);
	assert_int_equal(ask(x, "GET", "Authorization: Bearer \r\n"), AUTHENTICATION_REFUSED);
}

static void
without_the_configuration_nobody_is_asked(void **state)
{
	struct fixture *x = *state;

	x->caller.cluster = SLICE_LIT("default");
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATION_REFUSED);
	assert_int_equal(bearer(x, jwt(RS256, "{\"iss\":\"" CLUSTERS_OWN "\"}")), AUTHENTICATION_REFUSED);
}

static void
token_among_websocket_protocols_is_asked_about_too(void **state)
{
	struct fixture *x = *state;
	struct review_question q;

	with_reviews(x);
	assert_int_equal(ask(x, "GET", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: v5.channel.k8s.io, "
				       "base64url.bearer.authorization.k8s.io.b3BhcXVl\r\n"), AUTHENTICATION_ASK_REVIEW);
	q = *authenticator_question(x->a);
	assert_non_null(strstr(q.body.p, "\"token\":\"opaque\""));
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATION_ASK_REVIEW);
	assert_memory_equal(authenticator_question(x->a)->digest, q.digest, sizeof(q.digest)); /* one question */
}

/* How a caller was proven */
static void
how_a_caller_was_proven_is_said_upstream_if_wanted(void **state)
{
	struct fixture *x = *state;

	with_reviews(x);
	x->config.authentication.how_extra = true;
	assert_int_equal(bearer(x, JANES), AUTHENTICATED);
	assert_true(slice_has_suffix(x->p->headers, SLICE_LIT("Impersonate-Uid: 7\r\nImpersonate-Extra-gatehouse%2Fhow: token_file\r\n")));
	assert_int_equal(x->p->identity.extra_n, 1);
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATION_ASK_REVIEW);
	assert_int_equal(answer(x, ANSWER("{\"authenticated\":true,\"user\":{\"username\":\"jane\",\"extra\":{\"a\":[\"b\"]}}}")), AUTHENTICATED);
	assert_true(slice_has_suffix(x->p->headers, SLICE_LIT("Impersonate-Extra-a: b\r\nImpersonate-Extra-gatehouse%2Fhow: token_review\r\n")));
	show(x, "jim", "dev");
	assert_int_equal(ask(x, "GET", ""), AUTHENTICATED);
	assert_true(slice_has_suffix(x->p->headers, SLICE_LIT("\r\nImpersonate-Extra-gatehouse%2Fhow: client_certificate\r\n")));
}

/* Nobody's extras are cut, and nobody comes without theirs. */
static void
caller_with_as_many_extras_as_there_may_be_has_no_room_for_ours(void **state)
{
	struct fixture *x = *state;
	static char text[10000];
	size_t n = (size_t)snprintf(text, sizeof(text), ANSWER("{\"authenticated\":true,\"user\":{\"username\":\"jane\",\"extra\":{%s"), "\"k0\":[\"v\"]");

	n = strlen(text) - 1; /* ANSWER closes the outermost */
	for (int i = 1; i < IDENTITY_EXTRA_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, ",\"k%d\":[\"v\"]", i);
	snprintf(text + n, sizeof(text) - n, "}}}}");
	with_reviews(x);
	assert_int_equal(bearer(x, "opaque"), AUTHENTICATION_ASK_REVIEW);
	assert_int_equal(answer(x, text), AUTHENTICATED);
	x->config.authentication.how_extra = true;
	assert_int_equal(bearer(x, "opaque2"), AUTHENTICATION_ASK_REVIEW);
	assert_int_equal(answer(x, text), AUTHENTICATION_REFUSED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(token_of_the_file_is_whom_its_line_names, setup, teardown),
		cmocka_unit_test_setup_teardown(token_of_the_file_is_remembered_and_does_not_expire, setup, teardown),
		cmocka_unit_test_setup_teardown(whatever_is_not_a_token_of_the_file_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(certificate_speaks_for_every_request_of_its_connection_until_it_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(certificate_whose_names_are_not_taken_is_no_anonymous_caller, setup, teardown),
		cmocka_unit_test_setup_teardown(token_beside_a_certificate_is_refused_whoever_they_name, setup, teardown),
		cmocka_unit_test_setup_teardown(certificate_wins_over_a_cookie, setup, teardown),
		cmocka_unit_test_setup_teardown(certificate_in_a_browser_counts_for_our_own_pages_only, setup, teardown),
		cmocka_unit_test_setup_teardown(token_of_no_issuer_is_asked_about_and_remembered_for_seconds, setup, teardown),
		cmocka_unit_test_setup_teardown(answer_of_one_cluster_is_not_anothers, setup, teardown),
		cmocka_unit_test_setup_teardown(refusal_is_remembered_briefly, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_answer_is_not_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(answer_for_other_audiences_is_a_refusal, setup, teardown),
		cmocka_unit_test_setup_teardown(token_of_a_trusted_issuer_is_never_asked_about, setup, teardown),
		cmocka_unit_test_setup_teardown(token_of_the_file_is_never_asked_about, setup, teardown),
		cmocka_unit_test_setup_teardown(tokens_that_are_over_too_long_or_no_text_are_not_asked_about, setup, teardown),
		cmocka_unit_test_setup_teardown(without_the_configuration_nobody_is_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(token_among_websocket_protocols_is_asked_about_too, setup, teardown),
		cmocka_unit_test_setup_teardown(how_a_caller_was_proven_is_said_upstream_if_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(caller_with_as_many_extras_as_there_may_be_has_no_room_for_ours, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
