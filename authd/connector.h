/* connector.h - an upstream that says who somebody is by redirects (GitHub). Implementations: github.c. Local passwords are not one of these. */
#ifndef AUTHD_CONNECTOR_H
#define AUTHD_CONNECTOR_H

#include "authd/record.h"
#include "oidc/form.h"

struct connector;

enum connector_verdict {
	CONNECTOR_OK,
	CONNECTOR_DENIED,      /* the person said no, or is not in an allowed org or team: 403 page with message */
	CONNECTOR_BAD_ANSWER,  /* the upstream answered something that its documentation does not allow: 502 */
	CONNECTOR_UNAVAILABLE, /* cannot be reached, time-out, 5xx, rate limit: 503, retry_after_s */
	CONNECTOR_NO_EMAIL     /* no verified mail address: 403 page */
};
struct connector_result {
	enum connector_verdict verdict;
	char message[256];       /* for the person who signs in: what, and what to do; no secret */
	int retry_after_s;
	struct record_user user; /* with CONNECTOR_OK; lives in *arena until done returns */
};
typedef void connector_done(void *arg, const struct connector_result *r);

struct connector_begin {
	const char *redirect_uri;
	struct slice state;      /* opaque to the connector */
	struct slice challenge;  /* S256 PKCE */
	struct slice login_hint; /* whom the client expects; empty: anybody */
	bool ask;                /* not whoever is signed in there already: the person has to choose or prove an account */
};
struct connector_ops {
	/* Append the URL to send the browser to. */
	enum err (*begin)(struct connector *c, const struct connector_begin *b, struct buf *url);
	/* The browser came back with query. Calls the upstream beside the request threads; done runs once, on another thread. */
	enum err (*finish)(struct connector *c, const char *redirect_uri, const struct form *query, struct slice verifier, connector_done *done, void *arg);
	/* Read the person again at refresh, from connector_data. Missing upstream: CONNECTOR_UNAVAILABLE, the old groups serve. */
	enum err (*refresh)(struct connector *c, const struct record_user *user, connector_done *done, void *arg);
	/* Whose access token of the upstream this is, if it was given to this connector's own application; one that was given to any other is CONNECTOR_DENIED. */
	enum err (*exchange)(struct connector *c, struct slice access_token, connector_done *done, void *arg);
	void (*free)(struct connector *c);
};
struct connector {
	const struct connector_ops *ops;
	const char *id, *type, *name;
};

#endif
