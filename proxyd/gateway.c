#include <stdlib.h>
#include "proxyd/gateway.h"
#include "proxyd/exchange.h"
#include "proxyd/metrics.h"
#include "shared/rng.h"

/* 8 KiB: longer targets are no use to any apiserver (Go's clients send less), and a URL has to fit into one log line. */
#define GATEWAY_TARGET_BYTES_MAX 8192

enum err
gateway_init(struct gateway *g)
{
	uint32_t seed[4];
	enum err err = rng_fill(&rng_system, seed, sizeof(seed));

	if (err)
		return err;
	if (!g->metrics) {
		g->metrics = calloc(1, sizeof(*g->metrics));
		g->metrics_own = true;
	}
	if (!g->metrics)
		return E_NOMEM;
	err = limits_init(&g->limits, g->config, (uint64_t)seed[2] << 32 | seed[3]);
	if (err)
		return err;
	if (!(g->turns = turns_new(g->loop, (uint64_t)seed[3] << 32 | seed[2])))
		return E_NOMEM;
	g->id_prefix = seed[0];
	g->id_counter = seed[1];
	g->request_limits = (struct http_limits){ (size_t)g->config->limits.header_bytes, GATEWAY_TARGET_BYTES_MAX };
	g->answer_limits = (struct http_limits){ GATEWAY_ANSWER_HEAD_BYTES_MAX, GATEWAY_TARGET_BYTES_MAX };
	buf_init(&g->scratch, GATEWAY_SCRATCH_BYTES_MAX);
	buf_init(&g->caller, GATEWAY_CALLER_BYTES_MAX);
	return OK;
}

void
gateway_fini(struct gateway *g)
{
	exchange_free_lists(g);
	block_pool_fini(&g->blocks);
	buf_fini_secret(&g->scratch);
	limits_fini(&g->limits);
	turns_free(g->turns);
	if (g->metrics_own)
		free(g->metrics);
	buf_fini_secret(&g->caller);
}
