/* forwarded_for.h - who is calling behind proxies that are trusted: X-Forwarded-For, read from the right. Pure. */
#ifndef PROXYD_FORWARDED_FOR_H
#define PROXYD_FORWARDED_FOR_H

#include "proxyd/http_head.h"
#include "shared/ip_block.h"

struct trusted_proxies {
	const struct ip_block *blocks;
	size_t n;
};
bool trusted_proxies_have(const struct trusted_proxies *t, const struct ip *ip);

/* From peer, whose connection it is, one hop to the left for each that is trusted: each proxy has written who called it. An entry that is no address (a port behind
 * it is allowed) ends the walk: what is left of it could have been written by anybody. False: it is the peer itself; *out is left alone. */
bool forwarded_for(const struct http_head *h, const struct trusted_proxies *t, const struct ip *peer, struct ip *out);

#endif
