/* What proxyd's processes can still do once they are confined, and what stops them. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include "proxyd/confine.h"
#include "shared/log.h"
#include "shared/process.h"
#include "shared/sealed.h"
#include "tests/unit/sandbox_unit.h"

static struct confine_destinations destinations;
static int upstream_fd, elsewhere_fd, seal_fd, file_fd, landlock;
static struct sockaddr_in upstream, elsewhere;
static const void *sealed;
static char folder[64], path[96];

static int
listen_on_loopback(struct sockaddr_in *address)
{
	socklen_t n = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)address, n), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)address, &n), 0);
	return fd;
}

static int
group_setup(void **state)
{
	struct address to = { .len = sizeof(upstream) };
	void *writable;

	(void)state;
	landlock = sandbox_support().landlock;
	unit_folder_make(folder);
	snprintf(path, sizeof(path), "%s/file", folder);
	unit_file_write(path, "text", 4);
	file_fd = open(path, O_RDONLY | O_CLOEXEC);
	upstream_fd = listen_on_loopback(&upstream);
	elsewhere_fd = listen_on_loopback(&elsewhere);
	to.u.in4 = upstream;
	confine_add(&destinations, &to, 1);
	assert_int_equal(sealed_create("keys", 4096, &seal_fd, &writable), OK);
	sealed_unmap(writable, 4096);
	assert_int_equal(sealed_map(seal_fd, 4096, &sealed), OK);
	return 0;
}
static int
group_teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void
be_worker(void)
{
	HOLDS(process_harden() == OK);
	HOLDS(confine_worker(&destinations) == OK);
}
static void
be_keeper(void)
{
	HOLDS(process_harden() == OK);
	HOLDS(confine_keeper() == OK);
}
static void
be_logger(void)
{
	HOLDS(process_harden() == OK);
	HOLDS(confine_logger() == OK);
}
static void
be_master(void)
{
	HOLDS(process_harden() == OK);
	HOLDS(confine_master() == OK);
}

static unsigned long
status_number(const char *name, int base)
{
	char line[256];
	unsigned long v = ~0ul;
	FILE *f = fopen("/proc/self/status", "re");

	HOLDS(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, name, strlen(name)) == 0)
			v = strtoul(line + strlen(name), NULL, base);
	fclose(f);
	return v;
}

/* ---- what nobody may ---- */

static char *const no_arguments[] = { (char[]){ "true" }, NULL };

static void execs(void) { execv("/bin/true", no_arguments); }
static void execs_by_descriptor(void) { syscall(SYS_execveat, file_fd, "", no_arguments, no_arguments + 1, AT_EMPTY_PATH); }
static void traces(void) { ptrace(PTRACE_ATTACH, getppid(), NULL, NULL); }
static void reads_others(void)
{
	char bytes[8];
	struct iovec here = { bytes, 8 }, there = { bytes, 8 };
	process_vm_readv(getppid(), &here, 1, &there, 1, 0);
}
static void writes_others(void)
{
	char bytes[8] = "";
	struct iovec here = { bytes, 8 }, there = { bytes, 8 };
	process_vm_writev(getppid(), &here, 1, &there, 1, 0);
}
static void loads_a_program_into_the_kernel(void) { syscall(SYS_bpf, 0, NULL, 0); }
static void makes_a_ring(void) { syscall(SYS_io_uring_setup, 1, NULL); }
static void takes_a_descriptor(void) { syscall(SYS_pidfd_getfd, 0, 0, 0); }
static void leaves_its_namespace(void) { unshare(CLONE_NEWUSER); }
static void mounts(void) { syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL); }
static void handles_faults(void) { syscall(SYS_userfaultfd, 0); }
static void reads_keyrings(void) { syscall(SYS_keyctl, 0, 0, 0, 0, 0); }
static void makes_data_executable(void) { syscall(SYS_personality, 0x0400000 /* READ_IMPLIES_EXEC */); }
#ifdef __x86_64__
static void calls_as_a_32_bit_program(void)
{
	int result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory"); /* getpid */
	(void)result;
}
static void calls_by_the_x32_number(void) { syscall(0x40000000 | SYS_getpid); }
#endif

static void (*const deadly[])(void) = { traces, reads_others, writes_others, loads_a_program_into_the_kernel, makes_a_ring, takes_a_descriptor, leaves_its_namespace,
	mounts, handles_faults, reads_keyrings, makes_data_executable,
#ifdef __x86_64__
	calls_as_a_32_bit_program, calls_by_the_x32_number,
#endif
};
static void (*confine)(void), (*deed)(void);

static void
confined_deed(void)
{
	confine();
	deed();
}

static void
every_process_is_ended_by_what_only_an_attacker_calls(void **state)
{
	static void (*const all[])(void) = { be_worker, be_keeper, be_logger, be_master };

	(void)state;
	skip_without_seccomp();
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		for (size_t j = 0; j < sizeof(deadly) / sizeof(deadly[0]); j++) {
			confine = all[i];
			deed = deadly[j];
			assert_child_is_ended_by(confined_deed, SIGSYS);
		}
}

static void
all_but_master_are_ended_when_they_execute_a_file(void **state)
{
	static void (*const all[])(void) = { be_worker, be_keeper, be_logger };
	static void (*const deeds[])(void) = { execs, execs_by_descriptor };

	(void)state;
	skip_without_seccomp();
	for (size_t i = 0; i < 6; i++) {
		confine = all[i / 2];
		deed = deeds[i % 2];
		assert_child_is_ended_by(confined_deed, SIGSYS);
	}
}

/* ---- worker ---- */

static void
worker_opens(void)
{
	be_worker();
	FAILS(open(path, O_RDONLY), EPERM);
	FAILS(open(folder, O_RDONLY | O_DIRECTORY), EPERM);
	FAILS(open("/proc/self/mem", O_RDWR), EPERM);
	FAILS(openat(AT_FDCWD, path, O_RDONLY), EPERM);
	FAILS(syscall(SYS_openat2, AT_FDCWD, path, NULL, 0), EPERM);
	FAILS(creat("/tmp/gatehouse-unit-never", 0600), EPERM);
	FAILS(unlink(path), EPERM);
	FAILS(chmod(path, 0777), EPERM);
	FAILS(memfd_create("x", 0), EPERM);
	struct stat st;
	FAILS(stat(path, &st), EPERM);
	HOLDS(fstat(file_fd, &st) == 0 && st.st_size == 4);
}
static void
a_worker_opens_no_file(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(worker_opens);
}

static void *
nothing(void *arg)
{
	return arg;
}

static void
worker_starts(void)
{
	pthread_t thread;

	be_worker();
	FAILS(fork(), EPERM);
	FAILS(syscall(SYS_fork), EPERM);
	FAILS(syscall(SYS_vfork), EPERM);
	FAILS(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL), EPERM);
	FAILS(syscall(SYS_clone3, NULL, 0), ENOSYS);
	HOLDS(pthread_create(&thread, NULL, nothing, NULL) != 0);
}
static void
a_worker_starts_no_process_and_no_thread(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(worker_starts);
}

static int
tcp(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void
worker_connects(void)
{
	struct iovec byte = { (char[]){ 'x' }, 1 };
	struct msghdr fast = { .msg_name = &elsewhere, .msg_namelen = sizeof(elsewhere), .msg_iov = &byte, .msg_iovlen = 1 };
	int one = 1;

	be_worker();
	int fd = tcp();
	HOLDS(fd >= 0);
	HOLDS(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
	HOLDS(connect(fd, (struct sockaddr *)&upstream, sizeof(upstream)) == 0);
	HOLDS(send(fd, "x", 1, MSG_NOSIGNAL) == 1);
	fd = tcp();
	if (landlock >= 4)
		FAILS(connect(fd, (struct sockaddr *)&elsewhere, sizeof(elsewhere)), EACCES);
	/* The ways around connect(2), and protocols whose ports Landlock does not see. */
	FAILS(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&elsewhere, sizeof(elsewhere)), EPERM);
	FAILS(sendmsg(fd, &fast, MSG_FASTOPEN), EPERM);
	FAILS(sendmmsg(fd, NULL, 0, MSG_FASTOPEN), ENOSYS);
	FAILS(socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */), ENOSYS);
	FAILS(socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP), ENOSYS);
	FAILS(socket(AF_INET, SOCK_DGRAM, 0), ENOSYS);
	FAILS(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), ENOSYS);
	FAILS(socket(AF_PACKET, SOCK_RAW, 0), ENOSYS);
	FAILS(socket(AF_NETLINK, SOCK_RAW, 0), ENOSYS);
	FAILS(socket(AF_VSOCK, SOCK_STREAM, 0), ENOSYS);
	FAILS(socket(AF_UNIX, SOCK_STREAM, 0), ENOSYS); /* no upstream is local */
	FAILS(bind(fd, (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET }, sizeof(struct sockaddr_in)), EPERM);
	FAILS(listen(fd, 1), EPERM);
	const struct sock_fprog program = { 0, NULL };
	FAILS(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), ENOSYS);
}
static void
a_worker_connects_to_the_ports_of_its_upstreams_only(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(worker_connects);
}

static void
worker_with_local_upstreams(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "\0gatehouse-unit" };
	socklen_t n = offsetof(struct sockaddr_un, sun_path) + 16;
	int outside = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	n = sizeof(sa_family_t); /* a name of the kernel's choice */
	HOLDS(bind(outside, (struct sockaddr *)&name, n) == 0 && listen(outside, 1) == 0);
	n = sizeof(name);
	HOLDS(getsockname(outside, (struct sockaddr *)&name, &n) == 0);
	destinations.local = true;
	be_worker();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	HOLDS(fd >= 0);
	if (landlock >= 6)
		FAILS(connect(fd, (struct sockaddr *)&name, n), EPERM); /* abstract: not a path that is configured */
	FAILS(socket(AF_UNIX, SOCK_DGRAM, 0), ENOSYS);
	FAILS(socket(AF_UNIX, SOCK_SEQPACKET, 0), ENOSYS);
}
static void
a_worker_has_local_sockets_where_an_upstream_is_local(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(worker_with_local_upstreams);
}

static void
worker_without_upstreams(void)
{
	destinations = (struct confine_destinations){ .port_n = 0 };
	be_worker();
	FAILS(tcp(), ENOSYS);
	FAILS(connect(upstream_fd, (struct sockaddr *)&upstream, sizeof(upstream)), EPERM);
}
static void
a_worker_without_upstreams_connects_nowhere(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(worker_without_upstreams);
}

static void
worker_remaps_the_key_cache(void)
{
	be_worker();
	FAILS((long)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, seal_fd, 0), EPERM);
	FAILS(mprotect((void *)(uintptr_t)sealed, 4096, PROT_READ | PROT_WRITE), EACCES);
	FAILS(pwrite(seal_fd, "x", 1, 0), ENOSYS);
	FAILS(write(seal_fd, "x", 1), EPERM);
	FAILS(ftruncate(seal_fd, 0), EPERM);
}
static void
worker_writes_the_key_cache(void)
{
	be_worker();
	*(volatile char *)(uintptr_t)sealed = 'x';
}
static void
a_worker_cannot_write_the_key_cache(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(worker_remaps_the_key_cache);
	assert_child_is_ended_by(worker_writes_the_key_cache, SIGSEGV);
}

static void
worker_makes_code(void)
{
	be_worker();
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	HOLDS(page != MAP_FAILED);
	FAILS(mprotect(page, 4096, PROT_READ | PROT_EXEC), EPERM);
	FAILS((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EPERM);
	FAILS((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file_fd, 0), EPERM);
	FAILS(syscall(SYS_pkey_mprotect, page, 4096, PROT_EXEC, -1), ENOSYS);
	FAILS(syscall(SYS_shmat, 0, NULL, 0), ENOSYS);
}
static void
a_worker_makes_no_code(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(worker_makes_code);
}

static void
worker_meddles(void)
{
	pid_t parent = getppid();

	be_worker();
	FAILS(kill(parent, 0), EPERM);
	FAILS(syscall(SYS_tkill, parent, 0), EPERM);
	FAILS(syscall(SYS_tgkill, parent, parent, 0), ENOSYS);
	FAILS(syscall(SYS_rt_sigqueueinfo, parent, SIGTERM, NULL), ENOSYS);
	FAILS(syscall(SYS_pidfd_open, parent, 0), EPERM);
	FAILS(fcntl(file_fd, F_SETOWN, parent), ENOSYS); /* the kernel would signal it for us */
	FAILS(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), ENOSYS);
	FAILS(syscall(SYS_prlimit64, parent, RLIMIT_NOFILE, NULL, NULL), EPERM);
	FAILS(syscall(SYS_setuid, 0), EPERM);
}
static void
a_worker_leaves_other_processes_alone(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(worker_meddles);
}

static void
worker_works(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int client = tcp(), ends[2], epoll = epoll_create1(EPOLL_CLOEXEC), got, listener = listen_on_loopback(&upstream);
	char byte;
	size_t n;

	HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
	HOLDS(connect(client, (struct sockaddr *)&upstream, sizeof(upstream)) == 0);
	HOLDS(process_send_fd(ends[0], "k", 1, seal_fd) == OK);
	be_worker();
	HOLDS(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0);
	HOLDS(epoll_wait(epoll, &event, 1, 5000) == 1);
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	HOLDS(fd >= 0);
	HOLDS(send(client, "x", 1, MSG_NOSIGNAL) == 1);
	HOLDS(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
	HOLDS(epoll_wait(epoll, &event, 1, 5000) == 1);
	HOLDS(recv(fd, &byte, 1, 0) == 1 && write(fd, "y", 1) == 1 && shutdown(fd, SHUT_WR) == 0);
	/* A key cache that comes later. */
	HOLDS(process_recv_fd(ends[1], &byte, 1, &n, &got) == OK && got >= 0);
	const void *map;
	HOLDS(sealed_map(got, 4096, &map) == OK);
	sealed_unmap(map, 4096);
	/* Memory of all sizes. */
	for (size_t size = 1; size < 64u << 20; size *= 4) {
		char *p = malloc(size);
		HOLDS(p);
		memset(p, 1, size);
		HOLDS(p = realloc(p, size * 2));
		free(p);
	}
	log_error("a line");
}
static void
worker_aborts(void)
{
	be_worker();
	abort();
}
static void
a_worker_can_do_its_work_and_crash(void **state)
{
	(void)state;
	skip_without_seccomp();
	log_setup("test", 2, LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT);
	assert_child_lives(worker_works);
	assert_child_is_ended_by(worker_aborts, SIGABRT);
}

static void
worker_of_many_ports(void)
{
	struct address a = { .len = sizeof(a.u.in6), .u.in6 = { .sin6_family = AF_INET6 } };

	for (uint16_t port = 1; port <= CONFINE_PORTS_MAX + 1; port++) {
		a.u.in6.sin6_port = htons(port);
		confine_add(&destinations, &a, 1);
		confine_add(&destinations, &a, 1);
	}
	HOLDS(destinations.port_n == CONFINE_PORTS_MAX && destinations.too_many);
	be_worker();
	HOLDS(connect(tcp(), (struct sockaddr *)&elsewhere, sizeof(elsewhere)) == 0);
}
static void
past_so_many_ports_any_is_allowed(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(worker_of_many_ports);
}

/* ---- keeper ---- */

static void
keeper_files(void)
{
	be_keeper();
	int fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);
	HOLDS(fd >= 0);
	HOLDS((fd = open("/proc/self/statm", O_RDONLY)) >= 0);
	HOLDS(open("/proc/self/fd", O_RDONLY | O_DIRECTORY) >= 0);
	HOLDS(open("/proc/self/fd/0", O_RDONLY) >= 0 || errno == EACCES);
	char sealed_path[32];
	snprintf(sealed_path, sizeof(sealed_path), "/proc/self/fd/%d", seal_fd);
	HOLDS(open(sealed_path, O_RDONLY) >= 0); /* an issuer's authorities, for curl */
	FAILS(open(path, O_RDWR), EPERM);
	FAILS(open("/tmp/gatehouse-unit-never", O_WRONLY | O_CREAT, 0600), EPERM);
	FAILS(open("/tmp", O_RDWR | O_TMPFILE, 0600), EPERM);
	FAILS(open(path, O_RDONLY | O_TRUNC), EPERM);
	FAILS(unlink(path), EPERM);
	FAILS(rename(path, path), EPERM);
	if (landlock) {
		FAILS(open(path, O_RDONLY), EACCES);
		FAILS(open("/etc/passwd", O_RDONLY), EACCES);
		FAILS(open("/etc", O_RDONLY | O_DIRECTORY), EACCES);
		FAILS(open("/proc/1/status", O_RDONLY), EACCES);
	}
}
static void
a_keeper_reads_what_names_and_authorities_need_and_writes_nothing(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(keeper_files);
}

static void *
resolve(void *arg)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int code = getaddrinfo("localhost", "443", &hints, &found);

	if (code == 0)
		freeaddrinfo(found);
	*(int *)arg = code;
	return arg;
}
static void
keeper_connects(void)
{
	pthread_t thread;
	int code = -1;

	be_keeper();
	HOLDS(pthread_create(&thread, NULL, resolve, &code) == 0);
	HOLDS(pthread_join(thread, NULL) == 0 && code == 0);
	HOLDS(connect(tcp(), (struct sockaddr *)&elsewhere, sizeof(elsewhere)) == 0);
	int fd = accept4(elsewhere_fd, NULL, NULL, SOCK_CLOEXEC);
	HOLDS(fd >= 0);
	FAILS(fork(), EPERM);
	FAILS(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL), EPERM);
	if (landlock >= 4)
		FAILS(bind(tcp(), (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET }, sizeof(struct sockaddr_in)), EACCES);
	FAILS(listen(tcp(), 1), EPERM);
	FAILS((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file_fd, 0), EPERM);
	FAILS(socket(AF_PACKET, SOCK_RAW, 0), ENOSYS);
	FAILS(kill(getppid(), 0), EPERM);
}
static void
a_keeper_resolves_connects_anywhere_and_listens_nowhere_new(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(keeper_connects);
}

/* ---- logger ---- */

static void
logger_works(void)
{
	int ends[2], control[2], got, file = memfd_create("log", MFD_CLOEXEC);
	char byte;
	size_t n;

	HOLDS(pipe2(ends, O_NONBLOCK) == 0 && file >= 0);
	HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, control) == 0);
	HOLDS(process_send_fd(control[0], "f", 1, file) == OK);
	be_logger();
	HOLDS(process_recv_fd(control[1], &byte, 1, &n, &got) == OK);
	HOLDS(write(ends[1], "x", 1) == 1 && read(ends[0], &byte, 1) == 1 && write(got, "x", 1) == 1 && lseek(file, 0, SEEK_END) == 1);
	FAILS(open(path, O_RDONLY), EPERM);
	FAILS(ftruncate(file, 0), EPERM);
	FAILS(fork(), EPERM);
	FAILS(tcp(), ENOSYS);
	FAILS(socket(AF_UNIX, SOCK_STREAM, 0), ENOSYS);
	FAILS(accept4(upstream_fd, NULL, NULL, 0), EPERM);
	FAILS(connect(upstream_fd, (struct sockaddr *)&upstream, sizeof(upstream)), EPERM);
}
static void
a_logger_writes_into_what_it_was_given(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(logger_works);
}

/* ---- master ---- */

static void
master_starts_others(void)
{
	int status;

	be_master();
	pid_t child = fork();
	if (child == 0)
		execs();
	HOLDS(child > 0 && waitpid(child, &status, 0) == child && status == 0);
	child = fork();
	if (child == 0) {
		worker_opens();
		_exit(7);
	}
	HOLDS(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	HOLDS(fd >= 0 && kill(getpid(), 0) == 0);
}
static void
a_master_forks_opens_and_replaces_itself(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(master_starts_others);
}

static void
master_of_many_replacements(void)
{
	for (int i = 0; i < 40; i++)
		HOLDS(confine_master() == OK);
	unsigned long filters = status_number("Seccomp_filters:", 10);
	HOLDS(filters == ~0ul /* an old kernel does not say */ || filters <= 16);
	worker_opens();
}
static void
replacing_the_binary_often_does_not_pile_up_filters(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(master_of_many_replacements);
}

static void
master_as_root(void)
{
	be_master();
	unsigned long held = status_number("CapEff:", 16), bound = status_number("CapBnd:", 16);
	HOLDS(!(held & 1ul << 21) && !(bound & 1ul << 21)); /* CAP_SYS_ADMIN */
	HOLDS(!(held & 1ul << 19) && !(held & 1ul << 12) && !(held & 1ul << 16)); /* SYS_PTRACE, NET_ADMIN, SYS_MODULE */
	HOLDS(held & 1ul << 7 && held & 1ul << 10); /* SETUID, NET_BIND_SERVICE */
	HOLDS(process_drop("nobody") == OK);
	HOLDS(status_number("CapBnd:", 16) == 0 && status_number("CapPrm:", 16) == 0);
}
static void
a_master_that_is_root_keeps_what_it_takes_to_start_others(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_child_lives(master_as_root);
}

int
main(void)
{
	log_set_level(LOG_LEVEL_ERROR + 1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_process_is_ended_by_what_only_an_attacker_calls),
		cmocka_unit_test(all_but_master_are_ended_when_they_execute_a_file),
		cmocka_unit_test(a_worker_opens_no_file),
		cmocka_unit_test(a_worker_starts_no_process_and_no_thread),
		cmocka_unit_test(a_worker_connects_to_the_ports_of_its_upstreams_only),
		cmocka_unit_test(a_worker_has_local_sockets_where_an_upstream_is_local),
		cmocka_unit_test(a_worker_without_upstreams_connects_nowhere),
		cmocka_unit_test(a_worker_cannot_write_the_key_cache),
		cmocka_unit_test(a_worker_makes_no_code),
		cmocka_unit_test(a_worker_leaves_other_processes_alone),
		cmocka_unit_test(a_worker_can_do_its_work_and_crash),
		cmocka_unit_test(past_so_many_ports_any_is_allowed),
		cmocka_unit_test(a_keeper_reads_what_names_and_authorities_need_and_writes_nothing),
		cmocka_unit_test(a_keeper_resolves_connects_anywhere_and_listens_nowhere_new),
		cmocka_unit_test(a_logger_writes_into_what_it_was_given),
		cmocka_unit_test(a_master_forks_opens_and_replaces_itself),
		cmocka_unit_test(replacing_the_binary_often_does_not_pile_up_filters),
		cmocka_unit_test(a_master_that_is_root_keeps_what_it_takes_to_start_others),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
