#include "authd/device.h"
#include "shared/rng.h"
#include "tests/unit/records_unit.h"

#define CLIENT "tv"
#define LIFETIME_S 300

static struct authd_config config;
static struct generation generation;
static int serial;

static int
begin(void **state)
{
	records_begin(state);
	config = (struct authd_config){ .enable_password_db = true };
	generation = (struct generation){ .config = &config };
	return 0;
}

/* ---- a device ---- */

struct device {
	struct slice code, user_code, key;
	unsigned char hash[32];
};

static enum err
start(struct store_txn *t, void *arg)
{
	struct device *d = arg;
	int64_t until = now_s() + LIFETIME_S;
	struct record_device r = { .client_id = SLICE_LIT(CLIENT), .scope = SLICE_LIT("openid offline_access"), .user_code = d->user_code,
		.interval_s = DEVICE_INTERVAL_S, .created_at = now_s(), .valid_until = until, .expires_at = until + DEVICE_TOO_LATE_S };

	d->key = store_hash(d->code, d->hash);
	return device_put(t, d->key, &r, &arena);
}

static struct device
device_of(const char *user_code)
{
	return (struct device){ .code = slice_str(arena_printf(&arena, "device-code-%d", ++serial)), .user_code = slice_str(user_code) };
}

static void
started(struct device *d)
{
	assert_int_equal(store_write_wait(store, start, d), OK);
}

struct find {
	struct slice user_code, key;
	struct record_device record;
};

static enum err
find(struct store_txn *t, void *arg)
{
	struct find *f = arg;

	return device_find(t, f->user_code, &arena, now_s(), &f->key, &f->record);
}

static enum err
found(struct slice user_code)
{
	return store_read(store, find, &(struct find){ .user_code = user_code });
}

struct decision {
	const struct device *d;
	bool agrees;
};

static enum err
decide(struct store_txn *t, void *arg)
{
	const struct decision *c = arg;
	struct record_auth_request a = { .client_id = SLICE_LIT(CLIENT), .device_key = c->d->key, .auth_time = 77, .sid = SLICE_LIT("sid1"),
		.user = { .connector_id = SLICE_LIT("local"), .user_id = SLICE_LIT("u1") } };

	return device_decide(t, &a, c->agrees, &arena, now_s());
}

static enum err
decided(const struct device *d, bool agrees)
{
	return store_write_wait(store, decide, &(struct decision){ d, agrees });
}

static struct device_poll last;

static enum device_verdict
poll_as(const struct device *d, const char *client)
{
	last = (struct device_poll){ .redemption = { .generation = &generation, .arena = &arena, .code = d->code, .client_id = slice_str(client),
		.redirect_uri = SLICE_LIT(CLIENT_DEVICE_CALLBACK), .handle = slice_str(arena_printf(&arena, "handle-%d", ++serial)),
		.secret = SLICE_LIT("secret"), .chain_secret = SLICE_LIT("chain"), .offline = true, .now_s = now_s(), .access_expires_at = now_s() + 3600 } };
	assert_int_equal(store_write_wait(store, device_poll, &last), OK);
	return last.verdict;
}

static enum device_verdict
poll(const struct device *d)
{
	return poll_as(d, CLIENT);
}

/* ---- tests ---- */

static void
a_device_waits_until_a_person_agrees_and_then_gets_one_grant(void **state)
{
	(void)state;
	struct device d = device_of("BCDFGHJK");

	started(&d);
	assert_int_equal(poll(&d), DEVICE_PENDING);
	assert_int_equal(found(d.user_code), OK);
	assert_int_equal(decided(&d, true), OK);
	assert_int_equal(poll(&d), DEVICE_DECIDED);
	assert_int_equal(last.redemption.verdict, GRANT_OK);
	assert_true(last.redemption.refresh_token.n > 0);
	assert_int_equal(last.redemption.record.auth_time, 77);
	assert_true(slice_eq_str(last.redemption.record.sid, "sid1"));
	assert_int_equal(poll(&d), DEVICE_DECIDED);
	assert_int_equal(last.redemption.verdict, GRANT_REUSED);
}

static void
a_decision_is_taken_once(void **state)
{
	(void)state;
	struct device yes = device_of("BCDFGHJK"), no = device_of("BCDFGHJL");

	started(&yes);
	started(&no);
	assert_int_equal(decided(&yes, true), OK);
	assert_int_equal(decided(&yes, false), E_EMPTY);
	assert_int_equal(found(yes.user_code), E_EMPTY);
	assert_int_equal(decided(&no, false), OK);
	assert_int_equal(decided(&no, true), E_EMPTY);
	assert_int_equal(found(no.user_code), E_EMPTY);
	assert_int_equal(poll(&no), DEVICE_DENIED);
	assert_int_equal(poll(&yes), DEVICE_DECIDED);
}

static void
each_poll_that_comes_too_early_makes_the_pause_longer(void **state)
{
	(void)state;
	struct device d = device_of("BCDFGHJK");

	started(&d);
	assert_int_equal(poll(&d), DEVICE_PENDING);
	seconds_pass(DEVICE_INTERVAL_S);
	assert_int_equal(poll(&d), DEVICE_PENDING);
	seconds_pass(DEVICE_INTERVAL_S - 1);
	assert_int_equal(poll(&d), DEVICE_SLOW_DOWN);
	seconds_pass(DEVICE_INTERVAL_S);
	assert_int_equal(poll(&d), DEVICE_SLOW_DOWN); /* ten seconds were asked for */
	seconds_pass(DEVICE_INTERVAL_S + 2 * DEVICE_SLOW_DOWN_S);
	assert_int_equal(poll(&d), DEVICE_PENDING);
}

static void
another_client_learns_nothing_and_changes_nothing(void **state)
{
	(void)state;
	struct device d = device_of("BCDFGHJK");

	started(&d);
	assert_int_equal(poll_as(&d, "other"), DEVICE_OTHER_CLIENT);
	assert_int_equal(poll(&d), DEVICE_PENDING);
	assert_int_equal(decided(&d, true), OK);
	assert_int_equal(poll_as(&d, "other"), DEVICE_DECIDED);
	assert_int_equal(last.redemption.verdict, GRANT_OTHER_CLIENT);
	assert_int_equal(poll(&d), DEVICE_DECIDED);
	assert_int_equal(last.redemption.verdict, GRANT_OK);
}

static void
too_late_is_told_for_a_while_and_then_forgotten(void **state)
{
	(void)state;
	struct device d = device_of("BCDFGHJK");

	started(&d);
	seconds_pass(LIFETIME_S - 1);
	assert_int_equal(found(d.user_code), OK);
	seconds_pass(1);
	assert_int_equal(found(d.user_code), E_EMPTY);
	assert_int_equal(decided(&d, true), E_EMPTY);
	assert_int_equal(poll(&d), DEVICE_EXPIRED);
	seconds_pass(DEVICE_TOO_LATE_S);
	assert_int_equal(poll(&d), DEVICE_DECIDED);
	assert_int_equal(last.redemption.verdict, GRANT_UNKNOWN);
}

static void
agreed_in_the_last_second_it_can_still_be_fetched(void **state)
{
	(void)state;
	struct device d = device_of("BCDFGHJK");

	started(&d);
	seconds_pass(LIFETIME_S - 1);
	assert_int_equal(decided(&d, true), OK);
	seconds_pass(GRANT_CODE_LIFETIME_S - 1);
	assert_int_equal(poll(&d), DEVICE_DECIDED);
	assert_int_equal(last.redemption.verdict, GRANT_OK);
}

static void
a_user_code_belongs_to_one_device_at_a_time(void **state)
{
	(void)state;
	struct device first = device_of("BCDFGHJK"), second = device_of("BCDFGHJK");

	started(&first);
	assert_int_equal(store_write_wait(store, start, &second), E_CONFLICT);
	assert_int_equal(decided(&first, false), OK);
	started(&second);
}

static enum err
start_many(struct store_txn *t, void *arg)
{
	struct arena scratch;
	enum err e = OK;
	char user_code[16];

	(void)arg;
	arena_init(&scratch, 0);
	for (int i = 0; i < DEVICES_MAX + 500 && e == OK; i++) {
		unsigned char hash[32];
		int64_t until = now_s() + LIFETIME_S + i / 100;
		snprintf(user_code, sizeof(user_code), "%08d", i);
		struct record_device r = { .user_code = slice_str(user_code), .valid_until = until, .expires_at = until + DEVICE_TOO_LATE_S };
		e = device_put(t, store_hash(slice_str(user_code), hash), &r, &scratch);
	}
	arena_fini(&scratch);
	return e;
}

static enum err
count(struct store_txn *t, void *arg)
{
	size_t *n = arg;

	n[0] = store_count(t, RECORD_DEVICE);
	n[1] = store_count(t, RECORD_USER_CODE);
	return OK;
}

static void
devices_that_wait_are_bounded_and_the_oldest_go_first(void **state)
{
	(void)state;
	size_t n[2];

	assert_int_equal(store_write_wait(store, start_many, NULL), OK);
	assert_int_equal(store_read(store, count, n), OK);
	assert_int_equal(n[0], DEVICES_MAX);
	assert_int_equal(n[1], DEVICES_MAX);
	assert_int_equal(found(SLICE_LIT("00000000")), E_EMPTY);
	assert_int_equal(found(SLICE_LIT("00010499")), OK);
}

static void
user_codes_are_read_as_people_type_them(void **state)
{
	(void)state;
	static const struct {
		const char *typed, *read;
	} rows[] = { { "BCDF-GHJK", "BCDFGHJK" }, { " bcdf ghjk ", "BCDFGHJK" }, { "b-c-d-f-g-h-j-k", "BCDFGHJK" }, { "WXZW-XZWX", "WXZWXZWX" }, { "", NULL },
		{ "BCDF-GHJ", NULL }, { "BCDF-GHJKL", NULL }, { "ACDF-GHJK", NULL }, { "BCDF_GHJK", NULL }, { "BCDF-GHJ1", NULL }, { "BCDF-GHJ\xc3", NULL } };

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct slice got = device_user_code_read(&arena, slice_str(rows[i].typed));
		assert_true(rows[i].read ? slice_eq_str(got, rows[i].read) : got.p == NULL);
	}
	assert_null(device_user_code_read(&arena, slice_of("BCDFGHJ\0", 8)).p);
	assert_true(slice_eq_str(device_user_code_shown(&arena, SLICE_LIT("BCDFGHJK")), "BCDF-GHJK"));
}

static void
user_codes_use_each_letter_and_can_be_read_again(void **state)
{
	(void)state;
	struct authd app = { .rng = &rng_system };
	struct request r = { .app = &app };
	unsigned seen[256] = { 0 }, letters = 0;

	arena_init(&r.arena, 0);
	for (int i = 0; i < 500; i++) {
		struct slice code = device_user_code_make(&r);
		assert_int_equal(code.n, DEVICE_USER_CODE_CHARS);
		assert_true(slice_eq(device_user_code_read(&arena, device_user_code_shown(&arena, code)), code));
		for (size_t j = 0; j < code.n; j++)
			letters += seen[(unsigned char)code.p[j]]++ == 0;
	}
	assert_int_equal(letters, 20);
	arena_fini(&r.arena);
}

#define DEVICE_TEST(f) cmocka_unit_test_setup_teardown(f, begin, records_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		DEVICE_TEST(a_device_waits_until_a_person_agrees_and_then_gets_one_grant),
		DEVICE_TEST(a_decision_is_taken_once),
		DEVICE_TEST(each_poll_that_comes_too_early_makes_the_pause_longer),
		DEVICE_TEST(another_client_learns_nothing_and_changes_nothing),
		DEVICE_TEST(too_late_is_told_for_a_while_and_then_forgotten),
		DEVICE_TEST(agreed_in_the_last_second_it_can_still_be_fetched),
		DEVICE_TEST(a_user_code_belongs_to_one_device_at_a_time),
		DEVICE_TEST(devices_that_wait_are_bounded_and_the_oldest_go_first),
		DEVICE_TEST(user_codes_are_read_as_people_type_them),
		DEVICE_TEST(user_codes_use_each_letter_and_can_be_read_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
