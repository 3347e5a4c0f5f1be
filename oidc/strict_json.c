#include <math.h>
#include <stdlib.h>
#include "oidc/strict_json.h"

struct reader {
	const char *p, *end;
	enum err err;
	unsigned depth;
};

static json_t *read_value(struct reader *r);

void
strict_json_seed(uint32_t seed)
{
	json_object_seed(seed ? seed : 1);
}

/* Also as a value that is not there. */
static void *
fail(struct reader *r, enum err err)
{
	r->err = err;
	return NULL;
}

/* What the library could not make. */
static json_t *
made(struct reader *r, json_t *v)
{
	return v ? v : fail(r, E_NOMEM);
}

/* RFC 8259 section 2 */
static void
skip_blanks(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
		r->p++;
}

static bool
take(struct reader *r, char c)
{
	skip_blanks(r);
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

/* ---- strings: RFC 8259 section 7 ---- */

/* The ASCII that stands for itself. */
static const bool plain[256] = { [' '] = true, ['!'] = true, ['#' ... '['] = true, [']' ... 0x7f] = true };

/* -1: not four digits. */
static int
hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
		if (digit < 0)
			return -1;
		v = v * 16 + digit;
	}
	return v;
}

/* The character behind "\u" at *p, which moves behind it. -1: none, NUL, or half of a pair. */
static int
take_escaped(const char **p, const char *end)
{
	int high = hex4(*p, end);

	if (high <= 0 || (high >= 0xdc00 && high <= 0xdfff))
		return -1;
	*p += 4;
	if (high < 0xd800 || high > 0xdbff)
		return high;
	if (end - *p < 2 || (*p)[0] != '\\' || (*p)[1] != 'u')
		return -1;
	int low = hex4(*p + 2, end);
	*p += 6;
	return low >= 0xdc00 && low <= 0xdfff ? 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00) : -1;
}

/* RFC 3629 section 3. What it takes is less than its escape: 3 of 6 bytes, 4 of 12. */
static char *
put_utf8(char *out, int c)
{
	if (c < 0x80) {
		*out++ = (char)c;
		return out;
	}
	if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		*out++ = (char)(0xe0 | c >> 12);
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		*out++ = (char)(0xf0 | c >> 18);
		*out++ = (char)(0x80 | (c >> 12 & 0x3f));
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*out++ = (char)(0x80 | (c & 0x3f));
	return out;
}

/* Of a text without quotes, in which something stands behind each backslash. out has room for text.n bytes. The end; NULL: an escape that is none. */
static char *
unescape(struct slice text, char *out)
{
	static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	const char *p = text.p, *end = text.p + text.n;

	while (p < end) {
		if (*p != '\\') {
			*out++ = *p++;
			continue;
		}
		const char *name = p[1] ? strchr(names, p[1]) : NULL;
		if (!name && p[1] != 'u')
			return NULL;
		p += 2;
		if (name) {
			*out++ = means[name - names];
			continue;
		}
		int c = take_escaped(&p, end);
		if (c < 0)
			return NULL;
		out = put_utf8(out, c);
	}
	return out;
}

/* Behind the opening quote. *out lies in the text or in *own, which the caller frees. */
static bool
read_string(struct reader *r, struct slice *out, char **own)
{
	const char *start = r->p;
	bool escapes = false;

	*own = NULL;
	for (;;) {
		while (r->p < r->end && plain[(unsigned char)*r->p])
			r->p++;
		if (r->p < r->end && *r->p == '"')
			break;
		bool escape = r->end - r->p >= 2 && *r->p == '\\';
		/* 0: no UTF-8, the end, or a control character. */
		size_t n = escape ? 2 : r->p < r->end && (unsigned char)*r->p >= 0x80 ? slice_utf8_first(slice_of(r->p, (size_t)(r->end - r->p))) : 0;
		if (n == 0)
			return fail(r, E_FORMAT);
		r->p += n;
		escapes |= escape;
	}
	*out = slice_of(start, (size_t)(r->p++ - start));
	if (!escapes)
		return true;
	if (!(*own = malloc(out->n)))
		return fail(r, E_NOMEM);
	const char *end = unescape(*out, *own);
	if (!end) {
		free(*own);
		*own = NULL;
		return fail(r, E_FORMAT);
	}
	*out = slice_of(*own, (size_t)(end - *own));
	return true;
}

static json_t *
string_value(struct reader *r)
{
	struct slice text;
	char *own;

	r->p++;
	if (!read_string(r, &text, &own))
		return NULL;
	json_t *v = made(r, json_stringn_nocheck(text.p, text.n));
	free(own);
	return v;
}

/* ---- numbers: RFC 8259 section 6 ---- */

static bool
skip_digits(struct reader *r)
{
	const char *start = r->p;

	while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
		r->p++;
	return r->p > start;
}

static json_t *
real_value(struct reader *r, struct slice text)
{
	char *copy = strndup(text.p, text.n);

	if (!copy)
		return fail(r, E_NOMEM);
	double v = strtod(copy, NULL);
	free(copy);
	return isfinite(v) ? made(r, json_real(v)) : fail(r, E_FORMAT);
}

static json_t *
integer_value(struct reader *r, struct slice text)
{
	bool negative = *text.p == '-';
	uint64_t v;

	/* The least one's absolute value is one more than the greatest's. */
	if (!slice_to_u64(slice_of(text.p + negative, text.n - negative), (uint64_t)INT64_MAX + negative, &v))
		return fail(r, E_FORMAT);
	return made(r, json_integer(negative ? (json_int_t)(0 - v) : (json_int_t)v));
}

static json_t *
number_value(struct reader *r)
{
	const char *start = r->p;
	bool real = false;

	r->p += *r->p == '-';
	if (r->p < r->end && *r->p == '0')
		r->p++; /* nothing stands behind a zero in front */
	else if (!skip_digits(r))
		return fail(r, E_FORMAT);
	if (r->p < r->end && *r->p == '.') {
		r->p++;
		real = true;
		if (!skip_digits(r))
			return fail(r, E_FORMAT);
	}
	if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
		r->p++;
		real = true;
		r->p += r->p < r->end && (*r->p == '+' || *r->p == '-');
		if (!skip_digits(r))
			return fail(r, E_FORMAT);
	}
	struct slice text = { start, (size_t)(r->p - start) };
	return real ? real_value(r, text) : integer_value(r, text);
}

/* ---- what holds others ---- */

static bool
add_member(struct reader *r, json_t *object)
{
	struct slice name;
	char *own;

	if (!take(r, '"'))
		return fail(r, E_FORMAT);
	if (!read_string(r, &name, &own))
		return false;
	json_t *v = NULL;
	if (json_object_getn(object, name.p, name.n) || !take(r, ':'))
		fail(r, E_FORMAT);
	else if ((v = read_value(r)) && json_object_setn_new_nocheck(object, name.p, name.n, v))
		v = fail(r, E_NOMEM);
	free(own);
	return v;
}

static bool
add_element(struct reader *r, json_t *array)
{
	json_t *v = read_value(r);

	if (v && json_array_append_new(array, v))
		v = fail(r, E_NOMEM);
	return v;
}

static json_t *
read_members(struct reader *r, json_t *v, char close, bool (*add)(struct reader *r, json_t *v))
{
	r->p++;
	if (!made(r, v))
		return NULL;
	bool ok = take(r, close);
	if (!ok) {
		do
			ok = add(r, v);
		while (ok && take(r, ','));
		if (ok && !take(r, close))
			ok = fail(r, E_FORMAT);
	}
	if (ok)
		return v;
	json_decref(v);
	return NULL;
}

static json_t *
nested_value(struct reader *r)
{
	if (r->depth == STRICT_JSON_DEPTH_MAX)
		return fail(r, E_FORMAT);
	r->depth++;
	json_t *v = *r->p == '{' ? read_members(r, json_object(), '}', add_member) : read_members(r, json_array(), ']', add_element);
	r->depth--;
	return v;
}

static json_t *
literal_value(struct reader *r)
{
	static const struct slice words[] = { { "true", 4 }, { "false", 5 }, { "null", 4 } };
	struct slice rest = { r->p, (size_t)(r->end - r->p) };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_has_prefix(rest, words[i])) {
			r->p += words[i].n;
			return i == 0 ? json_true() : i == 1 ? json_false() : json_null();
		}
	return fail(r, E_FORMAT);
}

static json_t *
read_value(struct reader *r)
{
	skip_blanks(r);
	if (r->p == r->end)
		return fail(r, E_FORMAT);
	switch (*r->p) {
	case '{':
	case '[':
		return nested_value(r);
	case '"':
		return string_value(r);
	case '-':
	case '0' ... '9':
		return number_value(r);
	default:
		return literal_value(r);
	}
}

enum err
strict_json_parse(struct slice text, json_t **out)
{
	struct reader r = { .p = text.p, .end = text.n ? text.p + text.n : text.p };

	skip_blanks(&r);
	if (r.p == r.end || *r.p != '{')
		return E_FORMAT;
	json_t *root = read_value(&r);
	if (!root)
		return r.err;
	skip_blanks(&r);
	if (r.p != r.end) {
		json_decref(root);
		return E_FORMAT;
	}
	*out = root;
	return OK;
}

struct slice
strict_json_string(const json_t *v)
{
	if (!json_is_string(v))
		return SLICE_NONE;
	return slice_of(json_string_value(v), json_string_length(v));
}

bool
strict_json_integer(const json_t *v, int64_t min, int64_t max, int64_t *out)
{
	if (!json_is_integer(v))
		return false;
	json_int_t i = json_integer_value(v);
	if (i < min || i > max)
		return false;
	*out = i;
	return true;
}
