/* upstream_link_unit.h - watches that ride on shared connections, end to end: clients in front, an apiserver of HTTP/2 behind that writes whatever frames a test wants. */
#ifndef TESTS_UPSTREAM_LINK_UNIT_H
#define TESTS_UPSTREAM_LINK_UNIT_H

#include "proxyd/upstream_link.h"
#include "tests/unit/h2_unit.h"

#define WATCH "/api/v1/pods?watch=1"
#define ASK(path) "GET " path " HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer alice\r\n\r\n"
#define OK_HEAD ":status: 200\ncontent-type: application/json\n"
#define EVENT "{\"type\":\"ADDED\"}\n"
enum { PROTOCOL_ERROR = 1, INTERNAL_ERROR = 2, FLOW_CONTROL_ERROR = 3, REFUSED_STREAM = 7, CANCEL = 8 };
enum { MAX_CONCURRENT_STREAMS = 3, MAX_HEADER_LIST_SIZE = 6 };

static struct rig rig;

static inline void
rides(struct proxyd_config *c)
{
	((struct proxyd_cluster *)c->clusters.items)->http2 = PROXYD_HTTP2_WATCHES;
}
static inline int
setup(void **state)
{
	(void)state;
	rig_start(&rig, rides);
	return 0;
}
static inline int
teardown(void **state)
{
	(void)state;
	rig_stop(&rig);
	return 0;
}

/* ---- the apiserver ---- */

static inline struct h2_client
server_unsettled(void)
{
	struct h2_client s = { .end = rig_cluster(&rig) };
	const unsigned char *name = NULL;
	unsigned n = 0;

	SSL_get0_alpn_selected(s.end.ssl, &name, &n);
	assert_int_equal(n, 2);
	assert_int_equal(nghttp2_hd_inflate_new(&s.inflater), 0);
	end_hear(&s.end, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	return s;
}

static inline void
settle(struct h2_client *s, uint32_t streams)
{
	unsigned char setting[6] = { 0, MAX_CONCURRENT_STREAMS };

	put_u32(setting + 2, streams);
	h2_say(s, FRAME_SETTINGS, 0, 0, setting, sizeof(setting));
}

static inline struct h2_client
server_with(uint32_t streams)
{
	struct h2_client s = server_unsettled();
	struct h2_frame f;

	settle(&s, streams);
	do
		assert_true(h2_hear_any(&s, &f));
	while (f.type != FRAME_SETTINGS || f.flags & FLAG_ACK);
	h2_say(&s, FRAME_SETTINGS, FLAG_ACK, 0, NULL, 0);
	return s;
}
static inline struct h2_client
server(void)
{
	return server_with(100);
}

static inline void
say_event(struct h2_client *s, uint32_t id, const char *event)
{
	h2_say(s, FRAME_DATA, 0, id, event, strlen(event));
}

/* ---- a client ---- */

static inline struct end
watcher(void)
{
	struct end c = rig_client(&rig);

	end_say(&c, ASK(WATCH));
	return c;
}

static inline void
hear_head(struct end *c, const char *status)
{
	char head[8192];

	end_hear_head(c, head, sizeof(head));
	assert_memory_equal(head, "HTTP/1.1 ", 9);
	assert_memory_equal(head + 9, status, strlen(status));
	if (strcmp(status, "200") == 0)
		assert_non_null(strstr(head, "Transfer-Encoding: chunked\r\n"));
}

static inline void
hear_event(struct end *c, const char *event)
{
	char chunk[8192];

	snprintf(chunk, sizeof(chunk), "%zx\r\n%s\r\n", strlen(event), event);
	end_hear(c, chunk);
}

/* Says 502 and why. */
static inline void
hear_failure(struct end *c, const char *why)
{
	char answer[8192];
	size_t n = 0;

	hear_head(c, "502");
	while (n + 1 < sizeof(answer) && !memmem(answer, n, "502}", 4)) {
		ssize_t r = end_read(c, answer + n, 1);
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	answer[n] = '\0';
	if (!strstr(answer, why))
		fail_msg("\"%s\" is not in %s", why, answer);
}

/* A watch that runs: its stream's number, its client. */
static inline struct end
running(struct h2_client *s, uint32_t id)
{
	struct end c = watcher();
	struct h2_frame f;

	h2_hear(s, FRAME_HEADERS, id, &f);
	h2_say_headers(s, id, FLAG_END_HEADERS, OK_HEAD);
	say_event(s, id, EVENT);
	hear_head(&c, "200");
	hear_event(&c, EVENT);
	return c;
}

/* The gateway's next connection: HTTP/1.1, and nothing else was offered. */
static inline struct end
hear_alone(const char *path)
{
	struct end s = rig_cluster(&rig);
	char head[8192], line[256];
	const unsigned char *name = NULL;
	unsigned n = 0;

	SSL_get0_alpn_selected(s.ssl, &name, &n);
	assert_int_equal(n, 0);
	end_hear_head(&s, head, sizeof(head));
	snprintf(line, sizeof(line), "GET %s HTTP/1.1\r\nHost: cluster.test\r\n", path);
	assert_memory_equal(head, line, strlen(line));
	assert_non_null(strstr(head, "\r\nImpersonate-User: alice\r\n"));
	return s;
}

static inline void
answer_alone(struct end *s, struct end *c)
{
	end_say(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nover\r\n0\r\n\r\n");
	hear_head(c, "200");
	end_hear(c, "4\r\nover\r\n0\r\n\r\n");
	end_close(s);
	end_close(c);
}

#endif
