#include "tests/unit/unit.h"
#include "oidc/authorization_request.h"
#include "oidc/sign_in.h"

/* A living session from 100 s ago, approval skipped. */
static struct sign_in_facts
session_facts(void)
{
	return (struct sign_in_facts){ .session = true, .auth_time = 900, .now_s = 1000, .max_age_s = -1, .approval_skipped = true };
}

static enum sign_in_step
step(struct sign_in_facts f, const char *error_wanted)
{
	const char *error = "unset";
	enum sign_in_step s = sign_in_next(&f, &error);

	if (error_wanted)
		assert_string_equal(error, error_wanted);
	else
		assert_null(error);
	return s;
}

static void
a_session_answers_without_a_page(void **state)
{
	(void)state;
	assert_int_equal(step(session_facts(), NULL), SIGN_IN_ANSWER);
}

static void
without_a_session_there_is_a_login_and_with_prompt_none_an_error(void **state)
{
	(void)state;
	struct sign_in_facts f = session_facts();
	f.session = false;
	assert_int_equal(step(f, NULL), SIGN_IN_LOGIN);
	f.prompt = PROMPT_NONE;
	assert_int_equal(step(f, "login_required"), SIGN_IN_REFUSE);
}

static void
prompt_login_asks_again_in_spite_of_a_session_and_select_account_whether_as_this_person(void **state)
{
	(void)state;
	struct sign_in_facts f = session_facts();
	f.prompt = PROMPT_LOGIN;
	assert_int_equal(step(f, NULL), SIGN_IN_LOGIN);
	f.prompt = PROMPT_SELECT_ACCOUNT;
	assert_int_equal(step(f, NULL), SIGN_IN_SELECT);
	f.prompt = PROMPT_SELECT_ACCOUNT | PROMPT_CONSENT;
	assert_int_equal(step(f, NULL), SIGN_IN_SELECT);
	f.prompt = PROMPT_SELECT_ACCOUNT | PROMPT_LOGIN;
	assert_int_equal(step(f, NULL), SIGN_IN_LOGIN);
	f.prompt = PROMPT_SELECT_ACCOUNT | PROMPT_NONE;
	assert_int_equal(step(f, "account_selection_required"), SIGN_IN_REFUSE);
	f.prompt = PROMPT_SELECT_ACCOUNT;
	f.hint_names_other = true;
	assert_int_equal(step(f, NULL), SIGN_IN_LOGIN);
	f = (struct sign_in_facts){ .prompt = PROMPT_SELECT_ACCOUNT, .max_age_s = -1 };
	assert_int_equal(step(f, NULL), SIGN_IN_LOGIN);
}

static void
max_age_is_kept_to_the_second_and_zero_always_asks(void **state)
{
	(void)state;
	struct sign_in_facts f = session_facts();
	f.max_age_s = 100;
	assert_int_equal(step(f, NULL), SIGN_IN_ANSWER);
	f.max_age_s = 99;
	assert_int_equal(step(f, NULL), SIGN_IN_LOGIN);
	f.max_age_s = 0;
	f.auth_time = f.now_s;
	assert_int_equal(step(f, NULL), SIGN_IN_LOGIN);
	f.prompt = PROMPT_NONE;
	assert_int_equal(step(f, "login_required"), SIGN_IN_REFUSE);
}

static void
a_hint_of_somebody_else_or_another_connector_needs_a_login(void **state)
{
	(void)state;
	struct sign_in_facts f = session_facts();
	f.hint_names_other = true;
	assert_int_equal(step(f, NULL), SIGN_IN_LOGIN);
	f = session_facts();
	f.connector_differs = true;
	assert_int_equal(step(f, NULL), SIGN_IN_LOGIN);
}

static void
approval_is_asked_once_unless_skipped_and_always_with_prompt_consent(void **state)
{
	(void)state;
	struct sign_in_facts f = session_facts();
	f.approval_skipped = false;
	assert_int_equal(step(f, NULL), SIGN_IN_APPROVAL);
	f.approved = true;
	assert_int_equal(step(f, NULL), SIGN_IN_ANSWER);
	f.prompt = PROMPT_CONSENT;
	assert_int_equal(step(f, NULL), SIGN_IN_APPROVAL);
	f.prompt = PROMPT_NONE;
	f.approved = false;
	assert_int_equal(step(f, "consent_required"), SIGN_IN_REFUSE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_answers_without_a_page),
		cmocka_unit_test(without_a_session_there_is_a_login_and_with_prompt_none_an_error),
		cmocka_unit_test(prompt_login_asks_again_in_spite_of_a_session_and_select_account_whether_as_this_person),
		cmocka_unit_test(max_age_is_kept_to_the_second_and_zero_always_asks),
		cmocka_unit_test(a_hint_of_somebody_else_or_another_connector_needs_a_login),
		cmocka_unit_test(approval_is_asked_once_unless_skipped_and_always_with_prompt_consent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
