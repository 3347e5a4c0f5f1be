/* impersonation.h - `--as` and its kin: what a caller's Impersonate-* headers ask for, and everything that has to be allowed for it.
 *
 * Read as kube-apiserver reads them, and refused where it would guess. Who asks goes along as extras below "gatehouse/original-", which nobody else
 * may write, so that the cluster's audit log has both.
 * Spec: Kubernetes, Authenticating, "User impersonation"; k8s.io/apiserver, pkg/endpoints/filters/impersonation. */
#ifndef PROXYD_IMPERSONATION_H
#define PROXYD_IMPERSONATION_H

#include "oidc/identity.h"
#include "proxyd/http_head.h"
#include "shared/arena.h"
#include "shared/buf.h"

/* One question to the cluster each. People ask for one or two. */
#define IMPERSONATION_CHECKS_MAX 64

/* The verb is always impersonate. */
struct impersonation_check {
	const char *group, *resource;        /* "" and "users", "groups", "serviceaccounts"; "authentication.k8s.io" and "uids", "userextras" */
	struct slice subresource;            /* the extra's key; empty: none */
	struct slice namespace_name, name;   /* namespace empty: the cluster's scope */
};

struct impersonation {
	struct arena arena;
	struct identity target;              /* who the caller wants to be, with who the caller is among its extras */
	struct impersonation_check checks[IMPERSONATION_CHECKS_MAX];
	size_t n, at;                        /* at: the first that is not known to be allowed */
	struct buf headers;                  /* the target's, once all is allowed; empty before */
};

/* h has at least one such header. E_FORMAT, E_LIMIT: *why (static) is for the caller. E_NOMEM. */
MUST_CHECK enum err impersonation_new(const struct http_head *h, const struct identity *caller, struct impersonation **out, const char **why);
void impersonation_free(struct impersonation *i); /* NULL: nothing */

/* All of it is allowed: make the headers. E_CONFLICT: not all of it has been asked; E_LIMIT, E_NOMEM. */
MUST_CHECK enum err impersonation_allow(struct impersonation *i);

/* What the apiserver itself would say to somebody who may not: `users "x" is forbidden: User "y" cannot impersonate resource "users" in API group "" at the
 * cluster scope`. */
void impersonation_refusal(const struct impersonation_check *c, struct slice caller, struct buf *out);

#endif
