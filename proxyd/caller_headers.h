/* caller_headers.h - what a destination is told of the caller: the header lines that stand last in a request's head. */
#ifndef PROXYD_CALLER_HEADERS_H
#define PROXYD_CALLER_HEADERS_H

#include "proxyd/authenticator.h"
#include "proxyd/route.h"

/* NULL: there is something to tell. Or why not, for people: an ID token is to be passed on, which certificates and listed tokens are not. */
const char *caller_headers_missing(const struct destination *to, const struct principal *who);
/* Our own authd is told which clusters they may use. who NULL: nobody is known, and nothing is told; forward_request then refuses where that must not be. h: the request, which may hold the token. *out borrows from who or
 * from scratch, which is reset; it may hold a token afterwards. E_FORMAT, E_LIMIT, E_NOMEM. */
MUST_CHECK enum err caller_headers(const struct proxyd_config *config, const struct destination *to, const struct principal *who, const struct http_head *h,
	struct buf *scratch, struct slice *out);

#endif
