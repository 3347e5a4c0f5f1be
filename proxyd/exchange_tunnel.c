#include "proxyd/exchange_state.h"
#include "proxyd/metrics.h"

void
exchange_run_tunnel(struct exchange *x)
{
	struct tunnel *t = &x->tunnel;
	uint64_t moved = x->bytes_up + x->bytes_down;
	enum tunnel_state state = tunnel_run(t);

	x->bytes_up = t->up.bytes;
	x->bytes_down = t->down.bytes;
	if (x->bytes_up + x->bytes_down != moved)
		x->moved_ms = loop_now_ms(x->gateway->loop);
	exchange_charge(x, moved);
	switch (state) {
	case TUNNEL_WAITS:
		return;
	case TUNNEL_TURN:
		exchange_take_turn(x);
		return;
	case TUNNEL_DONE:
		break;
	case TUNNEL_CLIENT_LOST:
		x->why = "client closed the connection";
		x->ops->cut(x);
		break;
	case TUNNEL_UPSTREAM_LOST:
		x->why = "the upstream cut the connection";
		x->ops->cut(x);
		break;
	case TUNNEL_NO_MEMORY:
		x->why = "out of memory";
		x->ops->cut(x);
		break;
	}
	exchange_finish(x);
}

/* The upstream has switched. From here on nobody looks at the bytes; how long the identity is good that the request was let through with is lasting.c's to watch. */
void
exchange_start_tunnel(struct exchange *x)
{
	struct gateway *g = x->gateway;
	const char *why = NULL;
	struct transport *client = x->ops->tunnel(x, &g->answer_head, &why);
	struct block *b = x->down;

	if (!client) {
		if (why)
			exchange_answer(x, 400, x->why = why);
		else
			exchange_abort(x);
		return;
	}
	/* The head for the client takes the place of the one that came, before the bytes behind it. */
	struct slice head = buf_slice(&g->scratch);
	if (b->from < head.n) {
		struct block *more = block_get(&g->blocks, head.n + (b->to - b->from));
		if (more) {
			memcpy(more->data + head.n, b->data + b->from, b->to - b->from);
			more->from = head.n;
			more->to = head.n + (b->to - b->from);
		}
		block_put(&g->blocks, b);
		b = more;
	}
	x->down = NULL;
	x->status = 101;
	access_log_answered(x, &g->answer_head);
	x->phase = EXCHANGE_TUNNEL;
	metrics_add(&g->metrics->values[METRIC_TUNNELS_OPEN], 1);
	tunnel_init(&x->tunnel, &g->blocks, client, x->call.transport);
	if (!b) {
		x->ops->cut(x);
		exchange_finish(x);
		return;
	}
	b->from -= head.n;
	memcpy(b->data + b->from, head.p, head.n);
	tunnel_begin_down(&x->tunnel, b, head.n, x->down_eof);
	exchange_release_head(x);
	x->moved_ms = loop_now_ms(g->loop);
	exchange_watch_for_stall(x, (uint64_t)g->config->limits.tunnel_idle_timeout_ms);
	lasting_begin(x, LASTING_TUNNEL, NULL);
	exchange_run_tunnel(x);
}

/* A tunnel is never too slow, only forgotten. */
void
exchange_tunnel_due(struct exchange *x)
{
	uint64_t limit = (uint64_t)x->gateway->config->limits.tunnel_idle_timeout_ms, still = loop_now_ms(x->gateway->loop) - x->moved_ms;

	if (still < limit) {
		exchange_watch_for_stall(x, limit - still);
		return;
	}
	x->why = "nothing went through the tunnel for limits.tunnelIdleTimeout";
	exchange_cut(x);
}
