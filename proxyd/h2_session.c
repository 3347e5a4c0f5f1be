#include <nghttp2/nghttp2.h>
#include "proxyd/h2_state.h"
#include "shared/log.h"

/* Rather than a DATA frame that is shorter than this, only to fill a record, the next record gets it whole. */
#define FRAME_WORTHWHILE 1024
/* Settings and PINGs of the client that we have not answered because it does not read. */
#define ACKS_MAX 200
/* An answer's fields are at most what we read of an upstream, HPACK's own bytes (RFC 7541 section 6.2) and our lines. */
#define ANSWER_BYTES_MAX (2 * GATEWAY_ANSWER_HEAD_BYTES_MAX)
static const uint8_t drain_ping[8] = "draining"; /* the bytes of a PING of ours; it has no other */

static void
check(struct h2 *h, int error)
{
	h->gone |= nghttp2_is_fatal(error) != 0;
}

/* ---- out: frames are collected behind one another and leave in whole TLS records ---- */

static size_t
out_room(const struct h2 *h)
{
	return h->out ? H2_OUT_BYTES - h->out->to : H2_OUT_BYTES;
}

static bool
out_ready(struct h2 *h)
{
	if (!h->out && !(h->out = block_get(&h2_gateway(h)->blocks, H2_OUT_BYTES)))
		h->gone = true;
	return h->out;
}

/* There is room for it. */
static void
out_add(struct h2 *h, const void *p, size_t n)
{
	if (n)
		memcpy(h->out->data + h->out->to, p, n);
	h->out->to += n;
}

/* True: all is written and there is room for H2_OUT_BYTES. */
static bool
out_write(struct h2 *h)
{
	struct block *b = h->out;
	size_t put;

	if (!b || h->gone)
		return !h->gone;
	enum io io = transport_write(&h->client->transport, b->data + b->from, b->to - b->from, &put);
	b->from += put;
	h->stuck = io == IO_AGAIN;
	h->gone = io != IO_OK && io != IO_AGAIN;
	if (io == IO_OK)
		b->from = b->to = 0;
	return io == IO_OK;
}

/* What mem_send gave is valid until it is called again. */
static bool
out_tail(struct h2 *h)
{
	while (h->tail.n) {
		if (!out_ready(h))
			return false;
		size_t n = h->tail.n < out_room(h) ? h->tail.n : out_room(h);
		out_add(h, h->tail.p, n);
		h->tail = slice_of(h->tail.p + n, h->tail.n - n);
		if (h->tail.n && !out_write(h))
			return false;
	}
	return true;
}

void
h2_session_send(struct h2 *h, bool flush)
{
	const uint8_t *p;
	ssize_t n = 1;

	if (h->stuck && !out_write(h))
		return;
	while (n > 0 && !h->gone && out_tail(h)) {
		n = nghttp2_session_mem_send(h->session, &p);
		if (n > 0)
			h->tail = slice_of((const char *)p, (size_t)n);
		h->gone |= n < 0; /* no memory */
		if (h->stuck)
			return;
	}
	if (flush && !h->gone && !h->stuck)
		out_write(h);
	if (h->out && h->out->from == h->out->to) {
		block_put(&h2_gateway(h)->blocks, h->out);
		h->out = NULL;
	}
}

/* How much of its run a stream may send now. The bytes themselves are copied once, by on_send_data. */
static ssize_t
on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length, uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct h2_stream *s = source->ptr;
	size_t left = (size_t)(s->run_end - s->run), n = left < length ? left : length, room = out_room(s->h);

	(void)session, (void)id, (void)buf, (void)user;
	if (left == 0 && !s->last) {
		s->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n + H2_FRAME_HEAD_BYTES > room && room >= H2_FRAME_HEAD_BYTES + FRAME_WORTHWHILE)
		n = room - H2_FRAME_HEAD_BYTES;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY | (n == left && s->last ? NGHTTP2_DATA_FLAG_EOF : 0u);
	return (ssize_t)n;
}

/* A frame with bytes of this stream is in the out block. */
static void
after_sent(struct h2_stream *s, uint8_t flags)
{
	s->ended |= (flags & NGHTTP2_FLAG_END_STREAM) != 0;
	if (!s->blocked || s->run != s->run_end || (s->last && !s->ended))
		return;
	s->blocked = false;
	h2_stream_due(s, H2_DUE_READY);
}

static int
on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t length, nghttp2_data_source *source, void *user)
{
	struct h2_stream *s = source->ptr;
	struct h2 *h = s->h;

	(void)session, (void)user;
	if ((size_t)(s->run_end - s->run) < length)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* cut while the frame waited */
	if (out_room(h) < H2_FRAME_HEAD_BYTES + length && !out_write(h))
		return h->gone ? NGHTTP2_ERR_CALLBACK_FAILURE : NGHTTP2_ERR_WOULDBLOCK;
	if (!out_ready(h))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	out_add(h, head, H2_FRAME_HEAD_BYTES);
	out_add(h, s->run, length);
	s->run += length;
	after_sent(s, frame->hd.flags);
	return 0;
}

static struct h2_stream *
stream_of(nghttp2_session *session, int32_t id)
{
	return id ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

/* The client's fault, whoever of us says it. */
static void
count_reset(struct h2 *h)
{
	if (!h2_guard_reset(&h->guard, h2_now_ms(h)))
		h2_session_end(h, "too many streams reset");
}

static int
on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h = user;
	struct h2_stream *s;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		s = stream_of(session, frame->hd.stream_id);
		if (!s)
			break;
		if (frame->hd.type == NGHTTP2_HEADERS)
			after_sent(s, frame->hd.flags);
		break;
	case NGHTTP2_GOAWAY:
		/* Its answer tells that the client has seen the notice: so behind it. */
		if (h->drain == H2_DRAIN_NOTICE)
			check(h, nghttp2_submit_ping(session, NGHTTP2_FLAG_NONE, drain_ping));
		break;
	case NGHTTP2_RST_STREAM:
		/* These two are ours: an upstream that failed, a body that nobody wants. */
		if (frame->rst_stream.error_code != NGHTTP2_INTERNAL_ERROR && frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
			count_reset(h);
		break;
	}
	return 0;
}

/* Headers too large to be encoded, for example. */
static int
on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);

	(void)user;
	if (frame->hd.type == NGHTTP2_HEADERS && s && error != NGHTTP2_ERR_STREAM_CLOSING && error != NGHTTP2_ERR_STREAM_CLOSED)
		h2_session_cut(s);
	return 0;
}

/* ---- in ---- */

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h = user;

	(void)session, (void)frame;
	h2_fields_drop(&h->fields, &h2_gateway(h)->blocks);
	return 0;
}

static int
reset(struct h2 *h, int32_t id, uint32_t code)
{
	return nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, code) ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n, const uint8_t *value, size_t value_n,
	uint8_t flags, void *user)
{
	struct h2 *h = user;
	const struct slice n = { (const char *)name, name_n };
	struct slice v = { (const char *)value, value_n };

	(void)session, (void)flags;
	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		return !h2_repeat_field(&h->repeat, h->fields.n, n, &v) ||
			h2_fields_add(&h->fields, &h2_gateway(h)->blocks, h2_gateway(h)->request_limits.head_bytes_max, n, v)
			? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
	/* Trailers are dropped; one that would change what has been decided already (RFC 9110 section 6.5.1) is a mistake or worse. */
	if (!http_field_is_critical(http_field_folded(n)))
		return 0;
	return reset(h, frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR) ? NGHTTP2_ERR_CALLBACK_FAILURE : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* The library would leave such a header out and go on (RFC 9113 section 8.2.1: malformed). */
static int
on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n, const uint8_t *value, size_t value_n,
	uint8_t flags, void *user)
{
	(void)session, (void)frame, (void)name, (void)name_n, (void)value, (void)value_n, (void)flags, (void)user;
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void
log_refusal(const struct h2 *h, unsigned code, const char *why)
{
	log_info("request refused", LOG_UINT("status", code), LOG_STR("reason", why), LOG_STR("client", h->client->ip));
}

static int
on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
	struct h2 *h = user;

	(void)session, (void)frame;
	log_refusal(h, 0, nghttp2_strerror(error));
	return 0;
}

/* The head is whole: a stream of ours begins. */
static int
take_request(struct h2 *h, const nghttp2_frame *frame)
{
	struct gateway *g = h2_gateway(h);
	int32_t id = frame->hd.stream_id;
	struct h2_stream *s = h2_stream_new(h, id);
	enum err err = E_NOMEM;

	if (s && (s->request = request_get(g))) {
		s->body_ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
		err = h2_head_request(&h->fields, s->body_ended, &g->request_limits, &s->request->head, &s->text, &s->refusal);
	}
	h2_fields_drop(&h->fields, &g->blocks);
	h->idle_since_ms = h2_now_ms(h);
	if (err == E_FORMAT)
		log_refusal(h, s->refusal.code, s->refusal.why);
	if (err && (err != E_FORMAT || s->refusal.code == 0)) {
		if (s)
			h2_stream_free(s);
		return reset(h, id, err == E_FORMAT ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_INTERNAL_ERROR);
	}
	s->head_only = s->request->head.method == METHOD_HEAD;
	s->length_left = s->request->head.framing == FRAMING_LENGTH ? s->request->head.content_length : UINT64_MAX;
	if (err) {
		request_put(g, s->request);
		s->request = NULL;
	}
	h2_stream_due(s, H2_DUE_START);
	return nghttp2_session_set_stream_user_data(h->session, id, s);
}

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct h2 *h = user;
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
			return take_request(h, frame);
		break;
	case NGHTTP2_DATA:
		break;
	case NGHTTP2_RST_STREAM:
		/* A watch that is given up is none of those that cost more than they bring. */
		if (!s || !s->answered)
			count_reset(h);
		return 0;
	case NGHTTP2_PING:
		if (h->drain == H2_DRAIN_NOTICE && frame->hd.flags & NGHTTP2_FLAG_ACK)
			h2_session_drain_last(h);
		return 0;
	default:
		return 0;
	}
	if (s && frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
		s->body_ended = true;
		h2_stream_due(s, H2_DUE_BODY);
	}
	return 0;
}

static int
on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t n, void *user)
{
	struct h2_stream *s = stream_of(session, id);

	(void)flags, (void)user;
	if (!s || !(s->request || s->exchange)) /* nobody wants it: its stream gets no new window */
		return nghttp2_session_consume_connection(session, n);
	if (!h2_stream_keep(s, (const char *)data, n))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	h2_stream_due(s, H2_DUE_BODY);
	return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	struct h2_stream *s = stream_of(session, id);
	struct h2 *h = user;

	(void)code;
	if (!s)
		return 0;
	s->closed = true;
	if (s->body_ended)
		h2_guard_closed(&h->guard, (uint32_t)id);
	if (s->exchange) {
		if (!s->ended)
			h2_stream_due(s, H2_DUE_GONE);
		return 0;
	}
	h2_session_drop_body(s);
	h2_stream_free(s);
	return 0;
}

/* ---- the session ---- */

/* One of each per process, never freed: every session copies them. */
static const nghttp2_session_callbacks *
callbacks(void)
{
	static nghttp2_session_callbacks *c;

	if (!c && nghttp2_session_callbacks_new(&c) == 0) {
		nghttp2_session_callbacks_set_send_data_callback(c, on_send_data);
		nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
		nghttp2_session_callbacks_set_on_frame_not_send_callback(c, on_frame_not_send);
		nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
		nghttp2_session_callbacks_set_on_header_callback(c, on_header);
		nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_invalid_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame_recv);
		nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data_chunk);
		nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
	}
	return c;
}

static const nghttp2_option *
options(void)
{
	static nghttp2_option *o;

	if (!o && nghttp2_option_new(&o) == 0) {
		nghttp2_option_set_no_auto_window_update(o, 1);
		nghttp2_option_set_no_closed_streams(o, 1); /* 240 KiB for 1,000 of them; h2_guard knows those that matter */
		nghttp2_option_set_max_outbound_ack(o, ACKS_MAX);
		nghttp2_option_set_max_deflate_dynamic_table_size(o, H2_TABLE_BYTES);
		nghttp2_option_set_max_send_header_block_length(o, ANSWER_BYTES_MAX);
		/* h2_guard counts them: it knows a watch that is given up from a reset that attacks. */
		nghttp2_option_set_stream_reset_rate_limit(o, UINT32_MAX, UINT32_MAX);
	}
	return o;
}

enum err
h2_session_open(struct h2 *h)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)h2_gateway(h)->request_limits.head_bytes_max },
	};

	if (!callbacks() || !options() || nghttp2_session_server_new2(&h->session, callbacks(), h, options()))
		return E_NOMEM;
	if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, sizeof(settings) / sizeof(settings[0])) ||
		nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, H2_CONNECTION_WINDOW))
		return E_NOMEM;
	return OK;
}

void
h2_session_close(struct h2 *h)
{
	nghttp2_session_del(h->session);
	h->session = NULL;
	h2_fields_drop(&h->fields, &h2_gateway(h)->blocks);
	h2_repeat_fini(&h->repeat);
	block_put(&h2_gateway(h)->blocks, h->out);
	h->out = NULL;
}

static void
end(struct h2 *h, uint32_t code, const char *why)
{
	if (h->deaf)
		return;
	h->deaf = true;
	h->head_since_ms = 0;
	if (why)
		log_info("connection ended", LOG_STR("reason", why), LOG_STR("client", h->client->ip));
	h->gone |= nghttp2_session_terminate_session(h->session, code) != 0;
}

void
h2_session_end(struct h2 *h, const char *why)
{
	end(h, why ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_NO_ERROR, why);
}

/* What the library says when it cannot go on. */
static void
end_for(struct h2 *h, int error)
{
	switch (error) {
	case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
		end(h, NGHTTP2_PROTOCOL_ERROR, "it does not begin as HTTP/2 does");
		break;
	case NGHTTP2_ERR_FLOODED:
	case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS:
		end(h, NGHTTP2_ENHANCE_YOUR_CALM, nghttp2_strerror(error));
		break;
	default:
		end(h, NGHTTP2_INTERNAL_ERROR, nghttp2_strerror(error));
		break;
	}
}

static void
end_for_fault(struct h2 *h, enum h2_fault fault)
{
	switch (fault) {
	case H2_FAULT_NONE:
		break;
	case H2_FAULT_FLOOD:
		end(h, NGHTTP2_ENHANCE_YOUR_CALM, "too many control frames");
		break;
	case H2_FAULT_STREAM_CLOSED:
		end(h, NGHTTP2_STREAM_CLOSED, "frame for a stream that was ended");
		break;
	case H2_FAULT_STREAM_ID:
		end(h, NGHTTP2_PROTOCOL_ERROR, "stream opened out of order");
		break;
	}
}

void
h2_session_receive(struct h2 *h, char *p, size_t n)
{
	unsigned heads = h->guard.heads;
	enum h2_fault fault = H2_FAULT_NONE;
	ssize_t r = 0;

	while (n && r >= 0 && !fault) {
		bool begins;
		size_t ok, some = h2_guard_frame(&h->guard, p, n, &begins);
		fault = h2_guard_frames(&h->guard, p, some, h2_now_ms(h), &ok);
		char *from = begins && !fault ? h2_repeat_frame(&h->repeat, p, some) : p;
		r = nghttp2_session_mem_recv(h->session, (const uint8_t *)from, (size_t)(p + ok - from));
		p += some;
		n -= some;
	}
	if (!h2_guard_in_head(&h->guard))
		h->head_since_ms = 0;
	else if (h->head_since_ms == 0 || h->guard.heads != heads)
		h->head_since_ms = h2_now_ms(h);
	if (r < 0)
		end_for(h, (int)r);
	else
		end_for_fault(h, fault);
}

bool
h2_session_is_over(const struct h2 *h)
{
	return !h->out && h->tail.n == 0 && !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}

/* ---- what a stream says ---- */

static size_t
put_fields(nghttp2_nv *nv, const struct h2_answer *a)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct h2_field *f = &a->fields[i];
		/* The library copies both and folds the name. */
		nv[i] = (nghttp2_nv){ (uint8_t *)(uintptr_t)f->name.p, (uint8_t *)(uintptr_t)f->value.p, f->name.n, f->value.n,
			f->once ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE };
	}
	return a->n;
}

bool
h2_session_answer(struct h2_stream *s, const struct h2_answer *a, bool body)
{
	nghttp2_nv nv[H2_ANSWER_FIELDS_MAX];
	size_t n = put_fields(nv, a);
	const nghttp2_data_provider provider = { .source.ptr = s, .read_callback = on_read };

	s->answered = true;
	return nghttp2_submit_response(s->h->session, s->id, nv, n, body ? &provider : NULL) == 0;
}

void
h2_session_interim(struct h2_stream *s, const struct h2_answer *a)
{
	nghttp2_nv nv[H2_ANSWER_FIELDS_MAX];
	size_t n = put_fields(nv, a);

	/* It may be left out. */
	if (nghttp2_submit_headers(s->h->session, NGHTTP2_FLAG_NONE, s->id, NULL, nv, n, NULL))
		log_warn("interim answer left out", LOG_STR("client", s->h->client->ip));
}

void
h2_session_resume(struct h2_stream *s)
{
	if (!s->deferred)
		return;
	s->deferred = false;
	check(s->h, nghttp2_session_resume_data(s->h->session, s->id));
}

void
h2_session_consumed(struct h2_stream *s, size_t n)
{
	if (n)
		check(s->h, nghttp2_session_consume(s->h->session, s->id, n));
}

void
h2_session_drop_body(struct h2_stream *s)
{
	size_t n = h2_stream_drop(s);

	if (n)
		check(s->h, nghttp2_session_consume_connection(s->h->session, n));
}

void
h2_session_cut(struct h2_stream *s)
{
	if (!s->closed)
		check(s->h, nghttp2_submit_rst_stream(s->h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR));
}

void
h2_session_stop_body(struct h2_stream *s)
{
	if (!s->closed)
		check(s->h, nghttp2_submit_rst_stream(s->h->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR));
}

void
h2_session_drain(struct h2 *h)
{
	h->drain = H2_DRAIN_NOTICE;
	h->drain_since_ms = h2_now_ms(h);
	check(h, nghttp2_submit_shutdown_notice(h->session));
}

void
h2_session_drain_last(struct h2 *h)
{
	h->drain = H2_DRAIN_LAST;
	check(h, nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR, NULL, 0));
}
