#include <arpa/inet.h>
#include <stdlib.h>
#include "oidc/identity.h"
#include "proxyd/config_check_state.h"
#include "shared/certificate.h"

/* The path's rules (http_target.c) let nothing be written in two ways in so many segments, but for escaped letters, which route_rules.c sees. */
#define ROUTE_SEGMENTS_MAX 3

/* Of anything but the list itself the binder has made sure. */
enum err
config_check_groups(struct check *k, const char *key, const struct config_strings *groups)
{
	const struct yaml_node *n = config_path_node(k->root, key, false, NULL);

	if (n && n->kind == YAML_LIST && groups->n == 0)
		return REFUSE(k, key, "expected at least one group: an empty list would let nobody in, and without the key everybody may come in who is known");
	for (size_t i = 0; i < groups->n; i++)
		if (!identity_value_ok(slice_str(groups->items[i])))
			return REFUSE(k, KEY_OF("%s[%zu]", key, i), "expected the name of a group, found \"%s\"", groups->items[i]);
	return OK;
}

/* A prefix that is compared byte by byte with the path as the client sent it, so it has only bytes that nobody writes in two ways. */
static bool
is_route_path(const char *s)
{
	size_t n = strlen(s);

	if (s[0] != '/' || (n > 1 && s[n - 1] == '/') || strstr(s, "//") || strstr(s, "/./") || strstr(s, "/../"))
		return false;
	if ((n > 1 && strcmp(s + n - 2, "/.") == 0) || (n > 2 && strcmp(s + n - 3, "/..") == 0))
		return false;
	return strspn(s, "/ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,=:@") == n;
}

static size_t
slashes(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += *s == '/';
	return n;
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static enum err
check_path(struct check *k, size_t i)
{
	const struct proxyd_route *all = k->c->routes.items, *r = &all[i];

	if (!is_route_path(r->path))
		return REFUSE(k, KEY_OF("routes[%zu].path", i),
			"expected a path that begins with '/', without '/' at its end, dot segments or %%-escapes, found \"%s\"", r->path);
	if (slashes(r->path) > ROUTE_SEGMENTS_MAX)
		return REFUSE(k, KEY_OF("routes[%zu].path", i), "expected at most %d segments, found \"%s\"", ROUTE_SEGMENTS_MAX, r->path);
	if (strcmp(r->path, "/clusters") == 0 || strncmp(r->path, "/clusters/", 10) == 0)
		return REFUSE(k, KEY_OF("routes[%zu].path", i), "\"%s\" is taken: /clusters/NAME leads to the clusters", r->path);
	if (strcmp(r->path, "/") == 0 && !r->host && k->c->clusters.n)
		return REFUSE(k, KEY_OF("routes[%zu].path", i), "\"/\" is taken: the default cluster is served there; give the route a path or a host of its own");
	if (r->host && (!*r->host || strspn(r->host, "abcdefghijklmnopqrstuvwxyz0123456789-.") != strlen(r->host)))
		return REFUSE(k, KEY_OF("routes[%zu].host", i), "expected a host name in lower case, without a port, found \"%s\"", r->host);
	for (size_t j = 0; j < i; j++)
		if (strcmp(all[j].path, r->path) == 0 && same_text(all[j].host, r->host))
			return REFUSE(k, KEY_OF("routes[%zu].path", i), "\"%s\" is the path of routes[%zu] too", r->path, j);
	return OK;
}

/* ---- where it leads ---- */

/* To this machine itself: what goes there is read by nobody on the way. */
static bool
is_loopback(struct slice host)
{
	unsigned char bytes[16];
	char text[64];

	if (slice_eq_str(host, "localhost"))
		return true;
	if (host.n >= sizeof(text))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (inet_pton(AF_INET, text, bytes) == 1)
		return bytes[0] == 127;
	return inet_pton(AF_INET6, text, bytes) == 1 && memcmp(bytes, &in6addr_loopback, 16) == 0;
}

static enum err
check_url(struct check *k, size_t i, struct proxyd_route *r)
{
	struct kubeconfig *t = &r->target;
	struct url url;

	if (url_parse(slice_str(r->to), &url) || strchr(r->to, '?') || url.port == 0)
		return REFUSE(k, KEY_OF("routes[%zu].to", i), "expected unix:/path or an https URL without user, query or fragment, found \"%s\"", r->to);
	if (!url.tls && !is_loopback(url.host))
		return REFUSE(k, KEY_OF("routes[%zu].to", i),
			"is refused: http leads to this machine only (127.0.0.1, [::1], localhost); expected https, found \"%s\"", r->to);
	while (url.path.n && url.path.p[url.path.n - 1] == '/')
		url.path.n--;
	t->server = r->to;
	t->host = arena_strndup(&k->c->arena, url.host.p, url.host.n);
	t->port = url.port;
	t->base_path = arena_strndup(&k->c->arena, url.path.p ? url.path.p : "", url.path.n);
	t->host_header = arena_strndup(&k->c->arena, url.authority.p, url.authority.n);
	if (!t->host || !t->base_path || !t->host_header)
		return config_check_no_memory(k);
	if (*t->base_path && !is_route_path(t->base_path))
		return REFUSE(k, KEY_OF("routes[%zu].to", i), "expected a plain path, found \"%s\"", r->to);
	t->tls_server_name = r->tls.server_name ? r->tls.server_name : t->host;
	r->plain = !url.tls;
	return OK;
}

static enum err
check_tls(struct check *k, size_t i, struct proxyd_route *r)
{
	struct kubeconfig *t = &r->target;
	char why[CERTIFICATE_WHY_BYTES];
	enum certificate_part part;

	if (!r->tls.cert_file != !r->tls.key_file)
		return REFUSE(k, KEY_OF("routes[%zu].tls.%s", i, r->tls.cert_file ? "certFile" : "keyFile"), "needs %s beside it",
			r->tls.cert_file ? "keyFile" : "certFile");
	if (r->tls.server_name && !config_check_word(r->tls.server_name))
		return REFUSE(k, KEY_OF("routes[%zu].tls.serverName", i), "expected a host name, found \"%s\"", r->tls.server_name);
	enum err e = config_check_ca(k, KEY_OF("routes[%zu].tls.certificateAuthority", i), r->tls.certificate_authority, &t->ca_pem);
	if (e || !r->tls.cert_file)
		return e;
	e = config_check_pem(k, &k->c->secrets, KEY_OF("routes[%zu].tls.certFile", i), r->tls.cert_file, &t->cert_pem);
	if (!e)
		e = config_check_pem(k, &k->c->secrets, KEY_OF("routes[%zu].tls.keyFile", i), r->tls.key_file, &t->key_pem);
	if (!e && certificate_check_pair(t->cert_pem, t->key_pem, k->now_s, &part, why))
		e = part == CERTIFICATE_CHAIN ? REFUSE(k, KEY_OF("routes[%zu].tls.certFile", i), "%s %s", r->tls.cert_file, why)
					      : REFUSE(k, KEY_OF("routes[%zu].tls.keyFile", i), "%s %s", r->tls.key_file, why);
	return e;
}

static enum err
check_to(struct check *k, size_t i, struct proxyd_route *r)
{
	bool any_tls = r->tls.certificate_authority || r->tls.cert_file || r->tls.key_file || r->tls.server_name;
	enum err e;

	if (strncmp(r->to, "unix:", 5) == 0)
		e = config_check_address(k, KEY_OF("routes[%zu].to", i), r->to, &r->address);
	else
		e = check_url(k, i, r);
	if (e)
		return e;
	if (any_tls && (r->address.len || r->plain))
		return REFUSE(k, KEY_OF("routes[%zu].tls", i), "there is no TLS on the way to \"%s\"", r->to);
	return any_tls ? check_tls(k, i, r) : OK;
}

/* ---- for whom ---- */

static enum err
check_origins(struct check *k, size_t i, const struct config_strings *origins)
{
	struct url url;

	for (size_t o = 0; o < origins->n; o++)
		if (url_parse(slice_str(origins->items[o]), &url) || url.origin.n != strlen(origins->items[o]))
			return REFUSE(k, KEY_OF("routes[%zu].allowedOrigins[%zu]", i, o), "expected an origin as https://host or https://host:port, found \"%s\"",
				origins->items[o]);
	return OK;
}

/* Its place in the list of all; it is put there if it is new. */
static enum err
check_audience(struct check *k, size_t i, struct proxyd_route *r)
{
	struct config_strings *all = &k->c->id_token_audiences;

	if (!r->audience)
		return OK;
	if (r->kind != PROXYD_ROUTE_BEARER)
		return REFUSE(k, KEY_OF("routes[%zu].audience", i), "is for routes of kind bearer: only they pass ID tokens on");
	if (!config_check_word(r->audience))
		return REFUSE(k, KEY_OF("routes[%zu].audience", i), "expected the id of a client of authd's, found \"%s\"", r->audience);
	if (!all->items && !(all->items = arena_alloc(&k->c->arena, PROXYD_AUDIENCES_MAX * sizeof(*all->items))))
		return config_check_no_memory(k);
	while (r->audience_at < all->n && strcmp(all->items[r->audience_at], r->audience) != 0)
		r->audience_at++;
	if (r->audience_at == PROXYD_AUDIENCES_MAX)
		return REFUSE(k, KEY_OF("routes[%zu].audience", i), "expected at most %d different ones", PROXYD_AUDIENCES_MAX);
	if (r->audience_at == all->n)
		all->items[all->n++] = r->audience;
	return OK;
}

static enum err
check_kind(struct check *k, size_t i, const struct proxyd_route *r)
{
	const char *more = r->allowed_groups.n ? "allowedGroups" : r->allowed_origins.n ? "allowedOrigins" : r->strip_prefix ? "stripPrefix" : NULL;

	if (r->kind == PROXYD_ROUTE_AUTHD && !r->address.len)
		return REFUSE(k, KEY_OF("routes[%zu].kind", i), "expected bearer, frontProxy, session or public: without it the route leads to authd, at unix:/path");
	if (r->kind == PROXYD_ROUTE_AUTHD && more)
		return REFUSE(k, KEY_OF("routes[%zu].%s", i, more), "is not for routes to authd, which decides itself; is `kind` missing?");
	if (r->kind == PROXYD_ROUTE_PUBLIC && r->allowed_groups.n)
		return REFUSE(k, KEY_OF("routes[%zu].allowedGroups", i), "nobody is asked who they are on a public route");
	if (r->kind == PROXYD_ROUTE_FRONT_PROXY && !r->address.len && !r->target.cert_pem.n)
		return REFUSE(k, KEY_OF("routes[%zu].kind", i),
			"frontProxy needs an https URL with tls.certFile and tls.keyFile, or unix:/path: others could send the same headers");
	return OK;
}

static enum err
check_route(struct check *k, size_t i)
{
	struct proxyd_route *r = (struct proxyd_route *)k->c->routes.items + i;
	enum err e = check_path(k, i);

	if (!e)
		e = check_to(k, i, r);
	if (!e)
		e = check_kind(k, i, r);
	if (!e)
		e = check_audience(k, i, r);
	if (!e)
		e = config_check_groups(k, KEY_OF("routes[%zu].allowedGroups", i), &r->allowed_groups);
	return e ? e : check_origins(k, i, &r->allowed_origins);
}

/* Those of one host before those of any, then the longest. */
static int
nearest_first(const void *a, const void *b)
{
	const struct proxyd_route *x = a, *y = b;
	size_t xn = strlen(x->path), yn = strlen(y->path);

	if (!x->host != !y->host)
		return x->host ? -1 : 1;
	return xn != yn ? (xn < yn) - (xn > yn) : strcmp(x->path, y->path);
}

enum err
config_check_routes(struct check *k)
{
	struct config_list *routes = &k->c->routes;
	enum err e = OK;

	for (size_t i = 0; i < routes->n && !e; i++)
		e = check_route(k, i);
	if (!e && routes->n)
		qsort(routes->items, routes->n, sizeof(struct proxyd_route), nearest_first);
	return e;
}
