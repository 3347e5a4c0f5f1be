/* token_review.h - TokenReview, as text and back: what a cluster is asked about a token, and what its answer is worth.
 *
 * Pure. The answer is the apiserver's own word, so names that begin with "system:" (service accounts have such) are taken; what it says is still
 * read as strictly as anything foreign. Spec: Kubernetes API, authentication.k8s.io/v1 TokenReview. */
#ifndef PROXYD_TOKEN_REVIEW_H
#define PROXYD_TOKEN_REVIEW_H

#include "oidc/identity.h"
#include "shared/buf.h"
#include "shared/config.h"

#define TOKEN_REVIEW_PATH "/apis/authentication.k8s.io/v1/tokenreviews"

/* Visible ASCII, as tokens are (RFC 6750 section 2.1): nothing that a JSON text would have to change. */
bool token_review_may_ask(struct slice token);
/* Append the request. audiences empty: the apiserver's own. */
void token_review_print(struct slice token, const struct config_strings *audiences, struct buf *out);

enum token_review {
	TOKEN_REVIEW_YES,
	TOKEN_REVIEW_NO,    /* not authenticated, not for these audiences, or a caller that we do not take */
	TOKEN_REVIEW_BROKEN /* no TokenReview that was answered, or no memory: says nothing about the token */
};
/* With YES, *out is filled but for its times; slices live in arena. *why: static. */
enum token_review token_review_read(struct slice answer, const struct config_strings *audiences, struct arena *arena, struct identity *out,
	const char **why);

#endif
