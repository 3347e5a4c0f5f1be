/* What a path may look like. The aim: routes, clusters and policy are chosen by the raw bytes, the same raw bytes are sent on, and no
 * upstream, however it decodes or merges them, ends up somewhere else than where we decided that it would. So:
 *  - dot segments are refused in every spelling: plain, escaped, cut by an escaped slash, or with a ";parameter" behind them;
 *  - so are backslashes, controls and bytes that are no UTF-8 (overlong forms included), plain or escaped, and broken escapes;
 *  - the first PATH_ROUTED_SEGMENTS segments, which routes and cluster names live in, are literal: nothing empty ("//"), no escaped
 *    slash, no ';'. Behind them those are data: repository URLs in a console's path, a pod's own URLs behind its proxy subresource. */
#include "proxyd/http_bytes.h"
#include "proxyd/http_head.h"

#define PATH_ROUTED_SEGMENTS 3 /* "/clusters/<name>/api" */

/* The byte that stands at p, escaped or not; *n: how many bytes that took. -1: a broken escape. */
static int
path_byte(struct slice path, size_t at, size_t *n)
{
	*n = 1;
	if (path.p[at] != '%')
		return (unsigned char)path.p[at];
	if (path.n - at < 3 || !http_byte_is(path.p[at + 1], HTTP_BYTE_HEX) || !http_byte_is(path.p[at + 2], HTTP_BYTE_HEX))
		return -1;
	*n = 3;
	return (int)(http_byte_hex(path.p[at + 1]) << 4 | http_byte_hex(path.p[at + 2]));
}

/* An escaped character of more than one byte begins at path.p[at]: its length there, 0 when it is no UTF-8. */
static size_t
escaped_utf8(struct slice path, size_t at)
{
	char bytes[4];
	size_t n = 0, width;

	for (size_t i = at; n < sizeof(bytes) && i < path.n && path.p[i] == '%'; i += width) {
		int byte = path_byte(path, i, &width);
		if (byte < 0)
			break;
		bytes[n++] = (char)byte;
	}
	return 3 * slice_utf8_first(slice_of(bytes, n));
}

/* One segment as the most generous reader sees it: how many bytes so far, whether all of them were dots, and whether it ended. */
struct segment {
	size_t n, dots;
	bool parameters; /* behind a ';' */
};

static bool
segment_is_dots(const struct segment *s)
{
	return s->n == s->dots && (s->n == 1 || s->n == 2);
}

bool
http_path_ok(struct slice path, const char **why)
{
	struct segment segment = { 0 };
	size_t slashes = 0, width;

	if (path.n == 0 || path.p[0] != '/') {
		*why = "the path does not begin with a slash";
		return false;
	}
	for (size_t at = 0; at < path.n; at += width) {
		size_t start = at;
		while (at < path.n && http_byte_is(path.p[at], HTTP_BYTE_PLAIN))
			at++;
		if (!segment.parameters)
			segment.n += at - start;
		if (at == path.n)
			break;
		bool escaped = path.p[at] == '%', routed = slashes <= PATH_ROUTED_SEGMENTS;
		int byte = path_byte(path, at, &width);

		if (!http_byte_is(path.p[at], HTTP_BYTE_PATH)) {
			*why = "byte that is not allowed in a path";
			return false;
		}
		if (byte < 0) {
			*why = "broken percent escape in the path";
			return false;
		}
		if (byte < 0x20 || byte == 0x7f || byte == '\\') {
			*why = "escaped control byte or backslash in the path";
			return false;
		}
		if (byte >= 0x80) {
			width = escaped_utf8(path, at);
			if (width == 0) {
				*why = "escaped bytes in the path are not UTF-8";
				return false;
			}
		}
		if (byte == '/') {
			if (segment_is_dots(&segment))
				goto dots;
			if (routed && (escaped || (slashes > 0 && segment.n == 0))) {
				*why = "empty segment or escaped slash where the path is routed";
				return false;
			}
			slashes += !escaped;
			segment = (struct segment){ 0 };
		} else if (byte == ';') {
			if (routed) {
				*why = "semicolon where the path is routed";
				return false;
			}
			segment.parameters = true;
		} else if (!segment.parameters) {
			segment.n++;
			segment.dots += byte == '.';
		}
	}
	if (!segment_is_dots(&segment))
		return true;
dots:
	*why = "dot segment in the path";
	return false;
}

static bool
port_ok(struct slice port)
{
	uint64_t n;
	return port.n <= 5 && slice_to_u64(port, 65535, &n) && n > 0;
}

bool
http_authority_ok(struct slice authority)
{
	struct slice rest = authority;

	if (rest.n && rest.p[0] == '[') { /* an IPv6 literal; whether it is a well-formed one is of no consequence here */
		size_t i = 1;
		while (i < rest.n && (http_byte_is(rest.p[i], HTTP_BYTE_HEX) || rest.p[i] == ':' || rest.p[i] == '.'))
			i++;
		if (i < 3 || i == rest.n || rest.p[i] != ']')
			return false;
		rest = slice_of(rest.p + i + 1, rest.n - i - 1);
	} else {
		size_t i = 0;
		while (i < rest.n && http_byte_is(rest.p[i], HTTP_BYTE_UNRESERVED))
			i++;
		if (i == 0)
			return false;
		rest = slice_of(rest.p + i, rest.n - i);
	}
	return rest.n == 0 || (rest.p[0] == ':' && port_ok(slice_of(rest.p + 1, rest.n - 1)));
}
