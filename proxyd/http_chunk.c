#include "proxyd/http_bytes.h"
#include "proxyd/http_chunk.h"
#include "proxyd/http_head.h"

enum state {
	SIZE,            /* hex digits */
	EXTENSION_FIRST, /* right behind a ';' */
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER_FIRST,   /* first byte of a trailer line, or the CR of the empty one */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	END_LF,
	ENDED,
	REFUSED
};

/* RFC 9112 section 7.1: a recipient must mind that a chunk-size is no overflowing number. 16 digits fill 64 bits. */
#define SIZE_DIGITS_MAX 16

void
http_chunk_init(struct http_chunk *c)
{
	c->state = SIZE;
	c->left = 0;
	c->extension_bytes = c->extension_total = c->trailer_bytes = c->digits = 0;
	c->line_n = 0;
}

static const char *
size_byte(struct http_chunk *c, char b)
{
	if (http_byte_is(b, HTTP_BYTE_HEX)) {
		if (c->digits++ == SIZE_DIGITS_MAX)
			return "chunk size with more than 16 digits";
		c->left = c->left << 4 | http_byte_hex(b);
		return NULL;
	}
	if (c->digits == 0 || (b != '\r' && b != ';'))
		return "malformed chunk size";
	c->state = b == '\r' ? SIZE_LF : EXTENSION_FIRST;
	c->extension_bytes = 0;
	return NULL;
}

/* Extensions mean nothing to us (RFC 9112 section 7.1.1: ignore unknown ones); what counts is that all agree on where they end. */
static const char *
extension_byte(struct http_chunk *c, char b)
{
	if (b == '\r') {
		if (c->state == EXTENSION_FIRST)
			return "empty chunk extension";
		c->state = SIZE_LF;
		return NULL;
	}
	if (!http_byte_is(b, HTTP_BYTE_VALUE))
		return "control byte in a chunk extension";
	c->state = EXTENSION;
	if (++c->extension_bytes > CHUNK_EXTENSION_BYTES_MAX || ++c->extension_total > CHUNK_EXTENSION_TOTAL_MAX)
		return "chunk extensions longer than the limit";
	return NULL;
}

static void
size_is_known(struct http_chunk *c)
{
	c->state = c->left ? DATA : TRAILER_FIRST;
	c->digits = 0;
}

static const char *
trailer_byte(struct http_chunk *c, char b)
{
	if (++c->trailer_bytes > CHUNK_TRAILER_BYTES_MAX)
		return "trailers longer than the limit";
	switch (c->state) {
	case TRAILER_FIRST:
		c->line_n = 0;
		if (b == '\r') {
			c->state = END_LF;
			return NULL;
		}
		c->state = TRAILER_NAME;
		/* fall through */
	case TRAILER_NAME:
		if (http_byte_is(b, HTTP_BYTE_TOKEN)) {
			if (c->line_n == sizeof(c->line))
				return "trailer name longer than the limit";
			c->line[c->line_n++] = b;
			return NULL;
		}
		if (b != ':' || c->line_n == 0)
			return "malformed trailer";
		/* RFC 9110 section 6.5.1: nothing about framing, routing or identity; by any spelling. */
		if (http_field_is_critical(http_field_folded(slice_of(c->line, c->line_n))))
			return "header that is not allowed in a trailer";
		c->state = TRAILER_VALUE;
		return NULL;
	case TRAILER_LF:
		if (b != '\n')
			return "bare CR in a trailer";
		c->state = TRAILER_FIRST;
		return NULL;
	case END_LF:
		if (b != '\n')
			return "bare CR behind the last chunk";
		c->state = ENDED;
		return NULL;
	default:
		if (b == '\r') {
			c->state = TRAILER_LF;
			return NULL;
		}
		return http_byte_is(b, HTTP_BYTE_VALUE) ? NULL : "control byte in a trailer";
	}
}

/* One byte that is not data. NULL: taken. */
static const char *
framing_byte(struct http_chunk *c, char b)
{
	switch (c->state) {
	case SIZE:
		return size_byte(c, b);
	case EXTENSION_FIRST:
	case EXTENSION:
		return extension_byte(c, b);
	case SIZE_LF:
		if (b != '\n')
			return "bare CR in a chunk's first line";
		size_is_known(c);
		return NULL;
	case DATA_CR:
		if (b != '\r')
			return "chunk data does not end where its size says";
		c->state = DATA_LF;
		return NULL;
	case DATA_LF:
		if (b != '\n')
			return "bare CR behind chunk data";
		c->state = SIZE;
		return NULL;
	default:
		return trailer_byte(c, b);
	}
}

enum http_chunk_event
http_chunk_next(struct http_chunk *c, struct slice *in, struct slice *data, const char **why)
{
	while (c->state != ENDED) {
		if (c->state == REFUSED) {
			*why = "chunked body was refused before";
			return CHUNK_BAD;
		}
		if (in->n == 0)
			return CHUNK_MORE;
		if (c->state == DATA) {
			size_t n = in->n < c->left ? in->n : (size_t)c->left;
			*data = slice_of(in->p, n);
			*in = slice_of(in->p + n, in->n - n);
			c->left -= n;
			if (c->left == 0)
				c->state = DATA_CR;
			return CHUNK_DATA;
		}
		*why = framing_byte(c, in->p[0]);
		if (*why) {
			c->state = REFUSED;
			return CHUNK_BAD;
		}
		*in = slice_of(in->p + 1, in->n - 1);
	}
	return CHUNK_END;
}

size_t
http_chunk_head(size_t n, char out[CHUNK_HEAD_BYTES_MAX])
{
	static const char hex[] = "0123456789abcdef";
	char digits[16];
	size_t at = sizeof(digits);

	do {
		digits[--at] = hex[n & 15];
		n >>= 4;
	} while (n);
	size_t length = sizeof(digits) - at;
	memcpy(out, digits + at, length);
	memcpy(out + length, "\r\n", 2);
	return length + 2;
}
