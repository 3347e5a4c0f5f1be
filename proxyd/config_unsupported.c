#include <stdio.h>
#include "proxyd/config_unsupported.h"

#define CEL "is not supported: CEL expressions are not evaluated; use claim and prefix, or claim and requiredValue"
#define LATER "is not supported by this version; remove it"

/* Path from the root; "[]" after a name: each item of that list. */
static const struct {
	const char *path, *why;
} unsupported[] = {
	{ "apiVersion", "is not supported: this is proxyd's own configuration; copy what stands under `jwt:` to `authentication.jwt`" },
	{ "kind", "is not supported: this is proxyd's own configuration; copy what stands under `jwt:` to `authentication.jwt`" },
	{ "jwt", "is not supported here; it belongs under `authentication:`" },
	{ "authentication.anonymous", "is not supported: every request to a cluster needs a caller that was authenticated" },
	{ "authentication.jwt[].issuer.egressSelectorType", LATER },
	{ "authentication.jwt[].userValidationRules", CEL },
	{ "authentication.jwt[].claimValidationRules[].expression", CEL },
	{ "authentication.jwt[].claimValidationRules[].message", CEL },
	{ "authentication.jwt[].claimMappings.username.expression", CEL },
	{ "authentication.jwt[].claimMappings.groups.expression", CEL },
	{ "authentication.jwt[].claimMappings.uid.expression", CEL },
	{ "authentication.jwt[].claimMappings.extra", CEL },
};

#define DOCUMENT_PATH_MAX 256

struct search {
	const char *file, *why;
	struct config_error *e;
};

/* Look for what is left of a path below node; at: the path so far, as it stands in the document. */
static enum err
find(const struct search *s, const struct yaml_node *node, const char *left, const char *at)
{
	size_t n = strcspn(left, ".[");
	char name[64], here[DOCUMENT_PATH_MAX];
	bool each = left[n] == '[';
	const char *rest = left + n + (each ? 2 : 0);
	enum err e = OK;
	size_t index = 0;

	snprintf(name, sizeof(name), "%.*s", (int)n, left);
	node = yaml_get(node, name);
	if (!node)
		return OK;
	snprintf(here, sizeof(here), "%s%s%s", at, *at ? "." : "", name);
	if (*rest == '\0') {
		config_error_set(s->e, s->file, node->key_line, here, "%s", s->why);
		return E_FORMAT;
	}
	if (!each)
		return find(s, node, rest + 1, here);
	for (const struct yaml_node *item = node->kind == YAML_LIST ? node->first : NULL; item && !e; item = item->next, index++) {
		char item_path[DOCUMENT_PATH_MAX + 32];
		snprintf(item_path, sizeof(item_path), "%s[%zu]", here, index);
		e = find(s, item, rest + 1, item_path);
	}
	return e;
}

enum err
config_unsupported_check(const char *file, const struct yaml_node *root, struct config_error *e)
{
	for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++) {
		struct search s = { file, unsupported[i].why, e };
		enum err err = find(&s, root, unsupported[i].path, "");
		if (err)
			return err;
	}
	return OK;
}
