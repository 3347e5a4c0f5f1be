/* ip_block.h - blocks of IP addresses: "10.0.0.0/8", "fd00::/8".   Spec: RFC 4632 section 3.1, RFC 4291 section 2.3. */
#ifndef SHARED_IP_BLOCK_H
#define SHARED_IP_BLOCK_H

#include "shared/err.h"
#include "shared/slice.h"

/* An address; IPv4 as ::ffff:a.b.c.d, so that an IPv4 client of an IPv6 socket is the same. */
struct ip {
	unsigned char bytes[16];
};
struct ip_block {
	struct ip ip;
	unsigned bits; /* of the 128 that count */
};

/* Numeric, without brackets, port or zone. E_FORMAT. */
MUST_CHECK enum err ip_parse(struct slice text, struct ip *out);
/* Bits behind the prefix may be set; they do not count. E_FORMAT. */
MUST_CHECK enum err ip_block_parse(struct slice text, struct ip_block *out);
/* "192.0.2.1", "2001:db8::1"; an IPv4 address as IPv4. Returns out. */
#define IP_TEXT_MAX 46
const char *ip_format(const struct ip *ip, char out[IP_TEXT_MAX]);
bool ip_block_has(const struct ip_block *b, const struct ip *ip);

#endif
