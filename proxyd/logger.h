/* logger.h - the process that writes log and audit files, and may wait for a disk as long as that takes.
 *
 * Every other process writes its lines into a pipe of its own. The logger takes whole lines out of them and writes each stream's into one descriptor, which master
 * opened and may replace at any time. When a file cannot be written (full disk, file size limit) it tries again and again and reads no more of that stream meanwhile: nothing
 * is lost until the pipes and then the workers' buffers are full, and what is lost then is counted where it is dropped (line_pipe.h). */
#ifndef PROXYD_LOGGER_H
#define PROXYD_LOGGER_H

#include "shared/clock.h"
#include "shared/log.h"

enum log_stream { LOG_STREAM_LOG, LOG_STREAM_AUDIT, LOG_STREAMS };
/* "log", "audit" */
const char *log_stream_name(enum log_stream s);

#define LOGGER_RETRY_MS 200
/* A longer line is nobody's honest one (LINE_PIPE_BYTES_MAX) and is passed over. */
#define LOGGER_LINE_BYTES_MAX (1u << 20)

struct logger_source {
	enum log_stream stream;
	int fd; /* read end of a pipe */
};
struct logger_start {
	int control_fd;                       /* SOCK_SEQPACKET to master (control.h): CONTROL_LOG_* */
	int output_fds[LOG_STREAMS];          /* -1: none yet, lines wait */
	const struct logger_source *sources;  /* pipes that exist already; taken */
	size_t source_n;
	const struct clock *clock;
};
/* Runs until the control socket ends, then until every pipe has ended or nothing more of it can be written. Returns the exit status. */
int logger_run(const struct logger_start *start);

#endif
