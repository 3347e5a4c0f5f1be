#include <stdlib.h>
#include <openssl/crypto.h>
#include "proxyd/h2_guard.h"
#include "proxyd/h2_repeat.h"

enum { FRAME_HEADERS = 1, FLAG_END_HEADERS = 0x4, FLAG_PADDED = 0x8, FLAG_PRIORITY = 0x20 }; /* RFC 9113 section 6.2 */
#define PRIORITY_BYTES 5
#define FRAME_BYTES_MAX 16384 /* we announce no other: a longer one is the library's to refuse */
#define AUTHORIZATION 23      /* RFC 7541 appendix A */
#define HUFFMAN 0x80
/* A string of one byte, as it is. No credential looks like it. */
static const char placeholder[] = { 1, '-' };

static void
forget(struct h2_repeat *r)
{
	if (r->kept)
		OPENSSL_cleanse(r->kept, r->coded_n + r->value_n);
	free(r->kept);
	r->kept = NULL;
}

void
h2_repeat_fini(struct h2_repeat *r)
{
	forget(r);
	*r = (struct h2_repeat){ .kept = NULL };
}

/* ---- HPACK, only as far as where things end ---- */

/* RFC 7541 section 5.1, with the low bits of in's first byte. False: it ends early, or is more than any length here. */
static bool
take_integer(struct slice *in, unsigned bits, size_t *out)
{
	size_t v, most = (1u << bits) - 1;

	if (in->n == 0)
		return false;
	v = (unsigned char)*in->p & most;
	*in = slice_of(in->p + 1, in->n - 1);
	for (unsigned shift = 0; v >= most && shift <= 14; shift += 7) {
		if (in->n == 0)
			return false;
		unsigned char c = (unsigned char)*in->p;
		v += (size_t)(c & 0x7f) << shift;
		*in = slice_of(in->p + 1, in->n - 1);
		if (!(c & 0x80)) {
			*out = v;
			return true;
		}
	}
	*out = v;
	return v < most;
}

/* Section 5.2. */
static bool
take_string(struct slice *in, bool *huffman, struct slice *out)
{
	size_t n;

	*huffman = in->n && (unsigned char)*in->p & HUFFMAN;
	if (!take_integer(in, 7, &n) || n > in->n)
		return false;
	*out = slice_of(in->p, n);
	*in = slice_of(in->p + n, in->n - n);
	return true;
}

/* The value of the first "authorization" that changes no table and is coded at length (sections 6.2.2 and 6.2.3): *string is all of its string, *coded the bytes behind the length,
 * *index how many fields stand before it. */
static bool
find_token(struct slice in, struct slice *string, struct slice *coded, size_t *index)
{
	bool huffman;
	size_t n;

	for (*index = 0; in.n;) {
		unsigned char c = (unsigned char)*in.p;
		if ((c & 0xe0) == 0x20) { /* section 6.3 */
			if (!take_integer(&in, 5, &n))
				return false;
			continue;
		}
		if (!take_integer(&in, c & 0x80 ? 7 : c & 0x40 ? 6 : 4, &n))
			return false;
		if (!(c & 0x80)) {
			if (n == 0 && !take_string(&in, &huffman, coded))
				return false;
			const char *at = in.p;
			if (!take_string(&in, &huffman, coded))
				return false;
			*string = slice_of(at, (size_t)(in.p - at));
			if (n == AUTHORIZATION && !(c & 0x40) && huffman && coded->n >= H2_REPEAT_BYTES_MIN && coded->n <= H2_REPEAT_BYTES_MAX)
				return true;
		}
		++*index;
	}
	return false;
}

/* The block of a frame that is a whole head without padding. */
static bool
whole_head(const char *frame, size_t n, struct slice *block)
{
	const unsigned char *p = (const unsigned char *)frame;
	size_t skip = H2_FRAME_HEAD_BYTES;

	if (n < H2_FRAME_HEAD_BYTES || n > H2_FRAME_HEAD_BYTES + FRAME_BYTES_MAX || p[3] != FRAME_HEADERS ||
		(p[4] & (FLAG_END_HEADERS | FLAG_PADDED)) != FLAG_END_HEADERS ||
		n - H2_FRAME_HEAD_BYTES != ((size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2]))
		return false;
	skip += p[4] & FLAG_PRIORITY ? PRIORITY_BYTES : 0;
	if (n < skip)
		return false;
	*block = slice_of(frame + skip, n - skip);
	return true;
}

char *
h2_repeat_frame(struct h2_repeat *r, char *frame, size_t n)
{
	struct slice block, string, coded;

	r->now = H2_REPEAT_NOTHING;
	if (!whole_head(frame, n, &block) || !find_token(block, &string, &coded, &r->index))
		return frame;
	if (!r->kept || !slice_eq(coded, slice_of(r->kept, r->coded_n))) {
		r->now = H2_REPEAT_NEW;
		r->coded = coded;
		return frame;
	}
	/* What stands before it moves up to its end. */
	size_t before = (size_t)(string.p - frame), less = string.n - sizeof(placeholder), length = n - H2_FRAME_HEAD_BYTES - less;
	char *from = frame + less;
	memmove(from, frame, before);
	memcpy(from + before, placeholder, sizeof(placeholder));
	from[0] = (char)(length >> 16);
	from[1] = (char)(length >> 8);
	from[2] = (char)length;
	r->now = H2_REPEAT_LEFT_OUT;
	return from;
}

static void
keep(struct h2_repeat *r, struct slice value)
{
	forget(r);
	if (!(r->kept = malloc(r->coded.n + value.n)))
		return; /* the next one is decoded as well */
	memcpy(r->kept, r->coded.p, r->coded.n);
	memcpy(r->kept + r->coded.n, value.p, value.n);
	r->coded_n = r->coded.n;
	r->value_n = value.n;
}

bool
h2_repeat_field(struct h2_repeat *r, size_t index, struct slice name, struct slice *value)
{
	if (r->now == H2_REPEAT_NOTHING || index != r->index)
		return true;
	if (!slice_eq_str(name, "authorization"))
		return false;
	if (r->now == H2_REPEAT_NEW)
		keep(r, *value);
	else if (slice_eq(*value, slice_of(placeholder + 1, 1)))
		*value = slice_of(r->kept + r->coded_n, r->value_n);
	else
		return false;
	return true;
}
