#include "authd/device.h"

/* Consonants without the ones that are taken for each other when read aloud or from a screen (RFC 8628 section 6.1). */
static const char LETTERS[] = "BCDFGHJKLMNPQRSTVWXZ";
#define LETTER_COUNT (sizeof LETTERS - 1)
#define FAIR (256 / LETTER_COUNT * LETTER_COUNT) /* a byte from here on would make some letters likelier */

/* ---- user codes ---- */

struct slice
device_user_code_make(struct request *r)
{
	char *text = arena_alloc(&r->arena, DEVICE_USER_CODE_CHARS + 1);
	size_t n = 0;

	while (text && n < DEVICE_USER_CODE_CHARS) {
		unsigned char bytes[2 * DEVICE_USER_CODE_CHARS];
		if (rng_fill(r->app->rng, bytes, sizeof bytes) != OK)
			return SLICE_NONE;
		for (size_t i = 0; i < sizeof bytes && n < DEVICE_USER_CODE_CHARS; i++)
			if (bytes[i] < FAIR)
				text[n++] = LETTERS[bytes[i] % LETTER_COUNT];
	}
	return text ? slice_of(text, n) : SLICE_NONE;
}

struct slice
device_user_code_read(struct arena *arena, struct slice typed)
{
	char *text = arena_alloc(arena, DEVICE_USER_CODE_CHARS + 1);
	size_t n = 0;

	for (size_t i = 0; text && i < typed.n; i++) {
		char c = typed.p[i] >= 'a' && typed.p[i] <= 'z' ? (char)(typed.p[i] & ~0x20) : typed.p[i];
		if (c == '-' || c == ' ')
			continue;
		if (n == DEVICE_USER_CODE_CHARS || !c || !strchr(LETTERS, c))
			return SLICE_NONE;
		text[n++] = c;
	}
	return text && n == DEVICE_USER_CODE_CHARS ? slice_of(text, n) : SLICE_NONE;
}

struct slice
device_user_code_shown(struct arena *arena, struct slice code)
{
	return slice_str(arena_printf(arena, "%.*s-%.*s", DEVICE_USER_CODE_CHARS / 2, code.p, DEVICE_USER_CODE_CHARS / 2, code.p + DEVICE_USER_CODE_CHARS / 2));
}

/* ---- waiting ---- */

enum err
device_put(struct store_txn *t, struct slice key, const struct record_device *d, struct arena *arena)
{
	struct record_user_code name = { .device_key = key, .expires_at = d->valid_until }, taken;
	size_t gone;
	enum err e = store_get(t, RECORD_USER_CODE, d->user_code, arena, &taken);

	if (e != E_EMPTY)
		return e == OK ? E_CONFLICT : e;
	e = store_put(t, RECORD_USER_CODE, d->user_code, &name);
	if (e == OK)
		e = store_put(t, RECORD_DEVICE, key, d);
	if (e == OK)
		e = store_trim(t, RECORD_USER_CODE, DEVICES_MAX, &gone);
	return e == OK ? store_trim(t, RECORD_DEVICE, DEVICES_MAX, &gone) : e;
}

static enum err
waiting(struct store_txn *t, struct slice key, struct arena *arena, int64_t now_s, struct record_device *out)
{
	enum err e = store_get(t, RECORD_DEVICE, key, arena, out);

	return e == OK && (out->denied || now_s >= out->valid_until) ? E_EMPTY : e;
}

enum err
device_find(struct store_txn *t, struct slice user_code, struct arena *arena, int64_t now_s, struct slice *key, struct record_device *out)
{
	struct record_user_code name;
	enum err e = store_get(t, RECORD_USER_CODE, user_code, arena, &name);

	*key = name.device_key;
	return e == OK ? waiting(t, name.device_key, arena, now_s, out) : e;
}

/* ---- decided ---- */

/* Under the same key, so that the device code finds it. Its lifetime is the rest of the device's, in which the client keeps asking. */
static enum err
put_code(struct store_txn *t, const struct record_auth_request *a, const struct record_device *d, int64_t now_s)
{
	int64_t soon = now_s + GRANT_CODE_LIFETIME_S;
	struct record_code c = {
		.client_id = d->client_id,
		.redirect_uri = SLICE_LIT(CLIENT_DEVICE_CALLBACK),
		.scope = d->scope,
		.code_challenge = d->code_challenge,
		.audiences = d->audiences,
		.pkce_method = d->pkce_method,
		.user = a->user,
		.auth_time = a->auth_time,
		.sid = a->sid,
		.expires_at = d->valid_until > soon ? d->valid_until : soon,
	};
	enum err e = store_delete(t, RECORD_DEVICE, a->device_key);

	return e == OK ? store_put(t, RECORD_CODE, a->device_key, &c) : e;
}

enum err
device_decide(struct store_txn *t, const struct record_auth_request *a, bool agrees, struct arena *arena, int64_t now_s)
{
	struct record_device d;
	enum err e = waiting(t, a->device_key, arena, now_s, &d);

	if (e == OK)
		e = store_delete(t, RECORD_USER_CODE, d.user_code);
	if (e != OK)
		return e;
	if (agrees)
		return put_code(t, a, &d, now_s);
	d.denied = true;
	return store_put(t, RECORD_DEVICE, a->device_key, &d);
}

/* ---- asked about ---- */

static enum device_verdict
verdict_of(const struct record_device *d, const struct grant_redemption *g)
{
	if (!slice_eq(d->client_id, g->client_id))
		return DEVICE_OTHER_CLIENT;
	if (d->denied)
		return DEVICE_DENIED;
	if (g->now_s >= d->valid_until)
		return DEVICE_EXPIRED;
	return d->polled_at && g->now_s - d->polled_at < d->interval_s ? DEVICE_SLOW_DOWN : DEVICE_PENDING;
}

enum err
device_poll(struct store_txn *t, void *poll)
{
	struct device_poll *p = poll;
	struct grant_redemption *g = &p->redemption;
	struct record_device d;
	unsigned char hash[32];
	struct slice key = store_hash(g->code, hash);
	enum err e = key.n ? store_get(t, RECORD_DEVICE, key, g->arena, &d) : E_NOMEM;

	if (e == E_EMPTY) {
		p->verdict = DEVICE_DECIDED;
		return grant_redeem_code(t, g);
	}
	if (e != OK)
		return e;
	p->verdict = verdict_of(&d, g);
	if (p->verdict != DEVICE_PENDING && p->verdict != DEVICE_SLOW_DOWN)
		return OK;
	d.polled_at = g->now_s;
	if (p->verdict == DEVICE_SLOW_DOWN)
		d.interval_s += DEVICE_SLOW_DOWN_S;
	return store_put(t, RECORD_DEVICE, key, &d);
}
