/* websocket_token.h - a bearer token among the subprotocols of a WebSocket, where a browser can set no header
 * (Kubernetes: "base64url.bearer.authorization.k8s.io.<token>" in Sec-WebSocket-Protocol). It is a credential: taken and removed. */
#ifndef PROXYD_WEBSOCKET_TOKEN_H
#define PROXYD_WEBSOCKET_TOKEN_H

#include "proxyd/http_head.h"

enum websocket_token {
	WEBSOCKET_TOKEN_NONE,
	WEBSOCKET_TOKEN_FOUND,
	WEBSOCKET_TOKEN_BAD /* two of them, an empty one, or no other subprotocol beside it (the server could not answer with one) */
};
/* *encoded: the token's base64url, points into h; untouched unless found. */
enum websocket_token websocket_token_find(const struct http_head *h, struct slice *encoded);

/* The next subprotocol of a list that is none; moves *list behind it. .p NULL: no more. */
struct slice websocket_protocol_next(struct slice *list);

#endif
