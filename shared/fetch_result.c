#include "shared/fetch.h"

void
fetch_result_fini(struct fetch_result *r)
{
	buf_fini_secret(&r->headers);
	buf_fini_secret(&r->body);
}

struct slice
fetch_header(const struct fetch_result *r, const char *name)
{
	struct slice rest = buf_slice(&r->headers);

	while (rest.n) {
		struct slice line = slice_cut(&rest, '\n');
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		struct slice key = slice_cut(&line, ':');
		if (slice_eq_nocase(key, slice_str(name)))
			return slice_trim(line);
	}
	return SLICE_NONE;
}
