#include "oidc/login/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/buf.h"
#include "shared/clock.h"

#define REQUEST_BYTES_MAX 16384
#define REQUEST_TIMEOUT_MS 5000 /* one browser request; it comes from this machine */

enum err
loopback_open(struct loopback *l, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int on = 1;
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 || bind(l->fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
		listen(l->fd, 8) != 0 || getsockname(l->fd, (struct sockaddr *)&a, &n) != 0) {
		int saved = errno;
		loopback_close(l);
		errno = saved;
		return E_SYSTEM;
	}
	l->port = ntohs(a.sin_port);
	snprintf(l->redirect_uri, sizeof(l->redirect_uri), "http://127.0.0.1:%u/callback", l->port);
	return OK;
}

void
loopback_close(struct loopback *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

struct slice
loopback_request_query(struct slice request)
{
	struct slice line = slice_cut(&request, '\n'), prefix = SLICE_LIT("GET /callback?");
	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	if (!slice_has_prefix(line, prefix))
		return SLICE_NONE;
	struct slice rest = { line.p + prefix.n, line.n - prefix.n };
	struct slice query = slice_cut(&rest, ' ');
	return slice_has_prefix(rest, SLICE_LIT("HTTP/1.")) ? query : SLICE_NONE;
}

struct slice
loopback_pasted_query(struct slice line)
{
	while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	line = slice_trim(line);
	const char *mark = line.n ? memchr(line.p, '?', line.n) : NULL;
	return mark ? slice_of(mark + 1, (size_t)(line.p + line.n - mark - 1)) : SLICE_NONE;
}

/* The head of one request, or what came of it. */
static struct slice
read_request(int fd, char *out, size_t cap)
{
	uint64_t until = clock_mono_ms(&clock_system) + REQUEST_TIMEOUT_MS;
	size_t n = 0;
	while (n < cap && !memmem(out, n, "\r\n\r\n", 4)) {
		uint64_t now = clock_mono_ms(&clock_system);
		struct pollfd p = { fd, POLLIN, 0 };
		if (now >= until || poll(&p, 1, (int)(until - now)) <= 0)
			break;
		ssize_t got = recv(fd, out + n, cap - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return slice_of(out, n);
}

static void
send_page(int fd, int status, const char *title, const char *text)
{
	struct buf body, head;
	buf_init(&body, 8192);
	buf_init(&head, 8192);
	buf_printf(&body,
		"<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>%s</title>"
		"<style>:root{color-scheme:light dark}body{font:18px/1.5 system-ui,sans-serif;max-width:30em;margin:15vh auto;padding:0 1em}</style>"
		"<h1>%s</h1><p>%s</p>",
		title, title, text);
	buf_printf(&head,
		"HTTP/1.1 %d %s\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %zu\r\nConnection: close\r\nCache-Control: no-store\r\n"
		"Referrer-Policy: no-referrer\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n"
		"X-Content-Type-Options: nosniff\r\n\r\n",
		status, status == 200 ? "OK" : status == 400 ? "Bad Request" : "Not Found", body.n);
	buf_add_slice(&head, buf_slice(&body));
	for (size_t sent = 0; buf_ok(&head) && sent < head.n;) {
		ssize_t n = send(fd, head.p + sent, head.n - sent, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	buf_fini(&body);
	buf_fini(&head);
}

/* RFC 6749 10.12: an answer counts only with our state. */
static bool
answer_ok(struct slice text, struct slice state, struct arena *arena, struct form *query)
{
	return text.p && form_parse(text, arena, query) == OK && slice_eq_secret(form_get(query, "state"), state) &&
		(form_get(query, "code").n || form_get(query, "error").n);
}

static bool
take_connection(struct loopback *l, struct slice state, struct arena *arena, struct form *query)
{
	char request[REQUEST_BYTES_MAX];
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return false;
	struct slice text = loopback_request_query(read_request(fd, request, sizeof(request)));
	bool ok = answer_ok(text, state, arena, query);
	if (!text.p)
		send_page(fd, 404, "Nothing here", "This address takes the answer of a sign-in and nothing else.");
	else if (!ok)
		send_page(fd, 400, "Not this sign-in", "This answer belongs to another sign-in. Start again from the terminal.");
	else if (form_get(query, "error").n)
		send_page(fd, 200, "Not signed in", "The sign-in was refused. The terminal says why. You can close this page.");
	else
		send_page(fd, 200, "You are signed in", "Go back to the terminal. You can close this page.");
	shutdown(fd, SHUT_WR);
	close(fd);
	return ok;
}

static bool
take_paste(int fd, struct slice state, struct arena *arena, struct form *query, bool *ended)
{
	char line[REQUEST_BYTES_MAX];
	ssize_t n = read(fd, line, sizeof(line));
	*ended = n <= 0;
	if (n <= 0)
		return false;
	bool ok = answer_ok(loopback_pasted_query(slice_of(line, (size_t)n)), state, arena, query);
	if (!ok)
		fprintf(stderr, "That is not the address of this sign-in's answer. It begins with http://127.0.0.1 and has code= and state= in it.\n");
	return ok;
}

enum err
loopback_wait(struct loopback *l, struct slice state, int paste_fd, int timeout_ms, struct arena *arena, struct form *query)
{
	uint64_t until = clock_mono_ms(&clock_system) + (uint64_t)timeout_ms;
	for (;;) {
		uint64_t now = clock_mono_ms(&clock_system);
		struct pollfd p[2] = { { l->fd, POLLIN, 0 }, { paste_fd, POLLIN, 0 } };
		if (now >= until)
			return E_AGAIN;
		int n = poll(p, paste_fd >= 0 ? 2 : 1, (int)(until - now));
		if (n < 0 && errno != EINTR)
			return E_SYSTEM;
		if (n <= 0)
			continue;
		if ((p[0].revents & POLLIN) && take_connection(l, state, arena, query))
			return OK;
		bool ended = false;
		if (paste_fd >= 0 && p[1].revents && take_paste(paste_fd, state, arena, query, &ended))
			return OK;
		if (ended)
			paste_fd = -1;
	}
}
