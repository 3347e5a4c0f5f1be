/* audit_event.h - one request as an audit.k8s.io/v1 Event, level Metadata, stage ResponseComplete: a line of JSON as kube-apiserver's --audit-log-path has them, so that
 * what reads those reads ours. Pure.   Spec: k8s.io/apiserver, pkg/apis/audit/v1 */
#ifndef PROXYD_AUDIT_EVENT_H
#define PROXYD_AUDIT_EVENT_H

#include "oidc/identity.h"
#include "proxyd/kube_request.h"
#include "shared/buf.h"

/* Annotations: gatehouse/authenticated-by, gatehouse/issuer, gatehouse/cluster, gatehouse/reason, gatehouse/request-id. */
/* As kube-apiserver cuts it. */
#define AUDIT_USER_AGENT_BYTES_MAX 1024

struct audit_event {
	struct slice id;
	struct slice path, query;          /* as the client sent them; query.p NULL: none */
	const char *verb;                  /* NULL: the method, in lower case */
	struct slice method;
	const struct kube_request *object; /* NULL: no resource */
	const struct identity *user;       /* NULL: nobody that is known */
	const struct identity *impersonated; /* whom they were allowed to be; NULL: themselves */
	struct slice client_ip, user_agent; /* empty: not known */
	unsigned code;                     /* 0: there was no answer */
	bool own_answer;                   /* the gateway's, not the cluster's */
	int64_t received_us, finished_us;  /* microseconds since 1970 */
	const char *cluster, *why;         /* NULL: none */
	struct slice request_id;
};
/* Appends the line with its line feed. */
void audit_event_write(const struct audit_event *e, struct buf *out);

#endif
