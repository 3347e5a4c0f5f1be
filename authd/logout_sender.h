/* logout_sender.h - tells clients that a session has ended: a thread of its own, beside all requests, posts a logout token to the one address that is
 * configured for the client, and again with growing pauses until it is taken (logout_notice.h keeps what is left, through a restart too).
 * Spec: OpenID Connect Back-Channel Logout 1.0 sections 2.5 to 2.8. */
#ifndef AUTHD_LOGOUT_SENDER_H
#define AUTHD_LOGOUT_SENDER_H

#include "authd/app.h"

#define LOGOUT_SENDER_AT_ONCE 32        /* half of the fetcher's transfers: a sign-in with GitHub never waits for them */
#define LOGOUT_SENDER_PER_CLIENT 4      /* one that is slow does not hold up the others */
#define LOGOUT_SENDER_TIMEOUT_MS 10000
#define LOGOUT_TOKEN_LIFETIME_S 120     /* section 2.4: at most two minutes are recommended; each attempt has a token of its own */

struct logout_sender;

/* Uses the store, the keys, the fetcher and the revocations of app. E_NOMEM; E_SYSTEM: no thread. */
MUST_CHECK enum err logout_sender_start(struct authd *app, struct logout_sender **out);
/* Ends the thread; nothing is sent or written from now on. Before the store is closed. May be NULL. */
void logout_sender_stop(struct logout_sender *s);
/* After fetcher_free, which hands back what was on its way. May be NULL. */
void logout_sender_free(struct logout_sender *s);

#endif
