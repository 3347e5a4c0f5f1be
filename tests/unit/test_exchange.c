#include "tests/unit/gateway_unit.h"

#define GET "GET /api HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer alice\r\n\r\n"
#define OK_ABC "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"

static void
get_abc(struct end *client, struct end *cluster)
{
	char head[4096];

	end_say(client, GET);
	end_hear_head(cluster, head, sizeof(head));
	assert_non_null(strstr(head, "Impersonate-User: alice\r\n"));
	assert_null(strstr(head, "Bearer"));
	end_say(cluster, OK_ABC);
	end_hear_head(client, head, sizeof(head));
	assert_memory_equal(head, "HTTP/1.1 200 OK\r\n", 17);
	end_hear(client, "abc");
}

static void
connections_on_both_sides_serve_request_after_request(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, NULL);
	struct end client = rig_client(&r);
	end_say(&client, GET);
	struct end cluster = rig_cluster(&r);
	char head[4096];
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	end_hear(&client, "abc");
	for (int i = 0; i < 20; i++)
		get_abc(&client, &cluster);
	assert_true(rig_nobody_connects(r.cluster_fd, 0));
	end_close(&client);
	end_close(&cluster);
	rig_stop(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_on_both_sides_serve_request_after_request),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
