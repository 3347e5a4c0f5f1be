#include "tests/unit/unit.h"
#include "authd/session.h"

static const struct authd_config config = { .sessions = { .absolute_lifetime_ms = 24 * 3600 * 1000, .valid_if_not_used_for_ms = 3600 * 1000 } };

static void
a_session_ends_when_it_is_not_used(void **state)
{
	(void)state;
	struct record_session s = { .created_at = 1000, .last_seen_at = 5000 };
	assert_int_equal(session_expires_at(&config, &s), 5000 + 3600);
}

static void
a_session_that_is_used_ends_by_its_absolute_lifetime(void **state)
{
	(void)state;
	struct record_session s = { .created_at = 1000 };
	session_touch(&config, &s, 1000 + 24 * 3600 - 10);
	assert_int_equal(s.last_seen_at, 1000 + 24 * 3600 - 10);
	assert_int_equal(s.expires_at, 1000 + 24 * 3600);
}

static void
a_use_is_noted_once_a_minute_and_more_often_for_short_sessions(void **state)
{
	(void)state;
	struct authd_config brief = { .sessions = { .absolute_lifetime_ms = 60000, .valid_if_not_used_for_ms = 50000 } };
	struct record_session s = { .last_seen_at = 1000 };

	assert_false(session_touch_due(&config, &s, 1059));
	assert_true(session_touch_due(&config, &s, 1060));
	assert_false(session_touch_due(&brief, &s, 1004));
	assert_true(session_touch_due(&brief, &s, 1005));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_ends_when_it_is_not_used),
		cmocka_unit_test(a_session_that_is_used_ends_by_its_absolute_lifetime),
		cmocka_unit_test(a_use_is_noted_once_a_minute_and_more_often_for_short_sessions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
