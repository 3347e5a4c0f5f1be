/* request.h - one HTTP request as the handlers see it, and the pure questions asked of it. Owns nothing but its arena; the connection under it
 * is the server's (server.h).   Spec: RFC 9110, RFC 6265 section 4.2. */
#ifndef AUTHD_REQUEST_H
#define AUTHD_REQUEST_H

#include "oidc/form.h"
#include "shared/arena.h"
#include "shared/rng.h"

#define REQUEST_BODY_BYTES_MAX FORM_BYTES_MAX
#define REQUEST_HEADERS_MAX 64
#define REQUEST_ID_BYTES 65             /* with NUL: one of ours has 22 characters, one from proxyd at most 64 */
#define REQUEST_ARENA_BYTES_MAX (4u << 20) /* body, decoded form, a record with RECORD_GROUPS_MAX groups, and the page */

enum request_method { METHOD_GET = 1, METHOD_HEAD = 2, METHOD_POST = 4, METHOD_OPTIONS = 8, METHOD_OTHER = 16 };

/* Which kind of address it came in by: each serves pages of its own (routes.c). */
enum request_door {
	DOOR_PUBLIC,   /* http, https */
	DOOR_GATEWAY,  /* the unix socket: proxyd, for people and for itself */
	DOOR_CTL,      /* the control socket: `authd ctl`, as root or as the user that authd runs as */
	DOOR_TELEMETRY /* telemetry.http: metrics and health, for whoever can reach it */
};

struct request_header {
	struct slice name, value;
};

struct authd;
struct generation;

struct request {
	struct arena arena; /* until the answer has been sent */
	struct authd *app;
	struct generation *generation; /* the configuration this request started with; set by the application */
	void *state;        /* the handler's, for its continuations */
	void *write;        /* request_write's or local_password_check's, while it waits */
	enum request_method method;
	struct slice path, query; /* as sent: not decoded. query without '?', .p NULL without one */
	struct slice body;
	struct slice address;     /* the client's IP as text */
	enum request_door door;
	const char *route;        /* what it matched, as the table has it; NULL: nothing */
	unsigned peer_uid;        /* DOOR_CTL: who asks */
	char id[REQUEST_ID_BYTES];
	struct request_header headers[REQUEST_HEADERS_MAX];
	size_t header_n;
	struct request_header answer_headers[24];
	size_t answer_header_n;
	size_t answer_header_fixed; /* of them: response_header adds no other of these names */
	bool answer_failed;       /* a header did not fit: the answer becomes a bare 500, as it may be the one that protects */
};

/* Value of the first such header; .p NULL: absent. */
struct slice request_header(const struct request *r, const char *name);
/* Value of a cookie. .p NULL: absent, or sent twice with different values (then which one is ours cannot be told). */
struct slice request_cookie(const struct request *r, const char *name);

/* Split a request target. False unless it is in origin form ("/…", RFC 9112 section 3.2.1) without control bytes or blanks. */
bool request_target_split(struct slice target, struct slice *path, struct slice *query);
/* NULL: the head is fine. Else why it is refused with 400: what libmicrohttpd lets through and two parsers could read differently. */
const char *request_head_refused(const struct request *r);
/* A new id, or the given one when it is 1..64 characters of [A-Za-z0-9._-]. */
void request_id_set(struct request *r, struct slice given, const struct rng *rng);

/* Parameters of the query, or of an urlencoded body. E_FORMAT: malformed, or the body has another Content-Type; E_LIMIT; E_NOMEM. In the arena. */
MUST_CHECK enum err request_query_form(struct request *r, struct form **out);
MUST_CHECK enum err request_body_form(struct request *r, struct form **out);

/* Add a header to the answer; name is static, value is copied. The name may repeat (Set-Cookie). */
void response_header(struct request *r, const char *name, struct slice value);
/* The same before any other header is added: whatever a handler says about it later does not count. */
void response_header_fixed(struct request *r, const char *name, struct slice value);

#endif
