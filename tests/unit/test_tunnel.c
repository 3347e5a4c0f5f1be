/* Upgrades: what becomes a tunnel and what does not, and what a tunnel does with bytes and ends. */
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <fcntl.h>
#include "proxyd/lasting.h"
#include "tests/unit/exchange_unit.h"

#define EXEC "/api/v1/namespaces/a/pods/b/exec"
#define TO_WEBSOCKET "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define TO_SPDY "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
#define WEBSOCKET LINE("GET", EXEC) TO_WEBSOCKET "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\n"

static void
forget_soon(struct proxyd_config *c)
{
	c->limits.tunnel_idle_timeout_ms = 200;
	c->limits.body_timeout_ms = 100; /* is not for tunnels */
}
static int
setup_forgetful(void **state)
{
	(void)state;
	rig_start(&rig, forget_soon);
	return 0;
}

static void
open_tunnel(struct end *client, struct end *cluster)
{
	char head[4096];

	*client = rig_client(&rig);
	end_say(client, WEBSOCKET);
	*cluster = rig_cluster(&rig);
	end_hear_head(cluster, head, sizeof(head));
	end_say(cluster, SWITCHING TO_WEBSOCKET "\r\n");
	end_hear_head(client, head, sizeof(head));
	assert_memory_equal(head, SWITCHING, sizeof(SWITCHING) - 1);
}
/* Say that nothing more comes from this side, and go on listening. */
static void
end_half(struct end *e)
{
	SSL_shutdown(e->ssl);
	shutdown(e->fd, SHUT_WR);
}

/* ---- what becomes a tunnel ---- */

static void
a_websocket_becomes_a_tunnel_after_its_101(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[4096], answer[4096];

	(void)state;
	end_say(&client, LINE("GET", EXEC "?command=sh&stdin=true") "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io\r\n\r\n");
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_non_null(strstr(head, "GET " EXEC "?command=sh&stdin=true HTTP/1.1\r\n"));
	assert_non_null(strstr(head, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"));
	assert_non_null(strstr(head, "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"));
	assert_non_null(strstr(head, "\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n"));
	assert_non_null(strstr(head, "\r\nImpersonate-User: alice\r\n"));
	assert_null(strstr(head, "c2VjcmV0"));
	assert_null(strstr(head, "Content-Length"));
	/* The first bytes come with the 101. */
	end_say(&cluster, SWITCHING "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
		"Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n\x81\x02hi");
	end_hear_head(&client, answer, sizeof(answer));
	assert_memory_equal(answer, SWITCHING, sizeof(SWITCHING) - 1);
	assert_non_null(strstr(answer, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"));
	assert_non_null(strstr(answer, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n"));
	char *id = strstr(answer, "\r\nX-Request-Id: ");
	assert_non_null(id);
	id[16 + 16] = '\0';
	assert_non_null(strstr(head, id));
	end_hear(&client, "\x81\x02hi");
	/* Whatever looks like HTTP is just bytes now. */
	end_say(&client, GET);
	end_hear(&cluster, GET);
	end_say(&cluster, OK_ABC);
	end_hear(&client, OK_ABC);
	assert_int_equal(blocks_held(), 0);
	part(&client, &cluster);
}

static void
spdy_by_post_keeps_each_of_its_protocol_versions(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[4096];

	(void)state;
	end_say(&client, LINE("POST", EXEC) TO_SPDY "Content-Length: 0\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n"
		"X-Stream-Protocol-Version: v3.channel.k8s.io\r\n\r\n");
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	assert_non_null(strstr(head, "\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: v3.channel.k8s.io\r\n"));
	assert_non_null(strstr(head, "\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"));
	end_say(&cluster, SWITCHING TO_SPDY "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n");
	end_hear_head(&client, head, sizeof(head));
	assert_non_null(strstr(head, "\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"));
	end_say(&client, "up");
	end_hear(&cluster, "up");
	part(&client, &cluster);
}

static void
a_head_longer_than_the_room_before_the_bytes_behind_it_is_written_whole(void **state)
{
	struct end client, cluster;
	char head[65536], *long_one = malloc(32000);

	(void)state;
	memset(long_one, 'x', 31000);
	long_one[31000] = '\0';
	client = rig_client(&rig);
	end_say(&client, WEBSOCKET);
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, SWITCHING TO_WEBSOCKET "X-Long: ");
	end_say(&cluster, long_one);
	end_say(&cluster, "\r\n\r\nbehind");
	end_hear_head(&client, head, sizeof(head));
	assert_non_null(strstr(head, long_one));
	end_hear(&client, "behind");
	part(&client, &cluster);
	free(long_one);
}

static void
any_other_answer_is_relayed_whole_and_both_connections_end(void **state)
{
	static const char *const answers[] = { "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"no\": 1}",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno tunnel", "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 9\r\n\r\n{\"no\": 1}" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct end client = rig_client(&rig), cluster;
		char head[4096];
		end_say(&client, WEBSOCKET);
		cluster = rig_cluster(&rig);
		end_hear_head(&cluster, head, sizeof(head));
		end_say(&cluster, answers[i]);
		end_hear_head(&client, head, sizeof(head));
		assert_memory_equal(head, answers[i], 12);
		assert_non_null(strstr(head, "\r\nConnection: close\r\n"));
		end_hear(&client, strstr(answers[i], "\r\n\r\n") + 4);
		end_hear_eof(&client);
		end_hear_eof(&cluster);
		part(&client, &cluster);
	}
}

static void
another_protocol_than_asked_is_a_502(void **state)
{
	static const char *const answers[] = { SWITCHING TO_SPDY "\r\nabc", SWITCHING "\r\n", SWITCHING "Upgrade: websocket\r\n\r\n",
		SWITCHING "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", SWITCHING TO_WEBSOCKET "Content-Length: 3\r\n\r\nabc" };

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct end client = rig_client(&rig), cluster;
		char head[4096];
		end_say(&client, WEBSOCKET);
		cluster = rig_cluster(&rig);
		end_hear_head(&cluster, head, sizeof(head));
		end_say(&cluster, answers[i]);
		end_hear_status(&client, "502", head, sizeof(head));
		assert_non_null(strstr(head, "\r\nConnection: close\r\n"));
		end_hear_eof(&cluster);
		part(&client, &cluster);
	}
}

/* Until the gateway's kernel has acknowledged all that was sent: it is in its socket now, however busy the machine is. */
static void
await_taken(const struct end *e)
{
	int unacknowledged = 0;

	do {
		sched_yield();
		assert_int_equal(ioctl(e->fd, SIOCOUTQ, &unacknowledged), 0);
	} while (unacknowledged > 0);
}

static void
bytes_before_the_101_are_refused(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[4096];

	(void)state;
	end_say(&client, WEBSOCKET "GET /");
	end_hear_status(&client, "400", head, sizeof(head));
	assert_non_null(strstr(head, "\r\nConnection: close\r\n"));
	assert_true(rig_nobody_connects(rig.cluster_fd, 0));
	end_close(&client);

	client = rig_client(&rig);
	end_say(&client, WEBSOCKET);
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&client, "too early");
	await_taken(&client);
	end_say(&cluster, SWITCHING TO_WEBSOCKET "\r\n");
	end_hear_status(&client, "400", head, sizeof(head));
	end_hear_eof(&cluster);
	part(&client, &cluster);
}

static void
an_upgrade_never_goes_to_a_kept_connection_nor_leaves_one(void **state)
{
	struct end client = rig_client(&rig), kept, fresh;
	char head[4096];

	(void)state;
	end_say(&client, GET);
	kept = rig_cluster(&rig);
	end_hear_head(&kept, head, sizeof(head));
	end_say(&kept, OK_ABC);
	end_hear_head(&client, head, sizeof(head));
	end_hear(&client, "abc");
	end_say(&client, WEBSOCKET);
	fresh = rig_cluster(&rig);
	end_hear_head(&fresh, head, sizeof(head));
	assert_memory_equal(head, "GET " EXEC " ", sizeof(EXEC) + 4);
	end_say(&fresh, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	end_hear_head(&client, head, sizeof(head));
	end_hear_eof(&fresh);
	assert_true(end_is_silent(&kept, 0));
	part(&client, &fresh);
	end_close(&kept);
}

static void
an_upgrade_that_is_not_let_through_ends_the_connection(void **state)
{
	struct end client = rig_client(&rig);
	char head[4096];

	(void)state;
	end_say(&client, "GET " EXEC " HTTP/1.1\r\nHost: gate.test\r\n" TO_WEBSOCKET "\r\n");
	end_hear_status(&client, "401", head, sizeof(head));
	assert_non_null(strstr(head, "\r\nConnection: close\r\n"));
	assert_true(rig_nobody_connects(rig.cluster_fd, 0));
	end_close(&client);
}

/* ---- ends ---- */

static void
what_one_side_ends_is_ended_towards_the_other_which_goes_on(void **state)
{
	(void)state;
	for (int client_first = 0; client_first < 2; client_first++) {
		struct end client, cluster;
		open_tunnel(&client, &cluster);
		struct end *first = client_first ? &client : &cluster, *second = client_first ? &cluster : &client;
		end_say(first, "the last of it");
		end_half(first);
		end_hear(second, "the last of it");
		end_hear_eof(second);
		for (int i = 0; i < 3; i++) {
			end_say(second, "still here");
			end_hear(first, "still here");
		}
		end_half(second);
		end_hear_eof(first);
		part(&client, &cluster);
	}
}

static void
an_end_in_the_same_bytes_as_the_101_is_passed_on(void **state)
{
	struct end client = rig_client(&rig), cluster;
	char head[4096];

	(void)state;
	end_say(&client, WEBSOCKET);
	cluster = rig_cluster(&rig);
	end_hear_head(&cluster, head, sizeof(head));
	end_say(&cluster, SWITCHING TO_WEBSOCKET "\r\nbye");
	end_half(&cluster);
	end_hear_head(&client, head, sizeof(head));
	end_hear(&client, "bye");
	end_hear_eof(&client);
	end_say(&client, "thanks");
	end_hear(&cluster, "thanks");
	part(&client, &cluster);
}

static void
a_side_that_vanishes_takes_the_other_with_it(void **state)
{
	struct end client, cluster;

	(void)state;
	open_tunnel(&client, &cluster);
	end_reset(&client);
	end_hear_eof(&cluster);
	end_close(&cluster);
	open_tunnel(&client, &cluster);
	end_reset(&cluster);
	end_hear_cut(&client); /* never as if it had been the whole */
	end_close(&client);
}

static void
what_an_upstream_sent_before_it_closed_arrives_while_the_client_still_sends(void **state)
{
	enum { N = 1 << 20 };
	struct end client, cluster;
	char *bytes = calloc(1, N);
	size_t n = 0;
	ssize_t r;

	(void)state;
	open_tunnel(&client, &cluster);
	end_write(&cluster, bytes, N);
	end_close(&cluster);
	/* Where the reset below has come already, this fails, and so may the read. */
	ERR_clear_error();
	int written = SSL_write(client.ssl, bytes, 65536);
	while ((r = end_read(&client, bytes, N)) > 0)
		n += (size_t)r;
	assert_true(written > 0 || r < 0);
	/* The kernel at the upstream answers bytes for nobody with a reset: the end may be a cut, but what had arrived is there. */
	assert_true(n == N || r < 0);
	end_close(&client);
	free(bytes);
}

static void
stop_all(struct rig *r, void *arg)
{
	(void)arg;
	r->gateway.stopping = true;
	client_close_all(&r->gateway);
}

static void
read_line(int fd, char *out, size_t cap)
{
	size_t n = 0;

	while (n + 1 < cap && read(fd, out + n, 1) == 1 && out[n] != '\n')
		n++;
	out[n] = '\0';
}

static void
each_tunnel_leaves_one_line_with_the_bytes_of_both_ways_and_why_it_ended(void **state)
{
	struct end client, cluster;
	char line[4096];
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	log_setup("t", fds[1], LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	open_tunnel(&client, &cluster);
	end_say(&client, "four");
	end_hear(&cluster, "four");
	end_say(&cluster, "sixteen bytes...");
	end_hear(&client, "sixteen bytes...");
	part(&client, &cluster);
	read_line(fds[0], line, sizeof(line));
	assert_non_null(strstr(line, "\"method\":\"GET\",\"path\":\"" EXEC "\",\"verb\":\"get\",\"resource\":\"pods/exec\",\"namespace\":\"a\",\"name\":\"b\","
				      "\"status\":101,\"user\":\"alice\""));
	assert_non_null(strstr(line, "\"bytes_in\":4,\"bytes_out\":16,"));
	assert_null(strstr(line, "\"reason\":\""));
	open_tunnel(&client, &cluster);
	rig_run(&rig, stop_all, NULL);
	read_line(fds[0], line, sizeof(line));
	assert_non_null(strstr(line, "\"reason\":\"the gateway stopped\""));
	part(&client, &cluster);
	open_tunnel(&client, &cluster);
	end_reset(&cluster);
	read_line(fds[0], line, sizeof(line));
	assert_non_null(strstr(line, "\"reason\":\"the upstream cut the connection\""));
	end_close(&client);
	log_setup("t", 2, LOG_LEVEL_ERROR + 1, LOG_FORMAT_TEXT);
	close(fds[0]);
	close(fds[1]);
}

/* ---- time ---- */

static void
a_tunnel_lives_while_something_moves_and_no_longer(void **state)
{
	struct end client, cluster;

	(void)state;
	open_tunnel(&client, &cluster);
	for (int i = 0; i < 8; i++) { /* 480 ms: longer than the limit, one way only */
		end_say(&client, "ping");
		end_hear(&cluster, "ping");
		assert_true(end_is_silent(&cluster, 60));
	}
	end_hear_cut(&client);
	end_hear_eof(&cluster);
	part(&client, &cluster);
}

static void
open_console(struct end *client, struct end *backend)
{
	char head[4096];

	*client = rig_client(&rig);
	end_say(client, "GET /console/ws HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer alice\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
	*backend = rig_authd(&rig);
	end_hear_head(backend, head, sizeof(head));
	assert_non_null(strstr(head, "\r\nX-Remote-User: alice\r\n"));
	assert_null(strstr(head, "Authorization"));
	end_say(backend, SWITCHING TO_WEBSOCKET "\r\n");
	end_hear_head(client, head, sizeof(head));
	assert_memory_equal(head, SWITCHING, sizeof(SWITCHING) - 1);
}
static void
have_a_console(struct proxyd_config *c)
{
	struct proxyd_route *routes = c->routes.items;

	routes[0].kind = routes[1].kind = PROXYD_ROUTE_FRONT_PROXY;
	believer.alice.identity.sid = SLICE_LIT("s-1");
}
static int
setup_console(void **state)
{
	(void)state;
	rig_start(&rig, have_a_console);
	return 0;
}
/* What a worker does when it is told that sessions have ended. */
static void
look(struct rig *r, void *arg)
{
	(void)arg;
	lasting_look(&r->gateway);
}

static void
channels_end_with_their_session(void **state)
{
	struct end client, backend, kube, cluster;

	(void)state;
	open_console(&client, &backend);
	open_tunnel(&kube, &cluster);
	rig_run(&rig, look, NULL); /* others' */
	end_say(&client, "ping");
	end_hear(&backend, "ping");
	atomic_store(&believer.alice_ended, true);
	end_say(&client, "ping");
	end_hear(&backend, "ping");
	rig_run(&rig, look, NULL);
	end_hear_cut(&client);
	end_hear_eof(&backend);
	end_hear_cut(&kube);
	end_hear_eof(&cluster);
	part(&client, &backend);
	part(&kube, &cluster);
}

static void
start_drain(struct rig *r, void *arg)
{
	(void)arg;
	r->gateway.draining = true;
	client_drain_all(&r->gateway);
}

static void
a_draining_gateway_lets_its_tunnels_go_on(void **state)
{
	struct end client, cluster;

	(void)state;
	open_tunnel(&client, &cluster);
	rig_run(&rig, start_drain, NULL);
	end_say(&client, "one more");
	end_hear(&cluster, "one more");
	end_say(&cluster, "and back");
	end_hear(&client, "and back");
	part(&client, &cluster);
}

/* ---- much ---- */

#define MUCH (100u << 20)

static unsigned char
byte_at(size_t i)
{
	return (unsigned char)(i * 2654435761u >> 13);
}

static void *
send_much(void *arg)
{
	struct end *e = arg;
	char buf[65536];

	for (size_t at = 0; at < MUCH; at += sizeof(buf)) {
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = (char)byte_at(at + i);
		end_write(e, buf, sizeof(buf));
	}
	end_half(e);
	return NULL;
}

static void
hear_much(struct end *e)
{
	char buf[65536];
	size_t at = 0;
	ssize_t r;

	while ((r = end_read(e, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < r; i++, at++)
			if ((unsigned char)buf[i] != byte_at(at))
				fail_msg("byte %zu differs", at);
	assert_int_equal(r, 0);
	assert_int_equal(at, MUCH);
}

static void
a_hundred_megabytes_pass_either_way_and_end_in_order(void **state)
{
	struct end client, cluster;
	pthread_t thread;

	(void)state;
	open_tunnel(&client, &cluster);
	pthread_create(&thread, NULL, send_much, &client);
	hear_much(&cluster);
	pthread_join(thread, NULL);
	pthread_create(&thread, NULL, send_much, &cluster);
	hear_much(&client);
	pthread_join(thread, NULL);
	part(&client, &cluster);
}

/* Write until the other side takes no more; returns how much. */
static size_t
stuff(struct end *e)
{
	char buf[16384] = { 0 };
	size_t n = 0;
	int flags = fcntl(e->fd, F_GETFL);

	SSL_set_mode(e->ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	fcntl(e->fd, F_SETFL, flags | O_NONBLOCK);
	/* Twice in a row with the gateway having had its turn between: it waits for somebody itself. */
	for (int full = 0; full < 2;) {
		ERR_clear_error();
		int r = SSL_write(e->ssl, buf, sizeof(buf));
		if (r > 0) {
			n += (size_t)r;
			full = 0;
		} else {
			assert_int_equal(SSL_get_error(e->ssl, r), SSL_ERROR_WANT_WRITE);
			full += blocks_held() == 1;
		}
	}
	fcntl(e->fd, F_SETFL, flags);
	return n;
}

struct stuffed {
	struct end *end;
	size_t n;
};

/* The record that did not fit, and the end. */
static void *
write_rest_and_end(void *arg)
{
	struct stuffed *s = arg;
	char buf[16384] = { 0 };

	end_write(s->end, buf, sizeof(buf));
	s->n += sizeof(buf);
	end_half(s->end);
	return NULL;
}

static void
who_does_not_read_makes_the_sender_wait_in_one_block_while_the_other_way_goes_on(void **state)
{
	(void)state;
	for (int client_stalls = 0; client_stalls < 2; client_stalls++) {
		struct end client, cluster;
		open_tunnel(&client, &cluster);
		struct end *reader = client_stalls ? &client : &cluster, *sender = client_stalls ? &cluster : &client;
		struct stuffed s = { sender, stuff(sender) };
		pthread_t thread;
		char buf[65536];
		size_t n = 0;
		ssize_t r;
		for (int i = 0; i < 100; i++) {
			end_say(reader, "the other way");
			end_hear(sender, "the other way");
			assert_true(blocks_held() <= 2);
		}
		assert_int_equal(blocks_held(), 1);
		pthread_create(&thread, NULL, write_rest_and_end, &s);
		while ((r = end_read(reader, buf, sizeof(buf))) > 0)
			n += (size_t)r;
		pthread_join(thread, NULL);
		assert_int_equal(r, 0); /* the end is said, however full the way was */
		assert_int_equal(n, s.n);
		end_say(reader, "done");
		end_hear(sender, "done");
		part(&client, &cluster);
	}
}

int
main(void)
{
	log_set_level(LOG_LEVEL_ERROR + 1);
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(a_websocket_becomes_a_tunnel_after_its_101),
		T(spdy_by_post_keeps_each_of_its_protocol_versions),
		T(a_head_longer_than_the_room_before_the_bytes_behind_it_is_written_whole),
		T(any_other_answer_is_relayed_whole_and_both_connections_end),
		T(another_protocol_than_asked_is_a_502),
		T(bytes_before_the_101_are_refused),
		T(an_upgrade_never_goes_to_a_kept_connection_nor_leaves_one),
		T(an_upgrade_that_is_not_let_through_ends_the_connection),
		T(what_one_side_ends_is_ended_towards_the_other_which_goes_on),
		T(an_end_in_the_same_bytes_as_the_101_is_passed_on),
		T(a_side_that_vanishes_takes_the_other_with_it),
		T(what_an_upstream_sent_before_it_closed_arrives_while_the_client_still_sends),
		T(each_tunnel_leaves_one_line_with_the_bytes_of_both_ways_and_why_it_ended),
		cmocka_unit_test_setup_teardown(a_tunnel_lives_while_something_moves_and_no_longer, setup_forgetful, rig_teardown),
		cmocka_unit_test_setup_teardown(channels_end_with_their_session, setup_console, rig_teardown),
		T(a_draining_gateway_lets_its_tunnels_go_on),
		T(a_hundred_megabytes_pass_either_way_and_end_in_order),
		T(who_does_not_read_makes_the_sender_wait_in_one_block_while_the_other_way_goes_on),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
