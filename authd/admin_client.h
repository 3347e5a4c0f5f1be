/* admin_client.h - what the two files share that `authd ctl clients` asks: admin_clients.c lists, shows and removes; admin_client_change.c adds and changes. */
#ifndef AUTHD_ADMIN_CLIENT_H
#define AUTHD_ADMIN_CLIENT_H

#include "authd/admin.h"

/* A client as an entry of staticClients that sets the same, in JSON; what is not set is left out, and so is its secret. */
void admin_client_print(const struct client *c, struct buf *b);

#endif
