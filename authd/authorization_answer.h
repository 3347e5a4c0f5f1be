/* authorization_answer.h - what goes back to the client in the end: a code, tokens, both, or an error, in the query, the fragment or a form.
 * Spec: OpenID Connect Core 3.1.2.5, 3.2.2.5, 3.3.2.5, OAuth 2.0 Multiple Response Types, Form Post Response Mode, RFC 9207 (iss). */
#ifndef AUTHD_AUTHORIZATION_ANSWER_H
#define AUTHD_AUTHORIZATION_ANSWER_H

#include "authd/authorization.h"
#include "authd/grant.h"

struct authorization_answer {
	struct slice code;
	unsigned char code_hash[32];
	struct grant_redemption front; /* of the tokens that go back at once */
	const struct client *client;
	struct record_user user;
	int64_t auth_time;
	struct slice sid;
};
/* New secrets for it, whatever will be asked for: what that is may be read inside the write only. */
MUST_CHECK enum err authorization_answer_prepare(struct request *r, struct authorization_answer *a);
/* Inside a store write: the code, and what access tokens are ended by. asked, user and sid are borrowed until the answer has been sent. E_EMPTY: the client is
 * gone. */
MUST_CHECK enum err authorization_answer_put(struct store_txn *t, struct request *r, const struct record_auth_request *asked, const struct record_user *user,
	int64_t auth_time, struct slice sid, struct authorization_answer *a);
/* After it: signs, and sends the browser back to the client. */
void authorization_answer_send(struct request *r, const struct record_auth_request *asked, const struct authorization_answer *a);
void authorization_answer_error(struct request *r, const struct record_auth_request *asked, const char *error, const char *description);

#endif
