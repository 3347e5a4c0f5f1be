/* http_bytes.h - what each byte may be in an HTTP/1.1 head: one table of 256 entries, one load per byte. */
#ifndef PROXYD_HTTP_BYTES_H
#define PROXYD_HTTP_BYTES_H

#include "shared/slice.h"

#define HTTP_BYTE_TOKEN 0x01u      /* tchar (RFC 9110 section 5.6.2) */
#define HTTP_BYTE_VALUE 0x02u      /* field-vchar, obs-text, SP, HTAB (RFC 9110 section 5.5) */
#define HTTP_BYTE_PATH 0x04u       /* pchar, '/' and '%' (RFC 3986 section 3.3) */
#define HTTP_BYTE_QUERY 0x08u      /* visible ASCII but '#': browsers send {|}^ there as they are */
#define HTTP_BYTE_UNRESERVED 0x10u /* RFC 3986 section 2.3: what a host name is made of */
#define HTTP_BYTE_HEX 0x20u
#define HTTP_BYTE_FOLDS 0x40u      /* a token's bytes but letters, digits and '-': in a header's name some readers take '_', '.' or any of them for '-' (CGI: "_") */
#define HTTP_BYTE_PLAIN 0x80u      /* of a path: means nothing but itself */
extern const unsigned char http_byte_class[256];

static inline bool
http_byte_is(char c, unsigned what)
{
	return http_byte_class[(unsigned char)c] & what;
}

static inline char
http_byte_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Of a byte that is HTTP_BYTE_HEX. */
static inline unsigned
http_byte_hex(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(http_byte_lower(c) - 'a') + 10;
}

/* Not empty, token bytes only. */
bool http_is_token(struct slice s);
/* First byte at or after p that is not HTTP_BYTE_VALUE; end when there is none. */
const char *http_value_end(const char *p, const char *end);

#endif
