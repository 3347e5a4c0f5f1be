#include <openssl/crypto.h>
#include "shared/slice.h"

static unsigned char
ascii_lower(char c)
{
	unsigned char u = (unsigned char)c;
	return u >= 'A' && u <= 'Z' ? (unsigned char)(u | 0x20) : u;
}

bool
slice_eq_nocase(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

bool
slice_has_prefix(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool
slice_has_suffix(struct slice s, struct slice suffix)
{
	return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + (s.n - suffix.n), suffix.p, suffix.n) == 0);
}

struct slice
slice_cut(struct slice *s, char sep)
{
	struct slice head = *s;
	const char *at = s->n ? memchr(s->p, sep, s->n) : NULL;

	if (!at) {
		*s = slice_of(s->p ? s->p + s->n : NULL, 0);
		return head;
	}
	head.n = (size_t)(at - s->p);
	*s = slice_of(at + 1, s->n - head.n - 1);
	return head;
}

struct slice
slice_trim(struct slice s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

bool
slice_to_u64(struct slice s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		uint64_t digit = (uint64_t)(s.p[i] - '0');
		if (digit > max || v > (max - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*out = v;
	return true;
}

/* RFC 3629 section 4, as its syntax says it: only the second byte's range depends on the first. */
size_t
slice_utf8_first(struct slice s)
{
	if (s.n == 0)
		return 0;
	unsigned char a = (unsigned char)s.p[0], low = 0x80, high = 0xBF;
	size_t n;

	if (a < 0x80)
		return 1;
	if (a < 0xC2)
		return 0;
	if (a < 0xE0) {
		n = 2;
	} else if (a < 0xF0) {
		n = 3;
		if (a == 0xE0)
			low = 0xA0; /* overlong */
		else if (a == 0xED)
			high = 0x9F; /* surrogates */
	} else if (a < 0xF5) {
		n = 4;
		if (a == 0xF0)
			low = 0x90; /* overlong */
		else if (a == 0xF4)
			high = 0x8F; /* past U+10FFFF */
	} else {
		return 0;
	}
	if (s.n < n || (unsigned char)s.p[1] < low || (unsigned char)s.p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (((unsigned char)s.p[i] & 0xC0) != 0x80)
			return 0;
	return n;
}

bool
slice_is_utf8(struct slice s)
{
	while (s.n) {
		size_t n = slice_utf8_first(s);
		if (n == 0)
			return false;
		s.p += n;
		s.n -= n;
	}
	return true;
}

bool
slice_eq_secret(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}
