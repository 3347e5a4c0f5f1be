#include "proxyd/websocket_token.h"

static const struct slice prefix = { "base64url.bearer.authorization.k8s.io.", 38 };

struct slice
websocket_protocol_next(struct slice *list)
{
	while (list->n) {
		struct slice protocol = slice_trim(slice_cut(list, ','));
		if (protocol.n && !slice_has_prefix(protocol, prefix))
			return protocol;
	}
	return SLICE_NONE;
}

enum websocket_token
websocket_token_find(const struct http_head *h, struct slice *encoded)
{
	size_t tokens = 0, others = 0;
	struct slice token = SLICE_NONE;

	for (size_t i = 0; i < h->header_n; i++) {
		if (h->headers[i].field != FIELD_SEC_WEBSOCKET_PROTOCOL)
			continue;
		struct slice list = h->headers[i].value;
		while (list.n) {
			struct slice protocol = slice_trim(slice_cut(&list, ','));
			if (slice_has_prefix(protocol, prefix)) {
				token = slice_of(protocol.p + prefix.n, protocol.n - prefix.n);
				tokens++;
			} else {
				others += protocol.n > 0;
			}
		}
	}
	if (tokens == 0)
		return WEBSOCKET_TOKEN_NONE;
	if (tokens > 1 || others == 0 || token.n == 0)
		return WEBSOCKET_TOKEN_BAD;
	*encoded = token;
	return WEBSOCKET_TOKEN_FOUND;
}
