#include "authd/mint.h"
#include "authd/revocation.h"
#include "tests/unit/records_unit.h"

static struct revocations *feed;
static struct buf revoked;

static int
begin(void **state)
{
	char why[256];

	records_begin(state);
	buf_init(&revoked, 0);
	assert_int_equal(revocations_open(store, &rng_system, &feed, why, sizeof why), OK);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	buf_fini(&revoked);
	arena_fini(&arena);
	store_close(store);
	revocations_close(feed);
	store_unit_end();
	return 0;
}

static enum err
put(struct store_txn *t, void *arg)
{
	return revocation_put(t, slice_str(arg), &arena, now_s());
}

static enum err
check(struct store_txn *t, void *arg)
{
	return revocation_check(t, slice_str(arg), &arena);
}

static void
revoke_sid(const char *sid)
{
	assert_int_equal(store_write_wait(store, put, (void *)(uintptr_t)sid), OK);
}

static enum err
checked(const char *sid)
{
	return store_read(store, check, (void *)(uintptr_t)sid);
}

static struct revocation_news
news(struct slice epoch, int64_t after)
{
	struct revocation_news n = { .arena = &arena, .epoch = epoch, .after = after, .revoked = &revoked };

	buf_reset(&revoked);
	assert_int_equal(store_read(store, revocation_read, &n), OK);
	buf_add_char(&revoked, '\0');
	assert_true(buf_ok(&revoked));
	return n;
}

static void
an_ended_session_is_known_until_its_last_token_has_expired(void **state)
{
	(void)state;
	char expected[64];

	assert_int_equal(checked("one"), OK);
	revoke_sid("one");
	assert_int_equal(checked("one"), E_EMPTY);
	assert_int_equal(checked("two"), OK);
	assert_int_equal(checked(""), OK);
	news(SLICE_NONE, 0);
	snprintf(expected, sizeof expected, "{\"sid\":\"one\",\"until\":%lld}", (long long)now_s() + MINT_SESSION_S + REVOCATION_SKEW_S);
	assert_string_equal(revoked.p, expected);
	clock_fixed_advance(&store_unit_clock, MINT_SESSION_S + REVOCATION_SKEW_S - 1);
	assert_int_equal(checked("one"), E_EMPTY);
	clock_fixed_advance(&store_unit_clock, 1);
	assert_int_equal(checked("one"), OK);
	struct revocation_news n = news(SLICE_NONE, 0);
	assert_int_equal(n.n, 0);
	assert_int_equal(n.sequence, 1); /* a reader does not ask for it again */
}

static enum err
put_key(struct store_txn *t, void *arg)
{
	return store_put(t, RECORD_KEY, SLICE_LIT("kid"), &(struct record_key){ .alg = SLICE_LIT("ES256"), .token_lifetime_s = *(int64_t *)arg });
}

static void
the_longest_token_that_any_key_may_have_signed_counts(void **state)
{
	(void)state;
	int64_t lifetime_s = 86400;

	assert_int_equal(store_write_wait(store, put_key, &lifetime_s), OK);
	revoke_sid("one");
	clock_fixed_advance(&store_unit_clock, 86400 + REVOCATION_SKEW_S - 1);
	assert_int_equal(checked("one"), E_EMPTY);
	clock_fixed_advance(&store_unit_clock, 1);
	assert_int_equal(checked("one"), OK);
}

static void
a_reader_is_told_what_is_newer_than_what_it_has(void **state)
{
	(void)state;
	uint64_t before = revocations_changes(feed);

	revoke_sid("one");
	revoke_sid("two");
	revoke_sid("one"); /* once is enough */
	struct revocation_news all = news(SLICE_NONE, 0);
	assert_true(all.fresh);
	assert_int_equal(all.n, 2);
	assert_int_equal(all.sequence, 2);
	assert_int_equal(revocations_changes(feed) - before, 2);
	struct revocation_news none = news(all.now_epoch, 2), second = news(all.now_epoch, 1);
	assert_false(none.fresh);
	assert_int_equal(none.n, 0);
	assert_int_equal(second.n, 1);
	assert_non_null(strstr(news(all.now_epoch, 1).revoked->p, "\"two\""));
}

static void
a_reader_of_another_store_is_told_all(void **state)
{
	(void)state;
	revoke_sid("one");
	struct slice epoch = news(SLICE_NONE, 0).now_epoch;

	assert_true(news(SLICE_LIT("other"), 1).fresh);
	assert_int_equal(news(SLICE_LIT("other"), 1).n, 1);
	assert_int_equal(news(epoch, 2).n, 1); /* a number that was never given: a copy of the store from before */
	assert_int_equal(news(epoch, -1).n, 1);
}

static enum err
put_many(struct store_txn *t, void *arg)
{
	enum err e = OK;

	(void)arg;
	for (int i = 0; i < REVOCATION_ANSWER_MAX + 10 && e == OK; i++)
		e = revocation_put(t, slice_str(arena_printf(&arena, "sid-%d", i)), &arena, now_s());
	return e;
}

static void
more_than_one_answer_holds_comes_in_several(void **state)
{
	(void)state;
	assert_int_equal(store_write_wait(store, put_many, NULL), OK);
	struct revocation_news first = news(SLICE_NONE, 0), second = news(first.now_epoch, first.sequence);

	assert_int_equal(first.n, REVOCATION_ANSWER_MAX);
	assert_true(first.more);
	assert_int_equal(first.sequence, REVOCATION_ANSWER_MAX);
	assert_int_equal(second.n, 10);
	assert_false(second.more);
}

static enum err
put_and_refuse(struct store_txn *t, void *arg)
{
	enum err e = revocation_put(t, slice_str(arg), &arena, now_s());

	return e == OK ? E_CONFLICT : e;
}

static void
what_was_not_committed_has_not_ended(void **state)
{
	(void)state;
	assert_int_equal(store_write_wait(store, put_and_refuse, (void *)(uintptr_t)"one"), E_CONFLICT);
	assert_int_equal(checked("one"), OK);
	revoke_sid("two");
	assert_int_equal(news(SLICE_NONE, 0).sequence, 1);
}

static void
numbers_and_epoch_survive_a_restart(void **state)
{
	(void)state;
	char why[256];

	revoke_sid("one");
	struct slice epoch = news(SLICE_NONE, 0).now_epoch;
	store_close(store);
	revocations_close(feed);
	store = store_unit_open();
	assert_int_equal(revocations_open(store, &rng_system, &feed, why, sizeof why), OK);
	revoke_sid("two");
	struct revocation_news n = news(epoch, 1);
	assert_false(n.fresh);
	assert_int_equal(n.n, 1);
	assert_int_equal(n.sequence, 2);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		T(an_ended_session_is_known_until_its_last_token_has_expired),
		T(the_longest_token_that_any_key_may_have_signed_counts),
		T(a_reader_is_told_what_is_newer_than_what_it_has),
		T(a_reader_of_another_store_is_told_all),
		T(more_than_one_answer_holds_comes_in_several),
		T(what_was_not_committed_has_not_ended),
		T(numbers_and_epoch_survive_a_restart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
