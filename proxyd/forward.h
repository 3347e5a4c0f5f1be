/* forward.h - what may pass: the rules on a caller's headers, and the heads that are written anew in each direction.
 *
 * Nothing of the client's framing or identity is copied. The upstream head is: request line, Host, the headers that pass, framing,
 * forwarding headers, then the identity block, last. Pure functions; one copy. */
#ifndef PROXYD_FORWARD_H
#define PROXYD_FORWARD_H

#include "proxyd/http_head.h"
#include "shared/buf.h"

enum forward_verdict {
	FORWARD_OK,
	FORWARD_BAD,         /* 400: a Connection token that names Authorization, Impersonate-*, Host, X-Forwarded-* …; a name that folds to one */
	FORWARD_IMPERSONATES /* 403: the client sent Impersonate-* and the cluster says refuse */
};
/* Check a request's headers before anything is sent. why: static, for people. */
enum forward_verdict forward_check(const struct http_head *h, const char **why);

/* How a destination wants its requests. Prepared once per cluster or route. */
enum forward_kind {
	FORWARD_CLUSTER,     /* Authorization and our cookies removed, identity block and credential added */
	FORWARD_AUTHD,       /* our own authd: cookies and Authorization kept */
	FORWARD_BEARER,      /* a backend that gets the caller's ID token in place of their Authorization; our cookies removed */
	FORWARD_FRONT_PROXY, /* a backend that believes X-Remote-*: ours, never the caller's; Authorization and our cookies removed */
	FORWARD_PLAIN        /* a backend that is told nothing; Authorization is its own affair; our cookies removed */
};
struct forward_target {
	enum forward_kind kind;
	struct slice host;         /* Host to send; empty: the client's own */
	struct slice strip_prefix; /* removed from the path's front ("/clusters/a"); what remains begins with '/' or becomes "/" */
	struct slice base_path;    /* put before it (a kubeconfig server with a path); "" or "/x" */
	struct slice credential;   /* whole header line "Authorization: Bearer …\r\n" or empty (client certificate) */
	struct slice session_cookie; /* name of our cookie; it and NAME-…, NAME_…, NAME.… are removed for all but authd */
};
struct forward_context {
	struct slice identity;     /* prepared lines (caller_headers.h): "Impersonate-User: …\r\n…" for FORWARD_CLUSTER, "Authorization: Bearer …" for FORWARD_BEARER,
				    * "X-Remote-User: …" for FORWARD_FRONT_PROXY, which all need it */
	struct slice client_ip;    /* X-Forwarded-For, without port */
	struct slice request_id;   /* X-Request-Id */
	bool tls;                  /* X-Forwarded-Proto */
	struct slice client_host;  /* X-Forwarded-Host */
};
/* Append the upstream request head. Exactly one framing header is written from h->framing ("Content-Length: 0" for no body, so that no upstream
 * is left to guess), none with an upgrade, which is written from h->upgrade. Expect is not sent on: the 100 is ours to give. Nothing is appended unless OK.
 * E_CONFLICT when a request has not the identity lines that its kind needs (fails closed) or the path does not begin with strip_prefix; E_LIMIT when out's
 * bound is reached; E_NOMEM. */
MUST_CHECK enum err forward_request(const struct http_head *h, const struct forward_target *t, const struct forward_context *c, struct buf *out);

/* Append the head for the client. framing: how the body will be sent to this client (chunked, length, none, close). close: add
 * "Connection: close" (always with FRAMING_CLOSE). hsts: add Strict-Transport-Security where the upstream sent none. 101 with h->upgrade: the upgrade answer.
 * FRAMING_NONE keeps a Content-Length that the upstream sent (answers to HEAD, 304). Other 1xx are written as they came, without our headers.
 * E_CONFLICT: chunks for an HTTP/1.0 client; E_LIMIT; E_NOMEM. Nothing is appended unless OK. */
struct response_context {
	enum http_framing framing;
	bool close;
	unsigned minor; /* of the client's HTTP version */
	struct slice request_id;
	bool hsts;
	bool sandbox;                /* add a policy that makes a page of it one of no origin, without scripts */
	struct slice session_cookie; /* as in forward_target: an upstream that is not ours must not set it; empty: anything may be set (authd) */
};
MUST_CHECK enum err forward_response(const struct http_head *h, const struct response_context *c, struct buf *out);
#define FORWARD_SANDBOX "sandbox" /* Content-Security-Policy, CSP Level 3, 6.3.3; with others of the upstream's the stricter holds */
/* Which headers of an answer pass, for whoever writes its head in another form (HTTP/2). */
bool forward_response_passes(const struct http_header *f, const struct response_context *c);
#define FORWARD_HSTS "max-age=31536000" /* RFC 6797, a year */

#endif
