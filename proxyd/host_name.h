/* host_name.h - the name in a Host header, and whether the handshake was for another one. Pure.   Spec: RFC 9110 sections 7.2, 7.4; RFC 6066 section 3 */
#ifndef PROXYD_HOST_NAME_H
#define PROXYD_HOST_NAME_H

#include "shared/slice.h"

/* A Host header (http_authority_ok) without its port; .p NULL: an address, or none. */
struct slice host_name_of(struct slice host);
/* The certificate was shown for one name and the request is for another. An address says nothing about names: clients that dial one with a name of
 * its own (kubectl's tls-server-name) are right. sni.p NULL: the client sent none. */
bool host_name_is_misdirected(struct slice sni, struct slice host);

#endif
