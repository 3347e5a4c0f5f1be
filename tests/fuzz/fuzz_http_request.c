/* A request's head, whole and cut anywhere; what passes is forwarded and judged by the readers of http_oracle.h. */
#include <stdio.h>
#include <stdlib.h>
#include "tests/unit/http_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
stop(const char *why)
{
	fprintf(stderr, "%s\n", why);
	abort();
}

/* Decoded once, as any upstream does, a path that was taken has no dot segment and no control byte. */
static void
check_path(struct slice path)
{
	char decoded[8192 + 2];
	size_t n = 0;

	if (slice_eq_str(path, "*"))
		return;
	for (size_t i = 0; i < path.n; i++) {
		char c = path.p[i];
		if (c == '%') {
			char hex[3] = { path.p[i + 1], path.p[i + 2], 0 };
			c = (char)strtol(hex, NULL, 16);
			i += 2;
		}
		if ((unsigned char)c < 0x20 || c == 0x7f || c == '\\')
			stop("control byte or backslash in a path");
		decoded[n++] = c;
	}
	decoded[n++] = '/';
	decoded[n] = '\0';
	if (memmem(decoded, n, "/../", 4) || memmem(decoded, n, "/./", 3) || memmem(decoded, n, "/..;", 4))
		stop("dot segment in a path");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct http_limits limits = { 65536, 8192 };
	static struct http_head head, again;
	size_t scanned = 0, head_bytes = 0, cut_bytes = 0;
	const char *why = NULL;

	if (n < 2)
		return 0;
	const char *text = (const char *)data + 2;
	n -= 2;
	size_t cut = (size_t)(data[0] | data[1] << 8) % (n + 1);
	enum http_verdict whole = http_request_parse(text, n, &scanned, &limits, &head, &head_bytes, &why);
	if (whole != HTTP_OK && whole != HTTP_MORE && !why)
		stop("refused without a reason");

	scanned = 0;
	enum http_verdict pieces = http_request_parse(text, cut, &scanned, &limits, &again, &cut_bytes, &why);
	if (pieces == HTTP_MORE)
		pieces = http_request_parse(text, n, &scanned, &limits, &again, &cut_bytes, &why);
	/* An incomplete head may be found bad only when it ends: until then more is asked for. */
	if (pieces != whole && !(pieces == HTTP_MORE && whole != HTTP_OK))
		stop("in pieces it is judged differently");
	if (whole != HTTP_OK)
		return 0;
	if (head_bytes != cut_bytes || head_bytes > n)
		stop("the head's length differs");
	check_path(head.path);
	if (forward_check(&head, &why) != FORWARD_OK)
		return 0;

	struct buf out;
	buf_init(&out, 0);
	why = oracle_judge_all(&head, &out);
	if (why)
		stop(why);
	buf_fini(&out);
	return 0;
}
