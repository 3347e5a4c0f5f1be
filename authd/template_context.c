/* Where in the HTML each value of a template stands, and so how it is escaped. A walk over every way through it, as html/template does; what could not be
 * told, or not be made safe, is refused. */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>
#include "authd/template_internal.h"

#define NAME_BYTES 24
#define STEPS_MAX 1000000 /* each range doubles what is in it */

enum place {
	IN_TEXT, IN_COMMENT, IN_RAW,      /* RAW: of a script or style */
	IN_TAG_NAME, IN_TAG, IN_ATTRIBUTE_NAME, AFTER_ATTRIBUTE_NAME, BEFORE_VALUE,
	IN_VALUE, IN_UNQUOTED
};
enum attribute { PLAIN_ATTRIBUTE, ADDRESS_ATTRIBUTE, CODE_ATTRIBUTE };

struct context {
	enum place place;
	enum attribute attribute;
	char quote;                     /* IN_VALUE */
	bool begun, query;              /* of an address: something stands before; a "?" among it */
	bool closing;                   /* of a tag */
	bool split;                     /* the attribute's name may have begun in one of several ways */
	char name[NAME_BYTES];          /* of the tag or attribute that is being read, as far as it matters */
	size_t name_n;
	char raw[NAME_BYTES];           /* IN_RAW, and in the tag before: which element */
};

struct walk {
	const struct template_set *set;
	const char *file;
	char *why;
	size_t why_n;
	unsigned depth;
	size_t *steps; /* nodes that were walked through */
};

static void
name_begin(struct context *c)
{
	memset(c->name, 0, sizeof(c->name));
	c->name_n = 0;
}

static void
name_add(struct context *c, char ch)
{
	if (c->name_n < NAME_BYTES - 1)
		c->name[c->name_n] = (char)tolower((unsigned char)ch);
	c->name_n++;
}

static bool
one_of(const char *name, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(name, *words) == 0)
			return true;
	return false;
}

static enum attribute
attribute_of(const char *name)
{
	static const char *const addresses[] = { "href", "src", "action", "formaction", "poster", "cite", "background", "data", "manifest", "xlink:href", "longdesc",
		"usemap", "codebase", "icon", NULL };
	static const char *const code[] = { "style", "srcset", "srcdoc", "content", "http-equiv", NULL };

	if (strncmp(name, "on", 2) == 0 || one_of(name, code))
		return CODE_ATTRIBUTE;
	return one_of(name, addresses) ? ADDRESS_ATTRIBUTE : PLAIN_ATTRIBUTE;
}

static void
tag_end(struct context *c)
{
	static const char *const raw[] = { "script", "style", NULL };
	char element[NAME_BYTES];

	memcpy(element, c->raw, sizeof(element));
	bool is_raw = !c->closing && one_of(element, raw);
	*c = (struct context){ .place = is_raw ? IN_RAW : IN_TEXT };
	if (is_raw)
		memcpy(c->raw, element, sizeof(element));
}

static bool
is_blank(char ch)
{
	return ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r' || ch == '\f';
}

/* One character of the HTML; rest begins with it. Returns how many were taken. */
static size_t
step(struct context *c, struct slice rest)
{
	char ch = rest.p[0];

	switch (c->place) {
	case IN_TEXT:
		if (slice_has_prefix(rest, SLICE_LIT("<!--"))) {
			c->place = IN_COMMENT;
			return 4;
		}
		if (ch == '<' && rest.n > 1 && (isalpha((unsigned char)rest.p[1]) || rest.p[1] == '/' || rest.p[1] == '!')) {
			*c = (struct context){ .place = IN_TAG_NAME, .closing = rest.p[1] == '/' };
			return rest.p[1] == '/' || rest.p[1] == '!' ? 2 : 1;
		}
		return 1;
	case IN_COMMENT:
		if (!slice_has_prefix(rest, SLICE_LIT("-->")))
			return 1;
		*c = (struct context){ .place = IN_TEXT };
		return 3;
	case IN_RAW:
		if (ch == '<' && rest.n > 2 && rest.p[1] == '/' && rest.n - 2 >= strlen(c->raw) && strncasecmp(rest.p + 2, c->raw, strlen(c->raw)) == 0) {
			*c = (struct context){ .place = IN_TAG_NAME, .closing = true };
			return 2;
		}
		return 1;
	case IN_TAG_NAME:
		if (ch == '>' || is_blank(ch) || ch == '/') {
			memcpy(c->raw, c->name, sizeof(c->raw));
			name_begin(c);
			c->place = IN_TAG;
			if (ch == '>')
				tag_end(c);
		} else {
			name_add(c, ch);
		}
		return 1;
	case IN_TAG:
		if (ch == '>') {
			tag_end(c);
		} else if (!is_blank(ch) && ch != '/') {
			name_begin(c);
			c->split = false;
			c->place = IN_ATTRIBUTE_NAME;
			name_add(c, ch);
		}
		return 1;
	case IN_ATTRIBUTE_NAME:
		if (ch == '=')
			c->place = BEFORE_VALUE;
		else if (ch == '>')
			tag_end(c);
		else if (is_blank(ch) || ch == '/')
			c->place = AFTER_ATTRIBUTE_NAME;
		else
			name_add(c, ch);
		return 1;
	case AFTER_ATTRIBUTE_NAME:
		if (ch == '=') {
			c->place = BEFORE_VALUE;
		} else if (ch == '>') {
			tag_end(c);
		} else if (!is_blank(ch) && ch != '/') {
			c->place = IN_TAG;
			return 0; /* the next attribute */
		}
		return 1;
	case BEFORE_VALUE:
		if (is_blank(ch))
			return 1;
		if (ch == '>') {
			tag_end(c);
			return 1;
		}
		/* A name that is longer than any that matters is none that matters. */
		c->attribute = c->name_n < NAME_BYTES ? attribute_of(c->name) : strncmp(c->name, "on", 2) == 0 ? CODE_ATTRIBUTE : PLAIN_ATTRIBUTE;
		c->begun = c->query = false;
		c->quote = ch;
		c->place = ch == '"' || ch == '\'' ? IN_VALUE : IN_UNQUOTED;
		name_begin(c);
		return c->place == IN_VALUE;
	case IN_VALUE:
		if (ch == c->quote) {
			c->place = IN_TAG;
			c->attribute = PLAIN_ATTRIBUTE;
			c->begun = c->query = false;
			c->quote = 0;
		} else {
			c->begun |= !is_blank(ch);
			c->query |= ch == '?' || ch == '#';
		}
		return 1;
	case IN_UNQUOTED:
		if (is_blank(ch) || ch == '>') {
			c->place = IN_TAG;
			c->attribute = PLAIN_ATTRIBUTE;
			c->quote = 0;
			if (ch == '>')
				tag_end(c);
		}
		return 1;
	}
	return 1;
}

/* False: a name that was begun in several ways goes on. */
static bool
walk_text(struct context *c, struct slice text)
{
	while (text.n) {
		bool in_name = c->place == IN_ATTRIBUTE_NAME && c->split;
		size_t n = step(c, text);
		if (in_name && (c->place == IN_ATTRIBUTE_NAME || c->place == BEFORE_VALUE))
			return false;
		if (n && in_name)
			c->split = false;
		text = slice_of(text.p + n, text.n - n);
	}
	return true;
}

static bool
same(const struct context *a, const struct context *b)
{
	return a->place == b->place && a->attribute == b->attribute && a->quote == b->quote && a->begun == b->begun && a->query == b->query &&
	       a->closing == b->closing && a->split == b->split && a->name_n == b->name_n && strcmp(a->name, b->name) == 0 && strcmp(a->raw, b->raw) == 0;
}

/* Two ways that meet. "<input {{if .X}}checked{{end}}>": a tag in which a name has just ended, or not. */
static bool
join(struct context *a, const struct context *b)
{
	struct context nudged = *b;

	if (same(a, b))
		return true;
	if (a->place < IN_TAG || a->place > AFTER_ATTRIBUTE_NAME || b->place < IN_TAG || b->place > AFTER_ATTRIBUTE_NAME || a->closing != b->closing ||
		strcmp(a->raw, b->raw) != 0)
		return false;
	nudged.place = IN_ATTRIBUTE_NAME; /* whatever comes next must not be a part of it */
	nudged.split = true;
	name_begin(&nudged);
	*a = nudged;
	return true;
}

static enum err walk_list(struct walk *w, struct template_node *n, struct context *c);

static enum err
place_value(const struct walk *w, struct template_node *n, struct context *c)
{
	enum template_escape escape = ESCAPE_HTML;

	switch (c->place) {
	case IN_TEXT:
		break;
	case IN_VALUE:
		if (c->attribute == CODE_ATTRIBUTE)
			return template_say(w->why, w->why_n, w->file, n->line, "a value cannot stand in an attribute that is code, style, srcset or content");
		if (c->attribute == ADDRESS_ATTRIBUTE)
			escape = c->query ? ESCAPE_QUERY : c->begun ? ESCAPE_HTML : ESCAPE_URL;
		break;
	case IN_UNQUOTED:
	case BEFORE_VALUE:
		return template_say(w->why, w->why_n, w->file, n->line, "a value stands in an attribute without quotes: put it into quotes");
	case IN_RAW:
		return template_say(w->why, w->why_n, w->file, n->line, "a value cannot stand in <%s>: put it into an attribute, such as data-value, and read it there", c->raw);
	case IN_COMMENT:
		return template_say(w->why, w->why_n, w->file, n->line, "a value cannot stand in a comment");
	default:
		return template_say(w->why, w->why_n, w->file, n->line, "a value cannot stand within a tag, but in a quoted attribute");
	}
	if (n->escape != ESCAPE_UNKNOWN && n->escape != escape)
		return template_say(w->why, w->why_n, w->file, n->line, "the template is called from places that need different escaping");
	n->escape = escape;
	return OK;
}

/* Once and not at all, or the one and the other. */
static enum err
walk_branches(struct walk *w, struct template_node *n, struct context *c)
{
	struct context one = *c, other = *c;
	enum err e = walk_list(w, n->body, &one);

	if (e == OK && n->other)
		e = walk_list(w, n->other, &other);
	if (e != OK)
		return e;
	if (!join(&one, &other))
		return template_say(w->why, w->why_n, w->file, n->line, "its branches end at different places of the page's markup");
	*c = one;
	/* A second round begins where the first has ended. */
	if (n->kind == NODE_RANGE && (e = walk_list(w, n->body, &one)) == OK && !join(&one, c))
		e = template_say(w->why, w->why_n, w->file, n->line, "a round does not end where it began in the page's markup");
	return e;
}

static enum err
walk_call(struct walk *w, struct template_node *n, struct context *c)
{
	const struct template_one *t = template_find(w->set, n->text);
	struct walk inner = *w;

	if (!t)
		return template_say(w->why, w->why_n, w->file, n->line, "there is no template \"%.*s\"", SLICE_FMT(n->text));
	inner.file = t->file;
	if (++inner.depth > TEMPLATE_DEPTH_MAX)
		return template_say(w->why, w->why_n, w->file, n->line, "templates call each other without end");
	return walk_list(&inner, t->body, c);
}

static enum err
walk_list(struct walk *w, struct template_node *n, struct context *c)
{
	enum err e = OK;

	for (; n && e == OK; n = n->next) {
		if (++*w->steps > STEPS_MAX)
			return template_say(w->why, w->why_n, w->file, n->line, "the template is too complicated");
		if (n->kind == NODE_TEXT) {
			if (!walk_text(c, n->text))
				e = template_say(w->why, w->why_n, w->file, n->line, "an attribute's name is put together from parts");
		} else if (n->kind == NODE_CALL)
			e = walk_call(w, n, c);
		else if (n->kind != NODE_PRINT)
			e = walk_branches(w, n, c);
		else if (!n->pipe->declared[0].p)
			e = place_value(w, n, c);
	}
	return e;
}

enum err
template_check(struct template_set *set, const char *page, char *why, size_t why_n)
{
	const struct template_one *t = template_find(set, slice_str(page));
	struct walk w = { .set = set, .file = page, .why = why, .why_n = why_n };
	struct context c = { .place = IN_TEXT };
	size_t steps = 0;

	w.steps = &steps;
	if (!t)
		return template_say(why, why_n, page, 0, "there is no such template");
	enum err e = walk_list(&w, t->body, &c);
	if (e == OK && c.place != IN_TEXT)
		e = template_say(why, why_n, page, 0, "the page ends within a tag, a comment or a script");
	return e;
}
