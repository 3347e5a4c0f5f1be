#include "oidc/identity.h"

const char *
identity_how_name(enum identity_how how)
{
	switch (how) {
	case IDENTITY_JWT:
		return "jwt";
	case IDENTITY_SESSION:
		return "session";
	case IDENTITY_CLIENT_CERTIFICATE:
		return "client_certificate";
	case IDENTITY_TOKEN_FILE:
		return "token_file";
	case IDENTITY_TOKEN_REVIEW:
		return "token_review";
	}
	return "unknown";
}

bool
identity_value_ok(struct slice v)
{
	if (v.n == 0 || v.n > IDENTITY_VALUE_BYTES_MAX || v.p[0] == ' ' || v.p[v.n - 1] == ' ')
		return false;
	for (size_t i = 0, n; i < v.n; i += n) {
		unsigned char c = (unsigned char)v.p[i];
		n = c < 0x80 ? 1 : slice_utf8_first(slice_of(v.p + i, v.n - i));
		if (n == 0 || c < 0x20 || c == 0x7f)
			return false;
		/* U+0080..U+009F, the other control characters: C2 80 .. C2 9F. */
		if (c == 0xc2 && (unsigned char)v.p[i + 1] < 0xa0)
			return false;
	}
	return true;
}
