/* cluster_list.h - the clusters that somebody may use, by allowedGroups: told to our own console with their request, and to whoever asks GET /clusters. Pure. */
#ifndef PROXYD_CLUSTER_LIST_H
#define PROXYD_CLUSTER_LIST_H

#include "oidc/identity.h"
#include "proxyd/config.h"
#include "proxyd/http_head.h"

/* "X-Gatehouse-Clusters: default prod\r\n"; nothing behind the colon: none. Nobody else gets to send such headers to authd. */
void cluster_list_header(const struct proxyd_config *config, const struct identity *who, struct buf *out);
/* {"clusters":[{"name":"prod","path":"/clusters/prod","default":false}, …]}: default is the one that is served at the root, too. */
void cluster_list_json(const struct proxyd_config *config, const struct identity *who, struct buf *out);
/* A request for that list. */
bool cluster_list_is_asked(const struct http_head *h);
/* One of the console's pages that want the header. */
bool cluster_list_is_shown(const struct http_head *h);

#endif
