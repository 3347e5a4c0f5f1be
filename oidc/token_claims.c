#include <openssl/evp.h>
#include "oidc/authorization_request.h"
#include "oidc/base64url.h"
#include "oidc/subject.h"
#include "oidc/token_claims.h"

static void
member(struct buf *out, const char *name)
{
	if (out->n && out->p[out->n - 1] != '{')
		buf_add_char(out, ',');
	buf_add_char(out, '"');
	buf_add_str(out, name);
	buf_add_str(out, "\":");
}

static void
member_text(struct buf *out, const char *name, struct slice value)
{
	if (value.n == 0)
		return;
	member(out, name);
	buf_add_json(out, value);
}

static void
member_time(struct buf *out, const char *name, int64_t value)
{
	member(out, name);
	buf_add_u64(out, value > 0 ? (uint64_t)value : 0);
}

static void
list(struct buf *out, const struct slice *items, size_t n)
{
	buf_add_char(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_add_char(out, ',');
		buf_add_json(out, items[i]);
	}
	buf_add_char(out, ']');
}

static void
member_list(struct buf *out, const char *name, const struct slice *items, size_t n)
{
	member(out, name);
	list(out, items, n);
}

/* No connector's id has a ':', so that two people never have one plain sub; and base64url has none, so that the two kinds are never equal. */
void
token_subject_add(struct buf *out, struct slice user_id, struct slice connector_id, bool plain)
{
	if (!plain) {
		subject_add(out, user_id, connector_id);
		return;
	}
	buf_add_slice(out, connector_id);
	buf_add_char(out, ':');
	buf_add_slice(out, user_id);
}

static void
member_subject(struct buf *out, const struct token_person *p)
{
	struct buf sub;

	buf_init(&sub, 0);
	token_subject_add(&sub, p->user_id, p->connector_id, p->plain_subject);
	out->failed |= !buf_ok(&sub);
	member(out, "sub");
	buf_add_json(out, buf_slice(&sub));
	buf_fini(&sub);
}

static void
members_person(struct buf *out, const struct token_person *p, unsigned scopes)
{
	if (scopes & SCOPE_EMAIL) {
		member_text(out, "email", p->email);
		member(out, "email_verified");
		buf_add_str(out, p->email_verified ? "true" : "false");
	}
	if ((scopes & SCOPE_GROUPS) && p->group_n)
		member_list(out, "groups", p->groups, p->group_n);
	if (scopes & SCOPE_PROFILE) {
		member_text(out, "name", p->name);
		member_text(out, "preferred_username", p->preferred_username);
	}
	if (scopes & SCOPE_FEDERATED_ID) {
		member(out, "federated_claims");
		buf_add_str(out, "{\"connector_id\":");
		buf_add_json(out, p->connector_id);
		buf_add_str(out, ",\"user_id\":");
		buf_add_json(out, p->user_id);
		buf_add_char(out, '}');
	}
	for (size_t i = 0; i < p->claim_n; i++) {
		if (out->n && out->p[out->n - 1] != '{')
			buf_add_char(out, ',');
		buf_add_json(out, p->claims[i].name);
		buf_add_char(out, ':');
		if (p->claims[i].items)
			list(out, p->claims[i].items, p->claims[i].n);
		else
			buf_add_json(out, p->claims[i].text);
	}
}

/* The client itself is always an audience, after the ones it asked for (as dex does). */
static void
members_audience(struct buf *out, const struct id_token_claims *c)
{
	bool own = false;

	for (size_t i = 0; i < c->audience_n; i++)
		own |= slice_eq(c->audiences[i], c->client_id);
	if (c->audience_n + !own == 1) {
		member_text(out, "aud", c->client_id);
		return;
	}
	member(out, "aud");
	buf_add_char(out, '[');
	for (size_t i = 0; i < c->audience_n; i++) {
		buf_add_json(out, c->audiences[i]);
		if (i + 1 < c->audience_n || !own)
			buf_add_char(out, ',');
	}
	if (!own)
		buf_add_json(out, c->client_id);
	buf_add_char(out, ']');
	member_text(out, "azp", c->client_id);
}

static const EVP_MD *
digest_of(enum jws_alg alg)
{
	switch (alg) {
	case JWS_RS384:
	case JWS_PS384:
	case JWS_ES384:
		return EVP_sha384();
	case JWS_RS512:
	case JWS_PS512:
	case JWS_ES512:
	case JWS_EDDSA:
		return EVP_sha512();
	default:
		return EVP_sha256();
	}
}

/* Core 3.1.3.6, 3.3.2.11: the left half of the digest that the token's alg uses. */
static void
member_hash(struct buf *out, const char *name, struct slice value, enum jws_alg alg)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (value.n == 0)
		return;
	if (EVP_Digest(value.p, value.n, digest, &n, digest_of(alg), NULL) != 1) {
		out->failed = true;
		return;
	}
	member(out, name);
	buf_add_char(out, '"');
	base64url_add(out, digest, n / 2);
	buf_add_char(out, '"');
}

void
id_token_claims_print(const struct id_token_claims *c, struct buf *out)
{
	buf_add_char(out, '{');
	member_text(out, "iss", c->issuer);
	member_subject(out, c->person);
	members_audience(out, c);
	member_time(out, "exp", c->expires_at);
	member_time(out, "iat", c->issued_at);
	if (c->auth_time)
		member_time(out, "auth_time", c->auth_time);
	member_text(out, "nonce", c->nonce);
	member_text(out, "sid", c->sid);
	member_text(out, "jti", c->jti);
	member_hash(out, "at_hash", c->access_token, c->alg);
	member_hash(out, "c_hash", c->code, c->alg);
	members_person(out, c->person, c->scopes);
	buf_add_char(out, '}');
}

void
access_token_claims_print(const struct access_token_claims *c, struct buf *out)
{
	buf_add_char(out, '{');
	member_text(out, "iss", c->issuer);
	if (c->person)
		member_subject(out, c->person);
	else
		member_text(out, "sub", c->client_id);
	member_text(out, "aud", c->issuer);
	member_text(out, "client_id", c->client_id);
	member_text(out, "scope", c->scope);
	member_time(out, "exp", c->expires_at);
	member_time(out, "iat", c->issued_at);
	member_text(out, "jti", c->jti);
	member_text(out, "sid", c->sid);
	member_text(out, "grant", c->grant);
	buf_add_char(out, '}');
}

void
logout_token_claims_print(const struct logout_token_claims *c, struct buf *out)
{
	buf_add_char(out, '{');
	member_text(out, "iss", c->issuer);
	member_subject(out, c->person);
	member_text(out, "aud", c->client_id);
	member_time(out, "iat", c->issued_at);
	member_time(out, "exp", c->expires_at);
	member_text(out, "jti", c->jti);
	member_text(out, "sid", c->sid);
	member(out, "events");
	buf_add_str(out, "{\"http://schemas.openid.net/event/backchannel-logout\":{}}}");
}

void
userinfo_claims_print(const struct token_person *person, unsigned scopes, struct buf *out)
{
	buf_add_char(out, '{');
	member_subject(out, person);
	members_person(out, person, scopes);
	buf_add_char(out, '}');
}

unsigned
scope_bits(struct slice scope)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = { { "openid", SCOPE_OPENID }, { "email", SCOPE_EMAIL }, { "profile", SCOPE_PROFILE }, { "groups", SCOPE_GROUPS },
		{ "offline_access", SCOPE_OFFLINE_ACCESS }, { "federated:id", SCOPE_FEDERATED_ID } };
	unsigned bits = 0;

	while (scope.n) {
		struct slice word = slice_cut(&scope, ' ');
		for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
			if (slice_eq_str(word, words[i].word))
				bits |= words[i].bit;
	}
	return bits;
}
