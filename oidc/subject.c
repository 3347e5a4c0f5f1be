#include "oidc/subject.h"

#include "oidc/base64url.h"
#include "shared/arena.h"

#define SUBJECT_BYTES_MAX 4096

/* One person has one spelling: fields in order, each once, lengths as short as they can be. */

/* One protobuf field of wire type 2: key, length as a varint, bytes. proto3 leaves out what is empty. */
static void
field_add(struct buf *b, unsigned number, struct slice value)
{
	if (value.n == 0)
		return;
	buf_add_char(b, (char)(number << 3 | 2));
	size_t n = value.n;
	for (; n >= 0x80; n >>= 7)
		buf_add_char(b, (char)(n | 0x80));
	buf_add_char(b, (char)n);
	buf_add_slice(b, value);
}

void
subject_add(struct buf *out, struct slice user_id, struct slice connector_id)
{
	struct buf b;

	buf_init(&b, SUBJECT_BYTES_MAX);
	field_add(&b, 1, user_id);
	field_add(&b, 2, connector_id);
	if (buf_ok(&b))
		base64url_add(out, b.p, b.n);
	else
		out->failed = true;
	buf_fini(&b);
}

static enum err
field_parse(struct slice *in, unsigned *number, struct slice *value)
{
	size_t n = 0;
	unsigned shift = 0;

	if ((in->p[0] & 7) != 2 || (unsigned char)in->p[0] > 0x7f)
		return E_FORMAT;
	*number = (unsigned char)in->p[0] >> 3;
	*in = slice_of(in->p + 1, in->n - 1);
	for (;;) {
		if (in->n == 0 || shift > 21)
			return E_FORMAT;
		unsigned char c = (unsigned char)in->p[0];
		*in = slice_of(in->p + 1, in->n - 1);
		n |= (size_t)(c & 0x7f) << shift;
		shift += 7;
		if (c >= 0x80)
			continue;
		/* A last group of zero would be a longer spelling of the same length. */
		if (c == 0 && shift > 7)
			return E_FORMAT;
		break;
	}
	if (n == 0 || n > in->n)
		return E_FORMAT;
	*value = slice_of(in->p, n);
	*in = slice_of(in->p + n, in->n - n);
	return OK;
}

enum err
subject_parse(struct slice sub, struct arena *arena, struct slice *user_id, struct slice *connector_id)
{
	size_t n = 0;
	char *bytes = sub.n <= SUBJECT_BYTES_MAX * 2 ? arena_alloc(arena, sub.n + 1) : NULL;

	*user_id = *connector_id = SLICE_NONE;
	if (!bytes)
		return sub.n > SUBJECT_BYTES_MAX * 2 ? E_FORMAT : E_NOMEM;
	enum err err = base64url_decode(sub, bytes, sub.n, &n);
	for (struct slice in = slice_of(bytes, n); err == OK && in.n > 0;) {
		unsigned number = 0;
		struct slice value = SLICE_NONE;
		err = field_parse(&in, &number, &value);
		if (err != OK)
			break;
		if (number == 1 && !user_id->p && slice_is_utf8(value))
			*user_id = value;
		else if (number == 2 && user_id->p && !connector_id->p && slice_is_utf8(value))
			*connector_id = value;
		else
			err = E_FORMAT;
	}
	return err == OK && connector_id->p ? OK : E_FORMAT;
}
