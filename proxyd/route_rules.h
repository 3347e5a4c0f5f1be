/* route_rules.h - what belongs to a route or a cluster, and who may use it. Pure. */
#ifndef PROXYD_ROUTE_RULES_H
#define PROXYD_ROUTE_RULES_H

#include "oidc/identity.h"
#include "shared/config.h"

/* The path begins with the prefix and that ends where a segment ends: "/oidc" covers "/oidc" and "/oidc/x", not "/oidcx". */
bool route_covers(struct slice prefix, struct slice path);
/* The same to a reader that undoes %-escapes, as often as there are any. Where it says something else than route_covers the path is nobody's: the backend of the one
 * prefix would take it for the other's. */
bool route_covers_decoded(struct slice prefix, struct slice path);
/* A Host header, whatever its port, names this host. */
bool route_host_is(const char *host, struct slice header);
/* The person is in one of the groups, or none are listed. */
bool route_groups_allow(const struct config_strings *groups, const struct identity *who);

#endif
