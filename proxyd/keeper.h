/* keeper.h - the process that keeps every issuer's keys fresh in the key cache and answers on the admin address.
 *
 * It alone writes the key cache. When it dies, what it published stays with the workers, and its successor starts from there. */
#ifndef PROXYD_KEEPER_H
#define PROXYD_KEEPER_H

#include "proxyd/config.h"
#include "proxyd/metrics.h"

struct keeper_start {
	const struct proxyd_config *config;
	unsigned generation;         /* of the configuration, from 1 */
	int control_fd;              /* SOCK_SEQPACKET to master (control.h) */
	int seed_fd;                 /* the last keeper's key cache, -1: none. Its sets serve until they are fetched anew */
	int admin_fd;                /* socket of config->admin, -1: none */
	bool serve;                  /* answer there at once; otherwise at CONTROL_SERVE */
	const struct metrics_view *metrics; /* what master and workers count; NULL: not to be had */
	const struct clock *clock;
};
/* Runs until CONTROL_STOP or the loss of master. Returns the exit status. Sends CONTROL_KEYCACHE once, then CONTROL_READY when every
 * issuer has been tried or had keys from the seed, at the latest after KEEPER_READY_MS. */
int keeper_run(const struct keeper_start *start);

#define KEEPER_READY_MS 5000

#endif
