/* kubeconfig.h - the kubeconfig that people download: every cluster behind the gateway as a context, one exec user, nothing secret.
 * Pure text; made to be read by people too. */
#ifndef AUTHD_KUBECONFIG_H
#define AUTHD_KUBECONFIG_H

#include "shared/buf.h"

#define KUBECONFIG_DEFAULT_CLUSTER "default" /* served at the gateway's root; others at /clusters/<name> */

struct kubeconfig_offer {
	struct slice gateway;    /* "https://gw.example", without a slash at the end */
	struct slice ca_pem;     /* public certificates; empty: the system's are used */
	struct slice issuer, client_id;
	const char *const *clusters; /* the first is the current context; none: the default one alone */
	size_t cluster_n;
};
/* Append it as YAML. */
void kubeconfig_print(const struct kubeconfig_offer *o, struct buf *out);
/* The context of a cluster, as "gatehouse" or "gatehouse-<name>". */
void kubeconfig_context_add(struct buf *out, const char *cluster);

#endif
