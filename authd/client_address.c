#include "authd/client_address.h"

static bool
is_trusted(const struct authd_config *c, const struct ip *ip)
{
	for (size_t i = 0; i < c->web.trusted_proxy_n; i++)
		if (ip_block_has(&c->web.trusted_proxies[i], ip))
			return true;
	return false;
}

/* From the right. True: found is the client, or nothing to the left can be believed (found empty). */
static bool
search_line(const struct authd_config *c, struct slice line, struct slice *found)
{
	struct ip ip;

	for (;;) {
		size_t at = line.n;
		while (at && line.p[at - 1] != ',')
			at--;
		struct slice hop = slice_trim(slice_of(line.p + at, line.n - at));
		if (ip_parse(hop, &ip) != OK) {
			*found = SLICE_NONE; /* malformed: who wrote what is left of it cannot be told */
			return true;
		}
		if (!is_trusted(c, &ip)) {
			*found = hop;
			return true;
		}
		if (at == 0)
			return false;
		line.n = at - 1;
	}
}

struct slice
client_address(const struct request *r, const struct authd_config *c)
{
	struct slice found = SLICE_NONE;
	struct ip peer;
	bool done = false;

	if (!c->web.client_ip_header || ip_parse(r->address, &peer) != OK || !is_trusted(c, &peer))
		return r->address;
	/* A proxy may add a line of its own instead of a word: the last line is the nearest proxy's. */
	for (size_t i = r->header_n; i-- > 0 && !done;)
		if (slice_eq_nocase(r->headers[i].name, slice_str(c->web.client_ip_header)))
			done = search_line(c, r->headers[i].value, &found);
	return found.n ? found : r->address;
}
