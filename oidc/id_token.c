#include <assert.h>
#include "oidc/base64url.h"
#include "oidc/id_token.h"
#include "oidc/id_token_claims.h"
#include "oidc/strict_json.h"
#include "shared/buf.h"

const char *
id_token_verdict_name(enum id_token_verdict v)
{
	switch (v) {
	case ID_TOKEN_OK:
		return "ok";
	case ID_TOKEN_MALFORMED:
		return "malformed";
	case ID_TOKEN_UNKNOWN_KEY:
		return "unknown_key";
	case ID_TOKEN_BAD_SIGNATURE:
		return "bad_signature";
	case ID_TOKEN_WRONG_ISSUER:
		return "wrong_issuer";
	case ID_TOKEN_WRONG_AUDIENCE:
		return "wrong_audience";
	case ID_TOKEN_EXPIRED:
		return "expired";
	case ID_TOKEN_NOT_YET:
		return "not_yet";
	case ID_TOKEN_BAD_CLAIM:
		return "bad_claim";
	case ID_TOKEN_FAILED:
		return "failed";
	}
	return "unknown";
}

static enum id_token_verdict
from_jws(enum jws_verdict v)
{
	switch (v) {
	case JWS_OK:
		return ID_TOKEN_OK;
	case JWS_MALFORMED:
	case JWS_TOO_LONG:
	case JWS_UNSUPPORTED:
		return ID_TOKEN_MALFORMED;
	case JWS_UNKNOWN_KEY:
		return ID_TOKEN_UNKNOWN_KEY;
	case JWS_BAD_SIGNATURE:
		return ID_TOKEN_BAD_SIGNATURE;
	case JWS_FAILED:
		break;
	}
	return ID_TOKEN_FAILED;
}

/* RFC 8725 section 3.11: kinds of tokens are told apart by typ, so that an access token is no ID token and the reverse. "application/" may be
 * left out (RFC 7515 section 4.1.9), the rest compares without case. */
static bool
typ_ok(struct slice typ, const char *wanted)
{
	const struct slice family = SLICE_LIT("application/");

	if (!typ.p)
		return !wanted;
	if (typ.n > family.n && slice_eq_nocase(slice_of(typ.p, family.n), family))
		typ = slice_of(typ.p + family.n, typ.n - family.n);
	return slice_eq_nocase(typ, slice_str(wanted ? wanted : "JWT"));
}

/* The payload's text and its claims, which the caller frees. */
static enum id_token_verdict
read_payload(const struct jws *jws, struct buf *text, json_t **claims)
{
	size_t n = 0;
	char *p = buf_reserve(text, jws->payload_b64.n);

	if (!p)
		return ID_TOKEN_FAILED;
	if (base64url_decode(jws->payload_b64, p, jws->payload_b64.n, &n) != OK)
		return ID_TOKEN_MALFORMED;
	buf_commit(text, n);
	enum err err = strict_json_parse(buf_slice(text), claims);
	return err == OK ? ID_TOKEN_OK : err == E_NOMEM ? ID_TOKEN_FAILED : ID_TOKEN_MALFORMED;
}

/* From a token that was split to claims that the issuer has signed; nothing is said yet about what they claim. */
static enum id_token_verdict
verified_payload(const struct jws *jws, const char *typ, const struct jwk_set *keys, struct buf *text, json_t **claims)
{
	if (!typ_ok(jws->typ, typ))
		return ID_TOKEN_MALFORMED;
	enum id_token_verdict verdict = from_jws(jws_verify(jws, keys));
	return verdict ? verdict : read_payload(jws, text, claims);
}

struct slice
id_token_peek_issuer(struct arena *arena, const struct jws *jws)
{
	struct slice iss = SLICE_NONE;
	json_t *claims;
	struct buf text;

	buf_init(&text, 0);
	if (read_payload(jws, &text, &claims) == ID_TOKEN_OK) {
		iss = strict_json_string(json_object_get(claims, "iss"));
		iss = iss.n > 0 ? arena_slice(arena, iss) : SLICE_NONE;
		json_decref(claims);
	}
	buf_fini(&text);
	return iss.p ? iss : SLICE_NONE;
}

int64_t
id_token_peek_expiry(const struct jws *jws)
{
	int64_t exp = 0;
	json_t *claims;
	struct buf text;

	buf_init(&text, 0);
	if (read_payload(jws, &text, &claims) == ID_TOKEN_OK) {
		if (!strict_json_integer(json_object_get(claims, "exp"), 1, ID_TOKEN_TIME_MAX, &exp))
			exp = 0;
		json_decref(claims);
	}
	buf_fini(&text);
	return exp;
}

static enum id_token_verdict
identify(const json_t *claims, const struct id_token_policy *policy, int64_t now_s, struct arena *arena, struct identity *out)
{
	struct identity who = { .how = policy->how };
	struct id_token_times times;

	enum id_token_verdict verdict = id_token_claims_issuer(claims, policy->issuer);
	if (!verdict)
		verdict = id_token_claims_audience(claims, policy);
	if (!verdict)
		verdict = id_token_claims_times(claims, now_s, policy->skew_s, false, &times);
	if (!verdict)
		verdict = id_token_claims_map(claims, policy, arena, &who);
	if (verdict)
		return verdict;
	who.issuer = arena_slice(arena, slice_str(policy->issuer));
	if (!who.issuer.p)
		return ID_TOKEN_FAILED;
	who.not_before = times.not_before;
	who.expires_at = times.expires_at;
	*out = who;
	return ID_TOKEN_OK;
}

enum id_token_verdict
id_token_identify_split(const struct jws *jws, const struct id_token_policy *policy, const struct jwk_set *keys, int64_t now_s, struct arena *arena,
	struct identity *out)
{
	json_t *claims;
	struct buf text;

	assert(policy->skew_s >= 0 && policy->skew_s <= ID_TOKEN_SKEW_S_MAX);
	buf_init(&text, 0);
	enum id_token_verdict verdict = verified_payload(jws, policy->typ, keys, &text, &claims);
	if (verdict == ID_TOKEN_OK) {
		verdict = identify(claims, policy, now_s, arena, out);
		json_decref(claims);
	}
	buf_fini(&text);
	return verdict;
}

enum id_token_verdict
id_token_split(struct slice token, size_t bytes_max, struct jws *out)
{
	return from_jws(jws_split(token, bytes_max, out));
}

enum id_token_verdict
id_token_identify(struct slice token, const struct id_token_policy *policy, const struct jwk_set *keys, int64_t now_s, struct arena *arena,
	struct identity *out)
{
	struct jws jws;
	enum id_token_verdict verdict = id_token_split(token, policy->token_bytes_max, &jws);

	return verdict ? verdict : id_token_identify_split(&jws, policy, keys, now_s, arena, out);
}

/* *claims: set with ID_TOKEN_OK only. */
static enum id_token_verdict
open_own(struct slice token, const char *issuer, const char *typ, const struct jwk_set *keys, int64_t now_s, int skew_s, bool allow_expired,
	struct buf *text, json_t **claims)
{
	struct id_token_times times;
	struct jws jws;

	assert(skew_s >= 0 && skew_s <= ID_TOKEN_SKEW_S_MAX);
	enum id_token_verdict verdict = id_token_split(token, 0, &jws);
	if (!verdict)
		verdict = verified_payload(&jws, typ, keys, text, claims);
	if (verdict)
		return verdict;
	verdict = id_token_claims_issuer(*claims, issuer);
	if (!verdict)
		verdict = id_token_claims_times(*claims, now_s, skew_s, allow_expired, &times);
	if (verdict)
		json_decref(*claims);
	return verdict;
}

enum id_token_verdict
id_token_open(struct slice token, const char *issuer, const char *typ, const struct jwk_set *keys, int64_t now_s, int skew_s,
	bool allow_expired, struct arena *arena, struct slice *claims_text)
{
	json_t *claims;
	struct buf text;

	buf_init(&text, 0);
	enum id_token_verdict verdict = open_own(token, issuer, typ, keys, now_s, skew_s, allow_expired, &text, &claims);
	if (verdict == ID_TOKEN_OK) {
		struct slice copy = arena_slice(arena, buf_slice(&text));
		json_decref(claims);
		if (copy.p)
			*claims_text = copy;
		else
			verdict = ID_TOKEN_FAILED;
	}
	buf_fini(&text);
	return verdict;
}

enum id_token_verdict
id_token_open_claims(struct slice token, const char *issuer, const char *typ, const struct jwk_set *keys, int64_t now_s, int skew_s,
	bool allow_expired, struct json_t **claims)
{
	struct buf text;

	buf_init(&text, 0);
	enum id_token_verdict verdict = open_own(token, issuer, typ, keys, now_s, skew_s, allow_expired, &text, claims);
	buf_fini(&text);
	return verdict;
}
