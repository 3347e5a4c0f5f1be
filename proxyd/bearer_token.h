/* bearer_token.h - the token of an Authorization header (RFC 6750 section 2.1). Pure. */
#ifndef PROXYD_BEARER_TOKEN_H
#define PROXYD_BEARER_TOKEN_H

#include "shared/slice.h"

/* The scheme's name is caseless (RFC 9110 section 11.1). Empty: something else, or nothing behind it. */
struct slice bearer_token(struct slice value);

#endif
