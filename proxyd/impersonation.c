#include <assert.h>
#include <stdlib.h>
#include "proxyd/impersonate.h"
#include "proxyd/impersonation.h"

#define PREFIX SLICE_LIT("Impersonate-")
#define EXTRA SLICE_LIT("Extra-")
#define AUTHENTICATION "authentication.k8s.io"
#define ACCOUNT SLICE_LIT("system:serviceaccount:")
/* A request's head is at most 1 MiB (limits.headerBytes), and a caller's identity some hundred KiB. */
#define ARENA_BYTES_MAX (4u << 20)

struct reader {
	struct impersonation *i;
	bool groups_asked;
	const char *why;
};

static enum err
refuse(struct reader *r, const char *why)
{
	r->why = why;
	return E_FORMAT;
}

static enum err
add_check(struct reader *r, const char *group, const char *resource, struct slice subresource, struct slice namespace_name, struct slice name)
{
	struct impersonation *i = r->i;

	if (i->n == IMPERSONATION_CHECKS_MAX) {
		r->why = "more Impersonate-* headers than the gateway asks the cluster about";
		return E_LIMIT;
	}
	i->checks[i->n++] = (struct impersonation_check){ group, resource, subresource, namespace_name, name };
	return OK;
}

/* ---- names ---- */

/* RFC 1123: labels of a-z, 0-9 and '-' inside, with dots between them if there may be more than one. */
static bool
is_dns_name(struct slice s, size_t bytes_max, bool dots)
{
	char before = '.';

	if (s.n == 0 || s.n > bytes_max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (!alphanumeric && !(c == '-' && before != '.') && !(c == '.' && dots && before != '.' && before != '-'))
			return false;
		before = c;
	}
	return before != '-' && before != '.';
}

/* system:serviceaccount:NAMESPACE:NAME is no user to the apiserver, and needs another right. What only looks like one is refused: which right it
 * needs is for us to get wrong. */
static enum err
take_user(struct reader *r, struct slice name)
{
	struct identity *target = &r->i->target;
	struct slice rest, namespace_name;

	if (target->username.p)
		return refuse(r, "more than one Impersonate-User");
	target->username = name;
	if (!slice_has_prefix(name, ACCOUNT))
		return add_check(r, "", "users", SLICE_NONE, SLICE_NONE, name);
	rest = slice_of(name.p + ACCOUNT.n, name.n - ACCOUNT.n);
	namespace_name = slice_cut(&rest, ':');
	if (!is_dns_name(namespace_name, 63, false) || !is_dns_name(rest, 253, true))
		return refuse(r, "Impersonate-User begins like a service account's name and is none");
	return add_check(r, "", "serviceaccounts", SLICE_NONE, namespace_name, rest);
}

static enum err
take_group(struct reader *r, struct slice name)
{
	struct identity *target = &r->i->target;

	r->groups_asked = true;
	target->groups[target->group_n++] = name;
	return add_check(r, "", "groups", SLICE_NONE, SLICE_NONE, name);
}

static enum err
take_uid(struct reader *r, struct slice uid)
{
	if (r->i->target.uid.p)
		return refuse(r, "more than one Impersonate-Uid");
	r->i->target.uid = uid;
	return add_check(r, AUTHENTICATION, "uids", SLICE_NONE, SLICE_NONE, uid);
}

/* ---- extras ---- */

static int
hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Lower case, then %XX: in this order, as the apiserver does it. SLICE_NONE: a broken escape. */
static struct slice
decode_key(struct reader *r, struct slice name)
{
	char *out = arena_alloc(&r->i->arena, name.n + 1);
	size_t n = 0;

	for (size_t at = 0; out && at < name.n; at++) {
		char c = name.p[at] >= 'A' && name.p[at] <= 'Z' ? (char)(name.p[at] + 'a' - 'A') : name.p[at];
		if (c == '%') {
			int high = at + 2 < name.n ? hex_value((char)(name.p[at + 1] | 0x20)) : -1, low = at + 2 < name.n ? hex_value((char)(name.p[at + 2] | 0x20)) : -1;
			if (high < 0 || low < 0)
				return SLICE_NONE;
			c = (char)(high << 4 | low);
			at += 2;
		}
		out[n++] = c;
	}
	return out ? slice_of(out, n) : SLICE_NONE;
}

/* Where the values of key go; they stand together whatever the order of headers. NULL: too many, or no memory. */
static struct identity_extra *
extra_of(struct impersonation *i, struct slice key, size_t values_max)
{
	struct identity *target = &i->target;

	for (size_t e = 0; e < target->extra_n; e++)
		if (slice_eq(target->extra[e].key, key))
			return &target->extra[e];
	if (target->extra_n == IDENTITY_EXTRA_MAX)
		return NULL;
	struct slice *values = arena_alloc(&i->arena, values_max * sizeof(*values));
	if (!values)
		return NULL;
	target->extra[target->extra_n] = (struct identity_extra){ key, values, 0 };
	return &target->extra[target->extra_n++];
}

static enum err
take_extra(struct reader *r, struct slice encoded, struct slice value)
{
	struct slice key = decode_key(r, encoded);

	if (!key.p || !impersonate_extra_key_ok(key))
		return refuse(r, "Impersonate-Extra-* with a key that is none");
	if (impersonate_extra_key_is_ours(key))
		return refuse(r, "Impersonate-Extra-* with a key that is the gateway's own");
	struct identity_extra *e = extra_of(r->i, key, HTTP_HEADERS_MAX);
	if (!e) {
		r->why = "too many Impersonate-Extra-*";
		return E_LIMIT;
	}
	e->values[e->n++] = value;
	return add_check(r, AUTHENTICATION, "userextras", e->key, SLICE_NONE, value);
}

/* ---- the whole ---- */

static enum err
take_header(struct reader *r, const struct http_header *f)
{
	struct slice what = slice_of(f->name.p + PREFIX.n, f->name.n < PREFIX.n ? 0 : f->name.n - PREFIX.n);
	struct slice value = arena_slice(&r->i->arena, f->value);

	if (!value.p)
		return E_NOMEM;
	if (f->name.n < PREFIX.n || !slice_eq_nocase(slice_of(f->name.p, PREFIX.n), PREFIX))
		return refuse(r, "a header that some servers read as Impersonate-*");
	if (!identity_value_ok(value))
		return refuse(r, "Impersonate-* with a value that is empty, too long, or no text");
	if (slice_eq_nocase(what, SLICE_LIT("User")))
		return take_user(r, value);
	if (slice_eq_nocase(what, SLICE_LIT("Group")))
		return take_group(r, value);
	if (slice_eq_nocase(what, SLICE_LIT("Uid")))
		return take_uid(r, value);
	if (what.n > EXTRA.n && slice_eq_nocase(slice_of(what.p, EXTRA.n), EXTRA))
		return take_extra(r, slice_of(what.p + EXTRA.n, what.n - EXTRA.n), value);
	return refuse(r, "Impersonate-* that is none of User, Group, Uid and Extra-KEY");
}

/* The apiserver knows a service account's groups by itself, but only when none are named, and we always name one. */
static enum err
add_account_groups(struct reader *r)
{
	struct identity *target = &r->i->target;
	const struct impersonation_check *c = &r->i->checks[0];

	for (size_t i = 0; i < r->i->n; i++)
		if (strcmp(r->i->checks[i].resource, "serviceaccounts") == 0)
			c = &r->i->checks[i];
	if (r->groups_asked || strcmp(c->resource, "serviceaccounts") != 0)
		return OK;
	char *of_namespace = arena_printf(&r->i->arena, "system:serviceaccounts:%.*s", SLICE_FMT(c->namespace_name));
	if (!of_namespace)
		return E_NOMEM;
	target->groups[target->group_n++] = SLICE_LIT("system:serviceaccounts");
	target->groups[target->group_n++] = slice_str(of_namespace);
	return OK;
}

static enum err
add_original(struct reader *r, const char *what, struct slice key, const struct slice *values, size_t n)
{
	char *whole = arena_printf(&r->i->arena, IMPERSONATE_OUR_EXTRA "original-%s%.*s", what, SLICE_FMT(key));

	if (n == 0)
		return OK;
	struct identity_extra *e = whole ? extra_of(r->i, slice_str(whole), n) : NULL;
	if (!e || e->n) {
		r->why = "too many extras with the caller's own";
		return whole ? E_LIMIT : E_NOMEM;
	}
	for (; e->n < n; e->n++)
		if (!(e->values[e->n] = arena_slice(&r->i->arena, values[e->n])).p)
			return E_NOMEM;
	return OK;
}

/* Whoever may be somebody else is still who they are. */
static enum err
add_originals(struct reader *r, const struct identity *caller)
{
	const struct slice how = slice_str(identity_how_name(caller->how));
	enum err e = add_original(r, "user", SLICE_NONE, &caller->username, 1);

	if (!e)
		e = add_original(r, "uid", SLICE_NONE, &caller->uid, caller->uid.n > 0);
	if (!e)
		e = add_original(r, "groups", SLICE_NONE, caller->groups, caller->group_n);
	if (!e)
		e = add_original(r, "how", SLICE_NONE, &how, 1);
	for (size_t i = 0; i < caller->extra_n && !e; i++)
		if (!impersonate_extra_key_is_ours(caller->extra[i].key))
			e = add_original(r, "extra/", caller->extra[i].key, caller->extra[i].values, caller->extra[i].n);
	return e;
}

static enum err
read_all(struct reader *r, const struct http_head *h, const struct identity *caller)
{
	struct identity *target = &r->i->target;
	enum err e = OK;

	/* A service account gets two more than are asked for. */
	target->groups = arena_alloc(&r->i->arena, (h->header_n + 2) * sizeof(*target->groups));
	target->extra = arena_alloc(&r->i->arena, IDENTITY_EXTRA_MAX * sizeof(*target->extra));
	if (!target->groups || !target->extra)
		return E_NOMEM;
	target->how = caller->how;
	target->expires_at = caller->expires_at;
	for (size_t i = 0; i < h->header_n && !e; i++)
		if (h->headers[i].field == FIELD_IMPERSONATE)
			e = take_header(r, &h->headers[i]);
	if (!e && !target->username.p)
		e = refuse(r, "Impersonate-* without Impersonate-User");
	if (!e)
		e = add_account_groups(r);
	return e ? e : add_originals(r, caller);
}

enum err
impersonation_new(const struct http_head *h, const struct identity *caller, struct impersonation **out, const char **why)
{
	struct impersonation *i = calloc(1, sizeof(*i));
	struct reader r = { .i = i, .why = "out of memory" };

	*why = r.why;
	if (!i)
		return E_NOMEM;
	arena_init(&i->arena, ARENA_BYTES_MAX);
	buf_init(&i->headers, 0);
	enum err e = read_all(&r, h, caller);
	if (e) {
		*why = r.why;
		impersonation_free(i);
		return e;
	}
	*out = i;
	return OK;
}

void
impersonation_free(struct impersonation *i)
{
	if (!i)
		return;
	arena_fini(&i->arena);
	buf_fini(&i->headers);
	free(i);
}

enum err
impersonation_allow(struct impersonation *i)
{
	return i->at == i->n ? impersonate_block(&i->target, &i->headers) : E_CONFLICT;
}

/* As Go's %q has text without control characters; html: what could be taken for HTML escaped on top, as the apiserver does. */
static void
add_quoted(struct buf *out, struct slice s, bool html)
{
	buf_add_char(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (html && (c == '&' || c == '<' || c == '>')) {
			buf_add_str(out, c == '&' ? "&amp;" : c == '<' ? "&lt;" : "&gt;");
			continue;
		}
		if (c == '"' || c == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, c);
	}
	buf_add_char(out, '"');
}

void
impersonation_refusal(const struct impersonation_check *c, struct slice caller, struct buf *out)
{
	struct buf resource;

	buf_init(&resource, 0);
	buf_printf(&resource, "%s%s%.*s", c->resource, c->subresource.n ? "/" : "", SLICE_FMT(c->subresource));
	buf_printf(out, "%s%s%s ", c->resource, *c->group ? "." : "", c->group);
	add_quoted(out, c->name, false);
	buf_add_str(out, " is forbidden: User ");
	add_quoted(out, caller, true);
	buf_add_str(out, " cannot impersonate resource ");
	add_quoted(out, buf_slice(&resource), true);
	buf_printf(out, " in API group \"%s\" ", c->group);
	if (c->namespace_name.n) {
		buf_add_str(out, "in the namespace ");
		add_quoted(out, c->namespace_name, true);
	} else {
		buf_add_str(out, "at the cluster scope");
	}
	buf_fini(&resource);
}
