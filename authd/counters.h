/* counters.h - what happened since the start, counted: sign-ins, tokens, calls to upstreams, requests. Thread-safe; every function does nothing when
 * counters is NULL. Texts marked static are kept. */
#ifndef AUTHD_COUNTERS_H
#define AUTHD_COUNTERS_H

#include "shared/buf.h"

#define COUNTERS_ROUTES_MAX 64       /* routes.c has fewer */
#define COUNTERS_CODES_MAX 24        /* of one route and method; what does not fit counts as code="other" */
#define COUNTERS_LABELS_MAX 512      /* connectors (64 at most in a configuration) times results, and those of configurations before */
#define COUNTERS_LABEL_BYTES_MAX 64  /* of a connector's id; a longer one counts as "other" */

struct counters;
struct counters *counters_new(void);
void counters_free(struct counters *m);

/* A sign-in has ended. result, static: "succeeded", "session" (single sign-on, nobody was asked), "wrong_password", "held_back", or what a connector said. */
void counters_login(struct counters *m, struct slice connector, const char *result);
/* An answer with tokens. grant: static. */
void counters_tokens(struct counters *m, const char *grant);
/* A call to a connector's upstream has ended. call, result: static; "answered" is the one that is no error. */
void counters_upstream(struct counters *m, struct slice connector, const char *call, const char *result, uint64_t ms);
/* A request was answered. route: static, NULL: there is no such page. method: static. */
void counters_request(struct counters *m, const char *route, const char *method, int status, uint64_t ms);
void counters_reload(struct counters *m, bool succeeded);
/* A health check was asked for, and what it said. Result: how many said no in a row until now, and since when (0: none). */
struct counters_failing {
	uint64_t n;
	int64_t since_s;
};
struct counters_failing counters_health(struct counters *m, bool healthy, int64_t now_s);

void counters_print(struct counters *m, struct buf *out);

#endif
