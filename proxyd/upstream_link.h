/* upstream_link.h - connections to an upstream that many requests share, each on a stream of its own (HTTP/2): for what waits for long and says little.
 *
 * A link is one connection: dialled with both protocols offered when the first request wants it, given up when it has been idle. Requests wait until the server has said how many
 * streams it allows; where it chooses HTTP/1.1, or cannot do what it chose, they go on as if there were no links, for a while all others, too.
 * A server that has not said anything for a while is asked for a sign of life; without one, what runs on the link has ended.
 * Owns: the links. Who rides on one is told through the struct upstream_call that upstream.h hands out.   Spec: RFC 9113 sections 3.2, 5.1.2, 6.7, 6.8 */
#ifndef PROXYD_UPSTREAM_LINK_H
#define PROXYD_UPSTREAM_LINK_H

#include "proxyd/upstream_h2.h"
#include "proxyd/upstream_state.h"

/* As many as lose their connection together, whatever more the server allows. kube-apiserver allows 100. */
#define UPSTREAM_LINK_STREAMS_MAX 250
/* As client-go's: silence until a PING, and from there until the server is taken for dead. */
#define UPSTREAM_LINK_SILENCE_MS 30000
#define UPSTREAM_LINK_PING_MS 15000
/* How long a server that does not speak HTTP/2 is not asked for it, and one that began and broke off, as when it restarts. */
#define UPSTREAM_LINK_HTTP1_MS 300000
#define UPSTREAM_LINK_BROKEN_MS 10000
/* Streams given up in a second, by clients that leave: with more the server may take us for an attacker (CVE-2023-44487) and end all that runs on the connection. Go's ends it when 400 requests
 * that were given up are not through; all the watches of one client's connection are 100 here at most. */
#define UPSTREAM_LINK_RESETS_PER_S 200

/* OK: call->stream is there. E_AGAIN: on_connected or on_failed follows; it may be with a connection of the call's own. Errors as upstream_start's. */
MUST_CHECK enum err upstream_link_join(struct upstream *u, struct upstream_call *call, size_t server);
/* The call is over. */
void upstream_link_leave(struct upstream_call *call);
/* No stream is left. */
void upstream_link_free(struct upstream *u);
bool upstream_link_may_read(const struct upstream_stream *s);
enum io upstream_link_write(struct upstream_stream *s, const char *p, size_t n, size_t *put);
enum io upstream_link_read(struct upstream_stream *s, char *p, size_t n, size_t *got);

#endif
