/* Every allocation of the gateway's thread fails once in the middle of HTTP/2 requests: at most that connection suffers, and the next is served. */
#include "tests/unit/h2_unit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
int
main(void)
{
	return 0; /* they bring their own malloc */
}
#else
#include "tests/unit/gateway_faults.h"

static struct rig rig;

/* Whether stream 1 was answered with this status, whole. */
static bool
attempt(struct h2_client *c, const char *fields, bool body, const char *status)
{
	struct h2_frame f;
	struct buf out;
	bool ok = false;

	buf_init(&out, 0);
	add_headers(&out, 1, body ? FLAG_END_HEADERS : FLAGS_WHOLE, fields);
	if (body)
		add_frame(&out, FRAME_DATA, FLAG_END_STREAM, 1, "body", 4);
	end_write(&c->end, out.p, out.n);
	buf_fini(&out);
	while (h2_hear_any(c, &f)) {
		if (f.type == FRAME_HEADERS && f.id == 1)
			ok = strncmp(f.fields, status, strlen(status)) == 0;
		if (f.type == FRAME_RST_STREAM && f.id == 1)
			return false;
		if ((f.type == FRAME_HEADERS || f.type == FRAME_DATA) && f.id == 1 && f.flags & FLAG_END_STREAM)
			return ok;
	}
	return false;
}

static void
each_failing_allocation_hurts_at_most_one_connection(void **state)
{
	static const struct {
		const char *fields, *status;
		bool body;
	} requests[] = {
		{ H2_TARGET("GET", "/api") H2_ALICE "cookie: a=1\ncookie: b=2\n", ":status: 200\n", false },
		{ H2_TARGET("POST", "/api") H2_ALICE, ":status: 200\n", true },
		{ H2_TARGET("GET", "/api"), ":status: 401\n", false },
		{ H2_TARGET("GET", "/a/../b"), ":status: 400\n", false },
		{ H2_TARGET("GET", "/oidc/keys"), ":status: 200\n", false },
	};
	struct server cluster, authd;
	long failures = 0;

	(void)state;
	rig_start(&rig, NULL);
	cluster = (struct server){ rig.cluster_fd, rig.back_tls, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 0 };
	authd = (struct server){ rig.authd_fd, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 0 };
	pthread_create(&cluster.thread, NULL, serve, &cluster);
	pthread_create(&authd.thread, NULL, serve, &authd);
	rig_run(&rig, mark_thread, NULL);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		long n = 1;
		do {
			struct h2_client c = h2_client(&rig);
			rig_run(&rig, forget_lists, NULL);
			atomic_store(&hit, false);
			atomic_store(&countdown, n);
			bool ok = attempt(&c, requests[i].fields, requests[i].body, requests[i].status);
			atomic_store(&countdown, 0);
			failures += !ok;
			assert_true(ok || atomic_load(&hit)); /* nobody suffers without cause */
			h2_close(&c);
			c = h2_client(&rig);
			assert_true(attempt(&c, requests[i].fields, requests[i].body, requests[i].status));
			h2_close(&c);
			n += n < 60 ? 1 : 5; /* the rest is libssl's handshake with the cluster */
		} while (atomic_load(&hit));
		assert_true(n > 5);
	}
	assert_true(failures > 10);
	/* Opening a connection, from its first byte on. */
	bool again = true;
	for (long n = 1; again; n += n < 300 ? 7 : 1) { /* the handshake first */
		struct sockaddr_in a;
		socklen_t an = sizeof(a);
		struct end client = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .ssl = SSL_new(rig.client_tls) };
		struct h2_client c = { .end = client };
		assert_int_equal(getsockname(rig.listen_fd, (struct sockaddr *)&a, &an), 0);
		end_patience(&client);
		atomic_store(&hit, false);
		atomic_store(&countdown, n);
		assert_int_equal(connect(client.fd, (struct sockaddr *)&a, an), 0);
		SSL_set_fd(client.ssl, client.fd);
		if (SSL_connect(client.ssl) == 1) {
			char byte;
			while (end_read(&c.end, &byte, 1) == 1 && !end_is_silent(&c.end, 0))
				;
		}
		again = atomic_load(&hit);
		atomic_store(&countdown, 0);
		end_reset(&c.end);
		c = h2_client(&rig);
		assert_true(attempt(&c, requests[2].fields, false, requests[2].status));
		h2_close(&c);
	}
	shutdown(rig.cluster_fd, SHUT_RDWR);
	shutdown(rig.authd_fd, SHUT_RDWR);
	pthread_join(cluster.thread, NULL);
	pthread_join(authd.thread, NULL);
	rig_stop(&rig);
}

int
main(void)
{
	log_set_level(LOG_LEVEL_ERROR + 1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_failing_allocation_hurts_at_most_one_connection),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
