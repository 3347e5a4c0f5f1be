#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "shared/buf.h"
#include "shared/config.h"
#include "shared/env.h"

#define LIST_ITEMS_MAX 1000

/* Where a value stands: the way back to the root, written out only for an error. */
struct place {
	const struct place *parent;
	const char *name; /* of a map's member; NULL: item `index` of a list */
	size_t index;
};

/* What stays the same through one config_bind. */
struct binder {
	struct arena *arena;
	const char *file;
	struct config_error *e;
};

static enum err bind_map(struct binder *b, const struct yaml_node *map, const struct place *at,
	const struct config_table *table, void *out);

static void
write_place(const struct place *at, struct buf *out)
{
	if (!at)
		return;
	write_place(at->parent, out);
	if (!at->name)
		buf_printf(out, "[%zu]", at->index);
	else if (*at->name)
		buf_printf(out, "%s%s", out->n ? "." : "", at->name);
}

/* "FILE:LINE: path: expected …, found …" */
static enum err PRINTF_LIKE(5, 6)
refuse(struct binder *b, int line, const struct place *at, const char *found, const char *fmt, ...)
{
	char expected[320];
	struct buf path;
	va_list args;

	va_start(args, fmt);
	vsnprintf(expected, sizeof(expected), fmt, args);
	va_end(args);
	buf_init(&path, 0);
	write_place(at, &path);
	config_error_set(b->e, b->file, line, path.n ? path.p : NULL, "expected %s, found %s", expected, found);
	buf_fini(&path);
	return E_FORMAT;
}

static enum err
refuse_memory(struct binder *b)
{
	config_error_set(b->e, b->file, 0, NULL, "out of memory");
	return E_NOMEM;
}

/* What was found, for people. The text of a scalar is shown only where a scalar belongs and is no secret: a value in the
 * wrong place may be anything. */
#define FOUND_BYTES 96
static const char *
found_text(const struct yaml_node *node, bool show, char out[FOUND_BYTES])
{
	if (!node || yaml_is_null(node))
		return "nothing";
	if (node->kind == YAML_MAP)
		return "a map";
	if (node->kind == YAML_LIST)
		return "a list";
	if (!show)
		return "a single value (not shown)";
	if (node->scalar.n == 0)
		return "an empty text";
	bool cut = node->scalar.n > 60;
	snprintf(out, FOUND_BYTES, "\"%.*s%s\"%s", cut ? 57 : (int)node->scalar.n, node->scalar.p, cut ? "…" : "",
		node->quoted ? " (quoted)" : "");
	return out;
}

static enum err
refuse_value(struct binder *b, const struct config_field *f, const struct yaml_node *node, const struct place *at, const char *expected)
{
	char text[FOUND_BYTES];
	bool scalar = f->type != CONFIG_STRING_LIST && f->type != CONFIG_BLOCK && f->type != CONFIG_BLOCK_LIST;

	return refuse(b, node->line, at, found_text(node, scalar && !(f->flags & CONFIG_SECRET), text), "%s", expected);
}

/* The scalar's text with variables replaced where the row wants it. */
static enum err
expand(struct binder *b, const struct config_field *f, const struct yaml_node *node, const struct place *at, struct slice *out)
{
	const char *unset;

	*out = node->scalar;
	if (!(f->flags & CONFIG_EXPAND_ENV))
		return OK;
	enum err e = env_expand(b->arena, node->scalar, out, &unset);
	if (e == E_NOMEM)
		return refuse_memory(b);
	if (e == E_EMPTY && (f->flags & CONFIG_SECRET)) /* "pa$word": the name may be part of the secret */
		return refuse(b, node->line, at, "one that is not set (not shown)",
			"environment variables that are set ($$ for a dollar sign)");
	if (e == E_EMPTY)
		return refuse(b, node->line, at, "it unset", "environment variable %s to be set ($$ for a dollar sign)", unset);
	return e;
}

static enum err
check_readable(struct binder *b, const struct config_field *f, const struct yaml_node *node, const struct place *at, const char *path)
{
	struct stat st;
	char found[320];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	const char *why = NULL;

	if (fd < 0)
		why = strerrordesc_np(errno);
	else if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		why = "not a regular file";
	if (fd >= 0)
		close(fd);
	if (!why)
		return OK;
	snprintf(found, sizeof(found), "%s%s%s", f->flags & CONFIG_SECRET ? "" : path, f->flags & CONFIG_SECRET ? "" : ": ", why);
	return refuse(b, node->line, at, found, "a readable file");
}

static enum err
bind_string(struct binder *b, const struct config_field *f, const struct yaml_node *node, const struct place *at, void *out)
{
	struct slice text;
	enum err e = expand(b, f, node, at, &text);

	if (e != OK)
		return e;
	if ((f->flags & CONFIG_REQUIRED) && text.n == 0)
		return refuse_value(b, f, node, at, "a text that is not empty");
	if ((f->flags & CONFIG_FILE) && text.n) {
		e = check_readable(b, f, node, at, text.p);
		if (e != OK)
			return e;
	}
	*(const char **)out = text.p;
	return OK;
}

static enum err
bind_bool(struct binder *b, const struct config_field *f, const struct yaml_node *node, const struct place *at, void *out)
{
	static const char *const old[] = { "yes", "no", "on", "off", "y", "n" };
	struct slice text;
	enum err e = expand(b, f, node, at, &text);

	if (e != OK)
		return e;
	if (!node->quoted && slice_eq_nocase(text, SLICE_LIT("true"))) {
		*(bool *)out = true;
		return OK;
	}
	if (!node->quoted && slice_eq_nocase(text, SLICE_LIT("false"))) {
		*(bool *)out = false;
		return OK;
	}
	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++)
		if (slice_eq_nocase(text, slice_str(old[i])))
			return refuse_value(b, f, node, at, "true or false (YAML 1.1's yes/no/on/off are not taken)");
	return refuse_value(b, f, node, at, "true or false");
}

static bool
parse_int(struct slice s, int64_t *out)
{
	bool negative = s.n && s.p[0] == '-';
	struct slice digits = negative ? slice_of(s.p + 1, s.n - 1) : s;
	uint64_t v;

	if (digits.n > 1 && digits.p[0] == '0')
		return false; /* octal in YAML 1.1, decimal in 1.2 */
	if (!slice_to_u64(digits, INT64_MAX, &v))
		return false;
	*out = negative ? -(int64_t)v : (int64_t)v;
	return true;
}

static void
row_range(const struct config_field *f, int64_t *min, int64_t *max)
{
	*min = f->min;
	*max = f->min == 0 && f->max == 0 ? INT64_MAX : f->max;
}

static enum err
bind_int(struct binder *b, const struct config_field *f, const struct yaml_node *node, const struct place *at, void *out)
{
	char expected[96];
	int64_t min, max, v;
	struct slice text;
	enum err e = expand(b, f, node, at, &text);

	if (e != OK)
		return e;
	row_range(f, &min, &max);
	if (!node->quoted && parse_int(text, &v) && v >= min && v <= max) {
		*(int64_t *)out = v;
		return OK;
	}
	if (max == INT64_MAX)
		snprintf(expected, sizeof(expected), "a whole number, at least %" PRId64, min);
	else
		snprintf(expected, sizeof(expected), "a whole number from %" PRId64 " to %" PRId64, min, max);
	return refuse_value(b, f, node, at, expected);
}

static enum err
bind_duration(struct binder *b, const struct config_field *f, const struct yaml_node *node, const struct place *at, void *out)
{
	char expected[128];
	int64_t min, max, v;
	struct slice text;
	enum err e = expand(b, f, node, at, &text);

	if (e != OK)
		return e;
	row_range(f, &min, &max);
	if (duration_parse_ms(text, &v) == OK && v >= min && v <= max) {
		*(int64_t *)out = v;
		return OK;
	}
	if (min == 0 && max == INT64_MAX)
		snprintf(expected, sizeof(expected), "a duration such as 300ms, 10s or 1h30m");
	else if (max == INT64_MAX)
		snprintf(expected, sizeof(expected), "a duration such as 10s or 1h30m, at least %" PRId64 "ms", min);
	else
		snprintf(expected, sizeof(expected), "a duration such as 10s or 1h30m, from %" PRId64 "ms to %" PRId64 "ms", min, max);
	return refuse_value(b, f, node, at, expected);
}

static enum err
bind_enum(struct binder *b, const struct config_field *f, const struct yaml_node *node, const struct place *at, void *out)
{
	char expected[256] = "";
	struct slice text;
	enum err e = expand(b, f, node, at, &text);

	if (e != OK)
		return e;
	for (int i = 0; f->words[i]; i++)
		if (slice_eq_str(text, f->words[i])) {
			*(int *)out = i;
			return OK;
		}
	for (size_t i = 0, n = 0; f->words[i] && n < sizeof(expected); i++) {
		const char *joint = i == 0 ? "" : f->words[i + 1] ? ", " : " or ";
		n += (size_t)snprintf(expected + n, sizeof(expected) - n, "%s%s", joint, f->words[i]);
	}
	return refuse_value(b, f, node, at, expected);
}

static enum err
count_items(struct binder *b, const struct config_field *f, const struct yaml_node *node, const struct place *at, size_t *out)
{
	size_t n = 0, max = f->max > 0 ? (size_t)f->max : LIST_ITEMS_MAX;
	char expected[64], found[32];

	for (const struct yaml_node *item = node->first; item; item = item->next)
		n++;
	*out = n;
	if (n == 0 && (f->flags & CONFIG_REQUIRED))
		return refuse(b, node->line, at, "an empty one", "a list that is not empty");
	if (n <= max)
		return OK;
	snprintf(expected, sizeof(expected), "at most %zu items", max);
	snprintf(found, sizeof(found), "%zu", n);
	return refuse(b, node->line, at, found, "%s", expected);
}

static enum err
bind_string_list(struct binder *b, const struct config_field *f, const struct yaml_node *node, const struct place *at, void *out)
{
	struct config_strings list = { 0 };
	char text[FOUND_BYTES];
	enum err e = count_items(b, f, node, at, &list.n);

	if (e != OK)
		return e;
	list.items = arena_alloc(b->arena, list.n * sizeof(*list.items));
	if (!list.items)
		return refuse_memory(b);
	size_t i = 0;
	for (const struct yaml_node *item = node->first; item; item = item->next, i++) {
		struct place here = { at, NULL, i };
		struct slice value;

		if (item->kind != YAML_SCALAR || yaml_is_null(item))
			return refuse(b, item->line, &here, found_text(item, false, text), "a text");
		e = expand(b, f, item, &here, &value);
		if (e == OK && (f->flags & CONFIG_FILE))
			e = check_readable(b, f, item, &here, value.p);
		if (e != OK)
			return e;
		list.items[i] = value.p;
	}
	*(struct config_strings *)out = list;
	return OK;
}

static enum err
bind_block_list(struct binder *b, const struct config_field *f, const struct yaml_node *node, const struct place *at, void *out)
{
	struct config_list list = { 0 };
	char text[FOUND_BYTES];
	enum err e = count_items(b, f, node, at, &list.n);

	if (e != OK)
		return e;
	list.items = arena_alloc(b->arena, list.n * f->table->size);
	if (!list.items)
		return refuse_memory(b);
	char *slot = list.items;
	size_t i = 0;
	for (const struct yaml_node *item = node->first; item; item = item->next, i++, slot += f->table->size) {
		struct place here = { at, NULL, i };

		if (item->kind != YAML_MAP)
			return refuse(b, item->line, &here, found_text(item, false, text), "a map");
		e = bind_map(b, item, &here, f->table, slot);
		if (e != OK)
			return e;
	}
	*(struct config_list *)out = list;
	return OK;
}

/* A value that is there, not null. */
static enum err
bind_value(struct binder *b, const struct config_field *f, const struct yaml_node *node, const struct place *at, void *out)
{
	static const struct {
		enum yaml_kind kind;
		const char *expected;
	} shapes[] = {
		[CONFIG_STRING] = { YAML_SCALAR, "a text" },
		[CONFIG_BOOL] = { YAML_SCALAR, "true or false" },
		[CONFIG_INT] = { YAML_SCALAR, "a whole number" },
		[CONFIG_DURATION] = { YAML_SCALAR, "a duration such as 300ms, 10s or 1h30m" },
		[CONFIG_STRING_LIST] = { YAML_LIST, "a list of texts" },
		[CONFIG_ENUM] = { YAML_SCALAR, "a word" },
		[CONFIG_BLOCK] = { YAML_MAP, "a map" },
		[CONFIG_BLOCK_LIST] = { YAML_LIST, "a list of maps" },
	};

	if (f->type != CONFIG_NODE && node->kind != shapes[f->type].kind)
		return refuse_value(b, f, node, at, shapes[f->type].expected);
	switch (f->type) {
	case CONFIG_STRING:
		return bind_string(b, f, node, at, out);
	case CONFIG_BOOL:
		return bind_bool(b, f, node, at, out);
	case CONFIG_INT:
		return bind_int(b, f, node, at, out);
	case CONFIG_DURATION:
		return bind_duration(b, f, node, at, out);
	case CONFIG_STRING_LIST:
		return bind_string_list(b, f, node, at, out);
	case CONFIG_ENUM:
		return bind_enum(b, f, node, at, out);
	case CONFIG_BLOCK:
		return bind_map(b, node, at, f->table, out);
	case CONFIG_BLOCK_LIST:
		return bind_block_list(b, f, node, at, out);
	case CONFIG_NODE:
		*(const struct yaml_node **)out = node;
		return OK;
	}
	return E_CONFLICT;
}

static void
set_zero(enum config_type type, void *out)
{
	switch (type) {
	case CONFIG_STRING:
		*(const char **)out = NULL;
		break;
	case CONFIG_BOOL:
		*(bool *)out = false;
		break;
	case CONFIG_INT:
	case CONFIG_DURATION:
		*(int64_t *)out = 0;
		break;
	case CONFIG_ENUM:
		*(int *)out = 0;
		break;
	case CONFIG_STRING_LIST:
		*(struct config_strings *)out = (struct config_strings){ NULL, 0 };
		break;
	case CONFIG_BLOCK_LIST:
		*(struct config_list *)out = (struct config_list){ NULL, 0 };
		break;
	case CONFIG_NODE:
		*(const struct yaml_node **)out = NULL;
		break;
	case CONFIG_BLOCK:
		break; /* its own rows say */
	}
}

/* The value of a key that is absent or null. */
static enum err
bind_fallback(struct binder *b, const struct config_field *f, const struct place *at, void *out)
{
	set_zero(f->type, out);
	if (f->type == CONFIG_BLOCK)
		return bind_map(b, NULL, at, f->table, out);
	if (!f->fallback)
		return OK;

	/* As written in the table: never expanded, and never required to be there. */
	struct config_field row = *f;
	row.flags &= ~(unsigned)(CONFIG_EXPAND_ENV | CONFIG_REQUIRED);
	struct yaml_node scalar = { .kind = YAML_SCALAR, .scalar = slice_str(f->fallback) }, *node = &scalar;
	if (f->type == CONFIG_STRING_LIST || f->type == CONFIG_BLOCK_LIST || f->type == CONFIG_NODE) {
		enum err e = yaml_parse(b->arena, b->file, slice_str(f->fallback), &node, b->e);
		if (e != OK || !node)
			return e;
	}
	return bind_value(b, &row, node, at, out);
}

static enum err
bind_field(struct binder *b, const struct yaml_node *map, const struct config_field *f, const struct yaml_node *node,
	const struct place *parent, void *out)
{
	struct place at = { parent, f->name, 0 };
	const char *why = NULL;

	if (!node || yaml_is_null(node)) {
		if (map && (f->flags & CONFIG_REQUIRED))
			return refuse(b, node ? node->line : map->line, &at, "nothing", "a value for this required key");
		return bind_fallback(b, f, &at, out);
	}
	enum err e = bind_value(b, f, node, &at, out);
	if (e == OK && f->check && !f->check(out, &why))
		e = refuse_value(b, f, node, &at, why);
	return e;
}

/* Levenshtein's distance without case, of the first KEY_BYTES bytes. */
#define KEY_BYTES 48
static size_t
distance(struct slice a, struct slice b)
{
	size_t row[KEY_BYTES + 1];

	a.n = a.n > KEY_BYTES ? KEY_BYTES : a.n;
	b.n = b.n > KEY_BYTES ? KEY_BYTES : b.n;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			bool same = slice_eq_nocase(slice_of(a.p + i - 1, 1), slice_of(b.p + j - 1, 1));
			size_t best = diagonal + !same;
			best = row[j] + 1 < best ? row[j] + 1 : best;
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[b.n];
}

static enum err
refuse_unknown(struct binder *b, const struct config_table *table, const struct yaml_node *child, const struct place *parent)
{
	struct place at = { parent, child->key.p, 0 };
	const char *nearest = NULL;
	size_t best = SIZE_MAX;

	/* Of two that are equally near the one of the same length: a letter was mistyped more likely than left out ("orgz" is "orgs", not "org"). */
	for (const struct config_field *f = table->fields; f->name; f++) {
		size_t d = 2 * distance(child->key, slice_str(f->name)) + (strlen(f->name) != child->key.n);
		if (d < best) {
			best = d;
			nearest = f->name;
		}
	}
	return refuse(b, child->key_line, &at, "an unknown one", "a known key (the nearest is \"%s\")", nearest ? nearest : "");
}

static const struct config_field *
find_field(const struct config_table *table, struct slice key)
{
	for (const struct config_field *f = table->fields; f->name; f++)
		if (table->ignore_case ? slice_eq_nocase(key, slice_str(f->name)) : slice_eq_str(key, f->name))
			return f;
	return NULL;
}

/* map NULL: the block is absent. */
static enum err
bind_map(struct binder *b, const struct yaml_node *map, const struct place *at, const struct config_table *table, void *out)
{
	const struct yaml_node *given[CONFIG_FIELDS_MAX] = { NULL };
	char *base = out;

	for (const struct yaml_node *child = map ? map->first : NULL; child; child = child->next) {
		const struct config_field *f = find_field(table, child->key);
		if (!f)
			return refuse_unknown(b, table, child, at);
		size_t i = (size_t)(f - table->fields);
		if (i >= CONFIG_FIELDS_MAX)
			abort(); /* our own table */
		if (given[i]) {
			struct place here = { at, child->key.p, 0 };
			char found[64];
			snprintf(found, sizeof(found), "it again (first on line %d)", given[i]->key_line);
			return refuse(b, child->key_line, &here, found, "each key once, in whatever case");
		}
		given[i] = child;
	}
	for (size_t i = 0; table->fields[i].name; i++) {
		const struct config_field *f = &table->fields[i];
		enum err e = bind_field(b, map, f, i < CONFIG_FIELDS_MAX ? given[i] : NULL, at, base + f->offset);
		if (e != OK)
			return e;
	}
	if (table->line_offset)
		*(int *)(void *)(base + table->line_offset) = map ? map->line : 0;
	return OK;
}

enum err
config_bind(struct arena *arena, const char *file, const struct yaml_node *node, const char *path, const struct config_table *table,
	void *out, struct config_error *e)
{
	/* An absent root is an empty map, whose required keys are asked for. */
	static const struct yaml_node empty = { .kind = YAML_MAP };
	struct binder b = { arena, file, e };
	struct place root = { NULL, path ? path : "", 0 };
	char text[FOUND_BYTES];

	if (!node || yaml_is_null(node))
		node = &empty;
	if (node->kind != YAML_MAP)
		return refuse(&b, node->line, &root, found_text(node, false, text), "a map");
	return bind_map(&b, node, &root, table, out);
}

bool
config_is_token(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] > '~' || strchr("()<>@,;:\\\"/[]?={}", s[i]))
			return false;
	return n >= 1 && n <= 64;
}
