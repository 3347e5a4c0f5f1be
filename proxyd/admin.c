#include <stdlib.h>
#include <unistd.h>
#include <microhttpd.h>
#include "proxyd/admin.h"

/* 256 workers with 64 clusters each make some 40 MiB when every verb and code has been seen. */
#define ADMIN_PAGE_BYTES_MAX (64u << 20)
#define CONNECTION_BYTES 8192 /* more would only keep memory: a request here has a line and a few headers */

struct admin {
	struct loop_watch watch; /* of libmicrohttpd's epoll descriptor; first member */
	struct loop_timer timer;
	struct loop *loop;
	struct MHD_Daemon *daemon;
	void (*fill)(void *arg, enum admin_page page, struct admin_answer *out);
	void (*done)(void *arg); /* NULL: not finishing */
	void *arg;
	uint64_t finish_by_ms;
	int listen_fd;           /* after admin_finish: not libmicrohttpd's any more */
};

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
	const char *upload, size_t *upload_bytes, void **state);
static void on_event(struct loop_watch *w, uint32_t events);
static void on_due(struct loop_timer *t);
static void run(struct admin *a);

struct admin *
admin_new(struct loop *loop, int listen_fd, void (*fill)(void *arg, enum admin_page page, struct admin_answer *out), void *arg)
{
	struct admin *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->loop = loop;
	a->fill = fill;
	a->arg = arg;
	a->timer.on_due = on_due;
	a->listen_fd = -1;
	a->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer, a, MHD_OPTION_LISTEN_SOCKET, (MHD_socket)listen_fd,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)ADMIN_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)ADMIN_IDLE_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	const union MHD_DaemonInfo *info = a->daemon ? MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info) {
		free(a);
		return NULL;
	}
	a->watch = (struct loop_watch){ .fd = info->epoll_fd, .on_event = on_event };
	if (loop_add(loop, &a->watch, EPOLLIN)) {
		admin_free(a);
		return NULL;
	}
	run(a);
	return a;
}

void
admin_free(struct admin *a)
{
	if (!a)
		return;
	loop_remove(a->loop, &a->watch);
	loop_timer_clear(a->loop, &a->timer);
	MHD_stop_daemon(a->daemon);
	if (a->listen_fd >= 0)
		close(a->listen_fd);
	free(a);
}

void
admin_finish(struct admin *a, void (*done)(void *arg))
{
	if (a->done)
		return;
	a->listen_fd = MHD_quiesce_daemon(a->daemon);
	a->done = done;
	a->finish_by_ms = clock_mono_ms(loop_clock(a->loop)) + ADMIN_FINISH_MS;
	run(a);
}

/* What is ready, then a timer for what libmicrohttpd still has to do. */
static void
run(struct admin *a)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms = ADMIN_FINISH_MS;
	uint64_t now_ms = clock_mono_ms(loop_clock(a->loop));

	MHD_run(a->daemon);
	bool timed = MHD_get_timeout(a->daemon, &timeout_ms) == MHD_YES || a->done;
	if (a->done) {
		const union MHD_DaemonInfo *info = MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
		if (!info || info->num_connections == 0 || now_ms >= a->finish_by_ms) {
			a->done(a->arg);
			return;
		}
		if (timeout_ms > a->finish_by_ms - now_ms)
			timeout_ms = a->finish_by_ms - now_ms;
	}
	if (!timed)
		loop_timer_clear(a->loop, &a->timer);
	else if (loop_timer_set(a->loop, &a->timer, timeout_ms))
		loop_stop(a->loop); /* no memory for a timer: the keeper's successor starts afresh */
}

static void
on_event(struct loop_watch *w, uint32_t events)
{
	(void)events;
	run((struct admin *)w);
}

static void
on_due(struct loop_timer *t)
{
	run((struct admin *)((char *)t - offsetof(struct admin, timer)));
}

static enum MHD_Result
respond(struct MHD_Connection *connection, unsigned status, const char *type, struct slice body)
{
	/* RESPMEM_MUST_COPY copies; the cast only drops the const of an older signature. */
	struct MHD_Response *r = MHD_create_response_from_buffer(body.n, (void *)(uintptr_t)body.p, MHD_RESPMEM_MUST_COPY);

	if (!r)
		return MHD_NO;
	enum MHD_Result ok = MHD_add_response_header(r, "Content-Type", type);
	ok = ok && MHD_add_response_header(r, "Cache-Control", "no-store");
	ok = ok && MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		ok = ok && MHD_add_response_header(r, "Allow", "GET, HEAD");
	ok = ok && MHD_queue_response(connection, status, r);
	MHD_destroy_response(r);
	return ok;
}

/* Answers at the first call, before any body: nothing here takes one. */
static enum MHD_Result
answer(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version, const char *upload,
	size_t *upload_bytes, void **state)
{
	static const struct {
		const char *path, *type;
	} pages[] = {
		[ADMIN_LIVEZ] = { "/livez", "text/plain; charset=utf-8" },
		[ADMIN_READYZ] = { "/readyz", "text/plain; charset=utf-8" },
		[ADMIN_METRICS] = { "/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8" },
	};
	static const char plain[] = "text/plain; charset=utf-8";
	struct admin *a = cls;
	struct admin_answer out = { .status = MHD_HTTP_OK };
	enum MHD_Result result;

	(void)version;
	(void)upload;
	(void)upload_bytes;
	(void)state;
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, plain, SLICE_LIT("only GET and HEAD are answered here\n"));
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (strcmp(url, pages[i].path) != 0)
			continue;
		buf_init(&out.body, ADMIN_PAGE_BYTES_MAX);
		a->fill(a->arg, (enum admin_page)i, &out);
		if (buf_ok(&out.body))
			result = respond(connection, out.status, pages[i].type, buf_slice(&out.body));
		else
			result = respond(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, plain, SLICE_LIT("out of memory\n"));
		buf_fini(&out.body);
		return result;
	}
	return respond(connection, MHD_HTTP_NOT_FOUND, plain, SLICE_LIT("there are /livez, /readyz and /metrics\n"));
}
