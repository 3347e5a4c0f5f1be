/* keeper_fetch.h - one way to an issuer's keys: its discovery document, then the JWK Set that this names.
 *
 * The transfers run on the fetcher's thread; everything else, the callback included, on the keeper's loop. One fetch of an issuer at a time. */
#ifndef PROXYD_KEEPER_FETCH_H
#define PROXYD_KEEPER_FETCH_H

#include <pthread.h>
#include "proxyd/config.h"
#include "shared/fetch.h"
#include "shared/loop.h"

#define KEEPER_WHY_BYTES 320

/* Brings finished transfers from the fetcher's thread to the loop. */
struct keeper_handover {
	struct loop_watch watch; /* of an eventfd */
	pthread_mutex_t lock;
	struct keeper_fetch *finished;
};
/* E_SYSTEM, E_NOMEM. */
MUST_CHECK enum err keeper_handover_init(struct keeper_handover *h, struct loop *loop);

struct keeper_fetch {
	struct fetcher *fetcher;
	struct keeper_handover *handover;
	const struct proxyd_jwt *jwt;
	const char *ca_path; /* NULL: the system's CAs */
	/* Called once per keeper_fetch_start, on the loop. OK: keys is a JWK Set with key_n usable keys, as fetched, valid until return; max_age_s as in
	 * keeper_plan_succeeded. Otherwise why says what went wrong, for people. */
	void (*done)(struct keeper_fetch *f, enum err err, struct slice keys, size_t key_n, int64_t max_age_s, const char *why);

	/* its own */
	enum { KEEPER_FETCH_IDLE, KEEPER_FETCH_DISCOVERY, KEEPER_FETCH_KEYS } step;
	struct fetch_result result; /* body moved here by the fetcher's thread */
	char cache_control[256];
	struct keeper_fetch *next;
};
void keeper_fetch_start(struct keeper_fetch *f);
void keeper_fetch_fini(struct keeper_fetch *f);

/* Where the discovery document of an issuer is, and where its keys are that the document names. Appended to *url; E_FORMAT with *why when
 * they may not be asked for there. Behind a socket only the issuer's own origin exists. */
MUST_CHECK enum err keeper_discovery_url(const struct proxyd_jwt *jwt, struct buf *url);
MUST_CHECK enum err keeper_keys_url(const struct proxyd_jwt *jwt, struct slice jwks_uri, struct buf *url, const char **why);

#endif
