#include "proxyd/http_answer.h"
#include "proxyd/http_chunk.h"

/* The final head; *in moves behind it. */
static enum http_answer
take_head(struct slice *in, const struct http_limits *limits, enum http_method method, struct http_head *h)
{
	for (;;) {
		size_t scanned = 0, head_bytes;
		const char *why;
		enum http_verdict v = http_response_parse(in->p, in->n, &scanned, limits, method, h, &head_bytes, &why);
		if (v != HTTP_OK)
			return v == HTTP_MORE ? HTTP_ANSWER_MORE : HTTP_ANSWER_BAD;
		*in = slice_of(in->p + head_bytes, in->n - head_bytes);
		if (h->status == 101)
			return HTTP_ANSWER_BAD;
		if (h->status >= 200)
			return HTTP_ANSWER_WHOLE;
	}
}

static enum http_answer
take_chunks(struct slice *in, struct buf *body)
{
	struct http_chunk chunk;
	struct slice run;
	const char *why;
	enum http_chunk_event event;

	http_chunk_init(&chunk);
	while ((event = http_chunk_next(&chunk, in, &run, &why)) == CHUNK_DATA)
		buf_add_slice(body, run);
	return event == CHUNK_BAD ? HTTP_ANSWER_BAD : event == CHUNK_END ? HTTP_ANSWER_WHOLE : HTTP_ANSWER_MORE;
}

static enum http_answer
take_body(struct slice *in, bool ended, const struct http_head *h, struct buf *body)
{
	size_t n = in->n;

	switch (h->framing) {
	case FRAMING_NONE:
		return HTTP_ANSWER_WHOLE;
	case FRAMING_LENGTH:
		if (body->max && h->content_length > body->max)
			return HTTP_ANSWER_BAD; /* no need to wait for it */
		if (n < h->content_length)
			return HTTP_ANSWER_MORE;
		n = (size_t)h->content_length;
		break;
	case FRAMING_CHUNKED:
		return take_chunks(in, body);
	case FRAMING_CLOSE:
		if (!ended)
			return HTTP_ANSWER_MORE;
		break;
	}
	buf_add(body, in->p, n);
	*in = slice_of(in->p + n, in->n - n);
	return HTTP_ANSWER_WHOLE;
}

enum http_answer
http_answer_parse(struct slice in, bool ended, const struct http_limits *limits, enum http_method method, struct http_head *h, struct buf *body,
	bool *keep)
{
	enum http_answer a = take_head(&in, limits, method, h);

	if (a == HTTP_ANSWER_WHOLE)
		a = take_body(&in, ended, h, body);
	*keep = a == HTTP_ANSWER_WHOLE && !ended && in.n == 0 && h->keep_alive && h->framing != FRAMING_CLOSE;
	return buf_ok(body) ? a : HTTP_ANSWER_BAD;
}
