/* client_endpoint.h - what the endpoints that clients call themselves have in common (token, revoke, introspect): a form in the body, the
 * client's authentication, answers in JSON that nobody stores.   Spec: RFC 6749 sections 2.3, 3.2, 5. */
#ifndef AUTHD_CLIENT_ENDPOINT_H
#define AUTHD_CLIENT_ENDPOINT_H

#include "authd/authorization.h"
#include "oidc/token_request.h"

/* body is taken. */
void client_endpoint_send(struct request *r, int status, struct buf *body);
/* RFC 6749 5.2; written to the log. */
void client_endpoint_refuse(struct request *r, const struct token_error *e);
/* error: static; description: printable ASCII. */
void client_endpoint_refuse_with(struct request *r, int status, const char *error, const char *description);
void client_endpoint_unavailable(struct request *r);

/* E_EMPTY: unknown, or its secret is wrong; E_NOMEM, E_SYSTEM, E_FORMAT: the store could not tell. */
MUST_CHECK enum err client_endpoint_authenticate(struct request *r, const struct client_credentials *given, const struct client **out);
/* Scopes of a grant that has no authorization request; none asked for: openid. False: r has been answered. */
bool client_endpoint_scope(struct request *r, const struct client *c, struct slice scope, struct authorization_request *out);
/* Whether the client may use a grant. False: r has been answered. */
bool client_endpoint_grant(struct request *r, const struct client *c, enum grant_type grant);
/* The whole way for an endpoint without grants: body, credentials, client. False: r has been answered. form and client live in the arena. */
bool client_endpoint_open(struct request *r, const struct form **form, const struct client **client);

#endif
