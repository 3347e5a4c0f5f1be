/* authenticator.h - who is calling, verified once and then remembered (one per worker, single-threaded).
 *
 * Owns: a bounded table digest(credential) -> principal, valid until the token's exp or a new key generation. Two different tokens never share an
 * entry: the key is SHA-256 of the whole credential with its kind. A miss with a bad token never evicts a good entry. */
#ifndef PROXYD_AUTHENTICATOR_H
#define PROXYD_AUTHENTICATOR_H

#include <openssl/x509.h>
#include "proxyd/config.h"
#include "proxyd/credential_digest.h"
#include "oidc/identity.h"
#include "proxyd/http_head.h"
#include "proxyd/keycache.h"

struct authenticator;
struct turn_lane;

/* A verified caller. Reference-counted; immutable but for the count. */
struct principal {
	struct identity identity;
	struct slice headers; /* the prepared impersonation block (impersonate.h) */
	int64_t expires_at;   /* NumericDate: never used after */
	int64_t refresh_at;   /* sessions: ask again from here on, go on with this one when authd does not answer; 0: never */
	unsigned refs;
	struct turn_lane *lane; /* admission.c: of its name; NULL: not asked for yet */
};
void principal_ref(struct principal *p);
void principal_unref(struct principal *p); /* NULL: nothing */

enum authentication {
	AUTHENTICATED,
	AUTHENTICATION_NONE,        /* no credential: 401, or to the sign-in page for a browser */
	AUTHENTICATION_REFUSED,     /* 401 of one shape, whatever was wrong */
	AUTHENTICATION_ASK_REVIEW,  /* a token that the cluster has to be asked about: authenticator_question says what */
	AUTHENTICATION_ASK_SESSION, /* a session cookie that is unknown here, or due for a refresh (then *out is also set): ask authd */
	AUTHENTICATION_LIMITED,     /* with caller->known_only: nobody that is known here */
	AUTHENTICATION_UNAVAILABLE  /* no keys of its issuer yet, or no memory: 503; says nothing about the credential */
};

/* The certificate that a connection's client has shown; verified. Neither: none was. */
struct shown_certificate {
	struct principal *principal; /* owned by the connection */
	const char *refused;         /* it names nobody that may call; static */
};

/* What a request brings besides its head. */
struct caller {
	const struct shown_certificate *certificate;
	struct slice cluster;          /* name of the cluster that the request is for; empty: none */
	const struct config_strings *origins; /* whose pages are taken for ours; NULL: nobody else's */
	bool cookie_only;              /* who is signed in in their browser; other credentials are the backend's affair */
	bool known_only;               /* a credential that is not remembered is not looked at */
};

struct authenticator *authenticator_new(const struct proxyd_config *config, const struct clock *clock);
void authenticator_free(struct authenticator *a);
/* Take over a (new) key cache mapping; owned by the authenticator from now on. */
void authenticator_set_keycache(struct authenticator *a, struct keycache *kc);
/* True once since the last call when a token named a kid that no key has: the keeper should look for new keys. */
bool authenticator_wants_keys(struct authenticator *a);

/* Decide on a request. A bearer token (Authorization, or among the subprotocols of a WebSocket) or a certificate wins over a cookie, which browsers send
 * by themselves; two tokens, or a token and a certificate, are refused: nobody knows which of the two is meant. A cookie counts on GET, HEAD and
 * OPTIONS; for anything else and for upgrades a page of ours must have asked (origin.h), and for certificates too where a browser says who asks. With AUTHENTICATION_ASK_SESSION and *out
 * set, only one request in two seconds is told to ask: the others get AUTHENTICATED with what is known. *out carries a reference for the caller. *why:
 * static text for the log, never sent to the client. */
enum authentication authenticate(struct authenticator *a, const struct http_head *h, const struct caller *caller, struct principal **out,
	const char **why);

/* With AUTHENTICATION_ASK_REVIEW, until the next call of authenticate. */
struct review_question {
	unsigned char digest[CREDENTIAL_DIGEST_BYTES]; /* of everything that is asked, the cluster included */
	struct slice body;                             /* the object to be sent */
	int64_t expires_at;                            /* of what is asked about; NumericDate */
};
const struct review_question *authenticator_question(const struct authenticator *a);
/* How long a cluster's word counts, and how long its refusal. */
#define REVIEWED_LIFETIME_S 10
#define REVIEW_REFUSED_LIFETIME_S 5
/* The cluster's answer: read, and remembered under the question's digest. AUTHENTICATED with *out, AUTHENTICATION_REFUSED, or AUTHENTICATION_UNAVAILABLE:
 * it is no answer. */
enum authentication authenticator_reviewed(struct authenticator *a, const struct review_question *q, struct slice answer, struct principal **out,
	const char **why);

/* The certificate of a connection (tls_peer.h), once, for all its requests. x NULL: none was shown. The reference in it is
 * the caller's. */
struct shown_certificate authenticator_certificate(struct authenticator *a, X509 *x, int64_t expires_at);

/* authd's answer for a cookie value: the session's signed JWT, verified like any other and remembered under the cookie. refresh_after_s: when to ask again.
 * id_tokens: kept beside it as they are.
 * Only a token whose audience is the issuer itself is taken. AUTHENTICATED with *out, AUTHENTICATION_REFUSED, or AUTHENTICATION_UNAVAILABLE. */
enum authentication authenticator_session(struct authenticator *a, struct slice cookie, struct slice jwt, struct slice id_tokens, int refresh_after_s,
	struct principal **out, const char **why);
/* authd says that there is no such session: forget what is remembered for it. */
void authenticator_session_gone(struct authenticator *a, struct slice cookie);

/* The session that somebody came with has ended since. */
bool authenticator_has_ended(struct authenticator *a, const struct principal *p);

struct authenticator_stats {
	uint64_t hits, misses, refused, signatures, reviews;
	size_t entries;
};
void authenticator_stats(const struct authenticator *a, struct authenticator_stats *out);

#endif
