/* kube_request.h - what a request to kube-apiserver asks for: verb, resource, namespace, name, as its own RequestInfo reads them from method, path and
 * query (k8s.io/apiserver, pkg/endpoints/request), so that our log, audit events and metrics say the same as the apiserver's. Pure.
 *
 * Nothing is decided by it: what may pass is the cluster's RBAC to say. */
#ifndef PROXYD_KUBE_REQUEST_H
#define PROXYD_KUBE_REQUEST_H

#include "proxyd/http_head.h"

/* The verbs of RBAC, then, in lower case, the methods of requests for no resource. */
enum kube_verb {
	KUBE_GET, KUBE_LIST, KUBE_WATCH, KUBE_CREATE, KUBE_UPDATE, KUBE_PATCH, KUBE_DELETE, KUBE_DELETECOLLECTION, KUBE_PROXY,
	KUBE_HEAD, KUBE_POST, KUBE_PUT, KUBE_OPTIONS, KUBE_OTHER,
	KUBE_VERBS
};
/* "get", "list", …; "other" for KUBE_OTHER. */
const char *kube_verb_name(enum kube_verb v);

/* A longer path is no resource's. */
#define KUBE_PATH_BYTES_MAX 8192
#define KUBE_NAME_BYTES_MAX 253 /* a DNS subdomain, RFC 1123 */

/* Slices point into the path given, or into this struct: it is not to be copied. All are empty where they do not apply; decoded bytes may be any. */
struct kube_request {
	enum kube_verb verb;
	bool is_resource;
	struct slice group, version; /* "" and "v1" for the core group */
	struct slice resource, subresource, namespace, name;
	char decoded[KUBE_PATH_BYTES_MAX], name_decoded[KUBE_NAME_BYTES_MAX];
};

/* path: as the apiserver gets it, without a prefix of ours; query: without '?'. Both as sent, percent-encoded. */
void kube_request_parse(enum http_method method, struct slice path, struct slice query, struct kube_request *out);

#endif
