/* id_token.h - from a token to claims to an identity (OpenID Connect Core 3.1.3.7; Kubernetes AuthenticationConfiguration).
 * Every function here is pure: time and keys are parameters. */
#ifndef OIDC_ID_TOKEN_H
#define OIDC_ID_TOKEN_H

#include "oidc/identity.h"
#include "oidc/jws.h"

enum id_token_verdict {
	ID_TOKEN_OK,
	ID_TOKEN_MALFORMED,      /* includes every JWS_MALFORMED, JWS_TOO_LONG, JWS_UNSUPPORTED and claims of a wrong type */
	ID_TOKEN_UNKNOWN_KEY,
	ID_TOKEN_BAD_SIGNATURE,
	ID_TOKEN_WRONG_ISSUER,
	ID_TOKEN_WRONG_AUDIENCE,
	ID_TOKEN_EXPIRED,
	ID_TOKEN_NOT_YET,        /* nbf or iat in the future */
	ID_TOKEN_BAD_CLAIM,      /* a mapped claim is missing or not allowed as a Kubernetes name; a required claim differs */
	ID_TOKEN_FAILED
};
const char *id_token_verdict_name(enum id_token_verdict v);

#define ID_TOKEN_SKEW_S_MAX 60
#define ID_TOKEN_AUDIENCES_MAX 64          /* of a token; each is compared with each of ours */
#define ID_TOKEN_TIME_MAX 253402300799     /* 9999-12-31T23:59:59Z: sums with a skew are far from any overflow */

struct id_token_required {
	const char *claim;
	const char *value;
};

/* One trusted issuer, as Kubernetes' `jwt:` entry says it. Strings are the config's. */
struct id_token_policy {
	const char *issuer;
	const char *const *audiences;
	size_t audience_n;
	const char *const *authorized_parties; /* values of azp that are allowed beside the audiences: clients that may ask for tokens for us */
	size_t authorized_party_n;
	const char *username_claim;  /* default "sub" */
	const char *username_prefix; /* NULL: Kubernetes' default, issuer# unless the claim is email; "" : none */
	const char *groups_claim;    /* NULL: no groups */
	const char *groups_prefix;   /* "" : none */
	const char *uid_claim;       /* NULL: none */
	const struct id_token_required *required;
	size_t required_n;
	size_t token_bytes_max;      /* 0: JWS_BYTES_MAX */
	int skew_s;                  /* allowed clock difference, 0..ID_TOKEN_SKEW_S_MAX */
	const char *typ;             /* JOSE typ that is wanted: NULL: "JWT" or absent. RFC 9068 at+jwt is refused unless asked for */
	bool allow_system;           /* user names and groups that start with "system:" (after the prefix); default refused */
	const char *name;            /* name to be used for `how` etc. in logs; may be NULL */
	enum identity_how how;       /* what identity.how says: IDENTITY_JWT or IDENTITY_SESSION */
};

/* jws_split, with ID_TOKEN_MALFORMED or ID_TOKEN_FAILED for what it refuses. bytes_max 0: JWS_BYTES_MAX. */
enum id_token_verdict id_token_split(struct slice token, size_t bytes_max, struct jws *out);
/* iss of a token that has been split and not verified, to choose the policy by. Slice in arena; empty when malformed. */
struct slice id_token_peek_issuer(struct arena *arena, const struct jws *jws);
/* exp of such a token; 0: none, or none that can be read. */
int64_t id_token_peek_expiry(const struct jws *jws);

/* The whole way: split, key, signature, claims, mapping. *out's slices live in arena; untouched unless ID_TOKEN_OK.
 * extra: authentication.kubernetes.io/credential-id = JTI=<jti> where the token has a jti (Kubernetes >= 1.32).
 * email as the username claim demands email_verified true, or absent (as Kubernetes does). */
enum id_token_verdict id_token_identify(struct slice token, const struct id_token_policy *policy, const struct jwk_set *keys,
	int64_t now_s, struct arena *arena, struct identity *out);
/* The rest of the way, for who has split the token already: policy->token_bytes_max was for them to look at. */
enum id_token_verdict id_token_identify_split(const struct jws *jws, const struct id_token_policy *policy, const struct jwk_set *keys,
	int64_t now_s, struct arena *arena, struct identity *out);

/* The signature, iss, exp, nbf, iat and typ only, for an issuer that reads its own tokens back (userinfo, id_token_hint).
 * *claims is the JSON payload text, in arena. allow_expired: for id_token_hint. */
enum id_token_verdict id_token_open(struct slice token, const char *issuer, const char *typ, const struct jwk_set *keys, int64_t now_s,
	int skew_s, bool allow_expired, struct arena *arena, struct slice *claims);

struct json_t; /* jansson's */
/* The same, with the claims as they were parsed: *claims is the caller's to release (json_decref). */
enum id_token_verdict id_token_open_claims(struct slice token, const char *issuer, const char *typ, const struct jwk_set *keys, int64_t now_s, int skew_s,
	bool allow_expired, struct json_t **claims);

#endif
