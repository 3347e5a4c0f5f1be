/* Master's side of logging, with a real logger. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "proxyd/logs.h"
#include "shared/process.h"
#include "tests/unit/unit.h"

#define WAIT_MS 10000

static char folder[64], log_path[128], audit_path[128];
static struct proxyd_config config;
static struct loop *loop;
static struct loop_watch signals;
static struct loop_timer guard;
static struct logs *logs;
static int watched, deaths, forgotten;

static void
forget(void *arg)
{
	forgotten += (int)(intptr_t)arg; /* in the logger */
}

static void
on_signal(struct loop_watch *w, uint32_t events)
{
	int status;

	(void)events;
	while (process_signal_next(w->fd))
		;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0; deaths++)
		assert_true(logs_reaped(logs, pid, status) || status == 0);
	loop_stop(loop);
}
static void
on_guard(struct loop_timer *t)
{
	(void)t;
	fail_msg("nothing happened");
}

static int
setup(void **state)
{
	static const int caught[] = { SIGCHLD, 0 };

	(void)state;
	unit_folder_make(folder);
	snprintf(log_path, sizeof(log_path), "%s/log", folder);
	snprintf(audit_path, sizeof(audit_path), "%s/audit", folder);
	memset(&config, 0, sizeof(config));
	config.file = "proxyd.yaml";
	config.log.level = LOG_LEVEL_INFO;
	config.log.format = LOG_FORMAT_TEXT;
	config.log.file = log_path;
	config.log.line = 7;
	config.audit.line = 9;
	assert_true((watched = inotify_init1(IN_CLOEXEC)) >= 0);
	assert_true(inotify_add_watch(watched, folder, IN_MODIFY | IN_CREATE | IN_MOVE) >= 0);
	assert_non_null(loop = loop_new(&clock_system));
	signals = (struct loop_watch){ .on_event = on_signal };
	assert_int_equal(process_signals(caught, &signals.fd), OK);
	assert_int_equal(loop_add(loop, &signals, EPOLLIN), OK);
	guard = (struct loop_timer){ .on_due = on_guard };
	logs = NULL;
	deaths = 0;
	return 0;
}

static int
teardown(void **state)
{
	char command[160];

	(void)state;
	logs_free(logs);
	log_setup("t", 2, LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT);
	loop_timer_clear(loop, &guard);
	loop_remove(loop, &signals);
	close(signals.fd);
	loop_free(loop);
	close(watched);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

static void
open_logs(void)
{
	struct config_error e = { "" };
	struct log_files files;

	assert_int_equal(log_files_open(&config, &files, &e), OK);
	if (logs)
		logs_use(logs, &files);
	else
		assert_non_null(logs = logs_new(loop, &clock_system, &files, NULL, forget, (void *)1));
}

/* Until the file holds this. */
static void
expect(const char *path, const char *part)
{
	static char text[65536];

	for (;;) {
		FILE *f = fopen(path, "r");
		size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
		text[n] = '\0';
		if (f)
			fclose(f);
		struct pollfd p = { .fd = watched, .events = POLLIN };
		char events[4096];
		if (strstr(text, part))
			return;
		if (poll(&p, 1, WAIT_MS) != 1 || read(watched, events, sizeof(events)) <= 0)
			fail_msg("%s holds \"%s\", wanted \"%s\"", path, text, part);
	}
}

/* A child that says one thing in each of its streams, and ends. */
static pid_t
fork_child(bool audit, const char *text, struct log_ends *keep)
{
	struct log_ends ends;

	assert_int_equal(logs_pipe(logs, audit, &ends), OK);
	assert_int_equal(ends.fds[LOG_STREAM_AUDIT] >= 0, audit);
	if (keep)
		for (int i = 0; i < LOG_STREAMS; i++)
			keep->fds[i] = ends.fds[i] < 0 ? -1 : fcntl(ends.fds[i], F_DUPFD_CLOEXEC, 3);
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 0; i < LOG_STREAMS; i++)
			if (ends.fds[i] >= 0 && dprintf(ends.fds[i], "%s\n", text) < 0)
				_exit(1);
		_exit(0);
	}
	assert_true(pid > 0);
	logs_piped(logs, &ends, pid);
	assert_int_equal(ends.fds[0], -1);
	return pid;
}
static void
run_until_deaths(int n)
{
	assert_int_equal(loop_timer_set(loop, &guard, WAIT_MS), OK);
	while (deaths < n)
		assert_int_equal(loop_run(loop), OK);
	loop_timer_clear(loop, &guard);
}

static void
masters_lines_and_its_childrens_end_up_in_their_files(void **state)
{
	(void)state;
	config.audit.file = audit_path;
	open_logs();
	log_info("of master");
	fork_child(true, "of a child", NULL);
	expect(log_path, "msg=\"of master\"");
	expect(log_path, "of a child\n");
	expect(audit_path, "of a child\n");
	run_until_deaths(1);
	fork_child(false, "of another", NULL);
	run_until_deaths(2);
	expect(log_path, "of another\n");
}

static void
a_logger_that_is_killed_is_replaced_and_no_line_is_lost(void **state)
{
	struct log_ends writer;

	(void)state;
	open_logs();
	fork_child(false, "before", &writer); /* the test goes on as the child */
	run_until_deaths(1);
	expect(log_path, "before\n");
	/* Its pid is in the log. */
	char text[65536], *at;
	FILE *f = fopen(log_path, "r");
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	assert_non_null(at = strstr(text, "child=logger child_pid="));
	struct log_ends other;
	pid_t sleeper;
	assert_int_equal(logs_pipe(logs, false, &other), OK);
	if ((sleeper = fork()) == 0) {
		pause();
		_exit(0);
	}
	int mine = fcntl(other.fds[0], F_DUPFD_CLOEXEC, 3);
	logs_piped(logs, &other, sleeper);
	kill((pid_t)strtol(at + 23, NULL, 10), SIGSTOP);
	dprintf(mine, "while nobody reads\n");
	log_info("neither does master");
	kill((pid_t)strtol(at + 23, NULL, 10), SIGKILL);
	run_until_deaths(2);
	expect(log_path, "while nobody reads\n");
	expect(log_path, "neither does master");
	expect(log_path, "\"logger was ended by signal 9 (SIGKILL)\" restart_in_ms=0");
	dprintf(mine, "and now\n");
	expect(log_path, "and now\n");
	close(mine);
	close(writer.fds[0]);
	kill(sleeper, SIGKILL);
	waitpid(sleeper, NULL, 0);
}

static void
files_are_opened_again_by_name_and_one_that_cannot_be_stays(void **state)
{
	char renamed[160], blocked[300];

	(void)state;
	config.audit.file = audit_path;
	open_logs();
	log_info("first");
	expect(log_path, "first");
	snprintf(renamed, sizeof(renamed), "%s.1", log_path);
	assert_int_equal(rename(log_path, renamed), 0);
	log_info("into the renamed one");
	expect(renamed, "into the renamed one");
	snprintf(blocked, sizeof(blocked), "rm %s && mkdir %s", audit_path, audit_path);
	assert_int_equal(system(blocked), 0);
	logs_reopen(logs);
	expect(log_path, "log file opened"); /* what was under way before may stand in either */
	logs_reopen(logs);
	expect(log_path, "log file cannot be opened again, the old one stays");
	log_info("second");
	expect(log_path, "second");
}

static void
another_configuration_means_other_files(void **state)
{
	char other[160];

	(void)state;
	open_logs();
	log_info("first");
	expect(log_path, "first");
	snprintf(other, sizeof(other), "%s/other", folder);
	config.log.file = other;
	config.log.format = LOG_FORMAT_JSON;
	config.audit.file = audit_path;
	open_logs();
	expect(other, "\"msg\":\"log file opened\",\"program\":\"proxyd-logger\"");
	log_info("second");
	expect(other, "\"msg\":\"second\"");
	fork_child(true, "an event", NULL);
	expect(audit_path, "an event\n");
	run_until_deaths(1);
}

static void
without_a_file_standard_error_is_used_and_there_is_nothing_to_open_again(void **state)
{
	char text[4096];
	size_t n = 0;
	int ends[2], old = fcntl(2, F_DUPFD_CLOEXEC, 3);

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	dup2(ends[1], 2);
	config.log.file = NULL;
	open_logs();
	log_info("to standard error");
	logs_reopen(logs);
	logs_free(logs);
	logs = NULL;
	log_info("at the end");
	dup2(old, 2);
	close(old);
	close(ends[1]);
	for (ssize_t got; (got = read(ends[0], text + n, sizeof(text) - 1 - n)) > 0;)
		n += (size_t)got;
	text[n] = '\0';
	close(ends[0]);
	assert_non_null(strstr(text, "\"to standard error\""));
	assert_non_null(strstr(text, "no log file to open again"));
	assert_true(strstr(text, "\"at the end\"") > strstr(text, "no log file to open again"));
}

static void
a_file_that_cannot_be_opened_is_named_with_its_line(void **state)
{
	struct config_error e = { "" };
	struct log_files files = { .fds = { 77, 78 } };
	char bad[160], want[400];
	int before = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	snprintf(bad, sizeof(bad), "%s/none/audit", folder);
	config.audit.file = bad;
	assert_int_equal(log_files_open(&config, &files, &e), E_SYSTEM);
	snprintf(want, sizeof(want), "proxyd.yaml:9: audit.file: %s cannot be opened: No such file or directory", bad);
	assert_string_equal(e.text, want);
	assert_int_equal(files.fds[0], 77); /* untouched */
	close(before);
	assert_int_equal(open("/dev/null", O_RDONLY | O_CLOEXEC), before); /* nothing was left open */
	close(before);
	/* A pipe that nobody reads would stop us; it is refused instead. */
	assert_int_equal(unlink(log_path), 0);
	assert_int_equal(mkfifo(log_path, 0600), 0);
	config.audit.file = NULL;
	e.text[0] = '\0';
	assert_int_equal(log_files_open(&config, &files, &e), E_SYSTEM);
	assert_non_null(strstr(e.text, "proxyd.yaml:7: log.file: "));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(masters_lines_and_its_childrens_end_up_in_their_files),
		T(a_logger_that_is_killed_is_replaced_and_no_line_is_lost),
		T(files_are_opened_again_by_name_and_one_that_cannot_be_stays),
		T(another_configuration_means_other_files),
		T(without_a_file_standard_error_is_used_and_there_is_nothing_to_open_again),
		T(a_file_that_cannot_be_opened_is_named_with_its_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
