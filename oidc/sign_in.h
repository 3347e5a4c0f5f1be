/* sign_in.h - what an authorization request and a browser's session together ask for: OpenID Connect Core 3.1.2.1 (prompt, max_age,
 * id_token_hint) and 3.1.2.3, 3.1.2.4, as a decision without I/O. */
#ifndef OIDC_SIGN_IN_H
#define OIDC_SIGN_IN_H

#include <stdbool.h>
#include <stdint.h>

enum sign_in_step {
	SIGN_IN_LOGIN,    /* the person has to prove who they are */
	SIGN_IN_SELECT,   /* signed in; has to say whether as this person (prompt=select_account) */
	SIGN_IN_APPROVAL, /* signed in; has to agree to what the client gets */
	SIGN_IN_ANSWER,   /* the client can have its answer without any page */
	SIGN_IN_REFUSE    /* prompt=none, and a page would be needed: the error goes to the client */
};

struct sign_in_facts {
	bool session;          /* the browser has a living session; the next three are about it */
	int64_t auth_time;
	bool hint_names_other; /* id_token_hint is of another person */
	bool connector_differs; /* it was made with a connector that the client may not use, or that is not the one asked for */
	int64_t now_s;
	unsigned prompt;       /* PROMPT_* */
	int64_t max_age_s;     /* -1: not given */
	bool approval_skipped; /* by the issuer's configuration */
	bool approved;         /* remembered, for all of the scopes asked for */
};

/* error: set to the static error code with SIGN_IN_REFUSE. */
enum sign_in_step sign_in_next(const struct sign_in_facts *f, const char **error);
/* The question that is left when the person has just signed in. prompt=consent always asks. */
bool sign_in_needs_approval(unsigned prompt, bool approval_skipped, bool approved);

/* Whether a session may still answer: prompt=login and max_age (Core 3.1.2.1). */
bool sign_in_session_suffices(unsigned prompt, int64_t max_age_s, int64_t auth_time, int64_t now_s);

#endif
