/* Every allocation of the gateway's thread fails once while a watch gets a stream of a shared connection, the first or a later one: whoever is hit gets an error or loses the connection, and the
 * next one is served. */
#include "tests/unit/exchange_unit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
int
main(void)
{
	return 0; /* they bring their own malloc */
}
#else

#include "proxyd/upstream_link.h"
#include "tests/unit/gateway_faults.h"

static const char watch[] = LINE("GET", "/api/v1/pods?watch=1") "\r\n";
static atomic_int streams;

static bool
read_whole(struct end *e, unsigned char *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t r = end_read(e, (char *)p + at, n - at);
		if (r <= 0)
			return false;
		at += (size_t)r;
	}
	return true;
}

static bool
say(struct end *e, unsigned type, unsigned flags, const unsigned char *id, const char *payload, unsigned n)
{
	char out[64] = { 0, 0, (char)n, (char)type, (char)flags };

	memcpy(out + 5, id, 4);
	memcpy(out + 9, payload, n);
	ERR_clear_error();
	return SSL_write(e->ssl, out, (int)n + 9) > 0;
}

/* HTTP/2 where it was chosen: an interim answer, then three bytes, for each stream. "\x88": ":status: 200" of HPACK's static table. */
static bool
serve_watches(struct end *e, const char *answer)
{
	static const unsigned char none[4];
	unsigned char head[24], payload[16384];

	if (!e->ssl || !tls_chose_h2(e->ssl))
		return answer_one(e, answer);
	bool more = read_whole(e, head, sizeof(head)) && say(e, 4, 0, none, "", 0);
	while (more && read_whole(e, head, 9)) {
		size_t n = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
		more = n <= sizeof(payload) && read_whole(e, payload, n);
		if (!more || head[3] != 1)
			continue;
		atomic_fetch_add(&streams, 1);
		more = say(e, 1, 4, head + 5, "\x08\x03" "103", 5) && say(e, 1, 4, head + 5, "\x88", 1) && say(e, 0, 1, head + 5, "abc", 3);
	}
	return false;
}

static void
forget_upstream(void *arg, const struct upstream *known)
{
	struct upstream *u = (struct upstream *)(uintptr_t)known;

	u->http2 = u->tls;
	u->servers.items[0].http1_until_ms = 0;
	if (arg)
		upstream_link_free(u);
	if (arg)
		upstream_flush(u);
}
/* arg: not NULL: the next watch finds no connection. */
static void
prepare(struct rig *r, void *arg)
{
	forget_lists(r, NULL);
	router_each_upstream(r->gateway.router, forget_upstream, arg);
}

/* True: 200 and a whole body, behind whatever interim answers. */
static bool
attempt(struct end *client)
{
	char buf[8192];
	size_t n = 0;

	ERR_clear_error();
	if (SSL_write(client->ssl, watch, sizeof(watch) - 1) <= 0)
		return false;
	while (n + 1 < sizeof(buf)) {
		ssize_t r = end_read(client, buf + n, sizeof(buf) - 1 - n);
		if (r <= 0)
			return false;
		n += (size_t)r;
		buf[n] = '\0';
		if (strstr(buf, "\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
			return strstr(buf, "HTTP/1.1 200 ");
		if (strstr(buf, "HTTP/1.1 5") && memchr(buf, '}', n))
			return false;
	}
	return false;
}

static void
each_failing_allocation_hurts_at_most_one_watch(void **state)
{
	long failures = 0;

	(void)state;
	serve_one = serve_watches;
	faults_begin(CHUNKED_OK "3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	for (int first = 0; first < 2; first++) {
		long n = 1;
		do {
			struct end client = rig_client(&rig);
			rig_run(&rig, prepare, first ? &rig : NULL);
			fault_at(n);
			bool ok = attempt(&client);
			failures += !ok;
			assert_true(fault_was_hit() || ok);
			end_close(&client);
			rig_run(&rig, prepare, NULL);
			client = rig_client(&rig);
			assert_true(attempt(&client));
			end_close(&client);
			n += n < 120 ? 1 : 5; /* the rest is libssl's handshake with the cluster */
		} while (atomic_load(&hit));
		assert_true(n > 10);
	}
	assert_true(failures > 10);
	assert_true(atomic_load(&streams) > 100);
	faults_end();
}

int
main(void)
{
	log_set_level(LOG_LEVEL_ERROR + 1);
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_failing_allocation_hurts_at_most_one_watch) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
