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

bool
base64url_ok(struct slice in)
{
	const uint8_t *p = (const uint8_t *)in.p;
	uint8_t seen = 0;

	if (in.n % 4 == 1)
		return false;
	for (size_t i = 0; i < in.n; i++)
		seen |= sextet[p[i]];
	if (seen & NO)
		return false;
	/* The last character of a short group carries 4 or 2 bits that no byte needs: zero, or one value would have several
	 * spellings (RFC 4648 section 3.5). */
	if (in.n % 4 == 2)
		return (sextet[p[in.n - 1]] & 15) == 0;
	if (in.n % 4 == 3)
		return (sextet[p[in.n - 1]] & 3) == 0;
	return true;
}

enum err
base64url_decode(struct slice in, void *out, size_t cap, size_t *n)
{
	const uint8_t *p = (const uint8_t *)in.p;
	uint8_t *o = out;
	size_t whole = in.n / 4, rest = in.n % 4;
	size_t bytes = whole * 3 + (rest ? rest - 1 : 0);

	if (!base64url_ok(in))
		return E_FORMAT;
	if (bytes > cap)
		return E_LIMIT;
	for (size_t i = 0; i < whole; i++, p += 4, o += 3) {
		uint32_t v = (uint32_t)sextet[p[0]] << 18 | (uint32_t)sextet[p[1]] << 12 | (uint32_t)sextet[p[2]] << 6 | sextet[p[3]];
		o[0] = (uint8_t)(v >> 16);
		o[1] = (uint8_t)(v >> 8);
		o[2] = (uint8_t)v;
	}
	if (rest >= 2)
		*o++ = (uint8_t)(sextet[p[0]] << 2 | sextet[p[1]] >> 4);
	if (rest == 3)
		*o = (uint8_t)(sextet[p[1]] << 4 | sextet[p[2]] >> 2);
	*n = bytes;
	return OK;
}
