#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "proxyd/control.h"
#include "proxyd/logger.h"
#include "shared/buf.h"
#include "shared/loop.h"

#define OWNER(type, member, p) ((type *)((char *)(p) - offsetof(type, member)))

#define READ_BYTES 65536
/* How long a descriptor that would block (a terminal, somebody's pipe) is waited for in one go. */
#define OUTPUT_WAIT_MS 100

enum output_state {
	OUTPUT_NONE,  /* not opened yet: lines stay where they are */
	OUTPUT_OPEN,
	OUTPUT_STUCK, /* cannot be written now: tried again when the timer is due */
	OUTPUT_OFF    /* not wanted any more: lines are passed over */
};

struct output {
	struct logger *logger;
	enum log_stream stream;
	enum output_state state;
	int fd;
	struct buf lines;     /* whole lines; p[from..n) is still to be written */
	size_t from;
	struct loop_timer retry;
	uint64_t stuck_since_ms;
};

struct source {
	struct loop_watch watch;
	struct output *output;
	struct source *next, *prev;
	struct buf held;      /* a line that has not come whole */
	bool passing_over;    /* up to the next line feed */
};

struct logger {
	struct loop_watch control;
	struct loop *loop;
	struct output outputs[LOG_STREAMS];
	struct source *sources;
	bool ending;          /* master is gone, or has nothing more to say */
	char chunk[READ_BYTES];
};

static void on_control(struct loop_watch *w, uint32_t events);
static void on_source(struct loop_watch *w, uint32_t events);
static void on_retry(struct loop_timer *t);
static void flush(struct output *o);
static void take_own_line(void *arg, enum log_level level, struct slice line);

const char *
log_stream_name(enum log_stream s)
{
	return s == LOG_STREAM_AUDIT ? "audit" : "log";
}

/* ---- outputs ---- */

static void
listen_to(struct source *s, bool on)
{
	if (!on)
		loop_remove(s->output->logger->loop, &s->watch);
	else if (!s->watch.index && loop_add(s->output->logger->loop, &s->watch, EPOLLIN))
		loop_stop(s->output->logger->loop); /* no memory: the next logger goes on with the same pipes */
}

static void
set_state(struct output *o, enum output_state state)
{
	bool read = state == OUTPUT_OPEN || state == OUTPUT_OFF;

	o->state = state;
	for (struct source *s = o->logger->sources; s; s = s->next)
		if (s->output == o)
			listen_to(s, read);
}

/* To standard error, whatever has become of the log. */
static void
complain(const struct output *o, int code)
{
	log_set_sink(NULL, NULL);
	log_error("a log file cannot be written: lines wait, and are dropped when there is no more room for them",
		LOG_STR("stream", log_stream_name(o->stream)), LOG_ERRNO(code));
}

static void
become_stuck(struct output *o, int code)
{
	struct logger *l = o->logger;

	if (l->ending) { /* nobody waits for a disk at the end */
		set_state(o, OUTPUT_OFF);
		flush(o);
		return;
	}
	if (o->stuck_since_ms == 0) {
		o->stuck_since_ms = loop_now_ms(l->loop) + 1; /* never 0 */
		if (code != EAGAIN)
			complain(o, code);
		log_set_sink(take_own_line, l);
	}
	set_state(o, OUTPUT_STUCK);
	if (loop_timer_set(l->loop, &o->retry, LOGGER_RETRY_MS))
		loop_stop(l->loop);
}

/* 0, or why not everything was written. */
static int
write_out(struct output *o)
{
	struct pollfd waits = { .fd = o->fd, .events = POLLOUT };
	bool waited = false;

	while (o->from < o->lines.n) {
		ssize_t n = write(o->fd, o->lines.p + o->from, o->lines.n - o->from);
		if (n > 0) {
			o->from += (size_t)n;
			waited = false;
		} else if (n < 0 && errno == EPIPE) {
			o->from = o->lines.n; /* whoever read them has gone for good */
		} else if (n < 0 && errno == EAGAIN && !waited) {
			poll(&waits, 1, OUTPUT_WAIT_MS);
			waited = true;
		} else if (n == 0 || errno != EINTR) {
			return n == 0 ? EIO : errno;
		}
	}
	buf_reset(&o->lines);
	o->from = 0;
	return 0;
}

static void
flush(struct output *o)
{
	int code = 0;

	if (o->state == OUTPUT_OFF) {
		buf_reset(&o->lines);
		o->from = 0;
	} else if (o->state != OUTPUT_NONE) {
		code = write_out(o);
	}
	if (code) {
		become_stuck(o, code);
		return;
	}
	if (o->state != OUTPUT_STUCK)
		return;
	uint64_t ms = loop_now_ms(o->logger->loop) + 1 - o->stuck_since_ms;
	o->stuck_since_ms = 0;
	set_state(o, OUTPUT_OPEN);
	log_warn("a log file can be written again", LOG_STR("stream", log_stream_name(o->stream)), LOG_UINT("ms", ms));
}

/* Our own lines go where everybody's go. */
static void
take_own_line(void *arg, enum log_level level, struct slice line)
{
	struct output *o = &((struct logger *)arg)->outputs[LOG_STREAM_LOG];

	(void)level;
	if (o->lines.n - o->from > LOGGER_LINE_BYTES_MAX)
		return; /* said often enough */
	buf_add_slice(&o->lines, line);
	o->lines.failed = false;
	if (o->state == OUTPUT_OPEN)
		flush(o);
}

static void
on_retry(struct loop_timer *t)
{
	flush(OWNER(struct output, retry, t));
}

/* From here on into fd; -1: nowhere. A line that had been written in part is written whole again. */
static void
replace_output(struct output *o, int fd, const char *path)
{
	if (o->fd >= 0)
		close(o->fd);
	o->fd = fd;
	while (o->from && o->lines.p[o->from - 1] != '\n')
		o->from--;
	loop_timer_clear(o->logger->loop, &o->retry);
	o->stuck_since_ms = 0;
	set_state(o, fd < 0 ? OUTPUT_OFF : OUTPUT_OPEN);
	flush(o);
	if (fd >= 0 && *path)
		log_info("log file opened", LOG_STR("stream", log_stream_name(o->stream)), LOG_STR("file", path));
}

/* ---- sources ---- */

static void
check_end(struct logger *l)
{
	if (l->ending && !l->sources)
		loop_stop(l->loop);
}

static void
source_end(struct source *s)
{
	struct logger *l = s->output->logger;

	loop_remove(l->loop, &s->watch);
	close(s->watch.fd);
	*(s->prev ? &s->prev->next : &l->sources) = s->next;
	if (s->next)
		s->next->prev = s->prev;
	buf_fini(&s->held);
	free(s);
	check_end(l);
}

static void
source_add(struct logger *l, enum log_stream stream, int fd)
{
	struct source *s = calloc(1, sizeof(*s));

	if (!s) {
		close(fd);
		loop_stop(l->loop); /* master has the pipe still: for the next logger */
		return;
	}
	s->watch = (struct loop_watch){ .fd = fd, .on_event = on_source };
	s->output = &l->outputs[stream];
	buf_init(&s->held, LOGGER_LINE_BYTES_MAX);
	s->next = l->sources;
	if (s->next)
		s->next->prev = s;
	l->sources = s;
	listen_to(s, s->output->state == OUTPUT_OPEN || s->output->state == OUTPUT_OFF);
}

/* Whole lines to the output, what is left of the last one stays with its source. */
static void
sort_lines(struct source *s, struct slice in)
{
	struct output *o = s->output;
	const char *end;

	if (s->passing_over) {
		if (!(end = memchr(in.p, '\n', in.n)))
			return;
		in = slice_of(end + 1, in.n - (size_t)(end + 1 - in.p));
		s->passing_over = false;
	}
	end = in.n ? memrchr(in.p, '\n', in.n) : NULL;
	if (end) {
		size_t whole = (size_t)(end + 1 - in.p);
		if (buf_reserve(&o->lines, s->held.n + whole)) { /* no memory: these are lost */
			buf_add_slice(&o->lines, buf_slice(&s->held));
			buf_add(&o->lines, in.p, whole);
		}
		o->lines.failed = false;
		buf_reset(&s->held);
		in = slice_of(in.p + whole, in.n - whole);
	}
	buf_add_slice(&s->held, in);
	if (!buf_ok(&s->held)) {
		buf_reset(&s->held);
		s->passing_over = true;
	}
}

static void
on_source(struct loop_watch *w, uint32_t events)
{
	struct source *s = OWNER(struct source, watch, w);
	struct logger *l = s->output->logger;
	ssize_t n;

	(void)events;
	do
		n = read(w->fd, l->chunk, sizeof(l->chunk));
	while (n < 0 && errno == EINTR);
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		source_end(s);
	} else if (n > 0) {
		sort_lines(s, slice_of(l->chunk, (size_t)n));
		flush(s->output);
	}
}

/* ---- master ---- */

/* What cannot be written now is not waited for. */
static void
end(struct logger *l)
{
	if (l->ending)
		return;
	l->ending = true;
	loop_remove(l->loop, &l->control);
	for (size_t i = 0; i < LOG_STREAMS; i++)
		if (l->outputs[i].state == OUTPUT_STUCK || l->outputs[i].state == OUTPUT_NONE)
			set_state(&l->outputs[i], OUTPUT_OFF);
	check_end(l);
}

static void
on_control(struct loop_watch *w, uint32_t events)
{
	struct logger *l = OWNER(struct logger, control, w);
	struct control_message m;
	enum err e;
	int fd;

	(void)events;
	while ((e = control_receive(w->fd, &m, &fd)) == OK) {
		bool stream = m.value < LOG_STREAMS;
		if (m.kind == CONTROL_LOG_SOURCE && stream && fd >= 0)
			source_add(l, (enum log_stream)m.value, fd);
		else if (m.kind == CONTROL_LOG_OUTPUT && stream)
			replace_output(&l->outputs[m.value], fd, m.text);
		else if (fd >= 0)
			close(fd);
		if (m.kind == CONTROL_LOG_STYLE)
			log_setup("proxyd-logger", 2, (enum log_level)(m.value >> 8), (enum log_format)(m.value & 0xff));
	}
	if (e != E_AGAIN)
		end(l);
}

static void
outputs_init(struct logger *l, const struct logger_start *start)
{
	for (size_t i = 0; i < LOG_STREAMS; i++) {
		int fd = start->output_fds[i];
		l->outputs[i] = (struct output){ .logger = l, .stream = (enum log_stream)i, .state = fd < 0 ? OUTPUT_NONE : OUTPUT_OPEN, .fd = fd,
			.retry.on_due = on_retry };
		buf_init(&l->outputs[i].lines, 0);
	}
}

static void
logger_free(struct logger *l)
{
	log_set_sink(NULL, NULL);
	while (l->sources)
		source_end(l->sources);
	for (size_t i = 0; i < LOG_STREAMS; i++) {
		buf_fini(&l->outputs[i].lines);
		if (l->outputs[i].fd >= 0)
			close(l->outputs[i].fd);
	}
	loop_free(l->loop);
	free(l);
}

int
logger_run(const struct logger_start *start)
{
	struct logger *l = calloc(1, sizeof(*l));

	if (!l || !(l->loop = loop_new(start->clock))) {
		free(l);
		return 1;
	}
	signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error like a full disk, not the end */
	outputs_init(l, start);
	log_set_sink(take_own_line, l);
	for (size_t i = 0; i < start->source_n; i++)
		source_add(l, start->sources[i].stream, start->sources[i].fd);
	l->control = (struct loop_watch){ .fd = start->control_fd, .on_event = on_control };
	enum err e = loop_add(l->loop, &l->control, EPOLLIN);
	if (!e)
		e = loop_run(l->loop);
	bool ended = l->ending;
	logger_free(l);
	return e || !ended ? 1 : 0;
}
