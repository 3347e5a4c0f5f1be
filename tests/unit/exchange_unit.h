/* exchange_unit.h - requests through the whole data path: the rig of a test, and what most tests of it say and hear. */
#ifndef TESTS_EXCHANGE_UNIT_H
#define TESTS_EXCHANGE_UNIT_H

#include "tests/unit/gateway_unit.h"

#define HOST "Host: gate.test\r\n"
#define ALICE "Authorization: Bearer alice\r\n"
#define BROWSER "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n"
#define LINE(method, target) method " " target " HTTP/1.1\r\n" HOST ALICE
#define GET LINE("GET", "/api") "\r\n"
#define OK_ABC "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
#define CHUNKED_OK "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

static struct rig rig;

static inline int
rig_setup(void **state)
{
	(void)state;
	rig_start(&rig, NULL);
	return 0;
}
static inline int
rig_teardown(void **state)
{
	(void)state;
	rig_stop(&rig);
	return 0;
}

/* A GET that goes all the way and back, on connections that are there. */
static inline void
get_abc(struct end *client, struct end *cluster)
{
	char head[4096];

	end_say(client, GET);
	end_hear_head(cluster, head, sizeof(head));
	end_say(cluster, OK_ABC);
	end_hear_head(client, head, sizeof(head));
	end_hear(client, "abc");
}
/* Client and cluster connected by such a GET: a kept pair. */
static inline void
pair(struct end *client, struct end *cluster)
{
	char head[4096];

	*client = rig_client(&rig);
	end_say(client, GET);
	*cluster = rig_cluster(&rig);
	end_hear_head(cluster, head, sizeof(head));
	end_say(cluster, OK_ABC);
	end_hear_head(client, head, sizeof(head));
	end_hear(client, "abc");
}
static inline void
part(struct end *client, struct end *cluster)
{
	end_close(client);
	end_close(cluster);
}

static inline void
count_held(struct rig *r, void *arg)
{
	*(size_t *)arg = r->gateway.blocks.held;
}
static inline size_t
blocks_held(void)
{
	size_t n;

	rig_run(&rig, count_held, &n);
	return n;
}

/* A status; one that says to come again says when. */
static inline void
hear_status(struct end *client, const char *status)
{
	char head[8192];

	end_hear_status(client, status, head, sizeof(head));
	if (strcmp(status, "503") == 0)
		assert_non_null(strstr(head, "Retry-After: 1\r\n"));
}

#endif
