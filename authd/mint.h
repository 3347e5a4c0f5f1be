/* mint.h - the tokens of an answer: what goes into them is oidc/token_claims.h, how they are signed is signer.h; here is which, for whom, how long. */
#ifndef AUTHD_MINT_H
#define AUTHD_MINT_H

#include "authd/app.h"

#define MINT_SESSION_S 600 /* longest life of a session's JWT */

struct mint {
	const struct client *client;
	struct slice scope, nonce, sid, grant_id;
	struct record_strings audiences;
	const struct record_user *user;
	int64_t auth_time;
	struct slice refresh_token; /* .n 0: none */
	int64_t expires_at;         /* 0: by the client's lifetime */
};
/* When access and ID tokens that are minted now for a client expire. */
int64_t mint_expires_at(const struct request *r, const struct client *client);
/* Append the token endpoint's answer (RFC 6749 5.1, OpenID Connect Core 3.1.3.3). */
MUST_CHECK enum err mint_answer(struct request *r, const struct mint *m, struct buf *out);
/* The tokens of an authorization response, in the arena: an access token; an ID token that names it and the code by their hashes (.n 0: there is none). */
MUST_CHECK enum err mint_front_access(struct request *r, const struct mint *m, struct slice *token);
MUST_CHECK enum err mint_front_id(struct request *r, const struct mint *m, struct slice access_token, struct slice code, struct slice *token);
/* The answer to a token exchange (RFC 8693 section 2.2.1): an ID token, or an access token. */
MUST_CHECK enum err mint_exchange_answer(struct request *r, const struct mint *m, bool id_token, struct buf *out);
/* The same for a client that acts for itself (RFC 6749 section 4.4.3): an access token, and nothing else. */
MUST_CHECK enum err mint_client_answer(struct request *r, const struct client *client, struct buf *out);
/* A session's JWT for proxyd: audience is the issuer itself. Sets s->jwt and s->jwt_expires_at; the text lives in the arena. */
MUST_CHECK enum err mint_session(struct request *r, struct record_session *s);
/* The same for a client: an ID token that it could have got for this session. In the arena. */
MUST_CHECK enum err mint_session_for(struct request *r, const struct record_session *s, const struct client *client, struct slice *token);

#endif
