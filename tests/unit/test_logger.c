/* The logger as a process of its own, with master and everybody who logs played by the test. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "proxyd/control.h"
#include "proxyd/logger.h"
#include "tests/unit/unit.h"

#define WAIT_MS 10000

static char folder[64], path[2][128];
static struct logger_start start;
static int control = -1, watched;
static pid_t logger;
static rlim_t file_limit;

static int
setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	unit_folder_make(folder);
	assert_true((watched = inotify_init1(IN_CLOEXEC)) >= 0);
	assert_true(inotify_add_watch(watched, folder, IN_MODIFY | IN_CREATE | IN_MOVE) >= 0);
	for (int i = 0; i < 2; i++)
		snprintf(path[i], sizeof(path[i]), "%s/%d", folder, i);
	start = (struct logger_start){ .output_fds = { -1, -1 }, .clock = &clock_system };
	file_limit = RLIM_INFINITY;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	if (logger > 0) {
		kill(logger, SIGKILL);
		waitpid(logger, NULL, 0);
	}
	logger = 0;
	if (control >= 0)
		close(control);
	control = -1;
	close(watched);
	for (int i = 0; i < 2; i++)
		unlink(path[i]);
	rmdir(folder);
	return 0;
}

static int
open_file(int i)
{
	int fd = open(path[i], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

static void
run_logger(void)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	logger = fork();
	assert_true(logger >= 0);
	if (logger == 0) {
		int null = open("/dev/null", O_WRONLY);
		if (file_limit != RLIM_INFINITY)
			setrlimit(RLIMIT_FSIZE, &(struct rlimit){ file_limit, RLIM_INFINITY });
		/* Only what it would have: an end of a pipe that is open here would keep it from ending. */
		for (int fd = 3; fd < 256; fd++) {
			bool keep = fd == ends[1] || fd == null || fd == start.output_fds[0] || fd == start.output_fds[1];
			for (size_t i = 0; i < start.source_n; i++)
				keep |= fd == start.sources[i].fd;
			if (!keep)
				close(fd);
		}
		dup2(null, 2); /* its complaints */
		log_setup("l", 2, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
		start.control_fd = ends[1];
		_exit(logger_run(&start));
	}
	close(ends[1]);
	control = ends[0];
}

/* A pipe into it, made known by a message. */
static int
new_source(enum log_stream stream)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(control_send(control, CONTROL_LOG_SOURCE, (uint32_t)stream, NULL, ends[0]), OK);
	close(ends[0]);
	return ends[1];
}
static void
set_output(enum log_stream stream, int fd, const char *name)
{
	assert_int_equal(control_send(control, CONTROL_LOG_OUTPUT, (uint32_t)stream, name, fd), OK);
	if (fd >= 0)
		close(fd);
}
static void
say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* What the file holds, whenever it holds at least so much. */
static const char *
text_of(const char *file, size_t n_min)
{
	static char text[1 << 20];
	size_t n = 0;

	for (;;) {
		FILE *f = fopen(file, "r");
		n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
		if (f)
			fclose(f);
		struct pollfd p = { .fd = watched, .events = POLLIN };
		char events[4096];
		if (n >= n_min || poll(&p, 1, WAIT_MS) != 1 || read(watched, events, sizeof(events)) <= 0)
			break;
	}
	text[n] = '\0';
	return text;
}
static void
expect_file(int i, const char *want)
{
	const char *got = text_of(path[i], strlen(want));

	if (strcmp(got, want) != 0)
		fail_msg("the file holds \"%s\", wanted \"%s\"", got, want);
}

/* Its exit status, once master's end is closed. */
static int
end(void)
{
	int status;

	close(control);
	control = -1;
	assert_int_equal(waitpid(logger, &status, 0), logger);
	logger = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
whole_lines_of_everybody_end_up_in_the_file_of_their_stream(void **state)
{
	(void)state;
	start.output_fds[LOG_STREAM_LOG] = open_file(0);
	start.output_fds[LOG_STREAM_AUDIT] = open_file(1);
	run_logger();
	close(start.output_fds[0]);
	close(start.output_fds[1]);
	int a = new_source(LOG_STREAM_LOG), b = new_source(LOG_STREAM_LOG), events = new_source(LOG_STREAM_AUDIT);
	say(a, "a be");
	say(b, "b whole\nb beg");
	expect_file(0, "b whole\n");
	say(events, "{}\n");
	expect_file(1, "{}\n");
	say(a, "gins and ends\na more\n");
	expect_file(0, "b whole\na begins and ends\na more\n");
	close(a);
	close(b); /* died in the middle of a line */
	close(events);
	assert_int_equal(end(), 0);
	expect_file(0, "b whole\na begins and ends\na more\n");
}

static void
pipes_that_exist_already_are_read_to_their_ends_when_master_is_gone(void **state)
{
	struct logger_source sources[2];
	int ends[2][2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe2(ends[i], O_CLOEXEC), 0);
		sources[i] = (struct logger_source){ (enum log_stream)i, ends[i][0] };
	}
	start.sources = sources;
	start.source_n = 2;
	start.output_fds[LOG_STREAM_LOG] = open_file(0);
	say(ends[0][1], "before\n");
	run_logger();
	close(start.output_fds[0]);
	close(ends[0][0]);
	close(ends[1][0]);
	say(ends[1][1], "an event that nobody wants\n");
	close(control);
	control = -1;
	expect_file(0, "before\n");
	say(ends[0][1], "after\n"); /* a worker that has not heard of it yet */
	expect_file(0, "before\nafter\n");
	close(ends[0][1]);
	close(ends[1][1]);
	assert_int_equal(waitpid(logger, NULL, 0), logger);
	logger = 0;
}

static void
a_stream_without_a_file_waits_for_one(void **state)
{
	(void)state;
	start.output_fds[LOG_STREAM_LOG] = open_file(0);
	run_logger();
	close(start.output_fds[0]);
	int events = new_source(LOG_STREAM_AUDIT);
	say(events, "first\n");
	say(events, "second\n");
	set_output(LOG_STREAM_AUDIT, open_file(1), "");
	expect_file(1, "first\nsecond\n");
	/* Switched off: what still comes is passed over. */
	set_output(LOG_STREAM_AUDIT, -1, "");
	set_output(LOG_STREAM_LOG, open_file(0), "heard"); /* and with it what came before */
	assert_non_null(strstr(text_of(path[0], 10), "log file opened"));
	say(events, "third\n");
	close(events);
	assert_int_equal(end(), 0);
	expect_file(1, "first\nsecond\n");
}

static void
a_replaced_file_gets_everything_from_then_on_and_says_so_in_the_log(void **state)
{
	char renamed[160], want[400];

	(void)state;
	start.output_fds[LOG_STREAM_LOG] = open_file(0);
	run_logger();
	close(start.output_fds[0]);
	int a = new_source(LOG_STREAM_LOG);
	say(a, "old\n");
	expect_file(0, "old\n");
	snprintf(renamed, sizeof(renamed), "%s.1", path[0]);
	assert_int_equal(rename(path[0], renamed), 0);
	say(a, "still old\n");
	assert_string_equal(text_of(renamed, 14), "old\nstill old\n");
	set_output(LOG_STREAM_LOG, open_file(0), path[0]);
	snprintf(want, sizeof(want), "msg=\"log file opened\" stream=log file=%s\n", path[0]);
	assert_non_null(strstr(text_of(path[0], strlen(want)), want));
	say(a, "new\n");
	close(a);
	assert_int_equal(end(), 0);
	assert_non_null(strstr(text_of(path[0], 1), "\nnew\n"));
	assert_string_equal(text_of(renamed, 14), "old\nstill old\n");
	unlink(renamed);
}

static void
a_file_at_its_limit_loses_nothing_once_it_is_replaced(void **state)
{
	char renamed[160];
	int n = 0;

	(void)state;
	file_limit = 10;
	start.output_fds[LOG_STREAM_LOG] = open_file(0);
	run_logger();
	close(start.output_fds[0]);
	int a = new_source(LOG_STREAM_LOG);
	say(a, "line 1\nline 2\nline 3\n");
	assert_string_equal(text_of(path[0], 10), "line 1\nlin");
	snprintf(renamed, sizeof(renamed), "%s.1", path[0]);
	assert_int_equal(rename(path[0], renamed), 0);
	/* A pipe has no limit. The line that was cut comes whole. */
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	set_output(LOG_STREAM_LOG, ends[1], "");
	say(a, "line 4\n");
	close(a);
	assert_int_equal(end(), 0);
	char text[200];
	for (ssize_t got; (got = read(ends[0], text + n, sizeof(text) - 1 - (size_t)n)) > 0;)
		n += (int)got;
	text[n] = '\0';
	assert_string_equal(text, "line 2\nline 3\nline 4\n");
	close(ends[0]);
	unlink(renamed);
}

static void
a_file_that_can_be_written_again_gets_what_waited(void **state)
{
	char got[8192], lines[3000];
	int ends[2], n = 0;

	(void)state;
	/* A pipe that nobody empties stands for a disk that is full for a while. */
	assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
	start.output_fds[LOG_STREAM_AUDIT] = ends[1];
	start.output_fds[LOG_STREAM_LOG] = open_file(0);
	run_logger();
	close(ends[1]);
	close(start.output_fds[0]);
	int events = new_source(LOG_STREAM_AUDIT), a = new_source(LOG_STREAM_LOG);
	memset(lines, 'x', sizeof(lines));
	lines[sizeof(lines) - 1] = '\n';
	for (int i = 0; i < 2; i++)
		assert_int_equal(write(events, lines, sizeof(lines)), sizeof(lines));
	say(a, "meanwhile\n");
	expect_file(0, "meanwhile\n"); /* the other stream goes on */
	struct pollfd p = { .fd = ends[0], .events = POLLIN };
	while (n < (int)(2 * sizeof(lines)) && poll(&p, 1, WAIT_MS) == 1)
		n += (int)read(ends[0], got + n, sizeof(got) - (size_t)n);
	assert_int_equal(n, 2 * sizeof(lines));
	assert_memory_equal(got, lines, sizeof(lines));
	assert_memory_equal(got + sizeof(lines), lines, sizeof(lines));
	text_of(path[0], 60);
	assert_non_null(strstr(text_of(path[0], 60), "a log file can be written again"));
	close(events);
	close(a);
	assert_int_equal(end(), 0);
	close(ends[0]);
}

static void
a_disk_that_stays_full_does_not_keep_it_from_ending(void **state)
{
	(void)state;
	file_limit = 4;
	start.output_fds[LOG_STREAM_LOG] = open_file(0);
	run_logger();
	close(start.output_fds[0]);
	int a = new_source(LOG_STREAM_LOG);
	say(a, "line 1\n");
	assert_string_equal(text_of(path[0], 4), "line");
	say(a, "line 2\n");
	close(a);
	assert_int_equal(end(), 0);
	assert_string_equal(text_of(path[0], 4), "line");
}

static void
an_endless_line_is_passed_over(void **state)
{
	static char part[65536];

	(void)state;
	start.output_fds[LOG_STREAM_LOG] = open_file(0);
	run_logger();
	close(start.output_fds[0]);
	int a = new_source(LOG_STREAM_LOG);
	memset(part, 'x', sizeof(part));
	for (size_t n = 0; n <= LOGGER_LINE_BYTES_MAX; n += sizeof(part))
		assert_int_equal(write(a, part, sizeof(part)), sizeof(part));
	say(a, "its end\nnext\n");
	expect_file(0, "next\n");
	close(a);
	assert_int_equal(end(), 0);
}

static void
a_reader_that_has_gone_is_not_waited_for(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	start.output_fds[LOG_STREAM_LOG] = ends[1];
	run_logger();
	close(ends[0]);
	close(ends[1]);
	int a = new_source(LOG_STREAM_LOG);
	say(a, "to nobody\n");
	close(a);
	assert_int_equal(end(), 0);
}

static void
messages_that_are_none_of_its_business_change_nothing(void **state)
{
	(void)state;
	start.output_fds[LOG_STREAM_LOG] = open_file(0);
	run_logger();
	close(start.output_fds[0]);
	int other = open_file(1);
	assert_int_equal(control_send(control, CONTROL_KEYCACHE, 0, NULL, other), OK);
	assert_int_equal(control_send(control, CONTROL_LOG_SOURCE, LOG_STREAMS, NULL, other), OK);
	assert_int_equal(control_send(control, CONTROL_LOG_OUTPUT, LOG_STREAMS, NULL, other), OK);
	assert_int_equal(control_send(control, CONTROL_LOG_SOURCE, LOG_STREAM_LOG, NULL, -1), OK);
	close(other);
	/* Its own lines look as master wants them from here on. */
	assert_int_equal(control_send(control, CONTROL_LOG_STYLE, CONTROL_STYLE(LOG_LEVEL_INFO, LOG_FORMAT_JSON), NULL, -1), OK);
	set_output(LOG_STREAM_AUDIT, open_file(1), "x");
	assert_non_null(strstr(text_of(path[0], 50), "\"msg\":\"log file opened\""));
	assert_int_equal(end(), 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(whole_lines_of_everybody_end_up_in_the_file_of_their_stream),
		T(pipes_that_exist_already_are_read_to_their_ends_when_master_is_gone),
		T(a_stream_without_a_file_waits_for_one),
		T(a_replaced_file_gets_everything_from_then_on_and_says_so_in_the_log),
		T(a_file_at_its_limit_loses_nothing_once_it_is_replaced),
		T(a_file_that_can_be_written_again_gets_what_waited),
		T(a_disk_that_stays_full_does_not_keep_it_from_ending),
		T(an_endless_line_is_passed_over),
		T(a_reader_that_has_gone_is_not_waited_for),
		T(messages_that_are_none_of_its_business_change_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
