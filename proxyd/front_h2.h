/* front_h2.h - HTTP/2 with a client: many exchanges at a time on one connection, each a stream.
 *
 * Owns: the library's session, a struct per stream, frames that are not written yet. Flow control is the back-pressure in both directions: the client
 * gets its window back as the upstream takes the body, and an answer stays where it is while the client's window has no room.
 * Spec: RFC 9113, RFC 7541. No push, no extended CONNECT, no h2c. */
#ifndef PROXYD_FRONT_H2_H
#define PROXYD_FRONT_H2_H

#include "proxyd/client.h"

extern const struct client_protocol front_h2_protocol;

#endif
