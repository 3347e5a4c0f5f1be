/* person_session.h - which sessions a person has, and which clients were given tokens in each: noted beside the sessions, in the same store writes. */
#ifndef AUTHD_PERSON_SESSION_H
#define AUTHD_PERSON_SESSION_H

#include "authd/app.h"

#define PERSON_SESSION_KEY_BYTES (32 + 64) /* SHA-256, and a sid with room */

/* Inside a store write: note the session of that key among those of its person; ends_at: its absolute end. Costs one look when nothing has changed. */
MUST_CHECK enum err person_session_note(struct store_txn *t, struct slice session_key, const struct record_session *s, int64_t ends_at,
	struct arena *arena);
/* The key of a session of this very person, in the arena. E_EMPTY: they have none of that sid. */
MUST_CHECK enum err person_session_find(struct store_txn *t, const struct record_user *user, struct slice sid, struct arena *arena, struct slice *session_key);
/* Visit the living sessions of a person: what visit gets is gone when it returns. What it returns but OK ends the visits and is returned. */
MUST_CHECK enum err person_session_each(struct store_txn *t, const struct record_user *user,
	enum err (*visit)(void *arg, struct slice session_key, const struct record_session *s), void *arg);
MUST_CHECK enum err person_session_forget(struct store_txn *t, const struct record_user *user, struct slice sid);

/* Inside a store write: the client was given tokens in that session, which may be used until ends_at (0: for ever), or until the session's end if that is later. */
MUST_CHECK enum err person_session_client_note(struct store_txn *t, const struct record_user *user, struct slice sid, struct slice client_id, int64_t now_s,
	int64_t ends_at, struct arena *arena);
/* Visit the clients of a session. visit may delete its record. */
MUST_CHECK enum err person_session_clients(struct store_txn *t, struct slice sid, struct arena *arena,
	enum err (*visit)(void *arg, struct slice client_id, const struct record_session_client *c), void *arg);
/* Key of a client's record. .p NULL: no memory. */
struct slice person_session_client_key(struct arena *arena, struct slice sid, struct slice client_id);

#endif
