#include "tests/unit/unit.h"
#include "oidc/client.h"

static bool
ok(const struct client *c, const char *uri)
{
	return client_redirect_uri_ok(c, slice_str(uri));
}

static void
a_registered_uri_matches_exactly_or_not_at_all(void **state)
{
	static const char *const uris[] = { "https://app.example/callback", "https://app.example/other?x=1", "com.example.app:/done" };
	static const char *const bad[] = { "https://app.example/callback/", "https://app.example/callback?a=b", "https://app.example/Callback", "https://APP.example/callback",
		"http://app.example/callback", "https://app.example:443/callback", "https://app.example/callbac", "https://app.example/callback#", "https://app.example/callback#x",
		"https://app.example/./callback", "https://app.example/%63allback", "https://app.example@evil.example/callback", "https://evil.example/callback", "", "/callback",
		"https://app.example/other?x=2", "https://app.example/other", "http://localhost/callback", "urn:ietf:wg:oauth:2.0:oob" };
	struct client c = { .id = "app", .secret = "s", .redirect_uris = uris, .redirect_uri_n = 3 };

	(void)state;
	for (int public = 0; public <= 1; public++) {
		c.public = public;
		for (size_t i = 0; i < 3; i++)
			assert_true(ok(&c, uris[i]));
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
			assert_false(ok(&c, bad[i]));
	}
}

/* RFC 8252 section 7.3: any port of a loopback redirect, with the registered path. */
static void
a_public_client_may_use_any_loopback_port_with_its_path(void **state)
{
	static const char *const uris[] = { "http://127.0.0.1/callback", "http://localhost:8000", "https://app.example/callback" };
	static const char *const good[] = { "http://127.0.0.1/callback", "http://127.0.0.1:1/callback", "http://127.0.0.1:65535/callback", "http://localhost:18000/callback",
		"http://[::1]:9/callback", "http://localhost:8000", "http://localhost:18000", "http://127.0.0.1", "https://app.example/callback" };
	static const char *const bad[] = { "http://127.0.0.1:0/callback", "http://127.0.0.1:65536/callback", "http://127.0.0.1:/callback", "http://127.0.0.1:80a/callback",
		"http://127.0.0.1:+80/callback", "http://127.0.0.1:99999999999999999999/callback", "http://127.0.0.1:80/callback/x", "http://127.0.0.1:80/", "http://127.0.0.1:80/callback?x=1",
		"https://127.0.0.1:80/callback", "http://127.0.0.2:80/callback", "http://127.0.0.1.evil.example/callback", "http://127.0.0.1:80@evil.example/callback",
		"http://localhost.evil.example/callback", "http://localhost@evil.example/callback", "http://localhostx/callback", "http://LOCALHOST/callback", "http://[::2]/callback",
		"http://[::1/callback", "http://user@localhost/callback", "https://app.example:8443/callback", "http://127.1/callback", "http://0x7f000001/callback", "HTTP://localhost/callback" };
	struct client c = { .id = "kubectl", .redirect_uris = uris, .redirect_uri_n = 3, .public = true };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(ok(&c, good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(ok(&c, bad[i]));
	c.public = false;
	assert_true(ok(&c, "http://127.0.0.1/callback"));
	assert_false(ok(&c, "http://127.0.0.1:8000/callback"));
}

/* As dex does it. */
static void
a_public_client_without_uris_may_use_loopback_and_the_out_of_band_page(void **state)
{
	static const char *const good[] = { "http://localhost:5555/anything?x=1", "http://127.0.0.1", "http://localhost?x=1", "http://[::1]:1/", "urn:ietf:wg:oauth:2.0:oob" };
	static const char *const bad[] = { "https://localhost/", "http://evil.example/", "http://localhost.evil.example/", "http://localhost@evil.example/", "http://localhostx",
		"http://127.0.0.1.evil.example/", "http://127.0.0.1:80@evil.example/", "http://127.0.0.1:80.evil.example/", "http://[::1]evil.example/", "http://localhost:@evil.example/",
		"http://localhost:1/\r\nSet-Cookie: a=b", "http://localhost/a b", "http://localhost/\x7f",
		"http://localhost/\xC3\xA4", "http://localhost/\"", "http://localhost/<", "http://localhost/\\", "http://localhost\\@evil.example/", "http://localhost/#x",
		"urn:ietf:wg:oauth:2.0:oob:auto", "javascript:alert(1)", "" };
	struct client c = { .id = "kubectl", .public = true };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(ok(&c, good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(ok(&c, bad[i]));
	assert_false(client_redirect_uri_ok(&c, slice_of("http://localhost/\0", 18)));
	assert_false(client_redirect_uri_ok(&c, SLICE_NONE));
	c.public = false;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_false(ok(&c, good[i]));
}

static void
a_logout_token_goes_over_https_or_stays_on_this_machine(void **state)
{
	static const char *const good[] = { "https://app.example/out?x=1", "https://10.0.0.1:8443/out", "http://127.0.0.1:81/out", "http://[::1]/", "http://localhost/out" };
	static const char *const bad[] = { "http://app.example/out", "http://10.0.0.1/", "http://127.0.0.1.evil.example/", "http://localhost.evil.example/", "ftp://app.example/",
		"https://app.example/#x", "https://user@app.example/", "https://", "/out", "", "unix:/run/x.sock", "file:///etc/passwd" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(client_backchannel_logout_uri_ok(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(client_backchannel_logout_uri_ok(bad[i]));
}

static void
a_client_s_peers_are_itself_and_those_it_trusts(void **state)
{
	(void)state;
	static const char *const peers[] = { "web", "ci" };
	const struct client c = { .id = "api", .trusted_peers = peers, .trusted_peer_n = 2 };

	assert_true(client_is_peer(&c, SLICE_LIT("api")));
	assert_true(client_is_peer(&c, SLICE_LIT("ci")));
	assert_false(client_is_peer(&c, SLICE_LIT("we")));
	assert_false(client_is_peer(&c, SLICE_NONE));
}

static bool
wanted(const char *pattern, const char *group)
{
	struct client c = { .id = "app", .groups = &pattern, .group_n = 1 };

	return client_group_wanted(&c, slice_str(group));
}

static void
a_pattern_of_groups_has_stars_for_any_run_of_characters(void **state)
{
	(void)state;
	static const char *const yes[][2] = { { "acme:ops", "acme:ops" }, { "*", "" }, { "*", "x" }, { "acme:*", "acme:" }, { "acme:*", "acme:a:b" }, { "*:ops", "a:b:ops" },
		{ "a*b*c", "aXbYbc" }, { "**ops**", "ops" }, { "a*a", "aa" }, { "*aab", "aaab" } };
	static const char *const no[][2] = { { "acme:ops", "acme:op" }, { "acme:ops", "acme:opsx" }, { "acme:ops", "ACME:ops" }, { "acme:*", "acme" }, { "*:ops", "acme:opsx" },
		{ "a*b*c", "acb" }, { "a*a", "a" }, { "", "x" }, { "a?c", "abc" } };
	const struct client all = { .id = "app" };

	for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
		assert_true(wanted(yes[i][0], yes[i][1]));
	for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
		assert_false(wanted(no[i][0], no[i][1]));
	assert_true(client_group_wanted(&all, SLICE_LIT("anything")));
}

static void
a_pattern_of_many_stars_ends_soon(void **state)
{
	(void)state;
	char group[2000];

	memset(group, 'a', sizeof group);
	group[sizeof group - 1] = '\0';
	assert_false(wanted("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", group));
}

static void
the_mark_of_the_device_flow_is_no_place_to_be_sent_to(void **state)
{
	(void)state;
	static const char *const uris[] = { "https://a.example/cb", CLIENT_DEVICE_CALLBACK };
	struct client c = { .id = "tv", .redirect_uris = uris, .redirect_uri_n = 2 };

	assert_true(client_has_device_callback(&c));
	assert_false(ok(&c, CLIENT_DEVICE_CALLBACK));
	c.redirect_uri_n = 1;
	assert_false(client_has_device_callback(&c));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_registered_uri_matches_exactly_or_not_at_all),
		cmocka_unit_test(a_public_client_may_use_any_loopback_port_with_its_path),
		cmocka_unit_test(a_pattern_of_groups_has_stars_for_any_run_of_characters),
		cmocka_unit_test(a_client_s_peers_are_itself_and_those_it_trusts),
		cmocka_unit_test(a_pattern_of_many_stars_ends_soon),
		cmocka_unit_test(the_mark_of_the_device_flow_is_no_place_to_be_sent_to),
		cmocka_unit_test(a_public_client_without_uris_may_use_loopback_and_the_out_of_band_page),
		cmocka_unit_test(a_logout_token_goes_over_https_or_stays_on_this_machine),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
