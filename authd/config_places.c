#include <stdlib.h>
#include <unistd.h>
#include "authd/config_internal.h"
#include "shared/env.h"

/* A text below root, keys in any case; NULL: it is not there, or no text. */
static const struct yaml_node *
text_at(const struct yaml_node *root, const char *path)
{
	const struct yaml_node *n = config_path_node(root, path, true, NULL);

	return n && n->kind == YAML_SCALAR && !yaml_is_null(n) && n->scalar.n ? n : NULL;
}

/* storage.config's texts may name variables. */
static enum err
expanded(struct arena *arena, const char *file, const struct yaml_node *root, const char *key, const char **out, struct config_error *e)
{
	const struct yaml_node *n = text_at(root, key);
	const char *unset;
	struct slice text = SLICE_NONE;

	*out = NULL;
	if (!n)
		return OK;
	enum err err = env_expand(arena, n->scalar, &text, &unset);
	if (err == E_EMPTY)
		config_error_set(e, file, n->line, key, "the variable %s is not set here: name the socket (--socket) or the folder (--store) instead", unset);
	else if (err != OK)
		config_error_set(e, file, 0, NULL, "out of memory");
	*out = text.p;
	return err == E_EMPTY ? E_FORMAT : err;
}

const char *
authd_config_ctl_path(struct arena *arena, const char *store_path)
{
	char *here, *path;

	if (store_path[0] == '/')
		return arena_printf(arena, "%s/ctl.sock", store_path);
	here = getcwd(NULL, 0);
	if (!here)
		return NULL;
	path = arena_printf(arena, "%s/%s/ctl.sock", here, store_path);
	free(here);
	return path;
}

enum err
authd_config_places(struct arena *arena, const char *path, struct authd_config_places *out, struct config_error *e)
{
	struct yaml_node *root;
	const struct yaml_node *ctl;
	enum err err = yaml_load(arena, path, &root, e);

	*out = (struct authd_config_places){ .store = NULL };
	if (err != OK)
		return err;
	err = expanded(arena, path, root, "storage.config.path", &out->store, e);
	if (err == OK)
		err = expanded(arena, path, root, "storage.config.keyFile", &out->key_file, e);
	if (err != OK)
		return err;
	if (!out->store) {
		config_error_set(e, path, 0, "storage.config.path", "expected the folder of authd's state, found nothing");
		return E_FORMAT;
	}
	ctl = text_at(root, "web.ctl");
	out->ctl_socket = ctl ? ctl->scalar.p : authd_config_ctl_path(arena, out->store);
	if (out->ctl_socket)
		return OK;
	config_error_set(e, path, 0, NULL, "out of memory");
	return E_NOMEM;
}
