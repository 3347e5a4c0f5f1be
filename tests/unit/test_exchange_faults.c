/* Every allocation of the gateway's thread fails once, in the middle of requests of all kinds: whoever is hit gets an error or loses the connection, and
 * everybody else is served as before. */
#include "tests/unit/exchange_unit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
int
main(void)
{
	return 0; /* they bring their own malloc */
}
#else

#include "tests/unit/gateway_faults.h"

/* A client that takes whatever comes. False: there was no whole answer with this status. */
static bool
attempt(struct end *client, const char *request, const char *status)
{
	char buf[8192];
	size_t n = 0;

	ERR_clear_error();
	if (SSL_write(client->ssl, request, (int)strlen(request)) <= 0)
		return false;
	while (n + 1 < sizeof(buf)) {
		ssize_t r = end_read(client, buf + n, sizeof(buf) - 1 - n);
		if (r <= 0)
			return false;
		n += (size_t)r;
		buf[n] = '\0';
		char *end = strstr(buf, "\r\n\r\n"), *length = strstr(buf, "Content-Length: ");
		if (end && length && (size_t)(end + 4 - buf) + strtoul(length + 16, NULL, 10) <= n)
			return strncmp(buf, status, strlen(status)) == 0;
		if (end && strstr(buf, "chunked") && strstr(end, "0\r\n\r\n"))
			return strncmp(buf, status, strlen(status)) == 0;
	}
	return false;
}

#define HEAD(method, path) method " " path " HTTP/1.1\r\nHost: gate.test\r\n"
static const char *const requests[] = {
	HEAD("GET", "/api") "Authorization: Bearer alice\r\n\r\n",
	HEAD("POST", "/api") "Authorization: Bearer alice\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
	HEAD("GET", "/api") "Cookie: gate=x\r\n\r\n",
	HEAD("GET", "/oidc/keys") "\r\n",
};

static void
each_failing_allocation_hurts_at_most_one_request(void **state)
{
	long failures = 0;

	(void)state;
	faults_begin(CHUNKED_OK "3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{\"id_token\":\"alice\",\"refresh_after\":300}");
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		long n = 1;
		do {
			struct end client = rig_client(&rig);
			rig_run(&rig, forget_lists, NULL);
			fault_at(n);
			bool ok = attempt(&client, requests[i], "HTTP/1.1 200 ");
			failures += !ok;
			assert_true(fault_was_hit() || ok); /* nobody suffers without cause */
			end_close(&client);
			/* The next one is served. */
			client = rig_client(&rig);
			assert_true(attempt(&client, requests[i], "HTTP/1.1 200 "));
			end_close(&client);
			n += n < 60 ? 1 : 5; /* the rest is libssl's handshake with the cluster */
		} while (atomic_load(&hit));
		assert_true(n > 5);
	}
	assert_true(failures > 10);
	faults_end();
}

static void
a_handshake_that_runs_out_of_memory_hurts_nobody_else(void **state)
{
	(void)state;
	rig_start(&rig, NULL);
	rig_run(&rig, mark_thread, NULL);
	bool again = true;
	for (long n = 1; again; n += 3) {
		struct end client;
		if (fault_client(&client, n))
			attempt(&client, HEAD("GET", "/api") "\r\n", "HTTP/1.1 401 ");
		again = fault_was_hit();
		end_reset(&client);
		client = rig_client(&rig);
		assert_true(attempt(&client, HEAD("GET", "/api") "\r\n", "HTTP/1.1 401 "));
		end_close(&client);
	}
	rig_stop(&rig);
}

int
main(void)
{
	log_set_level(LOG_LEVEL_ERROR + 1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_failing_allocation_hurts_at_most_one_request),
		cmocka_unit_test(a_handshake_that_runs_out_of_memory_hurts_nobody_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
