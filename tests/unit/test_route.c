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

	switch (route_find(r, slice_str(path), &d)) {
	case ROUTE_FOUND:
		return d->name;
	case ROUTE_NO_CLUSTER:
		return "no cluster";
	case ROUTE_NONE:
		return "none";
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
		{ "/clustersx", "default" }, { "/api", "default" }, { "/", "default" }, { "*", "default" }, { "/%6fidc/keys", "default" } };
	struct router *r = make();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(finds(r, rows[i][0]), rows[i][1]);
	assert_true(route_has(r, "/console/signin"));
	assert_false(route_has(r, "/clusters/prod"));
	router_free(r);
}

static void
a_cluster_is_prepared_for_both_of_its_places(void **state)
{
	struct router *r = make();
	struct destination *named, *root;

	(void)state;
	assert_int_equal(route_find(r, SLICE_LIT("/clusters/default/x"), &named), ROUTE_FOUND);
	assert_int_equal(route_find(r, SLICE_LIT("/x"), &root), ROUTE_FOUND);
	assert_ptr_equal(named->upstream, root->upstream);
	assert_true(slice_eq_str(named->forward.strip_prefix, "/clusters/default"));
	assert_true(slice_eq_str(root->forward.strip_prefix, ""));
	assert_true(slice_eq_str(root->forward.session_cookie, "gate"));
	assert_int_equal(root->forward.kind, FORWARD_CLUSTER);
	assert_int_equal(route_find(r, SLICE_LIT("/clusters/prod/x"), &named), ROUTE_FOUND);
	assert_true(slice_eq_str(named->forward.base_path, "/k8s"));
	router_free(r);
}

static void
routes_to_one_socket_share_its_connections(void **state)
{
	struct router *r = make();
	struct destination *a, *b, *c;

	(void)state;
	assert_int_equal(route_find(r, SLICE_LIT("/console"), &a), ROUTE_FOUND);
	assert_int_equal(route_find(r, SLICE_LIT("/oidc"), &b), ROUTE_FOUND);
	assert_int_equal(route_find(r, SLICE_LIT("/console/static"), &c), ROUTE_FOUND);
	assert_ptr_equal(a->upstream, b->upstream);
	assert_ptr_not_equal(a->upstream, c->upstream);
	assert_int_equal(a->forward.kind, FORWARD_AUTHD);
	router_free(r);
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
	assert_int_equal(route_find(r, SLICE_LIT("/x"), &d), ROUTE_FOUND);
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
	assert_int_equal(route_find(r, SLICE_LIT("/x"), &root), ROUTE_FOUND);
	assert_int_equal(route_find(r, SLICE_LIT("/clusters/default/x"), &named), ROUTE_FOUND);
	assert_int_equal(route_find(r, SLICE_LIT("/clusters/prod/x"), &other), ROUTE_FOUND);
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
	assert_int_equal(route_find(r, SLICE_LIT("/clusters/prod/x"), &d), ROUTE_FOUND);
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
		T(without_clusters_only_the_routes_lead_anywhere),
		T(a_token_from_the_kubeconfig_is_sent_as_it_is),
		T(a_token_that_would_be_two_lines_is_refused),
		T(another_token_is_sent_at_both_places_of_its_cluster_only),
		T(a_cluster_whose_name_does_not_resolve_does_not_stop_the_others),
		T(a_name_service_that_does_not_answer_stops_the_start),
	};
	return cmocka_run_group_tests(tests, group_setup, NULL);
}
