/* review_client.h - questions that only a cluster's apiserver can answer (TokenReview, SubjectAccessReview), each asked once for all that wait.
 *
 * What an answer is worth is judged by whoever made the client; here is only who waits for what, for how long, and how many at most.
 * One client for each kind of question, so that a flood of one kind does not keep the other waiting. */
#ifndef PROXYD_REVIEW_CLIENT_H
#define PROXYD_REVIEW_CLIENT_H

#include "proxyd/authenticator.h"
#include "proxyd/route.h"

struct review_client;

#define REVIEW_TIMEOUT_MS 5000
#define REVIEWS_RUNNING_MAX 32   /* different questions at once; kept connections of the cluster are used for them */
#define REVIEWS_LINE_MAX 256     /* more questions in line: 32 at a time and some milliseconds each, they are through long before the timeout */
#define REVIEW_WAITERS_MAX 4096  /* requests waiting, all questions */

enum review_verdict {
	REVIEW_YES,
	REVIEW_NO,
	REVIEW_UNKNOWN, /* no answer, or none that can be believed: 503 */
	REVIEW_DENIED   /* the gateway may not ask: somebody has to change that, and asking again does not help. 502 */
};

struct review_wait {
	struct review_wait *next, *prev;
	struct review *review; /* NULL: not waiting */
	/* principal: a reference for the waiter, if the kind of question gives one. why: static; NULL with REVIEW_YES. */
	void (*on_answer)(struct review_wait *w, enum review_verdict verdict, struct principal *principal, const char *why);
};

struct review_client_options {
	struct loop *loop;
	const char *path;         /* "/apis/…" */
	const char *kind;         /* "TokenReview": for the log */
	const char *resource;     /* "tokenreviews": what the gateway's role must allow to create */
	/* What a 2xx answer says. Once, before those who wait are told. *principal: a reference, or left alone. */
	enum review_verdict (*judge)(void *arg, const struct review_question *q, struct slice answer, struct principal **principal, const char **why);
	void *arg;
};
struct review_client *review_client_new(const struct review_client_options *o);
/* Nobody may be waiting; what still runs is given up. */
void review_client_free(struct review_client *c);

/* q is copied. OK: on_answer will run, from the loop. E_LIMIT, E_NOMEM: it will not. */
MUST_CHECK enum err review_client_ask(struct review_client *c, struct destination *to, const struct review_question *q, struct review_wait *w);
/* Stop waiting; nothing if not. */
void review_client_cancel(struct review_wait *w);

#endif
