#include "proxyd/forwarded_for.h"

bool
trusted_proxies_have(const struct trusted_proxies *t, const struct ip *ip)
{
	for (size_t i = 0; i < t->n; i++)
		if (ip_block_has(&t->blocks[i], ip))
			return true;
	return false;
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". */
static bool
parse_hop(struct slice s, struct ip *out)
{
	const char *colon = s.n ? memchr(s.p, ':', s.n) : NULL;
	uint64_t port;

	if (s.n && s.p[0] == '[') {
		struct slice rest = slice_of(s.p + 1, s.n - 1);
		if (!memchr(rest.p, ']', rest.n))
			return false;
		struct slice ip = slice_cut(&rest, ']');
		if (rest.n && (rest.p[0] != ':' || !slice_to_u64(slice_of(rest.p + 1, rest.n - 1), 65535, &port)))
			return false;
		return memchr(ip.p, ':', ip.n) && ip_parse(ip, out) == OK;
	}
	if (colon && !memchr(colon + 1, ':', s.n - (size_t)(colon + 1 - s.p))) {
		if (!slice_to_u64(slice_of(colon + 1, s.n - (size_t)(colon + 1 - s.p)), 65535, &port))
			return false;
		s.n = (size_t)(colon - s.p);
	}
	return ip_parse(s, out) == OK;
}

/* One line, from its right end. False: the walk is over. */
static bool
walk(struct slice line, const struct trusted_proxies *t, struct ip *at)
{
	for (;;) {
		size_t from = line.n;
		while (from && line.p[from - 1] != ',')
			from--;
		struct ip hop;
		if (!parse_hop(slice_trim(slice_of(line.p + from, line.n - from)), &hop))
			return false;
		*at = hop;
		if (!trusted_proxies_have(t, &hop))
			return false;
		if (from == 0)
			return true;
		line.n = from - 1;
	}
}

bool
forwarded_for(const struct http_head *h, const struct trusted_proxies *t, const struct ip *peer, struct ip *out)
{
	struct ip at = *peer;

	if (!trusted_proxies_have(t, peer))
		return false;
	/* A proxy may add a line of its own instead of a word: the last one is the nearest proxy's. */
	for (size_t i = h->header_n; i-- > 0;) {
		const struct http_header *f = &h->headers[i];
		if (f->field == FIELD_X_FORWARDED && slice_eq_nocase(f->name, SLICE_LIT("X-Forwarded-For")) && !walk(f->value, t, &at))
			break;
	}
	if (memcmp(&at, peer, sizeof(at)) == 0)
		return false;
	*out = at;
	return true;
}
