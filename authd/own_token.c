#include "authd/own_token.h"
#include "oidc/authorization_request.h"
#include "oidc/id_token.h"
#include "oidc/strict_json.h"

static enum err
audiences_read(struct arena *arena, json_t *aud, struct record_strings *out)
{
	bool list = json_is_array(aud);

	out->n = list ? json_array_size(aud) : 1;
	out->items = arena_alloc(arena, (out->n + 1) * sizeof *out->items);
	for (size_t i = 0; out->items && i < out->n; i++) {
		out->items[i] = arena_slice(arena, strict_json_string(list ? json_array_get(aud, i) : aud));
		if (!out->items[i].p)
			return E_NOMEM;
	}
	return out->items ? OK : E_NOMEM;
}

static unsigned
claims_shown(json_t *root)
{
	static const struct {
		const char *claim;
		unsigned scope;
	} signs[] = { { "email_verified", SCOPE_EMAIL }, { "groups", SCOPE_GROUPS }, { "name", SCOPE_PROFILE }, { "preferred_username", SCOPE_PROFILE },
		{ "federated_claims", SCOPE_FEDERATED_ID } };
	unsigned shown = SCOPE_OPENID;

	for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
		if (json_object_get(root, signs[i].claim))
			shown |= signs[i].scope;
	return shown;
}

static enum err
claims_read(struct arena *arena, json_t *root, struct own_token *out)
{
	const struct {
		const char *name;
		struct slice *to;
	} wanted[] = { { "sub", &out->sub }, { "scope", &out->scope }, { "grant", &out->grant }, { "client_id", &out->client_id },
		{ "sid", &out->sid }, { "jti", &out->jti }, { "azp", &out->azp }, { "aud", &out->aud } };
	enum err e = OK;

	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
		struct slice value = strict_json_string(json_object_get(root, wanted[i].name));
		*wanted[i].to = arena_slice(arena, value);
		if (!wanted[i].to->p)
			e = E_NOMEM;
	}
	if (e == OK)
		e = audiences_read(arena, json_object_get(root, "aud"), &out->audiences);
	out->shown = claims_shown(root);
	out->auth_time = json_integer_value(json_object_get(root, "auth_time"));
	/* integers, if there at all: id_token_open has seen to that */
	out->issued_at = json_integer_value(json_object_get(root, "iat"));
	out->expires_at = json_integer_value(json_object_get(root, "exp"));
	return e;
}

/* ---- tokens that come again ---- */

/* What token_memory holds: this; then texts, each behind its length: the issuer, those of texts_of, the audiences. */
struct fixed {
	char typ[8];
	int64_t issued_at, expires_at, auth_time;
	uint32_t shown, audience_n;
};
#define TEXTS 8

static void
texts_of(struct own_token *t, struct slice *texts[TEXTS])
{
	struct slice *const all[TEXTS] = { &t->sub, &t->scope, &t->grant, &t->client_id, &t->sid, &t->jti, &t->azp, &t->aud };

	memcpy(texts, all, sizeof all);
}

static void
text_add(struct buf *out, struct slice text)
{
	uint32_t n = (uint32_t)text.n;

	buf_add(out, &n, sizeof n);
	buf_add_slice(out, text);
}

static struct slice
text_take(struct slice *in)
{
	uint32_t n;

	memcpy(&n, in->p, sizeof n);
	struct slice text = slice_of(in->p + sizeof n, n);
	*in = slice_of(text.p + n, in->n - sizeof n - n);
	return text;
}

static void
remember(struct token_memory *m, const unsigned char *digest, const char *issuer, const char *typ, const struct own_token *t)
{
	struct fixed f = { .issued_at = t->issued_at, .expires_at = t->expires_at, .auth_time = t->auth_time, .shown = t->shown,
		.audience_n = (uint32_t)t->audiences.n };
	struct own_token copy = *t;
	struct slice *texts[TEXTS];
	struct buf value;

	if (strlen(typ) >= sizeof f.typ)
		return;
	strcpy(f.typ, typ);
	texts_of(&copy, texts);
	buf_init(&value, TOKEN_MEMORY_VALUE_BYTES_MAX);
	buf_add(&value, &f, sizeof f);
	text_add(&value, slice_str(issuer));
	for (size_t i = 0; i < TEXTS; i++)
		text_add(&value, *texts[i]);
	for (size_t i = 0; i < t->audiences.n; i++)
		text_add(&value, t->audiences.items[i]);
	if (buf_ok(&value))
		token_memory_put(m, digest, buf_slice(&value));
	buf_fini(&value);
}

/* False: it is not known, or not as what is wanted now, or its time is not now: then it is looked at from the start. */
static bool
recall(struct request *r, struct token_memory *m, const unsigned char *digest, const char *typ, bool allow_expired, struct own_token *out)
{
	struct slice in = token_memory_get(m, digest, &r->arena);
	int64_t now_s = request_now_s(r);
	struct slice *texts[TEXTS];
	struct fixed f;

	if (!in.p)
		return false;
	memcpy(&f, in.p, sizeof f);
	in = slice_of(in.p + sizeof f, in.n - sizeof f);
	if (strcmp(f.typ, typ) != 0 || (!allow_expired && f.expires_at <= now_s) || f.issued_at > now_s ||
		!slice_eq_str(text_take(&in), r->generation->config->issuer))
		return false;
	*out = (struct own_token){ .issued_at = f.issued_at, .expires_at = f.expires_at, .auth_time = f.auth_time, .shown = f.shown };
	texts_of(out, texts);
	for (size_t i = 0; i < TEXTS; i++)
		*texts[i] = text_take(&in);
	out->audiences.n = f.audience_n;
	out->audiences.items = arena_alloc(&r->arena, (f.audience_n + 1) * sizeof *out->audiences.items);
	for (size_t i = 0; out->audiences.items && i < f.audience_n; i++)
		out->audiences.items[i] = text_take(&in);
	return out->audiences.items;
}

/* ---- */

static enum err
read_signed(struct request *r, const struct key_set *set, struct slice token, const char *typ, bool allow_expired, struct own_token *out)
{
	json_t *claims;
	enum id_token_verdict verdict = id_token_open_claims(token, r->generation->config->issuer, typ, &set->verify, request_now_s(r), 0, allow_expired, &claims);

	if (verdict != ID_TOKEN_OK)
		return verdict == ID_TOKEN_FAILED ? E_NOMEM : E_DENIED;
	*out = (struct own_token){ 0 };
	enum err e = claims_read(&r->arena, claims, out);
	json_decref(claims);
	return e;
}

enum err
own_token_open(struct request *r, struct slice token, const char *typ, bool allow_expired, struct own_token *out)
{
	const struct key_set *set = keys_acquire(r->app->keys);
	unsigned char digest[TOKEN_MEMORY_DIGEST_BYTES];
	bool digested = store_hash(token, digest).n;
	enum err e = OK;

	if (!digested || !recall(r, set->verified, digest, typ, allow_expired, out)) {
		e = read_signed(r, set, token, typ, allow_expired, out);
		if (e == OK && digested)
			remember(set->verified, digest, r->generation->config->issuer, typ, out);
	}
	keys_release(r->app->keys, set);
	return e;
}
