/* env.h - environment variables inside a text. */
#ifndef SHARED_ENV_H
#define SHARED_ENV_H

#include "shared/arena.h"

/* Replace $NAME and ${NAME} by their values and $$ by one dollar sign; any other dollar sign stays.
 *   out    lives in arena, or is text itself where nothing had to be replaced; NUL-terminated if text was
 *   unset  the first variable that is not set, in arena; untouched unless E_EMPTY
 * Returns OK, E_EMPTY (a variable is not set), E_NOMEM (also past 4 MiB). */
MUST_CHECK enum err env_expand(struct arena *arena, struct slice text, struct slice *out, const char **unset);

#endif
