/* Any text: read as jansson's own parser reads it, or refused, as that does; but what is nested deeper than we allow, what is no object, and a NUL, which that one
 * passes over behind a number. */
#include <string.h>
#include "oidc/strict_json.h"
#include "tests/fuzz/must.h"

static unsigned
depth_of(json_t *v)
{
	unsigned deepest = 0;
	const char *name;
	json_t *member;
	size_t i;

	if (!json_is_object(v) && !json_is_array(v))
		return 0;
	if (json_is_object(v)) {
		json_object_foreach(v, name, member) {
			unsigned depth = depth_of(member);
			deepest = depth > deepest ? depth : deepest;
		}
	} else {
		json_array_foreach(v, i, member) {
			unsigned depth = depth_of(member);
			deepest = depth > deepest ? depth : deepest;
		}
	}
	return deepest + 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct slice text = { (const char *)data, n };
	json_t *ours = NULL, *theirs = NULL;

	enum err err = strict_json_parse(text, &ours);
	MUST(err == OK || err == E_FORMAT);
	MUST((err == OK) == (ours != NULL));
	if (n && memchr(data, 0, n)) {
		MUST(err == E_FORMAT);
		return 0;
	}
	theirs = n ? json_loadb(text.p, n, JSON_REJECT_DUPLICATES, NULL) : NULL;
	MUST((err == OK) == (json_is_object(theirs) && depth_of(theirs) <= STRICT_JSON_DEPTH_MAX));
	if (ours) {
		char *one = json_dumps(ours, JSON_COMPACT | JSON_REAL_PRECISION(17)), *other = json_dumps(theirs, JSON_COMPACT | JSON_REAL_PRECISION(17));
		MUST(one && other && strcmp(one, other) == 0);
		free(one);
		free(other);
	}
	json_decref(ours);
	json_decref(theirs);
	return 0;
}
