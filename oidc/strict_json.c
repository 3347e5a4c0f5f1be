#include <stdlib.h>
#include <threads.h>
#include "oidc/strict_json.h"

/* jansson 2.14 ignores an allocation that fails while it collects a string and goes on without the byte: "issuer.example" was read as
 * "issuerexample". So we watch its allocations, and trust no tree during whose making one failed. */
static _Thread_local bool allocation_failed;

static void *
watched_malloc(size_t n)
{
	void *p = malloc(n);

	if (!p)
		allocation_failed = true;
	return p;
}

static void
watch_allocations(void)
{
	json_set_alloc_funcs(watched_malloc, free);
}

void
strict_json_seed(uint32_t seed)
{
	json_object_seed(seed ? seed : 1);
}

/* Nesting is counted before jansson recurses, so that its own limit (2048) never matters. Brackets in strings do not count. */
static bool
depth_ok(struct slice text)
{
	size_t depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > STRICT_JSON_DEPTH_MAX)
				return false;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return true;
}

enum err
strict_json_parse(struct slice text, json_t **out)
{
	static once_flag watched = ONCE_FLAG_INIT;
	json_error_t e;

	if (text.n == 0 || !depth_ok(text))
		return E_FORMAT;
	call_once(&watched, watch_allocations);
	allocation_failed = false;
	json_t *root = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &e);
	if (allocation_failed) {
		json_decref(root);
		return E_NOMEM;
	}
	if (!root)
		return E_FORMAT;
	if (!json_is_object(root)) {
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
