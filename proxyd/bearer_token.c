#include "proxyd/bearer_token.h"

struct slice
bearer_token(struct slice value)
{
	struct slice rest = value, scheme = slice_cut(&rest, ' ');

	if (!slice_eq_nocase(scheme, SLICE_LIT("Bearer")))
		return SLICE_NONE;
	while (rest.n && rest.p[0] == ' ')
		rest = slice_of(rest.p + 1, rest.n - 1);
	return rest.n && !memchr(rest.p, ' ', rest.n) && !memchr(rest.p, '\t', rest.n) ? rest : SLICE_NONE;
}
