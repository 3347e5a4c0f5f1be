#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "shared/address.h"

static enum err
set_unix(struct slice path, struct address *out, const char **why)
{
	if (path.n == 0 || path.p[0] != '/' || memchr(path.p, '\0', path.n)) {
		*why = "\"unix:\" and an absolute path";
		return E_FORMAT;
	}
	if (path.n >= sizeof(out->u.un.sun_path)) {
		*why = "a unix path of at most 107 bytes";
		return E_FORMAT;
	}
	*out = (struct address){ .u.un.sun_family = AF_UNIX };
	memcpy(out->u.un.sun_path, path.p, path.n);
	out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
	return OK;
}

/* A numeric address, by inet_pton's rules. */
static bool
set_ip(int family, struct slice host, uint16_t port, struct address *out)
{
	char text[INET6_ADDRSTRLEN];

	if (host.n >= sizeof(text))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (strlen(text) != host.n)
		return false;
	*out = (struct address){ .len = family == AF_INET ? sizeof(out->u.in4) : sizeof(out->u.in6) };
	out->u.sa.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		out->u.in4.sin_port = htons(port);
		return inet_pton(AF_INET, text, &out->u.in4.sin_addr) == 1;
	}
	out->u.in6.sin6_port = htons(port);
	return inet_pton(AF_INET6, text, &out->u.in6.sin6_addr) == 1;
}

/* "host:port" and "[v6]:port": the last colon before the port is the only one a host without brackets may be followed by. */
static bool
split_port(struct slice text, struct slice *host, struct slice *port)
{
	if (text.n && text.p[0] == '[') {
		*host = slice_of(text.p + 1, text.n - 1);
		*port = *host;
		*host = slice_cut(port, ']');
		if (port->n == 0 || port->p[0] != ':')
			return false;
		*port = slice_of(port->p + 1, port->n - 1);
		return true;
	}
	*port = text;
	*host = slice_cut(port, ':');
	return host->n < text.n && !memchr(port->p, ':', port->n);
}

enum err
address_parse_listen(struct slice text, struct address *out, const char **why)
{
	struct address a;
	struct slice host, port;
	uint64_t number;
	bool ok;

	if (slice_has_prefix(text, SLICE_LIT("unix:"))) {
		enum err e = set_unix(slice_of(text.p + 5, text.n - 5), &a, why);
		if (e == OK)
			*out = a;
		return e;
	}
	*why = "an address: 127.0.0.1:8443, [::1]:8443, :8443 (all interfaces) or unix:/path";
	if (!split_port(text, &host, &port))
		return E_FORMAT;
	if (!slice_to_u64(port, 65535, &number)) {
		*why = "a port from 0 to 65535";
		return E_FORMAT;
	}
	if (text.p[0] == '[')
		ok = set_ip(AF_INET6, host, (uint16_t)number, &a);
	else if (host.n == 0 || slice_eq_str(host, "*"))
		ok = set_ip(AF_INET6, SLICE_LIT("::"), (uint16_t)number, &a);
	else if (slice_eq_nocase(host, SLICE_LIT("localhost")))
		ok = set_ip(AF_INET, SLICE_LIT("127.0.0.1"), (uint16_t)number, &a);
	else
		ok = set_ip(AF_INET, host, (uint16_t)number, &a);
	if (!ok) {
		*why = "a numeric IP address (127.0.0.1, [::1]), \"localhost\", or none for all interfaces";
		return E_FORMAT;
	}
	*out = a;
	return OK;
}

static enum err
resolve_error(int code)
{
	switch (code) {
	case EAI_AGAIN:
		return E_AGAIN;
	case EAI_MEMORY:
		return E_NOMEM;
	case EAI_SYSTEM:
		return E_SYSTEM;
	default:
		return E_EMPTY;
	}
}

enum err
address_resolve(const char *host, uint16_t port, struct address *out, size_t n, size_t *count)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *found;
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	int code = getaddrinfo(host, service, &hints, &found);
	if (code)
		return resolve_error(code);
	*count = 0;
	for (const struct addrinfo *i = found; i && *count < n; i = i->ai_next) {
		if (i->ai_addrlen > sizeof(out->u))
			continue;
		struct address *a = &out[(*count)++];
		memset(a, 0, sizeof(*a));
		memcpy(&a->u, i->ai_addr, i->ai_addrlen);
		a->len = i->ai_addrlen;
	}
	freeaddrinfo(found);
	return *count ? OK : E_EMPTY;
}

/* The host without brackets. Returns whether it is IPv6. */
static bool
write_host(const struct address *a, char host[INET6_ADDRSTRLEN], uint16_t *port)
{
	const struct in6_addr *six = &a->u.in6.sin6_addr;

	if (a->u.sa.sa_family == AF_INET) {
		*port = ntohs(a->u.in4.sin_port);
		inet_ntop(AF_INET, &a->u.in4.sin_addr, host, INET6_ADDRSTRLEN);
		return false;
	}
	*port = ntohs(a->u.in6.sin6_port);
	if (IN6_IS_ADDR_V4MAPPED(six)) {
		inet_ntop(AF_INET, six->s6_addr + 12, host, INET6_ADDRSTRLEN);
		return false;
	}
	inet_ntop(AF_INET6, six, host, INET6_ADDRSTRLEN);
	return true;
}

static const char *
format(const struct address *a, char out[ADDRESS_TEXT_MAX], bool with_port)
{
	char host[INET6_ADDRSTRLEN];
	uint16_t port;

	if (a->u.sa.sa_family == AF_UNIX) {
		/* An unnamed peer has no path at all. */
		size_t n = a->len > offsetof(struct sockaddr_un, sun_path) ? a->len - offsetof(struct sockaddr_un, sun_path) : 0;
		snprintf(out, ADDRESS_TEXT_MAX, "unix:%.*s", (int)n, a->u.un.sun_path);
	} else if (a->u.sa.sa_family != AF_INET && a->u.sa.sa_family != AF_INET6) {
		snprintf(out, ADDRESS_TEXT_MAX, "unknown");
	} else {
		bool brackets = write_host(a, host, &port) && with_port;
		int n = snprintf(out, ADDRESS_TEXT_MAX, "%s%s%s", brackets ? "[" : "", host, brackets ? "]" : "");
		if (with_port)
			snprintf(out + n, ADDRESS_TEXT_MAX - (size_t)n, ":%u", port);
	}
	return out;
}

const char *
address_format(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
	return format(a, out, true);
}

const char *
address_format_ip(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
	return format(a, out, false);
}

static void
close_keep_errno(int *fd)
{
	int saved = errno;

	close(*fd);
	*fd = -1;
	errno = saved;
}

static int
open_socket(const struct address *a)
{
	return socket(a->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Removes a socket file that nobody listens on. False, errno EADDRINUSE: somebody does; EEXIST: it is no socket. */
static bool
remove_stale(const struct address *a)
{
	struct stat st;

	if (lstat(a->u.un.sun_path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return false;
	}
	int fd = open_socket(a);
	if (fd < 0)
		return false;
	bool stale = connect(fd, &a->u.sa, a->len) < 0 && errno == ECONNREFUSED;
	close(fd);
	if (stale)
		return unlink(a->u.un.sun_path) == 0 || errno == ENOENT;
	errno = EADDRINUSE;
	return false;
}

static bool
bind_unix(int fd, const struct address *a, mode_t mode)
{
	if (bind(fd, &a->u.sa, a->len) < 0 && (errno != EADDRINUSE || !remove_stale(a) || bind(fd, &a->u.sa, a->len) < 0))
		return false;
	/* Before listen: nobody can have connected yet. */
	return chmod(a->u.un.sun_path, mode) == 0;
}

static bool
bind_ip(int fd, const struct address *a, bool share)
{
	int on = 1, only = !IN6_IS_ADDR_UNSPECIFIED(&a->u.in6.sin6_addr);

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return false;
	if (share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
		return false;
	if (a->u.sa.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) < 0)
		return false;
	return bind(fd, &a->u.sa, a->len) == 0;
}

static enum err
bind_to(const struct address *a, mode_t unix_mode, bool share, int *fd)
{
	*fd = open_socket(a);
	if (*fd < 0)
		return E_SYSTEM;
	if (a->u.sa.sa_family == AF_UNIX ? bind_unix(*fd, a, unix_mode) : bind_ip(*fd, a, share))
		return OK;
	close_keep_errno(fd);
	return E_SYSTEM;
}

enum err
address_bind(const struct address *a, mode_t unix_mode, bool share, int *fd)
{
	enum err e = bind_to(a, unix_mode, share, fd);
	bool no_ipv6 = e != OK && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL);

	if (no_ipv6 && a->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->u.in6.sin6_addr)) {
		struct address any = { .len = sizeof(any.u.in4) };
		any.u.in4.sin_family = AF_INET;
		any.u.in4.sin_port = a->u.in6.sin6_port;
		e = bind_to(&any, unix_mode, share, fd);
	}
	return e;
}

enum err
address_listen(const struct address *a, mode_t unix_mode, int backlog, int *fd)
{
	enum err e = address_bind(a, unix_mode, false, fd);

	if (!e && listen(*fd, backlog) < 0) {
		close_keep_errno(fd);
		e = E_SYSTEM;
	}
	return e;
}

enum err
address_connect(const struct address *a, int *fd)
{
	int on = 1;

	*fd = open_socket(a);
	if (*fd < 0)
		return E_SYSTEM;
	if (a->u.sa.sa_family != AF_UNIX && setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
		close_keep_errno(fd);
		return E_SYSTEM;
	}
	if (connect(*fd, &a->u.sa, a->len) == 0 || errno == EINPROGRESS)
		return OK;
	close_keep_errno(fd);
	return errno == EAGAIN ? E_AGAIN : E_SYSTEM;
}
