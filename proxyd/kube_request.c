#include "proxyd/http_bytes.h"
#include "proxyd/kube_request.h"

#define SELECTOR_BYTES_MAX 1024 /* as sent; a name and whatever else stands beside it */

const char *
kube_verb_name(enum kube_verb v)
{
	static const char *const names[KUBE_VERBS] = {
		[KUBE_GET] = "get", [KUBE_LIST] = "list", [KUBE_WATCH] = "watch", [KUBE_CREATE] = "create", [KUBE_UPDATE] = "update",
		[KUBE_PATCH] = "patch", [KUBE_DELETE] = "delete", [KUBE_DELETECOLLECTION] = "deletecollection", [KUBE_PROXY] = "proxy",
		[KUBE_HEAD] = "head", [KUBE_POST] = "post", [KUBE_PUT] = "put", [KUBE_OPTIONS] = "options", [KUBE_OTHER] = "other",
	};
	return names[v];
}

static enum kube_verb
method_verb(enum http_method method, bool is_resource)
{
	switch (method) {
	case METHOD_GET:
		return KUBE_GET;
	case METHOD_HEAD:
		return is_resource ? KUBE_GET : KUBE_HEAD;
	case METHOD_POST:
		return is_resource ? KUBE_CREATE : KUBE_POST;
	case METHOD_PUT:
		return is_resource ? KUBE_UPDATE : KUBE_PUT;
	case METHOD_PATCH:
		return KUBE_PATCH;
	case METHOD_DELETE:
		return KUBE_DELETE;
	case METHOD_OPTIONS:
		return is_resource ? KUBE_OTHER : KUBE_OPTIONS;
	default:
		return KUBE_OTHER;
	}
}

/* The character that s begins with, decoded; moves s behind it. A broken escape stands for itself. plus: '+' is a blank (queries). */
static char
next_char(struct slice *s, bool plus)
{
	char c = s->p[0];
	size_t used = 1;

	if (c == '%' && s->n >= 3 && http_byte_is(s->p[1], HTTP_BYTE_HEX) && http_byte_is(s->p[2], HTTP_BYTE_HEX)) {
		c = (char)(http_byte_hex(s->p[1]) << 4 | http_byte_hex(s->p[2]));
		used = 3;
	} else if (c == '+' && plus) {
		c = ' ';
	}
	*s = slice_of(s->p + used, s->n - used);
	return c;
}

/* What is left of the path: its parts are cut off one by one. none: there is no part any more, which differs from an empty one. */
struct parts {
	struct slice rest;
	bool none;
};

static struct slice
next_part(struct parts *p)
{
	const char *slash = p->rest.n ? memchr(p->rest.p, '/', p->rest.n) : NULL;
	struct slice part = p->rest;

	if (p->none)
		return SLICE_LIT("");
	if (slash) {
		part.n = (size_t)(slash - part.p);
		p->rest = slice_of(slash + 1, p->rest.n - part.n - 1);
	} else {
		p->none = true;
	}
	return part;
}

static struct slice
peek_part(struct parts p)
{
	return next_part(&p);
}

/* Parts that are left, counted up to 3. */
static size_t
count_parts(struct parts p)
{
	size_t n = 0;

	for (; !p.none && n < 3; n++)
		next_part(&p);
	return n;
}

/* Without slashes at its ends; decoded, where it has escapes. */
static bool
split(struct slice path, struct kube_request *out, struct parts *parts)
{
	size_t n = 0;

	if (path.n > sizeof(out->decoded))
		return false;
	if (memchr(path.p, '%', path.n)) {
		for (struct slice rest = path; rest.n; n++)
			out->decoded[n] = next_char(&rest, false);
		path = slice_of(out->decoded, n);
	}
	while (path.n && path.p[0] == '/')
		path = slice_of(path.p + 1, path.n - 1);
	while (path.n && path.p[path.n - 1] == '/')
		path.n--;
	*parts = (struct parts){ path, path.n == 0 };
	return path.n > 0;
}

/* "/namespaces/a/pods": pods of a. "/namespaces/a" and its status and finalize are the namespace's own. */
static void
cut_namespace(struct parts *p, struct kube_request *out)
{
	struct parts behind = *p;

	if (!slice_eq_str(next_part(&behind), "namespaces") || behind.none)
		return;
	out->namespace = next_part(&behind);
	struct slice next = peek_part(behind);
	if (!behind.none && !slice_eq_str(next, "status") && !slice_eq_str(next, "finalize"))
		*p = behind;
}

static bool
decodes_to(struct slice s, const char *text)
{
	for (; s.n && *text; text++)
		if (next_char(&s, true) != *text)
			return false;
	return s.n == 0 && *text == '\0';
}

/* The first value of a parameter; .p NULL: it does not occur. */
static struct slice
parameter(struct slice query, const char *name)
{
	while (query.n) {
		struct slice value = slice_cut(&query, '&'), key = slice_cut(&value, '=');
		if (decodes_to(key, name))
			return value.p ? value : SLICE_LIT("");
	}
	return SLICE_NONE;
}

/* As apimachinery reads a boolean: whatever is neither "false" nor "0" is true. */
static bool
is_true(struct slice value)
{
	char word[6]; /* one more than "false" has */
	size_t n = 0;

	if (!value.p || decodes_to(value, "0"))
		return false;
	while (value.n && n < sizeof(word))
		word[n++] = http_byte_lower(next_char(&value, true));
	return !slice_eq_str(slice_of(word, n), "false");
}

static bool
is_name(struct slice s)
{
	return s.n && s.n <= KUBE_NAME_BYTES_MAX && !memchr(s.p, '/', s.n) && !memchr(s.p, '%', s.n) && !slice_eq_str(s, ".") && !slice_eq_str(s, "..");
}

/* "metadata.name=a" or "==a", the first of a selector's terms: the one that a list or watch is restricted to. Names need no escape of the selector's own. */
static struct slice
selected_name(struct slice selector, char out[KUBE_NAME_BYTES_MAX])
{
	static const struct slice key = { "metadata.name=", 14 };
	char text[SELECTOR_BYTES_MAX];
	size_t n = 0;

	if (selector.n > sizeof(text))
		return SLICE_LIT("");
	while (selector.n)
		text[n++] = next_char(&selector, true);
	for (struct slice terms = slice_of(text, n); terms.n;) {
		struct slice term = slice_cut(&terms, ',');
		if (!slice_has_prefix(term, key))
			continue;
		struct slice name = slice_of(term.p + key.n, term.n - key.n);
		if (name.n && name.p[0] == '=')
			name = slice_of(name.p + 1, name.n - 1);
		if (!is_name(name))
			break;
		memcpy(out, name.p, name.n);
		return slice_of(out, name.n);
	}
	return SLICE_LIT("");
}

/* Without a name, get is list or watch, and delete is for all of them. */
static void
refine_verb(struct slice query, struct kube_request *out)
{
	if (out->name.n)
		return;
	if (out->verb == KUBE_DELETE)
		out->verb = KUBE_DELETECOLLECTION;
	if (out->verb != KUBE_GET)
		return;
	out->verb = query.n && is_true(parameter(query, "watch")) ? KUBE_WATCH : KUBE_LIST;
	if (query.n)
		out->name = selected_name(parameter(query, "fieldSelector"), out->name_decoded);
}

void
kube_request_parse(enum http_method method, struct slice path, struct slice query, struct kube_request *out)
{
	struct parts p;

	out->verb = method_verb(method, false);
	out->is_resource = false;
	out->group = out->version = out->resource = out->subresource = out->namespace = out->name = SLICE_LIT("");
	if (!split(path, out, &p) || count_parts(p) < 3)
		return;
	struct slice prefix = next_part(&p), group = SLICE_LIT("");
	if (slice_eq_str(prefix, "apis")) {
		if (count_parts(p) < 3)
			return;
		group = next_part(&p);
	} else if (!slice_eq_str(prefix, "api")) {
		return;
	}
	struct slice version = next_part(&p), first = peek_part(p);
	bool watch = slice_eq_str(first, "watch"), proxy = slice_eq_str(first, "proxy");
	if (watch || proxy) {
		next_part(&p);
		if (p.none)
			return; /* the apiserver refuses it */
	}
	out->is_resource = true;
	out->group = group;
	out->version = version;
	out->verb = watch ? KUBE_WATCH : proxy ? KUBE_PROXY : method_verb(method, true);
	cut_namespace(&p, out);
	out->resource = next_part(&p);
	out->name = next_part(&p);
	if (!proxy)
		out->subresource = next_part(&p);
	refine_verb(query, out);
}
