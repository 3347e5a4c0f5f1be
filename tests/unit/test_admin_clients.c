/* What `authd ctl clients` asks a whole authd for: all that may be set for a stored client, as the configuration would say it. */
#include "tests/unit/admin_unit.h"

#define SECRET_HASH "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static void
assert_shows(const char *id, const char *client)
{
	char path[128];

	snprintf(path, sizeof(path), "/clients/show?id=%s", id);
	assert_int_equal(get(ctl_path, path), 200);
	json_t *shown = answered(), *want = NULL;
	assert_int_equal(strict_json_parse(slice_str(client), &want), OK);
	if (!json_equal(json_object_get(shown, "client"), want))
		fail_msg("%s\nexpected: %s", body, client);
	assert_null(strstr(body, SECRET_HASH));
	json_decref(want);
	json_decref(shown);
}

#define EVERYTHING \
	"\"name\":\"Every\",\"public\":true,\"redirectURIs\":[\"https://a/cb\"],\"postLogoutRedirectURIs\":[\"https://a/bye\"],\"backchannelLogoutURI\":\"https://a/out\"," \
	"\"trustedPeers\":[\"cli\"],\"allowedConnectors\":[\"local\"],\"logoURL\":\"https://a/l.png\",\"grantTypes\":[\"authorization_code\",\"refresh_token\"]," \
	"\"groups\":[\"a:*\",\"b\"],\"idTokenSignedResponseAlg\":\"ES256\",\"subject\":\"plain\"," \
	"\"claims\":[{\"name\":\"t\",\"value\":\"x y\"},{\"name\":\"l\",\"from\":\"preferred_username\"}]," \
	"\"expiry\":{\"idTokens\":\"90s\",\"refreshTokens\":{\"absoluteLifetime\":\"2h\",\"validIfNotUsedFor\":\"5m\"}}"

static void
what_is_set_for_a_stored_client_is_shown_in_the_words_that_set_it(void **state)
{
	(void)state;
	assert_int_equal(post("/clients/add", "id=every&secret_hash=" SECRET_HASH "&document={" EVERYTHING "}"), 200);
	assert_shows("every", "{\"id\":\"every\"," EVERYTHING "}");
	assert_int_equal(post("/clients/set", "id=every&document={\"id\":\"every\"," EVERYTHING "}"), 200); /* as it is shown */
	assert_shows("every", "{\"id\":\"every\"," EVERYTHING "}");
	assert_non_null(strstr(body, "\"has_secret\":true"));
	assert_int_equal(post("/clients/set", "id=every&document={name:+Less,public:+true}"), 200); /* and all that is not there is not set */
	assert_shows("every", "{\"id\":\"every\",\"name\":\"Less\",\"public\":true}");
	assert_non_null(strstr(body, "\"has_secret\":true"));
	assert_int_equal(post("/clients/set", "id=every&document={name:+Less}"), 200);
	assert_shows("every", "{\"id\":\"every\",\"name\":\"Less\"}");
	assert_shows("cli", "{\"id\":\"cli\",\"name\":\"cli\",\"public\":true,\"redirectURIs\":[\"http://127.0.0.1/cb\"]}");
	assert_int_equal(get(ctl_path, "/clients/show?id=nosuch"), 404);
	assert_int_equal(get(ctl_path, "/clients/show"), 404);
	assert_int_equal(post("/clients/remove", "id=every"), 200);
}

static void
a_change_names_what_it_changes_or_takes_it_back(void **state)
{
	(void)state;
	assert_int_equal(post("/clients/add", "id=m&document={name:+M,public:+true,groups:+[a],expiry:+{idTokens:+10m,refreshTokens:+{absoluteLifetime:+1h}}}"), 200);
	assert_int_equal(post("/clients/set", "id=m&merge=true&document={\"expiry\":{\"idTokens\":\"5m\"},\"logoURL\":\"https://a/\"}"), 200);
	assert_shows("m", "{\"id\":\"m\",\"name\":\"M\",\"public\":true,\"groups\":[\"a\"],\"logoURL\":\"https://a/\","
			  "\"expiry\":{\"idTokens\":\"5m\",\"refreshTokens\":{\"absoluteLifetime\":\"1h\"}}}");
	assert_int_equal(post("/clients/set", "id=m&merge=true&document={\"expiry\":{\"idTokens\":null},\"logoURL\":null,\"groups\":[]}"), 200);
	assert_shows("m", "{\"id\":\"m\",\"name\":\"M\",\"public\":true,\"expiry\":{\"refreshTokens\":{\"absoluteLifetime\":\"1h\"}}}");
	assert_int_equal(post("/clients/set", "id=m&merge=true&document={\"subject\":\"odd\"}"), 400);
	assert_non_null(strstr(body, "subject: expected encoded or plain"));
	assert_int_equal(post("/clients/set", "id=m&merge=true&document={name:+M}"), 400);
	assert_non_null(strstr(body, "expected a JSON object"));
	assert_int_equal(post("/clients/set", "id=m&merge=true&document={\"name\":null}"), 400);
	assert_int_equal(post("/clients/set", "id=m&document={name:+M}"), 400); /* a secret is nowhere */
	assert_non_null(strstr(body, "has to be public"));
	assert_int_equal(post("/clients/set", "id=cli&document={name:+M,public:+true}"), 409);
	assert_non_null(strstr(body, "stands in the configuration"));
	assert_int_equal(post("/clients/set", "id=nosuch&document={name:+M,public:+true}"), 404);
	assert_int_equal(post("/clients/remove", "id=m"), 200);
}

/* Sends without waiting; the answer's status. */
static int
send_set(void)
{
	static const char form[] = "id=twice&merge=true&document={\"name\":\"N\"}";
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char request[512];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_true(strlen(ctl_path) < sizeof(to.sun_path));
	strcpy(to.sun_path, ctl_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	int n = snprintf(request, sizeof(request),
		"POST " CTL_PATH "/clients/set HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n\r\n%s",
		strlen(form), form);
	assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
	return fd;
}

static void
of_two_changes_at_once_one_is_told_to_look_again(void **state)
{
	enum { AT_ONCE = 8 };
	int64_t done = 0, refused = 0;
	struct record_client stored;
	struct arena arena;

	(void)state;
	assert_int_equal(post("/clients/add", "id=twice&document={name:+M,public:+true}"), 200);
	for (int tries = 0; tries < 1000 && !refused; tries++) {
		int fds[AT_ONCE], status = 0;
		for (int i = 0; i < AT_ONCE; i++)
			fds[i] = send_set();
		for (int i = 0; i < AT_ONCE; i++) {
			char first[64] = "";
			assert_true(recv(fds[i], first, sizeof(first) - 1, MSG_WAITALL) > 12);
			assert_int_equal(sscanf(first, "HTTP/1.1 %d", &status), 1);
			assert_true(status == 200 || status == 409);
			done += status == 200;
			refused += status == 409;
			close(fds[i]);
		}
	}
	assert_true(refused > 0);
	arena_init(&arena, 0);
	assert_int_equal(store_lookup(app.store, RECORD_CLIENT, SLICE_LIT("twice"), &arena, &stored), OK);
	assert_int_equal(stored.revision, done); /* none is lost */
	assert_true(stored.changed_at >= stored.created_at);
	arena_fini(&arena);
	assert_int_equal(post("/clients/remove", "id=twice"), 200);
}

static void
a_stored_client_s_algorithm_and_lifetime_are_there_before_it_is(void **state)
{
	struct arena arena;
	struct key_info keys[KEYS_DESCRIBED_MAX];
	struct record_key key;
	size_t n, both = 0;

	(void)state;
	assert_int_equal(post("/clients/add", "id=es&document={name:+M,public:+true,idTokenSignedResponseAlg:+ES256,expiry:+{idTokens:+200h}}"), 200);
	arena_init(&arena, 0);
	assert_int_equal(keys_describe(app.keys, &arena, keys, &n), OK);
	for (size_t i = 0; i < n; i++)
		if (keys[i].state == RECORD_KEY_ACTIVE) {
			assert_int_equal(store_lookup(app.store, RECORD_KEY, keys[i].kid, &arena, &key), OK);
			assert_int_equal(key.token_lifetime_s, 200 * 3600);
			both++;
		}
	assert_int_equal(both, 2);
	arena_fini(&arena);
	assert_int_equal(post("/clients/remove", "id=es"), 200);
	app_tick(&app);
	assert_int_equal(get(ctl_path, "/keys"), 200);
	assert_non_null(strstr(body, "\"alg\":\"ES256\",\"state\":\"retired\""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_set_for_a_stored_client_is_shown_in_the_words_that_set_it),
		cmocka_unit_test(a_change_names_what_it_changes_or_takes_it_back),
		cmocka_unit_test(of_two_changes_at_once_one_is_told_to_look_again),
		cmocka_unit_test(a_stored_client_s_algorithm_and_lifetime_are_there_before_it_is),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
