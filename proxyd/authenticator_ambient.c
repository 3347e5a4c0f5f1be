#include "proxyd/authenticator_state.h"
#include "proxyd/client_certificate.h"
#include "proxyd/origin.h"

/* A cookie is 256 bits in some spelling; anything much longer is not ours and is not carried to authd. */
#define COOKIE_BYTES_MAX 512
/* While one request asks authd for a session's newest state, others go on with what is known. */
#define SESSION_ASK_PAUSE_S 2

/* A browser sends a cookie whoever made it do so. What changes something, or opens a channel that no same-origin policy guards, must say
 * that one of our own pages asked for it. */
static bool
comes_from_our_page(const struct http_head *h, const struct caller *caller)
{
	return origin_is_harmless(h) || origin_of(h, caller->origins) == ORIGIN_OURS;
}

enum authentication
authenticator_cookie(struct authenticator *a, const struct http_head *h, const struct caller *caller, struct slice cookie, struct principal **out,
	const char **why)
{
	unsigned char digest[CREDENTIAL_DIGEST_BYTES];
	int64_t now_s = clock_now_s(a->clock);

	if (cookie.n > COOKIE_BYTES_MAX)
		return authenticator_refuse(a, "cookie longer than any of ours", why);
	if (!comes_from_our_page(h, caller))
		return authenticator_refuse(a, "cookie on a request that no page of ours has made", why);
	if (!authenticator_digest(a, CREDENTIAL_SESSION, cookie, digest)) {
		*why = "failed";
		return AUTHENTICATION_UNAVAILABLE;
	}
	struct identity_entry *entry = authenticator_recall(a, digest, SLICE_NONE, true);
	if (!entry) {
		const struct refusal *refusal = refusal_find(&a->refusals, digest, a->keys.epoch, now_s);
		if (refusal) {
			*why = refusal->why;
			return AUTHENTICATION_NONE; /* signed out: as good as no cookie */
		}
		if (caller->known_only) {
			*why = "too many refused credentials from this address";
			return AUTHENTICATION_LIMITED;
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
comes_from_another_page(const struct http_head *h, const struct caller *caller)
{
	const struct http_header *site = http_head_find_name(h, "Sec-Fetch-Site"), *mode = http_head_find(h, FIELD_SEC_FETCH_MODE);
	enum origin origin = origin_of(h, caller->origins);

	if (origin == ORIGIN_OURS)
		return false;
	if (origin == ORIGIN_OTHERS && !origin_is_harmless(h))
		return true;
	return site && !(mode && slice_eq_str(mode->value, "navigate"));
}

enum authentication
authenticator_shown(struct authenticator *a, const struct http_head *h, const struct caller *caller, struct principal **out, const char **why)
{
	const struct shown_certificate *c = caller->certificate;

	if (c->refused)
		return authenticator_refuse(a, c->refused, why);
	if (clock_now_s(a->clock) >= c->principal->expires_at)
		return authenticator_refuse(a, "the client certificate, or one of its chain, has expired", why);
	if (comes_from_another_page(h, caller))
		return authenticator_refuse(a, "client certificate on a request that no page of ours has made", why);
	a->stats.hits++;
	principal_ref(c->principal);
	*out = c->principal;
	return AUTHENTICATED;
}

struct shown_certificate
authenticator_certificate(struct authenticator *a, X509 *x, int64_t expires_at)
{
	struct shown_certificate shown = { NULL, NULL };
	struct identity id;
	struct arena arena;

	if (!x)
		return shown;
	arena_init(&arena, SCRATCH_BYTES_MAX);
	enum err e = client_certificate_identify(x, expires_at, &arena, &id, &shown.refused);
	if (e == OK)
		e = authenticator_principal(a, &id, SLICE_NONE, expires_at, 0, &shown.principal);
	if (e == OK)
		shown.refused = NULL;
	arena_fini(&arena);
	return shown;
}

enum authentication
authenticator_session(struct authenticator *a, struct slice cookie, struct slice jwt, struct slice id_tokens, int refresh_after_s, struct principal **out,
	const char **why)
{
	unsigned char digest[CREDENTIAL_DIGEST_BYTES];
	int64_t refresh_at = refresh_after_s > 0 ? clock_now_s(a->clock) + refresh_after_s : 0;
	struct identity_entry *entry = NULL;
	struct finding f;
	struct arena arena;

	*out = NULL;
	issuer_keys_follow(&a->keys);
	if (!a->keys.session)
		return authenticator_refuse(a, "no issuer has sessions", why);
	arena_init(&arena, SCRATCH_BYTES_MAX);
	authenticator_judge(a, jwt, true, &arena, &f);
	if (f.result == AUTHENTICATED && !authenticator_digest(a, CREDENTIAL_SESSION, cookie, digest))
		f.result = AUTHENTICATION_UNAVAILABLE;
	f.identity.id_tokens = id_tokens;
	if (f.result == AUTHENTICATED)
		entry = authenticator_remember(a, digest, jwt, refresh_at, &f);
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

	if (!authenticator_digest(a, CREDENTIAL_SESSION, cookie, digest))
		return;
	struct identity_entry *entry = identity_table_find(&a->table, digest);
	if (entry)
		identity_table_remove(&a->table, entry);
	refusal_put(&a->refusals, digest, "session is gone", false, a->keys.epoch, clock_now_s(a->clock) + REFUSAL_LIFETIME_S);
}
