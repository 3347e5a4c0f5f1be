/* yaml.h - a YAML 1.1 document as a tree of nodes that know their line (libyaml's parser).
 * Refused with file and line: duplicate keys, more than one document, keys that are no scalars, merge keys (<<), NUL bytes,
 * aliases and anchors whose expansion passes YAML_NODES_MAX, depth over YAML_DEPTH_MAX, files over YAML_BYTES_MAX, tags other
 * than the core ones. An error names keys but never repeats a value, an anchor or a tag: each may be an unquoted secret. */
#ifndef SHARED_YAML_H
#define SHARED_YAML_H

#include "shared/arena.h"

#define YAML_BYTES_MAX (4u << 20)
#define YAML_NODES_MAX 100000
#define YAML_DEPTH_MAX 32
#define YAML_ANCHORS_MAX 1000

enum yaml_kind { YAML_SCALAR, YAML_MAP, YAML_LIST };

struct yaml_node {
	enum yaml_kind kind;
	int line;            /* 1-based */
	bool quoted;         /* scalar was quoted: "true" is a string, true a boolean */
	struct slice scalar; /* NUL-terminated */
	struct slice key;    /* own key where the parent is a map; NUL-terminated */
	int key_line;
	struct yaml_node *first, *next; /* children, in order */
};

/* Why a document or a configuration was refused: "FILE:LINE: key: expected …, found …". NUL-terminated text. */
struct config_error {
	char text[512];
};
/* Sets e->text once: the first error stays, so *e starts as { "" }. line 0: left out; key NULL: left out.
 * Control characters and invalid UTF-8 become "?"; a text too long ends in "…". */
void config_error_set(struct config_error *e, const char *file, int line, const char *key, const char *fmt, ...) PRINTF_LIKE(5, 6);

/* Parse text. name: the file's name in messages. The tree lives in arena. *out is NULL for an empty document.
 * Returns OK; E_FORMAT or E_LIMIT with e filled; E_NOMEM (also filled). */
MUST_CHECK enum err yaml_parse(struct arena *arena, const char *name, struct slice text, struct yaml_node **out, struct config_error *e);
/* Read and parse a file. Also E_SYSTEM with e filled. */
MUST_CHECK enum err yaml_load(struct arena *arena, const char *path, struct yaml_node **out, struct config_error *e);
/* A scalar that means nothing: null, Null, NULL, ~ or no text at all, unquoted. */
bool yaml_is_null(const struct yaml_node *node);
/* Child of a map by key (exact); NULL: none, or not a map. */
struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

#endif
