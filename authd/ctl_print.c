#include <errno.h>
#include "authd/ctl_internal.h"

#define CELL_CHARS_MAX 60 /* of a table; JSON has everything */

/* ---- cells ---- */

/* Characters of text, as a terminal counts them, more or less. */
static size_t
width_of(struct slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

/* A value comes from people and their browsers: nothing in it may reach the terminal as a command. */
static void
add_clean(struct buf *b, struct slice s)
{
	size_t chars = 0;

	while (s.n && chars++ < CELL_CHARS_MAX) {
		size_t n = slice_utf8_first(s);
		bool c1 = n == 2 && (unsigned char)s.p[0] == 0xc2 && (unsigned char)s.p[1] < 0xa0;
		if (n == 0 || c1 || (unsigned char)s.p[0] < ' ' || s.p[0] == 0x7f)
			buf_add_char(b, '?');
		else
			buf_add(b, s.p, n);
		n += n == 0;
		s = slice_of(s.p + n, s.n - n);
	}
	if (s.n)
		buf_add_str(b, "…");
}

/* An item of a list: a text, or the texts of an object. */
static void
add_item(struct buf *b, const json_t *item)
{
	const char *name, *between = "";
	json_t *v;

	if (!json_is_object(item)) {
		buf_add_slice(b, strict_json_string(item));
		return;
	}
	/* jansson's iteration wants an object that could be changed. */
	json_object_foreach((json_t *)(uintptr_t)item, name, v) {
		buf_add_str(b, between);
		buf_add_slice(b, strict_json_string(v));
		between = "=";
	}
}

static void
add_value(struct buf *b, const json_t *v)
{
	const json_t *item;
	struct buf list;
	size_t i;

	if (json_is_string(v)) {
		add_clean(b, strict_json_string(v));
	} else if (json_is_integer(v)) {
		buf_printf(b, "%lld", (long long)json_integer_value(v));
	} else if (json_is_boolean(v)) {
		buf_add_str(b, json_is_true(v) ? "yes" : "no");
	} else if (json_is_real(v)) {
		buf_printf(b, "%g", json_real_value(v));
	} else if (json_is_array(v)) {
		buf_init(&list, 0);
		json_array_foreach(v, i, item) {
			if (i)
				buf_add_char(&list, ',');
			add_item(&list, item);
		}
		add_clean(b, buf_slice(&list));
		buf_fini(&list);
	}
}

/* Cell of a row, "-" where there is nothing. */
static void
cell(struct buf *out, const json_t *row, const char *member)
{
	buf_reset(out);
	add_value(out, json_object_get(row, member));
	if (!out->n)
		buf_add_char(out, '-');
}

/* ---- tables ---- */

static void
put(struct slice text, size_t width, bool last)
{
	size_t have = width_of(text);

	fwrite(text.p, 1, text.n, stdout);
	for (; !last && have < width + 2; have++)
		fputc(' ', stdout);
}

/* The first page says how wide columns are; a longer value behind it moves its own row only. */
static void
head(struct ctl_list *l, const json_t *items)
{
	const json_t *row;
	struct buf text;
	size_t i;

	buf_init(&text, 0);
	for (size_t k = 0; l->columns[k].member; k++) {
		l->widths[k] = strlen(l->columns[k].title);
		json_array_foreach(items, i, row) {
			cell(&text, row, l->columns[k].member);
			size_t width = width_of(buf_slice(&text));
			l->widths[k] = width > l->widths[k] ? width : l->widths[k];
		}
		put(slice_str(l->columns[k].title), l->widths[k], !l->columns[k + 1].member);
	}
	fputc('\n', stdout);
	buf_fini(&text);
}

static void
rows(struct ctl_list *l, const json_t *items)
{
	const json_t *row;
	struct buf text;
	size_t i;

	buf_init(&text, 0);
	json_array_foreach(items, i, row) {
		for (size_t k = 0; l->columns[k].member; k++) {
			cell(&text, row, l->columns[k].member);
			put(buf_slice(&text), l->widths[k], !l->columns[k + 1].member);
		}
		fputc('\n', stdout);
		l->n++;
	}
	buf_fini(&text);
}

static int
write_json(const char *p, size_t n, void *arg)
{
	return fwrite(p, 1, n, arg) == n ? 0 : -1;
}

static void
dump(const json_t *v)
{
	/* What cannot be written is noticed by ctl_flush. */
	json_dump_callback(v, write_json, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
}

void
ctl_list_begin(struct ctl_list *l, struct ctl *c, const struct ctl_column *columns)
{
	*l = (struct ctl_list){ .c = c, .columns = columns };
	if (c->json)
		fputc('[', stdout);
}

int
ctl_list_page(void *list, const json_t *items)
{
	struct ctl_list *l = list;
	const json_t *row;
	size_t i;

	if (!l->c->json) {
		if (l->n == 0 && json_array_size(items))
			head(l, items);
		rows(l, items);
		return CTL_DONE;
	}
	json_array_foreach(items, i, row) {
		fputs(l->n++ ? ",\n" : "\n", stdout);
		dump(row);
	}
	return CTL_DONE;
}

int
ctl_list_end(struct ctl_list *l)
{
	if (l->c->json)
		fputs(l->n ? "\n]\n" : "]\n", stdout);
	else if (l->n == 0)
		fputs("none\n", stdout);
	return ctl_flush();
}

/* ---- objects ---- */

static void
lines(const json_t *object, const char *prefix, struct arena *arena)
{
	const char *name;
	json_t *v;
	struct buf text;

	buf_init(&text, 0);
	/* jansson's iteration wants an object that could be changed. */
	json_object_foreach((json_t *)(uintptr_t)object, name, v) {
		const char *path = arena_printf(arena, "%s%s%s", prefix, *prefix ? "." : "", name);
		if (!path)
			break;
		if (json_is_object(v)) {
			lines(v, path, arena);
			continue;
		}
		cell(&text, object, name);
		put(slice_str(path), 28, false);
		put(buf_slice(&text), 0, true);
		fputc('\n', stdout);
	}
	buf_fini(&text);
}

int
ctl_print_object(struct ctl *c, const json_t *object)
{
	if (c->json) {
		dump(object);
		fputc('\n', stdout);
	} else {
		lines(object, "", &c->arena);
	}
	return ctl_flush();
}

int
ctl_flush(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return CTL_DONE;
	return ctl_say(CTL_FAILED, "cannot write: %s", strerrordesc_np(errno));
}
