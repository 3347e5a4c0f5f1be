#include "authd/directory.h"
#include "authd/person.h"
#include "tests/unit/records_unit.h"

static const struct client clients[] = { { .id = "web", .secret = "configured", .name = "Web" }, { .id = "cli", .name = "CLI", .public = true } };
static struct authd_password passwords[] = {
	{ .email = "jane@example.com", .hash = "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W", .username = "jane", .user_id = "u1" },
	{ .email = "a@example.com", .hash = "", .username = "twin", .user_id = "u2" },
	{ .email = "b@example.com", .hash = "", .username = "twin", .user_id = "u3" },
};
static struct authd_config config;
static struct generation generation;
static struct directory d;

static int
begin(void **state)
{
	records_begin(state);
	config = (struct authd_config){ .enable_password_db = true, .passwords = { passwords, 3 } };
	config.clients = (struct client *)(uintptr_t)clients;
	config.client_n = 2;
	generation = (struct generation){ .config = &config };
	d = (struct directory){ .generation = &generation, .store = store, .arena = &arena };
	return 0;
}

struct put {
	enum record_kind kind;
	struct slice key;
	const void *record;
};

static enum err
put_fn(struct store_txn *t, void *arg)
{
	const struct put *p = arg;
	return store_put(t, p->kind, p->key, p->record);
}

static void
put(enum record_kind kind, struct slice key, const void *record)
{
	assert_int_equal(store_write_wait(store, put_fn, &(struct put){ kind, key, record }), OK);
}

static void
put_account(const char *user_id, const char *email, const char *username, const char *hash)
{
	static struct slice groups[] = { { "ops", 3 }, { "dev", 3 } };
	struct record_account a = { .hash = slice_str(hash), .email = slice_str(email), .username = slice_str(username), .groups = { groups, 2 },
		.email_verified = true, .created_at = STORE_UNIT_NOW };
	struct record_account_name name = { .user_id = slice_str(user_id) };

	put(RECORD_ACCOUNT, slice_str(user_id), &a);
	put(RECORD_ACCOUNT_NAME, directory_email_key(&arena, slice_str(email)), &name);
	put(RECORD_ACCOUNT_NAME, directory_username_key(&arena, slice_str(username)), &name);
}

static const char *
id_by_login(const char *login)
{
	const struct authd_password *p = NULL;
	enum err e = directory_account_by_login(&d, slice_str(login), &p);

	return e == OK ? p->user_id : err_name(e);
}

static void
a_configured_client_wins_over_a_stored_one_of_its_id(void **state)
{
	(void)state;
	const struct client *c;
	struct record_client stored = { .name = SLICE_LIT("Impostor"), .public = true };

	put(RECORD_CLIENT, SLICE_LIT("web"), &stored);
	assert_int_equal(directory_client(&d, SLICE_LIT("web"), &c), OK);
	assert_ptr_equal(c, &clients[0]);
	assert_true(directory_secret_ok(c, SLICE_LIT("configured")));
	assert_false(directory_secret_ok(c, SLICE_LIT("Configured")));
}

static void
a_stored_client_has_all_that_was_stored_and_its_secret_by_hash(void **state)
{
	(void)state;
	struct slice uris[] = { SLICE_LIT("https://a/cb"), SLICE_LIT("https://b/cb") }, peers[] = { SLICE_LIT("web") }, connectors[] = { SLICE_LIT("local") },
		     after[] = { SLICE_LIT("https://a/bye") };
	unsigned char hash[32];
	struct record_client stored = { .secret_hash = store_hash(SLICE_LIT("s3cret"), hash), .name = SLICE_LIT("App"), .logo_url = SLICE_LIT("https://a/l.png"),
		.backchannel_logout_uri = SLICE_LIT("https://a/out"), .redirect_uris = { uris, 2 }, .trusted_peers = { peers, 1 },
		.allowed_connectors = { connectors, 1 }, .post_logout_redirect_uris = { after, 1 } };
	const struct client *c;

	put(RECORD_CLIENT, SLICE_LIT("app"), &stored);
	assert_int_equal(directory_client(&d, SLICE_LIT("app"), &c), OK);
	assert_string_equal(c->id, "app");
	assert_string_equal(c->name, "App");
	assert_string_equal(c->logo_url, "https://a/l.png");
	assert_string_equal(c->backchannel_logout_uri, "https://a/out");
	assert_int_equal(c->redirect_uri_n, 2);
	assert_string_equal(c->redirect_uris[1], "https://b/cb");
	assert_string_equal(c->trusted_peers[0], "web");
	assert_string_equal(c->allowed_connectors[0], "local");
	assert_string_equal(c->post_logout_redirect_uris[0], "https://a/bye");
	assert_false(c->public);
	assert_true(client_has_secret(c) && !c->secret);
	assert_true(directory_secret_ok(c, SLICE_LIT("s3cret")));
	assert_false(directory_secret_ok(c, SLICE_LIT("s3crey")));
	assert_false(directory_secret_ok(c, c->secret_hash));
	assert_false(directory_secret_ok(c, SLICE_LIT("")));
}

static const struct client_claim claims[] = { { "tenant", "acme", CLAIM_TEXT }, { "login", NULL, CLAIM_PREFERRED_USERNAME } };
static const char *const uris[] = { "https://a/cb" }, *const peers[] = { "web" }, *const connectors[] = { "local" }, *const after[] = { "https://a/bye" },
	*const groups[] = { "acme:*", "ops" };
static const struct client everything = { .id = "app", .name = "App", .redirect_uris = uris, .redirect_uri_n = 1, .trusted_peers = peers, .trusted_peer_n = 1,
	.allowed_connectors = connectors, .allowed_connector_n = 1, .post_logout_redirect_uris = after, .post_logout_redirect_uri_n = 1,
	.backchannel_logout_uri = "https://a/out", .logo_url = "https://a/l.png", .grant_types = GRANT_BIT(GRANT_REFRESH_TOKEN) | GRANT_BIT(GRANT_DEVICE_CODE),
	.id_tokens_s = 600, .refresh_absolute_s = 7200, .refresh_idle_s = 3600, .groups = groups, .group_n = 2, .claims = claims, .claim_n = 2,
	.signing_alg = JWS_ES256, .plain_subject = true, .public = true };

static void
assert_texts(const char *const *a, size_t a_n, const char *const *b, size_t b_n)
{
	assert_int_equal(a_n, b_n);
	for (size_t i = 0; i < a_n; i++)
		assert_string_equal(a[i], b[i]);
}

static void
what_the_configuration_can_say_of_a_client_a_record_can(void **state)
{
	(void)state;
	struct record_client record;
	const struct client *c, *e = &everything;

	assert_int_equal(directory_client_record(&arena, e, &record), OK);
	put(RECORD_CLIENT, SLICE_LIT("app"), &record);
	assert_int_equal(directory_client(&d, SLICE_LIT("app"), &c), OK);
	assert_string_equal(c->name, e->name);
	assert_texts(c->redirect_uris, c->redirect_uri_n, e->redirect_uris, e->redirect_uri_n);
	assert_texts(c->trusted_peers, c->trusted_peer_n, e->trusted_peers, e->trusted_peer_n);
	assert_texts(c->allowed_connectors, c->allowed_connector_n, e->allowed_connectors, e->allowed_connector_n);
	assert_texts(c->post_logout_redirect_uris, c->post_logout_redirect_uri_n, e->post_logout_redirect_uris, e->post_logout_redirect_uri_n);
	assert_texts(c->groups, c->group_n, e->groups, e->group_n);
	assert_string_equal(c->backchannel_logout_uri, e->backchannel_logout_uri);
	assert_string_equal(c->logo_url, e->logo_url);
	assert_int_equal(c->grant_types, e->grant_types);
	assert_int_equal(c->id_tokens_s, 600);
	assert_int_equal(c->refresh_absolute_s, 7200);
	assert_int_equal(c->refresh_idle_s, 3600);
	assert_int_equal(c->signing_alg, JWS_ES256);
	assert_true(c->plain_subject && c->public);
	assert_int_equal(c->claim_n, 2);
	assert_string_equal(c->claims[0].name, "tenant");
	assert_string_equal(c->claims[0].text, "acme");
	assert_int_equal(c->claims[0].from, CLAIM_TEXT);
	assert_string_equal(c->claims[1].name, "login");
	assert_null(c->claims[1].text);
	assert_int_equal(c->claims[1].from, CLAIM_PREFERRED_USERNAME);
}

static void
what_a_later_version_stored_limits_a_client_and_gives_it_nothing(void **state)
{
	(void)state;
	struct slice grants[] = { SLICE_LIT("urn:later") }, three[] = { SLICE_LIT("a"), SLICE_NONE, SLICE_LIT("later"), SLICE_LIT("b"), SLICE_LIT("x"), SLICE_NONE };
	struct record_client record = { .name = SLICE_LIT("App"), .public = true, .grant_types = { grants, 1 }, .claims = { three, 6 }, .signing_alg = SLICE_LIT("ES999") };
	const struct client *c;

	put(RECORD_CLIENT, SLICE_LIT("app"), &record);
	assert_int_equal(directory_client(&d, SLICE_LIT("app"), &c), OK);
	assert_true(c->grant_types); /* not all of them */
	for (size_t i = 0; i < GRANT_TYPES; i++)
		assert_false(c->grant_types & GRANT_BIT(i));
	assert_int_equal(c->claim_n, 1);
	assert_string_equal(c->claims[0].name, "b");
	assert_int_equal(c->signing_alg, JWS_ALG_NONE);
	record.claims.n = 5;
	put(RECORD_CLIENT, SLICE_LIT("app"), &record);
	assert_int_equal(directory_client(&d, SLICE_LIT("app"), &c), E_FORMAT);
}

static void
what_clients_want_of_the_keys_is_what_all_of_them_want(void **state)
{
	(void)state;
	struct directory_needs needs;
	struct record_client record;
	struct client one = { .id = "one", .name = "One", .public = true, .id_tokens_s = 86400 };

	config.expiry.id_tokens_ms = 3600 * 1000;
	assert_int_equal(directory_needs(&d, &needs), OK);
	assert_int_equal(needs.algs, 0);
	assert_int_equal(needs.tokens_s, 3600);
	assert_int_equal(directory_client_record(&arena, &one, &record), OK);
	put(RECORD_CLIENT, SLICE_LIT("one"), &record);
	one.signing_alg = JWS_ES256;
	one.id_tokens_s = 60;
	assert_int_equal(directory_client_record(&arena, &one, &record), OK);
	put(RECORD_CLIENT, SLICE_LIT("two"), &record);
	assert_int_equal(directory_needs(&d, &needs), OK);
	assert_int_equal(needs.algs, KEYS_ALG(JWS_ES256));
	assert_int_equal(needs.tokens_s, 86400);
}

static void
no_secret_is_right_for_a_client_without_one(void **state)
{
	(void)state;
	struct record_client stored = { .name = SLICE_LIT("App"), .public = true };
	const struct client *c;

	put(RECORD_CLIENT, SLICE_LIT("app"), &stored);
	assert_int_equal(directory_client(&d, SLICE_LIT("app"), &c), OK);
	assert_true(c->public && !client_has_secret(c));
	assert_false(directory_secret_ok(c, SLICE_LIT("")));
	assert_int_equal(directory_client(&d, SLICE_LIT("nobody"), &c), E_EMPTY);
	assert_int_equal(directory_client(&d, SLICE_NONE, &c), E_EMPTY);
}

static void
people_are_found_by_address_in_any_case_and_by_user_name(void **state)
{
	(void)state;
	put_account("s1", "Max@Example.com", "max", passwords[0].hash);
	assert_string_equal(id_by_login("JANE@example.com"), "u1");
	assert_string_equal(id_by_login("jane"), "u1");
	assert_string_equal(id_by_login("mAX@eXAMPLE.com"), "s1");
	assert_string_equal(id_by_login("max"), "s1");
	assert_string_equal(id_by_login("Max"), "E_EMPTY");
	assert_string_equal(id_by_login("twin"), "E_EMPTY");
	assert_string_equal(id_by_login(""), "E_EMPTY");
	assert_string_equal(id_by_login("email:max@example.com"), "E_EMPTY");
}

static void
configured_people_win_by_address_name_and_id(void **state)
{
	(void)state;
	const struct authd_password *p;

	put_account("s1", "jane@example.com", "jane", passwords[0].hash);
	put_account("u2", "c@example.com", "twin", passwords[0].hash);
	assert_string_equal(id_by_login("jane@example.com"), "u1");
	assert_string_equal(id_by_login("jane"), "u1");
	assert_string_equal(id_by_login("twin"), "E_EMPTY");
	assert_int_equal(directory_account(&d, SLICE_LIT("u2"), &p), OK);
	assert_ptr_equal(p, &passwords[1]);
}

static void
a_login_with_a_nul_is_nobodys(void **state)
{
	(void)state;
	const struct authd_password *p;

	put_account("s1", "max@example.com", "max", passwords[0].hash);
	assert_int_equal(directory_account_by_login(&d, slice_of("max\0x", 5), &p), E_EMPTY);
}

static void
a_stored_person_lives_on_in_sessions_until_removed(void **state)
{
	(void)state;
	struct record_user u = { .connector_id = SLICE_LIT("local"), .user_id = SLICE_LIT("s1"), .username = SLICE_LIT("old name") };

	assert_int_equal(person_refresh(&d, &u), E_DENIED);
	put_account("s1", "max@example.com", "max", passwords[0].hash);
	assert_int_equal(person_refresh(&d, &u), OK);
	assert_true(slice_eq_str(u.username, "max") && slice_eq_str(u.email, "max@example.com") && u.email_verified);
	assert_int_equal(u.groups.n, 2);
	assert_true(slice_eq_str(u.groups.items[1], "dev"));
	config.enable_password_db = false;
	assert_int_equal(person_refresh(&d, &u), E_DENIED);
}

static enum err
refresh_inside(struct store_txn *t, void *arg)
{
	struct directory inside = directory_in(&generation, t, &arena);
	return person_refresh(&inside, arg);
}

static void
inside_a_write_its_own_transaction_is_read(void **state)
{
	(void)state;
	struct record_user u = { .connector_id = SLICE_LIT("local"), .user_id = SLICE_LIT("s1") };

	put_account("s1", "max@example.com", "max", passwords[0].hash);
	assert_int_equal(store_write_wait(store, refresh_inside, &u), OK);
	assert_true(slice_eq_str(u.email, "max@example.com"));
}

static void
unknown_people_cost_as_much_as_the_costliest(void **state)
{
	(void)state;
	assert_int_equal(directory_password_cost(&d), 10);
	put_account("s1", "max@example.com", "max", "$2b$13$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W");
	put_account("s2", "moe@example.com", "moe", passwords[0].hash);
	assert_int_equal(directory_password_cost(&d), 13);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_configured_client_wins_over_a_stored_one_of_its_id, begin, records_end),
		cmocka_unit_test_setup_teardown(a_stored_client_has_all_that_was_stored_and_its_secret_by_hash, begin, records_end),
		cmocka_unit_test_setup_teardown(what_the_configuration_can_say_of_a_client_a_record_can, begin, records_end),
		cmocka_unit_test_setup_teardown(what_a_later_version_stored_limits_a_client_and_gives_it_nothing, begin, records_end),
		cmocka_unit_test_setup_teardown(what_clients_want_of_the_keys_is_what_all_of_them_want, begin, records_end),
		cmocka_unit_test_setup_teardown(no_secret_is_right_for_a_client_without_one, begin, records_end),
		cmocka_unit_test_setup_teardown(people_are_found_by_address_in_any_case_and_by_user_name, begin, records_end),
		cmocka_unit_test_setup_teardown(configured_people_win_by_address_name_and_id, begin, records_end),
		cmocka_unit_test_setup_teardown(a_login_with_a_nul_is_nobodys, begin, records_end),
		cmocka_unit_test_setup_teardown(a_stored_person_lives_on_in_sessions_until_removed, begin, records_end),
		cmocka_unit_test_setup_teardown(inside_a_write_its_own_transaction_is_read, begin, records_end),
		cmocka_unit_test_setup_teardown(unknown_people_cost_as_much_as_the_costliest, begin, records_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
