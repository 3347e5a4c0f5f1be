/* local_password.h - whether somebody's password is right: the limiter is asked first, then the directory, then bcrypt, on its own threads. What comes of it
 * is counted and logged here. */
#ifndef AUTHD_LOCAL_PASSWORD_H
#define AUTHD_LOCAL_PASSWORD_H

#include "authd/app.h"

#define LOCAL_PASSWORD_LOGIN_BYTES_MAX 320 /* of a name or mail address (RFC 5321: 64 + 1 + 255) */

enum local_password_verdict {
	LOCAL_PASSWORD_RIGHT,
	LOCAL_PASSWORD_WRONG,     /* or nobody has that name: both take the same time */
	LOCAL_PASSWORD_HELD_BACK, /* too many attempts: wait_s */
	LOCAL_PASSWORD_UNAVAILABLE
};
struct local_password {
	struct slice login; /* as typed, at most LOCAL_PASSWORD_LOGIN_BYTES_MAX */
	/* results */
	enum local_password_verdict verdict;
	unsigned wait_s;
	struct record_user user; /* with RIGHT */
	/* while it is looked at */
	struct request *r;
	void (*next)(struct request *r);
	const struct authd_password *entry; /* NULL: nobody of that name */
	enum err checked;
	bool matches;
};
/* p lives as long as r; next runs once, as a continuation of r. */
void local_password_check(struct request *r, struct local_password *p, struct slice password, void (*next)(struct request *r));

#endif
