/* admin.h - the admin address: health for load balancers and service managers, metrics for OpenMetrics scrapers. Plain HTTP, GET and HEAD only.
 *
 * libmicrohttpd without a thread of its own: it lives on the keeper's loop, so pages read the keeper's state without locks. */
#ifndef PROXYD_ADMIN_H
#define PROXYD_ADMIN_H

#include "shared/buf.h"
#include "shared/loop.h"

#define ADMIN_CONNECTIONS_MAX 64
#define ADMIN_IDLE_S 10

enum admin_page { ADMIN_LIVEZ, ADMIN_READYZ, ADMIN_METRICS };
struct admin_answer {
	unsigned status; /* 200 at first */
	struct buf body; /* text/plain; ADMIN_METRICS: OpenMetrics text */
};

struct admin;
/* listen_fd: listening, non-blocking; the admin's from now on unless NULL is returned (no memory, no descriptors). fill makes a page, on the loop. */
struct admin *admin_new(struct loop *loop, int listen_fd, void (*fill)(void *arg, enum admin_page page, struct admin_answer *out), void *arg);
/* Take no more connections (others that hold the socket go on), answer what has come, then call done: at the latest after ADMIN_FINISH_MS. */
#define ADMIN_FINISH_MS 1000
void admin_finish(struct admin *a, void (*done)(void *arg));
void admin_free(struct admin *a); /* NULL: nothing */

#endif
