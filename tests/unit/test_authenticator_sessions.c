/* Sessions: cookies that authd is asked about, what ends with a session, and what counts where both are sent. */
#include "authenticator_unit.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
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
	};
	return cmocka_run_group_tests(tests, NULL, forget_keys);
}
