#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>
#include "shared/file.h"
#include "shared/yaml.h"

/* What a subtree costs wherever it is repeated. */
struct extent {
	size_t nodes;
	int height;
};

struct anchor {
	struct anchor *next;
	const char *name;
	const struct yaml_node *node;
	struct extent extent;
};

struct reader {
	yaml_parser_t parser;
	struct arena *arena;
	const char *name;
	struct slice text;
	struct config_error *e;
	size_t nodes, anchors_n;
	struct anchor *anchors; /* newest first: a name may be given again */
};

static enum err read_node(struct reader *r, yaml_event_t *event, int depth, struct yaml_node **out, struct extent *extent);

void
config_error_set(struct config_error *e, const char *file, int line, const char *key, const char *fmt, ...)
{
	char raw[sizeof(e->text)], where[16] = "";
	va_list args;

	if (e->text[0])
		return;
	if (line > 0)
		snprintf(where, sizeof(where), ":%d", line);
	int n = snprintf(raw, sizeof(raw), "%s%s: %s%s", file ? file : "", where, key ? key : "", key ? ": " : "");
	if (n >= 0 && (size_t)n < sizeof(raw)) {
		va_start(args, fmt);
		int m = vsnprintf(raw + n, sizeof(raw) - (size_t)n, fmt, args);
		va_end(args);
		n = m < 0 ? n : n + m;
	}

	/* Character by character: names and found values come from the file. */
	bool cut = (size_t)n >= sizeof(raw);
	size_t at = 0, limit = sizeof(e->text) - 1 - (cut ? strlen("…") : 0);
	for (struct slice s = slice_of(raw, strlen(raw)); s.n;) {
		size_t width = slice_utf8_first(s), step = width ? width : 1;
		bool shown = width > 1 || (width == 1 && s.p[0] >= ' ' && s.p[0] != 0x7f);
		if (at + step > limit)
			break;
		if (shown)
			memcpy(e->text + at, s.p, step);
		else
			e->text[at] = '?';
		at += shown ? step : 1;
		s = slice_of(s.p + step, s.n - step);
	}
	strcpy(e->text + at, cut ? "…" : "");
}

static enum err
refuse_memory(struct reader *r)
{
	config_error_set(r->e, r->name, 0, NULL, "out of memory");
	return E_NOMEM;
}

static int
line_of(yaml_mark_t mark)
{
	return (int)mark.line + 1; /* a file has fewer than YAML_BYTES_MAX lines */
}

static bool
is_indented_by_tab(struct slice text, int line)
{
	size_t i = 0;

	while (line > 1 && i < text.n)
		line -= text.p[i++] == '\n';
	while (i < text.n && text.p[i] == ' ')
		i++;
	return i < text.n && text.p[i] == '\t';
}

/* Why libyaml stopped. Its texts are constants, none repeats the input. */
static enum err
refuse_syntax(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	int line = line_of(p->problem_mark);

	if (p->error == YAML_MEMORY_ERROR)
		return refuse_memory(r);
	if (p->error == YAML_READER_ERROR) {
		line = 1;
		for (size_t i = 0; i < p->problem_offset && i < r->text.n; i++)
			line += r->text.p[i] == '\n';
	}
	config_error_set(r->e, r->name, line, NULL, "expected YAML, found an error: %s%s%s%s", p->problem ? p->problem : "unknown",
		p->context ? " " : "", p->context ? p->context : "",
		is_indented_by_tab(r->text, line) ? " (the line begins with a tab, where YAML has blanks)" : "");
	return E_FORMAT;
}

static enum err
next_event(struct reader *r, yaml_event_t *event)
{
	return yaml_parser_parse(&r->parser, event) ? OK : refuse_syntax(r);
}

static enum err
count_nodes(struct reader *r, size_t n, int line)
{
	r->nodes += n;
	if (r->nodes <= YAML_NODES_MAX)
		return OK;
	config_error_set(r->e, r->name, line, NULL, "expected at most %d nodes (aliases expanded), found more", YAML_NODES_MAX);
	return E_LIMIT;
}

static enum err
check_depth(struct reader *r, int depth, int line)
{
	if (depth <= YAML_DEPTH_MAX)
		return OK;
	config_error_set(r->e, r->name, line, NULL, "expected at most %d levels (aliases expanded), found more", YAML_DEPTH_MAX);
	return E_LIMIT;
}

/* The end of a core tag's URI ("int"), "" for the non-specific "!", NULL for any other. */
static const char *
core_tag(const yaml_char_t *tag)
{
	static const char prefix[] = "tag:yaml.org,2002:";
	static const char *const names[] = { "str", "int", "float", "bool", "null", "map", "seq", NULL };
	const char *t = (const char *)tag;

	if (strcmp(t, "!") == 0)
		return "";
	if (strncmp(t, prefix, sizeof(prefix) - 1) != 0)
		return NULL;
	for (size_t i = 0; names[i]; i++)
		if (strcmp(t + sizeof(prefix) - 1, names[i]) == 0)
			return names[i];
	return NULL;
}

/* Whether the tag (NULL: none) fits this kind; *string tells what it says about a scalar's quotes, -1 nothing. */
static bool
tag_fits(enum yaml_kind kind, const yaml_char_t *tag, int *string)
{
	const char *name = tag ? core_tag(tag) : "";

	*string = -1;
	if (!name)
		return false;
	if (kind == YAML_MAP)
		return !*name || strcmp(name, "map") == 0;
	if (kind == YAML_LIST)
		return !*name || strcmp(name, "seq") == 0;
	if (tag)
		*string = !*name || strcmp(name, "str") == 0;
	return strcmp(name, "map") != 0 && strcmp(name, "seq") != 0;
}

static enum err
read_scalar(struct reader *r, const yaml_event_t *event, struct yaml_node *node)
{
	const char *value = (const char *)event->data.scalar.value;
	size_t n = event->data.scalar.length;
	int string;

	if (!tag_fits(YAML_SCALAR, event->data.scalar.tag, &string)) {
		config_error_set(r->e, r->name, node->line, NULL, "expected a plain YAML type, found another tag (!…)");
		return E_FORMAT;
	}
	if (memchr(value, '\0', n)) {
		config_error_set(r->e, r->name, node->line, NULL, "expected text, found a NUL byte");
		return E_FORMAT;
	}
	node->quoted = string >= 0 ? string : event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	node->scalar = arena_slice(r->arena, slice_of(value, n));
	return node->scalar.p ? OK : refuse_memory(r);
}

/* A key of a map from its event. */
static enum err
read_key(struct reader *r, const yaml_event_t *event, struct yaml_node *key)
{
	key->line = line_of(event->start_mark);
	if (event->type != YAML_SCALAR_EVENT) {
		config_error_set(r->e, r->name, key->line, NULL, "expected a key, found a list, a map or an alias in its place");
		return E_FORMAT;
	}
	enum err e = read_scalar(r, event, key);
	if (e == OK && !key->quoted && slice_eq_str(key->scalar, "<<")) {
		config_error_set(r->e, r->name, key->line, NULL, "expected a key, found a merge key (<<): write its keys out");
		e = E_FORMAT;
	}
	return e;
}

static int
compare_keys(const void *a, const void *b)
{
	const struct yaml_node *x = *(const struct yaml_node *const *)a, *y = *(const struct yaml_node *const *)b;
	int order = strcmp(x->key.p, y->key.p);

	return order ? order : (x->key_line > y->key_line) - (x->key_line < y->key_line);
}

static enum err
check_duplicates(struct reader *r, const struct yaml_node *map, size_t n)
{
	enum err e = OK;

	if (n < 2)
		return OK;
	const struct yaml_node **sorted = calloc(n, sizeof(struct yaml_node *)), *child = map->first;
	if (!sorted)
		return refuse_memory(r);
	for (size_t i = 0; i < n; i++, child = child->next)
		sorted[i] = child;
	qsort(sorted, n, sizeof(struct yaml_node *), compare_keys);
	for (size_t i = 1; i < n && e == OK; i++)
		if (strcmp(sorted[i - 1]->key.p, sorted[i]->key.p) == 0) {
			config_error_set(r->e, r->name, sorted[i]->key_line, sorted[i]->key.p,
				"expected each key once, found it again (first on line %d)", sorted[i - 1]->key_line);
			e = E_FORMAT;
		}
	free(sorted);
	return e;
}

/* The children of a map or list, up to its end event. */
static enum err
read_children(struct reader *r, struct yaml_node *parent, int depth, struct extent *extent)
{
	yaml_event_type_t end = parent->kind == YAML_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
	struct yaml_node **tail = &parent->first;
	size_t n = 0;

	for (;; n++) {
		yaml_event_t event;
		struct yaml_node key = { 0 }, *child;
		struct extent inner;
		enum err e = next_event(r, &event);

		if (e != OK)
			return e;
		if (event.type == end) {
			yaml_event_delete(&event);
			return parent->kind == YAML_MAP ? check_duplicates(r, parent, n) : OK;
		}
		if (parent->kind == YAML_MAP) {
			e = read_key(r, &event, &key);
			yaml_event_delete(&event);
			if (e == OK)
				e = next_event(r, &event);
			if (e != OK)
				return e;
		}
		e = read_node(r, &event, depth + 1, &child, &inner);
		if (e != OK)
			return e;
		child->key = key.scalar;
		child->key_line = key.line;
		*tail = child;
		tail = &child->next;
		extent->nodes += inner.nodes;
		if (extent->height < inner.height + 1)
			extent->height = inner.height + 1;
	}
}

/* A node of its own that shares the anchored one's children, which nobody changes. */
static enum err
read_alias(struct reader *r, const char *name, int line, int depth, struct yaml_node *node, struct extent *extent)
{
	for (const struct anchor *a = r->anchors; a; a = a->next) {
		if (strcmp(a->name, name) != 0)
			continue;
		enum err e = count_nodes(r, a->extent.nodes - 1, line);
		if (e == OK)
			e = check_depth(r, depth + a->extent.height, line);
		*node = *a->node;
		node->line = line;
		node->next = NULL;
		*extent = a->extent;
		return e;
	}
	config_error_set(r->e, r->name, line, NULL,
		"expected an alias (*…) of an anchor (&…) that ends before it, found none: quote the value if it is a text");
	return E_FORMAT;
}

static enum err
remember_anchor(struct reader *r, const yaml_char_t *name, const struct yaml_node *node, struct extent extent)
{
	struct anchor *a = arena_alloc(r->arena, sizeof(*a));

	if (r->anchors_n++ == YAML_ANCHORS_MAX) {
		config_error_set(r->e, r->name, node->line, NULL, "expected at most %d anchors (&…), found more", YAML_ANCHORS_MAX);
		return E_LIMIT;
	}
	if (!a)
		return refuse_memory(r);
	*a = (struct anchor){ r->anchors, arena_strdup(r->arena, (const char *)name), node, extent };
	if (!a->name)
		return refuse_memory(r);
	r->anchors = a;
	return OK;
}

static enum err
read_branch(struct reader *r, enum yaml_kind kind, const yaml_char_t *tag, struct yaml_node *node, int depth, struct extent *extent)
{
	int unused;

	node->kind = kind;
	if (!tag_fits(kind, tag, &unused)) {
		config_error_set(r->e, r->name, node->line, NULL, "expected a plain YAML type, found another tag (!…)");
		return E_FORMAT;
	}
	return read_children(r, node, depth, extent);
}

/* The node that event begins; the event is consumed. depth: 1 for the root. */
static enum err
read_node(struct reader *r, yaml_event_t *event, int depth, struct yaml_node **out, struct extent *extent)
{
	struct yaml_node *node = arena_alloc(r->arena, sizeof(*node));
	const yaml_char_t *anchor = NULL;
	enum err e = OK;

	*out = node;
	*extent = (struct extent){ 1, 0 };
	if (!node)
		e = refuse_memory(r);
	else
		node->line = line_of(event->start_mark);
	if (e == OK)
		e = count_nodes(r, 1, node->line);
	if (e == OK)
		e = check_depth(r, depth, node->line);
	if (e == OK) {
		switch (event->type) {
		case YAML_SCALAR_EVENT:
			anchor = event->data.scalar.anchor;
			e = read_scalar(r, event, node);
			break;
		case YAML_ALIAS_EVENT:
			e = read_alias(r, (const char *)event->data.alias.anchor, node->line, depth, node, extent);
			break;
		case YAML_MAPPING_START_EVENT:
			anchor = event->data.mapping_start.anchor;
			e = read_branch(r, YAML_MAP, event->data.mapping_start.tag, node, depth, extent);
			break;
		default:
			anchor = event->data.sequence_start.anchor;
			e = read_branch(r, YAML_LIST, event->data.sequence_start.tag, node, depth, extent);
			break;
		}
	}
	if (e == OK && anchor)
		e = remember_anchor(r, anchor, node, *extent);
	yaml_event_delete(event);
	return e;
}

/* stream-start [document-start node document-end] stream-end */
static enum err
read_stream(struct reader *r, struct yaml_node **out)
{
	yaml_event_t event;
	struct extent extent;
	enum err e;

	for (;;) {
		e = next_event(r, &event);
		if (e != OK)
			return e;
		yaml_event_type_t type = event.type;
		int line = line_of(event.start_mark);
		yaml_event_delete(&event);
		if (type == YAML_STREAM_END_EVENT)
			return OK;
		if (type != YAML_DOCUMENT_START_EVENT)
			continue;
		if (*out) {
			config_error_set(r->e, r->name, line, NULL, "expected one document, found a second");
			return E_FORMAT;
		}
		e = next_event(r, &event);
		if (e == OK)
			e = read_node(r, &event, 1, out, &extent);
		if (e != OK)
			return e;
	}
}

enum err
yaml_parse(struct arena *arena, const char *name, struct slice text, struct yaml_node **out, struct config_error *e)
{
	struct reader r = { .arena = arena, .name = name, .text = text, .e = e };
	struct yaml_node *root = NULL;

	*out = NULL;
	if (text.n > YAML_BYTES_MAX) {
		config_error_set(e, name, 0, NULL, "expected at most %u bytes, found %zu", YAML_BYTES_MAX, text.n);
		return E_LIMIT;
	}
	if (!yaml_parser_initialize(&r.parser))
		return refuse_memory(&r);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
	enum err result = read_stream(&r, &root);
	yaml_parser_delete(&r.parser);
	if (result == OK)
		*out = root;
	return result;
}

enum err
yaml_load(struct arena *arena, const char *path, struct yaml_node **out, struct config_error *e)
{
	struct buf text;
	enum err result;

	*out = NULL;
	buf_init(&text, YAML_BYTES_MAX);
	result = file_read(path, YAML_BYTES_MAX, &text);
	if (result == OK)
		result = yaml_parse(arena, path, buf_slice(&text), out, e);
	else if (result == E_SYSTEM)
		config_error_set(e, path, 0, NULL, "expected a readable file, found: %s",
			errno == EINVAL ? "not a regular file" : strerrordesc_np(errno));
	else if (result == E_LIMIT)
		config_error_set(e, path, 0, NULL, "expected at most %u bytes, found more", YAML_BYTES_MAX);
	else
		config_error_set(e, path, 0, NULL, "out of memory");
	buf_fini_secret(&text);
	return result;
}

bool
yaml_is_null(const struct yaml_node *node)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };

	if (node->kind != YAML_SCALAR || node->quoted)
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_eq_str(node->scalar, words[i]))
			return true;
	return false;
}

struct yaml_node *
yaml_get(const struct yaml_node *map, const char *key)
{
	if (!map || map->kind != YAML_MAP)
		return NULL;
	for (struct yaml_node *child = map->first; child; child = child->next)
		if (slice_eq_str(child->key, key))
			return child;
	return NULL;
}
