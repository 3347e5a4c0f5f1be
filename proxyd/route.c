#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "proxyd/route.h"
#include "proxyd/upstream_servers.h"
#include "proxyd/route_rules.h"
#include "shared/log.h"

#define LINE_BYTES_MAX (KUBECONFIG_TOKEN_BYTES_MAX + 64)

struct cluster {
	struct upstream *upstream;
	struct buf line, prefix; /* "Authorization: Bearer …\r\n", or nothing; "/clusters/<name>" */
	struct destination named;
};

struct router {
	const struct proxyd_config *config;
	struct cluster *clusters; /* as in config->clusters */
	struct destination *routes; /* as in config->routes, longest first */
	size_t cluster_n, route_n;
	struct destination root;
	bool has_root;
};

/* ---- credentials ---- */

static bool
bearer_line(struct slice token, struct buf *out)
{
	if (!kubeconfig_token_trim(&token))
		return false;
	buf_reset(out);
	buf_add_str(out, "Authorization: Bearer ");
	buf_add_slice(out, token);
	buf_add_str(out, "\r\n");
	return buf_ok(out);
}

enum err
route_set_token(struct router *r, size_t cluster, struct slice token)
{
	struct buf line;

	if (cluster >= r->cluster_n)
		return E_EMPTY;
	struct cluster *c = &r->clusters[cluster];
	buf_init(&line, LINE_BYTES_MAX);
	if (!bearer_line(token, &line)) {
		enum err err = buf_ok(&line) ? E_FORMAT : E_NOMEM;
		buf_fini_secret(&line);
		return err;
	}
	buf_fini_secret(&c->line);
	c->line = line;
	c->named.forward.credential = buf_slice(&c->line);
	if (r->has_root && r->root.upstream == c->upstream)
		r->root.forward.credential = buf_slice(&c->line);
	return OK;
}

/* ---- building ---- */

/* Where the servers of one destination are. */
struct places {
	struct address addresses[UPSTREAM_SERVERS_MAX * UPSTREAM_ADDRESSES_MAX];
	size_t address_n;
	size_t server_address_n[UPSTREAM_SERVERS_MAX], server_n;
};

/* what: "cluster" or "route", and which. */
static enum err
add_place(struct places *p, const char *what, const char *name, const char *host, uint16_t port, struct tls_error *e)
{
	size_t n = 0;
	enum err err = address_resolve(host, port, p->addresses + p->address_n, UPSTREAM_ADDRESSES_MAX, &n);

	if (err == E_EMPTY) {
		log_error("upstream's name does not resolve", LOG_STR(what, name), LOG_STR("host", host));
		n = 0;
	} else if (err) {
		snprintf(e->text, sizeof(e->text), "%s %s: %s cannot be resolved now: %s", what, name, host,
			err == E_AGAIN ? "the name service does not answer" : err == E_SYSTEM ? strerrordesc_np(errno) : err_name(err));
		return err;
	}
	p->address_n += n;
	p->server_address_n[p->server_n++] = n;
	return OK;
}

static enum err
url_upstream(struct loop *loop, const struct proxyd_config *config, const char *name, const struct places *places, const struct kubeconfig *to, bool plain, bool http2,
	struct upstream **out, struct tls_error *e)
{
	struct upstream_options o = { .name = name, .http2 = http2, .addresses = places->addresses, .address_n = places->address_n,
		.server_address_n = places->server_address_n, .server_n = places->server_n,
		.connect_timeout_ms = (uint64_t)config->limits.upstream_connect_timeout_ms,
		.idle_timeout_ms = (uint64_t)config->limits.upstream_idle_timeout_ms };
	enum err err = plain ? OK : tls_client_new(to, &o.tls, e);

	if (err)
		return err;
	err = upstream_new(loop, &o, out);
	if (err)
		snprintf(e->text, sizeof(e->text), "out of memory");
	return err;
}

static enum err
cluster_upstream(struct loop *loop, const struct proxyd_config *config, const struct proxyd_cluster *from, struct upstream **out, struct tls_error *e)
{
	struct places p = { .server_n = 0 };
	enum err err = OK;

	for (size_t i = 0; i < from->servers.n && !err; i++)
		err = add_place(&p, "cluster", from->name, from->server_items[i].host, from->server_items[i].port, e);
	if (!err && from->servers.n == 0)
		err = add_place(&p, "cluster", from->name, from->target.host, from->target.port, e);
	return err ? err : url_upstream(loop, config, from->name, &p, &from->target, false, from->http2 == PROXYD_HTTP2_WATCHES, out, e);
}

static enum err
cluster_init(struct loop *loop, const struct proxyd_config *config, const struct proxyd_cluster *from, struct cluster *c, struct tls_error *e)
{
	enum err err = cluster_upstream(loop, config, from, &c->upstream, e);

	if (err)
		return err;
	if (from->target.token && !bearer_line(slice_str(from->target.token), &c->line)) {
		snprintf(e->text, sizeof(e->text), "cluster %s: the token in its kubeconfig is not usable", from->name);
		return E_FORMAT;
	}
	buf_add_str(&c->prefix, "/clusters/");
	buf_add_str(&c->prefix, from->name);
	if (!buf_ok(&c->prefix)) {
		snprintf(e->text, sizeof(e->text), "out of memory");
		return E_NOMEM;
	}
	c->named = (struct destination){
		.forward = {
			.kind = FORWARD_CLUSTER,
			.host = slice_str(from->target.host_header),
			.strip_prefix = buf_slice(&c->prefix),
			.base_path = slice_str(from->target.base_path),
			.credential = buf_slice(&c->line),
			.session_cookie = slice_str(config->authentication.session.cookie_name),
		},
		.upstream = c->upstream,
		.name = from->name,
		.groups = &from->allowed_groups,
		.impersonation_reviewed = from->impersonate_others == PROXYD_IMPERSONATE_REVIEWED,
	};
	return OK;
}

/* Routes to one socket share its connections. */
static enum err
socket_upstream(struct router *r, struct loop *loop, size_t at, struct tls_error *e)
{
	const struct proxyd_route *routes = r->config->routes.items, *from = &routes[at];
	struct upstream_options o = { .name = from->path, .addresses = &from->address, .address_n = 1,
		.connect_timeout_ms = (uint64_t)r->config->limits.upstream_connect_timeout_ms,
		.idle_timeout_ms = (uint64_t)r->config->limits.upstream_idle_timeout_ms };

	for (size_t i = 0; i < at; i++)
		if (routes[i].address.len == from->address.len && memcmp(&routes[i].address.u, &from->address.u, from->address.len) == 0) {
			r->routes[at].upstream = r->routes[i].upstream;
			return OK;
		}
	enum err err = upstream_new(loop, &o, &r->routes[at].upstream);
	if (err)
		snprintf(e->text, sizeof(e->text), "out of memory");
	return err;
}

static enum err
route_init(struct router *r, struct loop *loop, size_t at, struct tls_error *e)
{
	static const struct {
		enum forward_kind forward;
		enum route_access access;
	} kinds[] = {
		[PROXYD_ROUTE_AUTHD] = { FORWARD_AUTHD, ROUTE_FOR_ALL },
		[PROXYD_ROUTE_BEARER] = { FORWARD_BEARER, ROUTE_FOR_CALLERS },
		[PROXYD_ROUTE_FRONT_PROXY] = { FORWARD_FRONT_PROXY, ROUTE_FOR_CALLERS },
		[PROXYD_ROUTE_SESSION] = { FORWARD_PLAIN, ROUTE_FOR_BROWSERS },
		[PROXYD_ROUTE_PUBLIC] = { FORWARD_PLAIN, ROUTE_FOR_ALL },
	};
	const struct proxyd_route *from = (const struct proxyd_route *)r->config->routes.items + at;
	struct destination *d = &r->routes[at];
	bool authd = from->kind == PROXYD_ROUTE_AUTHD, root = strcmp(from->path, "/") == 0;

	*d = (struct destination){
		.forward = {
			.kind = kinds[from->kind].forward,
			.host = authd ? SLICE_LIT("localhost") : SLICE_LIT(""),
			.strip_prefix = from->strip_prefix && !root ? slice_str(from->path) : SLICE_LIT(""),
			.base_path = slice_str(from->address.len ? "" : from->target.base_path),
			.session_cookie = slice_str(r->config->authentication.session.cookie_name),
		},
		.name = from->path,
		.host = from->host,
		.access = kinds[from->kind].access,
		.groups = &from->allowed_groups,
		.origins = &from->allowed_origins,
		.audience = from->audience,
		.audience_at = from->audience_at,
		.local = from->address.len || from->plain,
	};
	if (from->address.len)
		return socket_upstream(r, loop, at, e);
	struct places p = { .server_n = 0 };
	enum err err = add_place(&p, "route", from->path, from->target.host, from->target.port, e);
	return err ? err : url_upstream(loop, r->config, from->path, &p, &from->target, from->plain, false, &d->upstream, e);
}

static enum err
router_fill(struct router *r, struct loop *loop, struct tls_error *e)
{
	const struct proxyd_config *config = r->config;
	const struct proxyd_cluster *clusters = config->clusters.items, *root = proxyd_config_default_cluster(config);
	enum err err = OK;

	for (size_t i = 0; i < r->cluster_n; i++) {
		buf_init(&r->clusters[i].line, LINE_BYTES_MAX);
		buf_init(&r->clusters[i].prefix, 512);
	}
	for (size_t i = 0; i < r->cluster_n && !err; i++) {
		err = cluster_init(loop, config, &clusters[i], &r->clusters[i], e);
		if (!err && &clusters[i] == root) {
			r->root = r->clusters[i].named;
			r->root.forward.strip_prefix = SLICE_LIT("");
			r->has_root = true;
		}
	}
	for (size_t i = 0; i < r->route_n && !err; i++)
		err = route_init(r, loop, i, e);
	return err;
}

enum err
router_new(struct loop *loop, const struct proxyd_config *config, struct router **out, struct tls_error *e)
{
	struct router *r = calloc(1, sizeof(*r));
	enum err err = E_NOMEM;

	snprintf(e->text, sizeof(e->text), "out of memory");
	if (!r)
		return E_NOMEM;
	r->config = config;
	r->clusters = calloc(config->clusters.n + 1, sizeof(*r->clusters));
	r->routes = calloc(config->routes.n + 1, sizeof(*r->routes));
	if (r->clusters && r->routes) {
		r->cluster_n = config->clusters.n;
		r->route_n = config->routes.n;
		err = router_fill(r, loop, e);
	}
	if (err) {
		router_free(r);
		return err;
	}
	*out = r;
	return OK;
}

void
router_free(struct router *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->cluster_n; i++) {
		upstream_free(r->clusters[i].upstream);
		buf_fini_secret(&r->clusters[i].line);
		buf_fini(&r->clusters[i].prefix);
	}
	for (size_t i = 0; i < r->route_n; i++) {
		bool shared = false;
		for (size_t j = 0; j < i; j++)
			shared = shared || r->routes[j].upstream == r->routes[i].upstream;
		if (!shared)
			upstream_free(r->routes[i].upstream);
	}
	free(r->clusters);
	free(r->routes);
	free(r);
}

void
router_each_upstream(const struct router *r, void (*each)(void *arg, const struct upstream *u), void *arg)
{
	for (size_t i = 0; i < r->cluster_n; i++)
		each(arg, r->clusters[i].upstream);
	for (size_t i = 0; i < r->route_n; i++)
		each(arg, r->routes[i].upstream);
}

void
router_set_metrics(struct router *r, struct metrics_slot *metrics)
{
	for (size_t i = 0; i < r->cluster_n; i++) {
		struct cluster *c = &r->clusters[i];
		c->named.metrics = metrics_target(metrics, c->named.name);
		upstream_set_metrics(c->upstream, c->named.metrics);
		if (r->has_root && r->root.upstream == c->upstream)
			r->root.metrics = c->named.metrics;
	}
	for (size_t i = 0; i < r->route_n; i++)
		upstream_set_metrics(r->routes[i].upstream, metrics_target(metrics, ""));
}

/* ---- finding ---- */

/* Routes first: one with a host may cover all of it, clusters included. */
static enum route_verdict
find(struct router *r, struct slice host, struct slice path, bool (*covers)(struct slice prefix, struct slice path), struct destination **out)
{
	for (size_t i = 0; i < r->route_n; i++) {
		struct destination *d = &r->routes[i];
		if (covers(slice_str(d->name), path) && (!d->host || route_host_is(d->host, host))) {
			*out = d;
			return ROUTE_FOUND;
		}
	}
	if (covers(SLICE_LIT("/clusters"), path)) {
		for (size_t i = 0; i < r->cluster_n; i++)
			if (covers(r->clusters[i].named.forward.strip_prefix, path)) {
				*out = &r->clusters[i].named;
				return ROUTE_FOUND;
			}
		return ROUTE_NO_CLUSTER;
	}
	if (!r->has_root)
		return ROUTE_NONE;
	*out = &r->root;
	return ROUTE_FOUND;
}

enum route_verdict
route_find(struct router *r, struct slice host, struct slice path, struct destination **out)
{
	struct destination *found = NULL, *decoded = NULL;
	enum route_verdict verdict = find(r, host, path, route_covers, &found);

	if (memchr(path.p, '%', path.n) && (find(r, host, path, route_covers_decoded, &decoded) != verdict || decoded != found))
		return ROUTE_AMBIGUOUS;
	if (verdict == ROUTE_FOUND)
		*out = found;
	return verdict;
}

bool
route_is_authd(struct router *r, struct slice host, const char *path)
{
	struct destination *d;

	return route_find(r, host, slice_str(path), &d) == ROUTE_FOUND && d->forward.kind == FORWARD_AUTHD;
}
