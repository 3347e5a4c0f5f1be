/* server.h - HTTP by libmicrohttpd: listeners, a small pool of threads, suspended requests. Only authd/server* includes microhttpd.h.
 *
 * A handler runs on a pool thread and must not block: it answers (response_send), or it waits (request_wait) for work that runs elsewhere and
 * ends in request_resume; then `next` runs on a pool thread. One of the two, exactly once per call. */
#ifndef AUTHD_SERVER_H
#define AUTHD_SERVER_H

#include "authd/request.h"
#include "shared/buf.h"
#include "shared/clock.h"

#define SERVER_LISTENERS_MAX 8
#define SERVER_CONNECTIONS_MAX 4096  /* per listener; 32.6 KiB each after a request: 134 MB at the very most */
#define SERVER_IDLE_S 30             /* without a byte in either direction */
#define SERVER_HEAD_MS 40000         /* from accept or the last answer until the next head is whole: slow senders are cut, however steadily they drip */
#define SERVER_BODY_MS 10000         /* from the head until the body is whole */

struct server;

struct server_options {
	unsigned threads; /* per listener; 0: 2 */
	const struct clock *clock;
	const struct rng *rng;
	struct authd *app;
	void (*handle)(struct request *r);  /* a whole request */
	void (*release)(struct request *r); /* its answer was sent or its connection is gone; runs once for each request that was handled */
	void (*answered)(const struct request *r, int status, uint64_t ms); /* each answer, also where the server refused; may be NULL */
};

enum server_kind { SERVER_UNIX, SERVER_HTTP, SERVER_HTTPS, SERVER_CTL, SERVER_TELEMETRY };
struct server_listen {
	enum server_kind kind;
	const char *address;              /* "host:port"; for SERVER_UNIX (mode 0660) and SERVER_CTL (0600, peers of uid 0 or ours) the socket's path */
	const char *cert_pem, *key_pem;   /* SERVER_HTTPS: the text itself */
	bool tls12_off, tls13_off;        /* not both */
};

/* No listener yet. NULL: out of memory. */
struct server *server_new(const struct server_options *o);

/* Make the listeners be exactly these: what is new is opened, what is as before stays, what is gone finishes its requests and closes. A changed
 * certificate takes over the same socket. On an error nothing has changed and why says what could not be done. */
MUST_CHECK enum err server_listen(struct server *s, const struct server_listen *want, size_t n, char *why, size_t why_n);
/* "http://127.0.0.1:40123 unix:/run/…": where it really listens for people, or for operators (SERVER_CTL, SERVER_TELEMETRY). */
void server_addresses(struct server *s, bool for_operators, struct buf *out);
/* Close listeners that have finished, cut connections that are too slow. Call about once a second. */
void server_tick(struct server *s);

/* Accept nothing more; answers say Connection: close. Returns when all requests have been answered, or after deadline_ms: false, some are left. */
bool server_quiesce(struct server *s, unsigned deadline_ms);
/* After server_quiesce returned true. */
void server_free(struct server *s);

/* Suspend; next runs after request_resume. Must be called before the work that will resume is started. */
void request_wait(struct request *r, void (*next)(struct request *r));
/* From any thread, once per request_wait. */
void request_resume(struct request *r);
/* Send the answer. body is taken (may be NULL: none); a body that ran out of memory becomes a bare 500. */
void response_send(struct request *r, int status, const char *content_type, struct buf *body);

#endif
