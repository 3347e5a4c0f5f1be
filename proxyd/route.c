#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "proxyd/route.h"
#include "shared/file.h"
#include "shared/log.h"

#define CREDENTIAL_BYTES_MAX 16384

struct credential {
	const char *file;
	struct timespec mtime;
	ino_t inode;
	off_t size;
	uint64_t checked_ms;
	struct buf line; /* "Authorization: Bearer …\r\n" */
};

struct cluster {
	struct upstream *upstream;
	struct credential *credential;
	struct buf line, prefix; /* credential that does not change; "/clusters/<name>" */
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
	while (token.n && (token.p[token.n - 1] == '\n' || token.p[token.n - 1] == '\r'))
		token.n--;
	token = slice_trim(token);
	for (size_t i = 0; i < token.n; i++)
		if (token.p[i] <= ' ' || token.p[i] > '~')
			return false;
	if (token.n == 0)
		return false;
	buf_reset(out);
	buf_add_str(out, "Authorization: Bearer ");
	buf_add_slice(out, token);
	buf_add_str(out, "\r\n");
	return buf_ok(out);
}

/* What the file has now; the last good token stays when it cannot be read. */
static bool
credential_read(struct credential *c)
{
	struct buf text;
	struct stat st;
	bool ok = false;

	buf_init(&text, CREDENTIAL_BYTES_MAX);
	if (stat(c->file, &st) < 0) {
		log_error("token file not read", LOG_STR("file", c->file), LOG_ERRNO(errno));
	} else if (c->inode == st.st_ino && c->size == st.st_size && c->mtime.tv_sec == st.st_mtim.tv_sec &&
		c->mtime.tv_nsec == st.st_mtim.tv_nsec) {
		ok = true;
	} else if (file_read(c->file, CREDENTIAL_BYTES_MAX, &text)) {
		log_error("token file not read", LOG_STR("file", c->file), LOG_ERRNO(errno));
	} else if (!bearer_line(buf_slice(&text), &c->line)) {
		log_error("token file holds no token", LOG_STR("file", c->file));
	} else {
		c->mtime = st.st_mtim;
		c->inode = st.st_ino;
		c->size = st.st_size;
		ok = true;
	}
	buf_fini_secret(&text);
	return ok;
}

void
route_refresh_credential(struct destination *d, uint64_t now_ms)
{
	struct credential *c = d->credential;

	if (!c)
		return;
	if (now_ms - c->checked_ms >= ROUTE_CREDENTIAL_CHECK_MS) {
		c->checked_ms = now_ms;
		credential_read(c);
	}
	d->forward.credential = buf_slice(&c->line);
}

static enum err
credential_new(const char *file, uint64_t now_ms, struct credential **out, struct tls_error *e)
{
	struct credential *c = calloc(1, sizeof(*c));

	if (!c) {
		snprintf(e->text, sizeof(e->text), "out of memory");
		return E_NOMEM;
	}
	c->file = file;
	c->checked_ms = now_ms;
	buf_init(&c->line, CREDENTIAL_BYTES_MAX + 64);
	*out = c;
	if (credential_read(c))
		return OK;
	snprintf(e->text, sizeof(e->text), "token file %s: not readable, or no token in it", file);
	return E_FORMAT;
}

static void
credential_free(struct credential *c)
{
	if (!c)
		return;
	buf_fini_secret(&c->line);
	free(c);
}

/* ---- building ---- */

static enum err
cluster_upstream(struct loop *loop, const struct proxyd_config *config, const struct proxyd_cluster *from, struct cluster *c,
	struct tls_error *e)
{
	struct address addresses[UPSTREAM_ADDRESSES_MAX];
	struct upstream_options o = { .name = from->name, .addresses = addresses,
		.connect_timeout_ms = (uint64_t)config->limits.upstream_connect_timeout_ms,
		.idle_timeout_ms = (uint64_t)config->limits.upstream_idle_timeout_ms };
	enum err err = tls_client_new(&from->target, &o.tls, e);

	if (err)
		return err;
	err = address_resolve(from->target.host, from->target.port, addresses, UPSTREAM_ADDRESSES_MAX, &o.address_n);
	if (err == E_EMPTY) {
		log_error("cluster's name does not resolve", LOG_STR("cluster", from->name), LOG_STR("host", from->target.host));
		o.address_n = 0;
	} else if (err) {
		snprintf(e->text, sizeof(e->text), "cluster %s: %s cannot be resolved now: %s", from->name, from->target.host,
			err == E_AGAIN ? "the name service does not answer" : err == E_SYSTEM ? strerrordesc_np(errno) : err_name(err));
		tls_client_free(o.tls);
		return err;
	}
	err = upstream_new(loop, &o, &c->upstream);
	if (err)
		snprintf(e->text, sizeof(e->text), "out of memory");
	return err;
}

static enum err
cluster_init(struct loop *loop, const struct proxyd_config *config, const struct proxyd_cluster *from, struct cluster *c, struct tls_error *e)
{
	enum err err = cluster_upstream(loop, config, from, c, e);

	if (!err && from->target.token_file)
		err = credential_new(from->target.token_file, loop_now_ms(loop), &c->credential, e);
	if (err)
		return err;
	if (from->target.token && !c->credential && !bearer_line(slice_str(from->target.token), &c->line)) {
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
		.credential = c->credential,
	};
	return OK;
}

/* Routes to one socket share its connections. */
static enum err
route_init(struct router *r, struct loop *loop, size_t at, struct tls_error *e)
{
	const struct proxyd_route *routes = r->config->routes.items, *from = &routes[at];
	struct destination *d = &r->routes[at];
	struct upstream_options o = { .name = from->path, .addresses = &from->address, .address_n = 1,
		.connect_timeout_ms = (uint64_t)r->config->limits.upstream_connect_timeout_ms,
		.idle_timeout_ms = (uint64_t)r->config->limits.upstream_idle_timeout_ms };

	d->name = from->path;
	d->forward = (struct forward_target){ .kind = FORWARD_AUTHD, .host = SLICE_LIT("localhost"), .base_path = SLICE_LIT("") };
	for (size_t i = 0; i < at && !d->upstream; i++)
		if (routes[i].address.len == from->address.len && memcmp(&routes[i].address.u, &from->address.u, from->address.len) == 0)
			d->upstream = r->routes[i].upstream;
	enum err err = d->upstream ? OK : upstream_new(loop, &o, &d->upstream);
	if (err)
		snprintf(e->text, sizeof(e->text), "out of memory");
	return err;
}

static enum err
router_fill(struct router *r, struct loop *loop, struct tls_error *e)
{
	const struct proxyd_config *config = r->config;
	const struct proxyd_cluster *clusters = config->clusters.items, *root = proxyd_config_default_cluster(config);
	enum err err = OK;

	for (size_t i = 0; i < r->cluster_n; i++) {
		buf_init(&r->clusters[i].line, CREDENTIAL_BYTES_MAX + 64);
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
		credential_free(r->clusters[i].credential);
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

/* ---- finding ---- */

/* prefix ends where a segment of path ends: "/oidc" covers "/oidc" and "/oidc/x", not "/oidcx". */
static bool
covers(struct slice prefix, struct slice path)
{
	if (!slice_has_prefix(path, prefix))
		return false;
	return path.n == prefix.n || path.p[prefix.n] == '/' || (prefix.n && prefix.p[prefix.n - 1] == '/');
}

enum route_verdict
route_find(struct router *r, struct slice path, struct destination **out)
{
	for (size_t i = 0; i < r->route_n; i++)
		if (covers(slice_str(r->routes[i].name), path)) {
			*out = &r->routes[i];
			return ROUTE_FOUND;
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

bool
route_has(const struct router *r, const char *path)
{
	for (size_t i = 0; i < r->route_n; i++)
		if (covers(slice_str(r->routes[i].name), slice_str(path)))
			return true;
	return false;
}
