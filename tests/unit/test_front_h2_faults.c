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
	long failures = 0;

	(void)state;
	faults_begin(CHUNKED_OK "3\r\nabc\r\n0\r\n\r\n", OK_ABC);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		long n = 1;
		do {
			struct h2_client c = h2_client(&rig);
			rig_run(&rig, forget_lists, NULL);
			fault_at(n);
			bool ok = attempt(&c, requests[i].fields, requests[i].body, requests[i].status);
			failures += !ok;
			assert_true(fault_was_hit() || ok); /* nobody suffers without cause */
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
		struct h2_client c = { 0 };
		if (fault_client(&c.end, n)) {
			char byte;
			while (end_read(&c.end, &byte, 1) == 1 && !end_is_silent(&c.end, 0))
				;
		}
		again = fault_was_hit();
		end_reset(&c.end);
		c = h2_client(&rig);
		assert_true(attempt(&c, requests[2].fields, false, requests[2].status));
		h2_close(&c);
	}
	faults_end();
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
