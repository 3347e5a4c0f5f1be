#include "authd/logout_notice.h"
#include "authd/person_session.h"
#include "authd/revocation.h"
#include "tests/unit/records_unit.h"

#define NOW STORE_UNIT_NOW
#define FOUND_MAX 8

static struct revocations *feed;
static struct logout_notice_found found[FOUND_MAX];
static const struct record_user jane = { .connector_id = { "local", 5 }, .user_id = { "jane", 4 } };

static int
begin(void **state)
{
	char why[256];

	records_begin(state);
	assert_int_equal(revocations_open(store, &rng_system, &feed, why, sizeof why), OK);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	arena_fini(&arena);
	store_close(store);
	revocations_close(feed);
	store_unit_end();
	return 0;
}

struct use {
	const char *sid, *client;
};

static enum err
used(struct store_txn *t, void *arg)
{
	const struct use *u = arg;

	return person_session_client_note(t, &jane, slice_str(u->sid), slice_str(u->client), NOW, NOW + 86400, &arena);
}

static enum err
ended(struct store_txn *t, void *arg)
{
	return revocation_put(t, slice_str(arg), &arena, clock_now_s(&store_unit_clock.clock));
}

static void
use(const char *sid, const char *client)
{
	assert_int_equal(store_write_wait(store, used, &(struct use){ sid, client }), OK);
}

static void
end_session(const char *sid)
{
	assert_int_equal(store_write_wait(store, ended, (void *)(uintptr_t)sid), OK);
}

/* Clients and keys that the search takes for being under way. */
static const char *busy_client, *busy_sid;
static size_t busy_n;

static size_t
under_way(void *arg, struct slice client_key)
{
	unsigned char hash[32];

	(void)arg;
	return busy_client && memcmp(client_key.p, store_hash(slice_str(busy_client), hash).p, client_key.n) == 0 ? busy_n : 0;
}

static bool
is_under_way(void *arg, struct slice key)
{
	(void)arg;
	return busy_sid && slice_has_suffix(key, slice_str(busy_sid));
}

static struct logout_notice_search
search_at(int64_t now_s, size_t max)
{
	struct logout_notice_search s = { .arena = &arena, .now_s = now_s, .per_client_max = 2, .under_way = under_way, .is_under_way = is_under_way,
		.found = found, .max = max };

	assert_int_equal(store_read(store, logout_notice_search, &s), OK);
	return s;
}

static const struct logout_notice_found *
found_of(const struct logout_notice_search *s, const char *client, const char *sid)
{
	for (size_t i = 0; i < s->n; i++)
		if (slice_eq_str(s->found[i].record.client_id, client) && slice_eq_str(s->found[i].record.sid, sid))
			return &s->found[i];
	return NULL;
}

static bool
settle(const struct logout_notice_found *f, enum logout_notice_outcome outcome, int64_t now_s)
{
	struct logout_notice_settling s = { .notice = f, .outcome = outcome, .now_s = now_s };

	assert_int_equal(store_write_wait(store, logout_notice_settle, &s), OK);
	return s.given_up;
}

static void
every_client_of_a_session_that_ends_is_noted_once(void **state)
{
	(void)state;
	use("s1", "app");
	use("s1", "web");
	use("s1", "web");
	use("s2", "app");
	end_session("s1");
	end_session("s1");
	struct logout_notice_search s = search_at(NOW, FOUND_MAX);
	assert_int_equal(s.n, 2);
	assert_non_null(found_of(&s, "app", "s1"));
	const struct logout_notice_found *web = found_of(&s, "web", "s1");
	assert_non_null(web);
	assert_true(slice_eq(web->record.connector_id, jane.connector_id) && slice_eq(web->record.user_id, jane.user_id));
	assert_int_equal(web->record.created_at, NOW);
	assert_int_equal(s.next_due_at, 0);
}

static void
a_session_without_clients_leaves_nothing_to_send(void **state)
{
	(void)state;
	end_session("s1");
	assert_int_equal(search_at(NOW, FOUND_MAX).n, 0);
}

static void
what_was_taken_refused_or_is_for_nobody_is_gone(void **state)
{
	static const enum logout_notice_outcome outcomes[] = { LOGOUT_NOTICE_TAKEN, LOGOUT_NOTICE_REFUSED, LOGOUT_NOTICE_NOBODY };
	static const char *const sids[] = { "s1", "s2", "s3" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		use(sids[i], "app");
		end_session(sids[i]);
		struct logout_notice_search s = search_at(NOW, FOUND_MAX);
		assert_int_equal(s.n, 1);
		assert_false(settle(&found[0], outcomes[i], NOW));
		assert_int_equal(search_at(NOW + 1, FOUND_MAX).n, 0);
	}
}

static void
what_failed_is_due_again_with_growing_pauses_for_an_hour(void **state)
{
	static const int64_t pauses[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300 };
	int64_t at = NOW;
	size_t attempts = 0;

	(void)state;
	use("s1", "app");
	end_session("s1");
	for (;; attempts++) {
		clock_fixed_advance(&store_unit_clock, at - clock_now_s(&store_unit_clock.clock));
		struct logout_notice_search s = search_at(at, FOUND_MAX);
		assert_int_equal(s.n, 1);
		assert_int_equal(s.found[0].record.attempts, (int64_t)attempts);
		if (settle(&found[0], LOGOUT_NOTICE_FAILED, at))
			break;
		s = search_at(at, FOUND_MAX);
		assert_int_equal(s.n, 0);
		if (attempts < sizeof pauses / sizeof pauses[0])
			assert_int_equal(s.next_due_at - at, pauses[attempts]);
		at = s.next_due_at;
	}
	assert_in_range(attempts, 15, 20);
	assert_in_range(at - NOW, LOGOUT_NOTICE_KEPT_S - LOGOUT_NOTICE_PAUSE_S_MAX, LOGOUT_NOTICE_KEPT_S);
	assert_int_equal(search_at(at + LOGOUT_NOTICE_PAUSE_S_MAX, FOUND_MAX).n, 0);
}

static void
a_notice_that_is_gone_when_it_comes_back_stays_gone(void **state)
{
	(void)state;
	use("s1", "app");
	end_session("s1");
	search_at(NOW, FOUND_MAX);
	struct logout_notice_found once = found[0];
	assert_false(settle(&once, LOGOUT_NOTICE_TAKEN, NOW));
	assert_true(settle(&once, LOGOUT_NOTICE_FAILED, NOW));
	assert_false(settle(&once, LOGOUT_NOTICE_TAKEN, NOW));
	assert_int_equal(search_at(NOW + 2, FOUND_MAX).n, 0);
}

static void
a_client_with_many_does_not_hold_up_the_others(void **state)
{
	char sid[16];

	(void)state;
	for (int i = 0; i < 300; i++) {
		snprintf(sid, sizeof sid, "s%03d", i);
		use(sid, "slow");
		if (i % 100 == 0)
			use(sid, "quick");
		end_session(sid);
	}
	struct logout_notice_search s = search_at(NOW, FOUND_MAX);
	assert_int_equal(s.n, 4); /* two of each */
	busy_client = "slow";
	busy_n = 2;
	s = search_at(NOW, FOUND_MAX);
	assert_int_equal(s.n, 2);
	for (size_t i = 0; i < s.n; i++)
		assert_true(slice_eq_str(s.found[i].record.client_id, "quick"));
	busy_client = NULL;
	busy_n = 0;
	assert_int_equal(search_at(NOW, 1).n, 1);
	assert_int_equal(search_at(NOW, 0).n, 0);
}

static void
what_is_under_way_is_not_found_again(void **state)
{
	(void)state;
	use("s1", "app");
	use("s2", "app");
	end_session("s1");
	end_session("s2");
	busy_sid = "s1";
	struct logout_notice_search s = search_at(NOW, FOUND_MAX);
	busy_sid = NULL;
	assert_int_equal(s.n, 1);
	assert_true(slice_eq_str(found[0].record.sid, "s2"));
}

static void
the_earliest_of_what_waits_is_told(void **state)
{
	(void)state;
	use("s1", "app");
	use("s2", "web");
	end_session("s1");
	end_session("s2");
	struct logout_notice_search s = search_at(NOW, FOUND_MAX);
	struct logout_notice_found app = *found_of(&s, "app", "s1"), web = *found_of(&s, "web", "s2");
	settle(&app, LOGOUT_NOTICE_FAILED, NOW + 10);
	settle(&web, LOGOUT_NOTICE_FAILED, NOW + 5);
	assert_int_equal(search_at(NOW + 5, FOUND_MAX).next_due_at, NOW + 6);
}

/* A browser's session that is extended keeps its clients as long as itself; one that is not known any more as long as it might have lived. */
static enum err
noted(struct store_txn *t, void *arg)
{
	const struct record_session s = { .sid = SLICE_LIT("s1"), .user = jane };

	return person_session_note(t, SLICE_LIT("key"), &s, *(int64_t *)arg, &arena);
}

static void
a_sessions_clients_are_kept_as_long_as_the_session(void **state)
{
	int64_t ends_at = NOW + 10;

	(void)state;
	assert_int_equal(store_write_wait(store, noted, &ends_at), OK);
	use("s1", "app");
	ends_at = NOW + 100;
	assert_int_equal(store_write_wait(store, noted, &ends_at), OK);
	use("s1", "app");
	clock_fixed_advance(&store_unit_clock, NOW + 50 - clock_now_s(&store_unit_clock.clock));
	end_session("s1");
	assert_int_equal(search_at(NOW + 50, FOUND_MAX).n, 1);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(every_client_of_a_session_that_ends_is_noted_once),
		T(a_session_without_clients_leaves_nothing_to_send),
		T(what_was_taken_refused_or_is_for_nobody_is_gone),
		T(what_failed_is_due_again_with_growing_pauses_for_an_hour),
		T(a_notice_that_is_gone_when_it_comes_back_stays_gone),
		T(a_client_with_many_does_not_hold_up_the_others),
		T(what_is_under_way_is_not_found_again),
		T(the_earliest_of_what_waits_is_told),
		T(a_sessions_clients_are_kept_as_long_as_the_session),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
