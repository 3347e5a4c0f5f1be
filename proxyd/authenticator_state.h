/* authenticator_state.h - an authenticator from inside: for authenticator*.c only.
 *
 * authenticator.c: the order of credentials, bearer tokens, what is remembered. authenticator_ambient.c: what a browser sends by itself, cookies and
 * certificates. authenticator_review.c: tokens that a cluster is asked about. */
#ifndef PROXYD_AUTHENTICATOR_STATE_H
#define PROXYD_AUTHENTICATOR_STATE_H

#include "proxyd/identity_table.h"
#include "proxyd/issuer_keys.h"
#include "shared/buf.h"

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

bool authenticator_digest(struct authenticator *a, enum credential_kind kind, struct slice credential, unsigned char out[CREDENTIAL_DIGEST_BYTES]);
/* Counted. */
enum authentication authenticator_refuse(struct authenticator *a, const char *text, const char **why);
/* What a token says, and whether that is so. session: as authd's answer for a cookie, else as a bearer token. */
void authenticator_judge(struct authenticator *a, struct slice token, bool session, struct arena *arena, struct finding *f);
/* A caller with how they were proven among the extras, if that is wanted. As principal_new. */
MUST_CHECK enum err authenticator_principal(const struct authenticator *a, const struct identity *id, struct slice token, int64_t expires_at,
	int64_t refresh_at, struct principal **out);
/* The entry for a credential that was judged good; NULL with *f changed when it cannot be made. */
struct identity_entry *authenticator_remember(struct authenticator *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], struct slice token,
	int64_t refresh_at, struct finding *f);
/* A remembered entry that still holds; NULL: none. */
struct identity_entry *authenticator_recall(struct authenticator *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], struct slice token,
	bool session);
/* Judged good: remembered, and given to the caller. */
enum authentication authenticator_take(struct authenticator *a, const unsigned char digest[CREDENTIAL_DIGEST_BYTES], struct finding *f,
	struct principal **out);

/* authenticator_ambient.c */
enum authentication authenticator_cookie(struct authenticator *a, const struct http_head *h, const struct caller *caller, struct slice cookie,
	struct principal **out, const char **why);
enum authentication authenticator_shown(struct authenticator *a, const struct http_head *h, const struct caller *caller, struct principal **out,
	const char **why);
/* authenticator_review.c: AUTHENTICATION_ASK_REVIEW with the question made, or why not. expires_at: what the token says of itself; 0: nothing. */
enum authentication authenticator_ask(struct authenticator *a, struct slice token, const unsigned char digest[CREDENTIAL_DIGEST_BYTES],
	int64_t expires_at, const char **why);

#endif
