#include "oidc/base64url.h"
#include "proxyd/bearer_token.h"
#include "proxyd/caller_headers.h"
#include "proxyd/cluster_list.h"
#include "proxyd/impersonate.h"
#include "proxyd/principal.h"
#include "proxyd/websocket_token.h"

static struct slice
session_token(const struct destination *to, const struct principal *who)
{
	struct slice lines = who->identity.id_tokens, line = SLICE_NONE;

	if (!to->audience)
		return principal_token(who);
	for (size_t i = 0; i <= to->audience_at; i++)
		line = slice_cut(&lines, '\n');
	return line;
}

const char *
caller_headers_missing(const struct destination *to, const struct principal *who)
{
	if (to->forward.kind != FORWARD_BEARER || who->identity.how == IDENTITY_JWT)
		return NULL;
	if (who->identity.how != IDENTITY_SESSION)
		return "an ID token is passed on here, and they have proven themselves with something else";
	return session_token(to, who).n ? NULL : "authd makes no ID token for the route's audience: is it a client there?";
}

static void
add_websocket_token(struct slice encoded, struct buf *out)
{
	char *to = buf_reserve(out, encoded.n);
	size_t n;

	if (!to)
		return;
	if (base64url_decode(encoded, to, encoded.n, &n) == OK)
		buf_commit(out, n);
	else
		out->failed = true; /* the authenticator has read it, so this is not reached */
}

/* The very token that was judged, or one of the session's. */
static enum err
bearer(const struct destination *to, const struct principal *who, const struct http_head *h, struct buf *out)
{
	struct slice token = SLICE_NONE;

	buf_add_str(out, "Authorization: Bearer ");
	size_t before = out->n;
	if (who->identity.how == IDENTITY_SESSION)
		buf_add_slice(out, session_token(to, who));
	else if (h->authorization >= 0)
		buf_add_slice(out, bearer_token(h->headers[h->authorization].value));
	else if (websocket_token_find(h, &token) == WEBSOCKET_TOKEN_FOUND)
		add_websocket_token(token, out);
	if (out->n == before)
		return buf_ok(out) ? E_FORMAT : E_NOMEM;
	buf_add_str(out, "\r\n");
	return buf_ok(out) ? OK : E_NOMEM;
}

enum err
caller_headers(const struct proxyd_config *config, const struct destination *to, const struct principal *who, const struct http_head *h, struct buf *scratch,
	struct slice *out)
{
	enum err e = OK;

	*out = SLICE_NONE;
	buf_reset(scratch);
	if (!who)
		return OK;
	switch (to->forward.kind) {
	case FORWARD_CLUSTER:
		*out = who->headers;
		return OK;
	case FORWARD_PLAIN:
		return OK;
	case FORWARD_AUTHD:
		if (config->clusters.n)
			cluster_list_header(config, &who->identity, scratch);
		e = buf_ok(scratch) ? OK : E_NOMEM;
		break;
	case FORWARD_FRONT_PROXY:
		e = impersonate_remote_block(&who->identity, scratch);
		break;
	case FORWARD_BEARER:
		e = bearer(to, who, h, scratch);
		break;
	}
	if (e == OK)
		*out = buf_slice(scratch);
	return e;
}
