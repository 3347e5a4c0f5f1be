/* tunnel.h - bytes between two streams, both ways, as they are: what an upgraded connection is after its 101.
 *
 * Each way is on its own: one bounded block, read again only when all of it was taken (back-pressure), and an end of its own: what one peer
 * ends (FIN; with TLS close_notify) is ended towards the other, while the opposite way goes on. A peer that takes no more may still send.
 *
 * Owns: the blocks, held only while they have bytes. The transports are the caller's.   Spec: RFC 9110 section 7.8, RFC 6455 section 1.5 */
#ifndef PROXYD_TUNNEL_H
#define PROXYD_TUNNEL_H

#include "proxyd/block.h"
#include "proxyd/transport.h"

struct tunnel_way {
	struct transport *from, *to;
	struct block *block;  /* data[from..to) is to be written; NULL: nothing */
	size_t lead;          /* of block: a head of ours, which is not counted */
	uint64_t bytes;       /* written */
	bool ended;           /* the reader's side has ended and everything before that is written */
	bool over;            /* and that has been said to the other side; or that one takes no more */
};

struct tunnel {
	struct block_pool *blocks;
	struct tunnel_way up, down; /* up: from the client to the upstream */
};

enum tunnel_state {
	TUNNEL_WAITS,
	TUNNEL_TURN,          /* could go on, but others wait */
	TUNNEL_DONE,          /* both ways ended in order, or nobody takes what is left */
	TUNNEL_CLIENT_LOST,   /* reset, or cut in TLS: not an end */
	TUNNEL_UPSTREAM_LOST,
	TUNNEL_NO_MEMORY
};

void tunnel_init(struct tunnel *t, struct block_pool *blocks, struct transport *client, struct transport *upstream);
/* Take over a block whose data[from..to) goes to the client first; the first lead bytes are not counted. ended: the upstream has ended its side behind it. */
void tunnel_begin_down(struct tunnel *t, struct block *b, size_t lead, bool ended);
/* Until both ways wait. */
MUST_CHECK enum tunnel_state tunnel_run(struct tunnel *t);
/* Put the blocks back. */
void tunnel_release(struct tunnel *t);

#endif
