#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "proxyd/child.h"
#include "proxyd/control.h"
#include "proxyd/logs.h"

#define FILE_MODE 0640
/* As much as an unprivileged process may ask for: at 40,000 requests/s the logger may be away for 60 ms before workers' own buffers begin to fill. */
#define PIPE_BYTES (1 << 20)
#define START_RETRY_MS 1000

/* A pipe that somebody writes into. */
#define WRITER_IS_NEXT -1 /* about to be forked */
struct source {
	struct source *next;
	enum log_stream stream;
	int fd;         /* read end */
	pid_t writer;   /* 0: it has ended */
	bool told;      /* the logger has it */
};

struct logs {
	struct child logger;
	struct loop *loop;
	const struct clock *clock;
	char *user;
	void (*forget)(void *arg);
	void *arg;
	char *paths[LOG_STREAMS];
	int fds[LOG_STREAMS];    /* -1: none */
	bool told[LOG_STREAMS];  /* the logger has this one */
	enum log_level level;
	enum log_format format;
	struct source *sources;
	int own_fd;              /* this process's write end */
};

static void start_logger(struct logs *l);
static void tell(struct logs *l);
static void on_control(struct loop_watch *w, uint32_t events);
static void on_respawn_due(struct loop_timer *t);

/* ---- files ---- */

/* A pipe that nobody reads is an error rather than a wait. */
static int
open_file(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, FILE_MODE);
}

void
log_files_close(struct log_files *f)
{
	for (size_t i = 0; i < LOG_STREAMS; i++) {
		if (f->fds[i] >= 0)
			close(f->fds[i]);
		f->fds[i] = -1;
	}
}

enum err
log_files_open(const struct proxyd_config *c, struct log_files *out, struct config_error *e)
{
	struct log_files f = { .paths = { c->log.file, c->audit.file }, .level = (enum log_level)c->log.level,
		.format = (enum log_format)c->log.format };
	static const char *const keys[LOG_STREAMS] = { "log.file", "audit.file" };
	const int lines[LOG_STREAMS] = { c->log.line, c->audit.line };
	enum err err = OK;

	for (size_t i = 0; i < LOG_STREAMS; i++) {
		f.fds[i] = f.paths[i] && !err ? open_file(f.paths[i]) : -1;
		if (f.paths[i] && !err && f.fds[i] < 0) {
			config_error_set(e, c->file, lines[i], keys[i], "%s cannot be opened: %s", f.paths[i], strerrordesc_np(errno));
			err = E_SYSTEM;
		}
	}
	if (err)
		log_files_close(&f);
	else
		*out = f;
	return err;
}

/* Without a log file: what standard error is. */
static int
or_stderr(enum log_stream stream, int fd)
{
	return fd < 0 && stream == LOG_STREAM_LOG ? fcntl(2, F_DUPFD_CLOEXEC, 3) : fd;
}

static void
take_files(struct logs *l, struct log_files *files)
{
	for (size_t i = 0; i < LOG_STREAMS; i++) {
		if (l->fds[i] >= 0)
			close(l->fds[i]);
		free(l->paths[i]);
		l->paths[i] = files->paths[i] ? strdup(files->paths[i]) : NULL;
		l->fds[i] = or_stderr((enum log_stream)i, files->fds[i]);
		l->told[i] = false;
		files->fds[i] = -1;
	}
	l->level = files->level;
	l->format = files->format;
	log_setup("proxyd", l->own_fd, l->level, l->format);
}

void
logs_use(struct logs *l, struct log_files *files)
{
	take_files(l, files);
	if (l->logger.pid && control_send(l->logger.control.fd, CONTROL_LOG_STYLE, CONTROL_STYLE(l->level, l->format), NULL, -1))
		log_warn("logger does not take its messages");
	tell(l);
}

void
logs_reopen(struct logs *l)
{
	bool any = false;

	for (size_t i = 0; i < LOG_STREAMS; i++) {
		if (!l->paths[i])
			continue;
		any = true;
		int fd = open_file(l->paths[i]);
		if (fd < 0) {
			log_error("log file cannot be opened again, the old one stays", LOG_STR("stream", log_stream_name((enum log_stream)i)),
				LOG_STR("file", l->paths[i]), LOG_ERRNO(errno));
			continue;
		}
		if (l->fds[i] >= 0)
			close(l->fds[i]);
		l->fds[i] = fd;
		l->told[i] = false;
	}
	if (!any)
		log_info("no log file to open again: the configuration names none");
	tell(l);
}

/* ---- the logger ---- */

/* Whatever the logger does not know yet. What its socket does not take now follows when it can. */
static void
tell(struct logs *l)
{
	struct child *c = &l->logger;
	enum err e = OK;

	if (!c->pid || c->control.fd < 0)
		return;
	for (size_t i = 0; i < LOG_STREAMS && !e; i++) {
		if (l->told[i])
			continue;
		e = control_send(c->control.fd, CONTROL_LOG_OUTPUT, (uint32_t)i, l->paths[i], l->fds[i]);
		l->told[i] = !e;
	}
	for (struct source *s = l->sources; s && !e; s = s->next) {
		if (s->told)
			continue;
		e = control_send(c->control.fd, CONTROL_LOG_SOURCE, (uint32_t)s->stream, NULL, s->fd);
		s->told = !e;
	}
	if (c->control.index && loop_modify(l->loop, &c->control, EPOLLIN | (e == E_AGAIN ? EPOLLOUT : 0u)))
		log_error("logger's socket cannot be watched", LOG_ERRNO(errno));
}

static void
on_control(struct loop_watch *w, uint32_t events)
{
	struct child *c = (struct child *)w;
	struct logs *l = (struct logs *)c; /* first member */
	struct control_message m;
	enum err e;
	int fd = -1;

	(void)events;
	while ((e = control_receive(w->fd, &m, &fd)) == OK) {
		if (fd >= 0)
			close(fd);
		if (m.kind == CONTROL_FAILED)
			snprintf(c->why, sizeof(c->why), "%s", m.text);
	}
	if (e == E_AGAIN) {
		tell(l);
		return;
	}
	loop_remove(l->loop, w); /* its death is about to be reaped */
	close(w->fd);
	w->fd = -1;
}

/* Pipes whose writer has ended are for the logger alone from now on. */
static void
let_go(struct logs *l)
{
	for (struct source **at = &l->sources, *s; (s = *at);) {
		if (s->writer || !s->told) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		close(s->fd);
		free(s);
	}
}

static void
retry_start(struct logs *l, uint64_t delay_ms)
{
	if (loop_timer_set(l->loop, &l->logger.respawn_timer, delay_ms))
		log_error("no memory for a timer: there is no logger any more");
}

static void
start_logger(struct logs *l)
{
	struct child *c = &l->logger;
	struct logger_source *sources;
	size_t n = 0;

	for (struct source *s = l->sources; s; s = s->next)
		n++;
	sources = calloc(n + 1, sizeof(*sources));
	n = 0;
	for (struct source *s = l->sources; s && sources; s = s->next)
		sources[n++] = (struct logger_source){ s->stream, s->fd };
	struct logger_start start = { .sources = sources, .source_n = n, .clock = l->clock };
	memcpy(start.output_fds, l->fds, sizeof(start.output_fds));
	const struct child_setup setup = { .logger = &start, .user = l->user, .log_level = l->level, .log_format = l->format, .clock = l->clock,
		.forget = l->forget, .arg = l->arg };
	enum err e = sources ? child_start(c, &setup) : E_NOMEM;
	free(sources);
	if (!e && (e = loop_add(l->loop, &c->control, EPOLLIN)))
		kill(c->pid, SIGKILL); /* it will be reaped and tried again */
	if (e) {
		log_error("logger cannot be started", LOG_ERRNO(errno));
		if (!c->pid)
			retry_start(l, START_RETRY_MS);
		return;
	}
	for (size_t i = 0; i < LOG_STREAMS; i++)
		l->told[i] = true;
	for (struct source *s = l->sources; s; s = s->next)
		s->told = true;
	let_go(l);
	log_info("child started", LOG_STR("child", child_kind_name(c)), LOG_INT("child_pid", c->pid));
}

static void
on_respawn_due(struct loop_timer *t)
{
	start_logger((struct logs *)((char *)t - offsetof(struct child, respawn_timer)));
}

bool
logs_reaped(struct logs *l, pid_t pid, int status)
{
	struct child *c = &l->logger;
	char why[CHILD_DEATH_BYTES];

	if (pid != c->pid) {
		for (struct source *s = l->sources; s; s = s->next)
			if (s->writer == pid)
				s->writer = 0;
		let_go(l);
		return false;
	}
	uint64_t delay_ms = respawn_delay_ms(&c->respawn, c->started_ms, clock_mono_ms(l->clock));
	child_describe_death(c, status, why);
	child_forget(c, l->loop);
	log_error("child died", LOG_STR("child", child_kind_name(c)), LOG_STR("reason", why), LOG_UINT("restart_in_ms", delay_ms));
	if (delay_ms)
		retry_start(l, delay_ms);
	else
		start_logger(l);
	return true;
}

/* ---- pipes ---- */

static enum err
add_pipe(struct logs *l, enum log_stream stream, pid_t writer, int *write_end)
{
	struct source *s = calloc(1, sizeof(*s));
	int ends[2];

	if (!s)
		return E_NOMEM;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
		free(s);
		return E_SYSTEM;
	}
	if (fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
		log_debug("pipes hold less than wanted", LOG_ERRNO(errno));
	*s = (struct source){ .next = l->sources, .stream = stream, .fd = ends[0], .writer = writer };
	l->sources = s;
	*write_end = ends[1];
	return OK;
}

enum err
logs_pipe(struct logs *l, bool audit, struct log_ends *out)
{
	struct log_ends ends = { { -1, -1 } };
	enum err e = add_pipe(l, LOG_STREAM_LOG, WRITER_IS_NEXT, &ends.fds[LOG_STREAM_LOG]);

	if (!e && audit)
		e = add_pipe(l, LOG_STREAM_AUDIT, WRITER_IS_NEXT, &ends.fds[LOG_STREAM_AUDIT]);
	if (!e)
		*out = ends;
	else
		logs_piped(l, &ends, 0);
	return e;
}

void
logs_piped(struct logs *l, struct log_ends *ends, pid_t writer)
{
	int code = errno;

	for (size_t i = 0; i < LOG_STREAMS; i++) {
		if (ends->fds[i] >= 0)
			close(ends->fds[i]);
		ends->fds[i] = -1;
	}
	for (struct source *s = l->sources; s; s = s->next)
		if (s->writer == WRITER_IS_NEXT)
			s->writer = writer;
	tell(l);
	let_go(l);
	errno = code;
}

/* ---- life ---- */

struct logs *
logs_new(struct loop *loop, const struct clock *clock, struct log_files *files, const char *user, void (*forget)(void *arg), void *arg)
{
	struct logs *l = calloc(1, sizeof(*l));

	if (!l || (user && !(l->user = strdup(user))) || add_pipe(l, LOG_STREAM_LOG, getpid(), &l->own_fd)) {
		int code = l ? errno : ENOMEM;
		log_files_close(files);
		if (l)
			free(l->user);
		free(l);
		errno = code;
		return NULL;
	}
	l->loop = loop;
	l->clock = clock;
	l->forget = forget;
	l->arg = arg;
	l->logger = (struct child){ .control = { .fd = -1, .on_event = on_control }, .respawn_timer.on_due = on_respawn_due, .kind = CHILD_LOGGER };
	for (size_t i = 0; i < LOG_STREAMS; i++)
		l->fds[i] = -1;
	take_files(l, files);
	start_logger(l);
	return l;
}

/* It ends when it has read every pipe to its end; ours is closed. */
static void
await_logger(struct logs *l)
{
	int fd = pidfd_open(l->logger.pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0 || poll(&p, 1, LOGS_END_MS) <= 0)
		kill(l->logger.pid, SIGKILL);
	if (fd >= 0)
		close(fd);
	waitpid(l->logger.pid, NULL, 0);
}

void
logs_free(struct logs *l)
{
	if (!l)
		return;
	log_setup("proxyd", 2, l->level, l->format);
	close(l->own_fd);
	if (l->logger.control.fd >= 0) {
		loop_remove(l->loop, &l->logger.control);
		close(l->logger.control.fd);
	}
	loop_timer_clear(l->loop, &l->logger.respawn_timer);
	if (l->logger.pid)
		await_logger(l);
	for (struct source *s = l->sources, *next; s; s = next) {
		next = s->next;
		close(s->fd);
		free(s);
	}
	for (size_t i = 0; i < LOG_STREAMS; i++) {
		if (l->fds[i] >= 0)
			close(l->fds[i]);
		free(l->paths[i]);
	}
	free(l->user);
	free(l);
}
