#include <errno.h>
#include "proxyd/cluster_call.h"
#include "proxyd/http_answer.h"

#define OWNER(type, member, p) ((type *)((char *)(p) - offsetof(type, member)))

#define REQUEST_HEAD_BYTES_MAX 20480 /* a credential of at most 16 KiB (kubeconfig.h), path, host, our own lines */
#define ANSWER_HEAD_BYTES_MAX 65536
#define READ_BYTES 16384             /* a TLS record (RFC 8446 section 5.1) */

static void
end(struct cluster_call *c, unsigned status, struct slice body, const char *why)
{
	c->on_end(c, status, body, why);
}

static void
fail(struct cluster_call *c, const char *why)
{
	end(c, 0, SLICE_NONE, why);
}

static void
connect_upstream(struct cluster_call *c, bool fresh)
{
	c->sent = 0;
	enum err err = upstream_start(c->to->upstream, &c->call, fresh);
	if (err == E_AGAIN)
		return;
	if (err != OK)
		c->why = err == E_SYSTEM ? strerrordesc_np(errno) : err == E_EMPTY ? "its name does not resolve" : "out of memory";
	if (loop_timer_set(c->loop, &c->kick, 0)) /* neither success nor failure is told before this returns */
		c->why = "out of memory";
}

/* Died on the connection. One that had served others may have been closed at its other end meanwhile. */
static void
lost(struct cluster_call *c)
{
	char why[TRANSPORT_WHY_MAX];

	transport_why(c->call.transport, why);
	upstream_lost(&c->call, why);
	if ((c->call.kept || upstream_has_others(c->to->upstream)) && !c->retried) {
		c->retried = true;
		upstream_finish(&c->call, false);
		connect_upstream(c, true);
		return;
	}
	fail(c, why);
}

static void
take_answer(struct cluster_call *c, enum io io)
{
	static const struct http_limits limits = { ANSWER_HEAD_BYTES_MAX, 1024 };
	struct http_head h;
	struct buf body;
	bool keep;

	buf_init(&body, CLUSTER_CALL_ANSWER_BYTES_MAX);
	switch (http_answer_parse(buf_slice(&c->answer), io == IO_EOF, &limits, METHOD_POST, &h, &body, &keep)) {
	case HTTP_ANSWER_MORE:
		if (io == IO_EOF || io == IO_FAILED)
			fail(c, "the connection ended before the answer did");
		break;
	case HTTP_ANSWER_BAD:
		fail(c, "not an HTTP answer, or one that is too long");
		break;
	case HTTP_ANSWER_WHOLE:
		upstream_finish(&c->call, keep && c->sent == c->request.n);
		end(c, h.status, buf_slice(&body), NULL);
		break;
	}
	buf_fini_secret(&body);
}

static void
proceed(struct cluster_call *c)
{
	size_t n = 0;
	enum io io;

	/* A failure to write shows below: what was said before it may still be read. */
	if (c->sent < c->request.n && transport_write(c->call.transport, c->request.p + c->sent, c->request.n - c->sent, &n) != IO_FAILED)
		c->sent += n;
	size_t before = c->answer.n;
	do {
		char *room = buf_reserve(&c->answer, READ_BYTES);
		if (!room) {
			fail(c, "the answer is too long");
			return;
		}
		io = transport_read(c->call.transport, room, READ_BYTES, &n);
		buf_commit(&c->answer, n);
	} while (io == IO_OK);
	if (c->answer.n == 0 && io != IO_AGAIN)
		lost(c);
	else if (c->answer.n > before || io != IO_AGAIN)
		take_answer(c, io);
}

static void
on_connected(struct upstream_call *call)
{
	proceed(OWNER(struct cluster_call, call, call));
}

static void
on_failed(struct upstream_call *call, enum upstream_failure failure, const char *why)
{
	(void)failure;
	fail(OWNER(struct cluster_call, call, call), why);
}

static void
on_kick(struct loop_timer *t)
{
	struct cluster_call *c = OWNER(struct cluster_call, kick, t);

	if (c->why)
		fail(c, c->why);
	else
		proceed(c);
}

enum err
cluster_call_start(struct cluster_call *c, struct loop *loop, struct destination *to, const char *path, struct slice body)
{
	c->loop = loop;
	c->to = to;
	c->kick.on_due = on_kick;
	c->call.on_connected = on_connected;
	c->call.on_failed = on_failed;
	c->call.on_ready = on_connected;
	buf_init(&c->request, REQUEST_HEAD_BYTES_MAX + body.n);
	buf_init(&c->answer, ANSWER_HEAD_BYTES_MAX + CLUSTER_CALL_ANSWER_BYTES_MAX + READ_BYTES);
	/* At once what is needed: an echo of the token is in the answer, too, and memory that is moved from is not wiped. */
	if (!buf_reserve(&c->request, REQUEST_HEAD_BYTES_MAX + body.n) || !buf_reserve(&c->answer, 2 * READ_BYTES))
		return E_NOMEM;
	buf_add_str(&c->request, "POST ");
	buf_add_slice(&c->request, to->forward.base_path);
	buf_add_str(&c->request, path);
	buf_add_str(&c->request, " HTTP/1.1\r\nHost: ");
	buf_add_slice(&c->request, to->forward.host);
	buf_add_str(&c->request, "\r\nAccept: application/json\r\nContent-Type: application/json\r\nUser-Agent: gatehouse-proxyd\r\nContent-Length: ");
	buf_add_u64(&c->request, body.n);
	buf_add_str(&c->request, "\r\n");
	buf_add_slice(&c->request, to->forward.credential);
	buf_add_str(&c->request, "\r\n");
	buf_add_slice(&c->request, body);
	if (!buf_ok(&c->request))
		return E_NOMEM;
	connect_upstream(c, false);
	return OK;
}

void
cluster_call_finish(struct cluster_call *c)
{
	upstream_finish(&c->call, false);
	if (c->loop)
		loop_timer_clear(c->loop, &c->kick);
	buf_fini_secret(&c->request);
	buf_fini_secret(&c->answer);
}
