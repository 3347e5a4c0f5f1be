#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "shared/sandbox_internal.h"

/* As in linux/landlock.h, of which older distributions have less than newer kernels. Numbers of system calls: the same on every architecture. */
#define CALL_CREATE_RULESET 444
#define CALL_ADD_RULE 445
#define CALL_RESTRICT_SELF 446
#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1
#define RULE_NET_PORT 2

#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_DIR (1ull << 7)
#define FS_MAKE_REG (1ull << 8)
#define FS_MAKE_SOCK (1ull << 9)
#define FS_TRUNCATE (1ull << 14)
#define NET_BIND_TCP (1ull << 0)
#define NET_CONNECT_TCP (1ull << 1)
#define SCOPE_ABSTRACT_SOCKET (1ull << 0)
#define SCOPE_SIGNAL (1ull << 1)

struct ruleset {
	uint64_t fs, net, scoped; /* what is taken but for rules; a kernel that knows less accepts zeroes */
};
struct rule_path {
	uint64_t access;
	int32_t fd;
} __attribute__((packed));
struct rule_port {
	uint64_t access, port;
};

int
sandbox_landlock_version(void)
{
	long version = syscall(CALL_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);

	/* ENOSYS: older or built without; EOPNOTSUPP: switched off at boot; EPERM: a container does not let us. */
	return version > 0 ? (int)version : 0;
}

/* Every right to files that this version knows; one that it does not know would be refused. The right to reach local sockets (version 9) is left alone: see sandbox.h. */
static uint64_t
rights_known(int version)
{
	int n = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;

	return (1ull << n) - 1;
}

static struct ruleset
taken(const struct sandbox *s, int version)
{
	struct ruleset r = { .fs = rights_known(version) };

	if (version >= 4 && !(s->needs & SANDBOX_LISTEN))
		r.net |= NET_BIND_TCP;
	if (version >= 4 && (s->ports || !(s->needs & (SANDBOX_CONNECT | SANDBOX_NAMES))))
		r.net |= NET_CONNECT_TCP;
	if (version >= 6)
		r.scoped = SCOPE_SIGNAL | (s->needs & SANDBOX_NOTIFY ? 0 : SCOPE_ABSTRACT_SOCKET); /* the service manager's socket may be one */
	return r;
}

static uint64_t
rights(enum sandbox_access access)
{
	switch (access) {
	case SANDBOX_MAY_READ:
		return FS_READ_FILE | FS_READ_DIR;
	case SANDBOX_MAY_WRITE:
		return FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_TRUNCATE | FS_MAKE_REG | FS_MAKE_DIR | FS_REMOVE_FILE;
	case SANDBOX_MAY_MAKE_SOCKETS:
		return FS_MAKE_SOCK | FS_REMOVE_FILE;
	}
	return 0;
}

static enum err
allow_path(int ruleset, const struct sandbox_path *p, uint64_t known)
{
	struct stat st;
	int fd = open(p->path, O_PATH | O_CLOEXEC);

	/* What we cannot even name we could not have used. */
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? OK : E_SYSTEM;
	bool failed = fstat(fd, &st) < 0;
	if (!failed) {
		uint64_t of_files = FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE;
		struct rule_path rule = { rights(p->access) & known & (S_ISDIR(st.st_mode) ? ~0ull : of_files), fd };
		failed = rule.access && syscall(CALL_ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0;
	}
	int saved = errno;
	close(fd);
	errno = saved;
	return failed ? E_SYSTEM : OK;
}

static enum err
allow_paths(int ruleset, const struct sandbox_path *paths, size_t n, uint64_t known)
{
	enum err e = OK;

	for (size_t i = 0; i < n && !e; i++)
		e = allow_path(ruleset, &paths[i], known);
	return e;
}

static enum err
allow_ports(int ruleset, const uint16_t *ports, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct rule_port rule = { NET_CONNECT_TCP, ports[i] };
		if (syscall(CALL_ADD_RULE, ruleset, RULE_NET_PORT, &rule, 0) < 0)
			return E_SYSTEM;
	}
	return OK;
}

enum err
sandbox_landlock_enter(const struct sandbox *s, int version)
{
	struct ruleset r = taken(s, version);
	size_t name_n;
	const struct sandbox_path *names = sandbox_names_paths(&name_n);
	int fd = (int)syscall(CALL_CREATE_RULESET, &r, sizeof(r), 0);

	if (fd < 0)
		return E_SYSTEM;
	enum err e = allow_paths(fd, s->paths, s->path_n, r.fs);
	if (!e && (s->needs & SANDBOX_NAMES))
		e = allow_paths(fd, names, name_n, r.fs);
	if (!e && (r.net & NET_CONNECT_TCP))
		e = allow_ports(fd, s->ports, s->port_n);
	if (!e && syscall(CALL_RESTRICT_SELF, fd, 0) < 0)
		e = E_SYSTEM;
	int saved = errno;
	close(fd);
	errno = saved;
	return e;
}
