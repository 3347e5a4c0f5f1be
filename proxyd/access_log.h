/* access_log.h - what is said of a request when it is over: one line of the log and, if wanted, one audit event.
 *
 * Who, proven how, did what in which cluster, what came of it, how much and how long. Never the query in the log: it may hold a code or a token. */
#ifndef PROXYD_ACCESS_LOG_H
#define PROXYD_ACCESS_LOG_H

#include "proxyd/http_head.h"

struct exchange;
struct access_kept; /* of a request whose head has been released */

#define ACCESS_AUDIT_ID_BYTES_MAX 64

/* The request's head is about to go: keep what will be said of it. Freed with free(x->kept). */
void access_log_keep(struct exchange *x);
/* The upstream's final answer begins. */
void access_log_answered(struct exchange *x, const struct http_head *answer);
/* The request is over: the line, the event, and the numbers of metrics.h. */
void access_log_write(struct exchange *x);

#endif
