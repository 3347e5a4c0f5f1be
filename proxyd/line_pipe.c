#include <errno.h>
#include <unistd.h>
#include "proxyd/line_pipe.h"
#include "proxyd/metrics.h"
#include "shared/log.h"

#define OWNER(member, p) ((struct line_pipe *)((char *)(p) - offsetof(struct line_pipe, member)))

static void on_flush(struct loop_deferred *d);
static void on_delay_over(struct loop_timer *t);
static void on_room(struct loop_watch *w, uint32_t events);

void
line_pipe_init(struct line_pipe *p, struct loop *loop, int fd, const char *name)
{
	*p = (struct line_pipe){ .watch = { .fd = fd, .on_event = on_room }, .flush.run = on_flush, .delay.on_due = on_delay_over, .loop = loop,
		.name = name };
	buf_init(&p->lines, LINE_PIPE_BYTES_MAX);
}

bool
line_pipe_is_open(const struct line_pipe *p)
{
	return p->watch.fd >= 0;
}

static void
drop(struct line_pipe *p, uint64_t lines)
{
	p->dropped += lines;
	if (p->count_dropped)
		metrics_add(p->count_dropped, lines);
}

static void
tell_queued(struct line_pipe *p)
{
	if (p->count_queued)
		metrics_set(p->count_queued, p->lines.n - p->from);
}

static void
queue_flush(struct line_pipe *p)
{
	if (p->queued)
		return;
	p->queued = true;
	loop_defer(p->loop, &p->flush);
}

struct buf *
line_pipe_begin(struct line_pipe *p)
{
	p->begun = p->lines.n;
	return p->watch.fd < 0 ? NULL : &p->lines;
}

void
line_pipe_end(struct line_pipe *p, bool soon)
{
	if (!buf_ok(&p->lines)) {
		p->lines.n = p->begun;
		p->lines.failed = false;
		drop(p, 1);
		return;
	}
	tell_queued(p);
	if (p->watch.index || p->queued)
		return;
	if (soon || p->lines.n >= LINE_PIPE_BATCH_BYTES || (p->delay.heap_index == 0 && loop_timer_set(p->loop, &p->delay, LINE_PIPE_DELAY_MS)))
		queue_flush(p);
}

void
line_pipe_add(struct line_pipe *p, struct slice line, bool soon)
{
	struct buf *out = line_pipe_begin(p);

	if (!out)
		return;
	buf_add_slice(out, line);
	line_pipe_end(p, soon);
}

/* Nobody will ever read them: the logger and master are gone. */
static void
drop_all(struct line_pipe *p)
{
	uint64_t lines = 0;

	for (size_t i = p->from; i < p->lines.n; i++)
		lines += p->lines.p[i] == '\n';
	drop(p, lines);
	p->from = p->lines.n;
}

/* As much as the pipe takes. */
static void
write_lines(struct line_pipe *p)
{
	while (p->from < p->lines.n) {
		ssize_t n = write(p->watch.fd, p->lines.p + p->from, p->lines.n - p->from);
		if (n >= 0)
			p->from += (size_t)n;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			drop_all(p);
	}
	if (p->from < p->lines.n && p->from < LINE_PIPE_BATCH_BYTES)
		return;
	buf_consume(&p->lines, p->from);
	p->from = 0;
	if (p->lines.n == 0 && p->lines.cap > 2 * LINE_PIPE_BATCH_BYTES) {
		buf_fini(&p->lines);
		buf_init(&p->lines, LINE_PIPE_BYTES_MAX);
	}
}

static void
flush(struct line_pipe *p)
{
	loop_timer_clear(p->loop, &p->delay);
	write_lines(p);
	if (p->lines.n == 0)
		loop_remove(p->loop, &p->watch);
	else if (!p->watch.index && loop_add(p->loop, &p->watch, EPOLLOUT) && loop_timer_set(p->loop, &p->delay, LINE_PIPE_DELAY_MS))
		drop_all(p); /* nothing would ever wake us to write them */
	tell_queued(p);
	if (p->lines.n || p->dropped == p->dropped_said)
		return;
	uint64_t lines = p->dropped - p->dropped_said;
	p->dropped_said = p->dropped;
	log_warn("lines dropped: they came faster than they could be written", LOG_STR("stream", p->name), LOG_UINT("lines", lines));
}

static void
on_flush(struct loop_deferred *d)
{
	struct line_pipe *p = OWNER(flush, d);

	p->queued = false;
	if (p->watch.fd >= 0)
		flush(p);
}

static void
on_delay_over(struct loop_timer *t)
{
	flush(OWNER(delay, t));
}

static void
on_room(struct loop_watch *w, uint32_t events)
{
	(void)events;
	flush(OWNER(watch, w));
}

void
line_pipe_fini(struct line_pipe *p)
{
	if (p->watch.fd < 0)
		return;
	write_lines(p);
	loop_timer_clear(p->loop, &p->delay);
	loop_remove(p->loop, &p->watch);
	p->watch.fd = -1;
	buf_fini(&p->lines);
}
