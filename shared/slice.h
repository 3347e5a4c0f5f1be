/* slice.h - a borrowed run of bytes: pointer and length, no terminator, may hold NULs.
 * Lives as long as what it points into. */
#ifndef SHARED_SLICE_H
#define SHARED_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const char *p; /* may be NULL only if n is 0 */
	size_t n;
};

#define SLICE_LIT(literal) ((struct slice){ (literal), sizeof(literal) - 1 })
#define SLICE_NONE ((struct slice){ NULL, 0 })
/* For printf("%.*s"). */
#define SLICE_FMT(s) (int)(s).n, ((s).p ? (s).p : "")

static inline struct slice
slice_of(const char *p, size_t n)
{
	return (struct slice){ p, n };
}

static inline struct slice
slice_str(const char *s)
{
	return (struct slice){ s, s ? strlen(s) : 0 };
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool
slice_eq_str(struct slice a, const char *s)
{
	return slice_eq(a, slice_str(s));
}

/* ASCII case only, locale-free. */
bool slice_eq_nocase(struct slice a, struct slice b);
bool slice_has_prefix(struct slice s, struct slice prefix);
bool slice_has_suffix(struct slice s, struct slice suffix);

/* Cut *s at the first `sep`: returns what stands before it and moves *s behind it; all of *s (and
 * *s empty) when sep does not occur. */
struct slice slice_cut(struct slice *s, char sep);

/* Without SP and HTAB at either edge. */
struct slice slice_trim(struct slice s);

/* Decimal digits only (no sign, no blank), value <= max. Returns false otherwise. */
bool slice_to_u64(struct slice s, uint64_t max, uint64_t *out);

/* Well-formed UTF-8 (RFC 3629): no overlong form, no surrogate, nothing past U+10FFFF. */
bool slice_is_utf8(struct slice s);

/* Bytes of the well-formed UTF-8 character that s starts with (1..4); 0: s is empty or starts with none. */
size_t slice_utf8_first(struct slice s);

/* Equal in time that depends on the lengths only. */
bool slice_eq_secret(struct slice a, struct slice b);

#endif
