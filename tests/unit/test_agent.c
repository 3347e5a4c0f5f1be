#include "tests/unit/unit.h"
#include "authd/agent.h"

static void
assert_name(const char *user_agent, const char *want)
{
	struct buf out;

	buf_init(&out, 0);
	agent_name_add(&out, slice_str(user_agent));
	assert_true(buf_ok(&out));
	assert_int_equal(out.n, strlen(want));
	assert_memory_equal(out.p, want, out.n);
	buf_fini(&out);
}

static void
browsers_are_named_as_their_owners_know_them(void **state)
{
	(void)state;
	assert_name("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux");
	assert_name("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", "Chrome on Windows");
	assert_name("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
		"Edge on Windows");
	assert_name("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15", "Safari on Mac");
	assert_name("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
		"Safari on iPhone");
	assert_name("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0 Mobile/15E148 Safari/604.1",
		"Chrome on iPhone");
	assert_name("Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
		"Chrome on Android");
	assert_name("Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
		"Samsung Internet on Android");
	assert_name("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36", "Chrome on Linux");
	assert_name("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 OPR/111.0",
		"Opera on ChromeOS");
}

static void
what_is_no_browser_is_its_first_word(void **state)
{
	(void)state;
	assert_name("curl/8.5.0", "curl/8.5.0");
	assert_name("python-requests/2.28 extra", "python-requests/2.28");
	assert_name("0123456789012345678901234567890123456789-and-so-on", "0123456789012345678901234567890123456789");
	assert_name("", "Unknown browser");
	assert_name("   ", "Unknown browser");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(browsers_are_named_as_their_owners_know_them),
		cmocka_unit_test(what_is_no_browser_is_its_first_word),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
