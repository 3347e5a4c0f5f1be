/* http_answer.h - a small answer, whole: for requests of our own, whose answers are read by us and passed on to nobody.
 * Pure. Spec: RFC 9112 section 6.3. */
#ifndef PROXYD_HTTP_ANSWER_H
#define PROXYD_HTTP_ANSWER_H

#include "proxyd/http_head.h"
#include "shared/buf.h"

enum http_answer {
	HTTP_ANSWER_MORE,  /* not all of it yet */
	HTTP_ANSWER_WHOLE,
	HTTP_ANSWER_BAD    /* no HTTP answer, or a body past body's bound */
};

/* in: all bytes received so far; looked at from the start each time. ended: no more will come. *h and what is appended to body count with
 * HTTP_ANSWER_WHOLE; interim answers are passed over. *keep: the connection may serve another request: the peer says so, and nothing stands behind
 * the answer. */
enum http_answer http_answer_parse(struct slice in, bool ended, const struct http_limits *limits, enum http_method method, struct http_head *h,
	struct buf *body, bool *keep);

#endif
