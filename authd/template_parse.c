#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include "authd/template_internal.h"

struct parser {
	struct template_set *set;
	const char *file;
	struct slice rest; /* of the file */
	int line;
	bool trim;         /* the action before ended in "-}}" */
	char *why;
	size_t why_n;
	unsigned depth;
	/* of the action that is being read */
	struct slice action;
	int action_line;
	enum err err;
};

enum err
template_say(char *why, size_t why_n, const char *file, int line, const char *fmt, ...)
{
	int n = snprintf(why, why_n, "%s:%d: ", file, line);
	va_list args;

	va_start(args, fmt);
	if (n > 0 && (size_t)n < why_n)
		vsnprintf(why + n, why_n - (size_t)n, fmt, args);
	va_end(args);
	return E_FORMAT;
}

/* The first failure stays. Returns NULL. */
PRINTF_LIKE(2, 3)
static void *
fail(struct parser *p, const char *fmt, ...)
{
	char text[200];
	va_list args;

	if (p->err != OK)
		return NULL;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	p->err = template_say(p->why, p->why_n, p->file, p->action_line, "%s", text);
	return NULL;
}

static void *
make(struct parser *p, size_t n)
{
	void *made = p->err == OK ? arena_alloc(p->set->arena, n) : NULL;

	if (!made && p->err == OK)
		p->err = E_NOMEM;
	return made;
}

struct template_set *
template_set_new(struct arena *arena)
{
	struct template_set *set = arena_alloc(arena, sizeof(*set));

	if (set)
		set->arena = arena;
	return set;
}

const struct template_one *
template_find(const struct template_set *set, struct slice name)
{
	for (const struct template_one *t = set->first; t; t = t->next)
		if (slice_eq(t->name, name))
			return t;
	return NULL;
}

bool
template_has(const struct template_set *set, const char *name)
{
	return set && template_find(set, slice_str(name));
}

/* ---- words of an action ---- */

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static void
skip_space(struct parser *p)
{
	while (p->action.n && is_space(p->action.p[0]))
		p->action = slice_of(p->action.p + 1, p->action.n - 1);
}

/* A mark at the front, taken. */
static bool
take(struct parser *p, const char *mark)
{
	skip_space(p);
	if (!slice_has_prefix(p->action, slice_str(mark)))
		return false;
	p->action = slice_of(p->action.p + strlen(mark), p->action.n - strlen(mark));
	return true;
}

static struct slice
take_name(struct parser *p)
{
	size_t n = 0;
	struct slice name;

	while (n < p->action.n && is_name(p->action.p[n]))
		n++;
	name = slice_of(p->action.p, n);
	p->action = slice_of(p->action.p + n, p->action.n - n);
	return name;
}

/* A whole word, not the beginning of another. */
static bool
take_word(struct parser *p, const char *word)
{
	size_t n = strlen(word);

	skip_space(p);
	return slice_has_prefix(p->action, slice_str(word)) && (p->action.n == n || !is_name(p->action.p[n])) && take(p, word);
}

/* ".A.B" of what begins with a dot; behind it. */
static struct slice
take_path(struct parser *p)
{
	const char *from = p->action.p;
	size_t n = 0;

	while (n + 1 < p->action.n && p->action.p[n] == '.' && is_name(p->action.p[n + 1]) && !isdigit((unsigned char)p->action.p[n + 1]))
		for (n++; n < p->action.n && is_name(p->action.p[n]);)
			n++;
	p->action = slice_of(p->action.p + n, p->action.n - n);
	return slice_of(from, n);
}

static struct template_value
take_string(struct parser *p)
{
	char quote = p->action.p[0], *out = make(p, p->action.n + 1);
	size_t n = 0, i = 1;

	for (; out && i < p->action.n && p->action.p[i] != quote; i++) {
		char c = p->action.p[i];
		if (quote == '"' && c == '\\' && ++i < p->action.n) {
			const char *escapes = "nt\"\\'", *at = strchr(escapes, p->action.p[i]);
			c = at && *at ? "\n\t\"\\'"[at - escapes] : '\0';
			if (!c)
				fail(p, "an escape in a text that is not known: \\%c", p->action.p[i]);
		}
		out[n++] = c;
	}
	if (out && i >= p->action.n)
		fail(p, "a text does not end");
	if (p->err != OK)
		return (struct template_value){ .kind = TEMPLATE_NIL };
	p->action = slice_of(p->action.p + i + 1, p->action.n - i - 1);
	return template_text(slice_of(out, n));
}

static struct template_pipe *take_pipe(struct parser *p);

static bool
take_number(struct parser *p, struct template_value *out)
{
	bool minus = p->action.n > 1 && p->action.p[0] == '-' && isdigit((unsigned char)p->action.p[1]);
	uint64_t n;

	if (!minus && !(p->action.n && isdigit((unsigned char)p->action.p[0])))
		return false;
	if (minus)
		take(p, "-");
	if (!slice_to_u64(take_name(p), INT32_MAX, &n) || (p->action.n && p->action.p[0] == '.'))
		fail(p, "a number that is not carried: expected a whole one");
	*out = (struct template_value){ .kind = TEMPLATE_INT, .number = minus ? -(int64_t)n : (int64_t)n };
	return true;
}

static void
take_word_operand(struct parser *p, struct template_operand *o)
{
	struct slice name = take_name(p);

	o->kind = OPERAND_VALUE;
	if (slice_eq_str(name, "true") || slice_eq_str(name, "false"))
		o->value = template_bool(name.p[0] == 't');
	else if (slice_eq_str(name, "nil"))
		o->value = (struct template_value){ .kind = TEMPLATE_NIL };
	else {
		o->kind = OPERAND_FUNCTION;
		o->name = name;
		o->function = template_function_find(name);
		if (!o->function)
			fail(p, "the function \"%.*s\" is not carried", SLICE_FMT(name));
	}
}

/* NULL: there is none, or it failed. */
static struct template_operand *
take_operand(struct parser *p)
{
	struct template_operand *o = make(p, sizeof(*o));

	skip_space(p);
	if (!o || !p->action.n || p->action.p[0] == ')' || p->action.p[0] == '|')
		return NULL;
	char c = p->action.p[0];
	if (c == '.') {
		o->kind = OPERAND_FIELD;
		o->path = take_path(p);
		if (!o->path.n)
			take(p, ".");
	} else if (c == '$') {
		take(p, "$");
		o->kind = OPERAND_VARIABLE;
		o->name = take_name(p);
		o->path = take_path(p);
	} else if (c == '"' || c == '`') {
		o->kind = OPERAND_VALUE;
		o->value = take_string(p);
	} else if (c == '(') {
		take(p, "(");
		o->kind = OPERAND_PIPE;
		o->pipe = take_pipe(p);
		if (p->err == OK && !take(p, ")"))
			fail(p, "expected a closing parenthesis");
		o->path = take_path(p);
	} else if (take_number(p, &o->value)) {
		o->kind = OPERAND_VALUE;
	} else if (is_name(c)) {
		take_word_operand(p, o);
	} else {
		fail(p, "what begins with \"%c\" is not understood", c);
	}
	return p->err == OK ? o : NULL;
}

static struct template_command *
take_command(struct parser *p, bool piped)
{
	struct template_command *c = make(p, sizeof(*c));
	struct template_operand *o, **end = c ? &c->first : NULL;

	while (c && (o = take_operand(p))) {
		*end = o;
		end = &o->next;
		c->n++;
	}
	if (p->err != OK)
		return NULL;
	if (!c->first)
		return fail(p, "expected a value");
	if (c->first->kind == OPERAND_FUNCTION) {
		size_t n = c->n - 1 + piped;
		const struct template_function *f = c->first->function;
		if (n < f->args_min || n > f->args_max)
			return fail(p, "%s does not take %zu values", f->name, n);
	} else if (c->n > 1 || piped) {
		return fail(p, "only a function takes values");
	}
	for (o = c->first->next; o; o = o->next)
		if (o->kind == OPERAND_FUNCTION && o->function->args_min > 0)
			return fail(p, "%s needs values: put it and them into parentheses", o->function->name);
	return c;
}

/* "$x :=", "$i, $x :=", "$x =". */
static void
take_declaration(struct parser *p, struct template_pipe *pipe)
{
	struct slice before = p->action, names[2] = { SLICE_NONE, SLICE_NONE };
	size_t n = 0;

	while (n < 2 && take(p, "$")) {
		names[n++] = take_name(p);
		if (!take(p, ","))
			break;
	}
	if (n && (take(p, ":=") || (n == 1 && take(p, "=") && (pipe->assigns = true)))) {
		memcpy(pipe->declared, names, sizeof(names));
		return;
	}
	p->action = before;
}

static struct template_pipe *
take_pipe(struct parser *p)
{
	struct template_pipe *pipe = make(p, sizeof(*pipe));
	struct template_command *c, **end = pipe ? &pipe->first : NULL;
	bool piped = false;

	if (++p->depth > TEMPLATE_DEPTH_MAX)
		fail(p, "too many blocks or parentheses in one another");
	if (pipe && p->err == OK) {
		pipe->line = p->action_line;
		take_declaration(p, pipe);
	}
	while (pipe && p->err == OK && (c = take_command(p, piped))) {
		*end = c;
		end = &c->next;
		piped = true;
		if (!take(p, "|"))
			break;
	}
	p->depth--;
	return p->err == OK ? pipe : NULL;
}

/* ---- actions and what stands between them ---- */

static void
count_lines(struct parser *p, struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		p->line += s.p[i] == '\n';
}

/* Bytes before "}}", which does not stand in a text or comment. False: it does not end. */
static bool
action_length(struct slice s, size_t *n)
{
	char quote = 0;

	for (size_t i = 0; i + 1 < s.n; i++) {
		if (!quote && s.p[i] == '/' && s.p[i + 1] == '*') {
			const char *close = memmem(s.p + i, s.n - i, "*/", 2);
			if (!close)
				return false;
			i = (size_t)(close - s.p) + 1;
		} else if (quote == '"' && s.p[i] == '\\') {
			i++;
		} else if (quote ? s.p[i] == quote : s.p[i] == '"' || s.p[i] == '`') {
			quote = quote ? 0 : s.p[i];
		} else if (!quote && s.p[i] == '}' && s.p[i + 1] == '}') {
			*n = i;
			return true;
		}
	}
	return false;
}

static struct slice
trimmed(struct slice s, bool front, bool back)
{
	while (front && s.n && is_space(s.p[0]))
		s = slice_of(s.p + 1, s.n - 1);
	while (back && s.n && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

/* The text up to the next action, which becomes p->action. False: the file ends here. */
static bool
next_action(struct parser *p, struct slice *text)
{
	const char *open = p->rest.n ? memmem(p->rest.p, p->rest.n, "{{", 2) : NULL;
	size_t n = open ? (size_t)(open - p->rest.p) : p->rest.n, inner = 0;
	struct slice action;
	bool trim_before;

	*text = slice_of(p->rest.p, n);
	count_lines(p, *text);
	p->action_line = p->line;
	if (!open) {
		*text = trimmed(*text, p->trim, false);
		p->rest = SLICE_NONE;
		return false;
	}
	action = slice_of(open + 2, p->rest.n - n - 2);
	if (!action_length(action, &inner)) {
		fail(p, "an action does not end: expected }}");
		return false;
	}
	p->rest = slice_of(action.p + inner + 2, action.n - inner - 2);
	action.n = inner;
	count_lines(p, action);
	trim_before = action.n > 1 && action.p[0] == '-' && is_space(action.p[1]);
	*text = trimmed(*text, p->trim, trim_before);
	if (trim_before)
		action = slice_of(action.p + 1, action.n - 1);
	p->trim = action.n > 1 && action.p[action.n - 1] == '-' && is_space(action.p[action.n - 2]);
	action.n -= p->trim;
	p->action = action;
	return true;
}

enum ends { END_FILE, END_END, END_ELSE };

static struct template_node *parse_list(struct parser *p, enum ends *end);

static struct template_node *
node_new(struct parser *p, enum template_node_kind kind)
{
	struct template_node *n = make(p, sizeof(*n));

	if (n) {
		n->kind = kind;
		n->line = p->action_line;
	}
	return n;
}

static void
action_must_end(struct parser *p)
{
	skip_space(p);
	if (p->action.n)
		fail(p, "what stands behind is not understood: %.*s", (int)(p->action.n > 40 ? 40 : p->action.n), p->action.p);
}

/* if, with, range; "else if" is an if in the else. */
static struct template_node *
parse_block(struct parser *p, enum template_node_kind kind)
{
	struct template_node *n = node_new(p, kind);
	enum ends end = END_END;

	if (!n || !(n->pipe = take_pipe(p)))
		return NULL;
	action_must_end(p);
	if (++p->depth > TEMPLATE_DEPTH_MAX)
		return fail(p, "too many blocks or parentheses in one another");
	n->body = parse_list(p, &end);
	if (p->err == OK && end == END_ELSE) {
		bool is_if = take_word(p, "if");
		if (is_if || take_word(p, "with")) {
			n->other = parse_block(p, is_if ? NODE_IF : NODE_WITH);
			p->depth--;
			return p->err == OK ? n : NULL; /* its end is ours */
		}
		action_must_end(p);
		n->other = parse_list(p, &end);
		if (p->err == OK && end == END_ELSE)
			fail(p, "a second else");
	}
	p->depth--;
	if (p->err == OK && end != END_END)
		fail(p, "a block that began at line %d does not end: expected {{end}}", n->line);
	return p->err == OK ? n : NULL;
}

static bool
take_template_name(struct parser *p, struct slice *name)
{
	skip_space(p);
	if (!p->action.n || (p->action.p[0] != '"' && p->action.p[0] != '`')) {
		fail(p, "expected the name of a template in quotes");
		return false;
	}
	*name = take_string(p).text;
	return p->err == OK;
}

static void
add_template(struct parser *p, struct slice name, struct template_node *body)
{
	struct template_one *t = make(p, sizeof(*t));

	if (!t)
		return;
	if (template_find(p->set, name)) {
		fail(p, "there is a template \"%.*s\" already", SLICE_FMT(name));
		return;
	}
	*t = (struct template_one){ .file = p->file, .name = name, .body = body, .next = p->set->first };
	p->set->first = t;
}

/* define, and the define part of block. */
static void
parse_define(struct parser *p, struct slice name)
{
	enum ends end;
	struct template_node *body;
	int began = p->action_line;

	action_must_end(p);
	if (++p->depth > TEMPLATE_DEPTH_MAX)
		fail(p, "too many blocks or parentheses in one another");
	body = p->err == OK ? parse_list(p, &end) : NULL;
	p->depth--;
	if (p->err == OK && end != END_END)
		fail(p, "a template that began at line %d does not end: expected {{end}}", began);
	if (p->err == OK)
		add_template(p, name, body);
}

static struct template_node *
parse_call(struct parser *p, bool block)
{
	struct template_node *n = node_new(p, NODE_CALL);

	if (!n || !take_template_name(p, &n->text))
		return NULL;
	skip_space(p);
	if (p->action.n)
		n->pipe = take_pipe(p);
	if (p->err == OK && block)
		parse_define(p, n->text);
	else
		action_must_end(p);
	return p->err == OK ? n : NULL;
}

/* One action. NULL with OK: nothing to run (a comment, a define). */
static struct template_node *
parse_action(struct parser *p)
{
	struct template_node *n;
	struct slice name;

	skip_space(p);
	if (slice_has_prefix(p->action, SLICE_LIT("/*"))) {
		if (!slice_has_suffix(slice_trim(p->action), SLICE_LIT("*/")))
			fail(p, "a comment stands alone");
		return NULL;
	}
	if (take_word(p, "if"))
		return parse_block(p, NODE_IF);
	if (take_word(p, "with"))
		return parse_block(p, NODE_WITH);
	if (take_word(p, "range"))
		return parse_block(p, NODE_RANGE);
	if (take_word(p, "template"))
		return parse_call(p, false);
	if (take_word(p, "block"))
		return parse_call(p, true);
	if (take_word(p, "define")) {
		if (take_template_name(p, &name))
			parse_define(p, name);
		return NULL;
	}
	if (take_word(p, "break") || take_word(p, "continue"))
		return fail(p, "break and continue are not carried");
	n = node_new(p, NODE_PRINT);
	if (!n || !(n->pipe = take_pipe(p)))
		return NULL;
	action_must_end(p);
	return p->err == OK ? n : NULL;
}

static struct template_node *
parse_list(struct parser *p, enum ends *end)
{
	struct template_node *first = NULL, **at = &first;
	struct slice text;
	bool more;

	*end = END_FILE;
	do {
		more = next_action(p, &text);
		if (text.n && p->err == OK) {
			struct template_node *n = node_new(p, NODE_TEXT);
			if (!n)
				return NULL;
			n->text = text;
			*at = n;
			at = &n->next;
		}
		if (p->err != OK || !more)
			break;
		if (take_word(p, "end")) {
			action_must_end(p);
			*end = END_END;
			break;
		}
		if (take_word(p, "else")) {
			*end = END_ELSE;
			break;
		}
		*at = parse_action(p);
		if (*at)
			at = &(*at)->next;
	} while (p->err == OK);
	return p->err == OK ? first : NULL;
}

enum err
template_add(struct template_set *set, const char *name, struct slice text, char *why, size_t why_n)
{
	struct parser p = { .set = set, .file = name, .rest = text, .line = 1, .why = why, .why_n = why_n };
	enum ends end;
	struct template_node *body = parse_list(&p, &end);

	if (p.err == OK && end != END_FILE)
		fail(&p, "nothing is open that could end here");
	if (p.err == OK)
		add_template(&p, slice_str(name), body);
	return p.err;
}
