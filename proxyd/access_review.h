/* access_review.h - SubjectAccessReview, as text and back, and what clusters have said lately: may this person impersonate that one?
 *
 * Pure but for the table. Spec: Kubernetes API, authorization.k8s.io/v1 SubjectAccessReview. */
#ifndef PROXYD_ACCESS_REVIEW_H
#define PROXYD_ACCESS_REVIEW_H

#include "proxyd/credential_digest.h"
#include "proxyd/impersonation.h"

#define ACCESS_REVIEW_PATH "/apis/authorization.k8s.io/v1/subjectaccessreviews"

/* Append the request: may caller (in system:authenticated, as everybody who comes through the gateway) do that? */
void access_review_print(const struct identity *caller, const struct impersonation_check *c, struct buf *out);

enum access_review { ACCESS_ALLOWED, ACCESS_DENIED, ACCESS_BROKEN /* no answer */ };
enum access_review access_review_read(struct slice answer);

/* Answers remembered, by the digest of cluster and question. Direct-mapped: 192 KiB. */
#define ACCESS_ANSWERS 4096
#define ACCESS_ALLOWED_LIFETIME_S 10
#define ACCESS_DENIED_LIFETIME_S 5
struct access_answers;
struct access_answers *access_answers_new(void);
void access_answers_free(struct access_answers *a);
/* False: not known. */
bool access_answers_find(const struct access_answers *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], int64_t now_s, enum access_review *out);
void access_answers_put(struct access_answers *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], enum access_review answer, int64_t now_s);

#endif
