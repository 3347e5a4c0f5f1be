#include "authd/admin.h"
#include "authd/app.h"
#include "authd/client_address.h"
#include "authd/counters.h"
#include "authd/pages.h"
#include "authd/routes.h"

enum flags {
	ROUTE_ROOT = 1,     /* the path stands at the origin, not below the issuer's */
	ROUTE_PREFIX = 2,   /* something follows the path */
	ROUTE_INTERNAL = 4, /* over the unix socket only; elsewhere there is no such page */
	ROUTE_CORS = 8,     /* web.allowedOrigins may call it from a script */
	ROUTE_CTL = 16,     /* over the control socket only, which has no others; below CTL_PATH */
	ROUTE_TELEMETRY = 32 /* at telemetry.http only, which has no others */
};

struct route {
	const char *path;
	unsigned methods, flags;
	route_handler *handler;
};

/* HEAD goes where GET goes. The first match counts. */
static const struct route routes[] = {
	{ "/.well-known/openid-configuration", METHOD_GET, ROUTE_CORS, wellknown_discovery },
	{ "/.well-known/oauth-authorization-server", METHOD_GET, ROUTE_CORS, wellknown_discovery },
	{ "/keys", METHOD_GET, ROUTE_CORS, wellknown_keys },
	{ "/healthz", METHOD_GET, 0, wellknown_health },
	{ PAGE_STATIC_PATH, METHOD_GET, ROUTE_PREFIX, wellknown_static },
	{ "/theme/", METHOD_GET, ROUTE_PREFIX, wellknown_theme },
	{ "/auth", METHOD_GET | METHOD_POST, 0, authorize_request },
	{ "/auth/local/login", METHOD_GET, 0, login_page },
	{ "/auth/local/login", METHOD_POST, 0, login_submit },
	{ "/auth/", METHOD_GET, ROUTE_PREFIX, callback_begin },
	{ "/callback", METHOD_GET, 0, callback_finish },
	{ "/callback/", METHOD_GET, ROUTE_PREFIX, callback_finish },
	{ "/select", METHOD_GET, 0, select_page },
	{ "/select", METHOD_POST, 0, select_submit },
	{ "/approval", METHOD_GET, 0, approval_page },
	{ "/approval", METHOD_POST, 0, approval_submit },
	{ "/device", METHOD_GET, 0, device_page },
	{ "/device/code", METHOD_POST, 0, device_start },
	{ "/device/auth/verify_code", METHOD_POST, 0, device_verify },
	{ CLIENT_DEVICE_CALLBACK, METHOD_GET, 0, device_callback },
	{ "/token", METHOD_POST, ROUTE_CORS, token_request },
	{ "/token/revoke", METHOD_POST, ROUTE_CORS, revoke_request },
	{ "/token/introspect", METHOD_POST, ROUTE_CORS, introspect_request },
	{ "/logout", METHOD_GET | METHOD_POST, 0, logout_request },
	{ "/logout/confirm", METHOD_POST, 0, logout_confirm },
	{ "/userinfo", METHOD_GET | METHOD_POST, ROUTE_CORS, userinfo_request },
	{ "/internal/session", METHOD_POST, ROUTE_ROOT | ROUTE_INTERNAL, internal_session },
	{ "/revocations", METHOD_GET, 0, public_revocations },
	{ "/internal/revocations", METHOD_GET, ROUTE_ROOT | ROUTE_INTERNAL, internal_revocations },
	{ "/sessions", METHOD_GET, ROUTE_CTL, admin_sessions_list },
	{ "/sessions/end", METHOD_POST, ROUTE_CTL, admin_sessions_end },
	{ "/clients", METHOD_GET, ROUTE_CTL, admin_clients_list },
	{ "/clients/show", METHOD_GET, ROUTE_CTL, admin_clients_show },
	{ "/clients/set", METHOD_POST, ROUTE_CTL, admin_clients_set },
	{ "/clients/add", METHOD_POST, ROUTE_CTL, admin_clients_add },
	{ "/clients/remove", METHOD_POST, ROUTE_CTL, admin_clients_remove },
	{ "/users", METHOD_GET, ROUTE_CTL, admin_users_list },
	{ "/users/add", METHOD_POST, ROUTE_CTL, admin_users_add },
	{ "/users/remove", METHOD_POST, ROUTE_CTL, admin_users_remove },
	{ "/users/passwd", METHOD_POST, ROUTE_CTL, admin_users_passwd },
	{ "/keys", METHOD_GET, ROUTE_CTL, admin_keys_list },
	{ "/keys/rotate", METHOD_POST, ROUTE_CTL, admin_keys_rotate },
	{ "/stats", METHOD_GET, ROUTE_CTL, admin_stats },
	{ "/metrics", METHOD_GET, ROUTE_ROOT | ROUTE_TELEMETRY, telemetry_metrics },
	{ "/healthz", METHOD_GET, ROUTE_ROOT | ROUTE_TELEMETRY, telemetry_ready },
	{ "/healthz/live", METHOD_GET, ROUTE_ROOT | ROUTE_TELEMETRY, telemetry_live },
	{ "/healthz/ready", METHOD_GET, ROUTE_ROOT | ROUTE_TELEMETRY, telemetry_ready },
	{ "/console", METHOD_GET, ROUTE_ROOT, console_home },
	{ "/console/", METHOD_GET, ROUTE_ROOT, console_home },
	{ "/console/signin", METHOD_GET, ROUTE_ROOT, console_sign_in },
	{ "/console/signout", METHOD_POST, ROUTE_ROOT, console_sign_out },
	{ "/console/signed-out", METHOD_GET, ROUTE_ROOT, console_signed_out },
	{ "/console/kubeconfig", METHOD_GET, ROUTE_ROOT, console_kubeconfig },
	{ "/console/sessions", METHOD_GET, ROUTE_ROOT, console_sessions },
	{ "/console/applications", METHOD_GET, ROUTE_ROOT, console_applications },
	{ "/console/applications/withdraw", METHOD_POST, ROUTE_ROOT, console_applications_withdraw },
	{ "/console/sessions/end", METHOD_POST, ROUTE_ROOT, console_sessions_end },
	{ "/", METHOD_GET, ROUTE_ROOT, console_home },
};
#define ROUTES (sizeof routes / sizeof routes[0])
_Static_assert(ROUTES < COUNTERS_ROUTES_MAX, "each route is counted by itself");

static bool
route_serves(const struct route *route, enum request_door door)
{
	switch (door) {
	case DOOR_PUBLIC:
		return !(route->flags & (ROUTE_INTERNAL | ROUTE_CTL | ROUTE_TELEMETRY));
	case DOOR_GATEWAY:
		return !(route->flags & (ROUTE_CTL | ROUTE_TELEMETRY));
	case DOOR_CTL:
		return (route->flags & ROUTE_CTL) != 0;
	case DOOR_TELEMETRY:
		return (route->flags & ROUTE_TELEMETRY) != 0;
	}
	return false;
}

/* The path matches; *rest is what follows. */
static bool
route_matches(const struct route *route, const struct request *r, struct slice *rest)
{
	struct slice path = r->path, base = route->flags & ROUTE_CTL ? SLICE_LIT(CTL_PATH) : r->generation->path;

	if (!route_serves(route, r->door))
		return false;
	if (!(route->flags & ROUTE_ROOT)) {
		if (!slice_has_prefix(path, base))
			return false;
		path = slice_of(path.p + base.n, path.n - base.n);
	}
	if (!slice_has_prefix(path, slice_str(route->path)))
		return false;
	*rest = slice_of(path.p + strlen(route->path), path.n - strlen(route->path));
	return route->flags & ROUTE_PREFIX ? rest->n > 0 : rest->n == 0;
}

static bool
origin_allowed(const struct request *r, struct slice origin)
{
	const struct config_strings *allowed = &r->generation->config->web.allowed_origins;

	for (size_t i = 0; i < allowed->n; i++)
		if (slice_eq_str(origin, allowed->items[i]) || strcmp(allowed->items[i], "*") == 0)
			return true;
	return false;
}

/* Fetch standard, CORS protocol. No credentials are allowed: nothing here answers by cookie. */
static bool
cors_headers(struct request *r)
{
	struct slice origin = request_header(r, "Origin");

	response_header(r, "Vary", SLICE_LIT("Origin"));
	if (!origin.n || !origin_allowed(r, origin))
		return false;
	response_header(r, "Access-Control-Allow-Origin", origin);
	return true;
}

static void
cors_allowed_headers(struct request *r)
{
	const struct config_strings *more = &r->generation->config->web.allowed_headers;
	struct buf names;

	buf_init(&names, 8192);
	buf_add_str(&names, "Authorization, Content-Type");
	for (size_t i = 0; i < more->n; i++)
		buf_printf(&names, ", %s", more->items[i]);
	if (buf_ok(&names))
		response_header(r, "Access-Control-Allow-Headers", buf_slice(&names));
	buf_fini(&names);
}

static void
cors_preflight(struct request *r)
{
	if (cors_headers(r)) {
		response_header(r, "Access-Control-Allow-Methods", SLICE_LIT("GET, POST"));
		cors_allowed_headers(r);
		response_header(r, "Access-Control-Max-Age", SLICE_LIT("600"));
	}
	response_send(r, 204, NULL, NULL);
}

void
routes_not_found(struct request *r)
{
	page_error_send(r, &(struct page_error){ .status = 404, .title = "There is no such page", .what = SLICE_LIT("Nothing is served under this address."),
		.todo = "Check the address, or start at the console.", .way_on = SLICE_LIT("/console/"), .way_on_text = "Go to the console" });
}

static void
method_not_allowed(struct request *r, unsigned allowed)
{
	response_header(r, "Allow", allowed == METHOD_GET ? SLICE_LIT("GET, HEAD") : allowed == METHOD_POST ? SLICE_LIT("POST") : SLICE_LIT("GET, HEAD, POST"));
	page_error_send(r, &(struct page_error){ .status = 405, .title = "This is not how it is used",
		.what = SLICE_LIT("This address exists, but not for this kind of request."), .todo = "Go back and follow the page's own buttons." });
}

static void
dispatch(struct request *r)
{
	unsigned method = r->method == METHOD_HEAD ? METHOD_GET : r->method, seen = 0;
	struct slice rest;

	for (size_t i = 0; i < ROUTES; i++) {
		if (!route_matches(&routes[i], r, &rest))
			continue;
		r->route = routes[i].path;
		if (r->method == METHOD_OPTIONS && (routes[i].flags & ROUTE_CORS)) {
			cors_preflight(r);
			return;
		}
		if (routes[i].methods & method) {
			if (routes[i].flags & ROUTE_CORS)
				cors_headers(r);
			routes[i].handler(r, rest);
			return;
		}
		seen |= routes[i].methods;
	}
	if (r->door == DOOR_CTL)
		admin_refuse(r, 404, "this authd does not know that: it and authd ctl are of different versions (authd --version)");
	else if (seen)
		method_not_allowed(r, seen);
	else
		routes_not_found(r);
}

/* web.headers. Operators' pages are not meant by it. */
static void
configured_headers(struct request *r)
{
	const struct authd_config *c = r->generation->config;

	for (size_t i = 0; i < AUTHD_WEB_HEADERS; i++)
		if (c->web.headers[i])
			response_header_fixed(r, authd_config_web_headers[i], slice_str(c->web.headers[i]));
}

void
routes_handle(struct request *r)
{
	r->generation = app_generation_acquire(r->app);
	if (r->door == DOOR_PUBLIC || r->door == DOOR_GATEWAY)
		configured_headers(r);
	if (r->door == DOOR_PUBLIC)
		r->address = client_address(r, r->generation->config);
	dispatch(r);
}

void
routes_answered(const struct request *r, int status, uint64_t ms)
{
	static const char *const methods[] = { [METHOD_GET] = "GET", [METHOD_HEAD] = "HEAD", [METHOD_POST] = "POST", [METHOD_OPTIONS] = "OPTIONS",
		[METHOD_OTHER] = "other" };

	/* Operators' own requests say nothing about how people are served. method 0: the head was not read to its end. */
	if (r->door == DOOR_PUBLIC || r->door == DOOR_GATEWAY)
		counters_request(r->app->counters, r->route, methods[r->method ? r->method : METHOD_OTHER], status, ms);
}

void
routes_release(struct request *r)
{
	app_generation_release(r->generation);
}
