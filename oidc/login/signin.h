/* signin.h - a good id_token, by the cheapest way: cache, refresh, browser. */
#ifndef OIDC_LOGIN_SIGNIN_H
#define OIDC_LOGIN_SIGNIN_H

#include "oidc/login/cache.h"

struct signin_options {
	const char *issuer, *client_id, *scope;
	const char *ca_file;     /* NULL: the system's */
	uint16_t listen_port;    /* of the redirect; 0: any */
	bool device;             /* the browser is on another machine: show a code to type there (RFC 8628) */
	bool open_browser;       /* else the URL is printed only */
	bool paste;              /* stdin may be read for a pasted answer */
	bool fresh;              /* go to the issuer even if the cache is good */
	int timeout_ms;
};

#define SIGNIN_MARGIN_S 10 /* a token that ends sooner than this is not handed out */

/* *out's slices live in arena. why (>= 512 bytes): for people, what failed and what to do. */
MUST_CHECK enum err signin(const struct signin_options *o, struct arena *arena, struct login_tokens *out, char *why, size_t why_n);

#endif
