#include <stdlib.h>
#include "oidc/base64url.h"
#include "proxyd/authenticator_state.h"
#include "proxyd/bearer_token.h"
#include "proxyd/impersonate.h"
#include "proxyd/principal.h"
#include "proxyd/token_file.h"
#include "proxyd/websocket_token.h"

struct authenticator *
authenticator_new(const struct proxyd_config *config, const struct clock *clock)
{
	struct authenticator *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->config = config;
	a->clock = clock;
	buf_init(&a->question_body, 0);
	if (credential_hasher_init(&a->hasher) != OK || identity_table_init(&a->table, (size_t)config->limits.identities) != OK ||
		issuer_keys_init(&a->keys, config) != OK) {
		authenticator_free(a);
		return NULL;
	}
	return a;
}

void
authenticator_free(struct authenticator *a)
{
	if (!a)
		return;
	identity_table_fini(&a->table);
	issuer_keys_fini(&a->keys);
	credential_hasher_fini(&a->hasher);
	buf_fini_secret(&a->question_body);
	free(a);
}

void
authenticator_set_keycache(struct authenticator *a, struct keycache *kc)
{
	issuer_keys_set_keycache(&a->keys, kc);
}

bool
authenticator_wants_keys(struct authenticator *a)
{
	bool wants = a->wants_keys;
	a->wants_keys = false;
	return wants;
}

void
authenticator_stats(const struct authenticator *a, struct authenticator_stats *out)
{
	*out = a->stats;
	out->entries = a->table.n;
}

bool
authenticator_digest(struct authenticator *a, enum credential_kind kind, struct slice credential, unsigned char out[CREDENTIAL_DIGEST_BYTES])
{
	return credential_digest(&a->hasher, kind, SLICE_NONE, credential, out);
}

enum authentication
authenticator_refuse(struct authenticator *a, const char *text, const char **why)
{
	a->stats.refused++;
	*why = text;
	return AUTHENTICATION_REFUSED;
}

/* Three parts. What looks like a JWT and cannot be read as one is nobody's: another reader might find an issuer in it. */
static bool
looks_like_jwt(struct slice token)
{
	size_t dots = 0;

	for (size_t i = 0; i < token.n; i++)
		dots += token.p[i] == '.';
	return dots == 2;
}

/* Whose token it says it is. One issuer needs no look: its name is compared again once the signature holds. */
static struct issuer *
issuer_of(struct authenticator *a, const struct jws *jws, struct arena *arena, struct finding *f)
{
	bool reviews = a->config->authentication.token_review.enabled;

	if (a->keys.n == 1 && !reviews)
		return &a->keys.issuers[0];
	struct slice iss = id_token_peek_issuer(arena, jws);
	struct issuer *issuer = issuer_keys_find(&a->keys, iss);
	f->foreign = reviews && !issuer && iss.p;
	if (f->foreign)
		f->identity.expires_at = id_token_peek_expiry(jws);
	return issuer;
}

static void
conclude(struct authenticator *a, enum id_token_verdict v, struct finding *f)
{
	f->why = id_token_verdict_name(v);
	f->unknown_key = v == ID_TOKEN_UNKNOWN_KEY;
	f->lasting = v != ID_TOKEN_NOT_YET;
	if (v == ID_TOKEN_OK && f->issuer == a->keys.revoking && issuer_keys_session_ended(&a->keys, f->identity.sid))
		f->why = "its session has ended";
	else if (v == ID_TOKEN_OK)
		f->result = AUTHENTICATED;
	else if (v == ID_TOKEN_FAILED)
		f->result = AUTHENTICATION_UNAVAILABLE; /* memory: nobody gets in, but the token is not called bad */
}

/* What a token says, and whether that is so. session: as authd's answer for a cookie, else as a bearer token. */
void
authenticator_judge(struct authenticator *a, struct slice token, bool session, struct arena *arena, struct finding *f)
{
	struct jws jws;

	*f = (struct finding){ .result = AUTHENTICATION_REFUSED, .lasting = true };
	enum id_token_verdict v = id_token_split(token, (size_t)a->config->limits.token_bytes, &jws);
	if (v) {
		conclude(a, v, f);
		f->foreign = v == ID_TOKEN_MALFORMED && !session && a->config->authentication.token_review.enabled && !looks_like_jwt(token);
		return;
	}
	f->issuer = session ? a->keys.session : issuer_of(a, &jws, arena, f);
	if (!f->issuer) {
		f->why = id_token_verdict_name(ID_TOKEN_WRONG_ISSUER);
		return;
	}
	if (!f->issuer->keys) {
		f->result = AUTHENTICATION_UNAVAILABLE;
		f->why = "no keys of the issuer yet";
		f->unknown_key = true;
		return;
	}
	v = id_token_identify_split(&jws, session ? &f->issuer->session : &f->issuer->bearer, f->issuer->keys, clock_now_s(a->clock), arena, &f->identity);
	a->stats.signatures += v != ID_TOKEN_MALFORMED && v != ID_TOKEN_UNKNOWN_KEY;
	conclude(a, v, f);
}

/* A caller with how they were proven among the extras, if that is wanted. */
enum err
authenticator_principal(const struct authenticator *a, const struct identity *id, struct slice token, int64_t expires_at, int64_t refresh_at,
	struct principal **out)
{
	struct slice how = slice_str(identity_how_name(id->how));
	struct identity_extra extra[IDENTITY_EXTRA_MAX];
	struct identity whole = *id;

	if (!a->config->authentication.how_extra)
		return principal_new(id, token, expires_at, refresh_at, out);
	if (id->extra_n >= IDENTITY_EXTRA_MAX)
		return E_LIMIT;
	for (size_t i = 0; i < id->extra_n; i++)
		extra[i] = id->extra[i];
	extra[whole.extra_n++] = (struct identity_extra){ SLICE_LIT(IMPERSONATE_OUR_EXTRA "how"), &how, 1 };
	whole.extra = extra;
	return principal_new(&whole, token, expires_at, refresh_at, out);
}

/* The entry for a credential that was judged good; NULL with *f changed when it cannot be made. */
struct identity_entry *
authenticator_remember(struct authenticator *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], struct slice token, int64_t refresh_at, struct finding *f)
{
	int64_t expires_at = f->identity.expires_at + (f->issuer ? f->issuer->bearer.skew_s : 0);
	struct principal *p;
	enum err e = authenticator_principal(a, &f->identity, token, expires_at, refresh_at, &p);

	if (e != OK) {
		f->result = e == E_NOMEM ? AUTHENTICATION_UNAVAILABLE : AUTHENTICATION_REFUSED;
		f->why = e == E_NOMEM ? "failed" : "bad_claim";
		return NULL;
	}
	struct identity_entry *entry = identity_table_put(&a->table, digest, p, clock_now_s(a->clock));
	entry->issuer = f->issuer;
	entry->epoch = f->issuer ? f->issuer->epoch : 0;
	entry->revoked_epoch = a->keys.revoked_epoch;
	entry->refresh_at = refresh_at;
	return entry;
}

/* A remembered entry that still holds; one that does not is removed. Keys that changed since are asked whether they would still say so. */
struct identity_entry *
authenticator_recall(struct authenticator *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], struct slice token, bool session)
{
	struct identity_entry *e = identity_table_find(&a->table, digest);
	struct finding f = { .result = AUTHENTICATED };
	struct arena arena;

	if (!e)
		return NULL;
	if (clock_now_s(a->clock) >= e->principal->expires_at)
		f.result = AUTHENTICATION_REFUSED;
	else if (!e->issuer && e->refresh_at && clock_now_s(a->clock) >= e->refresh_at)
		f.result = AUTHENTICATION_REFUSED; /* a cluster's word, which has to be asked for again */
	else if (e->issuer && e->epoch != e->issuer->epoch) {
		arena_init(&arena, SCRATCH_BYTES_MAX);
		authenticator_judge(a, session ? principal_token(e->principal) : token, session, &arena, &f);
		arena_fini(&arena);
	} else if (e->issuer && e->revoked_epoch != a->keys.revoked_epoch && e->issuer == a->keys.revoking &&
		issuer_keys_session_ended(&a->keys, e->principal->identity.sid)) {
		f.result = AUTHENTICATION_REFUSED;
	}
	if (f.result == AUTHENTICATED) {
		if (e->issuer)
			e->epoch = e->issuer->epoch;
		e->revoked_epoch = a->keys.revoked_epoch;
		return e;
	}
	identity_table_remove(&a->table, e);
	return NULL;
}

bool
authenticator_has_ended(struct authenticator *a, const struct principal *p)
{
	const struct issuer *revoking = a->keys.revoking;

	issuer_keys_follow(&a->keys);
	return revoking && p->identity.sid.n && slice_eq_str(p->identity.issuer, revoking->bearer.issuer) && issuer_keys_session_ended(&a->keys, p->identity.sid);
}

/* What is known of a credential by its digest. False: nothing, or no longer. */
static bool
known(struct authenticator *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], struct slice token, struct principal **out, const char **why,
	enum authentication *result)
{
	const struct identity_entry *entry = authenticator_recall(a, digest, token, false);

	if (entry) {
		a->stats.hits++;
		principal_ref(entry->principal);
		*out = entry->principal;
		*result = AUTHENTICATED;
		return true;
	}
	const struct refusal *refusal = refusal_find(&a->refusals, digest, a->keys.epoch, clock_now_s(a->clock));
	if (!refusal)
		return false;
	a->wants_keys |= refusal->unknown_key;
	*result = authenticator_refuse(a, refusal->why, why);
	return true;
}

/* Judged good: remembered, and given to the caller. */
enum authentication
authenticator_take(struct authenticator *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], struct finding *f, struct principal **out)
{
	const struct identity_entry *entry = authenticator_remember(a, digest, SLICE_NONE, f->refresh_at, f);

	if (entry) {
		principal_ref(entry->principal);
		*out = entry->principal;
	}
	return f->result;
}

static enum authentication
authenticate_token(struct authenticator *a, struct slice token, const struct caller *caller, struct principal **out, const char **why)
{
	unsigned char digest[CREDENTIAL_DIGEST_BYTES], at_cluster[CREDENTIAL_DIGEST_BYTES];
	bool may_ask = a->config->authentication.token_review.enabled && caller->cluster.n;
	enum authentication result;
	struct finding f;
	struct arena arena;

	if (token.n > (size_t)a->config->limits.token_bytes)
		return authenticator_refuse(a, "token longer than the limit", why);
	if (!authenticator_digest(a, CREDENTIAL_BEARER, token, digest) ||
		(may_ask && !credential_digest(&a->hasher, CREDENTIAL_REVIEWED, caller->cluster, token, at_cluster))) {
		*why = "failed";
		return AUTHENTICATION_UNAVAILABLE;
	}
	if (known(a, digest, token, out, why, &result) || (may_ask && known(a, at_cluster, token, out, why, &result)))
		return result;
	if (caller->known_only) {
		*why = "too many refused credentials from this address";
		return AUTHENTICATION_LIMITED;
	}
	a->stats.misses++;
	const struct identity *listed = token_file_find(&a->config->tokens, digest);
	arena_init(&arena, SCRATCH_BYTES_MAX);
	if (listed)
		f = (struct finding){ .result = AUTHENTICATED, .identity = *listed };
	else
		authenticator_judge(a, token, false, &arena, &f);
	result = f.result == AUTHENTICATED ? authenticator_take(a, digest, &f, out) : f.result;
	arena_fini(&arena);
	a->wants_keys |= f.unknown_key;
	*why = f.why;
	if (result != AUTHENTICATION_REFUSED)
		return result;
	if (f.foreign && may_ask)
		return authenticator_ask(a, token, at_cluster, f.identity.expires_at, why);
	if (f.lasting && !f.foreign)
		refusal_put(&a->refusals, digest, f.why, f.unknown_key, a->keys.epoch, clock_now_s(a->clock) + REFUSAL_LIFETIME_S);
	return authenticator_refuse(a, f.why, why);
}

static enum authentication
authenticate_websocket(struct authenticator *a, struct slice encoded, const struct caller *caller, struct principal **out, const char **why)
{
	enum authentication result;
	struct arena arena;
	size_t n = 0;

	if (encoded.n > BASE64URL_ENCODED_BYTES((size_t)a->config->limits.token_bytes))
		return authenticator_refuse(a, "token longer than the limit", why);
	arena_init(&arena, 0);
	char *token = arena_alloc(&arena, encoded.n);
	if (!token) {
		*why = "failed";
		result = AUTHENTICATION_UNAVAILABLE;
	} else if (base64url_decode(encoded, token, encoded.n, &n) != OK || n == 0) {
		result = authenticator_refuse(a, "malformed", why);
	} else {
		result = authenticate_token(a, slice_of(token, n), caller, out, why);
	}
	arena_fini_secret(&arena);
	return result;
}

static enum authentication
authenticate_browser(struct authenticator *a, const struct http_head *h, const struct caller *caller, struct principal **out, const char **why)
{
	struct slice cookie = a->config->session_jwt ? http_cookie(h, a->config->authentication.session.cookie_name) : SLICE_NONE;

	if (cookie.n)
		return authenticator_cookie(a, h, caller, cookie, out, why);
	*why = "no credential";
	return AUTHENTICATION_NONE;
}

enum authentication
authenticate(struct authenticator *a, const struct http_head *h, const struct caller *caller, struct principal **out, const char **why)
{
	const struct shown_certificate *certificate = caller->certificate;
	struct slice token = SLICE_NONE;

	if (certificate && !certificate->principal && !certificate->refused)
		certificate = NULL;
	*out = NULL;
	*why = NULL;
	issuer_keys_follow(&a->keys);
	if (caller->cookie_only)
		return authenticate_browser(a, h, caller, out, why);
	enum websocket_token among_protocols = websocket_token_find(h, &token);
	if (among_protocols == WEBSOCKET_TOKEN_BAD || (among_protocols == WEBSOCKET_TOKEN_FOUND && h->authorization >= 0))
		return authenticator_refuse(a, "two tokens, or a malformed one among the WebSocket subprotocols", why);
	/* kube-apiserver takes the certificate, others the token: `kubectl --token` with a certificate in the kubeconfig surprises somebody either way. */
	if (certificate && (among_protocols == WEBSOCKET_TOKEN_FOUND || h->authorization >= 0))
		return authenticator_refuse(a, "a token and a client certificate: it is not clear who is meant", why);
	if (certificate)
		return authenticator_shown(a, h, caller, out, why);
	if (among_protocols == WEBSOCKET_TOKEN_FOUND)
		return authenticate_websocket(a, token, caller, out, why);
	if (h->authorization >= 0) {
		token = bearer_token(h->headers[h->authorization].value);
		return token.n ? authenticate_token(a, token, caller, out, why) : authenticator_refuse(a, "Authorization is no bearer token", why);
	}
	return authenticate_browser(a, h, caller, out, why);
}
