#include "oidc/base64url.h"

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Value of each byte, 0x80 for those outside the alphabet: one OR over all of them tells whether any was. */
#define NO 0x80
static const uint8_t sextet[256] = {
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, 62, NO, NO, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NO, NO, NO, NO, NO, NO,
	NO, 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, NO, NO, NO, NO, 63,
	NO, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
};

static void
encode(const uint8_t *in, size_t n, char *out)
{
	size_t i = 0;

	for (; n - i >= 3; i += 3) {
		uint32_t v = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];
		*out++ = alphabet[v >> 18];
		*out++ = alphabet[v >> 12 & 63];
		*out++ = alphabet[v >> 6 & 63];
		*out++ = alphabet[v & 63];
	}
	if (n - i == 0)
		return;
	uint32_t v = (uint32_t)in[i] << 16 | (n - i == 2 ? (uint32_t)in[i + 1] << 8 : 0);
	*out++ = alphabet[v >> 18];
	*out++ = alphabet[v >> 12 & 63];
	if (n - i == 2)
		*out = alphabet[v >> 6 & 63];
}

size_t
base64url_encode(const void *in, size_t n, char *out)
{
	encode(in, n, out);
	out[BASE64URL_ENCODED_BYTES(n)] = '\0';
	return BASE64URL_ENCODED_BYTES(n);
}

void
base64url_add(struct buf *b, const void *in, size_t n)
{
	char *out = buf_reserve(b, BASE64URL_ENCODED_BYTES(n));

	if (!out)
		return;
	encode(in, n, out);
	buf_commit(b, BASE64URL_ENCODED_BYTES(n));
}

/* The last character of a short group carries 4 or 2 bits that no byte needs: zero, or one value would have several spellings (RFC 4648
 * section 3.5). */
static bool
ends_well(struct slice in)
{
	static const uint8_t needless[4] = { 0, 0xff, 15, 3 };
	unsigned rest = in.n % 4;

	return rest == 0 || (rest != 1 && (sextet[(uint8_t)in.p[in.n - 1]] & needless[rest]) == 0);
}

bool
base64url_ok(struct slice in)
{
	const uint8_t *p = (const uint8_t *)in.p;
	uint8_t seen = 0;

	for (size_t i = 0; i < in.n; i++)
		seen |= sextet[p[i]];
	return !(seen & NO) && ends_well(in);
}

enum err
base64url_decode(struct slice in, void *out, size_t cap, size_t *n)
{
	const uint8_t *p = (const uint8_t *)in.p;
	uint8_t *o = out, seen = 0;
	size_t whole = in.n / 4, rest = in.n % 4;
	size_t bytes = whole * 3 + (rest ? rest - 1 : 0);

	if (!ends_well(in))
		return E_FORMAT;
	if (bytes > cap)
		return base64url_ok(in) ? E_LIMIT : E_FORMAT;
	for (size_t i = 0; i < whole; i++, p += 4, o += 3) {
		uint8_t a = sextet[p[0]], b = sextet[p[1]], c = sextet[p[2]], d = sextet[p[3]];
		seen |= a | b | c | d;
		o[0] = (uint8_t)(a << 2 | b >> 4);
		o[1] = (uint8_t)(b << 4 | c >> 2);
		o[2] = (uint8_t)(c << 6 | d);
	}
	for (size_t i = 0; i < rest; i++)
		seen |= sextet[p[i]];
	if (seen & NO)
		return E_FORMAT;
	if (rest >= 2)
		*o++ = (uint8_t)(sextet[p[0]] << 2 | sextet[p[1]] >> 4);
	if (rest == 3)
		*o = (uint8_t)(sextet[p[1]] << 4 | sextet[p[2]] >> 2);
	*n = bytes;
	return OK;
}
