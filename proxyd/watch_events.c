#include "proxyd/watch_events.h"

void
watch_events_init(struct watch_events *w, struct slice content_type)
{
	struct slice type = slice_cut(&content_type, ';');

	while (type.n && type.p[type.n - 1] == ' ')
		type.n--;
	*w = (struct watch_events){ .format = slice_eq_nocase(type, SLICE_LIT("application/json")) ? WATCH_JSON :
		slice_eq_nocase(type, SLICE_LIT("application/vnd.kubernetes.protobuf")) ? WATCH_PROTOBUF : WATCH_UNKNOWN };
}

static size_t
take_json(struct watch_events *w, struct slice s)
{
	size_t whole = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (w->text) {
			if (w->escape)
				w->escape = false;
			else if (c == '\\')
				w->escape = true;
			else if (c == '"')
				w->text = false;
		} else if (c == '"') {
			w->text = true;
		} else if (c == '{' || c == '[') {
			w->depth++;
		} else if (c == '}' || c == ']') {
			w->depth -= w->depth > 0;
		}
		if (w->depth == 0 && !w->text)
			whole = i + 1; /* the end of an event, or blanks behind it */
	}
	return whole;
}

static size_t
take_protobuf(struct watch_events *w, struct slice s)
{
	size_t whole = 0, at = 0;

	while (at < s.n) {
		if (w->length_n < 4) {
			w->length = w->length << 8 | (unsigned char)s.p[at++];
			if (++w->length_n < 4)
				continue;
			w->left = w->length;
		}
		size_t n = s.n - at < w->left ? s.n - at : w->left;
		at += n;
		w->left -= (uint32_t)n;
		if (w->left == 0) {
			w->length = 0;
			w->length_n = 0;
			whole = at;
		}
	}
	return whole;
}

size_t
watch_events_take(struct watch_events *w, struct slice bytes)
{
	switch (w->format) {
	case WATCH_JSON:
		return take_json(w, bytes);
	case WATCH_PROTOBUF:
		return take_protobuf(w, bytes);
	case WATCH_UNKNOWN:
		break;
	}
	return bytes.n;
}

bool
watch_events_between(const struct watch_events *w)
{
	return w->depth == 0 && !w->text && w->length_n == 0;
}
