#include "proxyd/access_review.h"
#include "proxyd/review_client.h"
#include "proxyd/reviews.h"
#include "proxyd/token_review.h"

static enum review_verdict
judge_token(void *gateway, const struct review_question *q, struct slice answer, struct principal **principal, const char **why)
{
	struct gateway *g = gateway;

	switch (authenticator_reviewed(g->authenticator, q, answer, principal, why)) {
	case AUTHENTICATED:
		return REVIEW_YES;
	case AUTHENTICATION_REFUSED:
		return REVIEW_NO;
	default:
		return REVIEW_UNKNOWN;
	}
}

static enum review_verdict
judge_access(void *gateway, const struct review_question *q, struct slice answer, struct principal **principal, const char **why)
{
	struct gateway *g = gateway;
	enum access_review v = access_review_read(answer);

	(void)principal;
	access_answers_put(g->access_answers, q->digest, v, clock_now_s(g->clock));
	*why = v == ACCESS_DENIED ? "not allowed to impersonate" : "not a SubjectAccessReview that was answered";
	return v == ACCESS_ALLOWED ? REVIEW_YES : v == ACCESS_DENIED ? REVIEW_NO : REVIEW_UNKNOWN;
}

static bool
wants_access_reviews(const struct proxyd_config *config)
{
	const struct proxyd_cluster *clusters = config->clusters.items;

	for (size_t i = 0; i < config->clusters.n; i++)
		if (clusters[i].impersonate_others == PROXYD_IMPERSONATE_REVIEWED)
			return true;
	return false;
}

enum err
reviews_init(struct gateway *g)
{
	const struct review_client_options tokens = { .loop = g->loop, .path = TOKEN_REVIEW_PATH, .kind = "TokenReview", .resource = "tokenreviews",
		.judge = judge_token, .arg = g };
	const struct review_client_options access = { .loop = g->loop, .path = ACCESS_REVIEW_PATH, .kind = "SubjectAccessReview",
		.resource = "subjectaccessreviews", .judge = judge_access, .arg = g };

	if (g->config->authentication.token_review.enabled && !(g->token_reviews = review_client_new(&tokens)))
		return E_NOMEM;
	if (!wants_access_reviews(g->config))
		return OK;
	g->access_answers = access_answers_new();
	g->access_reviews = review_client_new(&access);
	return g->access_answers && g->access_reviews && credential_hasher_init(&g->access_hasher) == OK ? OK : E_NOMEM;
}

void
reviews_fini(struct gateway *g)
{
	review_client_free(g->token_reviews);
	review_client_free(g->access_reviews);
	access_answers_free(g->access_answers);
	credential_hasher_fini(&g->access_hasher);
	g->token_reviews = g->access_reviews = NULL;
	g->access_answers = NULL;
}
