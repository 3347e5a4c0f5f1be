#include <arpa/inet.h>
#include "shared/ip_block.h"

#define V4_BITS 96 /* of ::ffff:0:0/96, which stand before an IPv4 address */

static const unsigned char v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

static bool
is_v4(const struct ip *ip)
{
	return memcmp(ip->bytes, v4_prefix, sizeof(v4_prefix)) == 0;
}

enum err
ip_parse(struct slice text, struct ip *out)
{
	char copy[INET6_ADDRSTRLEN];

	if (text.n == 0 || text.n >= sizeof(copy) || memchr(text.p, '\0', text.n))
		return E_FORMAT;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	if (inet_pton(AF_INET6, copy, out->bytes) == 1)
		return OK;
	memcpy(out->bytes, v4_prefix, sizeof(v4_prefix));
	return inet_pton(AF_INET, copy, out->bytes + sizeof(v4_prefix)) == 1 ? OK : E_FORMAT;
}

enum err
ip_block_parse(struct slice text, struct ip_block *out)
{
	struct slice ip = slice_cut(&text, '/');
	bool v4 = !memchr(ip.p ? ip.p : "", ':', ip.n);
	uint64_t bits;

	if (ip_parse(ip, &out->ip) != OK || !slice_to_u64(text, v4 ? 32 : 128, &bits))
		return E_FORMAT;
	out->bits = (unsigned)bits + (v4 ? V4_BITS : 0);
	/* ::/0 is every IPv6 address, not every address: so do netmasks everywhere. */
	if (!v4 && is_v4(&out->ip) && out->bits < V4_BITS)
		return E_FORMAT;
	return OK;
}

const char *
ip_format(const struct ip *ip, char out[IP_TEXT_MAX])
{
	bool v4 = is_v4(ip);

	return inet_ntop(v4 ? AF_INET : AF_INET6, ip->bytes + (v4 ? sizeof(v4_prefix) : 0), out, IP_TEXT_MAX);
}

bool
ip_block_has(const struct ip_block *b, const struct ip *ip)
{
	unsigned whole = b->bits / 8, rest = b->bits % 8;
	unsigned char mask = (unsigned char)(0xff00 >> rest);

	if (is_v4(&b->ip) != is_v4(ip) || memcmp(b->ip.bytes, ip->bytes, whole) != 0)
		return false;
	return rest == 0 || ((b->ip.bytes[whole] ^ ip->bytes[whole]) & mask) == 0;
}
