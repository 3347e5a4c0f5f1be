/* session_client.h - whose session a cookie is, asked from authd once for all that wait: POST /internal/session?audience=a+b with the cookie.
 *
 * 200 {"id_token": "…", "refresh_after": seconds, "id_tokens": {"a": "…", "b": "…"}}; 401: no such session. The tokens of id_tokens are a line each in
 * identity.id_tokens, empty where authd has none, in the order of the audiences. Answers go through the authenticator, which verifies and remembers. */
#ifndef PROXYD_SESSION_CLIENT_H
#define PROXYD_SESSION_CLIENT_H

#include "proxyd/authenticator.h"
#include "proxyd/block.h"
#include "proxyd/upstream.h"

struct session_client;

#define SESSION_TIMEOUT_MS 3000
#define SESSION_ASKS_MAX 64      /* different cookies being asked about at once; more wait in line */
#define SESSION_WAITERS_MAX 4096 /* requests waiting, all cookies */
#define SESSION_ANSWER_BYTES_MAX 98304 /* a token and PROXYD_AUDIENCES_MAX more, 8 KiB each, and what is around them */
/* After a failure nobody who can go on with what is remembered waits for authd again before this. */
#define SESSION_PAUSE_MS 2000

enum session_answer {
	SESSION_VERIFIED, /* principal: a reference for the waiter */
	SESSION_NONE,     /* authd says no */
	SESSION_REFUSED,  /* authd knows it, but its token is not accepted */
	SESSION_DOWN      /* authd did not answer, or too many wait */
};

struct session_wait {
	struct session_wait *next, *prev;
	struct session_ask *ask; /* NULL: not waiting */
	void (*on_answer)(struct session_wait *w, enum session_answer answer, struct principal *principal);
};

struct session_client_options {
	struct loop *loop;
	struct authenticator *authenticator;
	struct block_pool *blocks;
	struct upstream *authd;  /* borrowed */
	const char *cookie_name;
	const struct config_strings *audiences; /* whose ID tokens are wanted, too; NULL: nobody's */
};
struct session_client *session_client_new(const struct session_client_options *o);
/* Nobody may be waiting. */
void session_client_free(struct session_client *s);

/* cookie: the value; copied. OK: on_answer will run, from the loop. E_LIMIT, E_NOMEM: it will not. */
MUST_CHECK enum err session_client_ask(struct session_client *s, struct slice cookie, struct session_wait *w);
/* Stop waiting; nothing if not. */
void session_client_cancel(struct session_client *s, struct session_wait *w);
/* authd did not answer lately. */
bool session_client_is_down(const struct session_client *s);

#endif
