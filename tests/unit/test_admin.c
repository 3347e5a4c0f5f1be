/* The control socket of a whole authd: who may ask, what is answered, many sessions, and memory that runs out. */
#include "tests/unit/admin_unit.h"
#include "authd/directory.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MANY 10000 /* sanitizers are slow */
#else
#define MANY 100000
#endif

static size_t
end_all(const char *form)
{
	char all[2048], after[600] = "";
	size_t n = 0;

	do {
		snprintf(all, sizeof(all), "%s%s%s", form, *after ? "&after=" : "", after);
		assert_int_equal(post("/sessions/end", all), 200);
		json_t *page = answered();
		const char *more = json_string_value(json_object_get(page, "after"));
		n += (size_t)json_integer_value(json_object_get(page, "ended"));
		snprintf(after, sizeof(after), "%s", more ? more : "");
		json_decref(page);
	} while (*after);
	return n;
}

/* ---- who may ---- */

static void
the_socket_is_ours_alone(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(ctl_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(gateway_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
}

static void
control_requests_are_served_nowhere_else_and_nothing_else_is_served_there(void **state)
{
	static const char *const elsewhere[] = { "/stats", "/sessions?kind=browser", "/keys", "/users", "/clients" };

	(void)state;
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
		assert_int_equal(get(gateway_path, elsewhere[i]), 404);
		assert_int_equal(get(ctl_path, elsewhere[i]), 200);
	}
	assert_int_equal(ask(ctl_path, "GET /oidc/keys HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), 404);
	assert_int_equal(ask(ctl_path, "POST /internal/session HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), 404);
	assert_int_equal(ask(gateway_path, "GET /oidc/keys HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), 200);
	assert_int_equal(get(ctl_path, ""), 404);
	assert_int_equal(get(ctl_path, "/users/add"), 404);
	assert_non_null(strstr(body, "different versions"));
}

static void
what_cannot_be_read_is_refused_with_a_reason(void **state)
{
	static const struct {
		const char *path, *form, *why;
	} cases[] = {
		{ "/sessions/end", "kind=browser", "nothing says which sessions" },
		{ "/sessions/end", "kind=approval&all=true", "nothing says which sessions" },
		{ "/sessions/end", "kind=odd&all=true", "kind is" },
		{ "/sessions/end", "all=true", "kind is" },
		{ "/sessions/end", "kind=browser&all=true&after=%21", "after" },
		{ "/sessions/end", "kind=browser&kind=offline&all=true", "kind was given twice" },
		{ "/sessions/end", "kind=browser&sids=a%0A%0Ab", "sids is no list" },
		{ "/sessions/end", "kind=%ff", "cannot be read" },
		{ "/clients/add", "id=", "id: expected" },
		{ "/clients/add", "id=a%09b&name=n&public=true", "id: expected" },
		{ "/clients/add", "id=a", "\"expected the keys of one client" },
		{ "/clients/add", "id=a&file=c.yaml", "\"c.yaml: expected the keys of one client" },
		{ "/clients/add", "id=a&document=[1]", "\"expected the keys of one client" },
		{ "/clients/add", "id=a&document={name:+n", "\"expected YAML" },
		{ "/clients/add", "id=a&document={public:+true}", "\"name: expected a value" },
		{ "/clients/add", "id=a&document={name:+'+a',public:+true}", "\"name: expected a text of 1 to" },
		{ "/clients/add", "id=a&document={name:+n}", "\"secret: " },
		{ "/clients/add", "id=a&secret_hash=AAAA&document={name:+n}", "secret_hash: expected" },
		{ "/clients/add", "id=a&secret_hash=%2a&document={name:+n}", "secret_hash: expected" },
		{ "/clients/add", "id=a&document={name:+n,public:+true,redirectURIs:+['javascript:x']}", "\"redirectURIs[0]: expected" },
		{ "/clients/add", "id=a&file=c.yaml&document={name:+n,public:+true,%0AredirectURIs:+[%0A'https://a/',%0A'https://b/%23x']}",
			"\"c.yaml:4: redirectURIs[1]: expected" },
		{ "/clients/add", "id=a&document={name:+n,public:+true,allowedConnectors:+[nosuch]}", "\"allowedConnectors[0]: expected the id of a connector" },
		{ "/clients/add", "id=a&document={name:+n,public:+true,trustedPeers:+['']}", "\"trustedPeers[0]: expected the id" },
		{ "/clients/add", "id=a&document={name:+n,public:+true,logoURL:+'ftp://a'}", "\"logoURL: expected" },
		{ "/clients/add", "id=a&document={name:+n,public:+true,backchannelLogoutURI:+x}", "\"backchannelLogoutURI: expected" },
		{ "/clients/add", "id=a&document={name:+n,public:+true,postLogoutRedirectURIs:+['data:x']}", "\"postLogoutRedirectURIs[0]: expected" },
		{ "/clients/add", "id=a&document={name:+n,public:+true,grantTypes:+[x]}", "\"grantTypes[0]: expected authorization_code" },
		{ "/clients/add", "id=a&document={name:+n,public:+true,idTokenSignedResponseAlg:+none}", "\"idTokenSignedResponseAlg: expected RS256 or ES256" },
		{ "/clients/add", "id=a&document={name:+n,public:+true,expiry:+{idTokens:+1x}}", "\"expiry.idTokens: expected a duration" },
		{ "/clients/add", "id=a&document={name:+n,public:+true,expiry:+{idTokens:+8000h}}", "\"expiry.idTokens: expected at most 48 times" },
		{ "/clients/add", "id=a&document={name:+n,public:+true,claims:+[{name:+sub,value:+x}]}", "\"claims[0].name: " },
		{ "/clients/add", "id=a&document={name:+n,public:+true,group:+[x]}", "\"group: expected a known key (the nearest is \\\"groups\\\")" },
		{ "/clients/add", "id=a&document={name:+n,public:+true,mfaChain:+[x]}", "\"mfaChain: is known to dex" },
		{ "/clients/set", "id=", "id: expected" },
		{ "/users/add", "email=a@b", "password: a bcrypt hash" },
		{ "/users/add", "email=a@b&hash=$2a$04$33EMT0cVYVlPy6WAMCLsceLYjWhuHpbz5yuZxu/GAFj03J9Lytjuy", "too easy" },
		{ "/users/add", "email=%20a&hash=" HASH, "email: expected" },
		{ "/users/add", "email=a@b&username=x%0Ay&hash=" HASH, "username: expected" },
		{ "/users/add", "email=a@b&name=x%0Ay&hash=" HASH, "name: expected" },
		{ "/users/add", "email=a@b&preferred_username=x%0Ay&hash=" HASH, "preferred-username: expected" },
		{ "/users/add", "email=a@b&user_id=%20&hash=" HASH, "user-id: expected" },
		{ "/users/add", "email=a@b&groups=a%0A%0Ab&hash=" HASH, "group: expected" },
		{ "/users/add", "email=a@b&groups=a%0A%20b&hash=" HASH, "group: expected" },
		{ "/users/passwd", "user=j&hash=x", "password: expected" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = post(cases[i].path, cases[i].form);
		if (status != 400 || !strstr(body, cases[i].why))
			fail_msg("%s %s: %d %s", cases[i].path, cases[i].form, status, body);
		json_decref(answered());
	}
	assert_int_equal(get(ctl_path, "/sessions?kind=approval"), 400);
	assert_int_equal(get(ctl_path, "/users?after=*"), 400);
	assert_int_equal(ask(ctl_path, "POST " CTL_PATH "/users/add HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"), 400);
}

/* ---- clients, users ---- */

static void
a_stored_client_comes_and_goes_and_a_configured_one_stays(void **state)
{
	char last[128];

	(void)state;
	assert_int_equal(post("/clients/add", "id=web&secret_hash=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&document={name:+Web,"
					      "redirectURIs:+['https://a/cb','https://b/cb'],allowedConnectors:+[local],trustedPeers:+[cli]}"), 200);
	assert_int_equal(post("/clients/add", "id=web&document={name:+Web,public:+true,redirectURIs:+['https://a/cb']}"), 409);
	assert_int_equal(post("/clients/add", "id=cli&document={name:+Web,public:+true,redirectURIs:+['https://a/cb']}"), 409);
	assert_int_equal(count_all("/clients?x=", "id", last), 2);
	assert_string_equal(last, "web");
	assert_non_null(strstr(body, "\"redirect_uris\":[\"https://a/cb\",\"https://b/cb\"]"));
	assert_non_null(strstr(body, "\"has_secret\":true"));
	assert_int_equal(post("/clients/remove", "id=cli"), 409);
	assert_non_null(strstr(body, "staticClients"));
	assert_int_equal(post("/clients/remove", "id=web"), 200);
	assert_int_equal(post("/clients/remove", "id=web"), 404);
	assert_int_equal(count_all("/clients?x=", NULL, last), 1);
}

static void
nobody_can_be_mistaken_for_somebody_else(void **state)
{
	static const struct {
		const char *form, *why;
	} taken[] = {
		{ "email=M@example.com&hash=" HASH, "address" },
		{ "email=J@EXAMPLE.com&hash=" HASH, "address" },
		{ "email=x@example.com&username=m&hash=" HASH, "user name" },
		{ "email=x@example.com&username=j&hash=" HASH, "user name" },
		{ "email=x@example.com&username=m@example.com&hash=" HASH, "user name" },
		{ "email=m&hash=" HASH, "address" },
		{ "email=x@example.com&user_id=s1&hash=" HASH, "user id" },
		{ "email=x@example.com&user_id=u1&hash=" HASH, "user id" },
	};
	char last[128];

	(void)state;
	assert_int_equal(post("/users/add", "email=m@example.com&username=m&user_id=s1&groups=a%0Ab&hash=" HASH), 200);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		int status = post("/users/add", taken[i].form);
		if (status != 409 || !strstr(body, taken[i].why))
			fail_msg("%s: %d %s", taken[i].form, status, body);
	}
	assert_int_equal(count_all("/users?x=", "user_id", last), 2);
	assert_string_equal(last, "s1");
}

static void
a_stored_user_is_found_by_address_name_and_id_and_a_configured_one_is_left_alone(void **state)
{
	static const char *const names[] = { "user=M@example.COM", "user=m", "user=s1" };
	char form[256];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		snprintf(form, sizeof(form), "%s&hash=%s", names[i], HASH);
		assert_int_equal(post("/users/passwd", form), 200);
		assert_int_equal(post("/users/remove", names[i]), 200);
		assert_string_equal(body, "{\"user_id\":\"s1\"}");
		assert_int_equal(post("/users/remove", names[i]), 404);
		assert_int_equal(post("/users/add", "email=m@example.com&username=m&user_id=s1&hash=" HASH), 200);
	}
	assert_int_equal(post("/users/remove", "user=j"), 409);
	assert_int_equal(post("/users/passwd", "user=u1&hash=" HASH), 409);
	assert_non_null(strstr(body, "staticPasswords"));
	assert_int_equal(post("/users/passwd", "user=nobody&hash=" HASH), 404);
}

static void
a_user_without_an_id_gets_one(void **state)
{
	json_t *o;

	(void)state;
	assert_int_equal(post("/users/add", "email=n@example.com&hash=" HASH), 200);
	o = answered();
	assert_int_equal(strlen(json_string_value(json_object_get(o, "user_id"))), 22);
	json_decref(o);
}

/* ---- many sessions ---- */

struct fill {
	size_t first, n;
};

static enum err
fill_sessions(struct store_txn *t, void *arg)
{
	const struct fill *f = arg;
	int64_t now_s = clock_now_s(&clock_system);
	struct slice groups[] = { SLICE_LIT("developers"), SLICE_LIT("ops") };
	enum err e = OK;

	for (size_t i = f->first; i < f->first + f->n && e == OK; i++) {
		char sid[32], id[32], email[64], key[64];
		unsigned char hash[32];
		snprintf(sid, sizeof(sid), "sid-%zu", i);
		snprintf(id, sizeof(id), "%zu", i % 1000);
		snprintf(email, sizeof(email), "user-%zu@example.com", i % 1000);
		snprintf(key, sizeof(key), "%s.family", sid);
		struct record_user u = { .connector_id = SLICE_LIT("github"), .user_id = slice_str(id), .username = slice_str(id), .email = slice_str(email),
			.groups = { groups, 2 } };
		struct record_session s = { .sid = slice_str(sid), .user = u, .auth_time = now_s, .created_at = now_s, .last_seen_at = now_s,
			.expires_at = now_s + 3600, .user_agent = SLICE_LIT("Mozilla/5.0 (X11; Linux x86_64)"), .address = SLICE_LIT("192.0.2.1") };
		struct record_refresh r = { .client_id = slice_str(i % 2 ? "cli" : "web"), .scope = SLICE_LIT("openid"), .user = u, .auth_time = now_s,
			.sid = slice_str(sid), .created_at = now_s, .expires_at = now_s + 7200 };
		e = store_put(t, RECORD_SESSION, store_hash(slice_str(sid), hash), &s);
		if (e == OK && i % 10 == 0)
			e = store_put(t, RECORD_REFRESH, slice_str(key), &r);
	}
	return e;
}

static void
a_hundred_thousand_sessions_are_listed_found_and_ended_in_short_answers(void **state)
{
	char last[128];

	(void)state;
	for (size_t at = 0; at < MANY; at += 10000) {
		struct fill f = { at, 10000 };
		assert_int_equal(store_write_wait(app.store, fill_sessions, &f), OK);
	}
	answers = longest = 0;
	assert_int_equal(count_all("/sessions?kind=browser", NULL, last), MANY);
	assert_true(longest < ADMIN_PAGE_BYTES + 4096);
	assert_true(answers > 1 && answers < MANY / 400);
	assert_int_equal(count_all("/sessions?kind=offline", NULL, last), MANY / 10);
	answers = 0;
	assert_int_equal(count_all("/sessions?kind=browser&user=USER-7@example.com", "user_id", last), MANY / 1000);
	assert_string_equal(last, "7");
	assert_true(answers <= MANY / ADMIN_PAGE_RECORDS + 1);
	assert_int_equal(count_all("/sessions?kind=browser&user=7&connector=local", NULL, last), 0);
	assert_int_equal(count_all("/sessions?kind=offline&client=web", NULL, last), MANY / 10);
	assert_int_equal(count_all("/sessions?kind=offline&client=cli", NULL, last), 0);

	assert_int_equal(end_all("kind=browser&sids=sid-3%0Asid-4%0Anobody"), 2);
	assert_int_equal(count_all("/sessions?kind=browser&user=3", NULL, last), MANY / 1000 - 1);
	assert_int_equal(end_all("kind=browser&user=user-20@example.com"), MANY / 1000);
	/* Their refresh tokens went with them. */
	assert_int_equal(count_all("/sessions?kind=offline&user=20", NULL, last), 0);
	assert_int_equal(end_all("kind=offline&client=web"), MANY / 10 - MANY / 1000);
	assert_int_equal(count_all("/sessions?kind=offline", NULL, last), 0);
	assert_int_equal(end_all("kind=browser&all=true"), MANY - MANY / 1000 - 2);
	assert_int_equal(count_all("/sessions?kind=browser", NULL, last), 0);
}

static enum err
put_approvals(struct store_txn *t, void *arg)
{
	struct record_approval a = { .scope = SLICE_LIT("openid"), .expires_at = clock_now_s(&clock_system) + 1000 };
	enum err e = store_put(t, RECORD_APPROVAL, slice_of("a\0web", 5), &a);

	(void)arg;
	if (e == OK)
		e = store_put(t, RECORD_APPROVAL, slice_of("b\0web", 5), &a);
	return e == OK ? store_put(t, RECORD_APPROVAL, slice_of("b\0website", 9), &a) : e;
}

static void
what_was_agreed_for_a_client_is_forgotten_for_that_client_alone(void **state)
{
	(void)state;
	assert_int_equal(store_write_wait(app.store, put_approvals, NULL), OK);
	assert_int_equal(end_all("kind=approval&client=web"), 2);
	assert_int_equal(end_all("kind=approval&client=web"), 0);
	assert_int_equal(end_all("kind=approval&client=website"), 1);
}

/* ---- keys, stats ---- */

static void
keys_are_described_without_what_is_private(void **state)
{
	(void)state;
	assert_int_equal(get(ctl_path, "/keys"), 200);
	assert_non_null(strstr(body, "\"state\":\"active\""));
	assert_null(strstr(body, "\"state\":\"next\""));
	assert_int_equal(post("/keys/rotate", "alg=PS256"), 404);
	assert_int_equal(post("/keys/rotate", "alg=ES256&alg=RS256"), 400);
	assert_int_equal(post("/keys/rotate", ""), 200);
	assert_non_null(strstr(body, "\"state\":\"next\""));
	assert_null(strstr(body, "PRIVATE"));
	assert_int_equal(get(ctl_path, "/stats"), 200);
	assert_non_null(strstr(body, "\"key\":2"));
}

/* ---- memory ---- */

static int
list_users(void)
{
	return get(ctl_path, "/users");
}

static int
list_keys(void)
{
	return get(ctl_path, "/keys");
}

static int
change_password(void)
{
	return post("/users/passwd", "user=m&hash=" HASH);
}

static int
add_and_remove(void)
{
	int status = post("/clients/add", "id=pressed&document={name:+n,public:+true,redirectURIs:+['https://a/'],idTokenSignedResponseAlg:+ES256,"
					  "claims:+[{name:+a,value:+b}],expiry:+{idTokens:+10m}}");

	if (status == 200)
		status = post("/clients/set", "id=pressed&merge=true&document={\"groups\":[\"a\",\"b\"],\"grantTypes\":[\"authorization_code\"]}");
	if (status == 200)
		status = get(ctl_path, "/clients/show?id=pressed");
	if (status != 200)
		return status;
	return post("/clients/remove", "id=pressed");
}

static void
under_pressure(int (*request)(void))
{
	bool hit = true;

	post("/clients/remove", "id=pressed");
	assert_int_equal(request(), 200);
	for (long n = 1; hit; n++) {
		failing_malloc_arm(n, n % 2);
		int status = request();
		hit = failing_malloc_disarm();
		if (status && status != 200 && status < 400)
			fail_msg("allocation %ld: %d\n%s", n, status, answer);
		assert_true(n < 100000);
	}
	post("/clients/remove", "id=pressed");
	assert_int_equal(request(), 200);
}

static void
every_allocation_may_fail_under_a_control_request(void **state)
{
	(void)state;
	under_pressure(list_users);
	under_pressure(list_keys);
	under_pressure(change_password);
	under_pressure(add_and_remove);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_socket_is_ours_alone),
		cmocka_unit_test(control_requests_are_served_nowhere_else_and_nothing_else_is_served_there),
		cmocka_unit_test(what_cannot_be_read_is_refused_with_a_reason),
		cmocka_unit_test(a_stored_client_comes_and_goes_and_a_configured_one_stays),
		cmocka_unit_test(nobody_can_be_mistaken_for_somebody_else),
		cmocka_unit_test(a_stored_user_is_found_by_address_name_and_id_and_a_configured_one_is_left_alone),
		cmocka_unit_test(a_user_without_an_id_gets_one),
		cmocka_unit_test(a_hundred_thousand_sessions_are_listed_found_and_ended_in_short_answers),
		cmocka_unit_test(what_was_agreed_for_a_client_is_forgotten_for_that_client_alone),
		cmocka_unit_test(keys_are_described_without_what_is_private),
		cmocka_unit_test(every_allocation_may_fail_under_a_control_request),
	};
	strict_json_seed(1);
	return cmocka_run_group_tests(tests, begin, end);
}
