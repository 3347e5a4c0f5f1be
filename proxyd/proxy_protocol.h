/* proxy_protocol.h - who a load balancer in front of us says is calling: the header that it writes before anything else on a connection. Pure.
 *
 * Strict: what is not exactly as the specification writes it is refused, for the header decides whose address counts.
 * Spec: haproxy.org/download/2.9/doc/proxy-protocol.txt, sections 2.1 (text) and 2.2 (binary) */
#ifndef PROXYD_PROXY_PROTOCOL_H
#define PROXYD_PROXY_PROTOCOL_H

#include "shared/ip_block.h"

#define PROXY_V1_BYTES_MAX 107
/* The longest head that is taken: addresses, and additions such as the name and certificate of a TLS connection in front. */
#define PROXY_BYTES_MAX 4096

enum proxy_verdict { PROXY_OK, PROXY_MORE, PROXY_BAD };
struct proxy_header {
	size_t bytes;  /* of the header: what follows is the client's */
	bool has_ip;   /* false: the load balancer speaks for itself (LOCAL, UNKNOWN), or for a client without an IP address */
	struct ip ip;  /* the client's */
};
/* p[0..n): what has come so far, n > 0. *out is set with PROXY_OK, *why (static) with PROXY_BAD. */
enum proxy_verdict proxy_protocol_parse(const char *p, size_t n, struct proxy_header *out, const char **why);

#endif
