/* config_path.h - places in a configuration's document by their path ("connectors[0].config.orgs[1].name"): what stands there, its line, and keys that
 * have an answer of their own, because an unknown one would read like a typing error. Owns nothing. */
#ifndef SHARED_CONFIG_PATH_H
#define SHARED_CONFIG_PATH_H

#include "shared/yaml.h"

/* A path that is put together, by value: longer ones are cut. */
#define CONFIG_KEY_BYTES 256
struct config_key {
	char text[CONFIG_KEY_BYTES];
};
struct config_key config_key(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* NULL: the document has no such place. any_case: keys match whatever their case.
 *   line  out, may be NULL: the place's, or that of the nearest block around it that the document has */
const struct yaml_node *config_path_node(const struct yaml_node *root, const char *path, bool any_case, int *line);

/* "[]" behind a name: each item of that list. */
struct config_refusal {
	const char *path, *why;
};
/* OK: root has none of those n. E_FORMAT with e filled, in the document's own spelling. */
MUST_CHECK enum err config_path_refuse(const char *file, const struct yaml_node *root, const struct config_refusal *refusals, size_t n, bool any_case,
	struct config_error *e);

#endif
