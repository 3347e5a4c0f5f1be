#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "tests/unit/unit.h"
#include "shared/log.h"
#include "shared/process.h"

/* What changes a process for good is tried in a child, which tells the first line that did not hold. */
#define HOLDS(condition)                                                                                          \
	do {                                                                                                      \
		if (!(condition)) {                                                                               \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerror(errno));     \
			_exit(1);                                                                                 \
		}                                                                                                 \
	} while (0)

static int
run_in_child(void (*body)(void))
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void
wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	HOLDS(poll(&p, 1, 10000) == 1);
}

static void
signals_child(void)
{
	const int list[] = { SIGHUP, SIGTERM, SIGCHLD, 0 };
	int fd;

	signal(SIGCHLD, SIG_IGN);
	HOLDS(process_signals(list, &fd) == OK);
	HOLDS(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	HOLDS(process_signal_next(fd) == 0);
	raise(SIGHUP);
	HOLDS(process_signal_next(fd) == SIGHUP);
	HOLDS(process_signal_next(fd) == 0);
	raise(SIGPIPE);
	HOLDS(process_signal_next(fd) == 0);
	pid_t child = fork();
	if (child == 0)
		_exit(7);
	wait_readable(fd);
	HOLDS(process_signal_next(fd) == SIGCHLD);
	int status;
	HOLDS(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
	raise(SIGTERM);
	process_signals_unblock();
	_exit(1);
}

static void
signals_wait_in_the_descriptor_until_unblocked(void **state)
{
	(void)state;
	int status = run_in_child(signals_child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTERM);
	int fd;
	assert_int_equal(process_signals((const int[]){ 9999, 0 }, &fd), E_SYSTEM);
}

static void
harden_child(void)
{
	struct rlimit core;

	HOLDS(process_harden() == OK);
	HOLDS(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
	HOLDS(prctl(PR_GET_DUMPABLE) == 0);
	HOLDS(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
}

static void
a_hardened_process_dumps_and_gains_nothing(void **state)
{
	(void)state;
	assert_int_equal(run_in_child(harden_child), 0);
}

/* A line of /proc/self/status. */
static uint64_t
status_hex(const char *name)
{
	char line[256];
	unsigned long v = ~0ul;
	FILE *f = fopen("/proc/self/status", "r");

	HOLDS(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, name, strlen(name)) == 0)
			v = strtoul(line + strlen(name) + 1, NULL, 16);
	fclose(f);
	return v;
}

static void
drop_child(void)
{
	struct passwd *nobody = getpwnam("nobody");
	int root = geteuid() == 0;

	HOLDS(nobody);
	enum err e = process_drop("nobody");
	if (!root) {
		HOLDS(e == E_DENIED);
		return;
	}
	HOLDS(e == OK);
	uid_t r, u, s;
	gid_t rg, g, sg;
	HOLDS(getresuid(&r, &u, &s) == 0 && r == nobody->pw_uid && u == r && s == r);
	HOLDS(getresgid(&rg, &g, &sg) == 0 && rg == nobody->pw_gid && g == rg && sg == rg);
	HOLDS(getgroups(0, NULL) == 0);
	HOLDS(setuid(0) < 0);
	HOLDS(status_hex("CapPrm:") == 0 && status_hex("CapEff:") == 0 && status_hex("CapBnd:") == 0 && status_hex("CapAmb:") == 0);
	/* Already that user: nothing to do. */
	HOLDS(process_drop("nobody") == OK);
	HOLDS(process_drop("root") == E_DENIED);
	HOLDS(process_may_become("nobody") == OK && process_may_become("root") == E_DENIED);
}

static void
drop_capabilities_child(void)
{
	uid_t before = geteuid();

	HOLDS(process_drop(NULL) == OK);
	HOLDS(process_drop("") == OK);
	HOLDS(geteuid() == before);
	HOLDS(status_hex("CapPrm:") == 0 && status_hex("CapEff:") == 0 && status_hex("CapInh:") == 0);
	/* Root without capabilities cannot become somebody either. Not asked under the thread sanitizer: its own thread keeps its capabilities
	 * (capset is per thread), and glibc aborts when threads disagree about a setgroups. */
#ifndef __SANITIZE_THREAD__
	if (before == 0)
		HOLDS(process_drop("nobody") == E_SYSTEM);
#endif
}

static void
a_dropped_process_cannot_return(void **state)
{
	(void)state;
	assert_int_equal(run_in_child(drop_child), 0);
	assert_int_equal(run_in_child(drop_capabilities_child), 0);
}

static void
an_unknown_user_is_told(void **state)
{
	(void)state;
	assert_int_equal(process_drop("no-such-user-here"), E_EMPTY);
	assert_int_equal(process_may_become("no-such-user-here"), E_EMPTY);
}

static int told[2];

static void
orphan_child(void)
{
	int ready[2];
	char c;

	HOLDS(pipe(ready) == 0);
	pid_t parent = getpid(), child = fork();
	if (child == 0) {
		close(told[0]);
		HOLDS(process_die_with_parent(parent) == OK);
		HOLDS(process_die_with_parent(parent + 1) == E_CONFLICT);
		HOLDS(write(ready[1], "r", 1) == 1);
		for (;;)
			pause();
	}
	HOLDS(read(ready[0], &c, 1) == 1);
}

static void
a_child_dies_with_its_parent(void **state)
{
	char c;

	(void)state;
	assert_int_equal(pipe(told), 0);
	assert_int_equal(run_in_child(orphan_child), 0);
	close(told[1]);
	/* The grandchild holds the other end until it is gone. */
	assert_int_equal(read(told[0], &c, 1), 0);
	close(told[0]);
}

static void
command_line(char out[4096])
{
	int fd = open("/proc/self/cmdline", O_RDONLY);
	ssize_t n = read(fd, out, 4095);
	HOLDS(n >= 0);
	out[n] = '\0';
	close(fd);
}

static int main_argc;
static char **main_argv;

static void
title_child(void)
{
	char text[4096], before[4096], long_title[3000];

	setenv("GATEHOUSE_TITLE", "kept", 1);
	snprintf(before, sizeof(before), "%s", main_argv[0]);
	process_title_set("too early");
	process_title_init(main_argc, main_argv);
	process_title_init(main_argc, main_argv);
	process_title_set("proxyd: worker %d", 2);
	command_line(text);
	HOLDS(strcmp(text, "proxyd: worker 2") == 0);
	HOLDS(strcmp(main_argv[0], before) == 0);
	HOLDS(strcmp(getenv("GATEHOUSE_TITLE"), "kept") == 0);
	process_title_set("x");
	command_line(text);
	HOLDS(strcmp(text, "x") == 0);
	memset(long_title, 'l', sizeof(long_title) - 1);
	long_title[sizeof(long_title) - 1] = '\0';
	process_title_set("%s", long_title);
	command_line(text);
	HOLDS(text[0] == 'l' && strlen(text) < sizeof(long_title));
	HOLDS(strcmp(main_argv[0], before) == 0);
}

static void
a_title_is_seen_and_arguments_stay(void **state)
{
	(void)state;
	assert_int_equal(run_in_child(title_child), 0);
}

static void
nofile_child(void)
{
	struct rlimit limit;

	HOLDS(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 64;
	limit.rlim_max = limit.rlim_max < 512 ? limit.rlim_max : 512;
	HOLDS(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	HOLDS(process_raise_nofile() == limit.rlim_max);
	HOLDS(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == limit.rlim_max);
}

static void
the_soft_limit_of_files_is_raised(void **state)
{
	(void)state;
	assert_int_equal(run_in_child(nofile_child), 0);
}

static void
notify_to(const char *name, const struct sockaddr_un *at, socklen_t len)
{
	char got[64] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)at, len), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	process_notify("READY=1\nSTATUS=ok");
	assert_int_equal(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT), 17);
	assert_string_equal(got, "READY=1\nSTATUS=ok");
	close(fd);
}

static void
the_service_manager_is_notified(void **state)
{
	char folder[64], name[108];
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	(void)state;
	unit_folder_make(folder);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/notify", folder);
	snprintf(name, sizeof(name), "%s", at.sun_path);
	notify_to(name, &at, sizeof(at));
	unlink(name);
	rmdir(folder);

	int n = snprintf(name, sizeof(name), "@gatehouse-unit-%d", getpid());
	memset(&at.sun_path, 0, sizeof(at.sun_path));
	memcpy(at.sun_path + 1, name + 1, (size_t)n - 1);
	notify_to(name, &at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n));
}

static void
a_notification_that_cannot_be_sent_is_logged(void **state)
{
	char line[512], longest[200];
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	log_setup(NULL, ends[1], LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	unsetenv("NOTIFY_SOCKET");
	process_notify("READY=1");
	setenv("NOTIFY_SOCKET", "", 1);
	process_notify("READY=1");
	assert_int_equal(read(ends[0], line, sizeof(line)), -1);
	memset(longest, '/', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	const char *const bad[] = { "relative", "/nonexistent/notify", longest };
	for (size_t i = 0; i < 3; i++) {
		setenv("NOTIFY_SOCKET", bad[i], 1);
		process_notify("READY=1");
		assert_true(read(ends[0], line, sizeof(line)) > 0);
	}
	unsetenv("NOTIFY_SOCKET");
	log_setup(NULL, 2, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	close(ends[0]);
	close(ends[1]);
}

static void
the_watchdog_is_this_process_s(void **state)
{
	char pid[32];

	(void)state;
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	assert_int_equal(process_watchdog_us(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_int_equal(process_watchdog_us(), 30000000);
	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(process_watchdog_us(), 30000000);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(process_watchdog_us(), 0);
	setenv("WATCHDOG_PID", "x", 1);
	assert_int_equal(process_watchdog_us(), 0);
	unsetenv("WATCHDOG_PID");
	setenv("WATCHDOG_USEC", "soon", 1);
	assert_int_equal(process_watchdog_us(), 0);
	unsetenv("WATCHDOG_USEC");
}

static int pair[2];

static int
pair_open(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
}

static int
pair_close(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	return 0;
}

static void
a_message_may_carry_a_descriptor(void **state)
{
	char text[16];
	size_t n;
	int fd, file = open("/proc/self/exe", O_RDONLY);
	struct stat a, b;

	(void)state;
	assert_int_equal(process_recv_fd(pair[1], text, sizeof(text), &n, &fd), E_AGAIN);
	assert_int_equal(process_send_fd(pair[0], "hello", 5, file), OK);
	assert_int_equal(process_send_fd(pair[0], "none", 4, -1), OK);
	assert_int_equal(process_recv_fd(pair[1], text, sizeof(text), &n, &fd), OK);
	assert_int_equal(n, 5);
	assert_memory_equal(text, "hello", 5);
	assert_true(fd >= 0 && fd != file);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fstat(file, &a), 0);
	assert_int_equal(fstat(fd, &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	close(fd);
	close(file);
	assert_int_equal(process_recv_fd(pair[1], text, sizeof(text), &n, &fd), OK);
	assert_int_equal(n, 4);
	assert_int_equal(fd, -1);
}

static int
open_descriptors(void)
{
	int n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
send_many(int sock, int fd, size_t count)
{
	int fds[8];
	char bytes[CMSG_SPACE(sizeof(fds))] __attribute__((aligned(8))) = { 0 };
	struct iovec part = { (char[]){ 'm' }, 1 };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = bytes, .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	for (size_t i = 0; i < count; i++)
		fds[i] = fd;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	assert_int_equal(sendmsg(sock, &m, 0), 1);
}

static void
what_is_too_much_is_refused_and_closed(void **state)
{
	char text[4];
	size_t n;
	int fd, before = open_descriptors();

	(void)state;
	for (size_t count = 2; count <= 8; count++) {
		send_many(pair[0], pair[0], count);
		assert_int_equal(process_recv_fd(pair[1], text, sizeof(text), &n, &fd), E_FORMAT);
		assert_int_equal(fd, -1);
	}
	assert_int_equal(process_send_fd(pair[0], "too long", 8, pair[0]), OK);
	assert_int_equal(process_recv_fd(pair[1], text, sizeof(text), &n, &fd), E_LIMIT);
	assert_int_equal(fd, -1);
	assert_int_equal(open_descriptors(), before);
}

static void
last_words_of_a_peer_that_left_something_unread_are_heard(void **state)
{
	char text[16];
	size_t n;
	int fd;

	(void)state;
	assert_int_equal(process_send_fd(pair[1], "unread", 6, -1), OK);
	assert_int_equal(process_send_fd(pair[0], "last", 4, -1), OK);
	close(pair[0]);
	pair[0] = -1;
	assert_int_equal(process_recv_fd(pair[1], text, sizeof(text), &n, &fd), OK);
	assert_memory_equal(text, "last", 4);
	assert_int_equal(process_recv_fd(pair[1], text, sizeof(text), &n, &fd), E_EMPTY);
}

static void
a_peer_that_is_gone_is_told(void **state)
{
	char text[4];
	size_t n;
	int fd;

	(void)state;
	close(pair[0]);
	assert_int_equal(process_recv_fd(pair[1], text, sizeof(text), &n, &fd), E_EMPTY);
	assert_int_equal(process_send_fd(pair[1], "x", 1, -1), E_EMPTY);
	assert_int_equal(process_send_fd(-1, "x", 1, -1), E_SYSTEM);
	assert_int_equal(process_recv_fd(-1, text, 1, &n, &fd), E_SYSTEM);
	assert_int_equal(pair_open(NULL), 0);
	enum err e = OK;
	for (int i = 0; i < 100000 && e == OK; i++)
		e = process_send_fd(pair[0], "fill", 4, -1);
	assert_int_equal(e, E_AGAIN);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signals_wait_in_the_descriptor_until_unblocked),
		cmocka_unit_test(a_hardened_process_dumps_and_gains_nothing),
		cmocka_unit_test(a_dropped_process_cannot_return),
		cmocka_unit_test(an_unknown_user_is_told),
		cmocka_unit_test(a_child_dies_with_its_parent),
		cmocka_unit_test(a_title_is_seen_and_arguments_stay),
		cmocka_unit_test(the_soft_limit_of_files_is_raised),
		cmocka_unit_test(the_service_manager_is_notified),
		cmocka_unit_test(a_notification_that_cannot_be_sent_is_logged),
		cmocka_unit_test(the_watchdog_is_this_process_s),
		cmocka_unit_test_setup_teardown(a_message_may_carry_a_descriptor, pair_open, pair_close),
		cmocka_unit_test_setup_teardown(what_is_too_much_is_refused_and_closed, pair_open, pair_close),
		cmocka_unit_test_setup_teardown(a_peer_that_is_gone_is_told, pair_open, pair_close),
		cmocka_unit_test_setup_teardown(last_words_of_a_peer_that_left_something_unread_are_heard, pair_open, pair_close),
	};

	main_argc = argc;
	main_argv = argv;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
