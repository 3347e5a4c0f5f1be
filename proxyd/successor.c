#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "proxyd/control.h"
#include "proxyd/credentials.h"
#include "proxyd/inheritance.h"
#include "proxyd/metrics_report.h"
#include "proxyd/successor.h"
#include "shared/process.h"
#include "shared/program.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */
#define EXIT_NOT_RUN 127

static void on_control(struct loop_watch *w, uint32_t events);
static void on_deadline(struct loop_timer *t);

void
successor_init(struct successor *s, struct loop *loop, const struct successor_events *events, void *master)
{
	*s = (struct successor){ .control = { .fd = -1, .on_event = on_control }, .deadline.on_due = on_deadline, .loop = loop, .events = events, .master = master };
}

/* ---- start ---- */

static bool
set_number(const char *name, long number)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", number);
	return setenv(name, text, 1) == 0;
}

/* The descriptors in fds become 3, 4, …, open over exec; all others are closed. */
static bool
arrange(int *fds, int n)
{
	for (int i = 0; i < n; i++)
		if ((fds[i] = fcntl(fds[i], F_DUPFD, FIRST_FD + n)) < 0)
			return false;
	for (int i = 0; i < n; i++)
		if (dup2(fds[i], FIRST_FD + i) < 0)
			return false;
	return close_range((unsigned)(FIRST_FD + n), ~0u, 0) == 0;
}

/* In the new process, which has no threads yet. Returns only if it failed (errno). */
static void
become(const struct successor_setup *setup, int control_fd)
{
	int n = (int)setup->listeners->n, fds[INHERITANCE_SOCKETS_MAX + 1];

	for (int i = 0; i < n; i++)
		fds[i] = setup->listeners->items[i].fd;
	fds[n] = control_fd;
	if (!arrange(fds, n + 1) || !set_number("LISTEN_FDS", n) || !set_number("LISTEN_PID", getpid()) || unsetenv("LISTEN_FDNAMES") < 0 ||
		!set_number(INHERITANCE_PREDECESSOR, FIRST_FD + n) || (getenv("WATCHDOG_PID") && !set_number("WATCHDOG_PID", getpid())))
		return;
	process_signals_unblock();
	execv(program_path(), program_arguments());
}

/* Before it runs, so that all of it is there when it looks. */
static enum err
hand_over(const struct successor_setup *setup, int control_fd)
{
	int fd;
	enum err e = credentials_wrap(slice_of((const char *)setup->ticket_secret, TICKET_SECRET_BYTES), &fd);

	if (e)
		return e;
	e = control_send(control_fd, CONTROL_TICKETS, 0, NULL, fd);
	close(fd);
	if (!e)
		e = control_send(control_fd, CONTROL_GENERATION, setup->generation, NULL, -1);
	if (!e && setup->keycache_fd >= 0)
		e = control_send(control_fd, CONTROL_KEYCACHE, 0, NULL, setup->keycache_fd);
	if (!e)
		e = control_send(control_fd, CONTROL_METRICS, metrics_layout(), NULL, setup->metrics_fd);
	return e;
}

static void
set_deadline(struct successor *s, uint64_t delay_ms)
{
	if (loop_timer_set(s->loop, &s->deadline, delay_ms) == OK)
		return;
	log_error("no memory for a timer: it is due now");
	on_deadline(&s->deadline);
}

static enum err
start_process(struct successor *s, const struct successor_setup *setup, const int ends[2])
{
	enum err e = hand_over(setup, ends[0]);

	if (e)
		return e;
	s->pid = fork();
	if (s->pid == 0) {
		become(setup, ends[1]);
		char why[200];
		snprintf(why, sizeof(why), "%s cannot be run: %s", program_path(), strerrordesc_np(errno));
		/* Where arrange came to, or where it did not. */
		bool told = control_send(FIRST_FD + (int)setup->listeners->n, CONTROL_FAILED, 0, why, -1) == OK;
		_exit(told || control_send(ends[1], CONTROL_FAILED, 0, why, -1) == OK ? EXIT_NOT_RUN : 1);
	}
	if (s->pid < 0) {
		s->pid = 0;
		return E_SYSTEM;
	}
	s->control.fd = ends[0];
	return loop_add(s->loop, &s->control, EPOLLIN);
}

enum err
successor_start(struct successor *s, const struct successor_setup *setup)
{
	int ends[2];

	if (!program_path())
		return E_EMPTY;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
		return E_SYSTEM;
	s->why[0] = '\0';
	s->kill_ms = setup->end_within_ms;
	enum err e = start_process(s, setup, ends);
	int code = errno;
	close(ends[1]);
	if (e && s->pid)
		kill(s->pid, SIGKILL); /* reaped as nobody's: phase is SUCCESSOR_NONE */
	if (e) {
		close(ends[0]);
		s->control.fd = -1;
		s->pid = 0;
		errno = code;
		return e;
	}
	s->phase = SUCCESSOR_STARTS;
	set_deadline(s, setup->ready_within_ms);
	return OK;
}

/* ---- course ---- */

static bool
is_under_way(const struct successor *s)
{
	return s->phase == SUCCESSOR_STARTS || s->phase == SUCCESSOR_ON_TRIAL;
}

static void
fail(struct successor *s, const char *why)
{
	s->phase = SUCCESSOR_FAILED;
	loop_timer_clear(s->loop, &s->deadline);
	if (s->pid)
		set_deadline(s, s->kill_ms);
	s->events->failed(s->master, why);
}

static void
on_deadline(struct loop_timer *t)
{
	struct successor *s = (struct successor *)((char *)t - offsetof(struct successor, deadline));

	/* Its own children end with it. */
	if (s->pid)
		kill(s->pid, SIGKILL);
	if (s->phase == SUCCESSOR_STARTS)
		fail(s, "the new program did not become ready in time");
	else if (s->phase == SUCCESSOR_ON_TRIAL)
		fail(s, "the new program accepted connections and then said nothing more");
	else
		log_warn("the new program failed and did not end in time: killed", LOG_INT("child_pid", s->pid));
}

static void
take_message(struct successor *s, const struct control_message *m, int fd)
{
	if (m->kind == CONTROL_FAILED && is_under_way(s)) {
		snprintf(s->why, sizeof(s->why), "%s", m->text);
		fail(s, s->why);
	} else if (m->kind == CONTROL_READY && s->phase == SUCCESSOR_STARTS) {
		s->phase = SUCCESSOR_ON_TRIAL;
		set_deadline(s, SUCCESSOR_TRIAL_MS + SUCCESSOR_TRIAL_SLACK_MS);
		s->events->on_trial(s->master);
	} else if (m->kind == CONTROL_SERVED && s->phase == SUCCESSOR_ON_TRIAL) {
		s->phase = SUCCESSOR_SERVES;
		loop_timer_clear(s->loop, &s->deadline);
		s->events->serves(s->master);
	} else if (m->kind == CONTROL_KEYCACHE && s->phase == SUCCESSOR_SERVES && fd >= 0) {
		s->events->keycache(s->master, fd);
	} else if (m->kind == CONTROL_ENDED && s->phase == SUCCESSOR_SERVES) {
		s->events->ended(s->master);
	} else if (m->kind == CONTROL_SIGNAL && s->phase == SUCCESSOR_SERVES) {
		s->events->signal(s->master, (int)m->value);
	} else {
		log_warn("the new program sent a message that is not its to send", LOG_UINT("kind", m->kind));
	}
}

static void
close_control(struct successor *s)
{
	if (s->control.fd < 0)
		return;
	loop_remove(s->loop, &s->control);
	close(s->control.fd);
	s->control.fd = -1;
}

static void
read_messages(struct successor *s)
{
	struct control_message m;
	enum err e = OK;
	int fd;

	while (s->control.fd >= 0 && (e = control_receive(s->control.fd, &m, &fd)) == OK) {
		take_message(s, &m, fd);
		if (fd >= 0)
			close(fd);
	}
	if (s->control.fd < 0 || e == E_AGAIN)
		return;
	close_control(s); /* before on_deadline or its death says the rest */
	if (e == E_FORMAT && is_under_way(s)) {
		kill(s->pid, SIGKILL);
		fail(s, "the new program talks nonsense");
	}
}

static void
on_control(struct loop_watch *w, uint32_t events)
{
	(void)events;
	read_messages((struct successor *)w);
}

bool
successor_reaped(struct successor *s, pid_t pid, int status)
{
	char why[80];

	if (!s->pid || pid != s->pid)
		return false;
	s->pid = 0;
	read_messages(s); /* its last words */
	close_control(s);
	loop_timer_clear(s->loop, &s->deadline);
	if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "the new program was ended by signal %d (SIG%s)", WTERMSIG(status), sigabbrev_np(WTERMSIG(status)));
	else
		snprintf(why, sizeof(why), "the new program ended with status %d", WEXITSTATUS(status));
	if (is_under_way(s))
		fail(s, why);
	else if (s->phase == SUCCESSOR_SERVES)
		log_error("the master that took over is gone", LOG_STR("reason", why));
	if (s->phase == SUCCESSOR_FAILED)
		s->phase = SUCCESSOR_NONE;
	return true;
}

void
successor_cancel(struct successor *s)
{
	loop_timer_clear(s->loop, &s->deadline);
	if (s->phase == SUCCESSOR_SERVES)
		return;
	s->phase = SUCCESSOR_FAILED;
	if (s->pid)
		kill(s->pid, SIGKILL);
}

void
successor_signal(struct successor *s, int number)
{
	if (s->control.fd < 0)
		return;
	enum err e = control_send(s->control.fd, CONTROL_SIGNAL, (uint32_t)number, NULL, -1);
	if (e)
		log_warn("signal not passed on to the new program", LOG_STR("reason", err_name(e)));
}

void
successor_fini(struct successor *s)
{
	close_control(s);
	loop_timer_clear(s->loop, &s->deadline);
}
