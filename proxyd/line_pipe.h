/* line_pipe.h - a worker's lines on their way to the logger, which alone writes files: no disk, however slow or full, makes a worker wait.
 *
 * Owns: a bounded buffer. Lines of many requests leave in one write(2): at the latest LINE_PIPE_DELAY_MS after the first,
 * at the end of the batch of events when somebody may be waiting for them. What a full buffer cannot take is dropped, counted and said. */
#ifndef PROXYD_LINE_PIPE_H
#define PROXYD_LINE_PIPE_H

#include "shared/buf.h"
#include "shared/loop.h"

/* A process that is killed loses what it has held back for so long. */
#define LINE_PIPE_DELAY_MS 10
/* Past so much waiting saves nothing: half of what a pipe holds at least. */
#define LINE_PIPE_BATCH_BYTES 32768
/* An audit event of 253 groups and 32 extras of 1 KiB, each byte escaped, has room; a second of a busy worker's lines, too. */
#define LINE_PIPE_BYTES_MAX (1u << 20)

struct line_pipe {
	struct loop_watch watch; /* of the pipe, while it is full */
	struct loop_deferred flush;
	struct loop_timer delay;
	struct loop *loop;
	const char *name;        /* of the stream, for the log; outlives the pipe */
	struct buf lines;
	size_t from;             /* lines.p[from..n) is not written yet */
	size_t begun;            /* where the line begins that is being written in place */
	bool queued;             /* flush is on the loop's list */
	uint64_t dropped, dropped_said;
	_Atomic uint64_t *count_dropped, *count_queued; /* lines lost, bytes that wait: kept up to date there; NULL: nobody looks */
};

/* fd: write end of a pipe, non-blocking; it stays the caller's. -1: everything is passed over. */
void line_pipe_init(struct line_pipe *p, struct loop *loop, int fd, const char *name);
bool line_pipe_is_open(const struct line_pipe *p);
/* line: with its line feed. soon: at the end of this batch of events. Never blocks, never logs. */
void line_pipe_add(struct line_pipe *p, struct slice line, bool soon);
/* The same for a line that is written in place: append it with its line feed to what is returned. A line that does not fit is dropped whole by line_pipe_end. NULL:
 * it would be passed over. */
struct buf *line_pipe_begin(struct line_pipe *p);
void line_pipe_end(struct line_pipe *p, bool soon);
/* Writes what the pipe takes. */
void line_pipe_fini(struct line_pipe *p);

#endif
