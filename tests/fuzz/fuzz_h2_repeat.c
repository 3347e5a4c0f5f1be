/* A head that comes three times: the fields are the same whether its token is left out of what the decoder gets or not, and so is whether it can be decoded at all. */
#include <nghttp2/nghttp2.h>
#include <string.h>
#include "proxyd/h2_guard.h"
#include "proxyd/h2_repeat.h"
#include "shared/buf.h"
#include "tests/fuzz/must.h"

#define BLOCK_BYTES_MAX 20000

/* "name: value\n" each into out; r: NULL, or what has looked at this frame. False: the decoder refuses it. */
static bool
decode(nghttp2_hd_inflater *inflater, struct h2_repeat *r, const char *block, size_t n, struct buf *out)
{
	size_t index = 0;
	int flags = 0;

	while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
		nghttp2_nv nv;
		ssize_t took = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, (const uint8_t *)block, n, 1);
		if (took < 0)
			return false;
		block += took;
		n -= (size_t)took;
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT))
			continue;
		struct slice name = slice_of((const char *)nv.name, nv.namelen), value = slice_of((const char *)nv.value, nv.valuelen);
		if (r)
			MUST(h2_repeat_field(r, index++, name, &value));
		buf_add_slice(out, name);
		buf_add_str(out, ": ");
		buf_add_slice(out, value);
		buf_add_char(out, '\n');
	}
	nghttp2_hd_inflate_end_headers(inflater);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	nghttp2_hd_inflater *plain, *other;
	struct h2_repeat repeat = { .kept = NULL };
	static char frame[H2_FRAME_HEAD_BYTES + BLOCK_BYTES_MAX];
	const size_t skip = n && data[0] & 0x20 ? 5 : 0; /* of a frame with a priority */
	bool goes_on = true;

	if (n < 2 + skip || n > BLOCK_BYTES_MAX || nghttp2_hd_inflate_new(&plain) || nghttp2_hd_inflate_new(&other))
		return 0;
	for (int i = 0; i < 3 && goes_on; i++) {
		struct buf wanted, got;
		size_t block_n = n - 1;
		const unsigned char head[H2_FRAME_HEAD_BYTES] = { (unsigned char)(block_n >> 16), (unsigned char)(block_n >> 8), (unsigned char)block_n, 1, data[0] };
		memcpy(frame, head, sizeof(head));
		memcpy(frame + sizeof(head), data + 1, block_n);
		char *from = h2_repeat_frame(&repeat, frame, sizeof(head) + block_n), *end = frame + sizeof(head) + block_n;
		size_t left = (size_t)(end - from) - sizeof(head);
		MUST(from >= frame && from + sizeof(head) <= end);
		MUST(((size_t)(unsigned char)from[0] << 16 | (size_t)(unsigned char)from[1] << 8 | (unsigned char)from[2]) == left);
		MUST(memcmp(from + 3, head + 3, sizeof(head) - 3) == 0 && memcmp(from + sizeof(head), data + 1, skip) == 0);
		buf_init(&wanted, 0);
		buf_init(&got, 0);
		goes_on = decode(plain, NULL, (const char *)data + 1 + skip, block_n - skip, &wanted);
		MUST(decode(other, &repeat, from + sizeof(head) + skip, left - skip, &got) == goes_on);
		MUST(slice_eq(buf_slice(&wanted), buf_slice(&got)));
		buf_fini(&wanted);
		buf_fini(&got);
	}
	h2_repeat_fini(&repeat);
	nghttp2_hd_inflate_del(plain);
	nghttp2_hd_inflate_del(other);
	return 0;
}
