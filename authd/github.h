/* github.h - signing in with GitHub (or GitHub Enterprise): OAuth web flow with PKCE, then the REST API for who it is.
 * Every call runs on the fetcher's thread; a slow GitHub delays nobody else. Spec: docs.github.com, "Authorizing OAuth apps", REST API 2022-11-28. */
#ifndef AUTHD_GITHUB_H
#define AUTHD_GITHUB_H

#include "authd/config.h"
#include "authd/connector.h"
#include "shared/fetch.h"

#define GITHUB_API_VERSION "2022-11-28"
#define GITHUB_PAGES_MAX 50         /* of 100 teams, orgs or addresses each */
#define GITHUB_TIMEOUT_MS 10000     /* one call */
#define GITHUB_ANSWER_BYTES_MAX (2u << 20)

/* Everything in config must outlive the connector; so must the fetcher. NULL: out of memory. Freed by ops->free, which
 * must not run while a finish or refresh is under way. */
struct counters;
/* counters: where calls are counted; NULL: nowhere. */
struct connector *github_connector_new(const struct authd_connector_config *config, struct fetcher *f, struct counters *counters);

#endif
