/* An answer's head for any method; what passes is written for the client and must say the same to the strict parser and to a lenient reader. */
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

static void
check_written(const struct http_head *h, enum http_method method, const struct response_context *c, struct slice sent)
{
	static const struct http_limits limits = { 1 << 20, 1 << 20 };
	static struct http_head again;
	struct oracle_seen seen;
	size_t scanned = 0, head_bytes = 0;
	const char *why;

	if (h->header_n > HTTP_HEADERS_MAX - ORACLE_HEADERS_ADDED)
		return;
	if (http_response_parse(sent.p, sent.n, &scanned, &limits, method, &again, &head_bytes, &why) != HTTP_OK || head_bytes != sent.n)
		stop("what is sent is refused by our own parser");
	if (again.status != h->status || again.upgrade != h->upgrade)
		stop("status or upgrade differs");
	oracle_read_leniently(sent, &seen);
	if (seen.framing > 1)
		stop("more than one framing header");
	if (h->status < 200)
		return;
	if (again.framing != c->framing || (c->framing == FRAMING_LENGTH && again.content_length != h->content_length))
		stop("the body is framed differently");
	if (again.keep_alive != (!c->close && c->framing != FRAMING_CLOSE))
		stop("the connection's end is announced differently");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct http_limits limits = { 65536, 8192 };
	static struct http_head head;
	size_t scanned = 0, head_bytes = 0;
	const char *why = NULL;

	if (n < 1)
		return 0;
	enum http_method method = data[0] & 1 ? METHOD_HEAD : METHOD_GET;
	struct response_context c = { .close = data[0] & 2, .minor = data[0] & 4 ? 0 : 1, .hsts = data[0] & 8, .request_id = SLICE_LIT("rid"),
		.session_cookie = SLICE_LIT("s") };
	if (http_response_parse((const char *)data + 1, n - 1, &scanned, &limits, method, &head, &head_bytes, &why) != HTTP_OK)
		return 0;
	if (head_bytes > n - 1)
		stop("a head longer than what there is");
	c.framing = head.framing == FRAMING_CHUNKED && c.minor == 0 ? FRAMING_CLOSE : head.framing;

	struct buf out;
	buf_init(&out, 0);
	if (forward_response(&head, &c, &out) != OK)
		stop("what was parsed could not be written");
	check_written(&head, method, &c, buf_slice(&out));
	buf_fini(&out);
	return 0;
}
