/* bearer_file.h - secrets that one of our programs shows another as a bearer token (RFC 6750): a file of them, one a line. The one who asks sends the first; the
 * one who is asked takes any of them, so that a secret is changed without a gap: the new one below the old one, then alone. */
#ifndef SHARED_BEARER_FILE_H
#define SHARED_BEARER_FILE_H

#include "shared/arena.h"
#include "shared/err.h"

#define BEARER_FILE_BYTES_MAX 4096
#define BEARER_SECRETS_MAX 8
#define BEARER_BYTES_MIN 32 /* of base64: 192 bits and more */
#define BEARER_BYTES_MAX 256

struct bearer_secrets {
	struct slice items[BEARER_SECRETS_MAX]; /* NUL-terminated */
	size_t n;                               /* at least 1 */
};
/* Empty lines and those that begin with '#' are left out. Texts in arena. E_SYSTEM (errno): it cannot be read; E_FORMAT: why says what was expected; E_NOMEM. */
MUST_CHECK enum err bearer_file_read(const char *path, struct arena *arena, struct bearer_secrets *out, const char **why);
/* The same of a text. */
MUST_CHECK enum err bearer_file_parse(struct slice text, struct arena *arena, struct bearer_secrets *out, const char **why);

/* Whether the value of an Authorization header is one of the secrets, in a time that does not tell which. */
bool bearer_secrets_match(const struct bearer_secrets *s, struct slice authorization);

#endif
