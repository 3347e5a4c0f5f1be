#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include "shared/log.h"
#include "shared/process.h"

enum err
process_signals(const int *signals, int *fd)
{
	sigset_t set;

	sigemptyset(&set);
	for (; *signals; signals++) {
		/* An inherited SIG_IGN of SIGCHLD would reap children behind our back. */
		if (sigaddset(&set, *signals) < 0 || signal(*signals, SIG_DFL) == SIG_ERR)
			return E_SYSTEM;
	}
	/* Both come back as errors of the call: EPIPE, and EFBIG where a file may not grow (RLIMIT_FSIZE). */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return E_SYSTEM;
	errno = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (errno)
		return E_SYSTEM;
	*fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return *fd < 0 ? E_SYSTEM : OK;
}

int
process_signal_next(int fd)
{
	struct signalfd_siginfo info;
	ssize_t n;

	do
		n = read(fd, &info, sizeof(info));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

void
process_signals_unblock(void)
{
	sigset_t none;

	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
}

enum err
process_harden(void)
{
	const struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return E_SYSTEM;
	return OK;
}

/* Needs CAP_SETPCAP, so it comes before the user changes. Without it there is no way to gain from the set either: that takes
 * execve as root or of a file with capabilities, which no_new_privs stops. */
static enum err
drop_bounding_set(uint64_t kept)
{
	for (unsigned long cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(kept >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
			return E_SYSTEM;
	return OK;
}

static enum err
drop_capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0, 0, 0 } };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return E_SYSTEM;
	return syscall(SYS_capset, &header, none) < 0 ? E_SYSTEM : OK;
}

enum err
process_keep_capabilities(uint64_t mask)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct held[_LINUX_CAPABILITY_U32S_3];
	enum err e = drop_bounding_set(mask);

	if (e != OK || syscall(SYS_capget, &header, held) < 0)
		return E_SYSTEM;
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		uint32_t kept = (uint32_t)(mask >> 32 * i);
		held[i].permitted &= kept;
		held[i].effective &= kept;
		held[i].inheritable &= kept;
	}
	return syscall(SYS_capset, &header, held) < 0 ? E_SYSTEM : OK;
}

static enum err
find_user(const char *name, struct passwd *out, char *text, size_t text_bytes)
{
	struct passwd *found = NULL;
	int code = getpwnam_r(name, out, text, text_bytes, &found);

	if (found)
		return OK;
	errno = code;
	return code == 0 || code == ENOENT || code == ESRCH ? E_EMPTY : E_SYSTEM;
}

static enum err
become(const struct passwd *user)
{
	if (geteuid() != 0)
		return geteuid() == user->pw_uid && getuid() == user->pw_uid ? OK : E_DENIED;
	if (setgroups(0, NULL) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
		setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
		return E_SYSTEM;
	return OK;
}

enum err
process_may_become(const char *user)
{
	struct passwd entry;
	char text[4096];
	enum err e = find_user(user, &entry, text, sizeof(text));

	return e == OK && geteuid() != 0 && geteuid() != entry.pw_uid ? E_DENIED : e;
}

enum err
process_drop(const char *user)
{
	struct passwd entry;
	char text[4096];
	bool change = user && *user;
	enum err e = OK;

	if (change)
		e = find_user(user, &entry, text, sizeof(text));
	if (e == OK)
		e = drop_bounding_set(0);
	if (e == OK && change)
		e = become(&entry);
	if (e == OK)
		e = drop_capabilities();
	/* Belt and braces: the way back must be shut. */
	if (e == OK && change && entry.pw_uid != 0 && setresuid((uid_t)-1, 0, (uid_t)-1) == 0)
		e = E_DENIED;
	return e;
}

enum err
process_die_with_parent(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return E_SYSTEM;
	/* It may have died before the call above. */
	return getppid() == parent ? OK : E_CONFLICT;
}

size_t
process_raise_nofile(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	rlim_t soft = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? soft : limit.rlim_max;
}

void
process_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;

	if (n == 0)
		return;
	/* A path, or "@name" in the abstract namespace. */
	if ((path[0] != '/' && path[0] != '@') || n >= sizeof(to.sun_path)) {
		log_warn("cannot notify the service manager", LOG_STR("reason", "NOTIFY_SOCKET is neither /path nor @name"));
		return;
	}
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, len) < 0)
		log_warn("cannot notify the service manager", LOG_ERRNO(errno));
	if (fd >= 0)
		close(fd);
}

uint64_t
process_watchdog_us(void)
{
	const char *us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t v;

	if (pid && (!slice_to_u64(slice_str(pid), INT32_MAX, &v) || (pid_t)v != getpid()))
		return 0;
	return slice_to_u64(slice_str(us), UINT64_MAX, &v) ? v : 0;
}

static enum err
socket_error(void)
{
	switch (errno) {
	case EAGAIN:
		return E_AGAIN;
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN:
		return E_EMPTY;
	default:
		return E_SYSTEM;
	}
}

/* Room for two descriptors even where one is wanted: CMSG_SPACE rounds up, so the kernel may deliver them. */
union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(2 * sizeof(int))];
};

enum err
process_send_fd(int sock, const void *msg, size_t n, int fd)
{
	struct iovec part = { (void *)(uintptr_t)msg, n };
	union control control = { .bytes = { 0 } };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t sent;

	if (fd >= 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do
		sent = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? socket_error() : OK;
}

/* The first descriptor in the message, the others closed. Returns how many there were. */
static size_t
take_descriptors(struct msghdr *m, int *fd)
{
	size_t count = 0;

	*fd = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
			int got;
			memcpy(&got, CMSG_DATA(c) + at, sizeof(got));
			if (count++ == 0)
				*fd = got;
			else
				close(got);
		}
	}
	return count;
}

enum err
process_recv_fd(int sock, void *msg, size_t cap, size_t *n, int *fd)
{
	struct iovec part = { msg, cap };
	union control control;
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes) };
	bool reset = false;
	ssize_t got;

	*fd = -1;
	/* A peer that ended with something unread leaves an error, which is told once, in front of what it sent. */
	do {
		got = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	} while (got < 0 && (errno == EINTR || (errno == ECONNRESET && !reset && (reset = true))));
	if (got < 0)
		return socket_error();

	size_t count = take_descriptors(&m, fd);
	enum err e = got == 0 ? E_EMPTY : m.msg_flags & MSG_TRUNC ? E_LIMIT : OK;
	if (e == OK && (count > 1 || (m.msg_flags & MSG_CTRUNC)))
		e = E_FORMAT;
	if (e != OK && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	*n = (size_t)got;
	return e;
}
