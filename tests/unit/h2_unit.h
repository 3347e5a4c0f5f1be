/* h2_unit.h - a client of HTTP/2 that writes whatever frames a test wants, and reads one at a time. Only HPACK's decoder is the library's. */
#ifndef TESTS_H2_UNIT_H
#define TESTS_H2_UNIT_H

#include <nghttp2/nghttp2.h>
#include "tests/unit/exchange_unit.h"

#define H2_UNIT_WINDOW 0x7fff0000u
#define H2_GET "/api"
enum { FRAME_DATA, FRAME_HEADERS, FRAME_PRIORITY, FRAME_RST_STREAM, FRAME_SETTINGS, FRAME_PUSH_PROMISE, FRAME_PING, FRAME_GOAWAY, FRAME_WINDOW_UPDATE,
	FRAME_CONTINUATION };
enum { FLAG_END_STREAM = 1, FLAG_ACK = 1, FLAG_END_HEADERS = 4, FLAG_PADDED = 8 };
#define FLAGS_WHOLE (FLAG_END_STREAM | FLAG_END_HEADERS)

struct h2_client {
	struct end end;
	nghttp2_hd_inflater *inflater;
};

struct h2_frame {
	unsigned type, flags;
	uint32_t id;
	size_t n;
	unsigned char payload[16384];
	char fields[8192]; /* of HEADERS: "name: value\n" each */
};

static inline void
put_u32(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)(v >> 24);
	p[1] = (unsigned char)(v >> 16);
	p[2] = (unsigned char)(v >> 8);
	p[3] = (unsigned char)v;
}
static inline uint32_t
get_u32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* One behind the other in out, so that they leave in one write where that matters. */
static inline void
add_frame(struct buf *out, unsigned type, unsigned flags, uint32_t id, const void *payload, size_t n)
{
	unsigned char head[9] = { (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n, (unsigned char)type, (unsigned char)flags };

	put_u32(head + 5, id);
	buf_add(out, head, sizeof(head));
	buf_add(out, payload, n);
}

static inline void
h2_say(struct h2_client *c, unsigned type, unsigned flags, uint32_t id, const void *payload, size_t n)
{
	struct buf out;

	buf_init(&out, 0);
	add_frame(&out, type, flags, id, payload, n);
	end_write(&c->end, out.p, out.n);
	buf_fini(&out);
}
static inline void
h2_say_u32(struct h2_client *c, unsigned type, uint32_t id, uint32_t v)
{
	unsigned char payload[4];

	put_u32(payload, v);
	h2_say(c, type, 0, id, payload, sizeof(payload));
}

/* HPACK (RFC 7541 section 6.2.2): literal, not indexed, not Huffman-coded. */
static inline void
add_length(struct buf *out, size_t n)
{
	if (n < 127) {
		buf_add_char(out, (char)n);
		return;
	}
	buf_add_char(out, 127);
	for (n -= 127; n >= 128; n /= 128)
		buf_add_char(out, (char)(n % 128 | 128));
	buf_add_char(out, (char)n);
}
static inline void
add_field(struct buf *out, struct slice name, struct slice value)
{
	buf_add_char(out, 0);
	add_length(out, name.n);
	buf_add_slice(out, name);
	add_length(out, value.n);
	buf_add_slice(out, value);
}
/* "name: value\n" each. A name may begin with a colon. */
static inline void
add_fields(struct buf *out, const char *fields)
{
	struct slice rest = slice_str(fields);

	while (rest.n) {
		struct slice value = slice_cut(&rest, '\n');
		const char *colon = memchr(value.p + 1, ':', value.n - 1);
		struct slice name = slice_of(value.p, (size_t)(colon - value.p));
		add_field(out, name, slice_of(colon + 2, value.n - name.n - 2));
	}
}

static inline void
add_headers(struct buf *out, uint32_t id, unsigned flags, const char *fields)
{
	struct buf block;

	buf_init(&block, 0);
	add_fields(&block, fields);
	add_frame(out, FRAME_HEADERS, flags, id, block.p, block.n);
	buf_fini(&block);
}
static inline void
h2_say_headers(struct h2_client *c, uint32_t id, unsigned flags, const char *fields)
{
	struct buf out;

	buf_init(&out, 0);
	add_headers(&out, id, flags, fields);
	end_write(&c->end, out.p, out.n);
	buf_fini(&out);
}

#define H2_TARGET(method, path) ":method: " method "\n:scheme: https\n:path: " path "\n:authority: gate.test\n"
#define H2_ALICE "authorization: Bearer alice\n"
static inline void
h2_get(struct h2_client *c, uint32_t id)
{
	h2_say_headers(c, id, FLAGS_WHOLE, H2_TARGET("GET", H2_GET) H2_ALICE);
}

/* False: the connection has ended. */
static inline bool
h2_hear_bytes(struct h2_client *c, void *to, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t r = end_read(&c->end, (char *)to + at, n - at);
		if (r <= 0)
			return false;
		at += (size_t)r;
	}
	return true;
}

static inline void
decode_fields(struct h2_client *c, struct h2_frame *f)
{
	uint8_t *p = f->payload;
	size_t left = f->n, at = 0;
	int flags = 0;

	assert_true(f->flags & FLAG_END_HEADERS);
	while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
		nghttp2_nv nv;
		ssize_t n = nghttp2_hd_inflate_hd2(c->inflater, &nv, &flags, p, left, 1);
		assert_true(n >= 0);
		p += n;
		left -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			at += (size_t)snprintf(f->fields + at, sizeof(f->fields) - at, "%.*s: %.*s\n", (int)nv.namelen, (const char *)nv.name,
				(int)nv.valuelen, (const char *)nv.value);
		assert_true(at < sizeof(f->fields));
	}
	nghttp2_hd_inflate_end_headers(c->inflater);
}

/* The next frame, whatever it is. False: the connection has ended. */
static inline bool
h2_hear_any(struct h2_client *c, struct h2_frame *f)
{
	unsigned char head[9];

	if (!h2_hear_bytes(c, head, sizeof(head)))
		return false;
	f->n = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
	f->type = head[3];
	f->flags = head[4];
	f->id = get_u32(head + 5) & 0x7fffffff;
	assert_true(f->n <= sizeof(f->payload));
	if (!h2_hear_bytes(c, f->payload, f->n))
		return false;
	f->fields[0] = '\0';
	if (f->type == FRAME_HEADERS)
		decode_fields(c, f);
	return true;
}

/* The next frame of this type and stream; in between only SETTINGS, WINDOW_UPDATE and answers to PINGs may come. */
static inline void
h2_hear(struct h2_client *c, unsigned type, uint32_t id, struct h2_frame *f)
{
	while (h2_hear_any(c, f)) {
		if (f->type == type && f->id == id)
			return;
		if (f->type != FRAME_SETTINGS && f->type != FRAME_WINDOW_UPDATE && !(f->type == FRAME_PING && f->flags & FLAG_ACK))
			fail_msg("frame of type %u for stream %u, code %u, while waiting for type %u for stream %u", f->type, f->id,
				f->n >= 4 ? get_u32(f->payload + (f->type == FRAME_GOAWAY ? 4 : 0)) : 0, type, id);
	}
	fail_msg("the connection ended while waiting for a frame of type %u for stream %u", type, id);
}

static inline void
h2_hear_reset(struct h2_client *c, uint32_t id, uint32_t code)
{
	struct h2_frame f;

	h2_hear(c, FRAME_RST_STREAM, id, &f);
	assert_int_equal(get_u32(f.payload), code);
}

/* GOAWAY with this code and an orderly end behind it; before it anything may come. */
static inline void
h2_hear_goaway(struct h2_client *c, uint32_t code)
{
	struct h2_frame f = { 0 };
	uint32_t got = 0xffffffff;

	while (h2_hear_any(c, &f))
		if (f.type == FRAME_GOAWAY)
			got = get_u32(f.payload + 4);
	assert_int_equal(got, code);
}

/* HEADERS and body of a whole answer with END_STREAM somewhere. */
static inline void
h2_hear_answer(struct h2_client *c, uint32_t id, const char *status, const char *body)
{
	struct h2_frame f;
	char got[4096], line[32];
	size_t n = 0;

	h2_hear(c, FRAME_HEADERS, id, &f);
	snprintf(line, sizeof(line), ":status: %s\n", status);
	assert_memory_equal(f.fields, line, strlen(line));
	while (!(f.flags & FLAG_END_STREAM)) {
		h2_hear(c, FRAME_DATA, id, &f);
		assert_true(n + f.n < sizeof(got));
		memcpy(got + n, f.payload, f.n);
		n += f.n;
	}
	got[n] = '\0';
	if (body)
		assert_string_equal(got, body);
}

/* Through the handshake; size: of each stream's window for answers. The connection's is large. */
static inline struct h2_client
h2_client_with(struct rig *r, uint32_t size)
{
	struct h2_client c;
	struct h2_frame f;
	unsigned char setting[6] = { 0, 4 };

	SSL_CTX_set_alpn_protos(r->client_tls, (const unsigned char *)"\x02h2", 3);
	c.end = rig_client(r);
	assert_int_equal(nghttp2_hd_inflate_new(&c.inflater), 0);
	end_say(&c.end, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	put_u32(setting + 2, size);
	h2_say(&c, FRAME_SETTINGS, 0, 0, setting, sizeof(setting));
	h2_say_u32(&c, FRAME_WINDOW_UPDATE, 0, H2_UNIT_WINDOW - 65535);
	for (bool acknowledged = false, window_known = false; !acknowledged || !window_known;) {
		assert_true(h2_hear_any(&c, &f));
		acknowledged |= f.type == FRAME_SETTINGS && f.flags & FLAG_ACK;
		window_known |= f.type == FRAME_WINDOW_UPDATE && f.id == 0;
	}
	h2_say(&c, FRAME_SETTINGS, FLAG_ACK, 0, NULL, 0);
	return c;
}
static inline struct h2_client
h2_client(struct rig *r)
{
	return h2_client_with(r, H2_UNIT_WINDOW);
}
static inline void
h2_close(struct h2_client *c)
{
	end_close(&c->end);
	nghttp2_hd_inflate_del(c->inflater);
}

/* ---- the bed of a test ---- */

static inline void
hurry(struct proxyd_config *c)
{
	c->limits.header_timeout_ms = 5000;
	c->limits.idle_timeout_ms = 60000;
	c->limits.body_timeout_ms = 60000;
}
static inline int
h2_setup(void **state)
{
	(void)state;
	rig_start(&rig, hurry);
	return 0;
}

/* A GET that has arrived upstream. */
static inline struct end
get_upstream(struct h2_client *c, uint32_t id)
{
	char head[4096];

	h2_get(c, id);
	struct end cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	return cluster;
}

#endif
