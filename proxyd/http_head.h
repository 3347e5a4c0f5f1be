/* http_head.h - strict HTTP/1.1 message heads, parsed in place (RFC 9112, RFC 9110).
 *
 * Anything ambiguous is refused: no bare LF or CR, no obs-fold, no blanks before a colon, one framing header at most, one Host.
 * No I/O, no allocation. Slices point into the caller's bytes. An HTTP/2 request fills the same struct, so that every rule
 * behind the parser is written once. */
#ifndef PROXYD_HTTP_HEAD_H
#define PROXYD_HTTP_HEAD_H

#include "shared/err.h"
#include "shared/slice.h"

#define HTTP_HEADERS_MAX 128
#define HTTP_HEAD_BYTES_MAX 65536 /* default of limits.headerBytes */

/* Names the proxy has a rule for; everything else is FIELD_OTHER. Matching folds case; names with '_' are other names. */
enum http_field {
	FIELD_OTHER, FIELD_HOST, FIELD_CONNECTION, FIELD_CONTENT_LENGTH, FIELD_TRANSFER_ENCODING, FIELD_TE, FIELD_TRAILER, FIELD_UPGRADE,
	FIELD_KEEP_ALIVE, FIELD_PROXY_CONNECTION, FIELD_PROXY_AUTHENTICATE, FIELD_PROXY_AUTHORIZATION, FIELD_HTTP2_SETTINGS, FIELD_EXPECT,
	FIELD_AUTHORIZATION, FIELD_COOKIE, FIELD_SET_COOKIE, FIELD_ACCEPT, FIELD_ORIGIN, FIELD_CONTENT_TYPE, FIELD_DATE, FIELD_SERVER, FIELD_LOCATION,
	FIELD_FORWARDED, FIELD_X_FORWARDED, /* any X-Forwarded-* */ FIELD_X_REAL_IP, FIELD_X_REMOTE, /* any X-Remote-* */ FIELD_X_GATEHOUSE, /* any X-Gatehouse-*: between our own programs */
	FIELD_IMPERSONATE, /* anything that starts with "impersonate", '-' '_' '.' folded */
	FIELD_SEC_WEBSOCKET_PROTOCOL, FIELD_X_REQUEST_ID, FIELD_X_REQUESTED_WITH, FIELD_SEC_FETCH_MODE, FIELD_ACCEPT_ENCODING, FIELD_USER_AGENT,
	FIELD_WHOLE_ORIGIN, /* Clear-Site-Data, Service-Worker-Allowed */
	FIELD_PROXY, /* Proxy, and any other Proxy-* */ FIELD_STRICT_TRANSPORT_SECURITY,
	FIELD_N
};
enum http_field http_field_of(struct slice name);
/* What a reader that takes '_', '.' or whatever is no letter or digit for '-' (CGI, WSGI and others do) would see in the name. */
enum http_field http_field_folded(struct slice name);
/* A field that says how the message is framed, where it goes or who sent it: never in a trailer, never named by a Connection header,
 * never in a folded spelling. */
bool http_field_is_critical(enum http_field f);
/* One bit per field, for sets that are known at compile time. */
#define HTTP_FIELD_BIT(f) (UINT64_C(1) << (f))
_Static_assert(FIELD_N <= 64, "a set of fields fits one word");

enum http_method { METHOD_OTHER, METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_OPTIONS, METHOD_CONNECT, METHOD_TRACE };
enum http_framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE /* responses only: until the connection ends */ };
enum http_upgrade { UPGRADE_NONE, UPGRADE_WEBSOCKET, UPGRADE_SPDY31 };

struct http_header {
	struct slice name, value; /* value without edge blanks */
	enum http_field field;
	bool hop;                 /* hop-by-hop, or named by a Connection header: never forwarded */
	bool folds;               /* the name has such bytes: look at http_field_folded too */
};

struct http_head {
	/* requests */
	struct slice method_text, target; /* target as sent: the bytes that are decided on are the bytes forwarded */
	struct slice path, query;         /* query without '?'; query.p NULL when there is no '?' */
	enum http_method method;
	struct slice host;                /* Host, or the absolute form's authority (must be equal) */
	bool expect_continue;
	/* responses */
	unsigned status;                  /* 100..999 */
	struct slice reason;
	/* both */
	unsigned minor;                   /* HTTP/1.minor: 0 or 1; 2 for HTTP/2 */
	enum http_framing framing;
	uint64_t content_length;          /* with FRAMING_LENGTH, or has_length */
	bool has_length;                  /* Content-Length was sent: also in answers to HEAD and in 304, whose framing is none all the same */
	bool keep_alive;                  /* the sender lets the connection go on after this message */
	enum http_upgrade upgrade;        /* Connection: upgrade with a protocol that we carry; others: refused (requests) */
	struct http_header headers[HTTP_HEADERS_MAX];
	size_t header_n;
	/* First occurrence, index into headers; -1: absent. More than one Authorization or Content-Type is refused at parsing. */
	int authorization, cookie, accept, origin;
	int connection;
};

enum http_verdict {
	HTTP_OK,
	HTTP_MORE,        /* not a whole head yet */
	HTTP_BAD,         /* 400 */
	HTTP_TOO_LARGE,   /* 431 */
	HTTP_TARGET_LONG, /* 414 */
	HTTP_VERSION,     /* 505 */
	HTTP_EXPECTATION, /* 417 */
	HTTP_NOT_IMPLEMENTED /* 501: CONNECT, TRACE. A transfer coding other than chunked is ambiguous to somebody: 400 */
};
unsigned http_verdict_status(enum http_verdict v);

struct http_limits {
	size_t head_bytes_max;
	size_t target_bytes_max;
};

/* p[0..n): bytes received so far. *scanned: caller keeps it between calls for one head, 0 at first; lets a head that arrives in pieces be
 * scanned once. On HTTP_OK *head_bytes is the head's length with its empty line. why: static text for the log and the answer. */
enum http_verdict http_request_parse(const char *p, size_t n, size_t *scanned, const struct http_limits *limits, struct http_head *out,
	size_t *head_bytes, const char **why);
/* method: of the request this answers (RFC 9112 section 6.3: HEAD, CONNECT). A 1xx other than 101 has FRAMING_NONE. */
enum http_verdict http_response_parse(const char *p, size_t n, size_t *scanned, const struct http_limits *limits, enum http_method method,
	struct http_head *out, size_t *head_bytes, const char **why);

/* The rules for a request's path, for every HTTP version: begins with '/', no dot segment in any spelling, no byte or escape that two
 * readers could take for different things (http_target.c says which). *why: static text, set when refused. */
bool http_path_ok(struct slice path, const char **why);
/* host[:port] of a Host header, an absolute target or :authority. */
bool http_authority_ok(struct slice authority);

/* First header with this field; NULL: none. */
const struct http_header *http_head_find(const struct http_head *h, enum http_field field);
/* By name, case folded. */
const struct http_header *http_head_find_name(const struct http_head *h, const char *name);

/* Value of a cookie in all Cookie headers; .p NULL: none, or it occurs twice with different values. */
struct slice http_cookie(const struct http_head *h, const char *name);

#endif
