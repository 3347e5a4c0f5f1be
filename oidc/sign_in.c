#include "oidc/authorization_request.h"
#include "oidc/sign_in.h"

bool
sign_in_session_suffices(unsigned prompt, int64_t max_age_s, int64_t auth_time, int64_t now_s)
{
	/* max_age=0 means the same as prompt=login (Core 3.1.2.1), also within the second of the last login. */
	return !(prompt & PROMPT_LOGIN) && max_age_s != 0 && !(max_age_s > 0 && now_s - auth_time > max_age_s);
}

static bool
login_needed(const struct sign_in_facts *f)
{
	return !f->session || f->hint_names_other || f->connector_differs || !sign_in_session_suffices(f->prompt, f->max_age_s, f->auth_time, f->now_s);
}

bool
sign_in_needs_approval(unsigned prompt, bool approval_skipped, bool approved)
{
	return (prompt & PROMPT_CONSENT) || !(approval_skipped || approved);
}

enum sign_in_step
sign_in_next(const struct sign_in_facts *f, const char **error)
{
	bool none = f->prompt & PROMPT_NONE;

	if (login_needed(f)) {
		*error = none ? "login_required" : NULL;
		return none ? SIGN_IN_REFUSE : SIGN_IN_LOGIN;
	}
	if (f->prompt & PROMPT_SELECT_ACCOUNT) {
		*error = none ? "account_selection_required" : NULL;
		return none ? SIGN_IN_REFUSE : SIGN_IN_SELECT;
	}
	if (sign_in_needs_approval(f->prompt, f->approval_skipped, f->approved)) {
		*error = none ? "consent_required" : NULL;
		return none ? SIGN_IN_REFUSE : SIGN_IN_APPROVAL;
	}
	*error = NULL;
	return SIGN_IN_ANSWER;
}
