/* peers.h - how much each client address, or whoever else, has at the moment: connections, requests. IPv6 counts by /64, which is what one customer has.
 *
 * Owns: a table that grows with those that have something. */
#ifndef PROXYD_PEERS_H
#define PROXYD_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "shared/slice.h"

struct peer {
	uint64_t key[2];
	uint32_t n; /* 0: free */
};
struct peers {
	struct peer *table; /* open addressing; NULL: nobody yet */
	size_t slots, used; /* slots: power of two */
	uint64_t seed;      /* so that nobody chooses addresses that collide */
};

/* address: as struct client's. */
void peers_key(const unsigned char address[16], uint64_t key[2]);
/* Of a caller's name. Nobody chooses names that share a key without knowing the seed; no address has a name's. */
void peers_name_key(struct slice name, uint64_t seed, uint64_t key[2]);
uint64_t peers_hash(const uint64_t key[2], uint64_t seed);
/* Count one more; false: it has limit already, or there is no memory. */
bool peers_enter(struct peers *p, const uint64_t key[2], uint32_t limit);
void peers_leave(struct peers *p, const uint64_t key[2]);
void peers_fini(struct peers *p);

#endif
