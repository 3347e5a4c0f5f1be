#include "proxyd/kube_request.h"
#include "tests/unit/unit.h"

static struct kube_request r;

/* "verb group/version resource/subresource namespace name", "-" for what is empty; "verb" alone for no resource. */
static const char *
read_request(enum http_method method, const char *target)
{
	static char text[KUBE_PATH_BYTES_MAX * 4];
	struct slice query = slice_str(target), path = slice_cut(&query, '?');
	int n = 0;

	memset(&r, 'x', sizeof(r));
	kube_request_parse(method, path, query, &r);
	n = snprintf(text, sizeof(text), "%s", kube_verb_name(r.verb));
	if (!r.is_resource) {
		assert_int_equal(r.resource.n + r.subresource.n + r.namespace.n + r.name.n + r.group.n + r.version.n, 0);
		return text;
	}
	const struct slice all[] = { r.group, r.version, r.resource, r.subresource, r.namespace, r.name };
	static const char *const before[] = { " ", "/", " ", "/", " ", " " };
	for (size_t i = 0; i < 6; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%.*s", before[i], all[i].n ? (int)all[i].n : 1, all[i].n ? all[i].p : "-");
	return text;
}

static const struct {
	enum http_method method;
	const char *target, *want;
} cases[] = {
	/* no resource */
	{ METHOD_GET, "/", "get" },
	{ METHOD_GET, "", "get" },
	{ METHOD_GET, "/version", "get" },
	{ METHOD_GET, "/api", "get" },
	{ METHOD_GET, "/api/v1", "get" },
	{ METHOD_GET, "/api/v1/", "get" },
	{ METHOD_GET, "/apis/apps/v1", "get" },
	{ METHOD_GET, "/apis/apps/v1/", "get" },
	{ METHOD_GET, "/openapi/v3/apis/apps/v1", "get" },
	{ METHOD_GET, "/API/v1/pods", "get" },
	{ METHOD_HEAD, "/healthz", "head" },
	{ METHOD_POST, "/a/b/c", "post" },
	{ METHOD_PUT, "/a/b/c", "put" },
	{ METHOD_PATCH, "/a", "patch" },
	{ METHOD_DELETE, "/a", "delete" },
	{ METHOD_OPTIONS, "*", "options" },
	{ METHOD_OTHER, "/a", "other" },
	/* the core group, and a named one */
	{ METHOD_GET, "/api/v1/nodes", "list -/v1 nodes/- - -" },
	{ METHOD_GET, "/api/v1/nodes/a", "get -/v1 nodes/- - a" },
	{ METHOD_HEAD, "/api/v1/nodes/a", "get -/v1 nodes/- - a" },
	{ METHOD_GET, "/api/v1/namespaces/demo/pods", "list -/v1 pods/- demo -" },
	{ METHOD_GET, "/api/v1/namespaces/demo/pods/a", "get -/v1 pods/- demo a" },
	{ METHOD_GET, "/api/v1/namespaces/demo/pods/a/log?follow=true", "get -/v1 pods/log demo a" },
	{ METHOD_POST, "/api/v1/namespaces/demo/pods/a/exec?command=sh", "create -/v1 pods/exec demo a" },
	{ METHOD_POST, "/apis/apps/v1/namespaces/demo/deployments", "create apps/v1 deployments/- demo -" },
	{ METHOD_PUT, "/apis/apps/v1/namespaces/demo/deployments/a/scale", "update apps/v1 deployments/scale demo a" },
	{ METHOD_PATCH, "/apis/apps/v1/namespaces/demo/deployments/a", "patch apps/v1 deployments/- demo a" },
	{ METHOD_DELETE, "/apis/apps/v1/namespaces/demo/deployments/a", "delete apps/v1 deployments/- demo a" },
	{ METHOD_DELETE, "/apis/apps/v1/namespaces/demo/deployments", "deletecollection apps/v1 deployments/- demo -" },
	{ METHOD_POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "create authorization.k8s.io/v1 selfsubjectaccessreviews/- - -" },
	{ METHOD_OPTIONS, "/api/v1/pods", "other -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods/", "list -/v1 pods/- - -" },
	{ METHOD_GET, "//api/v1/pods//", "list -/v1 pods/- - -" },
	/* namespaces themselves: resource and namespace at once */
	{ METHOD_GET, "/api/v1/namespaces", "list -/v1 namespaces/- - -" },
	{ METHOD_GET, "/api/v1/namespaces/demo", "get -/v1 namespaces/- demo demo" },
	{ METHOD_PUT, "/api/v1/namespaces/demo/status", "update -/v1 namespaces/status demo demo" },
	{ METHOD_PUT, "/api/v1/namespaces/demo/finalize", "update -/v1 namespaces/finalize demo demo" },
	{ METHOD_GET, "/api/v1/namespaces/demo//pods", "get -/v1 -/- demo pods" },
	/* the old prefixes */
	{ METHOD_GET, "/api/v1/watch/pods", "watch -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/watch/namespaces/demo/pods/a", "watch -/v1 pods/- demo a" },
	{ METHOD_GET, "/api/v1/watch", "get" },
	{ METHOD_GET, "/api/v1/proxy", "get" },
	{ METHOD_POST, "/api/v1/proxy/namespaces/demo/pods/a/b/c", "proxy -/v1 pods/- demo a" },
	/* a subresource's own paths are data */
	{ METHOD_GET, "/api/v1/namespaces/demo/services/a:80/proxy/api/v1/watch", "get -/v1 services/proxy demo a:80" },
	/* watch, as the apiserver reads booleans */
	{ METHOD_GET, "/api/v1/pods?watch=true", "watch -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?watch=1&limit=500", "watch -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?limit=500&watch", "watch -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?watch=", "watch -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?watch=no", "watch -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?w%61tch=t%72ue", "watch -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?watch=0", "list -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?watch=false", "list -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?watch=FaLSe", "list -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?watch=falsey", "watch -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?watch=0&watch=1", "list -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?watching=1", "list -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?", "list -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/namespaces/demo/pods/a?watch=1", "get -/v1 pods/- demo a" },
	{ METHOD_DELETE, "/api/v1/pods?watch=1", "deletecollection -/v1 pods/- - -" },
	/* a selector that names one object */
	{ METHOD_GET, "/api/v1/pods?watch=1&fieldSelector=metadata.name%3Da", "watch -/v1 pods/- - a" },
	{ METHOD_GET, "/api/v1/pods?fieldSelector=metadata.name==a.b-c", "list -/v1 pods/- - a.b-c" },
	{ METHOD_GET, "/api/v1/pods?fieldSelector=spec.nodeName%3Dn,metadata.name=a", "list -/v1 pods/- - a" },
	{ METHOD_GET, "/api/v1/pods?fieldSelector=metadata.name!=a", "list -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?fieldSelector=metadata.name=", "list -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?fieldSelector=metadata.name=..", "list -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?fieldSelector=metadata.name=a%2Fb", "list -/v1 pods/- - -" },
	{ METHOD_GET, "/api/v1/pods?fieldSelector=metadata.namespace=a", "list -/v1 pods/- - -" },
	/* escapes: the apiserver decodes the path before it cuts it */
	{ METHOD_GET, "/api/v1/namespaces/demo/s%65crets/%61", "get -/v1 secrets/- demo a" },
	{ METHOD_GET, "/%61pi/v1/n%61mespaces/demo/secrets", "list -/v1 secrets/- demo -" },
	{ METHOD_GET, "/api/v1/clusterroles/system%3Anode", "get -/v1 clusterroles/- - system:node" },
	{ METHOD_GET, "/api/v1/pods%2Fa", "get -/v1 pods/- - a" },
	{ METHOD_GET, "/api/v1/pods/100%", "get -/v1 pods/- - 100%" },
};

static void
every_request_is_read_as_the_apiserver_reads_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *got = read_request(cases[i].method, cases[i].target);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: \"%s\", wanted \"%s\"", cases[i].target, got, cases[i].want);
	}
}

static void
a_path_past_the_bound_is_no_resource_and_one_at_it_is(void **state)
{
	static char path[KUBE_PATH_BYTES_MAX + 2];

	(void)state;
	memset(path, 'a', KUBE_PATH_BYTES_MAX);
	memcpy(path, "/api/v1/pods/%61", 16);
	read_request(METHOD_GET, path);
	assert_true(r.is_resource);
	assert_int_equal(r.name.n, KUBE_PATH_BYTES_MAX - 13 - 2);
	path[KUBE_PATH_BYTES_MAX] = 'a';
	assert_string_equal(read_request(METHOD_GET, path), "get");
}

static void
a_name_in_a_selector_is_bounded(void **state)
{
	char target[2000] = "/api/v1/pods?fieldSelector=metadata.name=";
	size_t n = strlen(target);

	(void)state;
	memset(target + n, 'a', KUBE_NAME_BYTES_MAX);
	read_request(METHOD_GET, target);
	assert_int_equal(r.name.n, KUBE_NAME_BYTES_MAX);
	target[n + KUBE_NAME_BYTES_MAX] = 'a';
	read_request(METHOD_GET, target);
	assert_int_equal(r.name.n, 0);
	memset(target + n, ',', 1500);
	read_request(METHOD_GET, target);
	assert_int_equal(r.name.n, 0);
	assert_int_equal(r.verb, KUBE_LIST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_is_read_as_the_apiserver_reads_it),
		cmocka_unit_test(a_path_past_the_bound_is_no_resource_and_one_at_it_is),
		cmocka_unit_test(a_name_in_a_selector_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
