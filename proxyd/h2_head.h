/* h2_head.h - heads of HTTP/2: a request's fields become the struct http_head that every rule works on, an answer's head becomes fields.
 *
 * Pure, and independent of the library that encodes: names and values are checked here again, whatever it has let through.
 * Owns: a block per connection while fields arrive; a request's text (malloc) until its exchange lets the head go.   Spec: RFC 9113 section 8 */
#ifndef PROXYD_H2_HEAD_H
#define PROXYD_H2_HEAD_H

#include "proxyd/block.h"
#include "proxyd/forward.h"

/* ---- a request ---- */

/* Fields as they come, until all are there. Zeroed: none. */
struct h2_fields {
	struct block *block; /* NULL: none */
	size_t n, size;      /* size: as RFC 9113 section 6.5.2 counts */
	const char *too_much; /* static: why they are not kept any more; NULL: all are */
};
#define H2_FIELD_OVERHEAD 32 /* RFC 9113 section 6.5.2 */

/* One more. Past size_max bytes or HTTP_HEADERS_MAX headers nothing is kept any more. E_NOMEM. */
MUST_CHECK enum err h2_fields_add(struct h2_fields *f, struct block_pool *pool, size_t size_max, struct slice name, struct slice value);
void h2_fields_drop(struct h2_fields *f, struct block_pool *pool);

struct h2_refusal {
	unsigned code;   /* of an answer; 0: malformed (RFC 9113 section 8.1.1), a stream error */
	const char *why; /* static */
};
/* ended: END_STREAM came with the fields. *text: the bytes that out's slices point to, from malloc; NULL unless OK. E_FORMAT: *refusal says why; E_NOMEM. */
MUST_CHECK enum err h2_head_request(const struct h2_fields *f, bool ended, const struct http_limits *limits, struct http_head *out, char **text,
	struct h2_refusal *refusal);

/* ---- an answer ---- */

struct h2_field {
	struct slice name, value; /* the name in any case: the encoder folds it */
	bool once;                /* differs every time: not worth a place in the peer's table */
};
#define H2_ANSWER_FIELDS_MAX (HTTP_HEADERS_MAX + 5) /* :status, content-length, strict-transport-security, content-security-policy, x-request-id */
struct h2_answer {
	struct h2_field fields[H2_ANSWER_FIELDS_MAX];
	size_t n;
	char status[3], length[20]; /* 2^64 - 1 has 20 digits */
};
/* h and c outlive *out. What forward_response says of c holds here, too; framing and close have no fields in HTTP/2. */
void h2_head_answer(const struct http_head *h, const struct response_context *c, struct h2_answer *out);

#endif
