#include "proxyd/http_bytes.h"
#include "proxyd/http_rules.h"

/* Fields about this hop alone (RFC 9110 section 7.6.1). */
static const uint64_t hop_fields = HTTP_FIELD_BIT(FIELD_CONNECTION) | HTTP_FIELD_BIT(FIELD_TRANSFER_ENCODING) | HTTP_FIELD_BIT(FIELD_TE) |
	HTTP_FIELD_BIT(FIELD_TRAILER) | HTTP_FIELD_BIT(FIELD_UPGRADE) | HTTP_FIELD_BIT(FIELD_KEEP_ALIVE) |
	HTTP_FIELD_BIT(FIELD_PROXY_CONNECTION) | HTTP_FIELD_BIT(FIELD_PROXY_AUTHENTICATE) | HTTP_FIELD_BIT(FIELD_PROXY_AUTHORIZATION) |
	HTTP_FIELD_BIT(FIELD_PROXY) | HTTP_FIELD_BIT(FIELD_HTTP2_SETTINGS);

/* Headers whose second occurrence leaves it to each reader which one counts. */
static const uint64_t single_fields = HTTP_FIELD_BIT(FIELD_HOST) | HTTP_FIELD_BIT(FIELD_CONTENT_LENGTH) |
	HTTP_FIELD_BIT(FIELD_TRANSFER_ENCODING) | HTTP_FIELD_BIT(FIELD_AUTHORIZATION) | HTTP_FIELD_BIT(FIELD_CONTENT_TYPE) |
	HTTP_FIELD_BIT(FIELD_UPGRADE) | HTTP_FIELD_BIT(FIELD_EXPECT) | HTTP_FIELD_BIT(FIELD_ORIGIN) | HTTP_FIELD_BIT(FIELD_LOCATION);

static enum http_verdict
bad(struct http_rules *r, const char *why)
{
	*r->why = why;
	return HTTP_BAD;
}

void
http_rules_begin(struct http_rules *r, struct http_head *h, bool request, const char **why)
{
	/* The tables of headers and of names are written before they are read: 6 KB that need no clearing. */
	memset(h, 0, offsetof(struct http_head, headers));
	h->header_n = 0;
	h->authorization = h->cookie = h->accept = h->origin = h->connection = -1;
	memset(r, 0, offsetof(struct http_rules, named));
	r->named_n = 0;
	r->head = h;
	r->request = request;
	r->why = why;
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

enum http_verdict
http_rules_method(struct http_rules *r, struct slice method)
{
	struct http_head *h = r->head;

	h->method_text = method;
	h->method = method_of(method);
	if (h->method == METHOD_CONNECT || h->method == METHOD_TRACE) {
		*r->why = "method not supported";
		return HTTP_NOT_IMPLEMENTED;
	}
	return HTTP_OK;
}

/* Origin form, absolute form or "*" (RFC 9112 section 3.2) into path, query and authority. */
enum http_verdict
http_rules_target(struct http_rules *r, struct slice target)
{
	struct http_head *h = r->head;
	struct slice rest = h->target = target;

	if (slice_eq_str(rest, "*")) {
		if (h->method != METHOD_OPTIONS)
			return bad(r, "target * with a method other than OPTIONS");
		h->path = rest;
		return HTTP_OK;
	}
	if (rest.p[0] != '/') {
		size_t scheme = slice_eq_nocase(slice_of(rest.p, rest.n < 8 ? rest.n : 8), SLICE_LIT("https://")) ? 8 :
			slice_eq_nocase(slice_of(rest.p, rest.n < 7 ? rest.n : 7), SLICE_LIT("http://")) ? 7 : 0;
		if (scheme == 0)
			return bad(r, "target is neither a path nor an http URL");
		size_t at = scheme;
		while (at < rest.n && rest.p[at] != '/' && rest.p[at] != '?')
			at++;
		r->authority = slice_of(rest.p + scheme, at - scheme);
		if (!http_authority_ok(r->authority))
			return bad(r, "the target's host is malformed");
		rest = slice_of(rest.p + at, rest.n - at);
	}
	const char *mark = rest.n ? memchr(rest.p, '?', rest.n) : NULL;
	h->path = mark ? slice_of(rest.p, (size_t)(mark - rest.p)) : rest;
	if (mark)
		h->query = slice_of(mark + 1, rest.n - h->path.n - 1);
	if (h->path.n == 0)
		h->path = SLICE_LIT("/"); /* RFC 9112 section 3.2.1 */
	return http_path_ok(h->path, r->why) ? HTTP_OK : HTTP_BAD;
}

/* Connection = #connection-option (RFC 9110 section 7.6.1); empty list elements are allowed (section 5.6.1.2). */
static enum http_verdict
connection_options(struct http_rules *r, struct slice value)
{
	while (value.n) {
		struct slice option = slice_trim(slice_cut(&value, ','));
		if (option.n == 0)
			continue;
		if (!http_is_token(option))
			return bad(r, "malformed Connection header");
		if (slice_eq_nocase(option, SLICE_LIT("close")))
			r->says_close = true;
		else if (slice_eq_nocase(option, SLICE_LIT("keep-alive")))
			r->says_keep_alive = true;
		else if (slice_eq_nocase(option, SLICE_LIT("upgrade")))
			r->says_upgrade = true;
		else if (r->named_n == HTTP_NAMED_MAX)
			return bad(r, "Connection names too many headers");
		else
			r->named[r->named_n++] = option;
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
apply(struct http_rules *r, const struct http_header *f)
{
	struct http_head *h = r->head;
	uint64_t bit = HTTP_FIELD_BIT(f->field);

	if (bit & r->seen & single_fields)
		return bad(r, "header that may occur once occurs twice");
	r->seen |= bit;
	switch (f->field) {
	case FIELD_HOST:
		h->host = f->value;
		return http_authority_ok(f->value) || !r->request ? HTTP_OK : bad(r, "malformed Host");
	case FIELD_CONTENT_LENGTH:
		h->has_length = slice_to_u64(f->value, INT64_MAX, &h->content_length);
		return h->has_length ? HTTP_OK : bad(r, "malformed Content-Length");
	case FIELD_TRANSFER_ENCODING:
		/* Names of codings are caseless (RFC 9112 section 7); clients write this one in lower case and some servers look for that
		 * alone, so a request has no choice. */
		if (r->request ? slice_eq_str(f->value, "chunked") : slice_eq_nocase(f->value, SLICE_LIT("chunked")))
			return HTTP_OK;
		return bad(r, "Transfer-Encoding other than chunked");
	case FIELD_CONNECTION:
		note_first(&h->connection, h);
		return connection_options(r, f->value);
	case FIELD_UPGRADE:
		r->upgrade_value = f->value;
		return HTTP_OK;
	case FIELD_EXPECT:
		r->expect_value = f->value;
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

struct http_header *
http_rules_next(struct http_rules *r)
{
	if (r->head->header_n < HTTP_HEADERS_MAX)
		return &r->head->headers[r->head->header_n];
	*r->why = "too many headers";
	return NULL;
}

enum http_verdict
http_rules_header(struct http_rules *r)
{
	struct http_header *f = &r->head->headers[r->head->header_n];

	f->field = http_field_of(f->name);
	f->hop = hop_fields >> f->field & 1;
	if (f->folds && r->request && http_field_is_critical(http_field_folded(f->name)) && f->field == FIELD_OTHER)
		return bad(r, "header whose name some servers read as another's");
	enum http_verdict v = apply(r, f);
	r->head->header_n++;
	return v;
}

static void
mark_named(struct http_rules *r)
{
	for (size_t n = 0; n < r->named_n; n++)
		for (size_t i = 0; i < r->head->header_n; i++)
			if (slice_eq_nocase(r->head->headers[i].name, r->named[n]))
				r->head->headers[i].hop = true;
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
finish(struct http_rules *r)
{
	struct http_head *h = r->head;
	bool chunked = r->seen & HTTP_FIELD_BIT(FIELD_TRANSFER_ENCODING);

	if (chunked && h->has_length)
		return bad(r, "both Content-Length and Transfer-Encoding");
	if (chunked && h->minor == 0)
		return bad(r, "Transfer-Encoding in HTTP/1.0");
	h->framing = chunked ? FRAMING_CHUNKED : h->has_length ? FRAMING_LENGTH : FRAMING_NONE;
	h->keep_alive = !r->says_close && (h->minor > 0 || r->says_keep_alive);
	mark_named(r);
	return HTTP_OK;
}

enum http_verdict
http_rules_request(struct http_rules *r)
{
	struct http_head *h = r->head;
	enum http_verdict v = finish(r);

	if (v != HTTP_OK)
		return v;
	if (h->host.n == 0)
		return bad(r, "no Host");
	if (r->authority.p && !slice_eq_nocase(r->authority, h->host))
		return bad(r, "Host differs from the target's");
	if (r->upgrade_value.p) {
		h->upgrade = upgrade_of(r->upgrade_value);
		if (!r->says_upgrade || h->upgrade == UPGRADE_NONE || h->minor == 0)
			return bad(r, "upgrade to something other than websocket or SPDY/3.1");
		if (h->method != METHOD_GET && h->method != METHOD_POST)
			return bad(r, "upgrade with a method other than GET and POST");
		if (h->framing == FRAMING_CHUNKED || h->content_length > 0)
			return bad(r, "upgrade with a body"); /* where it would end and the tunnel begin is anybody's guess */
	}
	if (r->expect_value.p) {
		if (!slice_eq_nocase(r->expect_value, SLICE_LIT("100-continue"))) {
			*r->why = "expectation other than 100-continue";
			return HTTP_EXPECTATION;
		}
		h->expect_continue = h->minor > 0; /* RFC 9110 section 10.1.1 */
	}
	return HTTP_OK;
}

enum http_verdict
http_rules_response(struct http_rules *r, enum http_method method)
{
	struct http_head *h = r->head;
	bool bodiless = h->status < 200 || h->status == 204;
	enum http_verdict v = finish(r);

	if (v != HTTP_OK)
		return v;
	if (bodiless && (h->framing == FRAMING_CHUNKED || h->content_length > 0))
		return bad(r, "body announced where there is none");
	if (h->status == 101) {
		h->upgrade = r->says_upgrade ? upgrade_of(r->upgrade_value) : UPGRADE_NONE;
		if (h->upgrade == UPGRADE_NONE)
			return bad(r, "101 without a protocol that is carried");
	}
	if (bodiless || h->status == 304 || method == METHOD_HEAD) {
		h->framing = FRAMING_NONE;
	} else if (h->framing == FRAMING_NONE) {
		h->framing = FRAMING_CLOSE;
		h->keep_alive = false;
	}
	return HTTP_OK;
}

