#include "shared/config.h"

/* Length of the unit that s starts with and its nanoseconds; 0: none. "µs" has two spellings (U+00B5, U+03BC). */
static size_t
unit_of(struct slice s, uint64_t *ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "ns", 1 },
		{ "us", 1000 },
		{ "\xC2\xB5s", 1000 },
		{ "\xCE\xBCs", 1000 },
		{ "ms", 1000000 },
		{ "s", 1000000000 },
		{ "m", 60000000000 },
		{ "h", 3600000000000 },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (slice_has_prefix(s, slice_str(units[i].name))) {
			*ns = units[i].ns;
			return strlen(units[i].name);
		}
	return 0;
}

static size_t
digits_of(struct slice s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	return n;
}

static void
skip(struct slice *s, size_t n)
{
	*s = slice_of(s->p + n, s->n - n);
}

/* One "1.5h" from the front of *s, in nanoseconds. */
static enum err
read_part(struct slice *s, uint64_t *out)
{
	size_t whole = digits_of(*s), fraction = 0;
	struct slice digits = slice_of(s->p, whole);
	uint64_t value = 0, unit;
	double part = 0, scale = 1;

	skip(s, whole);
	if (s->n && s->p[0] == '.') {
		skip(s, 1);
		fraction = digits_of(*s);
		for (size_t i = 0; i < fraction && i < 15; i++) { /* as many as a double holds */
			part = part * 10 + (s->p[i] - '0');
			scale *= 10;
		}
		skip(s, fraction);
	}
	size_t n = unit_of(*s, &unit);
	if (whole + fraction == 0 || n == 0)
		return E_FORMAT;
	skip(s, n);
	if (whole && !slice_to_u64(digits, INT64_MAX / unit, &value))
		return E_LIMIT;
	*out = value * unit + (uint64_t)(part * ((double)unit / scale)); /* < 2^63 + 3.6e12 */
	return OK;
}

enum err
duration_parse_ms(struct slice s, int64_t *out)
{
	uint64_t total = 0;

	if (s.n && s.p[0] == '+')
		skip(&s, 1);
	if (s.n == 0)
		return E_FORMAT;
	if (slice_eq_str(s, "0")) {
		*out = 0;
		return OK;
	}
	while (s.n) {
		uint64_t part;
		enum err e = read_part(&s, &part);
		if (e != OK)
			return e;
		if (part > INT64_MAX - total)
			return E_LIMIT;
		total += part;
	}
	*out = (int64_t)((total + 999999) / 1000000);
	return OK;
}
