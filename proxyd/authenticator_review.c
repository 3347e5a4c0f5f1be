#include "proxyd/authenticator_state.h"
#include "proxyd/token_review.h"

enum authentication
authenticator_ask(struct authenticator *a, struct slice token, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], int64_t expires_at, const char **why)
{
	struct review_question *q = &a->question;

	if (expires_at && clock_now_s(a->clock) >= expires_at + PROXYD_SKEW_S)
		return authenticator_refuse(a, "expired", why);
	if (!token_review_may_ask(token))
		return authenticator_refuse(a, "malformed", why);
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
		authenticator_take(a, q->digest, &f, out);
		*why = f.why;
		break;
	case TOKEN_REVIEW_NO:
		f.result = authenticator_refuse(a, *why, why);
		refusal_put(&a->refusals, q->digest, *why, false, a->keys.epoch, now_s + REVIEW_REFUSED_LIFETIME_S);
		break;
	case TOKEN_REVIEW_BROKEN:
		f.result = AUTHENTICATION_UNAVAILABLE;
		break;
	}
	arena_fini(&arena);
	return f.result;
}
