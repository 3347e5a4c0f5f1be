#include "tests/unit/unit.h"
#include "authd/app.h"
#include "authd/browser.h"
#include "authd/pages.h"

static struct authd app;
static struct authd_config config;
static struct generation generation;
static struct request request;

static int
begin(void **state)
{
	(void)state;
	app = (struct authd){ .clock = &clock_system, .rng = &rng_system };
	config = (struct authd_config){ .issuer = "https://gw.example/oidc", .frontend = { "A & B" } };
	generation = (struct generation){ .config = &config, .path = SLICE_LIT("/oidc"), .origin = SLICE_LIT("https://gw.example"), .secure = true,
		.session_cookie = "__Host-gatehouse", .login_cookie = "__Host-gatehouse-login" };
	request = (struct request){ .method = METHOD_POST, .app = &app, .generation = &generation, .id = "id" };
	arena_init(&request.arena, REQUEST_ARENA_BYTES_MAX);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	arena_fini(&request.arena);
	return 0;
}

static void
header(const char *name, const char *value)
{
	request.headers[request.header_n++] = (struct request_header){ slice_str(name), slice_str(value) };
}

static const char *
answered(size_t i)
{
	return i < request.answer_header_n ? request.answer_headers[i].value.p : "";
}

/* ---- where a browser may be sent ---- */

static void
only_paths_of_this_origin_are_returned_to(void **state)
{
	(void)state;
	static const char *const good[] = { "/", "/console/", "/a?b=c&d=%2F", "/a//b", "/clusters/x/api#f", "/@evil.example" };
	static const char *const bad[] = { "", "a", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil", "/a\\b", "https://evil.example/", "/a b",
		"/a\r\nSet-Cookie: x", "/\t/evil.example", "/\x7f", "/\xc3\xa9", "javascript:alert(1)", " /a" };
	char long_path[BROWSER_RETURN_BYTES_MAX + 2];

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		if (!browser_return_ok(slice_str(good[i])))
			fail_msg("%s was refused", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (browser_return_ok(slice_str(bad[i])))
			fail_msg("%s was accepted", bad[i]);
	assert_false(browser_return_ok(slice_of("/\0a", 3)));
	memset(long_path, '/', sizeof long_path);
	long_path[1] = 'a';
	assert_true(browser_return_ok(slice_of(long_path, BROWSER_RETURN_BYTES_MAX)));
	assert_false(browser_return_ok(slice_of(long_path, BROWSER_RETURN_BYTES_MAX + 1)));
}

static void
a_forms_answer_may_go_to_the_clients_origin_or_scheme(void **state)
{
	(void)state;
	static const char *const cases[][2] = { { "https://app.example:8443/cb?x=1", "https://app.example:8443" }, { "http://127.0.0.1:8000/", "http://127.0.0.1:8000" },
		{ "http://[::1]:8000/", "http:" }, { "com.example.app:/cb", "com.example.app:" }, { "urn:ietf:wg:oauth:2.0:oob", "" }, { "", "" },
		{ "nonsense", "" }, { "https://a;script-src*/x", "https:" }, { "ht tp://x", "" }, { "1a://x", "" } };

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct slice target = browser_form_target(&request, slice_str(cases[i][0]));
		if (!slice_eq_str(target, cases[i][1]))
			fail_msg("%s gave %.*s", cases[i][0], SLICE_FMT(target));
	}
}

/* ---- cookies ---- */

static void
cookies_are_for_this_host_and_out_of_reach_of_scripts_and_other_sites(void **state)
{
	(void)state;
	browser_cookie_set(&request, "__Host-a", SLICE_LIT("v"), -1);
	assert_string_equal(answered(0), "__Host-a=v; Path=/; HttpOnly; SameSite=Lax; Secure");
	browser_cookie_set(&request, "__Host-a", SLICE_NONE, 0);
	assert_string_equal(answered(1), "__Host-a=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0");
	generation.secure = false;
	browser_cookie_set(&request, "a", SLICE_LIT("v"), -1);
	assert_string_equal(answered(2), "a=v; Path=/; HttpOnly; SameSite=Lax");
}

static void
the_login_cookie_is_kept_if_it_looks_like_ours_and_else_replaced(void **state)
{
	(void)state;
	struct slice made = browser_login_secret(&request);

	assert_int_equal(made.n, 43);
	assert_int_equal(request.answer_header_n, 1);
	header("Cookie", arena_printf(&request.arena, "__Host-gatehouse-login=%.*s", SLICE_FMT(made)));
	request.answer_header_n = 0;
	assert_true(slice_eq(browser_login_secret(&request), made));
	assert_int_equal(request.answer_header_n, 0);
	request.header_n = 0;
	header("Cookie", "__Host-gatehouse-login=chosen-by-somebody");
	assert_null(browser_login_cookie(&request).p);
	assert_false(slice_eq_str(browser_login_secret(&request), "chosen-by-somebody"));
	assert_int_equal(request.answer_header_n, 1);
}

/* ---- forms ---- */

static void
a_form_token_is_good_for_its_cookie_purpose_and_id_only(void **state)
{
	(void)state;
	struct slice secret = SLICE_LIT("s"), id = SLICE_LIT("i");
	struct slice token = browser_form_token(&request, secret, "login", id);

	assert_true(browser_form_ok(&request, secret, "login", id, token));
	assert_false(browser_form_ok(&request, SLICE_LIT("t"), "login", id, token));
	assert_false(browser_form_ok(&request, secret, "approval", id, token));
	assert_false(browser_form_ok(&request, secret, "login", SLICE_LIT("j"), token));
	assert_false(browser_form_ok(&request, secret, "login", id, SLICE_NONE));
	assert_false(browser_form_ok(&request, SLICE_NONE, "login", id, browser_form_token(&request, SLICE_NONE, "login", id)));
}

static void
a_form_from_another_origin_is_refused_whatever_its_token(void **state)
{
	(void)state;
	static const struct {
		const char *origin, *site;
		bool ok;
	} cases[] = { { NULL, NULL, true }, { "https://gw.example", NULL, true }, { "https://gw.example", "same-origin", true }, { "https://gw.example:443", NULL, false },
		{ "http://gw.example", NULL, false }, { "https://evil.example", NULL, false }, { "null", NULL, true }, { "null", "same-origin", true },
		{ "null", "cross-site", false }, { "null", "same-site", false }, { "null", "none", false }, { NULL, "cross-site", false } };
	struct slice secret = SLICE_LIT("s"), id = SLICE_LIT("i");

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		request.header_n = 0;
		if (cases[i].origin)
			header("Origin", cases[i].origin);
		if (cases[i].site)
			header("Sec-Fetch-Site", cases[i].site);
		if (browser_form_ok(&request, secret, "login", id, browser_form_token(&request, secret, "login", id)) != cases[i].ok)
			fail_msg("case %zu", i);
	}
}

/* ---- HTML ---- */

static void
foreign_text_is_escaped_in_pages_and_their_fields(void **state)
{
	(void)state;
	struct page p;

	page_begin(&p, &request, "T");
	page_text(&p, SLICE_LIT("<script>'\"&"));
	page_hidden(&p, "n", SLICE_LIT("\"><x"));
	assert_true(buf_ok(&p.html));
	assert_null(strstr(p.html.p, "<script>"));
	assert_null(strstr(p.html.p, "\"><x"));
	assert_non_null(strstr(p.html.p, "A &amp; B")); /* the configured name */
	assert_null(strstr(p.html.p, "A & B"));
	buf_fini(&p.html);
}

static void
every_page_links_the_style_sheet_that_is_served(void **state)
{
	(void)state;
	struct page p;

	page_begin(&p, &request, "T");
	const char *at = strstr(p.html.p, "/oidc/static/");
	assert_non_null(at);
	at += strlen("/oidc/static/");
	const struct page_static *s = page_static_find(slice_of(at, strcspn(at, "\"")));
	assert_non_null(s);
	assert_string_equal(s->content_type, "text/css; charset=utf-8");
	assert_null(page_static_find(SLICE_LIT("style.css")));
	assert_null(page_static_find(SLICE_NONE));
	buf_fini(&p.html);
}

static void
times_are_written_for_people_and_for_machines(void **state)
{
	(void)state;
	struct page p = { .r = &request };

	buf_init(&p.html, 0);
	page_time(&p, 1767452645);
	assert_string_equal(p.html.p, "<time datetime=\"2026-01-03T15:04:05Z\">Sat, 3 Jan 2026, 15:04 UTC</time>");
	buf_fini(&p.html);
}

#define BROWSER_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BROWSER_TEST(only_paths_of_this_origin_are_returned_to),
		BROWSER_TEST(a_forms_answer_may_go_to_the_clients_origin_or_scheme),
		BROWSER_TEST(cookies_are_for_this_host_and_out_of_reach_of_scripts_and_other_sites),
		BROWSER_TEST(the_login_cookie_is_kept_if_it_looks_like_ours_and_else_replaced),
		BROWSER_TEST(a_form_token_is_good_for_its_cookie_purpose_and_id_only),
		BROWSER_TEST(a_form_from_another_origin_is_refused_whatever_its_token),
		BROWSER_TEST(foreign_text_is_escaped_in_pages_and_their_fields),
		BROWSER_TEST(every_page_links_the_style_sheet_that_is_served),
		BROWSER_TEST(times_are_written_for_people_and_for_machines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
