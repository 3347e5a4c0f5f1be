#include "oidc/form.h"

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Decode into out, which holds in.n + 1 bytes; NUL-terminated. */
static enum err
decode(struct slice in, char *out, struct slice *decoded)
{
	char *o = out;

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			if (in.n - i < 3)
				return E_FORMAT;
			int high = hex_digit(in.p[i + 1]), low = hex_digit(in.p[i + 2]);
			if (high < 0 || low < 0)
				return E_FORMAT;
			c = (char)(high << 4 | low);
			i += 2;
		}
		/* A NUL would end the value early for every reader that takes it as a C string. */
		if (c == '\0')
			return E_FORMAT;
		*o++ = c;
	}
	*o = '\0';
	*decoded = slice_of(out, (size_t)(o - out));
	return slice_is_utf8(*decoded) ? OK : E_FORMAT;
}

enum err
form_decode(struct slice text, struct arena *arena, struct slice *out)
{
	if (text.n > FORM_BYTES_MAX)
		return E_LIMIT;
	char *p = arena_alloc(arena, text.n + 1);
	return p ? decode(text, p, out) : E_NOMEM;
}

enum err
form_parse(struct slice text, struct arena *arena, struct form *out)
{
	out->n = 0;
	if (text.n > FORM_BYTES_MAX)
		return E_LIMIT;
	/* Each field needs its bytes and two NULs; '=' and '&' give room for them, except where a field has no '=' and at the end. */
	char *p = arena_alloc(arena, text.n + FORM_FIELDS_MAX + 1);
	if (!p)
		return E_NOMEM;
	while (text.n > 0) {
		struct slice value = slice_cut(&text, '&');
		if (value.n == 0)
			continue;
		if (out->n == FORM_FIELDS_MAX)
			return E_LIMIT;
		struct form_field *field = &out->fields[out->n];
		struct slice name = slice_cut(&value, '=');
		enum err err = decode(name, p, &field->name);
		if (err)
			return err;
		p += field->name.n + 1;
		err = decode(value, p, &field->value);
		if (err)
			return err;
		p += field->value.n + 1;
		out->n++;
	}
	return OK;
}

struct slice
form_get(const struct form *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++) {
		if (slice_eq_str(f->fields[i].name, name))
			return f->fields[i].value;
	}
	return SLICE_NONE;
}

static bool
listed(const char *const *names, struct slice name)
{
	for (; names && *names; names++) {
		if (slice_eq_str(name, *names))
			return true;
	}
	return false;
}

struct slice
form_duplicate(const struct form *f, const char *const *repeatable)
{
	for (size_t i = 1; i < f->n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (slice_eq(f->fields[i].name, f->fields[j].name) && !listed(repeatable, f->fields[i].name))
				return f->fields[i].name;
		}
	}
	return SLICE_NONE;
}
