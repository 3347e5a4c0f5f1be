/* access_log.h - a line for each request, written together with those of the same batch of events.
 *
 * Up to PIPE_BUF bytes leave in one write(2), so that lines of several workers never mix on a pipe, and a busy worker pays for a system call per dozen
 * lines. Nothing stays behind when the loop goes to sleep. */
#ifndef PROXYD_ACCESS_LOG_H
#define PROXYD_ACCESS_LOG_H

#include <limits.h>
#include "shared/log.h"
#include "shared/loop.h"

struct access_log {
	struct loop *loop;
	struct loop_deferred flush;
	bool queued;
	size_t n;
	char lines[PIPE_BUF];
};

void access_log_init(struct access_log *a, struct loop *loop);
/* fields: as for log_write. Below level info nothing is done. */
void access_log_add(struct access_log *a, const struct log_field *fields);
/* Write what is held. The loop does so after each batch; the owner before it ends. */
void access_log_flush(struct access_log *a);

#endif
