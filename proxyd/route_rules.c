#include "proxyd/http_bytes.h"
#include "proxyd/route_rules.h"

static bool
ends_segment(struct slice prefix, struct slice rest)
{
	return rest.n == 0 || rest.p[0] == '/' || (prefix.n && prefix.p[prefix.n - 1] == '/');
}

bool
route_covers(struct slice prefix, struct slice path)
{
	return slice_has_prefix(path, prefix) && ends_segment(prefix, slice_of(path.p + prefix.n, path.n - prefix.n));
}

static bool
is_hex_pair(struct slice s, size_t at)
{
	return s.n - at >= 2 && http_byte_is(s.p[at], HTTP_BYTE_HEX) && http_byte_is(s.p[at + 1], HTTP_BYTE_HEX);
}

/* "%2561" is "%61" to those who decode once and "a" to those who do it twice. */
static char
take_byte(struct slice *s)
{
	char c = s->p[0];
	size_t at = 1;

	while (c == '%' && is_hex_pair(*s, at)) {
		c = (char)(http_byte_hex(s->p[at]) << 4 | http_byte_hex(s->p[at + 1]));
		at += 2;
	}
	*s = slice_of(s->p + at, s->n - at);
	return c;
}

bool
route_covers_decoded(struct slice prefix, struct slice path)
{
	for (size_t i = 0; i < prefix.n; i++)
		if (path.n == 0 || take_byte(&path) != prefix.p[i])
			return false;
	if (path.n == 0 || (prefix.n && prefix.p[prefix.n - 1] == '/'))
		return true;
	return take_byte(&path) == '/';
}

bool
route_host_is(const char *host, struct slice header)
{
	return slice_eq_nocase(slice_cut(&header, ':'), slice_str(host));
}

bool
route_groups_allow(const struct config_strings *groups, const struct identity *who)
{
	for (size_t i = 0; i < groups->n; i++) {
		if (strcmp(groups->items[i], "system:authenticated") == 0)
			return true;
		for (size_t g = 0; g < who->group_n; g++)
			if (slice_eq_str(who->groups[g], groups->items[i]))
				return true;
	}
	return groups->n == 0;
}
