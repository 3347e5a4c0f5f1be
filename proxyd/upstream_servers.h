/* upstream_servers.h - which of several servers behind one name a request goes to: the one with the fewest requests, in turn where they are equal, and none that
 * has just failed. Health is learned from the requests themselves.
 *
 * Owns: nothing; the numbers are the caller's struct. No clock, no I/O. */
#ifndef PROXYD_UPSTREAM_SERVERS_H
#define PROXYD_UPSTREAM_SERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UPSTREAM_SERVERS_MAX 16
/* One that failed is passed over for a second, then for twice as long each time, at most: */
#define UPSTREAM_PAUSE_MS 1000
#define UPSTREAM_PAUSE_MS_MAX 32000

struct upstream_server {
	size_t first, n;        /* its addresses among the upstream's; n 0: its name does not resolve */
	size_t answered;        /* of these the one that answered last */
	unsigned busy;          /* connections that are dialled for a request or serve one */
	unsigned dialling;
	unsigned failures;      /* since it worked last */
	uint64_t paused_until_ms;
	uint64_t http1_until_ms; /* it does not speak HTTP/2, so far as is known; upstream_link.c's */
	uint32_t streams_max;    /* that it allowed on one connection when it was asked last; 0: never yet */
};
struct upstream_servers {
	struct upstream_server items[UPSTREAM_SERVERS_MAX];
	size_t n, turn;
};

/* not: bit i set: not the i-th. -1: there is none left. One that failed gets a single request after its pause; where all are paused, the one whose pause ends first. */
int upstream_servers_choose(struct upstream_servers *s, uint64_t now_ms, uint32_t not);
/* Returns for how long it is passed over. */
uint64_t upstream_servers_failed(struct upstream_servers *s, size_t i, uint64_t now_ms);
/* True: it had failed before. */
bool upstream_servers_worked(struct upstream_servers *s, size_t i);

#endif
