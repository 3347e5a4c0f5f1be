#include <openssl/evp.h>
#include <openssl/hmac.h>
#include "authd/authorization.h"
#include "authd/grant.h"
#include "authd/person.h"
#include "authd/person_session.h"
#include "authd/revocation.h"
#include "oidc/authorization_request.h"
#include "oidc/base64url.h"

#define SHA256_TEXT BASE64URL_ENCODED_BYTES(32)

/* grant_id: what access tokens carry. */
static const char CODE_PREFIX[] = "code:", REFRESH_PREFIX[] = "refresh:";

const char *
grant_verdict_text(enum grant_verdict v)
{
	switch (v) {
	case GRANT_OK:
		return "ok";
	case GRANT_UNKNOWN:
		return "unknown, expired or ended";
	case GRANT_OTHER_CLIENT:
		return "issued to another client";
	case GRANT_OTHER_REDIRECT:
		return "redirect_uri differs from the authorization request";
	case GRANT_PKCE:
		return "code_verifier does not match";
	case GRANT_REUSED:
		return "code was used before: its tokens are ended";
	case GRANT_REPLAYED:
		return "refresh token was rotated away: its family is ended";
	case GRANT_WITHDRAWN:
		return "the person has taken back what they had allowed: the family is ended";
	case GRANT_STALE:
		return "the connector cannot be asked, and what it said last is older than expiry.staleGroups";
	case GRANT_PERSON_GONE:
		return "the person is no longer known here: the family is ended";
	}
	return "?";
}

static struct slice
hash_text(struct arena *arena, struct slice secret)
{
	unsigned char hash[32];
	char *text = arena_alloc(arena, SHA256_TEXT + 1);

	if (!text || !store_hash(secret, hash).n)
		return SLICE_NONE;
	return slice_of(text, base64url_encode(hash, sizeof hash, text));
}

static struct slice
joined(struct arena *arena, const char *a, struct slice b)
{
	return slice_str(arena_printf(arena, "%s%.*s", a, SLICE_FMT(b)));
}

/* ---- codes ---- */

enum err
grant_put_code(struct store_txn *t, struct slice hash, const struct record_auth_request *a, const struct record_user *user, int64_t auth_time,
	struct slice sid, int64_t now_s)
{
	struct record_code c = {
		.client_id = a->client_id,
		.redirect_uri = a->redirect_uri,
		.nonce = a->nonce,
		.scope = a->scope,
		.code_challenge = a->code_challenge,
		.audiences = a->audiences,
		.pkce_method = a->pkce_method,
		.user = *user,
		.auth_time = auth_time,
		.sid = sid,
		.expires_at = now_s + GRANT_CODE_LIFETIME_S,
	};

	return store_put(t, RECORD_CODE, hash, &c);
}

static struct slice
family_key(struct arena *arena, struct slice sid, struct slice handle)
{
	struct slice hash = hash_text(arena, handle);

	return hash.p ? slice_str(arena_printf(arena, "%.*s.%.*s", SLICE_FMT(sid), SLICE_FMT(hash))) : SLICE_NONE;
}

static struct slice
family_token(struct arena *arena, struct slice sid, struct slice handle, struct slice secret)
{
	return slice_str(arena_printf(arena, "%.*s.%.*s.%.*s", SLICE_FMT(sid), SLICE_FMT(handle), SLICE_FMT(secret)));
}

/* When a family ends if it is not used again; 0: never. */
static int64_t
family_expires_at(const struct authd_config *c, const struct client *client, const struct record_refresh *f)
{
	int64_t absolute_s = c->expiry.refresh_tokens.absolute_lifetime_ms / 1000, idle_s = c->expiry.refresh_tokens.valid_if_not_used_for_ms / 1000;

	if (client && client->refresh_absolute_s)
		absolute_s = client->refresh_absolute_s;
	if (client && client->refresh_idle_s)
		idle_s = client->refresh_idle_s;
	int64_t absolute = absolute_s ? f->created_at + absolute_s : 0, idle = idle_s ? f->last_used_at + idle_s : 0;

	return !absolute ? idle : !idle || absolute < idle ? absolute : idle;
}

static enum err
family_put_ended(struct store_txn *t, struct slice key, struct record_refresh *f, int64_t now_s)
{
	f->ended = true;
	if (f->expires_at == 0)
		f->expires_at = now_s + GRANT_ENDED_KEPT_S;
	return store_put(t, RECORD_REFRESH, key, f);
}

enum err
grant_end_family(struct store_txn *t, struct slice key, struct arena *arena, int64_t now_s)
{
	struct record_refresh f;
	enum err e = store_get(t, RECORD_REFRESH, key, arena, &f);

	return e == OK ? family_put_ended(t, key, &f, now_s) : e == E_EMPTY ? OK : e;
}

static enum grant_verdict
code_verdict(const struct grant_redemption *g)
{
	const struct record_code *c = &g->record;

	if (!slice_eq(c->client_id, g->client_id))
		return GRANT_OTHER_CLIENT;
	if (c->redeemed_at)
		return GRANT_REUSED;
	if (!slice_eq(c->redirect_uri, g->redirect_uri))
		return GRANT_OTHER_REDIRECT;
	if (!pkce_matches((enum pkce_method)c->pkce_method, c->code_challenge, g->verifier))
		return GRANT_PKCE;
	return GRANT_OK;
}

static enum err
family_start(struct store_txn *t, struct grant_redemption *g, struct slice key)
{
	unsigned char current[32];
	struct record_refresh f = {
		.client_id = g->client_id,
		.scope = g->record.scope,
		.nonce = g->record.nonce,
		.audiences = g->record.audiences,
		.user = g->record.user,
		.auth_time = g->record.auth_time,
		.sid = g->record.sid,
		.current_hash = store_hash(g->secret, current),
		.chain_secret = g->chain_secret,
		.created_at = g->now_s,
		.rotated_at = g->now_s,
		.last_used_at = g->now_s,
	};

	f.expires_at = family_expires_at(g->generation->config, g->client, &f);
	g->refresh_token = family_token(g->arena, f.sid, g->handle, g->secret);
	g->grant_id = joined(g->arena, REFRESH_PREFIX, key);
	g->record.refresh_id = key;
	return key.p && f.current_hash.n && g->refresh_token.p && g->grant_id.p ? store_put(t, RECORD_REFRESH, key, &f) : E_NOMEM;
}

/* When nothing that comes of the code can be used any more; 0: never. */
static int64_t
tokens_end_at(const struct grant_redemption *g)
{
	int64_t absolute_s = g->generation->config->expiry.refresh_tokens.absolute_lifetime_ms / 1000;

	if (!g->refresh_token.n)
		return g->access_expires_at;
	return absolute_s ? absolute_s + g->access_expires_at : 0;
}

/* The record stays until the last access token issued for it has expired: until then a missing record means an ended grant. */
static enum err
code_use(struct store_txn *t, struct grant_redemption *g, struct slice key)
{
	struct slice hash;
	enum err e = OK;

	g->record.redeemed_at = g->now_s;
	if (g->access_expires_at > g->record.expires_at)
		g->record.expires_at = g->access_expires_at;
	if (g->offline && (scope_bits(g->record.scope) & SCOPE_OFFLINE_ACCESS) &&
		app_generation_connector_allowed(g->generation, g->record.user.connector_id, NULL, GRANT_BIT(GRANT_REFRESH_TOKEN)))
		e = family_start(t, g, family_key(g->arena, g->record.sid, g->handle));
	else if (!(hash = hash_text(g->arena, g->code)).p || !(g->grant_id = joined(g->arena, CODE_PREFIX, hash)).p)
		e = E_NOMEM;
	g->record.grant_id = g->grant_id;
	if (e == OK)
		e = person_session_client_note(t, &g->record.user, g->record.sid, g->client_id, g->now_s, tokens_end_at(g), g->arena);
	return e == OK ? store_put(t, RECORD_CODE, key, &g->record) : e;
}

static enum err
code_end(struct store_txn *t, struct grant_redemption *g, struct slice key)
{
	enum err e = store_delete(t, RECORD_CODE, key);

	return e == OK && g->record.refresh_id.n ? grant_end_family(t, g->record.refresh_id, g->arena, g->now_s) : e;
}

enum err
grant_redeem_code(struct store_txn *t, void *redemption)
{
	struct grant_redemption *g = redemption;
	unsigned char hash[32];
	struct slice key = store_hash(g->code, hash);
	enum err e = key.n ? store_get(t, RECORD_CODE, key, g->arena, &g->record) : E_NOMEM;

	g->refresh_token = g->grant_id = SLICE_NONE;
	if (e == OK)
		e = revocation_check(t, g->record.sid, g->arena); /* signed out since */
	if (e != OK) {
		g->verdict = GRANT_UNKNOWN;
		return e == E_EMPTY ? OK : e;
	}
	g->verdict = code_verdict(g);
	if (g->verdict == GRANT_REUSED)
		return code_end(t, g, key);
	return g->verdict == GRANT_OK ? code_use(t, g, key) : OK;
}

enum err
grant_issue(struct store_txn *t, void *redemption)
{
	struct grant_redemption *g = redemption;
	unsigned char hash[32];
	struct slice key = store_hash(g->code, hash);

	g->refresh_token = SLICE_NONE;
	g->verdict = GRANT_OK;
	return key.n ? code_use(t, g, key) : E_NOMEM;
}

/* ---- refresh tokens ---- */

static bool
token_split(struct slice token, struct slice *sid, struct slice *handle, struct slice *secret)
{
	*sid = slice_cut(&token, '.');
	*handle = slice_cut(&token, '.');
	*secret = token;
	return sid->n && sid->n <= 64 && handle->n && handle->n <= 64 && secret->n && secret->n <= 64;
}

static bool
hash_is(struct slice hash, struct slice stored)
{
	return stored.n && slice_eq_secret(hash, stored);
}

/* The secret that follows one: the same for everyone who presents it, and nothing that is stored can be presented. */
static struct slice
secret_after(struct arena *arena, const struct record_refresh *f, struct slice secret)
{
	unsigned char mac[32];
	char *text = arena_alloc(arena, SHA256_TEXT + 1);

	if (!text || !HMAC(EVP_sha256(), f->chain_secret.p, (int)f->chain_secret.n, (const unsigned char *)secret.p, secret.n, mac, NULL))
		return SLICE_NONE;
	return slice_of(text, base64url_encode(mac, sizeof mac, text));
}

static enum grant_verdict
refresh_verdict(const struct grant_refreshment *g, struct slice hash, bool *rotated)
{
	const struct record_refresh *f = &g->record;
	int64_t reuse_s = (g->generation->config->expiry.refresh_tokens.reuse_interval_ms + 999) / 1000;

	*rotated = false;
	if (!slice_eq(f->client_id, g->client_id))
		return GRANT_OTHER_CLIENT;
	if (f->ended)
		return GRANT_UNKNOWN;
	if (hash_is(hash, f->current_hash))
		return GRANT_OK;
	*rotated = true;
	return hash_is(hash, f->previous_hash) && reuse_s && g->now_s - f->rotated_at <= reuse_s ? GRANT_OK : GRANT_REPLAYED;
}

static bool
too_old(const struct grant_refreshment *g)
{
	int64_t read_at = g->record.read_at ? g->record.read_at : g->record.auth_time;

	return g->unread && g->now_s - read_at > g->generation->config->expiry.stale_groups_ms / 1000;
}

/* Whom the family is for now: the connector's news first, then what the configuration says. */
static enum err
refresh_person(struct store_txn *t, struct grant_refreshment *g)
{
	struct directory d = directory_in(g->generation, t, g->arena);
	enum err e;

	if (g->reread && person_same(g->reread, &g->record.user)) {
		g->record.user = *g->reread;
		g->record.read_at = g->now_s;
	}
	e = g->end ? E_DENIED : person_refresh(&d, &g->record.user);
	if (e == OK && too_old(g))
		g->verdict = GRANT_STALE;
	else if (e == OK && (e = authorization_withdrawn_check(t, &g->record.user, g->record.client_id, g->record.created_at, g->arena)) == E_EMPTY)
		g->verdict = GRANT_WITHDRAWN;
	else if (e == E_DENIED)
		g->verdict = GRANT_PERSON_GONE;
	return g->verdict == GRANT_OK ? e : OK;
}

static enum err
refresh_use(struct store_txn *t, struct grant_refreshment *g, struct slice key, struct slice handle, struct slice secret, bool rotated)
{
	bool rotate = !g->generation->config->expiry.refresh_tokens.disable_rotation;
	unsigned char current[32], previous[32];
	struct slice next = rotate || rotated ? secret_after(g->arena, &g->record, secret) : secret;

	if (!next.p)
		return E_NOMEM;
	if (rotate && !rotated) {
		g->record.previous_hash = store_hash(secret, previous);
		g->record.current_hash = store_hash(next, current);
		g->record.rotated_at = g->now_s;
		if (!g->record.previous_hash.n || !g->record.current_hash.n)
			return E_NOMEM;
	}
	g->record.last_used_at = g->now_s;
	g->record.expires_at = family_expires_at(g->generation->config, g->client, &g->record);
	g->refresh_token = family_token(g->arena, g->record.sid, handle, next);
	g->grant_id = joined(g->arena, REFRESH_PREFIX, key);
	return g->refresh_token.p && g->grant_id.p ? store_put(t, RECORD_REFRESH, key, &g->record) : E_NOMEM;
}

enum err
grant_refresh(struct store_txn *t, void *refreshment)
{
	struct grant_refreshment *g = refreshment;
	struct slice sid, handle, secret, key, hash;
	unsigned char bytes[32];
	bool rotated;
	enum err e;

	g->verdict = GRANT_UNKNOWN;
	if (!token_split(g->token, &sid, &handle, &secret))
		return OK;
	key = family_key(g->arena, sid, handle);
	hash = store_hash(secret, bytes);
	if (!key.p || !hash.n)
		return E_NOMEM;
	e = store_get(t, RECORD_REFRESH, key, g->arena, &g->record);
	if (e != OK)
		return e == E_EMPTY ? OK : e;
	g->verdict = refresh_verdict(g, hash, &rotated);
	if (g->verdict == GRANT_OK && (e = refresh_person(t, g)) != OK)
		return e;
	if (g->verdict == GRANT_REPLAYED || g->verdict == GRANT_PERSON_GONE || g->verdict == GRANT_WITHDRAWN)
		return family_put_ended(t, key, &g->record, g->now_s);
	return g->verdict == GRANT_OK ? refresh_use(t, g, key, handle, secret, rotated) : OK;
}

/* Where a refresh token's family is, and the hash to compare. */
struct place {
	struct slice key, hash;
	unsigned char bytes[32];
};

static enum err
token_place(struct slice token, struct arena *arena, struct place *out)
{
	struct slice sid, handle, secret;

	if (!token_split(token, &sid, &handle, &secret))
		return E_EMPTY;
	out->key = family_key(arena, sid, handle);
	out->hash = store_hash(secret, out->bytes);
	return out->key.p && out->hash.n ? OK : E_NOMEM;
}

enum err
grant_peek_refresh(struct store *s, struct slice token, struct slice client_id, struct arena *arena, struct record_refresh *out)
{
	struct place at;
	enum err e = token_place(token, arena, &at);

	if (e == OK)
		e = store_lookup(s, RECORD_REFRESH, at.key, arena, out);
	if (e != OK)
		return e;
	if (out->ended || !slice_eq(out->client_id, client_id))
		return E_EMPTY;
	return hash_is(at.hash, out->current_hash) || hash_is(at.hash, out->previous_hash) ? OK : E_EMPTY;
}

struct family_look {
	struct slice key;
	struct arena *arena;
	struct record_refresh *out;
};

/* E_EMPTY: it has ended. */
static enum err
look_at_family(struct store_txn *t, void *arg)
{
	const struct family_look *l = arg;
	enum err e = store_get(t, RECORD_REFRESH, l->key, l->arena, l->out);

	if (e == OK && l->out->ended)
		return E_EMPTY;
	return e == OK ? authorization_withdrawn_check(t, &l->out->user, l->out->client_id, l->out->created_at, l->arena) : e;
}

enum err
grant_find_refresh(struct store *s, const struct generation *g, struct slice token, struct slice client_id, int64_t now_s, struct arena *arena,
	struct record_refresh *out)
{
	struct grant_refreshment look = { .generation = g, .arena = arena, .token = token, .client_id = client_id, .now_s = now_s };
	struct place at;
	bool rotated;
	enum err e = token_place(token, arena, &at);

	if (e == OK)
		e = store_read(s, look_at_family, &(struct family_look){ at.key, arena, &look.record });
	if (e == OK && refresh_verdict(&look, at.hash, &rotated) != GRANT_OK)
		e = E_EMPTY;
	if (e == OK)
		*out = look.record;
	return e;
}

/* ---- grants, sessions ---- */

struct code_look {
	struct slice key;
	struct arena *arena;
	struct record_code *out;
};

/* Families end with their session; a code's record would not know. */
static enum err
look_at_code(struct store_txn *t, void *arg)
{
	const struct code_look *l = arg;
	enum err e = store_get(t, RECORD_CODE, l->key, l->arena, l->out);

	if (e == OK)
		e = revocation_check(t, l->out->sid, l->arena);
	return e == OK ? authorization_withdrawn_check(t, &l->out->user, l->out->client_id, l->out->redeemed_at, l->arena) : e;
}

static enum err
grant_find_code(struct store *s, struct slice text, struct arena *arena, struct grant *out)
{
	struct record_code c;
	unsigned char key[32];
	size_t n;
	enum err e;

	if (base64url_decode(text, key, sizeof key, &n) != OK)
		return E_EMPTY;
	e = store_read(s, look_at_code, &(struct code_look){ slice_of((const char *)key, n), arena, &c });
	if (e == OK)
		*out = (struct grant){ c.user, c.scope, c.client_id };
	return e;
}

static enum err
grant_find_family(struct store *s, struct slice key, struct arena *arena, struct grant *out)
{
	struct record_refresh f;
	enum err e = store_read(s, look_at_family, &(struct family_look){ key, arena, &f });

	if (e == OK)
		*out = (struct grant){ f.user, f.scope, f.client_id };
	return e;
}

enum err
grant_find(struct store *s, struct slice grant_id, struct arena *arena, struct grant *out)
{
	struct slice rest = grant_id;
	size_t code_n = sizeof CODE_PREFIX - 1, refresh_n = sizeof REFRESH_PREFIX - 1;

	if (slice_has_prefix(grant_id, slice_str(CODE_PREFIX)))
		return grant_find_code(s, slice_of(rest.p + code_n, rest.n - code_n), arena, out);
	if (slice_has_prefix(grant_id, slice_str(REFRESH_PREFIX)))
		return grant_find_family(s, slice_of(rest.p + refresh_n, rest.n - refresh_n), arena, out);
	return E_EMPTY;
}

/* Whatever secret stands behind the handle: who knows the handle has, or had, a token of this family. */
static enum err
revoke_family(struct store_txn *t, struct grant_revocation *g)
{
	struct record_refresh f;
	struct place at;
	enum err e = token_place(g->token, g->arena, &at);

	if (e == OK)
		e = store_get(t, RECORD_REFRESH, at.key, g->arena, &f);
	if (e == E_EMPTY || (e == OK && (f.ended || !slice_eq(f.client_id, g->client_id))))
		return OK;
	if (e != OK)
		return e;
	g->found = true;
	return family_put_ended(t, at.key, &f, g->now_s);
}

static enum err
revoke_code(struct store_txn *t, struct grant_revocation *g, struct slice text)
{
	unsigned char key[32];
	size_t n;
	enum err e = base64url_decode(text, key, sizeof key, &n) == OK ? store_delete(t, RECORD_CODE, slice_of((const char *)key, n)) : E_EMPTY;

	g->found = e == OK;
	return e == E_EMPTY ? OK : e;
}

enum err
grant_revoke(struct store_txn *t, void *revocation)
{
	struct grant_revocation *g = revocation;
	struct slice code = slice_str(CODE_PREFIX), refresh = slice_str(REFRESH_PREFIX), id = g->grant_id;

	g->found = false;
	if (!id.n)
		return revoke_family(t, g);
	if (slice_has_prefix(id, code))
		return revoke_code(t, g, slice_of(id.p + code.n, id.n - code.n));
	if (!slice_has_prefix(id, refresh))
		return OK;
	g->found = true;
	return grant_end_family(t, slice_of(id.p + refresh.n, id.n - refresh.n), g->arena, g->now_s);
}

struct ending {
	struct store_txn *t;
	int64_t now_s;
};

static enum err
end_visited(void *arg, struct slice key, const void *record)
{
	struct ending *e = arg;
	struct record_refresh f = *(const struct record_refresh *)record;

	return f.ended ? OK : family_put_ended(e->t, key, &f, e->now_s);
}

enum err
grant_end_session(struct store_txn *t, struct slice sid, struct arena *arena, int64_t now_s)
{
	struct slice prefix = slice_str(arena_printf(arena, "%.*s.", SLICE_FMT(sid)));
	struct ending ending = { t, now_s };

	return prefix.p ? store_each_prefix(t, RECORD_REFRESH, prefix, arena, end_visited, &ending) : E_NOMEM;
}
