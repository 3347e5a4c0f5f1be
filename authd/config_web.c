/* Where authd listens, and what it tells browsers: web and telemetry. */
#include <stdio.h>
#include "authd/config_internal.h"
#include "shared/certificate.h"
#include "shared/log.h"

/* ---- addresses ---- */

static enum err
check_address(struct config_check *k, const char *key, const char *text, struct address *out)
{
	const char *why = "an address";

	if (address_parse_listen(slice_str(text), out, &why) != OK)
		return authd_config_refuse(k, key, "expected %s, found \"%s\"", why, text);
	if (out->u.sa.sa_family == AF_UNIX)
		return authd_config_refuse(k, key, "expected host:port%s, found \"%s\"", strncmp(key, "web.", 4) == 0 ? " (web.unix is the key for a socket)" : "", text);
	return OK;
}

static enum err
check_socket(struct config_check *k, const char *key, const char *path)
{
	const char *why;
	struct address a;
	char text[sizeof(a.u.un.sun_path) + 8];

	if (path[0] != '/')
		return authd_config_refuse(k, key, "expected the absolute path of a socket, found \"%s\"", path);
	if (snprintf(text, sizeof(text), "unix:%s", path) >= (int)sizeof(text) || address_parse_listen(slice_str(text), &a, &why) != OK)
		return authd_config_refuse(k, key, "expected a path of at most %zu bytes, found one of %zu", sizeof(a.u.un.sun_path) - 1, strlen(path));
	return OK;
}

static enum err
check_ctl(struct config_check *k)
{
	struct authd_config *c = &k->f->c;
	bool given = c->web.ctl_path;

	if (!given && !(c->web.ctl_path = authd_config_ctl_path(&c->arena, c->storage.path)))
		return authd_config_no_memory(k);
	if (c->web.unix_path && strcmp(c->web.ctl_path, c->web.unix_path) == 0)
		return authd_config_refuse(k, "web.ctl", "\"%s\" is the socket of web.unix too, which proxyd reaches", c->web.ctl_path);
	if (!given && strlen(c->web.ctl_path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return authd_config_refuse(k, "web.ctl", "expected the path of the socket for authd ctl: %s, where it would be, is longer than a socket's path may be",
			c->web.ctl_path);
	return check_socket(k, "web.ctl", c->web.ctl_path);
}

static enum err
check_tls(struct config_check *k)
{
	struct authd_config *c = &k->f->c;
	char why[CERTIFICATE_WHY_BYTES];
	enum certificate_part part;

	if (c->web.tls_min_version > c->web.tls_max_version)
		return authd_config_refuse(k, "web.tlsMaxVersion", "expected at least tlsMinVersion: no version is left");
	if (!c->web.https && (c->web.tls_cert || c->web.tls_key))
		return authd_config_refuse(k, c->web.tls_cert ? "web.tlsCert" : "web.tlsKey", "needs https: host:port beside it");
	if (!c->web.https)
		return OK;
	if (!c->web.tls_cert || !c->web.tls_key)
		return authd_config_refuse(k, "web.https", "needs tlsCert and tlsKey beside it");
	enum err e = authd_config_read_pem(k, "web.tlsCert", c->web.tls_cert, &c->web.tls_cert_pem);
	if (e == OK)
		e = authd_config_read_pem(k, "web.tlsKey", c->web.tls_key, &c->web.tls_key_pem);
	if (e != OK)
		return e;
	e = certificate_check_pair(c->web.tls_cert_pem, c->web.tls_key_pem, k->now_s, &part, why);
	if (e == OK)
		return OK;
	return part == CERTIFICATE_CHAIN ? authd_config_refuse(k, "web.tlsCert", "%s %s", c->web.tls_cert, why) :
					   authd_config_refuse(k, "web.tlsKey", "%s %s", c->web.tls_key, why);
}

/* ---- answers ---- */

static enum err
check_headers(struct config_check *k)
{
	struct authd_config *c = &k->f->c;

	for (size_t i = 0; i < AUTHD_WEB_HEADERS; i++) {
		const char *value = c->web.headers[i];
		size_t n = value ? strlen(value) : 0;
		if (n == 0) {
			c->web.headers[i] = NULL; /* as in dex, unset if blank */
			continue;
		}
		for (size_t j = 0; j < n; j++)
			if (value[j] < ' ' || value[j] > '~' || (value[j] == ' ' && (j == 0 || j == n - 1)))
				return authd_config_refuse(k, KEY("web.headers.%s", authd_config_web_headers[i]),
					"expected one line of printable ASCII without blanks at its ends");
	}
	for (size_t i = 0; i < c->web.allowed_headers.n; i++)
		if (!config_is_token(c->web.allowed_headers.items[i]))
			return authd_config_refuse(k, KEY("web.allowedHeaders[%zu]", i), "expected the name of a header, or \"*\", found \"%s\"",
				c->web.allowed_headers.items[i]);
	return OK;
}

/* ---- who it is behind a proxy ---- */

static enum err
check_client_ip(struct config_check *k)
{
	struct authd_config *c = &k->f->c;
	const struct config_strings *list = &k->f->trusted_proxies;
	struct ip_block *blocks = arena_alloc(&c->arena, (list->n + 1) * sizeof(*blocks));

	if (!blocks)
		return authd_config_no_memory(k);
	authd_config_drop_empty((const char **[]){ &c->web.client_ip_header, NULL });
	if (c->web.client_ip_header && !config_is_token(c->web.client_ip_header))
		return authd_config_refuse(k, "web.clientRemoteIP.header", "expected the name of a header, such as X-Forwarded-For, found \"%s\"",
			c->web.client_ip_header);
	for (size_t i = 0; i < list->n; i++)
		if (ip_block_parse(slice_str(list->items[i]), &blocks[i]) != OK)
			return authd_config_refuse(k, KEY("web.clientRemoteIP.trustedProxies[%zu]", i),
				"expected a block of addresses such as 10.0.0.0/8 or fd00::/8, found \"%s\"", list->items[i]);
	c->web.trusted_proxies = blocks;
	c->web.trusted_proxy_n = list->n;
	/* dex takes it so, and warns too. */
	if (c->web.client_ip_header && !list->n)
		log_warn("web.clientRemoteIP.header is not looked at: anybody could send it; name the proxies that set it in trustedProxies",
			LOG_STR("file", c->file));
	return OK;
}

enum err
authd_config_check_web(struct config_check *k)
{
	struct authd_config *c = &k->f->c;
	struct address http, https;
	enum err e = OK;

	authd_config_drop_empty((const char **[]){ &c->web.http, &c->web.https, &c->web.unix_path, &c->web.ctl_path, &c->web.tls_cert, &c->web.tls_key, NULL });
	if (!c->web.http && !c->web.https && !c->web.unix_path)
		return authd_config_refuse(k, "web", "expected at least one of unix, http and https to listen on");
	if (c->web.unix_path)
		e = check_socket(k, "web.unix", c->web.unix_path);
	if (e == OK)
		e = check_ctl(k);
	if (e == OK && c->web.http)
		e = check_address(k, "web.http", c->web.http, &http);
	if (e == OK && c->web.https)
		e = check_address(k, "web.https", c->web.https, &https);
	if (e == OK && c->web.http && c->web.https && strcmp(c->web.http, c->web.https) == 0)
		e = authd_config_refuse(k, "web.https", "\"%s\" is the address of web.http too", c->web.https);
	for (size_t i = 0; i < c->web.allowed_origins.n && e == OK; i++)
		if (strcmp(c->web.allowed_origins.items[i], "*") != 0 && !authd_config_is_origin(c->web.allowed_origins.items[i]))
			e = authd_config_refuse(k, KEY("web.allowedOrigins[%zu]", i),
				"expected \"*\" or an origin as browsers send it, such as https://console.example.com, found \"%s\"",
				c->web.allowed_origins.items[i]);
	if (e == OK)
		e = check_headers(k);
	if (e == OK)
		e = check_client_ip(k);
	return e == OK ? check_tls(k) : e;
}

enum err
authd_config_check_telemetry(struct config_check *k)
{
	struct authd_config *c = &k->f->c;
	struct address a;

	authd_config_drop_empty((const char **[]){ &c->telemetry_http, NULL });
	if (k->f->profiling)
		return authd_config_refuse(k, "telemetry.enableProfiling", "profiles of Go programs are not for authd: use perf, and remove this");
	if (!c->telemetry_http)
		return OK;
	if ((c->web.http && strcmp(c->web.http, c->telemetry_http) == 0) || (c->web.https && strcmp(c->web.https, c->telemetry_http) == 0))
		return authd_config_refuse(k, "telemetry.http", "\"%s\" is an address of web too: metrics are not for everybody", c->telemetry_http);
	return check_address(k, "telemetry.http", c->telemetry_http, &a);
}
