#include "http_cases.h"
#include <fcntl.h>
#include <openssl/err.h>
#include <unistd.h>
#include "failing_malloc.h"
#include "oidc/base64url.h"
#include "proxyd/authenticator.h"
#include "proxyd/identity_table.h"
#include "shared/sealed.h"
#include "tokens.h"

#define NOW 1800000000
#define SKEW 5
#define OURS "https://gw.example/oidc"
#define OTHER "https://other.example"

/* An authenticator that trusts two issuers; the first one has sessions. Tests sign with whichever key they like. */
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

static void
fill_policy(struct proxyd_jwt *jwt, const char *issuer, const char *const *audiences, size_t n)
{
	jwt->policy = (struct id_token_policy){ .issuer = issuer, .audiences = audiences, .audience_n = n, .username_prefix = "", .groups_claim = "groups",
		.groups_prefix = "oidc:", .token_bytes_max = 8192, .skew_s = SKEW, .how = IDENTITY_JWT };
}

static void
add_key(struct buf *jwks, EVP_PKEY *key, const char *kid)
{
	if (jwks->n)
		buf_add_char(jwks, ',');
	assert_int_equal(jwk_print_public(key, JWS_ES256, slice_str(kid), jwks), OK);
}

/* Publish the keys of the first issuer that are named by bits, and keys[2] for the second unless it is to have none. */
static void
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

static void
give_keycache(struct fixture *x)
{
	struct keycache *reader;

	assert_int_equal(keycache_open(x->fd, &reader), OK);
	authenticator_set_keycache(x->a, reader);
}

static EVP_PKEY *shared_keys[3]; /* made once */

static int
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

static int
setup_with_keycache(void **state)
{
	setup(state);
	give_keycache(*state);
	return 0;
}

static int
setup_with_keys(void **state)
{
	setup(state);
	publish(*state, 1, true);
	give_keycache(*state);
	return 0;
}

static int
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

static const char *
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
static enum authentication
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

static enum authentication
bearer(struct fixture *x, const char *token_text)
{
	static char line[10000];

	snprintf(line, sizeof(line), "Authorization: Bearer %s\r\n", token_text);
	return ask_as(x, "POST", line);
}

static struct authenticator_stats
stats(const struct fixture *x)
{
	struct authenticator_stats s;
	authenticator_stats(x->a, &s);
	return s;
}

static enum authentication
session(struct fixture *x, const char *cookie, const char *jwt, int refresh_after_s)
{
	principal_unref(x->p);
	return authenticator_session(x->a, slice_str(cookie), slice_str(jwt), SLICE_NONE, refresh_after_s, &x->p, &x->why);
}

static void
token_is_verified_once_and_then_remembered(void **state)
{
	struct fixture *x = *state;
	const char *t = token(x, (struct claims){ 0 });

	for (int i = 0; i < 5; i++) {
		assert_int_equal(bearer(x, t), AUTHENTICATED);
		assert_true(slice_eq_str(x->p->identity.username, "jane"));
	}
	assert_int_equal(stats(x).signatures, 1);
	assert_int_equal(stats(x).misses, 1);
	assert_int_equal(stats(x).hits, 4);
	assert_int_equal(stats(x).entries, 1);
	assert_int_equal(x->p->identity.how, IDENTITY_JWT);
	assert_int_equal(x->p->expires_at, NOW + 3600 + SKEW);
	assert_true(slice_eq_str(x->p->identity.issuer, OURS));
	assert_true(slice_eq_str(x->p->identity.sid, "sid-1"));
	assert_int_equal(x->p->identity.group_n, 2);
	assert_true(slice_eq_str(x->p->identity.extra[0].values[0], "JTI=j"));
	assert_true(slice_eq_str(x->p->headers,
		"Impersonate-User: jane\r\nImpersonate-Group: oidc:dev\r\nImpersonate-Group: oidc:ops\r\nImpersonate-Group: system:authenticated\r\n"
		"Impersonate-Extra-authentication.kubernetes.io%2Fcredential-id: JTI=j\r\n"));
}

/* For addresses that have sent too much garbage: no signature is looked at, nobody is asked. */
static void
only_who_is_known_gets_in_where_new_credentials_have_to_wait(void **state)
{
	struct fixture *x = *state;
	const char *jane = token(x, (struct claims){ 0 }), *joe = token(x, (struct claims){ .sub = "joe" });

	assert_int_equal(bearer(x, jane), AUTHENTICATED);
	assert_int_equal(session(x, "known", token(x, (struct claims){ .aud = OURS }), 0), AUTHENTICATED);
	struct authenticator_stats before = stats(x);
	x->known_only = true;
	assert_int_equal(bearer(x, jane), AUTHENTICATED);
	assert_int_equal(bearer(x, joe), AUTHENTICATION_LIMITED);
	assert_null(x->p);
	assert_int_equal(bearer(x, "no.such.token"), AUTHENTICATION_LIMITED);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=known\r\n"), AUTHENTICATED);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=unknown\r\n"), AUTHENTICATION_LIMITED);
	assert_int_equal(ask_as(x, "GET", ""), AUTHENTICATION_NONE);
	assert_int_equal(stats(x).signatures, before.signatures);
	assert_int_equal(stats(x).misses, before.misses);
	x->known_only = false;
	assert_int_equal(bearer(x, joe), AUTHENTICATED);
}

static void
two_tokens_never_share_an_entry(void **state)
{
	struct fixture *x = *state;
	const char *jane = token(x, (struct claims){ 0 }), *joe = token(x, (struct claims){ .sub = "joe" });

	assert_int_equal(bearer(x, jane), AUTHENTICATED);
	assert_int_equal(bearer(x, joe), AUTHENTICATED);
	assert_true(slice_eq_str(x->p->identity.username, "joe"));
	assert_int_equal(bearer(x, jane), AUTHENTICATED);
	assert_true(slice_eq_str(x->p->identity.username, "jane"));
	/* Nor is a token known as a cookie, or the reverse. */
	char line[5000];
	snprintf(line, sizeof(line), "Cookie: s=%s\r\n", "short");
	assert_int_equal(session(x, "short", token(x, (struct claims){ .aud = OURS }), 0), AUTHENTICATED);
	assert_int_equal(bearer(x, "short"), AUTHENTICATION_REFUSED);
	assert_int_equal(ask_as(x, "GET", line), AUTHENTICATED);
}

/* RFC 6750 section 2.1 */
static void
only_the_bearer_scheme_counts_in_any_case(void **state)
{
	struct fixture *x = *state;
	static const char *const refused[] = { "Bearer", "Bearer ", "Basic %s", "%s", "Bearer%s", "Bearer %s x", "Bearer\t%s", "Bearer x %s", "Bearer a\t%s",
		"Token %s", "Bearer \"%s\"" };
	static const char *const taken[] = { "Bearer %s", "bearer %s", "BEARER %s", "Bearer   %s" };
	const char *t = token(x, (struct claims){ 0 });
	char line[5000];

	for (size_t i = 0; i < COUNT(refused); i++) {
		size_t n = (size_t)snprintf(line, sizeof(line), "Authorization: ");
		const char *mark = strstr(refused[i], "%s");
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%.*s%s%s", mark ? (int)(mark - refused[i]) : (int)strlen(refused[i]), refused[i],
			mark ? t : "", mark ? mark + 2 : "");
		snprintf(line + n, sizeof(line) - n, "\r\n");
		if (ask_as(x, "GET", line) != AUTHENTICATION_REFUSED)
			fail_msg("%s", refused[i]);
		assert_null(x->p);
		assert_non_null(x->why);
	}
	for (size_t i = 0; i < COUNT(taken); i++) {
		const char *mark = strstr(taken[i], "%s");
		snprintf(line, sizeof(line), "Authorization: %.*s%s\r\n", (int)(mark - taken[i]), taken[i], t);
		assert_int_equal(ask_as(x, "GET", line), AUTHENTICATED);
	}
}

static void
request_without_a_credential_is_told_so(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(ask_as(x, "GET", ""), AUTHENTICATION_NONE);
	assert_int_equal(ask_as(x, "GET", "Cookie: other=1\r\n"), AUTHENTICATION_NONE);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=\r\n"), AUTHENTICATION_NONE);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=1; s=2\r\n"), AUTHENTICATION_NONE); /* neither counts */
	x->config.session_jwt = NULL;
	x->config.revocations_jwt = NULL;
	assert_int_equal(ask_as(x, "GET", "Cookie: s=1\r\n"), AUTHENTICATION_NONE);
}

static void
bad_tokens_are_refused_whatever_is_wrong(void **state)
{
	struct fixture *x = *state;
	const struct claims bad[] = { { .aud = "other-client" }, { .iss = "https://unknown.example" }, { .iss = OTHER, .aud = "kubectl", .key = 2 },
		{ .iss = OTHER, .aud = "other-client", .key = 0 }, { .exp = NOW - SKEW }, { .sub = "system:admin" }, { .iss = OURS "/" }, { .aud = OURS } };
	static char long_one[9000];

	for (size_t i = 0; i < COUNT(bad); i++) {
		if (bearer(x, token(x, bad[i])) != AUTHENTICATION_REFUSED)
			fail_msg("%zu", i);
		assert_null(x->p);
	}
	assert_int_equal(bearer(x, "garbage"), AUTHENTICATION_REFUSED);
	assert_int_equal(bearer(x, "a.b.c"), AUTHENTICATION_REFUSED);
	memset(long_one, 'a', 8193);
	assert_int_equal(bearer(x, long_one), AUTHENTICATION_REFUSED);
	assert_int_equal(stats(x).entries, 0);
	assert_int_equal(stats(x).refused, COUNT(bad) + 3);
	assert_int_equal(bearer(x, token(x, (struct claims){ .iss = OTHER, .aud = "other-client", .key = 2 })), AUTHENTICATED);
}

static void
repeated_garbage_costs_no_signature_check(void **state)
{
	struct fixture *x = *state;
	const char *t = token(x, (struct claims){ .aud = "nobody" });

	assert_int_equal(bearer(x, t), AUTHENTICATION_REFUSED);
	const char *why = x->why;
	uint64_t signatures = stats(x).signatures;
	assert_int_equal(signatures, 1);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(bearer(x, t), AUTHENTICATION_REFUSED);
		assert_ptr_equal(x->why, why);
	}
	assert_int_equal(stats(x).signatures, signatures);
	assert_int_equal(stats(x).refused, 11);
	clock_fixed_advance(&x->clock, REFUSAL_LIFETIME_S);
	assert_int_equal(bearer(x, t), AUTHENTICATION_REFUSED);
	assert_int_equal(stats(x).signatures, signatures + 1);
}

static void
misses_never_evict_a_good_entry(void **state)
{
	struct fixture *x = *state;
	const char *t = token(x, (struct claims){ 0 });
	char garbage[100], line[150];

	assert_int_equal(bearer(x, t), AUTHENTICATED);
	for (int i = 0; i < 5000; i++) {
		snprintf(garbage, sizeof(garbage), "e30.e30.%d", i);
		assert_int_equal(bearer(x, garbage), AUTHENTICATION_REFUSED);
		snprintf(line, sizeof(line), "Cookie: s=%d\r\n", i);
		assert_int_equal(ask_as(x, "GET", line), AUTHENTICATION_ASK_SESSION);
		authenticator_session_gone(x->a, slice_of(line + 10, strlen(line) - 12));
	}
	assert_int_equal(stats(x).entries, 1);
	uint64_t hits = stats(x).hits;
	assert_int_equal(bearer(x, t), AUTHENTICATED);
	assert_int_equal(stats(x).hits, hits + 1);
	assert_int_equal(stats(x).signatures, 1);
}

static void
remembered_token_ends_with_its_exp_and_the_skew(void **state)
{
	struct fixture *x = *state;
	const char *t = token(x, (struct claims){ .exp = NOW + 100 });

	assert_int_equal(bearer(x, t), AUTHENTICATED);
	clock_fixed_advance(&x->clock, 100 + SKEW - 1);
	assert_int_equal(bearer(x, t), AUTHENTICATED);
	clock_fixed_advance(&x->clock, 1);
	assert_int_equal(bearer(x, t), AUTHENTICATION_REFUSED);
	assert_int_equal(stats(x).entries, 0);
	assert_null(x->p);
}

static void
token_that_is_not_valid_yet_is_not_held_against_it_later(void **state)
{
	struct fixture *x = *state;
	const char *t = token(x, (struct claims){ .nbf = NOW + SKEW + 1 });

	assert_int_equal(bearer(x, t), AUTHENTICATION_REFUSED);
	clock_fixed_advance(&x->clock, 1);
	assert_int_equal(bearer(x, t), AUTHENTICATED);
}

static void
without_keys_nobody_is_called_a_liar(void **state)
{
	struct fixture *x = *state;
	const char *t = token(x, (struct claims){ 0 });

	assert_int_equal(bearer(x, t), AUTHENTICATION_UNAVAILABLE);
	assert_null(x->p);
	assert_true(authenticator_wants_keys(x->a));
	assert_false(authenticator_wants_keys(x->a));
	assert_int_equal(session(x, "c", t, 0), AUTHENTICATION_UNAVAILABLE);
	assert_int_equal(bearer(x, "garbage"), AUTHENTICATION_REFUSED);
	authenticator_wants_keys(x->a);
	assert_int_equal(bearer(x, "garbage2"), AUTHENTICATION_REFUSED);
	assert_false(authenticator_wants_keys(x->a)); /* garbage names no key */
	give_keycache(x);
	assert_int_equal(bearer(x, t), AUTHENTICATION_UNAVAILABLE); /* a cache in which nothing is published */
	publish(x, 1, false);
	assert_int_equal(bearer(x, t), AUTHENTICATED);
	assert_int_equal(bearer(x, token(x, (struct claims){ .iss = OTHER, .aud = "other-client", .key = 2 })), AUTHENTICATION_UNAVAILABLE);
}

static void
unknown_key_is_asked_for_and_taken_as_soon_as_it_comes(void **state)
{
	struct fixture *x = *state;
	const char *t = token(x, (struct claims){ .key = 1 });

	assert_int_equal(bearer(x, token(x, (struct claims){ 0 })), AUTHENTICATED);
	assert_false(authenticator_wants_keys(x->a));
	assert_int_equal(bearer(x, t), AUTHENTICATION_REFUSED);
	assert_true(authenticator_wants_keys(x->a));
	assert_int_equal(bearer(x, t), AUTHENTICATION_REFUSED); /* remembered, and still wanted */
	assert_true(authenticator_wants_keys(x->a));
	publish(x, 3, true);
	assert_int_equal(bearer(x, t), AUTHENTICATED);
}

static void
key_that_is_gone_ends_what_it_has_signed(void **state)
{
	struct fixture *x = *state;
	const char *old = token(x, (struct claims){ 0 }), *other = token(x, (struct claims){ .iss = OTHER, .aud = "other-client", .key = 2 });

	assert_int_equal(bearer(x, old), AUTHENTICATED);
	assert_int_equal(bearer(x, other), AUTHENTICATED);
	assert_int_equal(stats(x).signatures, 2);
	publish(x, 3, true); /* rotation: the old key still verifies */
	assert_int_equal(bearer(x, old), AUTHENTICATED);
	assert_int_equal(bearer(x, old), AUTHENTICATED);
	assert_int_equal(bearer(x, other), AUTHENTICATED);
	assert_int_equal(stats(x).signatures, 3); /* verified again once, and only what belongs to the issuer whose keys changed */
	publish(x, 2, true);
	assert_int_equal(bearer(x, old), AUTHENTICATION_REFUSED);
	assert_int_equal(bearer(x, other), AUTHENTICATED);
	assert_int_equal(stats(x).entries, 1);
}

static void
unusable_keys_leave_the_last_good_ones(void **state)
{
	struct fixture *x = *state;
	static const char *const bad[] = { "", "{}", "{\"keys\":[]}", "not json" };

	log_set_fd(open("/dev/null", O_WRONLY));
	assert_int_equal(bearer(x, token(x, (struct claims){ 0 })), AUTHENTICATED);
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct keycache_entry e = { SLICE_LIT(OURS), slice_str(bad[i]) };
		assert_int_equal(keycache_publish(x->writer, &e, 1), OK);
		assert_int_equal(bearer(x, token(x, (struct claims){ 0 })), AUTHENTICATED);
	}
	assert_int_equal(keycache_publish(x->writer, NULL, 0), OK);
	assert_int_equal(bearer(x, token(x, (struct claims){ 0 })), AUTHENTICATED);
	log_set_fd(2);
}

/* What a captured keeper could hand out: readers believe nothing of it. */
static void
damaged_key_cache_is_reported_once_and_the_keys_stay(void **state)
{
	struct fixture *x = *state;
	const size_t slot = sizeof(uint64_t) + KEYCACHE_SLOT_BYTES_MAX, bytes = 2 * sizeof(uint64_t) + 2 * slot + sizeof(struct revoked_region);
	uint64_t *words;
	void *p;
	int fd, lines[2];
	char text[1000];

	assert_int_equal(bearer(x, token(x, (struct claims){ 0 })), AUTHENTICATED);
	keycache_close(x->writer);
	close(x->fd);
	assert_int_equal(keycache_create(&x->writer, &x->fd), OK);
	struct keycache *empty;
	assert_int_equal(keycache_open(x->fd, &empty), OK);
	authenticator_set_keycache(x->a, empty);
	assert_int_equal(sealed_create("damaged", bytes, &fd, &p), OK);
	words = p;
	words[0] = 0x3230736579656b67u; /* "gkeyes02" */
	words[1] = 2;                   /* generation: the first slot */
	words[2] = UINT64_MAX;          /* its length */
	struct keycache *damaged;
	assert_int_equal(keycache_open(fd, &damaged), OK);
	authenticator_set_keycache(x->a, damaged);
	assert_int_equal(pipe(lines), 0);
	log_set_fd(lines[1]);
	for (int i = 0; i < 3; i++)
		assert_int_equal(bearer(x, token(x, (struct claims){ 0 })), AUTHENTICATED);
	log_set_fd(2);
	close(lines[1]);
	ssize_t n = read(lines[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, "E_FORMAT"));
	assert_ptr_equal(strchr(text, '\n'), text + n - 1); /* one line */
	close(lines[0]);
	close(fd);
	sealed_unmap(p, bytes);
}

static void
keys_of_a_stranger_are_passed_over(void **state)
{
	struct fixture *x = *state;
	struct keycache_entry e = { SLICE_LIT("https://stranger.example"), SLICE_LIT("{}") };

	assert_int_equal(keycache_publish(x->writer, &e, 1), OK);
	assert_int_equal(bearer(x, token(x, (struct claims){ 0 })), AUTHENTICATION_UNAVAILABLE);
}

static void
single_issuer_needs_no_look_at_the_claims(void **state)
{
	struct fixture *x = *state;

	authenticator_free(x->a);
	x->config.authentication.jwt.n = 1;
	x->a = authenticator_new(&x->config, &x->clock.clock);
	assert_non_null(x->a);
	publish(x, 1, true);
	give_keycache(x);
	assert_int_equal(bearer(x, token(x, (struct claims){ 0 })), AUTHENTICATED);
	assert_int_equal(bearer(x, token(x, (struct claims){ .iss = OTHER, .aud = "other-client" })), AUTHENTICATION_REFUSED);
	assert_string_equal(x->why, "wrong_issuer");
}

/* A new keeper brings a new mapping whose generations begin again. */
static void
new_key_cache_is_read_whatever_its_generation(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(bearer(x, token(x, (struct claims){ .key = 1 })), AUTHENTICATION_REFUSED);
	keycache_close(x->writer);
	close(x->fd);
	assert_int_equal(keycache_create(&x->writer, &x->fd), OK);
	publish(x, 2, true);
	give_keycache(x);
	assert_int_equal(bearer(x, token(x, (struct claims){ .key = 1 })), AUTHENTICATED);
	assert_int_equal(bearer(x, token(x, (struct claims){ .key = 0 })), AUTHENTICATION_REFUSED);
}

static void
table_is_bounded_and_gives_up_what_was_used_least_recently(void **state)
{
	struct fixture *x = *state;
	static char kept[4000];

	snprintf(kept, sizeof(kept), "%s", token(x, (struct claims){ 0 }));
	for (int i = 0; i < 300; i++) {
		char sub[20];
		snprintf(sub, sizeof(sub), "user-%d", i);
		assert_int_equal(bearer(x, token(x, (struct claims){ .sub = sub })), AUTHENTICATED);
		assert_int_equal(bearer(x, kept), AUTHENTICATED);
	}
	assert_true(stats(x).entries <= 64);
	assert_true(stats(x).entries > 32);
	assert_int_equal(stats(x).signatures, 301); /* the one in use was never given up */
}

static void
expired_entry_is_given_up_before_any_good_one(void **state)
{
	struct identity_table t;
	struct principal p[IDENTITY_TABLE_WAYS + 1];
	unsigned char digest[CREDENTIAL_DIGEST_BYTES] = { 0 };

	(void)state;
	assert_int_equal(identity_table_init(&t, 1), OK);
	for (size_t i = 0; i <= IDENTITY_TABLE_WAYS; i++) {
		p[i] = (struct principal){ .refs = 2, .expires_at = i == 5 ? 10 : 1000 };
		digest[31] = (unsigned char)i;
		identity_table_put(&t, digest, &p[i], 50);
	}
	assert_int_equal(t.n, IDENTITY_TABLE_WAYS);
	for (size_t i = 0; i <= IDENTITY_TABLE_WAYS; i++) {
		digest[31] = (unsigned char)i;
		struct identity_entry *e = identity_table_find(&t, digest);
		assert_int_equal(e != NULL, i != 5);
		if (e)
			assert_ptr_equal(e->principal, &p[i]);
	}
	assert_int_equal(p[5].refs, 1);
	identity_table_fini(&t);
	assert_int_equal(p[0].refs, 1);
}

static void
principal_outlives_the_table(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(bearer(x, token(x, (struct claims){ 0 })), AUTHENTICATED);
	authenticator_free(x->a);
	x->a = NULL;
	assert_int_equal(x->p->refs, 1);
	assert_true(slice_eq_str(x->p->identity.groups[1], "oidc:ops"));
	assert_true(slice_has_prefix(x->p->headers, SLICE_LIT("Impersonate-User: jane\r\n")));
	principal_ref(x->p);
	principal_unref(x->p);
	principal_unref(NULL);
}

/* Sessions */
static void
cookie_is_asked_for_once_and_then_remembered(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(ask_as(x, "GET", "Cookie: s=secret\r\n"), AUTHENTICATION_ASK_SESSION);
	assert_null(x->p);
	assert_int_equal(session(x, "secret", token(x, (struct claims){ .aud = OURS }), 60), AUTHENTICATED);
	assert_int_equal(x->p->identity.how, IDENTITY_SESSION);
	assert_int_equal(x->p->refresh_at, NOW + 60);
	assert_int_equal(ask_as(x, "GET", "Cookie: a=b; s=secret\r\n"), AUTHENTICATED);
	assert_true(slice_eq_str(x->p->identity.username, "jane"));
	assert_int_equal(stats(x).signatures, 1);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=secret2\r\n"), AUTHENTICATION_ASK_SESSION);
}

static void
session_that_is_due_is_asked_about_by_one_request_at_a_time(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(session(x, "c", token(x, (struct claims){ .aud = OURS }), 60), AUTHENTICATED);
	clock_fixed_advance(&x->clock, 60);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=c\r\n"), AUTHENTICATION_ASK_SESSION);
	assert_non_null(x->p); /* goes on with this one when authd does not answer */
	assert_int_equal(ask_as(x, "GET", "Cookie: s=c\r\n"), AUTHENTICATED);
	clock_fixed_advance(&x->clock, 2);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=c\r\n"), AUTHENTICATION_ASK_SESSION);
	assert_int_equal(session(x, "c", token(x, (struct claims){ .aud = OURS, .sub = "jane2" }), 60), AUTHENTICATED);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=c\r\n"), AUTHENTICATED);
	assert_true(slice_eq_str(x->p->identity.username, "jane2"));
	assert_int_equal(stats(x).entries, 1);
	clock_fixed_advance(&x->clock, 3600 + SKEW);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=c\r\n"), AUTHENTICATION_ASK_SESSION);
	assert_null(x->p); /* over: there is nothing to go on with */
}

static void
end_session(struct fixture *x, const char *sid)
{
	struct revoked_entry e = { .until = NOW + 7200 };

	assert_int_equal(revoked_digest(slice_str(sid), e.digest), OK);
	revoked_publish(keycache_revoked_writable(x->writer), &e, 1);
}

static void
session_that_has_ended_takes_its_cookie_and_all_its_tokens_with_it(void **state)
{
	struct fixture *x = *state;
	const char *remembered = token(x, (struct claims){ 0 }), *fresh = token(x, (struct claims){ .sub = "jane2" });
	const char *others = token(x, (struct claims){ .iss = OTHER, .aud = "other-client", .key = 2 }), *newest = token(x, (struct claims){ .aud = OURS });

	assert_int_equal(bearer(x, remembered), AUTHENTICATED);
	assert_int_equal(bearer(x, others), AUTHENTICATED);
	assert_int_equal(session(x, "c", newest, 60), AUTHENTICATED);
	end_session(x, "sid-2");
	assert_int_equal(bearer(x, remembered), AUTHENTICATED);
	assert_int_equal(stats(x).signatures, 3); /* looked up, not verified again */
	end_session(x, "sid-1");
	assert_int_equal(bearer(x, remembered), AUTHENTICATION_REFUSED);
	assert_string_equal(x->why, "its session has ended");
	assert_int_equal(bearer(x, remembered), AUTHENTICATION_REFUSED);
	assert_int_equal(bearer(x, fresh), AUTHENTICATION_REFUSED);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=c\r\n"), AUTHENTICATION_ASK_SESSION);
	assert_null(x->p);
	assert_int_equal(session(x, "c", newest, 60), AUTHENTICATION_REFUSED);
	assert_int_equal(bearer(x, others), AUTHENTICATED); /* another issuer's sid is another session */
}

static void
another_mapping_is_looked_at_anew(void **state)
{
	struct fixture *x = *state;
	const char *t = token(x, (struct claims){ 0 });

	assert_int_equal(bearer(x, t), AUTHENTICATED);
	end_session(x, "sid-2");
	assert_int_equal(bearer(x, t), AUTHENTICATED);
	keycache_close(x->writer);
	close(x->fd);
	assert_int_equal(keycache_create(&x->writer, &x->fd), OK);
	publish(x, 1, true);
	end_session(x, "sid-1"); /* generation 1, as the last mapping's was */
	give_keycache(x);
	assert_int_equal(bearer(x, t), AUTHENTICATION_REFUSED);
}

static void
session_that_is_gone_is_forgotten(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(session(x, "c", token(x, (struct claims){ .aud = OURS }), 60), AUTHENTICATED);
	authenticator_session_gone(x->a, SLICE_LIT("c"));
	assert_int_equal(stats(x).entries, 0);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=c\r\n"), AUTHENTICATION_NONE);
	clock_fixed_advance(&x->clock, REFUSAL_LIFETIME_S);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=c\r\n"), AUTHENTICATION_ASK_SESSION);
}

static void
id_token_is_no_session_and_session_token_is_no_bearer(void **state)
{
	struct fixture *x = *state;
	const char *for_a_client = token(x, (struct claims){ 0 }), *for_a_session = token(x, (struct claims){ .aud = OURS });

	assert_int_equal(session(x, "c", for_a_client, 60), AUTHENTICATION_REFUSED);
	assert_null(x->p);
	assert_int_equal(session(x, "c", token(x, (struct claims){ .iss = OTHER, .aud = OTHER, .key = 2 }), 60), AUTHENTICATION_REFUSED);
	assert_int_equal(session(x, "c", "garbage", 60), AUTHENTICATION_REFUSED);
	assert_int_equal(stats(x).entries, 0);
	assert_int_equal(bearer(x, for_a_session), AUTHENTICATION_REFUSED); /* although the configuration lists that audience */
	assert_int_equal(session(x, "c", for_a_session, 60), AUTHENTICATED);
}

static void
session_lives_through_a_rotation_without_asking(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(session(x, "c", token(x, (struct claims){ .aud = OURS }), 0), AUTHENTICATED);
	publish(x, 3, true);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=c\r\n"), AUTHENTICATED);
	assert_int_equal(stats(x).signatures, 2);
	publish(x, 2, true);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=c\r\n"), AUTHENTICATION_ASK_SESSION);
	assert_null(x->p);
}

static void
without_an_issuer_of_sessions_there_are_none(void **state)
{
	struct fixture *x = *state;

	authenticator_free(x->a);
	x->config.session_jwt = NULL;
	x->config.revocations_jwt = NULL;
	x->a = authenticator_new(&x->config, &x->clock.clock);
	assert_non_null(x->a);
	give_keycache(x);
	assert_int_equal(session(x, "c", token(x, (struct claims){ .aud = OURS }), 60), AUTHENTICATION_REFUSED);
}

/* The browser sends its cookie with what another site made it do. */
static void
cookie_counts_for_writes_only_with_our_origin(void **state)
{
	struct fixture *x = *state;
	static const char *const foreign[] = { "", "Origin: null\r\n", "Origin: https://evil.example\r\n", "Origin: http://gw.example\r\n",
		"Origin: https://gw.example:444\r\n", "Origin: https://gw.example.evil\r\n", "Origin: https://\r\n" };
	static const char *const methods[] = { "POST", "PUT", "PATCH", "DELETE", "REPORT" };
	char lines[300];

	assert_int_equal(session(x, "c", token(x, (struct claims){ .aud = OURS }), 60), AUTHENTICATED);
	for (size_t i = 0; i < COUNT(foreign); i++) {
		snprintf(lines, sizeof(lines), "Cookie: s=c\r\n%s", foreign[i]);
		for (size_t m = 0; m < COUNT(methods); m++)
			assert_int_equal(ask_as(x, methods[m], lines), AUTHENTICATION_REFUSED);
		assert_int_equal(ask_as(x, "GET", lines), AUTHENTICATED);
		assert_int_equal(ask_as(x, "HEAD", lines), AUTHENTICATED);
		assert_int_equal(ask_as(x, "OPTIONS", lines), AUTHENTICATED);
		snprintf(lines, sizeof(lines), "Cookie: s=c\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n%s", foreign[i]);
		assert_int_equal(ask_as(x, "GET", lines), AUTHENTICATION_REFUSED);
	}
	assert_int_equal(ask_as(x, "POST", "Cookie: s=c\r\nOrigin: https://GW.example\r\n"), AUTHENTICATED);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=c\r\nOrigin: https://gw.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"), AUTHENTICATED);
}

static void
long_cookie_is_not_carried_to_authd(void **state)
{
	struct fixture *x = *state;
	char lines[700] = "Cookie: s=";

	memset(lines + 10, 'a', 513);
	strcpy(lines + 523, "\r\n");
	assert_int_equal(ask_as(x, "GET", lines), AUTHENTICATION_REFUSED);
}

static void
bearer_token_wins_over_a_cookie(void **state)
{
	struct fixture *x = *state;
	char lines[5000];

	snprintf(lines, sizeof(lines), "Cookie: s=c\r\nAuthorization: Bearer %s\r\n", token(x, (struct claims){ 0 }));
	assert_int_equal(ask_as(x, "POST", lines), AUTHENTICATED);
	assert_int_equal(x->p->identity.how, IDENTITY_JWT);
	assert_int_equal(session(x, "c", token(x, (struct claims){ .aud = OURS }), 60), AUTHENTICATED);
	assert_int_equal(ask_as(x, "GET", "Cookie: s=c\r\nAuthorization: Bearer x\r\n"), AUTHENTICATION_REFUSED);
}

static void
token_among_websocket_protocols_is_a_bearer_token(void **state)
{
	struct fixture *x = *state;
	const char *t = token(x, (struct claims){ 0 });
	static char encoded[5000], lines[40000];

#define PROTOCOLS "Sec-WebSocket-Protocol: v5.channel.k8s.io, base64url.bearer.authorization.k8s.io."
	base64url_encode(t, strlen(t), encoded);
	snprintf(lines, sizeof(lines), PROTOCOLS "%s\r\n", encoded);
	assert_int_equal(ask_as(x, "GET", lines), AUTHENTICATED);
	assert_int_equal(bearer(x, t), AUTHENTICATED);
	assert_int_equal(stats(x).signatures, 1); /* the same credential */
	snprintf(lines, sizeof(lines), PROTOCOLS "%s\r\nAuthorization: Bearer %s\r\n", encoded, t);
	assert_int_equal(ask_as(x, "GET", lines), AUTHENTICATION_REFUSED);
	assert_int_equal(ask_as(x, "GET", PROTOCOLS "YWJj\r\n"), AUTHENTICATION_REFUSED);
	assert_int_equal(ask_as(x, "GET", PROTOCOLS "YWJj=\r\n"), AUTHENTICATION_REFUSED);
	assert_int_equal(ask_as(x, "GET", PROTOCOLS "\r\n"), AUTHENTICATION_REFUSED);
	snprintf(lines, sizeof(lines), PROTOCOLS "%s%s%s\r\n", encoded, encoded, encoded);
	assert_int_equal(ask_as(x, "GET", lines), AUTHENTICATION_REFUSED);
	size_t n = sizeof(PROTOCOLS) - 1;
	memcpy(lines, PROTOCOLS, n);
	memset(lines + n, 'A', 11000);
	strcpy(lines + n + 11000, "\r\n");
	assert_int_equal(ask_as(x, "GET", lines), AUTHENTICATION_REFUSED);
}

#if FAILING_MALLOC
static void
whole_or_nobody(const struct fixture *x, enum authentication v)
{
	if (v == AUTHENTICATED) {
		assert_true(slice_eq_str(x->p->identity.username, "jane"));
		assert_int_equal(x->p->identity.group_n, 2);
		assert_true(slice_has_suffix(x->p->headers, SLICE_LIT("credential-id: JTI=j\r\n")));
		return;
	}
	assert_true(v == AUTHENTICATION_UNAVAILABLE || v == AUTHENTICATION_REFUSED); /* libraries do not always say why they failed */
	assert_null(x->p);
}

/* Every allocation of a token's first sight fails in turn. */
static void
memory_that_runs_out_lets_nobody_in_and_loses_no_group(void **state)
{
	struct fixture *x = *state;
	const char *t = token(x, (struct claims){ 0 }), *s = token(x, (struct claims){ .aud = OURS }), *first = token(x, (struct claims){ .sub = "first" });
	unsigned failed = 0;
	bool hit = true;

	long live = failing_malloc_live;
	for (long n = 1; hit; n++) {
		authenticator_free(x->a);
		x->a = authenticator_new(&x->config, &x->clock.clock);
		assert_non_null(x->a);
		give_keycache(x);
		assert_int_equal(bearer(x, first), AUTHENTICATED);
		failing_malloc_arm(n, false);
		enum authentication v = bearer(x, t);
		hit = failing_malloc_disarm();
		assert_true(hit || v == AUTHENTICATED);
		whole_or_nobody(x, v);
		failed += v != AUTHENTICATED;
		assert_int_equal(ERR_peek_error(), 0);
		failing_malloc_arm(n, false);
		v = session(x, "c", s, 60);
		hit |= failing_malloc_disarm();
		whole_or_nobody(x, v);
		failed += v != AUTHENTICATED;
		assert_int_equal(ERR_peek_error(), 0); /* or the next SSL_read of an innocent connection would fail */
	}
	assert_true(failed > 100);
	principal_unref(x->p);
	x->p = NULL;
	authenticator_free(x->a);
	x->a = authenticator_new(&x->config, &x->clock.clock);
	assert_true(failing_malloc_live - live < 20); /* OpenSSL keeps a text for each of its 16 error slots; nothing per failure */
}

static void
authenticator_that_cannot_be_made_leaves_nothing(void **state)
{
	struct fixture *x = *state;
	bool hit = true;
	unsigned failed = 0;

	for (long n = 1; hit; n++) {
		long live = failing_malloc_live;
		failing_malloc_arm(n, false);
		struct authenticator *a = authenticator_new(&x->config, &x->clock.clock);
		hit = failing_malloc_disarm();
		failed += !a;
		authenticator_free(a);
		assert_true(failing_malloc_live - live < 3); /* the text of an error */
	}
	assert_true(failed > 4);
}

/* Keys that could not be taken for want of memory are taken with the next request, without a new publication. */
static void
keys_come_in_once_there_is_memory(void **state)
{
	struct fixture *x = *state;
	const char *t = token(x, (struct claims){ 0 });
	bool hit = true;

	log_set_fd(open("/dev/null", O_WRONLY));
	for (long n = 1; hit; n++) {
		authenticator_free(x->a);
		x->a = authenticator_new(&x->config, &x->clock.clock);
		assert_non_null(x->a);
		give_keycache(x);
		failing_malloc_arm(n, false);
		assert_int_equal(ask_as(x, "GET", ""), AUTHENTICATION_NONE);
		hit = failing_malloc_disarm();
		assert_int_equal(bearer(x, t), AUTHENTICATED);
	}
	log_set_fd(2);
}

/* The other credentials: no answer but these, and never a principal. */
static void
memory_that_runs_out_lets_no_cookie_and_no_subprotocol_in(void **state)
{
	struct fixture *x = *state;
	static char encoded[5000], lines[10000];
	const char *t = token(x, (struct claims){ 0 });
	bool hit = true;

	base64url_encode(t, strlen(t), encoded);
	snprintf(lines, sizeof(lines), PROTOCOLS "%s\r\n", encoded);
	log_set_fd(open("/dev/null", O_WRONLY));
	for (long n = 1; hit; n++) {
		failing_malloc_arm(n, false);
		enum authentication v = ask_as(x, "GET", lines);
		hit = failing_malloc_disarm();
		whole_or_nobody(x, v);
		failing_malloc_arm(n, false);
		v = ask_as(x, "GET", "Cookie: s=c\r\n");
		hit |= failing_malloc_disarm();
		assert_null(x->p);
		assert_true(v == AUTHENTICATION_ASK_SESSION || v == AUTHENTICATION_UNAVAILABLE);
	}
	log_set_fd(2);
}
#endif

int
main(void)
{
#define WITH_KEYS(f) cmocka_unit_test_setup_teardown(f, setup_with_keys, teardown)
	const struct CMUnitTest tests[] = {
		WITH_KEYS(token_is_verified_once_and_then_remembered),
		WITH_KEYS(only_who_is_known_gets_in_where_new_credentials_have_to_wait),
		WITH_KEYS(two_tokens_never_share_an_entry),
		WITH_KEYS(only_the_bearer_scheme_counts_in_any_case),
		WITH_KEYS(request_without_a_credential_is_told_so),
		WITH_KEYS(bad_tokens_are_refused_whatever_is_wrong),
		WITH_KEYS(repeated_garbage_costs_no_signature_check),
		WITH_KEYS(misses_never_evict_a_good_entry),
		WITH_KEYS(remembered_token_ends_with_its_exp_and_the_skew),
		WITH_KEYS(token_that_is_not_valid_yet_is_not_held_against_it_later),
		cmocka_unit_test_setup_teardown(without_keys_nobody_is_called_a_liar, setup, teardown),
		WITH_KEYS(unknown_key_is_asked_for_and_taken_as_soon_as_it_comes),
		WITH_KEYS(key_that_is_gone_ends_what_it_has_signed),
		WITH_KEYS(unusable_keys_leave_the_last_good_ones),
		WITH_KEYS(damaged_key_cache_is_reported_once_and_the_keys_stay),
		cmocka_unit_test_setup_teardown(keys_of_a_stranger_are_passed_over, setup_with_keycache, teardown),
		cmocka_unit_test_setup_teardown(single_issuer_needs_no_look_at_the_claims, setup, teardown),
		WITH_KEYS(new_key_cache_is_read_whatever_its_generation),
		WITH_KEYS(table_is_bounded_and_gives_up_what_was_used_least_recently),
		cmocka_unit_test(expired_entry_is_given_up_before_any_good_one),
		WITH_KEYS(principal_outlives_the_table),
		WITH_KEYS(cookie_is_asked_for_once_and_then_remembered),
		WITH_KEYS(session_that_is_due_is_asked_about_by_one_request_at_a_time),
		WITH_KEYS(session_that_has_ended_takes_its_cookie_and_all_its_tokens_with_it),
		WITH_KEYS(another_mapping_is_looked_at_anew),
		WITH_KEYS(session_that_is_gone_is_forgotten),
		WITH_KEYS(id_token_is_no_session_and_session_token_is_no_bearer),
		WITH_KEYS(session_lives_through_a_rotation_without_asking),
		WITH_KEYS(without_an_issuer_of_sessions_there_are_none),
		WITH_KEYS(cookie_counts_for_writes_only_with_our_origin),
		WITH_KEYS(long_cookie_is_not_carried_to_authd),
		WITH_KEYS(bearer_token_wins_over_a_cookie),
		WITH_KEYS(token_among_websocket_protocols_is_a_bearer_token),
#if FAILING_MALLOC
		WITH_KEYS(memory_that_runs_out_lets_nobody_in_and_loses_no_group),
		WITH_KEYS(keys_come_in_once_there_is_memory),
		WITH_KEYS(memory_that_runs_out_lets_no_cookie_and_no_subprotocol_in),
		WITH_KEYS(authenticator_that_cannot_be_made_leaves_nothing),
#endif
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	for (size_t i = 0; i < COUNT(shared_keys); i++)
		EVP_PKEY_free(shared_keys[i]);
	return failed;
}
