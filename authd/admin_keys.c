/* Signing keys - their names and times, never what is private - and how authd is doing. */
#include "authd/admin.h"
#include "shared/log.h"

static void
add_key(struct buf *b, const struct key_info *k, bool first)
{
	static const char *const states[] = { [RECORD_KEY_NEXT] = "next", [RECORD_KEY_ACTIVE] = "active", [RECORD_KEY_RETIRED] = "retired" };

	buf_add_str(b, first ? "{\"kid\":" : ",{\"kid\":");
	buf_add_json(b, k->kid);
	admin_add_text(b, "alg", k->alg);
	admin_add_text(b, "state", slice_str(states[k->state]));
	admin_add_time(b, "created_at", k->created_at);
	admin_add_time(b, "active_at", k->active_at);
	admin_add_time(b, "retired_at", k->retired_at);
	admin_add_time(b, "expires_at", k->expires_at);
	buf_add_char(b, '}');
}

void
admin_keys_list(struct request *r, struct slice rest)
{
	struct key_info keys[KEYS_DESCRIBED_MAX];
	struct buf body;
	size_t n;
	enum err e = keys_describe(r->app->keys, &r->arena, keys, &n);

	(void)rest;
	if (e != OK) {
		admin_refuse_store(r, e);
		return;
	}
	buf_init(&body, 0);
	buf_add_str(&body, "{\"items\":[");
	for (size_t i = 0; i < n; i++)
		add_key(&body, &keys[i], i == 0);
	buf_add_str(&body, "]}");
	admin_send(r, 200, &body);
}

/* Makes keys and waits for their commit: a fifth of a second, of this socket's thread alone. */
void
admin_keys_rotate(struct request *r, struct slice rest)
{
	const struct form *form = admin_form(r);
	struct slice name = form ? form_get(form, "alg") : SLICE_NONE;
	enum jws_alg alg = jws_alg_parse(name);

	(void)rest;
	if (!form)
		return;
	enum err e = name.n && !alg ? E_EMPTY : app_rotate(r->app, alg);
	if (e == E_EMPTY) {
		admin_refuse(r, 404, "no key signs by \"%.*s\": neither signer.config.algorithm nor a client asks for it (authd ctl keys list)", SLICE_FMT(name));
		return;
	}
	if (e != OK) {
		admin_refuse_store(r, e);
		return;
	}
	log_info("signing key rotated by an administrator", LOG_UINT("uid", r->peer_uid), LOG_REQ(r->id));
	admin_keys_list(r, SLICE_NONE);
}

static void
add_store(struct buf *b, const struct request *r, const size_t counts[RECORD_KINDS])
{
	struct store_stats s;

	store_stats(r->app->store, &s);
	buf_add_str(b, ",\"store\":{\"path\":");
	buf_add_json(b, slice_str(r->generation->config->storage.path));
	admin_add_bool(b, "healthy", store_healthy(r->app->store) == OK);
	admin_add_text(b, "sealed_by", slice_str(store_key_id(r->app->store)));
	buf_printf(b, ",\"used_bytes\":%zu,\"map_bytes\":%zu,\"writes\":%llu,\"commits\":%llu,\"failed_commits\":%llu,\"purged\":%llu,\"growths\":%llu,\"records\":{",
		s.used_bytes, s.map_bytes, (unsigned long long)s.writes, (unsigned long long)s.groups, (unsigned long long)s.failed_groups,
		(unsigned long long)s.purged, (unsigned long long)s.growths);
	for (enum record_kind kind = 0; kind < RECORD_KINDS; kind++)
		buf_printf(b, "%s\"%s\":%zu", kind ? "," : "", record_kind_name(kind), counts[kind]);
	buf_add_str(b, "}}");
}

void
admin_stats(struct request *r, struct slice rest)
{
	size_t counts[RECORD_KINDS], waiting, running;
	struct buf body;
	enum err e = store_counts(r->app->store, counts);

	(void)rest;
	if (e != OK) {
		admin_refuse_store(r, e);
		return;
	}
	password_pool_load(r->app->passwords, &waiting, &running);
	buf_init(&body, 0);
	buf_add_str(&body, "{\"version\":\"" GATEHOUSE_VERSION "\",\"issuer\":");
	buf_add_json(&body, slice_str(r->generation->config->issuer));
	admin_add_text(&body, "config", slice_str(r->generation->config->file));
	admin_add_time(&body, "started_at", r->app->started_at);
	buf_printf(&body, ",\"uptime_s\":%lld", (long long)(request_now_s(r) - r->app->started_at));
	add_store(&body, r, counts);
	buf_printf(&body, ",\"passwords\":{\"waiting\":%zu,\"running\":%zu}}", waiting, running);
	admin_send(r, 200, &body);
}
