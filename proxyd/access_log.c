#include <string.h>
#include "proxyd/access_log.h"

static void
on_flush(struct loop_deferred *d)
{
	struct access_log *a = (struct access_log *)((char *)d - offsetof(struct access_log, flush));

	a->queued = false;
	access_log_flush(a);
}

void
access_log_init(struct access_log *a, struct loop *loop)
{
	a->loop = loop;
	a->flush = (struct loop_deferred){ .run = on_flush };
	a->queued = false;
	a->n = 0;
}

void
access_log_flush(struct access_log *a)
{
	if (a->n)
		log_write_lines(a->lines, a->n);
	a->n = 0;
}

void
access_log_add(struct access_log *a, const struct log_field *fields)
{
	char line[LOG_LINE_BYTES_MAX];
	size_t n = log_line(line, LOG_LEVEL_INFO, "request", fields);

	if (n == 0)
		return;
	if (n > sizeof(a->lines) - a->n)
		access_log_flush(a);
	if (n > sizeof(a->lines)) {
		log_write_lines(line, n);
		return;
	}
	memcpy(a->lines + a->n, line, n);
	a->n += n;
	if (a->queued)
		return;
	a->queued = true;
	loop_defer(a->loop, &a->flush);
}
