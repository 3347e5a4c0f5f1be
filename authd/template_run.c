#include "authd/template_internal.h"

#define LOOPS_MAX 100000 /* rounds of one page */

static const struct template_value nil = { .kind = TEMPLATE_NIL };

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

static struct template_variable *
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
	struct template_variable *v = assigns ? variable_find(run, name) : NULL;

	if (assigns && !v)
		return template_say(run->why, run->why_n, run->file, run->line, "there is no variable $%.*s", SLICE_FMT(name));
	if (!v && run->variable_n == TEMPLATE_VARIABLES_MAX)
		return template_say(run->why, run->why_n, run->file, run->line, "too many variables");
	if (!v)
		v = &run->variables[run->variable_n++];
	*v = (struct template_variable){ name, *value };
	return OK;
}

static enum err
run_operand(struct template_run *run, const struct template_operand *o, const struct template_value *dot, struct template_value *out)
{
	const struct template_variable *v;
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
	struct template_value args[TEMPLATE_ARGS_MAX];
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
	struct slice s = template_text_of(run, v);

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
	inner.variables[0] = (struct template_variable){ SLICE_LIT(""), *given }; /* $ */
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
		e = run_list(run, template_truth(&v) ? n->body : n->other, dot);
		break;
	case NODE_WITH:
		e = run_list(run, template_truth(&v) ? n->body : n->other, template_truth(&v) ? &v : dot);
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
