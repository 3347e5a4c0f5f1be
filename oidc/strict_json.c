#include "oidc/strict_json.h"

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
	json_error_t e;

	if (text.n == 0 || !depth_ok(text))
		return E_FORMAT;
	json_t *root = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &e);
	if (!root) {
		/* jansson names every fault of the text and stays silent when an allocation failed. */
		enum json_error_code code = json_error_code(&e);
		return code == json_error_unknown || code == json_error_out_of_memory ? E_NOMEM : E_FORMAT;
	}
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
