/* keeper_revocations.h - the keeper's open question to authd, which sessions have ended: asked over its socket, or over https with a secret where authd is on
 * another machine, and held there until there is news, then asked again. What it learns goes into the key cache at once; workers look there.
 *
 * authd names the store it speaks of (epoch) and numbers what it says, so that a reader goes on where it left off whichever side was restarted; a
 * keeper that knows nothing is told everything that still counts. */
#ifndef PROXYD_KEEPER_REVOCATIONS_H
#define PROXYD_KEEPER_REVOCATIONS_H

#include <pthread.h>
#include "proxyd/config.h"
#include "proxyd/keycache.h"
#include "proxyd/revocation_news.h"
#include "shared/clock.h"
#include "shared/fetch.h"
#include "shared/loop.h"

#define KEEPER_REVOCATIONS_HELD_MS 40000   /* authd answers after 25 s */
#define KEEPER_REVOCATIONS_RETRY_MIN_MS 100
#define KEEPER_REVOCATIONS_RETRY_MAX_MS 1000 /* it is on this machine, and whoever signs out meanwhile waits for us */
#define KEEPER_REVOCATIONS_ABSENT_MS 30000 /* an issuer that has no such news, or not for us */

struct keeper_revocations {
	/* set by the owner */
	struct loop *loop;
	struct fetcher *fetcher;
	struct keycache *keycache;
	const struct clock *clock;
	const struct proxyd_jwt *jwt; /* whose; NULL: nobody's, and nothing is asked */
	const char *secret;        /* NULL: at a socket, where none is needed */
	const char *ca_path;       /* NULL: the system's CAs */
	void (*changed)(struct keeper_revocations *k); /* sessions have ended: they are in the key cache; NULL: nobody asks */
	void (*tried)(struct keeper_revocations *k); /* after each answer or failure */

	/* its own */
	struct loop_watch watch;   /* of an eventfd: an answer is there */
	struct loop_timer timer;
	pthread_mutex_t lock;      /* of result */
	struct fetch_result result;
	struct revoked_entry *set; /* sorted */
	size_t n;
	char epoch[REVOCATION_EPOCH_BYTES_MAX + 1];
	int64_t sequence;
	unsigned failures;         /* in a row */
	bool answered;             /* at least once: answer or failure */
};

/* Take over what the last keeper knew, and publish it. */
void keeper_revocations_seed(struct keeper_revocations *k, const struct keycache *old);
/* E_SYSTEM, E_NOMEM: no descriptor, no timer. */
MUST_CHECK enum err keeper_revocations_start(struct keeper_revocations *k);
/* After fetcher_free. */
void keeper_revocations_fini(struct keeper_revocations *k);

#endif
