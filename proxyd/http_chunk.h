/* http_chunk.h - chunked coding (RFC 9112 section 7.1): a strict decoder that yields runs in place, and the framing to send it again. */
#ifndef PROXYD_HTTP_CHUNK_H
#define PROXYD_HTTP_CHUNK_H

#include "shared/err.h"
#include "shared/slice.h"

#define CHUNK_EXTENSION_BYTES_MAX 256      /* of one chunk; dropped */
#define CHUNK_EXTENSION_TOTAL_MAX 16384    /* of one message */
#define CHUNK_TRAILER_BYTES_MAX 8192       /* dropped; a forbidden name refuses the message */
#define CHUNK_TRAILER_NAME_BYTES_MAX 128  /* kept by each answer that goes on; no name in use has half of them */

struct http_chunk {
	int state;
	uint64_t left; /* of the current chunk's data */
	size_t extension_bytes, extension_total, trailer_bytes, digits;
	char line[CHUNK_TRAILER_NAME_BYTES_MAX]; /* trailer name being read */
	size_t line_n;
};
enum http_chunk_event { CHUNK_DATA, CHUNK_MORE, CHUNK_END, CHUNK_BAD };

void http_chunk_init(struct http_chunk *c);
/* Takes bytes from the front of *in. CHUNK_DATA: *data is the next run (non-empty, points into in). CHUNK_MORE: all taken.
 * CHUNK_END: the message is complete, *in is what follows it. CHUNK_BAD: refuse and close; *why is static. */
enum http_chunk_event http_chunk_next(struct http_chunk *c, struct slice *in, struct slice *data, const char **why);

/* "1a2b\r\n" in front of a run of n bytes; returns its length (at most CHUNK_HEAD_BYTES_MAX). "\r\n" follows the run; "0\r\n\r\n" ends. */
#define CHUNK_HEAD_BYTES_MAX 18
size_t http_chunk_head(size_t n, char out[CHUNK_HEAD_BYTES_MAX]);

#endif
