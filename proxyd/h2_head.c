#include <stdlib.h>
#include "proxyd/h2_head.h"
#include "proxyd/http_bytes.h"
#include "proxyd/http_rules.h"

/* ---- fields as they come ---- */

/* In the block: this, the name, the value, unaligned. */
struct field_size {
	uint32_t name, value;
};
#define PSEUDO_FIELDS_MAX 4 /* :method, :scheme, :authority, :path */

static enum err
make_room(struct h2_fields *f, struct block_pool *pool, size_t n)
{
	struct block *b = f->block;

	if (!b) {
		f->block = block_get(pool, n);
		return f->block ? OK : E_NOMEM;
	}
	if (b->bytes - b->to >= n)
		return OK;
	size_t bytes = b->bytes * 2 > b->to + n ? b->bytes * 2 : b->to + n;
	if (!(b = block_grow(pool, b, bytes)))
		return E_NOMEM;
	f->block = b;
	return OK;
}

enum err
h2_fields_add(struct h2_fields *f, struct block_pool *pool, size_t size_max, struct slice name, struct slice value)
{
	const struct field_size size = { (uint32_t)name.n, (uint32_t)value.n };
	size_t n = sizeof(size) + name.n + value.n;

	f->size += name.n + value.n + H2_FIELD_OVERHEAD;
	f->n++;
	if (f->size > size_max)
		f->too_much = "headers longer than the limit";
	else if (f->n > HTTP_HEADERS_MAX + PSEUDO_FIELDS_MAX)
		f->too_much = "too many headers";
	if (f->too_much)
		return OK;
	enum err err = make_room(f, pool, n);
	if (err)
		return err;
	char *to = f->block->data + f->block->to;
	memcpy(to, &size, sizeof(size));
	memcpy(to + sizeof(size), name.p, name.n);
	if (value.n)
		memcpy(to + sizeof(size) + name.n, value.p, value.n);
	f->block->to += n;
	return OK;
}

void
h2_fields_drop(struct h2_fields *f, struct block_pool *pool)
{
	block_put(pool, f->block);
	*f = (struct h2_fields){ 0 };
}

/* ---- a request ---- */

struct reader {
	struct http_rules rules;
	struct h2_refusal *refusal;
	const char *at, *end;      /* of the fields */
	char *p;                   /* of the text */
	struct slice method, scheme, path, authority; /* .p NULL: not there */
	bool regular;              /* a field that is none of these has been seen */
};

static enum err
malformed(struct reader *r, const char *why)
{
	*r->refusal = (struct h2_refusal){ 0, why };
	return E_FORMAT;
}

static enum err
refused(struct reader *r, enum http_verdict v)
{
	if (v == HTTP_OK)
		return OK;
	r->refusal->code = http_verdict_status(v); /* why has been set by the rules */
	return E_FORMAT;
}

static bool
next_field(struct reader *r, struct slice *name, struct slice *value)
{
	struct field_size size;

	if (r->at == r->end)
		return false;
	memcpy(&size, r->at, sizeof(size));
	*name = slice_of(r->at + sizeof(size), size.name);
	*value = slice_of(name->p + name->n, size.value);
	r->at = value->p + value->n;
	return true;
}

static struct slice
keep(struct reader *r, struct slice s)
{
	char *p = r->p;

	if (s.n)
		memcpy(p, s.p, s.n);
	r->p += s.n;
	return slice_of(p, s.n);
}

/* At once: whoever refuses the rest has to know whether the answer may have a body. */
static enum err
check_method(struct reader *r)
{
	if (!http_is_token(r->method))
		return malformed(r, "malformed :method");
	if (r->method.n > HTTP_METHOD_BYTES_MAX) {
		r->refusal->why = "method too long";
		return refused(r, HTTP_BAD);
	}
	return refused(r, http_rules_method(&r->rules, r->method));
}

static enum err
pseudo(struct reader *r, struct slice name, struct slice value)
{
	struct slice *to = slice_eq_str(name, ":path")	? &r->path :
		slice_eq_str(name, ":method")		? &r->method :
		slice_eq_str(name, ":authority")	? &r->authority :
		slice_eq_str(name, ":scheme")		? &r->scheme : NULL;

	if (!to || r->regular)
		return malformed(r, to ? "pseudo-header behind a header" : "unknown pseudo-header");
	if (to->p || value.n == 0)
		return malformed(r, to->p ? "pseudo-header that occurs twice" : "empty pseudo-header");
	*to = keep(r, value);
	return to == &r->method ? check_method(r) : OK;
}

/* RFC 9113 section 8.2: lower case, no blank, no control; no blanks around the value. */
static enum err
check_bytes(struct reader *r, struct slice name, struct slice value, bool *folds)
{
	unsigned classes = 0;

	for (size_t i = 0; i < name.n; i++) {
		if (!http_byte_is(name.p[i], HTTP_BYTE_TOKEN) || http_byte_lower(name.p[i]) != name.p[i])
			return malformed(r, "byte that is not allowed in a header's name");
		classes |= http_byte_class[(unsigned char)name.p[i]];
	}
	if (value.n && (http_value_end(value.p, value.p + value.n) != value.p + value.n || slice_trim(value).n != value.n))
		return malformed(r, "byte that is not allowed in a header's value");
	*folds = classes & HTTP_BYTE_FOLDS;
	return name.n ? OK : malformed(r, "header without a name");
}

static enum err
add_header(struct reader *r, struct slice name, struct slice value)
{
	/* RFC 9113 section 8.2.2. Also "TE" is one, but for its value "trailers". */
	static const uint64_t connection_specific = HTTP_FIELD_BIT(FIELD_CONNECTION) | HTTP_FIELD_BIT(FIELD_KEEP_ALIVE) |
		HTTP_FIELD_BIT(FIELD_PROXY_CONNECTION) | HTTP_FIELD_BIT(FIELD_TRANSFER_ENCODING) | HTTP_FIELD_BIT(FIELD_UPGRADE);
	struct http_header *f = http_rules_next(&r->rules);

	if (!f)
		return refused(r, HTTP_TOO_LARGE);
	enum err err = check_bytes(r, name, value, &f->folds);
	if (err)
		return err;
	f->name = keep(r, name);
	f->value = keep(r, value);
	err = refused(r, http_rules_header(&r->rules));
	if (connection_specific >> f->field & 1 || (f->field == FIELD_TE && !slice_eq_nocase(value, SLICE_LIT("trailers"))))
		return malformed(r, "connection-specific header");
	if (err && f->field == FIELD_CONTENT_LENGTH)
		return malformed(r, r->refusal->why);
	return err;
}

/* Crumbs of cookies become one header (RFC 9113 section 8.2.3). first: where the first of them is. */
static enum err
add_cookies(struct reader *r, const char *first)
{
	struct slice name, value;
	struct http_header *f = http_rules_next(&r->rules);

	if (!f)
		return refused(r, HTTP_TOO_LARGE);
	r->at = first;
	f->name = keep(r, SLICE_LIT("cookie"));
	f->value = slice_of(r->p, 0);
	while (next_field(r, &name, &value)) {
		if (!slice_eq(name, f->name))
			continue;
		enum err err = check_bytes(r, name, value, &f->folds);
		if (err)
			return err;
		if (r->p != f->value.p)
			keep(r, SLICE_LIT("; "));
		keep(r, value);
	}
	f->value.n = (size_t)(r->p - f->value.p);
	return refused(r, http_rules_header(&r->rules));
}

/* What the pseudo-headers say, once all headers are there. */
static enum err
check_target(struct reader *r, const struct http_limits *limits)
{
	struct http_head *h = r->rules.head;

	if (r->method.n == 0)
		return malformed(r, "no :method");
	if (!slice_eq_str(r->scheme, "https") && !slice_eq_str(r->scheme, "http"))
		return malformed(r, "no :scheme");
	if (r->path.n == 0 || (r->path.p[0] != '/' && !slice_eq_str(r->path, "*")))
		return malformed(r, "no :path");
	for (size_t i = 0; i < r->path.n; i++)
		if (!http_byte_is(r->path.p[i], HTTP_BYTE_QUERY))
			return malformed(r, "byte that is not allowed in a target");
	if (r->path.n > limits->target_bytes_max) {
		r->refusal->why = "target longer than the limit";
		return refused(r, HTTP_TARGET_LONG);
	}
	if (r->authority.p) {
		if (!http_authority_ok(r->authority) || (h->host.p && !slice_eq_nocase(r->authority, h->host)))
			return malformed(r, "malformed :authority, or Host differs from it"); /* RFC 9113 section 8.3.1 */
		h->host = r->authority;
	}
	return refused(r, http_rules_target(&r->rules, r->path));
}

static enum err
read_fields(struct reader *r, bool ended, const struct http_limits *limits)
{
	struct http_head *h = r->rules.head;
	const char *crumbs = NULL;
	struct slice name, value;
	enum err err = OK;

	while (!err && next_field(r, &name, &value)) {
		if (name.n && name.p[0] == ':') {
			err = pseudo(r, name, value);
			continue;
		}
		r->regular = true;
		if (!slice_eq_str(name, "cookie"))
			err = add_header(r, name, value);
		else if (!crumbs)
			crumbs = name.p - sizeof(struct field_size);
	}
	if (!err && crumbs)
		err = add_cookies(r, crumbs);
	if (!err)
		err = check_target(r, limits);
	h->minor = 2;
	if (!err)
		err = refused(r, http_rules_request(&r->rules));
	if (err)
		return err;
	if (ended && h->framing == FRAMING_LENGTH && h->content_length > 0)
		return malformed(r, "Content-Length without a body");
	/* With the length 0 the message would be whole upstream before the stream's end shows whether it is (RFC 9113 section 8.1.1). */
	if (!ended && (h->framing == FRAMING_NONE || h->content_length == 0))
		h->framing = FRAMING_CHUNKED;
	return OK;
}

enum err
h2_head_request(const struct h2_fields *f, bool ended, const struct http_limits *limits, struct http_head *out, char **text,
	struct h2_refusal *refusal)
{
	struct reader r = { .refusal = refusal };

	*text = NULL;
	http_rules_begin(&r.rules, out, true, &refusal->why);
	*refusal = (struct h2_refusal){ 431, f->too_much };
	if (f->too_much)
		return E_FORMAT;
	if (!f->block)
		return malformed(&r, "no headers");
	r.at = f->block->data;
	r.end = r.at + f->block->to;
	/* What is copied is shorter than what stands there: 8 bytes of sizes for each field, 2 for each "; ". */
	if (!(r.p = *text = malloc(f->block->to)))
		return E_NOMEM;
	enum err err = read_fields(&r, ended, limits);
	if (err) {
		free(*text);
		*text = NULL;
	}
	return err;
}

/* ---- an answer ---- */

static void
put_field(struct h2_answer *out, struct slice name, struct slice value, bool once)
{
	out->fields[out->n++] = (struct h2_field){ name, value, once };
}

static void
put_length(struct h2_answer *out, uint64_t n)
{
	size_t at = sizeof(out->length);

	do {
		out->length[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	put_field(out, SLICE_LIT("content-length"), slice_of(out->length + at, sizeof(out->length) - at), true);
}

void
h2_head_answer(const struct http_head *h, const struct response_context *c, struct h2_answer *out)
{
	bool has_hsts = false;
	unsigned status = h->status;

	out->n = 0;
	for (int i = 2; i >= 0; i--, status /= 10)
		out->status[i] = (char)('0' + status % 10);
	put_field(out, SLICE_LIT(":status"), slice_of(out->status, sizeof(out->status)), false);
	for (size_t i = 0; i < h->header_n; i++) {
		const struct http_header *f = &h->headers[i];
		if (!forward_response_passes(f, c))
			continue;
		has_hsts |= f->field == FIELD_STRICT_TRANSPORT_SECURITY;
		put_field(out, f->name, f->value, f->field == FIELD_OTHER && slice_eq_nocase(f->name, SLICE_LIT("audit-id")));
	}
	if (h->status < 200)
		return;
	if (h->framing == FRAMING_LENGTH || (h->framing == FRAMING_NONE && h->has_length && h->status != 204))
		put_length(out, h->content_length);
	if (c->hsts && !has_hsts)
		put_field(out, SLICE_LIT("strict-transport-security"), SLICE_LIT(FORWARD_HSTS), false);
	if (c->sandbox)
		put_field(out, SLICE_LIT("content-security-policy"), SLICE_LIT(FORWARD_SANDBOX), false);
	if (c->request_id.n)
		put_field(out, SLICE_LIT("x-request-id"), c->request_id, true);
}
