/* http_rules.h - what a message's method, target and headers mean, for a reader of any HTTP version: the http_head is filled step by step.
 *
 * The reader has looked at the bytes (names are tokens, values have no controls, a target HTTP_BYTE_QUERY only); what they say is judged
 * here, once. No I/O, no allocation.   Spec: RFC 9110, RFC 9112 sections 3.2, 6, 9.6, RFC 9113 section 8 */
#ifndef PROXYD_HTTP_RULES_H
#define PROXYD_HTTP_RULES_H

#include "proxyd/http_head.h"

#define HTTP_METHOD_BYTES_MAX 32
#define HTTP_NAMED_MAX 16 /* headers that Connection may name besides its own keywords; kubectl and browsers name none */

struct http_rules {
	struct http_head *head;
	const char **why;    /* static text, set by every refusal */
	bool request;
	uint64_t seen;       /* fields */
	struct slice authority; /* of an absolute target, or :authority; .p NULL: none */
	struct slice upgrade_value, expect_value;
	bool says_close, says_keep_alive, says_upgrade;
	struct slice named[HTTP_NAMED_MAX];
	size_t named_n;
};

/* Clears h, but for its table of headers. */
void http_rules_begin(struct http_rules *r, struct http_head *h, bool request, const char **why);
/* method: a token. */
MUST_CHECK enum http_verdict http_rules_method(struct http_rules *r, struct slice method);
/* After the method. target: not empty. Origin form, absolute form or "*". */
MUST_CHECK enum http_verdict http_rules_target(struct http_rules *r, struct slice target);
/* Room for one more header, whose name, value and folds the caller sets; it counts once http_rules_header has taken it. NULL: too many. */
struct http_header *http_rules_next(struct http_rules *r);
MUST_CHECK enum http_verdict http_rules_header(struct http_rules *r);
/* The head is whole; head->minor is set. */
MUST_CHECK enum http_verdict http_rules_request(struct http_rules *r);
/* method: of the request that it answers. */
MUST_CHECK enum http_verdict http_rules_response(struct http_rules *r, enum http_method method);

#endif
