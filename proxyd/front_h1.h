/* front_h1.h - HTTP/1.1 with a client: heads in, one exchange at a time, answers out.
 *
 * Owns: a read block while bytes are pending, what of an answer is not written yet. Keep-alive and pipelining; a head has to be whole in
 * limits.headerTimeout; what a client still sends when we are through with it is read for a while (client_end).   Spec: RFC 9112 */
#ifndef PROXYD_FRONT_H1_H
#define PROXYD_FRONT_H1_H

#include "proxyd/client.h"

extern const struct client_protocol front_h1_protocol;

#endif
