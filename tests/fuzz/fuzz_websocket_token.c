/* Any Sec-WebSocket-Protocol headers, a line each. A token is taken where there is exactly one and something else beside it; what goes to a cluster has none, and all
 * the others in their order. */
#include <string.h>
#include "oidc/base64url.h"
#include "proxyd/websocket_token.h"
#include "tests/fuzz/must.h"
#include "tests/unit/http_oracle.h"

#define PREFIX "base64url.bearer.authorization.k8s.io."
#define NAME "Sec-WebSocket-Protocol: "

/* Protocols of all such headers in a head, one behind the other with a comma each, tokens left out and counted. */
static size_t
list(struct slice text, struct buf *others)
{
	size_t tokens = 0;

	while (text.n) {
		struct slice line = slice_cut(&text, '\n');
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (!slice_has_prefix(line, SLICE_LIT(NAME)))
			continue;
		line = slice_of(line.p + sizeof(NAME) - 1, line.n - (sizeof(NAME) - 1));
		while (line.n) {
			struct slice one = slice_trim(slice_cut(&line, ','));
			bool token = one.n >= sizeof(PREFIX) - 1 && memcmp(one.p, PREFIX, sizeof(PREFIX) - 1) == 0;
			tokens += token;
			if (token || one.n == 0)
				continue;
			buf_add_slice(others, one);
			buf_add_char(others, ',');
		}
	}
	return tokens;
}

static void
judge(const struct http_head *head, struct slice text)
{
	struct slice token = SLICE_NONE;
	struct buf others, sent, still;
	const char *why = NULL;
	char decoded[65536];
	size_t n;

	buf_init(&others, 0);
	buf_init(&sent, 0);
	buf_init(&still, 0);
	size_t tokens = list(text, &others);
	enum websocket_token found = websocket_token_find(head, &token);
	MUST((found == WEBSOCKET_TOKEN_NONE) == (tokens == 0));
	MUST(found != WEBSOCKET_TOKEN_FOUND || (tokens == 1 && others.n > 0 && token.n > 0 && !memchr(token.p, ',', token.n)));
	MUST((found == WEBSOCKET_TOKEN_BAD) == (forward_check(head, &why) != FORWARD_OK));
	if (found == WEBSOCKET_TOKEN_FOUND && base64url_decode(token, decoded, sizeof(decoded), &n) == OK)
		MUST(n == token.n * 3 / 4);
	if (found != WEBSOCKET_TOKEN_BAD && forward_request(head, &oracle_cluster, &oracle_context, &sent) == OK) {
		MUST(list(buf_slice(&sent), &still) == 0);
		MUST(slice_eq(buf_slice(&still), buf_slice(&others)));
	}
	buf_fini(&others);
	buf_fini(&sent);
	buf_fini(&still);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct http_limits limits = { 65536, 8192 };
	static struct http_head head;
	struct slice rest = slice_of((const char *)data, n);
	size_t scanned = 0, head_bytes = 0;
	const char *why = NULL;
	struct buf text;

	buf_init(&text, 0);
	buf_add_str(&text, "GET / HTTP/1.1\r\nHost: x\r\n");
	while (rest.n) {
		buf_add_str(&text, NAME);
		buf_add_slice(&text, slice_cut(&rest, '\n'));
		buf_add_str(&text, "\r\n");
	}
	buf_add_str(&text, "\r\n");
	if (buf_ok(&text) && http_request_parse(text.p, text.n, &scanned, &limits, &head, &head_bytes, &why) == HTTP_OK)
		judge(&head, slice_of(text.p, head_bytes));
	buf_fini(&text);
	return 0;
}
