#include "proxyd/http_bytes.h"
#include "proxyd/http_rules.h"

/* What a request line takes besides its target: method, two blanks, version, CRLF. */
#define LINE_OVERHEAD_BYTES (HTTP_METHOD_BYTES_MAX + 16)

struct parser {
	const char *q, *end;
	bool limited; /* end is the limit, not what has arrived */
	struct http_rules rules;
};

static enum http_verdict
bad(struct parser *s, const char *why)
{
	*s->rules.why = why;
	return HTTP_BAD;
}

static enum http_verdict
more(struct parser *s)
{
	if (!s->limited)
		return HTTP_MORE;
	*s->rules.why = "head longer than the limit";
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
		*s->rules.why = "HTTP version not supported";
		return HTTP_VERSION;
	}
	if (s->q[5] != '1' || s->q[7] > '1')
		return bad(s, "no such HTTP version");
	s->rules.head->minor = (unsigned)(s->q[7] - '0');
	s->q += 8;
	return HTTP_OK;
}

static enum http_verdict
request_line(struct parser *s, size_t target_bytes_max)
{
	const char *start = s->q;
	enum http_verdict v;

	while (s->q < s->end && http_byte_is(*s->q, HTTP_BYTE_TOKEN))
		s->q++;
	if (s->q - start > HTTP_METHOD_BYTES_MAX)
		return bad(s, "method too long");
	if (s->q == s->end)
		return more(s);
	if (s->q == start || *s->q != ' ')
		return bad(s, "the request does not begin with a method and one blank");
	v = http_rules_method(&s->rules, slice_of(start, (size_t)(s->q - start)));
	if (v != HTTP_OK)
		return v;
	start = s->q + 1;
	const char *q = start;
	while (q < s->end && http_byte_is(*q, HTTP_BYTE_QUERY))
		q++;
	s->q = q;
	if ((size_t)(s->q - start) > target_bytes_max) {
		*s->rules.why = "target longer than the limit";
		return HTTP_TARGET_LONG;
	}
	if (s->q == s->end)
		return more(s);
	if (s->q == start || *s->q != ' ')
		return bad(s, "byte that is not allowed in a target");
	v = http_rules_target(&s->rules, slice_of(start, (size_t)(s->q - start)));
	if (v != HTTP_OK)
		return v;
	s->q++;
	v = version(s);
	return v == HTTP_OK ? line_end(s) : v;
}

static enum http_verdict
status_line(struct parser *s)
{
	struct http_head *h = s->rules.head;
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
	struct http_header *f = http_rules_next(&s->rules);
	const char *start = s->q, *q = start;
	unsigned classes = 0;

	if (!f)
		return HTTP_TOO_LARGE;
	for (; q < s->end && http_byte_is(*q, HTTP_BYTE_TOKEN); q++)
		classes |= http_byte_class[(unsigned char)*q];
	s->q = q;
	f->folds = classes & HTTP_BYTE_FOLDS;
	f->name = slice_of(start, (size_t)(q - start));
	if (!s->rules.request && f->name.n) /* RFC 9112 section 5.1: a proxy must take these blanks out of answers */
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
	return http_rules_header(&s->rules);
}

/* Whether a head that arrives in pieces is worth parsing (again): it may be whole, or it may be refused for what has come. Otherwise
 * each byte is looked at once here, however small the pieces are. */
static bool
may_be_decided(const char *p, size_t n, size_t scanned, const struct http_limits *limits)
{
	bool first_line = !memchr(p, '\n', scanned);

	if (scanned <= HTTP_METHOD_BYTES_MAX || n >= limits->head_bytes_max || (first_line && n > limits->target_bytes_max + LINE_OVERHEAD_BYTES))
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

/* method: of the request that an answer is to. */
static enum http_verdict
parse(struct slice in, size_t *scanned, const struct http_limits *limits, bool request, enum http_method method, struct http_head *out,
	size_t *head_bytes, const char **why)
{
	struct parser s = { .q = in.p, .limited = in.n >= limits->head_bytes_max };
	enum http_verdict v;

	*why = NULL;
	if (in.n == 0 || !may_be_decided(in.p, in.n, *scanned, limits)) {
		*scanned = in.n;
		return HTTP_MORE;
	}
	s.end = in.p + (s.limited ? limits->head_bytes_max : in.n);
	http_rules_begin(&s.rules, out, request, why);
	v = request ? request_line(&s, limits->target_bytes_max) : status_line(&s);
	while (v == HTTP_OK && (s.q == s.end || *s.q != '\r'))
		v = s.q == s.end ? more(&s) : header_line(&s);
	if (v == HTTP_OK)
		v = line_end(&s);
	if (v == HTTP_OK)
		v = request ? http_rules_request(&s.rules) : http_rules_response(&s.rules, method);
	*scanned = v == HTTP_MORE ? in.n : 0;
	if (v == HTTP_OK)
		*head_bytes = (size_t)(s.q - in.p);
	return v;
}

enum http_verdict
http_request_parse(const char *p, size_t n, size_t *scanned, const struct http_limits *limits, struct http_head *out, size_t *head_bytes,
	const char **why)
{
	return parse(slice_of(p, n), scanned, limits, true, METHOD_OTHER, out, head_bytes, why);
}

enum http_verdict
http_response_parse(const char *p, size_t n, size_t *scanned, const struct http_limits *limits, enum http_method method,
	struct http_head *out, size_t *head_bytes, const char **why)
{
	return parse(slice_of(p, n), scanned, limits, false, method, out, head_bytes, why);
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
