#include "proxyd/proxy_protocol.h"

#define SIGNATURE_BYTES 12
#define V2_HEAD_BYTES 16
#define V4_BYTES 12 /* two addresses, two ports */
#define V6_BYTES 36
#define UNIX_BYTES 216
#define TLV_HEAD_BYTES 3

static const char signature[SIGNATURE_BYTES] = "\r\n\r\n\0\r\nQUIT\n";

static enum proxy_verdict
bad(const char **why, const char *text)
{
	*why = text;
	return PROXY_BAD;
}

/* ---- text ---- */

/* Decimal, 0..65535, without leading zeros. */
static bool
is_port(struct slice s)
{
	uint64_t port;

	return slice_to_u64(s, 65535, &port) && (s.n == 1 || s.p[0] != '0');
}

static bool
is_ip(struct slice s, bool v6, struct ip *out)
{
	return (memchr(s.p ? s.p : "", ':', s.n) != NULL) == v6 && ip_parse(s, out) == OK;
}

/* Behind "PROXY ", without its CRLF. */
static enum proxy_verdict
parse_words(struct slice line, struct proxy_header *out, const char **why)
{
	struct slice family = slice_cut(&line, ' '), words[4];
	struct ip destination;

	if (slice_eq_str(family, "UNKNOWN"))
		return PROXY_OK; /* whatever else stands there is to be ignored */
	if (!slice_eq_str(family, "TCP4") && !slice_eq_str(family, "TCP6"))
		return bad(why, "PROXY header of an unknown family");
	for (size_t i = 0; i < 4; i++) {
		if (i < 3 && !memchr(line.p ? line.p : "", ' ', line.n))
			return bad(why, "PROXY header without two addresses and two ports");
		words[i] = i < 3 ? slice_cut(&line, ' ') : line;
	}
	bool v6 = family.p[3] == '6';
	if (!is_ip(words[0], v6, &out->ip) || !is_ip(words[1], v6, &destination))
		return bad(why, "PROXY header with an address that is none");
	if (!is_port(words[2]) || !is_port(words[3]))
		return bad(why, "PROXY header with a port that is none");
	out->has_ip = true;
	return PROXY_OK;
}

static enum proxy_verdict
parse_text(struct slice in, struct proxy_header *out, const char **why)
{
	static const char begins[] = "PROXY ";
	size_t known = in.n < sizeof(begins) - 1 ? in.n : sizeof(begins) - 1;

	if (memcmp(in.p, begins, known) != 0)
		return bad(why, "no PROXY header");
	if (in.n > PROXY_V1_BYTES_MAX)
		in.n = PROXY_V1_BYTES_MAX;
	const char *end = memchr(in.p, '\n', in.n);
	if (!end)
		return in.n < PROXY_V1_BYTES_MAX ? PROXY_MORE : bad(why, "PROXY header without an end");
	size_t line = (size_t)(end - in.p);
	if (line < sizeof(begins) || end[-1] != '\r' || memchr(in.p, '\r', line - 1))
		return bad(why, "PROXY header that does not end in CRLF");
	out->bytes = line + 1;
	return parse_words(slice_of(in.p + sizeof(begins) - 1, line - sizeof(begins)), out, why);
}

/* ---- binary ---- */

static size_t
u16(const char *p)
{
	return (size_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

/* Additions tell nothing that we ask for, but they have to fill their room exactly. */
static bool
additions_fit(struct slice s)
{
	while (s.n >= TLV_HEAD_BYTES && u16(s.p + 1) <= s.n - TLV_HEAD_BYTES) {
		size_t n = TLV_HEAD_BYTES + u16(s.p + 1);
		s = slice_of(s.p + n, s.n - n);
	}
	return s.n == 0;
}

static enum proxy_verdict
parse_addresses(char family, struct slice rest, struct proxy_header *out, const char **why)
{
	static const unsigned char v4_prefix[12] = { [10] = 0xff, [11] = 0xff };
	size_t n;

	switch (family) {
	case 0x00: /* unspecified: what follows is to be skipped, addresses or not */
		return PROXY_OK;
	case 0x11:
		n = V4_BYTES;
		break;
	case 0x21:
		n = V6_BYTES;
		break;
	case 0x31:
		n = UNIX_BYTES;
		break;
	default:
		return bad(why, "PROXY header for something else than a stream");
	}
	if (rest.n < n || !additions_fit(slice_of(rest.p + n, rest.n - n)))
		return bad(why, "PROXY header whose length does not fit what is in it");
	if (family == 0x11) {
		memcpy(out->ip.bytes, v4_prefix, sizeof(v4_prefix));
		memcpy(out->ip.bytes + sizeof(v4_prefix), rest.p, 4);
	} else if (family == 0x21) {
		memcpy(out->ip.bytes, rest.p, 16);
	}
	out->has_ip = family != 0x31;
	return PROXY_OK;
}

static enum proxy_verdict
parse_binary(struct slice in, struct proxy_header *out, const char **why)
{
	if (memcmp(in.p, signature, in.n < SIGNATURE_BYTES ? in.n : SIGNATURE_BYTES) != 0)
		return bad(why, "no PROXY header");
	if (in.n < V2_HEAD_BYTES)
		return PROXY_MORE;
	size_t length = u16(in.p + 14);
	if (length > PROXY_BYTES_MAX - V2_HEAD_BYTES)
		return bad(why, "PROXY header that is too long");
	if (in.p[12] != 0x20 && in.p[12] != 0x21)
		return bad(why, "PROXY header of an unknown version or command");
	if (in.n < V2_HEAD_BYTES + length)
		return PROXY_MORE;
	out->bytes = V2_HEAD_BYTES + length;
	if (in.p[12] == 0x20)
		return PROXY_OK; /* LOCAL: the load balancer's own, whatever the rest says */
	return parse_addresses(in.p[13], slice_of(in.p + V2_HEAD_BYTES, length), out, why);
}

enum proxy_verdict
proxy_protocol_parse(const char *p, size_t n, struct proxy_header *out, const char **why)
{
	struct slice in = slice_of(p, n);

	*out = (struct proxy_header){ .bytes = 0 };
	return p[0] == signature[0] ? parse_binary(in, out, why) : parse_text(in, out, why);
}
