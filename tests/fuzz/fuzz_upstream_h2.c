/* Bytes from an upstream that was asked for three watches over HTTP/2, in pieces: whatever they are, what a reader gets is heads of HTTP/1.1 as the strict parser wants them, or is refused by it,
 * then a body that fits the window; and when the bytes are over every stream has ended or can be given up. First byte: the size of the pieces; second: which streams are read. */
#include "proxyd/gateway.h"
#include "proxyd/upstream_h2.h"
#include "tests/fuzz/must.h"

#define STREAMS 3
static const char ask[] = "GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: cluster\r\nContent-Length: 0\r\nAccept: */*\r\nImpersonate-User: alice\r\n\r\n";

struct reader {
	struct upstream_stream s;
	struct buf got; /* until the final head is whole */
	size_t scanned;
	bool headed, over;
};

static void
look_at_heads(struct reader *r)
{
	static const struct http_limits limits = { GATEWAY_ANSWER_HEAD_BYTES_MAX, 8192 };
	static struct http_head head;
	size_t head_bytes;
	const char *why;
	enum http_verdict v;

	while ((v = http_response_parse(r->got.p ? r->got.p : "", r->got.n, &r->scanned, &limits, METHOD_GET, &head, &head_bytes, &why)) == HTTP_OK) {
		MUST(head.framing != FRAMING_CHUNKED && head.upgrade == UPGRADE_NONE && head.minor == 1 && head.connection < 0);
		MUST(!http_head_find(&head, FIELD_TRANSFER_ENCODING) && !http_head_find(&head, FIELD_UPGRADE));
		buf_consume(&r->got, head_bytes);
		if ((r->headed = head.status >= 200))
			return;
	}
	r->over = v != HTTP_MORE; /* an exchange would end here */
}

static void
read_some(struct reader *r)
{
	char p[4096];
	size_t got;
	enum io io;

	while (!r->over && upstream_h2_may_read(&r->s)) {
		io = upstream_h2_read(&r->s, p, sizeof(p), &got);
		MUST((io == IO_OK) == (got > 0));
		if (io != IO_OK) {
			MUST(io == IO_EOF || io == IO_FAILED);
			MUST(io == IO_EOF ? r->s.ended && !r->s.why : r->s.why != NULL);
			r->over = true;
		} else if (!r->headed) {
			buf_add(&r->got, p, got);
			MUST(buf_ok(&r->got));
			look_at_heads(r);
		}
	}
}

static void
drain(struct upstream_h2 *h)
{
	struct buf out;

	buf_init(&out, 0);
	do
		buf_reset(&out);
	while (upstream_h2_output(h, &out, 16384) && out.n);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct reader r[STREAMS];
	const char *why = NULL;

	if (n < 2)
		return 0;
	struct upstream_h2 *h = upstream_h2_new();
	MUST(h);
	memset(r, 0, sizeof(r));
	for (size_t i = 0; i < STREAMS; i++) {
		buf_init(&r[i].got, 0);
		MUST(upstream_h2_ask(h, &r[i].s, slice_of(ask, sizeof(ask) - 1)));
	}
	drain(h);
	size_t piece = data[0] ? data[0] * 4u : 65536;
	for (size_t at = 2, some; at < n && !why; at += some) {
		some = n - at < piece ? n - at : piece;
		why = upstream_h2_receive(h, (const char *)data + at, some, at);
		drain(h);
		struct upstream_stream *s;
		while ((s = upstream_h2_take_due(h)) != NULL) {
			struct reader *reader = (struct reader *)s;
			MUST(s->body.n - s->body_at <= UPSTREAM_H2_STREAM_WINDOW);
			MUST(s->head_at <= s->head_whole && s->head_whole <= s->head.n);
			if (data[1] >> (reader - r) & 1)
				read_some(reader);
			else if (data[1] >> (reader - r + 4) & 1 && s->answered)
				upstream_h2_drop(s);
		}
	}
	upstream_h2_fail(h, why ? why : "the bytes are over");
	for (size_t i = 0; i < STREAMS; i++) {
		if (r[i].s.h2) {
			read_some(&r[i]);
			MUST(r[i].over);
			upstream_h2_drop(&r[i].s);
		}
		buf_fini(&r[i].got);
	}
	upstream_h2_free(h);
	return 0;
}
