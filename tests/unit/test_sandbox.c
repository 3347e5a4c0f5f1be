/* The sandbox itself, on kernels that have less than this one too, and what authd keeps. proxyd's processes: test_confine.c. */
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include "authd/confine.h"
#include "shared/address.h"
#include "shared/log.h"
#include "shared/process.h"
#include "tests/unit/sandbox_unit.h"

static char folder[64], config_file[96], certificate[96], store[96], sockets[96], outside[96];
static struct authd_config config;

static int
setup(void **state)
{
	static char url[] = "https://gateway.example.com/oidc";
	char other[96];

	(void)state;
	unit_folder_make(folder);
	snprintf(config_file, sizeof(config_file), "%s/etc/authd.yaml", folder);
	snprintf(certificate, sizeof(certificate), "%s/tls/tls.pem", folder);
	snprintf(store, sizeof(store), "%s/store", folder);
	snprintf(sockets, sizeof(sockets), "%s/run/authd.sock", folder);
	snprintf(outside, sizeof(outside), "%s/other/file", folder);
	static const char *const names[] = { "etc", "tls", "run", "other" };
	for (size_t i = 0; i < 4; i++) {
		snprintf(other, sizeof(other), "%s/%s", folder, names[i]);
		assert_int_equal(mkdir(other, 0700), 0);
	}
	unit_file_write(config_file, "x", 1);
	unit_file_write(certificate, "x", 1);
	unit_file_write(outside, "x", 1);
	config = (struct authd_config){ .file = config_file, .issuer = url };
	config.storage.path = store;
	config.web.tls_cert = config.web.tls_key = certificate;
	config.web.unix_path = sockets;
	return 0;
}
static int
teardown(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

/* ---- authd ---- */

static void
authd_files(void)
{
	char path[128], moved[128];
	struct sockaddr_un name = { .sun_family = AF_UNIX };

	HOLDS(process_harden() == OK && authd_confine_files(&config) == OK);
	/* read */
	HOLDS(open(config_file, O_RDONLY) >= 0 && open(certificate, O_RDONLY) >= 0 && open("/etc/hosts", O_RDONLY) >= 0);
	FAILS(open(outside, O_RDONLY), EACCES);
	FAILS(open("/", O_RDONLY | O_DIRECTORY), EACCES);
	FAILS(open(folder, O_RDONLY | O_DIRECTORY), EACCES);
	/* write */
	FAILS(open(config_file, O_WRONLY), EACCES);
	FAILS(truncate(certificate, 0), EACCES);
	FAILS(open(outside, O_WRONLY), EACCES);
	FAILS(unlink(outside), EACCES);
	snprintf(path, sizeof(path), "%s/data.mdb", store);
	snprintf(moved, sizeof(moved), "%s/moved.mdb", store);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	HOLDS(fd >= 0 && ftruncate(fd, 4096) == 0 && flock(fd, LOCK_EX) == 0 && pwrite(fd, "x", 1, 0) == 1 && fdatasync(fd) == 0);
	HOLDS(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
	HOLDS(rename(path, moved) == 0 && unlink(moved) == 0);
	FAILS(mknod(path, S_IFIFO | 0600, 0), EACCES);
	FAILS(symlink("x", path), EACCES);
	/* sockets */
	snprintf(name.sun_path, sizeof(name.sun_path), "%s", sockets);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	HOLDS(bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0 && chmod(sockets, 0660) == 0 && unlink(sockets) == 0);
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/other/sock", folder);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FAILS(bind(fd, (struct sockaddr *)&name, sizeof(name)), EACCES);
	FAILS(open(sockets, O_WRONLY | O_CREAT, 0600), EACCES); /* no file beside them */
}
static void
authd_reads_its_configuration_and_writes_its_store_alone(void **state)
{
	(void)state;
	skip_without_landlock(3);
	assert_child_lives(authd_files);
}

static void
authd_beside_a_socket_in_the_working_folder(void)
{
	HOLDS(chdir(folder) == 0);
	config.file = "authd.yaml";
	config.web.tls_cert = config.web.tls_key = NULL;
	config.web.unix_path = "/authd.sock";
	HOLDS(process_harden() == OK && authd_confine_files(&config) == OK);
	HOLDS(open("etc/authd.yaml", O_RDONLY) >= 0); /* below "." */
	HOLDS(open(config_file, O_RDONLY) >= 0);
	FAILS(open("/usr", O_RDONLY | O_DIRECTORY), EACCES); /* "/" is for sockets only */
}
static void
a_path_without_a_folder_means_the_working_one(void **state)
{
	(void)state;
	skip_without_landlock(1);
	assert_child_lives(authd_beside_a_socket_in_the_working_folder);
}

static atomic_int go, outcome;
static void *
open_when_told(void *arg)
{
	while (!atomic_load(&go))
		sched_yield();
	atomic_store(&outcome, syscall(SYS_fork) == -1 ? errno : -1);
	return arg;
}
static void *
nothing(void *arg)
{
	return arg;
}

static void
authd_calls(void)
{
	pthread_t before, after;
	int on = 1;

	HOLDS(process_harden() == OK && authd_confine_files(&config) == OK);
	HOLDS(pthread_create(&before, NULL, open_when_told, NULL) == 0);
	HOLDS(authd_confine_calls() == OK);
	atomic_store(&go, 1);
	HOLDS(pthread_join(before, NULL) == 0);
	HOLDS(atomic_load(&outcome) == EPERM); /* a thread that was there before */
	HOLDS(pthread_create(&after, NULL, nothing, NULL) == 0 && pthread_join(after, NULL) == 0);
	FAILS(fork(), EPERM);
	FAILS((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EPERM);
	/* a listener more, by HUP */
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	HOLDS(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0 && listen(fd, 1) == 0);
	FAILS(socket(AF_PACKET, SOCK_RAW, 0), ENOSYS);
	FAILS(kill(getppid(), 0), EPERM);
	/* the service manager */
	char path[128];
	snprintf(path, sizeof(path), "%s/run/notify", folder);
	setenv("NOTIFY_SOCKET", path, 1);
	process_notify("READY=1");
}
static void
authd_starts_threads_and_listeners_and_no_process(void **state)
{
	char text[64] = "";
	struct sockaddr_un name = { .sun_family = AF_UNIX };

	(void)state;
	skip_without_seccomp();
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/run/notify", folder);
	int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(manager, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_child_lives(authd_calls);
	assert_int_equal(read(manager, text, sizeof(text)), 7);
	assert_string_equal(text, "READY=1");
	close(manager);
}

static void
authd_executes(void)
{
	char *const arguments[] = { (char[]){ "true" }, NULL };

	HOLDS(process_harden() == OK && authd_confine_files(&config) == OK && authd_confine_calls() == OK);
	execv("/bin/true", arguments);
}
static void
authd_is_ended_when_it_executes_a_file(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_is_ended_by(authd_executes, SIGSYS);
}

static void
a_reload_that_is_denied_a_file_says_what_helps(void **state)
{
	(void)state;
	assert_non_null(strstr(authd_confine_hint("authd.yaml:3: web.tlsCert: cannot read /x: Permission denied"), "restarted"));
	assert_string_equal(authd_confine_hint("authd.yaml:3: web.tlsCert: cannot read /x: No such file or directory"), "");
}

/* ---- kernels that have less ---- */

/* As if the kernel did not have these two calls; -1: none. */
static void
take_calls(int first, int second, unsigned code)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	HOLDS(first < 0 || seccomp_rule_add(filter, SCMP_ACT_ERRNO(code), first, 0) == 0);
	HOLDS(second < 0 || seccomp_rule_add(filter, SCMP_ACT_ERRNO(code), second, 0) == 0);
	HOLDS(seccomp_load(filter) == 0);
	seccomp_release(filter);
}

static const char *
logged(void)
{
	static char line[4096];
	int ends[2];

	HOLDS(pipe2(ends, O_NONBLOCK) == 0);
	log_setup("test", ends[1], LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	sandbox_log_support();
	log_setup("test", 2, LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT);
	ssize_t n = read(ends[0], line, sizeof(line) - 1);
	HOLDS(n > 0);
	line[n] = '\0';
	return line;
}

static void
without_landlock(void)
{
	const struct sandbox s = { .needs = SANDBOX_READ };

	take_calls(444, -1, ENOSYS);
	HOLDS(strstr(logged(), "warn") && strstr(logged(), "landlock is not available") && strstr(logged(), "kernel="));
	HOLDS(sandbox_support().seccomp && sandbox_support().landlock == 0);
	HOLDS(sandbox_enter(&s) == OK);
	HOLDS(open(outside, O_RDONLY) >= 0);
	FAILS(open(outside, O_RDWR), EPERM); /* seccomp is there */
}
static void
without_seccomp(void)
{
	const struct sandbox_path path = { certificate, SANDBOX_MAY_READ };
	const struct sandbox s = { .needs = SANDBOX_READ, .paths = &path, .path_n = 1 };

	take_calls(SCMP_SYS(seccomp), -1, ENOSYS);
	HOLDS(strstr(logged(), "warn") && strstr(logged(), "seccomp is not available"));
	HOLDS(!sandbox_support().seccomp && sandbox_support().landlock);
	HOLDS(sandbox_enter(&s) == OK);
	HOLDS(open(certificate, O_RDONLY) >= 0);
	FAILS(open(outside, O_RDONLY), EACCES);
	HOLDS(fork() >= 0);
}
static void
without_either(void)
{
	const struct sandbox s = { .needs = SANDBOX_READ };

	take_calls(SCMP_SYS(seccomp), 444, EPERM);
	HOLDS(strstr(logged(), "warn") && strstr(logged(), "neither seccomp nor landlock"));
	HOLDS(sandbox_enter(&s) == OK);
	HOLDS(open(outside, O_RDWR) >= 0);
}
/* Else every test that is skipped without a sandbox would be, for a mistake of sandbox_support()'s. */
static void
filter_taken(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	const struct sock_fprog all = { 1, &allow };

	HOLDS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) == 0);
}
static void
what_is_found_is_what_the_kernel_takes(void **state)
{
	(void)state;
	if (sandbox_lack() && strstr(sandbox_lack(), "sanitizer"))
		skip();
	assert_int_equal(sandbox_support().seccomp, run_in_child(filter_taken) == 0);
	assert_int_equal(sandbox_support().landlock > 0, syscall(444, NULL, 0, 1) > 0); /* landlock_create_ruleset, for its version */
}

static void
what_the_kernel_lacks_is_said_and_the_rest_is_used(void **state)
{
	(void)state;
	skip_without_seccomp();
	skip_without_landlock(1);
	assert_child_lives(without_landlock);
	assert_child_lives(without_seccomp);
	assert_child_lives(without_either);
}

static void
with_both(void)
{
	HOLDS(strstr(logged(), " info ") && strstr(logged(), "seccomp=true landlock="));
}
static void
what_is_used_is_said(void **state)
{
	(void)state;
	skip_without_seccomp();
	skip_without_landlock(1);
	assert_child_lives(with_both);
}

static void
refusals_said(void)
{
	const struct sandbox s = { .needs = 0 };
	char text[4096];
	int ends[2];

	HOLDS(pipe2(ends, O_NONBLOCK) == 0);
	log_setup("test", ends[1], LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
	HOLDS(sandbox_enter(&s) == OK);
	FAILS(syscall(SCMP_SYS(getpriority), 0, 0), ENOSYS);
	FAILS(syscall(SCMP_SYS(getpriority), 0, 0), ENOSYS);
	FAILS(open("/dev/null", O_RDONLY), EPERM);
	ssize_t n = read(ends[0], text, sizeof(text) - 1);
	HOLDS(n > 0);
	text[n] = '\0';
	char *first = strstr(text, "call=getpriority"), *second = strstr(text, "call=openat number=");
	HOLDS(first && second && strstr(text, "test[") && strstr(second, "error=\"Operation not permitted\""));
	HOLDS(strstr(first + 1, "call=getpriority") == NULL);
	/* what no C library of today knows is tried by that of tomorrow */
	FAILS(syscall(500), ENOSYS);
	HOLDS(read(ends[0], text, sizeof(text)) == -1 && errno == EAGAIN);
}
static void
what_is_refused_is_said_once_by_its_name(void **state)
{
	(void)state;
	skip_without_seccomp();
	assert_child_lives(refusals_said);
}

static void
landlock_that_fails(void)
{
	const struct sandbox s = { .needs = SANDBOX_READ };

	take_calls(446, -1, ENOMEM);
	HOLDS(sandbox_enter(&s) == E_SYSTEM && errno == ENOMEM);
}
static void
what_the_kernel_has_and_refuses_is_an_error(void **state)
{
	(void)state;
	skip_without_seccomp();
	skip_without_landlock(1);
	assert_child_lives(landlock_that_fails);
}

static void
entered_without_threads(void)
{
	const struct sandbox_path paths[] = { { "/nonexistent/x", SANDBOX_MAY_WRITE }, { config_file, SANDBOX_MAY_READ }, { certificate, SANDBOX_MAY_READ } };
	const struct sandbox s = { .needs = SANDBOX_READ, .paths = paths, .path_n = 2 };

	HOLDS(sandbox_enter(&s) == OK);
	HOLDS(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == -1 && errno == ENOSYS);
	HOLDS(open(config_file, O_RDONLY) >= 0);
	FAILS(open(certificate, O_RDONLY), EACCES);
}
static void
paths_that_are_not_there_are_passed_over(void **state)
{
	(void)state;
	skip_without_seccomp();
	skip_without_landlock(1);
	assert_child_lives(entered_without_threads);
}

/* ---- the name service ---- */

static void
names_replaced(void)
{
	const struct sandbox s = { .needs = SANDBOX_NAMES };
	int told[2], said[2], status;
	char byte;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		_exit(77);
	HOLDS(pipe(told) == 0 && pipe(said) == 0);
	pid_t child = fork();
	if (child == 0) {
		close(told[1]); /* so that it ends with its parent, however that ends */
		HOLDS(sandbox_enter(&s) == OK);
		HOLDS(sandbox_names_closed() == 0);
		HOLDS(write(said[1], "x", 1) == 1 && read(told[0], &byte, 1) == 1);
		uint64_t closed = sandbox_names_closed();
		HOLDS(closed != 0 && (closed & (closed - 1)) == 0);
		_exit(0);
	}
	HOLDS(read(said[0], &byte, 1) == 1);
	HOLDS(mount(outside, "/etc/hosts", NULL, MS_BIND, NULL) == 0);
	HOLDS(write(told[1], "x", 1) == 1);
	HOLDS(waitpid(child, &status, 0) == child && status == 0);
}
static void
a_file_of_the_name_service_that_was_replaced_shows(void **state)
{
	(void)state;
	skip_without_seccomp();
	skip_without_landlock(1);
	int status = run_in_child(names_replaced);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void
names_of_every_module(void)
{
	static const char text[] = "# hosts: nothing\npasswd: files\nhosts:\tfiles [!UNAVAIL=return] ../../tmp/x mdns4_minimal [ NOTFOUND = return ] dns\tgatehouse_none\n";
	const struct sandbox s = { .needs = SANDBOX_NAMES | SANDBOX_READ };
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		_exit(77);
	unit_file_write(outside, text, sizeof(text) - 1);
	HOLDS(mount(outside, "/etc/nsswitch.conf", NULL, MS_BIND, NULL) == 0);
	HOLDS(sandbox_enter(&s) == OK);
	HOLDS(getaddrinfo("localhost", "1", &hints, &found) == 0);
	freeaddrinfo(found);
	HOLDS(getaddrinfo("nowhere.invalid", "1", &hints, &found) != 0);
}
static void
modules_of_the_name_service_are_loaded_before(void **state)
{
	(void)state;
	skip_without_seccomp();
	int status = run_in_child(names_of_every_module);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

int
main(void)
{
	log_set_level(LOG_LEVEL_ERROR + 1);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(authd_reads_its_configuration_and_writes_its_store_alone),
		T(a_path_without_a_folder_means_the_working_one),
		T(authd_starts_threads_and_listeners_and_no_process),
		T(authd_is_ended_when_it_executes_a_file),
		T(a_reload_that_is_denied_a_file_says_what_helps),
		T(what_is_found_is_what_the_kernel_takes),
		T(what_the_kernel_lacks_is_said_and_the_rest_is_used),
		T(what_is_used_is_said),
		T(what_is_refused_is_said_once_by_its_name),
		T(what_the_kernel_has_and_refuses_is_an_error),
		T(paths_that_are_not_there_are_passed_over),
		T(a_file_of_the_name_service_that_was_replaced_shows),
		T(modules_of_the_name_service_are_loaded_before),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
