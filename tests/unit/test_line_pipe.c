#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include "proxyd/line_pipe.h"
#include "shared/log.h"
#include "tests/unit/unit.h"

/* What the next batch of events does; the loop stops when nothing is left to wait for. */
struct stage {
	struct loop *loop;
	struct line_pipe pipe;
	struct loop_timer step;
	void (*steps[8])(struct stage *s);
	size_t at;
	int ends[2];
	struct slice said; /* what this process logged */
	char said_text[4096];
};

static struct stage stage;

static void
take_said(void *arg, enum log_level level, struct slice line)
{
	struct stage *s = arg;

	(void)level;
	assert_true(s->said.n + line.n < sizeof(s->said_text));
	memcpy(s->said_text + s->said.n, line.p, line.n);
	s->said = slice_of(s->said_text, s->said.n + line.n);
}

static void
on_step(struct loop_timer *t)
{
	struct stage *s = (struct stage *)((char *)t - offsetof(struct stage, step));
	void (*step)(struct stage *s) = s->steps[s->at++];

	if (!step) {
		loop_stop(s->loop);
		return;
	}
	step(s);
	assert_int_equal(loop_timer_set(s->loop, &s->step, 3 * LINE_PIPE_DELAY_MS), OK);
}

static int
setup(void **state)
{
	(void)state;
	memset(&stage, 0, sizeof(stage));
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe2(stage.ends, O_NONBLOCK), 0);
	assert_int_equal(fcntl(stage.ends[1], F_SETPIPE_SZ, 4096), 4096);
	assert_non_null(stage.loop = loop_new(&clock_system));
	stage.step.on_due = on_step;
	line_pipe_init(&stage.pipe, stage.loop, stage.ends[1], "test");
	log_setup("t", 2, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_set_sink(take_said, &stage);
	return 0;
}
static int
teardown(void **state)
{
	(void)state;
	log_set_sink(NULL, NULL);
	line_pipe_fini(&stage.pipe);
	loop_free(stage.loop);
	close(stage.ends[0]);
	if (stage.ends[1] >= 0)
		close(stage.ends[1]);
	return 0;
}

static void
run(void (*a)(struct stage *s), void (*b)(struct stage *s), void (*c)(struct stage *s))
{
	stage.steps[0] = a;
	stage.steps[1] = b;
	stage.steps[2] = c;
	assert_int_equal(loop_timer_set(stage.loop, &stage.step, 0), OK);
	assert_int_equal(loop_run(stage.loop), OK);
}

static const char *
heard(void)
{
	static char text[8192];
	ssize_t n = read(stage.ends[0], text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void
add_two(struct stage *s)
{
	line_pipe_add(&s->pipe, SLICE_LIT("one\n"), false);
	line_pipe_add(&s->pipe, SLICE_LIT("two\n"), false);
	assert_string_equal(heard(), "");
}
static void
hear_two(struct stage *s)
{
	(void)s;
	assert_string_equal(heard(), "one\ntwo\n");
}
static void
lines_leave_together_a_moment_later(void **state)
{
	(void)state;
	run(add_two, hear_two, NULL);
	assert_false(stage.said.n);
}

static void
add_urgent(struct stage *s)
{
	line_pipe_add(&s->pipe, SLICE_LIT("one\n"), false);
	line_pipe_add(&s->pipe, SLICE_LIT("two\n"), true);
	assert_string_equal(heard(), ""); /* not within somebody's turn */
	s->pipe.delay.due_ms += 60000;    /* whatever comes now comes because it is urgent */
}
static void
an_urgent_line_takes_all_others_along_at_the_end_of_the_batch(void **state)
{
	(void)state;
	run(add_urgent, hear_two, NULL);
	assert_int_equal(stage.pipe.delay.heap_index, 0);
}

static char long_line[3000];
static unsigned added;
static void
add_many(struct stage *s)
{
	memset(long_line, 'x', sizeof(long_line));
	for (added = 0; added < 1000; added++) {
		snprintf(long_line, 8, "%06u ", added);
		long_line[sizeof(long_line) - 1] = '\n';
		line_pipe_add(&s->pipe, slice_of(long_line, sizeof(long_line)), false);
	}
}
static unsigned lines_heard, last_heard;
static void
hear_all(struct stage *s)
{
	char line[sizeof(long_line)];
	struct pollfd p = { .fd = s->ends[0], .events = POLLIN };
	size_t n = 0;

	while (s->pipe.lines.n || poll(&p, 1, 0) == 1) {
		ssize_t got = read(s->ends[0], line + n, sizeof(line) - n);
		if (got > 0)
			n += (size_t)got;
		if (n == sizeof(line)) {
			assert_int_equal(line[n - 1], '\n');
			last_heard = (unsigned)strtoul(line, NULL, 10);
			assert_int_equal(last_heard, lines_heard);
			lines_heard++;
			n = 0;
		} else if (got < 0) {
			s->pipe.watch.on_event(&s->pipe.watch, EPOLLOUT); /* the loop's part */
		}
	}
	assert_int_equal(n, 0);
}
static void
what_a_full_buffer_cannot_take_is_dropped_whole_counted_and_said_once_there_is_room(void **state)
{
	(void)state;
	lines_heard = last_heard = 0;
	run(add_many, hear_all, NULL);
	/* All that fit, in order and whole; the rest is counted. */
	assert_true(lines_heard > 300 && lines_heard < 1000);
	assert_int_equal(stage.pipe.dropped, 1000 - lines_heard);
	char want[128];
	snprintf(want, sizeof(want), "stream=test lines=%u\n", 1000 - lines_heard);
	stage.said_text[stage.said.n] = '\0';
	assert_non_null(strstr(stage.said_text, want));
	assert_ptr_equal(strstr(stage.said_text, "stream="), strstr(stage.said_text, want));
	assert_int_equal(stage.pipe.watch.index, 0);
	assert_true(stage.pipe.lines.cap <= 2 * LINE_PIPE_BATCH_BYTES);
}

static void
wait_for_room(struct stage *s)
{
	assert_true(s->pipe.watch.index); /* full: the loop waits for the reader */
	for (int i = 0; i < 2; i++)
		assert_int_equal(strlen(heard()) > 0, i == 0);
}
static void
fill(struct stage *s)
{
	memset(long_line, 'y', sizeof(long_line));
	long_line[sizeof(long_line) - 1] = '\n';
	for (int i = 0; i < 2; i++)
		line_pipe_add(&s->pipe, slice_of(long_line, sizeof(long_line)), true);
}
static void
hear_the_rest(struct stage *s)
{
	(void)s;
	assert_int_equal(strlen(heard()), 2 * sizeof(long_line) - 4096);
}
static void
a_line_cut_by_a_full_pipe_goes_on_where_it_was_cut(void **state)
{
	(void)state;
	run(fill, wait_for_room, hear_the_rest);
	assert_int_equal(stage.pipe.watch.index, 0);
	assert_int_equal(stage.pipe.dropped, 0);
}

static void
write_in_place(struct stage *s)
{
	struct buf *out = line_pipe_begin(&s->pipe);

	buf_add_str(out, "one\n");
	line_pipe_end(&s->pipe, false);
	out = line_pipe_begin(&s->pipe);
	buf_add_str(out, "begun, but");
	assert_null(buf_reserve(out, LINE_PIPE_BYTES_MAX));
	buf_add_str(out, "too long\n");
	line_pipe_end(&s->pipe, false);
	out = line_pipe_begin(&s->pipe);
	buf_add_str(out, "two\n");
	line_pipe_end(&s->pipe, false);
}
static void
a_line_in_place_that_does_not_fit_leaves_nothing_of_itself(void **state)
{
	(void)state;
	run(write_in_place, hear_two, NULL);
	assert_int_equal(stage.pipe.dropped, 1);
}

static void
lose_the_reader(struct stage *s)
{
	close(s->ends[0]);
	s->ends[0] = open("/dev/null", O_RDONLY);
	add_two(s);
}
static void
without_anybody_who_reads_lines_are_dropped_and_counted(void **state)
{
	(void)state;
	run(lose_the_reader, NULL, NULL);
	assert_int_equal(stage.pipe.dropped, 2);
	assert_int_equal(stage.pipe.lines.n, 0);
	assert_true(stage.said.n);
}

static void
the_end_writes_what_is_held_and_a_closed_one_passes_everything_over(void **state)
{
	struct line_pipe none;

	(void)state;
	line_pipe_add(&stage.pipe, SLICE_LIT("last words\n"), false);
	assert_true(line_pipe_is_open(&stage.pipe));
	line_pipe_fini(&stage.pipe);
	assert_string_equal(heard(), "last words\n");
	assert_false(line_pipe_is_open(&stage.pipe));
	assert_null(line_pipe_begin(&stage.pipe));
	line_pipe_init(&none, stage.loop, -1, "none");
	assert_false(line_pipe_is_open(&none));
	line_pipe_add(&none, SLICE_LIT("x\n"), true);
	line_pipe_fini(&none);
	assert_int_equal(none.dropped, 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(lines_leave_together_a_moment_later),
		T(an_urgent_line_takes_all_others_along_at_the_end_of_the_batch),
		T(what_a_full_buffer_cannot_take_is_dropped_whole_counted_and_said_once_there_is_room),
		T(a_line_cut_by_a_full_pipe_goes_on_where_it_was_cut),
		T(a_line_in_place_that_does_not_fit_leaves_nothing_of_itself),
		T(without_anybody_who_reads_lines_are_dropped_and_counted),
		T(the_end_writes_what_is_held_and_a_closed_one_passes_everything_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
