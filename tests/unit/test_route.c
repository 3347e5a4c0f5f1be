#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "proxyd/route.h"
#include "tests/unit/unit.h"
#include "tests/unit/unit_tls.h"

static char ca_pem[TEST_PEM_BYTES];
static struct loop *loop;
static struct proxyd_config config;
static struct proxyd_cluster clusters[3];
static struct proxyd_route routes[3];

static int
group_setup(void **state)
{
	EVP_PKEY *key = test_key_new(0);

	(void)state;
	test_certificate_pem(key, time(NULL) - 60, time(NULL) + 3600, ca_pem);
	EVP_PKEY_free(key);
	return 0;
}

static int
setup(void **state)
{
	static const char *const names[] = { "prod", "default", "prod-eu" };
	static const char *const paths[] = { "/console/static", "/console", "/oidc" };

	(void)state;
	assert_non_null(loop = loop_new(&clock_system));
	memset(&config, 0, sizeof(config));
	for (size_t i = 0; i < 3; i++) {
		clusters[i] = (struct proxyd_cluster){ .name = names[i] };
		clusters[i].target = (struct kubeconfig){ .server = "https://127.0.0.1:6443", .host = "127.0.0.1", .port = 6443, .base_path = i ? "" : "/k8s",
			.host_header = "127.0.0.1:6443", .tls_server_name = "127.0.0.1", .ca_pem = slice_str(ca_pem) };
		routes[i] = (struct proxyd_route){ .path = paths[i], .address = { .len = sizeof(struct sockaddr_un) } };
		routes[i].address.u.un = (struct sockaddr_un){ .sun_family = AF_UNIX };
		strcpy(routes[i].address.u.un.sun_path, i ? "/run/a.sock" : "/run/b.sock");
	}
	config.clusters = (struct config_list){ clusters, 3 };
	config.routes = (struct config_list){ routes, 3 };
	config.authentication.session.cookie_name = "gate";
	return 0;
}
static int
teardown(void **state)
{
	(void)state;
	loop_free(loop);
	return 0;
}

static struct router *
make(void)
{
	struct router *r;
	struct tls_error e;

	assert_int_equal(router_new(loop, &config, &r, &e), OK);
	return r;
}

static const char *
finds(struct router *r, const char *path)
{
	struct destination *d;

	switch (route_find(r, SLICE_LIT("gate.test"), slice_str(path), &d)) {
	case ROUTE_FOUND:
		return d->name;
	case ROUTE_NO_CLUSTER:
		return "no cluster";
	case ROUTE_NONE:
		return "none";
	case ROUTE_AMBIGUOUS:
		return "ambiguous";
	}
	return NULL;
}

static void
paths_go_where_whole_segments_say(void **state)
{
	static const char *const rows[][2] = { { "/console", "/console" }, { "/console/", "/console" }, { "/console/x", "/console" }, { "/consolex", "default" },
		{ "/console/static/a.css", "/console/static" }, { "/console/staticx", "/console" }, { "/oidc/keys", "/oidc" }, { "/OIDC/keys", "default" },
		{ "/clusters/prod", "prod" }, { "/clusters/prod/api", "prod" }, { "/clusters/prod-eu/api", "prod-eu" }, { "/clusters/pro/api", "no cluster" },
		{ "/clusters/prod-e", "no cluster" }, { "/clusters/default/api", "default" }, { "/clusters", "no cluster" }, { "/clusters/", "no cluster" },
		{ "/clustersx", "default" }, { "/api", "default" }, { "/", "default" }, { "*", "default" }, { "/%6fidc/keys", "ambiguous" } };
	struct router *r = make();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(finds(r, rows[i][0]), rows[i][1]);
	assert_true(route_is_authd(r, SLICE_LIT("gate.test"), "/console/signin"));
	assert_false(route_is_authd(r, SLICE_LIT("gate.test"), "/clusters/prod"));
	router_free(r);
}

static void
a_cluster_is_prepared_for_both_of_its_places(void **state)
{
	struct router *r = make();
	struct destination *named, *root;

	(void)state;
	assert_int_equal(route_find(r, SLICE_LIT("gate.test"), SLICE_LIT("/clusters/default/x"), &named), ROUTE_FOUND);
	assert_int_equal(route_find(r, SLICE_LIT("gate.test"), SLICE_LIT("/x"), &root), ROUTE_FOUND);
	assert_ptr_equal(named->upstream, root->upstream);
	assert_true(slice_eq_str(named->forward.strip_prefix, "/clusters/default"));
	assert_true(slice_eq_str(root->forward.strip_prefix, ""));
	assert_true(slice_eq_str(root->forward.session_cookie, "gate"));
	assert_int_equal(root->forward.kind, FORWARD_CLUSTER);
	assert_int_equal(route_find(r, SLICE_LIT("gate.test"), SLICE_LIT("/clusters/prod/x"), &named), ROUTE_FOUND);
	assert_true(slice_eq_str(named->forward.base_path, "/k8s"));
	router_free(r);
}

static void
routes_to_one_socket_share_its_connections(void **state)
{
	struct router *r = make();
	struct destination *a, *b, *c;

	(void)state;
	assert_int_equal(route_find(r, SLICE_LIT("gate.test"), SLICE_LIT("/console"), &a), ROUTE_FOUND);
	assert_int_equal(route_find(r, SLICE_LIT("gate.test"), SLICE_LIT("/oidc"), &b), ROUTE_FOUND);
	assert_int_equal(route_find(r, SLICE_LIT("gate.test"), SLICE_LIT("/console/static"), &c), ROUTE_FOUND);
	assert_ptr_equal(a->upstream, b->upstream);
	assert_ptr_not_equal(a->upstream, c->upstream);
	assert_int_equal(a->forward.kind, FORWARD_AUTHD);
	router_free(r);
}

/* ---- routes to other backends ---- */

static const char *
finds_at(struct router *r, const char *host, const char *path)
{
	struct destination *d;
	enum route_verdict v = route_find(r, slice_str(host), slice_str(path), &d);

	return v == ROUTE_AMBIGUOUS ? "ambiguous" : v == ROUTE_NO_CLUSTER ? "no cluster" : v == ROUTE_NONE ? "none" : d->host ? d->host : d->name;
}

static void
set_backend(size_t at, const char *path, const char *host, int kind, bool plain)
{
	routes[at] = (struct proxyd_route){ .path = path, .host = host, .kind = kind, .plain = plain };
	routes[at].target = clusters[1].target;
}

static void
a_route_with_a_host_is_for_that_host_and_covers_clusters_there(void **state)
{
	(void)state;
	set_backend(0, "/", "app.example", PROXYD_ROUTE_PUBLIC, true);
	set_backend(1, "/app", NULL, PROXYD_ROUTE_SESSION, true);
	struct router *r = make();
	static const char *const rows[][3] = { { "app.example", "/", "app.example" }, { "APP.example:8443", "/clusters/prod", "app.example" },
		{ "app.example", "/app/x", "app.example" }, { "gw.example", "/app/x", "/app" }, { "gw.example", "/", "default" }, { "app.example.evil", "/", "default" },
		{ "app.example.evil", "/app", "/app" }, { "[::1]:8443", "/app", "/app" }, { "xapp.example", "/", "default" } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(finds_at(r, rows[i][0], rows[i][1]), rows[i][2]);
	assert_true(route_is_authd(r, SLICE_LIT("gw.example"), "/oidc/x"));
	assert_false(route_is_authd(r, SLICE_LIT("app.example"), "/oidc/x"));
	router_free(r);
}

/* What is matched is what is sent on; but a backend undoes escapes, and must not end up below another prefix by that. */
static void
an_escape_that_leads_to_another_prefix_is_nobodys(void **state)
{
	(void)state;
	set_backend(0, "/app/admin", NULL, PROXYD_ROUTE_FRONT_PROXY, false);
	set_backend(1, "/app", NULL, PROXYD_ROUTE_PUBLIC, true);
	struct router *r = make();
	static const char *const rows[][2] = { { "/app/%61dmin", "ambiguous" }, { "/app/admi%6E/x", "ambiguous" }, { "/app/%2561dmin", "ambiguous" },
		{ "/app/%252561dmin", "ambiguous" }, { "/%61pp/admin", "ambiguous" }, { "/%61pp", "ambiguous" }, { "/app/%61dminx", "/app" }, { "/app/a%20b", "/app" },
		{ "/app/admin/%61", "/app/admin" }, { "/app/admin%20", "/app" }, { "/app/x/%61dmin", "/app" }, { "/app/%", "/app" }, { "/app/%6", "/app" },
		{ "/app/%zz", "/app" }, { "/%63lusters/prod/api", "ambiguous" }, { "/clusters/pro%64/api", "ambiguous" }, { "/clusters/%70/api", "no cluster" },
		{ "/api/%61pp", "default" }, { "/app/admin%2Fx", "ambiguous" } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(finds(r, rows[i][0]), rows[i][1]) != 0)
			fail_msg("%s: %s", rows[i][0], finds(r, rows[i][0]));
	router_free(r);
}

static void
a_backend_is_prepared_as_its_kind_says(void **state)
{
	struct destination *d, *other;

	(void)state;
	set_backend(0, "/bearer", NULL, PROXYD_ROUTE_BEARER, false);
	set_backend(1, "/plain", NULL, PROXYD_ROUTE_SESSION, true);
	routes[1].strip_prefix = true;
	routes[1].target.base_path = "/base";
	routes[2].kind = PROXYD_ROUTE_FRONT_PROXY;
	struct router *r = make();
	assert_int_equal(route_find(r, SLICE_LIT("h"), SLICE_LIT("/bearer/x"), &d), ROUTE_FOUND);
	assert_int_equal(d->forward.kind, FORWARD_BEARER);
	assert_int_equal(d->access, ROUTE_FOR_CALLERS);
	assert_false(d->local);
	assert_int_equal(d->forward.host.n, 0);
	assert_int_equal(d->forward.strip_prefix.n, 0);
	assert_int_equal(d->forward.credential.n, 0);
	assert_true(slice_eq_str(d->forward.session_cookie, "gate"));
	assert_int_equal(route_find(r, SLICE_LIT("h"), SLICE_LIT("/plain"), &other), ROUTE_FOUND);
	assert_ptr_not_equal(d->upstream, other->upstream);
	assert_int_equal(other->forward.kind, FORWARD_PLAIN);
	assert_int_equal(other->access, ROUTE_FOR_BROWSERS);
	assert_true(other->local);
	assert_true(slice_eq_str(other->forward.strip_prefix, "/plain"));
	assert_true(slice_eq_str(other->forward.base_path, "/base"));
	assert_int_equal(route_find(r, SLICE_LIT("h"), SLICE_LIT("/oidc"), &d), ROUTE_FOUND);
	assert_int_equal(d->forward.kind, FORWARD_FRONT_PROXY);
	assert_true(d->local);
	router_free(r);
}

static void
a_backend_whose_client_certificate_does_not_load_stops_the_start(void **state)
{
	struct router *r;
	struct tls_error e;

	(void)state;
	set_backend(0, "/bearer", NULL, PROXYD_ROUTE_BEARER, false);
	routes[0].target.cert_pem = routes[0].target.key_pem = SLICE_LIT("junk");
	assert_int_equal(router_new(loop, &config, &r, &e), E_FORMAT);
	assert_non_null(strstr(e.text, "client certificate and key"));
}

static void
without_clusters_only_the_routes_lead_anywhere(void **state)
{
	(void)state;
	config.clusters.n = 0;
	struct router *r = make();
	assert_string_equal(finds(r, "/api"), "none");
	assert_string_equal(finds(r, "/oidc"), "/oidc");
	router_free(r);
}

static void
a_token_from_the_kubeconfig_is_sent_as_it_is(void **state)
{
	struct destination *d;

	(void)state;
	clusters[1].target.token = "s3cret";
	struct router *r = make();
	assert_int_equal(route_find(r, SLICE_LIT("gate.test"), SLICE_LIT("/x"), &d), ROUTE_FOUND);
	assert_true(slice_eq_str(d->forward.credential, "Authorization: Bearer s3cret\r\n"));
	router_free(r);
}

static void
a_token_that_would_be_two_lines_is_refused(void **state)
{
	struct router *r;
	struct tls_error e;

	(void)state;
	clusters[0].target.token = "a\r\nImpersonate-User: root";
	assert_int_equal(router_new(loop, &config, &r, &e), E_FORMAT);
	assert_non_null(strstr(e.text, "prod"));
	assert_null(strstr(e.text, "root"));
}

static void
another_token_is_sent_at_both_places_of_its_cluster_only(void **state)
{
	struct destination *root, *named, *other;

	(void)state;
	clusters[0].target.token = "prods";
	clusters[1].target.token = "first";
	struct router *r = make();
	assert_int_equal(route_find(r, SLICE_LIT("gate.test"), SLICE_LIT("/x"), &root), ROUTE_FOUND);
	assert_int_equal(route_find(r, SLICE_LIT("gate.test"), SLICE_LIT("/clusters/default/x"), &named), ROUTE_FOUND);
	assert_int_equal(route_find(r, SLICE_LIT("gate.test"), SLICE_LIT("/clusters/prod/x"), &other), ROUTE_FOUND);
	assert_int_equal(route_set_token(r, 1, SLICE_LIT("second\n")), OK);
	assert_true(slice_eq_str(root->forward.credential, "Authorization: Bearer second\r\n"));
	assert_true(slice_eq_str(named->forward.credential, "Authorization: Bearer second\r\n"));
	assert_true(slice_eq_str(other->forward.credential, "Authorization: Bearer prods\r\n"));
	/* What is no token leaves the last good one. */
	assert_int_equal(route_set_token(r, 1, SLICE_LIT("a\r\nImpersonate-User: root")), E_FORMAT);
	assert_int_equal(route_set_token(r, 1, SLICE_LIT(" \n")), E_FORMAT);
	assert_int_equal(route_set_token(r, 3, SLICE_LIT("x")), E_EMPTY);
	assert_true(slice_eq_str(root->forward.credential, "Authorization: Bearer second\r\n"));
	router_free(r);
}

static void
a_cluster_whose_name_does_not_resolve_does_not_stop_the_others(void **state)
{
	struct upstream_call call = { 0 };
	struct destination *d;

	(void)state;
	/* A label of 64 bytes: no name (RFC 1035 section 2.3.4), with a network and without. */
	clusters[0].target.host = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid";
	struct router *r = make();
	assert_int_equal(route_find(r, SLICE_LIT("gate.test"), SLICE_LIT("/clusters/prod/x"), &d), ROUTE_FOUND);
	assert_int_equal(upstream_start(d->upstream, &call, false), E_EMPTY);
	assert_string_equal(finds(r, "/x"), "default");
	router_free(r);
}

static void
a_name_service_that_does_not_answer_stops_the_start(void **state)
{
	int status;

	(void)state;
	clusters[0].target.host = "nowhere.invalid";
	pid_t pid = fork();
	if (pid == 0) { /* a network without anything in it */
		struct router *r;
		struct tls_error e;
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
			_exit(77);
		enum err err = router_new(loop, &config, &r, &e);
		_exit(err == E_AGAIN && strstr(e.text, "cluster prod: nowhere.invalid") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int
main(void)
{
	log_set_level(LOG_LEVEL_ERROR + 1);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(paths_go_where_whole_segments_say),
		T(a_cluster_is_prepared_for_both_of_its_places),
		T(routes_to_one_socket_share_its_connections),
		T(a_route_with_a_host_is_for_that_host_and_covers_clusters_there),
		T(an_escape_that_leads_to_another_prefix_is_nobodys),
		T(a_backend_is_prepared_as_its_kind_says),
		T(a_backend_whose_client_certificate_does_not_load_stops_the_start),
		T(without_clusters_only_the_routes_lead_anywhere),
		T(a_token_from_the_kubeconfig_is_sent_as_it_is),
		T(a_token_that_would_be_two_lines_is_refused),
		T(another_token_is_sent_at_both_places_of_its_cluster_only),
		T(a_cluster_whose_name_does_not_resolve_does_not_stop_the_others),
		T(a_name_service_that_does_not_answer_stops_the_start),
	};
	return cmocka_run_group_tests(tests, group_setup, NULL);
}
