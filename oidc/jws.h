/* jws.h - compact JWS: strict split and verification (RFC 7515, RFC 8725). libjwt is not used here: it accepts what it must not. */
#ifndef OIDC_JWS_H
#define OIDC_JWS_H

#include "oidc/jwk_set.h"

#define JWS_BYTES_MAX (8u * 1024)      /* default bound of a whole token, refused before decoding */
#define JWS_HEADER_BYTES_MAX 1024

struct jws {
	struct slice token;         /* as given */
	struct slice signing_input; /* header "." payload, points into token */
	struct slice header_b64, payload_b64, signature_b64;
	enum jws_alg alg;
	struct slice kid; /* points into header_text; empty: absent */
	struct slice typ; /* ditto */
	char header_text[JWS_HEADER_BYTES_MAX]; /* decoded strings that kid and typ point into */
};

enum jws_verdict {
	JWS_OK,
	JWS_MALFORMED,      /* not three strict base64url parts, header no object, duplicate names, trailing bytes … */
	JWS_TOO_LONG,
	JWS_UNSUPPORTED,    /* alg unknown or none, crit, b64, jwk/jku/x5u/x5c present, typ of another kind */
	JWS_UNKNOWN_KEY,    /* no such kid, or no kid while several keys exist */
	JWS_BAD_SIGNATURE,  /* wrong length, alg other than the key's, or the signature does not verify */
	JWS_FAILED          /* out of memory, OpenSSL failure: refuse too */
};

/* Take a token apart without believing any of it. bytes_max 0: JWS_BYTES_MAX. */
enum jws_verdict jws_split(struct slice token, size_t bytes_max, struct jws *out);
/* Check the signature with the key of the set that its kid names; the error queue of OpenSSL is clean afterwards. */
enum jws_verdict jws_verify(const struct jws *jws, const struct jwk_set *set);

#endif
