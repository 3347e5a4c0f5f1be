/* loopback.h - the redirect of RFC 8252 section 7.3: a listener on 127.0.0.1 that takes one answer of the issuer. */
#ifndef OIDC_LOGIN_LOOPBACK_H
#define OIDC_LOGIN_LOOPBACK_H

#include "oidc/form.h"

struct loopback {
	int fd;
	uint16_t port;
	char redirect_uri[64]; /* "http://127.0.0.1:PORT/callback" */
};

/* port 0: any free one. E_SYSTEM with errno. */
MUST_CHECK enum err loopback_open(struct loopback *l, uint16_t port);
void loopback_close(struct loopback *l);

/* Waits for a request to /callback whose state is ours; anything else is answered 404 or 400 and does not end the wait (a stray or hostile
 * request must not end somebody's sign-in). Also takes the whole redirect address pasted on paste_fd (-1: not), for a browser on
 * another machine. *query is the answer's form, in arena.
 * OK; E_AGAIN: timeout_ms passed; E_SYSTEM. */
MUST_CHECK enum err loopback_wait(struct loopback *l, struct slice state, int paste_fd, int timeout_ms, struct arena *arena, struct form *query);

/* The query of "GET /callback?… HTTP/1.1" or of a pasted address; .p NULL: it is something else. Pure. */
struct slice loopback_request_query(struct slice request);
struct slice loopback_pasted_query(struct slice line);

#endif
