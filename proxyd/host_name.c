#include <arpa/inet.h>
#include <string.h>
#include "proxyd/host_name.h"

struct slice
host_name_of(struct slice host)
{
	char text[INET_ADDRSTRLEN];
	unsigned char bytes[4];
	const char *colon = host.n && host.p[0] != '[' ? memchr(host.p, ':', host.n) : NULL;

	if (colon)
		host.n = (size_t)(colon - host.p);
	if (host.n == 0 || host.p[0] == '[')
		return SLICE_NONE;
	if (host.n >= sizeof(text) || host.p[host.n - 1] > '9') /* the usual name ends in a letter */
		return host;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	return inet_pton(AF_INET, text, bytes) == 1 ? SLICE_NONE : host;
}

bool
host_name_is_misdirected(struct slice sni, struct slice host)
{
	struct slice name = sni.p ? host_name_of(host) : SLICE_NONE;

	return name.p && !slice_eq_nocase(sni, name);
}
