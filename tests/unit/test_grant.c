#include <pthread.h>
#include "authd/grant.h"
#include "authd/session.h"
#include "oidc/pkce.h"
#include "tests/unit/records_unit.h"

#define CLIENT "cli"
#define REDIRECT "http://127.0.0.1:8000/cb"
#define VERIFIER "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" /* RFC 7636 appendix B */
#define CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
#define SID "sid1"

static struct authd_config config;
static struct authd_password password;
static struct generation generation;

static const struct record_user jane = { .connector_id = SLICE_LIT("local"), .user_id = SLICE_LIT("u1"), .username = SLICE_LIT("Jane"),
	.email = SLICE_LIT("jane@example.com") };

static int
begin(void **state)
{
	records_begin(state);
	password = (struct authd_password){ .email = "jane@example.com", .hash = "", .username = "jane", .user_id = "u1" };
	config = (struct authd_config){ .enable_password_db = true, .passwords = { &password, 1 } };
	config.expiry.refresh_tokens.reuse_interval_ms = 3000;
	generation = (struct generation){ .config = &config };
	return 0;
}

/* ---- codes ---- */

struct put {
	struct slice code;
	const char *scope;
};

static enum err
put_code(struct store_txn *t, void *arg)
{
	const struct put *p = arg;
	unsigned char hash[32];
	struct record_auth_request a = { .client_id = SLICE_LIT(CLIENT), .redirect_uri = SLICE_LIT(REDIRECT), .nonce = SLICE_LIT("n"),
		.scope = slice_str(p->scope), .code_challenge = SLICE_LIT(CHALLENGE), .pkce_method = PKCE_S256 };

	return grant_put_code(t, store_hash(p->code, hash), &a, &jane, 77, SLICE_LIT(SID), now_s());
}

static struct slice
code_issued(const char *scope)
{
	static int serial;
	struct put p = { slice_str(arena_printf(&arena, "code-%d", ++serial)), scope };

	assert_int_equal(store_write_wait(store, put_code, &p), OK);
	return p.code;
}

static struct grant_redemption
redemption(struct slice code)
{
	static int serial;

	return (struct grant_redemption){ .generation = &generation, .arena = &arena, .code = code, .client_id = SLICE_LIT(CLIENT),
		.redirect_uri = SLICE_LIT(REDIRECT), .verifier = SLICE_LIT(VERIFIER), .handle = slice_str(arena_printf(&arena, "handle-%d", ++serial)), .secret = SLICE_LIT("secret-0"),
		.chain_secret = SLICE_LIT("chain"), .offline = true, .now_s = now_s(), .access_expires_at = now_s() + 3600 };
}

static enum grant_verdict
redeem(struct grant_redemption *g)
{
	assert_int_equal(store_write_wait(store, grant_redeem_code, g), OK);
	return g->verdict;
}

static bool
grant_lives(struct slice id)
{
	struct grant g;
	enum err e = grant_find(store, id, &arena, &g);

	assert_true(e == OK || e == E_EMPTY);
	return e == OK;
}

static void
a_code_is_redeemed_once_with_what_it_was_issued_for(void **state)
{
	(void)state;
	struct grant_redemption g = redemption(code_issued("openid email"));

	assert_int_equal(redeem(&g), GRANT_OK);
	assert_true(slice_eq_str(g.record.nonce, "n"));
	assert_true(slice_eq_str(g.record.sid, SID));
	assert_int_equal(g.record.auth_time, 77);
	assert_int_equal(g.refresh_token.n, 0);
	assert_true(grant_lives(g.grant_id));
}

/* RFC 6749 4.1.2: the code MUST NOT be used more than once; tokens issued from it SHOULD be revoked. */
static void
a_code_used_again_ends_the_tokens_issued_from_it(void **state)
{
	(void)state;
	struct slice code = code_issued("openid offline_access");
	struct grant_redemption first = redemption(code), second = redemption(code), third = redemption(code);

	assert_int_equal(redeem(&first), GRANT_OK);
	assert_true(first.refresh_token.n > 0);
	assert_true(grant_lives(first.grant_id));
	second.secret = SLICE_LIT("other");
	assert_int_equal(redeem(&second), GRANT_REUSED);
	assert_false(grant_lives(first.grant_id));
	assert_int_equal(redeem(&third), GRANT_UNKNOWN);
}

static void
without_a_refresh_token_reuse_ends_the_access_token_too(void **state)
{
	(void)state;
	struct slice code = code_issued("openid");
	struct grant_redemption first = redemption(code), second = redemption(code);

	assert_int_equal(redeem(&first), GRANT_OK);
	assert_int_equal(redeem(&second), GRANT_REUSED);
	assert_false(grant_lives(first.grant_id));
}

static void
each_single_mismatch_refuses_and_leaves_the_code_usable(void **state)
{
	(void)state;
	struct slice code = code_issued("openid");
	struct grant_redemption g = redemption(code);

	g.client_id = SLICE_LIT("other");
	assert_int_equal(redeem(&g), GRANT_OTHER_CLIENT);
	g = redemption(code);
	g.redirect_uri = SLICE_LIT(REDIRECT "/");
	assert_int_equal(redeem(&g), GRANT_OTHER_REDIRECT);
	g = redemption(code);
	g.verifier = SLICE_NONE;
	assert_int_equal(redeem(&g), GRANT_PKCE);
	g = redemption(code);
	g.verifier = SLICE_LIT(CHALLENGE);
	assert_int_equal(redeem(&g), GRANT_PKCE);
	g = redemption(SLICE_LIT("never issued"));
	assert_int_equal(redeem(&g), GRANT_UNKNOWN);
	g = redemption(code);
	assert_int_equal(redeem(&g), GRANT_OK);
}

static void
a_code_expires(void **state)
{
	(void)state;
	struct slice code = code_issued("openid"), other = code_issued("openid");
	struct grant_redemption g;

	clock_fixed_advance(&store_unit_clock, GRANT_CODE_LIFETIME_S - 1);
	g = redemption(other);
	assert_int_equal(redeem(&g), GRANT_OK);
	clock_fixed_advance(&store_unit_clock, 1);
	g = redemption(code);
	assert_int_equal(redeem(&g), GRANT_UNKNOWN);
}

static void
a_redeemed_code_is_remembered_as_long_as_its_access_token_lives(void **state)
{
	(void)state;
	struct slice code = code_issued("openid");
	struct grant_redemption g = redemption(code), again;

	assert_int_equal(redeem(&g), GRANT_OK);
	clock_fixed_advance(&store_unit_clock, 3599);
	assert_true(grant_lives(g.grant_id));
	again = redemption(code);
	assert_int_equal(redeem(&again), GRANT_REUSED);
	assert_false(grant_lives(g.grant_id));
}

static void
without_the_grant_type_offline_access_brings_no_refresh_token(void **state)
{
	(void)state;
	struct grant_redemption g = redemption(code_issued("openid offline_access"));

	g.offline = false;
	assert_int_equal(redeem(&g), GRANT_OK);
	assert_int_equal(g.refresh_token.n, 0);
}

static void
a_grant_without_a_code_ends_by_its_tokens_and_by_nothing_else_that_is_known(void **state)
{
	(void)state;
	struct grant_redemption plain = redemption(SLICE_LIT("never-a-code")), offline = redemption(SLICE_LIT("never-a-code-either")), again;
	struct record_code record = { .client_id = SLICE_LIT(CLIENT), .scope = SLICE_LIT("openid"), .user = jane, .auth_time = 5, .sid = SLICE_LIT("own") };

	plain.record = offline.record = record;
	offline.record.scope = SLICE_LIT("openid offline_access");
	assert_int_equal(store_write_wait(store, grant_issue, &plain), OK);
	assert_int_equal(store_write_wait(store, grant_issue, &offline), OK);
	assert_int_equal(plain.verdict, GRANT_OK);
	assert_int_equal(plain.refresh_token.n, 0);
	assert_true(offline.refresh_token.n > 0);
	assert_true(grant_lives(plain.grant_id));
	assert_true(grant_lives(offline.grant_id));
	again = redemption(SLICE_LIT("never-a-code"));
	assert_int_equal(redeem(&again), GRANT_REUSED);
	assert_false(grant_lives(plain.grant_id));
	assert_true(grant_lives(offline.grant_id));
}

struct racer {
	struct grant_redemption g;
	struct arena arena;
	pthread_t thread;
};

static void *
race(void *arg)
{
	struct racer *r = arg;

	if (store_write_wait(store, grant_redeem_code, &r->g) != OK)
		r->g.verdict = GRANT_UNKNOWN;
	return NULL;
}

static void
of_a_hundred_concurrent_redemptions_exactly_one_succeeds(void **state)
{
	(void)state;
	static struct racer racers[100];
	struct slice code = code_issued("openid offline_access");
	unsigned ok = 0;

	for (size_t i = 0; i < 100; i++) {
		racers[i].g = redemption(code);
		arena_init(&racers[i].arena, 0);
		racers[i].g.arena = &racers[i].arena;
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	}
	for (size_t i = 0; i < 100; i++) {
		pthread_join(racers[i].thread, NULL);
		ok += racers[i].g.verdict == GRANT_OK;
		arena_fini(&racers[i].arena);
	}
	assert_int_equal(ok, 1);
}

/* ---- refresh tokens ---- */

static struct slice
family_started(void)
{
	struct grant_redemption g = redemption(code_issued("openid groups offline_access"));

	assert_int_equal(redeem(&g), GRANT_OK);
	assert_true(g.refresh_token.n > 0);
	return g.refresh_token;
}

static struct grant_refreshment
refreshed(struct slice token)
{
	struct grant_refreshment g = { .generation = &generation, .arena = &arena, .token = token, .client_id = SLICE_LIT(CLIENT), .now_s = now_s() };

	assert_int_equal(store_write_wait(store, grant_refresh, &g), OK);
	return g;
}

static void
a_refresh_token_is_rotated_and_its_successor_works(void **state)
{
	(void)state;
	struct slice token = family_started();

	for (int i = 0; i < 5; i++) {
		struct grant_refreshment g = refreshed(token);
		assert_int_equal(g.verdict, GRANT_OK);
		assert_false(slice_eq(g.refresh_token, token));
		assert_true(slice_eq_str(g.record.scope, "openid groups offline_access"));
		assert_true(grant_lives(g.grant_id));
		token = g.refresh_token;
		clock_fixed_advance(&store_unit_clock, 60);
	}
}

static void
inside_the_reuse_interval_the_old_token_gets_the_same_successor(void **state)
{
	(void)state;
	struct slice token = family_started();
	struct slice successor = refreshed(token).refresh_token;

	clock_fixed_advance(&store_unit_clock, 3);
	for (int i = 0; i < 50; i++) {
		struct grant_refreshment g = refreshed(token);
		assert_int_equal(g.verdict, GRANT_OK);
		assert_true(slice_eq(g.refresh_token, successor));
	}
	assert_int_equal(refreshed(successor).verdict, GRANT_OK);
}

/* RFC 9700 4.14.2. */
static void
replay_outside_the_reuse_interval_ends_the_family(void **state)
{
	(void)state;
	struct slice token = family_started();
	struct grant_refreshment g = refreshed(token);

	clock_fixed_advance(&store_unit_clock, 4);
	assert_int_equal(refreshed(token).verdict, GRANT_REPLAYED);
	assert_false(grant_lives(g.grant_id));
	assert_int_equal(refreshed(g.refresh_token).verdict, GRANT_UNKNOWN);
}

static void
an_ancestor_further_back_ends_the_family_even_inside_the_interval(void **state)
{
	(void)state;
	struct slice token = family_started();
	struct slice second = refreshed(token).refresh_token, third = refreshed(second).refresh_token;

	assert_int_equal(refreshed(token).verdict, GRANT_REPLAYED);
	assert_int_equal(refreshed(third).verdict, GRANT_UNKNOWN);
}

static void
without_rotation_the_same_token_goes_on(void **state)
{
	(void)state;
	struct slice token = family_started();

	config.expiry.refresh_tokens.disable_rotation = true;
	clock_fixed_advance(&store_unit_clock, 100);
	assert_true(slice_eq(refreshed(token).refresh_token, token));
	assert_true(slice_eq(refreshed(token).refresh_token, token));
}

static void
another_client_may_not_use_a_refresh_token_and_ends_nothing(void **state)
{
	(void)state;
	struct slice token = family_started();
	struct grant_refreshment g = { .generation = &generation, .arena = &arena, .token = token, .client_id = SLICE_LIT("other"), .now_s = now_s() };

	assert_int_equal(store_write_wait(store, grant_refresh, &g), OK);
	assert_int_equal(g.verdict, GRANT_OTHER_CLIENT);
	assert_int_equal(refreshed(token).verdict, GRANT_OK);
}

static void
what_an_access_token_tells_is_not_enough_to_end_a_family(void **state)
{
	(void)state;
	struct slice token = family_started();
	struct grant_refreshment g = refreshed(token);
	struct slice key = slice_of(g.grant_id.p + strlen("refresh:"), g.grant_id.n - strlen("refresh:"));
	char *forged = arena_printf(&arena, "%.*s.guess", SLICE_FMT(key));

	assert_int_equal(refreshed(slice_str(forged)).verdict, GRANT_UNKNOWN);
	assert_int_equal(refreshed(g.refresh_token).verdict, GRANT_OK);
}

static void
malformed_refresh_tokens_are_unknown(void **state)
{
	(void)state;
	static const char *const bad[] = { "", ".", "..", "a.b", "a.b.", ".b.c", "a..c",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b.c" };
	struct record_refresh f;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_int_equal(refreshed(slice_str(bad[i])).verdict, GRANT_UNKNOWN);
		assert_int_equal(grant_peek_refresh(store, slice_str(bad[i]), SLICE_LIT(CLIENT), &arena, &f), E_EMPTY);
	}
}

static void
a_family_ends_by_its_absolute_lifetime_and_by_not_being_used(void **state)
{
	(void)state;
	config.expiry.refresh_tokens.absolute_lifetime_ms = 1000 * 1000;
	config.expiry.refresh_tokens.valid_if_not_used_for_ms = 300 * 1000;
	struct slice idle = family_started(), used = family_started();

	for (int i = 0; i < 3; i++) {
		clock_fixed_advance(&store_unit_clock, 299);
		struct grant_refreshment g = refreshed(used);
		assert_int_equal(g.verdict, GRANT_OK);
		used = g.refresh_token;
	}
	assert_int_equal(refreshed(idle).verdict, GRANT_UNKNOWN);
	clock_fixed_advance(&store_unit_clock, 1000 - 3 * 299);
	assert_int_equal(refreshed(used).verdict, GRANT_UNKNOWN);
}

static void
a_refresh_tells_what_the_configuration_says_now_and_ends_with_the_person(void **state)
{
	(void)state;
	const char *groups[] = { "ops" };
	struct slice token = family_started();

	password.groups = (struct config_strings){ groups, 1 };
	struct grant_refreshment g = refreshed(token);
	assert_int_equal(g.record.user.groups.n, 1);
	assert_true(slice_eq_str(g.record.user.groups.items[0], "ops"));
	config.passwords.n = 0;
	assert_int_equal(refreshed(g.refresh_token).verdict, GRANT_PERSON_GONE);
	config.passwords.n = 1;
	assert_int_equal(refreshed(g.refresh_token).verdict, GRANT_UNKNOWN);
}

/* A refresh of which the connector says nothing (known NULL: it could not be asked), or the person's news. */
static struct grant_refreshment
reread(struct slice token, const struct record_user *known)
{
	struct grant_refreshment g = { .generation = &generation, .arena = &arena, .token = token, .client_id = SLICE_LIT(CLIENT), .reread = known, .unread = !known,
		.now_s = now_s() };

	assert_int_equal(store_write_wait(store, grant_refresh, &g), OK);
	return g;
}

static void
what_the_connector_said_last_serves_for_a_time_and_then_nothing_is_lost(void **state)
{
	(void)state;
	struct slice token = family_started();

	config.expiry.stale_groups_ms = 3600 * 1000;
	token = reread(token, &jane).refresh_token;
	clock_fixed_advance(&store_unit_clock, 3600);
	struct grant_refreshment g = reread(token, NULL);
	assert_int_equal(g.verdict, GRANT_OK);
	clock_fixed_advance(&store_unit_clock, 1);
	token = g.refresh_token;
	assert_int_equal(reread(token, NULL).verdict, GRANT_STALE);
	g = reread(token, &jane);
	assert_int_equal(g.verdict, GRANT_OK);
	assert_int_equal(reread(g.refresh_token, NULL).verdict, GRANT_OK);
}

static void
a_person_who_was_never_read_again_was_read_when_they_signed_in(void **state)
{
	(void)state;
	struct slice token = family_started(); /* who signed in in 1970 */

	config.expiry.stale_groups_ms = (now_s() - 77) * 1000;
	assert_int_equal(reread(token, NULL).verdict, GRANT_OK);
	token = family_started();
	config.expiry.stale_groups_ms -= 1000;
	assert_int_equal(reread(token, NULL).verdict, GRANT_STALE);
	config.expiry.stale_groups_ms = 0;
	assert_int_equal(reread(token, NULL).verdict, GRANT_STALE);
	assert_int_equal(refreshed(token).verdict, GRANT_OK);
}

static void
a_peek_shows_the_family_of_a_present_or_previous_token_of_this_client_only(void **state)
{
	(void)state;
	struct slice first = family_started();
	struct slice second = refreshed(first).refresh_token, third = refreshed(second).refresh_token;
	struct record_refresh f;

	assert_int_equal(grant_peek_refresh(store, third, SLICE_LIT(CLIENT), &arena, &f), OK);
	assert_true(slice_eq_str(f.sid, SID));
	assert_int_equal(grant_peek_refresh(store, second, SLICE_LIT(CLIENT), &arena, &f), OK);
	assert_int_equal(grant_peek_refresh(store, first, SLICE_LIT(CLIENT), &arena, &f), E_EMPTY);
	assert_int_equal(grant_peek_refresh(store, third, SLICE_LIT("other"), &arena, &f), E_EMPTY);
}

/* ---- sessions ---- */

static enum err
end_sid(struct store_txn *t, void *arg)
{
	return grant_end_session(t, slice_str(arg), &arena, now_s());
}

static void
ending_a_session_ends_its_families_and_no_others(void **state)
{
	(void)state;
	struct grant_redemption g = redemption(code_issued("openid offline_access")), h = redemption(code_issued("openid offline_access"));
	char other[] = "sid", mine[] = SID;

	assert_int_equal(redeem(&g), GRANT_OK);
	assert_int_equal(redeem(&h), GRANT_OK);
	assert_int_equal(store_write_wait(store, end_sid, other), OK); /* a prefix of ours, but not ours */
	assert_true(grant_lives(g.grant_id));
	assert_int_equal(store_write_wait(store, end_sid, mine), OK);
	assert_false(grant_lives(g.grant_id));
	assert_false(grant_lives(h.grant_id));
	assert_int_equal(refreshed(g.refresh_token).verdict, GRANT_UNKNOWN);
}

static struct grant_redemption
family_redeemed(void)
{
	struct grant_redemption g = redemption(code_issued("openid offline_access"));

	assert_int_equal(redeem(&g), GRANT_OK);
	return g;
}

static bool
revoke_token(struct slice token, struct slice grant_id, const char *client)
{
	struct grant_revocation g = { .arena = &arena, .token = token, .grant_id = grant_id, .client_id = slice_str(client), .now_s = now_s() };

	assert_int_equal(store_write_wait(store, grant_revoke, &g), OK);
	return g.found;
}

/* RFC 7009 2.1: the server also SHOULD invalidate all access tokens based on the same grant. */
static void
revoking_a_refresh_token_ends_its_family_for_its_own_client_only(void **state)
{
	(void)state;
	struct grant_redemption g = family_redeemed();
	struct record_refresh f;

	assert_false(revoke_token(g.refresh_token, SLICE_NONE, "other"));
	assert_int_equal(grant_find_refresh(store, &generation, g.refresh_token, SLICE_LIT(CLIENT), now_s(), &arena, &f), OK);
	assert_int_equal(grant_find_refresh(store, &generation, g.refresh_token, SLICE_LIT("other"), now_s(), &arena, &f), E_EMPTY);
	assert_true(revoke_token(g.refresh_token, SLICE_NONE, CLIENT));
	assert_false(grant_lives(g.grant_id));
	assert_int_equal(grant_find_refresh(store, &generation, g.refresh_token, SLICE_LIT(CLIENT), now_s(), &arena, &f), E_EMPTY);
	assert_false(revoke_token(g.refresh_token, SLICE_NONE, CLIENT));
	assert_false(revoke_token(SLICE_LIT("never.issued.token"), SLICE_NONE, CLIENT));
	assert_false(revoke_token(SLICE_LIT("x"), SLICE_NONE, CLIENT));
}

static void
a_rotated_token_is_found_as_long_as_it_could_be_used_and_revokes_always(void **state)
{
	(void)state;
	struct grant_redemption g = family_redeemed();
	struct record_refresh f;

	assert_int_equal(refreshed(g.refresh_token).verdict, GRANT_OK);
	assert_int_equal(grant_find_refresh(store, &generation, g.refresh_token, SLICE_LIT(CLIENT), now_s(), &arena, &f), OK);
	clock_fixed_advance(&store_unit_clock, 4);
	assert_int_equal(grant_find_refresh(store, &generation, g.refresh_token, SLICE_LIT(CLIENT), now_s(), &arena, &f), E_EMPTY);
	assert_true(revoke_token(g.refresh_token, SLICE_NONE, CLIENT));
	assert_false(grant_lives(g.grant_id));
}

static void
revoking_an_access_token_ends_its_grant(void **state)
{
	(void)state;
	struct grant_redemption with = family_redeemed(), without = redemption(code_issued("openid"));

	assert_int_equal(redeem(&without), GRANT_OK);
	assert_true(revoke_token(SLICE_LIT("jwt"), with.grant_id, CLIENT));
	assert_true(revoke_token(SLICE_LIT("jwt"), without.grant_id, CLIENT));
	assert_false(grant_lives(with.grant_id));
	assert_false(grant_lives(without.grant_id));
	assert_false(revoke_token(SLICE_LIT("jwt"), without.grant_id, CLIENT));
	assert_false(revoke_token(SLICE_LIT("jwt"), SLICE_LIT("code:!"), CLIENT));
	assert_false(revoke_token(SLICE_LIT("jwt"), SLICE_LIT("other:x"), CLIENT));
}

static void
grants_of_unknown_names_have_ended(void **state)
{
	(void)state;
	assert_false(grant_lives(SLICE_NONE));
	assert_false(grant_lives(SLICE_LIT("code:")));
	assert_false(grant_lives(SLICE_LIT("code:***")));
	assert_false(grant_lives(SLICE_LIT("refresh:")));
	assert_false(grant_lives(SLICE_LIT("else:x")));
}

#define GRANT_TEST(f) cmocka_unit_test_setup_teardown(f, begin, records_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		GRANT_TEST(a_code_is_redeemed_once_with_what_it_was_issued_for),
		GRANT_TEST(a_code_used_again_ends_the_tokens_issued_from_it),
		GRANT_TEST(without_a_refresh_token_reuse_ends_the_access_token_too),
		GRANT_TEST(each_single_mismatch_refuses_and_leaves_the_code_usable),
		GRANT_TEST(a_code_expires),
		GRANT_TEST(a_redeemed_code_is_remembered_as_long_as_its_access_token_lives),
		GRANT_TEST(without_the_grant_type_offline_access_brings_no_refresh_token),
		GRANT_TEST(a_grant_without_a_code_ends_by_its_tokens_and_by_nothing_else_that_is_known),
		GRANT_TEST(of_a_hundred_concurrent_redemptions_exactly_one_succeeds),
		GRANT_TEST(a_refresh_token_is_rotated_and_its_successor_works),
		GRANT_TEST(inside_the_reuse_interval_the_old_token_gets_the_same_successor),
		GRANT_TEST(replay_outside_the_reuse_interval_ends_the_family),
		GRANT_TEST(an_ancestor_further_back_ends_the_family_even_inside_the_interval),
		GRANT_TEST(without_rotation_the_same_token_goes_on),
		GRANT_TEST(another_client_may_not_use_a_refresh_token_and_ends_nothing),
		GRANT_TEST(revoking_a_refresh_token_ends_its_family_for_its_own_client_only),
		GRANT_TEST(a_rotated_token_is_found_as_long_as_it_could_be_used_and_revokes_always),
		GRANT_TEST(revoking_an_access_token_ends_its_grant),
		GRANT_TEST(what_an_access_token_tells_is_not_enough_to_end_a_family),
		GRANT_TEST(malformed_refresh_tokens_are_unknown),
		GRANT_TEST(a_family_ends_by_its_absolute_lifetime_and_by_not_being_used),
		GRANT_TEST(a_refresh_tells_what_the_configuration_says_now_and_ends_with_the_person),
		GRANT_TEST(what_the_connector_said_last_serves_for_a_time_and_then_nothing_is_lost),
		GRANT_TEST(a_person_who_was_never_read_again_was_read_when_they_signed_in),
		GRANT_TEST(a_peek_shows_the_family_of_a_present_or_previous_token_of_this_client_only),
		GRANT_TEST(ending_a_session_ends_its_families_and_no_others),
		GRANT_TEST(grants_of_unknown_names_have_ended),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
