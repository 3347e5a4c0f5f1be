/* form.h - application/x-www-form-urlencoded, strict, for queries and bodies (WHATWG URL 5.1; RFC 6749 appendix B). */
#ifndef OIDC_FORM_H
#define OIDC_FORM_H

#include "shared/arena.h"

#define FORM_FIELDS_MAX 64
#define FORM_BYTES_MAX (64u * 1024)

struct form_field {
	struct slice name, value; /* decoded; valid UTF-8, no NUL within, a NUL behind */
};
struct form {
	struct form_field fields[FORM_FIELDS_MAX];
	size_t n;
};

/* One name or value: '+' and %XX decoded, a NUL behind it. E_FORMAT: bad %XX, NUL, invalid UTF-8; E_LIMIT: over FORM_BYTES_MAX; E_NOMEM. */
MUST_CHECK enum err form_decode(struct slice text, struct arena *arena, struct slice *out);
/* E_FORMAT, E_LIMIT (also more than FORM_FIELDS_MAX), E_NOMEM as above. Empty sequences ("a=1&&b=2") are skipped, a name without '=' has
 * an empty value. Values live in arena. */
MUST_CHECK enum err form_parse(struct slice text, struct arena *arena, struct form *out);
/* First value; .p NULL when absent. An empty value has n 0 and a non-NULL p. */
struct slice form_get(const struct form *f, const char *name);
/* Name of a parameter that occurs more than once (RFC 6749 3.1: MUST NOT), else .p NULL. `repeatable`: NULL-terminated names that may ("resource", "audience"), or NULL. */
struct slice form_duplicate(const struct form *f, const char *const *repeatable);

#endif
