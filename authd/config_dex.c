#include <stdlib.h>
#include "authd/config_internal.h"

#define KNOWN "is known to dex and not carried by authd yet: remove it"

/* Path from the root; "[]" behind a name: each item of that list. Case does not matter. */
static const struct {
	const char *path, *why;
} not_carried[] = {
	{ "grpc", KNOWN " (clients and people stand in this file, which a HUP reads again, or are added by authd ctl)" },
	{ "mfa", KNOWN },
	{ "staticClients[].refreshTokenLifetime", KNOWN " (the client's expiry.refreshTokens.absoluteLifetime says it)" },
	{ "staticClients[].mfaChain", KNOWN },
	{ "staticClients[].ssoSharedWith", KNOWN " (a session serves every client that allows its connector)" },
	{ "sessions.cookieEncryptionKey", KNOWN " (authd's cookies carry random bytes only)" },
	{ "sessions.ssoSharedWithDefault", KNOWN " (a session serves every client that allows its connector)" },
};

struct search {
	const char *file, *why;
	struct config_error *e;
};

const struct yaml_node *
authd_config_child(const struct yaml_node *map, struct slice name)
{
	if (!map || map->kind != YAML_MAP)
		return NULL;
	for (const struct yaml_node *n = map->first; n; n = n->next)
		if (slice_eq_nocase(n->key, name))
			return n;
	return NULL;
}

/* Look for what is left of a path below node; at: the path so far, as the document writes it. */
static enum err
search(const struct search *s, const struct yaml_node *node, const char *left, const char *at)
{
	size_t n = strcspn(left, ".["), index = 0;
	const char *rest = left[n] == '[' ? left + n + 2 : left + n;
	struct config_key here, item_at;
	enum err e = OK;

	node = authd_config_child(node, slice_of(left, n));
	if (!node)
		return OK;
	here = authd_config_key("%s%s%s", at, *at ? "." : "", node->key.p);
	if (*rest == '\0') {
		config_error_set(s->e, s->file, node->key_line, here.text, "%s", s->why);
		return E_FORMAT;
	}
	if (left[n] == '.')
		return search(s, node, rest + 1, here.text);
	for (const struct yaml_node *item = node->kind == YAML_LIST ? node->first : NULL; item && e == OK; item = item->next) {
		item_at = authd_config_key("%s[%zu]", here.text, index++);
		e = search(s, item, rest + 1, item_at.text);
	}
	return e;
}

enum err
authd_config_check_dex(const char *file, const struct yaml_node *root, struct config_error *e)
{
	for (size_t i = 0; i < sizeof(not_carried) / sizeof(not_carried[0]); i++) {
		struct search s = { file, not_carried[i].why, e };
		enum err err = search(&s, root, not_carried[i].path, "");
		if (err != OK)
			return err;
	}
	return OK;
}

enum err
authd_config_check_dex_client(const char *file, const struct yaml_node *root, struct config_error *e)
{
	static const char list[] = "staticClients[].";
	enum err err = OK;

	for (size_t i = 0; i < sizeof(not_carried) / sizeof(not_carried[0]) && err == OK; i++) {
		struct search s = { file, not_carried[i].why, e };
		if (strncmp(not_carried[i].path, list, sizeof(list) - 1) == 0)
			err = search(&s, root, not_carried[i].path + sizeof(list) - 1, "");
	}
	return err;
}

int
authd_config_line(const struct yaml_node *root, const char *key)
{
	const struct yaml_node *n = root;
	int line = root ? root->line : 0;

	while (n && *key) {
		if (*key == '[') {
			unsigned long index = strtoul(key + 1, NULL, 10);
			for (n = n->kind == YAML_LIST ? n->first : NULL; n && index; index--)
				n = n->next;
			key = strchr(key, ']') + 1;
		} else {
			size_t length = strcspn(key, ".[");
			n = authd_config_child(n, slice_of(key, length));
			key += length;
		}
		key += *key == '.';
		if (n)
			line = n->key_line ? n->key_line : n->line;
	}
	return line;
}
