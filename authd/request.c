#include "authd/request.h"
#include "oidc/base64url.h"

struct slice
request_header(const struct request *r, const char *name)
{
	for (size_t i = 0; i < r->header_n; i++)
		if (slice_eq_nocase(r->headers[i].name, slice_str(name)))
			return r->headers[i].value;
	return SLICE_NONE;
}

/* Look for name in one Cookie header; false when it makes *found ambiguous. */
static bool
cookie_scan(struct slice header, struct slice name, struct slice *found)
{
	while (header.n) {
		struct slice pair = slice_trim(slice_cut(&header, ';'));
		struct slice value = pair;
		struct slice key = slice_cut(&value, '=');

		if (!slice_eq(key, name) || key.n == pair.n)
			continue;
		if (found->p && !slice_eq(*found, value))
			return false;
		*found = value;
	}
	return true;
}

struct slice
request_cookie(const struct request *r, const char *name)
{
	struct slice found = SLICE_NONE;

	for (size_t i = 0; i < r->header_n; i++)
		if (slice_eq_nocase(r->headers[i].name, SLICE_LIT("Cookie")) && !cookie_scan(r->headers[i].value, slice_str(name), &found))
			return SLICE_NONE;
	return found;
}

bool
request_target_split(struct slice target, struct slice *path, struct slice *query)
{
	const char *mark;

	if (target.n == 0 || target.p[0] != '/')
		return false;
	for (size_t i = 0; i < target.n; i++)
		if ((unsigned char)target.p[i] <= ' ' || (unsigned char)target.p[i] >= 0x7f || target.p[i] == '#')
			return false;
	mark = memchr(target.p, '?', target.n);
	*path = mark ? slice_of(target.p, (size_t)(mark - target.p)) : target;
	*query = mark ? slice_of(mark + 1, (size_t)(target.p + target.n - mark - 1)) : SLICE_NONE;
	return true;
}

static size_t
header_count(const struct request *r, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < r->header_n; i++)
		n += slice_eq_nocase(r->headers[i].name, slice_str(name));
	return n;
}

/* RFC 9110 5.1: a name is a token; RFC 9112 5.1: no blank before the colon. */
static bool
header_name_ok(struct slice name)
{
	if (name.n == 0)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];
		if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
			return false;
	}
	return true;
}

static bool
header_value_ok(struct slice value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

const char *
request_head_refused(const struct request *r)
{
	static const char *const single[] = { "Host", "Content-Length", "Transfer-Encoding", "Authorization", "Content-Type", "Origin", NULL };
	struct slice coding = request_header(r, "Transfer-Encoding");
	uint64_t length;

	for (size_t i = 0; i < r->header_n; i++) {
		if (!header_name_ok(r->headers[i].name))
			return "a header name is not a token";
		if (!header_value_ok(r->headers[i].value))
			return "a header value has control bytes";
	}
	for (size_t i = 0; single[i]; i++)
		if (header_count(r, single[i]) > 1)
			return "a header that may come once came twice";
	if (coding.p && header_count(r, "Content-Length"))
		return "both Content-Length and Transfer-Encoding (RFC 9112 section 6.3)";
	if (coding.p && !slice_eq_nocase(coding, SLICE_LIT("chunked")))
		return "Transfer-Encoding other than chunked";
	if (header_count(r, "Content-Length") && !slice_to_u64(request_header(r, "Content-Length"), UINT64_MAX / 2, &length))
		return "Content-Length is no number";
	return NULL;
}

static bool
request_id_ok(struct slice id)
{
	if (id.n == 0 || id.n >= REQUEST_ID_BYTES)
		return false;
	for (size_t i = 0; i < id.n; i++) {
		char c = id.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
			return false;
	}
	return true;
}

void
request_id_set(struct request *r, struct slice given, const struct rng *rng)
{
	unsigned char random[16] = { 0 };

	if (request_id_ok(given)) {
		memcpy(r->id, given.p, given.n);
		r->id[given.n] = 0;
		return;
	}
	/* An id only names a request in logs: without randomness it is a poor name, and the request's own secrets will fail. */
	if (rng_fill(rng, random, sizeof random) != OK)
		memset(random, 0, sizeof random);
	base64url_encode(random, sizeof random, r->id);
}

static enum err
form_of(struct request *r, struct slice text, struct form **out)
{
	*out = arena_alloc(&r->arena, sizeof **out);
	return *out ? form_parse(text, &r->arena, *out) : E_NOMEM;
}

enum err
request_query_form(struct request *r, struct form **out)
{
	return form_of(r, r->query, out);
}

enum err
request_body_form(struct request *r, struct form **out)
{
	struct slice type = request_header(r, "Content-Type");

	if (!slice_eq_nocase(slice_trim(slice_cut(&type, ';')), SLICE_LIT("application/x-www-form-urlencoded")))
		return E_FORMAT;
	return form_of(r, r->body, out);
}

void
response_header(struct request *r, const char *name, struct slice value)
{
	struct slice kept;

	for (size_t i = 0; i < r->answer_header_fixed; i++)
		if (slice_eq_nocase(r->answer_headers[i].name, slice_str(name)))
			return;
	kept = arena_slice(&r->arena, value);
	if (!kept.p || r->answer_header_n == sizeof r->answer_headers / sizeof r->answer_headers[0]) {
		r->answer_failed = true;
		return;
	}
	r->answer_headers[r->answer_header_n++] = (struct request_header){ slice_str(name), kept };
}

void
response_header_fixed(struct request *r, const char *name, struct slice value)
{
	response_header(r, name, value);
	r->answer_header_fixed = r->answer_header_n;
}
