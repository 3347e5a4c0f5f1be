#include <arpa/inet.h>
#include "shared/address.h"

#define URL_HOST_BYTES_MAX 253 /* RFC 1035 section 2.3.4, without the root's dot */

static bool
is_alnum(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool
is_hex(char c)
{
	return (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f') || (c >= '0' && c <= '9');
}

/* pchar, "/" and, in a query, "?" (RFC 3986 sections 3.3 and 3.4). */
static bool
is_path_text(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%') {
			if (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
				return false;
			i += 2;
		} else if (!is_alnum(s.p[i]) && (s.p[i] == '\0' || !strchr("-._~!$&'()*+,;=:@/?", s.p[i]))) {
			return false;
		}
	}
	return true;
}

static bool
is_name(struct slice host)
{
	if (host.n == 0 || host.n > URL_HOST_BYTES_MAX)
		return false;
	for (size_t i = 0; i < host.n; i++)
		if (!is_alnum(host.p[i]) && host.p[i] != '-' && host.p[i] != '.' && host.p[i] != '_')
			return false;
	return host.p[0] != '.' && host.p[0] != '-';
}

static bool
is_ipv6(struct slice host)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (host.n >= sizeof(text) || (host.n && memchr(host.p, '\0', host.n)))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1;
}

static enum err
split_authority(struct url *u)
{
	struct slice rest = u->authority;
	uint64_t port = u->tls ? 443 : 80;

	if (rest.n && rest.p[0] == '[') {
		rest = slice_of(rest.p + 1, rest.n - 1);
		u->host = slice_cut(&rest, ']');
		/* The bracket is there: the host ends before the authority does. */
		if (u->host.n + 1 == u->authority.n || !is_ipv6(u->host) || (rest.n && rest.p[0] != ':'))
			return E_FORMAT;
	} else {
		size_t n = 0;
		while (n < rest.n && rest.p[n] != ':')
			n++;
		u->host = slice_of(rest.p, n);
		rest = slice_of(rest.p + n, rest.n - n);
		if (!is_name(u->host))
			return E_FORMAT;
	}
	if (rest.n && (!slice_to_u64(slice_of(rest.p + 1, rest.n - 1), 65535, &port) || port == 0))
		return E_FORMAT;
	u->port = (uint16_t)port;
	return OK;
}

enum err
url_parse(struct slice text, struct url *out)
{
	struct url u = { 0 };
	struct slice rest;
	size_t n = 0;

	if (text.n >= 8 && slice_eq_nocase(slice_of(text.p, 8), SLICE_LIT("https://")))
		u.tls = true;
	else if (text.n < 7 || !slice_eq_nocase(slice_of(text.p, 7), SLICE_LIT("http://")))
		return E_FORMAT;
	u.scheme = slice_of(text.p, u.tls ? 5 : 4);
	rest = slice_of(text.p + u.scheme.n + 3, text.n - u.scheme.n - 3);

	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	u.authority = slice_of(rest.p, n);
	u.origin = slice_of(text.p, u.scheme.n + 3 + n);
	u.query = slice_of(rest.p + n, rest.n - n);
	u.path = slice_cut(&u.query, '?');
	if (!is_path_text(u.path) || !is_path_text(u.query))
		return E_FORMAT;
	enum err e = split_authority(&u);
	if (e == OK)
		*out = u;
	return e;
}
