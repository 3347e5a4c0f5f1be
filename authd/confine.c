#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "authd/confine.h"
#include "shared/arena.h"
#include "shared/sandbox.h"

#define NEEDS                                                                                                                                   \
	(SANDBOX_CONNECT | SANDBOX_LOCAL | SANDBOX_ACCEPT | SANDBOX_LISTEN | SANDBOX_NAMES | SANDBOX_NOTIFY | SANDBOX_READ | SANDBOX_WRITE | SANDBOX_THREADS)

struct table {
	struct arena arena;
	struct sandbox_path *paths;
	size_t n;
	bool failed;
};

/* The folder rather than the file: certificates are renewed by putting another file in its place. */
static void
add_folder_of(struct table *t, const char *file, enum sandbox_access access)
{
	if (!file)
		return;
	const char *slash = strrchr(file, '/');
	const char *folder = !slash ? "." : slash == file ? "/" : arena_strndup(&t->arena, file, (size_t)(slash - file));
	if (folder)
		t->paths[t->n++] = (struct sandbox_path){ folder, access };
	else
		t->failed = true;
}

enum err
authd_confine_files(const struct authd_config *c)
{
	static const struct sandbox_path system[] = {
		{ "/etc", SANDBOX_MAY_READ }, /* names and authorities, whatever becomes of the files there; other services' keys are closed by their modes */
		{ "/usr/share/zoneinfo", SANDBOX_MAY_READ },
		{ "/sys/devices/system/cpu", SANDBOX_MAY_READ },
		{ "/dev/null", SANDBOX_MAY_WRITE },
	};
	const struct authd_connector_config *connectors = c->connectors.items;
	size_t fixed = sizeof(system) / sizeof(system[0]), own = 10;
	struct table t = { .paths = calloc(fixed + own + c->connectors.n, sizeof(*t.paths)) };

	if (!t.paths)
		return E_NOMEM;
	arena_init(&t.arena, 0);
	memcpy(t.paths, system, sizeof(system));
	t.n = fixed;
	add_folder_of(&t, c->file, SANDBOX_MAY_READ);
	add_folder_of(&t, c->web.tls_cert, SANDBOX_MAY_READ);
	add_folder_of(&t, c->web.tls_key, SANDBOX_MAY_READ);
	add_folder_of(&t, c->console.certificate_authority, SANDBOX_MAY_READ);
	add_folder_of(&t, c->storage.key_file, SANDBOX_MAY_READ);
	add_folder_of(&t, c->revocations.secret_file, SANDBOX_MAY_READ);
	if (c->frontend.dir)
		t.paths[t.n++] = (struct sandbox_path){ c->frontend.dir, SANDBOX_MAY_READ };
	add_folder_of(&t, c->web.unix_path, SANDBOX_MAY_MAKE_SOCKETS);
	for (size_t i = 0; i < c->connectors.n; i++)
		add_folder_of(&t, connectors[i].github ? connectors[i].github->root_ca : NULL, SANDBOX_MAY_READ);
	/* Only what is there can be named; the store says what is wrong if it cannot be made. */
	if (mkdir(c->storage.path, 0700) == 0 || errno == EEXIST)
		t.paths[t.n++] = (struct sandbox_path){ c->storage.path, SANDBOX_MAY_WRITE };
	add_folder_of(&t, c->web.ctl_path, SANDBOX_MAY_MAKE_SOCKETS); /* in the store's folder, unless it is set */
	const struct sandbox s = { .needs = NEEDS, .paths = t.paths, .path_n = t.n };
	enum err e = t.failed ? E_NOMEM : sandbox_enter_files(&s);
	int saved = errno;
	arena_fini(&t.arena);
	free(t.paths);
	errno = saved;
	return e;
}

enum err
authd_confine_calls(void)
{
	const struct sandbox s = { .needs = NEEDS };

	return sandbox_enter_calls(&s);
}

const char *
authd_confine_hint(const char *why)
{
	bool denied = strstr(why, strerrordesc_np(EACCES)) != NULL;

	return denied ? " (folders that the configuration did not name at the start are closed to authd until it is restarted)" : "";
}
