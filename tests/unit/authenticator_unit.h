/* authenticator_unit.h - an authenticator that trusts two issuers, the first of which has sessions. Tests sign with whichever key they like. */
#ifndef TESTS_AUTHENTICATOR_UNIT_H
#define TESTS_AUTHENTICATOR_UNIT_H

#include "http_cases.h"
#include <fcntl.h>
#include <unistd.h>
#include "oidc/base64url.h"
#include "proxyd/authenticator.h"
#include "proxyd/identity_table.h"
#include "shared/sealed.h"
#include "tokens.h"

#define NOW 1800000000
#define SKEW 5
#define OURS "https://gw.example/oidc"
#define OTHER "https://other.example"
#define PROTOCOLS "Sec-WebSocket-Protocol: v5.channel.k8s.io, base64url.bearer.authorization.k8s.io."

struct fixture {
	struct proxyd_jwt jwt[2];
	struct proxyd_config config;
	struct clock_fixed clock;
	struct keycache *writer;
	int fd;
	EVP_PKEY *keys[3];
	struct authenticator *a;
	struct principal *p;
	const char *why;
	bool known_only;
};

static const char *const ours_audiences[] = { "kubectl", OURS }; /* its own URL is listed by mistake */
static const char *const other_audiences[] = { "other-client" };

static inline void
fill_policy(struct proxyd_jwt *jwt, const char *issuer, const char *const *audiences, size_t n)
{
	jwt->policy = (struct id_token_policy){ .issuer = issuer, .audiences = audiences, .audience_n = n, .username_prefix = "", .groups_claim = "groups",
		.groups_prefix = "oidc:", .token_bytes_max = 8192, .skew_s = SKEW, .how = IDENTITY_JWT };
}

static inline void
add_key(struct buf *jwks, EVP_PKEY *key, const char *kid)
{
	if (jwks->n)
		buf_add_char(jwks, ',');
	assert_int_equal(jwk_print_public(key, JWS_ES256, slice_str(kid), jwks), OK);
}

/* Publish the keys of the first issuer that are named by bits, and keys[2] for the second unless it is to have none. */
static inline void
publish(struct fixture *x, unsigned ours, bool other)
{
	struct buf mine, theirs;
	struct keycache_entry entries[2];
	char text[2][2000];
	int n[2];

	buf_init(&mine, 0);
	buf_init(&theirs, 0);
	if (ours & 1)
		add_key(&mine, x->keys[0], "k0");
	if (ours & 2)
		add_key(&mine, x->keys[1], "k1");
	add_key(&theirs, x->keys[2], "k2");
	n[0] = snprintf(text[0], sizeof(text[0]), "{\"keys\":[%s]}", mine.p ? mine.p : "");
	n[1] = snprintf(text[1], sizeof(text[1]), "{\"keys\":[%s]}", theirs.p);
	entries[0] = (struct keycache_entry){ SLICE_LIT(OURS), slice_of(text[0], (size_t)n[0]) };
	entries[1] = (struct keycache_entry){ SLICE_LIT(OTHER), slice_of(text[1], (size_t)n[1]) };
	assert_int_equal(keycache_publish(x->writer, entries, other ? 2 : 1), OK);
	buf_fini(&mine);
	buf_fini(&theirs);
}

static inline void
give_keycache(struct fixture *x)
{
	struct keycache *reader;

	assert_int_equal(keycache_open(x->fd, &reader), OK);
	authenticator_set_keycache(x->a, reader);
}

static EVP_PKEY *shared_keys[3]; /* made once */

static inline int
setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	for (size_t i = 0; i < COUNT(shared_keys); i++) {
		if (!shared_keys[i])
			shared_keys[i] = token_key("P-256");
		x->keys[i] = shared_keys[i];
	}
	fill_policy(&x->jwt[0], OURS, ours_audiences, 2);
	fill_policy(&x->jwt[1], OTHER, other_audiences, 1);
	x->config.authentication.jwt.items = x->jwt;
	x->config.authentication.jwt.n = 2;
	x->config.authentication.session.cookie_name = "s";
	x->config.session_jwt = &x->jwt[0];
	x->config.revocations_jwt = &x->jwt[0];
	x->config.limits.token_bytes = 8192;
	x->config.limits.identities = 64;
	clock_fixed_init(&x->clock, NOW);
	assert_int_equal(keycache_create(&x->writer, &x->fd), OK);
	x->a = authenticator_new(&x->config, &x->clock.clock);
	assert_non_null(x->a);
	*state = x;
	return 0;
}

static inline int
setup_with_keycache(void **state)
{
	setup(state);
	give_keycache(*state);
	return 0;
}

static inline int
setup_with_keys(void **state)
{
	setup(state);
	publish(*state, 1, true);
	give_keycache(*state);
	return 0;
}

static inline int
teardown(void **state)
{
	struct fixture *x = *state;

	principal_unref(x->p);
	authenticator_free(x->a);
	keycache_close(x->writer);
	close(x->fd);
	free(x);
	return 0;
}

struct claims {
	const char *iss, *aud, *sub;
	int64_t exp, nbf;
	unsigned key;
};

static inline const char *
token(struct fixture *x, struct claims c)
{
	static char text[4][4000]; /* a test holds some at a time */
	static unsigned turn;
	char header[100], payload[1000];
	struct buf out;

	buf_init(&out, 0);
	int h = snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"k%u\"}", c.key);
	int n = snprintf(payload, sizeof(payload),
		"{\"iss\":\"%s\",\"aud\":\"%s\",\"sub\":\"%s\",\"exp\":%lld,\"iat\":%d,\"nbf\":%lld,\"groups\":[\"dev\",\"ops\"],\"jti\":\"j\",\"sid\":\"sid-1\"}",
		c.iss ? c.iss : OURS, c.aud ? c.aud : "kubectl", c.sub ? c.sub : "jane", (long long)(c.exp ? c.exp : NOW + 3600), NOW,
		(long long)(c.nbf ? c.nbf : NOW));
	token_sign(&out, x->keys[c.key], JWS_ES256, slice_of(header, (size_t)h), slice_of(payload, (size_t)n));
	char *to = text[turn++ % 4];
	snprintf(to, sizeof(text[0]), "%s", out.p);
	buf_fini(&out);
	return to;
}

/* A request with these lines; what comes out of it stands in x->p and x->why. */
static inline enum authentication
ask_as(struct fixture *x, const char *method, const char *lines)
{
	const struct caller caller = { .known_only = x->known_only };
	static struct parsed parsed;
	static char text[50000];
	int n = snprintf(text, sizeof(text), "%s /api HTTP/1.1\r\nHost: gw.example\r\n%s\r\n", method, lines);

	assert_int_equal(feed(slice_of(text, (size_t)n), true, METHOD_OTHER, false, &parsed), HTTP_OK);
	principal_unref(x->p);
	return authenticate(x->a, &parsed.head, &caller, &x->p, &x->why);
}

static inline enum authentication
bearer(struct fixture *x, const char *token_text)
{
	static char line[10000];

	snprintf(line, sizeof(line), "Authorization: Bearer %s\r\n", token_text);
	return ask_as(x, "POST", line);
}

static inline struct authenticator_stats
stats(const struct fixture *x)
{
	struct authenticator_stats s;
	authenticator_stats(x->a, &s);
	return s;
}

static inline enum authentication
session(struct fixture *x, const char *cookie, const char *jwt, int refresh_after_s)
{
	principal_unref(x->p);
	return authenticator_session(x->a, slice_str(cookie), slice_str(jwt), SLICE_NONE, refresh_after_s, &x->p, &x->why);
}

#define WITH_KEYS(f) cmocka_unit_test_setup_teardown(f, setup_with_keys, teardown)

static inline int
forget_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(shared_keys); i++) {
		EVP_PKEY_free(shared_keys[i]);
		shared_keys[i] = NULL;
	}
	return 0;
}

#endif
