/* metrics_report.h - what workers and master have counted, as OpenMetrics text for the admin address. Pure but for the memory it reads.
 *
 * What stands there was written by workers: it is numbers and names, whatever they are. */
#ifndef PROXYD_METRICS_REPORT_H
#define PROXYD_METRICS_REPORT_H

#include "proxyd/metrics.h"
#include "shared/buf.h"

/* What is counted where, as a number: two programs for which it is the same may count in the same memory. */
uint32_t metrics_layout(void);
/* Families with their samples, without "# EOF". */
void metrics_report(const struct metrics_view *v, struct buf *out);

#endif
