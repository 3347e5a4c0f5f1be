/* session.h - the browser's single sign-on session: a cookie with an opaque 256-bit secret, its hash the key of a record in the store.
 * Ends by its absolute lifetime, by not being used, by signing out, or when its person is no longer configured. */
#ifndef AUTHD_SESSION_H
#define AUTHD_SESSION_H

#include "authd/app.h"

#define SESSION_SID_BYTES 16 /* random; 22 characters */

struct session {
	unsigned char hash[32];
	struct slice secret;          /* the cookie's value */
	struct record_session record; /* user brought up to date */
};

/* The session of the request's cookie. OK; E_EMPTY: none that lives; E_NOMEM, E_SYSTEM, E_FORMAT: the store could not tell. */
MUST_CHECK enum err session_find(struct request *r, struct session *out);
static inline struct slice
session_key(const struct session *s)
{
	return slice_of((const char *)s->hash, sizeof s->hash);
}
/* When it ends if it is not used again, by the present configuration. */
int64_t session_expires_at(const struct authd_config *c, const struct record_session *s);
/* Whether its last use is so long ago that it should be noted: not every request is a write. */
bool session_touch_due(const struct authd_config *c, const struct record_session *s, int64_t now_s);
/* Note a use. */
void session_touch(const struct authd_config *c, struct record_session *s, int64_t now_s);

/* Inside a store write: put a session, and note it among those of its person (person_session.h). */
MUST_CHECK enum err session_put(struct store_txn *t, const struct authd_config *c, struct slice key, const struct record_session *s, struct arena *arena);
/* Inside a store write: note a use, if the session still lives (E_EMPTY: it does not). */
MUST_CHECK enum err session_use(struct store_txn *t, struct request *r, const struct session *s);

/* Prepare a new session for somebody who has just proved who they are; the caller puts it. */
MUST_CHECK enum err session_prepare(struct request *r, const struct record_user *user, struct session *out);
/* A remembered session's cookie lasts as long as the session may; another's ends with the browser. */
void session_cookie_set(struct request *r, const struct session *s);
void session_cookie_clear(struct request *r);

/* Inside a store write: delete the session, end the refresh token families that carry its sid, and note that every token with it has ended (revocation.h). */
MUST_CHECK enum err session_end(struct store_txn *t, struct slice key, struct slice sid, struct arena *arena, int64_t now_s);

#endif
