#include <stdlib.h>
#include "oidc/base64url.h"
#include "proxyd/client_certificate.h"
#include "proxyd/identity_table.h"
#include "proxyd/issuer_keys.h"
#include "proxyd/principal.h"
#include "proxyd/token_file.h"
#include "proxyd/token_review.h"
#include "proxyd/websocket_token.h"

/* A cookie is 256 bits in some spelling; anything much longer is not ours and is not carried to authd. */
#define COOKIE_BYTES_MAX 512
/* While one request asks authd for a session's newest state, others go on with what is known. */
#define SESSION_ASK_PAUSE_S 2
/* Of one verification: a token's claims, at most 253 groups of 1 KiB, in copies. */
#define SCRATCH_BYTES_MAX (1u << 20)

struct authenticator {
	const struct proxyd_config *config;
	const struct clock *clock;
	struct issuer_keys keys;
	struct identity_table table;
	struct refusal_table refusals;
	struct authenticator_stats stats;
	struct credential_hasher hasher;
	struct review_question question;
	struct buf question_body; /* holds the token that is asked about */
	bool wants_keys;
};

/* What a credential turned out to be. */
struct finding {
	enum authentication result;
	const char *why;
	bool unknown_key, lasting; /* lasting: true of this credential as long as the keys do not change */
	bool foreign;              /* no issuer of ours claims it, so a cluster may know it */
	int64_t refresh_at;        /* 0: never */
	struct issuer *issuer;     /* NULL: no keys are involved */
	struct identity identity;  /* in the arena, or the configuration's; with AUTHENTICATED */
};

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

static bool
digest_of(struct authenticator *a, enum credential_kind kind, struct slice credential, unsigned char out[CREDENTIAL_DIGEST_BYTES])
{
	return credential_digest(&a->hasher, kind, SLICE_NONE, credential, out);
}

static enum authentication
refuse(struct authenticator *a, const char *text, const char **why)
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
issuer_of(struct authenticator *a, struct slice token, struct arena *arena, struct finding *f)
{
	bool reviews = a->config->authentication.token_review.enabled;
	struct jws jws;

	f->why = "malformed";
	if (jws_split(token, (size_t)a->config->limits.token_bytes, &jws) != JWS_OK) {
		f->foreign = reviews && !looks_like_jwt(token);
		return NULL;
	}
	f->why = "wrong_issuer";
	if (a->keys.n == 1 && !reviews)
		return &a->keys.issuers[0];
	struct slice iss = id_token_peek_issuer(arena, &jws);
	struct issuer *issuer = issuer_keys_find(&a->keys, iss);
	f->foreign = reviews && !issuer && iss.p;
	if (f->foreign)
		f->identity.expires_at = id_token_peek_expiry(&jws);
	return issuer;
}

/* What a token says, and whether that is so. session: as authd's answer for a cookie, else as a bearer token. */
static void
judge(struct authenticator *a, struct slice token, bool session, struct arena *arena, struct finding *f)
{
	*f = (struct finding){ .result = AUTHENTICATION_REFUSED, .lasting = true };
	f->issuer = session ? a->keys.session : issuer_of(a, token, arena, f);
	if (!f->issuer)
		return;
	if (!f->issuer->keys) {
		f->result = AUTHENTICATION_UNAVAILABLE;
		f->why = "no keys of the issuer yet";
		f->unknown_key = true;
		return;
	}
	const struct id_token_policy *policy = session ? &f->issuer->session : &f->issuer->bearer;
	enum id_token_verdict v = id_token_identify(token, policy, f->issuer->keys, clock_now_s(a->clock), arena, &f->identity);
	f->why = id_token_verdict_name(v);
	f->unknown_key = v == ID_TOKEN_UNKNOWN_KEY;
	f->lasting = v != ID_TOKEN_NOT_YET;
	a->stats.signatures += v != ID_TOKEN_MALFORMED && v != ID_TOKEN_UNKNOWN_KEY;
	if (v == ID_TOKEN_OK && f->issuer == a->keys.session && issuer_keys_session_ended(&a->keys, f->identity.sid))
		f->why = "its session has ended";
	else if (v == ID_TOKEN_OK)
		f->result = AUTHENTICATED;
	else if (v == ID_TOKEN_FAILED)
		f->result = AUTHENTICATION_UNAVAILABLE; /* memory: nobody gets in, but the token is not called bad */
}

/* The entry for a credential that was judged good; NULL with *f changed when it cannot be made. */
static struct identity_entry *
remember(struct authenticator *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], struct slice token, int64_t refresh_at, struct finding *f)
{
	int64_t expires_at = f->identity.expires_at + (f->issuer ? f->issuer->bearer.skew_s : 0);
	struct principal *p;
	enum err e = principal_new(&f->identity, token, expires_at, refresh_at, &p);

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
static struct identity_entry *
recall(struct authenticator *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], struct slice token, bool session)
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
		judge(a, session ? principal_token(e->principal) : token, session, &arena, &f);
		arena_fini(&arena);
	} else if (e->issuer && e->revoked_epoch != a->keys.revoked_epoch && e->issuer == a->keys.session &&
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

/* What is known of a credential by its digest. False: nothing, or no longer. */
static bool
known(struct authenticator *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], struct slice token, struct principal **out, const char **why,
	enum authentication *result)
{
	const struct identity_entry *entry = recall(a, digest, token, false);

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
	*result = refuse(a, refusal->why, why);
	return true;
}

/* Judged good: remembered, and given to the caller. */
static enum authentication
take_in(struct authenticator *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], struct finding *f, struct principal **out)
{
	const struct identity_entry *entry = remember(a, digest, SLICE_NONE, f->refresh_at, f);

	if (entry) {
		principal_ref(entry->principal);
		*out = entry->principal;
	}
	return f->result;
}

/* expires_at: what the token says of itself; 0: nothing. */
static enum authentication
prepare_review(struct authenticator *a, struct slice token, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], int64_t expires_at, const char **why)
{
	struct review_question *q = &a->question;

	if (expires_at && clock_now_s(a->clock) >= expires_at + PROXYD_SKEW_S)
		return refuse(a, "expired", why);
	if (!token_review_may_ask(token))
		return refuse(a, "malformed", why);
	memcpy(q->digest, digest, sizeof(q->digest));
	q->expires_at = expires_at ? expires_at + PROXYD_SKEW_S : ID_TOKEN_TIME_MAX;
	buf_fini_secret(&a->question_body);
	token_review_print(token, &a->config->authentication.token_review.audiences, &a->question_body);
	q->body = buf_slice(&a->question_body);
	*why = buf_ok(&a->question_body) ? "the cluster has to be asked" : "failed";
	return buf_ok(&a->question_body) ? AUTHENTICATION_ASK_REVIEW : AUTHENTICATION_UNAVAILABLE;
}

const struct review_question *
authenticator_question(const struct authenticator *a)
{
	return &a->question;
}

enum authentication
authenticator_reviewed(struct authenticator *a, const struct review_question *q, struct slice answer, struct principal **out, const char **why)
{
	struct finding f = { .result = AUTHENTICATED };
	int64_t now_s = clock_now_s(a->clock);
	struct arena arena;

	*out = NULL;
	a->stats.reviews++;
	arena_init(&arena, SCRATCH_BYTES_MAX);
	switch (token_review_read(answer, &a->config->authentication.token_review.audiences, &arena, &f.identity, why)) {
	case TOKEN_REVIEW_YES:
		f.identity.expires_at = q->expires_at;
		f.refresh_at = now_s + REVIEWED_LIFETIME_S;
		take_in(a, q->digest, &f, out);
		*why = f.why;
		break;
	case TOKEN_REVIEW_NO:
		f.result = refuse(a, *why, why);
		refusal_put(&a->refusals, q->digest, *why, false, a->keys.epoch, now_s + REVIEW_REFUSED_LIFETIME_S);
		break;
	case TOKEN_REVIEW_BROKEN:
		f.result = AUTHENTICATION_UNAVAILABLE;
		break;
	}
	arena_fini(&arena);
	return f.result;
}

static enum authentication
authenticate_token(struct authenticator *a, struct slice token, struct slice cluster, struct principal **out, const char **why)
{
	unsigned char digest[CREDENTIAL_DIGEST_BYTES], at_cluster[CREDENTIAL_DIGEST_BYTES];
	bool may_ask = a->config->authentication.token_review.enabled && cluster.n;
	enum authentication result;
	struct finding f;
	struct arena arena;

	if (token.n > (size_t)a->config->limits.token_bytes)
		return refuse(a, "token longer than the limit", why);
	if (!digest_of(a, CREDENTIAL_BEARER, token, digest) ||
		(may_ask && !credential_digest(&a->hasher, CREDENTIAL_REVIEWED, cluster, token, at_cluster))) {
		*why = "failed";
		return AUTHENTICATION_UNAVAILABLE;
	}
	if (known(a, digest, token, out, why, &result) || (may_ask && known(a, at_cluster, token, out, why, &result)))
		return result;
	a->stats.misses++;
	const struct identity *listed = token_file_find(&a->config->tokens, digest);
	arena_init(&arena, SCRATCH_BYTES_MAX);
	if (listed)
		f = (struct finding){ .result = AUTHENTICATED, .identity = *listed };
	else
		judge(a, token, false, &arena, &f);
	result = f.result == AUTHENTICATED ? take_in(a, digest, &f, out) : f.result;
	arena_fini(&arena);
	a->wants_keys |= f.unknown_key;
	*why = f.why;
	if (result != AUTHENTICATION_REFUSED)
		return result;
	if (f.foreign && may_ask)
		return prepare_review(a, token, at_cluster, f.identity.expires_at, why);
	if (f.lasting && !f.foreign)
		refusal_put(&a->refusals, digest, f.why, f.unknown_key, a->keys.epoch, clock_now_s(a->clock) + REFUSAL_LIFETIME_S);
	return refuse(a, f.why, why);
}

/* RFC 6750 section 2.1; the scheme's name is caseless (RFC 9110 section 11.1). Empty: something else, or nothing behind it. */
static struct slice
bearer_token(struct slice value)
{
	struct slice rest = value, scheme = slice_cut(&rest, ' ');

	if (!slice_eq_nocase(scheme, SLICE_LIT("Bearer")))
		return SLICE_NONE;
	while (rest.n && rest.p[0] == ' ')
		rest = slice_of(rest.p + 1, rest.n - 1);
	return rest.n && !memchr(rest.p, ' ', rest.n) && !memchr(rest.p, '\t', rest.n) ? rest : SLICE_NONE;
}

static enum authentication
authenticate_websocket(struct authenticator *a, struct slice encoded, struct slice cluster, struct principal **out, const char **why)
{
	enum authentication result;
	struct arena arena;
	size_t n = 0;

	if (encoded.n > BASE64URL_ENCODED_BYTES((size_t)a->config->limits.token_bytes))
		return refuse(a, "token longer than the limit", why);
	arena_init(&arena, 0);
	char *token = arena_alloc(&arena, encoded.n);
	if (!token) {
		*why = "failed";
		result = AUTHENTICATION_UNAVAILABLE;
	} else if (base64url_decode(encoded, token, encoded.n, &n) != OK || n == 0) {
		result = refuse(a, "malformed", why);
	} else {
		result = authenticate_token(a, slice_of(token, n), cluster, out, why);
	}
	arena_fini_secret(&arena);
	return result;
}

/* A browser sends a cookie whoever made it do so. What changes something, or opens a channel that no same-origin policy guards, must say
 * that one of our own pages asked for it. */
static bool
comes_from_our_page(const struct http_head *h)
{
	static const struct slice scheme = { "https://", 8 };

	if ((h->method == METHOD_GET || h->method == METHOD_HEAD || h->method == METHOD_OPTIONS) && h->upgrade == UPGRADE_NONE)
		return true;
	if (h->origin < 0)
		return false;
	struct slice origin = h->headers[h->origin].value;
	return slice_has_prefix(origin, scheme) && slice_eq_nocase(slice_of(origin.p + scheme.n, origin.n - scheme.n), h->host);
}

static enum authentication
authenticate_cookie(struct authenticator *a, const struct http_head *h, struct slice cookie, struct principal **out, const char **why)
{
	unsigned char digest[CREDENTIAL_DIGEST_BYTES];
	int64_t now_s = clock_now_s(a->clock);

	if (cookie.n > COOKIE_BYTES_MAX)
		return refuse(a, "cookie longer than any of ours", why);
	if (!comes_from_our_page(h))
		return refuse(a, "cookie on a request that no page of ours has made", why);
	if (!digest_of(a, CREDENTIAL_SESSION, cookie, digest)) {
		*why = "failed";
		return AUTHENTICATION_UNAVAILABLE;
	}
	struct identity_entry *entry = recall(a, digest, SLICE_NONE, true);
	if (!entry) {
		const struct refusal *refusal = refusal_find(&a->refusals, digest, a->keys.epoch, now_s);
		if (refusal) {
			*why = refusal->why;
			return AUTHENTICATION_NONE; /* signed out: as good as no cookie */
		}
		a->stats.misses++;
		*why = "session is not known here";
		return AUTHENTICATION_ASK_SESSION;
	}
	a->stats.hits++;
	principal_ref(entry->principal);
	*out = entry->principal;
	if (entry->refresh_at == 0 || now_s < entry->refresh_at)
		return AUTHENTICATED;
	entry->refresh_at = now_s + SESSION_ASK_PAUSE_S;
	*why = "session is due for a refresh";
	return AUTHENTICATION_ASK_SESSION;
}

/* A browser shows its certificate whoever made it ask, as it sends cookies, and no SameSite holds it back. Other clients say nothing of an origin. */
static bool
comes_from_another_page(const struct http_head *h)
{
	const struct http_header *site = http_head_find_name(h, "Sec-Fetch-Site"), *mode = http_head_find(h, FIELD_SEC_FETCH_MODE);

	if (h->origin >= 0 && !comes_from_our_page(h))
		return true;
	if (!site || slice_eq_str(site->value, "same-origin") || slice_eq_str(site->value, "none"))
		return false;
	return !mode || !slice_eq_str(mode->value, "navigate");
}

static enum authentication
authenticate_certificate(struct authenticator *a, const struct http_head *h, const struct shown_certificate *c, struct principal **out, const char **why)
{
	if (c->refused)
		return refuse(a, c->refused, why);
	if (clock_now_s(a->clock) >= c->principal->expires_at)
		return refuse(a, "the client certificate, or one of its chain, has expired", why);
	if (comes_from_another_page(h))
		return refuse(a, "client certificate on a request that no page of ours has made", why);
	a->stats.hits++;
	principal_ref(c->principal);
	*out = c->principal;
	return AUTHENTICATED;
}

enum authentication
authenticate(struct authenticator *a, const struct http_head *h, const struct caller *caller, struct principal **out, const char **why)
{
	const struct shown_certificate *certificate = caller->certificate;
	struct slice token = SLICE_NONE, cookie;

	if (certificate && !certificate->principal && !certificate->refused)
		certificate = NULL;
	*out = NULL;
	*why = NULL;
	issuer_keys_follow(&a->keys);
	enum websocket_token among_protocols = websocket_token_find(h, &token);
	if (among_protocols == WEBSOCKET_TOKEN_BAD || (among_protocols == WEBSOCKET_TOKEN_FOUND && h->authorization >= 0))
		return refuse(a, "two tokens, or a malformed one among the WebSocket subprotocols", why);
	/* kube-apiserver takes the certificate, others the token: `kubectl --token` with a certificate in the kubeconfig surprises somebody either way. */
	if (certificate && (among_protocols == WEBSOCKET_TOKEN_FOUND || h->authorization >= 0))
		return refuse(a, "a token and a client certificate: it is not clear who is meant", why);
	if (certificate)
		return authenticate_certificate(a, h, certificate, out, why);
	if (among_protocols == WEBSOCKET_TOKEN_FOUND)
		return authenticate_websocket(a, token, caller->cluster, out, why);
	if (h->authorization >= 0) {
		token = bearer_token(h->headers[h->authorization].value);
		return token.n ? authenticate_token(a, token, caller->cluster, out, why) : refuse(a, "Authorization is no bearer token", why);
	}
	cookie = a->config->session_jwt ? http_cookie(h, a->config->authentication.session.cookie_name) : SLICE_NONE;
	if (cookie.n)
		return authenticate_cookie(a, h, cookie, out, why);
	*why = "no credential";
	return AUTHENTICATION_NONE;
}

struct shown_certificate
authenticator_certificate(struct authenticator *a, X509 *x, int64_t expires_at)
{
	struct shown_certificate shown = { NULL, NULL };
	struct identity id;
	struct arena arena;

	(void)a;
	if (!x)
		return shown;
	arena_init(&arena, SCRATCH_BYTES_MAX);
	enum err e = client_certificate_identify(x, expires_at, &arena, &id, &shown.refused);
	if (e == OK)
		e = principal_new(&id, SLICE_NONE, expires_at, 0, &shown.principal);
	if (e == OK)
		shown.refused = NULL;
	arena_fini(&arena);
	return shown;
}

enum authentication
authenticator_session(struct authenticator *a, struct slice cookie, struct slice jwt, int refresh_after_s, struct principal **out, const char **why)
{
	unsigned char digest[CREDENTIAL_DIGEST_BYTES];
	int64_t refresh_at = refresh_after_s > 0 ? clock_now_s(a->clock) + refresh_after_s : 0;
	struct identity_entry *entry = NULL;
	struct finding f;
	struct arena arena;

	*out = NULL;
	issuer_keys_follow(&a->keys);
	if (!a->keys.session)
		return refuse(a, "no issuer has sessions", why);
	arena_init(&arena, SCRATCH_BYTES_MAX);
	judge(a, jwt, true, &arena, &f);
	if (f.result == AUTHENTICATED && !digest_of(a, CREDENTIAL_SESSION, cookie, digest))
		f.result = AUTHENTICATION_UNAVAILABLE;
	if (f.result == AUTHENTICATED)
		entry = remember(a, digest, jwt, refresh_at, &f);
	arena_fini(&arena);
	a->wants_keys |= f.unknown_key;
	*why = f.why;
	if (entry) {
		principal_ref(entry->principal);
		*out = entry->principal;
	} else if (f.result == AUTHENTICATION_REFUSED) {
		a->stats.refused++;
	}
	return f.result;
}

void
authenticator_session_gone(struct authenticator *a, struct slice cookie)
{
	unsigned char digest[CREDENTIAL_DIGEST_BYTES];

	if (!digest_of(a, CREDENTIAL_SESSION, cookie, digest))
		return;
	struct identity_entry *entry = identity_table_find(&a->table, digest);
	if (entry)
		identity_table_remove(&a->table, entry);
	refusal_put(&a->refusals, digest, "session is gone", false, a->keys.epoch, clock_now_s(a->clock) + REFUSAL_LIFETIME_S);
}
