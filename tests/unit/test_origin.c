#include "http_cases.h"
#include "proxyd/origin.h"

static enum origin
origin_with(const char *lines, const struct config_strings *listed)
{
	static struct parsed p;
	char text[1000];

	snprintf(text, sizeof(text), "POST /x HTTP/1.1\r\nHost: gw.example:8443\r\n%s\r\n", lines);
	if (parse_both_ways(slice_str(text), true, METHOD_OTHER, &p) != HTTP_OK)
		fail_msg("%s: %s", text, p.why);
	return origin_of(&p.head, listed);
}

static void
a_page_of_this_very_host_is_ours(void **state)
{
	static const char *const others[] = { "https://gw.example", "https://gw.example:443", "http://gw.example:8443", "https://gw.example:8443.evil",
		"https://evil", "https://", "gw.example:8443", "https://xgw.example:8443", "file://", "https://gw.example:8443/" };
	char line[200];

	(void)state;
	assert_int_equal(origin_with("Origin: https://gw.example:8443\r\n", NULL), ORIGIN_OURS);
	assert_int_equal(origin_with("Origin: https://GW.Example:8443\r\n", NULL), ORIGIN_OURS);
	for (size_t i = 0; i < COUNT(others); i++) {
		snprintf(line, sizeof(line), "Origin: %s\r\n", others[i]);
		if (origin_with(line, NULL) != ORIGIN_OTHERS)
			fail_msg("%s", others[i]);
		/* What the Origin says is not made good by what else there is. */
		snprintf(line, sizeof(line), "Origin: %s\r\nSec-Fetch-Site: same-origin\r\n", others[i]);
		assert_int_equal(origin_with(line, NULL), ORIGIN_OTHERS);
	}
}

static void
a_listed_origin_is_taken_for_ours(void **state)
{
	const char *items[] = { "https://a.example", "https://b.example:444" };
	const struct config_strings listed = { items, 2 };

	(void)state;
	assert_int_equal(origin_with("Origin: https://a.example\r\n", &listed), ORIGIN_OURS);
	assert_int_equal(origin_with("Origin: https://b.example:444\r\n", &listed), ORIGIN_OURS);
	assert_int_equal(origin_with("Origin: https://b.example\r\n", &listed), ORIGIN_OTHERS);
	assert_int_equal(origin_with("Origin: https://a.example.evil\r\n", &listed), ORIGIN_OTHERS);
	assert_int_equal(origin_with("Origin: null\r\n", &listed), ORIGIN_OTHERS);
}

static void
where_there_is_no_origin_the_browser_says_which_site_asked(void **state)
{
	static const struct {
		const char *lines;
		enum origin is;
	} cases[] = { { "", ORIGIN_UNSAID }, { "Origin: null\r\n", ORIGIN_OTHERS }, { "Sec-Fetch-Site: same-origin\r\n", ORIGIN_OURS },
		{ "Sec-Fetch-Site: none\r\n", ORIGIN_OURS }, { "Sec-Fetch-Site: same-site\r\n", ORIGIN_OTHERS }, { "Sec-Fetch-Site: cross-site\r\n", ORIGIN_OTHERS },
		{ "Sec-Fetch-Site: Same-Origin\r\n", ORIGIN_OTHERS }, { "Sec-Fetch-Site:\r\n", ORIGIN_OTHERS },
		{ "Origin: null\r\nSec-Fetch-Site: same-origin\r\n", ORIGIN_OURS }, { "Origin: null\r\nSec-Fetch-Site: cross-site\r\n", ORIGIN_OTHERS },
		{ "Origin:\r\n", ORIGIN_OTHERS } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		if (origin_with(cases[i].lines, NULL) != cases[i].is)
			fail_msg("%s", cases[i].lines);
}

static void
asking_is_harmless_but_not_an_upgrade(void **state)
{
	static const struct {
		enum http_method method;
		enum http_upgrade upgrade;
		bool harmless;
	} cases[] = { { METHOD_GET, UPGRADE_NONE, true }, { METHOD_HEAD, UPGRADE_NONE, true }, { METHOD_OPTIONS, UPGRADE_NONE, true },
		{ METHOD_GET, UPGRADE_WEBSOCKET, false }, { METHOD_POST, UPGRADE_NONE, false }, { METHOD_PUT, UPGRADE_NONE, false },
		{ METHOD_PATCH, UPGRADE_NONE, false }, { METHOD_DELETE, UPGRADE_NONE, false }, { METHOD_OTHER, UPGRADE_NONE, false } };

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct http_head h = { .method = cases[i].method, .upgrade = cases[i].upgrade };
		assert_int_equal(origin_is_harmless(&h), cases[i].harmless);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_of_this_very_host_is_ours),
		cmocka_unit_test(a_listed_origin_is_taken_for_ours),
		cmocka_unit_test(where_there_is_no_origin_the_browser_says_which_site_asked),
		cmocka_unit_test(asking_is_harmless_but_not_an_upgrade),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
