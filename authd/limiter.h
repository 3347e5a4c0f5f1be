/* limiter.h - how often a password may be tried. In memory, bounded, thread-safe.
 *
 * Three counts are kept for an attempt: of the account from this address (strict), of the account from everywhere, and of the address for every
 * account (loose). Past its free failures a count makes the next attempt wait, twice as long each time. An address that the account was signed in
 * from before is not held up by what others do to the account, so nobody can lock its owner out; sessions are never touched. */
#ifndef AUTHD_LIMITER_H
#define AUTHD_LIMITER_H

#include "shared/clock.h"
#include "shared/rng.h"
#include "shared/slice.h"

#define LIMITER_ENTRIES 16384u          /* of 48 bytes: 768 KiB. Full sets forget what was used longest ago */
#define LIMITER_PAIR_FREE 5             /* failures before the first wait: account from one address */
#define LIMITER_ACCOUNT_FREE 20
#define LIMITER_ADDRESS_FREE 50
#define LIMITER_WAIT_S_MAX 300
#define LIMITER_FORGET_S 3600           /* a count without attempts starts anew */
#define LIMITER_KNOWN_S (30 * 86400)    /* how long an address counts as the owner's */

struct limiter;

/* NULL: no memory or no randomness. */
struct limiter *limiter_new(const struct clock *clock, const struct rng *rng);
void limiter_free(struct limiter *l);

/* Ask before a password is checked, and count the attempt as failed until limiter_succeeded says otherwise: attempts in parallel gain nothing.
 * 0: go on. Else seconds to wait; the attempt does not count then. account: as typed (case does not matter). address: IP as text. */
unsigned limiter_attempt(struct limiter *l, struct slice account, struct slice address);
void limiter_succeeded(struct limiter *l, struct slice account, struct slice address);

#endif
