#include "oidc/authorization_request.h"
#include "oidc/sign_in.h"

static bool
login_needed(const struct sign_in_facts *f)
{
	if (!f->session || f->hint_names_other || f->connector_differs)
		return true;
	/* There is one session per browser, so that choosing another account is signing in again. */
	if (f->prompt & (PROMPT_LOGIN | PROMPT_SELECT_ACCOUNT))
		return true;
	/* max_age=0 means the same as prompt=login (Core 3.1.2.1), also within the second of the last login. */
	return f->max_age_s == 0 || (f->max_age_s > 0 && f->now_s - f->auth_time > f->max_age_s);
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
	if (sign_in_needs_approval(f->prompt, f->approval_skipped, f->approved)) {
		*error = none ? "consent_required" : NULL;
		return none ? SIGN_IN_REFUSE : SIGN_IN_APPROVAL;
	}
	*error = NULL;
	return SIGN_IN_ANSWER;
}
