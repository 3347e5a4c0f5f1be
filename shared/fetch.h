/* fetch.h - HTTP(S) requests beside the caller's own work: one curl multi on one thread of its own.
 *
 * Used by authd (GitHub) and by proxyd's keeper (JWKS, discovery); nothing else includes curl. Redirects are never followed, answers are
 * bounded, TLS is verified always, proxies from the environment are honoured only when told. */
#ifndef SHARED_FETCH_H
#define SHARED_FETCH_H

#include "shared/buf.h"

struct fetcher;

struct fetcher_options {
	const char *user_agent;
	const char *ca_file;   /* PEM; NULL: the system's */
	int concurrent_max;    /* transfers at once; 0: 64. More wait in a bounded queue */
	int queue_max;         /* 0: 1024; past it fetch_start returns E_LIMIT */
};

struct fetch_request {
	const char *method;          /* "GET", "POST" */
	const char *url;             /* http(s)://… */
	const char *unix_socket;     /* connect here instead of the URL's host; TLS then only if the URL says https and unix_tls */
	const char *const *headers;  /* NULL-terminated "Name: value" */
	struct slice body;           /* copied */
	const char *ca_file;         /* instead of the fetcher's; NULL: the fetcher's */
	int timeout_ms;              /* whole transfer; 0: 10000 */
	size_t body_bytes_max;       /* 0: 1 MiB; a longer answer is E_LIMIT */
};

struct fetch_result {
	enum err err;       /* OK: an HTTP answer of any status arrived whole. E_SYSTEM: connect, TLS, time-out; E_LIMIT: too long */
	char message[256];  /* for people, when err is not OK: "connect to github.com:443: Connection refused" - no query, no secret */
	int status;         /* 200 … */
	struct buf headers; /* the last answer's header lines, CRLF-ended */
	struct buf body;
	uint64_t total_ms;
};

/* Starts the thread. NULL: out of memory or no thread. */
struct fetcher *fetcher_new(const struct fetcher_options *o);
/* Abandons what is under way (their callbacks run with E_AGAIN) and joins the thread. */
void fetcher_free(struct fetcher *f);

/* done runs once on the fetcher's thread; *r is its until it returns. Everything in *req is copied. Thread-safe. */
MUST_CHECK enum err fetch_start(struct fetcher *f, const struct fetch_request *req, void (*done)(void *arg, struct fetch_result *r), void *arg);
/* The same, waiting for the end. The caller frees with fetch_result_fini. */
MUST_CHECK enum err fetch_wait(struct fetcher *f, const struct fetch_request *req, struct fetch_result *out);
void fetch_result_fini(struct fetch_result *r);
/* Value of a header (first occurrence, trimmed); .p NULL when absent. */
struct slice fetch_header(const struct fetch_result *r, const char *name);

#endif
