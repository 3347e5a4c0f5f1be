#include "authd/authorization.h"
#include "tests/unit/records_unit.h"

#define COOKIE "the pre-login cookie of one browser"

static struct record_auth_request
request_for(int64_t expires_at, unsigned char hash[32])
{
	return (struct record_auth_request){ .client_id = SLICE_LIT("cli"), .scope = SLICE_LIT("openid email"),
		.browser_hash = store_hash(SLICE_LIT(COOKIE), hash), .expires_at = expires_at };
}

static enum err
put_many(struct store_txn *t, void *arg)
{
	unsigned char hash[32];
	char id[16];
	int n = *(int *)arg;

	for (int i = 0; i < n; i++) {
		struct record_auth_request a = request_for(STORE_UNIT_NOW + 1000 + i, hash);
		enum err e = authorization_put(t, slice_of(id, (size_t)snprintf(id, sizeof id, "id-%d", i)), &a);
		if (e != OK)
			return e;
	}
	return OK;
}

static enum err
count(struct store_txn *t, void *arg)
{
	*(size_t *)arg = store_count(t, RECORD_AUTH_REQUEST);
	return OK;
}

struct get {
	const char *id, *cookie;
};

static enum err
get(struct store_txn *t, void *arg)
{
	const struct get *g = arg;
	struct record_auth_request a;

	return authorization_get(t, slice_str(g->id), slice_str(g->cookie), &arena, &a);
}

static enum err
got(const char *id, const char *cookie)
{
	struct get g = { id, cookie };

	return store_read(store, get, &g);
}

static void
sign_ins_under_way_are_bounded_and_the_oldest_go_first(void **state)
{
	(void)state;
	int n = AUTH_REQUESTS_MAX + 50;
	size_t there = 0;

	assert_int_equal(store_write_wait(store, put_many, &n), OK);
	assert_int_equal(store_read(store, count, &there), OK);
	assert_int_equal(there, AUTH_REQUESTS_MAX);
	assert_int_equal(got("id-49", COOKIE), E_EMPTY);
	assert_int_equal(got("id-50", COOKIE), OK);
}

static enum err
put_signed_in(struct store_txn *t, void *arg)
{
	unsigned char hash[32];
	char id[24];
	int n = *(int *)arg;

	for (int i = 0; i < n; i++) {
		struct record_auth_request a = request_for(STORE_UNIT_NOW + 900, hash);
		a.logged_in = true;
		enum err e = authorization_put(t, slice_of(id, (size_t)snprintf(id, sizeof id, "signed-in-%d", i)), &a);
		if (e != OK)
			return e;
	}
	return OK;
}

static void
who_has_signed_in_and_is_asked_for_approval_is_not_pushed_out(void **state)
{
	int people = 200, flood = 3 * AUTH_REQUESTS_MAX;
	size_t there = 0;
	char id[24];

	(void)state;
	assert_int_equal(store_write_wait(store, put_signed_in, &people), OK);
	assert_int_equal(store_write_wait(store, put_many, &flood), OK);
	assert_int_equal(store_read(store, count, &there), OK);
	assert_int_equal(there, AUTH_REQUESTS_MAX);
	for (int i = 0; i < people; i++) {
		snprintf(id, sizeof id, "signed-in-%d", i);
		assert_int_equal(got(id, COOKIE), OK);
	}
}

/* A table of nothing but signed-in people stays as bounded as any other. */
static void
even_signed_in_ones_are_bounded(void **state)
{
	int people = AUTH_REQUESTS_MAX + 500;
	size_t there = 0;

	(void)state;
	assert_int_equal(store_write_wait(store, put_signed_in, &people), OK);
	assert_int_equal(store_read(store, count, &there), OK);
	assert_int_equal(there, AUTH_REQUESTS_MAX);
}

/* CVE-2022-39222: who knows the id of somebody else's sign-in must gain nothing by it. */
static void
an_id_is_worth_nothing_without_the_cookie_of_its_browser(void **state)
{
	(void)state;
	int n = 1;

	assert_int_equal(store_write_wait(store, put_many, &n), OK);
	assert_int_equal(got("id-0", COOKIE), OK);
	assert_int_equal(got("id-0", "another cookie"), E_EMPTY);
	assert_int_equal(got("id-0", ""), E_EMPTY);
	assert_int_equal(got("", COOKIE), E_EMPTY);
	clock_fixed_advance(&store_unit_clock, 1000);
	assert_int_equal(got("id-0", COOKIE), E_EMPTY);
}

struct approving {
	const char *user_id, *client, *scope;
	bool approve, approved;
};

static enum err
approving(struct store_txn *t, void *arg)
{
	struct approving *p = arg;
	struct record_auth_request a = { .client_id = slice_str(p->client), .scope = slice_str(p->scope) };
	struct record_user user = { .connector_id = SLICE_LIT("local"), .user_id = slice_str(p->user_id) };

	return p->approve ? authorization_approve(t, &a, &user, &arena, STORE_UNIT_NOW) : authorization_approved(t, &a, &user, &arena, &p->approved);
}

static void
approve(const char *user_id, const char *client, const char *scope)
{
	struct approving p = { user_id, client, scope, true, false };

	assert_int_equal(store_write_wait(store, approving, &p), OK);
}

static bool
approved(const char *user_id, const char *client, const char *scope)
{
	struct approving p = { user_id, client, scope, false, false };

	assert_int_equal(store_read(store, approving, &p), OK);
	return p.approved;
}

static void
approval_covers_what_was_approved_for_that_person_and_client(void **state)
{
	(void)state;
	approve("u", "cli", "openid email");
	assert_true(approved("u", "cli", "email openid"));
	assert_true(approved("u", "cli", " openid  "));
	assert_false(approved("u", "cli", "openid groups"));
	assert_false(approved("u", "cli", "openid emai"));
	assert_false(approved("u", "web", "openid"));
	assert_false(approved("v", "cli", "openid"));
	approve("u", "cli", "openid groups");
	assert_true(approved("u", "cli", "openid groups email"));
}

static void
a_person_with_an_endless_id_is_asked_each_time(void **state)
{
	(void)state;
	char id[1000];

	memset(id, 'a', sizeof id - 1);
	id[sizeof id - 1] = 0;
	approve(id, "cli", "openid");
	assert_false(approved(id, "cli", "openid"));
}

#define AUTHORIZATION_TEST(f) cmocka_unit_test_setup_teardown(f, records_begin, records_end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		AUTHORIZATION_TEST(sign_ins_under_way_are_bounded_and_the_oldest_go_first),
		AUTHORIZATION_TEST(who_has_signed_in_and_is_asked_for_approval_is_not_pushed_out),
		AUTHORIZATION_TEST(even_signed_in_ones_are_bounded),
		AUTHORIZATION_TEST(an_id_is_worth_nothing_without_the_cookie_of_its_browser),
		AUTHORIZATION_TEST(approval_covers_what_was_approved_for_that_person_and_client),
		AUTHORIZATION_TEST(a_person_with_an_endless_id_is_asked_each_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
