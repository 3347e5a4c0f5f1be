#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "shared/log.h"
#include "shared/sandbox_internal.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41 /* newer C libraries name their memory by it */
#endif
#define SECCOMP_API_NEEDED 3 /* of libseccomp: Linux 4.14, which can end a whole process */
/* Every binary replacement adds the same filter of master's once more: so many are enough. The kernel takes about 300. */
#define FILTERS_MAX 16

/* ---- calls that are allowed or not, whatever their arguments ----
 *
 * What is called for every request stands here: since Linux 5.11 the kernel remembers which calls a filter allows without a look at their arguments, and does
 * not run the filter for them. */

struct calls {
	unsigned needs; /* any of these; 0: always */
	const int *list;
	size_t n;
};
#define CALLS(needs, ...) { (needs), (const int[]){ __VA_ARGS__ }, sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int) }
#define C(name) SCMP_SYS(name)

static const struct calls allowed[] = {
	/* descriptors that are there */
	CALLS(0, C(read), C(readv), C(pread64), C(write), C(writev), C(close), C(close_range), C(lseek), C(dup), C(dup2), C(dup3), C(fstat), C(recvfrom), C(recvmsg),
		C(shutdown), C(getsockname), C(getpeername), C(getsockopt)),
	/* waiting */
	CALLS(0, C(epoll_create1), C(epoll_ctl), C(epoll_wait), C(epoll_pwait), C(epoll_pwait2), C(poll), C(ppoll), C(select), C(pselect6), C(eventfd2), C(futex),
		C(nanosleep), C(clock_nanosleep), C(restart_syscall), C(sched_yield)),
	/* memory */
	CALLS(0, C(brk), C(munmap), C(mremap), C(madvise), C(membarrier)),
	/* itself */
	CALLS(0, C(clock_gettime), C(clock_getres), C(gettimeofday), C(time), C(getrandom), C(getpid), C(gettid), C(getppid), C(getuid), C(geteuid), C(getgid), C(getegid),
		C(getrusage), C(times), C(getcpu), C(sched_getaffinity), C(sysinfo), C(uname)),
	/* signals to itself, and the end */
	CALLS(0, C(rt_sigprocmask), C(rt_sigreturn), C(rt_sigtimedwait), C(sigaltstack), C(exit), C(exit_group)),
	CALLS(SANDBOX_ACCEPT, C(accept), C(accept4)),
	CALLS(SANDBOX_CONNECT | SANDBOX_LOCAL | SANDBOX_NAMES | SANDBOX_NOTIFY, C(connect)),
	CALLS(SANDBOX_LISTEN | SANDBOX_NAMES, C(bind)), /* for names: a netlink socket */
	CALLS(SANDBOX_LISTEN, C(listen), C(chmod), C(fchmodat), C(unlink), C(unlinkat)),
	CALLS(SANDBOX_NAMES, C(sendmmsg)), /* both questions, A and AAAA */
	CALLS(SANDBOX_NAMES | SANDBOX_NOTIFY, C(sendto), C(sendmsg)),
	CALLS(SANDBOX_THREADS, C(set_robust_list), C(rseq), C(pipe2)),
	CALLS(SANDBOX_READ | SANDBOX_WRITE | SANDBOX_NAMES, C(stat), C(lstat), C(newfstatat), C(statx), C(access), C(faccessat), C(faccessat2), C(readlink), C(readlinkat),
		C(getdents64), C(statfs), C(fstatfs), C(fadvise64), C(getcwd)),
	CALLS(SANDBOX_WRITE, C(open), C(openat), C(creat), C(preadv), C(pwrite64), C(pwritev), C(fsync), C(fdatasync), C(ftruncate), C(fallocate), C(msync), C(flock),
		C(rename), C(renameat), C(renameat2), C(unlink), C(unlinkat), C(mkdir), C(mkdirat), C(chmod), C(fchmod), C(fchmodat), C(umask)),
};

/* The known ones are told that they may not, which a person who reads the error understands better than ENOSYS. */
static const int refused[] = { C(open), C(openat), C(creat), C(openat2), C(kill), C(tkill), C(accept), C(accept4), C(bind), C(listen), C(connect),
	C(unlink), C(unlinkat), C(rename), C(renameat), C(renameat2), C(mkdir), C(mkdirat), C(chmod), C(fchmod), C(fchmodat), C(truncate), C(ftruncate), C(link), C(linkat),
	C(symlink), C(symlinkat), C(mknod), C(mknodat), C(setuid), C(setgid), C(setresuid), C(setresgid), C(setgroups), C(capset), C(prlimit64), C(setrlimit),
	C(memfd_create), C(pidfd_open), C(pidfd_send_signal), C(wait4), C(waitid) };

/* Nothing in these programs or their libraries calls them by mistake: whoever does is not us any more. Where FORKS, these alone are taken, from the binary that
 * replaces ours, too: a version that needs one of them cannot be started by USR2. */
static const int deadly[] = { C(ptrace), C(process_vm_readv), C(process_vm_writev), C(kcmp), C(pidfd_getfd), C(bpf), C(perf_event_open), C(userfaultfd),
	C(io_uring_setup), C(io_uring_enter), C(io_uring_register), C(init_module), C(finit_module), C(delete_module), C(kexec_load), C(kexec_file_load), C(reboot),
	C(mount), C(umount2), C(move_mount), C(open_tree), C(fsopen), C(fspick), C(fsconfig), C(fsmount), C(mount_setattr), C(pivot_root), C(chroot), C(unshare), C(setns),
	C(keyctl), C(add_key), C(request_key), C(swapon), C(swapoff), C(acct), C(quotactl), C(iopl), C(ioperm), C(modify_ldt), C(open_by_handle_at), C(settimeofday),
	C(clock_settime), C(clock_adjtime), C(adjtimex), C(sethostname), C(setdomainname), C(syslog), C(vhangup), C(fanotify_init), C(remap_file_pages), C(personality) };
/* Answered by the kernel alone: the C library blocks all signals around them, and a blocked SIGSYS would end the process. */
static const int starting[] = { C(fork), C(vfork), C(clone) };
/* Numbers that nothing here has heard of, up to what Linux may have in some years: a C library of tomorrow tries them with all signals blocked, too. */
#define CALLS_KNOWN 450
#define CALLS_END 512
static const int deadly_execs[] = { C(execve), C(execveat) };

/* ---- calls whose arguments decide ---- */

struct rule {
	int call;
	unsigned needs, unless; /* any of needs (0: always), none of unless */
	uint32_t action;
	unsigned argument_n;
	struct scmp_arg_cmp arguments[3];
};
#define NO (SANDBOX_SAYS ? SCMP_ACT_TRAP : SCMP_ACT_ERRNO(EPERM))
#define NEVER_HEARD_OF (SANDBOX_SAYS ? SCMP_ACT_TRAP : SCMP_ACT_ERRNO(ENOSYS))
#define THE_END (SANDBOX_SAYS ? SCMP_ACT_TRAP : SCMP_ACT_KILL_PROCESS) /* the handler ends it once that is said */
#define YES SCMP_ACT_ALLOW
#define IS(at, value) { .arg = (at), .op = SCMP_CMP_EQ, .datum_a = (value) }
#define ISNT(at, value) { .arg = (at), .op = SCMP_CMP_NE, .datum_a = (value) }
#define BITS(at, mask, value) { .arg = (at), .op = SCMP_CMP_MASKED_EQ, .datum_a = (mask), .datum_b = (value) }
#define RULE1(call, needs, unless, action, a) { C(call), (needs), (unless), (action), 1, { a } }
#define RULE2(call, needs, unless, action, a, b) { C(call), (needs), (unless), (action), 2, { a, b } }
#define RULE3(call, needs, unless, action, a, b, c) { C(call), (needs), (unless), (action), 3, { a, b, c } }

#define SOCKET_TYPE 0xffffffffu & ~(unsigned)(SOCK_NONBLOCK | SOCK_CLOEXEC)
#define SOCKETS(needs, family, type, protocol) RULE3(socket, needs, 0, YES, IS(0, family), BITS(1, SOCKET_TYPE, type), IS(2, protocol))
#define OPTION(needs, level, name) RULE2(setsockopt, needs, 0, YES, IS(1, level), IS(2, name))
#define OPENS_TO_WRITE (O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))
#define READS (SANDBOX_READ | SANDBOX_NAMES)

static const struct rule rules[] = {
	/* The handler of what is refused stays what it is. Blocked, SIGSYS ends the process. */
	RULE1(rt_sigaction, 0, 0, YES, ISNT(0, SIGSYS)),
	RULE1(rt_sigaction, 0, 0, SCMP_ACT_KILL_PROCESS, IS(0, SIGSYS)),
	RULE1(mmap, 0, 0, YES, BITS(2, PROT_EXEC, 0)),
	RULE1(mmap, 0, 0, NO, BITS(2, PROT_EXEC, PROT_EXEC)),
	RULE1(mprotect, 0, 0, YES, BITS(2, PROT_EXEC, 0)),
	RULE1(mprotect, 0, 0, NO, BITS(2, PROT_EXEC, PROT_EXEC)),
	/* fstat(3) of newer C libraries */
	RULE1(newfstatat, 0, READS | SANDBOX_WRITE, YES, BITS(3, AT_EMPTY_PATH, AT_EMPTY_PATH)),
	RULE1(newfstatat, 0, READS | SANDBOX_WRITE, NO, BITS(3, AT_EMPTY_PATH, 0)),
	RULE1(openat, READS, SANDBOX_WRITE, YES, BITS(2, OPENS_TO_WRITE, 0)),
	RULE1(open, READS, SANDBOX_WRITE, YES, BITS(1, OPENS_TO_WRITE, 0)),
	RULE1(clone, SANDBOX_THREADS, 0, YES, BITS(0, CLONE_THREAD, CLONE_THREAD)),
	RULE1(clone, SANDBOX_THREADS, 0, SCMP_ACT_ERRNO(EPERM), BITS(0, CLONE_THREAD, 0)),
	/* Only TCP proper: Landlock's rules on ports do not see MPTCP, SCTP or what travels in datagrams. */
	SOCKETS(SANDBOX_CONNECT | SANDBOX_LISTEN, AF_INET, SOCK_STREAM, 0),
	SOCKETS(SANDBOX_CONNECT | SANDBOX_LISTEN, AF_INET, SOCK_STREAM, IPPROTO_TCP),
	SOCKETS(SANDBOX_CONNECT | SANDBOX_LISTEN, AF_INET6, SOCK_STREAM, 0),
	SOCKETS(SANDBOX_CONNECT | SANDBOX_LISTEN, AF_INET6, SOCK_STREAM, IPPROTO_TCP),
	SOCKETS(SANDBOX_LOCAL | SANDBOX_NAMES, AF_UNIX, SOCK_STREAM, 0), /* for names: nscd, systemd-resolved */
	SOCKETS(SANDBOX_NOTIFY, AF_UNIX, SOCK_DGRAM, 0),
	SOCKETS(SANDBOX_NAMES, AF_INET, SOCK_DGRAM, 0),
	SOCKETS(SANDBOX_NAMES, AF_INET, SOCK_DGRAM, IPPROTO_UDP),
	SOCKETS(SANDBOX_NAMES, AF_INET6, SOCK_DGRAM, 0),
	SOCKETS(SANDBOX_NAMES, AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
	SOCKETS(SANDBOX_NAMES, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE),
	RULE1(socketpair, SANDBOX_THREADS, 0, YES, IS(0, AF_UNIX)), /* how curl wakes its own threads */
	/* TCP fast open connects without connect(2), past Landlock. With an address is the only way; sendmsg's is behind a pointer, so there by the flag. */
	RULE1(sendto, 0, SANDBOX_NAMES | SANDBOX_NOTIFY, YES, IS(4, 0)),
	RULE1(sendto, 0, SANDBOX_NAMES | SANDBOX_NOTIFY, NO, ISNT(4, 0)),
	RULE1(sendmsg, 0, SANDBOX_NAMES | SANDBOX_NOTIFY, YES, BITS(2, MSG_FASTOPEN, 0)),
	RULE1(sendmsg, 0, SANDBOX_NAMES | SANDBOX_NOTIFY, NO, BITS(2, MSG_FASTOPEN, MSG_FASTOPEN)),
	/* Not SO_ATTACH_FILTER and its kin, which hand the kernel programs. */
	RULE1(setsockopt, 0, 0, YES, IS(1, IPPROTO_TCP)),
	OPTION(0, SOL_SOCKET, SO_KEEPALIVE),
	OPTION(0, SOL_SOCKET, SO_LINGER),
	OPTION(0, SOL_SOCKET, SO_RCVBUF),
	OPTION(0, SOL_SOCKET, SO_SNDBUF),
	OPTION(0, SOL_SOCKET, SO_RCVLOWAT),
	OPTION(SANDBOX_LISTEN, SOL_SOCKET, SO_REUSEADDR),
	OPTION(SANDBOX_LISTEN, IPPROTO_IPV6, IPV6_V6ONLY),
	OPTION(SANDBOX_NAMES, IPPROTO_IP, IP_RECVERR),
	OPTION(SANDBOX_NAMES, IPPROTO_IPV6, IPV6_RECVERR),
	RULE1(ioctl, 0, 0, YES, IS(1, FIONREAD)),
	RULE1(ioctl, 0, 0, YES, IS(1, FIONBIO)),
	RULE1(fcntl, 0, 0, YES, IS(1, F_GETFD)),
	RULE1(fcntl, 0, 0, YES, IS(1, F_SETFD)),
	RULE1(fcntl, 0, 0, YES, IS(1, F_GETFL)),
	RULE1(fcntl, 0, 0, YES, IS(1, F_SETFL)),
	RULE1(fcntl, 0, 0, YES, IS(1, F_DUPFD_CLOEXEC)),
	RULE1(fcntl, 0, 0, YES, IS(1, F_GET_SEALS)),
	RULE1(fcntl, SANDBOX_WRITE, 0, YES, IS(1, F_GETLK)),
	RULE1(fcntl, SANDBOX_WRITE, 0, YES, IS(1, F_SETLK)),
	RULE1(fcntl, SANDBOX_WRITE, 0, YES, IS(1, F_SETLKW)),
	RULE1(prctl, 0, 0, YES, IS(0, PR_SET_NAME)),
	RULE1(prctl, 0, 0, YES, IS(0, PR_SET_VMA)),
};

/* ---- the filter ---- */

/* Calls that this machine's architecture does not have are negative. What happens anyway need not be said, and may not be. */
static int
add(scmp_filter_ctx filter, uint32_t action, int call, unsigned n, const struct scmp_arg_cmp *arguments)
{
	uint32_t otherwise;
	int code = seccomp_attr_get(filter, SCMP_FLTATR_ACT_DEFAULT, &otherwise);

	return code || call < 0 || action == otherwise ? code : seccomp_rule_add_array(filter, action, call, n, arguments);
}

static int
add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t n)
{
	int code = 0;

	for (size_t i = 0; i < n && code == 0; i++)
		code = add(filter, action, calls[i], 0, NULL);
	return code;
}

static bool
applies(const struct rule *r, unsigned needs)
{
	return (r->needs == 0 || (r->needs & needs)) && !(r->unless & needs);
}

/* Something about this call has been said: a rule for whatever arguments would take its place. */
static bool
is_ruled(int call, unsigned needs)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].call == call && applies(&rules[i], needs))
			return true;
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		for (size_t j = 0; j < allowed[i].n; j++)
			if (allowed[i].list[j] == call && (allowed[i].needs == 0 || (allowed[i].needs & needs)))
				return true;
	return false;
}

static int
fill_strict(scmp_filter_ctx filter, unsigned needs)
{
	const struct scmp_arg_cmp self = IS(0, (scmp_datum_t)getpid());
	int code = add(filter, YES, C(tgkill), 1, &self); /* abort(3) */

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && code == 0; i++)
		if (allowed[i].needs == 0 || (allowed[i].needs & needs))
			code = add_all(filter, YES, allowed[i].list, allowed[i].n);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]) && code == 0; i++)
		if (applies(&rules[i], needs))
			code = add(filter, rules[i].action, rules[i].call, rules[i].argument_n, rules[i].arguments);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]) && code == 0; i++)
		if (!is_ruled(refused[i], needs))
			code = add(filter, NO, refused[i], 0, NULL);
	for (size_t i = 0; i < sizeof(starting) / sizeof(starting[0]) && code == 0; i++)
		if (!is_ruled(starting[i], needs))
			code = add(filter, SCMP_ACT_ERRNO(EPERM), starting[i], 0, NULL);
	/* clone3's flags are behind a pointer: it does not exist, and the C library takes clone. */
	if (code == 0)
		code = add(filter, SCMP_ACT_ERRNO(ENOSYS), C(clone3), 0, NULL);
	for (int call = CALLS_KNOWN; call < CALLS_END && code == 0; call++)
		if (!is_ruled(call, needs))
			code = add(filter, SCMP_ACT_ERRNO(ENOSYS), call, 0, NULL);
	return code ? code : add_all(filter, THE_END, deadly_execs, sizeof(deadly_execs) / sizeof(deadly_execs[0]));
}

static bool
is_among(int call, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (calls[i] == call)
			return true;
	return false;
}

/* What a trapped call is answered: see the tables. */
static int
answer(int call)
{
	if (is_among(call, deadly, sizeof(deadly) / sizeof(deadly[0])) || is_among(call, deadly_execs, sizeof(deadly_execs) / sizeof(deadly_execs[0])))
		return 0;
	if (is_among(call, refused, sizeof(refused) / sizeof(refused[0])))
		return EPERM;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].call == call && rules[i].action == NO)
			return EPERM;
	return ENOSYS;
}

/* 0, or an errno value with its sign. */
static int
set_up(scmp_filter_ctx filter)
{
	/* Before Linux 5.16 a filter brings a costly defence against what foreign code in the same process may guess; there is none in ours. Older ones do not know the
	 * attribute. */
	if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1))
		log_debug("sandbox: the defence against speculative stores stays on");
	int code = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: eight comparisons instead of a hundred */
	if (code == 0)
		code = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (code == 0)
		code = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	return code;
}

static enum err
load(unsigned needs)
{
	bool strict = !(needs & SANDBOX_FORKS);
	if (SANDBOX_SAYS && sandbox_violation_watch(answer) != OK)
		return E_SYSTEM;
	scmp_filter_ctx filter = seccomp_init(strict ? NEVER_HEARD_OF : SCMP_ACT_ALLOW);
	if (!filter)
		return E_NOMEM;
	int code = set_up(filter);
	if (code == 0 && strict)
		code = fill_strict(filter, needs);
	if (code == 0)
		code = add_all(filter, THE_END, deadly, sizeof(deadly) / sizeof(deadly[0]));
	if (code == 0)
		code = seccomp_load(filter);
	seccomp_release(filter);
	errno = -code;
	return code == 0 ? OK : code == -ENOMEM ? E_NOMEM : E_SYSTEM;
}

/* ---- what the kernel has ---- */

static bool
has_seccomp(void)
{
	/* ENOSYS: the kernel has none; EINVAL: no filters; EPERM: a container does not let us; EFAULT: it has, and was given none. */
	return SANDBOX_BUILT && seccomp_api_get() >= SECCOMP_API_NEEDED && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) < 0 && errno == EFAULT;
}

/* What this process found when it entered: once confined it may not ask any more. */
static struct sandbox_support found;
static bool entered;

static struct sandbox_support
look(void)
{
	return (struct sandbox_support){ has_seccomp(), SANDBOX_BUILT ? sandbox_landlock_version() : 0 };
}

struct sandbox_support
sandbox_support(void)
{
	return entered ? found : look();
}

const char *
sandbox_lack(void)
{
	struct sandbox_support has = sandbox_support();

	if (!SANDBOX_BUILT)
		return "this build has a sanitizer";
	if (!has.seccomp)
		return has.landlock ? "seccomp is not available" : "neither seccomp nor landlock is available";
	return has.landlock ? NULL : "landlock is not available";
}

void
sandbox_log_support(void)
{
	struct sandbox_support has = sandbox_support();
	struct utsname kernel = { .release = "unknown" };

	uname(&kernel);
	if (!sandbox_lack())
		log_info("sandbox", LOG_BOOL("seccomp", has.seccomp), LOG_INT("landlock", has.landlock));
	else
		log_warn("sandbox: less than there could be", LOG_STR("reason", sandbox_lack()), LOG_BOOL("seccomp", has.seccomp), LOG_INT("landlock", has.landlock),
			LOG_STR("kernel", kernel.release));
}

/* ---- entering ---- */

static void
remember(void)
{
	found = sandbox_support();
	entered = true;
}

enum err
sandbox_enter_files(const struct sandbox *s)
{
	remember();
	int version = s->needs & SANDBOX_FORKS ? 0 : found.landlock;

	if (s->needs & SANDBOX_NAMES)
		sandbox_names_load();
	if (version == 0)
		return OK;
	/* Else only root may, and what root starts would be more than we are. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return E_SYSTEM;
	return sandbox_landlock_enter(s, version);
}

static unsigned
filters_held(void)
{
	char line[128];
	unsigned n = 0;
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f) && sscanf(line, "Seccomp_filters: %u", &n) != 1)
		;
	if (f)
		fclose(f);
	return n;
}

enum err
sandbox_enter_calls(const struct sandbox *s)
{
	remember();
	if (!found.seccomp || ((s->needs & SANDBOX_FORKS) && filters_held() >= FILTERS_MAX))
		return OK;
	return load(s->needs);
}

enum err
sandbox_enter(const struct sandbox *s)
{
	enum err e = sandbox_enter_files(s);

	return e ? e : sandbox_enter_calls(s);
}
