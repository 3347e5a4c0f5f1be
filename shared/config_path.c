#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "shared/config_path.h"

struct config_key
config_key(const char *fmt, ...)
{
	struct config_key key;
	va_list args;

	va_start(args, fmt);
	vsnprintf(key.text, sizeof(key.text), fmt, args);
	va_end(args);
	return key;
}

static const struct yaml_node *
child(const struct yaml_node *map, struct slice name, bool any_case)
{
	if (map->kind != YAML_MAP)
		return NULL;
	for (const struct yaml_node *n = map->first; n; n = n->next)
		if (any_case ? slice_eq_nocase(n->key, name) : slice_eq(n->key, name))
			return n;
	return NULL;
}

const struct yaml_node *
config_path_node(const struct yaml_node *root, const char *path, bool any_case, int *line)
{
	const struct yaml_node *n = root;
	int nearest = root ? root->line : 0;

	while (n && *path) {
		if (*path == '[') {
			unsigned long index = strtoul(path + 1, NULL, 10);
			for (n = n->kind == YAML_LIST ? n->first : NULL; n && index; index--)
				n = n->next;
			path = strchr(path, ']') + 1;
		} else {
			size_t length = strcspn(path, ".[");
			n = child(n, slice_of(path, length), any_case);
			path += length;
		}
		path += *path == '.';
		if (n)
			nearest = n->key_line ? n->key_line : n->line;
	}
	if (line)
		*line = nearest;
	return n;
}

struct search {
	const char *file, *why;
	bool any_case;
	struct config_error *e;
};

/* Look for what is left of a path below node; at: the path so far. */
static enum err
search(const struct search *s, const struct yaml_node *node, const char *left, const char *at)
{
	size_t n = strcspn(left, ".["), index = 0;
	const char *rest = left[n] == '[' ? left + n + 2 : left + n;
	struct config_key here, item_at;
	enum err e = OK;

	node = child(node, slice_of(left, n), s->any_case);
	if (!node)
		return OK;
	here = config_key("%s%s%s", at, *at ? "." : "", node->key.p);
	if (*rest == '\0') {
		config_error_set(s->e, s->file, node->key_line, here.text, "%s", s->why);
		return E_FORMAT;
	}
	if (left[n] == '.')
		return search(s, node, rest + 1, here.text);
	for (const struct yaml_node *item = node->kind == YAML_LIST ? node->first : NULL; item && e == OK; item = item->next) {
		item_at = config_key("%s[%zu]", here.text, index++);
		e = search(s, item, rest + 1, item_at.text);
	}
	return e;
}

enum err
config_path_refuse(const char *file, const struct yaml_node *root, const struct config_refusal *refusals, size_t n, bool any_case, struct config_error *e)
{
	enum err err = OK;

	for (size_t i = 0; i < n && root && err == OK; i++) {
		struct search s = { file, refusals[i].why, any_case, e };
		err = search(&s, root, refusals[i].path, "");
	}
	return err;
}
