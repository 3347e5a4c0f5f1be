#include <inttypes.h>
#include <stdio.h>
#include "shared/openmetrics.h"

void
openmetrics_family(struct buf *out, const char *name, const char *type, const char *unit, const char *help)
{
	buf_printf(out, "# TYPE %s %s\n", name, type);
	if (unit)
		buf_printf(out, "# UNIT %s %s\n", name, unit);
	buf_printf(out, "# HELP %s %s\n", name, help);
}

static void
add_label_value(struct buf *out, struct slice s)
{
	while (s.n) {
		size_t n = slice_utf8_first(s);
		if (n == 0)
			buf_add_str(out, "\xef\xbf\xbd"); /* U+FFFD: the text has to be UTF-8 */
		else if (*s.p == '\n')
			buf_add_str(out, "\\n");
		else {
			if (*s.p == '\\' || *s.p == '"')
				buf_add_char(out, '\\');
			buf_add(out, s.p, n);
		}
		n += n == 0;
		s = slice_of(s.p + n, s.n - n);
	}
}

/* name suffix {labels} and the blank behind. */
static void
add_name(struct buf *out, const char *name, const char *suffix, const struct openmetrics_label *labels)
{
	buf_printf(out, "%s%s", name, suffix);
	for (const struct openmetrics_label *l = labels; l && l->name; l++) {
		buf_printf(out, "%c%s=\"", l == labels ? '{' : ',', l->name);
		add_label_value(out, l->value);
		buf_add_char(out, '"');
	}
	buf_add_str(out, labels && labels->name ? "} " : " ");
}

static const char *
fraction(int64_t value, unsigned decimals, char out[40])
{
	uint64_t whole = value < 0 ? 0 - (uint64_t)value : (uint64_t)value, scale = 1;
	int n;

	for (unsigned i = 0; i < decimals; i++)
		scale *= 10;
	n = snprintf(out, 40, "%s%" PRIu64 ".%0*" PRIu64, value < 0 ? "-" : "", whole / scale, (int)decimals, whole % scale);
	/* Without the zeros that say nothing: bounds are compared as text by some who read them. */
	while (n > 0 && out[n - 1] == '0' && out[n - 2] != '.')
		out[--n] = '\0';
	return out;
}

void
openmetrics_uint(struct buf *out, const char *name, const char *suffix, const struct openmetrics_label *labels, uint64_t value)
{
	add_name(out, name, suffix, labels);
	buf_printf(out, "%" PRIu64 "\n", value);
}

void
openmetrics_fraction(struct buf *out, const char *name, const char *suffix, const struct openmetrics_label *labels, int64_t value, unsigned decimals)
{
	char text[40];

	add_name(out, name, suffix, labels);
	buf_printf(out, "%s\n", decimals ? fraction(value, decimals, text) : (snprintf(text, sizeof(text), "%" PRId64, value), text));
}

void
openmetrics_histogram(struct buf *out, const char *name, const struct openmetrics_label *labels, const uint64_t *bounds, const uint64_t *counts, size_t n,
	uint64_t sum, unsigned decimals)
{
	struct openmetrics_label all[OPENMETRICS_LABELS_MAX + 2] = { { NULL, SLICE_NONE } };
	size_t label_n = 0;
	uint64_t seen = 0;
	char le[40];

	for (; labels && labels[label_n].name && label_n < OPENMETRICS_LABELS_MAX; label_n++)
		all[label_n] = labels[label_n];
	for (size_t i = 0; i <= n; i++) {
		seen += counts[i];
		all[label_n] = (struct openmetrics_label){ "le", slice_str(i < n ? fraction((int64_t)bounds[i], decimals, le) : "+Inf") };
		openmetrics_uint(out, name, "_bucket", all, seen);
	}
	openmetrics_uint(out, name, "_count", labels, seen);
	openmetrics_fraction(out, name, "_sum", labels, (int64_t)sum, decimals);
}

void
openmetrics_end(struct buf *out)
{
	buf_add_str(out, "# EOF\n");
}
