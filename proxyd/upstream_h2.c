#include <assert.h>
#include <stdlib.h>
#include <nghttp2/nghttp2.h>
#include "proxyd/gateway.h"
#include "proxyd/http_bytes.h"
#include "proxyd/upstream_h2.h"

/* Settings and PINGs of the upstream that we have not answered because it does not read. */
#define ACKS_MAX 200
/* Heads that nobody has taken yet: interim ones, and one that the parser refuses for its length, by at most a field (64 KiB, the library's limit for a value) */
#define HEADS_BYTES_MAX (4 * GATEWAY_ANSWER_HEAD_BYTES_MAX)

struct upstream_h2 {
	nghttp2_session *session;
	struct upstream_stream *streams;
	struct upstream_stream *due, *due_last;
	struct h2_guard guard;
	uint64_t frames;
	bool settled, goes_away;
	const char *fault;       /* static: what it did that ends the connection */
};

/* ---- streams and who is to look at them ---- */

static void
make_due(struct upstream_stream *s)
{
	struct upstream_h2 *h = s->h2;

	if (s->due)
		return;
	s->due = true;
	s->due_next = NULL;
	s->due_prev = h->due_last;
	*(h->due_last ? &h->due_last->due_next : &h->due) = s;
	h->due_last = s;
}

static void
due_unlink(struct upstream_stream *s)
{
	struct upstream_h2 *h = s->h2;

	*(s->due_prev ? &s->due_prev->due_next : &h->due) = s->due_next;
	*(s->due_next ? &s->due_next->due_prev : &h->due_last) = s->due_prev;
	s->due = false;
}

struct upstream_stream *
upstream_h2_take_due(struct upstream_h2 *h)
{
	struct upstream_stream *s = h->due;

	if (s)
		due_unlink(s);
	return s;
}

bool
upstream_h2_has_due(const struct upstream_h2 *h)
{
	return h->due;
}

/* No more comes for it. What has come whole may still be read. */
static void
stream_fail(struct upstream_stream *s, const char *why)
{
	if (s->ended || s->why)
		return;
	s->why = why;
	s->head.n = s->head_whole;
	make_due(s);
}

static int
reset(struct upstream_h2 *h, int32_t id, uint32_t code)
{
	return nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, code) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* What came is no answer; no more of it is looked at. */
static int
stream_bad(struct upstream_stream *s, const char *why)
{
	if (!s->ended && !s->bad)
		s->bad = why;
	stream_fail(s, why);
	return reset(s->h2, s->id, NGHTTP2_PROTOCOL_ERROR);
}

static struct upstream_stream *
stream_of(nghttp2_session *session, int32_t id)
{
	return id ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

/* ---- what comes ---- */

/* RFC 9113 section 8.2: what HTTP/1.1 would read as something else, or has another place for. */
static const char *
check_field(struct slice name, struct slice value)
{
	static const uint64_t connection_specific = HTTP_FIELD_BIT(FIELD_CONNECTION) | HTTP_FIELD_BIT(FIELD_KEEP_ALIVE) |
		HTTP_FIELD_BIT(FIELD_PROXY_CONNECTION) | HTTP_FIELD_BIT(FIELD_TRANSFER_ENCODING) | HTTP_FIELD_BIT(FIELD_UPGRADE);

	if (!http_is_token(name))
		return "byte that is not allowed in a header's name";
	if (value.n && (http_value_end(value.p, value.p + value.n) != value.p + value.n || slice_trim(value).n != value.n))
		return "byte that is not allowed in a header's value";
	return connection_specific >> http_field_of(name) & 1 ? "connection-specific header in HTTP/2" : NULL;
}

/* As the text that HTTP/1.1's parser judges. Past what it takes nothing is added: it says so itself. */
static const char *
add_to_head(struct upstream_stream *s, struct slice name, struct slice value)
{
	struct buf *b = &s->head;

	if (slice_eq_str(name, ":status")) {
		uint64_t status;
		if (b->n != s->head_whole || value.n != 3 || !slice_to_u64(value, 999, &status))
			return "malformed :status";
		s->interim = status < 200;
		buf_add_str(b, "HTTP/1.1 ");
		buf_add_slice(b, value);
		buf_add_str(b, " \r\n");
		return NULL;
	}
	const char *why = check_field(name, value);
	if (why || b->n == s->head_whole)
		return why ? why : "a head without :status";
	if (b->n - s->head_whole > GATEWAY_ANSWER_HEAD_BYTES_MAX)
		return NULL;
	buf_add_slice(b, name);
	buf_add_str(b, ": ");
	buf_add_slice(b, value);
	buf_add_str(b, "\r\n");
	return buf_ok(b) ? NULL : "heads longer than is taken";
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
	struct upstream_stream *s = stream_of(session, frame->hd.stream_id);
	const struct slice n = { (const char *)name, name_n }, v = { (const char *)value, value_n };
	const char *why;

	(void)flags, (void)user;
	if (!s || s->why)
		return 0;
	if (!s->answered)
		why = add_to_head(s, n, v);
	else /* Trailers are dropped; one that would change what has been decided already (RFC 9110 section 6.5.1) is a mistake or worse. */
		why = http_field_is_critical(http_field_folded(n)) ? "trailer that changes the message" : NULL;
	if (!why)
		return 0;
	return stream_bad(s, why) ? NGHTTP2_ERR_CALLBACK_FAILURE : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* The library would leave such a header out and go on (RFC 9113 section 8.2.1: malformed). */
static int
on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
	struct upstream_stream *s = stream_of(session, frame->hd.stream_id);

	(void)name, (void)name_n, (void)value, (void)value_n, (void)flags, (void)user;
	if (s && stream_bad(s, "malformed header"))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int
on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
	struct upstream_stream *s = stream_of(session, frame->hd.stream_id);
	struct upstream_h2 *h = user;

	if (s && !s->bad && !s->ended)
		s->bad = nghttp2_strerror(error);
	else if (!h->fault)
		h->fault = nghttp2_strerror(error);
	return 0;
}

/* A head is whole. */
static int
take_head(struct upstream_stream *s)
{
	if (s->interim && ++s->interim_n > UPSTREAM_H2_INTERIM_MAX)
		return stream_bad(s, "too many interim answers");
	buf_add_str(&s->head, "\r\n");
	if (!buf_ok(&s->head))
		return stream_bad(s, "heads longer than is taken");
	s->head_whole = s->head.n;
	s->answered = !s->interim;
	make_due(s);
	return 0;
}

/* Streams that are over the new limit but have not left yet would wait for others to end: watches may never. */
static void
give_up_unsent(struct upstream_h2 *h)
{
	for (struct upstream_stream *s = h->streams; s; s = s->next) {
		if (s->sent || s->why)
			continue;
		s->refused = true;
		stream_fail(s, "the upstream allows fewer streams");
	}
}

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct upstream_h2 *h = user;
	struct upstream_stream *s = stream_of(session, frame->hd.stream_id);
	int r = 0;

	h->frames++;
	switch (frame->hd.type) {
	case NGHTTP2_SETTINGS:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
			if (h->settled)
				give_up_unsent(h);
			h->settled = true;
		}
		return 0;
	case NGHTTP2_GOAWAY:
		h->goes_away = true;
		return 0;
	case NGHTTP2_HEADERS:
		if (s && !s->why && !s->answered)
			r = take_head(s);
		break;
	case NGHTTP2_DATA:
		break;
	default:
		return 0;
	}
	if (s && !s->why && frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
		s->ended = true;
		make_due(s);
	}
	return r;
}

static bool
keep_body(struct upstream_stream *s, const uint8_t *p, size_t n)
{
	/* Moving what is left costs no more than what was taken since. */
	if (s->body_at && s->body_at >= s->body.n / 2) {
		buf_consume(&s->body, s->body_at);
		s->body_at = 0;
	}
	buf_add(&s->body, p, n);
	return buf_ok(&s->body);
}

static int
on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t n, void *user)
{
	struct upstream_stream *s = stream_of(session, id);
	struct upstream_h2 *h = user;
	int r = nghttp2_session_consume_connection(session, n);

	(void)flags;
	h->frames++;
	if (r || !s || s->why)
		return r;
	if (!keep_body(s, data, n))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	make_due(s);
	return 0;
}

/* RFC 9113 section 7, in its order. */
static const char *
reset_text(uint32_t code)
{
	static const char *const texts[] = { "stream reset", "stream reset: protocol error", "stream reset: internal error", "stream reset: flow control error",
		"stream reset: settings timeout", "stream reset: stream closed", "stream reset: frame size error", "stream refused", "stream cancelled",
		"stream reset: compression error", "stream reset: connect error", "stream reset: enhance your calm", "stream reset: inadequate security",
		"stream reset: HTTP/1.1 required" };

	return code < sizeof(texts) / sizeof(texts[0]) ? texts[code] : texts[0];
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	struct upstream_stream *s = stream_of(session, id);

	(void)user;
	if (!s)
		return 0;
	s->closed = true;
	/* RFC 9113 section 8.7: not looked at; the library says so also of those that a GOAWAY leaves out. */
	s->refused |= code == NGHTTP2_REFUSED_STREAM && !s->answered && !s->head_whole;
	stream_fail(s, s->bad ? s->bad : reset_text(code));
	return 0;
}

/* ---- what goes ---- */

static int
on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct upstream_stream *s = stream_of(session, frame->hd.stream_id);

	(void)user;
	if (s && frame->hd.type == NGHTTP2_HEADERS)
		s->sent = true;
	return 0;
}

/* The head of a request that could not leave: the upstream has gone away meanwhile, or the head is too long for the library. */
static int
on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
	struct upstream_h2 *h = user;

	(void)session;
	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	for (struct upstream_stream *s = h->streams; s; s = s->next) {
		if (s->id != frame->hd.stream_id)
			continue;
		s->refused = true;
		stream_fail(s, nghttp2_strerror(error));
	}
	return 0;
}

bool
upstream_h2_output(struct upstream_h2 *h, struct buf *out, size_t n_max)
{
	while (out->n < n_max) {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(h->session, &p);
		if (n == 0)
			break;
		if (n > 0)
			buf_add(out, p, (size_t)n);
		if (n < 0 || !buf_ok(out))
			return false;
	}
	return true;
}

/* ---- the session ---- */

/* One of each per process, never freed: every session copies them. */
static const nghttp2_session_callbacks *
callbacks(void)
{
	static nghttp2_session_callbacks *c;

	if (!c && nghttp2_session_callbacks_new(&c) == 0) {
		nghttp2_session_callbacks_set_on_header_callback(c, on_header);
		nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_invalid_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
		nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
		nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
		nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
		nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_send);
	}
	return c;
}

static const nghttp2_option *
options(void)
{
	static nghttp2_option *o;

	if (!o && nghttp2_option_new(&o) == 0) {
		nghttp2_option_set_no_auto_window_update(o, 1);
		nghttp2_option_set_no_closed_streams(o, 1);
		nghttp2_option_set_max_outbound_ack(o, ACKS_MAX);
		/* Nothing of one caller's is kept to be compared with another's (RFC 7541 section 7.1). */
		nghttp2_option_set_max_deflate_dynamic_table_size(o, 0);
		nghttp2_option_set_max_send_header_block_length(o, 2 * GATEWAY_SCRATCH_BYTES_MAX);
	}
	return o;
}

struct upstream_h2 *
upstream_h2_new(void)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, UPSTREAM_H2_STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GATEWAY_ANSWER_HEAD_BYTES_MAX },
	};
	struct upstream_h2 *h = calloc(1, sizeof(*h));

	if (!h || !callbacks() || !options() || nghttp2_session_client_new2(&h->session, callbacks(), h, options()) ||
		nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, sizeof(settings) / sizeof(settings[0])) ||
		nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, UPSTREAM_H2_CONNECTION_WINDOW)) {
		if (h)
			nghttp2_session_del(h->session);
		free(h);
		return NULL;
	}
	h2_guard_answers(&h->guard);
	return h;
}

void
upstream_h2_free(struct upstream_h2 *h)
{
	if (!h)
		return;
	assert(!h->streams);
	nghttp2_session_del(h->session);
	free(h);
}

const char *
upstream_h2_receive(struct upstream_h2 *h, const char *p, size_t n, uint64_t now_ms)
{
	size_t ok = n;
	enum h2_fault fault = h2_guard_frames(&h->guard, p, n, now_ms, &ok);
	ssize_t r = nghttp2_session_mem_recv(h->session, (const uint8_t *)p, ok);

	if (r < 0)
		return h->fault ? h->fault : nghttp2_strerror((int)r);
	return fault ? "it sends too many frames that carry nothing" : NULL;
}

const char *
upstream_h2_over(const struct upstream_h2 *h)
{
	if (nghttp2_session_want_read(h->session) || nghttp2_session_want_write(h->session))
		return NULL;
	return h->fault ? h->fault : "it said goodbye";
}

bool
upstream_h2_is_settled(const struct upstream_h2 *h)
{
	return h->settled;
}

uint32_t
upstream_h2_streams_max(const struct upstream_h2 *h)
{
	return nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool
upstream_h2_goes_away(const struct upstream_h2 *h)
{
	return h->goes_away;
}

uint64_t
upstream_h2_frames(const struct upstream_h2 *h)
{
	return h->frames;
}

void
upstream_h2_ping(struct upstream_h2 *h)
{
	/* Without memory for it the silence goes on, and says the same. */
	if (nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL))
		h->fault = "out of memory";
}

void
upstream_h2_leave(struct upstream_h2 *h)
{
	if (nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR))
		h->fault = "out of memory";
}

void
upstream_h2_fail(struct upstream_h2 *h, const char *why)
{
	for (struct upstream_stream *s = h->streams; s; s = s->next) {
		s->closed = true;
		stream_fail(s, why);
	}
}

/* ---- a stream ---- */

struct request_text {
	struct slice method, path, authority, lines;
};

/* What forward_request wrote, taken apart. False: it is not what it writes for a request without a body. */
static bool
read_request(struct slice head, struct request_text *out)
{
	struct slice rest = head, line = slice_cut(&rest, '\n');

	out->method = slice_cut(&line, ' ');
	out->path = slice_cut(&line, ' ');
	line = slice_cut(&rest, '\n');
	if (!slice_has_prefix(line, SLICE_LIT("Host: ")) || !slice_has_suffix(rest, SLICE_LIT("\r\n\r\n")))
		return false;
	out->authority = slice_of(line.p + 6, line.n - 7);
	out->lines = slice_of(rest.p, rest.n - 2);
	return out->method.n && out->path.n;
}

static nghttp2_nv
nv_of(struct slice name, struct slice value, uint8_t flags)
{
	/* The library copies both and folds the name. */
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n, value.n, flags };
}

/* How many; nv has room for all lines and four more. */
static size_t
put_request(nghttp2_nv *nv, const struct request_text *r)
{
	struct slice lines = r->lines;
	size_t n = 0;

	nv[n++] = nv_of(SLICE_LIT(":method"), r->method, NGHTTP2_NV_FLAG_NONE);
	nv[n++] = nv_of(SLICE_LIT(":scheme"), SLICE_LIT("https"), NGHTTP2_NV_FLAG_NONE);
	nv[n++] = nv_of(SLICE_LIT(":path"), r->path, NGHTTP2_NV_FLAG_NO_INDEX);
	nv[n++] = nv_of(SLICE_LIT(":authority"), r->authority, NGHTTP2_NV_FLAG_NO_INDEX);
	while (lines.n) {
		struct slice value = slice_cut(&lines, '\n'), name = slice_cut(&value, ':');
		if (slice_eq_str(name, "Content-Length")) /* 0: the stream's end says it */
			continue;
		value = slice_of(value.p + 1, value.n - 2); /* the blank before it, CR behind it */
		nv[n++] = nv_of(name, value, NGHTTP2_NV_FLAG_NO_INDEX);
	}
	return n;
}

static size_t
lines_of(struct slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\n';
	return n;
}

bool
upstream_h2_ask(struct upstream_h2 *h, struct upstream_stream *s, struct slice head)
{
	struct request_text r;
	nghttp2_nv *nv;

	if (!read_request(head, &r) || !(nv = calloc(lines_of(r.lines) + 4, sizeof(*nv))))
		return false;
	int32_t id = nghttp2_submit_request(h->session, NULL, nv, put_request(nv, &r), NULL, s);
	free(nv);
	if (id < 0)
		return false;
	s->id = id;
	s->h2 = h;
	buf_init(&s->head, HEADS_BYTES_MAX);
	buf_init(&s->body, 0);
	s->next = h->streams;
	s->prev = NULL;
	if (h->streams)
		h->streams->prev = s;
	h->streams = s;
	return true;
}

static bool
take(struct buf *b, size_t *at, size_t end, char *p, size_t n, size_t *got)
{
	size_t some = end - *at < n ? end - *at : n;

	if (some == 0)
		return false;
	memcpy(p, b->p + *at, some);
	*at += some;
	*got = some;
	return true;
}

enum io
upstream_h2_read(struct upstream_stream *s, char *p, size_t n, size_t *got)
{
	*got = 0;
	if (take(&s->head, &s->head_at, s->head_whole, p, n, got)) {
		/* A watch that waits holds nothing. */
		if (s->head_at == s->head.n) {
			buf_fini(&s->head);
			buf_init(&s->head, HEADS_BYTES_MAX);
			s->head_at = s->head_whole = 0;
		}
		return IO_OK;
	}
	if (take(&s->body, &s->body_at, s->body.n, p, n, got)) {
		if (s->body_at == s->body.n) {
			buf_fini(&s->body);
			buf_init(&s->body, 0);
			s->body_at = 0;
		}
		/* No memory for a window: the stream stays where it is, and its exchange ends by its own rules. */
		if (!s->closed && nghttp2_session_consume_stream(s->h2->session, s->id, *got))
			stream_fail(s, "out of memory");
		return IO_OK;
	}
	return s->why ? IO_FAILED : s->ended ? IO_EOF : IO_AGAIN;
}

bool
upstream_h2_may_read(const struct upstream_stream *s)
{
	return s->head_at < s->head_whole || s->body_at < s->body.n || s->why || s->ended;
}

void
upstream_h2_drop(struct upstream_stream *s)
{
	struct upstream_h2 *h = s->h2;

	if (!h)
		return;
	if (s->due)
		due_unlink(s);
	*(s->prev ? &s->prev->next : &h->streams) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	if (!s->closed) {
		nghttp2_session_set_stream_user_data(h->session, s->id, NULL);
		if (reset(h, s->id, NGHTTP2_CANCEL))
			h->fault = "out of memory";
	}
	buf_fini(&s->head);
	buf_fini(&s->body);
	s->h2 = NULL;
}
