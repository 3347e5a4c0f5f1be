/* address.h - listen and connect addresses: "host:port", "[v6]:port", ":port", "unix:/path", and http(s) URLs' authorities. */
#ifndef SHARED_ADDRESS_H
#define SHARED_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "shared/arena.h"

struct address {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} u;
	socklen_t len;
};

#define ADDRESS_TEXT_MAX 128

/* Numeric addresses and unix paths only (no name service): for listening. "localhost" means 127.0.0.1; an empty host or "*"
 * means every IPv6 and IPv4 address. E_FORMAT, with *why pointing to a static text of what was expected. */
MUST_CHECK enum err address_parse_listen(struct slice text, struct address *out, const char **why);
/* host (no brackets) and port of an upstream by name service (blocking; start-up and reload only). Fills up to n >= 1; *count is how
 * many, at least 1. E_EMPTY: no such host; E_AGAIN: the name service does not answer now; E_SYSTEM (errno); E_NOMEM. */
MUST_CHECK enum err address_resolve(const char *host, uint16_t port, struct address *out, size_t n, size_t *count);
/* "127.0.0.1:8443", "[::1]:8443", "unix:/path"; address_format_ip without port and brackets. An IPv4 client of an IPv6 listener
 * (::ffff:127.0.0.1) is written as IPv4. Return out. */
const char *address_format(const struct address *a, char out[ADDRESS_TEXT_MAX]);
const char *address_format_ip(const struct address *a, char out[ADDRESS_TEXT_MAX]);
/* Non-blocking close-on-exec listener. Unix: a stale socket file is removed only when nobody answers on it; mode is applied to it.
 * The unspecified IPv6 address takes IPv4 too, and falls back to it where the kernel has no IPv6. E_SYSTEM with errno
 * (EADDRINUSE …; EEXIST: a file that is no socket stands at a unix path). */
MUST_CHECK enum err address_listen(const struct address *a, mode_t unix_mode, int backlog, int *fd);
/* The same up to listen(2). share: SO_REUSEPORT, for an address that overlaps with one that this user's other socket, with the same option, listens on. */
MUST_CHECK enum err address_bind(const struct address *a, mode_t unix_mode, bool share, int *fd);
/* Non-blocking close-on-exec connect, TCP without Nagle's delay: OK at once or in progress (wait for EPOLLOUT, then SO_ERROR).
 * E_AGAIN: a unix listener's backlog is full; E_SYSTEM (errno). *fd is -1 unless OK. */
MUST_CHECK enum err address_connect(const struct address *a, int *fd);

/* An absolute http or https URL (RFC 3986 section 3), split. path is "/" + … or empty; no userinfo, no fragment, nothing that must be
 * percent-encoded, no empty host or port. The host is a name of letters, digits, "-", "_" and ".", or an address. Slices point into
 * text. */
struct url {
	bool tls;
	struct slice scheme, host, path, query; /* host without brackets; query without '?' */
	struct slice authority;                 /* host[:port] as written */
	struct slice origin;                    /* scheme://authority as written */
	uint16_t port;                          /* given, or the scheme's */
};
MUST_CHECK enum err url_parse(struct slice text, struct url *out);

#endif
