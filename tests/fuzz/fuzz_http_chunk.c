/* A chunked body: however it is cut, it ends alike with the same data; written anew it decodes to that data. */
#include <stdio.h>
#include <stdlib.h>
#include "proxyd/http_chunk.h"
#include "shared/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct outcome {
	enum http_chunk_event event;
	struct buf data;
	size_t taken;
};

static void
stop(const char *why)
{
	fprintf(stderr, "%s\n", why);
	abort();
}

/* step: bytes fed at a time. */
static void
decode(struct slice text, size_t step, struct outcome *out)
{
	struct http_chunk c;
	const char *why = NULL;

	http_chunk_init(&c);
	buf_init(&out->data, 0);
	out->event = CHUNK_MORE;
	for (out->taken = 0; out->event == CHUNK_MORE && out->taken < text.n;) {
		size_t left = text.n - out->taken, fed = step < left ? step : left;
		struct slice in = slice_of(text.p + out->taken, fed), run;
		while ((out->event = http_chunk_next(&c, &in, &run, &why)) == CHUNK_DATA) {
			if (run.n == 0)
				stop("an empty run");
			buf_add_slice(&out->data, run);
		}
		out->taken += fed - in.n;
		if (out->event == CHUNK_BAD && !why)
			stop("refused without a reason");
	}
}

/* As the proxy sends it on: one chunk per run of up to 7 bytes. */
static void
encode(struct slice data, struct buf *out)
{
	char head[CHUNK_HEAD_BYTES_MAX];

	while (data.n) {
		size_t n = data.n < 7 ? data.n : 7;
		buf_add(out, head, http_chunk_head(n, head));
		buf_add(out, data.p, n);
		buf_add_str(out, "\r\n");
		data = slice_of(data.p + n, data.n - n);
	}
	buf_add_str(out, "0\r\n\r\n");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct outcome whole, pieces, again;
	struct buf written;

	if (n < 1)
		return 0;
	struct slice text = { (const char *)data + 1, n - 1 };
	decode(text, SIZE_MAX, &whole);
	decode(text, 1 + data[0] % 16, &pieces);
	if (whole.event != pieces.event || !slice_eq(buf_slice(&whole.data), buf_slice(&pieces.data)))
		stop("in pieces it is judged differently");
	if (whole.event == CHUNK_END && whole.taken != pieces.taken)
		stop("in pieces it ends elsewhere");

	buf_init(&written, 0);
	encode(buf_slice(&whole.data), &written);
	decode(buf_slice(&written), SIZE_MAX, &again);
	if (again.event != CHUNK_END || again.taken != written.n || !slice_eq(buf_slice(&whole.data), buf_slice(&again.data)))
		stop("written anew it is another body");
	buf_fini(&whole.data);
	buf_fini(&pieces.data);
	buf_fini(&again.data);
	buf_fini(&written);
	return 0;
}
