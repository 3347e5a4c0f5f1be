/* role_check.h - does a cluster refuse somebody because of what the gateway itself may not do? Then it is said in the log which right is missing.
 *
 * The apiserver's 403 names the gateway's credential and the resource that it may not impersonate ("userextras/…" where a role lists keys one by
 * one); to the person in front of kubectl that is a riddle. Pure. Spec: k8s.io/apiserver, pkg/endpoints/handlers/responsewriters. */
#ifndef PROXYD_ROLE_CHECK_H
#define PROXYD_ROLE_CHECK_H

#include "shared/slice.h"

/* Looked at of an answer; the text stands at its front. */
#define ROLE_CHECK_BYTES_MAX 2048

/* body: the front of a 403's body, JSON or protobuf. The resource that may not be impersonated, a slice of body; .p NULL: the 403 is about something else. */
struct slice role_check_missing(struct slice body);

#endif
