#include "proxyd/forward.h"
#include "proxyd/websocket_token.h"

/* Never copied from a caller: framing, addresses and identities are written anew or not at all. */
static const uint64_t request_drops = HTTP_FIELD_BIT(FIELD_HOST) | HTTP_FIELD_BIT(FIELD_CONTENT_LENGTH) | HTTP_FIELD_BIT(FIELD_TRANSFER_ENCODING) |
	HTTP_FIELD_BIT(FIELD_EXPECT) | HTTP_FIELD_BIT(FIELD_FORWARDED) | HTTP_FIELD_BIT(FIELD_X_FORWARDED) | HTTP_FIELD_BIT(FIELD_X_REAL_IP) |
	HTTP_FIELD_BIT(FIELD_X_REMOTE) | HTTP_FIELD_BIT(FIELD_X_GATEHOUSE) | HTTP_FIELD_BIT(FIELD_IMPERSONATE) | HTTP_FIELD_BIT(FIELD_X_REQUEST_ID);
/* Where another Authorization or identity is written, a token among these protocols is the caller's, too. */
static const uint64_t credential_drops = HTTP_FIELD_BIT(FIELD_AUTHORIZATION) | HTTP_FIELD_BIT(FIELD_SEC_WEBSOCKET_PROTOCOL);

/* What each kind of destination gets. */
static const struct kind {
	struct slice identity; /* what the identity lines begin with; empty: they may be missing */
	bool told;             /* something of the caller */
	bool cookies;          /* ours, too */
	bool credentials;      /* the caller's own */
	bool forwarded;        /* X-Forwarded-Proto and -Host: it makes links for browsers */
} kinds[] = {
	[FORWARD_CLUSTER] = { .identity = { "Impersonate-User: ", 18 }, .told = true },
	[FORWARD_AUTHD] = { .told = true, .cookies = true, .credentials = true, .forwarded = true },
	[FORWARD_BEARER] = { .identity = { "Authorization: Bearer ", 22 }, .told = true, .forwarded = true },
	[FORWARD_FRONT_PROXY] = { .identity = { "X-Remote-User: ", 15 }, .told = true, .forwarded = true },
	[FORWARD_PLAIN] = { .credentials = true, .forwarded = true },
};
static const uint64_t response_drops = HTTP_FIELD_BIT(FIELD_CONTENT_LENGTH) | HTTP_FIELD_BIT(FIELD_TRANSFER_ENCODING) |
	HTTP_FIELD_BIT(FIELD_X_REQUEST_ID);

#define HSTS SLICE_LIT("Strict-Transport-Security: " FORWARD_HSTS "\r\n")
/* Everything that is written besides copied slices: names, blanks, versions, framing, the longest number. */
#define FIXED_BYTES_MAX 512

static enum forward_verdict
check_connection(struct slice options, const char **why)
{
	while (options.n) {
		struct slice option = slice_trim(slice_cut(&options, ','));
		enum http_field field = http_field_folded(option);
		if (field != FIELD_UPGRADE && http_field_is_critical(field)) {
			*why = "Connection names a header that must not be removed on the way"; /* CVE-2021-31999, CVE-2022-23652, CVE-2025-48865 */
			return FORWARD_BAD;
		}
	}
	return FORWARD_OK;
}

enum forward_verdict
forward_check(const struct http_head *h, const char **why)
{
	enum forward_verdict verdict = FORWARD_OK;
	bool protocols = false;
	struct slice token;

	for (size_t i = 0; i < h->header_n; i++) {
		const struct http_header *f = &h->headers[i];
		if (f->field == FIELD_IMPERSONATE) {
			*why = "impersonating others through this gateway is not allowed";
			verdict = FORWARD_IMPERSONATES;
		} else if (f->field == FIELD_OTHER && f->folds && http_field_is_critical(http_field_folded(f->name))) {
			*why = "header whose name some servers read as another's";
			return FORWARD_BAD;
		} else if (f->field == FIELD_CONNECTION && check_connection(f->value, why) != FORWARD_OK) {
			return FORWARD_BAD;
		}
		protocols |= f->field == FIELD_SEC_WEBSOCKET_PROTOCOL;
	}
	if (protocols && websocket_token_find(h, &token) == WEBSOCKET_TOKEN_BAD) {
		*why = "a token among the WebSocket subprotocols must be the only one and stand beside another subprotocol";
		return FORWARD_BAD;
	}
	return verdict;
}

/* Writes where buf_reserve() has made room for everything. */
struct writer {
	char *p;
};

static void
put(struct writer *w, struct slice s)
{
	if (s.n)
		memcpy(w->p, s.p, s.n);
	w->p += s.n;
}
#define PUT_LIT(w, literal) put(w, SLICE_LIT(literal))

static void
put_header(struct writer *w, struct slice name, struct slice value)
{
	put(w, name);
	PUT_LIT(w, ": ");
	put(w, value);
	PUT_LIT(w, "\r\n");
}

static void
put_u64(struct writer *w, uint64_t v)
{
	char digits[20]; /* 2^64 - 1 has 20 */
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	put(w, slice_of(digits + at, sizeof(digits) - at));
}

static void
put_framing(struct writer *w, enum http_framing framing, uint64_t length)
{
	if (framing == FRAMING_CHUNKED) {
		PUT_LIT(w, "Transfer-Encoding: chunked\r\n");
		return;
	}
	PUT_LIT(w, "Content-Length: ");
	put_u64(w, length);
	PUT_LIT(w, "\r\n");
}

static void
put_upgrade(struct writer *w, enum http_upgrade upgrade)
{
	PUT_LIT(w, "Connection: Upgrade\r\n");
	if (upgrade == UPGRADE_WEBSOCKET)
		PUT_LIT(w, "Upgrade: websocket\r\n");
	else
		PUT_LIT(w, "Upgrade: SPDY/3.1\r\n");
}

/* One item of a list header: its name before the first one, a separator before the others. */
static void
put_item(struct writer *w, size_t *n, struct slice name, struct slice separator, struct slice item)
{
	if ((*n)++ == 0) {
		put(w, name);
		PUT_LIT(w, ": ");
	} else {
		put(w, separator);
	}
	put(w, item);
}

static bool
cookie_is_ours(struct slice name, struct slice ours)
{
	if (ours.n == 0 || !slice_has_prefix(name, ours))
		return false;
	return name.n == ours.n || name.p[ours.n] == '-' || name.p[ours.n] == '_' || name.p[ours.n] == '.';
}

/* A cookie without a name, "=NAME=x", is sent back as "NAME=x" (RFC 6265bis, 5.7). */
static struct slice
cookie_name(struct slice pair)
{
	struct slice name;

	do
		name = slice_trim(slice_cut(&pair, '='));
	while (name.n == 0 && pair.n);
	return name;
}

static void
put_other_cookies(struct writer *w, const struct http_header *f, struct slice ours)
{
	struct slice pairs = f->value;
	size_t n = 0;

	while (pairs.n) {
		struct slice pair = slice_trim(slice_cut(&pairs, ';'));
		if (pair.n && !cookie_is_ours(cookie_name(pair), ours))
			put_item(w, &n, f->name, SLICE_LIT("; "), pair);
	}
	if (n)
		PUT_LIT(w, "\r\n");
}

static void
put_protocols(struct writer *w, const struct http_header *f)
{
	struct slice list = f->value, protocol;
	size_t n = 0;

	while ((protocol = websocket_protocol_next(&list)).p)
		put_item(w, &n, f->name, SLICE_LIT(", "), protocol);
	if (n)
		PUT_LIT(w, "\r\n");
}

static void
put_request_headers(struct writer *w, const struct http_head *h, const struct forward_target *t)
{
	const struct kind *k = &kinds[t->kind];
	uint64_t drops = request_drops | (k->cookies ? 0 : HTTP_FIELD_BIT(FIELD_COOKIE)) | (k->credentials ? 0 : credential_drops);

	for (size_t i = 0; i < h->header_n; i++) {
		const struct http_header *f = &h->headers[i];
		if (f->hop)
			continue;
		if (!(drops >> f->field & 1))
			put_header(w, f->name, f->value);
		else if (f->field == FIELD_COOKIE)
			put_other_cookies(w, f, t->session_cookie);
		else if (f->field == FIELD_SEC_WEBSOCKET_PROTOCOL)
			put_protocols(w, f);
	}
}

/* Bytes that the headers of h take at most, written one by one. A list that came without blanks behind its separators gets them. */
static size_t
headers_bytes_max(const struct http_head *h)
{
	static const uint64_t lists = HTTP_FIELD_BIT(FIELD_COOKIE) | HTTP_FIELD_BIT(FIELD_SEC_WEBSOCKET_PROTOCOL);
	size_t n = 0;

	for (size_t i = 0; i < h->header_n; i++)
		n += h->headers[i].name.n + (h->headers[i].value.n << (lists >> h->headers[i].field & 1)) + 4;
	return n;
}

/* Room for n more bytes, without marking out as failed when there is none. */
static enum err
reserve(struct buf *out, size_t n, struct writer *w)
{
	if (out->max && n > out->max - out->n)
		return E_LIMIT;
	w->p = buf_reserve(out, n);
	return w->p ? OK : E_NOMEM;
}

static void
put_target(struct writer *w, const struct http_head *h, struct slice base_path, struct slice path)
{
	if (slice_eq_str(h->path, "*")) {
		PUT_LIT(w, "*");
		return;
	}
	put(w, base_path);
	if (path.n == 0)
		PUT_LIT(w, "/");
	put(w, path);
	if (h->query.p) {
		PUT_LIT(w, "?");
		put(w, h->query);
	}
}

enum err
forward_request(const struct http_head *h, const struct forward_target *t, const struct forward_context *c, struct buf *out)
{
	const struct kind *k = &kinds[t->kind];
	struct slice path = h->path, host = t->host.n ? t->host : c->client_host;
	struct writer w;

	if (k->identity.n && (!slice_has_prefix(c->identity, k->identity) || !slice_has_suffix(c->identity, SLICE_LIT("\r\n"))))
		return E_CONFLICT; /* without it the request would run as the gateway itself */
	if (!slice_has_prefix(path, t->strip_prefix))
		return E_CONFLICT;
	path = slice_of(path.p + t->strip_prefix.n, path.n - t->strip_prefix.n);
	if (path.n && path.p[0] != '/' && !slice_eq_str(path, "*"))
		return E_CONFLICT;

	enum err e = reserve(out, FIXED_BYTES_MAX + h->method_text.n + t->base_path.n + path.n + h->query.n + host.n + headers_bytes_max(h) +
		c->client_ip.n + c->client_host.n + c->request_id.n + t->credential.n + c->identity.n, &w);
	if (e != OK)
		return e;
	put(&w, h->method_text);
	PUT_LIT(&w, " ");
	put_target(&w, h, t->base_path, path);
	PUT_LIT(&w, " HTTP/1.1\r\n");
	put_header(&w, SLICE_LIT("Host"), host);
	put_request_headers(&w, h, t);
	if (h->upgrade != UPGRADE_NONE)
		put_upgrade(&w, h->upgrade);
	else
		put_framing(&w, h->framing, h->framing == FRAMING_LENGTH ? h->content_length : 0);
	if (c->client_ip.n)
		put_header(&w, SLICE_LIT("X-Forwarded-For"), c->client_ip);
	if (k->forwarded) {
		put_header(&w, SLICE_LIT("X-Forwarded-Proto"), c->tls ? SLICE_LIT("https") : SLICE_LIT("http"));
		if (c->client_host.n)
			put_header(&w, SLICE_LIT("X-Forwarded-Host"), c->client_host);
	}
	if (c->request_id.n)
		put_header(&w, SLICE_LIT("X-Request-Id"), c->request_id);
	put(&w, t->credential);
	if (k->told)
		put(&w, c->identity);
	PUT_LIT(&w, "\r\n");
	buf_commit(out, (size_t)(w.p - (out->p + out->n)));
	return OK;
}

/* Our headers, on whatever is a final answer. */
static void
put_response_extras(struct writer *w, const struct http_head *h, const struct response_context *c, bool has_hsts)
{
	if (c->framing == FRAMING_CHUNKED || c->framing == FRAMING_LENGTH)
		put_framing(w, c->framing, h->content_length);
	else if (c->framing == FRAMING_NONE && h->has_length && h->status != 204)
		put_framing(w, FRAMING_LENGTH, h->content_length);
	if (c->close || c->framing == FRAMING_CLOSE)
		PUT_LIT(w, "Connection: close\r\n");
	else if (c->minor == 0)
		PUT_LIT(w, "Connection: keep-alive\r\n");
	if (c->hsts && !has_hsts)
		put(w, HSTS);
	if (c->sandbox)
		PUT_LIT(w, "Content-Security-Policy: " FORWARD_SANDBOX "\r\n");
	if (c->request_id.n)
		put_header(w, SLICE_LIT("X-Request-Id"), c->request_id);
}

bool
forward_response_passes(const struct http_header *f, const struct response_context *c)
{
	if (f->hop || response_drops >> f->field & 1)
		return false;
	/* Below one path nobody speaks for the whole origin: our pages, and other backends, are there, too. */
	if (f->field == FIELD_WHOLE_ORIGIN && c->session_cookie.n)
		return false;
	/* A pod behind a proxy subresource would choose whose session its visitors have. */
	return f->field != FIELD_SET_COOKIE || !cookie_is_ours(cookie_name(f->value), c->session_cookie);
}

enum err
forward_response(const struct http_head *h, const struct response_context *c, struct buf *out)
{
	bool has_hsts = false;
	struct writer w;

	if (c->framing == FRAMING_CHUNKED && c->minor == 0)
		return E_CONFLICT;
	enum err e = reserve(out, FIXED_BYTES_MAX + h->reason.n + headers_bytes_max(h) + c->request_id.n, &w);
	if (e != OK)
		return e;
	PUT_LIT(&w, "HTTP/1.1 ");
	put_u64(&w, h->status);
	PUT_LIT(&w, " ");
	put(&w, h->reason);
	PUT_LIT(&w, "\r\n");
	for (size_t i = 0; i < h->header_n; i++) {
		const struct http_header *f = &h->headers[i];
		if (!forward_response_passes(f, c))
			continue;
		has_hsts |= f->field == FIELD_STRICT_TRANSPORT_SECURITY;
		put_header(&w, f->name, f->value);
	}
	if (h->status == 101) {
		put_upgrade(&w, h->upgrade);
		if (c->request_id.n)
			put_header(&w, SLICE_LIT("X-Request-Id"), c->request_id);
	} else if (h->status >= 200)
		put_response_extras(&w, h, c, has_hsts);
	PUT_LIT(&w, "\r\n");
	buf_commit(out, (size_t)(w.p - (out->p + out->n)));
	return OK;
}
