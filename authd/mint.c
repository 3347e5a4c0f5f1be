#include "authd/counters.h"
#include "authd/mint.h"
#include "authd/person.h"
#include "authd/signer.h"
#include "oidc/authorization_request.h"

#define JTI_BYTES 16

static int64_t
lifetime_s(const struct request *r, const struct client *client)
{
	return client->id_tokens_s ? client->id_tokens_s : r->generation->config->expiry.id_tokens_ms / 1000;
}

int64_t
mint_expires_at(const struct request *r, const struct client *client)
{
	return request_now_s(r) + lifetime_s(r, client);
}

static int64_t
expires_at(const struct request *r, const struct mint *m)
{
	return m->expires_at ? m->expires_at : mint_expires_at(r, m->client);
}

/* Claims into a token in the arena. All that a client is given is signed by its algorithm; NULL: by the signer's own. */
static enum err
mint(struct request *r, const struct client *client, const char *typ, struct buf *claims, struct slice *token)
{
	struct buf out;
	enum err e = buf_ok(claims) ? OK : E_NOMEM;

	buf_init(&out, 0);
	if (e == OK)
		e = signer_mint(r->app->keys, client ? client->signing_alg : JWS_ALG_NONE, typ, buf_slice(claims), &out);
	if (e == OK) {
		*token = arena_slice(&r->arena, buf_slice(&out));
		e = buf_ok(&out) && token->p ? OK : E_NOMEM;
	}
	buf_fini_secret(claims);
	buf_fini_secret(&out);
	return e;
}

static enum err
mint_access(struct request *r, const struct mint *m, struct slice *token)
{
	struct token_person person = { 0 };
	struct access_token_claims c = { .issuer = slice_str(r->generation->config->issuer), .client_id = slice_str(m->client->id), .scope = m->scope,
		.jti = request_secret(r, JTI_BYTES), .sid = m->sid, .grant = m->grant_id, .person = m->user ? &person : NULL,
		.issued_at = request_now_s(r), .expires_at = expires_at(r, m) };
	struct buf claims;

	if (!c.jti.p)
		return E_SYSTEM;
	if (m->user && person_claims(&r->arena, m->client, m->user, &person) != OK)
		return E_NOMEM;
	buf_init(&claims, 0);
	access_token_claims_print(&c, &claims);
	return mint(r, m->client, "at+jwt", &claims, token);
}

static enum jws_alg
signing_alg(struct request *r, const struct client *client)
{
	const struct key_set *set = keys_acquire(r->app->keys);
	enum jws_alg alg = key_set_signing(set, client->signing_alg)->alg;

	keys_release(r->app->keys, set);
	return alg;
}

static enum err
mint_id(struct request *r, const struct mint *m, struct slice access_token, struct slice code, struct slice *token)
{
	struct token_person person;
	struct id_token_claims c = { .issuer = slice_str(r->generation->config->issuer), .client_id = slice_str(m->client->id), .audiences = m->audiences.items,
		.audience_n = m->audiences.n, .person = &person, .scopes = scope_bits(m->scope), .nonce = m->nonce, .sid = m->sid,
		.jti = request_secret(r, JTI_BYTES), .access_token = access_token, .code = code, .alg = signing_alg(r, m->client), .auth_time = m->auth_time,
		.issued_at = request_now_s(r), .expires_at = expires_at(r, m) };
	struct buf claims;

	if (!c.jti.p)
		return E_SYSTEM;
	if (person_claims(&r->arena, m->client, m->user, &person) != OK)
		return E_NOMEM;
	buf_init(&claims, 0);
	id_token_claims_print(&c, &claims);
	return mint(r, m->client, "JWT", &claims, token);
}

/* A token that was just signed, between quotes: base64url and dots, which JSON leaves as they are. */
static void
add_token(struct buf *out, struct slice token)
{
	buf_add_char(out, '"');
	buf_add_slice(out, token);
	buf_add_char(out, '"');
}

/* The members that every answer begins with; the object stays open. */
static void
answer_begin(struct request *r, const struct client *client, struct slice access, struct buf *out)
{
	buf_add_str(out, "{\"access_token\":");
	add_token(out, access);
	buf_add_str(out, ",\"token_type\":\"Bearer\",\"expires_in\":");
	buf_add_u64(out, (uint64_t)lifetime_s(r, client));
}

enum err
mint_client_answer(struct request *r, const struct client *client, struct buf *out)
{
	struct slice access;
	enum err e = mint_access(r, &(struct mint){ .client = client }, &access);

	if (e != OK)
		return e;
	answer_begin(r, client, access, out);
	buf_add_char(out, '}');
	return buf_ok(out) ? OK : E_NOMEM;
}

enum err
mint_answer(struct request *r, const struct mint *m, struct buf *out)
{
	struct slice access, id;
	enum err e = mint_access(r, m, &access);

	if (e == OK)
		e = mint_id(r, m, access, SLICE_NONE, &id);
	if (e != OK)
		return e;
	answer_begin(r, m->client, access, out);
	buf_add_str(out, ",\"id_token\":");
	add_token(out, id);
	if (m->refresh_token.n) {
		buf_add_str(out, ",\"refresh_token\":");
		buf_add_json(out, m->refresh_token);
	}
	buf_add_str(out, ",\"scope\":");
	buf_add_json(out, m->scope);
	buf_add_char(out, '}');
	return buf_ok(out) ? OK : E_NOMEM;
}

enum err
mint_front_access(struct request *r, const struct mint *m, struct slice *token)
{
	enum err e = mint_access(r, m, token);

	if (e == OK)
		counters_tokens(r->app->counters, grant_type_name(GRANT_IMPLICIT));
	return e;
}

enum err
mint_front_id(struct request *r, const struct mint *m, struct slice access_token, struct slice code, struct slice *token)
{
	enum err e = mint_id(r, m, access_token, code, token);

	if (e == OK && !access_token.n)
		counters_tokens(r->app->counters, grant_type_name(GRANT_IMPLICIT));
	return e;
}

enum err
mint_exchange_answer(struct request *r, const struct mint *m, bool id_token, struct buf *out)
{
	struct slice token;
	enum err e = id_token ? mint_id(r, m, SLICE_NONE, SLICE_NONE, &token) : mint_access(r, m, &token);

	if (e != OK)
		return e;
	/* Section 2.2.1: N_A is the type of what cannot be used as an access token. */
	buf_add_str(out, "{\"access_token\":");
	add_token(out, token);
	buf_printf(out, ",\"issued_token_type\":\"urn:ietf:params:oauth:token-type:%s\",\"token_type\":\"%s\",\"expires_in\":%lld,\"scope\":",
		id_token ? "id_token" : "access_token", id_token ? "N_A" : "Bearer", (long long)(expires_at(r, m) - request_now_s(r)));
	buf_add_json(out, m->scope);
	buf_add_char(out, '}');
	return buf_ok(out) ? OK : E_NOMEM;
}

/* What a session says of its person, for a client; NULL: for the issuer itself. */
static enum err
mint_of_session(struct request *r, const struct record_session *s, const struct client *client, int64_t *until, struct slice *token)
{
	int64_t now_s = request_now_s(r);
	const char *issuer = r->generation->config->issuer;
	struct token_person person;
	struct id_token_claims c = { .issuer = slice_str(issuer), .client_id = slice_str(client ? client->id : issuer), .person = &person,
		.scopes = SCOPE_OPENID | SCOPE_EMAIL | SCOPE_PROFILE | SCOPE_GROUPS, .sid = s->sid, .jti = request_secret(r, JTI_BYTES),
		.auth_time = s->auth_time, .issued_at = now_s };
	struct buf claims;

	if (!c.jti.p)
		return E_SYSTEM;
	if (person_claims(&r->arena, client, &s->user, &person) != OK)
		return E_NOMEM;
	*until = c.expires_at = now_s + MINT_SESSION_S < s->expires_at ? now_s + MINT_SESSION_S : s->expires_at;
	buf_init(&claims, 0);
	id_token_claims_print(&c, &claims);
	enum err e = mint(r, client, "JWT", &claims, token);
	if (e == OK)
		counters_tokens(r->app->counters, "session");
	return e;
}

enum err
mint_session(struct request *r, struct record_session *s)
{
	return mint_of_session(r, s, NULL, &s->jwt_expires_at, &s->jwt);
}

enum err
mint_session_for(struct request *r, const struct record_session *s, const struct client *client, struct slice *token)
{
	int64_t until;

	return mint_of_session(r, s, client, &until, token);
}
