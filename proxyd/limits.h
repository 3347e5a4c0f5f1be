/* limits.h - how much one address and one caller may ask of a worker. Pure: the clock is a parameter.
 *
 * Counted by each worker for itself: workers share nothing that one of them could write for another. What a limit says is therefore what one
 * worker grants, and the gateway as a whole grants at most that many times the number of workers. */
#ifndef PROXYD_LIMITS_H
#define PROXYD_LIMITS_H

#include "proxyd/config.h"
#include "proxyd/peers.h"
#include "proxyd/rate_table.h"

enum limit {
	LIMIT_NONE,          /* go on */
	LIMIT_ADDRESS_RATE,  /* limits.requestRatePerAddress */
	LIMIT_REFUSALS,      /* limits.refusalRatePerAddress */
	LIMIT_IDENTITY_RATE, /* limits.requestRatePerIdentity */
	LIMIT_IDENTITY_SHARE, /* limits.requestsInFlightPerIdentity */
	LIMIT_IN_FLIGHT      /* limits.requestsInFlight, and this caller has a fair share of them already */
};
/* For people. */
const char *limit_text(enum limit l);

struct limits {
	struct rate_table requests_by_address, refusals_by_address, requests_by_identity;
	struct peers connections, in_flight;
	uint32_t connections_max, in_flight_each_max; /* 0: no limit */
	size_t in_flight_max, in_flight_n;
	uint64_t seed;
};
/* Under the in-flight cap a caller is refused what is over its share; above twice the cap everybody is. */
#define LIMITS_HARD_FACTOR 2

/* E_NOMEM. seed: random. */
MUST_CHECK enum err limits_init(struct limits *l, const struct proxyd_config *config, uint64_t seed);
void limits_fini(struct limits *l);

/* address: as struct client's; NULL or zeros (a unix socket): nobody's, without limits. */

/* One more connection; false: too many. */
bool limits_connect(struct limits *l, const unsigned char *address);
void limits_disconnect(struct limits *l, const unsigned char *address);
/* One more request, whoever makes it. */
bool limits_ask(struct limits *l, const unsigned char *address, uint64_t now_ms);
/* May this address have a credential looked at that nobody here knows? */
bool limits_try(const struct limits *l, const unsigned char *address, uint64_t now_ms);
/* One was, and it was no good. */
void limits_refused(struct limits *l, const unsigned char *address, uint64_t now_ms);

/* One more request of a caller that is known (username), or of an address (username empty). With LIMIT_NONE key is what limits_leave wants. */
enum limit limits_enter(struct limits *l, struct slice username, const unsigned char *address, uint64_t now_ms, uint64_t key[2]);
void limits_leave(struct limits *l, const uint64_t key[2]);

#endif
