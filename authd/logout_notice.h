/* logout_notice.h - which clients have yet to be told that a session has ended, as the store keeps it: noted by the very write that ends the session, so that
 * a crash loses none, and gone when the client has taken it, refused it, or could not be reached for too long.
 * Spec: OpenID Connect Back-Channel Logout 1.0. Who sends is logout_sender.h. */
#ifndef AUTHD_LOGOUT_NOTICE_H
#define AUTHD_LOGOUT_NOTICE_H

#include "authd/store.h"

#define LOGOUT_NOTICE_KEPT_S 3600       /* a client that cannot be reached for an hour is not told */
#define LOGOUT_NOTICE_PAUSE_S_MAX 300   /* 1, 2, 4 … 256, 300, 300 …: about 18 attempts in the hour */
#define LOGOUT_NOTICES_MAX 100000       /* about 30 MB; the oldest go first */
#define LOGOUT_NOTICE_KEY_BYTES (16 + 8 + 64)

/* Inside a store write: one for each client that was given tokens in that session; what was noted of those clients goes. */
MUST_CHECK enum err logout_notice_put(struct store_txn *t, struct slice sid, struct arena *arena, int64_t now_s);

/* What is due. Inside a store read. */
struct logout_notice_found {
	char key_bytes[LOGOUT_NOTICE_KEY_BYTES];
	size_t key_n;
	struct record_logout_notice record; /* in arena */
};
struct logout_notice_search {
	struct arena *arena;
	int64_t now_s;
	size_t per_client_max;
	/* How many of a client are on their way already, and whether this one is. */
	size_t (*under_way)(void *arg, struct slice client_key);
	bool (*is_under_way)(void *arg, struct slice key);
	void *arg;
	/* results */
	struct logout_notice_found *found; /* room for max */
	size_t max, n;
	int64_t next_due_at; /* earliest of those that are not due yet; 0: none */
};
MUST_CHECK enum err logout_notice_search(struct store_txn *t, void *search);
/* The part of a key that is one client's. */
struct slice logout_notice_client_key(struct slice key);

/* What became of one, inside a store write. */
enum logout_notice_outcome {
	LOGOUT_NOTICE_TAKEN,   /* 2xx */
	LOGOUT_NOTICE_REFUSED, /* 400: the client will not have it */
	LOGOUT_NOTICE_NOBODY,  /* there is no such client any more, or it has no address */
	LOGOUT_NOTICE_FAILED   /* not reached, or any other answer: again later */
};
struct logout_notice_settling {
	const struct logout_notice_found *notice;
	enum logout_notice_outcome outcome;
	int64_t now_s;
	bool given_up; /* result: failed, and there is no time left */
};
MUST_CHECK enum err logout_notice_settle(struct store_txn *t, void *settling);

#endif
