#include <ctype.h>
#include "authd/template_internal.h"

bool
template_truth(const struct template_value *v)
{
	switch (v->kind) {
	case TEMPLATE_NIL:
		return false;
	case TEMPLATE_BOOL:
	case TEMPLATE_INT:
		return v->number != 0;
	case TEMPLATE_TEXT:
	case TEMPLATE_URL:
		return v->text.n > 0;
	case TEMPLATE_LIST:
	case TEMPLATE_MAP:
		return v->n > 0;
	}
	return false;
}

struct slice
template_text_of(struct template_run *run, const struct template_value *v)
{
	struct buf b;
	struct slice s;

	if (v->kind == TEMPLATE_TEXT || v->kind == TEMPLATE_URL)
		return v->text;
	if (v->kind == TEMPLATE_NIL)
		return SLICE_LIT("");
	if (v->kind == TEMPLATE_BOOL)
		return v->number ? SLICE_LIT("true") : SLICE_LIT("false");
	buf_init(&b, TEMPLATE_PAGE_BYTES_MAX);
	if (v->kind == TEMPLATE_INT)
		buf_printf(&b, "%lld", (long long)v->number);
	if (v->kind == TEMPLATE_LIST) {
		buf_add_char(&b, '[');
		for (size_t i = 0; i < v->n; i++) {
			if (i)
				buf_add_char(&b, ' ');
			buf_add_slice(&b, template_text_of(run, &v->items[i]));
		}
		buf_add_char(&b, ']');
	}
	s = arena_slice(run->arena, buf_slice(&b));
	run->no_memory |= !s.p || !buf_ok(&b);
	buf_fini(&b);
	return s.p ? s : SLICE_LIT("");
}

static struct template_value
made_text(struct template_run *run, struct buf *b)
{
	struct slice s = arena_slice(run->arena, buf_slice(b));

	run->no_memory |= !s.p || !buf_ok(b);
	buf_fini(b);
	return template_text(s.p ? s : SLICE_LIT(""));
}

static bool
f_and(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)run;
	for (size_t i = 0; i < n; i++)
		if (*out = a[i], !template_truth(&a[i]))
			break;
	return true;
}

static bool
f_or(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)run;
	for (size_t i = 0; i < n; i++)
		if (*out = a[i], template_truth(&a[i]))
			break;
	return true;
}

static bool
f_not(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)run, (void)n;
	*out = template_bool(!template_truth(&a[0]));
	return true;
}

static bool
is_text(const struct template_value *v)
{
	return v->kind == TEMPLATE_TEXT || v->kind == TEMPLATE_URL;
}

/* -1, 0, 1; false: they do not compare. */
static bool
compare(const struct template_value *a, const struct template_value *b, int *out)
{
	if (is_text(a) && is_text(b)) {
		size_t n = a->text.n < b->text.n ? a->text.n : b->text.n;
		int c = n ? memcmp(a->text.p, b->text.p, n) : 0;
		*out = c ? (c > 0) - (c < 0) : (a->text.n > b->text.n) - (a->text.n < b->text.n);
		return true;
	}
	*out = (a->number > b->number) - (a->number < b->number);
	return a->kind == b->kind && (a->kind == TEMPLATE_INT || a->kind == TEMPLATE_BOOL || a->kind == TEMPLATE_NIL);
}

static bool
f_eq(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	int c;

	(void)run;
	*out = template_bool(false);
	for (size_t i = 1; i < n; i++) {
		if (!compare(&a[0], &a[i], &c))
			return false;
		if (c == 0)
			*out = template_bool(true);
	}
	return true;
}

#define COMPARISON(name, test)                                                                                                                 \
	static bool name(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)                       \
	{                                                                                                                                      \
		int c;                                                                                                                         \
		(void)run, (void)n;                                                                                                            \
		if (!compare(&a[0], &a[1], &c))                                                                                                \
			return false;                                                                                                          \
		*out = template_bool(test);                                                                                                    \
		return true;                                                                                                                   \
	}
COMPARISON(f_ne, c != 0)
COMPARISON(f_lt, c < 0)
COMPARISON(f_le, c <= 0)
COMPARISON(f_gt, c > 0)
COMPARISON(f_ge, c >= 0)

static bool
f_len(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)run, (void)n;
	if (!is_text(&a[0]) && a[0].kind != TEMPLATE_LIST && a[0].kind != TEMPLATE_MAP)
		return false;
	*out = (struct template_value){ .kind = TEMPLATE_INT, .number = (int64_t)(is_text(&a[0]) ? a[0].text.n : a[0].n) };
	return true;
}

static bool
f_print(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	struct buf b;

	buf_init(&b, TEMPLATE_PAGE_BYTES_MAX);
	for (size_t i = 0; i < n; i++) {
		if (i && !is_text(&a[i]) && !is_text(&a[i - 1]))
			buf_add_char(&b, ' '); /* as Go's Sprint */
		buf_add_slice(&b, template_text_of(run, &a[i]));
	}
	*out = made_text(run, &b);
	return true;
}

static struct template_value
changed(struct template_run *run, struct slice s, int (*change)(int))
{
	struct buf b;

	buf_init(&b, TEMPLATE_PAGE_BYTES_MAX);
	for (size_t i = 0; i < s.n; i++)
		buf_add_char(&b, (unsigned char)s.p[i] < 0x80 ? (char)change((unsigned char)s.p[i]) : s.p[i]);
	return made_text(run, &b);
}

static bool
f_lower(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)n;
	*out = changed(run, template_text_of(run, &a[0]), tolower);
	return true;
}

static bool
f_upper(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)n;
	*out = changed(run, template_text_of(run, &a[0]), toupper);
	return true;
}

static bool
f_title(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	struct slice s = template_text_of(run, &a[0]);
	struct buf b;

	(void)n;
	buf_init(&b, TEMPLATE_PAGE_BYTES_MAX);
	for (size_t i = 0; i < s.n; i++)
		buf_add_char(&b, (unsigned char)s.p[i] < 0x80 && (i == 0 || s.p[i - 1] == ' ') ? (char)toupper((unsigned char)s.p[i]) : s.p[i]);
	*out = made_text(run, &b);
	return true;
}

static bool
f_trim(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	struct slice s = template_text_of(run, &a[0]);

	(void)n;
	while (s.n && strchr(" \t\r\n", s.p[0]) && s.p[0])
		s = slice_of(s.p + 1, s.n - 1);
	while (s.n && strchr(" \t\r\n", s.p[s.n - 1]) && s.p[s.n - 1])
		s.n--;
	*out = template_text(s);
	return true;
}

/* default "x" .Value */
static bool
f_default(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)run, (void)n;
	*out = template_truth(&a[1]) ? a[1] : a[0];
	return true;
}

/* join ", " .List */
static bool
f_join(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	struct buf b;

	(void)n;
	if (a[1].kind != TEMPLATE_LIST && a[1].kind != TEMPLATE_NIL)
		return false;
	buf_init(&b, TEMPLATE_PAGE_BYTES_MAX);
	for (size_t i = 0; i < a[1].n; i++) {
		if (i)
			buf_add_slice(&b, template_text_of(run, &a[0]));
		buf_add_slice(&b, template_text_of(run, &a[1].items[i]));
	}
	*out = made_text(run, &b);
	return true;
}

/* contains "part" .Text, and the like: the text comes last, so that it can be piped. */
static bool
f_contains(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	struct slice part = template_text_of(run, &a[0]), s = template_text_of(run, &a[1]);

	(void)n;
	*out = template_bool(!part.n || (s.n && memmem(s.p, s.n, part.p, part.n)));
	return true;
}

static bool
f_has_prefix(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)n;
	*out = template_bool(slice_has_prefix(template_text_of(run, &a[1]), template_text_of(run, &a[0])));
	return true;
}

static bool
f_has_suffix(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)n;
	*out = template_bool(slice_has_suffix(template_text_of(run, &a[1]), template_text_of(run, &a[0])));
	return true;
}

static bool
f_replace(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	struct slice old = template_text_of(run, &a[0]), new = template_text_of(run, &a[1]), s = template_text_of(run, &a[2]);
	const char *at;
	struct buf b;

	(void)n;
	buf_init(&b, TEMPLATE_PAGE_BYTES_MAX);
	while (old.n && s.n && (at = memmem(s.p, s.n, old.p, old.n))) {
		buf_add(&b, s.p, (size_t)(at - s.p));
		buf_add_slice(&b, new);
		s = slice_of(at + old.n, s.n - (size_t)(at - s.p) - old.n);
	}
	buf_add_slice(&b, s);
	*out = made_text(run, &b);
	return true;
}

static bool
f_quote(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	struct buf b;

	(void)n;
	buf_init(&b, TEMPLATE_PAGE_BYTES_MAX);
	buf_printf(&b, "\"%.*s\"", SLICE_FMT(template_text_of(run, &a[0])));
	*out = made_text(run, &b);
	return true;
}

static bool
f_issuer(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)a, (void)n;
	*out = template_text(run->world->issuer);
	return true;
}

static bool
f_logo(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)a, (void)n;
	*out = template_url(run->world->logo);
	return true;
}

static bool
f_extra(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	const struct template_value *extra = &run->world->extra;

	(void)n;
	*out = template_text(SLICE_LIT(""));
	for (size_t i = 0; i < extra->n; i++)
		if (slice_eq_str(template_text_of(run, &a[0]), extra->names[i]))
			*out = extra->items[i];
	return true;
}

/* url .ReqPath "static/main.css": dex answers with an address relative to the request's, we with the path that it leads to. */
static bool
f_url(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	struct slice asset = template_text_of(run, &a[1]);
	struct buf b;

	(void)n;
	if (asset.n && memmem(asset.p, asset.n, "://", 3)) {
		*out = a[1];
		return true;
	}
	while (asset.n && asset.p[0] == '/')
		asset = slice_of(asset.p + 1, asset.n - 1);
	buf_init(&b, TEMPLATE_PAGE_BYTES_MAX);
	buf_printf(&b, "%.*s/%.*s", SLICE_FMT(run->world->base), SLICE_FMT(asset));
	*out = template_url(made_text(run, &b).text);
	return true;
}

static const struct template_function functions[] = {
	{ "and", 1, TEMPLATE_ARGS_MAX, f_and }, { "or", 1, TEMPLATE_ARGS_MAX, f_or }, { "not", 1, 1, f_not }, { "eq", 2, TEMPLATE_ARGS_MAX, f_eq }, { "ne", 2, 2, f_ne },
	{ "lt", 2, 2, f_lt }, { "le", 2, 2, f_le }, { "gt", 2, 2, f_gt }, { "ge", 2, 2, f_ge }, { "len", 1, 1, f_len }, { "print", 0, TEMPLATE_ARGS_MAX, f_print },
	{ "extra", 1, 1, f_extra }, { "issuer", 0, 0, f_issuer }, { "logo", 0, 0, f_logo }, { "url", 2, 2, f_url }, { "lower", 1, 1, f_lower },
	{ "upper", 1, 1, f_upper }, { "title", 1, 1, f_title }, { "trim", 1, 1, f_trim }, { "default", 2, 2, f_default }, { "join", 2, 2, f_join },
	{ "contains", 2, 2, f_contains }, { "hasPrefix", 2, 2, f_has_prefix }, { "hasSuffix", 2, 2, f_has_suffix }, { "replace", 3, 3, f_replace },
	{ "quote", 1, 1, f_quote },
};

const struct template_function *
template_function_find(struct slice name)
{
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (slice_eq_str(name, functions[i].name))
			return &functions[i];
	return NULL;
}
