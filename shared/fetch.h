/* fetch.h - HTTP(S) requests beside the caller's own work: one curl multi on one thread of its own.
 *
 * Used by authd (GitHub) and by proxyd's keeper (JWKS, discovery); nothing else includes curl. Redirects are never followed, answers are
 * bounded, TLS (1.2 or later) is verified always, proxies from the environment are honoured only when told. A CA file that was
 * replaced counts within a minute. The thread takes no signals. Not usable over fork: a child makes its own. */
#ifndef SHARED_FETCH_H
#define SHARED_FETCH_H

#include <stdbool.h>
#include "shared/buf.h"

struct fetcher;

struct fetcher_options {
	const char *user_agent;
	const char *ca_file;   /* PEM; NULL: the system's */
	int concurrent_max;    /* transfers at once; 0: 64. More wait in a bounded queue */
	int queue_max;         /* 0: 1024; past it fetch_start returns E_LIMIT */
	bool proxy_from_environment; /* http_proxy, https_proxy, no_proxy; never for unix sockets */
};

#define FETCH_REQUEST_BYTES_MAX (8u << 20)
#define FETCH_HEADERS_BYTES_MAX (64u << 10) /* of an answer; longer is E_LIMIT */
struct fetch_request {
	const char *method;          /* "GET", "POST" */
	const char *url;             /* http(s)://… */
	const char *unix_socket;     /* connect here instead of the URL's host; TLS then only if the URL says https and unix_tls */
	bool unix_tls;
	const char *const *headers;  /* NULL-terminated "Name: value" */
	struct slice body;           /* copied; FETCH_REQUEST_BYTES_MAX with everything else */
	const char *ca_file;         /* instead of the fetcher's; NULL: the fetcher's */
	int timeout_ms;              /* from fetch_start to the last byte, time in the queue included; 0: 10000 */
	size_t body_bytes_max;       /* 0: 1 MiB; a longer answer is E_LIMIT */
};

struct fetch_result {
	enum err err;       /* OK: an HTTP answer of any status arrived whole. E_SYSTEM: connect, TLS, time-out; E_LIMIT: too long;
	                       E_NOMEM; E_AGAIN: abandoned by fetcher_free */
	char message[256];  /* for people, when err is not OK: "connect to github.com:443: Connection refused" - no query, no secret */
	int status;         /* 200 … */
	struct buf headers; /* the last answer's header lines, CRLF-ended */
	struct buf body;
	uint64_t total_ms;
};

/* The thread starts with the first transfer. NULL: out of memory. */
struct fetcher *fetcher_new(const struct fetcher_options *o);
/* Abandons what is under way (their callbacks run with E_AGAIN) and joins the thread. Never from within done. */
void fetcher_free(struct fetcher *f);

/* done runs once on the fetcher's thread and must not block; *r is its until it returns (a buffer may be taken: copy the struct and
 * buf_init the original). Everything in *req is copied, and wiped at the end. Thread-safe, also from within done.
 * Returns OK; E_FORMAT (URL, method or a header that is none), E_LIMIT (queue full, request too long), E_CONFLICT (being freed),
 * E_NOMEM: done will not run. */
MUST_CHECK enum err fetch_start(struct fetcher *f, const struct fetch_request *req, void (*done)(void *arg, struct fetch_result *r), void *arg);
/* The same, waiting for the end. *out is set in every case, its err is what is returned; the caller frees with fetch_result_fini.
 * Never from within done: E_CONFLICT. */
MUST_CHECK enum err fetch_wait(struct fetcher *f, const struct fetch_request *req, struct fetch_result *out);
/* Wipes, then frees. */
void fetch_result_fini(struct fetch_result *r);
/* Value of a header (first occurrence, trimmed); .p NULL when absent. */
struct slice fetch_header(const struct fetch_result *r, const char *name);

#endif
