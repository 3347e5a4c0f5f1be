/* token_claims.h - the claims of what an issuer hands out, as JSON: ID Token (OpenID Connect Core 2 and 5.1, dex's names), access token (RFC 9068),
 * UserInfo (Core 5.3.2). Pure: ids and times are parameters. */
#ifndef OIDC_TOKEN_CLAIMS_H
#define OIDC_TOKEN_CLAIMS_H

#include "oidc/jwk_set.h"
#include "shared/buf.h"

/* A claim of one client's own: a text, or a list of them. */
struct token_claim {
	struct slice name, text;
	const struct slice *items; /* NULL: it is a text */
	size_t n;
};
struct token_person {
	struct slice connector_id, user_id; /* together the sub */
	bool plain_subject;                 /* "CONNECTOR:USER" */
	struct slice name, preferred_username, email;
	bool email_verified;
	const struct slice *groups;
	size_t group_n;
	const struct token_claim *claims;   /* of the client, whatever the scopes are */
	size_t claim_n;
};
/* Append the sub of a person. */
void token_subject_add(struct buf *out, struct slice user_id, struct slice connector_id, bool plain);

struct id_token_claims {
	struct slice issuer, client_id;
	const struct slice *audiences; /* asked for beside the client itself */
	size_t audience_n;
	const struct token_person *person;
	unsigned scopes;       /* SCOPE_*: which of the person's claims go in */
	struct slice nonce, sid, jti; /* empty: left out */
	struct slice access_token, code; /* issued with it, for at_hash and c_hash; empty: none */
	enum jws_alg alg;             /* that will sign: at_hash uses its digest */
	int64_t auth_time, issued_at, expires_at;
};
/* Append the JSON object. aud is a string if there is one audience, azp is there if there are more. */
void id_token_claims_print(const struct id_token_claims *c, struct buf *out);

struct access_token_claims {
	struct slice issuer, client_id, scope, jti, sid;
	struct slice grant; /* what it can be ended by; the issuer's own */
	const struct token_person *person; /* NULL: nobody signed in, the client acts for itself and is the sub (RFC 9068 section 2.2) */
	int64_t issued_at, expires_at;
};
void access_token_claims_print(const struct access_token_claims *c, struct buf *out);

/* OpenID Connect Back-Channel Logout 1.0 section 2.4: sub and sid both, the event, never a nonce. */
struct logout_token_claims {
	struct slice issuer, client_id, sid, jti;
	const struct token_person *person;
	int64_t issued_at, expires_at;
};
void logout_token_claims_print(const struct logout_token_claims *c, struct buf *out);

/* UserInfo: sub and what the scopes allow. */
void userinfo_claims_print(const struct token_person *person, unsigned scopes, struct buf *out);

/* SCOPE_* of a scope that was accepted before; other words count nothing. */
unsigned scope_bits(struct slice scope);

#endif
