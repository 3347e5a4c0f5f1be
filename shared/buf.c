#include <stdio.h>
#include <stdlib.h>
#include <openssl/crypto.h>
#include "shared/buf.h"

#define BUF_BYTES_MIN 256
/* What "no bound" means: far past any machine's use, far below where a sum of sizes could wrap. */
#define BUF_BYTES_MAX ((size_t)1 << 36)

void
buf_init(struct buf *b, size_t bytes_max)
{
	*b = (struct buf){ .max = bytes_max };
}

void
buf_fini(struct buf *b)
{
	free(b->p);
	buf_init(b, b->max);
}

void
buf_fini_secret(struct buf *b)
{
	if (b->p)
		OPENSSL_cleanse(b->p, b->cap);
	buf_fini(b);
}

void
buf_reset(struct buf *b)
{
	b->n = 0;
	b->failed = false;
	if (b->p)
		b->p[0] = '\0';
}

/* Room for n more bytes and the NUL. The old memory is wiped: a buffer that grew around a secret leaves no copy behind. */
static bool
grow(struct buf *b, size_t n)
{
	size_t limit = b->max && b->max < BUF_BYTES_MAX ? b->max : BUF_BYTES_MAX;

	if (b->failed)
		return false;
	if (b->n > limit || n > limit - b->n) {
		b->failed = true;
		return false;
	}
	size_t need = b->n + n + 1;
	if (need <= b->cap)
		return true;
	size_t cap = b->cap ? b->cap : BUF_BYTES_MIN;
	while (cap < need)
		cap *= 2;
	if (cap > limit + 1)
		cap = limit + 1;
	char *p = malloc(cap);
	if (!p) {
		b->failed = true;
		return false;
	}
	if (b->p) {
		memcpy(p, b->p, b->n);
		OPENSSL_cleanse(b->p, b->n);
		free(b->p);
	}
	p[b->n] = '\0';
	b->p = p;
	b->cap = cap;
	return true;
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	if (!grow(b, n))
		return;
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void
buf_add_slice(struct buf *b, struct slice s)
{
	buf_add(b, s.p, s.n);
}

void
buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void
buf_add_u64(struct buf *b, uint64_t v)
{
	char digits[20]; /* 2^64 - 1 has 20 */
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	buf_add(b, digits + at, sizeof(digits) - at);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	size_t room = b->failed ? 0 : b->cap - b->n;

	va_start(args, fmt);
	int n = vsnprintf(room ? b->p + b->n : NULL, room, fmt, args);
	va_end(args);
	if (n >= 0 && (size_t)n < room) {
		b->n += (size_t)n;
		return;
	}
	if (room)
		b->p[b->n] = '\0'; /* what did not fit whole is printed anew */
	if (n < 0) {
		b->failed = true;
		return;
	}
	if (!grow(b, (size_t)n))
		return;
	va_start(args, fmt);
	vsnprintf(b->p + b->n, (size_t)n + 1, fmt, args);
	va_end(args);
	b->n += (size_t)n;
}

/* The next character of *s, moved past it; "\xEF\xBF\xBD" (U+FFFD) in place of a byte that starts none. */
static struct slice
next_character(struct slice *s)
{
	size_t n = slice_utf8_first(*s);
	struct slice c = n ? slice_of(s->p, n) : SLICE_LIT("\xEF\xBF\xBD");

	n = n ? n : 1;
	s->p += n;
	s->n -= n;
	return c;
}

void
buf_add_json(struct buf *b, struct slice s)
{
	static const char hex[] = "0123456789abcdef";

	buf_add_char(b, '"');
	while (s.n) {
		size_t run = 0;
		while (run < s.n && s.p[run] >= ' ' && s.p[run] < 0x7f && s.p[run] != '"' && s.p[run] != '\\')
			run++;
		if (run) {
			buf_add(b, s.p, run);
			s.p += run;
			s.n -= run;
			continue;
		}
		struct slice c = next_character(&s);
		unsigned char u = (unsigned char)c.p[0];
		if (u == '"' || u == '\\') {
			buf_add(b, (char[]){ '\\', c.p[0] }, 2);
		} else if (u == '\n' || u == '\r' || u == '\t') {
			buf_add(b, (char[]){ '\\', u == '\n' ? 'n' : u == '\r' ? 'r' : 't' }, 2);
		} else if (u < ' ' || u == 0x7f) {
			buf_add(b, (char[]){ '\\', 'u', '0', '0', hex[u >> 4], hex[u & 15] }, 6);
		} else {
			buf_add_slice(b, c);
		}
	}
	buf_add_char(b, '"');
}

void
buf_add_html(struct buf *b, struct slice s)
{
	while (s.n) {
		struct slice c = next_character(&s);
		switch (c.p[0]) {
		case '&':
			buf_add_str(b, "&amp;");
			break;
		case '<':
			buf_add_str(b, "&lt;");
			break;
		case '>':
			buf_add_str(b, "&gt;");
			break;
		case '"':
			buf_add_str(b, "&quot;");
			break;
		case '\'':
			buf_add_str(b, "&#39;");
			break;
		case '\0':
			buf_add_str(b, "\xEF\xBF\xBD"); /* as an HTML parser would */
			break;
		default:
			buf_add_slice(b, c);
		}
	}
}

void
buf_add_urlencoded(struct buf *b, struct slice s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char u = (unsigned char)s.p[i];
		if ((u >= 'A' && u <= 'Z') || (u >= 'a' && u <= 'z') || (u >= '0' && u <= '9') || u == '-' || u == '.' ||
			u == '_' || u == '~')
			buf_add_char(b, s.p[i]);
		else
			buf_add(b, (char[]){ '%', hex[u >> 4], hex[u & 15] }, 3);
	}
}

char *
buf_reserve(struct buf *b, size_t n)
{
	return grow(b, n) ? b->p + b->n : NULL;
}

void
buf_commit(struct buf *b, size_t n)
{
	b->n += n;
	b->p[b->n] = '\0';
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n + 1);
	b->n -= n;
}
