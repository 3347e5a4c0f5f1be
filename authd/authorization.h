/* authorization.h - an authorization under way: kept in the store between the pages of a sign-in, bound to its browser, and answered to
 * the client in the end.   Spec: OpenID Connect Core 3.1.2, RFC 6749 4.1.2, RFC 9207 (iss). */
#ifndef AUTHD_AUTHORIZATION_H
#define AUTHD_AUTHORIZATION_H

#include "authd/directory.h"
#include "authd/session.h"
#include "oidc/authorization_request.h"

#define AUTHORIZATION_ID_BYTES 16

/* What the configuration allows, and a way to other clients for the parser. */
struct authorization_lookup {
	struct request *r;
	bool unreadable; /* result: the store could not tell about a client */
};
struct authorization_rules authorization_rules_of(struct request *r, struct authorization_lookup *l);

/* ---- kept ---- */

/* A record of what was asked; slices are borrowed. */
struct record_auth_request authorization_record(struct request *r, const struct authorization_request *a);
/* Inside a store write: put, and let the oldest go when there are too many. */
MUST_CHECK enum err authorization_put(struct store_txn *t, struct slice id, const struct record_auth_request *a);
/* The one that id names, if it was started by the browser that sent login_cookie. OK; E_EMPTY. */
MUST_CHECK enum err authorization_get(struct store_txn *t, struct slice id, struct slice login_cookie, struct arena *arena, struct record_auth_request *a);
/* The same outside a transaction, for a client that there still is (or the console). */
MUST_CHECK enum err authorization_lookup(struct request *r, struct slice id, struct record_auth_request *a);
/* The client of a record that authorization_lookup found; NULL: the console. */
const struct client *authorization_client(struct request *r, const struct record_auth_request *a);

/* A response mode as a record keeps it. */
struct slice authorization_mode_word(enum response_mode mode);
/* GRANT_BITs of what the person signs in for; 0: the console. */
unsigned authorization_grants(const struct record_auth_request *a);

/* ---- approval ---- */

/* Whether the person has agreed before to all that is asked. Inside a read or write. */
MUST_CHECK enum err authorization_approved(struct store_txn *t, const struct record_auth_request *a, const struct record_user *user,
	struct arena *arena, bool *approved);
/* Remember that they agree. Inside a write. */
MUST_CHECK enum err authorization_approve(struct store_txn *t, const struct record_auth_request *a, const struct record_user *user,
	struct arena *arena, int64_t now_s);

/* Visit what a person has allowed: not what they have withdrawn. client_id and the record are gone when visit returns. */
MUST_CHECK enum err authorization_approvals(struct store_txn *t, const struct record_user *user, struct arena *arena,
	enum err (*visit)(void *arg, struct slice client_id, const struct record_approval *a), void *arg);
/* Take back what a client was allowed: it is asked about again, and what it was granted until now has ended. kept_until: as long as such a grant might have been
 * used; 0: for ever. Inside a write. E_EMPTY: nothing was allowed. */
MUST_CHECK enum err authorization_withdraw(struct store_txn *t, const struct record_user *user, struct slice client_id, struct arena *arena, int64_t now_s,
	int64_t kept_until);
/* Whether a client still has what it was granted at a time. OK; E_EMPTY: it was withdrawn since. */
MUST_CHECK enum err authorization_withdrawn_check(struct store_txn *t, const struct record_user *user, struct slice client_id, int64_t granted_at,
	struct arena *arena);

/* ---- somebody has proved who they are ---- */

/* Start their session and go on with authorization id: to the client, to the approval page, or back to the console. Answers r. user is copied. remember: what
 * the person chose about the session; NULL: they were not asked, and the authorization says it. */
void authorization_signed_in(struct request *r, struct slice id, const struct record_user *user, const bool *remember);
/* Go on as the person of this browser's session, as they chose. Answers r. */
void authorization_go_on(struct request *r, struct slice id, const struct session *session);
/* An authorization request that names its connector in the path ("/auth/{connector}?client_id=…", as dex allows). */
void authorize_with_connector(struct request *r, struct slice connector);
/* Somebody has typed the user code of a device: let them sign in and agree. Answers r. */
void authorize_device(struct request *r, const struct client *client, struct slice key, const struct record_device *d);
/* Show how one can sign in for an authorization that is kept, or go there at once when there is one way only (or one was asked for). */
void authorization_choose_login(struct request *r, struct slice id, const struct record_auth_request *a);

#endif
