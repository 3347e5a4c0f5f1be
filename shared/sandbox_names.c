#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "shared/sandbox_internal.h"

/* Folders rather than files where there are any: a file that is replaced is another to Landlock. */
static const struct sandbox_path paths[] = {
	/* names */
	{ "/etc/resolv.conf", SANDBOX_MAY_READ },
	{ "/etc/hosts", SANDBOX_MAY_READ },
	{ "/etc/nsswitch.conf", SANDBOX_MAY_READ },
	{ "/etc/host.conf", SANDBOX_MAY_READ },
	{ "/etc/gai.conf", SANDBOX_MAY_READ },
	{ "/run/systemd/resolve", SANDBOX_MAY_READ },
	{ "/run/resolvconf", SANDBOX_MAY_READ },
	{ "/run/NetworkManager", SANDBOX_MAY_READ },
	{ "/var/lib/sss/mc", SANDBOX_MAY_READ },
	/* authorities */
	{ "/etc/ssl/certs", SANDBOX_MAY_READ },
	{ "/etc/ssl/openssl.cnf", SANDBOX_MAY_READ },
	{ "/etc/pki", SANDBOX_MAY_READ },
	{ "/etc/ca-certificates", SANDBOX_MAY_READ },
	{ "/usr/lib/ssl", SANDBOX_MAY_READ },
	{ "/usr/share/ca-certificates", SANDBOX_MAY_READ },
	{ "/usr/local/share/ca-certificates", SANDBOX_MAY_READ },
};

const struct sandbox_path *
sandbox_names_paths(size_t *n)
{
	*n = sizeof(paths) / sizeof(paths[0]);
	return paths;
}

_Static_assert(sizeof(paths) / sizeof(paths[0]) <= 64, "a bit for each");

uint64_t
sandbox_names_closed(void)
{
	uint64_t closed = 0;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		int fd = open(paths[i].path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			close(fd);
		else if (errno == EACCES)
			closed |= 1ull << i;
	}
	return closed;
}

/* A word of the hosts line of nsswitch.conf(5): "files", "dns", "mdns4_minimal"; "[NOTFOUND=return]" is none. */
static void
load_module(struct slice word)
{
	char file[64];

	for (size_t i = 0; i < word.n; i++)
		if (!((word.p[i] >= 'a' && word.p[i] <= 'z') || (word.p[i] >= '0' && word.p[i] <= '9') || word.p[i] == '_'))
			return;
	/* What is not there, the C library has inside or will do without. Held until the end: it is the C library that uses it. */
	if (word.n && snprintf(file, sizeof(file), "libnss_%.*s.so.2", SLICE_FMT(word)) < (int)sizeof(file))
		dlopen(file, RTLD_NOW | RTLD_NODELETE);
}

static void
load_modules_of(struct slice line)
{
	bool bracket = false;

	if (!slice_has_prefix(line, SLICE_LIT("hosts:")))
		return;
	for (line = slice_of(line.p + 6, line.n - 6); line.n;) {
		size_t n = strcspn(line.p, " \t\r\n");
		bracket = bracket || (n && line.p[0] == '[');
		if (!bracket)
			load_module(slice_of(line.p, n));
		bracket = bracket && !(n && line.p[n - 1] == ']');
		n += strspn(line.p + n, " \t\r\n");
		line = slice_of(line.p + n, line.n - n);
	}
}

void
sandbox_names_load(void)
{
	char line[512];
	FILE *f = fopen("/etc/nsswitch.conf", "re");

	while (f && fgets(line, sizeof(line), f))
		load_modules_of(slice_str(line));
	if (f)
		fclose(f);
}
