/* For proxyd's keeper, over the unix socket, and from other machines with a secret (revocations.secretFile): sessions that have ended, as news. "?epoch=E&after=N" with what the last answer said is held open
 * until there is something newer; without, or of another store, everything that still counts is answered at once. "wait=0": answer at once in any
 * case, for a reader that wants to know whether it is heard again. */
#include "authd/revocation.h"
#include "authd/routes.h"
#include "shared/log.h"

struct feed {
	struct revocation_news news;
	struct buf revoked;
	uint64_t changes;
	bool waited;
};

static void
send_news(struct request *r, const struct revocation_news *n)
{
	struct buf body;

	buf_init(&body, 0);
	buf_add_str(&body, "{\"epoch\":");
	buf_add_json(&body, n->now_epoch);
	buf_printf(&body, ",\"sequence\":%lld,\"revoked\":[", (long long)n->sequence);
	if (!buf_ok(n->revoked))
		body.failed = true;
	buf_add_slice(&body, buf_slice(n->revoked));
	buf_add_str(&body, "]}");
	buf_fini(n->revoked);
	response_header(r, "Cache-Control", SLICE_LIT("no-store"));
	response_send(r, 200, "application/json", &body);
}

static void
unavailable(struct request *r)
{
	struct feed *f = r->state;

	if (f)
		buf_fini(&f->revoked);
	response_header(r, "Cache-Control", SLICE_LIT("no-store"));
	response_send(r, 503, NULL, NULL);
}

static void look(struct request *r);

static void
waited(struct request *r)
{
	((struct feed *)r->state)->waited = true;
	look(r);
}

static void
look(struct request *r)
{
	struct feed *f = r->state;
	struct revocation_news *n = &f->news;

	f->changes = revocations_changes(r->app->revocations);
	buf_reset(&f->revoked);
	if (store_read(r->app->store, revocation_read, n) != OK)
		unavailable(r);
	else if (n->n || n->fresh || f->waited)
		send_news(r, n);
	else if (revocations_wait(r->app->revocations, r, f->changes, clock_mono_ms(r->app->clock), waited) != OK)
		unavailable(r);
}

static void
answer(struct request *r)
{
	struct feed *f = arena_alloc(&r->arena, sizeof *f);
	struct form *form;
	uint64_t after = 0;

	if (!f || request_query_form(r, &form) != OK) {
		response_send(r, f ? 400 : 503, NULL, NULL);
		return;
	}
	if (!slice_to_u64(form_get(form, "after"), INT64_MAX, &after))
		after = 0;
	*f = (struct feed){ .news = { .arena = &r->arena, .epoch = form_get(form, "epoch"), .after = (int64_t)after, .revoked = &f->revoked },
		.waited = slice_eq_str(form_get(form, "wait"), "0") };
	buf_init(&f->revoked, 0);
	r->state = f;
	look(r);
}

void
internal_revocations(struct request *r, struct slice rest)
{
	(void)rest;
	answer(r);
}

/* Without a secret in the configuration there is no such page. A wrong one is not counted: of 192 bits nobody guesses any. */
void
public_revocations(struct request *r, struct slice rest)
{
	const struct bearer_secrets *secrets = &r->generation->config->revocations.secrets;
	struct slice given = request_header(r, "Authorization");

	(void)rest;
	if (secrets->n == 0) {
		routes_not_found(r);
	} else if (bearer_secrets_match(secrets, given)) {
		answer(r);
	} else {
		log_warn("news of ended sessions refused", LOG_STR("reason", given.p ? "another secret" : "no secret"), LOG_SLICE("address", r->address), LOG_REQ(r->id));
		response_header(r, "WWW-Authenticate", SLICE_LIT("Bearer realm=\"revocations\""));
		response_header(r, "Cache-Control", SLICE_LIT("no-store"));
		response_send(r, 401, NULL, NULL);
	}
}
