#include "proxyd/upstream_servers.h"

static bool
is_usable(const struct upstream_server *server, uint64_t now_ms)
{
	return server->failures == 0 || (now_ms >= server->paused_until_ms && server->dialling == 0);
}

int
upstream_servers_choose(struct upstream_servers *s, uint64_t now_ms, uint32_t not)
{
	int best = -1, soonest = -1;

	for (size_t k = 0; k < s->n; k++) {
		size_t i = (s->turn + k) % s->n;
		const struct upstream_server *server = &s->items[i];
		if (server->n == 0 || (not >> i & 1))
			continue;
		if (is_usable(server, now_ms) && (best < 0 || server->busy < s->items[best].busy))
			best = (int)i;
		if (soonest < 0 || server->paused_until_ms < s->items[soonest].paused_until_ms)
			soonest = (int)i;
	}
	if (best < 0)
		best = soonest;
	if (best >= 0)
		s->turn = ((size_t)best + 1) % s->n;
	return best;
}

uint64_t
upstream_servers_failed(struct upstream_servers *s, size_t i, uint64_t now_ms)
{
	struct upstream_server *server = &s->items[i];
	/* What many requests learn in the same pause is one failure. */
	if (server->failures == 0 || now_ms >= server->paused_until_ms) {
		uint64_t pause = (uint64_t)UPSTREAM_PAUSE_MS << (server->failures < 5 ? server->failures : 5);
		server->failures++;
		server->paused_until_ms = now_ms + (pause < UPSTREAM_PAUSE_MS_MAX ? pause : UPSTREAM_PAUSE_MS_MAX);
	}
	return server->paused_until_ms - now_ms;
}

bool
upstream_servers_worked(struct upstream_servers *s, size_t i)
{
	bool failed = s->items[i].failures > 0;

	s->items[i].failures = 0;
	s->items[i].paused_until_ms = 0;
	return failed;
}
