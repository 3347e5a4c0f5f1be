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

enum err
own_token_open(struct request *r, struct slice token, const char *typ, bool allow_expired, struct own_token *out)
{
	const struct key_set *set = keys_acquire(r->app->keys);
	json_t *claims;
	unsigned char digest[TOKEN_MEMORY_DIGEST_BYTES];
	bool digested = store_hash(token, digest).n, known = digested && token_memory_has(set->verified, digest);
	enum id_token_verdict verdict = id_token_open_claims(token, r->generation->config->issuer, typ, &set->verify, known, request_now_s(r), 0,
		allow_expired, &claims);

	if (verdict == ID_TOKEN_OK && digested && !known)
		token_memory_add(set->verified, digest);
	keys_release(r->app->keys, set);
	if (verdict != ID_TOKEN_OK)
		return verdict == ID_TOKEN_FAILED ? E_NOMEM : E_DENIED;
	*out = (struct own_token){ 0 };
	enum err e = claims_read(&r->arena, claims, out);
	json_decref(claims);
	return e;
}
