/* grant.h - authorization codes and refresh token families in the store: who may redeem what, and how often. Functions that run inside a store
 * write look, decide and put as one step, so that of any number of concurrent redemptions one succeeds. No HTTP.
 *
 * A refresh token is "<sid>.<handle>.<secret>". Its family's key is "<sid>.<hash of the handle>": a session's families stand together, and the
 * key, which access tokens name, is not enough to present a token of the family (and so to end it by a wrong one).
 * Spec: RFC 6749 sections 4.1.2, 6, 10.4, 10.5; RFC 9700 section 4.14. */
#ifndef AUTHD_GRANT_H
#define AUTHD_GRANT_H

#include "authd/app.h"

#define GRANT_CODE_BYTES 32         /* random */
#define GRANT_CODE_LIFETIME_S 120
#define GRANT_HANDLE_BYTES 16
#define GRANT_SECRET_BYTES 32
#define GRANT_ENDED_KEPT_S (30 * 86400) /* an ended family without an end of its own is remembered so long */

enum grant_verdict {
	GRANT_OK,
	GRANT_UNKNOWN,      /* never issued, expired, or ended */
	GRANT_OTHER_CLIENT,
	GRANT_OTHER_REDIRECT,
	GRANT_PKCE,
	GRANT_REUSED,       /* the code was redeemed before: its tokens have now ended */
	GRANT_REPLAYED,     /* a refresh token that was rotated away: the family has now ended */
	GRANT_WITHDRAWN,    /* the person has taken back what they had allowed: the family has now ended */
	GRANT_STALE,        /* what is known of the person is too old, and the connector cannot be asked: nothing has changed */
	GRANT_PERSON_GONE   /* no longer configured: the family has now ended */
};
/* For the log. */
const char *grant_verdict_text(enum grant_verdict v);

/* Put a code for this authorization request and person. hash: SHA-256 of the code. */
MUST_CHECK enum err grant_put_code(struct store_txn *t, struct slice hash, const struct record_auth_request *a, const struct record_user *user,
	int64_t auth_time, struct slice sid, int64_t now_s);

/* Redeem a code. Arguments of grant_redeem_code, which runs inside a store write. Secrets are made before it, so that it can run again. */
struct grant_redemption {
	const struct generation *generation;
	struct arena *arena;
	struct slice code, client_id, redirect_uri, verifier;
	const struct client *client;               /* for its lifetimes; NULL: the issuer's */
	struct slice handle, secret, chain_secret; /* of the family, should there be one */
	bool offline;                              /* whether the client may have one */
	int64_t now_s, access_expires_at;
	/* results */
	enum grant_verdict verdict;
	struct record_code record;
	struct slice refresh_token; /* .n 0: offline_access was not granted */
	struct slice grant_id;
};
MUST_CHECK enum err grant_redeem_code(struct store_txn *t, void *redemption);

/* Give tokens for no code: what was proved otherwise stands in record (client_id, scope, audiences, user, auth_time, sid), code is a new secret. Inside a store
 * write; results as above. */
MUST_CHECK enum err grant_issue(struct store_txn *t, void *redemption);

/* Use a refresh token. Arguments of grant_refresh, inside a store write. */
struct grant_refreshment {
	const struct generation *generation;
	struct arena *arena;
	struct slice token, client_id;
	const struct client *client;      /* as above */
	const struct record_user *reread; /* the connector's news of the person; NULL: none */
	bool unread;                      /* the connector was asked and could not tell */
	bool end;                         /* the connector says that the person may not any more */
	int64_t now_s;
	/* results */
	enum grant_verdict verdict;
	struct record_refresh record;
	struct slice refresh_token, grant_id;
};
MUST_CHECK enum err grant_refresh(struct store_txn *t, void *refreshment);
/* The family a token belongs to, for a look before the write. OK only for its present or previous secret and this client. */
MUST_CHECK enum err grant_peek_refresh(struct store *s, struct slice token, struct slice client_id, struct arena *arena, struct record_refresh *out);

/* Whether a refresh token could be used now, as grant_refresh would decide. E_EMPTY: it could not. */
MUST_CHECK enum err grant_find_refresh(struct store *s, const struct generation *g, struct slice token, struct slice client_id, int64_t now_s,
	struct arena *arena, struct record_refresh *out);

/* End a client's own grant (RFC 7009 section 2.1). Arguments of grant_revoke, inside a store write. */
struct grant_revocation {
	struct arena *arena;
	struct slice token;     /* taken for a refresh token */
	struct slice grant_id;  /* of an access token, which is known to be the client's; .n 0: it is none */
	struct slice client_id;
	int64_t now_s;
	/* result */
	bool found;
};
MUST_CHECK enum err grant_revoke(struct store_txn *t, void *revocation);

/* The person and scope behind an access token's grant. E_EMPTY: it has ended. */
struct grant {
	struct record_user user;
	struct slice scope, client_id;
};
MUST_CHECK enum err grant_find(struct store *s, struct slice grant_id, struct arena *arena, struct grant *out);

/* End one family. Inside a store write. */
MUST_CHECK enum err grant_end_family(struct store_txn *t, struct slice key, struct arena *arena, int64_t now_s);
/* End every family of a session. Inside a store write. */
MUST_CHECK enum err grant_end_session(struct store_txn *t, struct slice sid, struct arena *arena, int64_t now_s);

#endif
