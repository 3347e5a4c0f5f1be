#include "proxyd/limits.h"

const char *
limit_text(enum limit l)
{
	switch (l) {
	case LIMIT_ADDRESS_RATE:
		return "too many requests from your address; try again";
	case LIMIT_REFUSALS:
		return "too many refused credentials from your address: new ones have to wait; try again";
	case LIMIT_IDENTITY_RATE:
		return "too many requests of yours; try again";
	case LIMIT_IDENTITY_SHARE:
		return "too many requests of yours at once; try again";
	case LIMIT_IN_FLIGHT:
		return "too many requests at once, and yours are more than your share of them; try again";
	case LIMIT_NONE:
		break;
	}
	return "";
}

static uint32_t
clamp(int64_t n, uint32_t most)
{
	return n <= 0 ? 0 : n < most ? (uint32_t)n : most;
}

enum err
limits_init(struct limits *l, const struct proxyd_config *config, uint64_t seed)
{
	enum err err;

	*l = (struct limits){
		.connections = { .seed = seed },
		.in_flight = { .seed = seed + 1 },
		.connections_max = clamp(config->limits.connections_per_address, UINT32_MAX),
		.in_flight_each_max = clamp(config->limits.requests_in_flight_per_identity, UINT32_MAX),
		.in_flight_max = clamp(config->limits.requests_in_flight, UINT32_MAX),
		.seed = seed,
	};
	if ((err = rate_table_init(&l->requests_by_address, clamp(config->limits.request_rate_per_address, RATE_MAX), seed + 2)) ||
		(err = rate_table_init(&l->refusals_by_address, clamp(config->limits.refusal_rate_per_address, RATE_MAX), seed + 3)) ||
		(err = rate_table_init(&l->requests_by_identity, clamp(config->limits.request_rate_per_identity, RATE_MAX), seed + 4)))
		limits_fini(l);
	return err;
}

void
limits_fini(struct limits *l)
{
	rate_table_fini(&l->requests_by_address);
	rate_table_fini(&l->refusals_by_address);
	rate_table_fini(&l->requests_by_identity);
	peers_fini(&l->connections);
	peers_fini(&l->in_flight);
}

static bool
is_somebody(const unsigned char *address)
{
	static const unsigned char zeros[16];

	return address && memcmp(address, zeros, sizeof(zeros)) != 0;
}

bool
limits_connect(struct limits *l, const unsigned char *address)
{
	uint64_t key[2];

	if (!l->connections_max || !is_somebody(address))
		return true;
	peers_key(address, key);
	return peers_enter(&l->connections, key, l->connections_max);
}

void
limits_disconnect(struct limits *l, const unsigned char *address)
{
	uint64_t key[2];

	if (!l->connections_max || !is_somebody(address))
		return;
	peers_key(address, key);
	peers_leave(&l->connections, key);
}

static bool
take(struct rate_table *t, const unsigned char *address, uint64_t now_ms)
{
	uint64_t key[2];

	if (!t->entries || !is_somebody(address))
		return true;
	peers_key(address, key);
	return rate_table_take(t, key, now_ms);
}

bool
limits_ask(struct limits *l, const unsigned char *address, uint64_t now_ms)
{
	return take(&l->requests_by_address, address, now_ms);
}

bool
limits_try(const struct limits *l, const unsigned char *address, uint64_t now_ms)
{
	uint64_t key[2];

	if (!l->refusals_by_address.entries || !is_somebody(address))
		return true;
	peers_key(address, key);
	return rate_table_may(&l->refusals_by_address, key, now_ms);
}

void
limits_refused(struct limits *l, const unsigned char *address, uint64_t now_ms)
{
	(void)take(&l->refusals_by_address, address, now_ms);
}

/* How many a caller may have who wants one more now. */
static uint32_t
share(const struct limits *l)
{
	uint32_t most = l->in_flight_each_max ? l->in_flight_each_max : UINT32_MAX;

	if (l->in_flight_max == 0 || l->in_flight_n < l->in_flight_max)
		return most;
	if (l->in_flight_n >= LIMITS_HARD_FACTOR * l->in_flight_max)
		return 0;
	size_t fair = l->in_flight_max / (l->in_flight.used + 1);
	return fair == 0 ? 1 : fair < most ? (uint32_t)fair : most;
}

enum limit
limits_enter(struct limits *l, struct slice username, const unsigned char *address, uint64_t now_ms, uint64_t key[2])
{
	key[0] = key[1] = 0;
	if (username.n)
		peers_name_key(username, l->seed, key);
	else if (is_somebody(address))
		peers_key(address, key);
	if (username.n && !rate_table_take(&l->requests_by_identity, key, now_ms))
		return LIMIT_IDENTITY_RATE;
	if (l->in_flight_max == 0 && l->in_flight_each_max == 0)
		return LIMIT_NONE;
	if (!peers_enter(&l->in_flight, key, share(l)))
		return l->in_flight_max && l->in_flight_n >= l->in_flight_max ? LIMIT_IN_FLIGHT : LIMIT_IDENTITY_SHARE;
	l->in_flight_n++;
	return LIMIT_NONE;
}

void
limits_leave(struct limits *l, const uint64_t key[2])
{
	if (l->in_flight_max == 0 && l->in_flight_each_max == 0)
		return;
	peers_leave(&l->in_flight, key);
	l->in_flight_n--;
}
