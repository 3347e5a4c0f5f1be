/* unit_http.h - a small HTTP server inside a test: one thread that accepts, one per connection, all joined at the end.
 * The path decides what is answered; see unit_http_answer. */
#ifndef TESTS_UNIT_HTTP_H
#define TESTS_UNIT_HTTP_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <openssl/ssl.h>
#include "tests/unit/unit.h"
#include "shared/address.h"
#include "shared/buf.h"

#define UNIT_HTTP_CONNECTIONS_MAX 64

struct unit_http {
	int listener;
	int stop[2]; /* readable once the server stops: what holds an answer back wakes up */
	SSL_CTX *tls; /* NULL: none */
	pthread_t acceptor, connections[UNIT_HTTP_CONNECTIONS_MAX];
	int connections_n;
	atomic_int requests, accepted;
	char address[ADDRESS_TEXT_MAX];
};

struct unit_http_connection {
	struct unit_http *server;
	int fd;
	SSL *ssl;
};

static inline bool
unit_http_wait(struct unit_http_connection *c, short events)
{
	struct pollfd p[2] = { { .fd = c->fd, .events = events }, { .fd = c->server->stop[0], .events = POLLIN } };
	return poll(p, 2, 20000) > 0 && !p[1].revents;
}

static inline void
unit_http_send(struct unit_http_connection *c, const char *text, size_t n)
{
	if (c->ssl) {
		SSL_write(c->ssl, text, (int)n);
		return;
	}
	while (n) {
		ssize_t sent = send(c->fd, text, n, MSG_NOSIGNAL);
		if (sent <= 0)
			return;
		text += sent;
		n -= (size_t)sent;
	}
}

static inline void
unit_http_say(struct unit_http_connection *c, const char *text)
{
	unit_http_send(c, text, strlen(text));
}

/* Until the client closes or the server stops. */
static inline void
unit_http_hold(struct unit_http_connection *c)
{
	char byte;
	while (unit_http_wait(c, POLLIN) && recv(c->fd, &byte, 1, 0) > 0) {
	}
}

/* Returns whether the connection stays. */
static inline bool
unit_http_answer(struct unit_http_connection *c, struct slice path, const struct buf *request)
{
	char head[128];

	if (slice_eq_str(path, "/silent")) {
		unit_http_hold(c);
		return false;
	}
	if (slice_eq_str(path, "/close"))
		return false;
	if (slice_eq_str(path, "/junk")) {
		unit_http_say(c, "SSH-2.0-OpenSSH\r\n\r\n");
		return false;
	}
	if (slice_eq_str(path, "/redirect")) {
		unit_http_say(c, "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 5\r\n\r\nmoved");
	} else if (slice_eq_str(path, "/headers")) {
		unit_http_say(c, "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\nHTTP/1.1 404 Not Found\r\nEtag: \t\"a\" \r\nx-two: 1\r\nX-Two: 2\r\n"
				 "Empty:\r\nContent-Length: 0\r\n\r\n");
	} else if (slice_eq_str(path, "/long")) { /* says so */
		unit_http_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
		unit_http_hold(c);
		return false;
	} else if (slice_eq_str(path, "/endless")) { /* does not say */
		char piece[4096];
		memset(piece, 'e', sizeof(piece));
		unit_http_say(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
		for (int i = 0; i < 64; i++)
			unit_http_send(c, piece, sizeof(piece));
		return false;
	} else if (slice_eq_str(path, "/endless-headers")) {
		unit_http_say(c, "HTTP/1.1 200 OK\r\n");
		for (int i = 0; i < 2000; i++)
			unit_http_say(c, "X-Fill: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n");
		return false;
	} else if (slice_eq_str(path, "/cut")) {
		unit_http_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
		return false;
	} else if (slice_eq_str(path, "/echo")) {
		snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", request->n);
		unit_http_say(c, head);
		unit_http_send(c, request->p, request->n);
	} else {
		unit_http_say(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok");
	}
	return true;
}

/* One whole request, body by Content-Length. */
static inline bool
unit_http_read(struct unit_http_connection *c, struct buf *request)
{
	buf_reset(request);
	for (;;) {
		char *end = request->p ? strstr(request->p, "\r\n\r\n") : NULL, *length;
		size_t want = 0;
		if (end) {
			length = strcasestr(request->p, "\r\nContent-Length:");
			if (length && length < end)
				want = strtoul(length + 17, NULL, 10);
			if (request->n >= (size_t)(end + 4 - request->p) + want)
				return true;
		}
		char *to = buf_reserve(request, 4096);
		ssize_t n;
		if ((!c->ssl || !SSL_pending(c->ssl)) && !unit_http_wait(c, POLLIN))
			return false;
		n = c->ssl ? SSL_read(c->ssl, to, 4096) : recv(c->fd, to, 4096, 0);
		if (n <= 0)
			return false;
		buf_commit(request, (size_t)n);
	}
}

static inline void *
unit_http_serve(void *arg)
{
	struct unit_http_connection *c = arg;
	struct buf request;
	bool stays = true;

	buf_init(&request, 16u << 20);
	if (c->server->tls) {
		c->ssl = SSL_new(c->server->tls);
		SSL_set_fd(c->ssl, c->fd);
		stays = SSL_accept(c->ssl) == 1;
	}
	while (stays && unit_http_read(c, &request)) {
		atomic_fetch_add(&c->server->requests, 1);
		struct slice line = buf_slice(&request);
		slice_cut(&line, ' ');
		struct slice path = slice_cut(&line, ' ');
		stays = unit_http_answer(c, slice_cut(&path, '?'), &request);
	}
	if (c->ssl) {
		SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
	}
	close(c->fd);
	buf_fini(&request);
	free(c);
	return NULL;
}

static inline void *
unit_http_accept(void *arg)
{
	struct unit_http *s = arg;
	struct pollfd p[2] = { { .fd = s->listener, .events = POLLIN }, { .fd = s->stop[0], .events = POLLIN } };

	while (poll(p, 2, -1) > 0 && !p[1].revents) {
		int fd = accept(s->listener, NULL, NULL);
		if (fd < 0)
			continue;
		struct unit_http_connection *c = calloc(1, sizeof(*c));
		*c = (struct unit_http_connection){ s, fd, NULL };
		atomic_fetch_add(&s->accepted, 1);
		if (s->connections_n == UNIT_HTTP_CONNECTIONS_MAX)
			abort();
		if (pthread_create(&s->connections[s->connections_n++], NULL, unit_http_serve, c) != 0)
			abort();
	}
	return NULL;
}

/* at: as for address_parse_listen; s->address is where it listens. */
static inline void
unit_http_start(struct unit_http *s, const char *at, SSL_CTX *tls)
{
	struct address a;
	const char *why;

	memset(s, 0, sizeof(*s));
	s->tls = tls;
	assert_int_equal(address_parse_listen(slice_str(at), &a, &why), OK);
	assert_int_equal(address_listen(&a, 0600, 64, &s->listener), OK);
	if (a.u.sa.sa_family != AF_UNIX)
		assert_int_equal(getsockname(s->listener, &a.u.sa, &a.len), 0);
	address_format(&a, s->address);
	assert_int_equal(pipe(s->stop), 0);
	assert_int_equal(pthread_create(&s->acceptor, NULL, unit_http_accept, s), 0);
}

static inline void
unit_http_stop(struct unit_http *s)
{
	assert_int_equal(write(s->stop[1], "x", 1), 1);
	pthread_join(s->acceptor, NULL);
	for (int i = 0; i < s->connections_n; i++)
		pthread_join(s->connections[i], NULL);
	close(s->listener);
	close(s->stop[0]);
	close(s->stop[1]);
}

#endif
