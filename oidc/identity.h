/* identity.h - who is calling: the one struct that leaves every authenticator.
 * Field meanings are Kubernetes' UserInfo (authentication.k8s.io/v1). */
#ifndef OIDC_IDENTITY_H
#define OIDC_IDENTITY_H

#include "shared/arena.h"

#define IDENTITY_GROUPS_MAX 253
#define IDENTITY_EXTRA_MAX 32
#define IDENTITY_VALUE_BYTES_MAX 1024

enum identity_how { IDENTITY_JWT, IDENTITY_SESSION, IDENTITY_CLIENT_CERTIFICATE, IDENTITY_TOKEN_FILE, IDENTITY_TOKEN_REVIEW };

struct identity_extra {
	struct slice key; /* lower case */
	struct slice *values;
	size_t n;
};

struct identity {
	struct slice username; /* never empty */
	struct slice uid;      /* empty: none */
	struct slice *groups;
	size_t group_n;
	struct identity_extra *extra;
	size_t extra_n;
	enum identity_how how;
	struct slice issuer;  /* empty where no issuer is involved */
	struct slice sid;     /* session id the credential belongs to (OpenID Connect Front-Channel Logout 3); empty: none */
	struct slice id_tokens; /* of a browser's session: what backends may be given, as many lines as there are audiences (session_client.h); empty: none */
	int64_t not_before;   /* NumericDate; 0: none */
	int64_t expires_at;   /* NumericDate */
};

/* "jwt", "session", … */
const char *identity_how_name(enum identity_how how);

/* A value that may become an Impersonate-* header: not empty, no control byte (incl. CR, LF, NUL, TAB, DEL), valid UTF-8, no blank at either
 * edge (Go trims them: " system:masters\t" would arrive as system:masters), at most IDENTITY_VALUE_BYTES_MAX. */
bool identity_value_ok(struct slice v);

#endif
