/* client_address.h - who a request comes from, where trusted proxies stand before authd (web.clientRemoteIP). Pure. */
#ifndef AUTHD_CLIENT_ADDRESS_H
#define AUTHD_CLIENT_ADDRESS_H

#include "authd/config.h"
#include "authd/request.h"

/* The peer, unless it is a trusted proxy: then the last address in the configured header that is none. Whatever stands before that was written by
 * the client itself. A text of r's arena, header or address. */
struct slice client_address(const struct request *r, const struct authd_config *c);

#endif
