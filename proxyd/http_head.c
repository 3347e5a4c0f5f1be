#include "proxyd/http_bytes.h"
#include "proxyd/http_head.h"

#define METHOD_BYTES_MAX 32
#define NAMED_MAX 16 /* headers that Connection may name besides its own keywords; kubectl and browsers name none */
/* What a request line takes besides its target: method, two blanks, version, CRLF. */
#define LINE_OVERHEAD_BYTES (METHOD_BYTES_MAX + 16)

/* Fields about this hop alone (RFC 9110 section 7.6.1). */
static const uint64_t hop_fields = HTTP_FIELD_BIT(FIELD_CONNECTION) | HTTP_FIELD_BIT(FIELD_TRANSFER_ENCODING) | HTTP_FIELD_BIT(FIELD_TE) |
	HTTP_FIELD_BIT(FIELD_TRAILER) | HTTP_FIELD_BIT(FIELD_UPGRADE) | HTTP_FIELD_BIT(FIELD_KEEP_ALIVE) |
	HTTP_FIELD_BIT(FIELD_PROXY_CONNECTION) | HTTP_FIELD_BIT(FIELD_PROXY_AUTHENTICATE) | HTTP_FIELD_BIT(FIELD_PROXY_AUTHORIZATION) |
	HTTP_FIELD_BIT(FIELD_PROXY) | HTTP_FIELD_BIT(FIELD_HTTP2_SETTINGS);

/* Headers whose second occurrence leaves it to each reader which one counts. */
static const uint64_t single_fields = HTTP_FIELD_BIT(FIELD_HOST) | HTTP_FIELD_BIT(FIELD_CONTENT_LENGTH) |
	HTTP_FIELD_BIT(FIELD_TRANSFER_ENCODING) | HTTP_FIELD_BIT(FIELD_AUTHORIZATION) | HTTP_FIELD_BIT(FIELD_CONTENT_TYPE) |
	HTTP_FIELD_BIT(FIELD_UPGRADE) | HTTP_FIELD_BIT(FIELD_EXPECT) | HTTP_FIELD_BIT(FIELD_ORIGIN) | HTTP_FIELD_BIT(FIELD_LOCATION);

struct parser {
	const char *start, *q, *end;
	struct http_head *head;
	const char **why;
	bool request;
	bool limited;        /* end is the limit, not what has arrived */
	uint64_t seen;       /* fields */
	struct slice authority; /* of an absolute target */
	struct slice upgrade_value, expect_value;
	bool says_close, says_keep_alive, says_upgrade;
	struct slice named[NAMED_MAX];
	size_t named_n;
};

static enum http_verdict
bad(struct parser *s, const char *why)
{
	*s->why = why;
	return HTTP_BAD;
}

static enum http_verdict
more(struct parser *s)
{
	if (!s->limited)
		return HTTP_MORE;
	*s->why = "head longer than the limit";
	return HTTP_TOO_LARGE;
}

/* CRLF at q, nothing else. */
static enum http_verdict
line_end(struct parser *s)
{
	if (s->q == s->end)
		return more(s);
	if (*s->q != '\r')
		return bad(s, *s->q == '\n' ? "bare LF" : "control byte");
	if (s->q + 1 == s->end)
		return more(s);
	if (s->q[1] != '\n')
		return bad(s, "bare CR");
	s->q += 2;
	return HTTP_OK;
}

static enum http_method
method_of(struct slice m)
{
	static const struct {
		const char *name;
		enum http_method method;
	} known[] = { { "GET", METHOD_GET }, { "POST", METHOD_POST }, { "PUT", METHOD_PUT }, { "PATCH", METHOD_PATCH }, { "DELETE", METHOD_DELETE },
		{ "HEAD", METHOD_HEAD }, { "OPTIONS", METHOD_OPTIONS }, { "CONNECT", METHOD_CONNECT }, { "TRACE", METHOD_TRACE } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (slice_eq_str(m, known[i].name))
			return known[i].method;
	return METHOD_OTHER;
}

/* Origin form, absolute form or "*" (RFC 9112 section 3.2) into path, query and authority. */
static enum http_verdict
split_target(struct parser *s)
{
	struct http_head *h = s->head;
	struct slice rest = h->target;

	if (slice_eq_str(rest, "*")) {
		if (h->method != METHOD_OPTIONS)
			return bad(s, "target * with a method other than OPTIONS");
		h->path = rest;
		return HTTP_OK;
	}
	if (rest.p[0] != '/') {
		size_t scheme = slice_eq_nocase(slice_of(rest.p, rest.n < 8 ? rest.n : 8), SLICE_LIT("https://")) ? 8 :
			slice_eq_nocase(slice_of(rest.p, rest.n < 7 ? rest.n : 7), SLICE_LIT("http://")) ? 7 : 0;
		if (scheme == 0)
			return bad(s, "target is neither a path nor an http URL");
		size_t at = scheme;
		while (at < rest.n && rest.p[at] != '/' && rest.p[at] != '?')
			at++;
		s->authority = slice_of(rest.p + scheme, at - scheme);
		if (!http_authority_ok(s->authority))
			return bad(s, "the target's host is malformed");
		rest = slice_of(rest.p + at, rest.n - at);
	}
	const char *mark = rest.n ? memchr(rest.p, '?', rest.n) : NULL;
	h->path = mark ? slice_of(rest.p, (size_t)(mark - rest.p)) : rest;
	if (mark)
		h->query = slice_of(mark + 1, rest.n - h->path.n - 1);
	if (h->path.n == 0)
		h->path = SLICE_LIT("/"); /* RFC 9112 section 3.2.1 */
	return http_path_ok(h->path, s->why) ? HTTP_OK : HTTP_BAD;
}

/* "HTTP/1.0" or "HTTP/1.1" at q. RFC 9112 has no other version that could be framed like these. */
static enum http_verdict
version(struct parser *s)
{
	static const char text[] = "HTTP/";
	size_t have = (size_t)(s->end - s->q);

	if (memcmp(s->q, text, have < 5 ? have : 5) != 0)
		return bad(s, "no HTTP version where one belongs");
	if (have < 8)
		return more(s);
	if (s->q[5] < '0' || s->q[5] > '9' || s->q[6] != '.' || s->q[7] < '0' || s->q[7] > '9')
		return bad(s, "malformed HTTP version");
	if (s->q[5] > '1') {
		*s->why = "HTTP version not supported";
		return HTTP_VERSION;
	}
	if (s->q[5] != '1' || s->q[7] > '1')
		return bad(s, "no such HTTP version");
	s->head->minor = (unsigned)(s->q[7] - '0');
	s->q += 8;
	return HTTP_OK;
}

static enum http_verdict
request_line(struct parser *s, size_t target_bytes_max)
{
	struct http_head *h = s->head;
	const char *start = s->q;
	enum http_verdict v;

	while (s->q < s->end && http_byte_is(*s->q, HTTP_BYTE_TOKEN))
		s->q++;
	if (s->q - start > METHOD_BYTES_MAX)
		return bad(s, "method too long");
	if (s->q == s->end)
		return more(s);
	if (s->q == start || *s->q != ' ')
		return bad(s, "the request does not begin with a method and one blank");
	h->method_text = slice_of(start, (size_t)(s->q - start));
	h->method = method_of(h->method_text);
	if (h->method == METHOD_CONNECT || h->method == METHOD_TRACE) {
		*s->why = "method not supported";
		return HTTP_NOT_IMPLEMENTED;
	}
	start = s->q + 1;
	const char *q = start;
	while (q < s->end && http_byte_is(*q, HTTP_BYTE_QUERY))
		q++;
	s->q = q;
	if ((size_t)(s->q - start) > target_bytes_max) {
		*s->why = "target longer than the limit";
		return HTTP_TARGET_LONG;
	}
	if (s->q == s->end)
		return more(s);
	if (s->q == start || *s->q != ' ')
		return bad(s, "byte that is not allowed in a target");
	h->target = slice_of(start, (size_t)(s->q - start));
	v = split_target(s);
	if (v != HTTP_OK)
		return v;
	s->q++;
	v = version(s);
	return v == HTTP_OK ? line_end(s) : v;
}

static enum http_verdict
status_line(struct parser *s)
{
	struct http_head *h = s->head;
	enum http_verdict v = version(s);

	if (v != HTTP_OK)
		return v;
	for (int i = 0; i < 4; i++, s->q++) {
		if (s->q == s->end)
			return more(s);
		if (i == 0 ? *s->q != ' ' : *s->q < '0' || *s->q > '9')
			return bad(s, "malformed status line");
		if (i > 0)
			h->status = h->status * 10 + (unsigned)(*s->q - '0');
	}
	if (h->status < 100)
		return bad(s, "no such status");
	if (s->q < s->end && *s->q == ' ') {
		const char *start = ++s->q;
		s->q = http_value_end(s->q, s->end);
		h->reason = slice_of(start, (size_t)(s->q - start));
	}
	return line_end(s);
}

/* Connection = #connection-option (RFC 9110 section 7.6.1); empty list elements are allowed (section 5.6.1.2). */
static enum http_verdict
connection_options(struct parser *s, struct slice value)
{
	while (value.n) {
		struct slice option = slice_trim(slice_cut(&value, ','));
		if (option.n == 0)
			continue;
		if (!http_is_token(option))
			return bad(s, "malformed Connection header");
		if (slice_eq_nocase(option, SLICE_LIT("close")))
			s->says_close = true;
		else if (slice_eq_nocase(option, SLICE_LIT("keep-alive")))
			s->says_keep_alive = true;
		else if (slice_eq_nocase(option, SLICE_LIT("upgrade")))
			s->says_upgrade = true;
		else if (s->named_n == NAMED_MAX)
			return bad(s, "Connection names too many headers");
		else
			s->named[s->named_n++] = option;
	}
	return HTTP_OK;
}

static void
note_first(int *index, const struct http_head *h)
{
	if (*index < 0)
		*index = (int)h->header_n;
}

/* What a header means for the message as a whole. */
static enum http_verdict
apply(struct parser *s, const struct http_header *f)
{
	struct http_head *h = s->head;
	uint64_t bit = HTTP_FIELD_BIT(f->field);

	if (bit & s->seen & single_fields)
		return bad(s, "header that may occur once occurs twice");
	s->seen |= bit;
	switch (f->field) {
	case FIELD_HOST:
		h->host = f->value;
		return http_authority_ok(f->value) || !s->request ? HTTP_OK : bad(s, "malformed Host");
	case FIELD_CONTENT_LENGTH:
		h->has_length = slice_to_u64(f->value, INT64_MAX, &h->content_length);
		return h->has_length ? HTTP_OK : bad(s, "malformed Content-Length");
	case FIELD_TRANSFER_ENCODING:
		/* Names of codings are caseless (RFC 9112 section 7); clients write this one in lower case and some servers look for that
		 * alone, so a request has no choice. */
		if (s->request ? slice_eq_str(f->value, "chunked") : slice_eq_nocase(f->value, SLICE_LIT("chunked")))
			return HTTP_OK;
		return bad(s, "Transfer-Encoding other than chunked");
	case FIELD_CONNECTION:
		note_first(&h->connection, h);
		return connection_options(s, f->value);
	case FIELD_UPGRADE:
		s->upgrade_value = f->value;
		return HTTP_OK;
	case FIELD_EXPECT:
		s->expect_value = f->value;
		return HTTP_OK;
	case FIELD_AUTHORIZATION:
		note_first(&h->authorization, h);
		return HTTP_OK;
	case FIELD_COOKIE:
		note_first(&h->cookie, h);
		return HTTP_OK;
	case FIELD_ACCEPT:
		note_first(&h->accept, h);
		return HTTP_OK;
	case FIELD_ORIGIN:
		note_first(&h->origin, h);
		return HTTP_OK;
	default:
		return HTTP_OK;
	}
}

static enum http_verdict
name_verdict(struct parser *s, const char *start)
{
	if (s->q == start) {
		switch (*s->q) {
		case ' ':
		case '\t':
			return bad(s, "folded header line, or a blank before a header");
		case ':':
			return bad(s, "header without a name");
		case '\n':
			return bad(s, "bare LF");
		}
	}
	switch (*s->q) {
	case ' ':
	case '\t':
		return bad(s, "blank between a header's name and its colon");
	case '\r':
	case '\n':
		return bad(s, "header line without a colon");
	default:
		return bad(s, "byte that is not allowed in a header's name");
	}
}

/* One header line at q. */
static enum http_verdict
header_line(struct parser *s)
{
	struct http_header *f = &s->head->headers[s->head->header_n];
	const char *start = s->q, *q = start;
	unsigned classes = 0;

	if (s->head->header_n == HTTP_HEADERS_MAX) {
		*s->why = "too many headers";
		return HTTP_TOO_LARGE;
	}
	for (; q < s->end && http_byte_is(*q, HTTP_BYTE_TOKEN); q++)
		classes |= http_byte_class[(unsigned char)*q];
	s->q = q;
	f->folds = classes & HTTP_BYTE_FOLDS;
	f->name = slice_of(start, (size_t)(q - start));
	if (!s->request && f->name.n) /* RFC 9112 section 5.1: a proxy must take these blanks out of answers */
		while (s->q < s->end && (*s->q == ' ' || *s->q == '\t'))
			s->q++;
	if (s->q == s->end)
		return more(s);
	if (*s->q != ':' || f->name.n == 0)
		return name_verdict(s, start);
	s->q++;
	while (s->q < s->end && (*s->q == ' ' || *s->q == '\t'))
		s->q++;
	start = s->q;
	s->q = http_value_end(s->q, s->end);
	const char *stop = s->q;
	enum http_verdict v = line_end(s);
	if (v != HTTP_OK)
		return v;
	while (stop > start && (stop[-1] == ' ' || stop[-1] == '\t'))
		stop--;
	f->value = slice_of(start, (size_t)(stop - start));
	f->field = http_field_of(f->name);
	f->hop = hop_fields >> f->field & 1;
	if (f->folds && s->request && http_field_is_critical(http_field_folded(f->name)) && f->field == FIELD_OTHER)
		return bad(s, "header whose name some servers read as another's");
	v = apply(s, f);
	s->head->header_n++;
	return v;
}

static void
mark_named(struct parser *s)
{
	for (size_t n = 0; n < s->named_n; n++)
		for (size_t i = 0; i < s->head->header_n; i++)
			if (slice_eq_nocase(s->head->headers[i].name, s->named[n]))
				s->head->headers[i].hop = true;
}

static enum http_upgrade
upgrade_of(struct slice protocol)
{
	if (slice_eq_nocase(protocol, SLICE_LIT("websocket")))
		return UPGRADE_WEBSOCKET;
	return slice_eq_nocase(protocol, SLICE_LIT("SPDY/3.1")) ? UPGRADE_SPDY31 : UPGRADE_NONE;
}

/* Rules that need the whole head, for either direction. */
static enum http_verdict
finish(struct parser *s)
{
	struct http_head *h = s->head;
	bool chunked = s->seen & HTTP_FIELD_BIT(FIELD_TRANSFER_ENCODING);

	if (chunked && h->has_length)
		return bad(s, "both Content-Length and Transfer-Encoding");
	if (chunked && h->minor == 0)
		return bad(s, "Transfer-Encoding in HTTP/1.0");
	h->framing = chunked ? FRAMING_CHUNKED : h->has_length ? FRAMING_LENGTH : FRAMING_NONE;
	h->keep_alive = !s->says_close && (h->minor > 0 || s->says_keep_alive);
	mark_named(s);
	return HTTP_OK;
}

static enum http_verdict
finish_request(struct parser *s)
{
	struct http_head *h = s->head;
	enum http_verdict v = finish(s);

	if (v != HTTP_OK)
		return v;
	if (h->host.n == 0)
		return bad(s, "no Host");
	if (s->authority.p && !slice_eq_nocase(s->authority, h->host))
		return bad(s, "Host differs from the target's");
	if (s->upgrade_value.p) {
		h->upgrade = upgrade_of(s->upgrade_value);
		if (!s->says_upgrade || h->upgrade == UPGRADE_NONE || h->minor == 0)
			return bad(s, "upgrade to something other than websocket or SPDY/3.1");
		if (h->method != METHOD_GET && h->method != METHOD_POST)
			return bad(s, "upgrade with a method other than GET and POST");
		if (h->framing == FRAMING_CHUNKED || h->content_length > 0)
			return bad(s, "upgrade with a body"); /* where it would end and the tunnel begin is anybody's guess */
	}
	if (s->expect_value.p) {
		if (!slice_eq_nocase(s->expect_value, SLICE_LIT("100-continue"))) {
			*s->why = "expectation other than 100-continue";
			return HTTP_EXPECTATION;
		}
		h->expect_continue = h->minor > 0; /* RFC 9110 section 10.1.1 */
	}
	return HTTP_OK;
}

static enum http_verdict
finish_response(struct parser *s, enum http_method method)
{
	struct http_head *h = s->head;
	bool bodiless = h->status < 200 || h->status == 204;
	enum http_verdict v = finish(s);

	if (v != HTTP_OK)
		return v;
	if (bodiless && (h->framing == FRAMING_CHUNKED || h->content_length > 0))
		return bad(s, "body announced where there is none");
	if (h->status == 101) {
		h->upgrade = s->says_upgrade ? upgrade_of(s->upgrade_value) : UPGRADE_NONE;
		if (h->upgrade == UPGRADE_NONE)
			return bad(s, "101 without a protocol that is carried");
	}
	if (bodiless || h->status == 304 || method == METHOD_HEAD) {
		h->framing = FRAMING_NONE;
	} else if (h->framing == FRAMING_NONE) {
		h->framing = FRAMING_CLOSE;
		h->keep_alive = false;
	}
	return HTTP_OK;
}

/* Whether a head that arrives in pieces is worth parsing (again): it may be whole, or it may be refused for what has come. Otherwise
 * each byte is looked at once here, however small the pieces are. */
static bool
may_be_decided(const char *p, size_t n, size_t scanned, const struct http_limits *limits)
{
	bool first_line = !memchr(p, '\n', scanned);

	if (scanned <= METHOD_BYTES_MAX || n >= limits->head_bytes_max || (first_line && n > limits->target_bytes_max + LINE_OVERHEAD_BYTES))
		return true;
	for (size_t i = scanned; i < n; i++) {
		const char *lf = memchr(p + i, '\n', n - i);
		if (!lf)
			return false;
		i = (size_t)(lf - p);
		if (first_line || p[i - 1] != '\r' || p[i - 2] == '\n') /* i is past METHOD_BYTES_MAX */
			return true;
	}
	return false;
}

static enum http_verdict
parse(struct parser *s, const char *p, size_t n, size_t *scanned, const struct http_limits *limits, enum http_method method)
{
	struct http_head *h = s->head;
	enum http_verdict v;

	*s->why = NULL;
	if (n == 0 || !may_be_decided(p, n, *scanned, limits)) {
		*scanned = n;
		return HTTP_MORE;
	}
	/* The table of headers is 6 KB: everything but that. */
	memset(h, 0, offsetof(struct http_head, headers));
	h->header_n = 0;
	h->authorization = h->cookie = h->accept = h->origin = h->connection = -1;
	s->limited = n >= limits->head_bytes_max;
	s->start = s->q = p;
	s->end = p + (s->limited ? limits->head_bytes_max : n);

	v = s->request ? request_line(s, limits->target_bytes_max) : status_line(s);
	while (v == HTTP_OK && (s->q == s->end || *s->q != '\r'))
		v = s->q == s->end ? more(s) : header_line(s);
	if (v == HTTP_OK)
		v = line_end(s);
	if (v == HTTP_OK)
		v = s->request ? finish_request(s) : finish_response(s, method);
	*scanned = v == HTTP_MORE ? n : 0;
	return v;
}

enum http_verdict
http_request_parse(const char *p, size_t n, size_t *scanned, const struct http_limits *limits, struct http_head *out, size_t *head_bytes,
	const char **why)
{
	struct parser s = { .head = out, .why = why, .request = true };
	enum http_verdict v = parse(&s, p, n, scanned, limits, METHOD_OTHER);

	if (v == HTTP_OK)
		*head_bytes = (size_t)(s.q - p);
	return v;
}

enum http_verdict
http_response_parse(const char *p, size_t n, size_t *scanned, const struct http_limits *limits, enum http_method method,
	struct http_head *out, size_t *head_bytes, const char **why)
{
	struct parser s = { .head = out, .why = why };
	enum http_verdict v = parse(&s, p, n, scanned, limits, method);

	if (v == HTTP_OK)
		*head_bytes = (size_t)(s.q - p);
	return v;
}

unsigned
http_verdict_status(enum http_verdict v)
{
	switch (v) {
	case HTTP_OK:
		return 200;
	case HTTP_MORE:
		return 408;
	case HTTP_TOO_LARGE:
		return 431;
	case HTTP_TARGET_LONG:
		return 414;
	case HTTP_VERSION:
		return 505;
	case HTTP_EXPECTATION:
		return 417;
	case HTTP_NOT_IMPLEMENTED:
		return 501;
	case HTTP_BAD:
		break;
	}
	return 400;
}
