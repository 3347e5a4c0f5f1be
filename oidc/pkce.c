#include "oidc/pkce.h"

#include <openssl/err.h>
#include <openssl/sha.h>

#include "oidc/base64url.h"

/* ALPHA / DIGIT / "-" / "." / "_" / "~" (RFC 7636 section 4.1). */
static bool
unreserved(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~'))
			return false;
	}
	return true;
}

bool
pkce_verifier_ok(struct slice verifier)
{
	return verifier.n >= 43 && verifier.n <= 128 && unreserved(verifier);
}

bool
pkce_challenge_ok(struct slice challenge, enum pkce_method method)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	size_t n;

	switch (method) {
	case PKCE_NONE:
		return challenge.n == 0;
	case PKCE_PLAIN:
		return pkce_verifier_ok(challenge);
	case PKCE_S256:
		return challenge.n == PKCE_CHALLENGE_BYTES && base64url_decode(challenge, digest, sizeof(digest), &n) == OK;
	}
	return false;
}

void
pkce_challenge_s256(struct slice verifier, char out[PKCE_CHALLENGE_BYTES + 1])
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	/* An empty text is no challenge, so a digest that could not be made matches nothing. */
	out[0] = '\0';
	if (SHA256((const unsigned char *)verifier.p, verifier.n, digest))
		base64url_encode(digest, sizeof(digest), out);
	else
		ERR_clear_error();
}

bool
pkce_matches(enum pkce_method method, struct slice challenge, struct slice verifier)
{
	char computed[PKCE_CHALLENGE_BYTES + 1];

	/* RFC 9700 section 2.1.1: a verifier without a challenge means that somebody stripped the challenge on the way in. */
	if (method == PKCE_NONE)
		return verifier.n == 0;
	if (!pkce_verifier_ok(verifier) || !pkce_challenge_ok(challenge, method))
		return false;
	if (method == PKCE_PLAIN)
		return slice_eq_secret(challenge, verifier);
	pkce_challenge_s256(verifier, computed);
	return slice_eq_secret(challenge, slice_str(computed));
}
