#include "authd/counters.h"
#include "authd/mint.h"
#include "authd/person.h"
#include "authd/signer.h"
#include "oidc/authorization_request.h"

#define JTI_BYTES 16

int64_t
mint_expires_at(const struct request *r)
{
	return request_now_s(r) + r->generation->config->expiry.id_tokens_ms / 1000;
}

/* Claims into a token in the arena. */
static enum err
mint(struct request *r, const char *typ, struct buf *claims, struct slice *token)
{
	struct buf out;
	enum err e = buf_ok(claims) ? OK : E_NOMEM;

	buf_init(&out, 0);
	if (e == OK)
		e = signer_mint(r->app->keys, typ, buf_slice(claims), &out);
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
	struct token_person person = m->user ? person_claims(m->user) : (struct token_person){ 0 };
	struct access_token_claims c = { .issuer = slice_str(r->generation->config->issuer), .client_id = m->client_id, .scope = m->scope,
		.jti = request_secret(r, JTI_BYTES), .sid = m->sid, .grant = m->grant_id, .person = m->user ? &person : NULL,
		.issued_at = request_now_s(r), .expires_at = mint_expires_at(r) };
	struct buf claims;

	if (!c.jti.p)
		return E_SYSTEM;
	buf_init(&claims, 0);
	access_token_claims_print(&c, &claims);
	return mint(r, "at+jwt", &claims, token);
}

static enum jws_alg
signing_alg(struct request *r)
{
	const struct key_set *set = keys_acquire(r->app->keys);
	enum jws_alg alg = set->active_alg;

	keys_release(r->app->keys, set);
	return alg;
}

static enum err
mint_id(struct request *r, const struct mint *m, struct slice access_token, struct slice *token)
{
	struct token_person person = person_claims(m->user);
	struct id_token_claims c = { .issuer = slice_str(r->generation->config->issuer), .client_id = m->client_id, .audiences = m->audiences.items,
		.audience_n = m->audiences.n, .person = &person, .scopes = scope_bits(m->scope), .nonce = m->nonce, .sid = m->sid,
		.jti = request_secret(r, JTI_BYTES), .access_token = access_token, .alg = signing_alg(r), .auth_time = m->auth_time,
		.issued_at = request_now_s(r), .expires_at = mint_expires_at(r) };
	struct buf claims;

	if (!c.jti.p)
		return E_SYSTEM;
	buf_init(&claims, 0);
	id_token_claims_print(&c, &claims);
	return mint(r, "JWT", &claims, token);
}

/* The members that every answer begins with; the object stays open. */
static void
answer_begin(struct request *r, struct slice access, struct buf *out)
{
	buf_add_str(out, "{\"access_token\":");
	buf_add_json(out, access);
	buf_printf(out, ",\"token_type\":\"Bearer\",\"expires_in\":%lld", (long long)(r->generation->config->expiry.id_tokens_ms / 1000));
}

enum err
mint_client_answer(struct request *r, struct slice client_id, struct buf *out)
{
	struct slice access;
	enum err e = mint_access(r, &(struct mint){ .client_id = client_id }, &access);

	if (e != OK)
		return e;
	answer_begin(r, access, out);
	buf_add_char(out, '}');
	return buf_ok(out) ? OK : E_NOMEM;
}

enum err
mint_answer(struct request *r, const struct mint *m, struct buf *out)
{
	struct slice access, id;
	enum err e = mint_access(r, m, &access);

	if (e == OK)
		e = mint_id(r, m, access, &id);
	if (e != OK)
		return e;
	answer_begin(r, access, out);
	buf_add_str(out, ",\"id_token\":");
	buf_add_json(out, id);
	if (m->refresh_token.n) {
		buf_add_str(out, ",\"refresh_token\":");
		buf_add_json(out, m->refresh_token);
	}
	buf_add_str(out, ",\"scope\":");
	buf_add_json(out, m->scope);
	buf_add_char(out, '}');
	return buf_ok(out) ? OK : E_NOMEM;
}

/* What a session says of its person, for an audience. */
static enum err
mint_of_session(struct request *r, const struct record_session *s, struct slice audience, int64_t *expires_at, struct slice *token)
{
	int64_t now_s = request_now_s(r);
	struct token_person person = person_claims(&s->user);
	struct id_token_claims c = { .issuer = slice_str(r->generation->config->issuer), .client_id = audience, .person = &person,
		.scopes = SCOPE_OPENID | SCOPE_EMAIL | SCOPE_PROFILE | SCOPE_GROUPS, .sid = s->sid, .jti = request_secret(r, JTI_BYTES),
		.auth_time = s->auth_time, .issued_at = now_s };
	struct buf claims;

	if (!c.jti.p)
		return E_SYSTEM;
	*expires_at = c.expires_at = now_s + MINT_SESSION_S < s->expires_at ? now_s + MINT_SESSION_S : s->expires_at;
	buf_init(&claims, 0);
	id_token_claims_print(&c, &claims);
	enum err e = mint(r, "JWT", &claims, token);
	if (e == OK)
		counters_tokens(r->app->counters, "session");
	return e;
}

enum err
mint_session(struct request *r, struct record_session *s)
{
	return mint_of_session(r, s, slice_str(r->generation->config->issuer), &s->jwt_expires_at, &s->jwt);
}

enum err
mint_session_for(struct request *r, const struct record_session *s, struct slice client_id, struct slice *token)
{
	int64_t expires_at;

	return mint_of_session(r, s, client_id, &expires_at, token);
}
