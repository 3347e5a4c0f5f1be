/* openmetrics.h - printing metrics as text.   Spec: OpenMetrics 1.0, sections "Text format" and "Metric types". */
#ifndef SHARED_OPENMETRICS_H
#define SHARED_OPENMETRICS_H

#include "shared/buf.h"

#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

struct openmetrics_label {
	const char *name; /* NULL ends the list */
	struct slice value;
};

/* type: "counter", "gauge", "histogram", "info". unit: what name ends with, or NULL. A counter's samples end in _total, which name has not. */
void openmetrics_family(struct buf *out, const char *name, const char *type, const char *unit, const char *help);
/* labels: NULL, or ended by a name of NULL. suffix: "_total" and the like, or "". */
void openmetrics_uint(struct buf *out, const char *name, const char *suffix, const struct openmetrics_label *labels, uint64_t value);
/* value / 10^decimals. */
void openmetrics_fraction(struct buf *out, const char *name, const char *suffix, const struct openmetrics_label *labels, int64_t value, unsigned decimals);

/* counts[i]: how many were at most bounds[i] and more than the one before; counts[n]: the rest. bounds and sum are in units of 10^-decimals of the
 * family's (microseconds: 6). At most OPENMETRICS_LABELS_MAX labels. */
#define OPENMETRICS_LABELS_MAX 4
void openmetrics_histogram(struct buf *out, const char *name, const struct openmetrics_label *labels, const uint64_t *bounds, const uint64_t *counts, size_t n,
	uint64_t sum, unsigned decimals);

void openmetrics_end(struct buf *out);

#endif
