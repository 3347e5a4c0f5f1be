#include <ctype.h>
#include <stdio.h>
#include <strings.h>
#include "authd/template_internal.h"

#define LOOPS_MAX 100000 /* rounds of one page */

struct variable {
	struct slice name;
	struct template_value value;
};

struct template_run {
	const struct template_set *set;
	const struct template_world *world;
	struct arena *arena;
	struct buf *out;
	const char *file;
	int line;
	char *why;
	size_t why_n;
	struct variable variables[TEMPLATE_VARIABLES_MAX];
	size_t variable_n;
	size_t rounds;
	unsigned depth;
	bool no_memory;
};

static const struct template_value nil = { .kind = TEMPLATE_NIL };

static bool
truth(const struct template_value *v)
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

/* As a page prints it; lists as Go does. */
static struct slice
text_of(struct template_run *run, const struct template_value *v)
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
			buf_add_slice(&b, text_of(run, &v->items[i]));
		}
		buf_add_char(&b, ']');
	}
	s = arena_slice(run->arena, buf_slice(&b));
	run->no_memory |= !s.p || !buf_ok(&b);
	buf_fini(&b);
	return s.p ? s : SLICE_LIT("");
}

/* ---- functions ---- */

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
		if (*out = a[i], !truth(&a[i]))
			break;
	return true;
}

static bool
f_or(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)run;
	for (size_t i = 0; i < n; i++)
		if (*out = a[i], truth(&a[i]))
			break;
	return true;
}

static bool
f_not(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)run, (void)n;
	*out = template_bool(!truth(&a[0]));
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
		buf_add_slice(&b, text_of(run, &a[i]));
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
	*out = changed(run, text_of(run, &a[0]), tolower);
	return true;
}

static bool
f_upper(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)n;
	*out = changed(run, text_of(run, &a[0]), toupper);
	return true;
}

static bool
f_title(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	struct slice s = text_of(run, &a[0]);
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
	struct slice s = text_of(run, &a[0]);

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
	*out = truth(&a[1]) ? a[1] : a[0];
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
			buf_add_slice(&b, text_of(run, &a[0]));
		buf_add_slice(&b, text_of(run, &a[1].items[i]));
	}
	*out = made_text(run, &b);
	return true;
}

/* contains "part" .Text, and the like: the text comes last, so that it can be piped. */
static bool
f_contains(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	struct slice part = text_of(run, &a[0]), s = text_of(run, &a[1]);

	(void)n;
	*out = template_bool(!part.n || (s.n && memmem(s.p, s.n, part.p, part.n)));
	return true;
}

static bool
f_has_prefix(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)n;
	*out = template_bool(slice_has_prefix(text_of(run, &a[1]), text_of(run, &a[0])));
	return true;
}

static bool
f_has_suffix(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	(void)n;
	*out = template_bool(slice_has_suffix(text_of(run, &a[1]), text_of(run, &a[0])));
	return true;
}

static bool
f_replace(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	struct slice old = text_of(run, &a[0]), new = text_of(run, &a[1]), s = text_of(run, &a[2]);
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
	buf_printf(&b, "\"%.*s\"", SLICE_FMT(text_of(run, &a[0])));
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
		if (slice_eq_str(text_of(run, &a[0]), extra->names[i]))
			*out = extra->items[i];
	return true;
}

/* url .ReqPath "static/main.css": dex answers with an address relative to the request's, we with the path that it leads to. */
static bool
f_url(struct template_run *run, const struct template_value *a, size_t n, struct template_value *out)
{
	struct slice asset = text_of(run, &a[1]);
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

#define ARGS_MAX 16
static const struct template_function functions[] = {
	{ "and", 1, ARGS_MAX, f_and }, { "or", 1, ARGS_MAX, f_or }, { "not", 1, 1, f_not }, { "eq", 2, ARGS_MAX, f_eq }, { "ne", 2, 2, f_ne },
	{ "lt", 2, 2, f_lt }, { "le", 2, 2, f_le }, { "gt", 2, 2, f_gt }, { "ge", 2, 2, f_ge }, { "len", 1, 1, f_len }, { "print", 0, ARGS_MAX, f_print },
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

/* ---- values ---- */

static enum err run_pipe(struct template_run *run, const struct template_pipe *p, const struct template_value *dot, struct template_value *out);

/* ".A.B" of a value. */
static enum err
follow(struct template_run *run, const struct template_value *from, struct slice path, struct template_value *out)
{
	*out = *from;
	while (path.n) {
		struct slice rest = slice_of(path.p + 1, path.n - 1);
		struct slice name = rest;
		const struct template_value *found = NULL;
		const char *dot = memchr(rest.p, '.', rest.n);
		if (dot)
			name.n = (size_t)(dot - rest.p);
		path = slice_of(name.p + name.n, rest.n - name.n);
		for (size_t i = 0; out->kind == TEMPLATE_MAP && i < out->n && !found; i++)
			if (slice_eq_str(name, out->names[i]))
				found = &out->items[i];
		if (!found)
			return template_say(run->why, run->why_n, run->file, run->line, "there is no .%.*s here", SLICE_FMT(name));
		*out = *found;
	}
	return OK;
}

static struct variable *
variable_find(struct template_run *run, struct slice name)
{
	for (size_t i = run->variable_n; i-- > 0;)
		if (slice_eq(run->variables[i].name, name))
			return &run->variables[i];
	return NULL;
}

static enum err
variable_set(struct template_run *run, struct slice name, const struct template_value *value, bool assigns)
{
	struct variable *v = assigns ? variable_find(run, name) : NULL;

	if (assigns && !v)
		return template_say(run->why, run->why_n, run->file, run->line, "there is no variable $%.*s", SLICE_FMT(name));
	if (!v && run->variable_n == TEMPLATE_VARIABLES_MAX)
		return template_say(run->why, run->why_n, run->file, run->line, "too many variables");
	if (!v)
		v = &run->variables[run->variable_n++];
	*v = (struct variable){ name, *value };
	return OK;
}

static enum err
run_operand(struct template_run *run, const struct template_operand *o, const struct template_value *dot, struct template_value *out)
{
	const struct variable *v;
	struct template_value inner;
	enum err e;

	switch (o->kind) {
	case OPERAND_FIELD:
		return follow(run, dot, o->path, out);
	case OPERAND_VARIABLE:
		v = variable_find(run, o->name);
		if (!v)
			return template_say(run->why, run->why_n, run->file, run->line, "there is no variable $%.*s", SLICE_FMT(o->name));
		return follow(run, &v->value, o->path, out);
	case OPERAND_VALUE:
		*out = o->value;
		return OK;
	case OPERAND_PIPE:
		e = run_pipe(run, o->pipe, dot, &inner);
		return e == OK ? follow(run, &inner, o->path, out) : e;
	case OPERAND_FUNCTION:
		return o->function->call(run, NULL, 0, out) ? OK : E_FORMAT;
	}
	return E_FORMAT;
}

/* last: what was piped in; NULL: nothing. */
static enum err
run_command(struct template_run *run, const struct template_command *c, const struct template_value *dot, const struct template_value *last,
	struct template_value *out)
{
	struct template_value args[ARGS_MAX];
	size_t n = 0;
	enum err e = OK;

	if (c->first->kind != OPERAND_FUNCTION)
		return run_operand(run, c->first, dot, out);
	for (const struct template_operand *o = c->first->next; o && e == OK; o = o->next)
		e = run_operand(run, o, dot, &args[n++]);
	if (last)
		args[n++] = *last;
	if (e == OK && !c->first->function->call(run, args, n, out))
		e = template_say(run->why, run->why_n, run->file, run->line, "%s cannot be done with these values", c->first->function->name);
	if (e == OK && run->no_memory)
		e = E_NOMEM;
	return e;
}

static enum err
run_pipe(struct template_run *run, const struct template_pipe *p, const struct template_value *dot, struct template_value *out)
{
	struct template_value last;
	enum err e = OK;

	run->line = p->line;
	for (const struct template_command *c = p->first; c && e == OK; c = c->next) {
		e = run_command(run, c, dot, c == p->first ? NULL : &last, out);
		last = *out;
	}
	return e;
}

/* ---- nodes ---- */

/* An address that a page may lead to: of a scheme that is no code, or relative. */
static bool
is_safe_url(struct slice s)
{
	static const char *const schemes[] = { "http", "https", "mailto", NULL };
	size_t n = 0;

	while (n < s.n && s.p[n] != ':' && s.p[n] != '/' && s.p[n] != '?' && s.p[n] != '#')
		n++;
	if (n == s.n || s.p[n] != ':')
		return true;
	for (const char *const *scheme = schemes; *scheme; scheme++)
		if (slice_eq_nocase(slice_of(s.p, n), slice_str(*scheme)))
			return true;
	return false;
}

static void
print(struct template_run *run, const struct template_node *n, const struct template_value *v)
{
	struct slice s = text_of(run, v);

	if (n->escape == ESCAPE_URL && v->kind != TEMPLATE_URL && !is_safe_url(s))
		s = SLICE_LIT("#unsafe");
	if (n->escape == ESCAPE_QUERY && v->kind != TEMPLATE_URL)
		buf_add_urlencoded(run->out, s);
	else
		buf_add_html(run->out, s);
}

static enum err run_list(struct template_run *run, const struct template_node *n, const struct template_value *dot);

static enum err
run_range(struct template_run *run, const struct template_node *n, const struct template_value *list, const struct template_value *dot)
{
	size_t variables = run->variable_n;
	enum err e = OK;

	if (list->kind != TEMPLATE_LIST && list->kind != TEMPLATE_NIL)
		return template_say(run->why, run->why_n, run->file, n->line, "range needs a list");
	if (list->n == 0)
		return run_list(run, n->other, dot);
	for (size_t i = 0; i < list->n && e == OK; i++) {
		const struct slice *names = n->pipe->declared;
		struct template_value index = { .kind = TEMPLATE_INT, .number = (int64_t)i };
		if (++run->rounds > LOOPS_MAX)
			return E_LIMIT;
		if (names[1].p) {
			e = variable_set(run, names[0], &index, false);
			if (e == OK)
				e = variable_set(run, names[1], &list->items[i], false);
		} else if (names[0].p) {
			e = variable_set(run, names[0], &list->items[i], false);
		}
		if (e == OK)
			e = run_list(run, n->body, &list->items[i]);
		run->variable_n = variables;
	}
	return e;
}

static enum err
run_call(struct template_run *run, const struct template_node *n, const struct template_value *given)
{
	const struct template_one *t = template_find(run->set, n->text);
	struct template_run inner = *run;
	enum err e;

	if (!t || ++inner.depth > TEMPLATE_DEPTH_MAX)
		return template_say(run->why, run->why_n, run->file, n->line, "templates call each other without end");
	inner.file = t->file;
	inner.variables[0] = (struct variable){ SLICE_LIT(""), *given }; /* $ */
	inner.variable_n = 1;
	e = run_list(&inner, t->body, given);
	run->rounds = inner.rounds;
	run->no_memory |= inner.no_memory;
	return e;
}

static enum err
run_node(struct template_run *run, const struct template_node *n, const struct template_value *dot)
{
	struct template_value v = nil;
	size_t variables = run->variable_n;
	enum err e;

	if (n->kind == NODE_TEXT) {
		buf_add_slice(run->out, n->text);
		return OK;
	}
	e = n->pipe ? run_pipe(run, n->pipe, dot, &v) : OK;
	if (e == OK && n->kind != NODE_RANGE && n->pipe && n->pipe->declared[0].p)
		e = variable_set(run, n->pipe->declared[0], &v, n->pipe->assigns);
	if (e != OK)
		return e;
	switch (n->kind) {
	case NODE_PRINT:
		if (!n->pipe->declared[0].p)
			print(run, n, &v);
		return OK; /* a variable lives to the end of the block around */
	case NODE_IF:
		e = run_list(run, truth(&v) ? n->body : n->other, dot);
		break;
	case NODE_WITH:
		e = run_list(run, truth(&v) ? n->body : n->other, truth(&v) ? &v : dot);
		break;
	case NODE_RANGE:
		e = run_range(run, n, &v, dot);
		break;
	case NODE_CALL:
		e = run_call(run, n, &v);
		break;
	case NODE_TEXT:
		break;
	}
	run->variable_n = variables;
	return e;
}

static enum err
run_list(struct template_run *run, const struct template_node *n, const struct template_value *dot)
{
	enum err e = OK;

	for (; n && e == OK; n = n->next)
		e = run_node(run, n, dot);
	if (e == OK && !buf_ok(run->out))
		e = E_LIMIT;
	return e;
}

enum err
template_render(const struct template_set *set, const char *page, const struct template_world *world, const struct template_value *data,
	struct arena *arena, struct buf *out, char *why, size_t why_n)
{
	const struct template_node call = { .kind = NODE_CALL, .text = slice_str(page) };
	struct template_run run = { .set = set, .world = world, .arena = arena, .out = out, .file = page, .why = why, .why_n = why_n };
	enum err e = run_call(&run, &call, data);

	return e == OK && run.no_memory ? E_NOMEM : e;
}
