#include <arpa/inet.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "authd/server_internal.h"
#include "shared/address.h"
#include "shared/log.h"

#define SERVER_BODY_DISCARD_MAX (16 * (size_t)REQUEST_BODY_BYTES_MAX) /* read and forgotten, so that a 413 can be heard; past it: cut */

enum phase { PHASE_HEAD, PHASE_BODY, PHASE_RUNNING, PHASE_WAITING, PHASE_ANSWERED };

struct exchange {
	struct request r; /* first: a request is an exchange */
	struct listener *listener;
	struct connection *connection;
	struct MHD_Connection *mhd;
	enum phase phase;
	enum MHD_Result queued;
	bool close, too_long, handled;
	struct buf body;
	size_t body_bytes;
	uint64_t started_ms;
	void (*next)(struct request *r);
};

static struct exchange *
exchange_of(struct request *r)
{
	return (struct exchange *)r;
}

/* ---- answers ---- */

static void
wipe_and_free(void *p)
{
	OPENSSL_cleanse(p, malloc_usable_size(p));
	free(p);
}

static struct MHD_Response *
response_of(struct buf *body)
{
	struct MHD_Response *m;
	char *p = body ? body->p : NULL;
	size_t n = body ? body->n : 0;

	if (body)
		*body = (struct buf){ 0 };
	if (!p)
		return MHD_create_response_from_buffer(0, (void *)(uintptr_t)"", MHD_RESPMEM_PERSISTENT);
	m = MHD_create_response_from_buffer_with_free_callback(n, p, wipe_and_free);
	if (!m)
		wipe_and_free(p);
	return m;
}

/* Probes and scrapes come every few seconds: they are no news. */
static void
answer_note(const struct exchange *x, int status)
{
	const struct server *s = x->listener->server;
	const struct request *r = &x->r;
	uint64_t ms = server_now_ms(s) - x->started_ms;

	LOG_AT(r->door == DOOR_TELEMETRY ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "request",
		LOG_STR("method", r->method == METHOD_GET ? "GET" : r->method == METHOD_POST ? "POST" : "other"), LOG_SLICE("path", r->path),
		LOG_INT("status", status), LOG_UINT("ms", ms), LOG_SLICE("address", r->address), LOG_REQ(r->id));
	if (s->o.answered)
		s->o.answered(r, status, ms);
}

void
response_send(struct request *r, int status, const char *content_type, struct buf *body)
{
	struct exchange *x = exchange_of(r);
	struct MHD_Response *m;
	enum MHD_Result ok = MHD_YES;

	if ((body && !buf_ok(body)) || r->answer_failed) {
		log_error("the answer did not fit in memory", LOG_SLICE("path", r->path), LOG_REQ(r->id));
		buf_fini_secret(body ? body : &x->body);
		body = NULL;
		status = 500;
		x->close = true;
	}
	x->queued = MHD_NO;
	m = response_of(body);
	if (m) {
		for (size_t i = 0; i < r->answer_header_n && status != 500; i++)
			ok &= MHD_add_response_header(m, r->answer_headers[i].name.p, r->answer_headers[i].value.p);
		if (content_type)
			ok &= MHD_add_response_header(m, "Content-Type", content_type);
		ok &= MHD_add_response_header(m, "X-Request-Id", r->id);
		if (x->close || atomic_load(&x->listener->retired))
			ok &= MHD_add_response_header(m, "Connection", "close");
		x->queued = ok ? MHD_queue_response(x->mhd, (unsigned)status, m) : MHD_NO;
		MHD_destroy_response(m);
	}
	if (x->queued != MHD_YES)
		log_error("answer could not be queued: the connection is closed", LOG_SLICE("path", r->path), LOG_INT("status", status), LOG_REQ(r->id));
	x->phase = PHASE_ANSWERED;
	answer_note(x, status);
}

void
request_wait(struct request *r, void (*next)(struct request *r))
{
	struct exchange *x = exchange_of(r);

	x->next = next;
	x->phase = PHASE_WAITING;
	x->queued = MHD_YES;
	MHD_suspend_connection(x->mhd);
}

void
request_resume(struct request *r)
{
	MHD_resume_connection(exchange_of(r)->mhd);
}

static void
refuse(struct exchange *x, int status, const char *why)
{
	struct buf body;

	buf_init(&body, 0);
	buf_printf(&body, "%d: %s\n", status, why);
	x->close = true;
	response_header(&x->r, "Cache-Control", SLICE_LIT("no-store"));
	response_header(&x->r, "X-Content-Type-Options", SLICE_LIT("nosniff"));
	response_send(&x->r, status, "text/plain; charset=utf-8", &body);
}

/* ---- requests ---- */

static enum MHD_Result
on_header(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_n, const char *value, size_t value_n)
{
	struct request *r = cls;

	(void)kind;
	if (r->header_n == REQUEST_HEADERS_MAX) {
		r->header_n++;
		return MHD_NO;
	}
	r->headers[r->header_n++] = (struct request_header){ { key, key_n }, { value ? value : "", value ? value_n : 0 } };
	return MHD_YES;
}

static enum request_method
method_of(const char *method)
{
	static const struct {
		const char *name;
		enum request_method method;
	} methods[] = { { "GET", METHOD_GET }, { "HEAD", METHOD_HEAD }, { "POST", METHOD_POST }, { "OPTIONS", METHOD_OPTIONS } };

	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
		if (strcmp(method, methods[i].name) == 0)
			return methods[i].method;
	return METHOD_OTHER;
}

static struct slice
ip_checked(struct request *r, struct slice text)
{
	unsigned char bytes[sizeof(struct in6_addr)];
	char *copy = arena_strndup(&r->arena, text.p, text.n);

	if (!copy || (inet_pton(AF_INET, copy, bytes) != 1 && inet_pton(AF_INET6, copy, bytes) != 1))
		return SLICE_LIT("unknown");
	return slice_of(copy, text.n);
}

/* Who it is: over the unix socket what proxyd says (it wrote the header itself), else the socket's peer. */
static void
exchange_address(struct exchange *x)
{
	struct request *r = &x->r;
	const union MHD_ConnectionInfo *info;
	char text[ADDRESS_TEXT_MAX];
	struct address a = { 0 };

	if (r->door == DOOR_GATEWAY) {
		r->address = ip_checked(r, request_header(r, "X-Forwarded-For"));
		return;
	}
	info = MHD_get_connection_info(x->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	if (info && info->client_addr && info->client_addr->sa_family == AF_INET)
		memcpy(&a.u.in4, info->client_addr, a.len = sizeof a.u.in4);
	else if (info && info->client_addr && info->client_addr->sa_family == AF_INET6)
		memcpy(&a.u.in6, info->client_addr, a.len = sizeof a.u.in6);
	r->address = a.len ? arena_slice(&r->arena, slice_str(address_format_ip(&a, text))) : SLICE_LIT("unknown");
}

/* The socket's mode keeps others out already; this holds where somebody changed it, or the folder around it. */
static bool
peer_may_administer(struct exchange *x)
{
	struct ucred peer;
	socklen_t n = sizeof peer;

	if (!x->connection || getsockopt(x->connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0)
		return false;
	x->r.peer_uid = peer.uid;
	return peer.uid == 0 || peer.uid == geteuid();
}

static void
exchange_head(struct exchange *x, const char *method)
{
	struct request *r = &x->r;
	const char *why;
	uint64_t length = 0;

	x->phase = PHASE_BODY;
	r->method = method_of(method);
	MHD_get_connection_values_n(x->mhd, MHD_HEADER_KIND, on_header, r);
	if (r->header_n > REQUEST_HEADERS_MAX) {
		r->header_n = 0;
		request_id_set(r, SLICE_NONE, x->listener->server->o.rng);
		refuse(x, 431, "too many header fields");
		return;
	}
	request_id_set(r, r->door == DOOR_GATEWAY ? request_header(r, "X-Request-Id") : SLICE_NONE, x->listener->server->o.rng);
	if (r->door == DOOR_CTL && !peer_may_administer(x)) {
		log_warn("control request refused", LOG_UINT("uid", r->peer_uid), LOG_REQ(r->id));
		refuse(x, 403, "only root and the user that authd runs as may do this");
		return;
	}
	exchange_address(x);
	why = request_head_refused(r);
	if (!why && !r->path.p)
		why = "the request target is not in origin form (RFC 9112 section 3.2.1)";
	if (why) {
		log_info("request refused", LOG_STR("reason", why), LOG_SLICE("address", r->address), LOG_REQ(r->id));
		refuse(x, 400, why);
	} else if (slice_to_u64(request_header(r, "Content-Length"), UINT64_MAX / 2, &length) && length > REQUEST_BODY_BYTES_MAX) {
		refuse(x, 413, "the body is longer than 64 KiB");
	} else {
		atomic_store(&x->connection->due_ms, server_now_ms(x->listener->server) + SERVER_BODY_MS);
	}
}

/* False: cut the connection. */
static bool
exchange_body(struct exchange *x, const char *data, size_t n)
{
	x->body_bytes += n;
	if (x->body_bytes > REQUEST_BODY_BYTES_MAX)
		x->too_long = true;
	else
		buf_add(&x->body, data, n);
	return x->body_bytes <= SERVER_BODY_DISCARD_MAX;
}

static void
exchange_run(struct exchange *x)
{
	struct request *r = &x->r;

	atomic_store(&x->connection->due_ms, 0);
	x->phase = PHASE_RUNNING;
	if (x->too_long || !buf_ok(&x->body)) {
		refuse(x, 413, "the body is longer than 64 KiB");
		return;
	}
	r->body = buf_slice(&x->body);
	x->handled = true;
	x->listener->server->o.handle(r);
}

enum MHD_Result
server_on_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version, const char *data,
	size_t *n, void **context)
{
	struct exchange *x = *context;

	(void)cls, (void)mhd, (void)url, (void)version;
	if (!x || !x->connection)
		return MHD_NO;
	switch (x->phase) {
	case PHASE_HEAD:
		exchange_head(x, method);
		return x->queued;
	case PHASE_BODY:
		if (*n) {
			bool go_on = exchange_body(x, data, *n);
			*n = 0;
			return go_on ? MHD_YES : MHD_NO;
		}
		exchange_run(x);
		return x->queued;
	case PHASE_WAITING:
		x->phase = PHASE_RUNNING;
		x->queued = MHD_NO;
		x->next(&x->r);
		return x->queued;
	case PHASE_RUNNING:
	case PHASE_ANSWERED:
		break;
	}
	*n = 0;
	return MHD_YES;
}

static void
connection_of(struct exchange *x)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	x->connection = info ? info->socket_context : NULL;
}

static const enum request_door doors[] = { [SERVER_UNIX] = DOOR_GATEWAY, [SERVER_HTTP] = DOOR_PUBLIC, [SERVER_HTTPS] = DOOR_PUBLIC,
	[SERVER_CTL] = DOOR_CTL, [SERVER_TELEMETRY] = DOOR_TELEMETRY };

/* The request line was read: the first that is heard of a request. NULL makes server_on_request refuse. */
void *
server_on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
	struct listener *l = cls;
	struct exchange *x;
	struct slice copy;

	if (!server_enter(l->server))
		return NULL;
	x = calloc(1, sizeof *x);
	if (!x) {
		server_leave(l->server);
		return NULL;
	}
	x->listener = l;
	x->mhd = mhd;
	x->queued = MHD_YES;
	x->started_ms = server_now_ms(l->server);
	connection_of(x);
	arena_init(&x->r.arena, REQUEST_ARENA_BYTES_MAX);
	buf_init(&x->body, REQUEST_BODY_BYTES_MAX);
	x->r.app = l->server->o.app;
	x->r.door = doors[l->kind];
	copy = arena_slice(&x->r.arena, slice_str(target));
	if (!copy.p || !request_target_split(copy, &x->r.path, &x->r.query))
		x->r.path = SLICE_NONE;
	return x;
}

void
server_on_completed(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code)
{
	struct listener *l = cls;
	struct server *s = l->server;
	struct exchange *x = *context;

	(void)mhd, (void)code;
	if (!x)
		return;
	*context = NULL;
	if (x->handled)
		s->o.release(&x->r);
	if (x->connection)
		atomic_store(&x->connection->due_ms, server_now_ms(s) + SERVER_HEAD_MS);
	buf_fini_secret(&x->body);
	arena_fini_secret(&x->r.arena);
	free(x);
	server_leave(s);
}
