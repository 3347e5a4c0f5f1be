/* device.h - devices that wait for somebody to sign in for them, in the store: started by a client, decided by a person, asked about until then. Every function
 * with a transaction looks, decides and puts as one step. No HTTP.   Spec: RFC 8628. */
#ifndef AUTHD_DEVICE_H
#define AUTHD_DEVICE_H

#include "authd/grant.h"

#define DEVICE_CODE_BYTES 32        /* random */
#define DEVICE_USER_CODE_CHARS 8    /* of 20 letters: 34 bits, and guesses are limited (section 5.1) */
#define DEVICE_INTERVAL_S 5
#define DEVICE_SLOW_DOWN_S 5        /* more for each poll that came too early (section 3.5) */
#define DEVICE_TOO_LATE_S 300       /* so long a client is told that its code has expired */
#define DEVICES_MAX 10000           /* that wait; about 300 bytes each. The ones that expire first make room for new ones */

/* Eight letters that spell no word and look like no other. In the arena; .p NULL: no randomness or no memory. */
struct slice device_user_code_make(struct request *r);
/* What somebody typed: small letters, blanks and hyphens do not matter. .p NULL: it can be no user code. In the arena. */
struct slice device_user_code_read(struct arena *arena, struct slice typed);
/* "BCDF-GHJK". In the arena; .p NULL: no memory. */
struct slice device_user_code_shown(struct arena *arena, struct slice user_code);

/* Put a device that waits. E_CONFLICT: its user code is taken. */
MUST_CHECK enum err device_put(struct store_txn *t, struct slice key, const struct record_device *d, struct arena *arena);
/* The device that waits under a user code. E_EMPTY: none, too late, or decided already. */
MUST_CHECK enum err device_find(struct store_txn *t, struct slice user_code, struct arena *arena, int64_t now_s, struct slice *key, struct record_device *out);
/* The person who signed in for it agrees: a code for the client takes its place; or refuses. a: of the sign-in. E_EMPTY: it does not wait any more. */
MUST_CHECK enum err device_decide(struct store_txn *t, const struct record_auth_request *a, bool agrees, struct arena *arena, int64_t now_s);

enum device_verdict {
	DEVICE_PENDING,
	DEVICE_SLOW_DOWN,
	DEVICE_DENIED,
	DEVICE_EXPIRED,
	DEVICE_OTHER_CLIENT,
	DEVICE_DECIDED /* the person agreed: redemption.verdict tells whether there are tokens */
};
/* A client asks. Arguments of device_poll, inside a store write. */
struct device_poll {
	struct grant_redemption redemption; /* code: the device code; redirect_uri: CLIENT_DEVICE_CALLBACK */
	/* result */
	enum device_verdict verdict;
};
MUST_CHECK enum err device_poll(struct store_txn *t, void *poll);

#endif
