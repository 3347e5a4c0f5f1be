/* Any form: names and values are clean text, and written anew they read the same. */
#include "oidc/form.h"
#include "shared/buf.h"
#include "tests/fuzz/must.h"

static void
check_text(struct slice s)
{
	MUST(s.p && s.p[s.n] == '\0' && strlen(s.p) == s.n && slice_is_utf8(s));
}

static void
check_round_trip(const struct form *form, struct arena *arena)
{
	struct form again;
	struct buf text;

	buf_init(&text, 0);
	for (size_t i = 0; i < form->n; i++) {
		if (i)
			buf_add_char(&text, '&');
		buf_add_urlencoded(&text, form->fields[i].name);
		buf_add_char(&text, '=');
		buf_add_urlencoded(&text, form->fields[i].value);
	}
	if (text.n <= FORM_BYTES_MAX) {
		MUST(form_parse(buf_slice(&text), arena, &again) == OK && again.n == form->n);
		for (size_t i = 0; i < form->n; i++)
			MUST(slice_eq(again.fields[i].name, form->fields[i].name) && slice_eq(again.fields[i].value, form->fields[i].value));
	}
	buf_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena arena;
	struct form form;

	arena_init(&arena, 1u << 20);
	if (form_parse(slice_of((const char *)data, n), &arena, &form) == OK) {
		MUST(form.n <= FORM_FIELDS_MAX);
		for (size_t i = 0; i < form.n; i++) {
			check_text(form.fields[i].name);
			check_text(form.fields[i].value);
			MUST(form_get(&form, form.fields[i].name.p).p != NULL);
		}
		(void)form_duplicate(&form, NULL);
		check_round_trip(&form, &arena);
	}
	arena_fini(&arena);
	return 0;
}
