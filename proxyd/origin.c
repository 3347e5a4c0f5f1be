#include "proxyd/origin.h"

static bool
is_listed(struct slice origin, const struct config_strings *listed)
{
	for (size_t i = 0; listed && i < listed->n; i++)
		if (slice_eq_nocase(origin, slice_str(listed->items[i])))
			return true;
	return false;
}

enum origin
origin_of(const struct http_head *h, const struct config_strings *listed)
{
	static const struct slice scheme = { "https://", 8 };
	struct slice origin = h->origin >= 0 ? h->headers[h->origin].value : SLICE_NONE;
	const struct http_header *site = http_head_find_name(h, "Sec-Fetch-Site");

	if (origin.p && !slice_eq_str(origin, "null")) {
		bool same = slice_has_prefix(origin, scheme) && slice_eq_nocase(slice_of(origin.p + scheme.n, origin.n - scheme.n), h->host);
		return same || is_listed(origin, listed) ? ORIGIN_OURS : ORIGIN_OTHERS;
	}
	if (site)
		return slice_eq_str(site->value, "same-origin") || slice_eq_str(site->value, "none") ? ORIGIN_OURS : ORIGIN_OTHERS;
	return origin.p ? ORIGIN_OTHERS : ORIGIN_UNSAID;
}

bool
origin_is_harmless(const struct http_head *h)
{
	return (h->method == METHOD_GET || h->method == METHOD_HEAD || h->method == METHOD_OPTIONS) && h->upgrade == UPGRADE_NONE;
}
