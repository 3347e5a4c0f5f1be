/* confine.h - what each of proxyd's processes keeps of its rights once it has started: one table per process, of the words of shared/sandbox.h.
 *
 * Called when all is set up, before a byte of the network is read. */
#ifndef PROXYD_CONFINE_H
#define PROXYD_CONFINE_H

#include "shared/address.h"
#include "shared/err.h"

/* All: E_SYSTEM (errno), E_NOMEM; the process must not go on. */
MUST_CHECK enum err confine_master(void);
MUST_CHECK enum err confine_keeper(void);
MUST_CHECK enum err confine_logger(void);

/* Where a worker may connect to. Zeroed: nowhere. */
#define CONFINE_PORTS_MAX 64 /* different ones; past them any is allowed, which the log says */
struct confine_destinations {
	uint16_t ports[CONFINE_PORTS_MAX]; /* of TCP */
	size_t port_n;
	bool local;                        /* unix sockets */
	bool too_many;
};
void confine_add(struct confine_destinations *d, const struct address *addresses, size_t n);
MUST_CHECK enum err confine_worker(const struct confine_destinations *d);

#endif
