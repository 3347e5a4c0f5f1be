/* buf.h - a growable byte buffer with a sticky failure: append freely, look at buf_ok() once at the end.
 * The bytes are always followed by a NUL that is not counted. */
#ifndef SHARED_BUF_H
#define SHARED_BUF_H

#include <stdarg.h>
#include "shared/err.h"
#include "shared/slice.h"

struct buf {
	char *p;     /* NULL until the first append */
	size_t n;    /* bytes used */
	size_t cap;  /* bytes allocated */
	size_t max;  /* never grows past this; 0: no bound */
	bool failed; /* an append did not fit or memory ran out; contents are a prefix */
};

void buf_init(struct buf *b, size_t bytes_max);
void buf_fini(struct buf *b);
/* Wipes the bytes before freeing. For anything that held a secret. */
void buf_fini_secret(struct buf *b);
/* Forget the contents, keep the memory, clear `failed`. */
void buf_reset(struct buf *b);

void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_slice(struct buf *b, struct slice s);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_add_u64(struct buf *b, uint64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* JSON string literal with its quotes (RFC 8259 section 7). Invalid UTF-8 becomes U+FFFD. */
void buf_add_json(struct buf *b, struct slice s);
/* Text for an HTML element or a quoted attribute: & < > " ' escaped, invalid UTF-8 replaced. */
void buf_add_html(struct buf *b, struct slice s);
/* Percent-encoding of everything but unreserved characters (RFC 3986 section 2.3). */
void buf_add_urlencoded(struct buf *b, struct slice s);

/* Make room for n more bytes and return where they go; NULL (and failed) if there is none.
 * buf_commit(b, m) counts m <= n of them in. */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
/* Drop the first n bytes (n <= b->n), moving the rest down. */
void buf_consume(struct buf *b, size_t n);

static inline bool
buf_ok(const struct buf *b)
{
	return !b->failed;
}
static inline struct slice
buf_slice(const struct buf *b)
{
	return (struct slice){ b->p ? b->p : "", b->n };
}

#endif
