#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "shared/program.h"
#include "shared/slice.h"

static char path[PATH_MAX];
static char **arguments;

/* "DIR/NAME", DIR as seen from the working directory. False: too long, or not there to be run. */
static bool
try(struct slice dir, const char *name)
{
	char here[PATH_MAX] = "";
	bool absolute = dir.n > 0 && dir.p[0] == '/';

	if (!absolute && !getcwd(here, sizeof(here)))
		return false;
	int n = snprintf(path, sizeof(path), "%s%s%.*s%s%s", here, absolute ? "" : "/", (int)dir.n, dir.p, dir.n ? "/" : "", name);
	return n > 0 && (size_t)n < sizeof(path) && access(path, X_OK) == 0;
}

static bool
find(const char *name)
{
	struct slice dirs = slice_str(getenv("PATH"));

	if (name[0] == '/')
		return snprintf(path, sizeof(path), "%s", name) < (int)sizeof(path) && access(path, X_OK) == 0;
	if (strchr(name, '/'))
		return try(SLICE_LIT(""), name);
	while (dirs.n)
		if (try(slice_cut(&dirs, ':'), name))
			return true;
	return false;
}

static void
forget(void)
{
	for (size_t i = 0; arguments && arguments[i]; i++)
		free(arguments[i]);
	free(arguments);
	arguments = NULL;
}

enum err
program_init(char **argv)
{
	size_t n = 0;

	forget();
	while (argv[n])
		n++;
	arguments = calloc(n + 1, sizeof(*arguments));
	if (!arguments)
		return E_NOMEM;
	for (size_t i = 0; i < n; i++) {
		arguments[i] = strdup(argv[i]);
		if (!arguments[i])
			return E_NOMEM;
	}
	if (n > 0 && *argv[0] && find(argv[0]))
		return OK;
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[length > 0 ? length : 0] = '\0';
	return E_EMPTY;
}

const char *
program_path(void)
{
	return *path ? path : NULL;
}

char *const *
program_arguments(void)
{
	return arguments;
}
