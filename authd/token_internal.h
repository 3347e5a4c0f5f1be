/* token_internal.h - the token endpoint's request under way, and what its grants have in common. Nobody else includes it.
 *
 *   token.c           the endpoint; codes, devices, refresh tokens, clients for themselves
 *   token_password.c  the password grant
 *   token_exchange.c  token exchange */
#ifndef AUTHD_TOKEN_INTERNAL_H
#define AUTHD_TOKEN_INTERNAL_H

#include "authd/client_endpoint.h"
#include "authd/device.h"
#include "authd/local_password.h"
#include "authd/mint.h"

struct exchange;
struct token {
	struct token_request request;
	const struct client *client;
	union {
		struct grant_redemption redemption;
		struct device_poll device; /* begins with a redemption */
	};
	struct grant_refreshment refreshment;
	struct slice scope; /* of this answer */
	struct authorization_request wanted; /* scopes, of a grant that has no authorization request before it */
	struct local_password password;
	struct exchange *exchange; /* token_exchange.c's, with the form that it reads */
	const struct form *form;
	/* of the connector, at a refresh */
	enum connector_verdict verdict;
	struct record_user reread;
	bool asked, is_reread; /* asked: it was, whatever came of it */
	bool barred; /* from refresh tokens */
};

/* Secrets and lifetimes for a write that gives tokens. False: r has been answered. */
bool token_redemption_prepare(struct request *r, struct token *t, struct slice code, struct slice redirect_uri);
/* After that write: the tokens, or what is wrong. */
void token_redeemed(struct request *r, enum err result);
void token_refuse_grant(struct request *r, const struct token *t, enum grant_verdict verdict);

/* What was signed, or that nothing could be. body: taken. */
void token_answer_minted(struct request *r, enum err result, struct buf *body);

/* token_exchange.c */
void token_exchange(struct request *r, struct token *t, const struct form *form);
/* token_password.c */
void token_password(struct request *r, struct token *t);

#endif
