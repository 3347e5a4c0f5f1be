/* config.h - binds a YAML tree to C structs by tables. One row per key: name, type, offset, default.
 *
 * Every error says file, line, the key's full path (authentication.jwt[0].issuer.url), what was expected and what was
 * found. Unknown keys are errors and name the nearest known key. */
#ifndef SHARED_CONFIG_H
#define SHARED_CONFIG_H

#include "shared/yaml.h"

enum config_type {
	CONFIG_STRING,      /* const char *            a scalar (null: default) */
	CONFIG_BOOL,        /* bool                    true/false (YAML 1.2 core; yes/no/on/off refused with a hint) */
	CONFIG_INT,         /* int64_t                 min..max of the row */
	CONFIG_DURATION,    /* int64_t milliseconds    Go syntax: "1h30m", "300ms"; min..max in ms */
	CONFIG_STRING_LIST, /* struct config_strings */
	CONFIG_ENUM,        /* int                     index into row.words */
	CONFIG_BLOCK,       /* nested struct in place: row.table */
	CONFIG_BLOCK_LIST,  /* struct config_list of row.table->size each */
	CONFIG_NODE         /* const struct yaml_node * taken as it is (blocks whose shape depends on a sibling) */
};

enum config_flags {
	CONFIG_REQUIRED = 1,   /* must be present and not empty */
	CONFIG_SECRET = 2,     /* its value never appears in an error text */
	CONFIG_EXPAND_ENV = 4, /* $VAR and ${VAR} in the value are replaced from the environment, $$ is a dollar sign; an unset
	                          variable is an error */
	CONFIG_FILE = 8        /* a path that must be readable at --check; checked by config_bind */
};

struct config_strings {
	const char **items;
	size_t n;
};
struct config_list {
	void *items; /* array of structs */
	size_t n;
};

struct config_table;
struct config_field {
	const char *name;
	enum config_type type;
	size_t offset;
	unsigned flags;
	const char *fallback; /* default in the file's own syntax, lists as "[a, b]"; NULL: zero/NULL/empty */
	int64_t min, max;     /* CONFIG_INT, CONFIG_DURATION; both 0: any non-negative value. CONFIG_*_LIST: max items (0: 1000) */
	const char *const *words;         /* CONFIG_ENUM: NULL-terminated */
	const struct config_table *table; /* CONFIG_BLOCK, CONFIG_BLOCK_LIST */
	/* Optional check of a value that the file gives (not of defaults); writes what was expected into *why and returns false. */
	bool (*check)(const void *value, const char **why);
};

struct config_table {
	const struct config_field *fields; /* ended by name NULL */
	size_t size;                       /* of the struct, for lists */
	bool ignore_case;                  /* keys match without regard to case (dex's files) */
	size_t line_offset;                /* where an int takes the block's line; 0: nowhere (so never the first member) */
};

#define CONFIG_FIELDS_MAX 128 /* rows of one table */

/* Every row's member is set, others of *out are left alone. A block that is absent or null takes its defaults; its required
 * keys are then not asked for (its line is 0, so a caller can tell).
 * Bind node (NULL or null: an empty map) to *out by table. Strings live in arena. file: name for messages.
 * On an error *out must not be used. Returns OK, E_FORMAT (e filled), E_NOMEM (e filled). */
MUST_CHECK enum err config_bind(struct arena *arena, const char *file, const struct yaml_node *node, const char *path,
	const struct config_table *table, void *out, struct config_error *e);

/* Go's time.ParseDuration for non-negative values: "1h15m30.5s", "100ms", "0". Result in ms, fractions rounded up, so that
 * something never becomes nothing. E_FORMAT; E_LIMIT past Go's 2^63 - 1 ns. */
MUST_CHECK enum err duration_parse_ms(struct slice s, int64_t *out);

/* A token of RFC 9110 section 5.6.2 (a header's name; a cookie's, RFC 6265 section 4.1.1) of at most 64 bytes. */
bool config_is_token(const char *s);

#endif
