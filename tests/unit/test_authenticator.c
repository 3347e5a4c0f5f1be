/* Tokens of issuers: verified once, remembered for as long as they are good, and refused whatever is wrong with them. */
#include "authenticator_unit.h"

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

/* Half of what it takes in all: nothing is given up but where a set is full by chance, and what is there is found at every size. */
static void
table_grows_with_its_entries_and_loses_next_to_none(void **state)
{
	enum { MOST = 8192, N = MOST / 2 };
	static struct principal p[N];
	static unsigned char digests[N][CREDENTIAL_DIGEST_BYTES];
	struct identity_table t;
	size_t sets = 0, found = 0;

	(void)state;
	assert_int_equal(identity_table_init(&t, MOST), OK);
	assert_true(t.sets < t.sets_max);
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(EVP_Digest(&i, sizeof(i), digests[i], NULL, EVP_sha256(), NULL), 1);
		p[i] = (struct principal){ .refs = 2, .expires_at = 1000 };
		struct identity_entry *put = identity_table_put(&t, digests[i], &p[i], 50);
		assert_ptr_equal(identity_table_find(&t, digests[i]), put);
		assert_true(t.sets >= sets && t.sets <= sets + (i ? 1 : t.sets) && t.level <= t.sets && t.sets < 2 * t.level);
		sets = t.sets;
		if (i != 100 && i != 1000 && i != N - 1)
			continue;
		found = 0;
		for (uint32_t j = 0; j <= i; j++) {
			struct identity_entry *e = identity_table_find(&t, digests[j]);
			found += e && e->principal == &p[j] && p[j].refs == 2;
			assert_int_equal(p[j].refs, e ? 2 : 1);
		}
		assert_int_equal(found, t.n);
		assert_true(found > (i + 1) * 98 / 100);
	}
	assert_int_equal(t.sets, t.sets_max);
	identity_table_remove(&t, identity_table_find(&t, digests[N - 1]));
	assert_null(identity_table_find(&t, digests[N - 1]));
	assert_int_equal(t.n, found - 1);
	identity_table_fini(&t);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(p[i].refs, 1);
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

static void
token_among_websocket_protocols_is_a_bearer_token(void **state)
{
	struct fixture *x = *state;
	const char *t = token(x, (struct claims){ 0 });
	static char encoded[5000], lines[40000];

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

int
main(void)
{
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
		cmocka_unit_test(table_grows_with_its_entries_and_loses_next_to_none),
		WITH_KEYS(principal_outlives_the_table),
		WITH_KEYS(token_among_websocket_protocols_is_a_bearer_token),
	};
	return cmocka_run_group_tests(tests, NULL, forget_keys);
}
