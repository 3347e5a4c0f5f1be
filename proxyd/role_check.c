#include "proxyd/role_check.h"

#define MARK SLICE_LIT(" cannot impersonate resource ")

static bool
is_resource_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c != '\0' && strchr("-._/:%", c));
}

struct slice
role_check_missing(struct slice body)
{
	size_t n = body.n < ROLE_CHECK_BYTES_MAX ? body.n : ROLE_CHECK_BYTES_MAX, from = 0, to;
	const char *at = n ? memmem(body.p, n, MARK.p, MARK.n) : NULL;

	if (!at)
		return SLICE_NONE;
	struct slice rest = { at + MARK.n, n - (size_t)(at - body.p) - MARK.n };
	while (from < rest.n && (rest.p[from] == '\\' || rest.p[from] == '"')) /* quoted, in JSON twice */
		from++;
	for (to = from; to < rest.n && is_resource_byte(rest.p[to]); to++)
		;
	return from && to > from && to < rest.n ? slice_of(rest.p + from, to - from) : SLICE_NONE;
}
