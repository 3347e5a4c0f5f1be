/* Any texts of a person, a client and a request: what is printed of them, and signed as it stands, is one strict JSON object in which each text is where it
 * belongs. NUL, which no text has, separates them; the first two bytes choose the rest. */
#include "oidc/authorization_request.h"
#include "oidc/strict_json.h"
#include "oidc/token_claims.h"
#include "tests/fuzz/must.h"

static struct slice
next(struct slice *in)
{
	return slice_cut(in, '\0');
}

/* Read back as it was, unless it was no text to begin with. */
static void
check_text(json_t *claims, const char *name, struct slice value)
{
	json_t *found = json_object_get(claims, name);

	MUST(value.n == 0 ? !found : json_is_string(found));
	MUST(value.n == 0 || !slice_is_utf8(value) || slice_eq(strict_json_string(found), value));
}

static json_t *
read_back(const struct buf *out)
{
	json_t *claims;

	MUST(strict_json_parse(buf_slice(out), &claims) == OK);
	return claims;
}

static void
check_id_token(const struct id_token_claims *c, struct buf *out)
{
	id_token_claims_print(c, out);
	json_t *claims = read_back(out);
	check_text(claims, "iss", c->issuer);
	check_text(claims, "nonce", c->nonce);
	check_text(claims, "sid", c->sid);
	check_text(claims, "jti", c->jti);
	check_text(claims, "name", c->scopes & SCOPE_PROFILE ? c->person->name : SLICE_NONE);
	MUST(json_integer_value(json_object_get(claims, "exp")) == c->expires_at);
	json_decref(claims);
}

static void
check_access_token(const struct access_token_claims *c, struct buf *out)
{
	access_token_claims_print(c, out);
	json_t *claims = read_back(out);
	check_text(claims, "client_id", c->client_id);
	check_text(claims, "scope", c->scope);
	check_text(claims, "grant", c->grant);
	json_decref(claims);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct slice in = n < 2 ? SLICE_NONE : slice_of((const char *)data + 2, n - 2), groups[2], audience, list[1];
	unsigned flags = n < 2 ? 0 : data[0], scopes = n < 2 ? 0 : data[1];
	struct token_claim own[] = { { .name = SLICE_LIT("tenant") }, { .name = SLICE_LIT("roles"), .items = list, .n = 1 } };
	struct token_person person = { .plain_subject = flags & 1, .email_verified = flags & 2, .claims = own, .claim_n = 2, .groups = groups, .group_n = 2 };
	struct id_token_claims id = { .person = &person, .audiences = &audience, .audience_n = flags >> 2 & 1, .scopes = scopes, .alg = JWS_ES256,
		.issued_at = 1, .expires_at = 1700000000 };
	struct access_token_claims access = { .person = &person };
	struct slice *const texts[] = { &id.issuer, &id.client_id, &person.user_id, &person.connector_id, &person.name, &person.preferred_username, &person.email,
		&groups[0], &groups[1], &own[0].text, &list[0], &audience, &id.nonce, &id.sid, &id.jti, &id.access_token, &access.scope, &access.grant };
	struct buf out;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		*texts[i] = next(&in);
	if (person.user_id.n + person.connector_id.n > 4000)
		return 0; /* more than a sub holds */
	access.client_id = id.client_id;
	access.issuer = id.issuer;
	buf_init(&out, 0);
	check_id_token(&id, &out);
	buf_reset(&out);
	check_access_token(&access, &out);
	buf_reset(&out);
	userinfo_claims_print(&person, scopes, &out);
	json_decref(read_back(&out));
	buf_fini(&out);
	return 0;
}
