#include <stdlib.h>
#include "shared/buf.h"
#include "shared/env.h"

#define ENV_EXPANDED_BYTES_MAX (4u << 20)

static bool
is_name_start(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

/* The variable name that stands behind a dollar sign: NAME or {NAME}. *used: bytes it takes; 0 when there is none. */
static struct slice
variable_name(struct slice s, size_t *used)
{
	size_t brace = s.n && s.p[0] == '{', n = brace;

	*used = 0;
	if (n == s.n || !is_name_start(s.p[n]))
		return SLICE_NONE;
	while (n < s.n && (is_name_start(s.p[n]) || (s.p[n] >= '0' && s.p[n] <= '9')))
		n++;
	if (brace && (n == s.n || s.p[n] != '}'))
		return SLICE_NONE;
	*used = n + brace;
	return slice_of(s.p + brace, n - brace);
}

/* What stands behind one dollar sign, moved past. */
static enum err
add_reference(struct arena *arena, struct slice *rest, struct buf *to, const char **unset)
{
	size_t used;
	struct slice name = variable_name(*rest, &used);

	if (used == 0) {
		buf_add_char(to, '$');
		used = rest->n && rest->p[0] == '$';
		*rest = slice_of(rest->p + used, rest->n - used);
		return OK;
	}
	*rest = slice_of(rest->p + used, rest->n - used);
	const char *variable = arena_strndup(arena, name.p, name.n);
	if (!variable)
		return E_NOMEM;
	const char *value = getenv(variable);
	if (!value) {
		*unset = variable;
		return E_EMPTY;
	}
	buf_add_str(to, value);
	return OK;
}

enum err
env_expand(struct arena *arena, struct slice text, struct slice *out, const char **unset)
{
	struct slice rest = text;
	struct buf expanded;
	enum err e = OK;

	if (text.n == 0 || !memchr(text.p, '$', text.n)) {
		*out = text;
		return OK;
	}
	buf_init(&expanded, ENV_EXPANDED_BYTES_MAX);
	while (rest.n && e == OK) {
		const char *end = rest.p + rest.n;
		struct slice literal = slice_cut(&rest, '$');

		buf_add_slice(&expanded, literal);
		if (literal.p + literal.n != end)
			e = add_reference(arena, &rest, &expanded, unset);
	}
	if (e == OK) {
		struct slice copy = arena_slice(arena, buf_slice(&expanded));
		if (!buf_ok(&expanded) || !copy.p)
			e = E_NOMEM;
		else
			*out = copy;
	}
	buf_fini_secret(&expanded);
	return e;
}
